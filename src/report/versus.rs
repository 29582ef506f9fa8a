//! A page that puts two sides beside each other: what changed case by case, and which figures of the answers have moved.

use super::html::assemble;
use crate::compare::drift::Moved;
use crate::compare::{Changed, Compared};
use crate::record::RunRecord;
use crate::redact::harmless;
use serde_json::{Value, json};

/// Renders the page. `compared` is about two runs, `moved` about all answers of both sides; either may be absent.
pub fn render(sides: [&[RunRecord]; 2], compared: Option<&Compared>, moved: &[Moved]) -> String {
    let side = |records: &[RunRecord]| {
        let runs: Vec<Value> =
            records.iter().map(|r| json!({"id": r.header.run_id, "at": r.header.started_at, "labels": r.header.labels})).collect();
        json!(runs)
    };
    let data = json!({
        "sides": sides.map(side),
        "both": compared.map(|c| c.both),
        "cases": compared.map(|c| c.cases.iter().map(shown).collect::<Vec<Value>>()),
        "moved": moved,
    });
    let drifted = moved.iter().filter(|m| m.drifted).count();
    let changed = compared.map_or(0, |c| c.facts);
    let noscript = format!(
        "<noscript><p>{changed} cases with other facts, {drifted} figures that moved. The details are shown by a script.</p></noscript>"
    );
    assemble(
        include_str!("html/versus.html"),
        concat!(include_str!("html/small.js"), include_str!("html/versus.js")),
        include_str!("html/versus.json"),
        &data.to_string(),
        &noscript,
    )
}

/// A case as it may be shown: hidden characters of an answer become visible.
fn shown(case: &Changed) -> Value {
    json!({
        "id": harmless(&case.id),
        "verdicts": case.verdicts,
        "changes": case.changes.iter().map(|line| harmless(line)).collect::<Vec<_>>(),
        "answers": case.answers.each_ref().map(|text| harmless(text)),
        "e2e_ms": case.e2e_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_inert() {
        let text = "</script><script>alert(1)</script>";
        let changed = crate::compare::Changed { id: text.into(), answers: [text.into(), text.into()], ..Default::default() };
        let compared = Compared { both: 1, cases: vec![changed], ..Compared::default() };
        let page = render([&[RunRecord::default()], &[RunRecord::default()]], Some(&compared), &[]);
        assert!(!page.contains("<script>alert"));
    }

    #[test]
    fn every_word_is_in_both_languages() {
        let words: Value = serde_json::from_str(include_str!("html/versus.json")).unwrap();
        let both = |v: &Value| v.as_array().is_some_and(|a| a.len() == 2 && a.iter().all(|w| w.as_str().is_some_and(|w| !w.is_empty())));
        assert!(words.as_object().unwrap().values().all(both));
        let used = regex::Regex::new(r#"\bt\("([a-z_0-9]+)""#).unwrap();
        let page = [include_str!("html/small.js"), include_str!("html/versus.js"), include_str!("html/versus.html")].concat();
        for found in used.captures_iter(&page) {
            assert!(words.get(&found[1]).is_some(), "{}", &found[1]);
        }
        let marked = regex::Regex::new(r#"data-t="([a-z_0-9]+)""#).unwrap();
        for found in marked.captures_iter(&page) {
            assert!(words.get(&found[1]).is_some(), "{}", &found[1]);
        }
    }
}
