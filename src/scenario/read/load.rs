//! Makes typed loads of checked trees.

use super::expect::ceilings as past_ceilings;
use super::{Reader, count_of, duration_of, number_of};
use crate::diagnostic::Diagnostic;
use crate::load::judge::{Bound, LoadCheck, LoadExpectation};
use crate::load::schedule::{Arrivals, Leg};
use crate::load::{Abort, Ceiling, Metric, Objective, Of, Shape, Stat, Stop, Until};
use crate::scenario::params;
use crate::scenario::tree::Node;
use crate::scenario::vocabulary::SHAPES;
use crate::scenario::{Layer, Load, LoadInput, LoadSource, Monitor};
use crate::units::{self, Share};
use std::ops::Range;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn share_of(node: &Node) -> Option<Share> {
    units::share(node.text()?).ok()
}

fn rate_of(node: &Node) -> Option<f64> {
    units::rate(node.text()?).ok()
}

/// A share or a plain number.
fn either_of(node: &Node) -> Option<f64> {
    let text = node.text()?;
    if text.contains('%') { units::share(text).ok().map(|s| s.0) } else { units::number(text).ok() }
}

/// `0.5s..1s`, or `1s` for always the same.
fn durations(text: &str) -> Result<Range<Duration>, String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (units::duration(from)?, units::duration(to)?);
    if from > to { Err(format!("`{text}` is empty: its start is above its end")) } else { Ok(from..to) }
}

fn ceilings(node: &Node) -> Vec<Ceiling> {
    let mut out = Vec::new();
    for (key, inner) in node.entries().unwrap_or_default() {
        let Some(metric) = key.text().and_then(Metric::named) else { continue };
        out.extend(stats(metric, inner));
    }
    out
}

fn stats(metric: Metric, node: &Node) -> Vec<Ceiling> {
    let one = |stat: Stat| Some(Ceiling { metric, stat, max: duration_of(node.get(stat.word())?)? });
    Stat::ALL.into_iter().filter_map(one).collect()
}

fn error_rate(node: &Node) -> Option<Share> {
    share_of(node).or_else(|| share_of(node.get("max")?))
}

fn until(node: &Node) -> Until {
    Until { error_rate: node.get("error_rate").and_then(error_rate), ceilings: ceilings(node) }
}

