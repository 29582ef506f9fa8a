//! What a simulated service counts of itself, told with vLLM's names.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds in seconds of vLLM's histograms, to first token, between tokens, and of whole requests.
const TO_FIRST: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0];
const BETWEEN: &[f64] = &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0];
const WHOLE: &[f64] =
    &[0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0];

/// Times in buckets, the last of them without a bound.
#[derive(Debug)]
pub(super) struct Histogram {
    name: &'static str,
    bounds: &'static [f64],
    counts: Vec<AtomicU64>,
    sum_us: AtomicU64,
}

impl Histogram {
    fn new(name: &'static str, bounds: &'static [f64]) -> Histogram {
        Histogram { name, bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum_us: AtomicU64::new(0) }
    }

    pub fn add(&self, time: Duration) {
        let bucket = self.bounds.partition_point(|bound| *bound < time.as_secs_f64());
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(time.as_micros() as u64, Relaxed);
    }

    fn write(&self, page: &mut Page) {
        page.head(self.name, "histogram");
        let mut so_far = 0;
        for (i, count) in self.counts.iter().enumerate() {
            so_far += count.load(Relaxed);
            let le = self.bounds.get(i).map_or("+Inf".to_owned(), f64::to_string);
            page.line(&format!("{}_bucket", self.name), &format!(",le=\"{le}\""), so_far as f64);
        }
        page.line(&format!("{}_sum", self.name), "", self.sum_us.load(Relaxed) as f64 / 1e6);
        page.line(&format!("{}_count", self.name), "", so_far as f64);
    }
}

/// Everything that the service counts.
#[derive(Debug)]
pub(super) struct Counters {
    started_s: f64,
    pub requests: AtomicU64,
    pub running: AtomicU64,
    pub waiting: AtomicU64,
    pub stopped: AtomicU64,
    /// Ended by the limit of their tokens.
    pub cut: AtomicU64,
    /// Given up by their client.
    pub aborted: AtomicU64,
    pub prompt_tokens: AtomicU64,
    pub cached_tokens: AtomicU64,
    pub generation_tokens: AtomicU64,
    pub to_first: Histogram,
    pub between: Histogram,
    pub queued: Histogram,
    pub whole: Histogram,
}

impl Counters {
    pub fn new() -> Counters {
        let zero = AtomicU64::default;
        Counters {
            started_s: jiff::Timestamp::now().as_millisecond() as f64 / 1e3,
            requests: zero(),
            running: zero(),
            waiting: zero(),
            stopped: zero(),
            cut: zero(),
            aborted: zero(),
            prompt_tokens: zero(),
            cached_tokens: zero(),
            generation_tokens: zero(),
            to_first: Histogram::new("vllm:time_to_first_token_seconds", TO_FIRST),
            between: Histogram::new("vllm:inter_token_latency_seconds", BETWEEN),
            queued: Histogram::new("vllm:request_queue_time_seconds", WHOLE),
            whole: Histogram::new("vllm:e2e_request_latency_seconds", WHOLE),
        }
    }

    /// The page in Prometheus' text format. `slots` is how many requests run at once at most.
    pub fn page(&self, model: &str, slots: Option<usize>) -> String {
        let mut page = Page { text: String::new(), model: model.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ") };
        let count = |counter: &AtomicU64| counter.load(Relaxed) as f64;
        page.single("vllm:num_requests_running", "gauge", count(&self.running));
        page.single("vllm:num_requests_waiting", "gauge", count(&self.waiting));
        // A slot taken stands for its share of the cache of keys and values.
        page.single("vllm:kv_cache_usage_perc", "gauge", slots.map_or(0.0, |n| count(&self.running) / n as f64));
        page.head("vllm:request_success_total", "counter");
        for (reason, counter) in [("stop", &self.stopped), ("length", &self.cut), ("abort", &self.aborted)] {
            page.line("vllm:request_success_total", &format!(",finished_reason=\"{reason}\""), count(counter));
        }
        page.single("vllm:prompt_tokens_total", "counter", count(&self.prompt_tokens));
        page.single("vllm:generation_tokens_total", "counter", count(&self.generation_tokens));
        page.single("vllm:prefix_cache_queries_total", "counter", count(&self.prompt_tokens));
        page.single("vllm:prefix_cache_hits_total", "counter", count(&self.cached_tokens));
        page.single("vllm:num_preemptions_total", "counter", 0.0);
        [&self.to_first, &self.between, &self.queued, &self.whole].into_iter().for_each(|h| h.write(&mut page));
        page.head("process_start_time_seconds", "gauge");
        let _ = writeln!(page.text, "process_start_time_seconds {}", self.started_s);
        page.text
    }
}

struct Page {
    text: String,
    model: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str) {
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.text, "{name}{{model_name=\"{}\",engine=\"0\"{labels}}} {value}", self.model);
    }

    fn single(&mut self, name: &str, kind: &str, value: f64) {
        self.head(name, kind);
        self.line(name, "", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_is_below_their_bound() {
        let counters = Counters::new();
        for ms in [1, 90, 100, 101, 5_000_000] {
            counters.to_first.add(Duration::from_millis(ms));
        }
        let page = counters.page("a \"model\"", Some(4));
        for line in [
            "vllm:time_to_first_token_seconds_bucket{model_name=\"a \\\"model\\\"\",engine=\"0\",le=\"0.001\"} 1",
            "vllm:time_to_first_token_seconds_bucket{model_name=\"a \\\"model\\\"\",engine=\"0\",le=\"0.1\"} 3",
            "vllm:time_to_first_token_seconds_bucket{model_name=\"a \\\"model\\\"\",engine=\"0\",le=\"+Inf\"} 5",
            "vllm:time_to_first_token_seconds_sum{model_name=\"a \\\"model\\\"\",engine=\"0\"} 5000.292",
            "vllm:time_to_first_token_seconds_count{model_name=\"a \\\"model\\\"\",engine=\"0\"} 5",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
        }
    }
}
