//! Holds a tree against the grammar and tells every mistake in it, with its place and the nearest valid name.

use super::grammar::{Form, Key, Kind};
use super::traps;
use super::tree::{Node, Typed, Value};
use super::vocabulary::EXPECTATIONS;
use crate::diagnostic::{Diagnostic, Place, Source, nearest};
use crate::units;
use std::sync::Arc;

/// Collects the diagnostics of one source.
pub struct Checker<'a> {
    pub source: &'a Arc<Source>,
    pub found: Vec<Diagnostic>,
    /// `${NAME}` is filled in from the environment later on, so what stands there is not known yet.
    pub variables: bool,
    /// False when the source is known to hold no `!`, so that no key needs to be looked at for a tag.
    pub tags: bool,
}

/// What a JSON Schema mostly begins with.
const SCHEMA_WORDS: &[&str] = &[
    "$schema",
    "$ref",
    "title",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "anyOf",
    "oneOf",
    "allOf",
];

/// True when the text is a template, whose value is only known once it is filled in.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

impl<'a> Checker<'a> {
    pub fn new(source: &'a Arc<Source>) -> Self {
        Checker { source, found: Vec::new(), variables: false, tags: true }
    }

    pub fn error(&mut self, place: Place, code: &'static str, message: impl Into<String>) -> &mut Diagnostic {
        self.found.push(Diagnostic::error(code, message).at(self.source, place));
        self.found.last_mut().expect("just pushed")
    }

    pub fn error_with_hint(&mut self, place: Place, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        let hint = hint.into();
        self.error(place, code, message).hint = Some(hint);
    }

    /// Checks `node` against `kind`. Whatever passes can be read without further errors.
    pub fn check(&mut self, node: &Node, kind: &Kind) {
        if self.variables && node.text().is_some_and(|text| text.contains("${")) {
            return;
        }
        if let Some((message, hint)) = traps::in_node(node, &self.source.text) {
            return self.error_with_hint(node.place, "yaml-trap", message, hint);
        }
        let form = match &node.value {
            Value::Null => {
                if !matches!(kind, Kind::Json | Kind::Filling) {
                    self.error(node.place, "missing-value", format!("a value is missing here; expected {}", kind.says()));
                }
                return;
            }
            Value::Scalar { .. } => Form::Scalar,
            Value::List(_) => Form::List,
            Value::Map(_) => Form::Map,
        };
        if !kind.takes(form) {
            let message = format!("expected {}, not {}", kind.says(), node.what());
            match (kind, form) {
                (Kind::Either(kinds), Form::List) if kinds.iter().any(|k| has_key(k, "any")) => {
                    self.error_with_hint(
                        node.place,
                        "bare-list",
                        "a bare list does not say whether one or all of it is meant",
                        "write `{ any: […] }` or `{ all: […] }`",
                    );
                }
                (Kind::Expectations, _) => {
                    self.error_with_hint(node.place, "wrong-type", message, "start each expectation with a dash: `- contains: …`");
                }
                _ => {
                    self.error(node.place, "wrong-type", message);
                }
            }
            return;
        }
        match kind {
            Kind::Either(kinds) => {
                let fitting: Vec<&Kind> = kinds.iter().filter(|k| k.takes(form)).collect();
                let chosen = fitting.iter().find(|k| form != Form::Scalar || self.scalar_error(node, k).is_none()).or(fitting.last());
                if let Some(kind) = chosen {
                    self.check(node, kind);
                }
            }
            Kind::OneOrMany(inner) => match node.items() {
                Some([]) => {
                    self.error(node.place, "empty-list", "an empty list asks for nothing");
                }
                Some(items) => items.iter().for_each(|n| self.check(n, inner)),
                None => self.check(node, inner),
            },
            Kind::List(inner) => {
                let items = node.items().unwrap_or_default();
                if items.is_empty() {
                    self.error(node.place, "empty-list", "an empty list asks for nothing");
                }
                match inner {
                    Kind::Json => self.free(node, false),
                    Kind::Filling => self.free(node, true),
                    _ => items.iter().for_each(|n| self.check(n, inner)),
                }
            }
            Kind::Map(keys) => self.map(node, keys),
            Kind::Dict(inner) => {
                self.duplicates(node);
                for (_, value) in node.entries().unwrap_or_default() {
                    self.check(value, inner);
                }
            }
            Kind::Range if form == Form::Map => self.map(node, RANGE_KEYS),
            Kind::Expectations => self.expectations(node),
            Kind::Expectation => self.expectation(node),
            Kind::Json | Kind::JsonMap => self.free(node, false),
            Kind::Filling => self.free(node, true),
            _ => {
                if let Some((message, hint)) = self.scalar_error(node, kind) {
                    let diagnostic = self.error(node.place, "bad-value", message);
                    diagnostic.hint = hint;
                }
                if let Some((message, hint)) = traps::in_text(node, kind, &self.source.text) {
                    self.error_with_hint(node.place, "yaml-trap", message, hint);
                }
            }
        }
    }

