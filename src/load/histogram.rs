//! Distributions that need little memory: exact while there are few values, an HDR histogram (three digits) beyond.

use crate::record::load::Dist;
use crate::record::samples::Samples;
use crate::stats::dist::{Z95, Z975};

/// Values kept one by one; beyond it they go into an HDR histogram, whose error is at most 0.1 %.
const EXACT: usize = 8192;

/// Counts of whole numbers: microseconds for times, thousandths for rates, pieces for tokens.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    exact: Vec<u32>,
    hdr: Option<Box<hdrhistogram::Histogram<u32>>>,
    n: u64,
    sum: f64,
    squares: f64,
    min: u64,
    max: u64,
}

/// Every value, however large, finds room: it is kept as the largest one.
const LARGEST: u64 = u32::MAX as u64;

impl Histogram {
    pub fn record(&mut self, value: u64) {
        let value = value.min(LARGEST);
        let float = value as f64;
        self.min = if self.n == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.n += 1;
        self.sum += float;
        self.squares += float * float;
        match &mut self.hdr {
            Some(hdr) => hdr.saturating_record(value),
            None => {
                self.exact.push(value as u32);
                if self.exact.len() > EXACT {
                    self.spill();
                }
            }
        }
    }

    fn spill(&mut self) {
        // Three digits from 1 to the largest value are always a valid choice.
        if let Ok(mut hdr) = hdrhistogram::Histogram::<u32>::new_with_bounds(1, LARGEST, 3) {
            self.exact.iter().for_each(|v| hdr.saturating_record(u64::from(*v)));
            self.exact = Vec::new();
            self.hdr = Some(Box::new(hdr));
        }
    }

    pub fn len(&self) -> u64 {
        self.n
    }

    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }

    /// Standard deviation ÷ mean; `None` for fewer than two values.
    pub fn variation(&self) -> Option<f64> {
        let mean = self.mean().filter(|m| *m > 0.0 && self.n > 1)?;
        Some(self.deviation() / mean)
    }

    fn deviation(&self) -> f64 {
        let n = self.n as f64;
        if self.n < 2 { 0.0 } else { ((self.squares - self.sum * self.sum / n).max(0.0) / (n - 1.0)).sqrt() }
    }

    /// The quantile among these values and `failed` more that are larger than any; `None` where it falls on one of those,
    /// and when there is no value at all. By interpolation while values are exact.
    pub fn quantile(&mut self, q: f64, failed: u64) -> Option<f64> {
        let all = self.n + failed;
        if self.n == 0 {
            return None;
        }
        let place = (all - 1) as f64 * q;
        let above = place.ceil() as u64;
        if above >= self.n {
            return None;
        }
        match &self.hdr {
            None => {
                self.exact.sort_unstable();
                let (low, high) = (self.exact[place.floor() as usize], self.exact[above as usize]);
                Some(f64::from(low) + (f64::from(high) - f64::from(low)) * (place - place.floor()))
            }
            Some(hdr) => {
                let value = hdr.value_at_quantile((above + 1) as f64 / self.n as f64);
                Some(value.clamp(self.min, self.max) as f64)
            }
        }
    }

    /// Bounds of a quantile at 95 %, by the ranks of the order statistics.
    fn bounds(&mut self, q: f64) -> Option<(f64, f64)> {
        let n = self.n as f64;
        let half = Z975 * (n * q * (1.0 - q)).sqrt();
        let at = |rank: f64| if n > 1.0 { (rank / (n - 1.0)).clamp(0.0, 1.0) } else { 0.0 };
        let (low, high) = (at((n * q - half).floor() - 1.0), at((n * q + half).ceil() - 1.0));
        Some((self.quantile(low, 0)?, self.quantile(high, 0)?))
    }

    /// The figures of this distribution, each value divided by `unit`; `failed` requests that have no value count as
    /// larger than any in the penalised quantiles.
    pub fn dist(&mut self, unit: f64, failed: u64) -> Option<Dist> {
        let mean = self.mean()?;
        let mut at = |q: f64, failed: u64| self.quantile(q, failed).map(|v| v / unit);
        let plain = [0.5, 0.8, 0.9, 0.95, 0.99, 0.999].map(|q| at(q, 0).unwrap_or_default());
        let penalised = [0.5, 0.9, 0.95, 0.99].map(|q| at(q, failed));
        let bounds = [0.5, 0.9, 0.95, 0.99].map(|q| self.bounds(q).map_or([0.0; 2], |(a, b)| [a / unit, b / unit]));
        let half = Z95 * self.deviation() / (self.n as f64).sqrt();
        Some(Dist {
            n: self.n,
            mean: mean / unit,
            mean_upper: (mean + half) / unit,
            sd: self.deviation() / unit,
            min: self.min as f64 / unit,
            max: self.max as f64 / unit,
            p50: plain[0],
            p80: plain[1],
            p90: plain[2],
            p95: plain[3],
            p99: plain[4],
            p999: (self.n >= 1000).then_some(plain[5]),
            p50_pen: penalised[0],
            p90_pen: penalised[1],
            p95_pen: penalised[2],
            p99_pen: penalised[3],
            bounds,
            sample: Samples::default(),
        })
    }

    /// The same with its values, for history.
    pub fn dist_with_sample(&mut self, unit: f64, failed: u64) -> Option<Dist> {
        let mut dist = self.dist(unit, failed)?;
        let ms = |v: u64| (v as f64 / unit * 1e3).round() / 1e3;
        dist.sample = match &self.hdr {
            Some(hdr) => Samples::counted(hdr.iter_recorded().map(|v| (ms(v.value_iterated_to()), v.count_at_value().into()))),
            None => Samples::of(self.exact.iter().map(|v| ms(u64::from(*v))).collect()),
        };
        Some(dist)
    }

    /// The values as an HDR histogram, for an interval log.
    pub fn to_hdr(&self) -> Option<hdrhistogram::Histogram<u32>> {
        if let Some(hdr) = &self.hdr {
            return Some((**hdr).clone());
        }
        let mut hdr = hdrhistogram::Histogram::<u32>::new_with_bounds(1, LARGEST, 3).ok()?;
        self.exact.iter().for_each(|v| hdr.saturating_record(u64::from(*v)));
        Some(hdr)
    }
}

