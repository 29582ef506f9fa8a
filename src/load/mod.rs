//! The rules of a load, without any input or output: when requests start, how figures are added up, which level comes next,
//! and what the figures come to. The definitions of the figures stand at the fields of [`crate::record::load::Figures`].

pub mod climb;
pub mod errors;
pub mod histogram;
pub mod judge;
pub mod notes;
pub mod sample;
pub mod schedule;
mod set;
pub mod soak;
pub mod tally;
pub mod timeline;

use crate::record::load::{Dist, Figures};
use crate::units::{Share, show};
use sample::Sample;
use schedule::{Arrivals, Leg};
use std::time::Duration;

/// What each request should keep to, for goodput and attainment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objective {
    pub ttft: Option<Duration>,
    pub tpot: Option<Duration>,
    pub e2e: Option<Duration>,
    /// How large a share of the requests should meet it; default 95 %.
    pub share: Option<Share>,
}

impl Objective {
    pub fn is_none(&self) -> bool {
        self.ttft.is_none() && self.tpot.is_none() && self.e2e.is_none()
    }

    /// True when a complete answer keeps to every part. What was not measured cannot be said to.
    pub fn met_by(&self, sample: &Sample) -> bool {
        let within = |us: Option<f64>, limit: Option<Duration>| limit.is_none_or(|l| us.is_some_and(|us| us <= l.as_secs_f64() * 1e6));
        // One token has no time per further token, and nothing to complain of.
        let tpot = sample.tpot().or((sample.chunks.len() == 1 || sample.tokens_out() <= 1).then_some(0.0));
        within(sample.ttft().map(|v| v as f64), self.ttft)
            && within(tpot, self.tpot)
            && within(sample.end.map(|e| e.as_secs_f64() * 1e6), self.e2e)
    }
}

/// Money per million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    pub input: f64,
    pub output: f64,
}

/// A latency of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Ttft,
    TtftSched,
    Ttfo,
    Ttfb,
    Tpot,
    Icl,
    MaxGap,
    E2e,
    E2eSched,
}

impl Metric {
    pub const ALL: [Metric; 9] = [
        Metric::Ttft,
        Metric::TtftSched,
        Metric::Ttfo,
        Metric::Ttfb,
        Metric::Tpot,
        Metric::Icl,
        Metric::MaxGap,
        Metric::E2e,
        Metric::E2eSched,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Metric::Ttft => "ttft",
            Metric::TtftSched => "ttft_sched",
            Metric::Ttfo => "ttfo",
            Metric::Ttfb => "ttfb",
            Metric::Tpot => "tpot",
            Metric::Icl => "icl",
            Metric::MaxGap => "max_gap",
            Metric::E2e => "e2e",
            Metric::E2eSched => "e2e_sched",
        }
    }

    pub fn named(word: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|m| m.word() == word)
    }

    pub fn of(self, figures: &Figures) -> Option<&Dist> {
        match self {
            Metric::Ttft => &figures.ttft,
            Metric::TtftSched => &figures.ttft_sched,
            Metric::Ttfo => &figures.ttfo,
            Metric::Ttfb => &figures.ttfb,
            Metric::Tpot => &figures.tpot,
            Metric::Icl => &figures.icl,
            Metric::MaxGap => &figures.max_gap,
            Metric::E2e => &figures.e2e,
            Metric::E2eSched => &figures.e2e_sched,
        }
        .as_ref()
    }
}

/// What of a distribution is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stat {
    Mean,
    P50,
    P90,
    P95,
    P99,
    Max,
}

impl Stat {
    pub const ALL: [Stat; 6] = [Stat::Mean, Stat::P50, Stat::P90, Stat::P95, Stat::P99, Stat::Max];

    pub fn word(self) -> &'static str {
        match self {
            Stat::Mean => "mean",
            Stat::P50 => "p50",
            Stat::P90 => "p90",
            Stat::P95 => "p95",
            Stat::P99 => "p99",
            Stat::Max => "max",
        }
    }

    /// The figure in milliseconds, failures counting as infinitely slow in quantiles.
    pub fn of(self, dist: &Dist) -> f64 {
        match self {
            Stat::Mean => dist.mean,
            Stat::P50 => dist.p50_pen.unwrap_or(f64::INFINITY),
            Stat::P90 => dist.p90_pen.unwrap_or(f64::INFINITY),
            Stat::P95 => dist.p95_pen.unwrap_or(f64::INFINITY),
            Stat::P99 => dist.p99_pen.unwrap_or(f64::INFINITY),
            Stat::Max => dist.max,
        }
    }

    /// The smallest number of values that supports a 95 % upper bound of this quantile.
    pub fn needs(self) -> u64 {
        match self {
            Stat::Mean | Stat::Max | Stat::P50 => 5,
            Stat::P90 => 29,
            Stat::P95 => 59,
            Stat::P99 => 299,
        }
    }
}

/// One ceiling on a latency of a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceiling {
    pub metric: Metric,
    pub stat: Stat,
    pub max: Duration,
}

impl Ceiling {
    /// The figure when it is over the ceiling; a latency nobody could measure is over any.
    pub fn broken_by(&self, figures: &Figures) -> Option<f64> {
        let value = self.metric.of(figures).map_or(f64::INFINITY, |d| self.stat.of(d));
        (value > self.max.as_secs_f64() * 1e3).then_some(value)
    }

    pub fn says(&self) -> String {
        format!("{} {} at most {}", self.metric.word(), self.stat.word(), show(self.max))
    }
}

