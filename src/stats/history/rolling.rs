//! The rolling ceiling: a quantile of the window times a factor, and the rule for single samples.

use super::numbers::*;
use super::*;
use crate::stats::dist::{beta_binomial_upper_tail, binomial_upper_tail};

/// `rolling`: a quantile of the pooled samples of the last days × factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rolling {
    /// `0.0..1.0`, such as 0.9.
    pub quantile: f64,
    pub window_days: f64,
    /// How much slower is too slow, such as 1.3.
    pub factor: f64,
}

impl Default for Rolling {
    fn default() -> Rolling {
        Rolling { quantile: 0.90, window_days: 7.0, factor: 1.3 }
    }
}

/// The pooled past samples a rolling limit is taken from.
struct Pool {
    /// Ascending.
    samples: Vec<f64>,
    runs: usize,
    days: f64,
    widened: bool,
}

impl Rolling {
    /// Judges one measurement. With enough fresh samples (see [`samples_for_quantile`]) their own quantile is compared with
    /// the limit; `Missed` then means "measure again", see [`Rolling::confirm`]. With fewer, single samples are compared
    /// and `Missed` comes with the third consecutive miss; `previous_misses` counts those so far, re-measurements included.
    ///
    /// The p-value is of "the fresh samples come from the window's distribution": the number of fresh samples above the
    /// window's order statistic is then beta-binomial, which allows for the uncertainty of a thin window.
    pub fn judge(&self, fresh: &[f64], past: &[PastRun], previous_misses: u32) -> Judged {
        match self.prepare(fresh, past) {
            Err(judged) => judged,
            Ok(pool) if fresh.len() < samples_for_quantile(self.quantile) => self.judge_singly(fresh, &pool, previous_misses),
            Ok(pool) => {
                let seen = quantile(&sorted(fresh), self.quantile);
                let base = quantile(&pool.samples, self.quantile);
                let limit = self.limit(base);
                Judged {
                    decision: if seen > limit { Decision::Missed } else { Decision::Met },
                    p_value: Some(self.p_value(fresh, &pool)),
                    seen_ms: seen,
                    limit_ms: limit,
                    n: fresh.len(),
                    runs: pool.runs,
                    misses: 0,
                    line: format!("{} {}, {}", name_of(self.quantile), ms(seen), self.explain_limit(base, &pool)),
                }
            }
        }
    }

    /// Judges all measurements of a case, the first among them: `Missed` when every one misses, with the p-value of all
    /// samples together. The figures are those of the last. Under the single-sample rule misses are counted through.
    pub fn confirm(&self, measurements: &[&[f64]], past: &[PastRun], previous_misses: u32) -> Judged {
        let mut misses = previous_misses;
        let mut judged = Vec::new();
        for fresh in measurements {
            judged.push(self.judge(fresh, past, misses));
            misses = judged.last().map_or(0, |j| j.misses);
        }
        let all_missed = judged.iter().all(|j| j.decision == Decision::Missed);
        let by_quantile = judged.iter().all(|j| j.p_value.is_some());
        let Some(mut last) = judged.pop() else { return self.judge(&[], past, previous_misses) };
        if by_quantile && !judged.is_empty() {
            let all = measurements.concat();
            last.p_value = self.prepare(&all, past).ok().map(|pool| self.p_value(&all, &pool));
            last.decision = if all_missed { Decision::Missed } else { Decision::Met };
            let before: Vec<String> = judged.iter().map(|j| ms(j.seen_ms)).collect();
            last.line = format!("{}; before {}", last.line, before.join(", "));
        }
        last
    }

    /// Checks the input and pools the past. The window widens to the newest 20 runs when it holds fewer than 5, and
    /// further, to at most 64, while its samples are too few for the quantile (29 for a p90).
    fn prepare(&self, fresh: &[f64], past: &[PastRun]) -> Result<Pool, Judged> {
        let refuse = |line: String| Judged::too_thin(fresh.len(), 0, line);
        if !(self.quantile > 0.0 && self.quantile < 1.0 && positive(self.factor) && positive(self.window_days)) {
            return Err(refuse("the rule's quantile, window or factor is out of range".into()));
        }
        let newest = fresh_values(fresh).and_then(|()| admit(past)).map_err(refuse)?;
        if newest.len() < MIN_WINDOW_RUNS {
            return Err(Judged::too_thin(fresh.len(), newest.len(), history_has(newest.len(), MIN_WINDOW_RUNS)));
        }
        let inside = newest.iter().take_while(|run| run.at_days <= self.window_days).count();
        let mut runs = if inside < MIN_WINDOW_RUNS { FALLBACK_RUNS.min(newest.len()) } else { inside };
        let size = |runs: usize| newest[..runs].iter().map(|run| run.samples_ms.len()).sum::<usize>();
        while runs < newest.len().min(MAX_RUNS) && size(runs) < samples_for_quantile(self.quantile) {
            runs += 1;
        }
        let samples = newest[..runs].iter().flat_map(|run| run.samples_ms.iter().copied()).collect::<Vec<f64>>();
        let widened = runs > inside;
        let days = if widened { newest[runs - 1].at_days } else { self.window_days };
        Ok(Pool { samples: sorted(&samples), runs, days, widened })
    }

