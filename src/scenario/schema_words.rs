//! What a JSON Schema of a scenario may not hold: keywords that mean nothing, and references that would have to be fetched.

use crate::diagnostic::nearest;
use serde_json::Value;

/// Keywords of the drafts 4 to 2020-12, by what their values are.
const SCHEMA_MAPS: &[&str] = &["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
const SCHEMA_LISTS: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
const SCHEMAS: &[&str] = &[
    "items",
    "additionalItems",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
const OTHERS: &[&str] = &[
    "$schema",
    "$id",
    "id",
    "$ref",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
    "$comment",
    "$vocabulary",
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "dependencies",
    "format",
    "contentEncoding",
    "contentMediaType",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
    "example",
    "nullable",
    "discriminator",
    "xml",
    "externalDocs",
];

/// A keyword that is none, and the one that is probably meant. Words that resemble nothing are annotations, which drafts allow.
pub(super) fn misspelt(schema: &Value) -> Option<(&str, &'static str)> {
    let Value::Object(map) = schema else { return None };
    let known = || SCHEMA_MAPS.iter().chain(SCHEMA_LISTS).chain(SCHEMAS).chain(OTHERS).copied();
    map.iter().find_map(|(key, value)| {
        let inner: Vec<&Value> = match key.as_str() {
            k if SCHEMA_MAPS.contains(&k) => value.as_object().into_iter().flat_map(|m| m.values()).collect(),
            k if SCHEMA_LISTS.contains(&k) => value.as_array().into_iter().flatten().collect(),
            "items" if value.is_array() => value.as_array().into_iter().flatten().collect(),
            k if SCHEMAS.contains(&k) => vec![value],
            k if OTHERS.contains(&k) || k.starts_with("x-") => Vec::new(),
            k => return of_others(k).or_else(|| nearest(k, known())).map(|meant| (k, meant)),
        };
        inner.into_iter().find_map(misspelt)
    })
}

/// What other languages of schemas call a keyword.
fn of_others(word: &str) -> Option<&'static str> {
    const OTHERS: [(&str, &str); 9] = [
        ("min", "minimum"),
        ("max", "maximum"),
        ("gte", "minimum"),
        ("lte", "maximum"),
        ("minLen", "minLength"),
        ("maxLen", "maxLength"),
        ("length", "minLength"),
        ("regex", "pattern"),
        ("values", "enum"),
    ];
    OTHERS.iter().find(|(other, _)| *other == word).map(|(_, meant)| *meant)
}

/// Formats that are checked.
const FORMATS: &[&str] = &[
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "iri-reference",
    "uuid",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "regex",
];

/// A `format` that nearly is one that is checked, and the one that is probably meant. Others are annotations, of which generators of schemas
/// write many: `uint32`, `uuid4`.
pub(super) fn misspelt_format(schema: &Value) -> Option<(&str, &'static str)> {
    match schema {
        Value::Object(map) => map.iter().find_map(|(key, value)| match (key.as_str(), value) {
            ("format", Value::String(format)) => {
                let plain = format.trim_end_matches(|c: char| c.is_ascii_digit());
                let known = FORMATS.contains(&format.as_str()) || FORMATS.contains(&plain);
                nearest(format, FORMATS.iter().copied())
                    .filter(|meant| !known && meant.chars().next() == format.chars().next())
                    .map(|meant| (format.as_str(), meant))
            }
            // Values, not schemas.
            ("enum" | "const" | "default" | "examples" | "example", _) => None,
            (key, _) if key.starts_with("x-") => None,
            // Names of properties, and their schemas.
            ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(map)) => map.values().find_map(misspelt_format),
            (_, value) => misspelt_format(value),
        }),
        Value::Array(items) => items.iter().find_map(misspelt_format),
        _ => None,
    }
}

/// The first `$ref` that leads out of the document.
pub(super) fn remote_ref(schema: &Value) -> Option<&str> {
    match schema {
        Value::Object(map) => {
            map.iter().find_map(|(k, v)| if k == "$ref" { v.as_str().filter(|r| !r.starts_with('#')) } else { remote_ref(v) })
        }
        Value::Array(items) => items.iter().find_map(remote_ref),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_that_are_nearly_keywords_are_found_wherever_a_schema_stands() {
        let found = |schema: Value| misspelt(&schema).map(|(word, meant)| format!("{word} → {meant}"));
        assert_eq!(found(json!({"requierd": ["a"]})).as_deref(), Some("requierd → required"));
        assert_eq!(found(json!({"properties": {"a": {"items": {"maxlength": 3}}}})).as_deref(), Some("maxlength → maxLength"));
        assert_eq!(found(json!({"anyOf": [{"type": "string"}, {"enums": [1]}]})).as_deref(), Some("enums → enum"));
        assert_eq!(found(json!({"properties": {"n": {"min": 5}}})).as_deref(), Some("min → minimum"));
        assert_eq!(misspelt_format(&json!({"properties": {"format": {"format": "datetime"}}})), Some(("datetime", "date-time")));
        for fine in ["uint32", "uuid4", "phone", "date", "int64", "base64url", "path"] {
            assert_eq!(misspelt_format(&json!({"format": fine, "x-note": {"format": "dat"}})), None, "{fine}");
        }
        // Names of properties, values and annotations of one's own are no keywords.
        assert_eq!(found(json!({"properties": {"requierd": {"const": {"enums": 1}}}, "x-note": 1, "meinung": "gut"})), None);
    }
}
