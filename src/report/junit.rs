//! JUnit XML for GitLab, GitHub actions and Jenkins. One failure or error per case, whose first body line repeats the message;
//! names without seeds or times; characters that XML forbids are shown, not dropped.

use super::terminal;
use crate::finding::Outcome;
use crate::record::{CaseRecord, RunRecord, Verdict};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};
use std::collections::BTreeMap;

/// Bytes of evidence kept per case.
const MAX_BODY: usize = 64 << 10;

/// Renders the record. Suites are scenario files, in the order of their names.
/// `attachment` is a file that GitLab shows with each case that did not pass.
pub fn render(record: &RunRecord, attachment: Option<&str>) -> Result<String, String> {
    let mut report = Report::new("roadworthy");
    let timestamp = record.header.started_at.parse::<jiff::Timestamp>().ok();
    let mut suites: BTreeMap<&str, Vec<&CaseRecord>> = BTreeMap::new();
    for case in &record.cases {
        suites.entry(case.file.as_str()).or_default().push(case);
    }
    for (file, cases) in suites {
        let name = cases.first().map_or(file, |c| c.id.split("::").next().unwrap_or(file));
        let mut suite = TestSuite::new(visible(name));
        let took: std::time::Duration = cases.iter().map(|c| c.took).sum();
        suite.set_time(took);
        if let Some(at) = timestamp {
            suite.extra.insert("timestamp".into(), at.to_string().into());
        }
        for case in cases {
            suite.add_test_case(test_case(case, attachment));
        }
        report.add_test_suite(suite);
    }
    report.to_string().map_err(|e| e.to_string())
}

fn test_case(case: &CaseRecord, attachment: Option<&str>) -> TestCase {
    let mut out = TestCase::new(visible(case.id.split_once("::").map_or(case.id.as_str(), |(_, name)| name)), status(case));
    out.set_classname(visible(case.id.split("::").next().unwrap_or_default()));
    out.set_time(case.took);
    out.extra.insert("file".into(), case.file.as_str().into());
    out.extra.insert("line".into(), case.line.to_string().as_str().into());
    out.add_property(Property::new("verdict", case.verdict.word()));
    // Failures and errors carry their evidence in their body; what shows as passed has no other place for it.
    let mut text = String::new();
    if case.skipped.is_none() && matches!(case.verdict, Verdict::Flaky | Verdict::Inconclusive) {
        text = body(case);
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

fn status(case: &CaseRecord) -> TestCaseStatus {
    if let Some(why) = &case.skipped {
        let mut status = TestCaseStatus::skipped();
        status.set_message(visible(why));
        return status;
    }
    match case.verdict {
        Verdict::Pass | Verdict::Inconclusive => TestCaseStatus::success(),
        Verdict::Flaky => {
            let mut status = TestCaseStatus::success();
            for attempt in &case.attempts[..case.attempts.len().saturating_sub(1)] {
                let finding = attempt.findings().find(|f| f.outcome != Outcome::Met);
                let mut rerun = TestRerun::new(NonSuccessKind::Failure);
                rerun.set_message(visible(finding.map_or("missed", |f| &f.why)));
                rerun.set_type(finding.map_or("content", |f| f.topic.word()));
                rerun.set_description(visible(&finding.map(|f| f.evidence.join("\n")).unwrap_or_default()));
                status.add_rerun(rerun);
            }
            status
        }
        verdict => {
            let kind = if verdict == Verdict::Fail { NonSuccessKind::Failure } else { NonSuccessKind::Error };
            let mut status = TestCaseStatus::non_success(kind);
            let topic = case.findings().find(|f| f.outcome != Outcome::Met).map_or("config", |f| f.topic.word());
            status.set_type(topic);
            let why = visible(&case.why);
            status.set_message(&why);
            status.set_description(format!("{why}\n{}", body(case)));
            status
        }
    }
}

fn body(case: &CaseRecord) -> String {
    let mut text = visible(&terminal::case(case));
    if text.len() > MAX_BODY {
        let mut end = MAX_BODY;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let cut = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("\n… {cut} bytes cut, the record holds them"));
    }
    text
}

/// Shows what XML 1.0 forbids.
fn visible(text: &str) -> String {
    crate::redact::harmless(text)
}
