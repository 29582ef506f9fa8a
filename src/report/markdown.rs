//! A summary for merge requests and GitHub's step summary: what failed, why, with what evidence, and how to see it again.

use super::latency;
use crate::finding::Outcome;
use crate::record::{CaseRecord, RunRecord, Verdict};
use crate::redact::{excerpt, harmless};
use crate::units::show;

/// GitHub drops a summary over 1024 KiB as a whole.
const MAX: usize = 900 << 10;

/// Renders the record. `evidence` is where the whole report lies, if it is published.
pub fn render(record: &RunRecord, evidence: Option<&str>) -> String {
    let counts: Vec<String> = Verdict::ALL
        .iter()
        .rev()
        .filter(|v| record.count(**v) > 0)
        .map(|v| format!("{} {} {}", mark(*v), record.count(*v), v.word()))
        .collect();
    let mut out = format!("## roadworthy: {}\n\n", if counts.is_empty() { "nothing ran".into() } else { counts.join(" · ") });
    for line in super::judged_services(record) {
        out.push_str(&format!("{}\n\n", text(&line)));
    }
    if let Some(crash) = record.cases.iter().find(|c| c.why.starts_with("service crashed")) {
        out.push_str(&format!("**The service crashed during {}.**\n\n", code(&crash.id)));
    }
    let mut bad: Vec<&CaseRecord> = record.judged().filter(|c| c.verdict != Verdict::Pass).collect();
    bad.sort_by_key(|c| std::cmp::Reverse(c.verdict));
    for (i, case) in bad.iter().enumerate() {
        let section = self::case(case, evidence);
        if out.len() + section.len() > MAX {
            out.push_str(&format!("\n… and {} more cases; the whole report has them.\n", bad.len() - i));
            break;
        }
        out.push_str(&section);
    }
    let rows = latency::rows(record);
    if !rows.is_empty() && out.len() < MAX {
        out.push_str("\n| latency | n | mean | p50 | p90 | p95 | p99 | max |\n|---|---|---|---|---|---|---|---|\n");
        for r in rows {
            let cells = [r.mean, r.p50, r.p90, r.p95, r.p99, r.max].map(show).join(" | ");
            out.push_str(&format!("| {} | {} | {cells} |\n", r.metric, r.n));
        }
    }
    out.push_str(&format!("\nrun `{}` of roadworthy {}", record.header.run_id, record.header.version));
    if let Some(end) = &record.end {
        out.push_str(&format!(", {}", show(end.took)));
    } else {
        out.push_str(", cut off");
    }
    for (key, value) in &record.header.labels {
        out.push_str(&format!(" · {} {}", text(key), code(value)));
    }
    out.push('\n');
    out
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Flaky => "🟡",
        Verdict::Inconclusive => "⚪",
        Verdict::Error => "🟣",
        Verdict::Fail => "❌",
    }
}

fn case(case: &CaseRecord, evidence: Option<&str>) -> String {
    let mut out = format!("### {} {}: {}\n\n{}\n\n", mark(case.verdict), case.verdict.word(), code(&case.id), text(&case.why));
    out.push_str(&format!("at {}\n", code(&format!("{}:{}", case.file, case.line))));
    let attempts = case.attempts.len();
    if attempts > 1 {
        out.push_str(&format!("\n{attempts} attempts\n"));
    }
    if let Some(rate) = &case.rate {
        out.push_str(&format!("\n{} of {} trials pass: {}\n", rate.passed, rate.trials, text(&rate.rule)));
    } else if let Some(last) = case.attempts.last().filter(|a| a.trials.len() > 1) {
        let passed = last.trials.iter().filter(|t| t.verdict == Verdict::Pass).count();
        out.push_str(&format!("\n{passed} of {} trials pass\n", last.trials.len()));
    }
    let findings: Vec<_> = case.attempts.iter().flat_map(|a| a.findings()).filter(|f| f.outcome != Outcome::Met).collect();
    for finding in findings.iter().take(5) {
        out.push_str(&format!("\n- **{}** {}\n", text(&finding.expectation), text(&finding.why)));
        for line in finding.evidence.iter().take(5) {
            out.push_str(&format!("  - {}\n", code(&excerpt(line, 400))));
        }
    }
    if findings.len() > 5 {
        out.push_str(&format!("\n… and {} more findings\n", findings.len() - 5));
    }
    // The suite as a whole has no prompt of its own: only all its cases together say it again.
    let again = if case.is_suite() {
        "roadworthy run".to_owned()
    } else if case.load.is_some() {
        case.reproduce.clone()
    } else {
        format!("roadworthy run {} --exact -k {}", quoted(&case.file), quoted(&case.id))
    };
    if !again.is_empty() {
        out.push_str(&format!("\nAgain: {}\n", code(&again)));
    }
    if !case.reproduce.is_empty() && case.load.is_none() {
        out.push_str(&format!("\n<details><summary>request</summary>\n\n{}\n\n</details>\n", block(&case.reproduce)));
    }
    if let Some(link) = evidence {
        out.push_str(&format!("\n[evidence]({link}#case={})\n", encoded(&case.id)));
    }
    out.push('\n');
    out
}

fn quoted(id: &str) -> String {
    format!("'{}'", id.replace('\'', "'\\''"))
}

/// Percent-encoded, so that no character ends the link.
fn encoded(id: &str) -> String {
    id.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Text of others inside Markdown: one line, no markup, no mention, no link.
fn text(raw: &str) -> String {
    let mut out = String::new();
    // Addresses become links by themselves, unless something stands in them.
    let raw = harmless(raw).replace('\n', "⏎").replace("://", ":\u{2060}//").replace("www.", "www\u{2060}.");
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // A word joiner keeps `@name` and `#1` from becoming a mention or a reference.
            '@' | '#' => {
                out.push(c);
                out.push('\u{2060}');
            }
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// The longest run of backticks.
fn ticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Text of others as code on one line.
fn code(raw: &str) -> String {
    let raw = excerpt(&harmless(raw).replace(['\n', '\r'], "⏎"), 1000);
    let fence = "`".repeat(ticks(&raw) + 1);
    format!("{fence} {raw} {fence}")
}

fn block(raw: &str) -> String {
    let raw = harmless(raw);
    let fence = "`".repeat(ticks(&raw).max(2) + 1);
    format!("{fence}sh\n{raw}\n{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_stays_text() {
        assert_eq!(text("<b>@you #1 [x](y)\n`c`"), "&lt;b&gt;@\u{2060}you #\u{2060}1 \\[x\\](y)⏎\\`c\\`");
        assert_eq!(code("a``b"), "``` a``b ```");
        assert_eq!(encoded("a::b (1)"), "a%3A%3Ab%20%281%29");
    }
}
