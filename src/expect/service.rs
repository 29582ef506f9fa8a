//! Checks on the exchange itself: status, errors, headers, structure beside the text, times, tokens, cost.

use super::{Context, Pattern, Said};
use crate::exchange::{Exchange, Failure, FailureKind, Timing};
use crate::finding::{Finding, Outcome, Topic};
use crate::record::Verdict;
use crate::units::{Range, show};
use serde_json::Value;
use std::time::Duration;

/// What `error` asks for; absent parts are not asked.
#[derive(Debug, Clone, Default)]
pub struct ErrorShape {
    pub kind: Option<String>,
    pub code: Option<String>,
    pub message: Option<String>,
}

/// What is asked of a header.
#[derive(Debug, Clone)]
pub enum HeaderCheck {
    Equals(String),
    Contains(String),
    Matches(Pattern),
    Exists(bool),
}

/// The times that `latency` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatencyMetric {
    Ttft,
    Ttfo,
    Ttfb,
    Tpot,
    E2e,
    MaxGap,
}

impl LatencyMetric {
    pub const ALL: [LatencyMetric; 6] =
        [LatencyMetric::Ttft, LatencyMetric::Ttfo, LatencyMetric::Ttfb, LatencyMetric::Tpot, LatencyMetric::E2e, LatencyMetric::MaxGap];

    pub fn word(self) -> &'static str {
        match self {
            LatencyMetric::Ttft => "ttft",
            LatencyMetric::Ttfo => "ttfo",
            LatencyMetric::Ttfb => "ttfb",
            LatencyMetric::Tpot => "tpot",
            LatencyMetric::E2e => "e2e",
            LatencyMetric::MaxGap => "max_gap",
        }
    }

    pub fn of(self, timing: &Timing) -> Option<Duration> {
        match self {
            LatencyMetric::Ttft => timing.ttft,
            LatencyMetric::Ttfo => timing.ttfo,
            LatencyMetric::Ttfb => timing.ttfb,
            LatencyMetric::Tpot => timing.tpot,
            LatencyMetric::E2e => timing.e2e,
            LatencyMetric::MaxGap => timing.max_gap,
        }
    }
}

/// The counts that `tokens` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenCount {
    Prompt,
    Completion,
    Total,
    Reasoning,
    Cached,
}

impl TokenCount {
    pub const ALL: [TokenCount; 5] =
        [TokenCount::Prompt, TokenCount::Completion, TokenCount::Total, TokenCount::Reasoning, TokenCount::Cached];

    pub fn word(self) -> &'static str {
        match self {
            TokenCount::Prompt => "prompt",
            TokenCount::Completion => "completion",
            TokenCount::Total => "total",
            TokenCount::Reasoning => "reasoning",
            TokenCount::Cached => "cached",
        }
    }
}

pub(super) fn status(exchange: &Exchange, codes: &[u16]) -> Said {
    let wanted = codes.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ");
    match exchange.status {
        Some(code) => {
            let mut said = Said::when(codes.contains(&code), Topic::Transport, format!("status is {code}, expected {wanted}"));
            if said.outcome == Outcome::Missed {
                said.evidence.push(format!("body: \"{}\"", crate::redact::excerpt(&exchange.answer, 240)));
            }
            said
        }
        None => Said::when(false, Topic::Transport, format!("no status came, expected {wanted}")),
    }
}

pub(super) fn error(exchange: &Exchange, shape: &ErrorShape) -> Said {
    let body: Option<Value> = serde_json::from_str(&exchange.answer).ok();
    let Some(error) = body.as_ref().and_then(|b| b.get("error")).filter(|e| e.get("message").is_some()) else {
        return Said::when(false, Topic::Schema, "the body is not an error of OpenAI's shape, `{\"error\": {\"message\": …}}`")
            .evidence(format!("body: \"{}\"", crate::redact::excerpt(&exchange.answer, 240)));
    };
    let text = |key: &str| error.get(key).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).unwrap_or_default();
    let checks = [("type", &shape.kind, true), ("code", &shape.code, true), ("message", &shape.message, false)];
    for (key, wanted, whole) in checks {
        let have = text(key);
        if let Some(wanted) = wanted.as_ref().filter(|w| if whole { have != **w } else { !have.contains(w.as_str()) }) {
            return Said::when(
                false,
                Topic::Schema,
                format!("`error.{key}` is `{}`, expected `{wanted}`", crate::redact::excerpt(&have, 120)),
            );
        }
    }
    Said::when(true, Topic::Schema, format!("an error of OpenAI's shape: {}", crate::redact::excerpt(&text("message"), 120)))
}

pub(super) fn alive(exchange: &Exchange) -> Said {
    match exchange.alive_afterwards {
        Some(true) => Said::when(true, Topic::Transport, "the service answers after this exchange"),
        Some(false) => Said::when(false, Topic::Transport, "the service no longer answers after this exchange"),
        None => Said::cannot("nobody asked whether the service was alive (a record without probes)"),
    }
}

