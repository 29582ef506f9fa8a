//! A load made of flags: written as a scenario and read by the same reader, so that both know the same words and mistakes.

use crate::cli::args::LoadArgs;
use crate::diagnostic::{Diagnostic, Source};
use crate::units;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

/// Name of the source in messages.
const NAME: &str = "command-line.yaml";

/// True when any flag of the group is given.
pub(super) fn asked(args: &LoadArgs) -> bool {
    args.users.is_some()
        || args.rate.is_some()
        || args.interval.is_some()
        || args.search.is_some()
        || args.ramp.is_some()
        || args.prompt.is_some()
        || args.data.is_some()
        || args.random_tokens.is_some()
        || !args.sweep.is_empty()
}

fn bad(message: impl Into<String>) -> Vec<Diagnostic> {
    vec![Diagnostic::error("bad-flag", message)]
}

/// `0.5`, `"text"`, `[…]` or plain text.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

/// The scenario that the flags mean. The data set's folder is where the working directory is.
pub(super) fn scenario(args: &LoadArgs) -> Result<Arc<Source>, Vec<Diagnostic>> {
    let mut load = Map::new();
    load.insert("name".into(), json!("load"));
    let mut params = Map::new();
    if let Some(text) = &args.hyperparameters {
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => params.extend(map),
            _ => return Err(bad(format!("`--hyperparameters {text}` is not a JSON object such as '{{\"temperature\": 0.3}}'"))),
        }
    }
    for told in &args.params {
        let (name, text) =
            told.split_once('=').ok_or_else(|| bad(format!("`--param {told}` has no `=`; write it like temperature=0.3")))?;
        params.insert(name.to_owned(), value(text));
    }
    if !params.is_empty() {
        load.insert("params".into(), json!(params));
    }
    if let Some(prompt) = &args.prompt {
        load.insert("prompt".into(), json!(prompt));
    }
    if let Some(file) = &args.data {
        load.insert("dataset".into(), json!(file.to_string_lossy()));
    }
    if let Some(tokens) = args.random_tokens {
        load.insert("random".into(), json!({"tokens": tokens, "shared_prefix": args.shared_prefix.unwrap_or(0)}));
    }
    let inputs = [args.prompt.is_some(), args.random_tokens.is_some()].into_iter().filter(|g| *g).count();
    if inputs == 0 && args.data.is_none() && args.sweep.is_empty() {
        load.insert("random".into(), json!({"tokens": 64}));
    }
    load.insert("shape".into(), shape(args)?);
    for (key, told) in
        [("think_time", &args.think_time), ("warm_up", &args.warm_up), ("prefix_cache", &args.prefix_cache), ("timeout", &args.timeout)]
    {
        if let Some(told) = told {
            load.insert(key.into(), json!(told));
        }
    }
    for (key, told) in [("workers", args.workers), ("max_in_flight", args.max_in_flight)] {
        if let Some(told) = told {
            load.insert(key.into(), json!(told));
        }
    }
    let monitors: Vec<Value> = args
        .monitor
        .iter()
        .map(|m| match m.strip_prefix("pid:") {
            Some(pid) => json!({"pid": value(pid)}),
            None if m.starts_with("http") => json!({"prometheus": m}),
            None => json!(m),
        })
        .collect();
    if !monitors.is_empty() {
        load.insert("monitor".into(), json!(monitors));
    }
    load.insert("expect".into(), json!([{"error_rate": args.max_error_rate}]));
    let text = serde_json::to_string_pretty(&json!({"scenario": "load", "loads": [load]})).unwrap_or_default();
    Ok(Arc::new(Source { name: NAME.into(), text }))
}

/// How long, in Qianfan's words: `0s` is no limit.
fn runtime(args: &LoadArgs) -> Result<Option<String>, Vec<Diagnostic>> {
    let Some(told) = &args.runtime else { return Ok(None) };
    match units::duration(told) {
        Ok(d) if d.is_zero() => Ok(None),
        Ok(_) => Ok(Some(told.clone())),
        Err(why) => Err(bad(format!("--runtime: {why}"))),
    }
}

