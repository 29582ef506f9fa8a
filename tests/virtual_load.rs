//! Loads in virtual time: the real engine against a modelled service, hours in seconds. What the engine finds is known beforehand.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use roadworthy::clock::Clock;
use roadworthy::drive::feed::{Feed, Item, Shot, Template};
use roadworthy::drive::{Ask, Caller, Outcome, Terms, Told, run};
use roadworthy::exchange::FailureKind;
use roadworthy::load::sample::{Failed, Sample};
use roadworthy::load::schedule::{Arrivals, Leg};
use roadworthy::load::soak::trends;
use roadworthy::load::{Abort, Ceiling, Metric, Objective, Of, Shape, Stat, Stop, Until};
use roadworthy::units::Share;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A service with so many slots: each request waits for a free one, then takes its time.
struct Service {
    /// When each slot becomes free.
    slots: Mutex<Vec<tokio::time::Instant>>,
    ttft: Duration,
    tpot: Duration,
    tokens: u32,
    /// Relative spread of its times.
    jitter: f64,
    /// Requests that wait longer than this fail.
    patience: Duration,
    /// Above so many at once its first tokens come late: by half a second, the more so the more there are.
    knee: usize,
    in_flight: AtomicUsize,
    /// Growth of its times per hour.
    creep: f64,
    started: tokio::time::Instant,
}

struct Client {
    service: Arc<Service>,
    rng: ChaCha8Rng,
}

impl Caller for Client {
    async fn call(&mut self, _: &Shot, sample: &mut Sample) {
        let now = tokio::time::Instant::now();
        sample.sent = now.into_std();
        let service = &self.service;
        let noise = 1.0 + service.jitter * (2.0 * self.rng.random::<f64>() - 1.0);
        let hours = now.duration_since(service.started).as_secs_f64() / 3600.0;
        let at_once = service.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let late = if at_once > service.knee { 0.5 * at_once as f64 / service.knee as f64 } else { 0.0 };
        let late = Duration::from_secs_f64(late);
        let slow = noise * (1.0 + service.creep * hours);
        let busy = (service.ttft + service.tpot * (service.tokens - 1)).mul_f64(slow) + late;
        let begins = {
            let mut slots = service.slots.lock().unwrap();
            let free = slots.iter_mut().min().unwrap();
            let begins = (*free).max(now);
            if begins - now > service.patience {
                None
            } else {
                *free = begins + busy;
                Some(begins)
            }
        };
        let Some(begins) = begins else {
            tokio::time::sleep(service.patience).await;
            service.in_flight.fetch_sub(1, Ordering::Relaxed);
            sample.done = service.patience;
            sample.failed = Some(Failed { kind: FailureKind::TtftTimeout, status: None, excerpt: "queue".into(), request_id: None });
            return;
        };
        tokio::time::sleep_until(begins + busy).await;
        service.in_flight.fetch_sub(1, Ordering::Relaxed);
        let first = (begins - now + late + service.ttft.mul_f64(slow)).as_micros() as u32;
        let gap = service.tpot.mul_f64(slow).as_micros() as u32;
        sample.chunks.extend((0..service.tokens).map(|i| first + i * gap));
        sample.completion_tokens = Some(u64::from(service.tokens));
        sample.done = tokio::time::Instant::now() - now;
        sample.end = Some(sample.done);
    }
}

fn service(slots: usize) -> Service {
    let now = tokio::time::Instant::now();
    Service {
        slots: Mutex::new(vec![now; slots]),
        ttft: Duration::from_millis(200),
        tpot: Duration::from_millis(20),
        tokens: 16,
        jitter: 0.2,
        patience: Duration::from_secs(60),
        knee: usize::MAX,
        in_flight: AtomicUsize::new(0),
        creep: 0.0,
        started: now,
    }
}

fn ask(shape: Shape, seed: u64) -> Ask {
    let item = Item::new("a".into(), 1, Duration::from_secs(120), vec![Template::new("{}", 1)]);
    Ask {
        shape,
        objective: Objective::default(),
        price: None,
        terms: Terms { think_time: None, warm_up: Duration::from_secs(2), max_in_flight: 10_000, seed, report_every: None },
        abort: None,
        cool_down: Duration::from_secs(1),
        soak_level: None,
        feeds: vec![Feed::new(vec![item], seed)],
        intervals: false,
        problem: Box::new(|| None),
    }
}

