//! What an answer commits itself to, whatever its wording; and what is kept of a run's answers for the runs after it.

use super::{find_numbers, identifiers, refusal};
use crate::exchange::Exchange;
use crate::record::centroid::Centroid;
use crate::record::{Fetched, Trial};
use crate::redact::excerpt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Facts of one kind that are kept, at most.
const MOST: usize = 64;

/// Key facts of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub numbers: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub identifiers: BTreeSet<String>,
    /// Fields of a JSON answer with their values.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub fields: BTreeSet<String>,
    /// Refusal, tool calls, an unusual end, a failure.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub behaviour: BTreeSet<String>,
}

impl Facts {
    pub fn of(exchange: &Exchange) -> Facts {
        let text = &exchange.answer;
        let json = serde_json::from_str::<Value>(text).ok().filter(|v| v.is_object() || v.is_array());
        let mut fields = BTreeSet::new();
        if let Some(value) = &json {
            flatten("$", value, &mut fields);
        }
        let mut behaviour = BTreeSet::new();
        if refusal(text).is_some() {
            behaviour.insert("refuses".to_owned());
        }
        behaviour.extend(exchange.tool_calls.iter().map(|c| format!("calls {}", c.name)));
        behaviour.extend(exchange.finish_reason.iter().filter(|r| *r != "stop").map(|r| format!("ends by {r}")));
        behaviour.extend(exchange.failure.iter().map(|f| format!("fails with {}", f.kind.name())));
        let plain = json.is_none();
        Facts {
            numbers: find_numbers(text).into_iter().filter(|_| plain).map(|n| n.value.to_string()).collect(),
            // A number is one however it is written; what is only digits is told as such.
            identifiers: identifiers(text).into_iter().filter(|word| plain && word.parse::<f64>().is_err()).collect(),
            fields,
            behaviour,
        }
    }

    /// What most of several answers hold.
    fn of_most(answers: &[Exchange]) -> Facts {
        let each: Vec<Facts> = answers.iter().map(Facts::of).collect();
        let most = |of: fn(&Facts) -> &BTreeSet<String>| {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            each.iter().flat_map(of).for_each(|fact| *counts.entry(fact).or_default() += 1);
            counts.into_iter().filter(|(_, n)| n * 2 > each.len()).map(|(fact, _)| excerpt(fact, 120)).take(MOST).collect()
        };
        Facts {
            numbers: most(|f| &f.numbers),
            identifiers: most(|f| &f.identifiers),
            fields: most(|f| &f.fields),
            behaviour: most(|f| &f.behaviour),
        }
    }

    /// What another answer has instead, one line for each kind of fact.
    pub fn changes(&self, other: &Facts) -> Vec<String> {
        let mut lines = Vec::new();
        for (what, f, g) in [
            ("numbers", &self.numbers, &other.numbers),
            ("identifiers", &self.identifiers, &other.identifiers),
            ("fields", &self.fields, &other.fields),
            ("behaviour", &self.behaviour, &other.behaviour),
        ] {
            let gone: Vec<&str> = f.difference(g).map(String::as_str).collect();
            let new: Vec<&str> = g.difference(f).map(String::as_str).collect();
            if !gone.is_empty() || !new.is_empty() {
                let part = |sign: char, list: &[&str]| list.iter().map(|t| format!("{sign}{t}")).collect::<Vec<_>>().join(" ");
                lines.push(format!("{what}: {}", [part('-', &gone), part('+', &new)].join(" ").trim()));
            }
        }
        lines
    }
}

fn flatten(path: &str, value: &Value, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| flatten(&format!("{path}.{k}"), v, out)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| flatten(&format!("{path}[{i}]"), v, out)),
        leaf => {
            out.insert(format!("{path} = {}", excerpt(&leaf.to_string(), 80)));
        }
    }
}

/// What is kept of the answers of a case in one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spoken {
    /// Complete answers.
    pub n: u64,
    /// Hash of the most frequent answer, white space and composition of characters apart; and how many were that.
    pub answer: String,
    pub same: u64,
    /// Facts that more than half of them hold.
    pub facts: Facts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub centroid: Option<Centroid>,
}

impl Spoken {
    /// `None` without a complete answer. Personal data counts by its kind only, as records keep it: an answer must look the same today
    /// and in the record it is compared with.
    pub fn of<'a>(trials: impl IntoIterator<Item = &'a Trial>, fetched: &[Fetched]) -> Option<Spoken> {
        let last = trials.into_iter().filter_map(|t| t.turns.last()).map(|t| &t.exchange);
        let answers: Vec<Exchange> = last
            .filter(|e| e.failure.is_none())
            .map(|e| {
                let mut kept = e.clone();
                kept.mask_personal();
                kept
            })
            .collect();
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        answers.iter().for_each(|e| *counts.entry(plain(&e.answer)).or_default() += 1);
        let (text, same) = counts.into_iter().rev().max_by_key(|(_, n)| *n)?;
        let centroid = fetched.iter().find_map(|f| match f {
            Fetched::Centroid { centroid, .. } => Some(centroid.clone()),
            _ => None,
        });
        let answer = crate::units::fingerprint(&[text]);
        Some(Spoken { n: answers.len() as u64, answer, same, facts: Facts::of_most(&answers), centroid })
    }
}

/// An answer without what two writings of the same words may differ in.
pub fn plain(answer: &str) -> String {
    super::text::nfc(answer).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Turn;

    fn trial(answer: &str) -> Trial {
        let exchange = Exchange { answer: answer.into(), ..Exchange::default() };
        let turns = vec![Turn { exchange, findings: Vec::new(), fetched: Vec::new() }];
        Trial { seed: None, variant: None, verdict: crate::record::Verdict::Pass, turns }
    }

    #[test]
    fn what_most_answers_say_is_kept() {
        let trials = ["保修 24 个月", "保修  24 个月", "保修 12 个月"].map(trial);
        let spoken = Spoken::of(&trials, &[]).unwrap();
        assert_eq!((spoken.n, spoken.same), (3, 2));
        assert_eq!(spoken.facts.numbers.iter().collect::<Vec<_>>(), ["24"]);
        let other = Spoken::of(&[trial("保修 12 个月")], &[]).unwrap();
        assert_eq!(spoken.facts.changes(&other.facts), ["numbers: -24 +12"]);
        assert!(Spoken::of(&[], &[]).is_none());
    }
}
