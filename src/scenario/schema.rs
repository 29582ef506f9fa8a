//! The JSON Schema that editors use, made from the grammar.

use super::grammar::{Key, Kind};
use super::vocabulary::{CONFIG_KEYS, EXPECTATIONS, FILE_KEYS, SIM_KEYS};
use serde_json::{Map, Value, json};

/// Which file a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    Scenario,
    Config,
    Simulation,
}

/// The schema, draft 2020-12.
pub fn schema(about: About) -> Value {
    let (keys, title) = match about {
        About::Scenario => (FILE_KEYS, "A roadworthy scenario"),
        About::Config => (CONFIG_KEYS, "roadworthy.yaml"),
        About::Simulation => (SIM_KEYS, "A simulated service"),
    };
    let mut schema = of(&Kind::Map(keys));
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    if about == About::Scenario {
        schema["$defs"] = json!({
            "expectation": expectation(),
            "expectations": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/expectation"}},
        });
    }
    schema
}

fn expectation() -> Value {
    let bare: Vec<&str> = EXPECTATIONS.iter().filter(|w| w.bare).map(|w| w.name).collect();
    let mut options = vec![json!({"enum": bare})];
    for word in EXPECTATIONS {
        let mut value = of(&word.kind);
        if word.bare {
            value = json!({"anyOf": [value, {"type": "null"}]});
        }
        value["description"] = json!(word.doc);
        options.push(json!({"type": "object", "properties": {word.name: value}, "required": [word.name], "additionalProperties": false}));
    }
    json!({"anyOf": options})
}

fn of(kind: &Kind) -> Value {
    let template = json!({"type": "string", "pattern": "\\{[{%]"});
    let or_template = |value: Value| json!({"anyOf": [value, template]});
    match kind {
        Kind::Text | Kind::Keyword | Kind::Word => json!({"type": ["string", "number", "boolean"]}),
        Kind::Regex => json!({"type": "string", "format": "regex"}),
        Kind::Bool => or_template(json!({"type": "boolean"})),
        Kind::Count => or_template(json!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9_]+$"}]})),
        Kind::Number => or_template(json!({"type": "number"})),
        Kind::Share => {
            or_template(json!({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": "^[0-9.]+ ?%$"}]}))
        }
        Kind::Duration => json!({"type": "string", "examples": ["800ms", "1.5s", "1h30m"]}),
        Kind::Rate => json!({"type": "string", "examples": ["20/s"]}),
        Kind::Date => json!({"type": "string", "format": "date"}),
        Kind::Range => json!({"anyOf": [
            {"type": "number"},
            {"type": "string", "examples": ["20..60"]},
            {"type": "object", "properties": {"min": {"type": "number"}, "max": {"type": "number"}}, "additionalProperties": false},
        ]}),
        Kind::OneOf(words) => {
            // `kind: 1` is a number to YAML.
            let numbers = words.iter().filter_map(|word| word.parse::<i64>().ok()).map(Value::from);
            let all: Vec<Value> = words.iter().map(|word| json!(word)).chain(numbers).collect();
            or_template(json!({"enum": all}))
        }
        Kind::Json | Kind::Filling => json!({}),
        Kind::JsonMap => json!({"type": "object"}),
        Kind::List(inner) => json!({"type": "array", "minItems": 1, "items": of(inner)}),
        Kind::OneOrMany(inner) => json!({"anyOf": [of(inner), {"type": "array", "minItems": 1, "items": of(inner)}]}),
        Kind::Map(keys) => map(keys),
        Kind::Dict(inner) => json!({"type": "object", "additionalProperties": of(inner)}),
        Kind::Either(kinds) => json!({"anyOf": kinds.iter().map(of).collect::<Vec<_>>()}),
        Kind::Expectation => json!({"$ref": "#/$defs/expectation"}),
        Kind::Expectations => json!({"$ref": "#/$defs/expectations"}),
    }
}

fn map(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let mut value = of(&key.kind);
        if !key.doc.is_empty() {
            value["description"] = json!(key.doc);
        }
        properties.insert(key.name.to_owned(), value);
    }
    // YAML's merge key is welcome everywhere.
    properties.insert("<<".to_owned(), json!({}));
    let required: Vec<&str> = keys.iter().filter(|k| k.required).map(|k| k.name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}
