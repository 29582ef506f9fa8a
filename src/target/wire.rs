//! OpenAI's wire format: the body of a request, and the answer folded from a body or from timed events.

use super::calls::Calls;
use super::chunk::{Said, Whole, gave_up};
use crate::exchange::{Body, Exchange, Failure, FailureKind, TokenLogprob};
use crate::options::Api;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// The body of a request.
pub fn body(api: Api, model: Option<&str>, messages: &[Value], params: &Map<String, Value>, stream: bool, usage: bool) -> Body {
    let sent = Sent { api, model, messages, params, stream, usage };
    Body(serde_json::to_string(&sent).expect("plain JSON"))
}

/// The fields of a body, in the order in which they are sent.
struct Sent<'a> {
    api: Api,
    model: Option<&'a str>,
    messages: &'a [Value],
    params: &'a Map<String, Value>,
    stream: bool,
    usage: bool,
}

impl Serialize for Sent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // A parameter of the same name takes the field's place.
        let free = |name: &str| !self.params.contains_key(name);
        if let Some(model) = self.model.filter(|_| free("model")) {
            map.serialize_entry("model", model)?;
        }
        match self.api {
            Api::Chat if free("messages") => map.serialize_entry("messages", self.messages)?,
            // There are no roles here: the texts follow one another.
            Api::Completions if free("prompt") => {
                let texts: Vec<String> = self.messages.iter().map(|m| crate::plan::text_of(&m["content"])).collect();
                map.serialize_entry("prompt", &texts.join("\n"))?;
            }
            _ => {}
        }
        // How it streams is ours to say.
        let ours = |name: &str| self.stream && (name == "stream" || name == "stream_options" && self.usage);
        for (name, value) in self.params.iter().filter(|(name, _)| !ours(name)) {
            map.serialize_entry(name, value)?;
        }
        if self.stream {
            map.serialize_entry("stream", &true)?;
            if self.usage {
                map.serialize_entry("stream_options", &json!({"include_usage": true}))?;
            }
        }
        map.end()
    }
}

/// An event's data with the moment its last byte left the socket.
#[derive(Debug, Clone)]
pub struct TimedEvent {
    pub at: Instant,
    pub data: String,
}

/// True when an event carries a token: the mark that ends the wait for the first one.
pub fn is_token(data: &str) -> bool {
    super::brief::read(data.as_bytes()).is_ok_and(|brief| brief.is_token())
}

/// True when an event ends the answer: with the reason, or with an error.
pub fn is_end(data: &str) -> bool {
    super::brief::read(data.as_bytes()).is_ok_and(|brief| brief.finish.is_some() || brief.error.is_some())
}

