//! Watches the service, its GPU and its host during a load, once a second. What cannot be read leaves a gap that is told;
//! the load goes on.

pub mod health;

use crate::gauges::exposition::parse;
use crate::gauges::{Kind, Reading, nvidia, procfs, roles};
use crate::record::load::{Series, ServerView};
use crate::scenario::Monitor;
use crate::target::Service;
use std::collections::BTreeMap;

/// Points of a series at most; beyond it every second one goes.
const POINTS: usize = 3600;

/// One source and what it gave.
struct Source {
    monitor: Monitor,
    /// As shown: an address, `host`, `nvidia-smi`, `pid 123`.
    name: String,
    last: BTreeMap<String, (f64, f64)>,
    /// First value of each counter, and its increase since, restarts put together.
    counted: BTreeMap<String, f64>,
    restarts: u64,
    missing_since: Option<(f64, String)>,
    ever: bool,
}

/// Everything that is watched during one load.
pub struct Watch {
    sources: Vec<Source>,
    pub series: Vec<Series>,
    /// Told to the reader: gaps, sources that never answered.
    pub notes: Vec<String>,
    stride: u64,
    beats: u64,
}

impl Watch {
    /// `host` is watched in any case, and the target's own metrics page where one is named.
    pub fn new(monitors: &[Monitor], target_metrics: Option<&str>) -> Watch {
        let mut wanted: Vec<Monitor> = vec![Monitor::Host];
        wanted.extend(target_metrics.map(|url| Monitor::Prometheus(url.to_owned())));
        for monitor in monitors {
            if *monitor != Monitor::Target && !wanted.contains(monitor) {
                wanted.push(monitor.clone());
            }
        }
        let mut notes = Vec::new();
        if monitors.contains(&Monitor::Target) && target_metrics.is_none() {
            notes.push(
                "`monitor: target` needs `metrics` of the target in roadworthy.yaml; the service's own figures are missing".to_owned(),
            );
        }
        let sources = wanted.into_iter().map(|monitor| Source {
            name: match &monitor {
                Monitor::Prometheus(url) => url.clone(),
                Monitor::NvidiaSmi => "nvidia-smi".into(),
                Monitor::Pid(pid) => format!("pid {pid}"),
                Monitor::Host | Monitor::Target => "host".into(),
            },
            monitor,
            last: BTreeMap::new(),
            counted: BTreeMap::new(),
            restarts: 0,
            missing_since: None,
            ever: false,
        });
        Watch { sources: sources.collect(), series: Vec::new(), notes, stride: 1, beats: 0 }
    }

    /// Reads every source once, at `t_s` seconds from the start of the load.
    pub async fn beat(&mut self, service: &Service, t_s: f64) {
        let readings = futures_util::future::join_all(self.sources.iter().map(|s| read(&s.monitor, service))).await;
        let keep = self.beats.is_multiple_of(self.stride);
        self.beats += 1;
        for (source, found) in self.sources.iter_mut().zip(readings) {
            match found {
                Ok(readings) => {
                    source.ever = true;
                    if let Some((since, why)) = source.missing_since.take()
                        && self.notes.len() < 50
                    {
                        self.notes.push(format!("{} could not be read from {since:.0} s to {t_s:.0} s: {why}", source.name));
                    }
                    let figures = source.take(readings, t_s);
                    if keep {
                        for (name, unit, value) in figures {
                            push(&mut self.series, &source.name, &name, unit, (round(t_s), value));
                        }
                    }
                }
                Err(why) => {
                    source.missing_since.get_or_insert((t_s, why));
                }
            }
        }
        if self.series.iter().any(|s| s.points.len() > POINTS) {
            self.stride *= 2;
            for one in &mut self.series {
                let mut n = 0;
                one.points.retain(|_| {
                    n += 1;
                    n % 2 == 1
                });
            }
        }
    }

    /// The last word: sources that are silent to the end, and what the service says about itself.
    pub fn finish(&mut self, t_s: f64) -> Option<ServerView> {
        for source in &self.sources {
            if let Some((since, why)) = &source.missing_since {
                self.notes.push(match source.ever {
                    true => format!("{} could not be read from {since:.0} s to the end at {t_s:.0} s: {why}", source.name),
                    false => format!("{} was never read: {why}", source.name),
                });
            }
            if source.restarts > 0 {
                self.notes.push(format!("{} was restarted {} times during the load", source.name, source.restarts));
            }
        }
        self.view()
    }

