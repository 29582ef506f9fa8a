//! What `nvidia-smi` says about the GPUs of this machine.

use super::Reading;

/// Arguments of the query.
pub const QUERY: [&str; 2] =
    ["--query-gpu=index,utilization.gpu,memory.used,memory.total,power.draw,temperature.gpu,clocks.sm", "--format=csv,noheader,nounits"];

const COLUMNS: [(&str, &str, f64); 6] = [
    ("gpu_util", "share", 0.01),
    ("gpu_memory", "bytes", 1_048_576.0),
    ("gpu_memory_total", "bytes", 1_048_576.0),
    ("gpu_power", "W", 1.0),
    ("gpu_temperature", "°C", 1.0),
    ("gpu_clock", "MHz", 1.0),
];

/// Reads the answer; what a GPU does not tell is left out.
pub fn parse(csv: &str) -> Result<Vec<Reading>, String> {
    let mut out = Vec::new();
    for line in csv.lines().filter(|l| !l.trim().is_empty()) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let gpu = cells.first().filter(|c| c.parse::<u32>().is_ok()).filter(|_| cells.len() == COLUMNS.len() + 1);
        let gpu = gpu.ok_or_else(|| format!("nvidia-smi says `{}`", crate::redact::excerpt(line, 120)))?;
        for ((series, unit, scale), cell) in COLUMNS.iter().zip(&cells[1..]) {
            if let Some(value) = cell.parse::<f64>().ok().filter(|v| v.is_finite()) {
                out.push(Reading::gauge(format!("{series}/{gpu}"), unit, value * scale));
            }
        }
    }
    if out.is_empty() { Err("nvidia-smi names no GPU".into()) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_tell_what_they_know() {
        let found = parse("0, 87, 20480, 24576, 212.5, 61, 1980\n1, [N/A], 1024, 24576, [Not Supported], 40, 210\n").unwrap();
        assert_eq!(found.len(), 10);
        assert_eq!((found[0].series.as_str(), found[0].value), ("gpu_util/0", 0.87));
        assert!(found.iter().all(|r| r.series != "gpu_power/1"));
        assert!(parse("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.").is_err());
        assert!(parse("").is_err());
    }
}
