//! Every report writer takes what a hostile model says, and each output is read back by a strict reader of its format.

use roadworthy::record::{CaseRecord, RunRecord};
use roadworthy::report::{Format, Publish, ci, terminal};
use serde_json::{Value, json};
use std::path::Path;

/// The labelled hostile texts, repeated where the line says so.
fn hostile() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hostile.jsonl");
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let times = line["times"].as_u64().unwrap_or(1) as usize;
            (line["id"].as_str().unwrap().to_owned(), line["text"].as_str().unwrap().repeat(times))
        })
        .collect()
}

/// A failed case that says the text everywhere a model's words can come.
fn case(id: &str, text: &str) -> CaseRecord {
    serde_json::from_value(json!({
        "id": format!("hostile::{id}"), "scenario": "hostile", "name": id, "file": "hostile.yaml", "line": 3, "layer": "scenario", "tags": [],
        "target": "default", "fingerprint": "f", "verdict": "fail", "why": format!("said {text}"), "took_ms": 1.5,
        "attempts": [{"trials": [{"verdict": "fail", "variant": text, "turns": [{
            "exchange": {"url": "http://127.0.0.1/", "request": {"messages": [{"role": "user", "content": text}]}, "status": 200, "answer": text,
                "reasoning": text, "finish_reason": text, "headers": [["x-said", text]], "timing": {"queued_ms": 0.0, "e2e_ms": 1.0}},
            "findings": [{"expectation": "contains", "line": 4, "outcome": "missed", "topic": "content", "why": text, "evidence": [text]}]
        }]}]}],
        "reproduce": format!("curl -d '{}'", text.replace('\'', "'\\''"))
    }))
    .unwrap()
}

fn record(cases: Vec<CaseRecord>) -> RunRecord {
    let mut record = RunRecord { cases, ..RunRecord::default() };
    record.header.run_id = "r".into();
    record.header.started_at = "2026-01-01T00:00:00.000Z".into();
    record
}

fn linked() -> Publish {
    Publish { link: Some("https://ci.example/run".into()), attachment: Some("reports/page.html".into()), language: None }
}

/// Characters that act on a terminal, a CI log or a reader's eyes.
fn acts(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[test]
fn nothing_hostile_acts_in_text_outputs() {
    for (id, text) in hostile() {
        let record = record(vec![case(&id, &text)]);
        let outputs = [
            terminal::summary(&record, terminal::Style { color: false, evidence: true, transcript: false }),
            Format::Markdown.render(&record, &linked()).unwrap(),
            ci::annotations(&record),
            Format::Metrics.render(&record, &Publish::default()).unwrap(),
            Format::Dotenv.render(&record, &Publish::default()).unwrap(),
        ];
        for (n, out) in outputs.iter().enumerate() {
            assert!(!out.contains(acts), "{id}: output {n} holds {:?}", out.chars().find(|c| acts(*c)));
            // Workflow commands only where we give them ourselves.
            for line in out.lines().filter(|_| n != 2) {
                assert!(!line.trim_start().starts_with("::") && !line.contains("##["), "{id}: {line}");
            }
        }
        let lines: Vec<&str> = outputs[2].lines().collect();
        assert!(lines.iter().all(|l| l.starts_with("::error ")) && lines.len() == 1, "{id}: {lines:?}");
        assert!(outputs[1].len() < 1024 << 10, "{id}: {} bytes of summary", outputs[1].len());
    }
}

#[test]
fn structured_outputs_are_read_back_by_strict_readers() {
    for (id, text) in hostile() {
        let record = record(vec![case(&id, &text)]);
        let xml = Format::Junit.render(&record, &linked()).unwrap();
        assert_eq!(xml.matches("[[ATTACHMENT|").count(), 1, "{id}");
        assert!(xml.contains("[[ATTACHMENT|reports/page.html]]"), "{id}");
        let mut reader = quick_xml::Reader::from_str(&xml);
        reader.config_mut().check_end_names = true;
        let mut cases = 0;
        loop {
            match reader.read_event().unwrap_or_else(|e| panic!("{id}: {e}")) {
                quick_xml::events::Event::Eof => break,
                quick_xml::events::Event::Start(tag) if tag.name().as_ref() == b"testcase" => cases += 1,
                _ => {}
            }
        }
        assert_eq!(cases, 1, "{id}");
        let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        assert!(xml.chars().all(allowed), "{id}: a character XML forbids");
        let back: RunRecord = serde_json::from_str(&Format::Json.render(&record, &Publish::default()).unwrap()).unwrap();
        assert_eq!(back.cases[0].exchanges().next().unwrap().answer, text, "{id}: the record keeps what was said");
        for format in [Format::Ctrf, Format::CodeQuality] {
            let _: Value = serde_json::from_str(&format.render(&record, &Publish::default()).unwrap()).unwrap();
        }
        let page = Format::Html.render(&record, &Publish::default()).unwrap();
        let data = page.split("id=\"record\">").nth(1).unwrap().split("</script>").next().unwrap();
        let back: RunRecord = serde_json::from_str(data).unwrap();
        assert_eq!(back.cases[0].exchanges().next().unwrap().answer, text, "{id}");
    }
}

#[test]
fn annotations_stop_at_ten_and_say_so() {
    let record = record((0..30).map(|i| case(&i.to_string(), "x")).collect());
    let out = ci::annotations(&record);
    assert_eq!(out.lines().count(), 10);
    assert!(out.lines().last().unwrap().contains("and 21 more"), "{out}");
    assert_eq!(ci::verdict(&record), "fail");
}

#[test]
fn the_summary_alone_tells_each_failure() {
    let summary = Format::Markdown.render(&record(vec![case("a b", "您好")]), &linked()).unwrap();
    for piece in [
        "❌ fail",
        "hostile::a b",
        "hostile.yaml:3",
        "**contains** 您好",
        "--exact -k 'hostile::a b'",
        "curl -d",
        "https://ci.example/run#case=hostile%3A%3Aa%20b",
    ] {
        assert!(summary.contains(piece), "no `{piece}` in {summary}");
    }
}
