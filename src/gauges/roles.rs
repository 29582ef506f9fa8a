//! Which metric plays which role, whoever serves it. Names as of vLLM 0.11, SGLang 0.5, TGI 3, llama.cpp 2026, DCGM exporter 4,
//! node exporter 1.9; names are taken with and without `_total`.

use super::exposition::{Page, Sample};
use super::{Kind, Reading};

/// Who wrote a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    Vllm,
    Sglang,
    Tgi,
    LlamaCpp,
    Dcgm,
    Node,
}

/// How the label sets of one name come together.
#[derive(Clone, Copy)]
enum Join {
    Sum,
    Max,
}

struct Role {
    metric: &'static str,
    series: &'static str,
    unit: &'static str,
    kind: Kind,
    join: Join,
    scale: f64,
}

const fn gauge(metric: &'static str, series: &'static str, unit: &'static str, join: Join) -> Role {
    Role { metric, series, unit, kind: Kind::Gauge, join, scale: 1.0 }
}

const fn counter(metric: &'static str, series: &'static str, unit: &'static str) -> Role {
    Role { metric, series, unit, kind: Kind::Counter, join: Join::Sum, scale: 1.0 }
}

use Join::{Max, Sum};

#[rustfmt::skip]
const ROLES: &[Role] = &[
    gauge("vllm:num_requests_running", "running", "count", Sum),
    gauge("vllm:num_requests_waiting", "waiting", "count", Sum),
    gauge("vllm:kv_cache_usage_perc", "kv_usage", "share", Max),
    gauge("vllm:gpu_cache_usage_perc", "kv_usage", "share", Max),
    counter("vllm:prefix_cache_hits", "prefix_hits", "count"),
    counter("vllm:prefix_cache_queries", "prefix_queries", "count"),
    counter("vllm:gpu_prefix_cache_hits", "prefix_hits", "count"),
    counter("vllm:gpu_prefix_cache_queries", "prefix_queries", "count"),
    counter("vllm:num_preemptions", "preemptions", "count"),
    counter("vllm:prompt_tokens", "prompt_tokens", "count"),
    counter("vllm:generation_tokens", "generation_tokens", "count"),
    counter("vllm:time_to_first_token_seconds_sum", "server_ttft_sum", "s"),
    counter("vllm:time_to_first_token_seconds_count", "server_ttft_count", "count"),
    counter("vllm:e2e_request_latency_seconds_sum", "server_e2e_sum", "s"),
    counter("vllm:e2e_request_latency_seconds_count", "server_e2e_count", "count"),
    counter("vllm:request_queue_time_seconds_sum", "server_queue_sum", "s"),
    counter("vllm:request_queue_time_seconds_count", "server_queue_count", "count"),
    counter("vllm:request_success", "requests_ok", "count"),
    gauge("sglang:num_running_reqs", "running", "count", Sum),
    gauge("sglang:num_queue_reqs", "waiting", "count", Sum),
    gauge("sglang:token_usage", "kv_usage", "share", Max),
    gauge("sglang:cache_hit_rate", "cache_hit_rate", "share", Max),
    counter("sglang:num_retracted_reqs", "preemptions", "count"),
    counter("sglang:prompt_tokens", "prompt_tokens", "count"),
    counter("sglang:generation_tokens", "generation_tokens", "count"),
    counter("sglang:time_to_first_token_seconds_sum", "server_ttft_sum", "s"),
    counter("sglang:time_to_first_token_seconds_count", "server_ttft_count", "count"),
    counter("sglang:e2e_request_latency_seconds_sum", "server_e2e_sum", "s"),
    counter("sglang:e2e_request_latency_seconds_count", "server_e2e_count", "count"),
    counter("sglang:queue_time_seconds_sum", "server_queue_sum", "s"),
    counter("sglang:queue_time_seconds_count", "server_queue_count", "count"),
    gauge("tgi_batch_current_size", "running", "count", Sum),
    gauge("tgi_queue_size", "waiting", "count", Sum),
    counter("tgi_request_input_length_sum", "prompt_tokens", "count"),
    counter("tgi_request_generated_tokens_sum", "generation_tokens", "count"),
    counter("tgi_request_duration_sum", "server_e2e_sum", "s"),
    counter("tgi_request_duration_count", "server_e2e_count", "count"),
    counter("tgi_request_queue_duration_sum", "server_queue_sum", "s"),
    counter("tgi_request_queue_duration_count", "server_queue_count", "count"),
    counter("tgi_request_success", "requests_ok", "count"),
    counter("tgi_request_failure", "requests_failed", "count"),
    gauge("llamacpp:requests_processing", "running", "count", Sum),
    gauge("llamacpp:requests_deferred", "waiting", "count", Sum),
    gauge("llamacpp:kv_cache_usage_ratio", "kv_usage", "share", Max),
    counter("llamacpp:prompt_tokens", "prompt_tokens", "count"),
    counter("llamacpp:tokens_predicted", "generation_tokens", "count"),
    counter("llamacpp:tokens_predicted_seconds", "server_decode_s", "s"),
    gauge("process_resident_memory_bytes", "process_memory", "bytes", Sum),
    gauge("process_open_fds", "open_files", "count", Sum),
    gauge("process_start_time_seconds", "process_start", "s", Max),
    counter("process_cpu_seconds", "process_cpu_s", "s"),
    gauge("node_memory_MemTotal_bytes", "host_memory_total", "bytes", Max),
    gauge("node_memory_MemAvailable_bytes", "host_memory_available", "bytes", Max),
    gauge("node_load1", "host_load", "count", Max),
];

