//! Which level of load comes next, and whether the service bears the last one.

use super::schedule::{Arrivals, Leg};
use super::{Objective, Of, Shape, Stop, Until, show_ms};
use crate::record::load::{Found, Level, Tick};
use crate::stats::dist::{beta_quantile, upper_rate};
use crate::stats::trend::{mann_kendall, theil_sen_inflated};
use crate::units::{Share, show};
use std::time::Duration;

/// One level to run.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelSpec {
    pub target: f64,
    pub mode: Mode,
    /// Ends after this, by itself or with the profile.
    pub duration: Option<Duration>,
    pub requests: Option<u64>,
    /// Index of the sweep's prompt length.
    pub sweep: Option<usize>,
}

/// Who decides when a request starts.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// Users who wait for their answers; how many over time.
    Closed {
        legs: Vec<Leg>,
    },
    /// A rate over time.
    Open {
        legs: Vec<Leg>,
        arrivals: Arrivals,
    },
    /// One request every so often.
    Interval {
        every: Duration,
    },
    Trace {
        at_s: Vec<f64>,
    },
}

/// What to do after a level.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Run(Box<LevelSpec>),
    Done(Option<Found>),
}

/// Levels so far and the rule for the next.
#[derive(Debug)]
pub struct Climb {
    shape: Shape,
    objective: Objective,
    /// For shapes with a fixed number of levels: which comes next.
    next: usize,
    search: Search,
    /// The level a soak runs at.
    soak_level: f64,
}

#[derive(Debug, Default)]
struct Search {
    last_stable: Option<f64>,
    first_unstable: Option<f64>,
    reason: String,
    confirmed: u32,
    /// Levels that still have to be confirmed, in the order drawn.
    queue: Vec<f64>,
    proven: bool,
}

fn closed(users: f64, spawn_rate: Option<f64>, duration: Option<Duration>, requests: Option<u64>) -> LevelSpec {
    let over = spawn_rate.filter(|r| *r > 0.0).map_or(Duration::ZERO, |r| Duration::from_secs_f64(users / r));
    let mut legs = vec![Leg { over, to: users }];
    if let Some(duration) = duration {
        legs.push(Leg { over: duration.saturating_sub(over), to: users });
    }
    LevelSpec { target: users, mode: Mode::Closed { legs }, duration, requests, sweep: None }
}

fn open(rate: f64, arrivals: Arrivals, duration: Option<Duration>, requests: Option<u64>) -> LevelSpec {
    // Without a duration the number of requests ends it; the profile must be long enough in any case.
    let over = duration.unwrap_or_else(|| Duration::from_secs_f64((requests.unwrap_or(1) as f64 / rate * 4.0 + 60.0).min(1e7)));
    let legs = vec![Leg { over: Duration::ZERO, to: rate }, Leg { over, to: rate }];
    LevelSpec { target: rate, mode: Mode::Open { legs, arrivals }, duration, requests, sweep: None }
}

fn level(of: Of, target: f64, every: Duration) -> LevelSpec {
    match of {
        // All at once would be a burst that no step of ten users has in life: a tenth of the level's time at most.
        Of::Users => closed(target, Some((target / (every.as_secs_f64() / 10.0)).max(1.0)), Some(every), None),
        Of::Rate => open(target, Arrivals::Poisson, Some(every), None),
    }
}

impl Climb {
    /// `soak_level` is the level that a soak runs at, when an earlier load found it.
    pub fn new(shape: Shape, objective: Objective, soak_level: Option<f64>) -> Climb {
        let level = match &shape {
            Shape::Soak { share, level, .. } => soak_level.map(|found| (found * share.0).floor().max(1.0)).or(*level).unwrap_or(1.0),
            _ => 0.0,
        };
        Climb { shape, objective, next: 0, search: Search { proven: true, ..Search::default() }, soak_level: level }
    }

