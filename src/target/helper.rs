//! Requests that are no turn of a case: vectors, and the likelihood of given texts.

use super::Service;
use serde_json::{Value, json};

impl Service {
    /// Sends `body` with the model's name to a route of the API and reads the answer whole, within the target's limits of time, size and
    /// requests at once. Errors are sentence fragments.
    pub(super) async fn helper(&self, route: &str, mut body: Value) -> Result<Vec<u8>, String> {
        let url = format!("{}/{route}", self.base_url);
        let _slot = self.limiter.acquire().await;
        if let Some(model) = self.model.get().and_then(Option::as_deref).or(self.target.model.as_deref()) {
            body["model"] = json!(model);
        }
        let request = self.post(&url).header("content-type", "application/json").body(body.to_string());
        let asked = async {
            let mut response = request.send().await.map_err(|e| format!("{url} cannot be reached: {}", super::failing::chain(&e)))?;
            let status = response.status().as_u16();
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|e| format!("{url} broke off: {}", super::failing::chain(&e)))? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() as u64 > self.target.max_response {
                    return Err(format!("{url} sent more than {} bytes", self.target.max_response));
                }
            }
            if !(200..300).contains(&status) {
                return Err(format!(
                    "status {status} from {url}: {}",
                    crate::redact::excerpt(&self.redactor.clean(&String::from_utf8_lossy(&bytes)), 160)
                ));
            }
            Ok(bytes)
        };
        let limit = self.target.timeouts.total;
        tokio::time::timeout(limit, asked)
            .await
            .unwrap_or_else(|_| Err(format!("no answer from {url} within {}", crate::units::show(limit))))
    }
}
