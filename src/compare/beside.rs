//! Two services asked the same in turns: is this one slower than the other, and does it say something else? Pure.

use super::changes;
use crate::exchange::Exchange;
use crate::finding::{Finding, Outcome, Topic};
use crate::record::{Attempt, CaseRecord, RunRecord, Trial, Verdict};
use crate::redact::excerpt;
use crate::stats::history::paired_ratio;
use crate::units::show;
use std::time::Duration;

/// Level of the two comparisons together.
const LEVEL: f64 = 0.01;
/// Pairs below which a ratio is not judged.
const FEWEST: usize = 6;

/// Reads one time of an exchange.
type Metric = fn(&Exchange) -> Option<Duration>;
const METRICS: [(&str, Metric); 2] = [("e2e", |e| e.timing.e2e), ("ttft", |e| e.timing.ttft)];

/// Judges all pairs of a run together, as a case of its own; `None` when nothing was compared. `limit` is the ratio of times, this
/// service's ÷ the other's, from which on a difference is worth failing.
pub fn judge(record: &RunRecord, name: &str, limit: f64) -> Option<CaseRecord> {
    let cases: Vec<&CaseRecord> = record.judged().filter(|c| c.attempts.iter().any(|a| !a.beside.is_empty())).collect();
    if cases.is_empty() {
        return None;
    }
    let mut group: Vec<Finding> = METRICS.iter().map(|(word, metric)| slower(&cases, word, *metric, limit)).collect();
    group.push(says(&cases));
    let attempt = Attempt { group, ..Attempt::default() };
    let verdict = attempt.group.iter().map(|f| f.outcome.into()).max().unwrap_or(Verdict::Error);
    let why = attempt.group.iter().find(|f| Verdict::from(f.outcome) == verdict && verdict != Verdict::Pass).map(|f| f.why.clone());
    Some(CaseRecord {
        id: format!("suite::beside {name}"),
        scenario: "suite".into(),
        name: format!("beside {name}"),
        file: cases[0].file.clone(),
        line: cases[0].line,
        layer: "scenario".into(),
        target: cases[0].target.clone(),
        verdict,
        why: why.unwrap_or_default(),
        attempts: vec![attempt],
        ..CaseRecord::default()
    })
}

fn only(trial: &Trial) -> Option<&Exchange> {
    trial.turns.last().map(|t| &t.exchange).filter(|e| e.failure.is_none())
}

/// Pairs of this service's and the other's exchange in one attempt.
fn pairs(attempt: &Attempt) -> impl Iterator<Item = (&Exchange, &Exchange)> {
    attempt.trials.iter().zip(&attempt.beside).filter_map(|(own, other)| Some((only(own)?, only(other)?)))
}

/// Times of one case: mean logs of ours and theirs over its pairs.
fn times(case: &CaseRecord, metric: Metric) -> Vec<(f64, f64)> {
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    case.attempts
        .iter()
        .flat_map(pairs)
        .filter_map(|(a, b)| Some((ms(metric(a)?), ms(metric(b)?))))
        .filter(|(a, b)| *a > 0.0 && *b > 0.0)
        .collect()
}

fn slower(cases: &[&CaseRecord], word: &str, metric: Metric, limit: f64) -> Finding {
    let per_case: Vec<(&str, Vec<(f64, f64)>)> =
        cases.iter().map(|c| (c.id.as_str(), times(c, metric))).filter(|(_, t)| !t.is_empty()).collect();
    let all: Vec<(f64, f64)> = per_case.iter().flat_map(|(_, t)| t.iter().copied()).collect();
    let (ours, theirs): (Vec<f64>, Vec<f64>) = all.iter().copied().unzip();
    let finding = |outcome, why, evidence| Finding {
        expectation: format!("beside_{word}"),
        line: 0,
        outcome,
        topic: Topic::Regression,
        why,
        evidence,
    };
    let Some(ratio) = paired_ratio(&theirs, &ours).filter(|_| all.len() >= FEWEST) else {
        return finding(Outcome::Inconclusive, format!("{} pairs with a {word}: at least {FEWEST} are needed", all.len()), Vec::new());
    };
    let geometric = |t: &[(f64, f64)]| (t.iter().map(|(a, b)| (a / b).ln()).sum::<f64>() / t.len() as f64).exp();
    let mut worst: Vec<(f64, &str)> = per_case.iter().map(|(id, t)| (geometric(t), *id)).collect();
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    let evidence = worst.iter().take(5).map(|(r, id)| format!("{r:.2} × {id}")).collect();
    let mean = |v: &[f64]| show(Duration::from_secs_f64((v.iter().map(|x| x.ln()).sum::<f64>() / v.len() as f64).exp() / 1e3));
    let why = format!(
        "{word} takes {:.2} × the time ({} beside {}, geometric means of {} pairs; {}), {limit} allowed",
        ratio.ratio,
        mean(&ours),
        mean(&theirs),
        all.len(),
        ratio.line()
    );
    let missed = ratio.ratio > limit && ratio.p_value < LEVEL / METRICS.len() as f64;
    finding(if missed { Outcome::Missed } else { Outcome::Met }, why, evidence)
}

