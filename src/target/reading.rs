//! A response while it comes: read as a stream of events or as a whole body, every piece stamped where it left the socket.

use super::inflate::Inflate;
use super::open::Waited;
use super::patience::{Patience, Stage};
use super::pool::Held;
use super::sse::{Decoder, is_stream};
use super::wire::{self, TimedEvent, fail};
use crate::exchange::{Exchange, Failure, FailureKind};
use hyper::body::Incoming;
use std::io::ErrorKind;
use std::pin::Pin;
use std::time::Instant;
use tokio::time::Sleep;

/// A response whose body is on its way.
pub struct Reading<'a> {
    pub held: Held,
    pub body: Incoming,
    pub inflate: Inflate,
    pub deadline: Pin<&'a mut Sleep>,
    pub patience: Patience<'a>,
    /// Bytes after decompression, at most.
    pub max_response: u64,
}

/// What became of a stream.
pub enum Streamed {
    /// The connection can serve again.
    ToItsEnd,
    InPart,
    /// It is an ordinary body, and begins so.
    Not(Vec<u8>),
}

impl Reading<'_> {
    /// What a piece that cannot be unpacked means; `kind` where the packing is broken.
    fn unpackable(&self, error: &std::io::Error, kind: FailureKind) -> Failure {
        if error.kind() == ErrorKind::FileTooLarge {
            let message = format!("the response is larger than {} bytes", self.max_response);
            return Failure { kind: FailureKind::TooLarge, message };
        }
        Failure { kind, message: format!("it is no whole gzip, though its header says so: {error}") }
    }

    /// Reads a whole body, of which `body` has come already. With a failure comes what there was.
    pub async fn whole(&mut self, mut body: Vec<u8>) -> Result<Vec<u8>, (Failure, Vec<u8>)> {
        let until = self.patience.until(Stage::Whole);
        self.deadline.as_mut().reset(until.into());
        loop {
            let (unpacked, last) = match self.held.open.piece(&mut self.body, self.deadline.as_mut()).await {
                Waited::Came(None) => (self.inflate.end(&mut body), true),
                Waited::Came(Some(bytes)) => (self.inflate.push(&bytes, &mut body), false),
                Waited::Broke(why) => {
                    let message = format!("the connection broke inside the body: {why}");
                    return Err((Failure { kind: FailureKind::ConnReset, message }, body));
                }
                Waited::Late => return Err((self.patience.over(Stage::Whole, until), body)),
            };
            match unpacked {
                Ok(()) if last => return Ok(body),
                Ok(()) => {}
                Err(e) => return Err((self.unpackable(&e, FailureKind::JsonMalformed), body)),
            }
        }
    }

    /// Reads a stream into the exchange. `told`: the content type says that it is one.
    pub async fn stream(&mut self, exchange: &mut Exchange, told: bool) -> Streamed {
        let mut decoder = Decoder::default();
        let mut events: Vec<TimedEvent> = Vec::new();
        let mut plain = Vec::new();
        let mut known = false;
        let mut has_token = false;
        let mut parsed = 0;
        let mut last_at = self.held.open.last_read();
        let mut done = false;
        let mut ended = false;
        while !done {
            match self.held.open.piece(&mut self.body, self.deadline.as_mut()).await {
                Waited::Came(Some(bytes)) => {
                    let at = self.held.open.last_read();
                    last_at = at;
                    // What came before it was known what it is stays.
                    if known {
                        plain.clear();
                    }
                    if let Err(e) = self.inflate.push(&bytes, &mut plain) {
                        let failure = self.unpackable(&e, FailureKind::SseMalformed);
                        exchange.failure.get_or_insert(failure);
                        break;
                    }
                    if !known {
                        match is_stream(told, &plain) {
                            Some(true) => known = true,
                            Some(false) => return Streamed::Not(plain),
                            None => continue,
                        }
                    }
                    if let Err(e) =
                        decoder.push(&plain, |data| events.push(TimedEvent { at, data: String::from_utf8_lossy(data).into_owned() }))
                    {
                        fail(exchange, FailureKind::SseMalformed, format!("the stream holds {e}"));
                        break;
                    }
                    // Events are parsed after the stream; only the wait for the first token needs to know what they are.
                    while !has_token && parsed < events.len() {
                        has_token = wire::is_token(&events[parsed].data);
                        parsed += 1;
                        if has_token {
                            // From here on silence is what counts; later the timer is moved only when it has run out.
                            self.deadline.as_mut().reset(self.patience.until(Stage::Tokens(at)).into());
                        }
                    }
                    done = events.last().is_some_and(|e| e.data.trim() == "[DONE]");
                }
                Waited::Came(None) => {
                    ended = true;
                    break;
                }
                Waited::Broke(why) => {
                    if !events.iter().any(|e| wire::is_end(&e.data)) {
                        fail(exchange, FailureKind::ConnReset, format!("the connection broke inside the stream: {why}"));
                    }
                    break;
                }
                Waited::Late => {
                    let now = Instant::now();
                    let stage = match has_token {
                        true => Stage::Tokens(last_at),
                        false if known || told => Stage::Stream,
                        false => Stage::Whole,
                    };
                    let until = self.patience.until(stage);
                    if now < until {
                        self.deadline.as_mut().reset(until.into());
                        continue;
                    }
                    // Whoever holds the stream open after its last word has answered all the same.
                    if !events.iter().any(|e| wire::is_end(&e.data)) {
                        exchange.failure.get_or_insert(self.patience.over(stage, now));
                    }
                    break;
                }
            }
        }
        let ended = ended || done && self.held.open.rest(&mut self.body, self.deadline.as_mut()).await;
        if !known && !told && exchange.failure.is_none() {
            return Streamed::Not(plain);
        }
        wire::fold_stream(exchange, &events, self.patience.sent, last_at);
        if ended { Streamed::ToItsEnd } else { Streamed::InPart }
    }
}
