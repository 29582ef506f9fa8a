//! Expectations about all trials of a case together: do they agree, how many fail, how much do they vary.

use super::distance::{Rouge, rouge, words};
use super::key_facts::{Facts, Spoken, plain};
use super::meaning::{Need, key};
use super::{Check, Expectation, Of, Said, json, text};
use crate::exchange::Exchange;
use crate::finding::{Finding, Topic};
use crate::record::{Attempt, Fetched, Trial};
use std::collections::BTreeMap;
use std::time::Duration;

/// Whose answers should agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Over {
    /// Those of all trials: repeats and variants.
    #[default]
    Trials,
    /// Those of this service and of the one it is compared with.
    Targets,
    /// Those of this run and of earlier ones.
    History,
}

/// What `consistency` asks of the answers.
#[derive(Debug, Clone, Default)]
pub struct Consistency {
    pub over: Over,
    /// Share of the answers that are the same as the most frequent one.
    pub exact: Option<f64>,
    /// Mean over all pairs of ROUGE-L, 0 to 1.
    pub overlap: Option<f64>,
    /// Mean over all pairs of the cosine of sentence vectors.
    pub similarity: Option<f64>,
    /// Share of the answers whose key facts are those of the most frequent answer.
    pub same_facts: Option<f64>,
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

/// What a group expectation needs of a model.
pub fn needs(expectation: &Expectation, attempt: &Attempt) -> Option<Need> {
    let Check::Consistency(wanted @ Consistency { similarity: Some(_), .. }) = &expectation.check else { return None };
    let texts = thinned(answers(expectation, asked(wanted, attempt)).ok()?);
    match wanted.over {
        Over::History => (!texts.is_empty()).then(|| Need::Centroid { key: centroid_key(&texts), texts }),
        _ => (texts.len() > 1).then(|| Need::Similarity { key: key(&texts), texts }),
    }
}

fn centroid_key(texts: &[String]) -> String {
    format!("centroid {}", key(texts))
}

/// The trials that are looked at.
fn asked<'a>(wanted: &Consistency, attempt: &'a Attempt) -> impl Iterator<Item = &'a Trial> + Clone + use<'a> {
    let others = if wanted.over == Over::Targets { attempt.beside.as_slice() } else { &[] };
    attempt.trials.iter().chain(others)
}

