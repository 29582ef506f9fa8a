//! Holds the house to its plan: a room uses its own floor and those below, pure rooms neither print nor await nor read the clock,
//! and the committed JSON Schemas are fresh.

use std::path::{Path, PathBuf};

/// Rooms by floor, lowest first. `ARCHITECTURE.md` explains them.
const FLOORS: [&[&str]; 6] = [
    &["exchange", "finding", "record", "diagnostic", "redact", "units"],
    &["expect", "gauges", "load", "mutate", "semantic", "stats", "verdict"],
    &["scenario", "plan", "options"],
    &["compare", "event", "report"],
    &["target", "run", "drive", "monitor", "journal", "baseline", "sim", "clock"],
    &["cli", "harness"],
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every source file with its room.
fn files() -> Vec<(String, PathBuf, String)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|x| x == "rs") {
                out.push(path);
            }
        }
    }
    let src = root().join("src");
    let mut paths = Vec::new();
    walk(&src, &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let relative = path.strip_prefix(&src).unwrap();
            let room = relative.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests may reach where they like.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            (room, path, code)
        })
        .collect()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn nothing_reaches_up() {
    let name = regex::Regex::new(r"crate::([a-z_]+)").unwrap();
    let mut wrong = Vec::new();
    for (room, path, code) in files() {
        if matches!(room.as_str(), "lib" | "main") {
            continue;
        }
        let own = floor(&room).unwrap_or_else(|| panic!("{room} has no floor; give it one here and in ARCHITECTURE.md"));
        for line in code.lines().filter(|l| !l.trim_start().starts_with("//")) {
            for found in name.captures_iter(line) {
                if let Some(other) = floor(&found[1]).filter(|other| *other > own) {
                    wrong.push(format!("{}: floor {own} uses `{}` of floor {other}", path.display(), &found[1]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_are_pure() {
    let forbidden = [".await", "println!", "eprintln!", "SystemTime", "Instant::now", "std::fs", "std::env", "tokio::"];
    let mut wrong = Vec::new();
    for (room, path, code) in files() {
        if floor(&room).is_some_and(|f| f <= 3) {
            for (i, line) in code.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//")) {
                for word in forbidden.iter().filter(|w| line.contains(**w)) {
                    wrong.push(format!("{}:{}: `{word}` in a pure room", path.display(), i + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_opens_with_a_sentence() {
    for (_, path, code) in files() {
        assert!(code.starts_with("//! "), "{} does not say what it is for", path.display());
    }
}

#[test]
fn committed_schemas_are_fresh() {
    use roadworthy::scenario::schema::{About, schema};
    for (about, name) in [(About::Scenario, "scenario"), (About::Config, "config"), (About::Simulation, "sim")] {
        let path = root().join(format!("schema/{name}.schema.json"));
        let fresh = serde_json::to_string_pretty(&schema(about)).unwrap() + "\n";
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == fresh, "{} is stale; run UPDATE=1 cargo test --test architecture", path.display());
    }
}

#[test]
fn own_scenarios_satisfy_the_schemas() {
    use roadworthy::scenario::schema::{About, schema};
    for (about, files) in [
        (
            About::Scenario,
            vec![
                "scenarios/greeting.yaml",
                "scenarios/tickets.yaml",
                "tests/real/scenarios/smollm2.yaml",
                "tests/spec/output/anchors.yaml",
            ],
        ),
        (About::Config, vec!["roadworthy.yaml", "tests/spec/roadworthy.yaml", "tests/real/roadworthy.yaml"]),
        (About::Simulation, vec!["scenarios/demo.sim.yaml", "tests/spec/service.sim.yaml"]),
    ] {
        let validator = jsonschema::validator_for(&schema(about)).unwrap();
        for file in files {
            let value: serde_json::Value = serde_saphyr::from_str(&std::fs::read_to_string(root().join(file)).unwrap()).unwrap();
            let errors: Vec<String> = validator.iter_errors(&value).map(|e| format!("{file}{}: {e}", e.instance_path())).collect();
            assert!(errors.is_empty(), "{}", errors.join("\n"));
        }
    }
}

#[test]
fn the_reference_pages_are_fresh() {
    use roadworthy::scenario::reference;
    for (page, fresh) in [("docs/language.md", reference::page()), ("docs/configuration.md", reference::settings_page())] {
        let path = root().join(page);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        }
        let stands = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stands == fresh, "{page} is stale; run UPDATE=1 cargo test --test architecture");
    }
    for word in roadworthy::scenario::vocabulary::EXPECTATIONS {
        let examples = root().join(format!("tests/spec/expect/{}.yaml", word.name));
        assert!(examples.is_file(), "`{}` has no example under tests/spec/expect", word.name);
        let refused = std::fs::read_to_string(root().join(format!("tests/spec/misuse/{}.out", word.name))).unwrap_or_default();
        assert!(refused.starts_with("exit: 2"), "`{}` has no bad use under tests/spec/misuse", word.name);
    }
}
