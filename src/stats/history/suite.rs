//! The ratio over the whole suite: a hundred cases together see what one cannot.

use super::numbers::*;
use super::*;
use crate::stats::dist::{t_quantile, t_upper_tail};

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
