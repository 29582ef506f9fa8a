//! Histories in a bucket: a real server that speaks S3, and many writers at once. `tests/s3/install` fetches the server.
#![cfg(feature = "s3")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

struct Server {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
    _turn: std::sync::MutexGuard<'static, ()>,
}

/// One server at a time: two would look for the same ports.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const KEY: &str = "key-of-the-bucket";
const SECRET: &str = "secret-of-the-bucket";

/// Each server needs five ports, and five more ten thousand above.
fn ports() -> [u16; 5] {
    let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let first = 15_000 + (std::process::id() % 900) as u16 * 10;
    let all = (0..900u16).map(|i| 15_000 + (first - 15_000 + i * 10) % 9_000);
    let first = all.into_iter().find(|p| (0..5).all(|i| free(p + i) && free(p + i + 10_000))).expect("ten ports are free");
    [first, first + 1, first + 2, first + 3, first + 4]
}

/// Starts SeaweedFS with one bucket, `history`; `None` where it is not installed, which CI does not accept.
fn server() -> Option<Server> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/s3-venv/bin/weed");
    if !program.is_file() {
        let why = format!("{} is not there; run tests/s3/install", program.display());
        assert!(std::env::var_os("ROADWORTHY_REQUIRE_REAL").is_none(), "{why}");
        println!("SKIPPED: {why}");
        return None;
    }
    let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let [s3, master, volume, filer, admin] = ports();
    for part in ["log", "data"] {
        std::fs::create_dir(dir.path().join(part)).unwrap();
    }
    let mut command = Command::new(program);
    command
        .arg(format!("-logdir={}", dir.path().join("log").display()))
        .arg("mini")
        .arg(format!("-dir={}", dir.path().join("data").display()))
        .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-bucket=history", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"])
        .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
        .args([format!("-s3.port={s3}"), format!("-master.port={master}"), format!("-volume.port={volume}")])
        .args([format!("-filer.port={filer}"), format!("-admin.port={admin}")])
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let server = Server { child: command.spawn().unwrap(), port: s3, _dir: dir, _turn: turn };
    // Its door opens a little before the bucket is there: a project that can read it says when.
    let project = Project::new(&server);
    for _ in 0..200 {
        if project.run(&["baseline", "verify"]).status.code() == Some(0) {
            return Some(server);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("the server did not start within 40 s");
}

/// A project whose history lies in the bucket.
struct Project {
    dir: tempfile::TempDir,
    port: u16,
}

impl Project {
    fn new(server: &Server) -> Project {
        let project = Project { dir: tempfile::tempdir().unwrap(), port: server.port };
        let config = "targets: { default: { simulate: x.sim.yaml } }\nbaselines: { dir: \"s3://history/team/a\" }\n";
        project.write("roadworthy.yaml", config);
        project.write("x.sim.yaml", "simulated: x\nttft: 20ms\njitter: 20%\nrules: [ { answer: one two three } ]\n");
        project.write(
            "scenarios/pace.yaml",
            "scenario: pace\ncases:\n  - { name: steady, prompt: hi, repeat: 30, expect: [ latency: { e2e: { rolling: { window: 7d } } } ] }\n",
        );
        project
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = common::roadworthy();
        command
            .current_dir(self.dir.path())
            .env("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn journals(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = std::fs::read_dir(self.dir.path().join("runs")).unwrap().map(|e| e.unwrap().path()).collect();
        all.sort();
        all
    }
}

fn said(output: &Output) -> String {
    format!("{:?}\n{}\n{}", output.status.code(), String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn sixteen_writers_to_a_bucket_lose_nothing() {
    let Some(server) = server() else { return };
    let project = Project::new(&server);
    for _ in 0..16 {
        let run = project.run(&["run"]);
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    }
    let writers: Vec<Child> = project
        .journals()
        .iter()
        .map(|journal| {
            let mut update = project.command(&["baseline", "update", "--from", journal.to_str().unwrap()]);
            update.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for writer in writers {
        let out = writer.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{}", said(&out));
        assert!(String::from_utf8_lossy(&out.stdout).contains("in s3://history/team/a"), "{}", said(&out));
    }
    let verified = project.run(&["baseline", "verify"]);
    assert!(String::from_utf8_lossy(&verified.stdout).contains("1 file, 16 entries"), "{}", said(&verified));
    let shown = project.run(&["baseline", "show"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("pace::steady"), "{}", said(&shown));
    let approved = project.run(&["baseline", "approve", "--release", "v1"]);
    assert!(String::from_utf8_lossy(&approved.stdout).contains("approved v1"), "{}", said(&approved));
    assert_eq!(project.run(&["baseline", "approve", "--release", "v1"]).status.code(), Some(5), "an anchor never moves");
    // The history from the bucket judges the next run.
    let same = project.run(&["run"]);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    assert!(String::from_utf8_lossy(&same.stdout).contains("1 pass"), "{}", said(&same));
    project.write("x.sim.yaml", "simulated: x\nttft: 60ms\njitter: 20%\nrules: [ { answer: one two three } ]\n");
    let slower = project.run(&["run"]);
    assert_eq!(slower.status.code(), Some(1), "{}", said(&slower));
    assert!(String::from_utf8_lossy(&slower.stdout).contains("e2e rolling: p90"), "{}", said(&slower));
    assert!(!said(&slower).contains(SECRET));
}

#[test]
fn a_bucket_that_is_not_there_is_an_error_not_an_empty_history() {
    let Some(server) = server() else { return };
    let mut project = Project::new(&server);
    let config = "targets: { default: { simulate: x.sim.yaml } }\nbaselines: { dir: \"s3://no-such-bucket/x\" }\n";
    project.write("roadworthy.yaml", config);
    let verified = project.run(&["baseline", "verify"]);
    assert_eq!(verified.status.code(), Some(3), "{}", said(&verified));
    project.port = 9;
    let run = project.run(&["run"]);
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
}
