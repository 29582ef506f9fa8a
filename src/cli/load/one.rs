//! One load from its first request to its verdict.

use super::Shared;
use super::live::Live;
use crate::clock::Clock;
use crate::drive::{Ask, Outcome, Terms, Told, feed};
use crate::event::Event;
use crate::exchange::Exchange;
use crate::expect::past::History;
use crate::load::errors::suggestions;
use crate::load::histogram::Histogram;
use crate::load::{Price, Shape, judge, soak};
use crate::monitor::Watch;
use crate::monitor::health::{self, Probe};
use crate::plan::PlannedLoad;
use crate::record::load::{Health, LoadRecord};
use crate::record::{Attempt, CaseRecord, Verdict};
use crate::target::{Lane, Request, Service};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// How a load came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    ByItself,
    Interrupted,
    Terminated,
}

/// Seconds between two entries of progress in the journal.
const PROGRESS_S: f64 = 10.0;

fn blank(load: &PlannedLoad) -> CaseRecord {
    CaseRecord {
        id: load.id.clone(),
        scenario: load.scenario.clone(),
        name: load.name.clone(),
        file: load.file.clone(),
        line: load.line,
        layer: load.layer.word().to_owned(),
        tags: load.tags.clone(),
        target: load.target.clone(),
        fingerprint: load.fingerprint.clone(),
        verdict: Verdict::Error,
        why: String::new(),
        skipped: None,
        attempts: Vec::new(),
        rate: None,
        load: None,
        took: Duration::ZERO,
        reproduce: match load.file.as_str() {
            "command-line.yaml" => String::new(),
            file => format!("roadworthy load {file} -k '{}'", load.name.replace('\'', "'\\''")),
        },
    }
}

/// Runs a load. `maxima` are what earlier loads of this run found, by name.
pub(super) fn run(
    shared: &Shared<'_>,
    load: &PlannedLoad,
    service: &Arc<Service>,
    maxima: &BTreeMap<String, f64>,
    history: &History,
) -> (CaseRecord, Ended) {
    let began = Instant::now();
    let mut record = blank(load);
    let start = Event::CaseStarted { id: load.id.clone(), position: 0 };
    shared.journal.write(&start);
    let soak_level = match &load.shape {
        Shape::Soak { of_load: Some(name), level, .. } => match maxima.get(name) {
            Some(found) => Some(*found),
            None if level.is_some() => None,
            None => {
                record.why = format!(
                    "`{name}` has found no maximum in this run, so there is nothing to take a share of; run both, or give a `level`"
                );
                return (record, Ended::ByItself);
            }
        },
        _ => None,
    };
    let live = Live::start(&load.id, shared.args.quiet, load.shape.of().unit());
    live.say(&format!("{}: {}", load.id, load.shape.says()));
    // A signal is heard here, too: once the runtime has listened for one, the system no longer ends the process.
    let prepared = shared.runtime.block_on(async {
        tokio::select! {
            prepared = first_request(load, service) => Ok(prepared),
            how = signal() => Err(how),
        }
    });
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(how) => {
            live.end();
            record.why = "interrupted before it began".into();
            record.took = began.elapsed();
            return (record, how);
        }
    };
    let first = match prepared {
        Ok(first) => first,
        Err(why) => {
            live.end();
            record.why = why;
            record.took = began.elapsed();
            return (record, Ended::ByItself);
        }
    };
    let (outcome, watch, probe, ended) = drive(shared, load, service, soak_level, live);
    let mut out = assemble(load, outcome, watch, &probe, &first);
    if ended != Ended::ByItself {
        out.notes.insert(0, "interrupted: these are the figures up to then".into());
    }
    judged(&mut record, load, out, ended, history);
    record.took = began.elapsed();
    (record, ended)
}

/// Waits for the service and asks it once, so that a wrong key or a wrong model is told before a thousand requests fail alike.
async fn first_request(load: &PlannedLoad, service: &Service) -> Result<Exchange, String> {
    let tell = |why: String| {
        crate::cli::output::talk(&service.redactor.clean(&format!("waiting for target `{}`: {why}", service.target.name)));
    };
    crate::target::wait_until_ready(service, tell)
        .await
        .map_err(|why| format!("the service is not ready: {why}; the address comes from {}", service.target.origin))?;
    let input = load.inputs.first().and_then(|i| i.first()).ok_or("the load has no input")?;
    let prompt = input.requests.first().ok_or("the load has no input")?;
    let request = Request {
        accept: &[],
        messages: &prompt.messages,
        params: &prompt.params,
        stream: load.stream.unwrap_or(service.target.stream),
        total: input.timeout.unwrap_or(service.target.timeouts.total),
    };
    let exchange = service.ask(&request, 0.5, &|_| true).await;
    match &exchange.failure {
        Some(failure) => Err(format!("the first request failed, and the load was not started: {}", failure.message)),
        None => Ok(exchange),
    }
}

