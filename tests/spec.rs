//! Specification by example: every `tests/spec/**/*.yaml` is run by the real binary, and what people see, the JUnit file and the
//! exit code are compared with what stands beside it. `UPDATE=1 cargo test --test spec` rewrites them; read the diff.
//!
//! Comments at the top of an example steer it: `# args: …` adds flags, `# command: …` is called instead of `run`, and `# signal: INT`
//! interrupts the run once a case has finished.

mod common;

use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec");
    let mut files = Vec::new();
    for dir in ["expect", "misuse", "traps", "input", "transport", "verdict", "output"] {
        let entries = std::fs::read_dir(root.join(dir)).expect("the folder of examples");
        files.extend(entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|x| x == "yaml")));
    }
    files.sort();
    let plain = plain_server().expect("a port on loopback");
    let trials = files.into_iter().map(|file| {
        let name = file.strip_prefix(&root).unwrap().with_extension("").to_string_lossy().into_owned();
        let root = root.clone();
        Trial::test(name, move || example(&root, &file, plain).map_err(Failed::from))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

/// A server that speaks no TLS, for those who ask it for TLS.
fn plain_server() -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
        }
    });
    Ok(port)
}

/// Sends the signal once one case has finished and the next has begun.
fn interrupt(child: &Child, signal: &str, out: &Path) -> Result<(), String> {
    let finished = || {
        let mut journals = std::fs::read_dir(out).into_iter().flatten().flatten().filter_map(|e| std::fs::read_to_string(e.path()).ok());
        journals.any(|text| text.contains("case_finished") && text.matches("case_started").count() > 1)
    };
    let start = Instant::now();
    while !finished() {
        if start.elapsed() > Duration::from_secs(20) {
            return Err("no case finished within 20 s".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().map_err(|e| e.to_string())?;
    if sent.success() { Ok(()) } else { Err(format!("`kill -s {signal}` failed")) }
}

fn example(root: &Path, file: &Path, plain: u16) -> Result<(), String> {
    let temp = tempfile::tempdir().map_err(|e| e.to_string())?;
    let junit = temp.path().join("junit.xml");
    let written = String::from_utf8_lossy(&std::fs::read(file).map_err(|e| e.to_string())?).into_owned();
    let head: Vec<&str> = written.lines().take_while(|line| line.starts_with('#')).collect();
    let said = |what: &str| head.iter().find_map(|line| line.strip_prefix("# ")?.strip_prefix(what)?.strip_prefix(": "));
    let words = |what: &str| said(what).map(|words| words.split_whitespace().collect::<Vec<_>>());
    let mut command = common::roadworthy();
    command.current_dir(root).env("SPEC_PLAIN_PORT", plain.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match words("command") {
        Some(words) => command.args(words),
        None => {
            let mut args = words("args").unwrap_or_default();
            if !args.contains(&"--test-threads") {
                args.extend(["--test-threads", "1"]);
            }
            let file = file.strip_prefix(root).unwrap();
            command.arg("run").arg(file).args(["--color", "never", "--out"]).arg(temp.path()).arg("--junit").arg(&junit).args(args)
        }
    };
    let child = command.spawn().map_err(|e| e.to_string())?;
    let interrupted = said("signal").map_or(Ok(()), |signal| interrupt(&child, signal, temp.path()));
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    interrupted?;
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
        (r"--port \d+", "--port [port]"),
        (r"\b\d+(\.\d+)? (ms|s)\b", "[time]"),
        (r"finished in \d+\.\d+s", "finished in [time]"),
        (r"not run to its end, \d+ of", "not run to its end, [some] of"),
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
