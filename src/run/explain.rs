//! Which parts of a prompt an answer hangs on: each is left out in turn, and what becomes of the answer is measured.

use super::Encoder;
use crate::exchange::Exchange;
use crate::expect::key_facts::Facts;
use crate::expect::parts::{phrases, sentences};
use crate::expect::{Rouge, rouge, words};
use crate::plan::Planned;
use crate::record::centroid::Centroid;
use crate::target::{Request, Scoring, Service};
use serde_json::{Map, Value, json};

/// Parts that are looked into phrase by phrase, at most.
const LOOKED_INTO: usize = 2;

/// A part of the prompt and what it carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Which message of the prompt.
    pub message: usize,
    pub role: String,
    pub text: String,
    /// By log probability: how much less likely each token of the answer becomes without it, in nats, not below 0. Otherwise how far
    /// the new answer moves, 0 to 1.
    pub weight: f64,
    /// Facts that the answer has, or lacks, without this part.
    pub changes: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    pub id: String,
    /// In words, how weights were measured.
    pub by: String,
    pub answer: String,
    /// In the order of the prompt; together they are the prompt.
    pub parts: Vec<Part>,
    pub requests: u64,
}

/// What will be sent before anything is: the parts, and how many requests they take at most.
pub struct Cost {
    pub parts: usize,
    pub requests: u64,
}

/// A prompt that is taken apart.
pub struct Question<'a> {
    service: &'a Service,
    encoder: Option<&'a dyn Encoder>,
    id: String,
    messages: Vec<Value>,
    params: Map<String, Value>,
    timeout: std::time::Duration,
    parts: Vec<Part>,
}

