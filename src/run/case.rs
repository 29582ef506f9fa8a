//! Brings one case to its verdict: attempts, trials, and the rule that ends them.

use super::conversation::hold;
use super::{Engine, Shared};
use crate::event::Event;
use crate::expect::meaning::Need;
use crate::expect::past::History;
use crate::expect::{Check, group, past, precision};
use crate::finding::{Finding, Outcome};
use crate::options::Target;
use crate::plan::Planned;
use crate::record::{Attempt, CaseRecord, RateEvidence, Trial, Verdict};
use crate::stats::history::MEASUREMENTS;
use crate::verdict::rate::{Decision, PassRate};
use futures_util::StreamExt;
use serde_json::Value;
use std::time::Instant;

/// Trials of one case that are under way at once.
const TRIALS_AT_ONCE: usize = 8;

/// What a test harness needs to know of a case; everything else is in its events.
#[derive(Debug)]
pub struct Judged {
    pub verdict: Verdict,
    /// Set when the case was not run, with the reason.
    pub skipped: Option<String>,
    /// One line; empty for a plain pass.
    pub why: String,
    /// The evidence as text; empty for a plain pass.
    pub evidence: String,
}

/// Runs a case and emits its events.
pub async fn run_case(engine: &Engine, case: &Planned) -> Judged {
    engine.emit(Event::CaseStarted { id: case.id.clone(), position: case.position });
    let started = Instant::now();
    let mut record = blank(case);
    match (&case.skip, engine.why_stopped()) {
        (_, Some(why)) => record.skipped = Some(format!("not run: {why}")),
        (Some(skip), None) if skip.until >= engine.today => {
            record.skipped = Some(format!("{} (until {})", skip.reason, skip.until));
        }
        (Some(skip), None) => {
            record.verdict = Verdict::Fail;
            record.why = format!("the skip expired on {}: {}", skip.until, skip.reason);
        }
        (None, None) => match engine.shared(&case.target) {
            None => {
                record.verdict = Verdict::Error;
                record.why = format!("there is no target `{}`", case.target);
            }
            Some(shared) => match all_ready(engine, shared).await {
                Ok(()) => attempts(engine, shared, case, &mut record).await,
                Err(why) => {
                    record.verdict = Verdict::Error;
                    record.why = why;
                }
            },
        },
    }
    record.took = started.elapsed();
    // Judged before, so that a mask changes no verdict.
    if !engine.keep_personal && record.mask_personal() && !record.reproduce.is_empty() {
        // Masked as JSON, and then written for a shell: the other way round the mask could tear an escape apart.
        if let Some(shared) = engine.shared(&case.target) {
            record.reproduce = super::reproduce::curl(case, &record, &shared.service.target);
        }
        record.reproduce.push_str("  # personal data is masked here, so this is another request");
    }
    let evidence = if record.verdict == Verdict::Pass { String::new() } else { crate::report::terminal::case(&record) };
    let judged = Judged { verdict: record.verdict, skipped: record.skipped.clone(), why: record.why.clone(), evidence };
    engine.emit(Event::CaseFinished(Box::new(record)));
    judged
}

/// The case's service, and the one that it is compared with.
async fn all_ready(engine: &Engine, shared: &Shared) -> Result<(), String> {
    ready(engine, shared).await?;
    match &engine.beside {
        Some(other) => ready(engine, other).await.map_err(|why| format!("compared with `{}`: {why}", other.service.target.name)),
        None => Ok(()),
    }
}

async fn ready(engine: &Engine, shared: &Shared) -> Result<(), String> {
    let ready = shared.ready.get_or_init(|| async {
        let service = &shared.service;
        let tell = |why| engine.emit(Event::Waiting { target: service.target.name.clone(), why });
        match crate::target::wait_until_ready(service, tell).await {
            Ok(_) => Ok(()),
            Err(why) => Err(format!("the service is not ready: {why}; the address comes from {}", service.target.origin)),
        }
    });
    ready.await.clone()
}

