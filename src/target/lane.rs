//! One connection of a load: requests one after the other, every time taken where bytes leave the socket.

use super::brief::{self, Finish};
use super::failing::{broken, says};
use super::open::{Open, STALE_WITHIN, Waited};
use super::patience::{Patience, Stage};
use super::route::Route;
use super::sse::Decoder;
use super::wire::clip;
use crate::exchange::{Failure, FailureKind};
use crate::load::sample::{Failed, Sample};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sends requests one after the other over a connection that is opened when it is needed.
pub struct Lane {
    route: Arc<Route>,
    open: Option<Open>,
    decoder: Decoder,
}

/// One request of a load.
pub struct Parcel<'a> {
    pub body: &'a Bytes,
    /// For the whole request.
    pub total: Duration,
    pub stream: bool,
    /// Statuses beside 2xx that are fine.
    pub accept: &'a [u16],
}

impl Lane {
    pub fn new(route: Arc<Route>) -> Lane {
        Lane { route, open: None, decoder: Decoder::default() }
    }

    /// Sends one request and measures its answer into `sample`.
    pub async fn ask(&mut self, parcel: &Parcel<'_>, sample: &mut Sample) {
        let mut fresh = false;
        loop {
            if self.open.as_ref().is_none_or(|o| !o.is_open()) {
                let began = Instant::now();
                match self.route.connect().await {
                    Ok(open) => self.open = Some(open),
                    Err(why) => {
                        sample.connect = Some(began.elapsed());
                        sample.sent = Instant::now();
                        sample.failed = Some(failure(why.kind, None, &why.message));
                        return;
                    }
                }
                sample.connect = Some(began.elapsed());
                fresh = true;
            }
            match self.once(parcel, sample).await {
                // A connection kept open from before broke at once, without a byte of a response: servers close idle connections
                // whenever they like. A new one decides, and the resend is counted.
                Some(Stale(why)) if !fresh && sample.done < STALE_WITHIN && why.kind == FailureKind::ConnReset => {
                    self.open = None;
                    sample.resent = true;
                }
                stale => {
                    if let Some(Stale(why)) = stale {
                        sample.failed = Some(failure(why.kind, None, &why.message));
                    }
                    if let Some(failed) = sample.failed.as_mut() {
                        // Before it is cut: half a secret would not be known as one.
                        failed.excerpt = crate::redact::excerpt(&self.route.redactor.clean(&failed.excerpt), 300);
                        // What is left on the wire belongs to an answer that nobody reads.
                        self.open = None;
                    }
                    return;
                }
            }
        }
    }

    async fn once(&mut self, parcel: &Parcel<'_>, sample: &mut Sample) -> Option<Stale> {
        let route = self.route.clone();
        let open = self.open.as_mut()?;
        if !open.ready(route.timeouts.connect).await {
            sample.done = Duration::ZERO;
            return Some(Stale(broken("closed", &route.base_url)));
        }
        let request = route.request(parcel.body.clone());
        let sent = Instant::now();
        sample.sent = sent;
        let patience = Patience { timeouts: &route.timeouts, total: parcel.total, sent };
        let deadline = tokio::time::sleep_until((sent + patience.head(parcel.stream)).into());
        tokio::pin!(deadline);
        let response = match open.head(request, deadline.as_mut()).await {
            Waited::Came(response) => response,
            Waited::Broke(why) => {
                sample.done = sent.elapsed();
                return Some(Stale(broken(&why, &route.base_url)));
            }
            Waited::Late => {
                sample.done = sent.elapsed();
                let Failure { kind, message } = patience.headless(parcel.stream);
                sample.failed = Some(failure(kind, None, &message));
                return None;
            }
        };
        sample.ttfb = Some(open.last_read().saturating_duration_since(sent));
        let status = response.status().as_u16();
        let is_stream = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|t| t.to_ascii_lowercase().contains("text/event-stream"));
        let request_id = response.headers().get("x-request-id").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let mut answer = Answer { sample, status, request_id, finish: false, done: false, text: Vec::new(), last: Duration::ZERO };
        let answered = (200..300).contains(&status);
        // Known with the first bytes.
        let mut streamed = (!answered).then_some(false);
        let mut ended = false;
        self.decoder = Decoder::default();
        let mut incoming = response.into_body();
        let mut read = 0u64;
        let mut last_read = None;
        loop {
            // Each wait checks the nearest deadline; the timer is moved only when it has run out.
            match open.piece(&mut incoming, deadline.as_mut()).await {
                Waited::Came(Some(mut bytes)) => {
                    let read_at = open.last_read();
                    let same_read = last_read.replace(read_at) == Some(read_at);
                    answer.last = read_at.saturating_duration_since(sent);
                    read += bytes.len() as u64;
                    if read > route.max_response {
                        answer.fail(FailureKind::TooLarge, format!("the response is larger than {} bytes", route.max_response));
                        break;
                    }
                    if streamed != Some(true) {
                        answer.text.extend_from_slice(&bytes);
                        streamed = streamed.or_else(|| super::sse::is_stream(is_stream, &answer.text));
                        if streamed != Some(true) {
                            continue;
                        }
                        bytes = std::mem::take(&mut answer.text).into();
                    }
                    if let Err(e) = self.decoder.push(&bytes, |data| answer.event(data, same_read)) {
                        answer.fail(FailureKind::SseMalformed, format!("the stream holds {e}"));
                    }
                    if answer.sample.failed.is_some() {
                        break;
                    }
                    if answer.done {
                        ended = open.rest(&mut incoming, deadline.as_mut()).await;
                        break;
                    }
                }
                Waited::Came(None) => {
                    ended = true;
                    break;
                }
                Waited::Broke(why) => {
                    if !answer.finish {
                        answer.fail(FailureKind::ConnReset, format!("the connection broke inside the response: {why}"));
                    }
                    break;
                }
                Waited::Late => {
                    let now = Instant::now();
                    let stage = match (answer.sample.chunks.is_empty(), streamed.unwrap_or(is_stream)) {
                        (false, _) => Stage::Tokens(sent + answer.last),
                        (true, true) => Stage::Stream,
                        (true, false) => Stage::Whole,
                    };
                    let until = patience.until(stage);
                    if now < until {
                        deadline.as_mut().reset(until.into());
                        continue;
                    }
                    // Whoever holds the stream open after its last word has answered all the same.
                    if !answer.finish {
                        let Failure { kind, message } = patience.over(stage, now);
                        answer.fail(kind, message);
                        answer.last = now.saturating_duration_since(sent);
                    }
                    break;
                }
            }
        }
        answer.close(streamed.unwrap_or(is_stream), parcel.accept);
        if !ended {
            // What is left on the wire belongs to this answer.
            self.open = None;
        }
        None
    }
}

