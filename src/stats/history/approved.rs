//! What an approval says about the runs before it: a slower service that was approved is the one to judge by from then on.

use super::numbers::*;
use super::*;

/// The past without the runs that are older than the anchor, when the anchor was approved at least 10 % slower than they were, and by
/// more than they differ among themselves ([`LEVEL`]). Those runs are of a service that nobody promises any more: kept, they would
/// fail every later run, or hide how little its runs differ. An anchor as quick as before, or quicker, keeps them; so does one after
/// too few runs to tell a slower release from a noisy day.
pub fn since_approval(past: Vec<PastRun>, anchor: &[PastRun]) -> Vec<PastRun> {
    let Some(oldest) = anchor.iter().map(|run| run.at_days).reduce(f64::max) else { return past };
    let step = Predicted::default().min_effect.ln();
    let before = past.iter().filter(|run| run.at_days > oldest && run.at_days <= oldest + NOISE_DAYS);
    let before: Vec<LogRun> = before.filter_map(|run| LogRun::of(&run.samples_ms)).collect();
    let approved: Vec<LogRun> = anchor.iter().filter_map(|run| LogRun::of(&run.samples_ms)).collect();
    if before.len() < 2 || approved.is_empty() {
        return past;
    }
    let gap = Gap::between(&approved, &Reference::of(&before));
    if gap.log_ratio < step || gap.p_value() > LEVEL {
        return past;
    }
    // Runs just before the anchor may be of the slower service, too.
    let alike = |run: &&PastRun| LogRun::of(&run.samples_ms).is_some_and(|r| gap.seen() - r.mean < step);
    let mut older: Vec<&PastRun> = past.iter().filter(|run| run.at_days > oldest).collect();
    older.sort_by(|a, b| a.at_days.total_cmp(&b.at_days));
    let begins = older.into_iter().take_while(alike).last().map_or(oldest, |run| run.at_days);
    past.into_iter().filter(|run| run.at_days <= begins).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(days: std::ops::Range<u32>, ms: f64) -> Vec<PastRun> {
        days.map(|day| PastRun { at_days: f64::from(day), samples_ms: vec![ms, ms * 1.1, ms * 0.9 + f64::from(day % 3)] }).collect()
    }

    #[test]
    fn an_approved_step_is_the_new_normal() {
        let slow = runs(0..8, 300.0);
        let past = [slow.clone(), runs(8..36, 100.0)].concat();
        assert_eq!(since_approval(past.clone(), &slow[..7]).len(), 8, "the eighth is like them");
        assert_eq!(since_approval(past.clone(), &slow).len(), 8);
        assert_eq!(since_approval(past.clone(), &[]).len(), 36);
        // Approved as it always was, or quicker: nothing is forgotten.
        let even = runs(0..36, 100.0);
        assert_eq!(since_approval(even.clone(), &even[..7]).len(), 36);
        let quick = runs(0..7, 80.0);
        assert_eq!(since_approval([quick.clone(), runs(7..36, 100.0)].concat(), &quick).len(), 36);
    }

    #[test]
    fn a_noisy_day_is_no_slower_release() {
        let before: Vec<PastRun> = [101.0, 96.0, 106.0].iter().zip(8..).flat_map(|(ms, day)| runs(day..day + 1, *ms)).collect();
        let past = [runs(0..7, 113.0), before].concat();
        assert_eq!(since_approval(past.clone(), &past[..7]).len(), 10);
    }

    #[test]
    fn a_run_like_the_approved_ones_passes_after_a_month_of_quicker_ones() {
        let slow = runs(0..8, 300.0);
        let past = [slow.clone(), runs(8..36, 100.0)].concat();
        let fresh = vec![303.0, 335.0, 272.0];
        let judge = |past: &[PastRun]| Predicted::default().confirm(&[&fresh, &fresh, &fresh], past, SCREEN).decision;
        assert_eq!(judge(&past), Decision::Missed);
        assert_eq!(judge(&since_approval(past.clone(), &slow)), Decision::Met);
        let release = Release { limit: 1.2, anchor: slow.clone() };
        assert_eq!(release.judge(&fresh, &since_approval(past, &slow)).decision, Decision::Met);
    }
}