impl Reader<'_> {
    pub(super) fn loads(&mut self, nodes: &[Node], file: &Node, found: &[Diagnostic]) -> Vec<Load> {
        let mut loads: Vec<Load> = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            let until = nodes.get(i + 1).map_or(u32::MAX, |n| n.place.line);
            if found.iter().any(|d| (node.place.line..until).contains(&d.place.line)) {
                continue;
            }
            let before = self.checker.found.len();
            let Some(load) = self.load(node, file, &loads) else {
                if self.checker.found.len() == before {
                    self.checker.error(node.place, "bad-load", "this load cannot be read");
                }
                continue;
            };
            if loads.iter().any(|l| l.name == load.name) {
                self.checker.error(load.place, "duplicate-case", format!("another load is named `{}`", load.name));
            }
            loads.push(load);
        }
        loads
    }

    fn load(&mut self, node: &Node, file: &Node, earlier: &[Load]) -> Option<Load> {
        let get = |key: &str| node.get(key).or_else(|| file.get(key));
        let name = node.get("name")?;
        let mut tags: Vec<String> = Vec::new();
        for from in [file.get("tags"), node.get("tags")] {
            tags.extend(from.and_then(Node::items).unwrap_or_default().iter().filter_map(Node::text).map(str::to_owned));
        }
        let count = |key: &str, default: u64| node.get(key).and_then(count_of).unwrap_or(default);
        let think_time = match node.get("think_time") {
            None => None,
            Some(told) => match durations(told.text().unwrap_or_default()) {
                Ok(range) => Some(range),
                Err(why) => {
                    self.checker.error(told.place, "bad-value", why);
                    None
                }
            },
        };
        for key in ["max_in_flight", "workers"] {
            if let Some(zero) = node.get(key).filter(|n| count_of(n) == Some(0)) {
                self.checker.error(zero.place, "bad-value", format!("`{key}: 0` sends nothing"));
            }
        }
        let shape = self.shape(node.get("shape")?, earlier)?;
        let objective = node.get("slo").map_or_else(Objective::default, |slo| Objective {
            ttft: slo.get("ttft").and_then(duration_of),
            tpot: slo.get("tpot").and_then(duration_of),
            e2e: slo.get("e2e").and_then(duration_of),
            share: slo.get("share").and_then(share_of),
        });
        let inputs = self.inputs(node);
        // A data set that cannot be read has been told already.
        let mix = node.get("mix").and_then(Node::items).unwrap_or_default();
        let has_rows = node.get("dataset").is_some() || mix.iter().any(|i| i.get("dataset").is_some());
        let endless = match &shape {
            Shape::Constant { duration, requests, .. } | Shape::Interval { duration, requests, .. } => {
                duration.is_none() && requests.is_none()
            }
            Shape::Rate { duration, requests, .. } | Shape::Rounds { duration, requests, .. } => duration.is_none() && requests.is_none(),
            _ => false,
        };
        if endless && !has_rows {
            let place = node.get("shape")?.place;
            self.checker.error(
                place,
                "no-end",
                "this load has no end: give it a `duration`, a number of `requests`, or a `dataset` to run through",
            );
        }
        let expect = self.load_expectations(node.get("expect")?, &shape, &objective);
        Some(Load {
            name: name.text()?.to_owned(),
            place: name.place,
            layer: get("layer").and_then(Node::text).and_then(Layer::named).unwrap_or(Layer::Scenario),
            tags,
            target: get("target").and_then(Node::text).unwrap_or("default").to_owned(),
            inputs,
            shape,
            think_time,
            warm_up: node.get("warm_up").and_then(duration_of).unwrap_or_default(),
            max_in_flight: count("max_in_flight", 4000),
            workers: count("workers", 1).clamp(1, 64),
            cold: node.get("prefix_cache").and_then(Node::text) != Some("warm"),
            objective,
            abort: node
                .get("abort_on")
                .map(|a| Abort { until: until(a), after: a.get("after").and_then(duration_of).unwrap_or(SECOND * 30) }),
            monitors: self.monitors(node.get("monitor")),
            stream: node.get("stream").and_then(Node::boolean),
            expect,
        })
    }

    fn shape(&mut self, node: &Node, earlier: &[Load]) -> Option<Shape> {
        let given: Vec<(&str, &Node)> = node.entries()?.iter().filter_map(|(k, v)| Some((k.text()?, v))).collect();
        let [(word, n)] = given.as_slice() else {
            let names: Vec<String> = SHAPES.iter().map(|k| format!("`{}`", k.name)).collect();
            self.checker.error(node.place, "bad-shape", format!("a load has exactly one shape, one of {}", names.join(", ")));
            return None;
        };
        let (duration, requests) = (n.get("duration").and_then(duration_of), n.get("requests").and_then(count_of));
        let spawn_rate = n.get("spawn_rate").and_then(rate_of);
        let of = if n.get("of").and_then(Node::text) == Some("rate") { Of::Rate } else { Of::Users };
        let number = |key: &str| n.get(key).and_then(number_of);
        let mut positive = |keys: &[&str]| {
            let mut fine = true;
            for key in keys {
                if let Some(bad) =
                    n.get(key).filter(|v| number_of(v).is_some_and(|v| v <= 0.0) || duration_of(v).is_some_and(|d| d.is_zero()))
                {
                    self.checker.error(bad.place, "bad-value", format!("`{key}` must be more than 0"));
                    fine = false;
                }
            }
            fine
        };
        let every = n.get("every").and_then(duration_of);
        let shape = match *word {
            "constant" => {
                if !positive(&["users", "requests", "duration", "interval"]) {
                    return None;
                }
                match (n.get("users").and_then(count_of), n.get("interval").and_then(duration_of)) {
                    (Some(users), None) => Shape::Constant { users, spawn_rate, duration, requests },
                    (None, Some(every)) => Shape::Interval { every, duration, requests },
                    _ => {
                        self.checker.error(n.place, "bad-shape", "`constant` takes `users` or an `interval`, one of the two");
                        return None;
                    }
                }
            }
            "rate" => {
                let arrivals =
                    if n.get("arrivals").and_then(Node::text) == Some("constant") { Arrivals::Constant } else { Arrivals::Poisson };
                if !positive(&["requests", "duration"]) {
                    return None;
                }
                Shape::Rate { rate: n.get("rate").and_then(rate_of)?, arrivals, duration, requests }
            }
            "trace" => Shape::Trace { at_s: self.trace(n)? },
            "stages" => {
                let steps = n.get("steps").and_then(Node::items).unwrap_or_default();
                let legs: Vec<Leg> =
                    steps.iter().filter_map(|s| Some(Leg { to: number_of(s.get("to")?)?, over: duration_of(s.get("over")?)? })).collect();
                if legs.iter().all(|l| l.to <= 0.0) || legs.iter().any(|l| l.to < 0.0) {
                    self.checker.error(n.place, "bad-value", "`stages` needs steps to levels above 0");
                    return None;
                }
                Shape::Stages { of, legs }
            }
            "ramp" => {
                if !positive(&["from", "step", "every", "max"]) {
                    return None;
                }
                let (from, max) = (number("from")?, number("max")?);
                if from > max {
                    self.checker.error(n.place, "bad-value", "`from` is above `max`");
                    return None;
                }
                let mut until = n.get("until").map(until).unwrap_or_default();
                if until.error_rate.is_none() && until.ceilings.is_empty() {
                    until.error_rate = Some(Share(0.01));
                }
                Shape::Ramp { of, from, step: number("step")?, every: every?, until, max }
            }
            "search" => {
                if !positive(&["from", "every", "max"]) {
                    return None;
                }
                let limit = n.get("error_rate").and_then(share_of).unwrap_or(Share(0.01));
                let from = number("from").unwrap_or(1.0);
                Shape::Search { of, from, max: number("max")?.max(from), every: every.unwrap_or(SECOND * 60), limit }
            }
            "soak" => {
                if !positive(&["level", "duration", "report_every"]) {
                    return None;
                }
                let of_load = n.get("of_load").and_then(Node::text).map(str::to_owned);
                let level = number("level");
                let named = of_load.as_ref().map(|name| earlier.iter().find(|l| l.name == *name));
                let of = match (&of_load, named.flatten()) {
                    (None, _) if level.is_none() => {
                        self.checker.error(
                            n.place,
                            "bad-shape",
                            "a `soak` needs a `level`, or a `share` of what another load finds (`of_load`)",
                        );
                        return None;
                    }
                    (Some(name), None) => {
                        let place = n.get("of_load").map_or(n.place, |n| n.place);
                        self.checker.error(place, "unknown-load", format!("no load before this one is named `{name}`"));
                        return None;
                    }
                    (Some(name), Some(load)) if !matches!(load.shape, Shape::Ramp { .. } | Shape::Search { .. }) => {
                        let place = n.get("of_load").map_or(n.place, |n| n.place);
                        self.checker.error(place, "unknown-load", format!("`{name}` finds no maximum; only `ramp` and `search` do"));
                        return None;
                    }
                    (_, Some(load)) => load.shape.of(),
                    (None, None) => of,
                };
                Shape::Soak {
                    share: n.get("share").and_then(share_of).unwrap_or(Share(0.8)),
                    of_load,
                    of,
                    level,
                    duration: duration?,
                    report_every: n.get("report_every").and_then(duration_of).unwrap_or(SECOND * 3600),
                }
            }
            "rounds" => {
                if !positive(&["users", "rounds", "requests", "duration"]) {
                    return None;
                }
                let stop = n.get("stop").map_or_else(Stop::default, |s| Stop {
                    first_token: s.get("first_token").and_then(duration_of),
                    round_latency: s.get("round_latency").and_then(duration_of),
                    success_rate: s.get("success_rate").and_then(share_of),
                });
                let count = |key: &str| n.get(key).and_then(count_of);
                Shape::Rounds {
                    users: count("users")?,
                    interval: count("interval")?,
                    rounds: count("rounds")?,
                    spawn_rate,
                    duration,
                    requests,
                    stop,
                }
            }
            _ => {
                if !positive(&["users", "requests"]) {
                    return None;
                }
                let tokens: Vec<u64> = n.get("tokens").and_then(Node::items)?.iter().filter_map(count_of).collect();
                if tokens.is_empty() || tokens.contains(&0) {
                    self.checker.error(n.place, "bad-value", "`tokens` needs lengths above 0, such as `[128, 256, 512]`");
                    return None;
                }
                Shape::Sweep { tokens, users: n.get("users").and_then(count_of).unwrap_or(1), requests: requests.unwrap_or(20) }
            }
        };
        Some(shape)
    }

    fn trace(&mut self, node: &Node) -> Option<Vec<f64>> {
        let file = node.get("file")?;
        let path = file.text()?.to_owned();
        let text = self.text_file(file, &path)?;
        let mut at_s = Vec::new();
        for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            match line.trim().parse::<f64>() {
                Ok(t) if t.is_finite() && t >= 0.0 => at_s.push(t),
                _ => {
                    self.checker.error(file.place, "bad-trace", format!("{path}:{}: `{}` is not a moment in seconds", i + 1, line.trim()));
                    return None;
                }
            }
        }
        if at_s.is_empty() {
            self.checker.error(file.place, "empty-dataset", format!("`{path}` holds no moment"));
            return None;
        }
        Some(at_s)
    }

    fn inputs(&mut self, node: &Node) -> Vec<LoadInput> {
        let sweep = node.get("shape").is_some_and(|s| s.get("sweep").is_some());
        let mix = node.get("mix").and_then(Node::items);
        let nodes: Vec<&Node> = mix.map_or_else(|| vec![node], |items| items.iter().collect());
        if mix.is_some() {
            // Told once here, not for each input that inherits them.
            node.get("params").into_iter().for_each(|shared| params::ranges(shared, &mut self.checker));
            if let Some(key) = ["prompt", "messages", "dataset", "random"].into_iter().find(|k| node.get(k).is_some()) {
                self.checker.error(node.place, "two-inputs", format!("`{key}` stands beside `mix`; put it into the mix"));
            }
            if nodes.is_empty() || nodes.iter().all(|n| n.get("weight").and_then(count_of) == Some(0)) {
                self.checker.error(node.place, "bad-value", "the `mix` sends nothing");
            }
        }
        nodes.into_iter().map(|input| self.load_input(input, node, mix.is_some(), sweep)).collect()
    }

    fn load_input(&mut self, input: &Node, load: &Node, in_mix: bool, sweep: bool) -> LoadInput {
        let given: Vec<&str> = ["prompt", "messages", "random"].into_iter().filter(|k| input.get(k).is_some()).collect();
        if given.len() > 1 {
            self.checker.error(
                input.place,
                "two-inputs",
                format!("a load takes one of `prompt`, `messages`, `random`, not {}", given.join(" and ")),
            );
        }
        let rows = input.get("dataset").and_then(|d| self.dataset(d));
        let source = match given.first() {
            Some(&"prompt") => LoadSource::Prompt(input.get("prompt").and_then(|n| self.text_or_file(n)).unwrap_or_default()),
            Some(&"messages") => {
                let messages = input.get("messages").and_then(Node::items).unwrap_or_default();
                LoadSource::Messages(messages.iter().map(|m| self.message(m)).collect())
            }
            Some(_) => {
                let random = input.get("random");
                let count = |key: &str, default: u64| random.and_then(|r| r.get(key)).and_then(count_of).unwrap_or(default);
                let (tokens, shared, prompts) = (count("tokens", 0), count("shared_prefix", 0), count("prompts", 64));
                if tokens == 0 || prompts == 0 || shared > tokens || tokens > 2_000_000 {
                    self.checker.error(
                        input.place,
                        "bad-value",
                        "`random` needs `tokens` from 1 to 2 million, `shared_prefix` within them, and at least one of `prompts`",
                    );
                }
                LoadSource::Random { tokens, shared, prompts: prompts.max(1) }
            }
            None if sweep => LoadSource::Prompt(String::new()),
            None => {
                if input.get("dataset").is_none() {
                    self.checker.error(
                        input.place,
                        "no-input",
                        "the load sends nothing: give it a `prompt`, `messages`, a `dataset`, `random` or a `mix`",
                    );
                }
                LoadSource::FromRow
            }
        };
        let (mutate, mutate_count) = self.mutations(input.get("mutate"));
        let own = |key: &str| input.get(key).or_else(|| load.get(key).filter(|_| in_mix));
        let of_load = |key: &str| load.get(key).filter(|_| in_mix);
        let params = params::read(of_load("params"), input.get("params"), &mut self.checker);
        LoadInput {
            name: input.get("name").filter(|_| in_mix).and_then(Node::text).map(str::to_owned),
            weight: input.get("weight").and_then(count_of).unwrap_or(1),
            source,
            rows,
            system: own("system").and_then(|n| self.text_or_file(n)),
            params,
            vars: params::merged(of_load("vars"), input.get("vars")),
            timeout: own("timeout").and_then(duration_of),
            mutate,
            mutate_count,
            accept: input
                .get("accept")
                .and_then(Node::items)
                .unwrap_or_default()
                .iter()
                .filter_map(count_of)
                .filter_map(|n| u16::try_from(n).ok())
                .collect(),
        }
    }

    fn monitors(&mut self, node: Option<&Node>) -> Vec<Monitor> {
        let mut out = Vec::new();
        for item in node.and_then(Node::items).unwrap_or_default() {
            match item.text() {
                Some("host") => out.push(Monitor::Host),
                Some("nvidia_smi") => out.push(Monitor::NvidiaSmi),
                Some("target") => out.push(Monitor::Target),
                _ => {
                    if let Some(url) = item.get("prometheus") {
                        let address = url.text().unwrap_or_default();
                        if !address.starts_with("http://") && !address.starts_with("https://") {
                            self.checker.error(url.place, "bad-url", format!("`{address}` is not an http or https address"));
                        }
                        out.push(Monitor::Prometheus(address.to_owned()));
                    }
                    out.extend(item.get("pid").and_then(count_of).map(Monitor::Pid));
                }
            }
        }
        out
    }

    fn load_expectations(&mut self, node: &Node, shape: &Shape, objective: &Objective) -> Vec<LoadExpectation> {
        let mut out = Vec::new();
        for item in node.items().unwrap_or_default() {
            if item.text() == Some("no_leak") {
                out.push(LoadExpectation { name: "no_leak".into(), line: item.place.line, check: LoadCheck::NoLeak });
                continue;
            }
            let entries = item.entries().unwrap_or_default();
            let [(key, value)] = entries else {
                self.checker.error(item.place, "two-expectations", "one expectation a dash: write each with a dash of its own");
                continue;
            };
            let name = key.text().unwrap_or_default().to_owned();
            let check = match name.as_str() {
                "error_rate" => error_rate(value).map(|max| LoadCheck::ErrorRate { max }),
                "max_concurrency" => {
                    if !matches!(shape, Shape::Ramp { .. } | Shape::Search { .. }) {
                        self.checker.error(key.place, "pointless", "only `ramp` and `search` find a maximum");
                    }
                    value.get("min").and_then(number_of).map(|min| LoadCheck::MaxConcurrency { min })
                }
                "variation" => {
                    let limits = value.entries().unwrap_or_default().iter().filter_map(|(k, v)| Some((k.text()?.to_owned(), share_of(v)?)));
                    Some(LoadCheck::Variation(limits.collect()))
                }
                "throughput" => Some(LoadCheck::Throughput {
                    tokens: value.get("tokens").and_then(number_of),
                    requests: value.get("requests").and_then(number_of),
                }),
                "goodput" => {
                    if objective.is_none() {
                        self.checker.error(key.place, "no-objective", "goodput needs an objective: give the load an `slo`");
                    }
                    Some(LoadCheck::Goodput { min: value.get("min").and_then(number_of), share: value.get("share").and_then(share_of) })
                }
                "no_leak" => match value.boolean() {
                    Some(true) => Some(LoadCheck::NoLeak),
                    _ => {
                        self.checker.error(value.place, "bad-value", "`no_leak` is either expected or left out");
                        None
                    }
                },
                "resources" => {
                    let bounds = value.entries().unwrap_or_default().iter().filter_map(|(k, v)| {
                        let get = |key: &str| v.get(key).and_then(either_of);
                        Some((k.text()?.to_owned(), Bound { mean: get("mean"), max: get("max"), min: get("min") }))
                    });
                    Some(LoadCheck::Resources(bounds.collect()))
                }
                "first_error" => {
                    let list = |key: &str| {
                        value.get(key).and_then(Node::items).unwrap_or_default().iter().filter_map(Node::text).map(str::to_owned).collect()
                    };
                    Some(LoadCheck::FirstError { only: list("only"), not: list("not") })
                }
                metric => {
                    let metric = Metric::named(metric);
                    let ceilings = past_ceilings(value, &mut self.checker);
                    let kept = matches!(metric, Some(Metric::Ttft | Metric::Tpot | Metric::E2e));
                    if let (Some(metric), false) = (metric, ceilings.is_empty()) {
                        if kept {
                            let check = LoadCheck::History(ceilings.into_iter().map(|c| (metric, c)).collect());
                            out.push(LoadExpectation { name: name.clone(), line: item.place.line, check });
                        } else {
                            self.checker.error(value.place, "no-history", format!("history is kept of ttft, tpot and e2e, not of {name}"));
                        }
                        if stats(metric, value).is_empty() {
                            continue;
                        }
                    }
                    metric.map(|m| LoadCheck::Latency(stats(m, value)))
                }
            };
            let vacuous = match &check {
                Some(LoadCheck::Latency(c)) => c.is_empty(),
                Some(LoadCheck::Variation(v)) => v.is_empty(),
                Some(LoadCheck::Resources(v)) => v.is_empty() || v.iter().any(|(_, b)| *b == Bound::default()),
                Some(LoadCheck::Throughput { tokens: None, requests: None } | LoadCheck::Goodput { min: None, share: None }) => true,
                Some(LoadCheck::FirstError { only, not }) => only.is_empty() && not.is_empty(),
                _ => false,
            };
            if vacuous {
                self.checker.error(value.place, "vacuous", format!("`{name}` without a limit would always hold"));
                continue;
            }
            out.extend(check.map(|check| LoadExpectation { name, line: item.place.line, check }));
        }
        if out.is_empty() && node.items().is_some_and(<[Node]>::is_empty) {
            self.checker.error(node.place, "no-expectation", "`expect` is empty, so the load would pass whatever the service does");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_durations() {
        assert_eq!(durations("0.5s..1s"), Ok(Duration::from_millis(500)..SECOND));
        assert_eq!(durations("1s"), Ok(SECOND..SECOND));
        assert!(durations("2s..1s").is_err() && durations("1..2").is_err());
    }
}
