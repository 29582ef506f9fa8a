//! Reads figures of a service, its GPU and its host out of the texts in which they come: Prometheus pages, `nvidia-smi`, `/proc`.
//! Whatever the source, a figure has the same name and unit.

pub mod exposition;
pub mod nvidia;
pub mod procfs;
pub mod roles;

/// Whether a figure is a level or only ever grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    /// Its increase is what counts; a fall means that the source was restarted.
    Counter,
}

/// One figure at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// A stable name such as `waiting`, `kv_usage`, `gpu_memory/0`.
    pub series: String,
    /// `count`, `share` (0 to 1), `bytes`, `s`, `W`, `°C`, `MHz`.
    pub unit: &'static str,
    pub kind: Kind,
    pub value: f64,
}

impl Reading {
    fn gauge(series: impl Into<String>, unit: &'static str, value: f64) -> Reading {
        Reading { series: series.into(), unit, kind: Kind::Gauge, value }
    }

    fn counter(series: impl Into<String>, unit: &'static str, value: f64) -> Reading {
        Reading { series: series.into(), unit, kind: Kind::Counter, value }
    }
}