/// Folds the events of a stream into an exchange. `sent` is when the request was written, `ended` when the response was complete.
pub fn fold_stream(exchange: &mut Exchange, events: &[TimedEvent], sent: Instant, ended: Instant) {
    let mut tokens: Vec<Instant> = Vec::with_capacity(events.len());
    // When text came, and how much of it there was then.
    let mut heard: Vec<(Instant, usize)> = Vec::new();
    let mut called = None;
    let mut first_tokens = 1;
    let mut finish_at = None;
    let mut done = false;
    let mut spoken = String::new();
    let mut tool_calls = Calls::default();
    for event in events {
        if event.data.trim() == "[DONE]" {
            done = true;
            continue;
        }
        // A sign of life.
        if event.data.trim().is_empty() {
            continue;
        }
        let mut chunk = match Whole::read(event.data.as_bytes()) {
            Ok(chunk) => chunk,
            Err(e) => {
                fail(exchange, FailureKind::SseMalformed, format!("an event of the stream is not JSON: {e}"));
                exchange.answer = format!("{spoken}{}", event.data);
                break;
            }
        };
        if let Some(error) = chunk.error(event.data.as_bytes()) {
            fail(exchange, FailureKind::ApiError, format!("the stream holds an error: {error}"));
            if spoken.is_empty() {
                // Without an answer before it, it is the whole body.
                exchange.answer = clip(&event.data);
            }
            break;
        }
        let counted = chunk.usage();
        exchange.usage = counted.or(exchange.usage);
        let mut choice = chunk.choice();
        let (Said(content), Said(reasoning), parts) = choice.parts();
        if !content.is_empty() || !reasoning.is_empty() || Calls::say(&parts) {
            if let (true, Some(usage)) = (tokens.is_empty(), counted) {
                // Services that count as they go (`continuous_usage_stats`) tell how many tokens their first event holds.
                first_tokens = usage.completion_tokens.max(1);
            }
            tokens.push(event.at);
            if content.is_empty() && reasoning.is_empty() {
                called.get_or_insert(event.at);
            }
        }
        spoken.push_str(&content);
        if !content.is_empty() {
            heard.push((event.at, spoken.len()));
        }
        exchange.reasoning.push_str(&reasoning);
        tool_calls.add(&parts);
        if let Some(reason) = choice.finish_reason() {
            exchange.finish_reason = Some(reason.to_owned());
            finish_at.get_or_insert(event.at);
        }
        logprobs(exchange, &choice.logprobs);
    }
    exchange.tool_calls = tool_calls.end();
    if exchange.failure.is_none() && !done && finish_at.is_none() {
        fail(
            exchange,
            FailureKind::StreamTruncated,
            format!("the stream ended after {} tokens without finish_reason and without [DONE]", tokens.len()),
        );
    }
    if exchange.answer.is_empty() {
        exchange.answer = spoken;
    }
    ended_badly(exchange);
    let thought = split_think(exchange);
    let first_content = thought.and_then(|thought| heard.iter().find(|(_, length)| *length > thought)).map(|(at, _)| *at);
    let since = |at: Instant| at.saturating_duration_since(sent);
    let timing = &mut exchange.timing;
    timing.token_events = tokens.len() as u64;
    timing.ttft = tokens.first().map(|t| since(*t));
    timing.ttfo = first_content.into_iter().chain(called).min().map(since);
    let end = finish_at.or(tokens.last().copied());
    timing.e2e = end.map(since);
    timing.tail_lag = end.map(|e| ended.saturating_duration_since(e));
    gaps(timing, &tokens);
    // Only the service knows how many tokens an event carries; a count of events is not a count of tokens.
    if let (Some(usage), [first, .., last]) = (exchange.usage, tokens.as_slice())
        && usage.completion_tokens > first_tokens
    {
        timing.tpot = Some(last.duration_since(*first) / (usage.completion_tokens - first_tokens).min(u64::from(u32::MAX)) as u32);
    }
}

fn gaps(timing: &mut crate::exchange::Timing, tokens: &[Instant]) {
    let mut gaps: Vec<Duration> = tokens.windows(2).map(|w| w[1].duration_since(w[0])).collect();
    if gaps.is_empty() {
        return;
    }
    gaps.sort();
    let limit = Duration::from_secs(1).max(gaps[gaps.len() / 2] * 10);
    timing.max_gap = gaps.last().copied();
    timing.stalls = gaps.iter().filter(|g| **g > limit).count() as u64;
}

/// Reads a whole, non-streamed body.
pub fn fold_body(exchange: &mut Exchange, body: &[u8], sent: Instant, ended: Instant) {
    exchange.timing.e2e = Some(ended.saturating_duration_since(sent));
    let text = String::from_utf8_lossy(body);
    let mut chunk = match Whole::read(text.as_bytes()) {
        Ok(chunk) => chunk,
        Err(e) => {
            exchange.answer = clip(&text);
            let what = if text.trim_start().starts_with('<') { "HTML".to_owned() } else { format!("not JSON ({e})") };
            return fail(exchange, FailureKind::JsonMalformed, format!("the body of the answer is {what}"));
        }
    };
    if let Some(error) = chunk.error(text.as_bytes()) {
        exchange.answer = clip(&text);
        return fail(exchange, FailureKind::ApiError, format!("status 200 with an error inside: {error}"));
    }
    if !chunk.has_choices() {
        exchange.answer = clip(&text);
        return fail(exchange, FailureKind::JsonMalformed, "the body has no `choices`".into());
    }
    exchange.usage = chunk.usage();
    let mut choice = chunk.choice();
    let (Said(content), Said(reasoning), tool_calls) = choice.parts();
    (exchange.answer, exchange.reasoning) = (content.into_owned(), reasoning.into_owned());
    exchange.tool_calls = Calls::of_body(&tool_calls);
    exchange.finish_reason = choice.finish_reason().map(str::to_owned);
    ended_badly(exchange);
    logprobs(exchange, &choice.logprobs);
    split_think(exchange);
}

