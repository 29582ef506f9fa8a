//! The scenario language: text in, typed scenarios or every mistake out. Touches no file: whoever calls hands over texts.

mod check;
pub mod dataset;
pub mod grammar;
pub mod import;
pub mod lint;
pub mod params;
mod read;
pub mod reference;
pub mod schema;
mod schema_words;
pub(crate) mod spread;
pub mod template;
mod traps;
pub mod tree;
pub mod vocabulary;

pub use check::Checker;
pub use read::{Compiled, expectations, parse, parse_shape};
pub(crate) use read::{count_of, duration_of, number_of};

use crate::diagnostic::{Place, Source};
use crate::expect::Expectation;
use crate::load::judge::LoadExpectation;
use crate::load::{Abort, Objective, Shape};
use crate::mutate::Mutation;
use crate::units::Share;
use crate::verdict::rate::PassRate;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tree::Node;

/// Reads files for scenarios: schemas, datasets, prompts, images. The path is as written in the scenario.
pub trait Files: Sync {
    /// The bytes, or a sentence fragment that says why not.
    fn read(&self, scenario: &str, path: &str) -> Result<Vec<u8>, String>;

    /// The same for a file that need not exist yet.
    fn find(&self, scenario: &str, path: &str) -> Result<Option<Vec<u8>>, String> {
        self.read(scenario, path).map(Some)
    }
}

/// When a case is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// After an image build.
    Unit,
    /// After a service start.
    Integration,
    /// Before a merge.
    Scenario,
}

impl Layer {
    pub fn word(self) -> &'static str {
        match self {
            Layer::Unit => "unit",
            Layer::Integration => "integration",
            Layer::Scenario => "scenario",
        }
    }

    pub fn named(name: &str) -> Option<Layer> {
        [Layer::Unit, Layer::Integration, Layer::Scenario].into_iter().find(|l| l.word() == name)
    }
}

/// One scenario file.
#[derive(Debug)]
pub struct Scenario {
    pub source: Arc<Source>,
    pub name: String,
    pub cases: Vec<Case>,
    pub loads: Vec<Load>,
}

/// A load as written; templates are not filled in yet.
#[derive(Debug)]
pub struct Load {
    pub name: String,
    pub place: Place,
    pub layer: Layer,
    pub tags: Vec<String>,
    pub target: String,
    pub inputs: Vec<LoadInput>,
    pub shape: Shape,
    pub think_time: Option<std::ops::Range<Duration>>,
    pub warm_up: Duration,
    pub max_in_flight: u64,
    pub workers: u64,
    /// A nonce keeps prefix caches cold.
    pub cold: bool,
    pub objective: Objective,
    pub abort: Option<Abort>,
    pub monitors: Vec<Monitor>,
    pub stream: Option<bool>,
    pub expect: Vec<LoadExpectation>,
}

/// One input of a load's mix.
#[derive(Debug)]
pub struct LoadInput {
    pub name: Option<String>,
    pub weight: u64,
    pub source: LoadSource,
    pub rows: Option<Vec<dataset::Row>>,
    pub system: Option<String>,
    pub params: Map<String, Value>,
    pub vars: Map<String, Value>,
    pub timeout: Option<Duration>,
    pub mutate: Vec<Mutation>,
    pub mutate_count: u64,
    /// Statuses beside 2xx that are fine.
    pub accept: Vec<u16>,
}

/// Where prompts of a load come from.
#[derive(Debug)]
pub enum LoadSource {
    Prompt(String),
    Messages(Vec<Value>),
    FromRow,
    /// Made-up prompts of so many words, some of them shared.
    Random {
        tokens: u64,
        shared: u64,
        prompts: u64,
    },
}

/// What is watched during a load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Monitor {
    Prometheus(String),
    /// The target's own metrics page, where the configuration names one.
    Target,
    NvidiaSmi,
    Host,
    Pid(u64),
}

/// A case as written; templates are not filled in yet.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub place: Place,
    pub layer: Layer,
    pub tags: Vec<String>,
    pub target: String,
    pub system: Option<String>,
    pub input: Input,
    /// What the prompt is turned into, and how often each.
    pub mutate: Vec<Mutation>,
    pub mutate_count: u64,
    /// What the answer should stand on; may hold templates.
    pub context: Option<String>,
    pub params: Map<String, Value>,
    pub vars: Map<String, Value>,
    /// Variables with the values that are combined.
    pub matrix: Vec<(String, Vec<Value>)>,
    pub rows: Option<Vec<dataset::Row>>,
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
    pub expect: Expected,
}

/// What is sent.
#[derive(Debug, Clone)]
pub enum Input {
    Prompt(String),
    /// Several prompts that should be answered alike.
    Variants(Vec<String>),
    /// OpenAI messages as JSON.
    Messages(Vec<Value>),
    Turns(Vec<TurnInput>),
    /// The dataset's rows say.
    FromRow,
}

#[derive(Debug, Clone)]
pub struct TurnInput {
    /// Text or parts, as JSON.
    pub user: Value,
    pub params: Map<String, Value>,
    pub expect: Expected,
}

/// Expectations: read once when they hold no template, else read anew for each row.
#[derive(Debug, Clone)]
pub enum Expected {
    Ready(Arc<Vec<Expectation>>),
    Templated(Arc<Node>),
}

impl Expected {
    pub fn none() -> Expected {
        Expected::Ready(Arc::new(Vec::new()))
    }
}

#[derive(Debug, Clone)]
pub struct Skip {
    pub reason: String,
    pub until: jiff::civil::Date,
}
