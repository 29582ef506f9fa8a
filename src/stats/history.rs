//! Latency of one case and metric against its history: the rolling limit of the sources, a prediction limit, a frozen
//! release anchor, the ratio over the whole suite, and two builds side by side. Pure: samples in, decision and evidence out.
//!
//! The unit of evidence is the run, not the request: requests of one run share its machine and its hour and are not
//! independent. Latencies are judged on the log scale, because their noise is a factor and not a number of milliseconds.
//!
//! Stages. The first measurement of a run is only a screen; what misses is measured afresh after a pause, as often as it
//! keeps missing, up to [`MEASUREMENTS`] in all, and [`Rolling::confirm`] or [`Predicted::confirm`] judge all of them
//! together. Only what misses to the end counts, and its p-value goes to [`standing`], which applies Holm's procedure
//! over every comparison of the run. Stopping early can only take rejections away, so the family-wise error stays below
//! Holm's level however loose the screen is.
//!
//! Sources: Hahn and Meeker, "Statistical Intervals" (1991), prediction limits; Wilks, "Determination of Sample Sizes for
//! Setting Tolerance Limits" (1941); Welch, "The Generalization of Student's Problem" (1947); von Neumann et al., "The Mean Square Successive Difference" (1941); Holm, "A Simple Sequentially
//! Rejective Multiple Test Procedure" (1979); Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), type 7.

use std::collections::BTreeMap;

use super::dist::{beta_binomial_upper_tail, binomial_upper_tail, t_quantile, t_upper_tail};

/// How often a case that keeps missing is measured in all. Two do; a third lets a step of 20 % outlive Holm's procedure.
pub const MEASUREMENTS: usize = 3;
/// Level each measurement must reach alone: what is not even this surprising is not measured again.
pub const SCREEN: f64 = 0.05;
/// Screening level of the suite ratio. Its confirmation is one more run of the whole suite, and its power must outlive three stages.
pub const SUITE_SCREEN: f64 = 0.15;
/// Fewer runs than this say nothing about a rolling quantile.
const MIN_WINDOW_RUNS: usize = 5;
/// How many of the newest runs serve when the window holds fewer than [`MIN_WINDOW_RUNS`].
const FALLBACK_RUNS: usize = 20;
/// No more runs than this are ever looked at.
const MAX_RUNS: usize = 64;
/// Fewest runs of a release anchor.
const MIN_ANCHOR_RUNS: usize = 7;
/// So many newest passing runs and the fresh one are the present that is compared with a release anchor.
const PRESENT_RUNS: usize = 2;
/// Older runs are not the present.
const PRESENT_DAYS: f64 = 7.0;
/// How far back runs tell the noise of a comparison with a release anchor, days.
const NOISE_DAYS: f64 = 28.0;
/// Consecutive misses that fail a case under the single-sample rule.
const MISSES_THAT_FAIL: u32 = 3;
/// Least run-to-run standard deviation of the mean log latency that is believed, 0.5 %. A history of equal values would
/// otherwise make every difference infinitely significant.
const LEAST_SD: f64 = 0.005;

/// One earlier run of the same case, metric and segment.
#[derive(Debug, Clone, PartialEq)]
pub struct PastRun {
    /// Age in days, counted back from now; not negative. Runs of one suite share it, see [`Predicted::past_suite_ratios`].
    pub at_days: f64,
    /// Latencies of the requests that succeeded, ms, each positive. A run without any is passed over.
    pub samples_ms: Vec<f64>,
}

/// What the samples say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Met,
    /// First measurement: suspicious, measure again. Confirmation and release: misses, subject to Holm where there is a p-value.
    Missed,
    /// Too few runs or samples to say, or values that are no latencies; `line` says what would do.
    TooThin,
}

/// A decision about one case and metric with its evidence. Every number is finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub decision: Decision,
    /// One-sided, of "no slower than history". `None` when the rule has its own level and takes no part in Holm's procedure.
    pub p_value: Option<f64>,
    /// The figure that was compared, ms (for [`suite_ratio`]: the ratio); 0 when there is none.
    pub seen_ms: f64,
    /// What it was compared with, ms (for [`suite_ratio`]: a ratio); 0 when there is none.
    pub limit_ms: f64,
    /// Fresh samples (for [`suite_ratio`]: cases).
    pub n: usize,
    /// Past runs that served.
    pub runs: usize,
    /// Consecutive misses under the single-sample rule, this one included; the next call's `previous_misses`. 0 elsewhere.
    pub misses: u32,
    /// The evidence in one sentence.
    pub line: String,
}

impl Judged {
    fn too_thin(n: usize, runs: usize, line: String) -> Judged {
        Judged { decision: Decision::TooThin, p_value: None, seen_ms: 0.0, limit_ms: 0.0, n, runs, misses: 0, line }
    }
}

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
    fn samples_for_singles(&self) -> usize {
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

/// `predicted`: a one-sided log-t prediction limit over past runs' mean log latency (the geometric mean).
///
/// The run's figure is x = mean of ln(ms). With k past figures of mean m and standard deviation s, a further run of the
/// same kind has (x − m) ÷ (s √(1 + 1/k)) distributed as Student's t with k − 1 degrees of freedom. s is taken between
/// runs, so it already holds the sampling noise of a run of the history's size. A fresh run with fewer samples than
/// history has more noise than s knows; the difference, from the variance within past runs, is then added. A larger fresh
/// run has less, and the limit is a little too wide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predicted {
    /// Least ratio of geometric means that matters, 1.10 = 10 %.
    pub min_effect: f64,
    pub max_runs: usize,
    pub max_days: f64,
    pub min_runs: usize,
    /// So many newest runs are left out while `min_runs` others remain: a step that just passed must not hide itself by
    /// widening the limit for the runs that follow it.
    pub held_back: usize,
}

impl Default for Predicted {
    fn default() -> Predicted {
        Predicted { min_effect: 1.10, max_runs: MAX_RUNS, max_days: 28.0, min_runs: 8, held_back: 2 }
    }
}

impl Predicted {
    /// Judges one measurement: `Missed` when its p-value is at most `alpha` and its geometric mean at least `min_effect`
    /// times history's. As a screen, `alpha` is [`SCREEN`].
    pub fn judge(&self, fresh: &[f64], past: &[PastRun], alpha: f64) -> Judged {
        self.judge_all(&[fresh], past, alpha)
    }

