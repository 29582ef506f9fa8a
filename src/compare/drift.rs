//! Have a service's answers moved since a reference? Lengths, times and behaviour of all cases that both sides hold. Pure.

use crate::exchange::Exchange;
use crate::expect::key_facts::Facts;
use crate::record::RunRecord;
use crate::stats::drift::{kolmogorov_smirnov, mean_discrepancy, permutation_p, stability_index, wasserstein};
use crate::units::fnv;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Rarer than this by chance counts.
const P: f64 = 0.01;
/// A smaller move, in standard deviations of the reference, does not.
const FAR: f64 = 0.3;
/// A smaller change of a share does not.
const SHARE: f64 = 0.05;
/// Answers with vectors that are looked at on each side.
const MAX_VECTORS: usize = 300;

/// One figure of the answers, on both sides.
#[derive(Debug, Clone, Serialize)]
pub struct Moved {
    /// `length`, `tokens`, `e2e`, `ttft`, `refuses`, `fails`, `cut`, `meaning`.
    pub what: String,
    /// Answers of the reference and of the present.
    pub n: [usize; 2],
    pub drifted: bool,
    /// One line with the numbers and the limits.
    pub why: String,
    /// For a chart: the values of both sides, in standard deviations of the reference around each case's mean there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Vec<f64>>,
}

/// Answers of one side, by case; only cases of the same prompt on both sides are looked at.
type Side<'a> = BTreeMap<&'a str, Vec<&'a Exchange>>;

fn side<'a>(records: &'a [RunRecord], fits: &BTreeSet<(&str, &str)>) -> Side<'a> {
    let mut out: Side<'a> = BTreeMap::new();
    for case in records.iter().flat_map(RunRecord::judged).filter(|c| fits.contains(&(c.id.as_str(), c.fingerprint.as_str()))) {
        out.entry(&case.id)
            .or_default()
            .extend(case.attempts.iter().flat_map(|a| a.all_trials()).filter_map(|t| Some(&t.turns.last()?.exchange)));
    }
    out
}

/// Turns a text into a sentence vector, or says why not.
pub type Embed<'e> = &'e dyn Fn(&str) -> Result<Vec<f32>, String>;

