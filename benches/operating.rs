//! Prints the operating characteristics of the latency gate: simulated runs with known truth go through the real
//! functions, beside the naive rules. Deterministic; `operating [SHARE]` scales the number of replicates.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use roadworthy::stats::history::{
    Decision, Judged, MEASUREMENTS, PastRun, Predicted, Release, Rolling, SCREEN, SUITE_ALPHA, paired_ratio, quantile, ratio, stands, suite,
};
use roadworthy::stats::trend::{mann_kendall, theil_sen_inflated};
use roadworthy::units::Share;
use roadworthy::verdict::rate::{self, PassRate};

/// Noise within a run and between runs, as standard deviations of the log.
const WITHIN: f64 = 0.5;
const BETWEEN: f64 = 0.03;
/// Cases of a run, requests per case, runs of history (one a day).
const CASES: usize = 100;
const REQUESTS: usize = 200;
const HISTORY: usize = 28;

/// Normal noise by Box and Muller.
struct Noise {
    rng: ChaCha8Rng,
    spare: Option<f64>,
}

impl Noise {
    fn new(seed: u64) -> Noise {
        Noise { rng: ChaCha8Rng::seed_from_u64(seed), spare: None }
    }

    /// Above 0 and below 1.
    fn uniform(&mut self) -> f64 {
        ((self.rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let (radius, angle) = ((-2.0 * self.uniform().ln()).sqrt(), std::f64::consts::TAU * self.uniform());
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }

    /// Latencies of one run, ms: `slower` times 300 ms, noise of the run given.
    fn samples(&mut self, n: usize, slower: f64, run_noise: f64) -> Vec<f64> {
        let centre = (300.0 * slower).ln() + run_noise;
        (0..n).map(|_| (centre + WITHIN * self.normal()).exp()).collect()
    }

    fn run(&mut self, n: usize, slower: f64) -> Vec<f64> {
        let noise = BETWEEN * self.normal();
        self.samples(n, slower, noise)
    }

    fn history(&mut self, runs: usize, n: usize) -> Vec<PastRun> {
        (1..=runs).map(|day| PastRun { at_days: day as f64, samples_ms: self.run(n, 1.0) }).collect()
    }
}

/// A share of replicates, with its count.
#[derive(Default, Clone, Copy)]
struct Tally {
    hits: u32,
    of: u32,
}

impl Tally {
    fn add(&mut self, hit: bool) {
        self.hits += u32::from(hit);
        self.of += 1;
    }

    fn share(&self) -> f64 {
        f64::from(self.hits) / f64::from(self.of.max(1))
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} %", self.share() * 100.0)
    }
}

/// The layers of one case (rolling, predicted): a screen, and further measurements while one of them misses, `most` in all.
/// Also says how many further measurements there were.
fn judge_case(past: &[PastRun], most: usize, mut measure: impl FnMut() -> Vec<f64>) -> (Judged, Judged, usize) {
    let (rolling, predicted) = (Rolling::default(), Predicted::default());
    let mut taken = vec![measure()];
    loop {
        let all: Vec<&[f64]> = taken.iter().map(Vec::as_slice).collect();
        let by_rolling = rolling.confirm(&all, past, 0);
        let by_predicted = predicted.confirm(&all, past, SCREEN);
        let suspicious = by_predicted.decision == Decision::Missed
            || if by_rolling.p_value.is_some() { by_rolling.decision == Decision::Missed } else { by_rolling.misses > 0 };
        if !suspicious || all.len() == most {
            return (by_rolling, by_predicted, all.len() - 1);
        }
        taken.push(measure());
    }
}

/// The suite ratio: a screen, then two more runs of the suite.
fn judge_suite(cases: &[Vec<PastRun>], mut measure: impl FnMut() -> Vec<Vec<f64>>) -> bool {
    let histories: Vec<&[PastRun]> = cases.iter().map(Vec::as_slice).collect();
    let mut seen = measure();
    let missed = |seen: &[Vec<f64>], runs: u32| suite(seen, &histories, runs, SUITE_ALPHA).decision == Decision::Missed;
    if !missed(&seen, 1) {
        return false;
    }
    for _ in 0..2 {
        seen.iter_mut().zip(measure()).for_each(|(all, more)| all.extend(more));
    }
    missed(&seen, 3)
}

/// How the noise between runs behaves.
#[derive(Clone, Copy, PartialEq)]
enum Between {
    OfEachCase,
    SharedByAll,
    /// Student's t with 3 degrees of freedom, scaled to the same standard deviation.
    HeavyTailed,
    /// AR(1) with coefficient 0.5 from run to run, re-measurements counted as runs.
    Persistent,
}

impl Between {
    fn name(self) -> &'static str {
        match self {
            Between::OfEachCase => "of each case",
            Between::SharedByAll => "shared by all cases",
            Between::HeavyTailed => "of each case, heavy-tailed (t₃)",
            Between::Persistent => "of each case, persistent (AR .5)",
        }
    }