    /// Judges r measurements of a case together, the first among them. `Missed` when each alone reaches [`SCREEN`], and the mean of
    /// all, tested against history with variance s² (1/r + 1/k), has a p-value of at most `alpha` and is at least `min_effect`.
    ///
    /// Testing the mean keeps Student's t exact; multiplying the p-values would not, because all stand on the same m and s.
    pub fn confirm(&self, measurements: &[&[f64]], past: &[PastRun], alpha: f64) -> Judged {
        self.judge_all(measurements, past, alpha)
    }

    /// What history leads to expect: the geometric mean of the runs' geometric means, ms. `None` without valid runs.
    pub fn expected_ms(&self, past: &[PastRun]) -> Option<f64> {
        let history = self.history(past).ok()?;
        (!history.is_empty()).then(|| Moments::of(&history.iter().map(|run| run.mean).collect::<Vec<_>>()).mean.exp())
    }

    /// For [`suite_ratio`]: per past run, the geometric mean over the cases of measured ÷ expected. Runs of different cases
    /// are the same run when their `at_days` are equal; runs with fewer than half the cases are left out.
    pub fn past_suite_ratios(&self, histories: &[&[PastRun]]) -> Vec<f64> {
        let mut by_run: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for past in histories {
            let Ok(newest) = admit(past) else { continue };
            let kept: Vec<&PastRun> = self.keep(newest);
            let means: Vec<f64> = kept.iter().filter_map(|run| LogRun::of(&run.samples_ms)).map(|run| run.mean).collect();
            let expected = Moments::of(&means).mean;
            for (run, mean) in kept.iter().zip(means) {
                by_run.entry(run.at_days.to_bits()).or_default().push(mean - expected);
            }
        }
        by_run.values().filter(|logs| logs.len() * 2 >= histories.len()).map(|logs| Moments::of(logs).mean.exp()).collect()
    }

    fn keep<'a>(&self, newest: Vec<&'a PastRun>) -> Vec<&'a PastRun> {
        let recent: Vec<&PastRun> = newest.into_iter().take_while(|run| run.at_days <= self.max_days).take(self.max_runs).collect();
        let skip = self.held_back.min(recent.len().saturating_sub(self.min_runs.max(2)));
        recent[skip..].to_vec()
    }

    fn history(&self, past: &[PastRun]) -> Result<Vec<LogRun>, String> {
        let newest = admit(past)?;
        Ok(self.keep(newest).iter().filter_map(|run| LogRun::of(&run.samples_ms)).collect())
    }

    fn judge_all(&self, measurements: &[&[f64]], past: &[PastRun], alpha: f64) -> Judged {
        let n = measurements.iter().map(|samples| samples.len()).sum();
        if measurements.is_empty() {
            return Judged::too_thin(n, 0, "no fresh sample; 1 would do".into());
        }
        let fresh: Result<Vec<LogRun>, String> = measurements.iter().map(|samples| fresh_run(samples)).collect();
        let (fresh, history) = match (fresh, self.history(past)) {
            (Ok(fresh), Ok(history)) => (fresh, history),
            (Err(line), _) | (_, Err(line)) => return Judged::too_thin(n, 0, line),
        };
        let needed = self.min_runs.max(2);
        if history.len() < needed {
            return Judged::too_thin(n, history.len(), history_has(history.len(), needed));
        }
        let reference = Reference::of(&history);
        let least = self.min_effect.max(1.0).ln();
        let alpha = level(alpha);
        let alone = fresh.iter().all(|run| Gap::between(std::slice::from_ref(run), &reference).p_value() <= SCREEN);
        let gap = Gap::between(&fresh, &reference);
        let p = gap.p_value();
        let missed = p <= alpha && gap.log_ratio >= least && (fresh.len() == 1 || alone);
        let margin = least.max(t_quantile(1.0 - alpha, gap.df) * gap.se);
        let (expected, seen, limit) = (unlog(reference.mean), unlog(gap.seen()), unlog(reference.mean + margin));
        Judged {
            decision: if missed { Decision::Missed } else { Decision::Met },
            p_value: Some(p),
            seen_ms: seen,
            limit_ms: limit,
            n,
            runs: history.len(),
            misses: 0,
            line: format!(
                "geometric mean {}, {} {} of {} runs{}; limit {} (log-t prediction at {} %, at least {}); {}",
                ms(seen),
                change(gap.log_ratio),
                ms(expected),
                history.len(),
                if fresh.len() > 1 { format!(", over {} measurements", fresh.len()) } else { String::new() },
                ms(limit),
                trim((1.0 - alpha) * 100.0),
                percent(least),
                p_text(p)
            ),
        }
    }
}

/// `release`: the ratio of geometric means to the frozen anchor of the last approved release, against creep.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// Greatest ratio that is tolerated, such as 1.20.
    pub limit: f64,
    /// At least 7 runs; `at_days` plays no part.
    pub anchor: Vec<PastRun>,
}

impl Release {
    /// Compares the present with the anchor: the present is the fresh run and the two newest of `past` that are at most a week
    /// old, because creep is steadier than the noise of one run. `past` may be empty.
    ///
    /// `Missed` when the one-sided 95 % lower bound of the ratio exceeds the limit: the case is shown to be beyond it. (To ask
    /// that the upper bound stay below it would, at 200 requests, fail a case that is truly 10 % over in one run of six.) `TooThin` while the bound is
    /// wider than the limit is far. A case that truly sits at the limit is called in 5 % of runs; the p-value, for Holm, is
    /// of "no slower than the anchor".
    ///
    /// The unit is the run. Its variance is that between the anchor's runs, pooled with that of successive differences
    /// over the last 28 days, which creep does not inflate.
    pub fn judge(&self, fresh: &[f64], past: &[PastRun]) -> Judged {
        let [present, recent, anchor] = match self.runs(fresh, past) {
            Ok(runs) => runs,
            Err(line) => return Judged::too_thin(fresh.len(), 0, line),
        };
        if anchor.len() < MIN_ANCHOR_RUNS {
            let line = format!("the anchor has {} runs; {MIN_ANCHOR_RUNS} would do", anchor.len());
            return Judged::too_thin(fresh.len(), anchor.len(), line);
        }
        let reference = Reference::of(&anchor).pooled_with(&recent);
        let gap = Gap::between(&present, &reference);
        let reach = t_quantile(0.95, gap.df) * gap.se;
        if reach > self.limit.ln() {
            return Judged::too_thin(fresh.len(), anchor.len(), self.too_coarse(reach, fresh.len()));
        }
        let lower = gap.log_ratio - reach;
        let (base, seen, p) = (unlog(reference.mean), unlog(gap.seen()), gap.p_value());
        Judged {
            decision: if lower > self.limit.ln() { Decision::Missed } else { Decision::Met },
            p_value: Some(p),
            seen_ms: seen,
            limit_ms: (base * self.limit).min(f64::MAX),
            n: fresh.len(),
            runs: anchor.len(),
            misses: 0,
            line: format!(
                "geometric mean of {} newest runs {}, {:.2} × the anchor's {} ({} runs), at least {:.2} × (one-sided 95 %); limit {} ×; {}",
                present.len(),
                ms(seen),
                unlog(gap.log_ratio),
                ms(base),
                anchor.len(),
                unlog(lower),
                trim(self.limit),
                p_text(p)
            ),
        }
    }