    fn view(&self) -> Option<ServerView> {
        let count = |name: &str| {
            let found = self.sources.iter().filter(|s| matches!(s.monitor, Monitor::Prometheus(_))).filter_map(|s| s.counted.get(name));
            found.copied().reduce(|a, b| a + b)
        };
        let mean = |name: &str| {
            let n = count(&format!("server_{name}_count")).filter(|n| *n > 0.0)?;
            Some(count(&format!("server_{name}_sum"))? / n * 1e3)
        };
        let max = |name: &str| self.series.iter().filter(|s| s.name == name).flat_map(|s| &s.points).map(|p| p.1).reduce(f64::max);
        let last = |name: &str| self.series.iter().find(|s| s.name == name).and_then(|s| s.points.last()).map(|p| p.1);
        let hits = count("prefix_queries").filter(|q| *q > 0.0).and_then(|q| Some(count("prefix_hits")? / q));
        let view = ServerView {
            ttft_mean: mean("ttft"),
            e2e_mean: mean("e2e"),
            prompt_tokens: count("prompt_tokens"),
            generation_tokens: count("generation_tokens"),
            decode_s: count("server_decode_s"),
            cache_hit_rate: hits.or(last("cache_hit_rate")),
            preemptions: count("preemptions"),
            waiting_max: max("waiting"),
            kv_usage_max: max("kv_usage"),
            restarts: self.sources.iter().map(|s| s.restarts).sum(),
        };
        (view != ServerView::default()).then_some(view)
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn push(series: &mut Vec<Series>, from: &str, name: &str, unit: &str, point: (f64, f64)) {
    match series.iter_mut().find(|s| s.name == name && s.from == from) {
        Some(one) => one.points.push(point),
        None => series.push(Series { from: from.to_owned(), name: name.to_owned(), unit: unit.to_owned(), points: vec![point] }),
    }
}

impl Source {
    /// Makes levels and rates of readings, and remembers the counters.
    fn take(&mut self, readings: Vec<Reading>, t_s: f64) -> Vec<(String, &'static str, f64)> {
        let mut out = Vec::new();
        let mut increase: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        let mut reset = false;
        for reading in readings {
            let before = self.last.insert(reading.series.clone(), (t_s, reading.value));
            if reading.kind == Kind::Gauge {
                reset |= reading.series == "process_start" && before.is_some_and(|(_, v)| reading.value > v + 0.5);
                if reading.series != "process_start" {
                    out.push((reading.series, reading.unit, reading.value));
                }
                continue;
            }
            let total = self.counted.entry(reading.series.clone()).or_insert(0.0);
            if let Some((then, value)) = before {
                // A counter that falls began anew.
                let grown = if reading.value < value { reading.value } else { reading.value - value };
                reset |= reading.value < value;
                *total += grown;
                increase.insert(reading.series, (grown, t_s - then));
            }
        }
        self.restarts += u64::from(reset);
        let rate = |name: &str| increase.get(name).filter(|(_, s)| *s > 0.0).map(|(n, s)| n / s);
        if let (Some((busy, _)), Some((all, _))) = (increase.get("cpu_busy"), increase.get("cpu_all"))
            && *all > 0.0
        {
            out.push(("cpu".into(), "share", busy / all));
        }
        for (counter, name, unit) in [
            ("process_cpu_s", "process_cpu", "cores"),
            ("generation_tokens", "server_tokens", "1/s"),
            ("preemptions", "preemptions", "1/s"),
            ("requests_ok", "server_answers", "1/s"),
        ] {
            out.extend(rate(counter).map(|r| (name.to_owned(), unit, r)));
        }
        if let (Some((hits, _)), Some((asked, _))) = (increase.get("prefix_hits"), increase.get("prefix_queries"))
            && *asked > 0.0
        {
            out.push(("cache_hit_rate".into(), "share", hits / asked));
        }
        out
    }
}

async fn read(monitor: &Monitor, service: &Service) -> Result<Vec<Reading>, String> {
    let file = |path: String| std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"));
    match monitor {
        Monitor::Prometheus(url) => {
            let (_, readings) = roles::readings(&parse(&service.page(url).await?));
            if readings.is_empty() { Err("the page holds no figure that is known here".into()) } else { Ok(readings) }
        }
        Monitor::Host | Monitor::Target => Ok(procfs::host(&file("/proc/stat".into())?, &file("/proc/meminfo".into())?)),
        Monitor::Pid(pid) => {
            let mut out = procfs::process(&file(format!("/proc/{pid}/stat"))?, &file(format!("/proc/{pid}/status"))?);
            let files = std::fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count);
            out.extend(files.ok().map(|n| Reading { series: "open_files".into(), unit: "count", kind: Kind::Gauge, value: n as f64 }));
            Ok(out)
        }
        Monitor::NvidiaSmi => {
            let asked = tokio::task::spawn_blocking(|| std::process::Command::new("nvidia-smi").args(nvidia::QUERY).output());
            let output = match tokio::time::timeout(std::time::Duration::from_secs(5), asked).await {
                Ok(Ok(Ok(output))) => output,
                Ok(Ok(Err(e))) => return Err(format!("nvidia-smi cannot be started: {e}")),
                _ => return Err("nvidia-smi does not answer".into()),
            };
            nvidia::parse(&String::from_utf8_lossy(&output.stdout))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(series: &str, kind: Kind, value: f64) -> Reading {
        Reading { series: series.into(), unit: "count", kind, value }
    }

    fn source() -> Source {
        let mut watch = Watch::new(&[Monitor::Prometheus("http://x/metrics".into())], None);
        watch.sources.pop().unwrap()
    }

    #[test]
    fn counters_survive_a_restart() {
        let mut s = source();
        for (t, value) in [(0.0, 100.0), (1.0, 150.0), (2.0, 10.0), (3.0, 30.0)] {
            s.take(vec![reading("generation_tokens", Kind::Counter, value)], t);
        }
        assert_eq!((s.counted["generation_tokens"], s.restarts), (80.0, 1));
    }

    #[test]
    fn cpu_is_a_share_of_the_time_between_two_looks() {
        let mut s = source();
        s.take(vec![reading("cpu_busy", Kind::Counter, 10.0), reading("cpu_all", Kind::Counter, 100.0)], 0.0);
        let out = s.take(vec![reading("cpu_busy", Kind::Counter, 11.0), reading("cpu_all", Kind::Counter, 102.0)], 1.0);
        assert_eq!(out, [("cpu".to_owned(), "share", 0.5)]);
    }

    #[test]
    fn the_same_source_is_watched_once() {
        let twice = Watch::new(&[Monitor::Host, Monitor::Target, Monitor::Prometheus("http://a".into())], Some("http://a"));
        assert_eq!(twice.sources.len(), 2);
        assert!(twice.notes.is_empty());
        assert_eq!(Watch::new(&[Monitor::Target], None).notes.len(), 1);
    }
}
