//! What a person reads in a terminal or a CI log. Text that a model wrote is made harmless before it is shown.

use super::latency;
use crate::finding::{Finding, Outcome};
use crate::record::{CaseRecord, RunRecord, Trial, Verdict};
use crate::redact::harmless;
use crate::units::show;

/// How the text looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    pub color: bool,
    /// Show the evidence of every case that did not pass; off when the test harness has shown it already.
    pub evidence: bool,
    /// Tell every conversation, those of passing cases included.
    pub transcript: bool,
}

fn paint(text: &str, code: &str, style: Style) -> String {
    if style.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

fn word(verdict: Verdict, style: Style) -> String {
    let code = match verdict {
        Verdict::Pass => "32",
        Verdict::Flaky | Verdict::Inconclusive => "33",
        Verdict::Error => "35",
        Verdict::Fail => "31",
    };
    paint(verdict.word(), code, style)
}

/// The evidence of one case: the line that stands alone, then each attempt's misses, then how to send the request again.
pub fn case(case: &CaseRecord) -> String {
    let label = match case.verdict {
        Verdict::Fail => "failed",
        Verdict::Error => "error",
        other => other.word(),
    };
    let mut out = format!("{label}: {} — {}\n", case.id, case.why);
    if !case.file.is_empty() {
        out.push_str(&format!("  at {}:{}\n", case.file, case.line));
    }
    let many = case.attempts.len() > 1;
    for (i, attempt) in case.attempts.iter().enumerate() {
        if many {
            out.push_str(&format!("  attempt {} of {}: {}\n", i + 1, case.attempts.len(), attempt.verdict().word()));
        }
        for finding in attempt.group.iter().filter(|f| f.outcome != Outcome::Met) {
            out.push_str(&self::finding(finding, &case.file, ""));
        }
        let shown = attempt.trials.iter().enumerate().filter(|(_, t)| t.verdict != Verdict::Pass);
        let total = attempt.trials.len();
        for (n, (j, trial)) in shown.enumerate() {
            if n == 3 {
                let rest = attempt.trials.iter().filter(|t| t.verdict != Verdict::Pass).count() - 3;
                if rest > 0 {
                    out.push_str(&format!("  … and {rest} more trials that did not pass\n"));
                }
                break;
            }
            if total > 1 {
                let seed = trial.seed.map(|s| format!(", seed {s}")).unwrap_or_default();
                let variant = trial.variant.as_ref().map(|v| format!(", {v}")).unwrap_or_default();
                out.push_str(&format!("  trial {} of {total}{variant}{seed}: {}\n", j + 1, trial.verdict.word()));
            }
            let turns = trial.turns.len();
            for (k, turn) in trial.turns.iter().enumerate() {
                for finding in turn.findings.iter().filter(|f| f.outcome != Outcome::Met) {
                    let place = if turns > 1 { format!(" (turn {})", k + 1) } else { String::new() };
                    out.push_str(&self::finding(finding, &case.file, &place));
                }
                for alike in turn.exchange.transport_retries.chunk_by(|a, b| a.reason == b.reason && a.waited == b.waited) {
                    let times = if alike.len() > 1 { format!(" ({} times)", alike.len()) } else { String::new() };
                    out.push_str(&format!("    sent again after {}: {}{times}\n", show(alike[0].waited), alike[0].reason));
                }
            }
        }
    }
    if !case.reproduce.is_empty() {
        out.push_str(&format!("  again: {}\n", case.reproduce));
    }
    harmless(&out)
}

/// What all cases together came to, met or not.
fn suite(case: &CaseRecord) -> String {
    let why = if case.why.is_empty() { String::new() } else { format!(" — {}", case.why) };
    let mut out = format!("{}: {}{why}\n", case.verdict.word(), case.id);
    case.findings().for_each(|f| out.push_str(&finding(f, &case.file, "")));
    harmless(&format!("{out}\n"))
}

pub(super) fn finding(finding: &Finding, file: &str, place: &str) -> String {
    let mark = match finding.outcome {
        Outcome::Met => "✓",
        Outcome::Missed => "✗",
        Outcome::Unjudgeable => "!",
        _ => "?",
    };
    let at = if finding.line > 0 { format!("  [{file}:{}]", finding.line) } else { String::new() };
    let mut out = format!("    {mark} {}: {}{place}{at}\n", finding.expectation, finding.why);
    for line in &finding.evidence {
        out.push_str(&format!("      {line}\n"));
    }
    out
}

/// The summary of a run.
pub fn summary(record: &RunRecord, style: Style) -> String {
    let mut out = String::new();
    if let Some(crash) = record.cases.iter().find(|c| c.why.starts_with("service crashed")) {
        out.push_str(&paint(&format!("The service crashed during `{}`.\n", crash.id), "1;31", style));
    }
    for (case, load) in super::load::loads(record) {
        out.push_str(&super::load::summary(case, load, style));
        out.push('\n');
    }
    if style.transcript {
        for case in record.judged().filter(|c| !c.attempts.is_empty() && c.load.is_none() && !c.is_suite()) {
            out.push_str(&super::transcript::case(case));
            out.push('\n');
        }
    }
    if style.evidence {
        for case in record.judged().filter(|c| matches!(c.verdict, Verdict::Fail | Verdict::Error | Verdict::Inconclusive)) {
            out.push_str(&self::case(case));
            out.push('\n');
        }
    }
    let flaky: Vec<&CaseRecord> = record.judged().filter(|c| c.verdict == Verdict::Flaky).collect();
    if !flaky.is_empty() {
        out.push_str("flaky:\n");
        for case in flaky {
            for line in self::case(case).lines() {
                out.push_str(&format!("  {line}\n"));
            }
        }
        out.push('\n');
    }
    let thin: Vec<&CaseRecord> = record.judged().filter(|c| c.verdict == Verdict::Inconclusive).collect();
    if !thin.is_empty() && !style.evidence {
        out.push_str("inconclusive:\n");
        for case in thin {
            out.push_str(&harmless(&format!("  {} — {}\n", case.id, case.why)));
        }
        out.push('\n');
    }
    out.push_str(&harmless(&repeats(record)));
    let retried: usize = record.judged().flat_map(|c| c.exchanges()).map(|e| e.transport_retries.len()).sum();
    let rows = latency::rows(record);
    if !rows.is_empty() {
        out.push_str(&format!(
            "{:<8} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
            "latency", "n", "mean", "p50", "p90", "p95", "p99", "max"
        ));
        for r in rows {
            let cells = [r.mean, r.p50, r.p90, r.p95, r.p99, r.max].map(|d| format!("{:>9}", show(d))).join(" ");
            out.push_str(&format!("{:<8} {:>6} {cells}\n", r.metric, r.n));
        }
        out.push('\n');
    }
    let (mut prompt, mut cached) = (0, 0);
    for usage in record.cases.iter().flat_map(|c| c.exchanges()).filter_map(|e| e.usage) {
        // The counts are the service's own, and may be anything.
        (prompt, cached) =
            (u64::saturating_add(prompt, usage.prompt_tokens), u64::saturating_add(cached, usage.cached_tokens.unwrap_or(0)));
    }
    if cached > 0 {
        let share = cached as f64 / prompt.max(1) as f64 * 100.0;
        out.push_str(&format!(
            "{cached} of {prompt} prompt tokens ({share:.0} %) came from the service's prefix cache; `prefix_cache: cold` avoids it\n\n"
        ));
    }
    for case in record.judged().filter(|c| c.is_suite()) {
        out.push_str(&suite(case));
    }
    let mut slow: Vec<&CaseRecord> = record.judged().filter(|c| !c.attempts.is_empty()).collect();
    slow.sort_by_key(|c| std::cmp::Reverse(c.took));
    if slow.len() > 3 {
        let names: Vec<String> = slow.iter().take(3).map(|c| format!("{} {}", c.id, show(c.took))).collect();
        out.push_str(&harmless(&format!("slowest: {}\n", names.join(" · "))));
    }
    let cut_off: Vec<&str> = record.judged().filter(|c| c.is_cut_off()).map(|c| c.id.as_str()).collect();
    if !cut_off.is_empty() {
        let more = if cut_off.len() > NAMED { format!(" and {} more", cut_off.len() - NAMED) } else { String::new() };
        let named = cut_off[..cut_off.len().min(NAMED)].join(" · ");
        out.push_str(&harmless(&format!("under way at the end, so without a verdict: {named}{more}\n")));
    }
    for line in super::judged_services(record) {
        out.push_str(&harmless(&format!("{line}\n")));
    }
    out.push_str(&totals(record, style));
    if retried > 0 {
        out.push_str(&format!("{} sent again before any answer had begun\n", plural(retried, "request")));
    }
    out
}

/// Cases named in one line, at most.
const NAMED: usize = 8;

/// How often repeated cases pass, and the chances that follow: all of k trials, or one of k.
fn repeats(record: &RunRecord) -> String {
    // A request that failed is no pass, also where `error_rate` counts it.
    let good = |t: &Trial| t.verdict == Verdict::Pass && t.turns.iter().all(|turn| turn.exchange.failure.is_none());
    let mut out = String::new();
    for case in record.judged() {
        let Some(attempt) = case.attempts.last().filter(|a| a.trials.len() > 1) else { continue };
        let (n, passed) = (attempt.trials.len() as u64, attempt.trials.iter().filter(|t| good(t)).count() as u64);
        let k = n.min(5);
        out.push_str(&format!(
            "  {}  {passed} of {n} trials pass; pass^{k} {:.1} %, pass@{k} {:.1} %\n",
            case.id,
            100.0 * all_of(passed, n, k),
            100.0 * (1.0 - all_of(n - passed, n, k))
        ));
    }
    if out.is_empty() { out } else { format!("repeats:\n{out}\n") }
}

/// C(c, k) ÷ C(n, k): the chance that k trials drawn from n are all among c.
fn all_of(c: u64, n: u64, k: u64) -> f64 {
    (0..k).map(|i| c.saturating_sub(i) as f64 / (n - i) as f64).product()
}

fn plural(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

fn totals(record: &RunRecord, style: Style) -> String {
    let judged = record.judged().count();
    let counts: Vec<String> =
        Verdict::ALL.into_iter().filter(|v| record.count(*v) > 0).map(|v| format!("{} {}", record.count(v), word(v, style))).collect();
    let mut line =
        format!("{} judged: {}", plural(judged, "case"), if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") });
    let skipped = record.cases.len() - judged;
    if skipped > 0 {
        line.push_str(&format!("; {skipped} skipped"));
    }
    if let Some(end) = &record.end {
        if end.filtered_out > 0 {
            line.push_str(&format!("; {} filtered out", end.filtered_out));
        }
        line.push_str(&format!("; {}", show(end.took)));
        if let Some(why) = &end.stopped {
            line.push_str(&format!("; stopped early: {why}"));
        }
    } else {
        line.push_str("; the run was cut off");
    }
    if let Some(planned) = record.header.planned.filter(|n| *n > record.cases.len() as u64) {
        line.push_str(&format!(", {} of {planned} cases had not begun", planned - record.cases.len() as u64));
    }
    line.push('\n');
    line
}