    /// The present, the recent past (newest first), and the anchor.
    fn runs(&self, fresh: &[f64], past: &[PastRun]) -> Result<[Vec<LogRun>; 3], String> {
        if !(self.limit > 1.0 && self.limit.is_finite()) {
            return Err("the release limit is not a ratio above 1".into());
        }
        let newest = admit(past)?;
        let within = |days: f64, most: usize| {
            let runs = newest.iter().take_while(move |run| run.at_days <= days).take(most);
            runs.filter_map(|run| LogRun::of(&run.samples_ms))
        };
        let present = std::iter::once(fresh_run(fresh)?).chain(within(PRESENT_DAYS, PRESENT_RUNS)).collect();
        let anchor = admit(&self.anchor)?.iter().filter_map(|run| LogRun::of(&run.samples_ms)).collect();
        Ok([present, within(NOISE_DAYS, MAX_RUNS).collect(), anchor])
    }

    /// The noise of the mean falls with √n, as long as requests and not runs make it.
    fn too_coarse(&self, reach: f64, n: usize) -> String {
        let needed = (n as f64 * (reach / self.limit.ln()).powi(2)).ceil().min(1e9);
        let by = (unlog(reach) - 1.0) * 100.0;
        format!(
            "{n} requests tell the ratio to the anchor to {by:.0} % only; about {needed} a run would do for a limit of {} ×",
            trim(self.limit)
        )
    }
}

/// The ratio over the whole suite: geometric mean of measured ÷ expected over `cases` (fresh geometric mean, expected from
/// history by [`Predicted::expected_ms`]), tested one-sided against 1, with `min_effect` as the least ratio that matters.
///
/// `past_ratios` is the same figure of past runs ([`Predicted::past_suite_ratios`]). With 8 or more of them the run is the
/// unit, so noise that all cases of a run share is in the test. With fewer, the spread over the cases has to do, which does
/// not know shared noise; the line says so.
///
/// `measurements` is how many runs of the suite the fresh figures stand on. The first is a screen, with [`SUITE_SCREEN`] and a
/// `min_effect` of 1; a miss is measured twice more, and the geometric means over all three are judged at the gate's level.
pub fn suite_ratio(cases: &[(f64, f64)], past_ratios: &[f64], measurements: u32, min_effect: f64, alpha: f64) -> Judged {
    let n = cases.len();
    let flat = cases.iter().flat_map(|(fresh, expected)| [*fresh, *expected]).chain(past_ratios.iter().copied());
    if n == 0 || !flat.clone().all(positive) {
        return Judged::too_thin(n, past_ratios.len(), no_latencies(flat.filter(|v| !positive(*v)).count(), "of the suite's figures"));
    }
    let d = Moments::of(&cases.iter().map(|(fresh, expected)| fresh.ln() - expected.ln()).collect::<Vec<_>>());
    let past = Moments::of(&past_ratios.iter().map(|ratio| ratio.ln()).collect::<Vec<_>>());
    let by_runs = past_ratios.len() >= Predicted::default().min_runs;
    if !by_runs && n < 8 {
        let line = format!("{}, or 8 cases instead of {n}", history_has(past_ratios.len(), Predicted::default().min_runs));
        return Judged::too_thin(n, past_ratios.len(), line);
    }
    let (se, df) = if by_runs {
        (past.sd().max(LEAST_SD) * (1.0 / measurements.max(1) as f64 + 1.0 / past.n as f64).sqrt(), past.n as f64 - 1.0)
    } else {
        (d.sd().max(LEAST_SD) / (n as f64).sqrt(), n as f64 - 1.0)
    };
    let (p, least, alpha) = (t_upper_tail(d.mean / se, df), min_effect.max(1.0).ln(), level(alpha));
    let limit = unlog(least.max(t_quantile(1.0 - alpha, df) * se));
    let unit = if by_runs { format!("noise from {} past runs", past.n) } else { "noise from the spread over the cases only".into() };
    Judged {
        decision: if p <= alpha && d.mean >= least { Decision::Missed } else { Decision::Met },
        p_value: Some(p),
        seen_ms: unlog(d.mean),
        limit_ms: limit,
        n,
        runs: past_ratios.len(),
        misses: 0,
        line: format!("measured ÷ expected {:.2} over {n} cases, limit {limit:.2}; {unit}; {}", d.mean.exp(), p_text(p)),
    }
}

/// Holm's step-down procedure: which hypotheses are rejected with a family-wise error of at most `alpha`. A value that is no
/// probability is never rejected.
pub fn holm(p_values: &[f64], alpha: f64) -> Vec<bool> {
    let sane = |p: f64| if (0.0..=1.0).contains(&p) { p } else { 2.0 };
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| sane(p_values[*a]).total_cmp(&sane(p_values[*b])));
    let mut rejected = vec![false; p_values.len()];
    for (rank, index) in order.into_iter().enumerate() {
        rejected[index] = sane(p_values[index]) <= alpha / (p_values.len() - rank) as f64;
        if !rejected[index] {
            break;
        }
    }
    rejected
}

/// Which misses stand after Holm's procedure over every comparison of the run. What has a p-value takes part, with 1
/// unless it missed; a miss without one stands by its own rule.
pub fn standing(judged: &[&Judged], alpha: f64) -> Vec<bool> {
    let missed = |j: &Judged| j.decision == Decision::Missed;
    let family: Vec<f64> = judged.iter().filter_map(|j| j.p_value.map(|p| if missed(j) { p } else { 1.0 })).collect();
    let mut rejected = holm(&family, alpha).into_iter();
    judged.iter().map(|j| if j.p_value.is_some() { rejected.next().unwrap_or(false) } else { missed(j) }).collect()
}

/// The geometric ratio of two builds, candidate ÷ reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    pub ratio: f64,
    /// Two-sided 95 % confidence interval.
    pub low: f64,
    pub high: f64,
    /// One-sided, of "the candidate is no slower".
    pub p_value: f64,
    pub df: f64,
}

