//! Two builds side by side: the geometric ratio, paired by prompt or independent.

use super::numbers::*;
use crate::stats::dist::{t_quantile, t_upper_tail};

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
