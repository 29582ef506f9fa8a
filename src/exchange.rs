//! One request to a service and what came back, as plain data: text, structure, usage, failure and times.
//!
//! Every time is measured on one monotonic clock, stamped when bytes leave the socket read, before parsing.

use crate::units::ms;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::time::Duration;

/// What was sent and what was received. `failure` is absent exactly when a complete, well-formed answer arrived.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Exchange {
    /// The address without credentials, and the body as sent.
    pub url: String,
    pub request: Body,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Response headers, lower-case names, in the order received.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The answer's text without reasoning; for responses that are not an answer, the body's text.
    #[serde(default)]
    pub answer: String,
    /// `reasoning_content`, or what stood in inline `<think>` marks.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenLogprob>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    pub timing: Timing,
    /// Requests that never reached the model and were sent again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transport_retries: Vec<TransportRetry>,
    /// Whether the service answered a probe right after this exchange; absent when nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive_afterwards: Option<bool>,
}

/// A JSON text as it was sent; in records it stands as JSON. Empty when nothing was sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Body(pub String);

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(&self.0) {
            Ok(raw) => raw.serialize(serializer),
            Err(_) => serializer.serialize_none(),
        }
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Body, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Body(if value.is_null() { String::new() } else { value.to_string() }))
    }
}

/// A tool call; `arguments` is the text the model wrote, which may not be valid JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    pub name: String,
    pub arguments: String,
}

/// One output token with its natural-log probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    pub token: String,
    pub logprob: f64,
}

/// Token counts as the service reported them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
}

/// Durations from the moment the request was written (a new connection's set-up is not part of them), except `queued` and `connect`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Waiting inside this tool for a slot, before anything was sent. Part of no latency.
    #[serde(with = "ms", rename = "queued_ms")]
    pub queued: Duration,
    /// Setting up a new connection; absent when one was reused.
    #[serde(default, with = "ms::option", rename = "connect_ms", skip_serializing_if = "Option::is_none")]
    pub connect: Option<Duration>,
    /// Response headers received.
    #[serde(default, with = "ms::option", rename = "ttfb_ms", skip_serializing_if = "Option::is_none")]
    pub ttfb: Option<Duration>,
    /// First token event: non-empty content, reasoning, refusal or tool call.
    #[serde(default, with = "ms::option", rename = "ttft_ms", skip_serializing_if = "Option::is_none")]
    pub ttft: Option<Duration>,
    /// First token event that is not reasoning.
    #[serde(default, with = "ms::option", rename = "ttfo_ms", skip_serializing_if = "Option::is_none")]
    pub ttfo: Option<Duration>,
    /// The event with `finish_reason`, else the last token; the complete body when not streaming.
    #[serde(default, with = "ms::option", rename = "e2e_ms", skip_serializing_if = "Option::is_none")]
    pub e2e: Option<Duration>,
    /// (last token − first token) ÷ (completion tokens − those of the first event, 1 where the service does not tell); absent when
    /// the count is unknown or there is one token event.
    #[serde(default, with = "ms::option", rename = "tpot_ms", skip_serializing_if = "Option::is_none")]
    pub tpot: Option<Duration>,
    /// Largest gap between consecutive token events.
    #[serde(default, with = "ms::option", rename = "max_gap_ms", skip_serializing_if = "Option::is_none")]
    pub max_gap: Option<Duration>,
    /// From the end of the answer to the end of the response: shows servers that hold the stream open.
    #[serde(default, with = "ms::option", rename = "tail_lag_ms", skip_serializing_if = "Option::is_none")]
    pub tail_lag: Option<Duration>,
    /// Token events received.
    #[serde(default)]
    pub token_events: u64,
    /// Gaps longer than a second and than ten times the request's median gap.
    #[serde(default)]
    pub stalls: u64,
}

/// Why there is no complete, well-formed answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// One sentence fragment for people, lower-case, no full stop.
    pub message: String,
}

/// A request that was sent again because the model never got to answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransportRetry {
    pub reason: String,
    #[serde(with = "ms", rename = "waited_ms")]
    pub waited: Duration,
    /// The connection broke under the request, which the service may have had: that it was answered afterwards proves little.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broke: bool,
}

/// The closed list of ways in which a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    Dns,
    ConnectRefused,
    ConnectTimeout,
    Tls,
    ConnReset,
    Send,
    /// A status other than 2xx; the code is in `Exchange::status`.
    Http,
    HeaderTimeout,
    TtftTimeout,
    IdleTimeout,
    TotalTimeout,
    /// The stream ended without `finish_reason` and without `[DONE]`.
    StreamTruncated,
    SseMalformed,
    JsonMalformed,
    /// A 200 whose body or stream holds an error object.
    ApiError,
    EmptyOutput,
    TooLarge,
    /// The service went away after it had been ready.
    ServiceCrashed,
    /// The model's answer was held back by a content filter; only loads call this a failure.
    ContentFilter,
    /// A load did not send the request: too many were in flight.
    ClientSaturation,
    /// Not sent: an earlier case crashed the service, a budget was used up, or a record lacks the answer.
    NotSent,
}

impl FailureKind {
    /// The name used in records and reports, such as `stream_truncated`.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl Exchange {
    /// Takes personal data out of the prompt and the answer; tokens of an answer that held some are taken out, too.
    /// True when the request held some, and so is another one now.
    pub fn mask_personal(&mut self) -> bool {
        use crate::redact::personal::{mask, mask_json};
        let answered = mask(&mut self.answer) | mask(&mut self.reasoning);
        if answered {
            self.logprobs.iter_mut().for_each(|t| t.token.clear());
        }
        let asked = mask_json(&mut self.request.0);
        self.tool_calls.iter_mut().for_each(|call| {
            mask_json(&mut call.arguments);
        });
        let headers = self.headers.iter_mut().map(|(_, v)| v);
        let message = self.failure.iter_mut().map(|f| &mut f.message);
        headers.chain(message).for_each(|text| {
            mask(text);
        });
        asked
    }

    /// Whether something in it was taken out by [`Exchange::mask_personal`].
    pub fn is_masked(&self) -> bool {
        let arguments = self.tool_calls.iter().map(|c| &c.arguments);
        let headers = self.headers.iter().map(|(_, v)| v);
        let mut texts = [&self.answer, &self.reasoning, &self.request.0].into_iter().chain(arguments).chain(headers);
        texts.any(|text| crate::redact::personal::masked(text).is_some())
    }

    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// True when neither text nor a tool call came.
    pub fn is_empty(&self) -> bool {
        self.answer.trim().is_empty() && self.tool_calls.is_empty()
    }
}
