//! Latency ceilings that come from the service's own history: judged over all trials of a case, against earlier runs.

use super::key_facts::Spoken;
use super::{Expectation, LatencyMetric, Said, finding};
use crate::finding::{Finding, Outcome, Topic};
use crate::record::Trial;
use crate::stats::history::{Decision, Judged, PastRun, Predicted, Release, Rolling, SCREEN, stands};
use std::collections::BTreeMap;
use std::time::Duration;

/// A ceiling from history.
#[derive(Debug, Clone, PartialEq)]
pub enum Ceiling {
    /// A quantile of the window's samples, times a factor. Without a window of its own, that of the history.
    Rolling {
        quantile: f64,
        window: Option<Duration>,
        factor: f64,
    },
    Predicted(Predicted),
    /// At most this many times the approved release.
    Release(f64),
}

impl Ceiling {
    pub fn word(&self) -> &'static str {
        match self {
            Ceiling::Rolling { .. } => "rolling",
            Ceiling::Predicted(_) => "predicted",
            Ceiling::Release(_) => "release",
        }
    }
}

/// What is known of one metric of a case.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub past: Vec<PastRun>,
    /// Runs of the last approved release.
    pub anchor: Vec<PastRun>,
}

/// What the baselines hold for the cases of a run.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// By case id, then metric.
    pub cases: BTreeMap<String, BTreeMap<String, Known>>,
    /// What the answers of earlier runs said, by case id, oldest first.
    pub spoken: BTreeMap<String, Vec<Spoken>>,
    /// Comparisons with history that the whole run makes; the level is shared among them.
    pub comparisons: usize,
    /// How far back `rolling` looks where the ceiling does not say; seven days when it is absent.
    pub window: Option<Duration>,
}

/// Latencies of the complete answers, in milliseconds.
pub(super) fn samples(trials: &[Trial], metric: LatencyMetric) -> Vec<f64> {
    let exchanges = trials.iter().filter_map(|t| t.turns.last()).map(|t| &t.exchange).filter(|e| e.failure.is_none());
    exchanges.filter_map(|e| metric.of(&e.timing)).map(|d| d.as_secs_f64() * 1e3).filter(|ms| *ms > 0.0).collect()
}

/// How many answers the prefix cache of the service helped with: at least half of the prompt came from there.
fn cached(measurements: &[&[Trial]]) -> Option<String> {
    let usages: Vec<crate::exchange::Usage> =
        measurements.iter().flat_map(|m| m.iter()).filter_map(|t| t.turns.last()?.exchange.usage).collect();
    let warm = usages.iter().filter(|u| u.cached_tokens.unwrap_or(0) * 2 >= u.prompt_tokens.max(1)).count();
    (warm > 0).then(|| format!("{warm} of {} answers came with the help of the service's prefix cache", usages.len()))
}

/// Judges every ceiling over the measurements so far. The flag says that a fresh measurement should decide.
pub fn judge(
    expectation: &Expectation,
    ceilings: &[(LatencyMetric, Ceiling)],
    measurements: &[&[Trial]],
    known: Option<&BTreeMap<String, Known>>,
    history: &History,
) -> (Finding, bool) {
    let nothing = Known::default();
    let mut again = false;
    let mut lines = Vec::new();
    for (metric, ceiling) in ceilings {
        let known = known.and_then(|k| k.get(metric.word())).unwrap_or(&nothing);
        let fresh: Vec<Vec<f64>> = measurements.iter().map(|m| samples(m, *metric)).collect();
        let fresh: Vec<&[f64]> = fresh.iter().map(Vec::as_slice).collect();
        let (judged, open) = held_to(ceiling, &fresh, known, history.window);
        again |= open;
        let (outcome, line) = said(&judged, history.comparisons);
        lines.push((outcome, format!("{} {}: {line}", metric.word(), ceiling.word())));
    }
    let worst = |o: Outcome| match o {
        Outcome::Met => 0,
        Outcome::Inconclusive => 1,
        _ => 2,
    };
    let outcome = lines.iter().map(|(o, _)| *o).max_by_key(|o| worst(*o)).unwrap_or(Outcome::Inconclusive);
    let decisive: Vec<&str> = lines.iter().filter(|(o, _)| *o == outcome).map(|(_, l)| l.as_str()).collect();
    let mut told = Said { outcome, ..Said::when(false, Topic::Regression, decisive.join("; ")) };
    for (_, line) in lines.iter().filter(|(o, _)| *o != outcome) {
        told = told.evidence(line.clone());
    }
    if let Some(line) = cached(measurements) {
        told = told.evidence(line);
    }
    if measurements.len() > 1 {
        told = told.evidence(format!("measured {} times, afresh after each miss", measurements.len()));
    }
    (finding(expectation, told), again)
}

