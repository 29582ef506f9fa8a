//! The engine of loads: sends requests by users or by a schedule, adds up what comes back, and climbs from level to level.
//! Generic over who answers and over the clock, so that hours of load can be simulated in seconds.

mod engine;
pub mod feed;
mod run;

pub use engine::{Engine, Terms};
pub use run::{Ask, Beat, Outcome, Told, run};

use crate::load::sample::Sample;
use crate::load::tally::Tally;
use crate::record::load::Level;
use crate::target::{Lane, Parcel};
use feed::Shot;
use std::time::Instant;

/// Answers requests, one at a time.
pub trait Caller: Send + 'static {
    /// Sends `shot` and measures what comes back into `sample`.
    fn call(&mut self, shot: &Shot, sample: &mut Sample) -> impl Future<Output = ()> + Send;
}

impl Caller for Lane {
    async fn call(&mut self, shot: &Shot, sample: &mut Sample) {
        let parcel = Parcel { body: &shot.body, total: shot.timeout, stream: shot.stream, accept: &shot.accept };
        self.ask(&parcel, sample).await;
    }
}

/// What a level tells while it runs.
pub enum Pulse<'a> {
    Second {
        tally: &'a mut Tally,
        now: Instant,
    },
    /// Figures of one period of a soak.
    Period(Box<Level>),
}