pub(super) fn headers(exchange: &Exchange, checks: &[(String, HeaderCheck)]) -> Said {
    for (name, check) in checks {
        let value = exchange.header(name);
        let met = match (value, check) {
            (v, HeaderCheck::Exists(wanted)) => v.is_some() == *wanted,
            (None, _) => false,
            (Some(v), HeaderCheck::Equals(text)) => v == text,
            (Some(v), HeaderCheck::Contains(text)) => v.contains(text.as_str()),
            (Some(v), HeaderCheck::Matches(pattern)) => pattern.count(v).is_ok_and(|n| n > 0),
        };
        if !met {
            let seen = value.map_or("absent".to_owned(), |v| format!("`{}`", crate::redact::excerpt(v, 100)));
            let wanted = match check {
                HeaderCheck::Equals(t) => format!("`{t}`"),
                HeaderCheck::Contains(t) => format!("to contain `{t}`"),
                HeaderCheck::Matches(_) => "another form".to_owned(),
                HeaderCheck::Exists(true) => "to be there".to_owned(),
                HeaderCheck::Exists(false) => "to be absent".to_owned(),
            };
            return Said::when(false, Topic::Transport, format!("header `{name}` is {seen}, expected {wanted}"));
        }
    }
    Said::when(true, Topic::Transport, "headers are as expected")
}

pub(super) fn latency(exchange: &Exchange, limits: &[(LatencyMetric, Duration)]) -> Said {
    let mut parts = Vec::new();
    let (mut over, mut absent) = (false, None);
    for (metric, limit) in limits {
        match metric.of(&exchange.timing) {
            Some(value) => {
                over |= value > *limit;
                parts.push(format!("{} {}, limit {}", metric.word(), show(value), show(*limit)));
            }
            None => absent = Some(*metric),
        }
    }
    match absent {
        Some(metric) if !over => Said::unsure(
            Topic::Threshold,
            format!("{} could not be measured on this answer ({} token events)", metric.word(), exchange.timing.token_events),
        ),
        _ => Said::when(!over, Topic::Threshold, parts.join("; ")).evidence("one request: n = 1, so only large steps show"),
    }
}

pub(super) fn tokens(exchange: &Exchange, ranges: &[(TokenCount, Range)]) -> Said {
    let Some(usage) = exchange.usage else { return Said::cannot("the service did not report token usage") };
    for (count, range) in ranges {
        let value = match count {
            TokenCount::Prompt => Some(usage.prompt_tokens),
            TokenCount::Completion => Some(usage.completion_tokens),
            TokenCount::Total => Some(usage.prompt_tokens.saturating_add(usage.completion_tokens)),
            TokenCount::Reasoning => usage.reasoning_tokens,
            TokenCount::Cached => usage.cached_tokens,
        };
        match value {
            Some(n) if range.holds(n as f64) => {}
            Some(n) => return Said::when(false, Topic::Threshold, format!("{n} {} tokens, expected {range}", count.word())),
            None => return Said::cannot(format!("the service does not report {} tokens", count.word())),
        }
    }
    Said::when(true, Topic::Threshold, format!("{} prompt and {} completion tokens", usage.prompt_tokens, usage.completion_tokens))
}

pub(super) fn cost(context: &Context, max: f64) -> Said {
    let Some(price) = context.price else { return Said::cannot("the target has no `price`, so a cost cannot be computed") };
    let Some(usage) = context.exchange().usage else { return Said::cannot("the service did not report token usage") };
    let cost = (usage.prompt_tokens as f64 * price.input + usage.completion_tokens as f64 * price.output) / 1e6;
    Said::when(cost <= max, Topic::Threshold, format!("the exchange costs {cost:.6} {}, limit {max} {}", price.currency, price.currency))
}

pub(super) fn finish_reason(exchange: &Exchange, reasons: &[String]) -> Said {
    let wanted = reasons.join(" or ");
    match &exchange.finish_reason {
        Some(reason) => Said::content(reasons.contains(reason), format!("finish_reason is `{reason}`, expected {wanted}")),
        None => Said::content(false, format!("no finish_reason came, expected {wanted}")),
    }
}

pub(super) fn logprob(exchange: &Exchange, mean: Option<f64>, min: Option<f64>) -> Said {
    if exchange.logprobs.is_empty() {
        return Said::cannot("no log probabilities came; ask for them with `params: { logprobs: true }`");
    }
    let values: Vec<f64> = exchange.logprobs.iter().map(|t| t.logprob).collect();
    let seen_mean = values.iter().sum::<f64>() / values.len() as f64;
    let least = exchange.logprobs.iter().min_by(|a, b| a.logprob.total_cmp(&b.logprob)).expect("not empty");
    if let Some(limit) = mean.filter(|m| seen_mean < *m) {
        return Said::content(
            false,
            format!("mean log probability is {seen_mean:.3} over {} tokens, expected at least {limit}", values.len()),
        );
    }
    if let Some(limit) = min.filter(|m| least.logprob < *m) {
        return Said::content(
            false,
            format!(
                "token `{}` has log probability {:.3}, expected at least {limit}",
                crate::redact::excerpt(&least.token, 20),
                least.logprob
            ),
        );
    }
    Said::content(true, format!("mean log probability {seen_mean:.3}, least {:.3}", least.logprob))
}