impl Ratio {
    fn new(log_ratio: f64, se: f64, df: f64) -> Ratio {
        let half = if se > 0.0 { t_quantile(0.975, df) * se } else { 0.0 };
        // Without any noise at all, the sign decides.
        let p_value = match se > 0.0 {
            true => t_upper_tail(log_ratio / se, df),
            false if log_ratio > 0.0 => 0.0,
            false => 1.0,
        };
        Ratio { ratio: unlog(log_ratio), low: unlog(log_ratio - half), high: unlog(log_ratio + half), p_value, df }
    }

    /// The evidence in one sentence.
    pub fn line(&self) -> String {
        format!("ratio {:.3} (95 % interval {:.3} to {:.3}), {}", self.ratio, self.low, self.high, p_text(self.p_value))
    }
}

/// Ratio of `b` to `a` paired by prompt: `a[i]` and `b[i]` answer the same one. Student's t on the differences of logs.
/// `None` with fewer than 2 pairs, unequal lengths, or a value that is no latency. Requests of one prompt that are
/// repeated belong averaged (on the log scale) first.
pub fn paired_ratio(a: &[f64], b: &[f64]) -> Option<Ratio> {
    if a.len() != b.len() || a.len() < 2 || !a.iter().chain(b).all(|ms| positive(*ms)) {
        return None;
    }
    let d = Moments::of(&a.iter().zip(b).map(|(a, b)| b.ln() - a.ln()).collect::<Vec<_>>());
    Some(Ratio::new(d.mean, (d.variance / d.n as f64).sqrt(), d.n as f64 - 1.0))
}

/// Ratio of `b` to `a` from independent samples: Welch's t on logs. `None` with fewer than 2 samples on a side, or a value
/// that is no latency.
pub fn ratio(a: &[f64], b: &[f64]) -> Option<Ratio> {
    if a.len() < 2 || b.len() < 2 || !a.iter().chain(b).all(|ms| positive(*ms)) {
        return None;
    }
    let logs = |values: &[f64]| Moments::of(&values.iter().map(|ms| ms.ln()).collect::<Vec<_>>());
    let (a, b) = (logs(a), logs(b));
    let (va, vb) = (a.variance / a.n as f64, b.variance / b.n as f64);
    let bottom = va * va / (a.n as f64 - 1.0) + vb * vb / (b.n as f64 - 1.0);
    let df = if bottom > 0.0 { (va + vb) * (va + vb) / bottom } else { (a.n + b.n) as f64 - 2.0 };
    Some(Ratio::new(b.mean - a.mean, (va + vb).sqrt(), df))
}

/// How many samples a gated quantile needs: the fewest whose largest is, with 95 % confidence, no lower than the quantile.
/// 29 for p90, 59 for p95, 299 for p99 (Wilks).
pub fn samples_for_quantile(quantile: f64) -> usize {
    if !(quantile > 0.0 && quantile < 1.0) {
        return usize::MAX;
    }
    ((0.05f64.ln() / quantile.ln()) - 1e-9).ceil().max(1.0) as usize
}

/// The probability that three further samples all exceed the j-th smallest of m, whatever their distribution.
fn three_exceed(m: usize, j: usize) -> f64 {
    beta_binomial_upper_tail(3, 3, (m - j + 1) as f64, j as f64)
}

/// Quantile by linear interpolation (type 7) of ascending values; 0 of none.
pub fn quantile(ascending: &[f64], q: f64) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else { return 0.0 };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let below = at.floor() as usize;
    let (low, high) = (ascending[below], ascending[(below + 1).min(last)]);
    low + (high - low) * (at - below as f64)
}

/// Mean, variance (n − 1 below; 0 of one value) and number.
struct Moments {
    n: usize,
    mean: f64,
    variance: f64,
}

impl Moments {
    fn of(values: &[f64]) -> Moments {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n.max(1) as f64;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        Moments { n, mean, variance: squares / n.saturating_sub(1).max(1) as f64 }
    }

    fn sd(&self) -> f64 {
        self.variance.sqrt()
    }
}

/// One run on the log scale.
struct LogRun {
    n: usize,
    mean: f64,
    /// Sum of squared differences from the mean.
    squares: f64,
}

impl LogRun {
    /// `None` without samples.
    fn of(samples_ms: &[f64]) -> Option<LogRun> {
        let logs = Moments::of(&samples_ms.iter().map(|ms| ms.ln()).collect::<Vec<_>>());
        (logs.n > 0).then(|| LogRun { n: logs.n, mean: logs.mean, squares: logs.variance * logs.n.saturating_sub(1) as f64 })
    }
}

/// What past runs say: mean and variance of a run's mean log latency, and the noise of a single request.
struct Reference {
    k: usize,
    mean: f64,
    /// Between runs, and the degrees of freedom it stands on.
    variance: f64,
    df: f64,
    /// Within runs, pooled; 0 when every run has one sample.
    within: f64,
    /// Mean of 1 / n over the runs.
    inverse_n: f64,
}

impl Reference {
    fn of(runs: &[LogRun]) -> Reference {
        let between = Moments::of(&runs.iter().map(|run| run.mean).collect::<Vec<_>>());
        let freedom: usize = runs.iter().map(|run| run.n - 1).sum();
        Reference {
            k: runs.len(),
            mean: between.mean,
            variance: between.variance.max(LEAST_SD * LEAST_SD),
            df: runs.len() as f64 - 1.0,
            within: runs.iter().map(|run| run.squares).sum::<f64>() / freedom.max(1) as f64,
            inverse_n: runs.iter().map(|run| 1.0 / run.n as f64).sum::<f64>() / runs.len().max(1) as f64,
        }
    }
}

impl Reference {
    /// The variance between runs taken from the differences of successive further runs as well (von Neumann), whose level
    /// may move slowly.
    fn pooled_with(self, runs: &[LogRun]) -> Reference {
        if runs.len() < 2 {
            return self;
        }
        let n = runs.len() as f64;
        let squares: f64 = runs.windows(2).map(|pair| (pair[1].mean - pair[0].mean).powi(2)).sum();
        let variance = squares / (2.0 * (n - 1.0));
        // Degrees of freedom of a variance as variable as this one.
        let more = 2.0 * (n - 1.0) * (n - 1.0) / (3.0 * n - 4.0);
        let df = self.df + more;
        let pooled = (self.variance * self.df + variance * more) / df;
        Reference { variance: pooled.max(LEAST_SD * LEAST_SD), df, ..self }
    }
}

/// Fresh measurements against a reference.
struct Gap {
    log_ratio: f64,
    reference_mean: f64,
    se: f64,
    df: f64,
}