fn shape(args: &LoadArgs) -> Result<Value, Vec<Diagnostic>> {
    let mut ends = Map::new();
    if let Some(told) = runtime(args)? {
        ends.insert("duration".into(), json!(told));
    }
    if let Some(n) = args.requests {
        ends.insert("requests".into(), json!(n));
    }
    if let Some(rate) = args.spawn_rate {
        ends.insert("spawn_rate".into(), json!(format!("{rate}/s")));
    }
    let every = args.every.clone().unwrap_or_else(|| "60s".into());
    let users = args.users.unwrap_or(1);
    let kinds = [
        args.rate.is_some(),
        args.interval.is_some(),
        args.search.is_some(),
        args.ramp.is_some(),
        !args.sweep.is_empty(),
        args.rounds.is_some(),
    ];
    if kinds.into_iter().filter(|k| *k).count() > 1 {
        return Err(bad("one of --rate, --interval, --search, --ramp, --sweep, --rounds, not several"));
    }
    if args.users.is_some() && (args.rate.is_some() || args.interval.is_some() || args.ramp.is_some() || args.search.is_some()) {
        return Err(bad(
            "--users goes with --runtime, --requests, --sweep and --rounds; --rate, --interval, --ramp and --search say themselves how much load there is",
        ));
    }
    if args.runtime.is_some() && (args.ramp.is_some() || args.search.is_some() || !args.sweep.is_empty()) {
        return Err(bad(
            "--runtime goes with a constant load; --ramp and --search end by themselves, each level after --every, and --sweep after its requests",
        ));
    }
    let with = |name: &str, mut own: Map<String, Value>, ends: Map<String, Value>| {
        own.extend(ends);
        json!({name: own})
    };
    let map = |pairs: &[(&str, Value)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect::<Map<_, _>>();
    if let Some(rate) = &args.rate {
        ends.remove("spawn_rate");
        let rate = if rate.contains('/') { rate.clone() } else { format!("{rate}/s") };
        let mut own = map(&[("rate", json!(rate))]);
        own.extend(args.arrivals.as_ref().map(|kind| ("arrivals".to_owned(), json!(kind))));
        return Ok(with("rate", own, ends));
    }
    if let Some(interval) = &args.interval {
        ends.remove("spawn_rate");
        return Ok(with("constant", map(&[("interval", json!(interval))]), ends));
    }
    if let Some(max) = args.search {
        return Ok(json!({"search": {"max": max, "every": every}}));
    }
    if let Some(told) = &args.ramp {
        let parts = told.split_once("..").and_then(|(from, rest)| Some((from, rest.split_once('/')?)));
        let Some((from, (max, step))) = parts else {
            return Err(bad(format!("`--ramp {told}` is not a ramp such as 10..100/10")));
        };
        return Ok(json!({"ramp": {"from": value(from), "max": value(max), "step": value(step), "every": every}}));
    }
    if !args.sweep.is_empty() {
        return Ok(json!({"sweep": {"tokens": args.sweep, "users": users, "requests": args.requests.unwrap_or(20)}}));
    }
    if let Some(rounds) = args.rounds {
        let mut stop = Map::new();
        for (key, told) in [("first_token", args.first_latency_threshold), ("round_latency", args.round_latency_threshold)] {
            if let Some(s) = told {
                stop.insert(key.into(), json!(format!("{s}s")));
            }
        }
        if let Some(percent) = args.success_rate_threshold {
            stop.insert("success_rate".into(), json!(format!("{percent}%")));
        }
        let own = map(&[
            ("users", json!(users)),
            ("interval", json!(args.round_interval.unwrap_or(0))),
            ("rounds", json!(rounds)),
            ("stop", Value::Object(stop)),
        ]);
        return Ok(with("rounds", own, ends));
    }
    if ends.keys().all(|k| k == "spawn_rate") && args.data.is_none() {
        // A quick look ends by itself.
        ends.insert("duration".into(), json!("30s"));
    }
    Ok(with("constant", map(&[("users", json!(users))]), ends))
}

/// Reads the data set that a flag names, from wherever it lies.
pub(super) struct FromHere;

impl crate::scenario::Files for FromHere {
    fn read(&self, _: &str, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(Path::new(path)).map_err(|e| format!("`{path}` cannot be read: {e}"))
    }
}