    /// The noise of so many successive runs of one case.
    fn levels(self, noise: &mut Noise, runs: usize) -> Vec<f64> {
        let mut state = noise.normal();
        let mut level = |_| match self {
            Between::OfEachCase | Between::SharedByAll => BETWEEN * noise.normal(),
            Between::HeavyTailed => {
                let chi: f64 = (0..3).map(|_| noise.normal().powi(2)).sum();
                BETWEEN * noise.normal() / chi.sqrt()
            }
            Between::Persistent => {
                state = 0.5 * state + 0.75f64.sqrt() * noise.normal();
                BETWEEN * state
            }
        };
        (0..runs).map(&mut level).collect()
    }
}

/// Whole runs without change: alarms of each layer, of any, and how many measurements were repeated.
fn false_alarms(noise: &mut Noise, replicates: usize, n: usize, between: Between) {
    let mut tally = [Tally::default(); 6];
    let mut repeated = 0;
    for _ in 0..replicates {
        let common = between.levels(noise, HISTORY + MEASUREMENTS);
        let mut cases = Vec::new();
        let mut judged = Vec::new();
        for _ in 0..CASES {
            let own = between.levels(noise, HISTORY + MEASUREMENTS);
            let (old, now) = if between == Between::SharedByAll { &common } else { &own }.split_at(HISTORY);
            let past: Vec<PastRun> =
                (1..=HISTORY).map(|day| PastRun { at_days: day as f64, samples_ms: noise.samples(n, 1.0, old[HISTORY - day]) }).collect();
            let measurements: Vec<Vec<f64>> = now.iter().map(|level| noise.samples(n, 1.0, *level)).collect();
            let mut next = measurements.iter().cloned();
            let (rolling, predicted, again) = judge_case(&past, MEASUREMENTS, || next.next().unwrap_or_default());
            let release = Release { limit: 1.20, anchor: past[21..].to_vec() }.judge(&measurements[0], &past);
            repeated += again;
            judged.extend([rolling, predicted, release]);
            cases.push(past);
        }
        let stand: Vec<bool> = judged.iter().map(|j| stands(j, judged.len())).collect();
        let layer = |at: usize| stand.iter().skip(at).step_by(3).any(|s| *s);
        let singly = judged.iter().zip(&stand).any(|(j, s)| *s && j.p_value.is_none());
        let together = judged.iter().zip(&stand).any(|(j, s)| *s && j.p_value.is_some());
        // Fresh figures of the suite are drawn anew.
        let by_suite = judge_suite(&cases, || {
            let common = between.levels(noise, 1)[0];
            let level = |noise: &mut Noise| if between == Between::SharedByAll { common } else { between.levels(noise, 1)[0] };
            (0..CASES)
                .map(|_| {
                    let level = level(noise);
                    noise.samples(n, 1.0, level)
                })
                .collect()
        });
        let hits = [singly, layer(0) && !singly, layer(1), layer(2), by_suite, singly || together || by_suite];
        tally.iter_mut().zip(hits).for_each(|(slot, hit)| slot.add(hit));
    }
    println!(
        "| {n} | {} | {} | {} | {} | {} | {} | **{}** | {:.1} | {replicates} |",
        between.name(),
        tally[0],
        tally[1],
        tally[2],
        tally[3],
        tally[4],
        tally[5],
        repeated as f64 / replicates as f64
    );
}

