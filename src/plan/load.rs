//! Plans loads: templates filled in, rows and made-up prompts turned into requests.

use crate::diagnostic::Diagnostic;
use crate::load::judge::LoadExpectation;
use crate::load::{Abort, Objective, Shape};
use crate::scenario::params::render_params;
use crate::scenario::template::{render, render_json};
use crate::scenario::{Layer, Load, LoadInput, LoadSource, Monitor, Scenario};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// One load to run.
#[derive(Debug, Clone)]
pub struct PlannedLoad {
    pub id: String,
    pub scenario: String,
    pub name: String,
    pub file: String,
    pub line: u32,
    pub layer: Layer,
    pub tags: Vec<String>,
    pub target: String,
    /// What is sent; of a sweep, one list for each prompt length.
    pub inputs: Vec<Vec<PlannedInput>>,
    pub shape: Shape,
    pub think_time: Option<Range<Duration>>,
    pub warm_up: Duration,
    pub max_in_flight: u64,
    pub workers: u64,
    pub cold: bool,
    pub objective: Objective,
    pub abort: Option<Abort>,
    pub monitors: Vec<Monitor>,
    pub stream: Option<bool>,
    /// Hash of what is sent, and how.
    pub fingerprint: String,
    pub expect: Arc<Vec<LoadExpectation>>,
}

/// One input of a mix.
#[derive(Debug, Clone)]
pub struct PlannedInput {
    pub name: String,
    pub weight: u64,
    pub timeout: Option<Duration>,
    /// Statuses beside 2xx that are fine.
    pub accept: Vec<u16>,
    pub requests: Vec<Prompt>,
}

/// One request: its messages and parameters.
#[derive(Debug, Clone)]
pub struct Prompt {
    pub messages: Vec<Value>,
    pub params: Map<String, Value>,
}

/// Short words that most tokenizers keep whole, so that a word is about a token.
const WORDS: [&str; 64] = [
    "time", "year", "people", "way", "day", "man", "thing", "life", "child", "world", "school", "state", "family", "group", "country",
    "problem", "hand", "part", "place", "case", "week", "company", "system", "program", "question", "work", "number", "night", "point",
    "home", "water", "room", "mother", "area", "money", "story", "fact", "month", "lot", "right", "study", "book", "eye", "job", "word",
    "business", "issue", "side", "kind", "head", "house", "service", "friend", "father", "power", "hour", "game", "line", "end", "member",
    "law", "car", "city", "name",
];

fn words(count: u64, rng: &mut ChaCha8Rng) -> String {
    let picked: Vec<&str> = (0..count).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect();
    picked.join(" ")
}

/// Plans the loads of one scenario. `prefix` is its part of the ids; `seed` makes made-up prompts.
pub fn loads(scenario: &Scenario, prefix: &str, seed: u64) -> Result<Vec<PlannedLoad>, Vec<Diagnostic>> {
    let mut out = Vec::new();
    let mut found = Vec::new();
    for load in &scenario.loads {
        match one(scenario, load, prefix, seed) {
            Ok(planned) => out.push(planned),
            Err(why) => found.push(Diagnostic::error("template", why).at(&scenario.source, load.place)),
        }
    }
    if found.is_empty() { Ok(out) } else { Err(found) }
}

fn one(scenario: &Scenario, load: &Load, prefix: &str, seed: u64) -> Result<PlannedLoad, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let inputs = match &load.shape {
        Shape::Sweep { tokens, .. } => tokens
            .iter()
            .map(|length| {
                let mut of_length: Vec<PlannedInput> = load.inputs.iter().map(|i| input(i, &mut rng)).collect::<Result<_, _>>()?;
                for one in &mut of_length {
                    lengthen(&mut one.requests, *length, &mut rng);
                    one.name = format!("{length} tokens");
                }
                Ok::<_, String>(of_length)
            })
            .collect::<Result<_, _>>()?,
        _ => vec![load.inputs.iter().map(|i| input(i, &mut rng)).collect::<Result<Vec<_>, _>>()?],
    };
    let sent: Vec<String> = inputs
        .iter()
        .flatten()
        .flat_map(|i| std::iter::once(i.weight.to_string()).chain(i.requests.iter().map(|r| json!([r.messages, r.params]).to_string())))
        .chain([load.shape.says(), format!("{:?} {}", load.think_time, load.cold)])
        .collect();
    Ok(PlannedLoad {
        fingerprint: crate::units::fingerprint(&sent),
        id: format!("{prefix}::{}", load.name),
        scenario: scenario.name.clone(),
        name: load.name.clone(),
        file: scenario.source.name.clone(),
        line: load.place.line,
        layer: load.layer,
        tags: load.tags.clone(),
        target: load.target.clone(),
        inputs,
        shape: load.shape.clone(),
        think_time: load.think_time.clone(),
        warm_up: load.warm_up,
        max_in_flight: load.max_in_flight,
        workers: load.workers,
        cold: load.cold,
        objective: load.objective.clone(),
        abort: load.abort.clone(),
        monitors: load.monitors.clone(),
        stream: load.stream,
        expect: Arc::new(load.expect.clone()),
    })
}

