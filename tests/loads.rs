//! `roadworthy load` against a simulated service over real sockets: whatever a service does wrong is counted under its name, the
//! accounts balance, and an interrupt loses nothing.

mod common;

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A folder with a service, and what is asked of it.
struct Project {
    dir: tempfile::TempDir,
}

/// Rules that make a service of middling speed misbehave.
fn project(rules: &str) -> Project {
    let project = Project { dir: tempfile::tempdir().unwrap() };
    project
        .write("roadworthy.yaml", "targets: { default: { simulate: x.sim.yaml, timeout: { first_token: 1s, idle: 500ms, total: 2s } } }\n");
    project
        .write("x.sim.yaml", &format!("simulated: x\nttft: 10ms\ntpot: 1ms\nrules:\n{rules}  - {{ answer: one two three four five }}\n"));
    project
}

impl Project {
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = common::roadworthy();
        command.current_dir(self.dir.path()).env("CI", "1").arg("load").args(args);
        command
    }

    fn load(&self, args: &[&str]) -> (Output, Value) {
        let json = self.dir.path().join("record.json");
        let _ = std::fs::remove_file(&json);
        let out = self.command(args).arg("--json").arg(&json).output().unwrap();
        let record = std::fs::read_to_string(&json).map_or(Value::Null, |t| serde_json::from_str(&t).unwrap());
        (out, record["cases"][0]["load"].clone())
    }

    fn journal(&self) -> PathBuf {
        let runs = std::fs::read_dir(self.dir.path().join("runs")).unwrap();
        runs.map(|e| e.unwrap().path()).max().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The kinds of errors of a load of 60 requests whose first one is fine.
fn kinds(rules: &str) -> Vec<String> {
    let (out, load) = project(rules).load(&["--users", "4", "--requests", "60", "--prompt", "x"]);
    let counts = &load["levels"][0]["counts"];
    let n = |key: &str| counts[key].as_u64().unwrap();
    assert_eq!(n("scheduled"), 60, "{}", text(&out.stderr));
    assert_eq!(n("scheduled"), n("ok") + n("failed") + n("cancelled") + n("dropped"));
    assert_eq!(out.status.code(), Some(1), "errors over 1 % must fail the gate: {}", text(&out.stdout));
    load["first_errors"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap().to_owned()).collect()
}

/// A fault for a tenth of the requests, never for the first.
fn tenth(fault: &str) -> String {
    format!(
        "  - {{ when: {{ times: 1 }}, answer: fine }}\n  - {{ when: {{ share: 30% }}, answer: one two three four five, fault: {{ {fault} }} }}\n"
    )
}

#[test]
fn errors_have_the_names_of_the_sheet() {
    assert_eq!(kinds(&tenth("status: 429")), ["http_429"]);
    assert_eq!(kinds(&tenth("status: 503")), ["http_503"]);
    assert_eq!(kinds(&tenth("status: 500, message: CUDA out of memory")), ["out_of_memory"]);
    assert_eq!(kinds(&tenth("cut_after: 2")), ["conn_reset"]);
    assert_eq!(kinds(&tenth("end_after: 2")), ["stream_truncated"]);
    assert_eq!(kinds(&tenth("malformed_after: 2")), ["sse_malformed"]);
    assert_eq!(kinds(&tenth("error_after: 2")), ["api_error"]);
    assert_eq!(kinds(&tenth("body: \"<html>busy</html>\"")), ["json_malformed"]);
    assert_eq!(kinds(&tenth("stall_after: 2")), ["idle_timeout"]);
    assert_eq!(kinds(&tenth("endless_line: true")), ["sse_malformed"]);
}

#[test]
fn a_service_that_stops_is_told_as_refused_connections() {
    let found = kinds("  - { when: { times: 20 }, answer: fine }\n  - { when: { times: 1 }, fault: { exit: true } }\n");
    assert!(found.contains(&"connect_refused".to_owned()), "{found:?}");
}

#[test]
fn a_first_request_that_fails_starts_no_load() {
    let (out, load) = project("  - { fault: { status: 401 } }\n").load(&["--users", "4", "--requests", "60", "--prompt", "x"]);
    assert_eq!(out.status.code(), Some(3));
    assert!(load.is_null() && text(&out.stdout).contains("the load was not started: status 401"), "{}", text(&out.stdout));
}

#[test]
fn a_data_set_that_ends_ends_the_load() {
    let p = project("");
    p.write("prompts.txt", "一\n二\n三\n四\n五\n六\n七\n");
    let (out, load) = p.load(&["--users", "3", "--runtime", "0s", "--data", "prompts.txt"]);
    assert_eq!((out.status.code(), load["levels"][0]["counts"]["ok"].as_u64()), (Some(0), Some(7)), "{}", text(&out.stderr));
}

#[test]
fn flags_and_files_are_read_as_strictly_as_scenarios() {
    let p = project("");
    let told = |args: &[&str]| {
        let out = p.command(args).output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{args:?}: {}", text(&out.stdout));
        text(&out.stderr)
    };
    assert!(told(&["--users", "0", "--prompt", "x"]).contains("`users` must be more than 0"));
    assert!(told(&["--users", "2", "--runtime", "20"]).contains("has no unit"));
    assert!(told(&["--users", "2", "--param", "temprature=0.1", "--prompt", "x"]).contains("temperature"));
    assert!(told(&["--ramp", "10-20", "--prompt", "x"]).contains("10..100/10"));
    assert!(told(&["--rate", "5", "--search", "9", "--prompt", "x"]).contains("not several"));
    assert!(told(&["--users", "2", "--data", "nowhere.jsonl"]).contains("nowhere.jsonl"));
    assert!(told(&["--users", "2", "--think-time", "2s..1s", "--prompt", "x"]).contains("start is above its end"));
    assert_eq!(p.command(&[]).output().unwrap().status.code(), Some(4));
}

#[test]
fn an_interrupt_reports_what_there_is() {
    let p = project("");
    let child = p
        .command(&["--users", "2", "--runtime", "60s", "--prompt", "x", "--junit", "j.xml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(3500));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130));
    let shown = text(&out.stdout);
    assert!(shown.contains("interrupted: these are the figures up to then") && shown.contains("answers/s"), "{shown}");
    assert!(std::fs::read_to_string(p.dir.path().join("j.xml")).unwrap().contains("interrupted"));
}

#[test]
fn a_signal_is_heard_between_two_loads() {
    let p = project("");
    p.write("late.sim.yaml", "simulated: x\nready_after: 60s\nrules: [ { answer: one } ]\n");
    p.write(
        "roadworthy.yaml",
        "targets:\n  default: { simulate: x.sim.yaml }\n  late: { simulate: late.sim.yaml, ready: { timeout: 50s } }\n",
    );
    let load = |name: &str, target: &str| {
        format!(
            "  - {{ name: {name}, target: {target}, prompt: x, shape: {{ constant: {{ users: 1, requests: 2 }} }}, expect: [ {{ error_rate: 1% }} ] }}\n"
        )
    };
    p.write("loads.yaml", &format!("scenario: x\nloads:\n{}{}", load("first", "default"), load("second", "late")));
    let child = p.command(&["loads.yaml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(5000));
    let began = std::time::Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130), "{}", text(&out.stderr));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn what_a_service_says_of_people_stays_out_of_the_record() {
    let p = project("  - { when: { times: 1 }, answer: ok }\n  - { fault: { status: 500, message: call 13812345678 } }\n");
    let (out, load) = p.load(&["--users", "2", "--requests", "10", "--prompt", "x"]);
    let journal = std::fs::read_to_string(p.journal()).unwrap();
    assert!(load["first_errors"][0]["excerpt"].as_str().unwrap().contains("call [masked: a mobile phone number]"), "{load}");
    assert!(!journal.contains("13812345678"), "{}", text(&out.stdout));
}

#[test]
fn a_client_that_was_asleep_says_so() {
    let p = project("");
    let child = p
        .command(&["--rate", "50", "--runtime", "6s", "--prompt", "x", "--json", "record.json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(3000));
    // As when a laptop sleeps, or a virtual machine is moved: the clock jumps, and requests are late by that.
    signal("-STOP");
    std::thread::sleep(Duration::from_millis(1500));
    signal("-CONT");
    let out = child.wait_with_output().unwrap();
    let shown = text(&out.stdout);
    assert_eq!(out.status.code(), Some(3), "{shown}");
    assert!(shown.contains("requests were taken up late"), "{shown}");
    let record: Value = serde_json::from_str(&std::fs::read_to_string(p.dir.path().join("record.json")).unwrap()).unwrap();
    let counts = &record["cases"][0]["load"]["levels"][0]["counts"];
    let of = |name: &str| counts[name].as_u64().unwrap_or(0);
    // The schedule is caught up with, however late.
    assert!((270..=330).contains(&of("scheduled")) && of("ok") > 200, "{counts}");
    assert_eq!(of("scheduled"), of("ok") + of("failed") + of("cancelled") + of("dropped"), "{counts}");
}

#[test]
fn a_kill_loses_only_the_last_seconds() {
    let p = project("");
    let mut child =
        p.command(&["--users", "2", "--runtime", "60s", "--prompt", "x"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(12_500));
    child.kill().unwrap();
    child.wait().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_roadworthy"))
        .current_dir(p.dir.path())
        .arg("report")
        .arg(p.journal())
        .args(["--json", "r.json"])
        .output()
        .unwrap();
    let record: Value = serde_json::from_str(&std::fs::read_to_string(p.dir.path().join("r.json")).unwrap()).unwrap();
    let load = &record["cases"][0]["load"];
    assert!(load["ticks"].as_array().is_some_and(|t| t.len() >= 9), "{record}");
    assert_eq!(out.status.code(), Some(3), "{}", text(&out.stdout));
    assert!(text(&out.stdout).contains("cut off after"), "{}", text(&out.stdout));
}

#[test]
fn a_monitor_that_is_silent_leaves_a_gap_and_no_failure() {
    let p = project("");
    let args = ["--users", "2", "--runtime", "3s", "--prompt", "x", "--monitor", "http://127.0.0.1:9/metrics", "--monitor", "nvidia_smi"];
    // A stand-in for GPUs that are not here.
    let bin = p.dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let tool = bin.join("nvidia-smi");
    std::fs::write(&tool, "#!/bin/sh\necho '0, 87, 20480, 24576, 212.5, 61, 1980'\necho '1, [N/A], 1024, 24576, [N/A], 40, 210'\n")
        .unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let json = p.dir.path().join("record.json");
    let out = p.command(&args).env("PATH", path).arg("--json").arg(&json).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stdout));
    let shown = text(&out.stdout);
    assert!(shown.contains("http://127.0.0.1:9/metrics was never read"), "{shown}");
    let record: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let series = record["cases"][0]["load"]["series"].as_array().unwrap();
    let util = series.iter().find(|s| s["name"] == "gpu_util/0").unwrap();
    assert_eq!(util["points"][0][1], 0.87);
}

#[test]
fn too_few_files_make_the_run_invalid_not_wrong() {
    let p = project("");
    let out = p.command(&["--users", "80", "--requests", "400", "--prompt", "x"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stdout));
    let line = format!("ulimit -n 40; exec {} load --users 80 --requests 400 --prompt x", env!("CARGO_BIN_EXE_roadworthy"));
    let out = Command::new("sh").args(["-c", &line]).current_dir(p.dir.path()).output().unwrap();
    assert_eq!(out.status.code(), Some(3), "{}", text(&out.stdout));
    assert!(text(&out.stdout).contains("may open no more files"), "{}", text(&out.stdout));
}

/// A service that closes each connection a moment after its answer, as servers do with idle ones.
fn impatient() -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0u8; 8192];
                let mut head = Vec::new();
                // The body is small and comes with its head or right after it.
                while !head.ends_with(b"}") && !head.starts_with(b"GET") {
                    match stream.read(&mut buffer) {
                        Ok(n) if n > 0 => head.extend_from_slice(&buffer[..n]),
                        _ => return,
                    }
                }
                let events = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{events}", events.len());
                let _ = stream.write_all(answer.as_bytes());
                std::thread::sleep(Duration::from_millis(20));
            });
        }
    });
    format!("http://{address}/v1")
}

