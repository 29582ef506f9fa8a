//! YAML as a tree in which every node knows its place, and scalars keep the text as written (`1.10` stays `1.10`).
//!
//! Built from the events of serde-saphyr's parser: through serde, places cost more than everything else together. A tree first,
//! so that all mistakes of a file can be told at once.

use crate::diagnostic::{Diagnostic, Place, Source};
use granit_parser::{Event, Marker, Parser, ScalarStyle};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A YAML value at its place.
#[derive(Debug, Clone)]
pub struct Node {
    pub place: Place,
    pub value: Value,
    /// A YAML tag stands before it.
    pub tagged: bool,
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
    /// Text that a variable brought: its author wrote no YAML, so it counts as a number where one is asked for, and has no traps.
    Data,
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
        match &self.value {
            Value::Scalar { typed: Typed::Bool(b), .. } => Some(*b),
            Value::Scalar { typed: Typed::Data, text, .. } => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// What a variable holds, where its placeholder stood.
    pub fn of_data(data: &serde_json::Value, place: Place) -> Node {
        use serde_json::Value as J;
        let scalar = |text: String, typed| Value::Scalar { text, plain: false, typed };
        let value = match data {
            J::Null => Value::Null,
            J::Bool(b) => scalar(b.to_string(), Typed::Bool(*b)),
            J::Number(n) => scalar(n.to_string(), n.as_i64().map_or_else(|| Typed::Float(n.as_f64().unwrap_or_default()), Typed::Int)),
            J::String(text) => scalar(text.clone(), Typed::Data),
            J::Array(items) => Value::List(items.iter().map(|v| Node::of_data(v, place)).collect()),
            J::Object(map) => {
                Value::Map(map.iter().map(|(k, v)| (Node::of_data(&k.as_str().into(), place), Node::of_data(v, place))).collect())
            }
        };
        Node { place, value, tagged: false }
    }

    /// The node as JSON: numbers and booleans where YAML sees them, text elsewhere.
    pub fn json(&self) -> serde_json::Value {
        use serde_json::Value as J;
        match &self.value {
            Value::Null => J::Null,
            Value::Scalar { text, typed, .. } => match typed {
                Typed::Bool(b) => J::Bool(*b),
                Typed::Int(i) => J::from(*i),
                Typed::Float(f) => serde_json::Number::from_f64(*f).map_or_else(|| J::String(text.clone()), J::Number),
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
const MAX_REPEATED: usize = 100_000;
const MAX_DEPTH: usize = 64;

/// Parses one file. On a YAML error there is no tree, only the one diagnostic.
pub fn parse(source: &Arc<Source>) -> Result<Node, Box<Diagnostic>> {
    let text = source.text.as_str();
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        return Err(Box::new(Diagnostic::error("empty-file", format!("{} is empty", source.name))));
    }
    let wrong = |message: &str, place: Place| {
        Box::new(Diagnostic::error("yaml", format!("not valid YAML: {}", crate::redact::excerpt(message, 200))).at(source, place))
    };
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    let mut builder = Builder::default();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                let at = error.marker();
                return Err(wrong(&error.info(), place_of(at, at, text)));
            }
        };
        let place = place_of(&span.start, &span.end, text);
        builder.take(event, place).map_err(|message| wrong(&message, place))?;
    }
    builder.root.ok_or_else(|| Box::new(Diagnostic::error("empty-file", format!("{} holds nothing but comments", source.name))))
}

fn place_of(start: &Marker, end: &Marker, text: &str) -> Place {
    let (line, column) = (start.line() as u32, start.col() as u32 + 1);
    let byte = start.byte_offset().unwrap_or(0).min(text.len());
    Place { line, column, start: byte, end: end.byte_offset().unwrap_or(byte).clamp(byte, text.len()) }
}

/// What an anchor stands for.
struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

/// A list or map that is not complete yet.
struct Open {
    /// 0 without an anchor.
    anchor: usize,
    place: Place,
    is_map: bool,
    tagged: bool,
    /// Where its items, or keys and values in turns, begin among the complete nodes.
    from: usize,
    nodes: usize,
    /// Levels below this one.
    depth: usize,
}

/// Puts the parser's events together.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    /// Complete nodes whose list or map is still open. One store for all, so that each list and map is made in its final size.
    complete: Vec<Node>,
    anchors: BTreeMap<usize, Anchored>,
    nodes: usize,
    repeated: usize,
    /// Of the node that is put next.
    tagged: bool,
    root: Option<Node>,
}

