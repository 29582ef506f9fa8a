//! Figures of scipy and of the literature, and what must never be decided.

use super::numbers::*;
use super::*;

/// Ten runs of six latencies, and two fresh measurements.
const RUNS: [[f64; 6]; 10] = [
    [383.3, 358.6, 316.2, 188.4, 295.7, 424.7],
    [154.6, 240.8, 117.0, 158.9, 120.5, 269.1],
    [157.9, 340.8, 321.8, 271.0, 84.5, 227.3],
    [285.1, 309.1, 135.9, 230.0, 179.1, 194.9],
    [503.0, 197.6, 291.2, 460.5, 221.0, 279.9],
    [307.7, 300.6, 157.8, 302.5, 574.5, 134.4],
    [461.9, 319.0, 218.1, 817.1, 440.0, 165.0],
    [324.2, 416.7, 284.2, 439.4, 302.1, 436.0],
    [606.8, 210.9, 327.2, 234.5, 315.0, 163.3],
    [220.4, 267.0, 461.5, 522.1, 151.9, 197.9],
];
const FRESH: [f64; 6] = [663.3, 177.3, 380.8, 457.2, 899.9, 677.6];
const SECOND: [f64; 6] = [441.5, 432.5, 458.9, 1113.9, 419.8, 446.7];

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3), "{a} is not {b}");
}

/// Daily runs, the first of them one day ago.
fn daily<S: AsRef<[f64]>>(runs: &[S]) -> Vec<PastRun> {
    let run = |(i, samples): (usize, &S)| PastRun { at_days: i as f64 + 1.0, samples_ms: samples.as_ref().to_vec() };
    runs.iter().enumerate().map(run).collect()
}

/// `n` log-normal latencies around `centre` without randomness: quantiles of evenly spread shares, sigma about 0.5.
fn spread(n: usize, centre: f64) -> Vec<f64> {
    (0..n).map(|i| centre * (0.5 * crate::stats::dist::t_quantile((i as f64 + 0.5) / n as f64, 1e6)).exp()).collect()
}

/// Runs of `n` that wander ± 3 % around 300 ms.
fn steady(runs: usize, n: usize) -> Vec<PastRun> {
    let run = |i: usize| spread(n, 300.0 * [0.97, 1.02, 1.0, 0.99, 1.03][i % 5]);
    daily(&(0..runs).map(run).collect::<Vec<_>>())
}

/// With `lm = log(RUNS).mean(1); m, s = lm.mean(), lm.std(ddof=1)`:
/// `scipy.stats.t.sf((log(FRESH).mean() - m) / (s*sqrt(1 + 1/10)), 9)`; for two measurements the mean of both and
/// `s*sqrt(1/2 + 1/10)`; limits `exp(m + max(log(1.1), t.ppf(1 - alpha, 9) * se))`; scipy 1.17.1.
#[test]
fn prediction_limit_is_scipys() {
    let rule = Predicted { held_back: 0, ..Predicted::default() };
    let past = daily(&RUNS);
    let first = rule.judge(&FRESH, &past, SCREEN);
    close(first.p_value.unwrap(), 0.024185794324401218);
    close(first.seen_ms, 481.6500287870566);
    close(first.limit_ms, 429.2252136025201);
    assert_eq!((first.decision, first.n, first.runs), (Decision::Missed, 6, 10));
    let both = rule.confirm(&[&FRESH, &SECOND], &past, 0.01);
    close(both.p_value.unwrap(), 0.004929595109088742);
    close(both.limit_ms, 457.7259692805754);
    assert_eq!((both.decision, both.n), (Decision::Missed, 12));
    assert_eq!(rule.confirm(&[&FRESH, &SECOND], &past, 0.001).decision, Decision::Met);
    assert!(first.line.starts_with("geometric mean 482 ms, 80 % over 268 ms of 10 runs; limit 429 ms"), "{}", first.line);
}