impl<'a> Question<'a> {
    /// Errors are sentences.
    pub fn of(planned: &Planned, service: &'a Service, encoder: Option<&'a dyn Encoder>) -> Result<Question<'a>, String> {
        let turns = &planned.versions[0].turns;
        let [turn] = turns.as_slice() else { return Err(format!("`{}` has {} turns; one is explained", planned.id, turns.len())) };
        let mut params = turn.params.clone();
        // Two answers to the same question must be the same, or nothing could be told from a difference.
        params.insert("temperature".into(), json!(0));
        let texts: Vec<(usize, &str, &str)> = turn
            .messages
            .iter()
            .enumerate()
            .filter_map(|(i, m)| Some((i, m["role"].as_str()?, m["content"].as_str()?)))
            .filter(|(_, role, _)| matches!(*role, "system" | "developer" | "user"))
            .collect();
        let cut = |by: fn(&str) -> Vec<String>| -> Vec<Part> {
            let of = |(message, role, text): &(usize, &str, &str)| {
                let role = (*role).to_owned();
                let message = *message;
                by(text).into_iter().map(move |text| part(message, &role, text)).collect::<Vec<_>>()
            };
            texts.iter().flat_map(of).collect()
        };
        let mut parts = cut(sentences);
        if parts.len() < 2 {
            parts = cut(phrases);
        }
        if parts.len() < 2 {
            return Err(format!("the prompt of `{}` is one short part; there is nothing to leave out", planned.id));
        }
        let timeout = planned.timeout.unwrap_or(service.target.timeouts.total);
        Ok(Question { service, encoder, id: planned.id.clone(), messages: turn.messages.clone(), params, timeout, parts })
    }

    pub fn cost(&self) -> Cost {
        let mut inside: Vec<u64> = self.parts.iter().map(|p| phrases(&p.text).len() as u64).filter(|n| *n > 1).collect();
        inside.sort_unstable_by(|a, b| b.cmp(a));
        let requests = 1 + Scoring::ALL.len() as u64 + self.parts.len() as u64 + inside.iter().take(LOOKED_INTO).sum::<u64>();
        Cost { parts: self.parts.len(), requests }
    }

    /// Asks, and measures part by part.
    pub async fn explain(self) -> Result<Explained, String> {
        let original = self.ask(&self.messages).await;
        let mut requests = 1;
        if let Some(failure) = &original.failure {
            return Err(format!("the prompt itself failed: {}", failure.message));
        }
        if original.answer.trim().is_empty() {
            return Err("the answer is empty, so nothing hangs on anything".into());
        }
        let tokens = original.usage.map_or(original.timing.token_events, |u| u.completion_tokens);
        let mut scored = None;
        for by in Scoring::ALL {
            requests += 1;
            if let Ok(with_all) = self.service.score(by, &self.messages, &original.answer, tokens).await {
                scored = Some(Scored { by, with_all, tokens });
                break;
            }
        }
        let by = match (&scored, self.encoder) {
            (Some(scored), _) => format!(
                "how much less likely the answer becomes without the part (log probability of a token, {:.2} with all)",
                scored.with_all
            ),
            (None, Some(encoder)) => format!("how far the answer moves without the part (sentence vectors of {})", encoder.name()),
            (None, None) => "how far the answer moves without the part (1 − ROUGE-L)".to_owned(),
        };
        let mut parts = self.parts.clone();
        for i in 0..parts.len() {
            (parts[i].weight, parts[i].changes) = self.measure(&parts, i, &original, scored.as_ref()).await?;
            requests += 1;
        }
        // The heaviest are looked into, last ones first, so that places before them stay.
        let most = parts.iter().map(|p| p.weight).fold(0.0, f64::max);
        let mut heavy: Vec<usize> = (0..parts.len()).filter(|i| most > 0.0 && parts[*i].weight >= most / 2.0).collect();
        heavy.sort_by(|a, b| parts[*b].weight.total_cmp(&parts[*a].weight));
        heavy.truncate(LOOKED_INTO);
        heavy.sort_unstable_by(|a, b| b.cmp(a));
        for place in heavy {
            let pieces = phrases(&parts[place].text);
            if pieces.len() < 2 || parts.len() == 1 {
                continue;
            }
            let (message, role) = (parts[place].message, parts[place].role.clone());
            let mut finer = parts.clone();
            finer.splice(place..=place, pieces.iter().map(|text| part(message, &role, text.clone())));
            for i in place..place + pieces.len() {
                (finer[i].weight, finer[i].changes) = self.measure(&finer, i, &original, scored.as_ref()).await?;
                requests += 1;
            }
            // Phrases that carry nothing alone leave the sentence whole: only together they matter.
            if finer[place..place + pieces.len()].iter().any(|p| p.weight >= parts[place].weight / 2.0) {
                parts = finer;
            }
        }
        Ok(Explained { id: self.id.clone(), by, answer: original.answer, parts, requests })
    }

    /// The weight of one part, and the facts that change without it.
    async fn measure(
        &self,
        parts: &[Part],
        without: usize,
        original: &Exchange,
        scored: Option<&Scored>,
    ) -> Result<(f64, Vec<String>), String> {
        let mut messages = self.messages.clone();
        for (i, message) in messages.iter_mut().enumerate() {
            let kept = parts.iter().enumerate().filter(|(place, p)| p.message == i && *place != without);
            if parts.iter().any(|p| p.message == i) {
                message["content"] = json!(kept.map(|(_, p)| p.text.as_str()).collect::<String>());
            }
        }
        // A message without a word is left out: many services refuse it.
        messages.retain(|m| m["content"].as_str().is_none_or(|text| !text.trim().is_empty()));
        if let Some(Scored { by, with_all, tokens }) = scored {
            let now = self.service.score(*by, &messages, &original.answer, *tokens).await;
            let now = now.map_err(|why| format!("the prompt without \"{}\" was not scored: {why}", told(&parts[without])))?;
            return Ok(((with_all - now).max(0.0), Vec::new()));
        }
        if messages.is_empty() {
            return Ok((1.0, Vec::new()));
        }
        let other = self.ask(&messages).await;
        // A service may refuse a prompt that lacks this part: then all hangs on it. One that is down or overloaded tells nothing.
        if let Some(failure) = other.failure.as_ref().filter(|_| !matches!(other.status, Some(400 | 413 | 422))) {
            return Err(format!("the prompt without \"{}\" was not answered: {}", told(&parts[without]), failure.message));
        }
        let changes = Facts::of(original).changes(&Facts::of(&other));
        let same = match self.encoder {
            Some(encoder) => {
                let of = |text: &str| Ok::<_, String>(Centroid::of(String::new(), &[encoder.embed(text)?]));
                of(&original.answer)?.zip(of(&other.answer)?).and_then(|(a, b)| a.cosine(&b)).unwrap_or(0.0)
            }
            None => rouge(&words(&original.answer), &words(&other.answer), Rouge::L),
        };
        Ok(((1.0 - same).clamp(0.0, 1.0), changes))
    }

    async fn ask(&self, messages: &[Value]) -> Exchange {
        self.service
            .ask(
                &Request { messages, params: &self.params, stream: self.service.target.stream, total: self.timeout, accept: &[] },
                0.0,
                &|_| true,
            )
            .await
    }
}

/// How the answer was scored with every part in place.
struct Scored {
    by: Scoring,
    with_all: f64,
    tokens: u64,
}

fn told(part: &Part) -> String {
    crate::redact::excerpt(part.text.trim(), 40)
}

fn part(message: usize, role: &str, text: String) -> Part {
    Part { message, role: role.to_owned(), text, weight: 0.0, changes: Vec::new() }
}
