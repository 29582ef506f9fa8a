//! What happened second by second, in bounded memory: when there are too many entries, neighbours are put together.

use super::histogram::Sketch;
use crate::record::load::Tick;

/// Entries at most: an hour by the second, then two hours by two seconds.
const ENTRIES: usize = 3600;

#[derive(Debug, Clone, Default)]
pub struct Bin {
    /// In-flight requests × seconds.
    pub area: f64,
    pub started: u64,
    pub ok: u64,
    pub failed: u64,
    pub tokens: f64,
    pub wasted: f64,
    pub ttft: Sketch,
    pub e2e: Sketch,
    pub tpot: Sketch,
}

impl Bin {
    fn merge(&mut self, other: &Bin) {
        self.area += other.area;
        self.started += other.started;
        self.ok += other.ok;
        self.failed += other.failed;
        self.tokens += other.tokens;
        self.wasted += other.wasted;
        self.ttft.merge(&other.ttft);
        self.e2e.merge(&other.e2e);
        self.tpot.merge(&other.tpot);
    }
}

/// Bins of equal width from the start of a load.
#[derive(Debug, Clone)]
pub struct Timeline {
    pub bins: Vec<Bin>,
    pub width_s: f64,
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline { bins: Vec::new(), width_s: 1.0 }
    }
}

impl Timeline {
    /// The bin of a moment, seconds from the start.
    pub fn at(&mut self, t_s: f64) -> &mut Bin {
        while (t_s.max(0.0) / self.width_s) as usize >= ENTRIES {
            self.halve();
        }
        let place = (t_s.max(0.0) / self.width_s) as usize;
        if place >= self.bins.len() {
            self.bins.resize_with(place + 1, Bin::default);
        }
        &mut self.bins[place]
    }

    fn halve(&mut self) {
        self.width_s *= 2.0;
        let mut merged: Vec<Bin> = Vec::with_capacity(ENTRIES);
        for pair in self.bins.chunks(2) {
            let mut bin = pair[0].clone();
            if let Some(other) = pair.get(1) {
                bin.merge(other);
            }
            merged.push(bin);
        }
        self.bins = merged;
    }

    /// Adds in-flight time between two moments.
    pub fn busy(&mut self, from_s: f64, to_s: f64, in_flight: u64) {
        let mut at = from_s;
        while at < to_s {
            let width = self.width_s;
            let end = (((at / width).floor() + 1.0) * width).min(to_s);
            self.at(at).area += (end - at) * in_flight as f64;
            if end <= at {
                break;
            }
            at = end;
        }
    }

    /// The bins inside a span, from the first that begins in it to the last that ends in it.
    pub fn within(&self, from_s: f64, to_s: f64) -> &[Bin] {
        let first = (from_s / self.width_s - 1e-9).ceil().max(0.0) as usize;
        let end = ((to_s / self.width_s + 1e-9).floor() as usize).min(self.bins.len());
        self.bins.get(first..end).unwrap_or_default()
    }

    /// The time series of a record.
    pub fn ticks(&self) -> Vec<Tick> {
        self.bins.iter().enumerate().map(|(i, bin)| self.tick(i, bin)).collect()
    }

    /// One entry.
    pub fn tick(&self, place: usize, bin: &Bin) -> Tick {
        let ms = |s: &Sketch, q| s.quantile(q).map(|us| (us / 10.0).round() / 100.0);
        Tick {
            t_s: place as f64 * self.width_s,
            in_flight: (bin.area / self.width_s * 100.0).round() / 100.0,
            started: bin.started,
            ok: bin.ok,
            failed: bin.failed,
            tps: (bin.tokens / self.width_s * 100.0).round() / 100.0,
            ttft_p50: ms(&bin.ttft, 0.5),
            ttft_p95: ms(&bin.ttft, 0.95),
            e2e_p50: ms(&bin.e2e, 0.5),
            e2e_p95: ms(&bin.e2e, 0.95),
            tpot_p50: ms(&bin.tpot, 0.5),
        }
    }
}

/// Coefficient of variation of completions per bin of ten seconds (one second in windows shorter than a minute), with the bin's width.
/// `None` with fewer than three bins.
pub fn variation_qps(timeline: &Timeline, from_s: f64, to_s: f64) -> (Option<f64>, f64) {
    let width = if to_s - from_s >= 60.0 { 10.0 } else { 1.0 };
    let width = f64::max(width, timeline.width_s);
    let per = (width / timeline.width_s).round().max(1.0) as usize;
    let counts: Vec<f64> = timeline.within(from_s, to_s).chunks_exact(per).map(|bins| bins.iter().map(|b| b.ok as f64).sum()).collect();
    if counts.len() < 3 {
        return (None, width);
    }
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (counts.len() - 1) as f64;
    ((mean > 0.0).then(|| variance.sqrt() / mean), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_load_keeps_every_count_in_bounded_memory() {
        let mut timeline = Timeline::default();
        for second in 0..20_000u32 {
            timeline.at(f64::from(second) + 0.5).ok += 1;
        }
        assert!(timeline.bins.len() <= ENTRIES && timeline.width_s == 8.0);
        assert_eq!(timeline.bins.iter().map(|b| b.ok).sum::<u64>(), 20_000);
    }

    #[test]
    fn time_in_flight_is_shared_among_bins() {
        let mut timeline = Timeline::default();
        timeline.busy(0.5, 2.25, 4);
        let areas: Vec<f64> = timeline.bins.iter().map(|b| b.area).collect();
        assert_eq!(areas, [2.0, 4.0, 1.0]);
    }

    #[test]
    fn only_whole_bins_lie_within_a_span() {
        let mut timeline = Timeline::default();
        (0..10).for_each(|s| timeline.at(f64::from(s)).ok = s as u64);
        let inside: Vec<u64> = timeline.within(2.0, 5.5).iter().map(|b| b.ok).collect();
        assert_eq!(inside, [2, 3, 4]);
        assert_eq!(variation_qps(&timeline, 0.0, 2.0), (None, 1.0));
    }
}
