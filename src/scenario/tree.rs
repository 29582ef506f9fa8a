//! YAML as a tree in which every node knows its place, and scalars keep the text as written (`1.10` stays `1.10`).
//!
//! The only module that knows serde-saphyr. A tree first, so that all mistakes of a file can be told at once.

use crate::diagnostic::{Diagnostic, Place, Source};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};
use std::fmt;
use std::sync::Arc;

/// A YAML value at its place.
#[derive(Debug, Clone)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub enum Value {
    Null,
    /// `plain` is false for quoted and block scalars. `typed` is what YAML takes a plain scalar for.
    Scalar {
        text: String,
        plain: bool,
        typed: Typed,
    },
    List(Vec<Node>),
    /// Keys in order; duplicates are kept, for whoever reads the map to report.
    Map(Vec<(Node, Node)>),
}

/// What a plain scalar is to YAML 1.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Typed {
    Text,
    Bool(bool),
    Int(i64),
    Float(f64),
}

impl Node {
    /// The value under a key of a map; the first when there are duplicates.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub fn items(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub fn entries(&self) -> Option<&[(Node, Node)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    pub fn boolean(&self) -> Option<bool> {
        match self.value {
            Value::Scalar { typed: Typed::Bool(b), plain: true, .. } => Some(b),
            _ => None,
        }
    }

    /// The node as JSON: numbers and booleans where YAML sees them, text elsewhere.
    pub fn json(&self) -> serde_json::Value {
        use serde_json::Value as J;
        match &self.value {
            Value::Null => J::Null,
            Value::Scalar { text, plain, typed } => match typed {
                Typed::Bool(b) if *plain => J::Bool(*b),
                Typed::Int(i) if *plain => J::from(*i),
                Typed::Float(f) if *plain => serde_json::Number::from_f64(*f).map_or_else(|| J::String(text.clone()), J::Number),
                _ => J::String(text.clone()),
            },
            Value::List(items) => J::Array(items.iter().map(Node::json).collect()),
            Value::Map(entries) => J::Object(entries.iter().map(|(k, v)| (k.text().unwrap_or_default().to_owned(), v.json())).collect()),
        }
    }

    /// What the node is, for messages: "a list", "the text `x`".
    pub fn what(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Scalar { text, .. } => format!("`{}`", crate::redact::excerpt(text, 40)),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
        }
    }
}

/// Limits that no honest scenario file reaches.
const MAX_NODES: usize = 4_000_000;
const MAX_ALIAS_EVENTS: usize = 100_000;
const MAX_DEPTH: usize = 64;

/// Parses one file. On a YAML error there is no tree, only the one diagnostic.
pub fn parse(source: &Arc<Source>) -> Result<Node, Box<Diagnostic>> {
    let options = || {
        serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_nodes: MAX_NODES, max_events: MAX_NODES * 2, max_depth: MAX_DEPTH },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIAS_EVENTS },
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            strict_booleans: true,
        }
    };
    let text = source.text.as_str();
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        return Err(Box::new(Diagnostic::error("empty-file", format!("{} is empty", source.name))));
    }
    match with_room(move || serde_saphyr::from_str_with_options::<Node>(text, options())) {
        Ok(mut node) => {
            fill(&mut node, text);
            Ok(node)
        }
        Err(error) => Err(Box::new(yaml_error(source, &error))),
    }
}

/// Runs the recursive descent on a stack that holds `MAX_DEPTH` levels, even unoptimised.
fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, work).expect("a thread can be started");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn yaml_error(source: &Arc<Source>, error: &serde_saphyr::Error) -> Diagnostic {
    let message = error.without_snippet().to_string();
    let message = message.lines().next().unwrap_or_default();
    // The place is shown by the diagnostic; the message need not repeat it.
    let message = regex::Regex::new(r"(error: )?(line \d+,? column \d+: )|( at line \d+,? column \d+)")
        .map_or_else(|_| message.to_owned(), |r| r.replace_all(message, "").into_owned());
    let mut diagnostic = Diagnostic::error("yaml", format!("not valid YAML: {}", crate::redact::excerpt(&message, 200)));
    if let Some(location) = error.location() {
        let place = to_place(location, &source.text);
        diagnostic = diagnostic.at(source, place);
    }
    diagnostic
}

fn to_place(location: serde_saphyr::Location, text: &str) -> Place {
    let span = location.span();
    let (line, column) = (location.line() as u32, location.column() as u32);
    let start = span.byte_offset().map_or_else(|| offset_of(text, line, column), |b| b as usize).min(text.len());
    let end = span.byte_len().map_or(start, |len| start + len as usize).min(text.len());
    Place { line, column, start, end }
}

fn offset_of(text: &str, line: u32, column: u32) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1) as usize).map(str::len).sum();
    text[start..].char_indices().nth(column.saturating_sub(1) as usize).map_or(text.len(), |(i, _)| start + i)
}

