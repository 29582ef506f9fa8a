//! Climbs from level to level, and tells what happens on the way.

use super::engine::{Engine, Terms};
use super::feed::Feed;
use super::{Caller, Pulse};
use crate::clock::Clock;
use crate::load::climb::{Climb, Step, breaks, knee};
use crate::load::histogram::Histogram;
use crate::load::tally::{Interval, Setup, Tally};
use crate::load::{Abort, Objective, Price, Shape};
use crate::record::load::{FirstError, Found, Level, Tick};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Everything that a load needs to know.
pub struct Ask {
    pub shape: Shape,
    pub objective: Objective,
    pub price: Option<Price>,
    pub terms: Terms,
    pub abort: Option<Abort>,
    /// Rest between levels, after the drain.
    pub cool_down: Duration,
    /// The maximum that a soak takes its share of.
    pub soak_level: Option<f64>,
    /// What is sent; of a sweep, for each prompt length.
    pub feeds: Vec<Feed>,
    /// Distributions every ten seconds, for an interval log.
    pub intervals: bool,
    /// What is wrong with the client itself, if anything, right now.
    pub problem: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

/// What happened.
pub enum Told {
    /// A level begins.
    Level { target: f64 },
    /// A second has passed.
    Second(Beat),
    /// A soak's period has its figures.
    Period(Box<Level>),
    /// A level has its figures.
    Finished(Box<Level>),
    /// Distributions of ten seconds.
    Interval { at_s: f64, length_s: f64, values: Box<Interval> },
}

/// How things stand.
#[derive(Debug, Clone, Default)]
pub struct Beat {
    pub t_s: f64,
    pub in_flight: u64,
    /// The last complete moment of the time series, and how long it is.
    pub tick: Tick,
    pub tick_s: f64,
    /// Over the whole load.
    pub ok: u64,
    pub failed: u64,
    pub tokens: f64,
}

/// What a load came to, as far as the engine knows.
#[derive(Debug, Default)]
pub struct Outcome {
    pub levels: Vec<Level>,
    pub periods: Vec<Level>,
    pub found: Option<Found>,
    pub ticks: Vec<Tick>,
    pub tick_s: f64,
    pub first_errors: Vec<FirstError>,
    pub lag: Histogram,
    /// How late a task was woken on the engine's threads, in microseconds: bytes of an answer wait as long for their stamp.
    pub wake: Histogram,
    pub opened: u64,
    pub reused: u64,
    pub resent: u64,
    /// Why it ended before its time.
    pub stopped: Option<String>,
    pub requests: u64,
}

/// Runs a load. `make` makes callers, `stop` is told how to end the load early, `tell` hears what happens.
pub async fn run<C: Caller>(
    mut ask: Ask,
    clock: Clock,
    make: impl Fn() -> C + Send + Sync + 'static,
    stop: impl FnOnce(watch::Sender<bool>),
    mut tell: impl FnMut(Told),
) -> Outcome {
    let start = clock.now();
    let sweep = matches!(ask.shape, Shape::Sweep { .. });
    ask.feeds.reverse();
    let Some(feed) = ask.feeds.pop() else { return Outcome::default() };
    let poisson = matches!(ask.shape, Shape::Rate { arrivals: crate::load::schedule::Arrivals::Poisson, .. });
    let setup = Setup {
        inputs: feed.names(),
        objective: ask.objective.clone(),
        price: ask.price,
        poisson,
        periods: ask.terms.report_every.is_some(),
    };
    let mut tally = Tally::new(setup, start);
    tally.interval = ask.intervals.then(Interval::default);
    let mut engine = Engine::new(clock.clone(), tally, feed, ask.terms.clone(), make);
    stop(engine.stopper());
    let wake = Arc::new(Mutex::new(Histogram::default()));
    // Virtual time is never late.
    let watch = matches!(clock, Clock::Real(_)).then(|| tokio::spawn(watch_wakes(clock.clone(), wake.clone())));
    let mut climb = Climb::new(ask.shape.clone(), ask.objective.clone(), ask.soak_level);
    let mut out = Outcome::default();
    let mut random = ask.terms.seed;
    let mut step = climb.next(None, 0.0);
    while let Step::Run(spec) = step {
        if !out.levels.is_empty() && !ask.cool_down.is_zero() {
            clock.sleep_until(clock.now() + ask.cool_down).await;
        }
        if let Some(feed) = spec.sweep.filter(|n| sweep && *n > 0).and_then(|_| ask.feeds.pop()) {
            engine.feed_with(feed);
        }
        tell(Told::Level { target: spec.target });
        let began = clock.now();
        let (mut level, why) = {
            let (abort, intervals) = (&ask.abort, ask.intervals);
            let (periods, tell) = (&mut out.periods, &mut tell);
            let mut last_interval = began;
            engine
                .level(&spec, |pulse| match pulse {
                    Pulse::Second { tally, now } => {
                        if intervals && now.saturating_duration_since(last_interval) >= Duration::from_secs(10) {
                            tell(interval(tally, start, last_interval, now));
                            last_interval = now;
                        }
                        tell(Told::Second(beat(tally, start, now)));
                        let abort = abort.as_ref().filter(|a| now.saturating_duration_since(began) >= a.after)?;
                        let level = tally.level(now, now);
                        breaks(&level, &abort.until).map(|why| format!("ended early: {why}"))
                    }
                    Pulse::Period(level) => {
                        tell(Told::Period(level.clone()));
                        periods.push(*level);
                        None
                    }
                })
                .await
        };
        if ask.intervals {
            let now = clock.now();
            let mut tally = engine.tally.lock().expect("no panic under this lock");
            tell(interval(&mut tally, start, began, now));
        }
        if let (Some(n), Shape::Sweep { tokens, .. }) = (spec.sweep, &ask.shape) {
            level.prompt_tokens = tokens.get(n).copied();
        }
        random = crate::units::fnv(random.to_le_bytes());
        let problem = (ask.problem)();
        let ticks = engine.tally.lock().expect("no panic under this lock").timeline.ticks();
        let of_level: Vec<Tick> = ticks.into_iter().filter(|t| t.t_s >= level.started_s && t.t_s < level.ended_s).collect();
        let ended = why.or_else(|| engine_stopped(&engine).then(|| "interrupted".to_owned()));
        step = climb.next(Some((&mut level, &of_level, problem.as_deref())), (random >> 11) as f64 / (1u64 << 53) as f64);
        tell(Told::Finished(Box::new(level.clone())));
        out.levels.push(level);
        if let Some(why) = ended {
            // What was found so far still stands.
            if let Step::Done(found) = &step {
                out.found.clone_from(found);
            }
            out.stopped = Some(why);
            break;
        }
    }
    if let Step::Done(found) = step {
        out.found = found.filter(|_| matches!(ask.shape, Shape::Ramp { .. } | Shape::Search { .. }));
    }
    if let Some(found) = &mut out.found {
        found.knee = knee(&out.levels);
    }
    let mut tally = engine.tally.lock().expect("no panic under this lock");
    out.ticks = tally.timeline.ticks();
    out.tick_s = tally.timeline.width_s;
    out.first_errors = std::mem::take(&mut tally.errors.firsts);
    out.first_errors.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
    out.lag = std::mem::take(&mut tally.client.lag);
    (out.opened, out.reused, out.resent) = (tally.client.opened, tally.client.reused, tally.client.resent);
    watch.iter().for_each(tokio::task::JoinHandle::abort);
    out.wake = std::mem::take(&mut wake.lock().expect("no panic under this lock"));
    out.requests = out.levels.iter().map(|l| l.counts.scheduled).sum();
    drop(tally);
    out
}

/// Time between two looks at how late the engine's threads wake a task.
const LOOK: Duration = Duration::from_millis(20);

async fn watch_wakes(clock: Clock, wake: Arc<Mutex<Histogram>>) {
    loop {
        let at = clock.now() + LOOK;
        clock.sleep_until(at).await;
        let late = clock.now().saturating_duration_since(at).as_micros() as u64;
        wake.lock().expect("no panic under this lock").record(late);
    }
}

fn engine_stopped<C: Caller, F: Fn() -> C + Send + Sync + 'static>(engine: &Engine<C, F>) -> bool {
    *engine.stopper().borrow()
}

fn interval(tally: &mut Tally, start: Instant, from: Instant, now: Instant) -> Told {
    let values = Box::new(tally.interval.replace(Interval::default()).unwrap_or_default());
    let since = |at: Instant| at.saturating_duration_since(start).as_secs_f64();
    Told::Interval { at_s: since(from), length_s: since(now) - since(from), values }
}

fn beat(tally: &Tally, start: Instant, now: Instant) -> Beat {
    let t_s = now.saturating_duration_since(start).as_secs_f64();
    let timeline = &tally.timeline;
    let (place, tick_s) = (((t_s / timeline.width_s) as usize).saturating_sub(1), timeline.width_s);
    let tick = timeline.bins.get(place).map(|bin| timeline.tick(place, bin)).unwrap_or_default();
    let totals = timeline.bins.iter().fold((0, 0, 0.0), |(ok, failed, tokens), b| (ok + b.ok, failed + b.failed, tokens + b.tokens));
    Beat { t_s, in_flight: tally.in_flight, tick, tick_s, ok: totals.0, failed: totals.1, tokens: totals.2 }
}
