//! Sentence vectors from a service with OpenAI's `/v1/embeddings`.

use super::Service;
use serde_json::{Value, json};

/// Texts in one request.
const AT_ONCE: usize = 32;

/// One vector for each text, in order. Errors are sentence fragments.
pub async fn embed(service: &Service, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
    let url = format!("{}/embeddings", service.base_url);
    let mut out = Vec::with_capacity(texts.len());
    for chunk in texts.chunks(AT_ONCE) {
        let bytes = service.helper("embeddings", json!({"input": chunk})).await?;
        out.extend(vectors(&bytes, chunk.len()).map_err(|why| format!("{url}: {why}"))?);
    }
    Ok(out)
}

/// Reads `data[].embedding`, which may come in any order of `index`.
fn vectors(body: &[u8], n: usize) -> Result<Vec<Vec<f32>>, String> {
    let value: Value = serde_json::from_slice(body).map_err(|e| format!("not JSON: {e}"))?;
    let data = value["data"].as_array().ok_or("there is no `data` in the answer")?;
    let mut out = vec![Vec::new(); n];
    for (i, item) in data.iter().enumerate() {
        let at = item["index"].as_u64().map_or(i, |k| k as usize);
        let vector: Option<Vec<f32>> =
            item["embedding"].as_array().map(|v| v.iter().filter_map(|x| x.as_f64().map(|f| f as f32)).collect());
        match (out.get_mut(at), vector) {
            (Some(slot), Some(vector)) if !vector.is_empty() => *slot = vector,
            _ => return Err("`data` does not hold one vector for each text".into()),
        }
    }
    if out.iter().any(|v| v.is_empty() || v.len() != out[0].len()) {
        return Err(format!("{} vectors of one length were expected, {} came", n, data.len()));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_in_the_order_of_the_texts() {
        let body = br#"{"data":[{"index":1,"embedding":[2,3]},{"index":0,"embedding":[0,1]}]}"#;
        assert_eq!(vectors(body, 2).unwrap(), [vec![0.0, 1.0], vec![2.0, 3.0]]);
        for bad in ["{}", r#"{"data":[{"embedding":[1]}]}"#, r#"{"data":[{"embedding":[1]},{"embedding":[]}]}"#, "<html>"] {
            assert!(vectors(bad.as_bytes(), 2).is_err(), "{bad}");
        }
    }
}
