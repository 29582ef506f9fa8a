//! Judges recorded answers with today's expectations. Sends nothing: an answer that is not there is an error, never a request.

use super::case::{blank, decide, judge_group, settle};
use super::conversation::{findings, not_sent, tell_unsent, trial};
use crate::exchange::Exchange;
use crate::expect::past::History;
use crate::options::Target;
use crate::plan::Planned;
use crate::record::{Attempt, CaseRecord, Trial, Verdict};

/// Why an attempt is not all that is asked for today: a sequential test ends when it knows enough, everything else has its number.
fn lacks(case: &Planned, attempt: &Attempt) -> Option<String> {
    let (has, wanted) = (attempt.trials.len() as u64, case.max_trials());
    let ended_early = case.ends_when_known() || attempt.all_trials().any(|t| t.verdict == Verdict::Error);
    (has < wanted && !ended_early).then(|| format!("the record holds {has} of the {wanted} trials that the case asks for"))
}

/// Judges one case anew from its record; `None` when the record does not hold it.
pub fn replay(case: &Planned, recorded: Option<&CaseRecord>, target: &Target, history: &History) -> CaseRecord {
    let mut record = blank(case);
    let refuse = |record: &mut CaseRecord, why: String| {
        record.verdict = Verdict::Error;
        record.why = why;
    };
    let Some(recorded) = recorded else {
        refuse(&mut record, "the record holds no answer for this case".into());
        return record;
    };
    if let Some(why) = &recorded.skipped {
        match &case.skip {
            Some(_) => record.skipped = Some(why.clone()),
            None => refuse(&mut record, format!("the record holds no answer for this case: {why}")),
        }
        return record;
    }
    if recorded.fingerprint != case.fingerprint {
        refuse(&mut record, "the prompt or its parameters changed since the record, so the recorded answer is not an answer to it".into());
        return record;
    }
    record.took = recorded.took;
    let mut missed = false;
    let anew = |old: &Trial| {
        let mut exchanges: Vec<Exchange> = Vec::new();
        let mut judged = Vec::new();
        let version = case.versions.iter().find(|v| v.label == old.variant).unwrap_or(&case.versions[0]);
        for (i, planned) in version.turns.iter().enumerate() {
            let exchange = match old.turns.get(i) {
                Some(turn) => turn.exchange.clone(),
                None if exchanges.last().is_some_and(|e| e.failure.is_some()) => {
                    if let Some((found, _)) = judged.last_mut() {
                        tell_unsent(case, found, i, version.turns.len());
                    }
                    break;
                }
                None => not_sent(String::new(), "the record holds no answer for this turn".into()),
            };
            exchanges.push(exchange);
            let fetched = old.turns.get(i).map(|t| t.fetched.clone()).unwrap_or_default();
            judged.push((findings(case, version, &planned.expect, &exchanges, target, &fetched), fetched));
        }
        trial(version, old.seed, exchanges, judged)
    };
    for attempt in &recorded.attempts {
        let trials = attempt.trials.iter().map(anew).collect();
        let again = attempt.again.iter().map(|measured| measured.iter().map(anew).collect()).collect();
        let (beside, fetched) = (attempt.beside.clone(), attempt.fetched.clone());
        let mut judged = Attempt { trials, again, beside, fetched, ..Attempt::default() };
        judged.group = judge_group(case, &judged, history).0;
        let (verdict, rate) = decide(case, &judged);
        record.attempts.push(judged);
        record.verdict = verdict;
        record.rate = rate;
        missed |= verdict == Verdict::Fail;
        if !(missed && matches!(verdict, Verdict::Fail | Verdict::Inconclusive)) {
            break;
        }
    }
    if missed && record.verdict == Verdict::Inconclusive {
        record.verdict = Verdict::Fail;
    }
    if record.attempts.is_empty() {
        refuse(&mut record, format!("the record holds no answer for this case: {}", recorded.why));
        return record;
    }
    let lacking = record.attempts.iter().find_map(|a| lacks(case, a));
    if let Some(why) = lacking {
        refuse(&mut record, why);
        return record;
    }
    let masked = record.exchanges().any(Exchange::is_masked);
    let (now, then) = (record.verdict == Verdict::Pass, matches!(recorded.verdict, Verdict::Pass | Verdict::Flaky));
    if masked && now != then {
        refuse(
            &mut record,
            "the record keeps personal data only by its kind, so its answer cannot be judged again; `record: { personal_data: keep }` keeps it"
                .into(),
        );
        return record;
    }
    settle(case, &mut record, target);
    record
}
