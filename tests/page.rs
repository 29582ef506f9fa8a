//! The HTML report in a real browser: no console errors, no requests, accessible, narrow screens, hostile texts, both languages.
//! Needs node, chromium and what `tests/html/install` puts under `target/html-check`; without them the test is skipped loudly, and with
//! `ROADWORTHY_REQUIRE_BROWSER=1` their absence is a failure.

use std::path::Path;
use std::process::Command;

#[test]
fn the_page_works_in_a_browser() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let check = root.join("target/html-check");
    if !check.join("node_modules/playwright-core").is_dir() {
        let reason = "no browser check under target/html-check; run tests/html/install";
        assert!(std::env::var_os("ROADWORTHY_REQUIRE_BROWSER").is_none(), "{reason}");
        eprintln!("SKIPPED: {reason}");
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let page = temp.path().join("report.html");
    let run = Command::new(env!("CARGO_BIN_EXE_roadworthy"))
        .current_dir(root.join("tests/spec"))
        .args(["run", "expect", "output", "-k", "expect/", "-k", "output/", "--out"])
        .arg(temp.path())
        .arg("--html")
        .arg(&page)
        .output()
        .unwrap();
    assert!(page.is_file(), "{}", String::from_utf8_lossy(&run.stderr));
    let fine = |page: &Path| {
        let output = Command::new("node").current_dir(&check).arg("check.mjs").arg(page).arg(temp.path()).output().unwrap();
        assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    };
    fine(&page);

    // A ramp on a service with few slots and a fault now and then.
    std::fs::write(temp.path().join("roadworthy.yaml"), "targets: { default: { simulate: x.sim.yaml } }\n").unwrap();
    let sim = "simulated: x\nttft: 30ms\nslots: 4\nrules:\n  - { when: { times: 1 }, answer: ok }\n  - { when: { share: 3% }, fault: { status: 503, message: \"</script><b>\\e[31m\" } }\n  - answer: one two three\n";
    std::fs::write(temp.path().join("x.sim.yaml"), sim).unwrap();
    let loaded = temp.path().join("load.html");
    let run = Command::new(env!("CARGO_BIN_EXE_roadworthy"))
        .current_dir(temp.path())
        .args(["load", "--quiet", "--ramp", "2..6/2", "--every", "3s", "--prompt", "x", "--html"])
        .arg(&loaded)
        .output()
        .unwrap();
    assert!(loaded.is_file(), "{}", String::from_utf8_lossy(&run.stderr));
    fine(&loaded);

    // The pages beside it: two sides, a drift, a history.
    let project = temp.path().join("sides");
    std::fs::create_dir_all(project.join("scenarios")).unwrap();
    std::fs::write(project.join("roadworthy.yaml"), "targets: { default: { simulate: x.sim.yaml } }\n").unwrap();
    let cases = "scenario: s\ncases:\n  - { name: a, prompt: 保修期多长？, repeat: 12, params: { temperature: 1 }, expect: [ not_empty ] }\n  - { name: b, prompt: legs, expect: [ not_empty ] }\n";
    std::fs::write(project.join("scenarios/s.yaml"), cases).unwrap();
    let roadworthy = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_roadworthy")).current_dir(&project).args(args).output().unwrap();
    for (side, answer) in [("old", "保修期为 24 个月。"), ("new", "\\u202e</script><b>12\\e[31m months and some more words")] {
        let sim = format!("simulated: x\njitter: 20%\nttft: 3ms\nrules: [ {{ answer: \"{answer}\" }} ]\n");
        std::fs::write(project.join("x.sim.yaml"), sim).unwrap();
        roadworthy(&["run", "--out", side]);
    }
    roadworthy(&["drift", "old", "new", "--html", "drift.html"]);
    let journal = |side: &str| {
        let path = std::fs::read_dir(project.join(side)).unwrap().map(|e| e.unwrap().path()).next().unwrap();
        path.to_str().unwrap().to_owned()
    };
    roadworthy(&["compare", &journal("old"), &journal("new"), "--html", "compare.html"]);
    roadworthy(&["history", "old", "new", "--html", "history.html"]);
    for name in ["drift.html", "compare.html", "history.html"] {
        let output = Command::new("node")
            .current_dir(&check)
            .env("SMALL", "1")
            .arg("check.mjs")
            .arg(project.join(name))
            .arg(temp.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
}
