//! How long an answer is waited for, and what it is called when it does not come: the same for cases and loads.

use crate::exchange::{Failure, FailureKind};
use crate::options::Timeouts;
use crate::units::show;
use std::time::{Duration, Instant};

/// The limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct Patience<'a> {
    pub timeouts: &'a Timeouts,
    /// For the whole request.
    pub total: Duration,
    /// When the request was written.
    pub sent: Instant,
}

/// What has come of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A whole body, or what may still be one.
    Whole,
    /// A stream without a token.
    Stream,
    /// A stream with tokens, and when something came last.
    Tokens(Instant),
}

impl Patience<'_> {
    /// How long the head of a response may take, from the request. Without a stream it comes with the whole answer.
    pub fn head(&self, stream: bool) -> Duration {
        if stream { self.timeouts.first_token.min(self.total) } else { self.total }
    }

    /// What it means that the head did not come.
    pub fn headless(&self, stream: bool) -> Failure {
        let within = self.head(stream);
        let kind = if within == self.total { FailureKind::TotalTimeout } else { FailureKind::HeaderTimeout };
        Failure { kind, message: format!("no response within {}", show(within)) }
    }

    /// When the wait for more is over.
    pub fn until(&self, stage: Stage) -> Instant {
        let end = self.sent + self.total;
        match stage {
            Stage::Whole => end,
            Stage::Stream => end.min(self.sent + self.timeouts.first_token),
            Stage::Tokens(last) => end.min(last + self.timeouts.idle),
        }
    }

    /// What it means that the wait was over at `now`.
    pub fn over(&self, stage: Stage, now: Instant) -> Failure {
        let (kind, message) = match stage {
            _ if now >= self.sent + self.total => {
                (FailureKind::TotalTimeout, format!("the answer was not complete within {}", show(self.total)))
            }
            Stage::Tokens(_) => (FailureKind::IdleTimeout, format!("the stream stalled: nothing for {}", show(self.timeouts.idle))),
            _ => (FailureKind::TtftTimeout, format!("no token within {}", show(self.timeouts.first_token))),
        };
        Failure { kind, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_a_limit_of_its_own() {
        let ms = Duration::from_millis;
        let timeouts = Timeouts { connect: ms(1), first_token: ms(200), idle: ms(50), total: ms(9) };
        let sent = Instant::now();
        let patience = Patience { timeouts: &timeouts, total: ms(1000), sent };
        for (stage, until, kind) in [
            (Stage::Whole, 1000, FailureKind::TotalTimeout),
            (Stage::Stream, 200, FailureKind::TtftTimeout),
            (Stage::Tokens(sent + ms(600)), 650, FailureKind::IdleTimeout),
            (Stage::Tokens(sent + ms(990)), 1000, FailureKind::TotalTimeout),
        ] {
            assert_eq!(patience.until(stage), sent + ms(until));
            assert_eq!(patience.over(stage, sent + ms(until)).kind, kind, "{stage:?}");
        }
        assert_eq!((patience.head(true), patience.head(false)), (ms(200), ms(1000)));
        assert_eq!((patience.headless(true).kind, patience.headless(false).kind), (FailureKind::HeaderTimeout, FailureKind::TotalTimeout));
    }
}