fn drive(
    shared: &Shared<'_>,
    load: &PlannedLoad,
    service: &Arc<Service>,
    soak_level: Option<f64>,
    mut live: Live,
) -> (Result<Outcome, String>, Watch, Arc<Probe>, Ended) {
    let probe = Arc::new(Probe::default());
    let (told, mut heard) = mpsc::unbounded_channel();
    let (stop_sent, stop) = oneshot::channel::<watch::Sender<bool>>();
    let ask = ask(shared, load, service, soak_level, &probe);
    let mut watching = Watch::new(&load.monitors, service.metrics_url().as_deref());
    // Counters begin before the first request, so that their increase is that of the load.
    shared.runtime.block_on(watching.beat(service, 0.0));
    let begin = Instant::now();
    let thread = spawn(load.workers, service.clone(), ask, probe.clone(), told, stop_sent);
    let (watch, ended) = shared.runtime.block_on(async {
        let mut watch = watching;
        let mut ended = Ended::ByItself;
        let stop = stop.await.ok();
        let mut beats = tokio::time::interval_at(tokio::time::Instant::now() + Duration::from_secs(1), Duration::from_secs(1));
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut signals = std::pin::pin!(signal());
        let mut progress: Vec<crate::record::load::Tick> = Vec::new();
        let (mut progress_s, mut progress_t) = (0.0, None);
        loop {
            tokio::select! {
                biased;
                how = &mut signals, if ended == Ended::ByItself => {
                    ended = how;
                    live.say("stopping: what is in flight may finish; a second signal ends at once");
                    if let Some(stop) = &stop {
                        let _ = stop.send(true);
                    }
                    tokio::spawn(async {
                        let how = signal().await;
                        std::process::exit(if how == Ended::Interrupted { 130 } else { 143 });
                    });
                }
                told = heard.recv() => match told {
                    None => break,
                    Some(Told::Level { target }) => live.level(target),
                    Some(Told::Second(beat)) => {
                        live.beat(&beat, &watch.series);
                        // After an hour a moment of the series is longer than a second, and is told once.
                        if progress_t.replace(beat.tick.t_s) != Some(beat.tick.t_s) {
                            progress.push(beat.tick);
                        }
                        if beat.t_s - progress_s >= PROGRESS_S {
                            progress_s = beat.t_s;
                            shared.journal.write(&Event::LoadProgress { id: load.id.clone(), ticks: std::mem::take(&mut progress) });
                        }
                    }
                    Some(Told::Period(level)) => {
                        live.finished(&level);
                        shared.journal.write(&Event::LoadPeriod { id: load.id.clone(), level });
                    }
                    Some(Told::Finished(level)) => {
                        live.finished(&level);
                        shared.journal.write(&Event::LoadLevel { id: load.id.clone(), level });
                    }
                    Some(Told::Interval { at_s, length_s, values }) => {
                        if let Some(log) = shared.hdr_log.lock().expect("no panic under this lock").as_mut()
                            && let Err(why) = log.write(at_s, length_s, &values)
                        {
                            live.say(&format!("error: the interval log is incomplete: {why}"));
                        }
                    }
                },
                _ = beats.tick() => {
                    probe.sample();
                    watch.beat(service, begin.elapsed().as_secs_f64()).await;
                }
            }
        }
        // A last look, so that counters hold the last answers, too.
        tokio::time::sleep(Duration::from_millis(300)).await;
        watch.beat(service, begin.elapsed().as_secs_f64()).await;
        (watch, ended)
    });
    live.end();
    let outcome = thread.join().unwrap_or_else(|_| Err("the engine of the load broke down".into()));
    (outcome, watch, probe, ended)
}

async fn signal() -> Ended {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            return tokio::select! {
                _ = interrupt.recv() => Ended::Interrupted,
                _ = terminate.recv() => Ended::Terminated,
            };
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_ok() {
        return Ended::Interrupted;
    }
    std::future::pending().await
}