/// As above with three of the samples: variance `s² (1 + 1/10) + w (1/3 - 1/6)`, w the mean variance within runs.
#[test]
fn a_smaller_measurement_has_more_noise() {
    let rule = Predicted { held_back: 0, ..Predicted::default() };
    close(rule.judge(&FRESH[..3], &daily(&RUNS), SCREEN).p_value.unwrap(), 0.1943111831133095);
}

#[test]
fn one_freak_measurement_does_not_fail() {
    let past = steady(28, 200);
    let rule = Predicted::default();
    let (slow, usual) = (spread(200, 600.0), spread(200, 303.0));
    assert_eq!(rule.judge(&slow, &past, SCREEN).decision, Decision::Missed);
    let judged = rule.confirm(&[&slow, &usual], &past, 0.01);
    assert!(judged.p_value.unwrap() < 1e-4);
    assert_eq!(judged.decision, Decision::Met);
    assert_eq!(rule.confirm(&[&slow, &slow, &slow], &past, 1e-4).decision, Decision::Missed);
}

#[test]
fn a_significant_trifle_is_met() {
    let past = daily(&vec![spread(200, 300.0); 20]);
    let judged = Predicted::default().judge(&spread(200, 320.0), &past, 0.01);
    assert!(judged.p_value.unwrap() < 1e-6, "a history of equal runs still has a finite p-value: {judged:?}");
    assert_eq!(judged.decision, Decision::Met);
    assert_eq!(Predicted::default().judge(&spread(200, 331.0), &past, 0.01).decision, Decision::Missed);
}

#[test]
fn history_is_bounded_and_holds_back_the_newest() {
    let rule = Predicted::default();
    assert_eq!(rule.judge(&FRESH, &steady(40, 6), SCREEN).runs, 26);
    assert_eq!(rule.judge(&FRESH, &steady(9, 6), SCREEN).runs, 8);
    let thin = rule.judge(&FRESH, &steady(7, 6), SCREEN);
    assert_eq!((thin.decision, thin.line.as_str()), (Decision::TooThin, "history has 7 runs; 8 would do"));
    let often: Vec<PastRun> = (0..100).map(|i| PastRun { at_days: f64::from(i) / 10.0, samples_ms: vec![300.0, 310.0] }).collect();
    assert_eq!(rule.judge(&FRESH, &often, SCREEN).runs, 62);
    // Two slow runs that passed do not lift what is expected.
    let mut past = steady(28, 50);
    past[0].samples_ms = spread(50, 900.0);
    past[1].samples_ms = spread(50, 900.0);
    assert!((rule.expected_ms(&past).unwrap() / 300.0 - 1.0).abs() < 0.01);
}

#[test]
fn rolling_limit_is_the_windows_quantile_times_the_factor() {
    let rule = Rolling::default();
    let past = steady(30, 200);
    let mut pooled: Vec<f64> = past[..7].iter().flat_map(|run| run.samples_ms.clone()).collect();
    pooled.sort_by(f64::total_cmp);
    let met = rule.judge(&spread(200, 310.0), &past, 0);
    close(met.limit_ms, 1.3 * quantile(&pooled, 0.9));
    assert_eq!((met.decision, met.runs, met.n), (Decision::Met, 7, 200));
    let slow = spread(200, 450.0);
    let missed = rule.judge(&slow, &past, 0);
    assert_eq!(missed.decision, Decision::Missed);
    assert!(missed.p_value.unwrap() < 1e-6);
    assert_eq!(missed.line, "p90 849 ms, limit 739 ms = 568 ms (7 d, 7 runs) × 1.3");
    let confirmed = rule.confirm(&[&slow, &slow], &past, 0);
    assert_eq!(confirmed.decision, Decision::Missed);
    assert!(confirmed.p_value < missed.p_value);
    assert_eq!(rule.confirm(&[&slow, &spread(200, 310.0)], &past, 0).decision, Decision::Met);
}