/// Gives plain scalars the text as written, which the parser has turned into numbers and booleans.
fn fill(node: &mut Node, source: &str) {
    match &mut node.value {
        Value::Scalar { text, plain, typed } => {
            let written = source.get(node.place.start..node.place.end).unwrap_or_default();
            *plain = !written.trim_start().starts_with(['"', '\'', '|', '>']);
            if *typed != Typed::Text {
                *text = written.trim().to_owned();
            }
            node.place.end = node.place.start + written.trim_end().len();
        }
        Value::List(items) => items.iter_mut().for_each(|n| fill(n, source)),
        Value::Map(entries) => entries.iter_mut().for_each(|(k, v)| {
            fill(k, source);
            fill(v, source);
        }),
        Value::Null => {}
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let location = spanned.defined;
        let span = location.span();
        let start = span.byte_offset().unwrap_or(0) as usize;
        let place = Place {
            line: location.line() as u32,
            column: location.column() as u32,
            start,
            end: start + span.byte_len().unwrap_or(0) as usize,
        };
        Ok(Node { place, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;
        impl<'de> Visitor<'de> for AnyValue {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a YAML value")
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
                Ok(Value::Scalar { text: b.to_string(), plain: true, typed: Typed::Bool(b) })
            }
            fn visit_i64<E>(self, i: i64) -> Result<Value, E> {
                Ok(Value::Scalar { text: i.to_string(), plain: true, typed: Typed::Int(i) })
            }
            fn visit_u64<E>(self, u: u64) -> Result<Value, E> {
                let typed = i64::try_from(u).map_or(Typed::Float(u as f64), Typed::Int);
                Ok(Value::Scalar { text: u.to_string(), plain: true, typed })
            }
            fn visit_i128<E>(self, i: i128) -> Result<Value, E> {
                Ok(Value::Scalar { text: i.to_string(), plain: true, typed: Typed::Float(i as f64) })
            }
            fn visit_u128<E>(self, u: u128) -> Result<Value, E> {
                Ok(Value::Scalar { text: u.to_string(), plain: true, typed: Typed::Float(u as f64) })
            }
            fn visit_f64<E>(self, f: f64) -> Result<Value, E> {
                Ok(Value::Scalar { text: f.to_string(), plain: true, typed: Typed::Float(f) })
            }
            fn visit_str<E>(self, s: &str) -> Result<Value, E> {
                Ok(Value::Scalar { text: s.to_owned(), plain: true, typed: Typed::Text })
            }
            fn visit_string<E>(self, s: String) -> Result<Value, E> {
                Ok(Value::Scalar { text: s, plain: true, typed: Typed::Text })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<Node>()? {
                    items.push(item);
                }
                Ok(Value::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<Node, Node>()? {
                    entries.push(entry);
                }
                Ok(Value::Map(entries))
            }
        }
        deserializer.deserialize_any(AnyValue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        parse(&Arc::new(Source { name: "t.yaml".into(), text: text.into() })).unwrap_or_else(|d| panic!("{}", d.render(false)))
    }

    #[test]
    fn scalars_keep_what_was_written() {
        let node = tree("a: 1.10\nb: no\nc: 100_000\nd: 'yes'\ne: true\nf: 你好 世界\ng: ~\n");
        assert_eq!(node.get("a").unwrap().text(), Some("1.10"));
        assert_eq!(node.get("b").unwrap().text(), Some("no"));
        assert_eq!(node.get("c").unwrap().text(), Some("100_000"));
        assert_eq!(node.get("e").unwrap().boolean(), Some(true));
        assert_eq!(node.get("d").unwrap().boolean(), None);
        assert_eq!(node.get("f").unwrap().text(), Some("你好 世界"));
        assert!(node.get("g").unwrap().is_null());
    }

    #[test]
    fn places_survive_crlf_bom_and_chinese() {
        let node = tree("\u{feff}名: 值\r\nlist:\r\n  - x\r\n");
        let x = &node.get("list").unwrap().items().unwrap()[0];
        assert_eq!((x.place.line, x.place.column), (3, 5));
        assert_eq!(node.get("名").unwrap().text(), Some("值"));
    }

    #[test]
    fn merge_keys_and_anchors_work() {
        let node = tree("base: &b { k: 1, j: 2 }\nuse: { <<: *b, j: 3 }\n");
        let used = node.get("use").unwrap();
        assert_eq!(used.get("k").unwrap().text(), Some("1"));
        assert_eq!(used.get("j").unwrap().text(), Some("3"));
        assert_eq!(used.entries().unwrap().len(), 2, "{used:?}");
    }

    #[test]
    fn duplicates_are_kept_for_the_reader_to_report() {
        assert_eq!(tree("a: 1\na: 2\n").entries().unwrap().len(), 2);
    }

    #[test]
    fn bombs_and_deep_nesting_are_refused_quickly() {
        let start = std::time::Instant::now();
        let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9u8 {
            let (name, last) = ((b'a' + i) as char, (b'a' + i - 1) as char);
            bomb += &format!("{name}: &{name} [{}]\n", vec![format!("*{last}"); 9].join(","));
        }
        for text in [bomb, "[".repeat(100_000), "- ".repeat(100_000)] {
            let source = Arc::new(Source { name: "t.yaml".into(), text });
            assert!(parse(&source).is_err());
        }
        assert!(start.elapsed().as_millis() < 1000, "{:?}", start.elapsed());
    }
}