#[test]
fn connections_that_a_service_closes_while_they_are_idle_cost_nothing() {
    let url = impatient();
    let args = ["--base-url", &url, "--model", "m", "--users", "4", "--requests", "80", "--prompt", "x", "--think-time", "0s..60ms"];
    let (out, load) = project("").load(&args);
    // On a busy machine the client may find itself too late for a verdict; what counts is that nothing failed or waited.
    assert!(matches!(out.status.code(), Some(0 | 3)), "{}", text(&out.stdout));
    assert_eq!(load["levels"][0]["counts"]["ok"], 80);
    assert!(load["levels"][0]["figures"]["e2e"]["max"].as_f64().unwrap() < 1500.0, "{load}");
}

#[test]
fn a_ramp_finds_where_the_slots_end_and_a_soak_takes_its_share() {
    let p = project("");
    p.write("x.sim.yaml", "simulated: x\nttft: 50ms\ntpot: 5ms\nslots: 6\nrules: [ { answer: one two three four five } ]\n");
    p.write(
        "loads.yaml",
        "scenario: x
loads:
  - name: most
    prompt: x
    shape: { ramp: { from: 2, step: 2, every: 3s, max: 20, until: { ttft: { p95: 68ms } } } }
    expect: [ { max_concurrency: { min: 6 } }, { first_error: { not: [http_500] } } ]
  - name: soak
    prompt: x
    shape: { soak: { share: 50%, of_load: most, duration: 4s, report_every: 2s } }
    expect: [ { error_rate: 0.1% }, { e2e: { p50: 200ms } } ]
",
    );
    let json = p.dir.path().join("record.json");
    let out =
        p.command(&["loads.yaml", "--json", "record.json", "--csv", "csv", "--qianfan", "q.json", "--hdr-log", "x.hlog"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stdout));
    let record: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let found = &record["cases"][0]["load"]["found"];
    assert_eq!((found["last_stable"].as_f64(), found["first_unstable"].as_f64()), (Some(6.0), Some(8.0)), "{found}");
    assert_eq!(record["cases"][1]["load"]["levels"][0]["target"], 3.0);
    let soak = &record["cases"][1]["load"];
    let periods = soak["periods"].as_array().unwrap();
    assert_eq!(periods.len(), 2);
    // A steady service gives in each period what it gives over all.
    let whole = soak["levels"][0]["figures"]["output_tps"].as_f64().unwrap();
    for period in periods {
        let told = period["figures"]["output_tps"].as_f64().unwrap();
        assert!((0.7..1.3).contains(&(told / whole)), "{told} beside {whole}");
    }
    let q: Value = serde_json::from_str(&std::fs::read_to_string(p.dir.path().join("q.json")).unwrap()).unwrap();
    let round = &q["qianfan_compat"]["rounds"][0];
    assert_eq!((round["SuccessRate"].as_f64(), round["user_num"].as_f64()), (Some(100.0), Some(2.0)));
    assert!(round["Latency 99%"].as_f64().unwrap() < 1.0 && round["RPM"].as_f64().unwrap() > 60.0);
    assert!(std::fs::read_to_string(p.dir.path().join("csv/levels.csv")).unwrap().lines().count() >= 5);
    assert!(std::fs::read_to_string(p.dir.path().join("x.hlog")).unwrap().contains("Tag=e2e"));
}