/// Other facts are told, and judged only where the very same answer was asked for twice: sampling alone changes words.
fn says(cases: &[&CaseRecord]) -> Finding {
    let mut evidence = Vec::new();
    let mut other = 0;
    for case in cases {
        let Some((ours, theirs)) = case.attempts.last().and_then(|a| pairs(a).next()) else { continue };
        let lines = changes(theirs, ours);
        if !lines.is_empty() {
            other += 1;
            evidence.push(format!("{}: {}", case.id, excerpt(&lines.join("; "), 200)));
        }
        let verdict = |trials: &[Trial]| trials.iter().map(|t| t.verdict).max();
        if let Some(attempt) = case.attempts.last()
            && verdict(&attempt.trials) != verdict(&attempt.beside)
        {
            let word = |v: Option<Verdict>| v.map_or("none", Verdict::word);
            evidence.push(format!("{}: {} there, {} here", case.id, word(verdict(&attempt.beside)), word(verdict(&attempt.trials))));
        }
    }
    evidence.truncate(50);
    let why = format!("{} of {} cases answer with other facts than the service beside (told, not judged)", other, cases.len());
    Finding { expectation: "beside_facts".into(), line: 0, outcome: Outcome::Met, topic: Topic::Content, why, evidence }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Turn;

    fn trial(ms: u64, answer: &str) -> Trial {
        let mut exchange = Exchange { answer: answer.into(), ..Exchange::default() };
        exchange.timing.e2e = Some(Duration::from_millis(ms));
        exchange.timing.ttft = Some(Duration::from_millis(ms / 4));
        Trial {
            seed: None,
            variant: None,
            verdict: Verdict::Pass,
            turns: vec![Turn { exchange, findings: Vec::new(), fetched: Vec::new() }],
        }
    }

    fn run(ours: impl Fn(u64) -> u64) -> CaseRecord {
        let trials = (0..20).map(|i| trial(ours(i), "24个月")).collect();
        let beside = (0..20).map(|i| trial(400 + i * 7 % 40, "12个月")).collect();
        let case =
            CaseRecord { id: "a::b".into(), attempts: vec![Attempt { trials, beside, ..Attempt::default() }], ..CaseRecord::default() };
        judge(&RunRecord { cases: vec![case], ..RunRecord::default() }, "old", 1.1).unwrap()
    }

    #[test]
    fn a_slower_build_fails_and_an_equal_one_does_not() {
        assert_eq!(run(|i| 400 + i * 11 % 40).verdict, Verdict::Pass);
        let slow = run(|i| 500 + i * 11 % 40);
        assert_eq!(slow.verdict, Verdict::Fail);
        assert!(slow.why.contains("e2e takes 1.2"), "{}", slow.why);
    }

    #[test]
    fn other_facts_are_told() {
        let told = run(|_| 400);
        assert!(told.attempts[0].group[2].evidence[0].contains("numbers: -12 +24"), "{:?}", told.attempts[0].group[2]);
    }

    #[test]
    fn nothing_compared_is_no_case() {
        assert!(judge(&RunRecord { cases: vec![CaseRecord::default()], ..RunRecord::default() }, "x", 1.1).is_none());
    }
}
