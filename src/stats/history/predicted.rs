//! The prediction limit over the means of the last runs.

use super::numbers::*;
use super::*;
use crate::stats::dist::t_quantile;
use std::collections::BTreeMap;

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