#[test]
fn phases_are_gates_and_the_last_one_mixes_abuse_in() {
    let p = project("  - { when: { contains: [hellohello, hello hello] }, fault: { status: 413, message: too long } }\n");
    p.write(
        "roadworthy.yaml",
        "targets: { default: { simulate: x.sim.yaml } }
phases:
  - { name: behaviour, run: [cases.yaml] }
  - { name: mixed, load: [loads.yaml] }
  - { name: strict, run: [cases.yaml], load: [loads.yaml], filter: [never] }
  - { name: after, run: [cases.yaml] }
",
    );
    p.write("cases.yaml", "scenario: c\ncases:\n  - { name: answers, prompt: hi, expect: [ { contains: two } ] }\n");
    p.write(
        "loads.yaml",
        "scenario: l
loads:
  - name: normal and abnormal
    mix:
      - { weight: 3, name: normal, prompt: hello }
      - { weight: 1, name: abnormal, prompt: hello, mutate: { kinds: [ garble, emoji_flood, { repeat_to: 3000 chars } ], count: 2 }, accept: [400, 413] }
    shape: { constant: { users: 4, requests: 120 } }
    expect: [ { error_rate: 0% } ]
",
    );
    let out = Command::new(env!("CARGO_BIN_EXE_roadworthy")).current_dir(p.dir.path()).env("CI", "1").arg("phases").output().unwrap();
    let shown = text(&out.stdout);
    assert!(
        shown.contains("behaviour: pass\nmixed: pass\nstrict: nothing ran\nafter: not run, because `strict` did not pass"),
        "{shown}\n{}",
        text(&out.stderr)
    );
    assert_eq!(out.status.code(), Some(4));
    for file in ["behaviour.html", "behaviour.xml", "mixed.json"] {
        assert!(p.dir.path().join("reports").join(file).is_file(), "{file}");
    }
    let record: Value = serde_json::from_str(&std::fs::read_to_string(p.dir.path().join("reports/mixed.json")).unwrap()).unwrap();
    let inputs = record["cases"][0]["load"]["levels"][0]["figures"]["inputs"].as_array().unwrap().clone();
    assert!(inputs.iter().all(|i| i["failed"] == 0 && i["ok"].as_u64() > Some(10)), "{inputs:?}");
}

