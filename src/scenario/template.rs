//! Fills `{{ name }}` in texts. Strict: an unknown name is an error, never an empty text.

use serde_json::{Map, Value};

/// Renders one text. The error names what is missing and what is there.
pub fn render(text: &str, vars: &Map<String, Value>) -> Result<String, String> {
    if !super::check::is_template(text) {
        return Ok(text.to_owned());
    }
    environment().render_str(text, minijinja::value::Serde(vars)).map_err(|e| {
        let known: Vec<&str> = vars.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "no variable is defined here".to_owned() } else { format!("defined here: {}", known.join(", ")) };
        let detail = e.detail().map(|d| format!(": {d}")).unwrap_or_default();
        format!("the template `{}` cannot be filled in: {}{detail}; {known}", crate::redact::excerpt(text, 60), e.kind())
    })
}

fn environment() -> minijinja::Environment<'static> {
    let mut env = minijinja::Environment::new();
    env.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    env.set_fuel(Some(1_000_000));
    if let Ok(syntax) = minijinja::syntax::SyntaxConfig::builder().keep_trailing_newline(true).build() {
        env.set_syntax(syntax);
    }
    env
}

/// Whether a template asks for a variable.
pub fn names(text: &str, variable: &str) -> bool {
    super::check::is_template(text)
        && environment().template_from_str(text).is_ok_and(|template| template.undeclared_variables(false).contains(variable))
}

/// What a text stands for: the value itself where it is one placeholder and nothing else, so that numbers stay numbers; `None` for a
/// text without templates.
pub fn value(text: &str, vars: &Map<String, Value>) -> Result<Option<Value>, String> {
    if !super::check::is_template(text) {
        return Ok(None);
    }
    let rendered = render(text, vars)?;
    let alone = text.trim().strip_prefix("{{").and_then(|t| t.strip_suffix("}}")).filter(|t| !t.contains("{{") && !t.contains("}}"));
    let typed = alone.and_then(|expression| {
        let env = environment();
        let value = env.compile_expression(expression.trim()).ok()?.eval(minijinja::value::Serde(vars)).ok()?;
        serde_json::to_value(value).ok().filter(|v| !v.is_null() && !v.is_string())
    });
    Ok(Some(typed.unwrap_or(Value::String(rendered))))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_placeholder_alone_is_its_value() {
        let Value::Object(vars) = json!({"n": 3, "half": 0.5, "yes": true, "text": "12", "list": [1, "a"]}) else { unreachable!() };
        let of = |text: &str| value(text, &vars).unwrap();
        assert_eq!(of("{{ n }}"), Some(json!(3)));
        assert_eq!(of("{{ half }}"), Some(json!(0.5)));
        assert_eq!(of("{{yes}}"), Some(json!(true)));
        assert_eq!(of("{{ text }}"), Some(json!("12")));
        assert_eq!(of("{{ list }}"), Some(json!([1, "a"])));
        assert_eq!(of("{{ n }}%"), Some(json!("3%")));
        assert_eq!(of("{{ n }}{{ n }}"), Some(json!("33")));
        assert_eq!(of("plain"), None);
        assert!(value("{{ missing }}", &vars).unwrap_err().contains("missing"));
    }
}
