//! Expectations about all trials of a case together: do they agree, how many fail, how much do they vary.

use super::distance::{Rouge, rouge, words};
use super::{Check, Expectation, Of, Said, json, text};
use crate::exchange::Exchange;
use crate::finding::{Finding, Topic};
use crate::record::{Fetched, Trial};
use crate::units::fingerprint;
use std::collections::BTreeMap;
use std::time::Duration;

/// What `consistency` asks of the answers of all trials.
#[derive(Debug, Clone, Default)]
pub struct Consistency {
    /// Share of the answers that are the same as the most frequent one.
    pub exact: Option<f64>,
    /// Mean over all pairs of ROUGE-L, 0 to 1.
    pub overlap: Option<f64>,
    /// Mean over all pairs of the cosine of sentence vectors.
    pub similarity: Option<f64>,
    /// Facts with their aliases, and the share of the answers that must hold them all.
    pub facts: Option<(Vec<Vec<String>>, f64)>,
}

/// A figure whose spread `variation` limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    Ttft,
    Tpot,
    E2e,
    Length,
    Tokens,
}

impl Figure {
    pub const ALL: [Figure; 5] = [Figure::Ttft, Figure::Tpot, Figure::E2e, Figure::Length, Figure::Tokens];

    pub fn word(self) -> &'static str {
        match self {
            Figure::Ttft => "ttft",
            Figure::Tpot => "tpot",
            Figure::E2e => "e2e",
            Figure::Length => "length",
            Figure::Tokens => "tokens",
        }
    }

    fn of(self, exchange: &Exchange) -> Option<f64> {
        let ms = |d: Option<Duration>| d.map(|d| d.as_secs_f64() * 1e3);
        match self {
            Figure::Ttft => ms(exchange.timing.ttft),
            Figure::Tpot => ms(exchange.timing.tpot),
            Figure::E2e => ms(exchange.timing.e2e),
            Figure::Length => Some(exchange.answer.chars().count() as f64),
            Figure::Tokens => exchange.usage.map(|u| u.completion_tokens as f64),
        }
    }
}

/// Pairs beyond this many are not compared: answers are thinned evenly.
const MAX_ANSWERS: usize = 60;

/// True when the check, or a part of it, is about all trials together.
pub fn is_group(check: &Check) -> bool {
    match check {
        Check::Consistency(_) | Check::ErrorRate { .. } | Check::Variation(_) => true,
        Check::Latency { history, .. } => !history.is_empty(),
        _ => false,
    }
}

/// True when the check, or a part of it, is about each trial.
pub fn is_single(check: &Check) -> bool {
    match check {
        Check::Latency { max, .. } => !max.is_empty(),
        check => !is_group(check),
    }
}

/// Texts whose mean similarity a group expectation needs; the key under which it looks for it.
pub fn needs(expectation: &Expectation, trials: &[Trial]) -> Option<(String, Vec<String>)> {
    match &expectation.check {
        Check::Consistency(Consistency { similarity: Some(_), .. }) => {
            let texts = thinned(answers(expectation, trials).ok()?);
            (texts.len() > 1).then(|| (fingerprint(&texts), texts))
        }
        _ => None,
    }
}

/// Judges a group expectation over all trials of an attempt.
pub fn judge(expectation: &Expectation, trials: &[Trial], fetched: &[Fetched]) -> Finding {
    let said = match &expectation.check {
        Check::Consistency(wanted) => match answers(expectation, trials) {
            Ok(answers) if answers.len() < 2 => {
                Said::unsure(Topic::Content, format!("{} complete answer, and agreement needs two", answers.len()))
            }
            Ok(answers) => consistency(wanted, answers, fetched),
            Err(why) => Said::content(false, why),
        },
        Check::ErrorRate { max } => error_rate(trials, *max),
        Check::Variation(limits) => variation(trials, limits),
        _ => Said::cannot("not an expectation about a group"),
    };
    super::finding(expectation, said)
}

/// The last exchange of every trial.
fn last(trial: &Trial) -> Option<&Exchange> {
    trial.turns.last().map(|t| &t.exchange)
}

/// What is compared: the complete answers, or the values at a path of them.
fn answers(expectation: &Expectation, trials: &[Trial]) -> Result<Vec<String>, String> {
    let complete = trials.iter().filter_map(last).filter(|e| e.failure.is_none());
    complete
        .map(|exchange| match &expectation.of {
            Of::Json(path) => json::text_at(&exchange.answer, path).map_err(|said| said.why),
            Of::Reasoning => Ok(exchange.reasoning.clone()),
            _ => Ok(exchange.answer.clone()),
        })
        .collect()
}

fn thinned(texts: Vec<String>) -> Vec<String> {
    let n = texts.len();
    if n <= MAX_ANSWERS {
        return texts;
    }
    (0..MAX_ANSWERS).map(|i| texts[i * n / MAX_ANSWERS].clone()).collect()
}

