//! Quantities as people write them: `800ms`, `95%`, `100_000`, `20..60`. Parsing only; a parsed value carries its unit in its type.

use std::fmt;
use std::time::Duration;

/// A share of a whole, `0.0..=1.0`. Written `95%` or `0.95`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = (self.0 * 1e4).round() / 1e2;
        write!(f, "{percent} %")
    }
}

/// An inclusive range of counts or numbers; an absent end is open.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Range {
    pub min: Option<f64>,
    pub max: Option<f64>,
}

impl Range {
    /// True when `value` lies in the range, ends included.
    pub fn holds(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (Some(a), Some(b)) if a == b => write!(f, "exactly {a}"),
            (Some(a), Some(b)) => write!(f, "{a} to {b}"),
            (Some(a), None) => write!(f, "at least {a}"),
            (None, Some(b)) => write!(f, "at most {b}"),
            (None, None) => write!(f, "any number"),
        }
    }
}

/// Longer ones are mistakes, and clocks cannot add them up.
const MAX_DURATION: Duration = Duration::from_secs(36_500 * 86_400);

/// Parses a duration with a unit: `800ms`, `1.5s`, `1h30m`. A bare number is an error, because nobody knows its unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.parse::<f64>().is_ok() {
        return Err(format!("`{text}` has no unit; write `{text}ms` or `{text}s`"));
    }
    if let Some(days) = text.strip_suffix('d').and_then(|n| n.trim().parse::<f64>().ok()).filter(|d| (0.0..=36_500.0).contains(d)) {
        return Ok(Duration::from_secs_f64(days * 86_400.0));
    }
    let signed: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is not a duration; write it like `800ms`, `1.5s` or `1h30m`"))?;
    let duration = Duration::try_from(signed).map_err(|_| format!("`{text}` is negative; a duration starts at zero"))?;
    if duration > MAX_DURATION { Err(format!("`{text}` is longer than a hundred years")) } else { Ok(duration) }
}