pub(super) fn blank(case: &Planned) -> CaseRecord {
    CaseRecord {
        id: case.id.clone(),
        scenario: case.scenario.clone(),
        name: case.name.clone(),
        file: case.file.clone(),
        line: case.line,
        layer: case.layer.word().to_owned(),
        tags: case.tags.clone(),
        target: case.target.clone(),
        fingerprint: case.fingerprint.clone(),
        verdict: Verdict::Pass,
        why: String::new(),
        skipped: None,
        attempts: Vec::new(),
        rate: None,
        load: None,
        took: std::time::Duration::ZERO,
        reproduce: String::new(),
    }
}

async fn attempts(engine: &Engine, shared: &Shared, case: &Planned, record: &mut CaseRecord) {
    let mut missed = false;
    for number in 0..=case.retry {
        let (trials, beside) = trials_of(engine, shared, case, number).await;
        let attempt = grouped(engine, shared, case, Attempt { trials, beside, ..Attempt::default() }).await;
        let (verdict, rate) = decide(case, &attempt);
        record.attempts.push(attempt);
        record.rate = rate;
        record.verdict = verdict;
        // Only a miss of the bar is tried again, and one that is undecided does not make up for it; what could not be judged will not
        // be judgeable a second later.
        missed |= verdict == Verdict::Fail;
        let again = missed && matches!(verdict, Verdict::Fail | Verdict::Inconclusive);
        if !again || shared.service.crashed.get().is_some() {
            break;
        }
    }
    if missed && record.verdict == Verdict::Inconclusive {
        record.verdict = Verdict::Fail;
    }
    let (has, wanted) = (record.attempts.last().map_or(0, |a| a.trials.len() as u64), case.max_trials());
    if let (Some(why), true) =
        (engine.why_stopped(), has < wanted && !case.ends_when_known() && matches!(record.verdict, Verdict::Pass | Verdict::Inconclusive))
    {
        // What was not asked does not pass.
        record.skipped = Some(format!("not run to its end, {has} of {wanted} trials: {why}"));
    }
    settle(case, record, &shared.service.target);
}

/// Gives the record its last words once its attempts are complete.
pub(super) fn settle(case: &Planned, record: &mut CaseRecord, target: &Target) {
    let tries = record.attempts.len();
    // What broke under a request and went well when it was sent again is no plain pass.
    let broke = record.exchanges().any(|e| e.transport_retries.iter().any(|retry| retry.broke));
    if record.verdict == Verdict::Pass && (tries > 1 || broke) {
        record.verdict = Verdict::Flaky;
    }
    record.why = why(record);
    if matches!(record.verdict, Verdict::Fail | Verdict::Error | Verdict::Flaky | Verdict::Inconclusive) {
        record.reproduce = super::reproduce::curl(case, record, target);
    }
}

/// The one line that says why the verdict is what it is.
fn why(record: &CaseRecord) -> String {
    let first = |attempt: &Attempt, wanted: fn(Outcome) -> bool| attempt.findings().find(|f| wanted(f.outcome)).map(|f| f.why.clone());
    let Some(last) = record.attempts.last() else { return String::new() };
    match record.verdict {
        Verdict::Pass => String::new(),
        Verdict::Flaky if record.attempts.len() == 1 => {
            "the connection broke under a request, which was answered when it was sent again".to_owned()
        }
        Verdict::Flaky => {
            let missed = first(&record.attempts[0], |o| o != Outcome::Met).unwrap_or_default();
            format!("passed on attempt {} of {}; first: {missed}", record.attempts.len(), record.attempts.len())
        }
        Verdict::Inconclusive => match &record.rate {
            Some(rate) => rate.rule.clone(),
            None => first(last, |o| o == Outcome::Inconclusive).unwrap_or_default(),
        },
        Verdict::Error => first(last, |o| o == Outcome::Unjudgeable).or_else(|| first(last, |o| o != Outcome::Met)).unwrap_or_default(),
        Verdict::Fail => {
            let last = record.attempts.iter().rev().find(|a| a.findings().any(|f| f.outcome == Outcome::Missed)).unwrap_or(last);
            let mut text = first(last, |o| o == Outcome::Missed).unwrap_or_default();
            let missed = last.findings().filter(|f| f.outcome == Outcome::Missed).count();
            if let Some(rate) = &record.rate {
                text = format!("{}; first miss: {text}", rate.rule);
            } else if missed > 1 {
                text.push_str(&format!(" (and {} more)", missed - 1));
            }
            text
        }
    }
}

