//! Kinds of errors, the order in which they first appear, and what that order suggests.

use super::sample::Failed;
use crate::exchange::FailureKind;
use crate::record::load::{FirstError, Series};
use std::time::Instant;

/// Not sent: too many requests were in flight.
pub const SATURATED: &str = "client_saturation";

/// The name of a failure in figures and reports: its kind, the status where there is one, or what the message tells.
pub fn name(failed: &Failed) -> String {
    let said = failed.excerpt.to_lowercase();
    if ["out of memory", "cuda oom", "outofmemory", "显存不足", "内存不足"].iter().any(|t| said.contains(t)) {
        return "out_of_memory".into();
    }
    let too_long =
        ["maximum context length", "context length", "too long", "exceeds the available context", "exceed_context_size", "上下文长度"];
    if failed.status.is_none_or(|s| s < 500) && too_long.iter().any(|t| said.contains(t)) {
        return "input_too_long".into();
    }
    match (failed.kind, failed.status) {
        (FailureKind::Http, Some(status)) => match status {
            401 | 403 | 404 | 413 | 422 | 429 | 500 | 502 | 503 | 504 => format!("http_{status}"),
            400..=499 => "http_4xx".into(),
            500..=599 => "http_5xx".into(),
            _ => format!("http_{status}"),
        },
        (kind, _) => kind.name(),
    }
}

/// Counts errors by kind and keeps the first of each.
#[derive(Debug, Clone, Default)]
pub struct Errors {
    pub firsts: Vec<FirstError>,
}

/// Where the load stood when a request failed.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    pub at: Instant,
    pub start: Instant,
    pub seq: u64,
    pub level: f64,
    pub in_flight: u64,
}

impl Errors {
    /// Counts a failure and gives back its name.
    pub fn add(&mut self, failed: &Failed, standing: &Standing) -> String {
        let kind = name(failed);
        match self.firsts.iter_mut().find(|f| f.kind == kind) {
            Some(first) => first.count += 1,
            None => self.firsts.push(FirstError {
                kind: kind.clone(),
                t_s: standing.at.saturating_duration_since(standing.start).as_secs_f64(),
                seq: standing.seq,
                level: standing.level,
                in_flight: standing.in_flight,
                status: failed.status,
                excerpt: crate::redact::excerpt(&failed.excerpt, 200),
                request_id: failed.request_id.clone(),
                count: 1,
            }),
        }
        kind
    }
}

fn is_timeout(kind: &str) -> bool {
    kind.ends_with("_timeout") || kind == "http_504"
}

fn is_server(kind: &str) -> bool {
    matches!(kind, "http_500" | "http_502" | "http_503" | "http_5xx" | "api_error" | "conn_reset" | "stream_truncated" | "service_crashed")
}

fn is_contract(kind: &str) -> bool {
    matches!(kind, "http_4xx" | "http_401" | "http_403" | "http_404" | "http_413" | "http_422" | "input_too_long")
}

