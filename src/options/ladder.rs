//! The ladder: built-in defaults, the file, the profile, the environment, the flags, each rung over the one before.

use super::secret::{in_header, is_placeholder, is_secret_header, passwords};
use super::variables::Filling;
use super::{Origin, Override, Setting, Settings, target};
use crate::diagnostic::{Diagnostic, Source};
use crate::scenario::tree::{Node, Value as Tree};
use crate::scenario::vocabulary::CONFIG_KEYS;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Climbs the ladder. `env` gives environment variables; `overrides` come from environment and flags, in that order.
pub fn settings(
    file: Option<&Arc<Source>>,
    profile: Option<&str>,
    target: &str,
    overrides: Vec<Override>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, Vec<Diagnostic>> {
    let mut settings = Settings::default();
    for (key, value) in [("scenarios", serde_json::json!(["scenarios"])), ("runs", serde_json::json!("runs"))] {
        settings.map.insert(key.to_owned(), Setting { value, origin: Origin::BuiltIn });
    }
    if let Some(source) = file {
        let root = crate::scenario::parse_shape(source, CONFIG_KEYS, true)?;
        let entries = |node: &Node| node.entries().unwrap_or_default().to_vec();
        let profiles = root.get("profiles").map(entries).unwrap_or_default();
        let chosen = match profile {
            None => Vec::new(),
            Some(name) => match profiles.iter().find(|(k, _)| k.text() == Some(name)) {
                Some((_, node)) => entries(node),
                None => {
                    let known: Vec<&str> = profiles.iter().filter_map(|(k, _)| k.text()).collect();
                    return Err(vec![
                        Diagnostic::error("unknown-profile", format!("there is no profile `{name}` in {}", source.name)).hint(
                            if known.is_empty() {
                                "there is no profile there".to_owned()
                            } else {
                                format!("profiles there: {}", known.join(", "))
                            },
                        ),
                    ]);
                }
            },
        };
        // Only what counts is filled in: another profile may need variables that only CI has.
        let common = entries(&root).into_iter().filter(|(k, _)| k.text() != Some("profiles")).collect();
        let rungs = [(common, Origin::File(source.name.clone())), (chosen, Origin::Profile(profile.unwrap_or_default().to_owned()))];
        for (entries, origin) in rungs {
            let mut filling = Filling::new(source, env, &mut settings.secrets);
            let mut filled = filling.node(&Node { place: root.place, value: Tree::Map(entries), tagged: false }, false);
            let (lacking, found) = filling.lacks(target);
            if !found.is_empty() {
                return Err(found);
            }
            without(&mut filled, &lacking);
            settings.unfilled.extend(lacking);
            // A variable may have brought a value of the wrong kind.
            let mut checker = crate::scenario::Checker::new(source);
            checker.map(&filled, CONFIG_KEYS);
            for (name, target) in filled.get("targets").and_then(Node::entries).unwrap_or_default() {
                if let (Some(_), Some(simulate)) = (target.get("base_url"), target.get("simulate")) {
                    let why = format!("`{}` has a `base_url`, too; leave out one of them", name.text().unwrap_or_default());
                    checker.error(simulate.place, "bad-value", why);
                }
            }
            if !checker.found.is_empty() {
                return Err(checker.found);
            }
            for (key, value) in filled.entries().unwrap_or_default() {
                flatten(&mut settings.map, key.text().unwrap_or_default(), value, &origin);
            }
        }
        for name in settings.unfilled.keys() {
            let prefix = format!("targets.{}.", part(name));
            settings.map.retain(|key, _| !key.starts_with(&prefix));
        }
    } else if let Some(name) = profile {
        return Err(vec![Diagnostic::error(
            "unknown-profile",
            format!("`--profile {name}` needs a roadworthy.yaml, and there is none here or above"),
        )]);
    }
    let has_target = |settings: &Settings, name: &str| {
        settings.map.keys().any(|k| k.strip_prefix("targets.").is_some_and(|k| k == name || k.starts_with(&format!("{name}."))))
    };
    let name = part(target);
    let target = name.as_str();
    if !has_target(&settings, target) {
        if target != "default" {
            let known: Vec<String> = settings.target_names().into_iter().map(|name| shown(&name)).collect();
            return Err(vec![
                Diagnostic::error("unknown-target", format!("there is no target `{}`", shown(target)))
                    .hint(format!("targets: {}", known.join(", "))),
            ]);
        }
        settings
            .map
            .insert("targets.default.base_url".into(), Setting { value: "http://127.0.0.1:8000/v1".into(), origin: Origin::BuiltIn });
    }
    for (key, value, origin) in overrides {
        let key = if key.starts_with('.') { format!("targets.{target}{key}") } else { key.to_owned() };
        if key.ends_with(".base_url") {
            settings.map.remove(&key.replace(".base_url", ".simulate"));
        }
        settings.map.insert(key, Setting { value, origin });
    }
    for name in settings.target_names() {
        for (key, value) in target::built_in() {
            settings.map.entry(format!("targets.{name}.{key}")).or_insert(Setting { value, origin: Origin::BuiltIn });
        }
    }
    let told: Vec<String> = settings.map.keys().filter(|k| k.ends_with(".api_key") || is_secret_header(k)).cloned().collect();
    let values: Vec<String> = told.iter().filter_map(|key| settings.text(key)).collect();
    settings.secrets.extend(values.iter().flat_map(|value| in_header(value)));
    // A password in an address is a secret, too.
    let urls: Vec<String> = settings.map.keys().filter_map(|key| settings.text(key)).filter(|text| text.contains("://")).collect();
    settings.secrets.extend(urls.iter().flat_map(|url| passwords(url)));
    settings.secrets.retain(|s| !is_placeholder(s));
    Ok(settings)
}

/// Leaves out targets that lack something.
fn without(filled: &mut Node, lacking: &BTreeMap<String, Vec<Diagnostic>>) {
    let Tree::Map(entries) = &mut filled.value else { return };
    for (_, targets) in entries.iter_mut().filter(|(key, _)| key.text() == Some("targets")) {
        if let Tree::Map(targets) = &mut targets.value {
            targets.retain(|(name, _)| name.text().is_none_or(|name| !lacking.contains_key(name)));
        }
    }
}

/// One part of a dotted key. A dot inside a name stands there as U+2024, which no name has.
pub fn part(name: &str) -> String {
    name.replace('.', "\u{2024}")
}

/// A key, or a part of one, as its author wrote it.
pub fn shown(key: &str) -> String {
    key.replace('\u{2024}', ".")
}

/// Scalars keep what was written: a header `1.10` is not 1.1.
fn flatten(map: &mut BTreeMap<String, Setting>, key: &str, node: &Node, origin: &Origin) {
    if let Some(entries) = node.entries() {
        return entries.iter().for_each(|(k, v)| flatten(map, &format!("{key}.{}", part(k.text().unwrap_or_default())), v, origin));
    }
    // The two ways of saying where a target is exclude each other; the later one counts.
    if key.ends_with(".base_url") {
        map.remove(&key.replace(".base_url", ".simulate"));
    } else if key.ends_with(".simulate") {
        map.remove(&key.replace(".simulate", ".base_url"));
    }
    map.insert(key.to_owned(), Setting { value: written(node), origin: origin.clone() });
}

fn written(node: &Node) -> Value {
    match &node.value {
        Tree::Scalar { text, .. } => Value::String(text.clone()),
        Tree::List(items) => Value::Array(items.iter().map(written).collect()),
        Tree::Map(entries) => entries.iter().map(|(k, v)| (k.text().unwrap_or_default().to_owned(), written(v))).collect(),
        Tree::Null => Value::Null,
    }
}
