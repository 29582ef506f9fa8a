//! What a load is expected to come to, and the judgement. Ramps and searches are judged at the last level that was borne.

use super::errors::SATURATED;
use super::{Ceiling, Metric, Shape, show_ms};
use crate::expect::past::{self, History, Known};
use crate::finding::{Finding, Outcome, Topic};
use crate::record::load::{Level, LoadRecord, Series};
use crate::stats::dist::upper_rate;
use crate::units::{Range, Share};

/// An expectation about a whole load.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadExpectation {
    /// As written, such as `error_rate`.
    pub name: String,
    pub line: u32,
    pub check: LoadCheck,
}

/// The closed list of expectations about loads.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadCheck {
    ErrorRate {
        max: Share,
    },
    MaxConcurrency {
        min: f64,
    },
    Latency(Vec<Ceiling>),
    /// Ceilings from what earlier runs of the same load measured.
    History(Vec<(Metric, past::Ceiling)>),
    /// Of latencies, of completions (`qps`), or of a resource by its name.
    Variation(Vec<(String, Share)>),
    /// Output tokens a second of the service, and complete answers a second.
    Throughput {
        tokens: Option<f64>,
        requests: Option<f64>,
    },
    Goodput {
        min: Option<f64>,
        share: Option<Share>,
    },
    NoLeak,
    Resources(Vec<(String, Bound)>),
    /// The kind of the first error: one of these, or none of those. No error at all is fine.
    FirstError {
        only: Vec<String>,
        not: Vec<String>,
    },
}

/// Limits on the values of a resource.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bound {
    pub mean: Option<f64>,
    pub max: Option<f64>,
    pub min: Option<f64>,
}

fn finding(expectation: &LoadExpectation, outcome: Outcome, why: String) -> Finding {
    Finding { expectation: expectation.name.clone(), line: expectation.line, outcome, topic: Topic::Threshold, why, evidence: Vec::new() }
}

/// Judges every expectation. An invalid run proves nothing about the service, so that nothing can be judged.
pub fn judge(expectations: &[LoadExpectation], load: &LoadRecord, shape: &Shape, history: &History, id: &str) -> Vec<Finding> {
    if !load.health.valid {
        let why = format!("the client was the limit, so these figures say nothing about the service: {}", load.health.problems.join("; "));
        return vec![Finding {
            expectation: "valid_run".into(),
            line: 0,
            outcome: Outcome::Unjudgeable,
            topic: Topic::Internal,
            why,
            evidence: Vec::new(),
        }];
    }
    let known = history.cases.get(id);
    let judge = |e: &LoadExpectation| match &e.check {
        LoadCheck::History(ceilings) => match measured(load) {
            Some(level) => ceilings.iter().map(|(m, c)| against_history(e, level, *m, c, known, history)).collect(),
            None => vec![finding(e, Outcome::Missed, "no level was borne".into())],
        },
        _ => one(e, load, shape),
    };
    expectations.iter().flat_map(judge).collect()
}

/// The level that stands for a load in its history: the last that was borne, or the only one.
pub fn measured(load: &LoadRecord) -> Option<&Level> {
    match &load.found {
        Some(found) => load.levels.iter().rev().find(|l| Some(l.target) == found.last_stable && l.stable == Some(true)),
        None => load.levels.last(),
    }
}

/// A load is one large measurement, so a miss is not measured again: it must be rare among all comparisons of the run.
fn against_history(
    expectation: &LoadExpectation,
    level: &Level,
    metric: Metric,
    ceiling: &past::Ceiling,
    known: Option<&std::collections::BTreeMap<String, Known>>,
    history: &History,
) -> Finding {
    let word = metric.word();
    let samples = metric.of(&level.figures).map_or(&[][..], |d| d.sample.values());
    let (outcome, why) = past::once(ceiling, samples, known.and_then(|k| k.get(word)), history);
    finding(expectation, outcome, format!("{word} {}: {why}", ceiling.word()))
}

/// The levels that latencies and errors are judged at.
fn judged<'a>(load: &'a LoadRecord, shape: &Shape) -> Result<Vec<&'a Level>, String> {
    match shape {
        Shape::Ramp { .. } | Shape::Search { .. } => {
            let found = load.found.as_ref().and_then(|f| f.last_stable);
            let level = found.and_then(|target| load.levels.iter().rev().find(|l| l.target == target && l.stable == Some(true)));
            let reason = load.found.as_ref().map_or_else(String::new, |f| format!(": {}", f.reason));
            level.map(|l| vec![l]).ok_or_else(|| format!("no level was borne{reason}"))
        }
        _ if load.levels.is_empty() => Err("no level was run".into()),
        _ => Ok(load.levels.iter().collect()),
    }
}

