//! What is kept of a load: levels with their figures, a time series, errors in the order in which they appeared, resources.
//! Times are in milliseconds and moments in seconds from the start of the load, unless a field says otherwise.

use super::samples::Samples;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The evidence of a load.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LoadRecord {
    /// In words: "ramp: 10 to 500 users, 10 more every 5 min".
    pub shape: String,
    /// What a level counts: `users` in a closed loop, `requests/s` in an open one.
    pub unit: String,
    pub levels: Vec<Level>,
    /// What a ramp or a search found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// Seconds per entry of `ticks`.
    pub tick_s: f64,
    pub ticks: Vec<Tick>,
    /// Figures of a soak, period by period.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub periods: Vec<Level>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trends: Vec<Trend>,
    /// The first of each kind of error, in order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_errors: Vec<FirstError>,
    /// What the order of the errors and the resources beside them suggest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggests: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Series>,
    /// The service's own figures beside ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerView>,
    pub health: Health,
    /// What a reader of these figures should know: a short window, a gap of a monitor, warm caches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// `cold`: each prompt begins with a nonce; `warm`: prompts are sent as they are.
    #[serde(default)]
    pub prefix_cache: String,
    /// Parameters as given, for the reader: workers, spawn rate, hyper-parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// One level of load: so many users or requests a second, for some time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Level {
    pub target: f64,
    pub started_s: f64,
    /// When no more requests were started.
    pub ended_s: f64,
    /// The steady window that latencies and throughput are taken from; absent when there was none, and the whole level serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_s: Option<(f64, f64)>,
    pub counts: Counts,
    /// Failed requests by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
    pub figures: Figures,
    /// Whether the service bears this level, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<bool>,
    /// Why not, or how sure that is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Tokens of the prompts, in a sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
}

/// Every request is one of these: `scheduled = ok + failed + cancelled + dropped`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    pub scheduled: u64,
    pub ok: u64,
    pub failed: u64,
    /// Still running when the drain ended.
    pub cancelled: u64,
    /// Not sent, because too many were in flight.
    pub dropped: u64,
    /// Met every part of the objective (`slo`); equal to `ok` without one.
    pub good: u64,
}

impl Counts {
    /// True when every scheduled request is accounted for.
    pub fn balances(&self) -> bool {
        self.scheduled == self.ok + self.failed + self.cancelled + self.dropped
    }

    /// Failed, cancelled and dropped ones among the scheduled, from 0 to 1.
    pub fn error_rate(&self) -> f64 {
        if self.scheduled == 0 { 0.0 } else { (self.scheduled - self.ok.min(self.scheduled)) as f64 / self.scheduled as f64 }
    }
}

/// Figures of a level. What could not be measured is absent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Request written to first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft: Option<Dist>,
    /// Intended start to first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_sched: Option<Dist>,
    /// Request written to first token that is not reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttfo: Option<Dist>,
    /// Request written to response headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttfb: Option<Dist>,
    /// Mean time per output token after the first, per request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpot: Option<Dist>,
    /// Gaps between token events, of all requests together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icl: Option<Dist>,
    /// The same gaps where each event is a token (at most 1.05 tokens an event, as the service counts); else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub itl: Option<Dist>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_gap: Option<Dist>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e: Option<Dist>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e_sched: Option<Dist>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail_lag: Option<Dist>,
    /// Setting up new connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Dist>,
    /// 1 ÷ tpot, in tokens per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode_rate: Option<Dist>,
    /// Output tokens ÷ e2e, in tokens per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub req_rate: Option<Dist>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_in: Option<Dist>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_out: Option<Dist>,
    /// Characters of prompts and answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chars_in: Option<Dist>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chars_out: Option<Dist>,
    /// Output tokens that arrived in the window ÷ its length.
    pub output_tps: f64,
    /// All output tokens of complete answers ÷ the level's length, drain included.
    pub output_tps_total: f64,
    /// Tokens of failed or cancelled requests ÷ the window's length.
    pub wasted_tps: f64,
    /// Sums over all complete answers of the level, its start and end included.
    pub total_tokens_in: u64,
    pub total_tokens_out: u64,
    /// Complete answers a second, in the window.
    pub rps_ok: f64,
    /// Requests a second that the schedule asked for, in the window.
    pub offered_rps: f64,
    /// Sent ÷ scheduled.
    pub achieved: f64,
    /// Answers a second that meet the objective.
    pub goodput: f64,
    /// Answers that meet the objective among the scheduled requests, from 0 to 1.
    pub slo_attainment: f64,
    /// Standard deviation ÷ mean of e2e: the largest among the inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variation_e2e: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variation_ttft: Option<f64>,
    /// Coefficient of variation of completions per `qps_bin_s` seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variation_qps: Option<f64>,
    pub qps_bin_s: f64,
    /// Gaps over a second and over ten times the request's median gap.
    pub stalls: u64,
    /// Token events per token, and the share that came in one read with an earlier one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_chunk: Option<f64>,
    pub coalesced: f64,
    /// Prompt tokens from the prefix cache ÷ prompt tokens, as the service says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached: Option<f64>,
    /// Where token counts come from: `usage`, or `chunks` where the service does not tell.
    pub tokens_from: String,
    /// Money for a million output tokens at the target's prices, prompts included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_per_million: Option<f64>,
    /// By input, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputFigures>,
}

