//! What a run is told: built-in defaults, then the file, the profile, the environment and the flags, each rung over the one
//! before. Pure: the door reads files and variables and hands them over.

mod hide;
mod ladder;
mod secret;
mod target;
mod variables;

pub use hide::hide;
pub use ladder::{settings, shown};
pub use secret::passwords;
pub use target::{Address, Api, Ready, RetryWhen, Secret, Target, Timeouts, TransportRetry};

use crate::diagnostic::Diagnostic;
use crate::units;
use crate::verdict::Policy;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    BuiltIn,
    File(String),
    Profile(String),
    Environment(&'static str),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::BuiltIn => f.write_str("built in"),
            Origin::File(name) => write!(f, "{name}"),
            Origin::Profile(name) => write!(f, "profile {name}"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One setting under its dotted key.
#[derive(Debug, Clone)]
pub struct Setting {
    pub value: Value,
    pub origin: Origin,
}

/// All settings, merged, before they are given types.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub map: BTreeMap<String, Setting>,
    /// Values that must never be shown.
    pub secrets: Vec<String>,
    /// Targets that lack a variable of the environment, and what they lack: told where one of them is used.
    pub unfilled: BTreeMap<String, Vec<Diagnostic>>,
}

/// What flags and environment variables say about the chosen target: dotted key below it, value, origin.
pub type Override = (&'static str, Value, Origin);

/// The settings with types.
#[derive(Debug, Clone)]
pub struct Options {
    pub targets: BTreeMap<String, Target>,
    /// Targets that lack a variable of the environment, and what they lack.
    pub unfilled: BTreeMap<String, Vec<Diagnostic>>,
    pub scenarios: Vec<String>,
    pub exclude: Vec<String>,
    pub budget: Budget,
    pub environment: BTreeMap<String, String>,
    pub production: BTreeMap<String, String>,
    pub policy: Policy,
    /// Files to write, by format.
    pub reports: BTreeMap<String, String>,
    pub runs: String,
    pub secrets: Vec<String>,
    /// Personal data is kept in records as it came.
    pub keep_personal: bool,
    /// The target that judges.
    pub judge: Option<String>,
    pub embeddings: Option<Embeddings>,
    /// Folder of the baselines.
    pub baselines: String,
    /// How far back `rolling` looks where a ceiling does not say.
    pub window: Option<Duration>,
    pub phases: Vec<Phase>,
}

/// One phase of a staged test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phase {
    pub name: String,
    pub run: Vec<String>,
    pub load: Vec<String>,
    pub filter: Vec<String>,
    /// Later phases run even when this one fails.
    pub go_on: bool,
}

/// Where sentence vectors come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    pub source: EmbeddingSource,
    /// Default of `similar` for this encoder.
    pub limit: Option<f64>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum EmbeddingSource {
    /// The built-in encoder, its weights in this folder or in the cache.
    BuiltIn {
        model_dir: Option<String>,
    },
    /// A BERT model of this folder; all-MiniLM-L6-v2 of the cache when none is told.
    Bert {
        model_dir: Option<String>,
    },
    Endpoint {
        target: String,
    },
}

/// What a run may use up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Budget {
    pub requests: Option<u64>,
    pub tokens: Option<u64>,
    pub time: Option<Duration>,
    /// An amount, and its currency.
    pub cost: Option<(f64, String)>,
}

impl Budget {
    /// Each limit as it is written in the configuration.
    pub fn told(&self) -> Vec<String> {
        let count = |name: &str, n: Option<u64>| n.map(|n| format!("{name}: {n}"));
        let time = self.time.map(|time| format!("time: {}", units::show(time)));
        let cost = self.cost.as_ref().map(|(amount, currency)| format!("cost: {amount} {currency}"));
        [count("requests", self.requests), count("tokens", self.tokens), time, cost].into_iter().flatten().collect()
    }
}

