//! What a simulated service says and when, read from `*.sim.yaml`.

use crate::diagnostic::{Diagnostic, Source};
use crate::scenario::tree::Node;
use crate::scenario::vocabulary::SIM_KEYS;
use crate::scenario::{count_of, duration_of, number_of, parse_shape};
use crate::units;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// A simulated service.
#[derive(Debug)]
pub struct Script {
    pub model: String,
    pub seed: u64,
    pub ttft: Duration,
    pub tpot: Duration,
    /// Relative spread of both times.
    pub jitter: f64,
    pub slots: Option<usize>,
    pub ready_after: Duration,
    pub api_key: Option<String>,
    pub usage: bool,
    pub log: Option<String>,
    /// Bytes kept for ever after each answer.
    pub leaks: u64,
    /// Share of its times that the service slows by in each minute of its life.
    pub slows: f64,
    /// Whether prompts seen before are answered from a cache: a tenth of the time to first token, and `cached_tokens` in the usage.
    pub prefix_cache: bool,
    pub rules: Vec<Rule>,
}

#[derive(Debug)]
pub struct Rule {
    pub when: When,
    pub answers: Vec<String>,
    pub reasoning: Option<String>,
    pub tool_calls: Vec<(String, Value)>,
    pub finish_reason: Option<String>,
    pub logprob: Option<f64>,
    pub ttft: Option<Duration>,
    pub tpot: Option<Duration>,
    pub headers: Vec<(String, String)>,
    pub fault: Fault,
    /// Requests this rule has taken.
    pub taken: AtomicU64,
}

#[derive(Debug, Default)]
pub struct When {
    pub contains: Vec<String>,
    pub matches: Option<regex::Regex>,
    pub system: Option<String>,
    pub seen: Option<String>,
    pub model: Option<String>,
    pub share: Option<f64>,
    pub times: Option<u64>,
}

#[derive(Debug, Default)]
pub struct Fault {
    pub status: Option<u16>,
    pub retry_after: Option<Duration>,
    pub message: Option<String>,
    pub error_type: Option<String>,
    pub body: Option<String>,
    pub content_type: Option<String>,
    pub cut_after: Option<u64>,
    pub end_after: Option<u64>,
    pub malformed_after: Option<u64>,
    pub error_after: Option<u64>,
    pub stall_after: Option<u64>,
    pub stall: Option<Duration>,
    pub no_done: bool,
    pub endless_line: bool,
    pub exit: bool,
}

/// Reads a description, or tells every mistake in it.
pub fn parse(source: &Arc<Source>) -> Result<Script, Vec<Diagnostic>> {
    let root = parse_shape(source, SIM_KEYS, false)?;
    let text = |key: &str| root.get(key).and_then(Node::text).map(str::to_owned);
    let duration = |key: &str| root.get(key).and_then(duration_of).unwrap_or_default();
    Ok(Script {
        model: text("model").unwrap_or_else(|| "sim".into()),
        seed: root.get("seed").and_then(count_of).unwrap_or(0),
        ttft: duration("ttft"),
        tpot: duration("tpot"),
        jitter: text("jitter").and_then(|t| units::share(&t).ok()).map_or(0.0, |s| s.0),
        slots: root.get("slots").and_then(count_of).map(|n| n.max(1) as usize),
        ready_after: duration("ready_after"),
        api_key: text("api_key"),
        usage: root.get("usage").and_then(Node::boolean).unwrap_or(true),
        log: text("log"),
        leaks: root.get("leaks").and_then(count_of).unwrap_or(0),
        slows: text("slows").and_then(|t| units::share(&t).ok()).map_or(0.0, |s| s.0),
        prefix_cache: root.get("prefix_cache").and_then(Node::boolean).unwrap_or(false),
        rules: root.get("rules").and_then(Node::items).unwrap_or_default().iter().map(rule).collect(),
    })
}

fn texts(node: Option<&Node>) -> Vec<String> {
    match node.map(|n| (n, n.items())) {
        None => Vec::new(),
        Some((_, Some(items))) => items.iter().filter_map(Node::text).map(str::to_owned).collect(),
        Some((node, None)) => node.text().map(str::to_owned).into_iter().collect(),
    }
}

fn rule(node: &Node) -> Rule {
    let text = |key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
    let mut answers = texts(node.get("answer"));
    answers.extend(node.get("json").map(|n| n.json().to_string()));
    let when = node.get("when").map_or_else(When::default, |w| {
        let text = |key: &str| w.get(key).and_then(Node::text).map(str::to_owned);
        When {
            contains: texts(w.get("contains")),
            matches: text("matches").and_then(|t| regex::Regex::new(&t).ok()),
            system: text("system"),
            seen: text("seen"),
            model: text("model"),
            share: text("share").and_then(|t| units::share(&t).ok()).map(|s| s.0),
            times: w.get("times").and_then(count_of),
        }
    });
    let fault = node.get("fault").map_or_else(Fault::default, |f| {
        let text = |key: &str| f.get(key).and_then(Node::text).map(str::to_owned);
        let count = |key: &str| f.get(key).and_then(count_of);
        let flag = |key: &str| f.get(key).and_then(Node::boolean).unwrap_or(false);
        Fault {
            status: count("status").map(|n| n as u16),
            retry_after: f.get("retry_after").and_then(duration_of),
            message: text("message"),
            error_type: text("error_type"),
            body: text("body"),
            content_type: text("content_type"),
            cut_after: count("cut_after"),
            end_after: count("end_after"),
            malformed_after: count("malformed_after"),
            error_after: count("error_after"),
            stall_after: count("stall_after"),
            stall: f.get("stall").and_then(duration_of),
            no_done: flag("no_done"),
            endless_line: flag("endless_line"),
            exit: flag("exit"),
        }
    });
    let calls = node.get("tool_calls").and_then(Node::items).unwrap_or_default();
    Rule {
        when,
        answers,
        reasoning: text("reasoning"),
        tool_calls: calls.iter().filter_map(|c| Some((c.get("name")?.text()?.to_owned(), c.get("arguments")?.json()))).collect(),
        finish_reason: text("finish_reason"),
        logprob: node.get("logprob").and_then(number_of),
        ttft: node.get("ttft").and_then(duration_of),
        tpot: node.get("tpot").and_then(duration_of),
        headers: node
            .get("headers")
            .and_then(Node::entries)
            .unwrap_or_default()
            .iter()
            .filter_map(|(k, v)| Some((k.text()?.to_owned(), v.text()?.to_owned())))
            .collect(),
        fault,
        taken: AtomicU64::new(0),
    }
}

/// Cuts a text into what this service calls tokens: a Han character, or a word with the white space before it.
pub fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut open = false;
    for c in text.chars() {
        let alone = crate::expect::chinese::is_han(c) || c.is_ascii_punctuation() || matches!(c, '，' | '。' | '！' | '？' | '、' | '：');
        let joins = open && !alone && !c.is_whitespace();
        let after_space = tokens.last().is_some_and(|t| t.chars().all(char::is_whitespace)) && !tokens.is_empty();
        match tokens.last_mut() {
            Some(last) if joins || after_space => last.push(c),
            _ => tokens.push(c.to_string()),
        }
        open = !alone;
        if c.is_whitespace() {
            // A space starts the next word.
            open = false;
        } else if after_space {
            open = !alone;
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_put_together_are_the_text() {
        for text in ["你好，world! How are you?", "  a\n\nb ", "", "{\"type\": \"功能缺陷\"}"] {
            assert_eq!(tokens(text).concat(), text);
        }
        assert_eq!(tokens("你好 big world"), ["你", "好", " big", " world"]);
    }
}
