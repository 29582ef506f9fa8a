//! When requests are to be sent: an absolute schedule, fixed by the seed before the load begins.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// How arrivals of an open loop are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrivals {
    #[default]
    Poisson,
    Constant,
}

/// A line of levels over time: `value` is reached after `over`, on a straight line from the one before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leg {
    pub over: Duration,
    pub to: f64,
}

/// The value of a profile at a moment, from 0; past its end the last value holds.
pub fn value_at(legs: &[Leg], t_s: f64) -> f64 {
    let mut from = 0.0;
    let mut begins = 0.0;
    for leg in legs {
        let over = leg.over.as_secs_f64();
        if t_s < begins + over {
            return from + (leg.to - from) * (t_s - begins) / over;
        }
        begins += over;
        from = leg.to;
    }
    from
}

/// Length of a profile.
pub fn length(legs: &[Leg]) -> Duration {
    legs.iter().map(|l| l.over).sum()
}

/// Moments of an open loop, in seconds from its start, one after the other.
#[derive(Debug)]
pub struct Schedule {
    kind: Kind,
    sent: u64,
    limit: Option<u64>,
    ends_s: f64,
}

#[derive(Debug)]
enum Kind {
    /// A rate that may change; `area` is the integral of the rate that the next arrival waits for.
    Rate {
        legs: Vec<Leg>,
        arrivals: Arrivals,
        rng: Box<ChaCha8Rng>,
        area: f64,
        at_s: f64,
    },
    /// Exactly one every so many seconds.
    Every {
        s: f64,
    },
    Trace {
        at_s: Vec<f64>,
    },
}

impl Schedule {
    /// A rate, requests a second, over time; ends after the profile or after `limit` requests.
    pub fn rate(legs: Vec<Leg>, arrivals: Arrivals, seed: u64, limit: Option<u64>) -> Schedule {
        let ends_s = length(&legs).as_secs_f64();
        let rng = Box::new(ChaCha8Rng::seed_from_u64(seed));
        Schedule { kind: Kind::Rate { legs, arrivals, rng, area: 0.0, at_s: 0.0 }, sent: 0, limit, ends_s }
    }

    /// One request every `interval`.
    pub fn every(interval: Duration, limit: Option<u64>, duration: Option<Duration>) -> Schedule {
        let ends_s = duration.map_or(f64::INFINITY, |d| d.as_secs_f64());
        Schedule { kind: Kind::Every { s: interval.as_secs_f64() }, sent: 0, limit, ends_s }
    }

    /// Recorded moments.
    pub fn trace(mut at_s: Vec<f64>) -> Schedule {
        at_s.sort_by(f64::total_cmp);
        Schedule { kind: Kind::Trace { at_s }, sent: 0, limit: None, ends_s: f64::INFINITY }
    }
}

impl Iterator for Schedule {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        if self.limit.is_some_and(|limit| self.sent >= limit) {
            return None;
        }
        let at = match &mut self.kind {
            Kind::Every { s } => self.sent as f64 * *s,
            Kind::Trace { at_s } => *at_s.get(self.sent as usize)?,
            Kind::Rate { legs, arrivals, rng, area, at_s } => {
                *area += match arrivals {
                    Arrivals::Constant => 1.0,
                    // Exponential gaps by inversion; 1 − u is never 0.
                    Arrivals::Poisson => -(1.0 - rng.random::<f64>()).ln(),
                };
                let found = when(legs, *area)?;
                *at_s = found;
                found
            }
        };
        self.sent += 1;
        (at < self.ends_s).then_some(at)
    }
}

/// The moment at which the integral of the rate reaches `area`.
fn when(legs: &[Leg], area: f64) -> Option<f64> {
    let (mut from, mut begins, mut left) = (0.0, 0.0, area);
    for leg in legs {
        let over = leg.over.as_secs_f64();
        let whole = (from + leg.to) / 2.0 * over;
        if left < whole {
            let slope = (leg.to - from) / over;
            let t = match slope.abs() < 1e-12 {
                true => left / from,
                // from·t + slope·t²/2 = left, in the form that does not cancel.
                false => 2.0 * left / (from + (from * from + 2.0 * slope * left).max(0.0).sqrt()),
            };
            return Some(begins + t);
        }
        left -= whole;
        begins += over;
        from = leg.to;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(s: f64, to: f64) -> Leg {
        Leg { over: Duration::from_secs_f64(s), to }
    }

    #[test]
    fn a_constant_rate_is_exact() {
        let at: Vec<f64> = Schedule::rate(vec![leg(0.0, 2000.0), leg(60.0, 2000.0)], Arrivals::Constant, 0, None).collect();
        assert!((at.len() as i64 - 120_000).abs() <= 1, "{}", at.len());
        assert!((at[999] - 0.5).abs() < 1e-9);
    }

    #[test]
    fn poisson_gaps_are_exponential() {
        let at: Vec<f64> = Schedule::rate(vec![leg(0.0, 100.0), leg(1000.0, 100.0)], Arrivals::Poisson, 7, None).collect();
        let gaps: Vec<f64> = at.windows(2).map(|w| w[1] - w[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let sd = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((mean - 0.01).abs() < 2e-4 && (sd / mean - 1.0).abs() < 0.02, "{mean} {sd}");
        let again: Vec<f64> = Schedule::rate(vec![leg(0.0, 100.0), leg(1000.0, 100.0)], Arrivals::Poisson, 7, None).collect();
        assert_eq!(at, again);
    }

    #[test]
    fn a_rising_rate_sends_its_integral() {
        // 0 to 100/s in 10 s, then 10 s of 100/s: 500 + 1000.
        let at: Vec<f64> = Schedule::rate(vec![leg(10.0, 100.0), leg(10.0, 100.0)], Arrivals::Constant, 0, None).collect();
        assert!((at.len() as i64 - 1500).abs() <= 1);
        let early = at.iter().filter(|t| **t < 5.0).count();
        assert!((early as i64 - 125).abs() <= 1);
        assert!((value_at(&[leg(10.0, 100.0), leg(10.0, 100.0)], 5.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn fixed_intervals_and_traces() {
        let at: Vec<f64> = Schedule::every(Duration::from_millis(100), Some(4), None).collect();
        assert_eq!(at.len(), 4);
        assert!((at[3] - 0.3).abs() < 1e-12);
        assert_eq!(Schedule::trace(vec![2.0, 1.0]).collect::<Vec<_>>(), [1.0, 2.0]);
        assert_eq!(Schedule::every(Duration::from_millis(100), None, Some(Duration::from_secs(1))).count(), 10);
    }
}