fn consistency(wanted: &Consistency, answers: Vec<String>, fetched: &[Fetched]) -> Said {
    let n = answers.len();
    let mut parts: Vec<(bool, String)> = Vec::new();
    let mut evidence = Vec::new();
    if let Some(min) = wanted.exact {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for answer in &answers {
            *counts.entry(text::nfc(answer).split_whitespace().collect::<Vec<_>>().join(" ")).or_default() += 1;
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let share = counts[0].1 as f64 / n as f64;
        parts.push((
            share + 1e-9 >= min,
            format!("{} of {n} answers are the same ({}, expected {})", counts[0].1, percent(share), percent(min)),
        ));
        for (text, count) in counts.iter().take(4).filter(|_| counts.len() > 1) {
            evidence.push(format!("{count} ×: \"{}\"", crate::redact::excerpt(text, 120)));
        }
    }
    if let Some(min) = wanted.overlap {
        let lists: Vec<Vec<String>> = thinned(answers.clone()).iter().map(|a| words(a)).collect();
        let pairs = lists.iter().enumerate().flat_map(|(i, a)| lists[i + 1..].iter().map(move |b| rouge(a, b, Rouge::L)));
        let (sum, pairs) = pairs.fold((0.0, 0usize), |(sum, k), r| (sum + r, k + 1));
        let mean = sum / pairs.max(1) as f64;
        parts.push((mean + 1e-9 >= min, format!("mean ROUGE-L of {pairs} pairs {mean:.3}, expected {min}")));
    }
    if let Some((facts, min)) = &wanted.facts {
        let good = answers.iter().filter(|a| text::facts(a, facts, 1.0).outcome == crate::finding::Outcome::Met).count();
        let share = good as f64 / n as f64;
        parts.push((
            share + 1e-9 >= *min,
            format!("{good} of {n} answers hold every fact ({}, expected {})", percent(share), percent(*min)),
        ));
        if let Some(bad) = answers.iter().find(|a| text::facts(a, facts, 1.0).outcome != crate::finding::Outcome::Met) {
            evidence.push(format!("{}: \"{}\"", text::facts(bad, facts, 1.0).why, crate::redact::excerpt(bad, 120)));
        }
    }
    if let Some(min) = wanted.similarity {
        match super::meaning::similarity(&fingerprint(&thinned(answers)), fetched) {
            Ok((cosine, encoder, _)) => {
                parts.push((cosine + 1e-9 >= min, format!("mean similarity of all pairs {cosine:.3} ({encoder}), expected {min}")));
            }
            Err(why) => return Said::cannot(why),
        }
    }
    let met = parts.iter().all(|(met, _)| *met);
    let told: Vec<String> = parts.into_iter().filter(|(ok, _)| met || !ok).map(|(_, why)| why).collect();
    Said {
        outcome: Said::content(met, "").outcome,
        topic: Topic::Content,
        why: told.join("; "),
        evidence: if met { Vec::new() } else { evidence },
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn error_rate(trials: &[Trial], max: f64) -> Said {
    let failures: Vec<&crate::exchange::Failure> =
        trials.iter().flat_map(|t| &t.turns).filter_map(|t| t.exchange.failure.as_ref()).collect();
    let n: usize = trials.iter().map(|t| t.turns.len()).sum();
    let share = failures.len() as f64 / n.max(1) as f64;
    let mut said = Said::when(
        n > 0 && share <= max + 1e-9,
        Topic::Transport,
        format!("{} of {n} requests failed ({}), expected at most {}", failures.len(), percent(share), percent(max)),
    );
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for failure in failures {
        *kinds.entry(format!("{}: {}", failure.kind.name(), crate::redact::excerpt(&failure.message, 100))).or_default() += 1;
    }
    for (kind, count) in kinds.into_iter().take(5) {
        said = said.evidence(format!("{count} × {kind}"));
    }
    said
}

/// Standard deviation ÷ mean within each input; the worst input counts.
fn variation(trials: &[Trial], limits: &[(Figure, f64)]) -> Said {
    let mut parts = Vec::new();
    for (figure, max) in limits {
        let mut inputs: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for trial in trials {
            let value = last(trial).filter(|e| e.failure.is_none()).and_then(|e| figure.of(e));
            inputs.entry(trial.variant.as_deref().unwrap_or_default()).or_default().extend(value);
        }
        let spread = |values: &Vec<f64>| {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
            if mean > 0.0 { variance.sqrt() / mean } else { 0.0 }
        };
        let worst =
            inputs.iter().filter(|(_, v)| v.len() > 1).map(|(name, v)| (spread(v), *name, v.len())).max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((worst, name, n)) = worst else {
            return Said::unsure(Topic::Threshold, format!("{} was measured less than twice; write `repeat: 10` or more", figure.word()));
        };
        let which = if name.is_empty() { String::new() } else { format!(" of `{name}`") };
        parts.push((
            worst <= max + 1e-9,
            format!("variation of {}{which} {} (n {n}), expected at most {}", figure.word(), percent(worst), percent(*max)),
        ));
    }
    let met = parts.iter().all(|(met, _)| *met);
    let told: Vec<String> = parts.into_iter().filter(|(ok, _)| met || !ok).map(|(_, why)| why).collect();
    Said::when(met, Topic::Threshold, told.join("; "))
}
