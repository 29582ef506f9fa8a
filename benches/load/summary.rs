//! Condenses samples into a mean and a 99th percentile.

use serde_json::{Value, json};

/// Mean and p99 of samples in seconds, as milliseconds; null without samples.
pub fn milliseconds(seconds: &mut [f64]) -> Value {
    if seconds.is_empty() {
        return Value::Null;
    }
    seconds.sort_unstable_by(f64::total_cmp);
    json!({
        "n": seconds.len(),
        "mean": rounded(seconds.iter().sum::<f64>() / seconds.len() as f64 * 1e3),
        "p99": rounded(quantile(seconds, 0.99) * 1e3),
        "max": rounded(seconds[seconds.len() - 1] * 1e3),
    })
}

/// Four decimals: a tenth of a microsecond, when milliseconds are printed.
pub fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// R-7, the rule of the product's own percentiles. `sorted` ascends and is not empty.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let below = sorted[at.floor() as usize];
    below + (sorted[at.ceil() as usize] - below) * at.fract()
}

/// The middle of some repeats; NaN without any.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    if values.is_empty() { f64::NAN } else { quantile(&values, 0.5) }
}
