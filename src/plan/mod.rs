//! Makes a plan of scenarios: every case with its texts filled in, ready to be sent. Any mistake stops here, all mistakes together.

mod expand;
pub mod load;
pub mod select;

pub use expand::expand;
pub use load::{PlannedLoad, loads};

use crate::expect::{Check, Expectation, Ground};
use crate::scenario::{Layer, Skip};
use crate::units::Share;
use crate::verdict::rate::PassRate;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// One case to run.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Stable: folder path, case name, and the row's id or matrix values.
    pub id: String,
    pub scenario: String,
    pub name: String,
    pub file: String,
    pub line: u32,
    pub layer: Layer,
    pub tags: Vec<String>,
    pub target: String,
    /// What is sent: one version, or one for each variant of the prompt and each mutation. Trials take them in turn.
    pub versions: Vec<Version>,
    /// Expectations about all trials together.
    pub group: Arc<Vec<Expectation>>,
    pub vars: Arc<Map<String, Value>>,
    /// What the answer should stand on.
    pub context: Option<String>,
    pub skip: Option<Skip>,
    pub retry: u64,
    pub repeat: u64,
    /// Trials end earlier when latencies are known so well.
    pub precision: Option<Share>,
    /// Each prompt begins with a nonce.
    pub cold: bool,
    pub pass_rate: Option<PassRate>,
    pub timeout: Option<Duration>,
    pub stream: Option<bool>,
    pub allow_empty: bool,
    /// Hash of what is sent.
    pub fingerprint: String,
    /// Its place in the plan, from 0.
    pub position: u64,
}

/// One conversation to hold.
#[derive(Debug, Clone)]
pub struct Version {
    /// Which variant or mutation; absent when there is only one.
    pub label: Option<String>,
    pub turns: Vec<PlannedTurn>,
}

/// One request of a conversation.
#[derive(Debug, Clone)]
pub struct PlannedTurn {
    /// Messages added before the model is asked; its answers to earlier turns stand between.
    pub messages: Vec<Value>,
    pub params: Map<String, Value>,
    pub expect: Arc<Vec<Expectation>>,
}

impl Planned {
    /// Trials of one attempt, at most.
    pub fn max_trials(&self) -> u64 {
        self.pass_rate.map_or(self.repeat * self.versions.len() as u64, |r| r.max_trials())
    }

    /// Whether the evidence decides how many trials there are.
    pub fn ends_when_known(&self) -> bool {
        self.precision.is_some() || matches!(self.pass_rate, Some(PassRate::Sequential { .. }))
    }

    /// Everything that is expected, of single trials and of all together.
    pub fn expectations(&self) -> impl Iterator<Item = &Expectation> {
        self.versions.iter().flat_map(|v| &v.turns).flat_map(|t| t.expect.iter()).chain(self.group.iter())
    }

    /// The version that a trial sends.
    pub fn version(&self, trial: u64) -> &Version {
        &self.versions[trial as usize % self.versions.len()]
    }

    /// Requests of one attempt, at most.
    pub fn requests(&self) -> u64 {
        self.over_trials(|version| version.turns.len() as u64)
    }

    /// Questions to the judge of one attempt.
    pub fn votes(&self) -> u64 {
        fn of(expectation: &Expectation) -> u64 {
            match &expectation.check {
                Check::Judge { votes, .. } => *votes,
                Check::Grounded(Ground::Judge { votes, .. }) | Check::UsesContext(Ground::Judge { votes, .. }) => *votes,
                Check::Not(inner) => of(inner),
                Check::All(inner) | Check::Any(inner) => inner.iter().map(of).sum(),
                _ => 0,
            }
        }
        self.over_trials(|version| version.turns.iter().flat_map(|t| t.expect.iter()).map(of).sum())
    }

    /// Requests at most sent for it, transport retries aside.
    pub fn max_requests(&self) -> u64 {
        self.requests().saturating_mul(self.retry + 1)
    }

    /// A rough upper bound of the tokens of one attempt.
    pub fn tokens(&self) -> u64 {
        self.over_trials(Version::estimated_tokens)
    }

    /// Adds up what the trials of one attempt have, the versions taking turns.
    fn over_trials(&self, of: impl Fn(&Version) -> u64) -> u64 {
        let (trials, versions) = (self.max_trials(), self.versions.len() as u64);
        let each = |(i, version)| of(version).saturating_mul(trials / versions + u64::from((i as u64) < trials % versions));
        self.versions.iter().enumerate().map(each).fold(0, u64::saturating_add)
    }

    /// True when a failed request is counted by `error_rate` and fails nothing else.
    pub fn counts_failures(&self) -> bool {
        self.group.iter().any(|e| matches!(e.check, crate::expect::Check::ErrorRate { .. }))
    }
}

impl Version {
    /// A rough upper bound of the tokens of one trial: prompt and output.
    fn estimated_tokens(&self) -> u64 {
        let each = self.turns.iter().map(|t| estimate_turn(&t.messages, &t.params));
        each.map(|(prompt, output)| prompt + output).sum()
    }

    /// What the user says in the first turns, so many of them.
    pub fn prompt(&self, turns: usize) -> String {
        let texts = self.turns.iter().take(turns).flat_map(|t| &t.messages).filter(|m| m["role"] == "user").map(|m| text_of(&m["content"]));
        texts.collect::<Vec<_>>().join("\n")
    }

    /// The system message.
    pub fn system(&self) -> Option<String> {
        self.turns.iter().flat_map(|t| &t.messages).find(|m| m["role"] == "system").map(|m| text_of(&m["content"]))
    }
}

/// Puts a nonce before the text of a message's content, so that no cache knows its beginning.
pub fn begin_with(content: &mut Value, nonce: &str) {
    match content {
        Value::String(text) => text.insert_str(0, nonce),
        Value::Array(parts) => {
            if let Some(Value::String(text)) = parts.iter_mut().find_map(|p| p.get_mut("text")) {
                text.insert_str(0, nonce);
            }
        }
        _ => {}
    }
}

/// The text of a message's content, parts included.
pub fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|p| p["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// Tokens that an answer may have where nothing bounds it; a guess.
const UNBOUNDED: u64 = 512;

/// What such numbers rest on.
pub const ASSUMED: &str = "`max_tokens` bounds an answer; 512 are assumed without it";

/// About how many tokens a prompt has, and its answer may have.
pub fn estimate_turn(messages: &[Value], params: &Map<String, Value>) -> (u64, u64) {
    let prompt = messages.iter().map(|m| estimate(&m["content"])).sum();
    let bound = ["max_tokens", "max_completion_tokens"].iter().find_map(|k| params.get(*k).and_then(Value::as_u64));
    (prompt, bound.unwrap_or(UNBOUNDED))
}

/// An image is some thousand tokens.
fn estimate(content: &Value) -> u64 {
    let images = content.as_array().map_or(0, |parts| parts.iter().filter(|p| p["type"] == "image_url").count()) as u64;
    estimate_text(&text_of(content)) + images * 1000
}

/// A Han character is about one token, other text about four bytes a token.
pub fn estimate_text(text: &str) -> u64 {
    let han = text.chars().filter(|c| crate::expect::chinese::is_han(*c)).count() as u64;
    let other = text.chars().filter(|c| !crate::expect::chinese::is_han(*c)).map(char::len_utf8).sum::<usize>() as u64;
    han + other.div_ceil(4)
}
