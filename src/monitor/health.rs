//! The client's own health: how busy its threads are, its memory, its open files. Linux tells; elsewhere these stay unknown.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

/// Threads of the load, by their ids in `/proc/self/task`.
#[derive(Debug, Default)]
pub struct Probe {
    threads: Mutex<Vec<String>>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Moments and CPU seconds of the last ten seconds.
    recent: VecDeque<(Instant, f64)>,
    first: Option<(Instant, f64)>,
    /// Of the last ten seconds, and the most there was.
    lately: f64,
    max: f64,
}

/// A busy thread is the limit itself above this share of a core.
pub const BUSY: f64 = 0.8;

impl Probe {
    /// The calling thread sends requests.
    pub fn join(&self) {
        if let Ok(link) = std::fs::read_link("/proc/thread-self")
            && let Some(id) = link.file_name()
        {
            self.threads.lock().expect("no panic under this lock").push(id.to_string_lossy().into_owned());
        }
    }

    /// Seconds on a CPU of all threads together.
    fn cpu(&self) -> Option<f64> {
        let threads = self.threads.lock().expect("no panic under this lock");
        let of = |id: &String| {
            let text = std::fs::read_to_string(format!("/proc/self/task/{id}/schedstat")).ok()?;
            Some(text.split_whitespace().next()?.parse::<f64>().ok()? / 1e9)
        };
        let all: Vec<f64> = threads.iter().filter_map(of).collect();
        (!all.is_empty()).then(|| all.iter().sum())
    }

    /// Reads the clock of the threads; once a second.
    pub fn sample(&self) {
        let Some(cpu) = self.cpu() else { return };
        let workers = self.threads.lock().expect("no panic under this lock").len().max(1) as f64;
        let now = Instant::now();
        let mut seen = self.seen.lock().expect("no panic under this lock");
        seen.first.get_or_insert((now, cpu));
        seen.recent.push_back((now, cpu));
        while seen.recent.len() > 2 && now.duration_since(seen.recent[0].0).as_secs_f64() > 10.5 {
            seen.recent.pop_front();
        }
        let (then, before) = seen.recent[0];
        let span = now.duration_since(then).as_secs_f64();
        if span > 4.0 {
            seen.lately = (cpu - before) / span / workers;
            seen.max = seen.max.max(seen.lately);
        }
    }

    /// Share of a core that each thread uses: highest over some ten seconds, and over all.
    pub fn busy(&self) -> (f64, f64) {
        let workers = self.threads.lock().expect("no panic under this lock").len().max(1) as f64;
        let seen = self.seen.lock().expect("no panic under this lock");
        let mean = match (seen.first, seen.recent.back()) {
            (Some((first, a)), Some((last, b))) if *last > first => (b - a) / last.duration_since(first).as_secs_f64() / workers,
            _ => 0.0,
        };
        (seen.max.max(mean), mean)
    }

    /// What makes the client the limit right now, if anything.
    pub fn problem(&self) -> Option<String> {
        too_busy(self.seen.lock().expect("no panic under this lock").lately)
    }

    /// What made the client the limit at any time.
    pub fn worst_problem(&self) -> Option<String> {
        too_busy(self.busy().0)
    }
}

fn too_busy(share: f64) -> Option<String> {
    (share > BUSY)
        .then(|| format!("its threads were busy for {:.0} % of the time; give it more `workers`, or more machines", share * 100.0))
}

/// Resident memory in bytes and open files of this process, with the limit on the latter.
pub fn own() -> (u64, u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, |d| d.count() as u64);
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit =
        limits.lines().find_map(|l| l.strip_prefix("Max open files")).and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    (kib.unwrap_or(0) * 1024, files, limit.unwrap_or(u64::MAX))
}

/// TCP segments that this machine sent again since it started.
pub fn retransmits() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/net/snmp").ok()?;
    let mut tcp = text.lines().filter_map(|l| l.strip_prefix("Tcp:"));
    let (names, values) = (tcp.next()?, tcp.next()?);
    let place = names.split_whitespace().position(|n| n == "RetransSegs")?;
    values.split_whitespace().nth(place)?.parse().ok()
}
