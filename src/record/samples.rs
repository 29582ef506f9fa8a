//! Values of one metric as they are stored: themselves while they are few, an HDR histogram when they are many.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as Decoder, Serializer as _, V2DeflateSerializer};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// More values than this become a histogram.
const FEW: usize = 256;
/// Values that stand for a histogram where rules want values: an even choice.
const CHOICE: u64 = 512;
/// The longest time a histogram holds: a day, in microseconds.
const LONGEST_US: u64 = 86_400_000_000;

/// Milliseconds, each positive. On paper a list, or `{"n": 12000, "hdr": "HISTFAAA…"}`: microseconds with three digits, V2 format,
/// deflated, in base64.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(into = "OnPaper")]
pub struct Samples {
    values: Vec<f64>,
    n: u64,
    hdr: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OnPaper {
    Few(Vec<f64>),
    Many { n: u64, hdr: String },
}

impl Samples {
    /// Takes values in any order; those that are no time are left out.
    pub fn of(mut ms: Vec<f64>) -> Samples {
        ms.retain(|v| v.is_finite() && *v > 0.0);
        if ms.len() <= FEW {
            ms.sort_by(f64::total_cmp);
            return Samples { n: ms.len() as u64, values: ms, hdr: None };
        }
        Samples::counted(ms.iter().map(|v| (*v, 1)))
    }

    /// Takes values with how often each came, as a histogram of any kind tells them.
    pub fn counted(ms: impl IntoIterator<Item = (f64, u64)>) -> Samples {
        let mut few = Vec::new();
        let mut many = empty();
        for (value, count) in ms.into_iter().filter(|(v, _)| v.is_finite() && *v > 0.0) {
            many.saturating_record_n(((value * 1e3).round() as u64).max(1), count);
            if few.len() as u64 + count <= FEW as u64 + 1 {
                few.extend(std::iter::repeat_n(value, count as usize));
            }
        }
        if many.len() <= FEW as u64 {
            return Samples::of(few);
        }
        let mut bytes = Vec::new();
        // Writing to memory does not fail, and every count fits.
        let _ = V2DeflateSerializer::new().serialize(&many, &mut bytes);
        Samples { values: choice(&many), n: many.len(), hdr: Some(STANDARD.encode(bytes)) }
    }

    /// How many values there were.
    pub fn len(&self) -> u64 {
        self.n
    }

    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Ascending; of many, an even choice.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("three digits from a microsecond to a day are a valid choice")
}

fn choice(many: &Histogram<u64>) -> Vec<f64> {
    let n = many.len().min(CHOICE);
    (0..n).map(|i| many.value_at_quantile((i as f64 + 0.5) / n as f64) as f64 / 1e3).collect()
}

impl Samples {
    fn decoded(n: u64, hdr: String) -> Result<Samples, String> {
        let bytes = STANDARD.decode(&hdr).map_err(|e| format!("a histogram is not base64: {e}"))?;
        let many: Histogram<u64> =
            Decoder::new().deserialize(&mut bytes.as_slice()).map_err(|e| format!("a histogram is not in the V2 format: {e:?}"))?;
        if many.len() != n {
            return Err(format!("a histogram holds {} values and says {n}", many.len()));
        }
        Ok(Samples { values: choice(&many), n, hdr: Some(hdr) })
    }
}

/// Reads both forms without a detour: a history holds a hundred thousand of them.
impl<'de> Deserialize<'de> for Samples {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Samples, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Samples;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of milliseconds or a histogram")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Samples, A::Error> {
                let mut values = Vec::with_capacity(list.size_hint().unwrap_or(4));
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Samples { n: values.len() as u64, values, hdr: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Samples, A::Error> {
                #[derive(Deserialize)]
                struct Many {
                    n: u64,
                    hdr: String,
                }
                let many = Many::deserialize(MapAccessDeserializer::new(map))?;
                Samples::decoded(many.n, many.hdr).map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl From<Samples> for OnPaper {
    fn from(samples: Samples) -> OnPaper {
        match samples.hdr {
            Some(hdr) => OnPaper::Many { n: samples.n, hdr },
            None => OnPaper::Few(samples.values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(n: usize) -> Vec<f64> {
        (0..n).map(|i| 100.0 * (1.0 + ((i * 7919) % n) as f64 / n as f64)).collect()
    }

    #[test]
    fn few_are_kept_and_many_are_counted() {
        let few = Samples::of(vec![3.0, 1.5, f64::NAN, 0.0]);
        assert_eq!(serde_json::to_string(&few).unwrap(), "[1.5,3.0]");
        let many = Samples::of(spread(20_000));
        let text = serde_json::to_string(&many).unwrap();
        assert!(text.len() < 3000 && text.contains("HISTFAAA"), "{} bytes", text.len());
        let back: Samples = serde_json::from_str(&text).unwrap();
        assert_eq!(back, many);
        assert_eq!((back.len(), back.values().len()), (20_000, 512));
        let mean = back.values().iter().sum::<f64>() / 512.0;
        assert!((mean - 150.0).abs() < 0.2, "{mean}");
    }

    #[test]
    fn a_damaged_histogram_says_so() {
        let text = serde_json::to_string(&Samples::of(spread(1000))).unwrap();
        for (broken, said) in [(text.replace("1000", "999"), "says 999"), (text.replace("HISTF", "AAAAA"), "V2 format")] {
            let told = serde_json::from_str::<Samples>(&broken).unwrap_err().to_string();
            assert!(told.contains(said), "{told}");
        }
    }
}
