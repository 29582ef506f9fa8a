//! The frozen anchor of a release, against creep.

use super::numbers::*;
use super::*;
use crate::stats::dist::t_quantile;

/// `release`: the ratio of geometric means to the frozen anchor of the last approved release, against creep.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// Greatest ratio that is tolerated, such as 1.20.
    pub limit: f64,
    /// At least 7 runs; `at_days` plays no part.
    pub anchor: Vec<PastRun>,
}

impl Release {
    /// Compares the present with the anchor: the present is the fresh run and the two newest of `past` that are at most a week
    /// old, because creep is steadier than the noise of one run. `past` may be empty.
    ///
    /// `Missed` when the one-sided 95 % lower bound of the ratio exceeds the limit: the case is shown to be beyond it. (To ask
    /// that the upper bound stay below it would, at 200 requests, fail a case that is truly 10 % over in one run of six.) `TooThin` while the bound is
    /// wider than the limit is far. A case that truly sits at the limit is called in 5 % of runs; the p-value, for [`stands`], is
    /// of "no slower than the anchor".
    ///
    /// The unit is the run. Its variance is that between the anchor's runs, pooled with that of successive differences
    /// over the last 28 days, which creep does not inflate.
    pub fn judge(&self, fresh: &[f64], past: &[PastRun]) -> Judged {
        let [present, recent, anchor] = match self.runs(fresh, past) {
            Ok(runs) => runs,
            Err(line) => return Judged::too_thin(fresh.len(), 0, line),
        };
        if anchor.len() < MIN_ANCHOR_RUNS {
            let line = format!("the anchor has {} runs; {MIN_ANCHOR_RUNS} would do", anchor.len());
            return Judged::too_thin(fresh.len(), anchor.len(), line);
        }
        let reference = Reference::of(&anchor).pooled_with(&recent);
        let gap = Gap::between(&present, &reference);
        let reach = t_quantile(0.95, gap.df) * gap.se;
        if reach > self.limit.ln() {
            return Judged::too_thin(fresh.len(), anchor.len(), self.too_coarse(reach, fresh.len()));
        }
        let lower = gap.log_ratio - reach;
        let (base, seen, p) = (unlog(reference.mean), unlog(gap.seen()), gap.p_value());
        Judged {
            decision: if lower > self.limit.ln() { Decision::Missed } else { Decision::Met },
            p_value: Some(p),
            seen_ms: seen,
            limit_ms: (base * self.limit).min(f64::MAX),
            n: fresh.len(),
            runs: anchor.len(),
            misses: 0,
            line: format!(
                "geometric mean of {} newest runs {}, {:.2} × the anchor's {} ({} runs), at least {:.2} × (one-sided 95 %); limit {} ×; {}",
                present.len(),
                ms(seen),
                unlog(gap.log_ratio),
                ms(base),
                anchor.len(),
                unlog(lower),
                trim(self.limit),
                p_text(p)
            ),
        }
    }

    /// The present, the recent past (newest first), and the anchor.
    fn runs(&self, fresh: &[f64], past: &[PastRun]) -> Result<[Vec<LogRun>; 3], String> {
        if !(self.limit > 1.0 && self.limit.is_finite()) {
            return Err("the release limit is not a ratio above 1".into());
        }
        let newest = admit(past)?;
        let within = |days: f64, most: usize| {
            let runs = newest.iter().take_while(move |run| run.at_days <= days).take(most);
            runs.filter_map(|run| LogRun::of(&run.samples_ms))
        };
        let present = std::iter::once(fresh_run(fresh)?).chain(within(PRESENT_DAYS, PRESENT_RUNS)).collect();
        let anchor = admit(&self.anchor)?.iter().filter_map(|run| LogRun::of(&run.samples_ms)).collect();
        Ok([present, within(NOISE_DAYS, MAX_RUNS).collect(), anchor])
    }

    /// The noise of the mean falls with √n, as long as requests and not runs make it.
    fn too_coarse(&self, reach: f64, n: usize) -> String {
        let needed = (n as f64 * (reach / self.limit.ln()).powi(2)).ceil().min(1e9);
        let by = (unlog(reach) - 1.0) * 100.0;
        format!(
            "{n} requests tell the ratio to the anchor to {by:.0} % only; about {needed} a run would do for a limit of {} ×",
            trim(self.limit)
        )
    }
}