#[test]
fn a_thin_window_takes_the_last_twenty_runs_and_says_so() {
    let mut past = steady(30, 50);
    past.iter_mut().for_each(|run| run.at_days *= 3.0);
    let judged = Rolling::default().judge(&spread(50, 300.0), &past, 0);
    assert_eq!(judged.runs, 20);
    assert!(judged.line.contains("(60 d, 20 runs, the 7 d window holds too little)"), "{}", judged.line);
    let few = Rolling::default().judge(&spread(50, 300.0), &past[..4], 0);
    assert_eq!((few.decision, few.line.as_str()), (Decision::TooThin, "history has 4 runs; 5 would do"));
    // Seven runs of one request do not support a p90; 29 do.
    assert_eq!(Rolling::default().judge(&[300.0], &steady(40, 1), 0).runs, 29);
}

#[test]
fn one_sample_fails_on_the_third_miss_in_a_row() {
    let rule = Rolling::default();
    // Evenly spread over the runs, one request each.
    let past = daily(&spread(40, 300.0).iter().map(|ms| vec![*ms]).collect::<Vec<_>>());
    let mut misses = 0;
    for (decision, count) in [(Decision::Met, 1), (Decision::Met, 2), (Decision::Missed, 3)] {
        let judged = rule.judge(&[3000.0], &past, misses);
        assert_eq!((judged.decision, judged.misses, judged.p_value), (decision, count, None));
        misses = judged.misses;
    }
    let well = rule.judge(&[310.0], &past, 2);
    assert_eq!((well.decision, well.misses), (Decision::Met, 0));
    assert!(
        well.line.contains("single-sample rule: sees only large steps, 29 samples would let the p90 itself be judged"),
        "{}",
        well.line
    );
    let slow: &[f64] = &[3000.0];
    assert_eq!(rule.confirm(&[slow, slow, slow], &past, 0).decision, Decision::Missed);
    assert_eq!(rule.confirm(&[slow, &[300.0], slow], &past, 0).misses, 1);
    assert_eq!(rule.judge(slow, &past, u32::MAX).decision, Decision::Missed);
    // Of 20 samples five must be above: with four P = 13 %, with five 4 %.
    let mixed = |above: usize| [vec![3000.0; above], vec![300.0; 20 - above]].concat();
    assert_eq!((rule.judge(&mixed(4), &past, 0).misses, rule.judge(&mixed(5), &past, 0).misses), (0, 1));
}

#[test]
fn few_past_samples_cannot_fail_a_single_sample() {
    let past = daily(&(0..9).map(|i| vec![300.0 + f64::from(i)]).collect::<Vec<_>>());
    let rule = Rolling::default();
    assert_eq!(rule.judge(&[310.0], &past, 0).decision, Decision::Met);
    let judged = rule.judge(&[3000.0], &past, 2);
    assert_eq!(judged.decision, Decision::TooThin);
    assert!(judged.line.contains("history has 9 samples; 17 would do"), "{}", judged.line);
}

/// `1 - .05**(1/n)` crosses: 29, 59 and 299 samples. Three above the largest of m: 6 / ((m+1)(m+2)(m+3)).
#[test]
fn samples_needed_are_wilks() {
    assert_eq!([0.5, 0.9, 0.95, 0.99].map(samples_for_quantile), [5, 29, 59, 299]);
    assert_eq!([0.0, 1.0, f64::NAN].map(samples_for_quantile), [usize::MAX; 3]);
    close(three_exceed(17, 17), 6.0 / (18.0 * 19.0 * 20.0));
    assert_eq!(Rolling::default().samples_for_singles(), 17);
}

