//! Trends in a soak: does memory leak, does latency creep? The Mann–Kendall test, corrected for autocorrelation, and the
//! Theil–Sen slope with bounds.
//!
//! Sources: Mann, "Nonparametric Tests Against Trend" (1945); Kendall, "Rank Correlation Methods" (1975); Sen, "Estimates
//! of the Regression Coefficient Based on Kendall's Tau" (1968); Hamed and Rao, "A Modified Mann-Kendall Trend Test for
//! Autocorrelated Data" (1998); Yue and Wang, "The Mann-Kendall Test Modified by Effective Sample Size" (2004); Marriott and
//! Pope, "Bias in the Estimation of Autocorrelations" (1954).

use super::dist::{Z95, Z975, normal_upper_tail};

/// The normal approximation of S is poor below this.
const MIN_VALUES: usize = 5;

/// The test for a monotonic trend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MannKendall {
    /// Pairs that rise less pairs that fall.
    pub s: f64,
    /// Standardised with the continuity correction, variance corrected for ties.
    pub z: f64,
    /// The same with the variance enlarged for autocorrelation.
    pub z_corrected: f64,
    /// One-sided p-values of "does not rise".
    pub p_one_sided_up: f64,
    pub p_corrected: f64,
    /// How many values are worth one independent one, at least 1: the greater of Hamed and Rao's n / n* and the factor of an
    /// AR(1) series. Negative autocorrelation would make it smaller than 1, even negative, and the test bolder than
    /// independence allows; that is not taken.
    pub inflation: f64,
    /// Hamed and Rao's n / n* alone. At 48 values it takes out less than half of what autocorrelation adds, because the
    /// line taken out of the values takes much of their autocorrelation with it.
    pub hamed_rao: f64,
}

/// Tests values taken at equal distances in time. `None` for fewer than 5 values or any that is not finite. Equal values
/// give z = 0.
pub fn mann_kendall(values: &[f64]) -> Option<MannKendall> {
    if values.len() < MIN_VALUES || !values.iter().all(|v| v.is_finite()) {
        return None;
    }
    let s = score(values);
    let variance = score_variance(values);
    let residual = residual_autocorrelation(values);
    let hamed_rao = hamed_rao(&residual);
    let inflation = hamed_rao.max(first_order(&residual)).max(1.0);
    let (z, z_corrected) = (standardise(s, variance), standardise(s, variance * inflation));
    let (p_one_sided_up, p_corrected) = (normal_upper_tail(z), normal_upper_tail(z_corrected));
    Some(MannKendall { s, z, z_corrected, p_one_sided_up, p_corrected, inflation, hamed_rao })
}

/// The median of the slopes of all pairs, with its lower and upper one-sided 95 % bounds (together a 90 % interval), in
/// units of y per unit of x. `None` when lengths differ, values are not finite, or all x are equal.
pub fn theil_sen(x: &[f64], y: &[f64]) -> Option<(f64, f64, f64)> {
    theil_sen_inflated(x, y, 1.0)
}

/// The same with the variance behind the bounds enlarged by [`MannKendall::inflation`]; autocorrelated values make the
/// plain bounds too tight.
pub fn theil_sen_inflated(x: &[f64], y: &[f64], inflation: f64) -> Option<(f64, f64, f64)> {
    if x.len() != y.len() || !x.iter().chain(y).all(|v| v.is_finite()) {
        return None;
    }
    let mut slopes = Vec::with_capacity(x.len() * x.len().saturating_sub(1) / 2);
    for i in 0..x.len() {
        slopes.extend((0..i).filter(|j| x[i] != x[*j]).map(|j| (y[i] - y[j]) / (x[i] - x[j])));
    }
    // Differences of finite numbers may overflow.
    if slopes.is_empty() || !slopes.iter().all(|v| v.is_finite()) {
        return None;
    }
    slopes.sort_by(f64::total_cmp);
    let n = x.len() as f64;
    let variance = (n * (n - 1.0) * (2.0 * n + 5.0) - tie_term(x) - tie_term(y)) / 18.0;
    let half = Z95 * (variance * inflation.max(1.0)).max(0.0).sqrt();
    let (count, last) = (slopes.len() as f64, slopes.len() - 1);
    // Sen's ranks, counted from 0; a rank beyond the ends means the end.
    let lower = (((count - half) / 2.0).round_ties_even() - 1.0).max(0.0) as usize;
    let upper = (((count + half) / 2.0).round_ties_even().max(0.0) as usize).min(last);
    Some((median(&slopes), slopes[lower.min(last)], slopes[upper]))
}

