//! Means and spreads of log latencies, checks of what comes in, and how figures are written.

use super::*;
use crate::stats::dist::{beta_binomial_upper_tail, t_upper_tail};

/// How many samples a gated quantile needs: the fewest whose largest is, with 95 % confidence, no lower than the quantile.
/// 29 for p90, 59 for p95, 299 for p99 (Wilks).
pub fn samples_for_quantile(quantile: f64) -> usize {
    if !(quantile > 0.0 && quantile < 1.0) {
        return usize::MAX;
    }
    ((0.05f64.ln() / quantile.ln()) - 1e-9).ceil().max(1.0) as usize
}

/// The probability that three further samples all exceed the j-th smallest of m, whatever their distribution.
pub(super) fn three_exceed(m: usize, j: usize) -> f64 {
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
pub(super) struct Moments {
    pub(super) n: usize,
    pub(super) mean: f64,
    pub(super) variance: f64,
}

impl Moments {
    pub(super) fn of(values: &[f64]) -> Moments {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n.max(1) as f64;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        Moments { n, mean, variance: squares / n.saturating_sub(1).max(1) as f64 }
    }

    pub(super) fn sd(&self) -> f64 {
        self.variance.sqrt()
    }
}

/// One run on the log scale.
pub(super) struct LogRun {
    pub(super) n: usize,
    pub(super) mean: f64,
    /// Sum of squared differences from the mean.
    pub(super) squares: f64,
}

impl LogRun {
    /// `None` without samples.
    pub(super) fn of(samples_ms: &[f64]) -> Option<LogRun> {
        let logs = Moments::of(&samples_ms.iter().map(|ms| ms.ln()).collect::<Vec<_>>());
        (logs.n > 0).then(|| LogRun { n: logs.n, mean: logs.mean, squares: logs.variance * logs.n.saturating_sub(1) as f64 })
    }
}

/// What past runs say: mean and variance of a run's mean log latency, and the noise of a single request.
pub(super) struct Reference {
    pub(super) k: usize,
    pub(super) mean: f64,
    /// Between runs, and the degrees of freedom it stands on.
    pub(super) variance: f64,
    pub(super) df: f64,
    /// Within runs, pooled; 0 when every run has one sample.
    pub(super) within: f64,
    /// Mean of 1 / n over the runs.
    pub(super) inverse_n: f64,
}

impl Reference {
    pub(super) fn of(runs: &[LogRun]) -> Reference {
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
    pub(super) fn pooled_with(self, runs: &[LogRun]) -> Reference {
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
pub(super) struct Gap {
    pub(super) log_ratio: f64,
    pub(super) reference_mean: f64,
    pub(super) se: f64,
    pub(super) df: f64,
}

impl Gap {
    /// The variance of each measurement is the reference's between runs, plus what a smaller measurement adds.
    pub(super) fn between(fresh: &[LogRun], reference: &Reference) -> Gap {
        let r = fresh.len() as f64;
        let mean = fresh.iter().map(|run| run.mean).sum::<f64>() / r;
        let extra = |run: &LogRun| reference.within * (1.0 / run.n as f64 - reference.inverse_n).max(0.0);
        let noise = fresh.iter().map(|run| reference.variance + extra(run)).sum::<f64>() / (r * r);
        let se = (noise + reference.variance / reference.k as f64).sqrt();
        Gap { log_ratio: mean - reference.mean, reference_mean: reference.mean, se, df: reference.df }
    }

    pub(super) fn seen(&self) -> f64 {
        self.reference_mean + self.log_ratio
    }

    pub(super) fn p_value(&self) -> f64 {
        t_upper_tail(self.log_ratio / self.se, self.df)
    }
}

/// The past runs with samples, newest first; an error sentence when any value is no latency or no age.
pub(super) fn admit(past: &[PastRun]) -> Result<Vec<&PastRun>, String> {
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

pub(super) fn fresh_values(fresh: &[f64]) -> Result<(), String> {
    let bad = fresh.iter().filter(|ms| !positive(**ms)).count();
    match (fresh.len(), bad) {
        (0, _) => Err("no fresh sample; 1 would do".into()),
        (_, 0) => Ok(()),
        (_, bad) => Err(no_latencies(bad, "fresh samples")),
    }
}

pub(super) fn fresh_run(samples: &[f64]) -> Result<LogRun, String> {
    fresh_values(samples)?;
    LogRun::of(samples).ok_or_else(|| "no fresh sample; 1 would do".into())
}

pub(super) fn no_latencies(bad: usize, of: &str) -> String {
    format!("cannot be judged: {bad} {of} are not positive, finite numbers")
}

pub(super) fn history_has(runs: usize, needed: usize) -> String {
    format!("history has {runs} {}; {needed} would do", if runs == 1 { "run" } else { "runs" })
}

pub(super) fn positive(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

/// Back from the log scale, kept finite.
pub(super) fn unlog(log: f64) -> f64 {
    log.clamp(-700.0, 700.0).exp()
}

/// A usable significance level.
pub(super) fn level(alpha: f64) -> f64 {
    if alpha.is_nan() { 0.0 } else { alpha.clamp(0.0, 0.5) }
}

pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// `p90`, `p99.9`.
pub(super) fn name_of(quantile: f64) -> String {
    format!("p{}", trim(quantile * 100.0))
}

/// Three significant digits or whole milliseconds.
pub(super) fn ms(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0} ms"),
        v if v >= 10.0 => format!("{v:.1} ms"),
        v => format!("{v:.2} ms"),
    }
}

/// `21 % over`, `3 % below`; beyond ten times, the factor.
pub(super) fn change(log_ratio: f64) -> String {
    match unlog(log_ratio) {
        ratio if ratio > 1000.0 => "more than 1000 ×".into(),
        ratio if ratio > 10.0 => format!("{ratio:.0} ×"),
        ratio if ratio >= 1.0 => format!("{:.0} % over", (ratio - 1.0) * 100.0),
        ratio => format!("{:.0} % below", (1.0 - ratio) * 100.0),
    }
}

pub(super) fn percent(log_ratio: f64) -> String {
    format!("+{} %", trim((unlog(log_ratio) - 1.0) * 100.0))
}

/// At most four decimals, without trailing zeros.
pub(super) fn trim(value: f64) -> String {
    format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_string()
}

pub(super) fn p_text(p: f64) -> String {
    if p < 0.0001 { "p < 0.0001".into() } else { format!("p = {p:.4}") }
}
