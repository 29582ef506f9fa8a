//! How likely a service finds a given answer, where it tells.

use super::Service;
use serde_json::{Value, json};

/// A way in which a service scores given texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scoring {
    /// vLLM's `prompt_logprobs` of a chat that ends with the answer.
    PromptLogprobs,
    /// Completions that echo their prompt with its log probabilities.
    Echo,
}

impl Scoring {
    /// In the order in which they are tried.
    pub const ALL: [Scoring; 2] = [Scoring::PromptLogprobs, Scoring::Echo];
}

impl Service {
    /// Mean natural-log probability of an answer's tokens after these messages, by one request. `tokens` is how many the answer has.
    /// Errors are sentence fragments; a service that does not score given texts refuses, or leaves the figures out.
    pub async fn score(&self, by: Scoring, messages: &[Value], answer: &str, tokens: u64) -> Result<f64, String> {
        let prompt: String = messages.iter().map(|m| crate::plan::text_of(&m["content"]) + "\n").collect();
        let (route, body) = match by {
            Scoring::PromptLogprobs => {
                let mut all = messages.to_vec();
                all.push(json!({"role": "assistant", "content": answer}));
                let body = json!({
                    "messages": all, "add_generation_prompt": false, "continue_final_message": true, "prompt_logprobs": 0,
                    "max_tokens": 1, "temperature": 0, "stream": false,
                });
                ("chat/completions", body)
            }
            Scoring::Echo => {
                let text = format!("{prompt}{answer}");
                ("completions", json!({"prompt": text, "echo": true, "logprobs": 1, "max_tokens": 1, "temperature": 0, "stream": false}))
            }
        };
        let bytes = self.helper(route, body).await?;
        let got: Value = serde_json::from_slice(&bytes).map_err(|e| format!("not JSON: {e}"))?;
        let score = match by {
            Scoring::PromptLogprobs => of_prompt(&got, tokens),
            Scoring::Echo => of_echo(&got, prompt.chars().count(), answer.chars().count()),
        };
        score.ok_or_else(|| "the service gave no log probabilities of the text".to_owned())
    }
}

/// Over the last so many tokens of `prompt_logprobs`.
fn of_prompt(got: &Value, tokens: u64) -> Option<f64> {
    let list = got["prompt_logprobs"].as_array()?;
    let last = list.len().checked_sub(tokens as usize)?;
    mean(list[last..].iter().filter_map(|one| one.as_object()?.values().next()?["logprob"].as_f64()))
}

/// Over the echoed tokens that begin inside the answer; what was written behind it does not count.
fn of_echo(got: &Value, before: usize, length: usize) -> Option<f64> {
    let logprobs = &got["choices"][0]["logprobs"];
    let (offsets, values) = (logprobs["text_offset"].as_array()?, logprobs["token_logprobs"].as_array()?);
    let inside =
        offsets.iter().zip(values).filter(|(at, _)| at.as_u64().is_some_and(|at| (before..before + length).contains(&(at as usize))));
    mean(inside.filter_map(|(_, value)| value.as_f64()))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0u64), |(sum, n), v| (sum + v, n + 1));
    (n > 0).then(|| sum / n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_counts() {
        let one = |v: f64| json!({"17": {"logprob": v, "rank": 1, "decoded_token": "x"}});
        let chat = json!({"prompt_logprobs": [null, one(-9.0), one(-1.0), one(-2.0)]});
        assert_eq!(of_prompt(&chat, 2), Some(-1.5));
        assert_eq!((of_prompt(&json!({}), 2), of_prompt(&chat, 9)), (None, None));
        // "abcd" of the prompt, "ef" of the answer, and one token that was generated behind it.
        let echo = json!({"choices": [{"logprobs": {"text_offset": [0, 2, 4, 5, 6], "token_logprobs": [null, -9.0, -1.0, -3.0, -9.0]}}]});
        assert_eq!(of_echo(&echo, 4, 2), Some(-2.0));
        assert_eq!(of_echo(&json!({"choices": [{"text": "x"}]}), 4, 2), None);
    }
}