/// With `a = lm[:7]`, past `r = lm[7:]` one to three days old, present `mean(fresh, r[0], r[1])`: pooled variance of `a.var(ddof=1)`
/// (6 degrees of freedom) and `sum(diff(r)²) / 4` (8/5), `se = sqrt(v (1/3 + 1/7))`, `scipy.stats.t.sf(d / se, 7.6)`.
#[test]
fn release_ratio_is_scipys() {
    let release = |limit| Release { limit, anchor: daily(&RUNS[..7]) };
    let judged = release(1.45).judge(&FRESH, &daily(&RUNS[7..]));
    close(judged.p_value.unwrap(), 0.03199041438537765);
    assert_eq!(judged.decision, Decision::Met);
    assert!(judged.line.contains("1.44 × the anchor's 254 ms (7 runs), at least 1.05 ×"), "{}", judged.line);
    let coarse = release(1.20).judge(&FRESH, &daily(&RUNS[7..]));
    assert_eq!(coarse.decision, Decision::TooThin);
    assert_eq!(coarse.line, "6 requests tell the ratio to the anchor to 37 % only; about 18 a run would do for a limit of 1.2 ×");
}

#[test]
fn a_release_fails_when_shown_beyond_its_limit() {
    let release = Release { limit: 1.20, anchor: steady(7, 200) };
    assert_eq!(release.judge(&spread(200, 300.0), &[]).decision, Decision::Met);
    assert_eq!(release.judge(&spread(200, 365.0), &[]).decision, Decision::Met);
    assert_eq!(release.judge(&spread(200, 420.0), &[]).decision, Decision::Missed);
    let thin = Release { limit: 1.20, anchor: steady(6, 200) }.judge(&spread(200, 300.0), &[]);
    assert_eq!((thin.decision, thin.line.as_str()), (Decision::TooThin, "the anchor has 6 runs; 7 would do"));
    assert_eq!(Release { limit: 0.9, anchor: steady(7, 9) }.judge(&[1.0], &[]).decision, Decision::TooThin);
}

/// `scipy.stats.ttest_ind(log(B), log(A), equal_var=False, alternative='greater')` with A the first two runs and B ten fresh
/// samples, and `ttest_rel` of FRESH and the third run; intervals from the two-sided tests; scipy 1.17.1.
#[test]
fn ratios_are_scipys() {
    let welch = ratio(&RUNS[..2].concat(), &[&FRESH[..], &SECOND[..4]].concat()).unwrap();
    close(welch.p_value, 0.0006085970968688972);
    close(welch.df, 18.183561503671843);
    close(welch.ratio, 2.2130279635934857);
    close(welch.low, 1.4312290641612508);
    close(welch.high, 3.421879062047157);
    let paired = paired_ratio(&RUNS[2], &FRESH).unwrap();
    close(paired.p_value, 0.05682848861776827);
    close(paired.ratio, 2.2746577377923174);
    close(paired.low, 0.7547618106289479);
    close(paired.high, 6.855232672393532);
    assert_eq!(paired.line(), "ratio 2.275 (95 % interval 0.755 to 6.855), p = 0.0568");
}

#[test]
fn ratios_without_noise_or_sense() {
    let even = ratio(&[100.0; 5], &[110.0; 5]).unwrap();
    assert!((even.p_value, even.low) == (0.0, even.ratio) && (even.high - 1.1).abs() < 1e-12);
    assert_eq!(ratio(&[100.0; 5], &[100.0; 5]).unwrap().p_value, 1.0);
    assert_eq!(paired_ratio(&[100.0; 5], &[90.0; 5]).unwrap().p_value, 1.0);
    for bad in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        assert!(ratio(&[100.0, bad], &[1.0, 2.0]).is_none() && paired_ratio(&[1.0, 2.0], &[100.0, bad]).is_none());
    }
    assert!(ratio(&[1.0], &[1.0, 2.0]).is_none() && paired_ratio(&[1.0, 2.0], &[1.0]).is_none() && paired_ratio(&[], &[]).is_none());
}