/// Why a target cannot be used, if it cannot: it lacks something, or is not there.
fn unusable(name: &str, targets: &BTreeMap<String, Target>, unfilled: &BTreeMap<String, Vec<Diagnostic>>) -> Option<Vec<Diagnostic>> {
    if targets.contains_key(name) {
        return None;
    }
    if let Some(lacking) = unfilled.get(name) {
        return Some(lacking.clone());
    }
    let known: Vec<&str> = targets.keys().chain(unfilled.keys()).map(String::as_str).collect();
    let near = crate::diagnostic::nearest(name, known.iter().copied());
    let meant = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    let mistake = Diagnostic::error("unknown-target", format!("there is no target `{name}`"));
    Some(vec![mistake.hint(format!("{meant}targets of roadworthy.yaml: {}", known.join(", ")))])
}

impl Options {
    /// Why a target cannot be used, if it cannot.
    pub fn unusable(&self, name: &str) -> Option<Vec<Diagnostic>> {
        unusable(name, &self.targets, &self.unfilled)
    }
}

impl Settings {
    fn text(&self, key: &str) -> Option<String> {
        self.map.get(key).map(|s| s.value.as_str().map_or_else(|| s.value.to_string(), str::to_owned)).filter(|t| !t.is_empty())
    }

    fn list(&self, key: &str) -> Vec<String> {
        self.map
            .get(key)
            .and_then(|s| s.value.as_array())
            .map(|a| a.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default()
    }

    fn below(&self, key: &str) -> BTreeMap<String, String> {
        let prefix = format!("{key}.");
        self.map.keys().filter_map(|k| Some((shown(k.strip_prefix(&prefix)?), self.text(k)?))).collect()
    }

    /// The targets by the part that stands in keys.
    fn target_names(&self) -> std::collections::BTreeSet<String> {
        self.map.keys().filter_map(|k| Some(k.strip_prefix("targets.")?.split('.').next()?.to_owned())).collect()
    }

    fn parsed<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, Vec<Diagnostic>> {
        match self.text(key) {
            None => Ok(None),
            Some(text) => parse(&text).map(Some).map_err(|why| {
                vec![
                    Diagnostic::error("bad-value", format!("{}: {why}", shown(key)))
                        .hint(format!("it comes from {}", self.map[key].origin)),
                ]
            }),
        }
    }

    /// Gives the settings their types.
    pub fn options(&self) -> Result<Options, Vec<Diagnostic>> {
        let mut targets = BTreeMap::new();
        for name in self.target_names() {
            targets.insert(shown(&name), target::target(self, &name)?);
        }
        let fail_on = self.list("fail_on");
        Ok(Options {
            unfilled: self.unfilled.clone(),
            scenarios: self.list("scenarios"),
            exclude: self.list("exclude"),
            budget: Budget {
                requests: self.parsed("budget.requests", units::count)?,
                tokens: self.parsed("budget.tokens", units::count)?,
                time: self.parsed("budget.time", units::duration)?,
                cost: self.cost_budget(&targets)?,
            },
            environment: self.below("environment"),
            production: self.below("production"),
            policy: Policy::of(&fail_on),
            reports: self.below("reports"),
            runs: self.text("runs").unwrap_or_else(|| "runs".into()),
            secrets: self.secrets.clone(),
            keep_personal: self.text("record.personal_data").as_deref() == Some("keep"),
            judge: self.helper("judge.target", &targets)?,
            embeddings: {
                self.helper("embeddings.target", &targets)?;
                self.embeddings()?
            },
            baselines: self.text("baselines.dir").unwrap_or_else(|| "baselines".into()),
            window: self.parsed("baselines.window", units::duration)?,
            phases: self.phases()?,
            targets,
        })
    }

    /// The name of another target, which must be there.
    fn helper(&self, key: &str, targets: &BTreeMap<String, Target>) -> Result<Option<String>, Vec<Diagnostic>> {
        let Some(name) = self.text(key) else { return Ok(None) };
        match unusable(&name, targets, &self.unfilled) {
            None => Ok(Some(name)),
            Some(mut found) => {
                found.iter_mut().filter(|d| d.source.is_none()).for_each(|d| d.message.insert_str(0, &format!("{key}: ")));
                Err(found)
            }
        }
    }

    /// `5 USD`: each target must have a price in that currency, or its requests would count as free.
    fn cost_budget(&self, targets: &BTreeMap<String, Target>) -> Result<Option<(f64, String)>, Vec<Diagnostic>> {
        let amount = |text: &str| {
            let (number, currency) = text.trim().split_once(' ').ok_or_else(|| format!("`{text}` is not an amount such as `5 USD`"))?;
            Ok((units::number(number)?, currency.trim().to_owned()))
        };
        let Some((max, currency)) = self.parsed("budget.cost", amount)? else { return Ok(None) };
        let lacks = |t: &&Target| t.price.as_ref().is_none_or(|p| p.currency != currency);
        match targets.values().find(lacks) {
            Some(target) => {
                let message = format!("`budget.cost` counts {currency}, and target `{}` has no `price` in it", target.name);
                let hint = format!("give it `price: {{ input: …, output: …, currency: {currency} }}`, per million tokens");
                Err(vec![Diagnostic::error("missing-key", message).hint(hint)])
            }
            None => Ok(Some((max, currency))),
        }
    }

    fn phases(&self) -> Result<Vec<Phase>, Vec<Diagnostic>> {
        let told = self.map.get("phases").and_then(|s| s.value.as_array()).cloned().unwrap_or_default();
        let mut phases: Vec<Phase> = Vec::new();
        for value in told {
            let list = |key: &str| value[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            let phase = Phase {
                name: value["name"].as_str().unwrap_or_default().to_owned(),
                run: list("run"),
                load: list("load"),
                filter: list("filter"),
                go_on: value["go_on"].as_bool() == Some(true) || value["go_on"] == "true",
            };
            if phase.run.is_empty() && phase.load.is_empty() {
                let message = format!("the phase `{}` does nothing: give it `run` or `load` with files", phase.name);
                return Err(vec![Diagnostic::error("empty-phase", message)]);
            }
            if phases.iter().any(|p| p.name == phase.name) {
                return Err(vec![Diagnostic::error("duplicate-phase", format!("two phases are named `{}`", phase.name))]);
            }
            phases.push(phase);
        }
        Ok(phases)
    }

    fn embeddings(&self) -> Result<Option<Embeddings>, Vec<Diagnostic>> {
        let Some(source) = self.text("embeddings.source") else { return Ok(None) };
        let source = match (source.as_str(), self.text("embeddings.target")) {
            ("endpoint", Some(target)) => EmbeddingSource::Endpoint { target },
            ("endpoint", None) => {
                return Err(vec![Diagnostic::error("missing-key", "`embeddings: { source: endpoint }` needs a `target`")]);
            }
            ("bert", _) => EmbeddingSource::Bert { model_dir: self.text("embeddings.model_dir") },
            _ => EmbeddingSource::BuiltIn { model_dir: self.text("embeddings.model_dir") },
        };
        Ok(Some(Embeddings { source, limit: self.parsed("embeddings.limit", units::number)? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use std::sync::Arc;

    fn climb(text: &str, profile: Option<&str>, overrides: Vec<Override>) -> Result<Options, String> {
        let source = Arc::new(Source { name: "roadworthy.yaml".into(), text: text.into() });
        let env = |name: &str| (name == "MY_KEY").then(|| "sk-secret-value".to_owned());
        let show = |found: Vec<Diagnostic>| found.iter().map(|d| d.render(false)).collect::<Vec<_>>().join("\n");
        settings(Some(&source), profile, "default", overrides, &env).and_then(|s| s.options()).map_err(show)
    }

    #[test]
    fn later_rungs_win() {
        let text = "targets:\n  default: { simulate: demo.sim.yaml, model: a }\nprofiles:\n  ci: { fail_on: [flaky], runs: out }\n";
        let options = climb(text, Some("ci"), vec![(".base_url", "http://x/v1".into(), Origin::Flag("--base-url"))]).unwrap();
        assert!(options.policy.fail_on_flaky);
        assert_eq!(options.runs, "out");
        assert!(matches!(&options.targets["default"].address, Address::Url(u) if u == "http://x/v1"));
        assert_eq!(options.targets["default"].model.as_deref(), Some("a"));
    }

    #[test]
    fn variables_are_filled_and_kept_secret() {
        let options = climb("targets: { default: { base_url: \"${URL:-http://h/v1}\", api_key: \"${MY_KEY}\" } }\n", None, vec![]).unwrap();
        assert!(options.secrets.contains(&"sk-secret-value".to_owned()));
        assert!(!format!("{:?}", options.targets).contains("sk-secret"));
        let error = climb("targets: { default: { api_key: \"${NOT_SET}\" } }\n", None, vec![]).unwrap_err();
        assert!(error.contains("`NOT_SET` is not set") && error.contains("roadworthy.yaml:1:"), "{error}");
    }

    #[test]
    fn a_target_that_nobody_uses_may_lack_its_variables() {
        let text = "targets:\n  default: { base_url: http://h/v1 }\n  staging: { base_url: http://s/v1, api_key: \"${STAGING_KEY}\" }\n";
        let options = climb(text, None, vec![]).unwrap();
        assert!(options.targets.contains_key("default") && !options.targets.contains_key("staging"));
        assert!(options.unfilled["staging"][0].render(false).contains("`STAGING_KEY` is not set"));
        // Whoever judges is used.
        let error = climb(&format!("{text}judge: {{ target: staging }}\n"), None, vec![]).unwrap_err();
        assert!(error.contains("`STAGING_KEY` is not set"), "{error}");
    }

    #[test]
    fn scalars_keep_what_was_written() {
        let text = "targets: { qwen2.5-7b: { base_url: http://h/v1, api_key: 9876543210, headers: { X-Version: 1.10 },\n\
                    limits: { concurrency: \"${N:-8}\" }, stream: ${S:-false}, transport_retry: { when: [connect, 429] } } }\n\
                    profiles: { ci: { targets: { qwen2.5-7b: { api_key: ${ONLY_IN_CI} } } } }\n";
        let source = Arc::new(Source {
            name: "roadworthy.yaml".into(),
            text: text.replace("${S:-false}", "\"${S:-false}\"").replace("${ONLY_IN_CI}", "\"${ONLY_IN_CI}\""),
        });
        let options = settings(Some(&source), None, "qwen2.5-7b", vec![], &|_| None).and_then(|s| s.options()).unwrap();
        let target = &options.targets["qwen2.5-7b"];
        assert_eq!((target.name.as_str(), target.concurrency, target.stream), ("qwen2.5-7b", 8, false));
        assert_eq!(target.headers[0].1.0, "1.10");
        assert!(target.transport_retry.when.too_many_requests && !target.transport_retry.when.unavailable);
        assert!(options.secrets.contains(&"9876543210".to_owned()));
    }

    #[test]
    fn what_a_variable_brings_into_a_header_is_a_secret() {
        let text =
            "targets: { default: { base_url: \"http://u:p%40ssword@h/v1\", headers: { X-Team: \"Bearer ${MINE}\" }, api_key: ollama } }\n";
        let source = Arc::new(Source { name: "roadworthy.yaml".into(), text: text.into() });
        let settings = settings(Some(&source), None, "default", vec![], &|_| Some("sesame-open".into())).unwrap();
        assert!(settings.secrets.contains(&"sesame-open".to_owned()) && settings.secrets.contains(&"p%40ssword".to_owned()));
        assert!(!settings.secrets.contains(&"ollama".to_owned()));
    }

    #[test]
    fn unknown_names_are_told() {
        assert!(climb("targts: {}\n", None, vec![]).unwrap_err().contains("did you mean `targets`?"));
        assert!(climb("targets: { default: { timeout: { totl: 3s } } }\n", None, vec![]).unwrap_err().contains("did you mean `total`?"));
        assert!(climb("runs: x\n", Some("ci"), vec![]).unwrap_err().contains("no profile `ci`"));
    }
}
