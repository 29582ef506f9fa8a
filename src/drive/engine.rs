//! Runs one level of load: users who wait for their answers, or a schedule that waits for nobody.

use super::feed::{Feed, Shot};
use super::{Caller, Pulse};
use crate::clock::Clock;
use crate::load::climb::{LevelSpec, Mode};
use crate::load::sample::Sample;
use crate::load::schedule::{Leg, Schedule, length, value_at};
use crate::load::tally::{Tally, Ticket};
use crate::record::load::Level;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Settings that hold for every level of a load.
#[derive(Debug, Clone)]
pub struct Terms {
    pub think_time: Option<Range<Duration>>,
    pub warm_up: Duration,
    /// Requests at once in an open loop, at most.
    pub max_in_flight: u64,
    pub seed: u64,
    /// How often figures of a period are wanted, in a soak.
    pub report_every: Option<Duration>,
}

/// A load's engine: what is shared by all its requests.
pub struct Engine<C, F> {
    pub clock: Clock,
    pub tally: Arc<Mutex<Tally>>,
    pub feed: Arc<Feed>,
    pub terms: Terms,
    make: F,
    /// Callers without work, with their open connections.
    idle: Arc<Mutex<Vec<C>>>,
    /// Set when the load should end early.
    stop: watch::Sender<bool>,
}

/// A request in flight; counted as cancelled when its task is dropped.
struct InFlight {
    tally: Arc<Mutex<Tally>>,
    clock: Clock,
    ticket: Option<Ticket>,
}

impl InFlight {
    fn begin(tally: &Arc<Mutex<Tally>>, clock: &Clock) -> InFlight {
        let ticket = lock(tally).begin(clock.now());
        InFlight { tally: tally.clone(), clock: clock.clone(), ticket: Some(ticket) }
    }

