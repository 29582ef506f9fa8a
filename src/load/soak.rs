//! Does something creep in a soak? Latency, queue, errors and memory, bin by bin, after the first fifth of the time.

use super::judge::show_value;
use crate::record::load::{Series, Tick, Trend};
use crate::stats::trend::{mann_kendall, theil_sen_inflated};

/// Bins of the trend at most, and at least.
const BINS: usize = 48;
const FEWEST: usize = 24;
/// One-sided level of the trend tests of a load together; each gets its part of it.
const P: f64 = 0.002;

/// What is looked at, how a bin is summed up, and when a rise is a leak.
struct Watched<'a> {
    what: String,
    unit: &'a str,
    points: Vec<(f64, f64)>,
    /// The quantile that stands for a bin: the floor for memory, the middle for latency.
    quantile: f64,
    /// Memory in all, where known: a rise is measured against what is left of it.
    limit: Option<f64>,
}

/// Trends of a soak that ran from `from_s` to `to_s`. Empty when it was too short for 24 bins of ticks.
pub fn trends(ticks: &[Tick], series: &[Series], from_s: f64, to_s: f64) -> Vec<Trend> {
    let begin = from_s + (to_s - from_s) * 0.2;
    let within = |t: f64| t >= begin && t < to_s;
    let of = |what: &str, get: &dyn Fn(&Tick) -> Option<f64>| Watched {
        what: what.to_owned(),
        unit: "ms",
        points: ticks.iter().filter(|t| within(t.t_s)).filter_map(|t| Some((t.t_s, get(t)?))).collect(),
        quantile: 0.5,
        limit: None,
    };
    let mut watched = vec![of("ttft", &|t| t.ttft_p50), of("tpot", &|t| t.tpot_p50), of("e2e", &|t| t.e2e_p50)];
    let mut errors = of("error rate", &|t| (t.ok + t.failed > 0).then(|| t.failed as f64 / (t.ok + t.failed) as f64));
    errors.unit = "share";
    // Errors are rare: the mean of a bin says more than its middle; see `sum_up`.
    errors.quantile = f64::NAN;
    watched.push(errors);
    for one in series {
        let memory = matches!(
            one.name.split('/').next(),
            Some("memory" | "process_memory" | "gpu_memory" | "host_memory" | "open_files" | "threads")
        );
        let queue = matches!(one.name.as_str(), "waiting" | "kv_usage");
        if !memory && !queue {
            continue;
        }
        let total = one.name.replacen("gpu_memory", "gpu_memory_total", 1).replacen("host_memory", "host_memory_total", 1);
        let limit =
            series.iter().find(|s| s.name == total && s.from == one.from && s.name != one.name).and_then(|s| s.points.last()).map(|p| p.1);
        watched.push(Watched {
            what: format!("{} ({})", one.name, one.from),
            unit: &one.unit,
            points: one.points.iter().copied().filter(|p| within(p.0)).collect(),
            quantile: if memory { 0.1 } else { 0.5 },
            limit: limit.filter(|_| memory).or((one.name == "kv_usage").then_some(1.0)),
        });
    }
    let level = P / watched.len() as f64;
    watched.into_iter().filter_map(|w| trend(&w, begin, to_s, level)).collect()
}

fn sum_up(values: &mut [f64], quantile: f64) -> f64 {
    if quantile.is_nan() {
        return values.iter().sum::<f64>() / values.len() as f64;
    }
    values.sort_by(f64::total_cmp);
    if quantile == 0.5 {
        // The mean of the middle half: as sturdy as the median, and finer than the steps of the time series.
        let cut = values.len() / 4;
        let middle = &values[cut..values.len() - cut];
        return middle.iter().sum::<f64>() / middle.len() as f64;
    }
    values[((values.len() - 1) as f64 * quantile).round() as usize]
}

