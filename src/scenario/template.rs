//! Fills `{{ name }}` in texts. Strict: an unknown name is an error, never an empty text.

use serde_json::{Map, Value};

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