/// One ceiling over one measurement that is not repeated.
pub fn once(ceiling: &Ceiling, samples: &[f64], known: Option<&Known>, history: &History) -> (Outcome, String) {
    let nothing = Known::default();
    let (judged, _) = held_to(ceiling, &[samples], known.unwrap_or(&nothing), history.window);
    said(&judged, history.comparisons)
}

/// What a decision comes to among all comparisons of the run.
fn said(judged: &Judged, comparisons: usize) -> (Outcome, String) {
    let outcome = match judged.decision {
        Decision::TooThin => Outcome::Inconclusive,
        _ if stands(judged, comparisons) => Outcome::Missed,
        _ => Outcome::Met,
    };
    let chance = match judged.p_value {
        Some(p) if judged.decision == Decision::Missed => {
            let side = if outcome == Outcome::Missed { "beyond" } else { "within" };
            format!(" (p {p:.2e}, {side} chance: 1 % over {} comparisons)", comparisons.max(1))
        }
        _ => String::new(),
    };
    (outcome, format!("{}{chance}", judged.line))
}

/// One ceiling, and whether it asks for another measurement.
fn held_to(ceiling: &Ceiling, fresh: &[&[f64]], known: &Known, window: Option<Duration>) -> (Judged, bool) {
    match ceiling {
        Ceiling::Rolling { quantile, window: own, factor } => {
            let days = own.or(window).map_or(Rolling::default().window_days, |window| window.as_secs_f64() / 86_400.0);
            let rolling = Rolling { quantile: *quantile, window_days: days, factor: *factor };
            let judged = rolling.confirm(fresh, &known.past, 0);
            let single = judged.p_value.is_none() && judged.misses > 0 && judged.decision == Decision::Met;
            let open = single || judged.decision == Decision::Missed && judged.p_value.is_some();
            (judged, open)
        }
        Ceiling::Predicted(predicted) => {
            let judged = predicted.confirm(fresh, &known.past, SCREEN);
            let open = judged.decision == Decision::Missed;
            (judged, open)
        }
        Ceiling::Release(limit) => {
            let release = Release { limit: *limit, anchor: known.anchor.clone() };
            (release.judge(fresh.first().copied().unwrap_or_default(), &known.past), false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_the_ceilings_own_or_that_of_the_project() {
        let past = (0..30).map(|day| PastRun { at_days: f64::from(day) + 0.5, samples_ms: vec![300.0; 10] }).collect();
        let known = Known { past, ..Known::default() };
        let told = |own: Option<u64>, project: Option<u64>| {
            let days = |n: Option<u64>| n.map(|n| Duration::from_secs(n * 86_400));
            let ceiling = Ceiling::Rolling { quantile: 0.9, window: days(own), factor: 1.3 };
            once(&ceiling, &[310.0], Some(&known), &History { comparisons: 1, window: days(project), ..History::default() }).1
        };
        let seven = told(None, None);
        assert_eq!(told(Some(7), Some(20)), seven);
        assert_eq!(told(None, Some(7)), seven);
        assert_eq!(told(None, Some(20)), told(Some(20), None));
        assert_ne!(told(None, Some(20)), seven);
    }
}
