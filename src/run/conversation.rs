//! Holds one conversation: sends its turns one after the other and judges each answer.

use super::{Engine, Shared};
use crate::exchange::{Exchange, Failure, FailureKind};
use crate::expect::{Check, Context, Expectation, judge_all, meaning, mentions};
use crate::finding::{Finding, Outcome, Topic};
use crate::options::Target;
use crate::plan::{Planned, Version, begin_with};
use crate::record::{Fetched, Trial, Turn};
use crate::redact::Redactor;
use crate::target::{Request, ready};
use serde_json::{Map, Value, json};

/// Runs one trial of a version. `jitter` (0 to 1) spreads retries in time.
pub(super) async fn hold(engine: &Engine, shared: &Shared, case: &Planned, version: &Version, seed: Option<u64>, jitter: f64) -> Trial {
    let service = &shared.service;
    let price = service.target.price.as_ref();
    let mut messages: Vec<Value> = Vec::new();
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut judged = Vec::new();
    for planned in &version.turns {
        messages.extend(planned.messages.iter().cloned());
        if let (true, 0, Some(first)) = (case.cold, judged.len(), messages.first_mut()) {
            begin_with(&mut first["content"], &format!("[{:016x}] ", engine.nonce()));
        }
        let mut params = planned.params.clone();
        if let Some(seed) = seed {
            params.insert("seed".into(), json!(seed));
        }
        let stream = case.stream.unwrap_or(service.target.stream);
        let total = case.timeout.unwrap_or(service.target.timeouts.total);
        let mut exchange = match service.crashed.get() {
            Some(id) => not_sent(service.endpoint(), format!("not sent: the service crashed during `{id}`")),
            None => match engine.books.reserve(&messages, &params, price).await {
                Err(why) => not_sent(service.endpoint(), format!("not sent: {why}")),
                Ok(reserved) => {
                    let accept = statuses(&planned.expect);
                    let request = Request { messages: &messages, params: &params, stream, total, accept: &accept };
                    let exchange = service.ask(&request, jitter, &|wait| engine.why_stopped().is_none() && engine.books.again(wait)).await;
                    reserved.settle(&exchange);
                    exchange
                }
            },
        };
        clean(&engine.redactor, &mut exchange);
        after(shared, case, &mut exchange, planned.expect.iter().any(|e| mentions(e, &|c| matches!(c, Check::ServiceAlive)))).await;
        let over = exchange.failure.is_some();
        messages.push(said(&exchange));
        exchanges.push(exchange);
        let wanted = |context: &Context| meaning::needs(&planned.expect, context);
        let fetched = match !over && planned.expect.iter().any(meaning::needs_model) {
            true => engine.fetch(in_context(case, version, &exchanges, &service.target, &[], wanted)).await,
            false => Vec::new(),
        };
        let mut found = findings(case, version, &planned.expect, &exchanges, &service.target, &fetched);
        if over {
            tell_unsent(case, &mut found, exchanges.len(), version.turns.len());
        }
        judged.push((found, fetched));
        if over {
            // What would follow an answer that never came says nothing.
            break;
        }
    }
    trial(version, seed, exchanges, judged)
}

/// Says of turns that could not be sent, after one whose failure was expected, that what they were to show is not shown.
pub(super) fn tell_unsent(case: &Planned, found: &mut Vec<Finding>, sent: usize, turns: usize) {
    if turns > sent && found.iter().all(Finding::is_met) && !case.counts_failures() {
        found.push(unsent(case, sent, turns - sent));
    }
}

fn unsent(case: &Planned, sent: usize, left: usize) -> Finding {
    Finding {
        expectation: "turns".into(),
        line: case.line,
        outcome: Outcome::Missed,
        topic: Topic::Transport,
        why: format!("turn {sent} brought no answer to go on from, so {left} more of {} were not sent", sent + left),
        evidence: Vec::new(),
    }
}

/// Looks at exchanges in their context.
fn in_context<T>(
    case: &Planned,
    version: &Version,
    exchanges: &[Exchange],
    target: &Target,
    fetched: &[Fetched],
    look: impl FnOnce(&Context) -> T,
) -> T {
    let (system, prompt) = (version.system(), version.prompt(exchanges.len()));
    look(&Context {
        turns: exchanges,
        system: system.as_deref(),
        prompt: &prompt,
        ground: case.context.as_deref(),
        vars: &case.vars,
        price: target.price.as_ref(),
        fetched,
    })
}