/// What the order of the first errors suggests, read together with the resources of that time. `firsts` by time; `scheduled` is the
/// number of all requests.
pub fn suggestions(firsts: &[FirstError], series: &[Series], scheduled: u64) -> Vec<String> {
    let mut out = Vec::new();
    let Some(first) = firsts.first() else { return out };
    let oom = firsts.iter().any(|f| f.kind == "out_of_memory");
    let memory = series.iter().find(|s| s.name.starts_with("gpu_memory") && s.unit == "share" || s.name == "kv_usage");
    let memory_then = memory.and_then(|s| near(s, first.t_s).map(|v| (s, v)));
    if first.kind == "out_of_memory" {
        out.push("memory ran out first: look at the batch size, the KV cache and the longest context allowed".into());
    } else if first.kind == "http_429" {
        out.push(
            "429 came first: a rate limit or an admission queue turned requests away, and the model may bear more than it was given".into(),
        );
    } else if is_contract(&first.kind) {
        out.push(format!("{} came first: the requests break the service's contract, which says nothing about its capacity", first.kind));
    } else if is_timeout(&first.kind) && !oom {
        out.push("timeouts came first and memory never ran out: requests queue for longer than the timeout allows".into());
    } else if matches!(first.kind.as_str(), "connect_refused" | "connect_timeout") {
        out.push("connections failed first: the listen backlog, a proxy or a limit on connections, not the model".into());
    } else if first.kind == SATURATED {
        out.push(
            "this client's cap on requests in flight was reached first: the service was too slow for the schedule, or the cap too low"
                .into(),
        );
    } else if is_server(&first.kind) {
        out.push(format!("{} came first: the service itself failed under load; its log at {:.0} s should say why", first.kind, first.t_s));
    }
    let server: u64 = firsts.iter().filter(|f| is_server(&f.kind)).map(|f| f.count).sum();
    if scheduled > 0 && server as f64 / scheduled as f64 > 0.2 {
        out.push(format!("{server} of {scheduled} requests failed inside the service: it was past recovery at that load"));
    }
    if let Some((s, value)) = memory_then {
        let share = value * 100.0;
        out.push(match value > 0.9 {
            true => format!("{} stood at {share:.0} % when the first error came: the cache was full", s.name),
            false => format!("{} stood at {share:.0} % when the first error came: memory was not the limit", s.name),
        });
    }
    if let Some((s, v)) = series.iter().find(|s| s.name.starts_with("gpu_util")).and_then(|s| Some((s, near(s, first.t_s)?))) {
        out.push(match v {
            v if v < 0.5 => format!("{} stood at {:.0} % then: the GPU waited, so look at CPU, I/O or scheduling", s.name, v * 100.0),
            v => format!("{} stood at {:.0} % then: the GPU was busy, so look at batching and parallelism", s.name, v * 100.0),
        });
    }
    if let Some((s, v)) = series.iter().find(|s| s.name == "cpu" && s.unit == "share").and_then(|s| Some((s, near(s, first.t_s)?)))
        && v > 0.9
    {
        out.push(format!("the {} CPU stood at {:.0} % then: the processor was the limit", s.from, v * 100.0));
    }
    out
}

/// The value at a moment, or the nearest within five seconds.
fn near(series: &Series, t_s: f64) -> Option<f64> {
    let nearest = series.points.iter().min_by(|a, b| (a.0 - t_s).abs().total_cmp(&(b.0 - t_s).abs()))?;
    ((nearest.0 - t_s).abs() <= 5.0).then_some(nearest.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: FailureKind, status: Option<u16>, excerpt: &str) -> Failed {
        Failed { kind, status, excerpt: excerpt.into(), request_id: None }
    }

    #[test]
    fn names_say_what_a_reader_needs() {
        assert_eq!(name(&failed(FailureKind::Http, Some(429), "slow down")), "http_429");
        assert_eq!(name(&failed(FailureKind::Http, Some(418), "")), "http_4xx");
        assert_eq!(name(&failed(FailureKind::Http, Some(500), "CUDA out of memory. Tried to allocate")), "out_of_memory");
        assert_eq!(name(&failed(FailureKind::Http, Some(400), "This model's maximum context length is 4096")), "input_too_long");
        assert_eq!(name(&failed(FailureKind::StreamTruncated, Some(200), "")), "stream_truncated");
    }

    fn first(kind: &str, t_s: f64) -> FirstError {
        FirstError { kind: kind.into(), t_s, count: 1, ..FirstError::default() }
    }

    #[test]
    fn the_order_of_errors_suggests_the_cause() {
        let said = |firsts: &[FirstError]| suggestions(firsts, &[], 1000).join("; ");
        assert!(said(&[first("ttft_timeout", 5.0), first("http_500", 9.0)]).contains("queue"));
        assert!(said(&[first("out_of_memory", 5.0), first("ttft_timeout", 6.0)]).contains("KV cache"));
        assert!(said(&[first("http_422", 1.0)]).contains("contract"));
        let full = Series { from: "x".into(), name: "kv_usage".into(), unit: "share".into(), points: vec![(4.0, 0.97)] };
        assert!(suggestions(&[first("ttft_timeout", 5.0)], &[full], 1000)[1].contains("97 %"));
        assert!(said(&[]).is_empty());
    }
}
