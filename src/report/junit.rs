//! JUnit XML for GitLab, GitHub actions and Jenkins. One failure or error per case, whose first body line repeats the message;
//! names without seeds or times; characters that XML forbids are shown, not dropped.

use super::terminal;
use crate::finding::{Outcome, Topic};
use crate::record::{CaseRecord, RunRecord, Verdict};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};
use std::collections::BTreeMap;

/// Bytes of evidence kept per case.
const MAX_BODY: usize = 64 << 10;

/// Bytes of evidence kept per file: GitLab reads no report above 30 MB, and some characters grow when they are escaped.
const MAX_TEXT: usize = 20 << 20;

/// Renders the record. Suites are scenario files, in the order of their names.
/// `attachment` is a file that GitLab shows with each case that did not pass.
pub fn render(record: &RunRecord, attachment: Option<&str>) -> Result<String, String> {
    let mut report = Report::new("roadworthy");
    let timestamp = record.header.started_at.parse::<jiff::Timestamp>().ok();
    let mut room = MAX_TEXT;
    // By the ids' first part: what was cut off does not know its file.
    let mut suites: BTreeMap<&str, Vec<&CaseRecord>> = BTreeMap::new();
    for case in &record.cases {
        suites.entry(case.id.split("::").next().unwrap_or_default()).or_default().push(case);
    }
    for (name, cases) in suites {
        let mut suite = TestSuite::new(visible(name));
        let took: std::time::Duration = cases.iter().map(|c| c.took).sum();
        suite.set_time(took);
        if let Some(at) = timestamp {
            suite.extra.insert("timestamp".into(), at.to_string().into());
        }
        for case in cases {
            suite.add_test_case(test_case(case, record.fails(case), attachment, &mut room));
        }
        report.add_test_suite(suite);
    }
    report.to_string().map_err(|e| e.to_string())
}

fn test_case(case: &CaseRecord, fails: bool, attachment: Option<&str>, room: &mut usize) -> TestCase {
    let mut out = TestCase::new(visible(case.id.split_once("::").map_or(case.id.as_str(), |(_, name)| name)), status(case, fails, room));
    out.set_classname(visible(case.id.split("::").next().unwrap_or_default()));
    out.set_time(case.took);
    if !case.file.is_empty() {
        out.extra.insert("file".into(), case.file.as_str().into());
        out.extra.insert("line".into(), case.line.to_string().as_str().into());
    }
    out.add_property(Property::new("verdict", if case.skipped.is_some() { "skipped" } else { case.verdict.word() }));
    let sent_again: usize = case.exchanges().map(|e| e.transport_retries.len()).sum();
    if sent_again > 0 {
        out.add_property(Property::new("transport_retries", sent_again.to_string()));
    }
    // Failures and errors carry their evidence in their body; what shows as passed has no other place for it.
    let mut text = String::new();
    if case.skipped.is_none() && !fails && case.verdict != Verdict::Pass {
        text = body(case, room);
    }
    if let Some(file) = attachment.filter(|_| case.skipped.is_none() && case.verdict != Verdict::Pass) {
        // What a model wrote must not name a file first.
        text = format!("[[ATTACHMENT|{file}]]\n{text}");
    }
    if !text.is_empty() {
        out.set_system_out(text);
    }
    out
}

fn status(case: &CaseRecord, fails: bool, room: &mut usize) -> TestCaseStatus {
    if let Some(why) = &case.skipped {
        let mut status = TestCaseStatus::skipped();
        status.set_message(visible(why));
        return status;
    }
    let earlier = |status: &mut TestCaseStatus, room: &mut usize| {
        for attempt in &case.attempts[..case.attempts.len().saturating_sub(1)] {
            let finding = attempt.findings().find(|f| f.outcome != Outcome::Met);
            let mut rerun = TestRerun::new(NonSuccessKind::Failure);
            rerun.set_message(visible(finding.map_or("missed", |f| &f.why)));
            rerun.set_type(finding.map_or("content", |f| f.topic.word()));
            rerun.set_description(fitted(visible(&finding.map(|f| f.evidence.join("\n")).unwrap_or_default()), room));
            status.add_rerun(rerun);
        }
    };
    match case.verdict {
        Verdict::Flaky if !fails => {
            let mut status = TestCaseStatus::success();
            earlier(&mut status, room);
            status
        }
        _ if !fails => TestCaseStatus::success(),
        verdict => {
            let kind = if verdict == Verdict::Error { NonSuccessKind::Error } else { NonSuccessKind::Failure };
            let mut status = TestCaseStatus::non_success(kind);
            // Without a finding either the service was not there, or nothing was asked of it.
            let otherwise = match verdict {
                Verdict::Error if !case.is_cut_off() => Topic::Transport,
                Verdict::Fail | Verdict::Inconclusive if case.rate.is_some() => Topic::Threshold,
                _ => Topic::Internal,
            };
            let all = || case.attempts.iter().flat_map(crate::record::Attempt::findings);
            let missed = case.findings().chain(all()).find(|f| f.outcome != Outcome::Met);
            let topic = missed.map_or(otherwise, |f| f.topic);
            status.set_type(topic.word());
            let why = visible(&case.why);
            status.set_message(&why);
            status.set_description(format!("{why}\n{}", body(case, room)));
            if verdict == Verdict::Flaky {
                earlier(&mut status, room);
            }
            status
        }
    }
}

fn body(case: &CaseRecord, room: &mut usize) -> String {
    fitted(visible(&terminal::case(case)), room)
}

/// The text as far as one case may go and the file has room.
fn fitted(mut text: String, room: &mut usize) -> String {
    let most = MAX_BODY.min(*room);
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let cut = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("\n… {cut} bytes cut, the record holds them"));
    }
    *room -= text.len().min(*room);
    text
}

/// Shows what XML 1.0 forbids.
fn visible(text: &str) -> String {
    crate::redact::harmless(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_evidence_is_cut_and_says_so() {
        let mut room = 100_000;
        let first = fitted("好".repeat(30_000), &mut room);
        assert!(first.len() < MAX_BODY + 60 && first.ends_with("bytes cut, the record holds them"), "{}", first.len());
        let second = fitted("x".repeat(60_000), &mut room);
        assert!(second.starts_with("xxx") && second.len() < 40_000, "{}", second.len());
        assert_eq!(fitted("x".repeat(10), &mut room), "\n… 10 bytes cut, the record holds them");
    }
}