#[test]
fn a_load_is_held_to_its_own_history() {
    let p = project("");
    let sim = |ttft: u32| format!("simulated: x\nttft: {ttft}ms\njitter: 20%\nrules: [ {{ answer: one two three }} ]\n");
    p.write("x.sim.yaml", &sim(100));
    p.write(
        "loads.yaml",
        "scenario: x
loads:
  - name: steady
    prompt: x
    shape: { constant: { users: 8, requests: 96 } }
    expect: [ { error_rate: 0% }, { e2e: { p95: 5s, rolling: { quantile: p90, factor: 1.3 }, release: 1.2 } } ]
",
    );
    let other = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_roadworthy")).current_dir(p.dir.path()).args(args).output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{args:?}: {}{}", text(&out.stdout), text(&out.stderr));
    };
    let (out, _) = p.load(&["loads.yaml"]);
    assert!(text(&out.stdout).contains("1 inconclusive"), "no history yet: {}", text(&out.stdout));
    for _ in 0..8 {
        p.load(&["loads.yaml"]);
        other(&["baseline", "update", "--force"]);
    }
    other(&["baseline", "approve", "--release", "v1"]);
    let (out, _) = p.load(&["loads.yaml"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stdout));
    assert!(text(&out.stdout).contains("1 pass"), "{}", text(&out.stdout));
    p.write("x.sim.yaml", &sim(180));
    let (out, _) = p.load(&["loads.yaml"]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    let shown = text(&out.stdout);
    assert!(shown.contains("e2e rolling: p90") && shown.contains("(7 d, 8 runs) × 1.3"), "{shown}");
}