fn at(level: &Level, load: &LoadRecord) -> String {
    if load.levels.len() < 2 { String::new() } else { format!(" at {} {}", super::count(level.target), load.unit) }
}

fn one(expectation: &LoadExpectation, load: &LoadRecord, shape: &Shape) -> Vec<Finding> {
    let levels = match judged(load, shape) {
        Ok(levels) => levels,
        // What was found does not depend on a level that was borne.
        Err(_) if matches!(expectation.check, LoadCheck::MaxConcurrency { .. } | LoadCheck::FirstError { .. }) => Vec::new(),
        Err(why) => return vec![finding(expectation, Outcome::Missed, why)],
    };
    match &expectation.check {
        LoadCheck::ErrorRate { max } => worst(levels.iter().map(|l| error_rate(expectation, l, *max, &at(l, load)))),
        LoadCheck::MaxConcurrency { min } => vec![max_concurrency(expectation, load, *min)],
        LoadCheck::Latency(ceilings) => {
            ceilings.iter().flat_map(|c| worst(levels.iter().map(|l| latency(expectation, l, c, &at(l, load))))).collect()
        }
        LoadCheck::Variation(limits) => limits
            .iter()
            .flat_map(|(what, max)| {
                if let Some(known) = known_variation(what) {
                    return worst(levels.iter().map(|l| variation(expectation, what, known(l), *max, &at(l, load))));
                }
                resource(load, what).map_or_else(
                    || vec![unknown(expectation, load, what)],
                    |found| {
                        let judge = |s: &&Series| variation(expectation, &label(s), spread(&s.points), *max, "");
                        worst(found.iter().map(judge))
                    },
                )
            })
            .collect(),
        LoadCheck::Throughput { tokens, requests } => {
            let mut out = Vec::new();
            if let Some(min) = tokens {
                out.extend(best(levels.iter().map(|l| at_least(expectation, "output tokens/s", l.figures.output_tps, *min, &at(l, load)))));
            }
            if let Some(min) = requests {
                out.extend(best(levels.iter().map(|l| at_least(expectation, "answers/s", l.figures.rps_ok, *min, &at(l, load)))));
            }
            out
        }
        LoadCheck::Goodput { min, share } => {
            let mut out = Vec::new();
            if let Some(min) = min {
                out.extend(best(levels.iter().map(|l| at_least(expectation, "good answers/s", l.figures.goodput, *min, &at(l, load)))));
            }
            if let Some(share) = share {
                out.extend(worst(levels.iter().map(|l| {
                    let met = Share(l.figures.slo_attainment);
                    let outcome = if met >= *share { Outcome::Met } else { Outcome::Missed };
                    let why = format!("{met} of {} requests met the objective{}, {share} asked", l.counts.scheduled, at(l, load));
                    finding(expectation, outcome, why)
                })));
            }
            out
        }
        // Judged before, where history is at hand.
        LoadCheck::History(_) => Vec::new(),
        LoadCheck::NoLeak => vec![no_leak(expectation, load)],
        LoadCheck::Resources(bounds) => bounds
            .iter()
            .flat_map(|(what, bound)| match resource(load, what) {
                Some(found) => worst(found.iter().map(|s| bounded(expectation, s, bound))),
                None => vec![unknown(expectation, load, what)],
            })
            .collect(),
        LoadCheck::FirstError { only, not } => vec![first_error(expectation, load, only, not)],
    }
}

/// Of several findings the worst one; the others would say the same again.
fn worst(findings: impl Iterator<Item = Finding>) -> Vec<Finding> {
    let rank = |f: &Finding| match f.outcome {
        Outcome::Missed => 3,
        Outcome::Unjudgeable => 2,
        Outcome::Inconclusive => 1,
        Outcome::Met => 0,
    };
    // The first of equals, so that the lowest level that misses is named.
    let mut out: Option<Finding> = None;
    for found in findings {
        if out.as_ref().is_none_or(|o| rank(&found) > rank(o)) {
            out = Some(found);
        }
    }
    out.into_iter().collect()
}

