//! What a request holds that rules look at.

use super::script::tokens;
use serde_json::Value;

/// A request, as rules see it.
pub struct Asked {
    pub prompt: String,
    pub system: String,
    pub earlier: String,
    pub model: String,
    pub stream: bool,
    pub usage: bool,
    pub max_tokens: usize,
    pub logprobs: bool,
    /// The log probabilities of the prompt itself are asked for, as vLLM gives them.
    pub prompt_logprobs: bool,
    pub prompt_tokens: u64,
}

impl Asked {
    /// Errors are what an OpenAI-compatible service would say.
    pub fn of(body: &Value, chat: bool) -> Result<Asked, &'static str> {
        let mut asked = Asked {
            prompt: String::new(),
            system: String::new(),
            earlier: String::new(),
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            stream: body["stream"].as_bool().unwrap_or(false),
            usage: body["stream_options"]["include_usage"].as_bool().unwrap_or(false),
            max_tokens: ["max_completion_tokens", "max_tokens"].iter().find_map(|k| body[*k].as_u64()).unwrap_or(4096) as usize,
            logprobs: body["logprobs"].as_bool().unwrap_or(false),
            prompt_logprobs: body["prompt_logprobs"].is_number(),
            prompt_tokens: 0,
        };
        if chat {
            let messages = body["messages"].as_array().ok_or("`messages` must be a list")?;
            for message in messages {
                let text = crate::plan::text_of(&message["content"]);
                asked.prompt_tokens += tokens(&text).len() as u64;
                match message["role"].as_str() {
                    Some("system") => asked.system.push_str(&text),
                    Some("user") => {
                        asked.earlier.push_str(&std::mem::replace(&mut asked.prompt, text));
                        asked.earlier.push('\n');
                    }
                    _ => asked.earlier.push_str(&text),
                }
            }
        } else {
            asked.prompt = body["prompt"].as_str().ok_or("`prompt` must be text")?.to_owned();
            asked.prompt_tokens = tokens(&asked.prompt).len() as u64;
        }
        Ok(asked)
    }

    /// What a prefix cache would know this request by.
    pub fn hash(&self) -> u64 {
        crate::units::fnv([&self.model, &self.system, &self.earlier, &self.prompt].into_iter().flat_map(|t| t.bytes().chain([0])))
    }
}