    /// What comes after `last`, which is judged on the way: whether it was borne, and why not, is written into it.
    /// `ticks` are those of the level, `invalid` says what was wrong with the client, and `random` is from 0 to 1.
    pub fn next(&mut self, last: Option<(&mut Level, &[Tick], Option<&str>)>, random: f64) -> Step {
        let place = self.next;
        self.next += 1;
        let once = |spec: LevelSpec| if place == 0 { Step::Run(Box::new(spec)) } else { Step::Done(None) };
        match self.shape.clone() {
            Shape::Constant { users, spawn_rate, duration, requests } => once(closed(users as f64, spawn_rate, duration, requests)),
            Shape::Rate { rate, arrivals, duration, requests } => once(open(rate, arrivals, duration, requests)),
            Shape::Interval { every, duration, requests } => {
                let target = 1.0 / every.as_secs_f64().max(1e-9);
                once(LevelSpec { target, mode: Mode::Interval { every }, duration, requests, sweep: None })
            }
            Shape::Trace { at_s } => {
                let span = at_s.iter().copied().fold(0.0, f64::max);
                let target = if span > 0.0 { at_s.len() as f64 / span } else { at_s.len() as f64 };
                once(LevelSpec { target, mode: Mode::Trace { at_s }, duration: None, requests: None, sweep: None })
            }
            Shape::Stages { of, legs } => {
                let target = legs.iter().map(|l| l.to).fold(0.0, f64::max);
                let duration = Some(super::schedule::length(&legs));
                let mode = match of {
                    Of::Users => Mode::Closed { legs },
                    Of::Rate => Mode::Open { legs, arrivals: Arrivals::Poisson },
                };
                once(LevelSpec { target, mode, duration, requests: None, sweep: None })
            }
            Shape::Soak { of, duration, .. } => once(match of {
                // A twentieth of the time, a minute at most, to come up.
                Of::Users => {
                    closed(self.soak_level, Some(self.soak_level / (duration.as_secs_f64() / 20.0).clamp(1e-3, 60.0)), Some(duration), None)
                }
                Of::Rate => open(self.soak_level, Arrivals::Poisson, Some(duration), None),
            }),
            Shape::Sweep { tokens, users, requests } => match place < tokens.len() {
                true => {
                    let mut spec = closed(users as f64, None, None, Some(requests));
                    spec.sweep = Some(place);
                    Step::Run(Box::new(spec))
                }
                false => Step::Done(None),
            },
            Shape::Rounds { users, interval, rounds, spawn_rate, duration, requests, stop } => {
                let stopped = last.as_ref().and_then(|(level, ..)| stops(level, &stop));
                if let (Some((level, ..)), Some(why)) = (last, &stopped) {
                    level.stable = Some(false);
                    level.why.clone_from(why);
                }
                match stopped.is_none() && (place as u64) < rounds {
                    true => Step::Run(Box::new(closed((users + interval * place as u64) as f64, spawn_rate, duration, requests))),
                    false => Step::Done(None),
                }
            }
            Shape::Ramp { of, from, step, every, until, max } => self.ramp(last, of, (from, step, max), every, &until),
            Shape::Search { of, from, max, every, limit } => self.search(last, of, (from, max), every, limit, random),
        }
    }

    fn ramp(
        &mut self,
        last: Option<(&mut Level, &[Tick], Option<&str>)>,
        of: Of,
        (from, step, max): (f64, f64, f64),
        every: Duration,
        until: &Until,
    ) -> Step {
        let Some((last, _, invalid)) = last else { return Step::Run(Box::new(level(of, from, every))) };
        if let Some(why) = breaks(last, until).or(invalid.map(|why| format!("the client was the limit: {why}"))) {
            last.stable = Some(false);
            last.why.clone_from(&why);
            self.search.first_unstable = Some(last.target);
            self.search.reason = why;
            return self.done();
        }
        let needed = until.error_rate.map_or(0.0, |limit| (3.0 / limit.0.max(1e-9)).ceil());
        let proven = last.counts.scheduled as f64 >= needed;
        last.stable = Some(true);
        last.why = match proven {
            true => "borne".into(),
            false => format!(
                "borne by its point rate: {} requests, and {needed:.0} clean ones would prove the error limit",
                last.counts.scheduled
            ),
        };
        self.search.proven &= proven;
        self.search.last_stable = Some(last.target);
        if last.target >= max {
            self.search.reason = format!("{max:.0} is the highest level of this ramp");
            return self.done();
        }
        Step::Run(Box::new(level(of, (last.target + step).min(max), every)))
    }

