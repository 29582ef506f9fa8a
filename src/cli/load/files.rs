//! The interval log of a load, in the format of HdrHistogram's tools.

use crate::load::histogram::Histogram;
use crate::load::tally::Interval;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Appends a line for each metric every ten seconds; values are microseconds.
pub(super) struct HdrLog {
    file: File,
    started: bool,
}

impl HdrLog {
    pub(super) fn create(path: &Path) -> Result<HdrLog, String> {
        let open = || -> std::io::Result<File> {
            if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
                std::fs::create_dir_all(dir)?;
            }
            File::create(path)
        };
        open().map(|file| HdrLog { file, started: false }).map_err(|e| format!("{} cannot be written: {e}", path.display()))
    }

    pub(super) fn write(&mut self, at_s: f64, length_s: f64, values: &Interval) -> Result<(), String> {
        let mut text = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        {
            let mut builder = IntervalLogWriterBuilder::new();
            if !self.started {
                builder.add_comment("roadworthy: microseconds, by tag");
            }
            let mut log = builder.begin_log_with(&mut text, &mut serializer).map_err(|e| e.to_string())?;
            let metrics: [(&str, &Histogram); 3] = [("ttft", &values.ttft), ("tpot", &values.tpot), ("e2e", &values.e2e)];
            for (tag, histogram) in metrics.into_iter().filter(|(_, h)| !h.is_empty()) {
                if let Some(hdr) = histogram.to_hdr() {
                    let (at, length) = (Duration::from_secs_f64(at_s), Duration::from_secs_f64(length_s));
                    log.write_histogram(&hdr, at, length, Tag::new(tag)).map_err(|e| format!("{e:?}"))?;
                }
            }
        }
        self.started = true;
        self.file.write_all(&text).map_err(|e| e.to_string())
    }
}