impl Gap {
    /// The variance of each measurement is the reference's between runs, plus what a smaller measurement adds.
    fn between(fresh: &[LogRun], reference: &Reference) -> Gap {
        let r = fresh.len() as f64;
        let mean = fresh.iter().map(|run| run.mean).sum::<f64>() / r;
        let extra = |run: &LogRun| reference.within * (1.0 / run.n as f64 - reference.inverse_n).max(0.0);
        let noise = fresh.iter().map(|run| reference.variance + extra(run)).sum::<f64>() / (r * r);
        let se = (noise + reference.variance / reference.k as f64).sqrt();
        Gap { log_ratio: mean - reference.mean, reference_mean: reference.mean, se, df: reference.df }
    }

    fn seen(&self) -> f64 {
        self.reference_mean + self.log_ratio
    }

    fn p_value(&self) -> f64 {
        t_upper_tail(self.log_ratio / self.se, self.df)
    }
}

/// The past runs with samples, newest first; an error sentence when any value is no latency or no age.
fn admit(past: &[PastRun]) -> Result<Vec<&PastRun>, String> {
    let bad = past.iter().flat_map(|run| &run.samples_ms).filter(|ms| !positive(**ms)).count();
    if bad > 0 {
        return Err(no_latencies(bad, "past samples"));
    }
    if past.iter().any(|run| !(run.at_days >= 0.0 && run.at_days.is_finite())) {
        return Err("cannot be judged: a past run has no age in days".into());
    }
    let mut newest: Vec<&PastRun> = past.iter().filter(|run| !run.samples_ms.is_empty()).collect();
    newest.sort_by(|a, b| a.at_days.total_cmp(&b.at_days));
    Ok(newest)
}

fn fresh_values(fresh: &[f64]) -> Result<(), String> {
    let bad = fresh.iter().filter(|ms| !positive(**ms)).count();
    match (fresh.len(), bad) {
        (0, _) => Err("no fresh sample; 1 would do".into()),
        (_, 0) => Ok(()),
        (_, bad) => Err(no_latencies(bad, "fresh samples")),
    }
}

fn fresh_run(samples: &[f64]) -> Result<LogRun, String> {
    fresh_values(samples)?;
    LogRun::of(samples).ok_or_else(|| "no fresh sample; 1 would do".into())
}

fn no_latencies(bad: usize, of: &str) -> String {
    format!("cannot be judged: {bad} {of} are not positive, finite numbers")
}

fn history_has(runs: usize, needed: usize) -> String {
    format!("history has {runs} runs; {needed} would do")
}

fn positive(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

/// Back from the log scale, kept finite.
fn unlog(log: f64) -> f64 {
    log.clamp(-700.0, 700.0).exp()
}

/// A usable significance level.
fn level(alpha: f64) -> f64 {
    if alpha.is_nan() { 0.0 } else { alpha.clamp(0.0, 0.5) }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// `p90`, `p99.9`.
fn name_of(quantile: f64) -> String {
    format!("p{}", trim(quantile * 100.0))
}

/// Three significant digits or whole milliseconds.
fn ms(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0} ms"),
        v if v >= 10.0 => format!("{v:.1} ms"),
        v => format!("{v:.2} ms"),
    }
}

/// `21 % over`, `3 % below`; beyond ten times, the factor.
fn change(log_ratio: f64) -> String {
    match unlog(log_ratio) {
        ratio if ratio > 1000.0 => "more than 1000 ×".into(),
        ratio if ratio > 10.0 => format!("{ratio:.0} ×"),
        ratio if ratio >= 1.0 => format!("{:.0} % over", (ratio - 1.0) * 100.0),
        ratio => format!("{:.0} % below", (1.0 - ratio) * 100.0),
    }
}

fn percent(log_ratio: f64) -> String {
    format!("+{} %", trim((unlog(log_ratio) - 1.0) * 100.0))
}

/// At most four decimals, without trailing zeros.
fn trim(value: f64) -> String {
    format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_string()
}