/// The level that serves most decides what the service can do.
fn best(findings: impl Iterator<Item = Finding>) -> Option<Finding> {
    let mut all: Vec<Finding> = findings.collect();
    let met = all.iter().position(Finding::is_met);
    let last = all.len().checked_sub(1)?;
    Some(all.swap_remove(met.unwrap_or(last)))
}

fn error_rate(expectation: &LoadExpectation, level: &Level, max: Share, at: &str) -> Finding {
    let counts = level.counts;
    let (n, lost) = (counts.scheduled, counts.scheduled - counts.ok.min(counts.scheduled));
    let rate = Share(counts.error_rate());
    let upper = upper_rate(lost, n);
    let bound = format!("{rate} of {n} requests failed{at} (at most {} at 95 %)", Share(upper));
    let mut found = if n == 0 {
        finding(expectation, Outcome::Unjudgeable, "no request was sent".into())
    } else if rate > max {
        finding(expectation, Outcome::Missed, format!("{bound}, {max} allowed"))
    } else {
        let clean = (3.0 / max.0.max(1e-9)).ceil();
        let thin = if upper > max.0 && lost == 0 { format!("; {clean:.0} clean requests would prove it") } else { String::new() };
        finding(expectation, Outcome::Met, format!("{bound}, {max} allowed{thin}"))
    };
    found.evidence = level.errors.iter().map(|(kind, n)| format!("{kind}: {n}")).collect();
    found
}

fn max_concurrency(expectation: &LoadExpectation, load: &LoadRecord, min: f64) -> Finding {
    let Some(found) = &load.found else {
        return finding(expectation, Outcome::Unjudgeable, "this shape looks for no maximum; use `ramp` or `search`".into());
    };
    let got = found.last_stable.unwrap_or(0.0);
    let unit = &load.unit;
    let mut why = format!("the service bears {} {unit}, {} asked", super::count(got), super::count(min));
    if let Some(unstable) = found.first_unstable {
        why.push_str(&format!("; not {}: {}", super::count(unstable), found.reason));
    }
    let outcome = if got >= min { Outcome::Met } else { Outcome::Missed };
    let mut out = finding(expectation, outcome, why);
    if !found.proven && got > 0.0 {
        out.evidence.push("called by the point rate: too few requests to prove the error limit at 95 %".into());
    }
    out
}

fn latency(expectation: &LoadExpectation, level: &Level, ceiling: &Ceiling, at: &str) -> Finding {
    let (name, stat) = (ceiling.metric.word(), ceiling.stat.word());
    let Some(dist) = ceiling.metric.of(&level.figures) else {
        return finding(expectation, Outcome::Unjudgeable, format!("no request{at} has a {name}"));
    };
    let value = ceiling.stat.of(dist);
    let limit = crate::units::show(ceiling.max);
    let over = value > ceiling.max.as_secs_f64() * 1e3;
    let sentence = format!("{name} {stat} {}{at} over {} requests, limit {limit}", show_ms(value), dist.n);
    let mut found = if over {
        finding(expectation, Outcome::Missed, sentence)
    } else if dist.n < ceiling.stat.needs() {
        finding(
            expectation,
            Outcome::Inconclusive,
            format!("{sentence}; {} requests are needed to say so of the {stat}", ceiling.stat.needs()),
        )
    } else {
        finding(expectation, Outcome::Met, sentence)
    };
    let places = [super::Stat::P50, super::Stat::P90, super::Stat::P95, super::Stat::P99];
    if let Some(i) = places.iter().position(|p| *p == ceiling.stat) {
        let [low, high] = dist.bounds[i];
        found.evidence.push(format!("95 % interval of the {stat}, failures aside: {} to {}", show_ms(low), show_ms(high)));
    }
    found.evidence.push(format!(
        "p50 {} · p95 {} · p99 {} · max {}",
        show_ms(dist.p50),
        show_ms(dist.p95),
        show_ms(dist.p99),
        show_ms(dist.max)
    ));
    found
}

fn known_variation(what: &str) -> Option<fn(&Level) -> Option<f64>> {
    match what {
        "e2e" => Some(|l| l.figures.variation_e2e),
        "ttft" => Some(|l| l.figures.variation_ttft),
        "qps" => Some(|l| l.figures.variation_qps),
        _ => None,
    }
}

fn variation(expectation: &LoadExpectation, what: &str, value: Option<f64>, max: Share, at: &str) -> Finding {
    match value {
        None => finding(expectation, Outcome::Inconclusive, format!("too few values to say how {what} varies{at}")),
        Some(value) => {
            let outcome = if value <= max.0 { Outcome::Met } else { Outcome::Missed };
            finding(expectation, outcome, format!("{what} varies by {}{at} (standard deviation ÷ mean), {max} allowed", Share(value)))
        }
    }
}

