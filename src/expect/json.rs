//! Answers read as JSON: schemas, and checks on the values at paths.

use super::length::{Unit, measure};
use super::text::{Search, affix, contains, nfc};
use super::{Check, Pattern, Said};
use crate::finding::{Outcome, Topic};
use crate::units::Range;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// A JSONPath (`$.items[0].name`) or a JSON pointer (`/items/0/name`).
#[derive(Debug, Clone)]
pub struct JsonPath {
    text: String,
    path: Option<serde_json_path::JsonPath>,
    /// Of a path such as `$.items[*].name`: the items, and what each should have.
    items: Option<(serde_json_path::JsonPath, serde_json_path::JsonPath)>,
}

impl JsonPath {
    /// Parses either form; the error says what is wrong.
    pub fn parse(text: &str) -> Result<JsonPath, String> {
        let path = if text.starts_with('$') {
            Some(serde_json_path::JsonPath::parse(text).map_err(|e| format!("`{text}` is not a JSON path: {e}"))?)
        } else if text.starts_with('/') || text.is_empty() {
            None
        } else {
            return Err(format!("`{text}` is neither a JSON path such as `$.name` nor a pointer such as `/name`"));
        };
        let items = path.as_ref().and_then(|_| {
            let (items, rest) = text.split_at_checked(several(text)?)?;
            let rest = serde_json_path::JsonPath::parse(&format!("${rest}")).ok().filter(|_| !rest.is_empty())?;
            Some((serde_json_path::JsonPath::parse(items).ok()?, rest))
        });
        Ok(JsonPath { text: text.to_owned(), path, items })
    }

    /// How many of the items that a `*`, a slice or a filter stands for lack what is asked of each, and how many there are.
    fn lacking(&self, value: &Value) -> Option<(usize, usize)> {
        let (items, rest) = self.items.as_ref()?;
        let all = items.query(value).all();
        let lacking = all.iter().filter(|item| rest.query(item).is_empty()).count();
        (lacking > 0).then_some((lacking, all.len()))
    }

    fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match &self.path {
            Some(path) => path.query(value).all(),
            None => value.pointer(&self.text).into_iter().collect(),
        }
    }
}

/// Where the last segment ends that stands for several values: `[*]`, `.*`, `[0:2]`, `[0,1]`, `[?…]`. Nothing of a path with `..`, which
/// finds what there is at any depth.
fn several(path: &str) -> Option<usize> {
    let bytes = path.as_bytes();
    let (mut i, mut last) = (1, None);
    while i < bytes.len() {
        match bytes[i] {
            b'.' if bytes.get(i + 1) == Some(&b'.') => return None,
            b'.' if bytes.get(i + 1) == Some(&b'*') => {
                i += 2;
                last = Some(i);
            }
            b'[' => {
                let (mut depth, mut quote, mut many) = (0usize, None, matches!(bytes.get(i + 1), Some(b'*' | b'?')));
                while i < bytes.len() {
                    match (quote, bytes[i]) {
                        (Some(_), b'\\') => i += 1,
                        (Some(open), c) if open == c => quote = None,
                        (Some(_), _) => {}
                        (None, c @ (b'"' | b'\'')) => quote = Some(c),
                        (None, b'[') => depth += 1,
                        (None, b']') => depth -= 1,
                        (None, b':' | b',') if depth == 1 => many = true,
                        _ => {}
                    }
                    i += 1;
                    if depth == 0 {
                        break;
                    }
                }
                if many {
                    last = Some(i);
                }
            }
            _ => i += 1,
        }
    }
    last
}