    fn finish(mut self, sample: &Sample) {
        if let Some(ticket) = self.ticket.take() {
            lock(&self.tally).finish(sample, ticket);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            lock(&self.tally).cancel(self.clock.now(), ticket);
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().expect("no panic under this lock")
}

/// The end of a level, as far as every task must know it.
#[derive(Clone)]
struct Ends {
    at: Option<Instant>,
    left: Option<Arc<AtomicU64>>,
    stop: watch::Receiver<bool>,
}

impl Ends {
    /// Takes the right to send one more request.
    fn take(&self, now: Instant) -> bool {
        let open = !*self.stop.borrow() && self.at.is_none_or(|at| now < at);
        open && self.left.as_ref().is_none_or(|left| left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok())
    }

    /// True once no request will be sent any more.
    fn is_over(&self, now: Instant) -> bool {
        *self.stop.borrow() || self.at.is_some_and(|at| now >= at) || self.left.as_ref().is_some_and(|l| l.load(Ordering::Relaxed) == 0)
    }
}

impl<C: Caller, F: Fn() -> C + Send + Sync + 'static> Engine<C, F> {
    pub fn new(clock: Clock, tally: Tally, feed: Feed, terms: Terms, make: F) -> Engine<C, F> {
        let (stop, _) = watch::channel(false);
        Engine { clock, tally: Arc::new(Mutex::new(tally)), feed: Arc::new(feed), terms, make, idle: Arc::default(), stop }
    }

    /// Replaces what is sent, between levels.
    pub fn feed_with(&mut self, feed: Feed) {
        self.feed = Arc::new(feed);
    }

    /// Ends the level early; what is in flight may finish.
    pub fn stop(&self) {
        let _ = self.stop.send(true);
    }

    /// A handle that ends the level early from elsewhere.
    pub fn stopper(&self) -> watch::Sender<bool> {
        self.stop.clone()
    }

    fn caller(&self) -> C {
        self.idle.lock().expect("no panic under this lock").pop().unwrap_or_else(&self.make)
    }

    /// Runs a level to its end, drain included. `pulse` is called every second and may end it early by giving a reason; soaks
    /// also give it the figures of each period.
    pub async fn level(&self, spec: &LevelSpec, mut pulse: impl FnMut(Pulse<'_>) -> Option<String>) -> (Level, Option<String>) {
        let start = self.clock.now();
        lock(&self.tally).begin_level(spec.target, start);
        // Without a ramp and a warm-up the load is steady from its first request.
        let jumps = match &spec.mode {
            Mode::Closed { legs } | Mode::Open { legs, .. } => legs.first().is_some_and(|l| l.over.is_zero() && l.to >= spec.target),
            _ => true,
        };
        if jumps && self.terms.warm_up.is_zero() {
            lock(&self.tally).steady(start, true);
        }
        let rows =
            (spec.requests.is_none() && spec.duration.is_none() && !matches!(spec.mode, Mode::Trace { .. })).then(|| self.feed.rows());
        let ends = Ends {
            at: spec.duration.map(|d| start + d),
            left: spec.requests.or(rows).map(|n| Arc::new(AtomicU64::new(n))),
            stop: self.stop.subscribe(),
        };
        let mut tasks = JoinSet::new();
        let mut why = None;
        let stopped_at;
        {
            let mut issuing = std::pin::pin!(self.issue(spec, start, ends.clone(), &mut tasks));
            let mut beat = start + Duration::from_secs(1);
            let mut period = self.terms.report_every.map(|every| start + every);
            loop {
                tokio::select! {
                    biased;
                    () = &mut issuing => break,
                    () = self.clock.sleep_until(beat) => {
                        beat += Duration::from_secs(1);
                        let now = self.clock.now();
                        let steady = self.is_steady(spec, start, now);
                        let mut tally = lock(&self.tally);
                        tally.steady(now, steady);
                        if why.is_none() {
                            why = pulse(Pulse::Second { tally: &mut tally, now });
                        }
                        if period.is_some_and(|p| now >= p) {
                            period = period.zip(self.terms.report_every).map(|(p, every)| p + every);
                            if let Some(figures) = tally.end_period(now) {
                                why = why.or(pulse(Pulse::Period(Box::new(figures))));
                            }
                        }
                        drop(tally);
                        if why.is_some() {
                            self.stop();
                        }
                    }
                }
            }
            stopped_at = self.clock.now();
            lock(&self.tally).steady(stopped_at, false);
        }
        // What is in flight may finish; what takes longer than any request may is given up.
        let patience = stopped_at + self.feed.longest() + Duration::from_secs(1);
        let mut beat = self.clock.now() + Duration::from_secs(1);
        loop {
            tokio::select! {
                biased;
                next = tasks.join_next() => if next.is_none() { break },
                () = self.clock.sleep_until(beat) => {
                    beat += Duration::from_secs(1);
                    let now = self.clock.now();
                    pulse(Pulse::Second { tally: &mut lock(&self.tally), now });
                    if now >= patience {
                        tasks.abort_all();
                    }
                }
            }
        }
        let now = self.clock.now();
        let mut tally = lock(&self.tally);
        if let Some(last) = tally.end_period(now).filter(|l| l.counts.scheduled > 0 && l.ended_s - l.started_s > 1.0) {
            pulse(Pulse::Period(Box::new(last)));
        }
        (tally.level(stopped_at, now), why)
    }

    /// Whether latencies of requests that start now belong to the steady window.
    fn is_steady(&self, spec: &LevelSpec, start: Instant, now: Instant) -> bool {
        let t = now.saturating_duration_since(start);
        let (Mode::Closed { legs } | Mode::Open { legs, .. }) = &spec.mode else { return t >= self.terms.warm_up };
        let ramped: Duration = legs.iter().take_while(|l| l.to < spec.target || l.over.is_zero()).map(|l| l.over).sum();
        let first = legs.first().filter(|l| l.to >= spec.target).map_or(Duration::ZERO, |l| l.over);
        if t < self.terms.warm_up.max(ramped).max(first) || value_at(legs, t.as_secs_f64()) < spec.target * 0.999 {
            return false;
        }
        // Users who think are not always waiting for an answer.
        let thinks = self.terms.think_time.as_ref().is_some_and(|t| t.end > Duration::ZERO);
        if thinks || !matches!(spec.mode, Mode::Closed { .. }) {
            return true;
        }
        lock(&self.tally).lately(now) >= 0.9 * spec.target
    }

    async fn issue(&self, spec: &LevelSpec, start: Instant, ends: Ends, tasks: &mut JoinSet<()>) {
        match &spec.mode {
            Mode::Closed { legs } => self.users(legs, start, &ends, tasks).await,
            Mode::Open { legs, arrivals } => {
                let schedule = Schedule::rate(legs.clone(), *arrivals, self.terms.seed, spec.requests);
                self.arrivals(schedule, start, &ends, tasks).await;
            }
            Mode::Interval { every } => self.arrivals(Schedule::every(*every, spec.requests, spec.duration), start, &ends, tasks).await,
            Mode::Trace { at_s } => self.arrivals(Schedule::trace(at_s.clone()), start, &ends, tasks).await,
        }
    }

    /// Starts users as the profile says, and waits until no more requests may be sent.
    async fn users(&self, legs: &[Leg], start: Instant, ends: &Ends, tasks: &mut JoinSet<()>) {
        let most = legs.iter().map(|l| l.to).fold(0.0, f64::max).ceil() as u64;
        let mut stop = ends.stop.clone();
        for number in 1..=most {
            let Some(at) = reaches(legs, number as f64) else { break };
            let at = start + Duration::from_secs_f64(at);
            if at > self.clock.now() {
                tokio::select! {
                    () = self.clock.sleep_until(at) => {}
                    _ = stop.wait_for(|s| *s) => {}
                }
            }
            if ends.is_over(self.clock.now()) {
                break;
            }
            tasks.spawn(self.user(number, legs.to_vec(), start, ends.clone()));
        }
        let over = start + length(legs);
        let by_time = ends.at.unwrap_or(over).max(start);
        if ends.at.is_some() {
            tokio::select! {
                () = self.clock.sleep_until(by_time) => {}
                _ = stop.wait_for(|s| *s) => {}
                () = join_all(tasks), if ends.left.is_some() => {}
            }
        } else {
            tokio::select! {
                () = join_all(tasks) => {}
                _ = stop.wait_for(|s| *s) => {}
            }
        }
    }

    fn user(&self, number: u64, legs: Vec<Leg>, start: Instant, ends: Ends) -> impl Future<Output = ()> + Send + use<C, F> {
        let (clock, tally, feed, idle) = (self.clock.clone(), self.tally.clone(), self.feed.clone(), self.idle.clone());
        let think_time = self.terms.think_time.clone();
        let mut caller = self.caller();
        let mut rng = ChaCha8Rng::seed_from_u64(self.terms.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        async move {
            let mut scheduled = clock.now();
            let mut stop = ends.stop.clone();
            let mut spare = Vec::new();
            loop {
                let now = clock.now();
                // A profile that goes down sends the last users away.
                if value_at(&legs, now.saturating_duration_since(start).as_secs_f64()) + 1e-9 < number as f64 && !ends.is_over(now) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    scheduled = clock.now();
                    continue;
                }
                if !ends.take(now) {
                    break;
                }
                let shot = feed.next(&mut rng);
                let mut sample = Sample::new(shot.input, scheduled.min(now), now);
                sample.chunks = std::mem::take(&mut spare);
                sample.chars_in = shot.chars;
                let in_flight = InFlight::begin(&tally, &clock);
                caller.call(&shot, &mut sample).await;
                in_flight.finish(&sample);
                if sample.failed.is_some() {
                    // A service that refuses at once must not be asked as fast as the machine can.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                spare = std::mem::take(&mut sample.chunks);
                spare.clear();
                scheduled = clock.now();
                if let Some(range) = &think_time {
                    let span = range.end.saturating_sub(range.start);
                    let thought = range.start + span.mul_f64(rng.random::<f64>());
                    scheduled += thought;
                    tokio::select! {
                        () = clock.sleep_until(scheduled) => {}
                        _ = stop.wait_for(|s| *s) => {}
                    }
                }
            }
            idle.lock().expect("no panic under this lock").push(caller);
        }
    }

    async fn arrivals(&self, schedule: Schedule, start: Instant, ends: &Ends, tasks: &mut JoinSet<()>) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.terms.seed ^ 0x5bd1_e995);
        let mut stop = ends.stop.clone();
        for at in schedule {
            let at = start + Duration::from_secs_f64(at);
            if at > self.clock.now() {
                tokio::select! {
                    () = self.clock.sleep_until(at) => {}
                    _ = stop.wait_for(|s| *s) => return,
                }
            }
            let now = self.clock.now();
            if !ends.take(now.min(at)) {
                return;
            }
            let full = {
                let mut tally = lock(&self.tally);
                tally.scheduled += 1;
                let full = tally.in_flight >= self.terms.max_in_flight;
                if full {
                    tally.drop_one(now);
                }
                full
            };
            if full {
                continue;
            }
            tasks.spawn(self.arrival(self.feed.next(&mut rng), at, now));
            while tasks.try_join_next().is_some() {}
        }
        // A schedule without an end of its own runs to the end of its time.
        if let Some(at) = ends.at {
            tokio::select! {
                () = self.clock.sleep_until(at) => {}
                _ = stop.wait_for(|s| *s) => {}
            }
        }
    }

    fn arrival(&self, shot: Shot, scheduled: Instant, taken: Instant) -> impl Future<Output = ()> + Send + use<C, F> {
        let in_flight = InFlight::begin(&self.tally, &self.clock);
        let idle = self.idle.clone();
        let mut caller = self.caller();
        async move {
            let mut sample = Sample::new(shot.input, scheduled, taken);
            sample.chars_in = shot.chars;
            caller.call(&shot, &mut sample).await;
            in_flight.finish(&sample);
            idle.lock().expect("no panic under this lock").push(caller);
        }
    }
}

async fn join_all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// The first moment, in seconds, at which a profile reaches a value.
fn reaches(legs: &[Leg], value: f64) -> Option<f64> {
    let (mut from, mut begins) = (0.0, 0.0);
    for leg in legs {
        let over = leg.over.as_secs_f64();
        if from >= value {
            return Some(begins);
        }
        if leg.to >= value {
            return Some(begins + if leg.to > from { over * (value - from) / (leg.to - from) } else { over });
        }
        begins += over;
        from = leg.to;
    }
    (from >= value).then_some(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_as_the_profile_says() {
        let legs = [Leg { over: Duration::from_secs(10), to: 100.0 }, Leg { over: Duration::from_secs(60), to: 100.0 }];
        assert_eq!(reaches(&legs, 1.0), Some(0.1));
        assert_eq!(reaches(&legs, 100.0), Some(10.0));
        assert_eq!(reaches(&legs, 101.0), None);
        let at_once = [Leg { over: Duration::ZERO, to: 8.0 }, Leg { over: Duration::from_secs(5), to: 8.0 }];
        assert_eq!(reaches(&at_once, 8.0), Some(0.0));
    }
}