/// A rough distribution for one moment of a chart: 2 % wide steps, so values are right within 1 %. Merges without loss.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sketch {
    counts: Vec<(u16, u32)>,
}

const STEP: f64 = 0.02;

impl Sketch {
    pub fn record(&mut self, value: u64) {
        let place = ((value.max(1) as f64).ln() / STEP).round() as u16;
        self.add(place, 1);
    }

    fn add(&mut self, place: u16, n: u32) {
        match self.counts.binary_search_by_key(&place, |c| c.0) {
            Ok(at) => self.counts[at].1 += n,
            Err(at) => self.counts.insert(at, (place, n)),
        }
    }

    pub fn merge(&mut self, other: &Sketch) {
        other.counts.iter().for_each(|(place, n)| self.add(*place, *n));
    }

    /// Nearest rank.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let all: u64 = self.counts.iter().map(|c| u64::from(c.1)).sum();
        let rank = ((all as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        self.counts.iter().find_map(|(place, n)| {
            seen += u64::from(*n);
            (seen >= rank).then(|| (f64::from(*place) * STEP).exp())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_exact() {
        let mut h = Histogram::default();
        [10, 20, 30, 40].into_iter().for_each(|v| h.record(v));
        // numpy.quantile([10, 20, 30, 40], [.5, .9]) is 25 and 37.
        assert_eq!(h.quantile(0.5, 0), Some(25.0));
        assert_eq!(h.quantile(0.9, 0), Some(37.0));
        let d = h.dist(1.0, 0).unwrap();
        assert!((d.sd - 12.909_944).abs() < 1e-5 && d.mean == 25.0 && d.n == 4);
    }

    #[test]
    fn failures_are_slower_than_anything() {
        let mut h = Histogram::default();
        (1..=95).for_each(|v| h.record(v));
        assert_eq!(h.quantile(0.5, 5), Some(50.5));
        assert_eq!(h.quantile(0.99, 5), None);
        assert!(h.quantile(0.99, 0).is_some());
    }

    #[test]
    fn many_values_are_right_within_a_thousandth() {
        let mut h = Histogram::default();
        (1..=100_000u64).for_each(|v| h.record(v * 10));
        for q in [0.5, 0.9, 0.99, 0.999] {
            let (got, want) = (h.quantile(q, 0).unwrap(), 1_000_000.0 * q);
            assert!((got / want - 1.0).abs() < 0.0011, "{q}: {got} for {want}");
        }
        assert!(h.quantile(0.995, 1000).is_none());
    }

    #[test]
    fn sketches_merge_as_if_they_had_been_one() {
        let (mut a, mut b, mut both) = (Sketch::default(), Sketch::default(), Sketch::default());
        for v in 1..2000u64 {
            if v % 3 == 0 {
                a.record(v)
            } else {
                b.record(v)
            }
            both.record(v);
        }
        a.merge(&b);
        assert_eq!(a, both);
        let p90 = both.quantile(0.9).unwrap();
        assert!((p90 / 1800.0 - 1.0).abs() < 0.03, "{p90}");
    }
}