/// Figures of the DCGM exporter; each label `gpu` is a series of its own.
const DCGM: &[(&str, &str, &str, f64)] = &[
    ("DCGM_FI_DEV_GPU_UTIL", "gpu_util", "share", 0.01),
    ("DCGM_FI_DEV_MEM_COPY_UTIL", "gpu_copy_util", "share", 0.01),
    ("DCGM_FI_DEV_FB_USED", "gpu_memory", "bytes", 1_048_576.0),
    ("DCGM_FI_DEV_FB_FREE", "gpu_memory_free", "bytes", 1_048_576.0),
    ("DCGM_FI_DEV_FB_TOTAL", "gpu_memory_total", "bytes", 1_048_576.0),
    ("DCGM_FI_DEV_POWER_USAGE", "gpu_power", "W", 1.0),
    ("DCGM_FI_DEV_GPU_TEMP", "gpu_temperature", "°C", 1.0),
    ("DCGM_FI_DEV_MEMORY_TEMP", "gpu_memory_temperature", "°C", 1.0),
    ("DCGM_FI_DEV_SM_CLOCK", "gpu_clock", "MHz", 1.0),
    ("DCGM_FI_DEV_XID_ERRORS", "gpu_xid", "count", 1.0),
    ("DCGM_FI_DEV_POWER_VIOLATION", "gpu_throttle_power", "count", 1.0),
    ("DCGM_FI_DEV_THERMAL_VIOLATION", "gpu_throttle_thermal", "count", 1.0),
];

fn servers(page: &Page) -> Vec<Server> {
    let starts = [
        ("vllm:", Server::Vllm),
        ("sglang:", Server::Sglang),
        ("tgi_", Server::Tgi),
        ("llamacpp:", Server::LlamaCpp),
        ("DCGM_FI_", Server::Dcgm),
        ("node_", Server::Node),
    ];
    starts.into_iter().filter(|(start, _)| page.samples.iter().any(|s| s.name.starts_with(start))).map(|(_, server)| server).collect()
}

