//! An answer: what is decided about it before its first byte, and the JSON it becomes.

use super::asked::Asked;
use super::script::{Rule, tokens};
use super::service::Service;
use axum::body::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// One answer on its way.
pub struct Reply {
    pub number: u64,
    pub received: Instant,
    pub chat: bool,
    pub model: String,
    pub parts: Vec<Part>,
    pub finish: String,
    pub prompt_tokens: u64,
    /// Of the prompt, from the cache.
    pub cached_tokens: u64,
    pub ttft: Duration,
    pub gaps: Vec<Duration>,
    pub usage: bool,
    pub logprob: Option<f64>,
    /// Of each token of the prompt.
    pub prompt_logprob: Option<f64>,
    pub cut_after: Option<usize>,
    pub end_after: Option<usize>,
    pub malformed_after: Option<usize>,
    pub error_after: Option<usize>,
    pub stall_after: Option<(usize, Duration)>,
    pub no_done: bool,
    pub endless_line: bool,
}

pub enum Part {
    Reasoning(String),
    Text(String),
    Call(usize, String, String),
}

impl Reply {
    pub fn make(service: &Service, rule: &Rule, asked: &Asked, rng: &mut ChaCha8Rng, received: Instant, number: u64, chat: bool) -> Reply {
        let script = &service.script;
        let text = match rule.answers.len() {
            0 => String::new(),
            1 => rule.answers[0].clone(),
            n => rule.answers[rng.random_range(0..n)].clone(),
        };
        let text = text.replace("{{ prompt }}", &asked.prompt);
        let mut parts: Vec<Part> = rule.reasoning.iter().flat_map(|r| tokens(r)).map(Part::Reasoning).collect();
        parts.extend(tokens(&text).into_iter().map(Part::Text));
        for (i, (name, arguments)) in rule.tool_calls.iter().enumerate() {
            parts.push(Part::Call(i, name.clone(), arguments.to_string()));
        }
        let cut = parts.len() > asked.max_tokens;
        parts.truncate(asked.max_tokens);
        let finish = match (&rule.finish_reason, cut, rule.tool_calls.is_empty()) {
            (Some(reason), _, _) => reason.clone(),
            (None, true, _) => "length".into(),
            (None, false, false) => "tool_calls".into(),
            (None, false, true) => "stop".into(),
        };
        let aged = 1.0 + script.slows * received.saturating_duration_since(service.started).as_secs_f64() / 60.0;
        let mut spread = |d: Duration| {
            let noise = if script.jitter > 0.0 { (1.0 + script.jitter * (rng.random::<f64>() * 2.0 - 1.0)).max(0.0) } else { 1.0 };
            if aged * noise == 1.0 { d } else { d.mul_f64(aged * noise) }
        };
        let again = script.prefix_cache && !service.cached.lock().expect("no panic under this lock").insert(asked.hash());
        let fault = &rule.fault;
        let n = |v: Option<u64>| v.map(|n| n as usize);
        Reply {
            number,
            received,
            chat,
            model: script.model.clone(),
            ttft: spread(rule.ttft.unwrap_or(script.ttft)).mul_f64(if again { 0.1 } else { 1.0 }),
            cached_tokens: if again { asked.prompt_tokens } else { 0 },
            gaps: (1..parts.len().max(1)).map(|_| spread(rule.tpot.unwrap_or(script.tpot))).collect(),
            parts,
            finish,
            prompt_tokens: asked.prompt_tokens,
            usage: script.usage && (asked.usage || !asked.stream),
            logprob: asked.logprobs.then(|| rule.logprob.unwrap_or(-0.1)),
            prompt_logprob: rule.logprob.filter(|_| asked.prompt_logprobs),
            cut_after: n(fault.cut_after),
            end_after: n(fault.end_after),
            malformed_after: n(fault.malformed_after),
            error_after: n(fault.error_after),
            stall_after: n(fault.stall_after).map(|n| (n, fault.stall.unwrap_or(Duration::from_secs(3600)))),
            no_done: fault.no_done,
            endless_line: fault.endless_line,
        }
    }