/// The verdict of one attempt: that of its trials, or of the group where it is worse.
pub(super) fn decide(case: &Planned, attempt: &Attempt) -> (Verdict, Option<RateEvidence>) {
    let trials = &attempt.trials;
    let Some(rule) = case.pass_rate else { return (attempt.verdict(), None) };
    // What could not be judged is no evidence about the service.
    if attempt.all_trials().any(|t| t.verdict == Verdict::Error) {
        return (Verdict::Error, None);
    }
    let (passed, n) = counted(trials);
    let left_out = trials.len() as u64 - n;
    let unsure = trials.iter().any(|t| t.verdict == Verdict::Inconclusive);
    let verdict = match rule.decide(passed, n) {
        Decision::Met if n == 0 || (unsure && rule.wants_all()) => Verdict::Inconclusive,
        Decision::Met => Verdict::Pass,
        Decision::Missed => Verdict::Fail,
        Decision::Open => Verdict::Inconclusive,
    };
    let group = attempt.group.iter().map(|f| f.outcome.into()).max().unwrap_or(Verdict::Pass);
    let mut told = rule.explain(passed, n);
    if left_out > 0 {
        told.push_str(&format!("; {left_out} more trials were not answered, or their answers could not be told, and do not count"));
    }
    (verdict.max(group), Some(RateEvidence { passed, trials: n, rule: told }))
}

/// How many trials pass, of those that say something about the answers: a failure that `error_rate` counts is no answer, and what is
/// inconclusive is neither a pass nor a miss.
fn counted(trials: &[Trial]) -> (u64, u64) {
    let says = |t: &&Trial| {
        t.verdict != Verdict::Inconclusive && t.turns.last().is_none_or(|turn| turn.exchange.failure.is_none() || !turn.findings.is_empty())
    };
    let told: Vec<&Trial> = trials.iter().filter(says).collect();
    (told.iter().filter(|t| t.verdict == Verdict::Pass).count() as u64, told.len() as u64)
}

/// Judges what is about all trials together.
async fn grouped(engine: &Engine, shared: &Shared, case: &Planned, mut attempt: Attempt) -> Attempt {
    let needs: Vec<Need> = case.group.iter().filter_map(|e| group::needs(e, &attempt)).collect();
    if !needs.is_empty() {
        attempt.fetched = engine.fetch(needs).await;
    }
    loop {
        let (findings, open) = judge_group(case, &attempt, &engine.history);
        attempt.group = findings;
        let measured = attempt.again.len() + 1;
        if !open || measured >= MEASUREMENTS || engine.why_stopped().is_some() {
            return attempt;
        }
        // Noise that lasts a moment should not be measured twice.
        tokio::time::sleep(BEFORE_MEASURING_AGAIN).await;
        // Seeds of their own, far from those of attempts.
        let (fresh, _) = trials_of(engine, shared, case, 1000 + measured as u64).await;
        attempt.again.push(fresh);
    }
}

