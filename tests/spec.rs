//! Specification by example: every `tests/spec/**/*.yaml` is run by the real binary, and what people see, the JUnit file and the
//! exit code are compared with what stands beside it. `UPDATE=1 cargo test --test spec` rewrites them; read the diff.
//!
//! A first line `# args: …` adds flags.

mod common;

use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;
use std::path::{Path, PathBuf};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec");
    let mut files = Vec::new();
    for dir in ["expect", "misuse", "traps", "input", "transport", "verdict", "output"] {
        let entries = std::fs::read_dir(root.join(dir)).expect("the folder of examples");
        files.extend(entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|x| x == "yaml")));
    }
    files.sort();
    let trials = files.into_iter().map(|file| {
        let name = file.strip_prefix(&root).unwrap().with_extension("").to_string_lossy().into_owned();
        let root = root.clone();
        Trial::test(name, move || example(&root, &file).map_err(Failed::from))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

fn example(root: &Path, file: &Path) -> Result<(), String> {
    let temp = tempfile::tempdir().map_err(|e| e.to_string())?;
    let junit = temp.path().join("junit.xml");
    let head = String::from_utf8_lossy(&std::fs::read(file).map_err(|e| e.to_string())?).lines().next().unwrap_or_default().to_owned();
    let extra: Vec<&str> = head.strip_prefix("# args: ").map(|a| a.split_whitespace().collect()).unwrap_or_default();
    let mut command = common::roadworthy();
    let output = command
        .current_dir(root)
        .arg("run")
        .arg(file.strip_prefix(root).unwrap())
        .args(["--test-threads", "1", "--color", "never", "--out"])
        .arg(temp.path())
        .arg("--junit")
        .arg(&junit)
        .args(extra)
        .output()
        .map_err(|e| e.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let seen =
        format!("exit: {}\n--- stdout\n{}--- stderr\n{}", output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr));
    let seen = steady(&seen, temp.path());
    let mut differences = compare(&file.with_extension("out"), Some(&seen))?;
    let xml = std::fs::read_to_string(&junit).ok().map(|xml| steady(&xml, temp.path()));
    differences.push_str(&compare(&file.with_extension("junit.xml"), xml.as_deref())?);
    // The key must be nowhere, whatever the example is about; the journal included.
    let mut everything = seen + &xml.unwrap_or_default();
    for entry in std::fs::read_dir(temp.path()).map_err(|e| e.to_string())?.flatten() {
        everything.push_str(&std::fs::read_to_string(entry.path()).unwrap_or_default());
    }
    if everything.contains("sk-canary-0123456789") {
        differences.push_str("the key of the service shows in an output\n");
    }
    if differences.is_empty() { Ok(()) } else { Err(differences) }
}

/// What differs between runs is replaced; what depends on the machine's speed is left out.
fn steady(text: &str, temp: &Path) -> String {
    let text = text.replace(&temp.display().to_string(), "[out]");
    let rules = [
        (r"(?m)^(latency|ttft|ttfo|ttfb|tpot|e2e|max_gap) +\d*.*\n", ""),
        (r"(?m)^latency .*\n", ""),
        (r"(?m)^slowest: .*\n", ""),
        (r"(?m)^record: .*\n", ""),
        (r"127\.0\.0\.1:\d{4,5}", "127.0.0.1:[port]"),
        (r"\b\d+(\.\d+)? (ms|s)\b", "[time]"),
        (r"finished in \d+\.\d+s", "finished in [time]"),
        (r#" time="[\d.]+""#, r#" time="[time]""#),
        (r#" timestamp="[^"]+""#, r#" timestamp="[now]""#),
        (r#" uuid="[^"]+""#, ""),
    ];
    rules.iter().fold(text, |text, (pattern, to)| Regex::new(pattern).unwrap().replace_all(&text, *to).into_owned())
}

fn compare(path: &PathBuf, seen: Option<&str>) -> Result<String, String> {
    if std::env::var_os("UPDATE").is_some() {
        match seen {
            Some(text) => std::fs::write(path, text).map_err(|e| e.to_string())?,
            None => drop(std::fs::remove_file(path)),
        }
        return Ok(String::new());
    }
    let expected = std::fs::read_to_string(path).ok();
    if expected.as_deref() == seen {
        return Ok(String::new());
    }
    let (expected, seen) = (expected.unwrap_or_default(), seen.unwrap_or_default());
    let diff = similar::TextDiff::from_lines(expected.as_str(), seen);
    Ok(format!("{}\n{}\n", path.display(), diff.unified_diff().header("expected", "seen")))
}
