//! Fills `{{ name }}` in texts. Strict: an unknown name is an error, never an empty text.

use super::grammar::Kind;
use super::vocabulary::PARAMS;
use crate::units;
use serde_json::{Map, Value, json};

/// Renders one text. The error names what is missing and what is there.
pub fn render(text: &str, vars: &Map<String, Value>) -> Result<String, String> {
    if !super::check::is_template(text) {
        return Ok(text.to_owned());
    }
    let mut env = minijinja::Environment::new();
    env.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    env.set_fuel(Some(1_000_000));
    if let Ok(syntax) = minijinja::syntax::SyntaxConfig::builder().keep_trailing_newline(true).build() {
        env.set_syntax(syntax);
    }
    env.render_str(text, minijinja::value::Serde(vars)).map_err(|e| {
        let known: Vec<&str> = vars.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "no variable is defined here".to_owned() } else { format!("defined here: {}", known.join(", ")) };
        let detail = e.detail().map(|d| format!(": {d}")).unwrap_or_default();
        format!("the template `{}` cannot be filled in: {}{detail}; {known}", crate::redact::excerpt(text, 60), e.kind())
    })
}

/// Renders every text inside a JSON value.
pub fn render_json(value: &Value, vars: &Map<String, Value>) -> Result<Value, String> {
    Ok(match value {
        Value::String(s) => Value::String(render(s, vars)?),
        Value::Array(items) => Value::Array(items.iter().map(|v| render_json(v, vars)).collect::<Result<_, _>>()?),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(k, v)| Ok((k.clone(), render_json(v, vars)?))).collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
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
