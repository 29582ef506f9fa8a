//! Asks the kernel what a process has used.

/// User and system CPU seconds of this process (`RUSAGE_SELF`) or of its children already waited for (`RUSAGE_CHILDREN`).
pub fn cpu_seconds(who: libc::c_int) -> f64 {
    // SAFETY: `rusage` is plain integers, for which zero is valid, and the pointer lives for the whole call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &mut usage);
        usage
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Lets this process and its children open as many files as the hard limit allows: a stream is a file.
pub fn raise_file_limit() {
    // SAFETY: both calls read or write one `rlimit` that outlives them.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Peak resident memory of a process in MiB; `process` is a number or `self`.
pub fn peak_rss(process: &str) -> Option<f64> {
    field(&format!("/proc/{process}/status"), "VmHWM:")
}

/// Present proportional memory of a process in MiB. It has no peak in the kernel: sample it.
pub fn pss(process: &str) -> Option<f64> {
    field(&format!("/proc/{process}/smaps_rollup"), "Pss:")
}

fn field(path: &str, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|l| l.strip_prefix(name))?;
    value.trim().trim_end_matches(" kB").trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}
