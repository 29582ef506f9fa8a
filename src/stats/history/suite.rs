//! The ratio over the whole suite: a hundred cases together see what one cannot.

use super::numbers::*;
use super::*;
use crate::stats::dist::{t_quantile, t_upper_tail};

/// Level of the suite ratio, beside that of all comparisons of a run.
pub const SUITE_ALPHA: f64 = 0.005;

/// Judges a whole suite: `fresh` holds the samples of each case over all its measurements, ms, and `past` its earlier runs, in
/// the same order. The first measurement is a screen; what it finds suspicious is measured twice more, and all three are judged at
/// `alpha`. Cases without fresh samples or without a past are left out.
pub fn suite(fresh: &[Vec<f64>], past: &[&[PastRun]], measurements: u32, alpha: f64) -> Judged {
    let rule = Predicted::default();
    let mut figures = Vec::new();
    let mut histories = Vec::new();
    for (samples, past) in fresh.iter().zip(past) {
        if let (Some(run), Some(expected)) = (LogRun::of(samples), rule.expected_ms(past)) {
            figures.push((run.mean.exp(), expected));
            histories.push(*past);
        }
    }
    let (least, alpha) = if measurements <= 1 { (1.0, SUITE_SCREEN) } else { (rule.min_effect, alpha) };
    suite_ratio(&figures, &rule.past_suite_ratios(&histories), measurements, least, alpha)
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