/// Runs in virtual time.
fn virtually<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(test)
}

async fn load(ask: Ask, service: Service) -> Outcome {
    let service = Arc::new(service);
    let seed = ask.terms.seed;
    let count = AtomicU64::new(0);
    let make =
        move || Client { service: service.clone(), rng: ChaCha8Rng::seed_from_u64(seed ^ (count.fetch_add(1, Ordering::Relaxed) << 20)) };
    run(ask, Clock::Virtual, make, |_| {}, |_| {}).await
}

fn constant(users: u64, seconds: u64) -> Shape {
    Shape::Constant { users, spawn_rate: None, duration: Some(Duration::from_secs(seconds)), requests: None }
}

#[test]
fn a_closed_loop_measures_what_the_service_does() {
    let out = virtually(async { load(ask(constant(4, 60), 1), service(8)).await });
    let level = &out.levels[0];
    let f = &level.figures;
    assert!(level.counts.balances() && level.counts.failed == 0, "{:?}", level.counts);
    // 200 ms + 15 × 20 ms = 500 ms each, so 4 users finish 8 requests and 128 tokens a second.
    assert!((f.e2e.as_ref().unwrap().mean - 500.0).abs() < 10.0);
    assert!((f.rps_ok - 8.0).abs() < 0.4, "{}", f.rps_ok);
    assert!((f.output_tps / 128.0 - 1.0).abs() < 0.05, "{}", f.output_tps);
    assert_eq!(level.window_s.map(|(a, _)| a.round()), Some(2.0));
    let busy: Vec<f64> = out.ticks[5..50].iter().map(|t| t.in_flight).collect();
    assert!(busy.iter().all(|b| (*b - 4.0).abs() < 0.01), "{busy:?}");
}

#[test]
fn an_open_loop_keeps_its_schedule_when_the_service_is_slow() {
    let shape = Shape::Rate { rate: 20.0, arrivals: Arrivals::Constant, duration: Some(Duration::from_secs(60)), requests: None };
    // 8 slots carry 16 a second.
    let out = virtually(async { load(ask(shape, 1), service(8)).await });
    let level = &out.levels[0];
    assert!((level.counts.scheduled as i64 - 1200).abs() <= 1, "{:?}", level.counts);
    assert!(level.counts.balances());
    let f = &level.figures;
    assert!(f.ttft.as_ref().unwrap().max > 10_000.0, "the queue must be seen");
    assert_eq!(f.achieved, 1.0);
}

#[test]
fn think_time_and_limits_of_requests() {
    let mut asked = ask(Shape::Constant { users: 5, spawn_rate: Some(1.0), duration: None, requests: Some(100) }, 3);
    asked.terms.think_time = Some(Duration::from_millis(500)..Duration::from_millis(500));
    let out = virtually(async { load(asked, service(8)).await });
    assert_eq!(out.levels[0].counts.scheduled, 100);
    // One request takes about a second with its thinking: five users need some twenty seconds and the ramp.
    assert!((18.0..30.0).contains(&out.levels[0].ended_s), "{}", out.levels[0].ended_s);
}

#[test]
fn too_many_in_flight_are_dropped_and_counted() {
    let mut asked =
        ask(Shape::Rate { rate: 50.0, arrivals: Arrivals::Poisson, duration: Some(Duration::from_secs(20)), requests: None }, 5);
    asked.terms.max_in_flight = 20;
    let out = virtually(async { load(asked, service(8)).await });
    let counts = out.levels[0].counts;
    assert!(counts.balances() && counts.dropped > 100, "{counts:?}");
    assert_eq!(out.first_errors[0].kind, "client_saturation");
    assert!(out.levels[0].figures.achieved < 0.9);
}