/// A service that says itself that it gave up has not answered, whatever it had said by then.
fn ended_badly(exchange: &mut Exchange) {
    if let Some(reason) = exchange.finish_reason.as_deref().filter(|reason| gave_up(reason)) {
        let message = format!("the service gave the answer up: finish_reason `{reason}`");
        fail(exchange, FailureKind::ApiError, message);
    }
}

/// Keeps what is needed of a body that is not an answer.
pub fn clip(text: &str) -> String {
    const MAX: usize = 64 << 10;
    if text.len() <= MAX {
        return text.to_owned();
    }
    let mut end = MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… ({} bytes in all)", &text[..end], text.len())
}

pub fn fail(exchange: &mut Exchange, kind: FailureKind, message: String) {
    exchange.failure.get_or_insert(Failure { kind, message });
}

fn logprobs(exchange: &mut Exchange, value: &Value) {
    // Completions have two lists of the same length.
    let (tokens, logprobs) = (value["tokens"].as_array(), value["token_logprobs"].as_array());
    for (token, logprob) in tokens.into_iter().flatten().zip(logprobs.into_iter().flatten()) {
        if let (Some(text), Some(logprob)) = (token.as_str(), logprob.as_f64()) {
            exchange.logprobs.push(TokenLogprob { token: text.to_owned(), logprob });
        }
    }
    for token in value["content"].as_array().into_iter().flatten() {
        if let (Some(text), Some(logprob)) = (token["token"].as_str(), token["logprob"].as_f64()) {
            exchange.logprobs.push(TokenLogprob { token: text.to_owned(), logprob });
        }
    }
}