    fn search(
        &mut self,
        last: Option<(&mut Level, &[Tick], Option<&str>)>,
        of: Of,
        (from, max): (f64, f64),
        every: Duration,
        limit: Share,
        random: f64,
    ) -> Step {
        let Some((last, ticks, invalid)) = last else { return Step::Run(Box::new(level(of, from, every))) };
        let (stable, why, proven) = match bears(last, ticks, of, limit, &self.objective) {
            _ if invalid.is_some() => (false, format!("the client was the limit: {}", invalid.unwrap_or_default()), false),
            judged => judged,
        };
        last.stable = Some(stable);
        last.why.clone_from(&why);
        let s = &mut self.search;
        let target = last.target;
        if stable {
            s.proven = proven;
            s.last_stable = Some(s.last_stable.map_or(target, |l| l.max(target)));
            if s.last_stable == Some(target) && s.queue.first() == Some(&target) {
                s.confirmed += 1;
            }
            // What bore more than what once failed: the failure was noise, or the stable one is. Measure above again.
            if s.first_unstable.is_some_and(|u| u <= target) {
                s.first_unstable = None;
            }
        } else {
            s.reason = why;
            s.first_unstable = Some(s.first_unstable.map_or(target, |u| u.min(target)));
            if s.last_stable.is_some_and(|l| l >= target) {
                // It was borne before and is not now: not stable enough to be called so.
                s.last_stable = None;
                s.confirmed = 0;
            }
        }
        s.queue.retain(|q| *q != target);
        let whole = |v: f64| if of == Of::Users { v.round() } else { (v * 100.0).round() / 100.0 };
        let next = match (s.last_stable, s.first_unstable) {
            (None, None) => return self.done(),
            (Some(low), None) if low >= max => {
                s.reason = format!("{} is the highest level of this search", super::count(max));
                return self.done();
            }
            (Some(low), None) => whole((low * 2.0).min(max)),
            (None, Some(high)) => {
                let below = whole(high / 2.0);
                if below < from.min(1.0) || below >= high || (of == Of::Users && below < 1.0) {
                    return self.done();
                }
                below
            }
            (Some(low), Some(high)) => {
                let step = if of == Of::Users { 1.0 } else { 0.0 };
                if high - low <= (low * 0.1).max(step) {
                    if s.confirmed >= 2 || self.next > 60 {
                        return self.done();
                    }
                    // Confirmed twice each, in random order.
                    if s.queue.is_empty() {
                        s.queue = if random < 0.5 { vec![low, high] } else { vec![high, low] };
                        if s.confirmed > 0 {
                            s.queue = vec![low];
                        }
                    }
                    s.queue[0]
                } else {
                    whole((low + high) / 2.0)
                }
            }
        };
        if self.next > 80 {
            return self.done();
        }
        Step::Run(Box::new(level(of, next, every)))
    }

    fn done(&self) -> Step {
        let s = &self.search;
        Step::Done(Some(Found {
            last_stable: s.last_stable,
            first_unstable: s.first_unstable,
            reason: s.reason.clone(),
            proven: s.proven && s.last_stable.is_some(),
            knee: None,
        }))
    }
}

/// The level with the most output for its latency.
pub fn knee(levels: &[Level]) -> Option<f64> {
    let power = |l: &Level| {
        let work = if l.figures.output_tps > 0.0 { l.figures.output_tps } else { l.figures.rps_ok };
        Some(work / l.figures.e2e.as_ref()?.mean.max(1e-9))
    };
    levels.iter().filter_map(|l| Some((l.target, power(l)?))).max_by(|a, b| a.1.total_cmp(&b.1)).map(|(target, _)| target)
}

fn stops(level: &Level, stop: &Stop) -> Option<String> {
    let over = |dist: &Option<crate::record::load::Dist>, limit: Option<Duration>, what: &str| {
        let (dist, limit) = (dist.as_ref()?, limit?);
        (dist.mean > limit.as_secs_f64() * 1e3).then(|| format!("mean {what} {} is over {}", show_ms(dist.mean), show(limit)))
    };
    let success = Share(1.0 - level.counts.error_rate());
    over(&level.figures.ttft, stop.first_token, "time to first token")
        .or_else(|| over(&level.figures.e2e, stop.round_latency, "time of an answer"))
        .or_else(|| stop.success_rate.filter(|s| success < *s).map(|s| format!("{success} of the requests succeeded, {s} asked")))
}

/// Why a level of a ramp is no longer borne, if it is not. Of a level that goes on, what is in flight has not failed.
pub fn breaks(level: &Level, until: &Until) -> Option<String> {
    let lost = level.counts.failed + level.counts.cancelled + level.counts.dropped;
    let ended = level.counts.ok + lost;
    if ended == 0 && level.counts.scheduled > 0 {
        return None;
    }
    if level.counts.ok == 0 {
        return Some("no request succeeded".into());
    }
    let rate = lost as f64 / ended as f64;
    if let Some(limit) = until.error_rate.filter(|l| rate > l.0) {
        return Some(format!("error rate {} ({lost} of {ended}) is over {limit}", Share(rate)));
    }
    let broken = until.ceilings.iter().find_map(|c| c.broken_by(&level.figures).map(|v| (c, v)))?;
    Some(format!("{} {} is {}, {} allowed", broken.0.metric.word(), broken.0.stat.word(), show_ms(broken.1), show(broken.0.max)))
}