#[test]
fn a_ramp_stops_where_errors_begin() {
    let ceiling = Ceiling { metric: Metric::Ttft, stat: Stat::P95, max: Duration::from_millis(400) };
    let until = Until { error_rate: Some(Share(0.01)), ceilings: vec![ceiling] };
    let shape = Shape::Ramp { of: Of::Users, from: 10.0, step: 10.0, every: Duration::from_secs(60), until, max: 200.0 };
    let late = |slots| {
        let mut late = service(slots);
        late.knee = 45;
        late
    };
    let out = virtually(async { load(ask(shape.clone(), 1), late(1000)).await });
    let found = out.found.unwrap();
    assert_eq!((found.last_stable, found.first_unstable), (Some(40.0), Some(50.0)), "{found:?}");
    assert!(found.reason.contains("ttft p95"), "{found:?}");
    assert!(!found.proven || out.levels.iter().all(|l| l.counts.scheduled > 300));
    // A queue that nobody waits in for more than 0.8 s: errors come first.
    let out = virtually(async {
        let mut short = service(20);
        short.patience = Duration::from_millis(800);
        load(ask(shape, 1), short).await
    });
    let found = out.found.unwrap();
    assert!(found.reason.contains("error rate") || found.reason.contains("ttft"), "{found:?}");
    assert!(found.last_stable.is_some_and(|l| l <= 30.0), "{found:?}");
}