fn at_least(expectation: &LoadExpectation, what: &str, value: f64, min: f64, at: &str) -> Finding {
    let outcome = if value >= min { Outcome::Met } else { Outcome::Missed };
    finding(expectation, outcome, format!("{value:.2} {what}{at}, at least {} asked", super::count(min)))
}

fn no_leak(expectation: &LoadExpectation, load: &LoadRecord) -> Finding {
    if load.trends.is_empty() {
        return finding(
            expectation,
            Outcome::Inconclusive,
            "the load was too short to see a trend (24 intervals after the first fifth are needed)".into(),
        );
    }
    let leaks: Vec<&str> = load.trends.iter().filter(|t| t.leak).map(|t| t.why.as_str()).collect();
    let mut found = if leaks.is_empty() {
        let seen: Vec<&str> = load.trends.iter().map(|t| t.what.as_str()).collect();
        finding(expectation, Outcome::Met, format!("nothing creeps: {}", seen.join(", ")))
    } else {
        finding(expectation, Outcome::Missed, leaks.join("; "))
    };
    found.evidence = load.trends.iter().map(|t| t.why.clone()).collect();
    found
}

fn label(series: &Series) -> String {
    format!("{} ({})", series.name, series.from)
}

/// Series by name; `gpu_memory` also means `gpu_memory/0` and its like.
fn resource<'a>(load: &'a LoadRecord, name: &str) -> Option<Vec<&'a Series>> {
    let fits = |s: &&Series| s.name == name || s.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
    let found: Vec<&Series> = load.series.iter().filter(fits).filter(|s| !s.points.is_empty()).collect();
    (!found.is_empty()).then_some(found)
}

fn unknown(expectation: &LoadExpectation, load: &LoadRecord, name: &str) -> Finding {
    let names: Vec<&str> = load.series.iter().filter(|s| !s.points.is_empty()).map(|s| s.name.as_str()).collect();
    let has = if names.is_empty() { "no monitor gave any figure".to_owned() } else { format!("the monitors gave {}", names.join(", ")) };
    finding(expectation, Outcome::Unjudgeable, format!("there is no figure `{name}`: {has}"))
}