/// Moves inline `<think>…</think>` to the reasoning. Some templates open it in the prompt, so that only its end is seen. An answer may
/// speak of the mark, so it counts alone on a line, or once in the text and behind a sentence. Gives back where the answer begins in
/// what was said, or nothing where it was all thinking.
fn split_think(exchange: &mut Exchange) -> Option<usize> {
    const END: &str = "</think>";
    let said = std::mem::take(&mut exchange.answer);
    let opened = said.trim_start().strip_prefix("<think>");
    let alone = |at: &usize| {
        let (before, after) = (&said[..*at], &said[at + END.len()..]);
        (before.trim_end_matches([' ', '\t']).ends_with('\n') || before.trim().is_empty())
            && (after.trim().is_empty() || after.starts_with('\n'))
    };
    let behind_a_sentence = |at: &usize| {
        let before = said[..*at].trim_end();
        before.ends_with(['.', '!', '?', '…', '。', '！', '？', ')', '）', '"', '”']) && before.matches('`').count().is_multiple_of(2)
    };
    let ends: Vec<usize> = said.match_indices(END).map(|(at, _)| at).collect();
    let end = match opened {
        Some(_) => ends.first().copied(),
        None => {
            let end = ends.iter().find(|at| alone(at)).or(ends.first().filter(|at| ends.len() == 1 && behind_a_sentence(at)));
            end.copied().filter(|at| !said[..*at].contains("<think>"))
        }
    };
    let Some(end) = end else {
        if let Some(rest) = opened {
            // Cut off while thinking: there is no answer yet.
            exchange.reasoning.push_str(rest);
            return None;
        }
        exchange.answer = said;
        return Some(0);
    };
    let head = said[..end].trim_start();
    exchange.reasoning.push_str(head.strip_prefix("<think>").unwrap_or(head).trim());
    let answer = said[end + END.len()..].trim_start();
    exchange.answer = answer.to_owned();
    Some(said.len() - answer.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(events: &[&str]) -> Exchange {
        let start = Instant::now();
        let events: Vec<TimedEvent> = events
            .iter()
            .enumerate()
            .map(|(i, d)| TimedEvent { at: start + Duration::from_millis(100 * (i as u64 + 1)), data: (*d).to_owned() })
            .collect();
        let mut exchange = Exchange::default();
        fold_stream(&mut exchange, &events, start, start + Duration::from_secs(2));
        exchange
    }

    #[test]
    fn the_role_event_is_not_a_token() {
        let e = stream(&[
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"你"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"好"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}"#,
            "[DONE]",
        ]);
        assert_eq!((e.answer.as_str(), e.failure), ("你好", None));
        assert_eq!(e.timing.ttft, Some(Duration::from_millis(200)));
        assert_eq!(e.timing.e2e, Some(Duration::from_millis(400)));
        assert_eq!(e.timing.tpot, Some(Duration::from_millis(50)));
        assert_eq!(e.timing.token_events, 2);
    }

    #[test]
    fn a_stream_without_an_end_is_truncated() {
        let e = stream(&[r#"{"choices":[{"index":0,"delta":{"content":"你"}}]}"#]);
        assert_eq!(e.failure.unwrap().kind, FailureKind::StreamTruncated);
        assert_eq!(e.answer, "你");
    }

    #[test]
    fn an_empty_finish_reason_ends_nothing() {
        let e = stream(&[r#"{"choices":[{"index":0,"delta":{"content":"你"},"finish_reason":""}]}"#]);
        assert_eq!(e.failure.unwrap().kind, FailureKind::StreamTruncated);
    }

    #[test]
    fn thinking_is_not_the_answer() {
        let e = stream(&[r#"{"choices":[{"index":0,"delta":{"content":"<think>hm</think>\n\n42"},"finish_reason":"stop"}]}"#]);
        assert_eq!((e.reasoning.as_str(), e.answer.as_str()), ("hm", "42"));
        let e = stream(&[
            r#"{"choices":[{"index":0,"delta":{"content":"<think>"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"hm</think>\n"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"\n42"},"finish_reason":"stop"}]}"#,
        ]);
        assert_eq!((e.reasoning.as_str(), e.answer.as_str(), e.timing.ttfo), ("hm", "42", Some(Duration::from_millis(300))));
        let e = stream(&[r#"{"choices":[{"index":0,"delta":{"content":"opened in the prompt\n</think>\n\n42"},"finish_reason":"stop"}]}"#]);
        assert_eq!((e.reasoning.as_str(), e.answer.as_str()), ("opened in the prompt", "42"));
        let e = stream(&[r#"{"choices":[{"index":0,"delta":{"content":"We should greet.</think>Hello"},"finish_reason":"stop"}]}"#]);
        assert_eq!((e.reasoning.as_str(), e.answer.as_str()), ("We should greet.", "Hello"));
        for answer in ["delete </think> here", "Write `a. </think>` there"] {
            let e = stream(&[&json!({"choices": [{"index": 0, "delta": {"content": answer}, "finish_reason": "stop"}]}).to_string()]);
            assert_eq!((e.reasoning.as_str(), e.answer.as_str()), ("", answer));
        }
        let e = stream(&[
            r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"42"},"finish_reason":"stop"}]}"#,
        ]);
        assert_eq!(e.timing.ttft, Some(Duration::from_millis(100)));
        assert_eq!(e.timing.ttfo, Some(Duration::from_millis(200)));
    }

    #[test]
    fn log_probabilities_come_in_two_shapes_and_of_the_first_choice() {
        let chat = r#"{"choices":[{"index":1,"logprobs":{"content":[{"token":"b","logprob":-9.0}]}},{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":-0.1}]},"finish_reason":"stop"}]}"#;
        let completions =
            r#"{"choices":[{"index":0,"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[-0.1]},"finish_reason":"stop"}]}"#;
        for event in [chat, completions] {
            assert_eq!(stream(&[event]).logprobs, [TokenLogprob { token: "a".into(), logprob: -0.1 }], "{event}");
        }
    }

    #[test]
    fn an_error_after_the_answer_is_an_error() {
        let said = r#"{"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]}"#;
        let e = stream(&[said, r#"{"object":"error","message":"boom","code":500}"#, "[DONE]"]);
        assert!(e.failure.unwrap().message.contains("boom"));
        let e = stream(&[r#"{"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"abort"}]}"#, "[DONE]"]);
        assert_eq!(e.failure.unwrap().kind, FailureKind::ApiError);
    }

    #[test]
    fn errors_inside_200_are_seen() {
        let mut e = Exchange::default();
        let now = Instant::now();
        fold_body(&mut e, br#"{"error":{"message":"boom"}}"#, now, now);
        assert_eq!(e.failure.unwrap().kind, FailureKind::ApiError);
        let mut e = Exchange::default();
        fold_body(&mut e, b"<html>502</html>", now, now);
        assert!(e.failure.unwrap().message.contains("HTML"));
    }
}
