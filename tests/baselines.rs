//! The cycle of history on a simulated service whose pace is known: runs are appended, an unchanged service passes, a slower one is
//! caught after fresh measurements, a release is approved.

mod common;

use std::path::Path;
use std::process::Output;

struct Project {
    dir: tempfile::TempDir,
}

const SCENARIO: &str = "scenario: pace
cases:
  - name: steady
    prompt: one two three four
    repeat: 40
    expect:
      - latency: { e2e: { max: 2s, rolling: { window: 7d }, predicted: true, release: 1.2 } }
  - name: once
    prompt: one two three four
    expect: [ latency: { e2e: { rolling: { window: 7d, factor: 1.3 } } } ]
";

impl Project {
    fn new() -> Project {
        let project = Project { dir: tempfile::tempdir().unwrap() };
        project.write("roadworthy.yaml", "targets: { default: { simulate: x.sim.yaml, limits: { concurrency: 8 } } }\n");
        project.write("scenarios/pace.yaml", SCENARIO);
        project.pace("20ms");
        project
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn pace(&self, ttft: &str) {
        self.write(
            "x.sim.yaml",
            &format!("simulated: x\nttft: {ttft}\ntpot: 3ms\njitter: 20%\nrules: [ {{ answer: \"{{{{ prompt }}}}\" }} ]\n"),
        );
    }

    fn run(&self, args: &[&str]) -> Output {
        common::roadworthy().current_dir(self.dir.path()).args(args).output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(output: &Output) -> String {
    format!("{:?}\n{}\n{}", output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn history_passes_what_is_unchanged_and_catches_what_is_slower() {
    let project = Project::new();
    let first = project.run(&["run"]);
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    assert!(text(&first.stdout).contains("inconclusive"), "no history is no pass: {}", said(&first));
    for _ in 0..10 {
        let run = project.run(&["run"]);
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
        let update = project.run(&["baseline", "update"]);
        assert_eq!(update.status.code(), Some(0), "{}", said(&update));
    }
    let again = project.run(&["baseline", "update"]);
    assert!(text(&again.stderr).contains("is there already"), "{}", said(&again));
    let approved = project.run(&["baseline", "approve", "--release", "v1"]);
    assert_eq!(approved.status.code(), Some(0), "{}", said(&approved));
    assert_eq!(project.run(&["baseline", "approve", "--release", "v1"]).status.code(), Some(5), "an anchor never moves");
    let shown = text(&project.run(&["baseline", "show"]).stdout);
    assert!(shown.contains("pace::steady") && shown.contains("release v1"), "{shown}");
    assert_eq!(project.run(&["baseline", "verify"]).status.code(), Some(0));

    let steady = project.run(&["run", "-k", "steady"]);
    assert_eq!(steady.status.code(), Some(0), "{}", said(&steady));
    assert!(text(&steady.stdout).contains("1 pass"), "{}", said(&steady));

    project.pace("60ms");
    let slower = project.run(&["run"]);
    assert_eq!(slower.status.code(), Some(1), "{}", said(&slower));
    let out = text(&slower.stdout);
    assert!(out.contains("pace::steady ... FAILED") || out.contains("pace::steady"), "{out}");
    for piece in ["e2e rolling: p90", "e2e predicted:", "e2e release:", "measured 3 times, afresh after each miss"] {
        assert!(out.contains(piece), "no `{piece}` in {out}");
    }
    // The failed run is not allowed to become history, and says why.
    let refused = project.run(&["baseline", "update"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("history is what passed"), "{}", said(&refused));
    let diff = project.run(&["baseline", "diff"]);
    assert_eq!(diff.status.code(), Some(1));
    let shown = text(&diff.stdout);
    assert!(!shown.lines().any(|line| line.starts_with("fine") && line.contains("; miss ")), "over its limit is not fine: {shown}");
    assert!(shown.contains("slower  pace::steady e2e") || shown.contains("over    pace::steady e2e"), "{shown}");

    // Judged again from the record, without a request: the same verdict.
    let mut journals: Vec<_> = std::fs::read_dir(project.dir.path().join("runs")).unwrap().map(|e| e.unwrap().path()).collect();
    journals.sort();
    let replayed = project.run(&["replay", journals.last().unwrap().to_str().unwrap()]);
    assert_eq!(replayed.status.code(), Some(1), "{}", said(&replayed));
}

#[test]
fn many_cases_see_together_what_none_sees_alone() {
    let project = Project::new();
    project.write(
        "scenarios/pace.yaml",
        "scenario: pace
cases:
  - name: once
    matrix: { n: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] }
    prompt: one two three {{ n }}
    expect: [ latency: { e2e: { rolling: { window: 7d, factor: 3 } } } ]
",
    );
    for _ in 0..9 {
        assert_eq!(project.run(&["run"]).status.code(), Some(0));
        assert_eq!(project.run(&["baseline", "update"]).status.code(), Some(0));
    }
    let same = project.run(&["run"]);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    assert!(text(&same.stdout).contains("pass: suite::history"), "{}", said(&same));
    project.pace("45ms");
    let slower = project.run(&["run", "--markdown", "m.md"]);
    assert_eq!(slower.status.code(), Some(1), "{}", said(&slower));
    let out = text(&slower.stdout);
    let summary = std::fs::read_to_string(project.dir.path().join("m.md")).unwrap();
    assert!(summary.contains("at ` scenarios/pace.yaml:3 `") && summary.contains("Again: ` roadworthy run `"), "{summary}");
    let failed = text(&project.run(&["run", "--failed", "--list"]).stdout);
    assert_eq!(failed.lines().filter(|l| l.contains("::once[")).count(), 12, "all of the suite must say it again: {failed}");
    assert!(out.contains("12 pass") && out.contains("fail: suite::history — e2e: measured ÷ expected 1."), "{}", said(&slower));
    assert!(out.contains("noise from 8 past runs") && out.contains("measured 3 times"), "{out}");
    // A failed run is no history, and the suite has none of its own.
    let files: Vec<_> = std::fs::read_dir(project.dir.path().join("baselines")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!files.iter().any(|f| f == "suite.jsonl"), "{files:?}");
}

#[test]
fn answers_are_held_to_what_earlier_runs_said() {
    let project = Project::new();
    let config = "targets: { default: { simulate: x.sim.yaml, model: m } }\nembeddings: { source: endpoint, target: default }\n";
    project.write("roadworthy.yaml", config);
    project.write(
        "scenarios/pace.yaml",
        "scenario: pace
cases:
  - name: warranty
    prompt: 保修期多长？
    repeat: 3
    expect:
      - consistency: { over: history, exact: 95%, same_facts: 99%, similarity: 0.8 }
  - name: beside
    prompt: 保修期多长？
    expect:
      - consistency: { over: targets, same_facts: 100% }
",
    );
    let says = |text: &str| project.write("x.sim.yaml", &format!("simulated: x\nrules: [ {{ answer: {text} }} ]\n"));
    // A telephone number is personal: records keep it by its kind, and the answer is still the same answer tomorrow.
    says("保修期为 24 个月，请保留发票，咨询 13812345678。");
    let first = project.run(&["run", "-k", "warranty"]);
    assert!(text(&first.stdout).contains("history has 0 runs of this case, 3 are needed"), "{}", said(&first));
    for _ in 0..4 {
        assert_eq!(project.run(&["baseline", "update"]).status.code(), Some(0));
        assert_eq!(project.run(&["run", "-k", "warranty"]).status.code(), Some(0));
    }
    let kept = std::fs::read_to_string(project.dir.path().join("baselines/pace.jsonl")).unwrap();
    assert!(kept.contains(r#""facts":{"numbers":["24"]"#) && kept.contains(r#""centroid":{"encoder":"m""#), "{kept}");
    let same = project.run(&["run", "-k", "warranty"]);
    assert!(text(&same.stdout).contains("1 pass"), "{}", said(&same));
    // Another wording, the same facts; then another fact.
    says("质保 24 个月。");
    let worded = project.run(&["run", "-k", "warranty"]);
    assert_eq!(worded.status.code(), Some(1), "{}", said(&worded));
    assert!(text(&worded.stdout).contains("0 of 4 earlier runs gave the same answer"), "{}", said(&worded));
    assert!(!text(&worded.stdout).contains("stated the same key facts"), "{}", said(&worded));
    says("保修期为 12 个月，请保留发票，咨询 13812345678。");
    let other = project.run(&["run", "-k", "warranty"]);
    assert!(text(&other.stdout).contains("0 of 4 earlier runs stated the same key facts (0.0 %, expected 99.0 %)"), "{}", said(&other));
    assert!(text(&other.stdout).contains("since the newest of them: numbers: -24 +12"), "{}", said(&other));
    let diff = project.run(&["baseline", "diff"]);
    assert!(text(&diff.stdout).contains("said    pace::warranty numbers: -24 +12"), "{}", said(&diff));
    // Judged again from the record: the same.
    let journal = std::fs::read_dir(project.dir.path().join("runs")).unwrap().map(|e| e.unwrap().path()).max().unwrap();
    let replayed = project.run(&["replay", journal.to_str().unwrap(), "scenarios/pace.yaml"]);
    assert!(text(&replayed.stdout).contains("0 of 4 earlier runs stated the same key facts"), "{}", said(&replayed));

    let alone = project.run(&["run", "-k", "beside"]);
    assert!(text(&alone.stdout).contains("there is no other service to agree with"), "{}", said(&alone));
    project.write("old.sim.yaml", "simulated: x\nrules: [ { answer: 保修期为 24 个月。 } ]\n");
    let config = "targets: { default: { simulate: x.sim.yaml }, old: { simulate: old.sim.yaml } }\n";
    project.write("roadworthy.yaml", config);
    let beside = project.run(&["run", "-k", "beside", "--compare-with", "old"]);
    assert_eq!(beside.status.code(), Some(1), "{}", said(&beside));
    assert!(text(&beside.stdout).contains("1 of 2 answers state the same key facts (50.0 %, 95 % bounds"), "{}", said(&beside));
}

#[test]
fn damaged_history_is_an_error_not_a_pass() {
    let project = Project::new();
    assert_eq!(project.run(&["run"]).status.code(), Some(0));
    assert_eq!(project.run(&["baseline", "update"]).status.code(), Some(0));
    let file = project.dir.path().join("baselines/pace.jsonl");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}not an entry\n")).unwrap();
    let run = project.run(&["run"]);
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    assert!(text(&run.stderr).contains("pace.jsonl:2: not an entry"), "{}", said(&run));
    assert!(Path::new(&project.dir.path().join("baselines/.gitattributes")).is_file());
}

#[test]
fn as_many_samples_as_the_precision_needs() {
    let project = Project::new();
    project.write(
        "scenarios/pace.yaml",
        "scenario: pace
cases:
  - name: auto
    prompt: one two three four
    repeat: { precision: 10%, max: 400 }
    expect: [ latency: { ttft: { max: 5s } } ]
  - name: impossible
    prompt: one two three four
    repeat: { precision: 0.1%, max: 12 }
    expect: [ latency: { ttft: { max: 5s } } ]
",
    );
    let run = project.run(&["run", "--json", "r.json"]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    assert!(text(&run.stdout).contains("1 pass, 1 inconclusive"), "{}", said(&run));
    let record: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(project.dir.path().join("r.json")).unwrap()).unwrap();
    let trials = |case: usize| record["cases"][case]["attempts"][0]["trials"].as_array().unwrap().len();
    // ± 20 % jitter: some ten answers are known within ± 10 %, and far fewer than 400 suffice.
    assert!((8..200).contains(&trials(0)), "{} samples", trials(0));
    let why = record["cases"][1]["why"].as_str().unwrap();
    assert!(trials(1) == 12 && why.contains("ttft known within ±") && why.contains("±0.1 % asked, and `max` reached"), "{why}");
}

#[test]
fn answers_from_a_cache_are_marked_and_a_nonce_avoids_them() {
    let project = Project::new();
    project.write("x.sim.yaml", "simulated: x\nttft: 30ms\nprefix_cache: true\nrules: [ { answer: fine } ]\n");
    let case = |name: &str, more: &str| {
        format!(
            "  - name: {name}\n    prompt: tell me {name}\n    repeat: 6\n{more}    expect: [ latency: {{ ttft: {{ rolling: {{ window: 7d }} }} }} ]\n"
        )
    };
    project
        .write("scenarios/pace.yaml", &format!("scenario: pace\ncases:\n{}{}", case("warm", ""), case("cold", "    prefix_cache: cold\n")));
    let run = project.run(&["run", "--json", "r.json"]);
    let shown = text(&run.stdout);
    assert!(shown.contains("prompt tokens (") && shown.contains("came from the service's prefix cache"), "{}", said(&run));
    let record: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(project.dir.path().join("r.json")).unwrap()).unwrap();
    let evidence = |case: usize| record["cases"][case]["attempts"][0]["group"][0]["evidence"].to_string();
    assert!(evidence(0).contains("5 of 6 answers came with the help of the service's prefix cache"), "{}", evidence(0));
    assert!(!evidence(1).contains("prefix cache"), "{}", evidence(1));
    let asked = record["cases"][1]["attempts"][0]["trials"][0]["turns"][0]["exchange"]["request"].to_string();
    assert!(asked.contains("] tell me cold"), "{asked}");
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_or_the_new() {
    let project = Project::new();
    project.write("scenarios/pace.yaml", "scenario: pace\ncases: [ { name: once, prompt: hi, expect: [ not_empty ] } ]\n");
    project.pace("0ms");
    let entries = || {
        let verified = project.run(&["baseline", "verify"]);
        assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
        let shown = text(&verified.stdout);
        shown.split(", ").nth(1).and_then(|part| part.split(' ').next()?.parse::<usize>().ok()).unwrap_or(0)
    };
    let mut before = 0;
    let mut outcomes = [0, 0];
    for i in 0..40u64 {
        assert_eq!(project.run(&["run"]).status.code(), Some(0));
        let mut update = common::roadworthy()
            .current_dir(project.dir.path())
            .args(["baseline", "update"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_micros(i * 4_000));
        update.kill().unwrap();
        update.wait().unwrap();
        let after = entries();
        assert!(after == before || after == before + 1, "{before} entries became {after}");
        outcomes[after - before] += 1;
        before = after;
    }
    println!("{} kills came before the write, {} after", outcomes[0], outcomes[1]);
    // Nothing that a killed writer left behind stops the next one.
    assert_eq!(project.run(&["run"]).status.code(), Some(0));
    assert_eq!(project.run(&["baseline", "update"]).status.code(), Some(0));
    assert_eq!(entries(), before + 1);
}