/// Does the run with one slower case fail? Every case is held to three ceilings.
fn run_fails(slower: [&Judged; 3], cases: usize) -> bool {
    slower.into_iter().any(|judged| stands(judged, 3 * cases))
}

/// How one slower case is looked for.
struct Setting {
    n: usize,
    runs: usize,
    cases: usize,
    measurements: usize,
}

/// Power for one slower case: in the first run, and within three daily runs; a run that passes joins history.
fn power(noise: &mut Noise, replicates: usize, slower: f64, at: &Setting) -> [Tally; 2] {
    let mut tally = [Tally::default(); 2];
    for _ in 0..replicates {
        let mut past = noise.history(at.runs, at.n);
        let release = Release { limit: 1.20, anchor: noise.history(7, at.n) };
        let mut failed = [false; 3];
        for slot in &mut failed {
            let mut first = Vec::new();
            let (rolling, predicted, _) = judge_case(&past, at.measurements, || {
                let samples = noise.run(at.n, slower);
                if first.is_empty() {
                    first = samples.clone();
                }
                samples
            });
            *slot = run_fails([&rolling, &predicted, &release.judge(&first, &past)], at.cases);
            if *slot {
                break;
            }
            past.iter_mut().for_each(|run| run.at_days += 1.0);
            past.push(PastRun { at_days: 1.0, samples_ms: first });
        }
        tally[0].add(failed[0]);
        tally[1].add(failed.iter().any(|f| *f));
    }
    tally
}

fn suite_power(noise: &mut Noise, replicates: usize, slower: f64) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..replicates {
        let days: Vec<f64> = (0..HISTORY).map(|_| BETWEEN * noise.normal()).collect();
        let past = |noise: &mut Noise| {
            let run = |(day, level): (usize, &f64)| PastRun { at_days: day as f64 + 1.0, samples_ms: noise.samples(1, 1.0, *level) };
            days.iter().enumerate().map(run).collect::<Vec<_>>()
        };
        let cases: Vec<Vec<PastRun>> = (0..CASES).map(|_| past(noise)).collect();
        tally.add(judge_suite(&cases, || {
            let common = BETWEEN * noise.normal();
            (0..CASES).map(|_| noise.samples(1, slower, common)).collect()
        }));
    }
    tally
}

/// Creep of 2 % a week, one run a day, in a run of so many cases: found before +25, +30 and +35 %, and called early, before
/// +16 %; by the release layer alone.
fn creep(noise: &mut Noise, replicates: usize, cases: usize, n: usize) -> [Tally; 4] {
    let mut tally = [Tally::default(); 4];
    for _ in 0..replicates {
        let release = Release { limit: 1.20, anchor: noise.history(7, n) };
        let mut past: Vec<PastRun> = Vec::new();
        let mut found = f64::INFINITY;
        for day in 1.. {
            let level = 1.02f64.powf(f64::from(day) / 7.0);
            if level >= 1.35 {
                break;
            }
            let fresh = noise.run(n, level);
            let judged = release.judge(&fresh, &past);
            let quiet = Judged { decision: Decision::Met, p_value: Some(1.0), ..judged.clone() };
            if run_fails([&judged, &quiet, &quiet], cases) {
                found = level;
                break;
            }
            past.iter_mut().for_each(|run| run.at_days += 1.0);
            past.push(PastRun { at_days: 1.0, samples_ms: fresh });
            past.retain(|run| run.at_days <= 28.0);
        }
        tally.iter_mut().zip([1.25, 1.30, 1.35, 1.16]).for_each(|(slot, level)| slot.add(found < level));
    }
    tally
}