#[test]
fn a_search_finds_a_known_knee_within_a_step() {
    let mut wrong = Vec::new();
    for seed in 0..50u64 {
        let knee = 3 + (seed * 7 % 120) as usize;
        let out = virtually(async {
            let every = Duration::from_secs(60);
            let mut asked = ask(Shape::Search { of: Of::Users, from: 1.0, max: 512.0, every, limit: Share(0.01) }, seed);
            asked.objective = Objective { ttft: Some(Duration::from_millis(450)), share: Some(Share(0.95)), ..Objective::default() };
            let mut service = service(1000);
            service.knee = knee;
            load(asked, service).await
        });
        let found = out.found.unwrap();
        let got = found.last_stable.unwrap_or(0.0);
        let step = (knee as f64 * 0.1).max(1.0);
        if (got - knee as f64).abs() > step || found.first_unstable.is_none_or(|u| u <= got) {
            wrong.push(format!("knee {knee}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of 50:\n{}", wrong.len(), wrong.join("\n"));
}

fn ttft_leaks(seed: u64, creep: f64) -> bool {
    let out = virtually(async {
        let mut service = service(8);
        service.creep = creep;
        load(ask(constant(2, 3600), seed), service).await
    });
    let level = &out.levels[0];
    trends(&out.ticks, &[], level.started_s, level.ended_s).iter().any(|t| t.leak && (t.what == "ttft" || t.what == "tpot"))
}

/// `LOADS=200` for the long version.
#[test]
fn creep_is_found_and_never_invented() {
    let runs: u64 = std::env::var("LOADS").ok().and_then(|v| v.parse().ok()).unwrap_or(10);
    let missed = (0..runs).filter(|seed| !ttft_leaks(*seed, 0.15)).count();
    let invented = (0..runs).filter(|seed| ttft_leaks(seed + 1000, 0.0)).count();
    assert_eq!((missed, invented), (0, 0), "of {runs} each");
}

#[test]
fn figures_of_latency_read_the_same_everywhere() {
    let out = virtually(async { load(ask(constant(4, 60), 1), service(8)).await });
    let f = &out.levels[0].figures;
    for metric in [Metric::Ttft, Metric::Tpot, Metric::E2e] {
        let dist = metric.of(f).unwrap();
        assert!(Stat::P50.of(dist) <= Stat::P95.of(dist) && Stat::P95.of(dist) <= Stat::Max.of(dist));
    }
    assert_eq!(f.total_tokens_out, out.levels[0].counts.ok * 16);
}

#[test]
fn rounds_stop_at_their_thresholds() {
    let rounds = |stop: Stop| {
        let shape = Shape::Rounds { users: 4, interval: 8, rounds: 5, spawn_rate: None, duration: None, requests: Some(200), stop };
        virtually(async { load(ask(shape, 1), service(8)).await })
    };
    let users = |out: &Outcome| out.levels.iter().map(|l| l.target as u64).collect::<Vec<_>>();
    assert_eq!(users(&rounds(Stop::default())), [4, 12, 20, 28, 36]);
    // 20 users on 8 slots wait for their first token for three quarters of a second.
    let out = rounds(Stop { first_token: Some(Duration::from_millis(600)), ..Stop::default() });
    assert_eq!(users(&out), [4, 12, 20]);
    assert!(out.levels[2].why.contains("mean time to first token"), "{}", out.levels[2].why);
}

#[test]
fn stages_follow_their_profile() {
    let legs = [(10, 20.0), (20, 20.0), (10, 5.0), (20, 5.0)].map(|(s, to)| Leg { over: Duration::from_secs(s), to });
    let out = virtually(async { load(ask(Shape::Stages { of: Of::Users, legs: legs.to_vec() }, 1), service(100)).await });
    let busy = |t: usize| out.ticks[t].in_flight;
    assert!(
        (busy(5) - 11.0).abs() < 2.5 && (busy(20) - 20.0).abs() < 0.1 && (busy(50) - 5.0).abs() < 0.6,
        "{} {} {}",
        busy(5),
        busy(20),
        busy(50)
    );
    // The second in which the profile goes down is noticed at its end.
    let (from, to) = out.levels[0].window_s.unwrap();
    assert!((10.0..10.1).contains(&from) && (30.0..=31.1).contains(&to), "{from} {to}");
    assert!(out.levels[0].counts.balances());
}

#[test]
fn intervals_and_traces_start_when_they_should() {
    let shape = Shape::Interval { every: Duration::from_millis(100), duration: None, requests: Some(1000) };
    let out = virtually(async { load(ask(shape, 1), service(8)).await });
    assert_eq!(out.levels[0].counts.ok, 1000);
    assert!((out.levels[0].ended_s - 99.9).abs() < 0.1, "{}", out.levels[0].ended_s);
    let out = virtually(async { load(ask(Shape::Trace { at_s: vec![0.0, 0.5, 7.25, 7.25] }, 1), service(8)).await });
    assert_eq!(out.levels[0].counts.ok, 4);
    assert_eq!(out.ticks.iter().map(|t| t.started).collect::<Vec<_>>()[..8], [2, 0, 0, 0, 0, 0, 0, 2]);
}

#[test]
fn a_hopeless_load_ends_early() {
    let mut asked = ask(constant(20, 600), 1);
    let ceiling = Ceiling { metric: Metric::Ttft, stat: Stat::P95, max: Duration::from_millis(300) };
    asked.abort = Some(Abort { until: Until { error_rate: None, ceilings: vec![ceiling] }, after: Duration::from_secs(15) });
    let out = virtually(async { load(asked, service(8)).await });
    assert!(out.stopped.as_ref().is_some_and(|why| why.starts_with("ended early: ttft p95")), "{:?}", out.stopped);
    assert!((15.0..20.0).contains(&out.levels[0].ended_s) && out.levels[0].counts.balances(), "{:?}", out.levels[0].counts);
}

#[test]
fn a_soak_tells_each_period() {
    let shape = Shape::Soak {
        share: Share(1.0),
        of_load: None,
        of: Of::Users,
        level: Some(4.0),
        duration: Duration::from_secs(4 * 3600),
        report_every: Duration::from_secs(3600),
    };
    let mut asked = ask(shape, 1);
    asked.terms.report_every = Some(Duration::from_secs(3600));
    let out = virtually(async { load(asked, service(8)).await });
    assert_eq!(out.periods.len(), 4);
    let sum: u64 = out.periods.iter().map(|p| p.counts.ok).sum();
    assert_eq!(sum, out.levels[0].counts.ok);
    assert!(
        out.periods.iter().all(|p| (p.figures.rps_ok - 8.0).abs() < 0.2),
        "{:?}",
        out.periods.iter().map(|p| p.figures.rps_ok).collect::<Vec<_>>()
    );
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// `REQUESTS=10000000` in release mode for the long version.
#[test]
fn memory_does_not_grow_with_the_number_of_requests() {
    let requests: u64 = std::env::var("REQUESTS").ok().and_then(|v| v.parse().ok()).unwrap_or(400_000);
    let shape = Shape::Constant { users: 100, spawn_rate: None, duration: None, requests: Some(requests) };
    let mut seen: Vec<f64> = Vec::new();
    let out = virtually(async {
        let service = Arc::new(service(200));
        let make = move || Client { service: service.clone(), rng: ChaCha8Rng::seed_from_u64(1) };
        run(
            ask(shape, 1),
            Clock::Virtual,
            make,
            |_| {},
            |told| {
                if let Told::Second(_) = told {
                    seen.push(resident_mib());
                }
            },
        )
        .await
    });
    assert_eq!(out.levels[0].counts.ok, requests);
    let (early, late) = (seen[seen.len() / 3], *seen.last().unwrap());
    println!("{requests} requests: {early:.1} MiB after a third, {late:.1} MiB at the end");
    assert!(late - early < 16.0, "{early} MiB after a third, {late} MiB at the end");
}
