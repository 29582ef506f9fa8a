//! One request of a load, as it was measured.

use crate::exchange::FailureKind;
use std::time::{Duration, Instant};

/// Why a request of a load failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub kind: FailureKind,
    /// Of the response, when one came.
    pub status: Option<u16>,
    /// What was said, shortened.
    pub excerpt: String,
    /// As the service names the request.
    pub request_id: Option<String>,
}

/// A finished request. Durations count from `sent`.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Which input of the mix.
    pub input: usize,
    /// When the schedule wanted it; equals `taken` in a closed loop.
    pub scheduled: Instant,
    /// When a worker took it up.
    pub taken: Instant,
    /// When the request was written.
    pub sent: Instant,
    /// Sent again, because the connection kept for it had been closed.
    pub resent: bool,
    /// Setting up a new connection; absent when one was reused.
    pub connect: Option<Duration>,
    pub ttfb: Option<Duration>,
    pub ttfo: Option<Duration>,
    /// The event with `finish_reason`, else the last token; the complete body when not streaming.
    pub end: Option<Duration>,
    /// The response was complete.
    pub done: Duration,
    /// Token events, in microseconds from `sent`.
    pub chunks: Vec<u32>,
    /// Token events that came in one read with an earlier one.
    pub coalesced: u32,
    /// Tokens of the first token event, where the service tells; else 1.
    pub first_tokens: u64,
    pub prompt_tokens: Option<u64>,
    pub completion_tokens: Option<u64>,
    pub cached_tokens: Option<u64>,
    pub chars_in: u32,
    pub chars_out: u32,
    pub failed: Option<Failed>,
}

impl Sample {
    pub fn new(input: usize, scheduled: Instant, taken: Instant) -> Sample {
        Sample {
            input,
            scheduled,
            taken,
            sent: taken,
            resent: false,
            connect: None,
            ttfb: None,
            ttfo: None,
            end: None,
            done: Duration::ZERO,
            chunks: Vec::new(),
            coalesced: 0,
            first_tokens: 1,
            prompt_tokens: None,
            completion_tokens: None,
            cached_tokens: None,
            chars_in: 0,
            chars_out: 0,
            failed: None,
        }
    }

    /// Microseconds from the request to the first token.
    pub fn ttft(&self) -> Option<u64> {
        self.chunks.first().map(|us| u64::from(*us))
    }

    /// Microseconds per output token after those of the first event; absent when there are none.
    pub fn tpot(&self) -> Option<f64> {
        let tokens = self.completion_tokens.unwrap_or(self.chunks.len() as u64);
        let span = f64::from(self.chunks.last()? - self.chunks.first()?);
        let after = tokens.saturating_sub(self.first_tokens);
        (after > 0 && self.chunks.len() > 1).then(|| span / after as f64)
    }

    /// Output tokens as the service counts them, else token events.
    pub fn tokens_out(&self) -> u64 {
        self.completion_tokens.unwrap_or(self.chunks.len() as u64)
    }
}
