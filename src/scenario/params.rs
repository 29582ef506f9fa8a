//! Request parameters: what no service takes, how they are filled in, and how they are sent.

use super::check::Checker;
use super::grammar::Kind;
use super::number_of;
use super::template::render_json;
use super::tree::Node;
use super::vocabulary::PARAMS;
use crate::units;
use serde_json::{Map, Value, json};

/// The maps of two nodes together; what is written nearer wins.
pub(super) fn merged(far: Option<&Node>, near: Option<&Node>) -> Map<String, Value> {
    let mut map = Map::new();
    for from in [far, near].into_iter().flatten() {
        if let Value::Object(object) = from.json() {
            map.extend(object);
        }
    }
    map
}

/// The parameters of a request: inherited ones, which were looked at where they stand, and its own.
pub(super) fn read(inherited: Option<&Node>, own: Option<&Node>, checker: &mut Checker) -> Map<String, Value> {
    own.into_iter().for_each(|own| ranges(own, checker));
    let mut params = merged(inherited, own);
    // `extra_body` is sent as it stands, beside the known parameters.
    if let Some(Value::Object(extra)) = params.remove("extra_body") {
        params.extend(extra);
    }
    params
}

/// Parameters that no service takes.
pub(super) fn ranges(params: &Node, checker: &mut Checker) {
    const RANGES: [(&str, f64, f64); 7] = [
        ("temperature", 0.0, f64::MAX),
        ("top_p", 0.0, 1.0),
        ("min_p", 0.0, 1.0),
        ("max_tokens", 1.0, f64::MAX),
        ("max_completion_tokens", 1.0, f64::MAX),
        ("presence_penalty", -2.0, 2.0),
        ("frequency_penalty", -2.0, 2.0),
    ];
    for (name, low, high) in RANGES {
        let Some(node) = params.get(name) else { continue };
        if let Some(value) = number_of(node).filter(|v| !(low..=high).contains(v)) {
            let range = if high == f64::MAX { format!("at least {low}") } else { format!("{low} to {high}") };
            let why = format!("`{name}` must be {range}, not {value}");
            checker.error(node.place, "bad-value", why);
        }
    }
}

/// Fills request parameters in. What a service wants as a number or as true or false is sent as such, wherever it came from: the
/// columns of a table are all text.
pub fn render_params(params: &Map<String, Value>, vars: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let Kind::Map(known) = &PARAMS else { return Ok(Map::new()) };
    let mut out = Map::new();
    for (name, value) in params {
        let mut filled = render_json(value, vars)?;
        let kind = known.iter().find(|k| k.name == name).map(|k| &k.kind);
        if let (Value::String(_), Value::String(text), Some(kind)) = (value, &filled, kind) {
            filled = match kind {
                Kind::Count => json!(units::count(text).map_err(|why| format!("`{name}`: {why}"))?),
                Kind::Number => json!(units::number(text).map_err(|why| format!("`{name}`: {why}"))?),
                Kind::Bool => json!(text.parse::<bool>().map_err(|_| format!("`{name}`: expected `true` or `false`, not `{text}`"))?),
                _ => filled,
            };
        }
        out.insert(name.clone(), filled);
    }
    Ok(out)
}
