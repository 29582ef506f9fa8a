//! Latency of one case and metric against its history: the rolling limit of the sources, a prediction limit, a frozen
//! release anchor, the ratio over the whole suite, and two builds side by side. Pure: samples in, decision and evidence out.
//!
//! The unit of evidence is the run, not the request: requests of one run share its machine and its hour and are not
//! independent. Latencies are judged on the log scale, because their noise is a factor and not a number of milliseconds.
//!
//! Stages. The first measurement of a run is only a screen; what misses is measured afresh after a pause, as often as it
//! keeps missing, up to [`MEASUREMENTS`] in all, and [`Rolling::confirm`] or [`Predicted::confirm`] judge all of them
//! together. Only what misses to the end counts, and [`stands`] holds its p-value to the level that every comparison of the run
//! shares. Stopping early can only take rejections away, so the family-wise error stays below that level however loose the
//! screen is.
//!
//! Sources: Hahn and Meeker, "Statistical Intervals" (1991), prediction limits; Wilks, "Determination of Sample Sizes for
//! Setting Tolerance Limits" (1941); Welch, "The Generalization of Student's Problem" (1947); von Neumann et al., "The Mean
//! Square Successive Difference" (1941); Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), type 7.

mod approved;
mod numbers;
mod pair;
mod predicted;
mod release;
mod rolling;
mod suite;
#[cfg(test)]
mod tests;

pub use approved::since_approval;
pub use numbers::{quantile, samples_for_quantile};
pub use pair::{Ratio, paired_ratio, ratio};
pub use predicted::Predicted;
pub use release::Release;
pub use rolling::Rolling;
pub use suite::{SUITE_ALPHA, suite, suite_ratio};

/// How often a case that keeps missing is measured in all. Two do; a third lets a step of 20 % outlive the shared level.
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
    /// First measurement: suspicious, measure again. Confirmation and release: misses, subject to [`stands`] where there is a p-value.
    Missed,
    /// Too few runs or samples to say, or values that are no latencies; `line` says what would do.
    TooThin,
}

/// A decision about one case and metric with its evidence. Every number is finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub decision: Decision,
    /// One-sided, of "no slower than history". `None` when the rule has its own level and shares none with the other comparisons.
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

/// Share of unchanged runs that may fail by a comparison with history.
pub const LEVEL: f64 = 0.01;

/// True when a miss counts: its p-value would be rare among all `comparisons` of the run. A miss without a p-value stands by its own
/// rule. This is the first step of Holm's procedure and fails a run exactly when the whole procedure does; the later steps, which name
/// more cases of a run that fails already, need the p-values of all ([`standing`]), and a case's verdict is needed when the case ends.
pub fn stands(judged: &Judged, comparisons: usize) -> bool {
    judged.decision == Decision::Missed && judged.p_value.is_none_or(|p| p <= LEVEL / comparisons.max(1) as f64)
}

/// Which misses count when all comparisons of a run are known: Holm's step-down procedure at [`LEVEL`] (Scandinavian Journal of
/// Statistics 6, 1979). In the order given; misses without a p-value stand by their own rule and take no part.
pub fn standing(all: &[&Judged]) -> Vec<bool> {
    let mut stand: Vec<bool> = all.iter().map(|j| j.decision == Decision::Missed && j.p_value.is_none()).collect();
    let mut ranked: Vec<(f64, usize)> = all.iter().enumerate().filter_map(|(at, j)| Some((j.p_value?, at))).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (left, (p, at)) in (1..=all.len()).rev().zip(ranked) {
        if p.is_nan() || p > LEVEL / left as f64 {
            break;
        }
        stand[at] = all[at].decision == Decision::Missed;
    }
    stand
}
