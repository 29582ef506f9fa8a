//! What GitHub and GitLab read beside JUnit: annotations, outputs, code quality, metrics, CTRF.

use super::latency;
use crate::record::{CaseRecord, RunRecord, Verdict};
use crate::redact::{excerpt, harmless};
use serde_json::{Value, json};

/// GitHub shows ten annotations of a kind for each step and drops the rest silently.
const MAX_ANNOTATIONS: usize = 10;

fn bad(record: &RunRecord) -> Vec<&CaseRecord> {
    let mut bad: Vec<&CaseRecord> = record.judged().filter(|c| record.fails(c)).collect();
    bad.sort_by_key(|c| std::cmp::Reverse(c.verdict));
    bad
}

/// Workflow commands, one a line. The tenth tells how many are left out.
pub fn annotations(record: &RunRecord) -> String {
    let data = |t: &str| harmless(t).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |t: &str| data(t).replace(':', "%3A").replace(',', "%2C");
    let bad = bad(record);
    let mut out = String::new();
    for (i, case) in bad.iter().enumerate() {
        if i + 1 == MAX_ANNOTATIONS && bad.len() > MAX_ANNOTATIONS {
            out.push_str(&format!("::error title=roadworthy::and {} more; the summary has them all\n", bad.len() - i));
            break;
        }
        let title = property(&format!("{} {}", case.verdict.word(), case.id));
        let message = data(&excerpt(&case.why, 1000));
        out.push_str(&format!("::error file={},line={},title={title}::{message}\n", property(&case.file), case.line));
    }
    out
}

/// The one word for a run, worst first. What the run's policy fails for is a failure.
pub fn verdict(record: &RunRecord) -> &'static str {
    let worst = record.judged().map(|c| c.verdict).max();
    if matches!(worst, Some(Verdict::Flaky | Verdict::Inconclusive)) && record.judged().any(|c| record.fails(c)) {
        return Verdict::Fail.word();
    }
    record.judged().map(|c| c.verdict).max().map_or("nothing-ran", Verdict::word)
}

/// `KEY=value` lines for `GITHUB_OUTPUT` and dotenv reports: the verdict and counts, never a text of others.
pub fn dotenv(record: &RunRecord, prefix: &str) -> String {
    let mut out = format!("{prefix}VERDICT={}\n", verdict(record));
    for verdict in Verdict::ALL {
        out.push_str(&format!("{prefix}{}={}\n", verdict.word().to_uppercase(), record.count(verdict)));
    }
    out
}

/// GitLab's code quality report. Fingerprints do not change with values, so a fixed case disappears.
pub fn code_quality(record: &RunRecord) -> String {
    let issues: Vec<Value> = bad(record)
        .into_iter()
        .map(|case| {
            json!({
                "description": excerpt(&harmless(&format!("{}: {}", case.id, case.why)), 500),
                "check_name": format!("roadworthy-{}", case.verdict.word()),
                "fingerprint": crate::units::fingerprint(&[case.id.as_str(), case.verdict.word()]),
                "severity": if case.verdict == Verdict::Fail { "major" } else { "minor" },
                "location": {"path": case.file, "lines": {"begin": case.line.max(1)}},
            })
        })
        .collect();
    serde_json::to_string_pretty(&issues).unwrap_or_default() + "\n"
}

/// OpenMetrics text that GitLab's simpler reader takes, too.
pub fn metrics(record: &RunRecord) -> String {
    let mut out = String::new();
    for verdict in Verdict::ALL {
        out.push_str(&format!("llm_cases{{verdict=\"{}\"}} {}\n", verdict.word(), record.count(verdict)));
    }
    for row in latency::rows(record) {
        for (name, value) in [("mean", row.mean), ("p50", row.p50), ("p90", row.p90), ("p95", row.p95), ("p99", row.p99)] {
            out.push_str(&format!("llm_{}_seconds{{statistic=\"{name}\"}} {:.4}\n", row.metric, value.as_secs_f64()));
        }
    }
    out + "# EOF\n"
}

/// Common Test Report Format.
pub fn ctrf(record: &RunRecord) -> String {
    let status = |case: &CaseRecord| match (case.skipped.is_some(), case.verdict) {
        (true, _) => "skipped",
        _ if record.fails(case) => "failed",
        (_, Verdict::Inconclusive) => "other",
        _ => "passed",
    };
    let tests: Vec<Value> = record
        .cases
        .iter()
        .map(|case| {
            let mut test = json!({
                "name": harmless(&case.id), "status": status(case), "duration": (case.took.as_secs_f64() * 1e3).round() as u64,
                "rawStatus": case.verdict.word(), "filePath": case.file, "line": case.line, "tags": case.tags,
                "flaky": case.verdict == Verdict::Flaky, "retries": case.attempts.len().saturating_sub(1),
            });
            if !case.why.is_empty() {
                test["message"] = json!(harmless(&case.why));
                test["trace"] = json!(super::terminal::case(case));
            }
            test
        })
        .collect();
    let count = |wanted: &str| record.cases.iter().filter(|c| status(c) == wanted).count();
    let start = record.header.started_at.parse::<jiff::Timestamp>().map_or(0, |t| t.as_millisecond());
    let took = record.end.as_ref().map_or(0, |e| e.took.as_millis() as i64);
    let report = json!({
        "reportFormat": "CTRF", "specVersion": "0.0.0",
        "results": {
            "tool": {"name": "roadworthy", "version": record.header.version},
            "summary": {"tests": record.cases.len(), "passed": count("passed"), "failed": count("failed"), "pending": 0,
                "skipped": count("skipped"), "other": count("other"), "start": start, "stop": start + took},
            "tests": tests,
        },
    });
    serde_json::to_string_pretty(&report).unwrap_or_default() + "\n"
}