fn ask(shared: &Shared<'_>, load: &PlannedLoad, service: &Service, soak_level: Option<f64>, probe: &Arc<Probe>) -> Ask {
    let stream = load.stream.unwrap_or(service.target.stream);
    let model = service.model.get().and_then(Option::as_deref);
    // Two runs must not share their nonces, or the second would find the first one's cache.
    let run = crate::units::fnv(format!("{:?}{}", std::time::SystemTime::now(), std::process::id()).bytes());
    let feeds = load.inputs.iter().enumerate().map(|(i, inputs)| {
        let item = |input| {
            let timeout = service.target.timeouts.total;
            feed::item(input, service.target.api, model, stream, stream && service.tells_usage(), load.cold, timeout)
        };
        feed::Feed::new(inputs.iter().map(item).collect(), run.wrapping_add(i as u64))
    });
    let report_every = match &load.shape {
        Shape::Soak { report_every, .. } => Some(*report_every),
        _ => None,
    };
    let cool_down = match &load.shape {
        Shape::Ramp { every, .. } | Shape::Search { every, .. } => (*every / 10).min(Duration::from_secs(10)),
        _ => Duration::ZERO,
    };
    // Each request in flight holds a connection.
    let (_, open, limit) = health::own();
    let probe = probe.clone();
    Ask {
        shape: load.shape.clone(),
        objective: load.objective.clone(),
        price: service.target.price.as_ref().map(|p| Price { input: p.input, output: p.output }),
        terms: Terms {
            think_time: load.think_time.clone(),
            warm_up: load.warm_up,
            max_in_flight: load.max_in_flight.min(limit.saturating_sub(open + 32)).max(1),
            seed: shared.args.seed,
            report_every,
        },
        abort: load.abort.clone(),
        cool_down,
        soak_level,
        feeds: feeds.collect(),
        intervals: shared.args.hdr_log.is_some(),
        problem: Box::new(move || probe.problem()),
    }
}

/// Runs the engine on threads of its own, so that nothing else stands between a socket and its clock.
fn spawn(
    workers: u64,
    service: Arc<Service>,
    ask: Ask,
    probe: Arc<Probe>,
    told: mpsc::UnboundedSender<Told>,
    stop: oneshot::Sender<watch::Sender<bool>>,
) -> std::thread::JoinHandle<Result<Outcome, String>> {
    std::thread::spawn(move || {
        let mut builder = if workers > 1 {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(workers as usize);
            let probe = probe.clone();
            builder.on_thread_start(move || probe.join());
            builder
        } else {
            probe.join();
            tokio::runtime::Builder::new_current_thread()
        };
        let runtime = builder.enable_all().build().map_err(|e| format!("the engine's runtime cannot start: {e}"))?;
        let engine = async move {
            let route = Arc::new(service.route().await?);
            let make = move || Lane::new(route.clone());
            let hand_over = |sender| {
                let _ = stop.send(sender);
            };
            let tell = move |what| {
                let _ = told.send(what);
            };
            Ok(crate::drive::run(ask, Clock::real(), make, hand_over, tell).await)
        };
        if workers > 1 {
            runtime.block_on(async { runtime.spawn(engine).await.unwrap_or_else(|e| Err(e.to_string())) })
        } else {
            runtime.block_on(engine)
        }
    })
}

/// Puts the evidence together and looks for what a reader should know about it.
fn assemble(load: &PlannedLoad, outcome: Result<Outcome, String>, mut watch: Watch, probe: &Probe, first: &Exchange) -> LoadRecord {
    let mut out = LoadRecord {
        shape: load.shape.says(),
        unit: load.shape.of().unit().to_owned(),
        prefix_cache: if load.cold { "cold".into() } else { "warm".into() },
        ..LoadRecord::default()
    };
    let mut outcome = match outcome {
        Ok(outcome) => outcome,
        Err(why) => {
            out.health.problems.push(why);
            return out;
        }
    };
    let end_s = outcome.levels.last().map_or(0.0, |l| l.ended_s);
    out.server = watch.finish(end_s);
    out.notes = std::mem::take(&mut watch.notes);
    out.series = watch.series;
    out.levels = outcome.levels;
    out.periods = outcome.periods;
    out.found = outcome.found;
    out.ticks = outcome.ticks;
    out.tick_s = outcome.tick_s;
    out.first_errors = outcome.first_errors;
    out.suggests = suggestions(&out.first_errors, &out.series, outcome.requests);
    if let (Shape::Soak { .. }, Some(level)) = (&load.shape, out.levels.last()) {
        out.trends = soak::trends(&out.ticks, &out.series, level.started_s, level.ended_s);
    }
    if let Some(why) = outcome.stopped {
        out.notes.push(why);
    }
    out.settings = settings(load, first);
    out.health = client_health((&mut outcome.lag, &mut outcome.wake), probe, load, &out);
    (out.health.connections_opened, out.health.connections_reused, out.health.resent) = (outcome.opened, outcome.reused, outcome.resent);
    crate::load::notes::add(&mut out);
    out
}