    fn scalar_error(&self, node: &Node, kind: &Kind) -> Option<(String, Option<String>)> {
        let Value::Scalar { text, .. } = &node.value else { return None };
        if is_template(text) && !matches!(kind, Kind::Map(_) | Kind::List(_)) {
            return None;
        }
        let quoted = matches!(&node.value, Value::Scalar { plain: false, typed: Typed::Text, .. });
        if quoted && matches!(kind, Kind::Count | Kind::Number) && units::number(text).is_ok() {
            return Some((format!("\"{text}\" is text because of its quotes"), Some(format!("write {text} without them"))));
        }
        let plain = |r: Result<(), String>| r.err().map(|m| (traps::width_hint(text).map_or(m.clone(), |w| format!("{m}; {w}")), None));
        match kind {
            Kind::Bool => match node.boolean() {
                Some(_) => None,
                None if quoted && ["true", "false"].contains(&text.as_str()) => {
                    Some((format!("\"{text}\" is text because of its quotes"), Some(format!("write {text} without them"))))
                }
                None => Some((format!("expected `true` or `false`, not `{text}`"), None)),
            },
            Kind::Count => plain(units::count(text).map(drop)),
            Kind::Number => plain(units::number(text).map(drop)),
            Kind::Share => plain(units::share(text).map(drop)),
            Kind::Duration => plain(units::duration(text).map(drop)),
            Kind::Rate => plain(units::rate(text).map(drop)),
            Kind::Range => plain(units::range(text).map(drop)),
            Kind::Date => plain(
                text.parse::<jiff::civil::Date>().map(drop).map_err(|_| format!("`{text}` is not a date; write it like `2026-12-31`")),
            ),
            Kind::Regex => match regex::RegexBuilder::new(text).size_limit(1 << 20).build() {
                Ok(_) => None,
                // Look-around is legal under `lookaround: true`; the reader compiles it there.
                Err(_) if text.contains("(?") && fancy_regex::Regex::new(text).is_ok() => None,
                Err(e) => Some((
                    format!("not a regular expression: {}", e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ")),
                    None,
                )),
            },
            Kind::OneOf(words) if !words.contains(&text.as_str()) => {
                let hint = nearest(text, words.iter().copied()).map(|w| format!("did you mean `{w}`?"));
                Some((format!("`{}` is not {}", crate::redact::excerpt(text, 40), kind.says()), hint))
            }
            Kind::Either(kinds) => {
                let mut last = None;
                for kind in kinds.iter().filter(|k| k.takes(Form::Scalar)) {
                    last = self.scalar_error(node, kind);
                    last.as_ref()?;
                }
                last
            }
            Kind::OneOrMany(inner) => self.scalar_error(node, inner),
            _ => None,
        }
    }

    /// Keys that stand twice.
    pub fn duplicates(&mut self, node: &Node) {
        let entries = node.entries().unwrap_or_default();
        if !has_duplicates(entries) {
            return;
        }
        let mut seen = std::collections::HashMap::new();
        for (key, _) in entries {
            let Some(name) = key.text() else {
                self.error(key.place, "bad-key", format!("a key must be text, not {}", key.what()));
                continue;
            };
            if let Some(first) = seen.insert(name, key.place.line) {
                self.error(key.place, "duplicate-key", format!("`{name}` stands twice in this map, first on line {first}"));
            }
        }
    }

    /// A map with known keys.
    pub fn map(&mut self, node: &Node, keys: &[Key]) {
        self.duplicates(node);
        let entries = node.entries().unwrap_or_default();
        let names_schema = keys.iter().any(|k| k.name == "schema") && node.get("schema").is_none();
        let mut schema_said = false;
        for (key, value) in entries {
            if let Some((message, hint)) = Some(key).filter(|_| self.tags).and_then(|key| traps::in_node(key, &self.source.text)) {
                self.error_with_hint(key.place, "yaml-trap", message, hint);
                continue;
            }
            let Some(name) = key.text() else { continue };
            match keys.iter().find(|k| k.name == name) {
                Some(known) => self.check(value, &known.kind),
                // A schema where its key belongs, which is one mistake however many words the schema has.
                None if names_schema && SCHEMA_WORDS.contains(&name) => {
                    if !std::mem::replace(&mut schema_said, true) {
                        let hint = format!("a JSON Schema stands under `schema`: `schema: {{ {name}: … }}`");
                        self.error_with_hint(key.place, "unknown-key", format!("`{name}` is not known here"), hint);
                    }
                }
                None => {
                    let colon = name.find('：');
                    let near = nearest(&name[..colon.unwrap_or(name.len())], keys.iter().map(|k| k.name));
                    let hint = match near {
                        Some(near) if colon.is_some() => format!("`：` is a full-width colon; write `{near}: `"),
                        Some(near) => format!("did you mean `{near}`?"),
                        None => {
                            let known = keys.iter().map(|k| k.name).collect::<Vec<_>>().join(", ");
                            let whole =
                                if known.contains("equals") { "; to compare with a whole object write `equals: { … }`" } else { "" };
                            format!("known here: {known}{whole}")
                        }
                    };
                    self.error_with_hint(
                        key.place,
                        "unknown-key",
                        format!("`{}` is not known here", crate::redact::excerpt(name, 60)),
                        hint,
                    );
                }
            }
        }
        for wanted in keys.iter().filter(|k| k.required) {
            if node.get(wanted.name).is_none() {
                let mut place = node.place;
                place.end = place.start;
                self.error(place, "missing-key", format!("`{}` is missing: {}", wanted.name, wanted.doc));
            }
        }
    }

    fn expectations(&mut self, node: &Node) {
        let items = node.items().unwrap_or_default();
        if items.is_empty() {
            self.error(node.place, "no-expectation", "`expect` is empty, so the case would pass whatever the service says");
        }
        for item in items {
            self.expectation(item);
        }
    }

    fn expectation(&mut self, node: &Node) {
        match &node.value {
            Value::Scalar { text, .. } => match EXPECTATIONS.iter().find(|w| w.name == text) {
                Some(word) if word.bare => {}
                Some(word) => {
                    self.error(node.place, "missing-value", format!("`{text}` needs a value: {}", word.kind.says()));
                }
                None => self.unknown_expectation(node, text),
            },
            Value::Map(entries) => {
                if entries.len() > 1 {
                    let names: Vec<_> = entries.iter().filter_map(|(k, _)| k.text()).collect();
                    let place = entries[1].0.place;
                    return self.error_with_hint(
                        place,
                        "two-expectations",
                        format!(
                            "two expectations under one dash: {}",
                            names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" and ")
                        ),
                        "give each its own dash",
                    );
                }
                let Some((key, value)) = entries.first() else {
                    self.error(node.place, "no-expectation", "an empty map expects nothing");
                    return;
                };
                let Some(name) = key.text() else {
                    self.error(key.place, "bad-key", "an expectation is named by text");
                    return;
                };
                match EXPECTATIONS.iter().find(|w| w.name == name) {
                    Some(word) if word.bare && value.is_null() => {}
                    Some(word) if word.bare && value.boolean() == Some(false) => {
                        self.error_with_hint(
                            value.place,
                            "false-expectation",
                            format!("`{name}: false` does not say what should be true"),
                            format!("write `not: {name}`"),
                        );
                    }
                    Some(word) => self.check(value, &word.kind),
                    None => self.unknown_expectation(key, name),
                }
            }
            _ => {
                self.error(node.place, "wrong-type", format!("expected an expectation, not {}", node.what()));
            }
        }
    }