/// One kind of input of a mix.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct InputFigures {
    pub name: String,
    pub ok: u64,
    pub failed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e2e: Option<Dist>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft: Option<Dist>,
}

/// A distribution. The `_pen` quantiles count failed requests as infinitely slow: absent means infinite.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Dist {
    pub n: u64,
    pub mean: f64,
    /// Upper one-sided 95 % bound of the mean.
    pub mean_upper: f64,
    pub sd: f64,
    pub min: f64,
    pub max: f64,
    pub p50: f64,
    pub p80: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p999: Option<f64>,
    pub p50_pen: Option<f64>,
    pub p90_pen: Option<f64>,
    pub p95_pen: Option<f64>,
    pub p99_pen: Option<f64>,
    /// 95 % bounds of p50, p90, p95, p99.
    pub bounds: [[f64; 2]; 4],
    /// The values, in milliseconds, where history is kept of them.
    #[serde(default, skip_serializing_if = "Samples::is_empty")]
    pub sample: Samples,
}

/// What a ramp or search found: the last level that was borne and the first that was not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    pub last_stable: Option<f64>,
    pub first_unstable: Option<f64>,
    /// Why the next level was not borne, or why nothing higher was tried.
    pub reason: String,
    /// Whether enough requests were sent to prove the error limit at 95 %.
    pub proven: bool,
    /// The level of the highest throughput for its latency.
    pub knee: Option<f64>,
}

/// One moment of the time series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    pub t_s: f64,
    /// Mean number of requests in flight.
    pub in_flight: f64,
    pub started: u64,
    pub ok: u64,
    pub failed: u64,
    /// Output tokens that arrived, a second.
    pub tps: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_p50: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_p95: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e2e_p50: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e2e_p95: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpot_p50: Option<f64>,
}

/// The first error of a kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FirstError {
    pub kind: String,
    pub t_s: f64,
    /// How many requests had been sent before it.
    pub seq: u64,
    /// The level at that time.
    pub level: f64,
    pub in_flight: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub excerpt: String,
    /// As the service names it (`x-request-id`), to be found in its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// How many followed in all.
    pub count: u64,
}

/// Values of one resource or figure of the service over time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Where it was read: `host`, `http://…/metrics`, `nvidia-smi`, `pid 123`.
    pub from: String,
    pub name: String,
    /// `bytes`, `share`, `1/s`, `count`, …
    pub unit: String,
    pub points: Vec<(f64, f64)>,
}

/// What the service itself says about the same time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerView {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_mean: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e2e_mean: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_tokens: Option<f64>,
    /// Seconds of decoding, summed over requests, where the service counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_hit_rate: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preemptions: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_max: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_usage_max: Option<f64>,
    pub restarts: u64,
}

/// A trend over a soak.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    pub what: String,
    pub unit: String,
    /// Median of the values.
    pub level: f64,
    /// Theil–Sen slope per hour, with the lower one-sided 95 % bound.
    pub slope_per_hour: f64,
    pub slope_lower: f64,
    /// Of "does not rise", corrected for autocorrelation.
    pub p: f64,
    pub leak: bool,
    /// Hours until the limit is reached at this slope, where there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhausted_in_h: Option<f64>,
    pub why: String,
}

/// How the client itself fared. Past its limits the run says nothing about the service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    pub valid: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// How late requests were taken up after their intended start.
    pub lag_p50: f64,
    pub lag_p99: f64,
    pub lag_max: f64,
    /// How late a task was woken by the client's own threads: bytes of an answer wait as long for their time stamp.
    #[serde(default)]
    pub stamp_lag_p50: f64,
    #[serde(default)]
    pub stamp_lag_p99: f64,
    /// Of one core, highest over ten seconds, and over the whole run.
    pub cpu_max: f64,
    pub cpu_mean: f64,
    pub workers: u64,
    pub memory_bytes: u64,
    pub open_files: u64,
    pub connections_opened: u64,
    pub connections_reused: u64,
    /// Requests sent again because the connection kept for them had been closed meanwhile.
    #[serde(default)]
    pub resent: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u64>,
}
