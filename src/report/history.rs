//! A page over many runs: how verdicts and times of each case, and the figures of each load, went from run to run.

use super::html::assemble;
use crate::record::{CaseRecord, RunRecord, Verdict};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Renders the page. Records in any order; `releases` names runs that a release was approved at.
pub fn render(records: &[RunRecord], releases: &BTreeMap<String, String>) -> String {
    let mut sorted: Vec<&RunRecord> = records.iter().collect();
    sorted.sort_by(|a, b| (&a.header.started_at, &a.header.run_id).cmp(&(&b.header.started_at, &b.header.run_id)));
    let runs: Vec<Value> = sorted.iter().map(|r| run(r, releases)).collect();
    let mut cases: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (place, record) in sorted.iter().enumerate() {
        for case in record.judged() {
            cases.entry(&case.id).or_default().push(point(place, case));
        }
    }
    let cases: Vec<Value> = cases.into_iter().map(|(id, points)| json!({"id": id, "points": points})).collect();
    let data = json!({"runs": runs, "cases": cases}).to_string();
    let noscript = format!("<noscript><p>{} runs. The history is shown by a script.</p></noscript>", sorted.len());
    assemble(
        include_str!("html/history.html"),
        concat!(include_str!("html/small.js"), include_str!("html/history.js")),
        include_str!("html/history.json"),
        &data,
        &noscript,
    )
}

fn run(record: &RunRecord, releases: &BTreeMap<String, String>) -> Value {
    let header = &record.header;
    let counts: Map<String, Value> =
        Verdict::ALL.iter().rev().filter(|v| record.count(**v) > 0).map(|v| (v.word().to_owned(), json!(record.count(*v)))).collect();
    let model = record.judged().next().and_then(|c| header.targets.get(&c.target)).and_then(|t| t.model.clone());
    json!({
        "id": header.run_id,
        "at": header.started_at,
        "commit": header.labels.get("commit"),
        "model": model,
        "release": releases.get(&header.run_id),
        "counts": counts,
    })
}

/// One case in one run: its verdict, and medians of its complete answers in milliseconds.
fn point(place: usize, case: &CaseRecord) -> Value {
    let mut out = Map::new();
    out.insert("r".into(), json!(place));
    out.insert("v".into(), json!(case.verdict.word()));
    let median = |get: &dyn Fn(&crate::exchange::Exchange) -> Option<std::time::Duration>| {
        let mut all: Vec<f64> = case.exchanges().filter(|e| e.failure.is_none()).filter_map(get).map(|d| d.as_secs_f64() * 1e3).collect();
        all.sort_by(f64::total_cmp);
        let middle = all.len() / 2;
        all.get(middle).copied()
    };
    let mut put = |name: &str, value: Option<f64>| {
        if let Some(value) = value.filter(|v| v.is_finite()) {
            out.insert(name.into(), json!((value * 1e3).round() / 1e3));
        }
    };
    put("e2e", median(&|e| e.timing.e2e));
    put("ttft", median(&|e| e.timing.ttft));
    if let Some(load) = &case.load {
        if let Some(level) = crate::load::judge::measured(load) {
            put("e2e", level.figures.e2e.as_ref().map(|d| d.p50));
            put("ttft", level.figures.ttft.as_ref().map(|d| d.p50));
            put("rps", Some(level.figures.rps_ok));
        }
        put("found", load.found.as_ref().and_then(|f| f.last_stable));
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RunHeader;

    #[test]
    fn runs_stand_in_order_and_names_are_inert() {
        let record = |id: &str, at: &str| RunRecord {
            header: RunHeader { run_id: id.into(), started_at: at.into(), ..RunHeader::default() },
            cases: vec![CaseRecord { id: "</script><script>alert(1)</script>".into(), verdict: Verdict::Pass, ..CaseRecord::default() }],
            end: None,
        };
        let page = render(
            &[record("b", "2026-02-01T00:00:00Z"), record("a", "2026-01-01T00:00:00Z")],
            &BTreeMap::from([("a".into(), "v1".into())]),
        );
        assert!(!page.contains("<script>alert"));
        assert!(page.find("2026-01-01").unwrap() < page.find("2026-02-01").unwrap());
        assert!(page.contains("\"release\":\"v1\""));
    }

    #[test]
    fn every_word_is_in_both_languages() {
        let words: Value = serde_json::from_str(include_str!("html/history.json")).unwrap();
        let both = |v: &Value| v.as_array().is_some_and(|a| a.len() == 2 && a.iter().all(|w| w.as_str().is_some_and(|w| !w.is_empty())));
        assert!(words.as_object().unwrap().values().all(both));
        let used = regex::Regex::new(r#"\bt\("([a-z_0-9]+)""#).unwrap();
        for found in used.captures_iter(concat!(include_str!("html/small.js"), include_str!("html/history.js"))) {
            assert!(words.get(&found[1]).is_some(), "{}", &found[1]);
        }
    }
}
