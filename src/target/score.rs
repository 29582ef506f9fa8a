//! How likely a service finds a given answer, where it tells: vLLM's `prompt_logprobs`, and completions with `echo`.

use super::Service;
use serde_json::{Value, json};

impl Service {
    /// Mean natural-log probability of an answer's tokens after these messages; `None` where the service does not score given texts.
    /// `tokens` is how many the answer has.
    pub async fn score(&self, messages: &[Value], answer: &str, tokens: u64) -> Option<f64> {
        match self.by_prompt_logprobs(messages, answer, tokens).await {
            Some(score) => Some(score),
            None => self.by_echo(messages, answer).await,
        }
    }

    async fn by_prompt_logprobs(&self, messages: &[Value], answer: &str, tokens: u64) -> Option<f64> {
        let mut all = messages.to_vec();
        all.push(json!({"role": "assistant", "content": answer}));
        let body = json!({
            "messages": all, "add_generation_prompt": false, "continue_final_message": true, "prompt_logprobs": 0, "max_tokens": 1,
            "temperature": 0, "stream": false,
        });
        let got = self.whole("chat/completions", body).await?;
        let list = got["prompt_logprobs"].as_array()?;
        let last = list.len().checked_sub(tokens as usize)?;
        mean(list[last..].iter().filter_map(|one| one.as_object()?.values().next()?["logprob"].as_f64()))
    }

    async fn by_echo(&self, messages: &[Value], answer: &str) -> Option<f64> {
        let prompt: String = messages.iter().map(|m| crate::plan::text_of(&m["content"]) + "\n").collect();
        let body =
            json!({"prompt": format!("{prompt}{answer}"), "echo": true, "logprobs": 1, "max_tokens": 1, "temperature": 0, "stream": false});
        let got = self.whole("completions", body).await?;
        let logprobs = &got["choices"][0]["logprobs"];
        let (offsets, values) = (logprobs["text_offset"].as_array()?, logprobs["token_logprobs"].as_array()?);
        let (from, to) = (prompt.chars().count() as u64, (prompt.chars().count() + answer.chars().count()) as u64);
        let inside = offsets.iter().zip(values).filter(|(at, _)| at.as_u64().is_some_and(|at| at >= from && at < to));
        mean(inside.filter_map(|(_, value)| value.as_f64()))
    }

    /// Sends a request that is no turn of a case, and reads its whole answer.
    async fn whole(&self, route: &str, mut body: Value) -> Option<Value> {
        if let Some(model) = self.model.get().and_then(Option::as_deref).or(self.target.model.as_deref()) {
            body["model"] = json!(model);
        }
        let _slot = self.limiter.acquire().await;
        let request = self.post(&format!("{}/{route}", self.base_url)).header("content-type", "application/json").body(body.to_string());
        let asked = async {
            let response = request.send().await.ok().filter(|r| r.status().is_success())?;
            serde_json::from_slice(&response.bytes().await.ok()?).ok()
        };
        tokio::time::timeout(self.target.timeouts.total, asked).await.ok().flatten()
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0u64), |(sum, n), v| (sum + v, n + 1));
    (n > 0).then(|| sum / n as f64)
}