/// Judges a group expectation over all trials of an attempt; `past` is what earlier runs said.
pub fn judge(expectation: &Expectation, attempt: &Attempt, past: Option<&[Spoken]>) -> Finding {
    let (trials, fetched) = (&attempt.trials, &attempt.fetched);
    let said = match &expectation.check {
        Check::Consistency(wanted) if wanted.over == Over::History => over_history(wanted, expectation, attempt, past.unwrap_or_default()),
        Check::Consistency(wanted) if wanted.over == Over::Targets && attempt.beside.is_empty() => {
            Said::unsure(Topic::Content, "there is no other service to agree with; run with `--compare-with NAME` or an address")
        }
        Check::Consistency(wanted) => match answers(expectation, asked(wanted, attempt)) {
            Ok(answers) if answers.len() < 2 => {
                Said::unsure(Topic::Content, format!("{} complete answer, and agreement needs two", answers.len()))
            }
            Ok(answers) => consistency(wanted, answers, &exchanges(asked(wanted, attempt)), fetched),
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

/// The last exchanges of the trials that were answered in full.
fn exchanges<'a>(trials: impl Iterator<Item = &'a Trial>) -> Vec<&'a Exchange> {
    trials.filter_map(last).filter(|e| e.failure.is_none()).collect()
}

/// What is compared: the complete answers, or the values at a path of them.
fn answers<'a>(expectation: &Expectation, trials: impl Iterator<Item = &'a Trial>) -> Result<Vec<String>, String> {
    exchanges(trials)
        .into_iter()
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

/// Runs of history below which agreement over time is not judged.
const FEWEST_RUNS: usize = 3;

/// Whether today's answers are those of earlier runs: the same text, the same facts, the same meaning.
fn over_history(wanted: &Consistency, expectation: &Expectation, attempt: &Attempt, past: &[Spoken]) -> Said {
    let Some(now) = Spoken::of(&attempt.trials, &[]) else { return Said::content(false, "there is no complete answer") };
    if past.len() < FEWEST_RUNS {
        return Said::unsure(
            Topic::Content,
            format!("history has {} runs of this case, {FEWEST_RUNS} are needed; `roadworthy baseline update` appends one", past.len()),
        );
    }
    let n = past.len();
    let mut parts: Vec<(bool, String)> = Vec::new();
    let mut evidence = Vec::new();
    let mut share = |same: usize, min: f64, what: &str| {
        let share = same as f64 / n as f64;
        parts.push((share + 1e-9 >= min, format!("{same} of {n} earlier runs {what} ({}, expected {})", percent(share), percent(min))));
    };
    if let Some(min) = wanted.exact {
        share(past.iter().filter(|p| p.answer == now.answer).count(), min, "gave the same answer");
    }
    if let Some(min) = wanted.same_facts {
        share(past.iter().filter(|p| p.facts == now.facts).count(), min, "stated the same key facts");
        let newest = past.last().map(|p| p.facts.changes(&now.facts)).unwrap_or_default();
        evidence.extend(newest.into_iter().map(|line| format!("since the newest of them: {line}")));
    }
    if let Some(min) = wanted.similarity {
        let key = answers(expectation, attempt.trials.iter()).map(|texts| centroid_key(&thinned(texts))).unwrap_or_default();
        let today = match super::meaning::centroid(&key, &attempt.fetched) {
            Ok(today) => today,
            Err(why) => return Said::cannot(why),
        };
        let cosines: Vec<f64> = past.iter().filter_map(|p| today.cosine(p.centroid.as_ref()?)).collect();
        if cosines.len() < FEWEST_RUNS {
            let why = format!("history has {} runs with vectors of {}, {FEWEST_RUNS} are needed", cosines.len(), today.encoder);
            return Said::unsure(Topic::Content, why);
        }
        let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
        parts.push((
            mean + 1e-9 >= min,
            format!("mean similarity to {} earlier runs {mean:.3} ({}), expected {min}", cosines.len(), today.encoder),
        ));
    }
    let met = parts.iter().all(|(met, _)| *met);
    let told: Vec<String> = parts.into_iter().filter(|(ok, _)| met || !ok).map(|(_, why)| why).collect();
    let evidence = if met { Vec::new() } else { evidence };
    Said { evidence, ..Said::content(met, told.join("; ")) }
}

fn consistency(wanted: &Consistency, answers: Vec<String>, exchanges: &[&Exchange], fetched: &[Fetched]) -> Said {
    let n = answers.len();
    let mut stateless = false;
    let mut parts: Vec<(bool, String)> = Vec::new();
    let mut evidence = Vec::new();
    if let Some(min) = wanted.exact {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for answer in &answers {
            *counts.entry(plain(answer)).or_default() += 1;
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let share = counts[0].1 as f64 / n as f64;
        parts.push((
            share + 1e-9 >= min,
            format!("{} of {n} answers are the same ({}, expected {})", counts[0].1, bounded(counts[0].1, n), percent(min)),
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
    if let Some(min) = wanted.same_facts {
        let mut counts: BTreeMap<Facts, usize> = BTreeMap::new();
        exchanges.iter().for_each(|e| *counts.entry(Facts::of(e)).or_default() += 1);
        stateless = counts.keys().all(|facts| *facts == Facts::default());
        let most = counts.iter().max_by_key(|(_, n)| **n).map(|(facts, n)| (facts.clone(), *n)).unwrap_or_default();
        let share = most.1 as f64 / n as f64;
        let told = format!("{} of {n} answers state the same key facts ({}, expected {})", most.1, bounded(most.1, n), percent(min));
        parts.push((share + 1e-9 >= min, told));
        for (facts, count) in counts.iter().filter(|(facts, _)| **facts != most.0).take(4) {
            evidence.push(format!("{count} ×: {}", crate::redact::excerpt(&most.0.changes(facts).join("; "), 160)));
        }
    }
    if let Some((facts, min)) = &wanted.facts {
        let good = answers.iter().filter(|a| text::facts(a, facts, 1.0).outcome == crate::finding::Outcome::Met).count();
        let share = good as f64 / n as f64;
        parts.push((
            share + 1e-9 >= *min,
            format!("{good} of {n} answers hold every fact ({}, expected {})", bounded(good, n), percent(*min)),
        ));
        if let Some(bad) = answers.iter().find(|a| text::facts(a, facts, 1.0).outcome != crate::finding::Outcome::Met) {
            evidence.push(format!("{}: \"{}\"", text::facts(bad, facts, 1.0).why, crate::redact::excerpt(bad, 120)));
        }
    }
    if let Some(min) = wanted.similarity {
        match super::meaning::similarity(&key(&thinned(answers)), fetched) {
            Ok((cosine, encoder, _)) => {
                parts.push((cosine + 1e-9 >= min, format!("mean similarity of all pairs {cosine:.3} ({encoder}), expected {min}")));
            }
            Err(why) => return Said::cannot(why),
        }
    }
    let met = parts.iter().all(|(met, _)| *met);
    let alone = wanted.exact.is_none() && wanted.overlap.is_none() && wanted.similarity.is_none() && wanted.facts.is_none();
    if met && stateless && alone {
        let why =
            "no answer states a number, a name or a field, so that their facts cannot be compared; `exact`, `overlap` and `similarity` can";
        return Said::unsure(Topic::Content, why);
    }
    let told: Vec<String> = parts.into_iter().filter(|(ok, _)| met || !ok).map(|(_, why)| why).collect();
    Said { evidence: if met { Vec::new() } else { evidence }, ..Said::content(met, told.join("; ")) }
}

/// A share with what it may be: Wilson's interval of 90 %, both of whose ends are one-sided 95 % bounds.
fn bounded(k: usize, n: usize) -> String {
    let (low, high) = crate::verdict::rate::wilson(k as u64, n as u64);
    format!("{}, 95 % bounds {:.1} and {:.1} %", percent(k as f64 / n.max(1) as f64), low * 100.0, high * 100.0)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn error_rate(trials: &[Trial], max: f64) -> Said {
    let exchanges: Vec<&crate::exchange::Exchange> = trials.iter().flat_map(|t| &t.turns).map(|t| &t.exchange).collect();
    // A request that never reached the service, or came with a wrong key, says nothing about it.
    let not_its_own = |e: &&&crate::exchange::Exchange| crate::verdict::transport::blame(e) == Some(crate::record::Verdict::Error);
    if let Some(exchange) = exchanges.iter().find(not_its_own) {
        let why = exchange.failure.as_ref().map(|f| f.message.as_str()).unwrap_or_default();
        let count = exchanges.iter().filter(not_its_own).count();
        return Said::cannot(format!("{count} of {} requests say nothing about the service: {why}", exchanges.len()));
    }
    let failures: Vec<&crate::exchange::Failure> = exchanges.iter().filter_map(|e| e.failure.as_ref()).collect();
    let n = exchanges.len();
    let share = failures.len() as f64 / n.max(1) as f64;
    let mut said = Said::when(
        n > 0 && share <= max + 1e-9,
        Topic::Transport,
        format!("{} of {n} requests failed ({}), expected at most {}", failures.len(), bounded(failures.len(), n), percent(max)),
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