/// Puts made-up words after the prompt until it has about so many; sixteen different ones.
fn lengthen(requests: &mut Vec<Prompt>, length: u64, rng: &mut ChaCha8Rng) {
    let Some(first) = requests.first().cloned() else { return };
    requests.clear();
    for _ in 0..16 {
        let mut prompt = first.clone();
        if let Some(message) = prompt.messages.iter_mut().rev().find(|m| m["role"] == "user") {
            let own = message["content"].as_str().unwrap_or_default().to_owned();
            let filler = words(length.saturating_sub(own.split_whitespace().count() as u64), rng);
            message["content"] = json!(if own.is_empty() { filler } else { format!("{own}\n{filler}") });
        }
        requests.push(prompt);
    }
}

fn input(input: &LoadInput, rng: &mut ChaCha8Rng) -> Result<PlannedInput, String> {
    let user = |text: String| vec![json!({"role": "user", "content": text})];
    let made = |vars: &Map<String, Value>, messages: Vec<Value>| -> Result<Prompt, String> {
        let mut all = Vec::new();
        if let Some(system) = &input.system {
            all.push(json!({"role": "system", "content": render(system, vars)?}));
        }
        all.extend(messages);
        Ok(Prompt { messages: all, params: render_params(&input.params, vars)? })
    };
    let mut requests = Vec::new();
    match &input.source {
        LoadSource::Random { tokens, shared, prompts } => {
            let prefix = words(*shared, rng);
            for _ in 0..*prompts {
                let text = format!("{prefix} {}", words(tokens - shared, rng)).trim().to_owned();
                requests.push(made(&input.vars, user(text))?);
            }
        }
        source => {
            let rows: Vec<Option<&crate::scenario::dataset::Row>> =
                input.rows.as_ref().map_or_else(|| vec![None], |r| r.iter().map(Some).collect());
            for row in rows {
                let mut vars = input.vars.clone();
                vars.extend(row.map(|r| r.vars.clone()).unwrap_or_default());
                let mut params = Map::new();
                let messages = match source {
                    LoadSource::Prompt(text) => user(render(text, &vars)?),
                    LoadSource::Messages(messages) => messages.iter().map(|m| render_json(m, &vars)).collect::<Result<_, _>>()?,
                    _ => match (row.and_then(|r| r.messages.clone()), vars.get("prompt")) {
                        (Some(messages), _) => {
                            params = row.map(|r| r.params.clone()).unwrap_or_default();
                            messages
                        }
                        (None, Some(Value::String(prompt))) => user(prompt.clone()),
                        (None, _) => return Err(format!("the row {} has neither `prompt` nor `messages`", row.map_or("", |r| &r.id))),
                    },
                };
                let mut request = made(&vars, messages)?;
                request.params.extend(params);
                requests.push(request);
            }
        }
    }
    let name = input.name.clone().unwrap_or_else(|| {
        let text = requests.first().and_then(|r| r.messages.last()).map(|m| super::text_of(&m["content"])).unwrap_or_default();
        crate::redact::excerpt(&text, 32)
    });
    if !input.mutate.is_empty() {
        requests = mutated(input, &requests)?;
    }
    Ok(PlannedInput { name, weight: input.weight, timeout: input.timeout, accept: input.accept.clone(), requests })
}

/// Every kind of abuse of every request.
fn mutated(input: &LoadInput, requests: &[Prompt]) -> Result<Vec<Prompt>, String> {
    let mut out = Vec::new();
    for mutation in &input.mutate {
        for prompt in requests {
            let at = prompt.messages.iter().rposition(|m| m["role"] == "user").ok_or("there is no user message to mutate")?;
            let Some(text) = prompt.messages[at]["content"].as_str() else {
                return Err("only text can be mutated, and the prompt has parts".into());
            };
            for text in crate::mutate::variants(mutation, text, input.mutate_count as usize, 0) {
                let mut one = prompt.clone();
                one.messages[at]["content"] = json!(text);
                out.push(one);
            }
        }
    }
    Ok(out)
}
