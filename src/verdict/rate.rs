//! Pass rates: a fixed number of trials judged by Wilson's interval, or Wald's sequential test. Exact operating
//! characteristics by dynamic programming, so that the tool can say what its own rule does.
//!
//! Sources: Wald, "Sequential Tests of Statistical Hypotheses" (1945); Brown, Cai, DasGupta, "Interval Estimation for a
//! Binomial Proportion" (2001).

use crate::stats::dist::Z95;
use crate::units::Share;

/// Error probabilities of the sequential test, both sides.
const ALPHA: f64 = 0.05;

/// What a case promises about the share of its trials that pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PassRate {
    /// `repeat: n, pass_rate: p`.
    Fixed { trials: u64, rate: Share },
    /// `pass_rate: { accept, reject }`: stops as soon as the evidence suffices.
    Sequential { accept: Share, reject: Share, max_samples: u64, undecided: Undecided },
}

/// What a sequential test comes to that has not decided when it may send no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Undecided {
    #[default]
    Inconclusive,
    /// The likelier of the two rates holds: the sign of the log ratio.
    Decide,
}

/// What the trials so far say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Met,
    Missed,
    /// Fixed: too few trials to tell. Sequential: no decision yet.
    Open,
}

/// One-sided 95 % Wilson bounds of a proportion.
pub fn wilson(passed: u64, trials: u64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (trials as f64, passed as f64 / trials as f64);
    let z2 = Z95 * Z95;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z95 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// How many trials a rate needs when none fails; `None` for a rate of 100 %, which no number of trials proves.
pub fn clean_trials_needed(rate: Share) -> Option<u64> {
    if rate.0 >= 1.0 {
        return None;
    }
    // With no failure the lower bound is n / (n + z²).
    Some((Z95 * Z95 * rate.0 / (1.0 - rate.0)).ceil() as u64)
}

impl PassRate {
    /// Every trial must pass.
    pub fn wants_all(&self) -> bool {
        matches!(self, PassRate::Fixed { rate, .. } if rate.0 >= 1.0)
    }

    /// At most this many trials are sent.
    pub fn max_trials(&self) -> u64 {
        match *self {
            PassRate::Fixed { trials, .. } => trials,
            PassRate::Sequential { max_samples, .. } => max_samples,
        }
    }

    /// What `passed` of `trials` say. For a fixed rate, meaningful at the end.
    pub fn decide(&self, passed: u64, trials: u64) -> Decision {
        match *self {
            // Every trial must pass: one miss decides, and no interval can prove it.
            PassRate::Fixed { rate, .. } if rate.0 >= 1.0 => {
                if passed == trials {
                    Decision::Met
                } else {
                    Decision::Missed
                }
            }
            PassRate::Fixed { rate, .. } => {
                let (low, high) = wilson(passed, trials);
                if low >= rate.0 {
                    Decision::Met
                } else if high < rate.0 {
                    Decision::Missed
                } else {
                    Decision::Open
                }
            }
            PassRate::Sequential { accept, reject, max_samples, undecided } => {
                let ratio = log_ratio(accept.0, reject.0, passed, trials - passed);
                let bound = ((1.0 - ALPHA) / ALPHA).ln();
                let last = undecided == Undecided::Decide && trials >= max_samples;
                if ratio >= bound || (last && ratio > 0.0) {
                    Decision::Met
                } else if ratio <= -bound || last {
                    Decision::Missed
                } else {
                    Decision::Open
                }
            }
        }
    }

    /// The numbers behind `decide`, for people.
    pub fn explain(&self, passed: u64, trials: u64) -> String {
        match *self {
            PassRate::Fixed { rate, .. } => {
                let (low, high) = wilson(passed, trials);
                let mut text = format!(
                    "{passed} of {trials} trials passed; asked {rate}; one-sided 95 % bounds {:.1} % and {:.1} % (Wilson)",
                    low * 100.0,
                    high * 100.0
                );
                if self.decide(passed, trials) == Decision::Open {
                    text.push_str(&format!("; too few to tell, since the bounds lie on both sides of {rate}"));
                    if let Some(n) = clean_trials_needed(rate).filter(|_| passed == trials) {
                        text.push_str(&format!("; {n} trials without a miss would do"));
                    }
                }
                text
            }
            PassRate::Sequential { accept, reject, max_samples, undecided } => {
                let (ratio, bound) = (log_ratio(accept.0, reject.0, passed, trials - passed), ((1.0 - ALPHA) / ALPHA).ln());
                let by_sign = undecided == Undecided::Decide && trials >= max_samples && ratio.abs() < bound;
                let sign = if by_sign { "; at the last trial its sign decides" } else { "" };
                format!(
                    "{passed} of {trials} trials passed; sequential test accept {accept}, reject {reject}, at most {max_samples}: log ratio {ratio:+.2}, decides at ±{bound:.2}{sign}"
                )
            }
        }
    }
}

/// Log likelihood ratio of `accept` against `reject`.
fn log_ratio(accept: f64, reject: f64, passed: u64, failed: u64) -> f64 {
    passed as f64 * (accept / reject).ln() + failed as f64 * ((1.0 - accept) / (1.0 - reject)).ln()
}

/// How many trials the sequential test may take: about one and a half times its expected need halfway between the two
/// rates, where it is slowest, rounded up to twenty.
pub fn default_max_samples(accept: Share, reject: Share) -> u64 {
    let a = ((1.0 - ALPHA) / ALPHA).ln();
    let up = (accept.0 / reject.0).ln();
    let down = ((1.0 - reject.0) / (1.0 - accept.0)).ln();
    // Wald's approximation of E[n] where the walk has no drift: a² ÷ variance of a step.
    let expected = a * a / (up * down);
    (((expected * 1.5) / 20.0).ceil() * 20.0) as u64
}

/// Exact behaviour of a sequential test truncated at `max` trials when the true rate is `p`:
/// probabilities of meeting, missing and staying open, and the expected number of trials.
#[derive(Debug, Clone, Copy)]
pub struct Characteristics {
    pub met: f64,
    pub missed: f64,
    /// Undecided at the end with a positive log ratio, and with a negative one.
    pub open_positive: f64,
    pub open_negative: f64,
    pub expected_trials: f64,
}

/// Computes them by dynamic programming over the number of passes.
pub fn characteristics(accept: Share, reject: Share, max: u64, p: f64) -> Characteristics {
    let rule = PassRate::Sequential { accept, reject, max_samples: max, undecided: Undecided::Inconclusive };
    let mut alive = vec![0.0; max as usize + 2];
    alive[0] = 1.0;
    let mut out = Characteristics { met: 0.0, missed: 0.0, open_positive: 0.0, open_negative: 0.0, expected_trials: 0.0 };
    for n in 1..=max {
        let mut next = vec![0.0; max as usize + 2];
        for passed in 0..n as usize {
            let mass = alive[passed];
            if mass > 0.0 {
                out.expected_trials += mass;
                next[passed + 1] += mass * p;
                next[passed] += mass * (1.0 - p);
            }
        }
        for passed in 0..=n {
            let mass = next[passed as usize];
            match rule.decide(passed, n) {
                Decision::Met => out.met += mass,
                Decision::Missed => out.missed += mass,
                Decision::Open => continue,
            }
            next[passed as usize] = 0.0;
        }
        alive = next;
    }
    for (passed, mass) in alive.iter().enumerate().filter(|(_, m)| **m > 0.0) {
        let ratio = log_ratio(accept.0, reject.0, passed as u64, max - passed as u64);
        if ratio > 0.0 { out.open_positive += mass } else { out.open_negative += mass }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_two_clean_trials_prove_95_percent() {
        assert_eq!(clean_trials_needed(Share(0.95)), Some(52));
        let rule = PassRate::Fixed { trials: 52, rate: Share(0.95) };
        assert_eq!(rule.decide(52, 52), Decision::Met);
        assert_eq!(rule.decide(51, 51), Decision::Open);
        assert_eq!(rule.decide(30, 52), Decision::Missed);
    }

    /// The published table of the rule: streak that passes, E[n] at accept, reject and midpoint, false fail, false pass (%).
    #[test]
    fn sequential_test_has_its_published_characteristics() {
        let rows = [
            (0.90, 0.70, 60, 12, [24.0, 20.0, 32.0], 3.7, 5.3),
            (0.95, 0.80, 60, 18, [29.0, 22.0, 35.0], 4.2, 5.4),
            (0.98, 0.90, 120, 35, [53.0, 38.0, 62.0], 3.1, 6.1),
            (0.99, 0.90, 100, 31, [39.0, 24.0, 42.0], 2.7, 5.0),
            (0.999, 0.97, 160, 100, [103.0, 50.0, 81.0], 2.4, 6.7),
        ];
        for (a, r, max, streak, expected, false_fail, false_pass) in rows {
            let (accept, reject) = (Share(a), Share(r));
            let rule = PassRate::Sequential { accept, reject, max_samples: max, undecided: Undecided::Inconclusive };
            assert_eq!(rule.decide(streak, streak), Decision::Met, "{a}/{r}");
            assert_eq!(rule.decide(streak - 1, streak - 1), Decision::Open, "{a}/{r}");
            for (p, n) in [a, r, (a + r) / 2.0].into_iter().zip(expected) {
                let c = characteristics(accept, reject, max, p);
                assert!((c.expected_trials - n).abs() < 0.6, "{a}/{r} at {p}: {}", c.expected_trials);
                assert!((c.met + c.missed + c.open_positive + c.open_negative - 1.0).abs() < 1e-9);
            }
            let at_accept = characteristics(accept, reject, max, a);
            let at_reject = characteristics(accept, reject, max, r);
            let fail = (at_accept.missed + at_accept.open_negative) * 100.0;
            let pass = (at_reject.met + at_reject.open_positive) * 100.0;
            assert!((fail - false_fail).abs() < 0.06, "{a}/{r}: false fail {fail}");
            assert!((pass - false_pass).abs() < 0.06, "{a}/{r}: false pass {pass}");
        }
    }

    #[test]
    fn told_to_decide_it_follows_the_sign_at_the_last_trial() {
        let rule = |undecided| PassRate::Sequential { accept: Share(0.95), reject: Share(0.80), max_samples: 20, undecided };
        assert_eq!(rule(Undecided::Inconclusive).decide(18, 20), Decision::Open);
        assert_eq!(rule(Undecided::Decide).decide(18, 20), Decision::Met);
        assert_eq!(rule(Undecided::Decide).decide(17, 20), Decision::Missed);
        assert_eq!(rule(Undecided::Decide).decide(17, 19), Decision::Open);
        assert!(rule(Undecided::Decide).explain(18, 20).ends_with("its sign decides"));
    }

    #[test]
    fn default_maximum_is_near_the_published_ones() {
        assert!((40..=80).contains(&default_max_samples(Share(0.95), Share(0.80))));
        assert!((40..=80).contains(&default_max_samples(Share(0.90), Share(0.70))));
        assert!((100..=140).contains(&default_max_samples(Share(0.98), Share(0.90))));
    }

    #[test]
    fn all_must_pass_means_all() {
        let rule = PassRate::Fixed { trials: 3, rate: Share(1.0) };
        assert_eq!(rule.decide(3, 3), Decision::Met);
        assert_eq!(rule.decide(2, 3), Decision::Missed);
    }
}