impl PartialEq for JsonPath {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is asked of the value at a path.
#[derive(Debug, Clone, Default)]
pub struct JsonCheck {
    pub exists: Option<bool>,
    pub kind: Option<String>,
    pub equals: Option<Value>,
    pub one_of: Option<Vec<Value>>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub items: Option<Range>,
    pub length: Option<(Range, Unit)>,
    pub contains: Option<Search>,
    pub matches: Option<Pattern>,
    pub starts_with: Option<(Vec<String>, bool)>,
    pub ends_with: Option<(Vec<String>, bool)>,
    pub language: Option<String>,
    /// Other checks of the text, each with whether it should hold.
    pub texts: Vec<(Check, bool)>,
}

/// The text inside one Markdown fence, and whether there was one.
pub(super) fn unfence(text: &str) -> (&str, bool) {
    let trimmed = text.trim();
    if let Some(rest) = trimmed.strip_prefix("```")
        && let Some(body) = rest.strip_suffix("```")
    {
        let body = body.split_once('\n').map_or(body, |(_, b)| b);
        return (body.trim(), true);
    }
    (trimmed, false)
}

fn parse(text: &str) -> Result<(Value, bool), Box<Said>> {
    let (body, fenced) = unfence(text);
    match serde_json::from_str(body) {
        Ok(value) => match twin(body) {
            None => Ok((value, fenced)),
            Some(key) => Err(Box::new(Said::blind(Topic::Schema, two_of(&key)))),
        },
        Err(e) => Err(Box::new(Said::blind(Topic::Schema, format!("answer is not JSON: {e}")))),
    }
}

fn two_of(key: &str) -> String {
    format!("the answer's JSON has the key `{}` twice, and readers disagree on which counts", crate::redact::excerpt(key, 60))
}

/// A key that stands twice in one object.
fn twin(text: &str) -> Option<String> {
    struct Look<'a>(&'a mut Option<String>);
    impl<'de> DeserializeSeed<'de> for Look<'_> {
        type Value = ();
        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_any(self)
        }
    }
    impl<'de> Visitor<'de> for Look<'_> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("JSON")
        }
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }
        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }
        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }
        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }
        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
            while list.next_element_seed(Look(self.0))?.is_some() {}
            Ok(())
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut seen = std::collections::HashSet::new();
            while let Some(key) = map.next_key::<String>()? {
                if self.0.is_none() && seen.contains(&key) {
                    *self.0 = Some(key.clone());
                }
                seen.insert(key);
                map.next_value_seed(Look(self.0))?;
            }
            Ok(())
        }
    }
    let mut found = None;
    // Text that is no JSON has been told already.
    let _ = Look(&mut found).deserialize(&mut serde_json::Deserializer::from_str(text));
    found
}

pub(super) fn text_at(text: &str, path: &JsonPath) -> Result<String, Said> {
    let (value, _) = parse(text).map_err(|b| *b)?;
    match path.find(&value).as_slice() {
        [Value::String(s)] => Ok(s.clone()),
        [other] => Ok(other.to_string()),
        [_, ..] => Err(Said::cannot(format!(
            "{path} finds several values, and this looks at one; name it, or write `json: {{ \"{path}\": … }}`, which looks at each"
        ))),
        [] => Err(Said::blind(Topic::Schema, format!("the answer has nothing at {path}"))),
    }
}

pub(super) fn schema(text: &str, schema: &jsonschema::Validator) -> Said {
    let value: Value = match serde_json::from_str(text.trim()) {
        Ok(value) => value,
        Err(e) => {
            let hint = if unfence(text).1 {
                " (it stands in a Markdown fence; ask for bare JSON, or use `json`, which accepts a fence)"
            } else {
                ""
            };
            return Said::blind(Topic::Schema, format!("answer is not JSON: {e}{hint}"));
        }
    };
    if let Some(key) = twin(text.trim()) {
        return Said::blind(Topic::Schema, two_of(&key));
    }
    let errors: Vec<String> = schema
        .iter_errors(&value)
        .map(|e| {
            let path = e.instance_path().to_string();
            format!("at {}: {}", if path.is_empty() { "the top" } else { &path }, crate::redact::excerpt(&e.to_string(), 200))
        })
        .collect();
    match errors.first() {
        None => Said::when(true, Topic::Schema, "answer satisfies the schema"),
        Some(first) => {
            let more = if errors.len() > 1 { format!(" (and {} more)", errors.len() - 1) } else { String::new() };
            let mut said = Said::when(false, Topic::Schema, format!("answer breaks the schema {first}{more}"));
            said.evidence = errors.iter().skip(1).take(8).cloned().collect();
            said
        }
    }
}