/// The connection broke before a byte of the response.
struct Stale(Failure);

fn failure(kind: FailureKind, status: Option<u16>, excerpt: &str) -> Failed {
    Failed { kind, status, excerpt: excerpt.to_owned(), request_id: None }
}

/// The answer while it comes.
struct Answer<'a> {
    sample: &'a mut Sample,
    status: u16,
    request_id: Option<String>,
    finish: bool,
    done: bool,
    /// The body, where it is not a stream.
    text: Vec<u8>,
    last: Duration,
}

impl Answer<'_> {
    fn fail(&mut self, kind: FailureKind, message: String) {
        let request_id = &self.request_id;
        self.sample.failed.get_or_insert_with(|| Failed { request_id: request_id.clone(), ..failure(kind, Some(self.status), &message) });
    }

    fn event(&mut self, data: &[u8], same_read: bool) {
        if self.done || self.sample.failed.is_some() || data.trim_ascii().is_empty() {
            return;
        }
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return;
        }
        let brief = match brief::read(data) {
            Ok(brief) => brief,
            Err(why) => return self.fail(FailureKind::SseMalformed, format!("an event of the stream is not JSON: {why}")),
        };
        let us = self.last.as_micros() as u32;
        if brief.is_token() {
            let sample = &mut *self.sample;
            if sample.chunks.is_empty() {
                // Services that count as they go (`continuous_usage_stats`) tell how many tokens their first event holds.
                sample.first_tokens = brief.completion_tokens.filter(|n| *n > 0).unwrap_or(1);
            }
            sample.coalesced += u32::from(same_read && !sample.chunks.is_empty() || sample.chunks.last() == Some(&us));
            sample.chunks.push(us);
            sample.chars_out += brief.content + brief.reasoning;
            if brief.reasoning == 0 {
                sample.ttfo.get_or_insert(self.last);
            }
        }
        self.take(&brief);
    }

    fn take(&mut self, brief: &brief::Brief) {
        let sample = &mut *self.sample;
        sample.prompt_tokens = brief.prompt_tokens.or(sample.prompt_tokens);
        sample.completion_tokens = brief.completion_tokens.or(sample.completion_tokens);
        sample.cached_tokens = brief.cached_tokens.or(sample.cached_tokens);
        if let Some(error) = &brief.error {
            return self.fail(FailureKind::ApiError, format!("the service answered with an error: {error}"));
        }
        if let Some(finish) = brief.finish {
            if !self.finish {
                self.finish = true;
                self.sample.end = Some(self.last);
            }
            match finish {
                Finish::Fine => {}
                Finish::ContentFilter => self.fail(FailureKind::ContentFilter, "a content filter held the answer back".into()),
                Finish::GaveUp => self.fail(FailureKind::ApiError, "the service gave the answer up".into()),
            }
        }
    }

    fn close(&mut self, streamed: bool, accept: &[u16]) {
        self.sample.done = self.last;
        // A 200 is an answer like any other, whoever lists it.
        if accept.contains(&self.status) && !(200..300).contains(&self.status) && self.sample.failed.is_none() {
            self.sample.end = Some(self.last);
            return;
        }
        if !(200..300).contains(&self.status) {
            let text = clip(&String::from_utf8_lossy(&self.text));
            let says = says(&text).unwrap_or(text);
            self.sample.failed = None;
            return self.fail(FailureKind::Http, format!("status {}: {says}", self.status));
        }
        if self.sample.failed.is_some() {
            return;
        }
        if !streamed {
            match brief::read(&self.text) {
                Ok(brief) => {
                    let text = brief.content + brief.reasoning;
                    self.sample.chars_out = text;
                    let empty = !brief.is_token();
                    self.sample.end = Some(self.last);
                    self.take(&brief);
                    if empty {
                        self.fail(FailureKind::EmptyOutput, "the answer is empty".into());
                    }
                }
                Err(_) => {
                    let said = String::from_utf8_lossy(&self.text).into_owned();
                    self.fail(FailureKind::JsonMalformed, format!("the body is not JSON: {}", crate::redact::excerpt(&said, 120)));
                }
            }
            return;
        }
        if !self.finish && !self.done {
            return self.fail(FailureKind::StreamTruncated, "the stream ended without finish_reason and without [DONE]".into());
        }
        if self.sample.chunks.is_empty() {
            return self.fail(FailureKind::EmptyOutput, "the stream holds no token".into());
        }
        if self.sample.end.is_none() {
            self.sample.end = self.sample.chunks.last().map(|us| Duration::from_micros(u64::from(*us)));
        }
    }
}