fn score(values: &[f64]) -> f64 {
    let sign = |d: f64| if d > 0.0 { 1.0 } else { f64::from(-i8::from(d < 0.0)) };
    (0..values.len()).map(|i| (0..i).map(|j| sign(values[i] - values[j])).sum::<f64>()).sum()
}

fn score_variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    (n * (n - 1.0) * (2.0 * n + 5.0) - tie_term(values)) / 18.0
}

/// Σ t (t − 1) (2t + 5) over groups of t equal values.
fn tie_term(values: &[f64]) -> f64 {
    tie_groups(values).iter().map(|t| *t as f64).map(|t| t * (t - 1.0) * (2.0 * t + 5.0)).sum()
}

fn tie_groups(values: &[f64]) -> Vec<usize> {
    let mut ascending = values.to_vec();
    ascending.sort_by(f64::total_cmp);
    ascending.chunk_by(|a, b| a == b).map(<[f64]>::len).collect()
}

/// z with the continuity correction; 0 when there is no variance.
fn standardise(s: f64, variance: f64) -> f64 {
    if s == 0.0 || variance <= 0.0 { 0.0 } else { (s - s.signum()) / variance.sqrt() }
}

/// Autocorrelation, lag by lag from 0, of the ranks of the values less their Theil–Sen line. All 0 where there is none to speak of.
fn residual_autocorrelation(values: &[f64]) -> Vec<f64> {
    let n = values.len();
    let x: Vec<f64> = (0..n).map(|i| i as f64).collect();
    let Some((slope, ..)) = theil_sen(&x, values) else { return vec![0.0; n] };
    let residuals: Vec<f64> = values.iter().zip(&x).map(|(v, x)| v - slope * (x + 1.0)).collect();
    let centred: Vec<f64> = ranks(&residuals).iter().map(|r| r - (n as f64 + 1.0) / 2.0).collect();
    let total: f64 = centred.iter().map(|c| c * c).sum();
    let at = |lag: usize| centred[lag..].iter().zip(&centred).map(|(a, b)| a * b).sum::<f64>() / total;
    if total > 0.0 { (0..n).map(at).collect() } else { vec![0.0; n] }
}

/// Autocorrelations up to this could be chance.
fn chance(n: usize) -> f64 {
    Z975 / (n as f64).sqrt()
}

/// n / n* over the lags whose autocorrelation is more than chance.
fn hamed_rao(autocorrelation: &[f64]) -> f64 {
    let n = autocorrelation.len() as f64;
    let weighted = |(lag, r): (usize, &f64)| (n - lag as f64) * (n - lag as f64 - 1.0) * (n - lag as f64 - 2.0) * r;
    let real = autocorrelation.iter().enumerate().skip(1).filter(|(_, r)| r.abs() > chance(autocorrelation.len()));
    1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * real.map(weighted).sum::<f64>()
}

/// n / n* of an AR(1) series (Yue and Wang) whose coefficient is the first autocorrelation, freed of its bias: around a
/// fitted line it comes out about (2 + 4 ρ) / n too small.
fn first_order(autocorrelation: &[f64]) -> f64 {
    let n = autocorrelation.len() as f64;
    if autocorrelation[1] <= chance(autocorrelation.len()) {
        return 1.0;
    }
    let rho = ((autocorrelation[1] + 2.0 / n) / (1.0 - 4.0 / n)).clamp(0.0, 0.99);
    1.0 + 2.0 * (1..autocorrelation.len()).map(|lag| (1.0 - lag as f64 / n) * rho.powi(lag as i32)).sum::<f64>()
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for group in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let shared = before as f64 + (group.len() as f64 + 1.0) / 2.0;
        group.iter().for_each(|i| ranks[*i] = shared);
        before += group.len();
    }
    ranks
}