/// With `d = log(fresh / expected)` and `r = log(past)`: `scipy.stats.t.sf(d.mean() / (r.std(ddof=1) * sqrt(1 + 1/9)), 8)`, and
/// without past runs `ttest_1samp(d, 0, alternative='greater')`; scipy 1.17.1.
#[test]
fn suite_ratio_is_scipys() {
    let cases = [(310., 300.), (520., 450.), (95., 90.), (1200., 1000.), (88., 80.), (700., 610.), (45., 47.), (260., 230.), (330., 280.)];
    let past = [1.02, 0.97, 1.01, 0.95, 1.04, 0.99, 1.0, 1.03, 0.98];
    let by_runs = suite_ratio(&cases, &past, 1, 1.10, 0.01);
    close(by_runs.p_value.unwrap(), 0.006468663591610632);
    close(by_runs.seen_ms, 1.1039573273151524);
    assert_eq!((by_runs.decision, by_runs.n, by_runs.runs), (Decision::Missed, 9, 9));
    let by_cases = suite_ratio(&cases, &past[..7], 1, 1.10, 0.01);
    close(by_cases.p_value.unwrap(), 0.0017370465378487756);
    assert!(by_cases.line.contains("spread over the cases only"));
    assert_eq!(suite_ratio(&cases, &past, 1, 1.20, 0.01).decision, Decision::Met);
    assert_eq!(suite_ratio(&cases[..7], &[], 1, 1.10, 0.01).decision, Decision::TooThin);
    for bad in [f64::NAN, f64::INFINITY, 0.0] {
        assert_eq!(suite_ratio(&[(bad, 1.0); 20], &[], 1, 1.1, 0.01).decision, Decision::TooThin);
    }
    assert_eq!(suite_ratio(&[], &[], 1, 1.1, 0.01).decision, Decision::TooThin);
}

#[test]
fn past_suite_ratios_are_aligned_by_age() {
    let run = |day: f64, ms: f64| PastRun { at_days: day, samples_ms: vec![ms] };
    let one: Vec<PastRun> = (1..=8).map(|d| run(f64::from(d), if d == 3 { 120.0 } else { 100.0 })).collect();
    let two: Vec<PastRun> = (1..=8).map(|d| run(f64::from(d), if d == 3 { 1200.0 } else { 1000.0 })).collect();
    let third = [run(77.0, 5.0), run(4.5, 5.0)];
    let rule = Predicted { max_days: 99.0, ..Predicted::default() };
    let ratios = rule.past_suite_ratios(&[&one, &two, &third]);
    assert_eq!(ratios.len(), 8, "runs of one case in three are left out");
    close(ratios[2], 1.2f64.powf(7.0 / 8.0));
    close(ratios[0], 1.2f64.powf(-1.0 / 8.0));
}

#[test]
fn only_misses_stand_and_all_comparisons_count() {
    let with = |decision, p_value| Judged { decision, p_value, ..Judged::too_thin(0, 0, String::new()) };
    let small = with(Decision::Missed, Some(0.004));
    assert!(stands(&small, 2) && !stands(&small, 3));
    assert!(!stands(&with(Decision::Met, Some(0.0)), 1));
    assert!(!stands(&with(Decision::TooThin, None), 1));
    assert!(!stands(&with(Decision::Missed, Some(f64::NAN)), 1));
    // The single-sample rule has no p-value and stands by itself.
    assert!(stands(&with(Decision::Missed, None), 1000));
}

