//! Linux's `/proc` as figures.

use super::Reading;

/// Clock ticks a second that `/proc` counts in; fixed by the kernel's interface.
const TICKS: f64 = 100.0;

/// Busy and all CPU seconds of the host, from `/proc/stat`; and memory, from `/proc/meminfo`.
pub fn host(stat: &str, meminfo: &str) -> Vec<Reading> {
    let mut out = Vec::new();
    if let Some(line) = stat.lines().find_map(|l| l.strip_prefix("cpu ")) {
        // user nice system idle iowait irq softirq steal; guest time is part of user.
        let ticks: Vec<f64> = line.split_whitespace().take(8).filter_map(|n| n.parse().ok()).collect();
        if ticks.len() >= 5 {
            let all: f64 = ticks.iter().sum();
            out.push(Reading::counter("cpu_busy", "s", (all - ticks[3] - ticks[4]) / TICKS));
            out.push(Reading::counter("cpu_all", "s", all / TICKS));
        }
    }
    let kib = |name: &str| {
        let value = meminfo.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
        value.split_whitespace().next()?.parse::<f64>().ok().map(|k| k * 1024.0)
    };
    if let (Some(total), Some(free)) = (kib("MemTotal"), kib("MemAvailable")) {
        out.push(Reading::gauge("host_memory", "bytes", total - free));
        out.push(Reading::gauge("host_memory_total", "bytes", total));
    }
    out
}

/// CPU seconds, threads and resident memory of a process, from its `stat` and `status`.
pub fn process(stat: &str, status: &str) -> Vec<Reading> {
    let mut out = Vec::new();
    // The name stands in parentheses and may hold anything, parentheses and spaces too.
    if let Some((_, rest)) = stat.rsplit_once(')') {
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |place: usize| fields.get(place).and_then(|f| f.parse::<f64>().ok());
        if let (Some(user), Some(system)) = (number(11), number(12)) {
            out.push(Reading::counter("process_cpu_s", "s", (user + system) / TICKS));
        }
        out.extend(number(17).map(|n| Reading::gauge("threads", "count", n)));
        out.extend(number(19).map(|n| Reading::gauge("process_start", "s", n / TICKS)));
    }
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
    out.extend(rss.map(|kib| Reading::gauge("process_memory", "bytes", kib * 1024.0)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(readings: &[Reading], series: &str) -> f64 {
        readings.iter().find(|r| r.series == series).unwrap().value
    }

    #[test]
    fn a_host() {
        let found = host("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2\n", "MemTotal:  1000 kB\nMemFree: 10 kB\nMemAvailable:    400 kB\n");
        assert_eq!((value(&found, "cpu_busy"), value(&found, "cpu_all"), value(&found, "host_memory")), (1.5, 10.0, 600.0 * 1024.0));
        assert!(host("", "").is_empty());
    }

    #[test]
    fn a_process_with_an_odd_name() {
        let stat = "42 (my (odd) name) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 7 0 12345 1000 200";
        let found = process(stat, "Name: x\nVmRSS:\t  2048 kB\n");
        assert_eq!(
            (value(&found, "process_cpu_s"), value(&found, "threads"), value(&found, "process_memory")),
            (2.0, 7.0, 2048.0 * 1024.0)
        );
        assert_eq!(value(&found, "process_start"), 123.45);
    }
}