pub(super) fn tool_call(
    exchange: &Exchange,
    name: Option<&str>,
    arguments: Option<&Value>,
    schema: Option<&jsonschema::Validator>,
    count: Option<Range>,
    order: &[String],
) -> Said {
    if !order.is_empty() {
        let called: Vec<&str> = exchange.tool_calls.iter().map(|c| c.name.as_str()).collect();
        let mut rest = called.iter();
        if let Some(missing) = order.iter().find(|wanted| !rest.any(|name| name == wanted)) {
            let seen = if called.is_empty() { "none".to_owned() } else { called.join(", ") };
            return Said::content(
                false,
                format!("expected calls in the order {}; `{missing}` is not where it should be in: {seen}", order.join(", ")),
            );
        }
        if name.is_none() && arguments.is_none() && schema.is_none() && count.is_none() {
            return Said::content(true, format!("the tools were called in the order {}", order.join(", ")));
        }
    }
    let calls: Vec<_> = exchange.tool_calls.iter().filter(|c| name.is_none_or(|n| c.name == n)).collect();
    let wanted = name.map_or("any tool".to_owned(), |n| format!("`{n}`"));
    let misfits: Vec<Option<String>> = calls.iter().map(|c| misfit(c, arguments, schema)).collect();
    let fitting = misfits.iter().filter(|m| m.is_none()).count();
    let why = misfits.iter().flatten().next().cloned();
    if let Some(range) = count {
        let told = if arguments.is_some() || schema.is_some() { " with fitting arguments" } else { "" };
        let said = Said::content(range.holds(fitting as f64), format!("{wanted} was called {fitting} times{told}, expected {range}"));
        return match why {
            Some(why) if said.outcome == Outcome::Missed => said.evidence(why),
            _ => said,
        };
    }
    if fitting > 0 {
        return Said::content(true, format!("{wanted} was called"));
    }
    let seen = || match exchange.tool_calls.first() {
        Some(other) => format!("{wanted} was not called: the model called `{}`", other.name),
        None => format!("{wanted} was not called: the model answered with text"),
    };
    Said::content(false, why.unwrap_or_else(seen))
}

/// Why the arguments of a call are not those asked for.
fn misfit(call: &crate::exchange::ToolCall, arguments: Option<&Value>, schema: Option<&jsonschema::Validator>) -> Option<String> {
    // Services send nothing at all for a tool without parameters.
    let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(e) => return Some(format!("the arguments of `{}` are not JSON: {e}", call.name)),
    };
    if let Some(error) = schema.and_then(|s| s.iter_errors(&value).next()) {
        return Some(format!("the arguments of `{}` break the schema: {}", call.name, crate::redact::excerpt(&error.to_string(), 200)));
    }
    let wanted = arguments.filter(|w| !super::json::holds(&value, w))?;
    Some(format!("the arguments of `{}` are `{}`, expected `{wanted}`", call.name, crate::redact::excerpt(&call.arguments, 200)))
}

/// The finding for a request that brought no answer.
pub(super) fn failed(exchange: &Exchange, failure: &Failure) -> Finding {
    let unreachable = crate::verdict::transport::blame(exchange) == Some(Verdict::Error);
    let topic = match failure.kind {
        FailureKind::ConnectTimeout
        | FailureKind::HeaderTimeout
        | FailureKind::TtftTimeout
        | FailureKind::IdleTimeout
        | FailureKind::TotalTimeout => Topic::Timeout,
        FailureKind::NotSent | FailureKind::ClientSaturation => Topic::Internal,
        _ => Topic::Transport,
    };
    let mut evidence = Vec::new();
    if !exchange.answer.is_empty() {
        evidence.push(format!("received: \"{}\"", crate::redact::excerpt(&exchange.answer, 240)));
    }
    Finding {
        expectation: failure.kind.name(),
        line: 0,
        outcome: if unreachable { Outcome::Unjudgeable } else { Outcome::Missed },
        topic,
        why: failure.message.clone(),
        evidence,
    }
}

/// The finding for an answer without content.
pub(super) fn empty(exchange: &Exchange) -> Finding {
    let why = match (&exchange.finish_reason, exchange.reasoning.is_empty()) {
        (_, false) => "the answer is empty: only reasoning came".to_owned(),
        (Some(reason), _) => format!("the answer is empty (finish_reason `{reason}`)"),
        (None, _) => "the answer is empty".to_owned(),
    };
    Finding {
        expectation: "empty_output".into(),
        line: 0,
        outcome: Outcome::Missed,
        topic: Topic::Content,
        why,
        evidence: vec!["an empty answer fails unless the case says `allow_empty: true`".into()],
    }
}