fn median(ascending: &[f64]) -> f64 {
    let n = ascending.len();
    if n % 2 == 1 { ascending[n / 2] } else { ascending[n / 2 - 1] / 2.0 + ascending[n / 2] / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An AR(1) series with a trend, and uneven times with two equal ones.
    const Y: [f64; 30] = [
        50.4, 50.3, 50.2, 49.3, 49.8, 49.7, 51.3, 52.0, 51.8, 52.5, 51.9, 53.0, 52.7, 53.2, 51.7, 52.3, 50.8, 49.4, 50.2, 50.2, 51.3, 54.2,
        53.2, 52.8, 53.3, 54.0, 53.9, 53.9, 54.8, 55.3,
    ];
    const X: [f64; 30] = [
        1.43, 1.94, 3.19, 4.5, 5.14, 5.14, 7.37, 7.89, 9.02, 10.31, 11.32, 12.55, 13.27, 13.97, 14.84, 15.52, 16.36, 17.81, 18.88, 19.72,
        20.49, 21.95, 22.89, 24.37, 25.39, 26.41, 27.8, 29.05, 30.13, 31.05,
    ];

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3), "{a} is not {b}");
    }

    /// `pymannkendall.original_test(Y)` and `hamed_rao_modification_test(Y)`, version 1.4.3; p by `scipy.stats.norm.sf(z)`.
    #[test]
    fn mann_kendall_is_pymannkendalls() {
        let test = mann_kendall(&Y).unwrap();
        assert_eq!(test.s, 229.0);
        close(test.z, 4.072077870303831);
        close(test.p_one_sided_up, 2.329779758885845e-05);
        close(test.hamed_rao, 2.3139742281096263);
        close(test.z / test.hamed_rao.sqrt(), 2.6769287719111374);
        assert!(test.inflation >= test.hamed_rao && test.z_corrected < test.z && test.p_corrected > test.p_one_sided_up);
    }

    /// `scipy.stats.theilslopes(Y, X, alpha=.90)` and the same over `numpy.arange(30)`; scipy 1.17.1.
    #[test]
    fn theil_sen_is_scipys() {
        let (slope, low, high) = theil_sen(&X, &Y).unwrap();
        close(slope, 0.14252661903907593);
        close(low, 0.10852713178294618);
        close(high, 0.18561484918793547);
        let even: Vec<f64> = (0..30).map(f64::from).collect();
        let (slope, low, high) = theil_sen(&even, &Y).unwrap();
        close(slope, 0.144);
        close(low, 0.10833333333333368);
        close(high, 0.19047619047619047);
        let wide = theil_sen_inflated(&even, &Y, 3.0).unwrap();
        assert!(wide.0 == slope && wide.1 < low && wide.2 > high);
    }

    #[test]
    fn a_fall_is_no_rise_and_equal_values_are_no_trend() {
        let falling: Vec<f64> = Y.iter().map(|y| -y).collect();
        assert!(mann_kendall(&falling).unwrap().p_corrected > 0.9);
        let flat = mann_kendall(&[7.0; 40]).unwrap();
        assert_eq!((flat.s, flat.z, flat.z_corrected, flat.inflation), (0.0, 0.0, 0.0, 1.0));
        close(flat.p_corrected, 0.5);
        let line: Vec<f64> = (0..40).map(f64::from).collect();
        assert!(mann_kendall(&line).unwrap().p_corrected < 1e-6);
        assert_eq!(theil_sen(&line, &line), Some((1.0, 1.0, 1.0)));
    }

    #[test]
    fn what_cannot_be_judged_is_none() {
        assert!(mann_kendall(&[]).is_none() && mann_kendall(&[1.0; 4]).is_none());
        assert!(mann_kendall(&[1.0, 2.0, f64::NAN, 4.0, 5.0]).is_none());
        assert!(mann_kendall(&[1.0, 2.0, f64::INFINITY, 4.0, 5.0]).is_none());
        assert!(theil_sen(&[], &[]).is_none() && theil_sen(&[1.0], &[1.0]).is_none());
        assert!(theil_sen(&[1.0, 2.0], &[1.0]).is_none() && theil_sen(&[2.0; 3], &[1.0, 2.0, 3.0]).is_none());
        assert!(theil_sen(&[1.0, 2.0], &[f64::NAN, 1.0]).is_none());
        let huge = [f64::MAX, f64::MIN, f64::MAX, f64::MIN, 0.0, 1.0];
        let test = mann_kendall(&huge).unwrap();
        assert!(test.z_corrected.is_finite() && test.p_corrected.is_finite());
        assert_eq!(theil_sen(&[1.0, 2.0], &[f64::MIN, f64::MAX]), None);
    }
}
