//! Fills what the environment brings.

use super::secret::in_header;
use crate::diagnostic::{Diagnostic, Source};
use crate::scenario::tree::{Node, Typed, Value as Tree};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Fills `${NAME}` and `${NAME:-default}` in every scalar.
pub struct Filling<'a> {
    source: &'a Arc<Source>,
    env: &'a dyn Fn(&str) -> Option<String>,
    secrets: &'a mut Vec<String>,
    /// Keys above the scalar at hand.
    above: Vec<String>,
    /// Each with the keys above it.
    found: Vec<(Vec<String>, Diagnostic)>,
}

impl<'a> Filling<'a> {
    /// What is secret among the variables goes to `secrets`.
    pub fn new(source: &'a Arc<Source>, env: &'a dyn Fn(&str) -> Option<String>, secrets: &'a mut Vec<String>) -> Self {
        Filling { source, env, secrets, above: Vec::new(), found: Vec::new() }
    }

    /// What the targets other than `chosen` lack, and all other mistakes: whoever tests here need not have the keys of elsewhere.
    pub fn lacks(self, chosen: &str) -> (BTreeMap<String, Vec<Diagnostic>>, Vec<Diagnostic>) {
        let mut lacking: BTreeMap<String, Vec<Diagnostic>> = BTreeMap::new();
        let mut found = Vec::new();
        for (above, diagnostic) in self.found {
            match above.as_slice() {
                [first, name, ..] if first == "targets" && name != chosen => lacking.entry(name.clone()).or_default().push(diagnostic),
                _ => found.push(diagnostic),
            }
        }
        (lacking, found)
    }

    /// `sensitive` below keys and headers, where whatever a variable brings is a secret.
    pub fn node(&mut self, node: &Node, sensitive: bool) -> Node {
        let value = match &node.value {
            Tree::Scalar { text, .. } if text.contains("${") => {
                Tree::Scalar { text: self.text(text, node, sensitive), plain: false, typed: Typed::Data }
            }
            Tree::List(items) => Tree::List(items.iter().map(|n| self.node(n, sensitive)).collect()),
            Tree::Map(entries) => {
                let mut filled = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    self.above.push(key.text().unwrap_or_default().to_owned());
                    filled.push((key.clone(), self.node(value, sensitive || matches!(key.text(), Some("api_key" | "headers")))));
                    self.above.pop();
                }
                Tree::Map(filled)
            }
            other => other.clone(),
        };
        Node { place: node.place, value, tagged: false }
    }

    fn text(&mut self, text: &str, node: &Node, sensitive: bool) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            let Some(end) = rest[at..].find('}') else {
                self.mistake(Diagnostic::error("variable", "`${` is not closed by `}`"), node);
                break;
            };
            let inside = &rest[at + 2..at + end];
            let (name, default) = inside.split_once(":-").map_or((inside, None), |(n, d)| (n, Some(d)));
            match (self.env)(name).filter(|v| !v.is_empty()) {
                Some(value) => {
                    let upper = name.to_uppercase();
                    if sensitive || ["KEY", "TOKEN", "SECRET", "PASSWORD"].iter().any(|w| upper.contains(w)) {
                        self.secrets.extend(in_header(&value));
                    }
                    out.push_str(&value);
                }
                None => match default {
                    Some(default) => out.push_str(default),
                    None => self.mistake(
                        Diagnostic::error("variable", format!("the environment variable `{name}` is not set"))
                            .hint(format!("set it, or give a default: \"${{{name}:-…}}\"")),
                        node,
                    ),
                },
            }
            rest = &rest[at + end + 1..];
        }
        out + rest
    }

    fn mistake(&mut self, diagnostic: Diagnostic, node: &Node) {
        self.found.push((self.above.clone(), diagnostic.at(self.source, node.place)));
    }
}