    fn usage_json(&self) -> Value {
        let n = self.parts.len() as u64;
        let reasoning = self.parts.iter().filter(|p| matches!(p, Part::Reasoning(_))).count();
        json!({
            "prompt_tokens": self.prompt_tokens, "completion_tokens": n, "total_tokens": self.prompt_tokens + n,
            "completion_tokens_details": {"reasoning_tokens": reasoning},
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        })
    }

    fn frame(&self, choice: Value) -> Bytes {
        let object = if self.chat { "chat.completion.chunk" } else { "text_completion" };
        let event = json!({"id": format!("sim-{}", self.number), "object": object, "created": 0, "model": self.model, "choices": [choice]});
        Bytes::from(format!("data: {event}\n\n"))
    }

    pub fn part_frame(&self, i: usize) -> Bytes {
        let part = &self.parts[i];
        let text = match part {
            Part::Reasoning(t) | Part::Text(t) => t.as_str(),
            Part::Call(..) => "",
        };
        let mut choice = if !self.chat {
            json!({"index": 0, "text": text, "finish_reason": null})
        } else {
            let delta = match part {
                Part::Reasoning(t) => json!({"reasoning_content": t}),
                Part::Text(t) => json!({"content": t}),
                Part::Call(index, name, arguments) => {
                    json!({"tool_calls": [{"index": index, "id": format!("call_{index}"), "type": "function", "function": {"name": name, "arguments": arguments}}]})
                }
            };
            json!({"index": 0, "delta": delta, "finish_reason": null})
        };
        if let Some(logprob) = self.logprob {
            choice["logprobs"] = json!({"content": [{"token": text, "logprob": logprob}]});
        }
        self.frame(choice)
    }

    /// The answer in one piece.
    pub fn whole(&self) -> Value {
        let text = |wanted: fn(&Part) -> Option<&str>| self.parts.iter().filter_map(wanted).collect::<String>();
        let content = text(|p| if let Part::Text(t) = p { Some(t) } else { None });
        let reasoning = text(|p| if let Part::Reasoning(t) = p { Some(t) } else { None });
        let mut choice = if self.chat {
            let mut message = json!({"role": "assistant", "content": content});
            if !reasoning.is_empty() {
                message["reasoning_content"] = json!(reasoning);
            }
            let calls: Vec<Value> = self
                .parts
                .iter()
                .filter_map(|p| {
                    if let Part::Call(i, name, arguments) = p {
                        Some(json!({"id": format!("call_{i}"), "type": "function", "function": {"name": name, "arguments": arguments}}))
                    } else {
                        None
                    }
                })
                .collect();
            if !calls.is_empty() {
                message["tool_calls"] = json!(calls);
            }
            json!({"index": 0, "message": message, "finish_reason": self.finish})
        } else {
            json!({"index": 0, "text": content, "finish_reason": self.finish})
        };
        if let Some(logprob) = self.logprob {
            choice["logprobs"] =
                json!({"content": tokens(&content).iter().map(|t| json!({"token": t, "logprob": logprob})).collect::<Vec<_>>()});
        }
        let mut body = json!({"id": format!("sim-{}", self.number), "object": "chat.completion", "created": 0, "model": self.model, "choices": [choice]});
        if self.usage {
            body["usage"] = self.usage_json();
        }
        if let Some(logprob) = self.prompt_logprob {
            let one = json!({"0": {"logprob": logprob, "rank": 1, "decoded_token": ""}});
            let list: Vec<Value> = (0..self.prompt_tokens).map(|i| if i == 0 { Value::Null } else { one.clone() }).collect();
            body["prompt_logprobs"] = json!(list);
        }
        body
    }

    /// Before the first token, as vLLM sends it: it must not be taken for one.
    pub fn role_frame(&self) -> Bytes {
        self.frame(json!({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}))
    }

    pub fn last_frame(&self) -> Bytes {
        self.frame(if self.chat {
            json!({"index": 0, "delta": {}, "finish_reason": self.finish})
        } else {
            json!({"index": 0, "text": "", "finish_reason": self.finish})
        })
    }

    pub fn usage_frame(&self) -> Bytes {
        let event = json!({"id": format!("sim-{}", self.number), "object": "chat.completion.chunk", "model": self.model, "choices": [], "usage": self.usage_json()});
        Bytes::from(format!("data: {event}\n\n"))
    }
}
