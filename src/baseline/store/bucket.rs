//! Histories as objects of a bucket that speaks S3. There is no lock: an object is replaced only if it is still the one that was read.

use super::{Change, Unwritten};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig, UpdateVersion};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How often a write is tried again because others wrote in between.
const TRIES: u32 = 60;

#[derive(Clone)]
pub(super) struct Bucket {
    /// As told: `s3://bucket/prefix`.
    told: String,
    prefix: Path,
    store: Arc<AmazonS3>,
    runtime: Arc<Runtime>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

/// A pipeline waits for seconds, not for minutes, before it says that the bucket is away.
fn patience() -> RetryConfig {
    RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(15), ..RetryConfig::default() }
}

impl Bucket {
    /// Keys, region and address come from the variables that every S3 client reads: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_REGION`, `AWS_ENDPOINT`, `AWS_ALLOW_HTTP`.
    pub(super) fn open(told: &str) -> Result<Bucket, String> {
        let failed = |why: String| format!("{told} cannot be opened: {why}");
        // A second installation changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let told = told.trim_end_matches('/');
        let prefix = told.trim_start_matches(super::BUCKET).split_once('/').map_or("", |(_, prefix)| prefix);
        let store = AmazonS3Builder::from_env().with_url(told).with_retry(patience()).build().map_err(|e| failed(e.to_string()))?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(|e| failed(e.to_string()))?;
        let prefix = Path::parse(prefix).map_err(|e| failed(e.to_string()))?;
        Ok(Bucket { told: told.to_owned(), prefix, store: Arc::new(store), runtime: Arc::new(runtime) })
    }

    /// Waits on a thread of its own, because the caller's may belong to another runtime.
    fn wait<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        std::thread::scope(|scope| scope.spawn(|| self.runtime.block_on(work)).join().expect("asking a bucket does not panic"))
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// Names of the objects below the prefix.
    pub(super) fn names(&self) -> Result<Vec<String>, String> {
        let listed = self.wait(async {
            use futures_util::TryStreamExt;
            self.store.list(Some(&self.prefix)).try_collect::<Vec<_>>().await
        });
        let below = format!("{}/", self.prefix);
        let names = listed.map_err(|e| e.to_string())?.into_iter().map(|object| object.location.to_string());
        Ok(names.map(|name| name.strip_prefix(&below).map(str::to_owned).unwrap_or(name)).collect())
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.fetch(name)?.map(|(text, _)| text))
    }

    fn fetch(&self, name: &str) -> Result<Option<(String, UpdateVersion)>, String> {
        let path = self.path(name);
        let got = self.wait(async {
            let got = self.store.get(&path).await?;
            let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
            Ok::<_, Error>((got.bytes().await?, version))
        });
        match got {
            Ok((bytes, version)) => String::from_utf8(bytes.to_vec()).map(|text| Some((text, version))).map_err(|e| e.to_string()),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.to_string()),
        }
    }

    pub(super) fn change(&self, name: &str, change: Change<'_>) -> Result<bool, Unwritten> {
        let path = self.path(name);
        let failed = |why: String| Unwritten::Failed(format!("{self}/{name} cannot be written: {why}"));
        for number in 0..TRIES {
            let (text, mode) = match self.fetch(name).map_err(failed)? {
                Some((text, version)) => (Some(text), PutMode::Update(version)),
                None => (None, PutMode::Create),
            };
            let Some(text) = change(text)? else { return Ok(false) };
            let put = self.wait(async { self.store.put_opts(&path, text.into(), PutOptions::from(mode)).await });
            match put {
                Ok(_) => return Ok(true),
                // Somebody was quicker: what they wrote is read, and the change is made to that.
                Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => {
                    let jitter = u64::from(std::process::id() ^ number.wrapping_mul(2_654_435_761)) % 40;
                    std::thread::sleep(Duration::from_millis(5 + jitter + u64::from(number) * 4));
                }
                Err(e) => return Err(failed(e.to_string())),
            }
        }
        Err(Unwritten::Overtaken(format!("{self}/{name} was not written: others wrote {TRIES} times in between; try again")))
    }
}
