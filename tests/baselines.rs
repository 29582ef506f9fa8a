//! The cycle of history on a simulated service whose pace is known: runs are appended, an unchanged service passes, a slower one is
//! caught after fresh measurements, a release is approved.

use std::path::Path;
use std::process::{Command, Output};

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
        let mut command = Command::new(env!("CARGO_BIN_EXE_roadworthy"));
        for (name, _) in std::env::vars().filter(|(n, _)| {
            ["ROADWORTHY_", "NEXTEST", "GITHUB_", "CI_"].iter().any(|p| n.starts_with(p)) || n.ends_with("_PROXY") || n.ends_with("_proxy")
        }) {
            command.env_remove(name);
        }
        command.current_dir(self.dir.path()).args(args).output().unwrap()
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
    assert_eq!(project.run(&["baseline", "diff"]).status.code(), Some(1));

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
    let slower = project.run(&["run"]);
    assert_eq!(slower.status.code(), Some(1), "{}", said(&slower));
    let out = text(&slower.stdout);
    assert!(out.contains("12 pass") && out.contains("fail: suite::history — e2e: measured ÷ expected 1."), "{}", said(&slower));
    assert!(out.contains("noise from 8 past runs") && out.contains("measured 3 times"), "{out}");
    // A failed run is no history, and the suite has none of its own.
    let files: Vec<_> = std::fs::read_dir(project.dir.path().join("baselines")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!files.iter().any(|f| f == "suite.jsonl"), "{files:?}");
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