#[test]
fn the_first_error_names_its_request() {
    let rule = "  - { when: { times: 1 }, answer: fine }\n  - { when: { share: 30% }, answer: one two three, headers: { x-request-id: req-7 }, fault: { error_after: 1 } }\n";
    let (out, load) = project(rule).load(&["--users", "2", "--requests", "40", "--prompt", "x"]);
    assert_eq!(load["first_errors"][0]["request_id"], "req-7", "{load}");
    assert!(text(&out.stdout).contains("request req-7"), "{}", text(&out.stdout));
    let figures = &load["levels"][0]["figures"];
    assert_eq!(figures["itl"]["n"], figures["icl"]["n"], "one token an event: both are the same gaps");
}

#[test]
fn what_is_in_flight_has_not_failed() {
    let p = project("");
    p.write("x.sim.yaml", "simulated: x\nttft: 1500ms\nrules: [ { answer: one two } ]\n");
    p.write("roadworthy.yaml", "targets: { default: { simulate: x.sim.yaml } }\n");
    p.write(
        "loads.yaml",
        "scenario: x
loads:
  - name: slow and sound
    prompt: x
    shape: { constant: { users: 4, duration: 4s } }
    abort_on: { error_rate: 30%, after: 1s }
    expect: [ { error_rate: 1% } ]
",
    );
    let (out, load) = p.load(&["loads.yaml"]);
    assert!(matches!(out.status.code(), Some(0 | 3)), "{}", text(&out.stdout));
    assert_eq!(load["levels"][0]["counts"]["failed"], 0, "{load}");
    assert!(!text(&out.stdout).contains("ended early"), "{}", text(&out.stdout));
}

#[test]
fn throughput_is_of_the_time_that_was_measured() {
    // A window of a second holds no whole second of the clock's.
    let p = project("");
    let (_, load) = p.load(&["--users", "4", "--runtime", "3s", "--warm-up", "2s", "--prompt", "x"]);
    let figures = &load["levels"][0]["figures"];
    let told = figures["output_tps"].as_f64().unwrap();
    let total = figures["output_tps_total"].as_f64().unwrap();
    assert!((0.7..1.4).contains(&(told / total)), "{told} beside {total} over all");
}