/// Four p-values whose outcome at 5 % is worked out in many textbooks (0.01, 0.04, 0.03, 0.005: the first and the last stand), here a
/// fifth of them for 1 %.
#[test]
fn holm_steps_down_and_fails_the_runs_that_its_first_step_fails() {
    let missed = |p| Judged { decision: Decision::Missed, p_value: p, ..Judged::too_thin(0, 0, String::new()) };
    let told = |p: &[Option<f64>]| standing(&p.iter().map(|p| missed(*p)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    assert_eq!(told(&[Some(0.002), Some(0.008), Some(0.006), Some(0.001)]), [true, false, false, true]);
    assert_eq!(told(&[Some(0.004), Some(0.005), None]), [false, false, true], "what has its own rule counts among the comparisons");
    assert_eq!(told(&[Some(0.003), Some(0.005), Some(f64::NAN)]), [true, true, false]);
    for step in 0..200u32 {
        let p: Vec<f64> = (0..8).map(|i| f64::from(crate::units::fnv([step as u8, i]) as u32 % 1000) / 1e5).collect();
        let all: Vec<Judged> = p.iter().map(|p| missed(Some(*p))).collect();
        let alone = all.iter().any(|j| stands(j, all.len()));
        assert_eq!(standing(&all.iter().collect::<Vec<_>>()).contains(&true), alone, "{p:?}");
    }
}

#[test]
fn quantiles_interpolate() {
    assert_eq!([0.0, 0.5, 0.9, 1.0].map(|q| quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], q)), [1.0, 3.0, 4.6, 5.0]);
    assert_eq!((quantile(&[], 0.5), quantile(&[7.0], 0.9)), (0.0, 7.0));
}

/// Whatever comes in, every figure is finite, and what is no latency is not judged.
#[test]
fn no_input_gives_a_nan_or_a_panic() {
    let values = [300.0, 300.0, 1e-300, 1e300, f64::MAX, f64::MIN_POSITIVE, 0.0, -1.0, f64::NAN, f64::INFINITY];
    let mut samples: Vec<Vec<f64>> = vec![vec![]];
    for v in values {
        samples.extend([vec![v], vec![v; 30], vec![300.0, v], [vec![300.0; 40], vec![v]].concat()]);
    }
    let mut pasts: Vec<Vec<PastRun>> = vec![vec![]];
    for s in &samples {
        pasts.push(vec![PastRun { at_days: 1.0, samples_ms: s.clone() }; 12]);
        pasts.push([steady(10, 3), vec![PastRun { at_days: 2.5, samples_ms: s.clone() }]].concat());
    }
    pasts.push(vec![PastRun { at_days: f64::NAN, samples_ms: vec![1.0] }; 12]);
    pasts.push(vec![PastRun { at_days: -1.0, samples_ms: vec![1.0] }; 12]);
    let (rolling, predicted) = (Rolling::default(), Predicted::default());
    for fresh in &samples {
        for past in &pasts {
            let release = Release { limit: 1.2, anchor: past.clone() };
            let all = [
                rolling.judge(fresh, past, 2),
                rolling.confirm(&[fresh, fresh], past, 0),
                predicted.judge(fresh, past, SCREEN),
                predicted.confirm(&[fresh, fresh, fresh], past, 0.0),
                predicted.confirm(&[], past, f64::NAN),
                release.judge(fresh, past),
            ];
            for judged in &all {
                assert!(judged.seen_ms.is_finite() && judged.limit_ms.is_finite(), "{judged:?}");
                assert!(judged.p_value.is_none_or(|p| (0.0..=1.0).contains(&p)), "{judged:?}");
                assert!(!judged.line.is_empty() && !judged.line.contains("NaN") && !judged.line.contains("inf"), "{judged:?}");
                let bad = fresh.is_empty() || fresh.iter().any(|v| !(*v > 0.0 && v.is_finite()));
                assert!(!bad || judged.decision == Decision::TooThin, "{fresh:?} {judged:?}");
            }
            assert!(predicted.expected_ms(past).is_none_or(f64::is_finite));
            assert!(predicted.past_suite_ratios(&[past, past]).iter().all(|r| r.is_finite() && *r > 0.0));
        }
    }
    for rule in [Rolling { quantile: 1.0, ..rolling }, Rolling { factor: f64::NAN, ..rolling }, Rolling { window_days: -1.0, ..rolling }] {
        assert_eq!(rule.judge(&FRESH, &daily(&RUNS), 0).decision, Decision::TooThin);
    }
}
