//! Knees, leaks and creep planted in services that run as processes of their own, found in real time over real sockets.
//! Minutes long, so only on request: `just loads-real-time`.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

struct Service {
    child: Child,
    url: String,
    dir: tempfile::TempDir,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A simulated service in a process of its own, so that its memory is not the client's.
fn serve(script: &str) -> Service {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.sim.yaml"), format!("simulated: x\n{script}\n")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_roadworthy"))
        .args(["sim", "x.sim.yaml"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let url = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .find_map(|l| l.unwrap().split_whitespace().find(|w| w.starts_with("http://")).map(str::to_owned))
        .unwrap();
    Service { child, url, dir }
}

impl Service {
    fn load(&self, scenario: &str) -> Value {
        let dir = self.dir.path();
        std::fs::write(dir.join("loads.yaml"), scenario.replace("PID", &self.child.id().to_string())).unwrap();
        let out = Command::new(env!("CARGO_BIN_EXE_roadworthy"))
            .args(["load", "loads.yaml", "--base-url", &self.url, "--quiet", "--json", "record.json"])
            .current_dir(dir)
            .env("CI", "1")
            .output()
            .unwrap();
        let record = std::fs::read_to_string(dir.join("record.json"))
            .unwrap_or_else(|_| panic!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)));
        serde_json::from_str::<Value>(&record).unwrap()["cases"][0]["load"].clone()
    }
}

/// Each answer takes 600 ms in one of so many slots: one user more than slots, and everybody waits.
fn finds_knee(slots: u64) {
    let answer = "word ".repeat(51);
    let service = serve(&format!("ttft: 100ms\ntpot: 10ms\nslots: {slots}\nrules: [ {{ answer: \"{}\" }} ]", answer.trim()));
    let load = service.load(
        "scenario: x
loads:
  - name: most
    prompt: x
    slo: { ttft: 125ms, share: 95% }
    shape: { search: { from: 1, max: 64, every: 10s, error_rate: 1% } }
    expect: [ { max_concurrency: { min: 1 } } ]
",
    );
    let found = &load["found"];
    let (stable, unstable) = (found["last_stable"].as_f64().unwrap(), found["first_unstable"].as_f64().unwrap());
    println!("{slots} slots: {stable} users are borne, {unstable} are not: {}", found["reason"].as_str().unwrap());
    assert!((stable - slots as f64).abs() <= 1.0 && unstable > stable, "{slots} slots: {found}");
}

fn leaks(script: &str) -> Vec<String> {
    let service = serve(&format!("ttft: 50ms\ntpot: 5ms\njitter: 20%\n{script}\nrules: [ {{ answer: one two three four five }} ]"));
    let load = service.load(
        "scenario: x
loads:
  - name: long
    prompt: x
    monitor: [ { pid: PID }, target ]
    shape: { soak: { level: 6, duration: 150s, report_every: 60s } }
    expect: [ { error_rate: 0.1% } ]
",
    );
    let trends = load["trends"].as_array().unwrap();
    assert!(trends.iter().any(|t| t["what"].as_str().unwrap().starts_with("process_memory")), "{load}");
    trends.iter().filter(|t| t["leak"] == true).map(|t| t["why"].as_str().unwrap().to_owned()).collect()
}

fn finds_leak(script: &str, what: &str) {
    let found = leaks(script);
    println!("{script}: {found:?}");
    assert!(found.iter().any(|t| t.starts_with(what)), "{script}: {found:?}");
}

fn finds_none(seed: u64) {
    assert_eq!(leaks(&format!("seed: {seed}")), Vec::<String>::new());
}

macro_rules! real_time {
    ($($name:ident: $test:expr;)*) => {$(
        #[test]
        #[ignore = "minutes of real time: `just loads-real-time`"]
        fn $name() {
            $test
        }
    )*};
}

real_time! {
    a_knee_at_3: finds_knee(3);
    a_knee_at_9: finds_knee(9);
    a_knee_at_14: finds_knee(14);
    memory_that_leaks_fast: finds_leak("leaks: 20000", "process_memory");
    memory_that_leaks_slowly: finds_leak("leaks: 2000", "process_memory");
    memory_that_leaks_in_between: finds_leak("leaks: 5000", "process_memory");
    answers_that_slow_down: finds_leak("slows: 10%", "ttft");
    answers_that_slow_down_fast: finds_leak("slows: 30%", "ttft");
    answers_that_slow_down_slowly: finds_leak("slows: 4%", "ttft");
    nothing_creeps_first: finds_none(1);
    nothing_creeps_second: finds_none(2);
    nothing_creeps_third: finds_none(3);
}