/// Whether the service bears a level, why, and whether that is proven at 95 %.
pub fn bears(level: &Level, ticks: &[Tick], of: Of, limit: Share, objective: &Objective) -> (bool, String, bool) {
    let counts = level.counts;
    let n = counts.scheduled;
    let lost = n - counts.ok.min(n);
    if counts.ok == 0 {
        return (false, "no request succeeded".into(), true);
    }
    let needed = [200.0, 10.0 * level.target, 3.0 / limit.0.max(1e-9)].into_iter().fold(0.0, f64::max).ceil();
    let proven = n as f64 >= needed;
    let rate = Share(counts.error_rate());
    let upper = upper_rate(lost, n);
    let too_many = if proven { upper > limit.0 } else { rate > limit };
    if too_many {
        let bound = if proven { format!(", at most {} at 95 %", Share(upper)) } else { String::new() };
        return (false, format!("error rate {rate} ({lost} of {n}{bound}) is over {limit}"), proven);
    }
    if !objective.is_none() {
        let wanted = objective.share.unwrap_or(Share(0.95));
        let met = counts.good;
        let lower = if met == 0 { 0.0 } else { beta_quantile(0.05, met as f64, (n - met) as f64 + 1.0) };
        let share = Share(met as f64 / n as f64);
        if (proven && lower < wanted.0) || share < wanted {
            return (false, format!("{share} of {n} requests met the objective, {wanted} asked"), proven);
        }
    }
    if level.figures.achieved < 0.98 {
        return (false, format!("only {} of the scheduled requests could be sent", Share(level.figures.achieved)), proven);
    }
    let (from, to) = level.window_s.unwrap_or((level.started_s, level.ended_s));
    let steady: Vec<&Tick> = ticks.iter().filter(|t| t.t_s >= from && t.t_s < to).collect();
    if of == Of::Rate {
        let in_flight: Vec<f64> = steady.iter().map(|t| t.in_flight).collect();
        if let Some(why) = grows(&in_flight, "requests in flight") {
            return (false, why, proven);
        }
    }
    let ttft: Vec<f64> = steady.iter().filter_map(|t| t.ttft_p50).collect();
    if let Some(why) = grows(&ttft, "time to first token") {
        return (false, why, proven);
    }
    if let Some(cv) = level.figures.variation_qps {
        // Few completions vary by chance alone.
        let mean = level.figures.rps_ok * level.figures.qps_bin_s;
        let chance = 2.0 / mean.max(1e-9).sqrt();
        if cv > 0.1_f64.max(chance) && of == Of::Users {
            return (
                false,
                format!("throughput varies by {} from {:.0} s to {:.0} s", Share(cv), level.figures.qps_bin_s, level.figures.qps_bin_s),
                proven,
            );
        }
    }
    let why = match proven {
        true => format!("borne: {lost} of {n} requests failed, at most {} at 95 %", Share(upper)),
        false => format!("borne by its point rate: {n} requests, {needed:.0} would prove it"),
    };
    (true, why, proven)
}

/// Tells when values rise, surely and by more than a tenth of their level over the window.
fn grows(values: &[f64], what: &str) -> Option<String> {
    if values.len() < 10 {
        return None;
    }
    // Means of about thirty groups, so that neighbours say less about one another.
    let per = values.len().div_ceil(30).max(1);
    let means: Vec<f64> = values.chunks(per).map(|c| c.iter().sum::<f64>() / c.len() as f64).collect();
    let test = mann_kendall(&means)?;
    let x: Vec<f64> = (0..means.len()).map(|i| i as f64).collect();
    let (slope, lower, _) = theil_sen_inflated(&x, &means, test.inflation)?;
    let level = means.iter().sum::<f64>() / means.len() as f64;
    let rise = slope * means.len() as f64;
    (test.p_corrected < 0.01 && lower > 0.0 && rise > 0.25 * level)
        .then(|| format!("{what} keeps growing: by {:.0} % of its mean within the window", rise / level * 100.0))
}