fn p_text(p: f64) -> String {
    if p < 0.0001 { "p < 0.0001".into() } else { format!("p = {p:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten runs of six latencies, and two fresh measurements.
    const RUNS: [[f64; 6]; 10] = [
        [383.3, 358.6, 316.2, 188.4, 295.7, 424.7],
        [154.6, 240.8, 117.0, 158.9, 120.5, 269.1],
        [157.9, 340.8, 321.8, 271.0, 84.5, 227.3],
        [285.1, 309.1, 135.9, 230.0, 179.1, 194.9],
        [503.0, 197.6, 291.2, 460.5, 221.0, 279.9],
        [307.7, 300.6, 157.8, 302.5, 574.5, 134.4],
        [461.9, 319.0, 218.1, 817.1, 440.0, 165.0],
        [324.2, 416.7, 284.2, 439.4, 302.1, 436.0],
        [606.8, 210.9, 327.2, 234.5, 315.0, 163.3],
        [220.4, 267.0, 461.5, 522.1, 151.9, 197.9],
    ];
    const FRESH: [f64; 6] = [663.3, 177.3, 380.8, 457.2, 899.9, 677.6];
    const SECOND: [f64; 6] = [441.5, 432.5, 458.9, 1113.9, 419.8, 446.7];

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3), "{a} is not {b}");
    }

    /// Daily runs, the first of them one day ago.
    fn daily<S: AsRef<[f64]>>(runs: &[S]) -> Vec<PastRun> {
        let run = |(i, samples): (usize, &S)| PastRun { at_days: i as f64 + 1.0, samples_ms: samples.as_ref().to_vec() };
        runs.iter().enumerate().map(run).collect()
    }

    /// `n` log-normal latencies around `centre` without randomness: quantiles of evenly spread shares, sigma about 0.5.
    fn spread(n: usize, centre: f64) -> Vec<f64> {
        (0..n).map(|i| centre * (0.5 * crate::stats::dist::t_quantile((i as f64 + 0.5) / n as f64, 1e6)).exp()).collect()
    }

    /// Runs of `n` that wander ± 3 % around 300 ms.
    fn steady(runs: usize, n: usize) -> Vec<PastRun> {
        let run = |i: usize| spread(n, 300.0 * [0.97, 1.02, 1.0, 0.99, 1.03][i % 5]);
        daily(&(0..runs).map(run).collect::<Vec<_>>())
    }

    /// With `lm = log(RUNS).mean(1); m, s = lm.mean(), lm.std(ddof=1)`:
    /// `scipy.stats.t.sf((log(FRESH).mean() - m) / (s*sqrt(1 + 1/10)), 9)`; for two measurements the mean of both and
    /// `s*sqrt(1/2 + 1/10)`; limits `exp(m + max(log(1.1), t.ppf(1 - alpha, 9) * se))`; scipy 1.17.1.
    #[test]
    fn prediction_limit_is_scipys() {
        let rule = Predicted { held_back: 0, ..Predicted::default() };
        let past = daily(&RUNS);
        let first = rule.judge(&FRESH, &past, SCREEN);
        close(first.p_value.unwrap(), 0.024185794324401218);
        close(first.seen_ms, 481.6500287870566);
        close(first.limit_ms, 429.2252136025201);
        assert_eq!((first.decision, first.n, first.runs), (Decision::Missed, 6, 10));
        let both = rule.confirm(&[&FRESH, &SECOND], &past, 0.01);
        close(both.p_value.unwrap(), 0.004929595109088742);
        close(both.limit_ms, 457.7259692805754);
        assert_eq!((both.decision, both.n), (Decision::Missed, 12));
        assert_eq!(rule.confirm(&[&FRESH, &SECOND], &past, 0.001).decision, Decision::Met);
        assert!(first.line.starts_with("geometric mean 482 ms, 80 % over 268 ms of 10 runs; limit 429 ms"), "{}", first.line);
    }

    /// As above with three of the samples: variance `s² (1 + 1/10) + w (1/3 - 1/6)`, w the mean variance within runs.
    #[test]
    fn a_smaller_measurement_has_more_noise() {
        let rule = Predicted { held_back: 0, ..Predicted::default() };
        close(rule.judge(&FRESH[..3], &daily(&RUNS), SCREEN).p_value.unwrap(), 0.1943111831133095);
    }

    #[test]
    fn one_freak_measurement_does_not_fail() {
        let past = steady(28, 200);
        let rule = Predicted::default();
        let (slow, usual) = (spread(200, 600.0), spread(200, 303.0));
        assert_eq!(rule.judge(&slow, &past, SCREEN).decision, Decision::Missed);
        let judged = rule.confirm(&[&slow, &usual], &past, 0.01);
        assert!(judged.p_value.unwrap() < 1e-4);
        assert_eq!(judged.decision, Decision::Met);
        assert_eq!(rule.confirm(&[&slow, &slow, &slow], &past, 1e-4).decision, Decision::Missed);
    }

    #[test]
    fn a_significant_trifle_is_met() {
        let past = daily(&vec![spread(200, 300.0); 20]);
        let judged = Predicted::default().judge(&spread(200, 320.0), &past, 0.01);
        assert!(judged.p_value.unwrap() < 1e-6, "a history of equal runs still has a finite p-value: {judged:?}");
        assert_eq!(judged.decision, Decision::Met);
        assert_eq!(Predicted::default().judge(&spread(200, 331.0), &past, 0.01).decision, Decision::Missed);
    }

    #[test]
    fn history_is_bounded_and_holds_back_the_newest() {
        let rule = Predicted::default();
        assert_eq!(rule.judge(&FRESH, &steady(40, 6), SCREEN).runs, 26);
        assert_eq!(rule.judge(&FRESH, &steady(9, 6), SCREEN).runs, 8);
        let thin = rule.judge(&FRESH, &steady(7, 6), SCREEN);
        assert_eq!((thin.decision, thin.line.as_str()), (Decision::TooThin, "history has 7 runs; 8 would do"));
        let often: Vec<PastRun> = (0..100).map(|i| PastRun { at_days: f64::from(i) / 10.0, samples_ms: vec![300.0, 310.0] }).collect();
        assert_eq!(rule.judge(&FRESH, &often, SCREEN).runs, 62);
        // Two slow runs that passed do not lift what is expected.
        let mut past = steady(28, 50);
        past[0].samples_ms = spread(50, 900.0);
        past[1].samples_ms = spread(50, 900.0);
        assert!((rule.expected_ms(&past).unwrap() / 300.0 - 1.0).abs() < 0.01);
    }

    #[test]
    fn rolling_limit_is_the_windows_quantile_times_the_factor() {
        let rule = Rolling::default();
        let past = steady(30, 200);
        let mut pooled: Vec<f64> = past[..7].iter().flat_map(|run| run.samples_ms.clone()).collect();
        pooled.sort_by(f64::total_cmp);
        let met = rule.judge(&spread(200, 310.0), &past, 0);
        close(met.limit_ms, 1.3 * quantile(&pooled, 0.9));
        assert_eq!((met.decision, met.runs, met.n), (Decision::Met, 7, 200));
        let slow = spread(200, 450.0);
        let missed = rule.judge(&slow, &past, 0);
        assert_eq!(missed.decision, Decision::Missed);
        assert!(missed.p_value.unwrap() < 1e-6);
        assert_eq!(missed.line, "p90 849 ms, limit 739 ms = 568 ms (7 d, 7 runs) × 1.3");
        let confirmed = rule.confirm(&[&slow, &slow], &past, 0);
        assert_eq!(confirmed.decision, Decision::Missed);
        assert!(confirmed.p_value < missed.p_value);
        assert_eq!(rule.confirm(&[&slow, &spread(200, 310.0)], &past, 0).decision, Decision::Met);
    }

    #[test]
    fn a_thin_window_takes_the_last_twenty_runs_and_says_so() {
        let mut past = steady(30, 50);
        past.iter_mut().for_each(|run| run.at_days *= 3.0);
        let judged = Rolling::default().judge(&spread(50, 300.0), &past, 0);
        assert_eq!(judged.runs, 20);
        assert!(judged.line.contains("(60 d, 20 runs, the 7 d window holds too little)"), "{}", judged.line);
        let few = Rolling::default().judge(&spread(50, 300.0), &past[..4], 0);
        assert_eq!((few.decision, few.line.as_str()), (Decision::TooThin, "history has 4 runs; 5 would do"));
        // Seven runs of one request do not support a p90; 29 do.
        assert_eq!(Rolling::default().judge(&[300.0], &steady(40, 1), 0).runs, 29);
    }

    #[test]
    fn one_sample_fails_on_the_third_miss_in_a_row() {
        let rule = Rolling::default();
        // Evenly spread over the runs, one request each.
        let past = daily(&spread(40, 300.0).iter().map(|ms| vec![*ms]).collect::<Vec<_>>());
        let mut misses = 0;
        for (decision, count) in [(Decision::Met, 1), (Decision::Met, 2), (Decision::Missed, 3)] {
            let judged = rule.judge(&[3000.0], &past, misses);
            assert_eq!((judged.decision, judged.misses, judged.p_value), (decision, count, None));
            misses = judged.misses;
        }
        let well = rule.judge(&[310.0], &past, 2);
        assert_eq!((well.decision, well.misses), (Decision::Met, 0));
        assert!(
            well.line.contains("single-sample rule: sees only large steps, 29 samples would let the p90 itself be judged"),
            "{}",
            well.line
        );
        let slow: &[f64] = &[3000.0];
        assert_eq!(rule.confirm(&[slow, slow, slow], &past, 0).decision, Decision::Missed);
        assert_eq!(rule.confirm(&[slow, &[300.0], slow], &past, 0).misses, 1);
        assert_eq!(rule.judge(slow, &past, u32::MAX).decision, Decision::Missed);
        // Of 20 samples five must be above: with four P = 13 %, with five 4 %.
        let mixed = |above: usize| [vec![3000.0; above], vec![300.0; 20 - above]].concat();
        assert_eq!((rule.judge(&mixed(4), &past, 0).misses, rule.judge(&mixed(5), &past, 0).misses), (0, 1));
    }

    #[test]
    fn few_past_samples_cannot_fail_a_single_sample() {
        let past = daily(&(0..9).map(|i| vec![300.0 + f64::from(i)]).collect::<Vec<_>>());
        let rule = Rolling::default();
        assert_eq!(rule.judge(&[310.0], &past, 0).decision, Decision::Met);
        let judged = rule.judge(&[3000.0], &past, 2);
        assert_eq!(judged.decision, Decision::TooThin);
        assert!(judged.line.contains("history has 9 samples; 17 would do"), "{}", judged.line);
    }

    /// `1 - .05**(1/n)` crosses: 29, 59 and 299 samples. Three above the largest of m: 6 / ((m+1)(m+2)(m+3)).
    #[test]
    fn samples_needed_are_wilks() {
        assert_eq!([0.5, 0.9, 0.95, 0.99].map(samples_for_quantile), [5, 29, 59, 299]);
        assert_eq!([0.0, 1.0, f64::NAN].map(samples_for_quantile), [usize::MAX; 3]);
        close(three_exceed(17, 17), 6.0 / (18.0 * 19.0 * 20.0));
        assert_eq!(Rolling::default().samples_for_singles(), 17);
    }

    /// With `a = lm[:7]`, past `r = lm[7:]` one to three days old, present `mean(fresh, r[0], r[1])`: pooled variance of `a.var(ddof=1)`
    /// (6 degrees of freedom) and `sum(diff(r)²) / 4` (8/5), `se = sqrt(v (1/3 + 1/7))`, `scipy.stats.t.sf(d / se, 7.6)`.
    #[test]
    fn release_ratio_is_scipys() {
        let release = |limit| Release { limit, anchor: daily(&RUNS[..7]) };
        let judged = release(1.45).judge(&FRESH, &daily(&RUNS[7..]));
        close(judged.p_value.unwrap(), 0.03199041438537765);
        assert_eq!(judged.decision, Decision::Met);
        assert!(judged.line.contains("1.44 × the anchor's 254 ms (7 runs), at least 1.05 ×"), "{}", judged.line);
        let coarse = release(1.20).judge(&FRESH, &daily(&RUNS[7..]));
        assert_eq!(coarse.decision, Decision::TooThin);
        assert_eq!(coarse.line, "6 requests tell the ratio to the anchor to 37 % only; about 18 a run would do for a limit of 1.2 ×");
    }

    #[test]
    fn a_release_fails_when_shown_beyond_its_limit() {
        let release = Release { limit: 1.20, anchor: steady(7, 200) };
        assert_eq!(release.judge(&spread(200, 300.0), &[]).decision, Decision::Met);
        assert_eq!(release.judge(&spread(200, 365.0), &[]).decision, Decision::Met);
        assert_eq!(release.judge(&spread(200, 420.0), &[]).decision, Decision::Missed);
        let thin = Release { limit: 1.20, anchor: steady(6, 200) }.judge(&spread(200, 300.0), &[]);
        assert_eq!((thin.decision, thin.line.as_str()), (Decision::TooThin, "the anchor has 6 runs; 7 would do"));
        assert_eq!(Release { limit: 0.9, anchor: steady(7, 9) }.judge(&[1.0], &[]).decision, Decision::TooThin);
    }

    /// `scipy.stats.ttest_ind(log(B), log(A), equal_var=False, alternative='greater')` with A the first two runs and B ten fresh
    /// samples, and `ttest_rel` of FRESH and the third run; intervals from the two-sided tests; scipy 1.17.1.
    #[test]
    fn ratios_are_scipys() {
        let welch = ratio(&RUNS[..2].concat(), &[&FRESH[..], &SECOND[..4]].concat()).unwrap();
        close(welch.p_value, 0.0006085970968688972);
        close(welch.df, 18.183561503671843);
        close(welch.ratio, 2.2130279635934857);
        close(welch.low, 1.4312290641612508);
        close(welch.high, 3.421879062047157);
        let paired = paired_ratio(&RUNS[2], &FRESH).unwrap();
        close(paired.p_value, 0.05682848861776827);
        close(paired.ratio, 2.2746577377923174);
        close(paired.low, 0.7547618106289479);
        close(paired.high, 6.855232672393532);
        assert_eq!(paired.line(), "ratio 2.275 (95 % interval 0.755 to 6.855), p = 0.0568");
    }

    #[test]
    fn ratios_without_noise_or_sense() {
        let even = ratio(&[100.0; 5], &[110.0; 5]).unwrap();
        assert!((even.p_value, even.low) == (0.0, even.ratio) && (even.high - 1.1).abs() < 1e-12);
        assert_eq!(ratio(&[100.0; 5], &[100.0; 5]).unwrap().p_value, 1.0);
        assert_eq!(paired_ratio(&[100.0; 5], &[90.0; 5]).unwrap().p_value, 1.0);
        for bad in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            assert!(ratio(&[100.0, bad], &[1.0, 2.0]).is_none() && paired_ratio(&[1.0, 2.0], &[100.0, bad]).is_none());
        }
        assert!(ratio(&[1.0], &[1.0, 2.0]).is_none() && paired_ratio(&[1.0, 2.0], &[1.0]).is_none() && paired_ratio(&[], &[]).is_none());
    }

    /// With `d = log(fresh / expected)` and `r = log(past)`: `scipy.stats.t.sf(d.mean() / (r.std(ddof=1) * sqrt(1 + 1/9)), 8)`, and
    /// without past runs `ttest_1samp(d, 0, alternative='greater')`; scipy 1.17.1.
    #[test]
    fn suite_ratio_is_scipys() {
        let cases =
            [(310., 300.), (520., 450.), (95., 90.), (1200., 1000.), (88., 80.), (700., 610.), (45., 47.), (260., 230.), (330., 280.)];
        let past = [1.02, 0.97, 1.01, 0.95, 1.04, 0.99, 1.0, 1.03, 0.98];
        let by_runs = suite_ratio(&cases, &past, 1, 1.10, 0.01);
        close(by_runs.p_value.unwrap(), 0.006468663591610632);
        close(by_runs.seen_ms, 1.1039573273151524);
        assert_eq!((by_runs.decision, by_runs.n, by_runs.runs), (Decision::Missed, 9, 9));
        let by_cases = suite_ratio(&cases, &past[..7], 1, 1.10, 0.01);
        close(by_cases.p_value.unwrap(), 0.0017370465378487756);
        assert!(by_cases.line.contains("spread over the cases only"));
        assert_eq!(suite_ratio(&cases, &past, 1, 1.20, 0.01).decision, Decision::Met);
        assert_eq!(suite_ratio(&cases[..7], &[], 1, 1.10, 0.01).decision, Decision::TooThin);
        for bad in [f64::NAN, f64::INFINITY, 0.0] {
            assert_eq!(suite_ratio(&[(bad, 1.0); 20], &[], 1, 1.1, 0.01).decision, Decision::TooThin);
        }
        assert_eq!(suite_ratio(&[], &[], 1, 1.1, 0.01).decision, Decision::TooThin);
    }

    #[test]
    fn past_suite_ratios_are_aligned_by_age() {
        let run = |day: f64, ms: f64| PastRun { at_days: day, samples_ms: vec![ms] };
        let one: Vec<PastRun> = (1..=8).map(|d| run(f64::from(d), if d == 3 { 120.0 } else { 100.0 })).collect();
        let two: Vec<PastRun> = (1..=8).map(|d| run(f64::from(d), if d == 3 { 1200.0 } else { 1000.0 })).collect();
        let third = [run(77.0, 5.0), run(4.5, 5.0)];
        let rule = Predicted { max_days: 99.0, ..Predicted::default() };
        let ratios = rule.past_suite_ratios(&[&one, &two, &third]);
        assert_eq!(ratios.len(), 8, "runs of one case in three are left out");
        close(ratios[2], 1.2f64.powf(7.0 / 8.0));
        close(ratios[0], 1.2f64.powf(-1.0 / 8.0));
    }

    /// `statsmodels.stats.multitest.multipletests(p, .05, 'holm')` rejects the same two.
    #[test]
    fn holm_steps_down() {
        assert_eq!(holm(&[0.01, 0.04, 0.03, 0.005], 0.05), [true, false, false, true]);
        assert_eq!(holm(&[0.001, f64::NAN, 2.0, -1.0, 0.013], 0.05), [true, false, false, false, false]);
        assert_eq!(holm(&[0.001, 0.0125, 0.9, 0.9, 0.9], 0.05), [true, true, false, false, false]);
        assert!(holm(&[], 0.05).is_empty());
        assert_eq!(holm(&[0.0], f64::NAN), [false]);
    }

    #[test]
    fn only_misses_stand_and_all_comparisons_count() {
        let with = |decision, p_value| Judged { decision, p_value, ..Judged::too_thin(0, 0, String::new()) };
        let small = with(Decision::Missed, Some(0.004));
        let met = with(Decision::Met, Some(0.0));
        let single = with(Decision::Missed, None);
        let thin = with(Decision::TooThin, None);
        assert_eq!(standing(&[&small, &met, &single, &thin], 0.01), [true, false, true, false]);
        assert_eq!(standing(&[&small, &met, &single, &met], 0.01), [false, false, true, false]);
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!([0.0, 0.5, 0.9, 1.0].map(|q| quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], q)), [1.0, 3.0, 4.6, 5.0]);
        assert_eq!((quantile(&[], 0.5), quantile(&[7.0], 0.9)), (0.0, 7.0));
    }

    /// Whatever comes in, every figure is finite, and what is no latency is not judged.
    #[test]
    fn no_input_gives_a_nan_or_a_panic() {
        let values = [300.0, 300.0, 1e-300, 1e300, f64::MAX, f64::MIN_POSITIVE, 0.0, -1.0, f64::NAN, f64::INFINITY];
        let mut samples: Vec<Vec<f64>> = vec![vec![]];
        for v in values {
            samples.extend([vec![v], vec![v; 30], vec![300.0, v], [vec![300.0; 40], vec![v]].concat()]);
        }
        let mut pasts: Vec<Vec<PastRun>> = vec![vec![]];
        for s in &samples {
            pasts.push(vec![PastRun { at_days: 1.0, samples_ms: s.clone() }; 12]);
            pasts.push([steady(10, 3), vec![PastRun { at_days: 2.5, samples_ms: s.clone() }]].concat());
        }
        pasts.push(vec![PastRun { at_days: f64::NAN, samples_ms: vec![1.0] }; 12]);
        pasts.push(vec![PastRun { at_days: -1.0, samples_ms: vec![1.0] }; 12]);
        let (rolling, predicted) = (Rolling::default(), Predicted::default());
        for fresh in &samples {
            for past in &pasts {
                let release = Release { limit: 1.2, anchor: past.clone() };
                let all = [
                    rolling.judge(fresh, past, 2),
                    rolling.confirm(&[fresh, fresh], past, 0),
                    predicted.judge(fresh, past, SCREEN),
                    predicted.confirm(&[fresh, fresh, fresh], past, 0.0),
                    predicted.confirm(&[], past, f64::NAN),
                    release.judge(fresh, past),
                ];
                for judged in &all {
                    assert!(judged.seen_ms.is_finite() && judged.limit_ms.is_finite(), "{judged:?}");
                    assert!(judged.p_value.is_none_or(|p| (0.0..=1.0).contains(&p)), "{judged:?}");
                    assert!(!judged.line.is_empty() && !judged.line.contains("NaN") && !judged.line.contains("inf"), "{judged:?}");
                    let bad = fresh.is_empty() || fresh.iter().any(|v| !(*v > 0.0 && v.is_finite()));
                    assert!(!bad || judged.decision == Decision::TooThin, "{fresh:?} {judged:?}");
                }
                assert!(predicted.expected_ms(past).is_none_or(f64::is_finite));
                assert!(predicted.past_suite_ratios(&[past, past]).iter().all(|r| r.is_finite() && *r > 0.0));
            }
        }
        for rule in
            [Rolling { quantile: 1.0, ..rolling }, Rolling { factor: f64::NAN, ..rolling }, Rolling { window_days: -1.0, ..rolling }]
        {
            assert_eq!(rule.judge(&FRESH, &daily(&RUNS), 0).decision, Decision::TooThin);
        }
    }
}