/// Two builds side by side: noise of the machine is common. With `by_prompt`, the given share of the noise belongs to the prompt.
fn side_by_side(noise: &mut Noise, replicates: usize, slower: f64, n: usize, by_prompt: Option<f64>) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..replicates {
        let common = BETWEEN * noise.normal();
        let (own, prompt) = (1.0 - by_prompt.unwrap_or(0.0), by_prompt.unwrap_or(0.0));
        let prompts: Vec<f64> = (0..n).map(|_| WITHIN * prompt.sqrt() * noise.normal()).collect();
        let mut build = |slower: f64| -> Vec<f64> {
            prompts.iter().map(|p| 300.0 * slower * (common + p + WITHIN * own.sqrt() * noise.normal()).exp()).collect()
        };
        let (a, b) = (build(1.0), build(slower));
        let judged = if by_prompt.is_some() { paired_ratio(&a, &b) } else { ratio(&a, &b) };
        tally.add(judged.is_some_and(|r| r.p_value <= 0.01));
    }
    tally
}

/// What the naive rules look at.
struct Summary {
    mean: f64,
    p95: f64,
}

fn summary(mut samples: Vec<f64>) -> Summary {
    samples.sort_by(f64::total_cmp);
    Summary { mean: samples.iter().sum::<f64>() / samples.len() as f64, p95: quantile(&samples, 0.95) }
}