/// Compares two sides. `embed` gives sentence vectors of texts, where there is an encoder; its error ends the comparison.
pub fn drift(reference: &[RunRecord], present: &[RunRecord], embed: Option<Embed<'_>>) -> Result<Vec<Moved>, String> {
    fn keys(records: &[RunRecord]) -> BTreeSet<(&str, &str)> {
        records.iter().flat_map(RunRecord::judged).filter(|c| !c.is_suite()).map(|c| (c.id.as_str(), c.fingerprint.as_str())).collect()
    }
    let both: BTreeSet<(&str, &str)> = keys(reference).intersection(&keys(present)).copied().collect();
    let (a, b) = (side(reference, &both), side(present, &both));
    let ms = |d: Option<std::time::Duration>| d.map(|d| d.as_secs_f64() * 1e3).filter(|v| *v > 0.0);
    type Figure<'f> = (&'f str, &'f dyn Fn(&Exchange) -> Option<f64>);
    let length = |e: &Exchange| Some(e.answer.chars().count() as f64 + 1.0);
    let tokens = |e: &Exchange| e.usage.map(|u| u.completion_tokens as f64 + 1.0);
    let e2e = |e: &Exchange| ms(e.timing.e2e);
    let ttft = |e: &Exchange| ms(e.timing.ttft);
    let figures: [Figure<'_>; 4] = [("length", &length), ("tokens", &tokens), ("e2e", &e2e), ("ttft", &ttft)];
    let mut out: Vec<Moved> = figures.iter().filter_map(|(what, figure)| moved(what, &a, &b, *figure)).collect();
    let refuses = |e: &Exchange| Facts::of(e).behaviour.contains("refuses");
    let fails = |e: &Exchange| e.failure.is_some();
    let cut = |e: &Exchange| e.finish_reason.as_deref() == Some("length");
    type Kind<'k> = (&'k str, &'k dyn Fn(&Exchange) -> bool);
    let kinds: [Kind<'_>; 3] = [("refuses", &refuses), ("fails", &fails), ("cut", &cut)];
    out.extend(kinds.iter().filter_map(|(what, is)| share(what, &a, &b, *is)));
    out.extend(embed.map(|embed| meaning(&a, &b, embed)).transpose()?.flatten());
    Ok(out)
}

fn complete<'a>(side: &'a Side<'a>) -> impl Iterator<Item = (&'a str, &'a Exchange)> {
    side.iter().flat_map(|(id, all)| all.iter().map(move |e| (*id, *e))).filter(|(_, e)| e.failure.is_none())
}

/// A positive figure, on the log scale and around each case's mean in the reference, so that long and short prompts count alike.
fn moved(what: &str, a: &Side<'_>, b: &Side<'_>, figure: &dyn Fn(&Exchange) -> Option<f64>) -> Option<Moved> {
    let logs = |side| complete(side).filter_map(|(id, e)| Some((id, figure(e)?.ln()))).collect::<Vec<(&str, f64)>>();
    let (a, b) = (logs(a), logs(b));
    let mut means: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    a.iter().for_each(|(id, v)| {
        let (sum, n) = means.entry(id).or_default();
        (*sum, *n) = (*sum + v, *n + 1.0);
    });
    let around =
        |values: &[(&str, f64)]| values.iter().filter_map(|(id, v)| means.get(id).map(|(sum, n)| v - sum / n)).collect::<Vec<f64>>();
    let (a, b) = (around(&a), around(&b));
    if a.len().min(b.len()) < 5 {
        return None;
    }
    // Answers that are all alike still have a smallest spread worth speaking of: five in a hundred.
    let sd = (a.iter().map(|v| v * v).sum::<f64>() / (a.len() - 1) as f64).sqrt().max(0.05);
    let far = wasserstein(&a, &b) / sd;
    let mut rng = ChaCha8Rng::seed_from_u64(fnv(what.bytes()));
    let p = permutation_p(&a, &b, wasserstein, |v| v.shuffle(&mut rng));
    let index = stability_index(&a, &b);
    let by_index = index.is_some_and(|(index, critical)| index > critical.max(0.1));
    let by_distance = far > FAR && p < P;
    let ratio = (b.iter().sum::<f64>() / b.len() as f64 - a.iter().sum::<f64>() / a.len() as f64).exp();
    let mut why = format!(
        "{ratio:.2} × the reference (geometric mean); moved by {far:.2} σ (limit {FAR}), p {p:.3} (limit {P}); KS {:.2}",
        kolmogorov_smirnov(&a, &b)
    );
    if let Some((index, critical)) = index {
        why.push_str(&format!("; PSI {index:.2} (limit {:.2})", critical.max(0.1)));
    }
    // The index alone looks at any change of shape; together with a rare distance it is more than noise.
    let drifted = by_distance || by_index && p < P;
    let values = [&a, &b].map(|v| v.iter().map(|x| (x / sd * 100.0).round() / 100.0).collect()).to_vec();
    Some(Moved { what: what.to_owned(), n: [a.len(), b.len()], drifted, why, values })
}

fn share(what: &str, a: &Side<'_>, b: &Side<'_>, is: &dyn Fn(&Exchange) -> bool) -> Option<Moved> {
    let flags = |side: &Side<'_>| side.values().flatten().map(|e| f64::from(u8::from(is(e)))).collect::<Vec<f64>>();
    let (a, b) = (flags(a), flags(b));
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (before, now) = (mean(&a), mean(&b));
    let mut rng = ChaCha8Rng::seed_from_u64(fnv(what.bytes()));
    let p = permutation_p(&a, &b, |a, b| (mean(a) - mean(b)).abs(), |v| v.shuffle(&mut rng));
    let drifted = (now - before).abs() > SHARE && p < P;
    let why = format!(
        "{:.1} % before, {:.1} % now; p {p:.3} (limit {P}, and a change of {:.0} points)",
        before * 100.0,
        now * 100.0,
        SHARE * 100.0
    );
    Some(Moved { what: what.to_owned(), n: [a.len(), b.len()], drifted, why, values: Vec::new() })
}

fn meaning(a: &Side<'_>, b: &Side<'_>, embed: Embed<'_>) -> Result<Option<Moved>, String> {
    let vectors = |side| {
        let all: Vec<&Exchange> = complete(side).map(|(_, e)| e).filter(|e| !e.answer.trim().is_empty()).collect();
        let n = all.len().min(MAX_VECTORS);
        (0..n).map(|i| embed(&all[i * all.len() / n].answer)).collect::<Result<Vec<Vec<f32>>, String>>()
    };
    let (a, b) = (vectors(a)?, vectors(b)?);
    let (x, y): (Vec<&[f32]>, Vec<&[f32]>) = (a.iter().map(Vec::as_slice).collect(), b.iter().map(Vec::as_slice).collect());
    let mut rng = ChaCha8Rng::seed_from_u64(fnv("meaning".bytes()));
    let Some((seen, p)) = mean_discrepancy(&x, &y, |order| order.shuffle(&mut rng)) else { return Ok(None) };
    let why = format!("MMD² {seen:.4} between sentence vectors, p {p:.3} (limit {P})");
    Ok(Some(Moved { what: "meaning".into(), n: [a.len(), b.len()], drifted: p < P && seen > 0.0, why, values: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Attempt, CaseRecord, Trial, Turn, Verdict};

    fn record(answers: impl Fn(usize) -> String) -> RunRecord {
        let case = |id: &str, from: usize| {
            let trials = (0..15).map(|i| {
                let mut exchange = Exchange { answer: answers(from + i), ..Exchange::default() };
                exchange.timing.e2e = Some(std::time::Duration::from_millis(300 + (i as u64 * 37) % 40));
                Trial {
                    seed: None,
                    variant: None,
                    verdict: Verdict::Pass,
                    turns: vec![Turn { exchange, findings: vec![], fetched: vec![] }],
                }
            });
            let attempt = Attempt { trials: trials.collect(), ..Attempt::default() };
            CaseRecord { id: id.into(), fingerprint: "f".into(), attempts: vec![attempt], ..CaseRecord::default() }
        };
        RunRecord { cases: vec![case("s::a", 0), case("s::b", 100)], ..RunRecord::default() }
    }

    fn of<'a>(all: &'a [Moved], what: &str) -> &'a Moved {
        all.iter().find(|m| m.what == what).unwrap_or_else(|| panic!("{what}: {all:?}"))
    }

    #[test]
    fn longer_answers_and_refusals_are_drift_and_noise_is_not() {
        let before = [record(|i| "好的。".repeat(10 + i * 7 % 5))];
        let same = drift(&before, &[record(|i| "好的。".repeat(10 + i * 3 % 5))], None).unwrap();
        assert!(same.iter().all(|m| !m.drifted), "{same:?}");
        let longer = drift(&before, &[record(|i| "好的。".repeat(16 + i * 7 % 5))], None).unwrap();
        assert!(of(&longer, "length").drifted && !of(&longer, "e2e").drifted, "{longer:?}");
        assert!(of(&longer, "length").why.contains("1.49 ×"), "{}", of(&longer, "length").why);
        let refusing =
            drift(&before, &[record(|i| if i % 2 == 0 { "抱歉，我不能提供。".into() } else { "好的。".repeat(10) })], None).unwrap();
        assert!(of(&refusing, "refuses").drifted, "{refusing:?}");
        let embed = |text: &str| Ok(vec![if text.contains("抱歉") { 1.0 } else { 0.0 }, text.chars().count() as f32 / 50.0]);
        let meant = drift(&before, &[record(|_| "抱歉，我不能提供。".into())], Some(&embed)).unwrap();
        assert!(of(&meant, "meaning").drifted);
    }
}
