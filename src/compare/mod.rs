//! Compares what two services, or two versions of one, answered to the same cases: the prompt fingerprint of a service. Pure.

pub mod beside;
pub mod drift;

use crate::exchange::Exchange;
use crate::expect::key_facts::Facts;
use crate::record::{CaseRecord, RunRecord, Verdict};
use crate::redact::excerpt;
use serde::Serialize;
use std::collections::BTreeMap;

/// What changed.
#[derive(Debug, Clone, Default)]
pub struct Compared {
    /// Cases that both records hold.
    pub both: usize,
    /// Cases whose facts, fields, behaviour or verdict differ.
    pub facts: usize,
    /// Cases whose texts differ in any way.
    pub texts: usize,
    /// For people, one block for each case that differs.
    pub text: String,
    /// The cases that differ in any way.
    pub cases: Vec<Changed>,
}

/// One case with two answers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Changed {
    pub id: String,
    pub verdicts: [Verdict; 2],
    /// What changed in facts, fields, behaviour and verdict; empty when only the wording did.
    pub changes: Vec<String>,
    pub answers: [String; 2],
    /// Times of the whole answers, in milliseconds.
    pub e2e_ms: [Option<f64>; 2],
}

/// What changed between two answers, one line for each kind of fact.
fn changes(x: &Exchange, y: &Exchange) -> Vec<String> {
    Facts::of(x).changes(&Facts::of(y))
}

fn last(case: &CaseRecord) -> Option<&Exchange> {
    case.exchanges().last()
}

/// Compares case by case, by id; A is the reference.
pub fn compare(a: &RunRecord, b: &RunRecord) -> Compared {
    let mut out = Compared::default();
    let mut ratio: Vec<f64> = Vec::new();
    let mut only = Vec::new();
    let mut others: BTreeMap<&str, &CaseRecord> = b.judged().map(|c| (c.id.as_str(), c)).collect();
    for case in a.judged() {
        let Some(other) = others.remove(case.id.as_str()) else {
            only.push(format!("only in A: {}", case.id));
            continue;
        };
        out.both += 1;
        let (Some(x), Some(y)) = (last(case), last(other)) else { continue };
        if let (Some(p), Some(q)) = (x.timing.e2e, y.timing.e2e)
            && !p.is_zero()
        {
            ratio.push(q.as_secs_f64() / p.as_secs_f64());
        }
        let mut lines = Vec::new();
        if case.fingerprint != other.fingerprint {
            lines.push("the prompt or its parameters differ, so the answers need not agree".to_owned());
        }
        if case.verdict != other.verdict {
            lines.push(format!("verdict: {} → {}", case.verdict.word(), other.verdict.word()));
        }
        lines.extend(changes(x, y));
        let differs = x.answer.trim() != y.answer.trim();
        out.facts += usize::from(!lines.is_empty());
        out.texts += usize::from(differs);
        if differs || !lines.is_empty() {
            let ms = |e: &Exchange| e.timing.e2e.map(|d| d.as_secs_f64() * 1e3);
            out.cases.push(Changed {
                id: case.id.clone(),
                verdicts: [case.verdict, other.verdict],
                changes: lines.clone(),
                answers: [x.answer.clone(), y.answer.clone()],
                e2e_ms: [ms(x), ms(y)],
            });
        }
        if !lines.is_empty() {
            out.text.push_str(&format!("{}\n", case.id));
            lines.iter().for_each(|l| out.text.push_str(&format!("  {}\n", excerpt(l, 400))));
            if differs {
                out.text.push_str(&format!("  A: \"{}\"\n  B: \"{}\"\n", excerpt(&x.answer, 160), excerpt(&y.answer, 160)));
            }
        }
    }
    only.extend(others.into_keys().map(|id| format!("only in B: {id}")));
    only.iter().for_each(|line| out.text.push_str(&format!("{line}\n")));
    let pace = match ratio.is_empty() {
        true => String::new(),
        false => {
            let mean = (ratio.iter().map(|r| r.ln()).sum::<f64>() / ratio.len() as f64).exp();
            format!("; B takes {mean:.2} × the time of A (e2e, geometric mean of {})", ratio.len())
        }
    };
    out.text.push_str(&format!(
        "{} cases in both: {} with other facts, {} with another wording only{pace}\n",
        out.both,
        out.facts,
        out.texts.saturating_sub(out.facts)
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(answer: &str) -> RunRecord {
        let case = serde_json::from_value(serde_json::json!({
            "id": "a::b", "scenario": "a", "name": "b", "file": "a.yaml", "line": 1, "layer": "scenario", "tags": [], "target": "default",
            "fingerprint": "f", "verdict": "pass", "why": "", "took_ms": 1.0,
            "attempts": [{"trials": [{"verdict": "pass", "turns": [{"exchange": {"url": "", "request": null, "answer": answer,
                "timing": {"queued_ms": 0.0, "e2e_ms": 2.0}}, "findings": []}]}]}]
        }))
        .unwrap();
        RunRecord { cases: vec![case], ..RunRecord::default() }
    }

    #[test]
    fn another_wording_is_not_another_fact() {
        let same = compare(&case("保修期为24个月。"), &case("您享有 24 个月的保修。"));
        assert_eq!((same.both, same.facts, same.texts), (1, 0, 1));
        let other = compare(&case("保修期为24个月。"), &case("保修期为12个月。"));
        assert_eq!(other.facts, 1);
        assert!(other.text.contains("numbers: -24 +12"), "{}", other.text);
        let fields = compare(&case(r#"{"type":"bug","n":1}"#), &case(r#"{"type":"idea","n":1}"#));
        assert!(fields.text.contains(r#"fields: -$.type = "bug" +$.type = "idea""#), "{}", fields.text);
        let refuses = compare(&case("好的，步骤如下"), &case("抱歉，我不能提供。"));
        assert!(refuses.text.contains("behaviour: +refuses"), "{}", refuses.text);
    }
}