    /// The single-sample rule. One sample above the limit is a miss; of several, as many as would be above it with at
    /// most the probability that one is.
    ///
    /// The limit's base is the window's quantile or the next higher order statistic that three further samples of the same
    /// distribution, whatever it is, all exceed with a probability of at most (1 − quantile)³, as they would exceed the true
    /// quantile. (The quantile of 28 samples itself would multiply false alarms by seven.) A p90 needs 17 past samples for that;
    /// with fewer, misses are counted but three in a row are called too thin.
    fn judge_singly(&self, fresh: &[f64], pool: &Pool, previous_misses: u32) -> Judged {
        let (base, proven) = self.single_sample_base(&pool.samples);
        let limit = self.limit(base);
        let above = fresh.iter().filter(|ms| **ms > limit).count();
        let tail = 1.0 - self.quantile;
        // The tolerance keeps n = 1 exact: P(at least one above) is the tail itself.
        let missed = above > 0 && binomial_upper_tail(above, fresh.len(), tail) <= tail * (1.0 + 1e-9);
        let misses = if missed { previous_misses.saturating_add(1) } else { 0 };
        let decision = match misses >= MISSES_THAT_FAIL {
            true if proven => Decision::Missed,
            true => Decision::TooThin,
            false => Decision::Met,
        };
        let single = fresh.len() == 1;
        let what = if single { "one sample".to_string() } else { name_of(self.quantile) };
        let seen = if single { fresh[0] } else { quantile(&sorted(fresh), self.quantile) };
        let count = match (missed, single) {
            (true, _) if decision == Decision::TooThin => {
                format!(
                    "; {misses} misses in a row, but history has {} samples; {} would do",
                    pool.samples.len(),
                    self.samples_for_singles()
                )
            }
            (true, _) => format!("; miss {misses} of {MISSES_THAT_FAIL} in a row that fail"),
            (false, true) => String::new(),
            (false, false) => format!("; {above} of {} above", fresh.len()),
        };
        Judged {
            decision,
            p_value: None,
            seen_ms: seen,
            limit_ms: limit,
            n: fresh.len(),
            runs: pool.runs,
            misses,
            line: format!(
                "{what} {}, {}{count}; single-sample rule: sees only large steps, {} samples would let the {} itself be judged",
                ms(seen),
                self.explain_limit(base, pool),
                samples_for_quantile(self.quantile),
                name_of(self.quantile)
            ),
        }
    }

    /// The order statistic the single-sample rule stands on, and whether it is high enough.
    fn single_sample_base(&self, ascending: &[f64]) -> (f64, bool) {
        let m = ascending.len();
        let proven = (self.order_statistic(m)..=m).find(|j| three_exceed(m, *j) <= (1.0 - self.quantile).powi(3));
        (ascending[proven.unwrap_or(m) - 1], proven.is_some())
    }

    /// How many past samples the single-sample rule needs: their largest must be high enough.
    pub(super) fn samples_for_singles(&self) -> usize {
        (1..100_000).find(|m| three_exceed(*m, *m) <= (1.0 - self.quantile).powi(3)).unwrap_or(100_000)
    }

    /// Rank from 1 of the order statistic at or just above the quantile.
    fn order_statistic(&self, m: usize) -> usize {
        ((self.quantile * (m - 1) as f64).ceil() as usize + 1).min(m)
    }

    fn limit(&self, base: f64) -> f64 {
        (base * self.factor).min(f64::MAX)
    }

    fn p_value(&self, fresh: &[f64], pool: &Pool) -> f64 {
        let m = pool.samples.len();
        // The share of the distribution above the j-th smallest of m is Beta(m - j + 1, j).
        let j = self.order_statistic(m);
        let above = fresh.iter().filter(|ms| **ms > pool.samples[j - 1]).count();
        beta_binomial_upper_tail(above, fresh.len(), (m - j + 1) as f64, j as f64)
    }

    fn explain_limit(&self, base: f64, pool: &Pool) -> String {
        let wide = if pool.widened { format!(", the {:.0} d window holds too little", self.window_days) } else { String::new() };
        format!("limit {} = {} ({:.0} d, {} runs{wide}) × {}", ms(self.limit(base)), ms(base), pool.days, pool.runs, trim(self.factor))
    }
}