/// Everything of a page that has a role here.
pub fn readings(page: &Page) -> (Vec<Server>, Vec<Reading>) {
    let mut out: Vec<Reading> = Vec::new();
    for role in ROLES {
        let fits = |s: &&Sample| s.name == role.metric || s.name.strip_suffix("_total") == Some(role.metric);
        let values = page.samples.iter().filter(fits).map(|s| s.value).filter(|v| v.is_finite());
        let joined = match role.join {
            Join::Sum => values.reduce(|a, b| a + b),
            Join::Max => values.reduce(f64::max),
        };
        if let Some(value) = joined
            && !out.iter().any(|r| r.series == role.series)
        {
            out.push(Reading { series: role.series.into(), unit: role.unit, kind: role.kind, value: value * role.scale });
        }
    }
    for (metric, series, unit, scale) in DCGM {
        for sample in page.samples.iter().filter(|s| s.name == *metric && s.value.is_finite()) {
            let gpu = sample.label("gpu").unwrap_or("0");
            out.push(Reading::gauge(format!("{series}/{gpu}"), unit, sample.value * scale));
        }
    }
    // Older exporters give used and free, not the total.
    let totals: Vec<Reading> = out
        .iter()
        .filter_map(|r| {
            let gpu = r.series.strip_prefix("gpu_memory_free/")?;
            let used = out.iter().find(|o| o.series == format!("gpu_memory/{gpu}"))?.value;
            let known = out.iter().any(|o| o.series == format!("gpu_memory_total/{gpu}"));
            (!known).then(|| Reading::gauge(format!("gpu_memory_total/{gpu}"), "bytes", used + r.value))
        })
        .collect();
    out.extend(totals);
    if let (Some(total), Some(free)) = (value(&out, "host_memory_total"), value(&out, "host_memory_available")) {
        out.push(Reading::gauge("host_memory", "bytes", total - free));
    }
    let cpu = |idle: bool| {
        let seconds = page.samples.iter().filter(|s| s.name == "node_cpu_seconds_total");
        seconds.filter(|s| !idle || matches!(s.label("mode"), Some("idle" | "iowait"))).map(|s| s.value).reduce(|a, b| a + b)
    };
    if let (Some(all), Some(idle)) = (cpu(false), cpu(true)) {
        out.push(Reading::counter("cpu_busy", "s", all - idle));
        out.push(Reading::counter("cpu_all", "s", all));
    }
    (servers(page), out)
}

fn value(readings: &[Reading], series: &str) -> Option<f64> {
    readings.iter().find(|r| r.series == series).map(|r| r.value)
}

#[cfg(test)]
mod tests {
    use super::super::exposition::parse;
    use super::*;

    fn of(text: &str) -> (Vec<Server>, Vec<Reading>) {
        readings(&parse(text))
    }

    #[test]
    fn the_same_figure_has_the_same_name_everywhere() {
        let vllm = of(
            "vllm:num_requests_waiting{engine=\"0\"} 2\nvllm:num_requests_waiting{engine=\"1\"} 3\nvllm:generation_tokens_total{} 90\nvllm:gpu_cache_usage_perc 0.4\n",
        );
        assert_eq!((vllm.0, value(&vllm.1, "waiting"), value(&vllm.1, "kv_usage")), (vec![Server::Vllm], Some(5.0), Some(0.4)));
        let sglang = of("sglang:num_queue_reqs 7\nsglang:token_usage 0.5\nsglang:generation_tokens_total 3\n");
        assert_eq!((value(&sglang.1, "waiting"), value(&sglang.1, "generation_tokens")), (Some(7.0), Some(3.0)));
        let llama = of("llamacpp:requests_deferred 1\nllamacpp:tokens_predicted_total 42\n");
        assert_eq!((value(&llama.1, "waiting"), value(&llama.1, "generation_tokens")), (Some(1.0), Some(42.0)));
        let tgi = of("tgi_queue_size 4\ntgi_request_generated_tokens_sum 12\n");
        assert_eq!((value(&tgi.1, "waiting"), value(&tgi.1, "generation_tokens")), (Some(4.0), Some(12.0)));
    }

    /// In the form in which the DCGM exporter writes; no GPU was at hand.
    #[test]
    fn each_gpu_is_a_series() {
        let (_, found) = of(include_str!("../../tests/data/dcgm.prom"));
        assert_eq!(value(&found, "gpu_util/0"), Some(0.87));
        assert_eq!(value(&found, "gpu_memory/1"), Some(20_480.0 * 1_048_576.0));
        assert_eq!(value(&found, "gpu_memory_total/1"), Some(24_576.0 * 1_048_576.0));
    }

    #[test]
    fn a_host_by_node_exporter() {
        let (_, found) = of(
            "node_memory_MemTotal_bytes 100\nnode_memory_MemAvailable_bytes 40\nnode_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 8\nnode_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 2\n",
        );
        assert_eq!(
            (value(&found, "host_memory"), value(&found, "cpu_busy"), value(&found, "cpu_all")),
            (Some(60.0), Some(2.0), Some(10.0))
        );
    }
}