fn spread(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let mean = points.iter().map(|p| p.1).sum::<f64>() / n;
    if points.len() < 5 || mean.abs() < 1e-12 {
        return None;
    }
    let variance = points.iter().map(|p| (p.1 - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Some(variance.sqrt() / mean.abs())
}

fn bounded(expectation: &LoadExpectation, series: &Series, bound: &Bound) -> Finding {
    let values: Vec<f64> = series.points.iter().map(|p| p.1).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    let checks = [
        (bound.mean, mean, "mean", Range { min: None, max: bound.mean }),
        (bound.max, high, "highest", Range { min: None, max: bound.max }),
        (bound.min, low, "lowest", Range { min: bound.min, max: None }),
    ];
    let name = label(series);
    let broken = checks.iter().find(|(limit, value, _, range)| limit.is_some() && !range.holds(*value));
    let show = |v: f64| show_value(v, &series.unit);
    match broken {
        Some((limit, value, what, _)) => {
            finding(expectation, Outcome::Missed, format!("{name}: {what} {}, limit {}", show(*value), show(limit.unwrap_or_default())))
        }
        None => finding(expectation, Outcome::Met, format!("{name}: mean {}, from {} to {}", show(mean), show(low), show(high))),
    }
}

/// A value in its unit, for people.
pub fn show_value(value: f64, unit: &str) -> String {
    match unit {
        "share" => Share(value).to_string(),
        "bytes" if value >= 1073741824.0 => format!("{:.2} GiB", value / 1073741824.0),
        "bytes" => format!("{:.1} MiB", value / 1048576.0),
        "count" => super::count(value),
        unit => format!("{value:.2} {unit}"),
    }
}

fn first_error(expectation: &LoadExpectation, load: &LoadRecord, only: &[String], not: &[String]) -> Finding {
    let Some(first) = load.first_errors.first() else { return finding(expectation, Outcome::Met, "there was no error".into()) };
    let fine = (only.is_empty() || only.contains(&first.kind)) && !not.contains(&first.kind);
    let standing = format!("at {} {} after {:.0} s", super::count(first.level), load.unit, first.t_s);
    let mut found =
        finding(expectation, if fine { Outcome::Met } else { Outcome::Missed }, format!("the first error is {} {standing}", first.kind));
    found.evidence = load
        .first_errors
        .iter()
        .map(|f| format!("{:.1} s: {} at {} {}: {}", f.t_s, f.kind, super::count(f.level), load.unit, f.excerpt))
        .collect();
    if first.kind == SATURATED {
        found.evidence.push("raise `max_in_flight` to see what the service does".into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Metric, Stat};
    use crate::record::load::{Counts, Dist, Found, Health};
    use std::time::Duration;

    fn load(counts: Counts) -> LoadRecord {
        let mut level = Level { target: 8.0, counts, ..Level::default() };
        level.figures.e2e = Some(Dist { n: counts.ok, mean: 900.0, p95: 1500.0, p95_pen: Some(1500.0), ..Dist::default() });
        let health = Health { valid: true, ..Health::default() };
        LoadRecord { unit: "users".into(), levels: vec![level], health, ..LoadRecord::default() }
    }

    fn outcome(check: LoadCheck, load: &LoadRecord) -> Outcome {
        let shape = Shape::Constant { users: 8, spawn_rate: None, duration: None, requests: None };
        judge(&[LoadExpectation { name: "x".into(), line: 1, check }], load, &shape, &History::default(), "x")[0].outcome
    }

    #[test]
    fn errors_and_latencies_have_their_limits() {
        let clean = load(Counts { scheduled: 1000, ok: 1000, ..Counts::default() });
        let bad = load(Counts { scheduled: 1000, ok: 998, failed: 2, ..Counts::default() });
        let check = LoadCheck::ErrorRate { max: Share(0.001) };
        assert_eq!((outcome(check.clone(), &clean), outcome(check, &bad)), (Outcome::Met, Outcome::Missed));
        let ceiling = |ms| LoadCheck::Latency(vec![Ceiling { metric: Metric::E2e, stat: Stat::P95, max: Duration::from_millis(ms) }]);
        assert_eq!((outcome(ceiling(1500), &clean), outcome(ceiling(1499), &clean)), (Outcome::Met, Outcome::Missed));
        let few = load(Counts { scheduled: 20, ok: 20, ..Counts::default() });
        assert_eq!(outcome(ceiling(1500), &few), Outcome::Inconclusive);
    }

    #[test]
    fn an_invalid_run_proves_nothing() {
        let mut run = load(Counts { scheduled: 1000, ok: 1000, ..Counts::default() });
        run.health.valid = false;
        assert_eq!(outcome(LoadCheck::ErrorRate { max: Share(0.001) }, &run), Outcome::Unjudgeable);
    }

    #[test]
    fn a_missing_figure_is_not_a_pass() {
        let run = load(Counts { scheduled: 10, ok: 10, ..Counts::default() });
        assert_eq!(outcome(LoadCheck::Resources(vec![("gpu_memory".into(), Bound::default())]), &run), Outcome::Unjudgeable);
        assert_eq!(outcome(LoadCheck::NoLeak, &run), Outcome::Inconclusive);
        assert_eq!(outcome(LoadCheck::MaxConcurrency { min: 1.0 }, &run), Outcome::Unjudgeable);
    }

    #[test]
    fn ramps_are_judged_where_they_held() {
        let mut run = load(Counts { scheduled: 1000, ok: 1000, ..Counts::default() });
        run.levels[0].stable = Some(true);
        run.levels.push(Level {
            target: 16.0,
            stable: Some(false),
            counts: Counts { scheduled: 100, failed: 100, ..Counts::default() },
            ..Level::default()
        });
        run.found = Some(Found { last_stable: Some(8.0), first_unstable: Some(16.0), ..Found::default() });
        let shape = Shape::Ramp {
            of: super::super::Of::Users,
            from: 8.0,
            step: 8.0,
            every: Duration::from_secs(1),
            until: Default::default(),
            max: 64.0,
        };
        let check =
            |check| judge(&[LoadExpectation { name: "x".into(), line: 1, check }], &run, &shape, &History::default(), "x")[0].outcome;
        assert_eq!(check(LoadCheck::ErrorRate { max: Share(0.01) }), Outcome::Met);
        assert_eq!(check(LoadCheck::MaxConcurrency { min: 8.0 }), Outcome::Met);
        assert_eq!(check(LoadCheck::MaxConcurrency { min: 9.0 }), Outcome::Missed);
    }
}