pub(super) fn paths(text: &str, checks: &[(JsonPath, JsonCheck)]) -> Said {
    let (value, fenced) = match parse(text) {
        Ok(parsed) => parsed,
        Err(said) => return *said,
    };
    let mut wrong: Vec<(Outcome, String)> = Vec::new();
    let mut unseen = 0;
    for (path, check) in checks {
        let found = path.find(&value);
        if check.exists == Some(false) {
            wrong.extend(found.first().map(|first| (Outcome::Missed, format!("{path} should not exist, but is {}", show(first)))));
            continue;
        }
        if found.is_empty() {
            // Of a value that is not there nothing is known, neither that it is so nor, under `not`, that it is otherwise.
            let asked = check.exists == Some(true);
            unseen += usize::from(!asked);
            let known = if asked { "" } else { ", so nothing is known of it" };
            wrong.push((Outcome::Missed, format!("{path} does not exist{known}")));
        } else if let Some((lacking, all)) = path.lacking(&value) {
            wrong.push((Outcome::Missed, format!("{path} does not exist in {lacking} of {all} items")));
        }
        for seen in found {
            if let Err(said) = value_check(seen, check) {
                wrong.push((said.outcome, format!("{path} is {}: {}", show(seen), said.why)));
            }
        }
    }
    let fence = if fenced { " (the JSON stands in a Markdown fence)" } else { "" };
    let Some(outcome) = wrong.iter().map(|(outcome, _)| *outcome).reduce(Outcome::and) else {
        return Said::when(true, Topic::Schema, format!("all {} paths are as expected{fence}", checks.len()));
    };
    let blind = unseen == wrong.len();
    // What decides is told first.
    wrong.sort_by_key(|(seen, _)| *seen != outcome);
    let mut told = wrong.into_iter().map(|(_, why)| why);
    let why = format!("{}{fence}", told.next().unwrap_or_default());
    Said { outcome, evidence: told.collect(), blind, ..Said::when(false, Topic::Schema, why) }
}

fn show(value: &Value) -> String {
    format!("`{}`", crate::redact::excerpt(&value.to_string(), 80))
}

fn value_check(value: &Value, check: &JsonCheck) -> Result<(), Box<Said>> {
    let fail = |why: String| Err(Box::new(Said::when(false, Topic::Schema, why)));
    if let Some(kind) = &check.kind {
        let is = match kind.as_str() {
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.as_f64().is_some_and(|f| f.fract() == 0.0),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => value.is_null(),
        };
        if !is {
            return fail(format!("expected type {kind}"));
        }
    }
    if let Some(wanted) = &check.equals
        && !same(value, wanted)
    {
        return fail(format!("expected `{wanted}`"));
    }
    if let Some(options) = &check.one_of
        && !options.iter().any(|o| same(value, o))
    {
        return fail(format!("expected one of {}", options.iter().map(|o| format!("`{o}`")).collect::<Vec<_>>().join(", ")));
    }
    if check.min.is_some() || check.max.is_some() {
        let range = Range { min: check.min, max: check.max };
        match value.as_f64() {
            Some(n) if range.holds(n) => {}
            Some(_) => return fail(format!("expected {range}")),
            None => return fail(format!("expected a number, {range}")),
        }
    }
    if let Some(range) = check.items {
        match value.as_array() {
            Some(items) if range.holds(items.len() as f64) => {}
            Some(items) => return fail(format!("has {} items, expected {range}", items.len())),
            None => return fail("expected an array".into()),
        }
    }
    let wants_text = check.length.is_some()
        || check.contains.is_some()
        || check.matches.is_some()
        || check.starts_with.is_some()
        || check.ends_with.is_some()
        || check.language.is_some()
        || !check.texts.is_empty();
    if !wants_text {
        return Ok(());
    }
    let Some(text) = value.as_str() else { return fail("expected a text".into()) };
    let mut said = Vec::new();
    if let Some((range, unit)) = check.length {
        let n = measure(text, unit).unwrap_or_default();
        if !range.holds(n as f64) {
            return fail(format!("its length is {n}, expected {range}"));
        }
    }
    said.extend(check.contains.as_ref().map(|s| contains(text, s)));
    said.extend(check.matches.as_ref().map(|p| super::text::matches(text, p, None)));
    said.extend(check.starts_with.as_ref().map(|(any, case)| affix(text, any, *case, true)));
    said.extend(check.ends_with.as_ref().map(|(any, case)| affix(text, any, *case, false)));
    said.extend(check.texts.iter().map(|(check, wanted)| {
        let said = match check {
            Check::NotEmpty => {
                Said::content(!text.trim().is_empty(), format!("text is{} empty", if text.trim().is_empty() { "" } else { " not" }))
            }
            Check::Numbers(numbers) => super::numbers::judge(text, numbers),
            Check::Facts { all, min } => super::text::facts(text, all, *min),
            Check::Refuses { also } => super::phrases::refuses(text, also),
            _ => super::safety::readable(text),
        };
        if *wanted { said } else { Said { outcome: said.outcome.negated(), ..said } }
    }));
    said.extend(check.language.as_ref().map(|code| super::language::judge(text, code, 0.6)));
    match said.into_iter().find(|s| s.outcome != Outcome::Met) {
        Some(said) => Err(Box::new(said)),
        None => Ok(()),
    }
}