/// Parses a share: `95%` or a number from 0 to 1.
pub fn share(text: &str) -> Result<Share, String> {
    let text = text.trim();
    let (digits, scale) = match text.strip_suffix('%') {
        Some(digits) => (digits.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let value: f64 = digits.parse().map_err(|_| format!("`{text}` is not a share; write it like `95%` or `0.95`"))?;
    let value = value / scale;
    if !(0.0..=1.0).contains(&value) {
        return Err(format!("`{text}` is outside 0 to 100 %; write it like `95%` or `0.95`"));
    }
    Ok(Share(value))
}

/// Parses a whole number of things: `20`, `100_000`. Leading zeros and other bases are refused, because readers differ on them.
pub fn count(text: &str) -> Result<u64, String> {
    let plain: String = text.trim().chars().filter(|c| *c != '_').collect();
    let odd = plain.len() > 1 && plain.starts_with('0');
    match plain.parse::<u64>() {
        Ok(n) if !odd => Ok(n),
        Ok(n) => Err(format!("`{text}` may be read as octal; write `{n}`")),
        Err(_) => Err(format!("`{text}` is not a whole number")),
    }
}

/// Parses a finite number.
pub fn number(text: &str) -> Result<f64, String> {
    let plain: String = text.trim().chars().filter(|c| *c != '_').collect();
    match plain.parse::<f64>() {
        Ok(n) if n.is_finite() => Ok(n),
        _ => Err(format!("`{text}` is not a number")),
    }
}

/// The half-width form of full-width ASCII; every other character as it is.
pub fn half_width(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        c => c,
    }
}

/// Parses `20..60`, `20..`, `..60` or a single count.
pub fn range(text: &str) -> Result<Range, String> {
    let end = |part: &str| if part.is_empty() { Ok(None) } else { number(part).map(Some) };
    let range = match text.trim().split_once("..") {
        Some((min, max)) => Range { min: end(min.trim())?, max: end(max.trim().trim_start_matches('='))? },
        None => number(text).map(|n| Range { min: Some(n), max: Some(n) })?,
    };
    if matches!((range.min, range.max), (Some(a), Some(b)) if a > b) {
        return Err(format!("`{text}` is empty: its start is above its end"));
    }
    Ok(range)
}

/// Parses a rate of events: `20/s`, `300/m`. Returns events per second.
pub fn rate(text: &str) -> Result<f64, String> {
    let bad = || format!("`{text}` is not a rate; write it like `20/s` or `300/m`");
    let (n, unit) = text.trim().split_once('/').ok_or_else(bad)?;
    let n = number(n).map_err(|_| bad())?;
    let per_second = match unit.trim() {
        "s" => n,
        "m" | "min" => n / 60.0,
        "h" => n / 3600.0,
        _ => return Err(bad()),
    };
    match per_second {
        n if (1e-6..=1e9).contains(&n) => Ok(n),
        n if n > 0.0 => Err(format!("`{text}` is no rate that could be kept")),
        _ => Err(bad()),
    }
}

/// Shows a duration as people read latencies: `412 ms`, `1.35 s`, `2 min 5 s`.
pub fn show(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else if ms < 100_000.0 {
        format!("{:.2} s", ms / 1e3)
    } else {
        let s = duration.as_secs();
        format!("{} min {} s", s / 60, s % 60)
    }
}

/// Writes durations into saved formats as milliseconds with microsecond precision.
pub mod ms {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub fn serialize<S: Serializer>(duration: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(duration.as_micros() as f64 / 1e3)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        from_ms(f64::deserialize(d)?).map_err(serde::de::Error::custom)
    }

    fn from_ms(ms: f64) -> Result<Duration, String> {
        Duration::try_from_secs_f64(ms / 1e3).map_err(|_| format!("{ms} is not a duration in milliseconds"))
    }

    /// The same for values that may be absent.
    pub mod option {
        use super::*;

        pub fn serialize<S: Serializer>(duration: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
            match duration {
                Some(duration) => super::serialize(duration, s),
                None => s.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
            Option::<f64>::deserialize(d)?.map(from_ms).transpose().map_err(serde::de::Error::custom)
        }
    }
}

/// FNV-1a, 64 bits: stable between versions and machines, unlike the standard library's hasher.
pub fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// A short name for texts, to find again what belongs to them.
pub fn fingerprint<T: AsRef<str>>(texts: &[T]) -> String {
    format!("{:016x}", fnv(texts.iter().flat_map(|t| t.as_ref().bytes().chain([0xff]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("800ms"), Ok(Duration::from_millis(800)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("800").unwrap_err(), "`800` has no unit; write `800ms` or `800s`");
        assert!(duration("soon").is_err() && duration("-1s").is_err());
    }

    #[test]
    fn shares_stay_between_nothing_and_all() {
        assert_eq!(share("95%"), Ok(Share(0.95)));
        assert_eq!(share("0.8"), Ok(Share(0.8)));
        assert!(share("95").is_err() && share("101%").is_err() && share("-1%").is_err());
        assert_eq!(Share(0.999).to_string(), "99.9 %");
    }

    #[test]
    fn counts_refuse_what_readers_disagree_on() {
        assert_eq!(count("100_000"), Ok(100_000));
        assert_eq!(count("01").unwrap_err(), "`01` may be read as octal; write `1`");
        assert!(count("0x10").is_err() && count("1.5").is_err());
    }

    #[test]
    fn ranges_include_their_ends() {
        let r = range("20..60").unwrap();
        assert!(r.holds(20.0) && r.holds(60.0) && !r.holds(61.0));
        assert!(range("..5").unwrap().holds(0.0));
        assert!(range("60..20").is_err());
    }

    #[test]
    fn rates_are_per_second() {
        assert_eq!(rate("20/s"), Ok(20.0));
        assert_eq!(rate("300/m"), Ok(5.0));
        assert!(rate("20").is_err() && rate("0/s").is_err());
    }

    #[test]
    fn latencies_read_like_latencies() {
        assert_eq!(show(Duration::from_micros(640)), "0.6 ms");
        assert_eq!(show(Duration::from_millis(412)), "412 ms");
        assert_eq!(show(Duration::from_millis(1350)), "1.35 s");
    }
}
