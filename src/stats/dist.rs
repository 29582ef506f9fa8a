//! Tail probabilities and quantiles that never give NaN: where a statistic is undefined, the answer is "no evidence".

use statrs::distribution::{Beta, ContinuousCDF, Normal, StudentsT};
use statrs::function::gamma::ln_gamma;

/// The 95 % quantile of the standard normal distribution, for one-sided 95 % bounds.
pub const Z95: f64 = 1.644_853_626_951_472_6;

/// The 97.5 % quantile, for two-sided 95 % bounds.
pub const Z975: f64 = 1.959_963_984_540_054;

/// P(T ≥ t) for Student's t with `df` degrees of freedom; 1 when `t` is NaN or `df` is not positive.
pub fn t_upper_tail(t: f64, df: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, df) {
        Ok(_) if t == f64::INFINITY => 0.0,
        Ok(student) if t.is_finite() => student.sf(t).clamp(0.0, 1.0),
        _ => 1.0,
    }
}

/// The quantile of Student's t; `p` is kept inside `1e-12..=1 - 1e-12`. Infinite when `df` is not positive.
pub fn t_quantile(p: f64, df: f64) -> f64 {
    let p = if p.is_nan() { 0.5 } else { p.clamp(1e-12, 1.0 - 1e-12) };
    StudentsT::new(0.0, 1.0, df).map_or(f64::INFINITY, |student| student.inverse_cdf(p))
}

/// The quantile of Beta(`a`, `b`); Clopper–Pearson bounds are such quantiles. 1 where a parameter is not positive.
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    Beta::new(a, b).map_or(1.0, |beta| beta.inverse_cdf(p.clamp(0.0, 1.0)).clamp(0.0, 1.0))
}

/// P(Z ≥ z) for the standard normal distribution; 1 when `z` is NaN.
pub fn normal_upper_tail(z: f64) -> f64 {
    if z.is_nan() { 1.0 } else { Normal::standard().sf(z).clamp(0.0, 1.0) }
}

/// P(X ≥ at_least) for X binomial with `n` trials of probability `p`, `0 < p < 1`.
pub fn binomial_upper_tail(at_least: usize, n: usize, p: f64) -> f64 {
    let term = |k: usize| (ln_choose(n, k) + k as f64 * p.ln() + (n - k) as f64 * (1.0 - p).ln()).exp();
    if at_least == 0 { 1.0 } else { (at_least..=n).map(term).sum::<f64>().min(1.0) }
}

/// P(X ≥ at_least) for X beta-binomial: `n` trials whose probability is Beta(`a`, `b`), both positive.
pub fn beta_binomial_upper_tail(at_least: usize, n: usize, a: f64, b: f64) -> f64 {
    let term = |k: usize| (ln_choose(n, k) + ln_beta(k as f64 + a, (n - k) as f64 + b) - ln_beta(a, b)).exp();
    if at_least == 0 { 1.0 } else { (at_least..=n).map(term).sum::<f64>().min(1.0) }
}

fn ln_choose(n: usize, k: usize) -> f64 {
    ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0)
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// The one-sided 95 % bound, from above, of a rate of which `lost` of `n` were seen (Clopper and Pearson); 1 when all were.
pub fn upper_rate(lost: u64, n: u64) -> f64 {
    if lost >= n { 1.0 } else { beta_quantile(0.95, lost as f64 + 1.0, (n - lost) as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3), "{a} is not {b}");
    }

    /// `scipy.stats.t.sf(t, df)`, `t.ppf(p, df)`, `norm.sf(z)`, `binom.sf(5, 28, .1)`, `betabinom.sf(11, 40, 8, 63)`; scipy 1.17.1.
    /// `scipy.stats.beta.ppf(.95, 1, 2995)` and `(.95, 3, 98)`; scipy 1.17.1.
    #[test]
    fn beta_quantiles_are_scipys() {
        assert!((beta_quantile(0.95, 1.0, 2995.0) - 0.000_999_744).abs() < 1e-7);
        assert!((beta_quantile(0.95, 3.0, 98.0) - 0.061_619_2).abs() < 1e-6, "{}", beta_quantile(0.95, 3.0, 98.0));
    }

    #[test]
    fn tails_and_quantiles_are_scipys() {
        close(t_upper_tail(2.0, 5.0), 0.050969739414929174);
        close(t_upper_tail(4.29, 27.0), 0.00010234962759718748);
        close(t_upper_tail(8.5, 6.0), 7.256411207677708e-05);
        close(t_upper_tail(-1.3, 3.0), 0.8577662456360515);
        close(t_upper_tail(0.7, 0.5), 0.3427003312603833);
        close(t_quantile(0.95, 6.0), 1.9431802805153042);
        close(t_quantile(0.99, 27.0), 2.472659911956006);
        close(t_quantile(0.975, 18.3), 2.098456019799564);
        close(t_quantile(1.0 - 5e-5, 27.0), 4.557539482371393);
        assert!(t_quantile(0.5, 4.0).abs() < 1e-9);
        close(normal_upper_tail(3.1), 0.0009676032132183563);
        close(normal_upper_tail(-0.5), 0.6914624612740131);
        close(binomial_upper_tail(6, 28, 0.1), 0.055006948868291425);
        close(beta_binomial_upper_tail(12, 40, 8.0, 63.0), 0.008901806178425176);
    }

    #[test]
    fn what_is_undefined_is_no_evidence() {
        assert_eq!(t_upper_tail(f64::NAN, 5.0), 1.0);
        assert_eq!(t_upper_tail(2.0, 0.0), 1.0);
        assert_eq!(t_upper_tail(f64::INFINITY, 5.0), 0.0);
        assert_eq!(t_upper_tail(f64::NEG_INFINITY, 5.0), 1.0);
        assert_eq!(t_quantile(0.95, -1.0), f64::INFINITY);
        assert!(t_quantile(1.0, 5.0).is_finite() && t_quantile(f64::NAN, 5.0).abs() < 1e-9);
        assert_eq!(normal_upper_tail(f64::NAN), 1.0);
        assert_eq!((binomial_upper_tail(0, 3, 0.5), binomial_upper_tail(4, 3, 0.5)), (1.0, 0.0));
        assert!(beta_binomial_upper_tail(3, 3, 1.0, 1e6) >= 0.0);
    }
}