fn trend(w: &Watched<'_>, from_s: f64, to_s: f64, p: f64) -> Option<Trend> {
    let bins = BINS.min(w.points.len() / 2);
    if bins < FEWEST {
        return None;
    }
    let width = (to_s - from_s) / bins as f64;
    let mut grouped: Vec<Vec<f64>> = vec![Vec::new(); bins];
    for (t, value) in &w.points {
        grouped[(((t - from_s) / width) as usize).min(bins - 1)].push(*value);
    }
    let filled: Vec<(f64, f64)> = grouped
        .iter_mut()
        .enumerate()
        .filter(|(_, values)| !values.is_empty())
        .map(|(i, values)| ((from_s + (i as f64 + 0.5) * width) / 3600.0, sum_up(values, w.quantile)))
        .collect();
    if filled.len() < FEWEST {
        return None;
    }
    let (hours, values): (Vec<f64>, Vec<f64>) = filled.into_iter().unzip();
    let test = mann_kendall(&values)?;
    let (slope, lower, _) = theil_sen_inflated(&hours, &values, test.inflation)?;
    let level = sum_up(&mut values.clone(), 0.5);
    let last = *values.last()?;
    let headroom = w.limit.map(|limit| (limit - last).max(0.0));
    let worth = match headroom {
        Some(headroom) => headroom * 0.1,
        None if w.unit == "share" => 0.05,
        None => level.abs() * 0.05,
    };
    // A rise must have been seen, not only be foretold: a fifth of what would count in a day, within this soak.
    let seen = lower.max(slope * 0.5) * (to_s - from_s) / 3600.0 > (worth * 0.2).min(level.abs() * 0.02);
    let rises = test.p_corrected < p && lower * 24.0 > worth && seen;
    // One step, or a restart, is no leak: both halves must rise by themselves.
    let half = values.len() / 2;
    let rising = |part: &[f64], hours: &[f64]| theil_sen_inflated(hours, part, 1.0).is_some_and(|(slope, ..)| slope > 0.0);
    let leak = rises && rising(&values[..half], &hours[..half]) && rising(&values[half..], &hours[half..]);
    let exhausted_in_h = headroom.filter(|_| leak && slope > 0.0).map(|left| left / slope);
    let shown = |v: f64| show_value(v, w.unit);
    let per_hour = format!("{}{}", if slope >= 0.0 { "+" } else { "−" }, shown(slope.abs()));
    let mut why = format!("{} at {}, {per_hour} an hour (p {:.3})", w.what, shown(level), test.p_corrected);
    if leak {
        why = format!("{} creeps: {per_hour} an hour at {} (p {:.4})", w.what, shown(level), test.p_corrected);
    }
    if let Some(h) = exhausted_in_h {
        why.push_str(&format!("; exhausted in {h:.1} h at this pace"));
    }
    Some(Trend {
        what: w.what.clone(),
        unit: w.unit.to_owned(),
        level,
        slope_per_hour: slope,
        slope_lower: lower,
        p: test.p_corrected,
        leak,
        exhausted_in_h,
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: u64) -> f64 {
        let x = crate::units::fnv(i.to_le_bytes()) >> 11;
        x as f64 / (1u64 << 53) as f64 - 0.5
    }

    fn ticks(creep: f64) -> Vec<Tick> {
        (0..3600u64)
            .map(|i| Tick {
                t_s: i as f64,
                ok: 10,
                ttft_p50: Some(200.0 * (1.0 + creep * i as f64 / 3600.0) + 40.0 * noise(i)),
                ..Tick::default()
            })
            .collect()
    }

    fn ttft(creep: f64) -> Trend {
        trends(&ticks(creep), &[], 0.0, 3600.0).into_iter().find(|t| t.what == "ttft").unwrap()
    }

    #[test]
    fn creep_is_seen_and_noise_is_not() {
        assert!(ttft(0.1).leak, "{:?}", ttft(0.1));
        assert!(!ttft(0.0).leak && !ttft(-0.1).leak);
    }

    #[test]
    fn a_step_is_no_leak() {
        let mut stepped = ticks(0.0);
        stepped.iter_mut().skip(2000).for_each(|t| t.ttft_p50 = t.ttft_p50.map(|v| v + 100.0));
        assert!(!trends(&stepped, &[], 0.0, 3600.0)[0].leak);
    }

    #[test]
    fn memory_that_grows_has_an_end() {
        let points: Vec<(f64, f64)> = (0..3600).map(|i| (f64::from(i), 8e9 + 1e6 * f64::from(i) + 1e7 * noise(i as u64))).collect();
        let total = (0..3600).map(|i| (f64::from(i), 24e9)).collect();
        let series = |name: &str, points| Series { from: "gpu".into(), name: name.into(), unit: "bytes".into(), points };
        let found = trends(&[], &[series("gpu_memory/0", points), series("gpu_memory_total/0", total)], 0.0, 3600.0);
        let memory = found.iter().find(|t| t.what.starts_with("gpu_memory/0")).unwrap();
        assert!(memory.leak && (memory.exhausted_in_h.unwrap() - 12.4 / 3.6).abs() < 0.1, "{memory:?}");
    }

    #[test]
    fn a_short_load_has_no_trend() {
        assert!(trends(&ticks(0.1)[..30], &[], 0.0, 30.0).is_empty());
    }
}