/// Judges the last of the exchanges.
pub(super) fn findings(
    case: &Planned,
    version: &Version,
    expect: &[crate::expect::Expectation],
    exchanges: &[Exchange],
    target: &Target,
    fetched: &[Fetched],
) -> Vec<Finding> {
    let counted = case.counts_failures() && exchanges.last().is_some_and(|e| e.failure.is_some());
    match counted {
        true => Vec::new(),
        false => in_context(case, version, exchanges, target, fetched, |context| judge_all(expect, context, case.allow_empty)),
    }
}

/// Puts exchanges and what was found in them together, turn by turn.
pub(super) fn trial(version: &Version, seed: Option<u64>, exchanges: Vec<Exchange>, judged: Vec<(Vec<Finding>, Vec<Fetched>)>) -> Trial {
    let turns: Vec<Turn> =
        exchanges.into_iter().zip(judged).map(|(exchange, (findings, fetched))| Turn { exchange, findings, fetched }).collect();
    let verdict = crate::verdict::of_trial(turns.iter().map(|t| &t.exchange), turns.iter().flat_map(|t| &t.findings));
    Trial { seed, variant: version.label.clone(), verdict, turns }
}

pub(super) fn not_sent(url: String, why: String) -> Exchange {
    Exchange { url, failure: Some(Failure { kind: FailureKind::NotSent, message: why }), ..Exchange::default() }
}

/// The model's answer as a message of the next turn.
fn said(exchange: &Exchange) -> Value {
    let mut message = Map::from_iter([("role".to_owned(), json!("assistant")), ("content".to_owned(), json!(exchange.answer))]);
    if !exchange.tool_calls.is_empty() {
        let calls: Vec<Value> = exchange
            .tool_calls
            .iter()
            .map(|c| json!({"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}))
            .collect();
        message.insert("tool_calls".into(), json!(calls));
    }
    Value::Object(message)
}

/// A service that echoes a key must not bring it into the evidence, where a diff could tear it apart past recognition.
fn clean(redactor: &Redactor, exchange: &mut Exchange) {
    // Tokens are pieces of what is taken out, and would give it away.
    if redactor.wash(&mut exchange.answer) | redactor.wash(&mut exchange.reasoning) {
        exchange.logprobs.iter_mut().for_each(|t| t.token.clear());
    }
    let calls = exchange.tool_calls.iter_mut().map(|c| &mut c.arguments);
    let headers = exchange.headers.iter_mut().map(|(_, v)| v);
    let message = exchange.failure.iter_mut().map(|f| &mut f.message);
    for text in [&mut exchange.url].into_iter().chain(calls).chain(headers).chain(message) {
        redactor.wash(text);
    }
}

/// Statuses that the case asks for, be it as one of several.
fn statuses(expect: &[Expectation]) -> Vec<u16> {
    let mut found = Vec::new();
    for expectation in expect {
        match &expectation.check {
            Check::Status(codes) => found.extend(codes),
            Check::All(inner) | Check::Any(inner) => found.extend(statuses(inner)),
            _ => {}
        }
    }
    found
}

fn broken_beside(exchange: &mut Exchange, first: &str) {
    if let Some(failure) = exchange.failure.as_mut() {
        failure.message = format!("under way when the service crashed during `{first}`: {}", failure.message);
        failure.kind = FailureKind::ServiceCrashed;
    }
}

fn crashed(exchange: &mut Exchange, how: &str) {
    if let Some(failure) = exchange.failure.as_mut() {
        failure.kind = FailureKind::ServiceCrashed;
        failure.message = format!("service crashed: {}, {how}", failure.message);
    }
}

/// Finds out whether a broken connection was the end of the service.
async fn after(shared: &Shared, case: &Planned, exchange: &mut Exchange, wants_alive: bool) {
    let service = &shared.service;
    let broken = exchange.failure.as_ref().is_some_and(|f| {
        matches!(f.kind, FailureKind::ConnectRefused | FailureKind::ConnReset | FailureKind::StreamTruncated | FailureKind::Send)
    });
    if !broken {
        // Nothing is wrong with the way.
    } else if !service.takes_connections().await {
        match service.crashed.get_or_init(|| case.id.clone()) {
            first if *first == case.id => crashed(exchange, &format!("and {} now refuses connections", service.base_url)),
            // Under way with it: which of them did it nobody can tell.
            first => broken_beside(exchange, first),
        }
    } else if exchange.failure.as_ref().is_some_and(|f| f.kind == FailureKind::ConnectRefused) && service.is_ready() {
        // It had been ready, so it went away; that somebody started it again is luck.
        crashed(exchange, "though it had been ready; it takes connections again");
    }
    if wants_alive {
        exchange.alive_afterwards = Some(ready::is_alive(service).await);
    }
}