/// Shows milliseconds; infinity is what failures count as.
pub fn show_ms(ms: f64) -> String {
    if ms.is_finite() {
        show(Duration::from_secs_f64(ms.max(0.0) / 1e3))
    } else {
        "no end (failed requests count as infinitely slow)".into()
    }
}

/// Conditions at which a level is no longer borne.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Until {
    pub error_rate: Option<Share>,
    pub ceilings: Vec<Ceiling>,
}

/// What a level counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Of {
    /// Users who each wait for their answer before they ask again.
    #[default]
    Users,
    /// Requests a second, whether or not earlier ones are answered.
    Rate,
}

impl Of {
    pub fn unit(self) -> &'static str {
        match self {
            Of::Users => "users",
            Of::Rate => "requests/s",
        }
    }
}

/// How much load there is over time.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Constant {
        users: u64,
        spawn_rate: Option<f64>,
        duration: Option<Duration>,
        requests: Option<u64>,
    },
    Interval {
        every: Duration,
        duration: Option<Duration>,
        requests: Option<u64>,
    },
    Rate {
        rate: f64,
        arrivals: Arrivals,
        duration: Option<Duration>,
        requests: Option<u64>,
    },
    Trace {
        at_s: Vec<f64>,
    },
    Stages {
        of: Of,
        legs: Vec<Leg>,
    },
    Ramp {
        of: Of,
        from: f64,
        step: f64,
        every: Duration,
        until: Until,
        max: f64,
    },
    Search {
        of: Of,
        from: f64,
        max: f64,
        every: Duration,
        limit: Share,
    },
    Soak {
        share: Share,
        of_load: Option<String>,
        of: Of,
        level: Option<f64>,
        duration: Duration,
        report_every: Duration,
    },
    Rounds {
        users: u64,
        interval: u64,
        rounds: u64,
        spawn_rate: Option<f64>,
        duration: Option<Duration>,
        requests: Option<u64>,
        stop: Stop,
    },
    Sweep {
        tokens: Vec<u64>,
        users: u64,
        requests: u64,
    },
}

/// When further rounds are pointless.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stop {
    /// Mean time to first token over this.
    pub first_token: Option<Duration>,
    /// Mean time of whole answers over this.
    pub round_latency: Option<Duration>,
    /// Share of successful requests under this.
    pub success_rate: Option<Share>,
}

/// A k6-style early end of a level: a bound that must not be broken once `after` has passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Abort {
    pub until: Until,
    pub after: Duration,
}

fn count(n: f64) -> String {
    if n.fract().abs() < 1e-9 { format!("{n:.0}") } else { format!("{n:.2}") }
}

impl Shape {
    /// Closed or open loop.
    pub fn of(&self) -> Of {
        match self {
            Shape::Interval { .. } | Shape::Rate { .. } | Shape::Trace { .. } => Of::Rate,
            Shape::Stages { of, .. } | Shape::Ramp { of, .. } | Shape::Search { of, .. } | Shape::Soak { of, .. } => *of,
            Shape::Constant { .. } | Shape::Rounds { .. } | Shape::Sweep { .. } => Of::Users,
        }
    }

    /// For people.
    pub fn says(&self) -> String {
        let ends = |duration: &Option<Duration>, requests: &Option<u64>| {
            let parts: Vec<String> =
                [duration.map(|d| format!("for {}", show(d))), requests.map(|n| format!("{n} requests"))].into_iter().flatten().collect();
            if parts.is_empty() { "until the data set ends".into() } else { parts.join(" or ") }
        };
        match self {
            Shape::Constant { users, duration, requests, .. } => format!("constant: {users} users, {}", ends(duration, requests)),
            Shape::Interval { every, duration, requests } => {
                format!("interval: one request every {}, {}", show(*every), ends(duration, requests))
            }
            Shape::Rate { rate, arrivals, duration, requests } => {
                format!(
                    "rate: {} requests/s ({}), {}",
                    count(*rate),
                    if *arrivals == Arrivals::Poisson { "Poisson" } else { "constant" },
                    ends(duration, requests)
                )
            }
            Shape::Trace { at_s } => format!("trace: {} recorded moments", at_s.len()),
            Shape::Stages { of, legs } => {
                let stages: Vec<String> = legs.iter().map(|l| format!("{} over {}", count(l.to), show(l.over))).collect();
                format!("stages of {}: {}", of.unit(), stages.join(", "))
            }
            Shape::Ramp { of, from, step, every, max, .. } => {
                format!("ramp: {} to {} {}, {} more every {}", count(*from), count(*max), of.unit(), count(*step), show(*every))
            }
            Shape::Search { of, from, max, every, .. } => {
                format!("search: the most {} the service bears, from {} to {}, {} each", of.unit(), count(*from), count(*max), show(*every))
            }
            Shape::Soak { share, of_load, level, of, duration, .. } => match (of_load, level) {
                (Some(name), _) => format!("soak: {share} of what `{name}` found, for {}", show(*duration)),
                (None, level) => format!("soak: {} {}, for {}", count(level.unwrap_or(1.0)), of.unit(), show(*duration)),
            },
            Shape::Rounds { users, interval, rounds, duration, requests, .. } => {
                format!("rounds: {rounds}, {users} users and {interval} more each time, {}", ends(duration, requests))
            }
            Shape::Sweep { tokens, users, requests } => {
                let lengths: Vec<String> = tokens.iter().map(u64::to_string).collect();
                format!("sweep over prompts of {} tokens, {users} users, {requests} requests each", lengths.join(", "))
            }
        }
    }
}