/// JSON equality in which 1 and 1.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        // Whole numbers are compared exactly: as floats, neighbours above 2^53 would be equal.
        (Value::Number(x), Value::Number(y)) if x.is_f64() || y.is_f64() => x.as_f64() == y.as_f64(),
        (Value::String(x), Value::String(y)) => nfc(x) == nfc(y),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Value::Object(x), Value::Object(y)) => x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| same(v, w))),
        _ => a == b,
    }
}

/// True when every value of `wanted` stands in `have`; `have` may hold more keys.
pub(super) fn holds(have: &Value, wanted: &Value) -> bool {
    match (have, wanted) {
        (Value::Object(h), Value::Object(w)) => w.iter().all(|(k, v)| h.get(k).is_some_and(|x| holds(x, v))),
        _ => same(have, wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_pointers_lead_to_the_same_place() {
        let value: Value = serde_json::from_str(r#"{"items":[{"name":"x"}]}"#).unwrap();
        assert_eq!(JsonPath::parse("$.items[0].name").unwrap().find(&value), [&Value::from("x")]);
        assert_eq!(JsonPath::parse("/items/0/name").unwrap().find(&value), [&Value::from("x")]);
        assert!(JsonPath::parse("items").is_err() && JsonPath::parse("$.items[").is_err());
    }

    #[test]
    fn each_item_of_several_must_have_it() {
        let answer = r#"{"items":[{"name":"a","price":{"amount":5}},{"nam":"b","price":{}}]}"#;
        let checks = |path: &str| [(JsonPath::parse(path).unwrap(), JsonCheck { exists: Some(true), ..JsonCheck::default() })];
        for path in [
            "$.items[*].name",
            "$.items[*]['name']",
            "$.items[*].price.amount",
            "$.items[0:2].name",
            "$.items[0,1].name",
            "$.items[?@.price].name",
        ] {
            let said = paths(answer, &checks(path));
            assert!(said.outcome == Outcome::Missed && said.why.contains("1 of 2 items"), "{path}: {}", said.why);
        }
        for path in ["$.items[0].name", "$.items[*].price", "$..name", "$.items[?@.name].name"] {
            assert_eq!(paths(answer, &checks(path)).outcome, Outcome::Met, "{path}");
        }
    }

    #[test]
    fn fenced_json_is_read_and_reported() {
        let checks = [(JsonPath::parse("$.a").unwrap(), JsonCheck { equals: Some(1.into()), ..JsonCheck::default() })];
        let said = paths("```json\n{\"a\": 1.0}\n```", &checks);
        assert_eq!(said.outcome, Outcome::Met);
        assert!(said.why.contains("fence"));
    }
}
