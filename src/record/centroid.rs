//! Where the answers of a case point, as sentence vectors see it.

use serde::{Deserialize, Serialize};

/// The mean direction of some answers' sentence vectors, and the encoder that made them. On paper each number is a signed byte, in
/// base64: the cosine of two such vectors is right to about 0.002.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Centroid {
    pub encoder: String,
    #[serde(with = "bytes")]
    pub vector: Vec<f32>,
}

mod bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(vector: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        let largest = vector.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(f32::MIN_POSITIVE);
        let bytes: Vec<u8> = vector.iter().map(|v| (v / largest * 127.0).round() as i8 as u8).collect();
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(|e| D::Error::custom(format!("a vector is not base64: {e}")))?;
        Ok(bytes.into_iter().map(|b| f32::from(b as i8)).collect())
    }
}

impl Centroid {
    /// The mean direction of vectors of one length; each counts alike, however long.
    pub fn of(encoder: String, vectors: &[impl AsRef<[f32]>]) -> Option<Centroid> {
        let mut vector = vec![0.0f32; vectors.first()?.as_ref().len()];
        for one in vectors.iter().map(AsRef::as_ref) {
            let length = one.iter().map(|v| v * v).sum::<f32>().sqrt();
            if one.len() != vector.len() || length <= 0.0 {
                return None;
            }
            vector.iter_mut().zip(one).for_each(|(sum, v)| *sum += v / length);
        }
        Some(Centroid { encoder, vector })
    }

    /// `None` for vectors of different encoders or lengths, or without a direction.
    pub fn cosine(&self, other: &Centroid) -> Option<f64> {
        if self.encoder != other.encoder || self.vector.len() != other.vector.len() {
            return None;
        }
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        let lengths = (dot(&self.vector, &self.vector) * dot(&other.vector, &other.vector)).sqrt();
        (lengths > 0.0).then(|| dot(&self.vector, &other.vector) / lengths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_on_paper_keeps_its_direction() {
        let vector: Vec<f32> = (0..512).map(|i| ((i * 37 % 101) as f32 - 50.0) / 700.0).collect();
        let centroid = Centroid { encoder: "e".into(), vector: vector.clone() };
        let text = serde_json::to_string(&centroid).unwrap();
        assert!(text.len() < 750);
        let back: Centroid = serde_json::from_str(&text).unwrap();
        assert!(centroid.cosine(&back).unwrap() > 0.999);
    }
}