    fn unknown_expectation(&mut self, node: &Node, name: &str) {
        if let Some((message, hint)) = traps::in_node(node, &self.source.text) {
            return self.error_with_hint(node.place, "yaml-trap", message, hint);
        }
        let colon = name.find('：');
        let near = nearest(&name[..colon.unwrap_or(name.len())], EXPECTATIONS.iter().map(|w| w.name));
        let diagnostic =
            self.error(node.place, "unknown-expectation", format!("`{}` is not an expectation", crate::redact::excerpt(name, 60)));
        diagnostic.hint = near.map(|near| match colon {
            Some(_) => format!("`：` is a full-width colon; write `{near}: `"),
            None => format!("did you mean `{near}`?"),
        });
    }

    /// Free values, where YAML readers disagree on some scalars; of those that fill texts the spelling of numbers counts too.
    fn free(&mut self, node: &Node, fills: bool) {
        if let Some((message, hint)) = traps::in_node(node, &self.source.text).or_else(|| traps::in_value(node, &self.source.text, fills)) {
            return self.error_with_hint(node.place, "yaml-trap", message, hint);
        }
        match &node.value {
            Value::Scalar { .. } | Value::Null => {}
            Value::List(items) => {
                for item in items {
                    // Among others an item with a comma is a sentence.
                    match Some(item).filter(|_| items.len() == 1).and_then(traps::one_of_several) {
                        Some((message, hint)) => self.error_with_hint(item.place, "yaml-trap", message, hint),
                        None => self.free(item, fills),
                    }
                }
            }
            Value::Map(entries) => {
                self.duplicates(node);
                entries.iter().for_each(|(_, value)| self.free(value, fills));
            }
        }
    }
}

const RANGE_KEYS: &[Key] = &[super::grammar::key("min", Kind::Number, "at least"), super::grammar::key("max", Kind::Number, "at most")];

/// Whether a map has anything to complain of. Maps are small, and nearly all are fine: looking is cheaper than hashing.
fn has_duplicates(entries: &[(Node, Node)]) -> bool {
    entries.len() > 32
        || entries.iter().enumerate().any(|(i, (key, _))| key.text().is_none() || entries[..i].iter().any(|(k, _)| k.text() == key.text()))
}

fn has_key(kind: &Kind, name: &str) -> bool {
    matches!(kind, Kind::Map(keys) if keys.iter().any(|k| k.name == name))
}