/// Judges what is about all trials together, and says whether a fresh measurement should decide.
pub(super) fn judge_group(case: &Planned, attempt: &Attempt, history: &History) -> (Vec<Finding>, bool) {
    let mut open = false;
    let mut measurements: Vec<&[Trial]> = vec![&attempt.trials];
    measurements.extend(attempt.again.iter().map(Vec::as_slice));
    let findings = case.group.iter().map(|e| match &e.check {
        Check::Latency { history: ceilings, .. } => {
            let (finding, again) = past::judge(e, ceilings, &measurements, history.cases.get(&case.id), history);
            open |= again;
            finding
        }
        _ => group::judge(e, attempt, history.spoken.get(&case.id).map(Vec::as_slice)),
    });
    let mut findings: Vec<Finding> = findings.collect();
    if let Some(asked) = case.precision {
        findings.push(precision::judge(&attempt.trials, &precision::metrics(case.expectations()), asked, case.line));
    }
    (findings, open)
}

/// Between a miss against history and the measurement that confirms or clears it.
const BEFORE_MEASURING_AGAIN: std::time::Duration = std::time::Duration::from_secs(2);

/// The trials of a case, and the same of the service that it is compared with.
pub(super) async fn trials_of(engine: &Engine, shared: &Shared, case: &Planned, attempt: u64) -> (Vec<Trial>, Vec<Trial>) {
    let max = case.max_trials();
    let seeds = (0..max).map(|i| seed(engine.seed, case, attempt, i, max));
    let jitter = |i: u64| (hash(case, i.wrapping_add(attempt << 32)) % 1000) as f64 / 1000.0;
    let both = |i: u64, seed: Option<u64>| async move {
        let hold = |shared| hold(engine, shared, case, case.version(i), seed, jitter(i));
        match &engine.beside {
            None => (hold(shared).await, None),
            // A B, then B A: whatever drifts meets both alike.
            Some(other) if i.wrapping_add(hash(case, 0)).is_multiple_of(2) => {
                let own = hold(shared).await;
                (own, Some(hold(other).await))
            }
            Some(other) => {
                let theirs = hold(other).await;
                (hold(shared).await, Some(theirs))
            }
        }
    };
    if max == 1 {
        let (own, theirs) = both(0, None).await;
        return (vec![own], theirs.into_iter().collect());
    }
    let mut running = futures_util::stream::iter(seeds.enumerate()).map(|(i, seed)| both(i as u64, seed)).buffered(TRIALS_AT_ONCE);
    let metrics = precision::metrics(case.expectations());
    let mut done: Vec<Trial> = Vec::new();
    let mut beside = Vec::new();
    while let Some((trial, theirs)) = running.next().await {
        let error = trial.verdict == Verdict::Error;
        done.push(trial);
        beside.extend(theirs);
        // Trials count in their order, so that what a quick answer says does not weigh more than a slow one.
        let decided = match case.pass_rate {
            Some(rule @ PassRate::Sequential { .. }) => {
                let (passed, told) = counted(&done);
                rule.decide(passed, told) != Decision::Open
            }
            _ => false,
        };
        let known = case.precision.is_some_and(|asked| precision::suffices(&done, &metrics, asked));
        if error || decided || known || engine.why_stopped().is_some_and(|_| case.pass_rate.is_none()) {
            break;
        }
    }
    (done, beside)
}

/// Trials that must differ get a seed each, unless sampling is off or the case sets its own.
fn seed(base: u64, case: &Planned, attempt: u64, trial: u64, max: u64) -> Option<u64> {
    let params = &case.version(trial).turns.first()?.params;
    let greedy = params.get("temperature").and_then(Value::as_f64) == Some(0.0);
    if max <= case.versions.len() as u64 || greedy || params.contains_key("seed") {
        return None;
    }
    // Small enough for servers that keep seeds in 31 bits.
    Some((base.wrapping_add(hash(case, trial.wrapping_add(attempt << 20)))) & 0x7fff_ffff)
}

/// A number of its own for each case and trial, the same in every run.
fn hash(case: &Planned, number: u64) -> u64 {
    crate::units::fnv(case.id.bytes().chain(number.to_le_bytes()))
}