fn settings(load: &PlannedLoad, first: &Exchange) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    out.insert("workers".into(), load.workers.to_string());
    if let Shape::Constant { users, spawn_rate, .. } | Shape::Rounds { users, spawn_rate, .. } = &load.shape {
        out.insert("spawn_rate".into(), spawn_rate.unwrap_or(*users as f64).to_string());
    }
    let params =
        load.inputs.first().and_then(|i| i.first()).and_then(|i| i.requests.first()).map(|r| serde_json::json!(r.params).to_string());
    out.insert("params".into(), params.unwrap_or_default());
    out.insert("api".into(), if first.url.ends_with("chat/completions") { "chat".into() } else { "completions".into() });
    out
}

fn client_health((lag, wake): (&mut Histogram, &mut Histogram), probe: &Probe, load: &PlannedLoad, out: &LoadRecord) -> Health {
    let ms = |v: Option<f64>| v.unwrap_or(0.0) / 1e3;
    let (cpu_max, cpu_mean) = probe.busy();
    let (memory_bytes, open_files, limit) = health::own();
    let mut health = Health {
        lag_p50: ms(lag.quantile(0.5, 0)),
        lag_p99: ms(lag.quantile(0.99, 0)),
        lag_max: ms(lag.quantile(1.0, 0)),
        stamp_lag_p50: ms(wake.quantile(0.5, 0)),
        stamp_lag_p99: ms(wake.quantile(0.99, 0)),
        cpu_max,
        cpu_mean,
        workers: load.workers,
        memory_bytes,
        open_files,
        retransmits: health::retransmits(),
        ..Health::default()
    };
    let ttft = out.levels.iter().filter_map(|l| l.figures.ttft.as_ref()).map(|d| d.p50).reduce(f64::min).unwrap_or(0.0);
    let allowed = f64::max(2.0, ttft * 0.02);
    if health.lag_p99 > allowed {
        health
            .problems
            .push(format!("requests were taken up late: p99 {:.1} ms after their time, {allowed:.1} ms allowed", health.lag_p99));
    }
    // Of several levels each was judged by how busy the client was then; the one that is told as borne was.
    if !out.levels.iter().any(|level| level.stable == Some(true)) {
        health.problems.extend(probe.worst_problem());
    }
    if open_files + 64 > limit {
        health.problems.push(format!("{open_files} files are open, and the limit is {limit}; raise it with `ulimit -n`"));
    }
    if matches!(load.shape.of(), crate::load::Of::Users) && out.first_errors.iter().any(|e| e.kind == crate::load::errors::SATURATED) {
        health.problems.push("this process may open no more files, and each user needs one; raise the limit with `ulimit -n`".into());
    }
    let lost = out.levels.iter().filter(|l| !l.counts.balances()).count();
    if lost > 0 {
        health.problems.push(format!("the accounts of {lost} levels do not balance; this is a fault of roadworthy"));
    }
    if matches!(load.shape.of(), crate::load::Of::Rate) && !matches!(load.shape, Shape::Search { .. } | Shape::Ramp { .. }) {
        let least = out.levels.iter().map(|l| l.figures.achieved).fold(1.0, f64::min);
        if least < 0.98 {
            health.problems.push(format!(
                "only {:.1} % of the scheduled requests were sent, because `max_in_flight` was reached: the service or the cap was too small",
                least * 100.0
            ));
        }
    }
    health.valid = health.problems.is_empty();
    health
}

fn judged(record: &mut CaseRecord, load: &PlannedLoad, out: LoadRecord, ended: Ended, history: &History) {
    let mut findings = judge::judge(&load.expect, &out, &load.shape, history, &load.id);
    if let Some(why) = out.notes.iter().find(|n| n.starts_with("ended early:")) {
        findings.insert(
            0,
            crate::finding::Finding {
                expectation: "abort_on".into(),
                line: load.line,
                outcome: crate::finding::Outcome::Missed,
                topic: crate::finding::Topic::Threshold,
                why: why.clone(),
                evidence: Vec::new(),
            },
        );
    }
    let attempt = Attempt { group: findings, ..Attempt::default() };
    record.verdict = attempt.group.iter().map(|f| f.outcome.into()).max().unwrap_or(Verdict::Error);
    let worst = attempt.group.iter().find(|f| Verdict::from(f.outcome) == record.verdict);
    record.why = worst.filter(|_| record.verdict != Verdict::Pass).map(|f| f.why.clone()).unwrap_or_default();
    if ended != Ended::ByItself {
        record.verdict = Verdict::Error;
        record.why = "interrupted before its end; the figures up to then stand in the record".into();
    }
    record.attempts.push(attempt);
    record.load = Some(Box::new(out));
}