type Naive = (&'static str, fn(&[Summary], &Summary) -> bool);

/// Newest first.
const NAIVE: [Naive; 4] = [
    ("mean over 1.5 × the mean of history", |past, fresh| fresh.mean > 1.5 * mean(past)),
    ("p95 over 1.3 × the p90 of 7 daily p95", |past, fresh| {
        let mut daily: Vec<f64> = past[..7].iter().map(|run| run.p95).collect();
        daily.sort_by(f64::total_cmp);
        fresh.p95 > 1.3 * quantile(&daily, 0.9)
    }),
    ("mean within ± 10 % of the last commit's", |past, fresh| (fresh.mean / past[0].mean - 1.0).abs() > 0.10),
    ("one-sided t at 98 % over the last 64 runs' means", |past, fresh| {
        let n = past.len() as f64;
        let variance = past.iter().map(|run| (run.mean - mean(past)).powi(2)).sum::<f64>() / (n - 1.0);
        fresh.mean > mean(past) + roadworthy::stats::dist::t_quantile(0.98, n - 1.0) * variance.sqrt()
    }),
];

fn mean(past: &[Summary]) -> f64 {
    past.iter().map(|run| run.mean).sum::<f64>() / past.len() as f64
}

fn naive(noise: &mut Noise, replicates: usize, effects: &[f64]) -> Vec<Vec<Tally>> {
    let mut table = vec![vec![Tally::default(); effects.len()]; NAIVE.len()];
    for _ in 0..replicates {
        let past: Vec<Summary> = (0..64).map(|_| summary(noise.run(REQUESTS, 1.0))).collect();
        for (column, slower) in effects.iter().enumerate() {
            let fresh = summary(noise.run(REQUESTS, *slower));
            for (row, (_, rule)) in table.iter_mut().zip(NAIVE) {
                row[column].add(rule(&past, &fresh));
            }
        }
    }
    table
}

/// Share of soaks of 48 bins without a trend (AR(1) noise of 5 % of the level) that are called: by Mann–Kendall at 5 %
/// without and with correction, and by the leak rule.
fn soaks(noise: &mut Noise, replicates: usize, correlation: f64, growth: f64) -> [Tally; 3] {
    let mut tally = [Tally::default(); 3];
    let hours: Vec<f64> = (0..48).map(|i| f64::from(i) / 12.0).collect();
    for _ in 0..replicates {
        let mut state = noise.normal();
        let values: Vec<f64> = hours
            .iter()
            .map(|h| {
                state = correlation * state + (1.0 - correlation * correlation).sqrt() * noise.normal();
                100.0 * (1.0 + growth * h / 4.0 + 0.05 * state)
            })
            .collect();
        let Some(test) = mann_kendall(&values) else { continue };
        let slope = theil_sen_inflated(&hours, &values, test.inflation).map_or(0.0, |(_, lower, _)| lower);
        tally[0].add(test.p_one_sided_up < 0.05);
        tally[1].add(test.p_corrected < 0.05);
        tally[2].add(test.p_corrected < 0.01 && slope * 24.0 > 5.0);
    }
    tally
}

/// A figure of the design's table: requests, runs, noise between runs; then false alarm, found at +20 %, found at +50 %, in percent.
type Published = (usize, usize, f64, [f64; 3], [f64; 3]);
/// Per-run p95 against k earlier ones: over 1.3 × their p90; over a one-sided log-t prediction limit of 1 % and more than 10 % above.
const PUBLISHED: [Published; 4] = [
    (50, 7, 0.03, [0.5, 8.0, 50.0], [1.0, 9.0, 42.0]),
    (200, 7, 0.03, [0.0, 4.0, 74.0], [1.0, 27.0, 88.0]),
    (200, 28, 0.03, [0.0, 2.0, 71.0], [1.3, 43.0, 99.5]),
    (200, 28, 0.10, [0.0, 4.0, 47.0], [1.2, 16.0, 74.0]),
];

/// The p95 of a run of `n` requests, as its logarithm against the unchanged centre. Only order statistics near the quantile matter,
/// but all are drawn: the point is to do what a user's script does.
fn log_p95(noise: &mut Noise, n: usize, between: f64, slower: f64) -> f64 {
    let level = between * noise.normal() + slower.ln();
    let mut samples: Vec<f64> = (0..n).map(|_| level + WITHIN * noise.normal()).collect();
    samples.sort_by(f64::total_cmp);
    let exp: Vec<f64> = samples.iter().map(|v| v.exp()).collect();
    quantile(&exp, 0.95).ln()
}

/// Points that the published figures are right within, being simulated themselves; three standard errors of ours come on top.
const POINTS: f64 = 2.0;
/// Points that a figure of the log-t rule may be off Student's and the normal distribution, which settle what two simulations disagree on.
/// The p95 of 50 requests is not normal enough for that; from 200 on it is.
const POINTS_OF_THEORY: f64 = 2.0;

/// How often, in percent, the log-t rule calls a run that is `slower` times its history, when the logarithm of a p95 is normal: the limit
/// follows χ², the fresh value the normal distribution.
fn log_t_in_theory(n: usize, k: usize, between: f64, slower: f64) -> f64 {
    use statrs::distribution::{ChiSquared, Continuous, ContinuousCDF, Normal};
    let normal = Normal::standard();
    let tail = normal.inverse_cdf(0.95);
    // The variance of a sample quantile: p (1 − p) ÷ (n × density²).
    let of_p95 = WITHIN * (0.95 * 0.05 / n as f64).sqrt() / normal.pdf(tail);
    let (df, width) = (k as f64 - 1.0, (1.0 + 1.0 / k as f64).sqrt());
    let sigma = of_p95.hypot(between);
    let t = roadworthy::stats::dist::t_quantile(0.99, df);
    let spread = ChiSquared::new(df).expect("a positive number of degrees of freedom");
    const STEPS: usize = 4000;
    let step = (df + 12.0 * (2.0 * df).sqrt()) / STEPS as f64;
    let beyond = |q: f64| {
        let limit = (t * sigma * (q / df).sqrt() * width).max(1.10f64.ln());
        spread.pdf(q) * step * normal.sf((limit - slower.ln()) / (sigma * width))
    };
    100.0 * (0..STEPS).map(|i| beyond((i as f64 + 0.5) * step)).sum::<f64>()
}

/// The rules that people write by hand, simulated, beside what was published; false when a figure is too far off both that and theory.
fn by_hand(noise: &mut Noise, replicates: usize) -> bool {
    println!(
        "\n### Per-run p95 against k earlier ones: false alarm / found at +20 % / at +50 %, {replicates} replicates (published, ± 2 points)\n"
    );
    println!(
        "A published figure that lies further off than that and three standard errors of ours is bold, and theory stands beside it.\n"
    );
    println!("| n, k, noise between runs | over 1.3 × their p90 | log-t limit of 1 %, and more than 10 % above |");
    println!("|---|---|---|");
    let mut agrees = true;
    for (n, k, between, published_p90, published_t) in PUBLISHED {
        let mut tallies = [[Tally::default(); 3]; 2];
        let t = roadworthy::stats::dist::t_quantile(0.99, k as f64 - 1.0);
        for _ in 0..replicates {
            let past: Vec<f64> = (0..k).map(|_| log_p95(noise, n, between, 1.0)).collect();
            let mut daily: Vec<f64> = past.iter().map(|v| v.exp()).collect();
            daily.sort_by(f64::total_cmp);
            let ceiling = (1.3 * quantile(&daily, 0.90)).ln();
            let mean = past.iter().sum::<f64>() / k as f64;
            let variance = past.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (k as f64 - 1.0);
            let limit = (mean + t * (variance * (1.0 + 1.0 / k as f64)).sqrt()).max(mean + 1.10f64.ln());
            for (at, slower) in [1.0, 1.2, 1.5].into_iter().enumerate() {
                let fresh = log_p95(noise, n, between, slower);
                tallies[0][at].add(fresh > ceiling);
                tallies[1][at].add(fresh > limit);
            }
        }
        let allowed = POINTS + 300.0 * (0.25 / replicates as f64).sqrt();
        let theory = [1.0, 1.2, 1.5].map(|slower| (n >= 200).then(|| log_t_in_theory(n, k, between, slower)));
        let cells: Vec<String> = tallies
            .iter()
            .zip([(published_p90, [None; 3]), (published_t, theory)])
            .map(|(row, (published, theory))| {
                let figures: Vec<String> = row
                    .iter()
                    .zip(published.into_iter().zip(theory))
                    .map(|(tally, (published, theory))| {
                        let off = |truth: f64, points: f64| (tally.share() * 100.0 - truth).abs() > points;
                        if !off(published, allowed) {
                            return format!("{tally} ({published} %)");
                        }
                        agrees &= theory.is_some_and(|theory| !off(theory, POINTS_OF_THEORY));
                        let theory = theory.map_or_else(String::new, |theory| format!("; Student's t and χ²: {theory:.1} %"));
                        format!("{tally} (**{published} %**{theory})")
                    })
                    .collect();
                figures.join(" / ")
            })
            .collect();
        println!("| {n}, {k}, {between} | {} |", cells.join(" | "));
    }
    agrees
}

/// How a rule for a pass rate ends, and what it costs.
#[derive(Default)]
struct Ending {
    met: Tally,
    missed: Tally,
    trials: u64,
}

/// Trials of a service that passes with probability `p`, judged one after the other as a run judges them.
fn pass_rate(noise: &mut Noise, replicates: usize, rule: PassRate, p: f64) -> Ending {
    let mut ending = Ending::default();
    for _ in 0..replicates {
        let (mut passed, mut n) = (0, 0);
        let stops = matches!(rule, PassRate::Sequential { .. });
        while n < rule.max_trials() {
            n += 1;
            passed += u64::from(noise.uniform() < p);
            if stops && rule.decide(passed, n) != rate::Decision::Open {
                break;
            }
        }
        let decision = rule.decide(passed, n);
        ending.met.add(decision == rate::Decision::Met);
        ending.missed.add(decision == rate::Decision::Missed);
        ending.trials += n;
    }
    ending
}

/// One request and one look: what a suite without statistics does, and what retrying it until it passes does.
fn naive_pass(noise: &mut Noise, replicates: usize, attempts: u64, p: f64) -> Ending {
    let mut ending = Ending::default();
    for _ in 0..replicates {
        let needed = (1..=attempts).find(|_| noise.uniform() < p);
        ending.met.add(needed.is_some());
        ending.missed.add(needed.is_none());
        ending.trials += needed.unwrap_or(attempts);
    }
    ending
}

fn stochastic(noise: &mut Noise, replicates: usize) {
    let shares = [0.99, 0.95, 0.90, 0.80, 0.60];
    println!("\n### A service that answers well with some probability: passed / failed (requests on average)\n");
    println!("| rule | 99 % | 95 % | 90 % | 80 % | 60 % |");
    println!("|---|---|---|---|---|---|");
    let (accept, reject) = (Share(0.95), Share(0.80));
    let max_samples = rate::default_max_samples(accept, reject);
    let rules = [
        (
            "sequential, accept 95 %, reject 80 %".to_owned(),
            PassRate::Sequential { accept, reject, max_samples, undecided: rate::Undecided::Inconclusive },
        ),
        ("fixed, 60 trials, 95 %".to_owned(), PassRate::Fixed { trials: 60, rate: accept }),
        ("fixed, 60 trials, 80 %".to_owned(), PassRate::Fixed { trials: 60, rate: reject }),
        ("fixed, 46 trials, 85 %".to_owned(), PassRate::Fixed { trials: 46, rate: Share(0.85) }),
        ("every one of 20 trials".to_owned(), PassRate::Fixed { trials: 20, rate: Share(1.0) }),
    ];
    let row = |name: &str, cells: Vec<Ending>| {
        let cell = |e: Ending| format!("{} / {} ({:.0})", e.met, e.missed, e.trials as f64 / replicates as f64);
        println!("| {name} | {} |", cells.into_iter().map(cell).collect::<Vec<_>>().join(" | "));
    };
    for (name, rule) in rules {
        row(&name, shares.iter().map(|p| pass_rate(noise, replicates, rule, *p)).collect());
    }
    row("one request (naive)", shares.iter().map(|p| naive_pass(noise, replicates, 1, *p)).collect());
    row("up to three attempts until one passes (naive)", shares.iter().map(|p| naive_pass(noise, replicates, 3, *p)).collect());
    println!("\nWhat neither passes nor fails is inconclusive, a warning unless `--fail-on inconclusive`.");
}

fn main() {
    let share: f64 = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(1.0);
    let times = |n: usize| ((n as f64 * share) as usize).max(1);
    let noise = &mut Noise::new(20_240_229);

    println!("Noise: σ = {WITHIN} within a run, {BETWEEN} between runs (log-normal); {HISTORY} daily runs of history.\n");
    println!("### Runs of {CASES} unchanged cases that fail\n");
    println!(
        "| requests per case | noise between runs | single samples | rolling p90 × 1.3 | predicted | release | suite ratio | any | measurements repeated per run | runs |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (n, replicates) in [(1, 4000), (20, 1000), (REQUESTS, 400)] {
        for between in [Between::OfEachCase, Between::SharedByAll] {
            false_alarms(noise, times(replicates), n, between);
        }
    }
    for between in [Between::HeavyTailed, Between::Persistent] {
        false_alarms(noise, times(400), REQUESTS, between);
    }

    let effects = [1.05, 1.10, 1.20, 1.50];
    println!("\n### One slower case: found in one run / within three daily runs\n");
    println!("| requests, runs of history | cases in the run | measurements at most | +5 % | +10 % | +20 % | +50 % |");
    println!("|---|---|---|---|---|---|---|");
    for (n, runs, cases, measurements) in [
        (REQUESTS, HISTORY, CASES, MEASUREMENTS),
        (REQUESTS, HISTORY, CASES, 2),
        (REQUESTS, HISTORY, 1, MEASUREMENTS),
        (REQUESTS, 8, CASES, MEASUREMENTS),
        (50, HISTORY, CASES, MEASUREMENTS),
        (1, HISTORY, CASES, MEASUREMENTS),
    ] {
        let at = Setting { n, runs, cases, measurements };
        let cells: Vec<String> =
            effects.iter().map(|slower| power(noise, times(1200), *slower, &at)).map(|[one, three]| format!("{one} / {three}")).collect();
        println!("| {n}, {runs} | {cases} | {measurements} | {} |", cells.join(" | "));
    }

    println!("\n### Every case slower, one request each, {CASES} cases: found by the suite ratio\n");
    println!("| +0 % | +5 % | +10 % | +20 % | +50 % |");
    println!("|---|---|---|---|---|");
    let cells: Vec<String> =
        [1.0, 1.05, 1.10, 1.20, 1.50].iter().map(|slower| suite_power(noise, times(2500), *slower).to_string()).collect();
    println!("| {} |", cells.join(" | "));

    println!("\n### Creep of 2 % a week, one run a day, anchor of 7 runs, limit 1.20: found\n");
    println!("| requests | cases in the run | before +16 % (early) | before +25 % | before +30 % | before +35 % |");
    println!("|---|---|---|---|---|---|");
    for (n, cases) in [(REQUESTS, 1), (REQUESTS, CASES), (50, CASES)] {
        let [quarter, target, late, early] = creep(noise, times(1000), cases, n);
        println!("| {n} | {cases} | {early} | {quarter} | {target} | {late} |");
    }

    println!("\n### Two builds, A B B A, α = 1 %\n");
    println!("| | +0 % | +10 %, n = 600 each | +20 %, n = 200 each | +10 %, n = 200 each |");
    println!("|---|---|---|---|---|");
    for (name, by_prompt) in
        [("independent (Welch)", None), ("paired, half of the variance is the prompt's", Some(0.5)), ("paired, 80 %", Some(0.8))]
    {
        let cell = |noise: &mut Noise, slower, n| side_by_side(noise, times(2500), slower, n, by_prompt);
        let row = [cell(noise, 1.0, 200), cell(noise, 1.1, 600), cell(noise, 1.2, 200), cell(noise, 1.1, 200)];
        println!("| {name} | {} |", row.map(|t| t.to_string()).join(" | "));
    }

    println!("\n### Naive rules, n = {REQUESTS}, one measurement\n");
    println!("| rule | unchanged case alarms | unchanged run of {CASES} alarms | +5 % | +10 % | +20 % | +50 % |");
    println!("|---|---|---|---|---|---|---|");
    let table = naive(noise, times(3000), &[1.0, 1.05, 1.10, 1.20, 1.50]);
    for ((name, _), row) in NAIVE.iter().zip(table) {
        let whole = 1.0 - (1.0 - row[0].share()).powi(CASES as i32);
        let powers: Vec<String> = row[1..].iter().map(Tally::to_string).collect();
        println!("| {name} | {} | {:.1} % | {} |", row[0], whole * 100.0, powers.join(" | "));
    }

    let agrees = by_hand(noise, times(20_000));
    stochastic(noise, times(20_000));

    println!("\n### Soaks of 4 h in 48 bins, noise 5 % of the level: called rising\n");
    println!("| AR(1) | growth | Mann–Kendall 5 % | corrected 5 % | leak rule |");
    println!("|---|---|---|---|---|");
    for (correlation, growth) in [(0.0, 0.0), (0.5, 0.0), (0.7, 0.0), (0.9, 0.0), (0.0, 0.1), (0.5, 0.1), (0.5, 0.2)] {
        let [plain, corrected, leak] = soaks(noise, times(2000), correlation, growth);
        println!("| {correlation} | {:.0} % | {plain} | {corrected} | {leak} |", growth * 100.0);
    }
    if !agrees {
        eprintln!("the rules by hand are more than {POINTS} points off what was published, and theory does not say that they are right");
        std::process::exit(1);
    }
}