impl Builder {
    /// Errors are what is wrong at the event's place.
    fn take(&mut self, event: Event, place: Place) -> Result<(), String> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => Err("a file holds one document, and `---` begins a second one".into()),
            Event::Scalar(text, style, anchor, tag) => {
                self.tagged = tag.is_some();
                self.put(scalar(text, style), place, anchor, 1, 0)
            }
            Event::SequenceStart(_, anchor, tag) => self.begin(false, place, anchor, tag.is_some()),
            Event::MappingStart(_, anchor, tag) => self.begin(true, place, anchor, tag.is_some()),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { anchor, place, is_map, tagged, from, nodes, depth }) = self.open.pop() else { return Ok(()) };
                let mut parts = self.complete.drain(from..);
                let value = if is_map {
                    let mut entries = Vec::with_capacity(parts.len() / 2);
                    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
                        entries.push((key, value));
                    }
                    drop(parts);
                    merge(&mut entries)?;
                    Value::Map(entries)
                } else {
                    let items = parts.by_ref().collect();
                    drop(parts);
                    Value::List(items)
                };
                self.tagged = tagged;
                self.put(value, place, anchor, nodes + 1, depth)
            }
            Event::Alias(id) => {
                let Some(anchored) = self.anchors.get(&id) else { return Err("an alias inside of what it stands for".into()) };
                let (node, nodes, depth) = (anchored.node.clone(), anchored.nodes, anchored.depth);
                self.repeated += nodes;
                if self.repeated > MAX_REPEATED {
                    return Err(format!("aliases repeat more than {MAX_REPEATED} values"));
                }
                self.put(node.value, node.place, 0, nodes, depth)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, is_map: bool, place: Place, anchor: usize, tagged: bool) -> Result<(), String> {
        self.open.push(Open { anchor, place, is_map, tagged, from: self.complete.len(), nodes: 0, depth: 0 });
        if self.open.len() > MAX_DEPTH { Err(format!("nested deeper than {MAX_DEPTH} levels")) } else { Ok(()) }
    }

    /// A complete value goes into what is open around it.
    fn put(&mut self, value: Value, place: Place, anchor: usize, nodes: usize, depth: usize) -> Result<(), String> {
        let node = Node { place, value, tagged: std::mem::take(&mut self.tagged) };
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("more than {MAX_NODES} values"));
        }
        if self.open.len() + depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.nodes += nodes;
        open.depth = open.depth.max(depth + 1);
        self.complete.push(node);
        Ok(())
    }
}

/// Takes up the maps under `<<`; what the map says itself holds, and of several the first.
fn merge(entries: &mut Vec<(Node, Node)>) -> Result<(), String> {
    let is_merge = |key: &Node| matches!(&key.value, Value::Scalar { text, plain: true, .. } if text == "<<");
    if !entries.iter().any(|(key, _)| is_merge(key)) {
        return Ok(());
    }
    let (merges, own): (Vec<_>, Vec<_>) = std::mem::take(entries).into_iter().partition(|(key, _)| is_merge(key));
    *entries = own;
    for (_, value) in merges {
        let maps = match value.value {
            Value::List(items) => items,
            _ => vec![value],
        };
        for map in maps {
            let Value::Map(merged) = map.value else { return Err("`<<` takes maps, and here it has something else".into()) };
            for (key, value) in merged {
                if !entries.iter().any(|(k, _)| k.text().is_some() && k.text() == key.text()) {
                    entries.push((key, value));
                }
            }
        }
    }
    Ok(())
}

fn scalar(text: Cow<str>, style: ScalarStyle) -> Value {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    let typed = if plain { typed(&text) } else { Typed::Text };
    Value::Scalar { text: text.into_owned(), plain, typed }
}

/// The YAML 1.2 core schema: `no` and `on` are text, `100_000` and `0x10` are numbers, `01` is text.
fn typed(text: &str) -> Typed {
    match text {
        "true" | "True" | "TRUE" => return Typed::Bool(true),
        "false" | "False" | "FALSE" => return Typed::Bool(false),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Typed::Text;
    }
    let (radix, digits) = match unsigned.get(..2) {
        Some("0x" | "0X") => (16, &unsigned[2..]),
        Some("0o" | "0O") => (8, &unsigned[2..]),
        Some("0b" | "0B") => (2, &unsigned[2..]),
        _ => (10, unsigned),
    };
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Typed::Text;
    }
    let grouped = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    if grouped && let Ok(size) = i128::from_str_radix(&digits.replace('_', ""), radix) {
        let number = if text.starts_with('-') { -size } else { size };
        return i64::try_from(number).map_or(Typed::Float(number as f64), Typed::Int);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Typed::Float(number),
        _ => Typed::Text,
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
