//! A CEL expression over the exchange, for what the vocabulary lacks. CEL has no loops, so an expression always ends.

use super::{Context, Said};
use crate::exchange::Exchange;
use crate::finding::Topic;
use cel::{ExecutionError, Program};
use serde_json::json;
use std::sync::Arc;

/// A compiled expression with its text.
#[derive(Debug, Clone)]
pub struct Expr {
    text: String,
    program: Arc<Program>,
}

/// The names an expression may use.
pub const NAMES: &[&str] = &["answer", "reasoning", "json", "usage", "timing", "vars", "status", "headers", "tool_calls", "finish_reason"];

/// Brackets and choices inside one another, and operators, at most: both cost the stack of whoever parses or evaluates them.
const DEEPEST: usize = 32;
const MOST_OPERATORS: usize = 128;

/// The stack of the parser, which takes more than 100 kilobytes for each bracket.
const PARSER_STACK: usize = 32 << 20;

/// Says so when an expression is larger than anybody writes.
fn bounded(text: &str) -> Result<(), String> {
    let (mut depth, mut operators, mut quote, mut escaped) = (0usize, 0usize, None, false);
    for c in text.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None => match c {
                '"' | '\'' => quote = Some(c),
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                '+' | '-' | '*' | '/' | '%' | '<' | '>' | '=' | '!' | '?' | '.' => operators += 1,
                _ => {}
            },
        }
        if depth > DEEPEST {
            return Err(format!("brackets stand more than {DEEPEST} deep in it"));
        }
        if operators > MOST_OPERATORS {
            return Err(format!("it has more than {MOST_OPERATORS} operators; `&&` and `||` do not count"));
        }
    }
    Ok(())
}

fn parse(text: &str) -> Result<Program, String> {
    let parse = || Program::compile(text).map_err(|e| crate::redact::excerpt(&e.to_string(), 200));
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(PARSER_STACK).spawn_scoped(scope, parse);
        thread.map_err(|e| e.to_string())?.join().map_err(|_| "the parser failed".to_owned())?
    })
}

impl Expr {
    /// Errors are sentence fragments about syntax and names.
    pub fn compile(text: &str) -> Result<Expr, String> {
        bounded(text)?;
        let program = parse(text)?;
        let (references, bound) = (program.references(), bound(text));
        let used = references.variables();
        if let Some(name) = used.iter().find(|name| !NAMES.contains(name) && !bound.iter().any(|b| b == *name)) {
            return Err(format!("there is no `{name}`; known: {}", NAMES.join(", ")));
        }
        if !used.iter().any(|name| NAMES.contains(name)) {
            return Err(format!("it looks at nothing of the answer, so it always says the same; known: {}", NAMES.join(", ")));
        }
        drop(references);
        if let Some(name) = unknown_field(text) {
            return Err(name);
        }
        let expr = Expr { text: text.to_owned(), program: Arc::new(program) };
        // A function that does not exist shows only when it is called.
        let (turns, vars) = ([Exchange::default()], serde_json::Map::new());
        let nothing = Context { turns: &turns, system: None, prompt: "", ground: None, vars: &vars, price: None, fetched: &[] };
        match expr.value(&nothing) {
            Err(Failed::Run(ExecutionError::UndeclaredReference(name))) => Err(format!("there is no function `{name}`")),
            Ok(value) if !matches!(value, cel::Value::Bool(_)) => {
                Err(format!("it gives a {}, and an expectation needs true or false", value.type_of()))
            }
            _ => Ok(expr),
        }
    }

    pub(super) fn judge(&self, context: &Context) -> Said {
        let text = crate::redact::excerpt(&self.text, 120);
        match self.value(context) {
            Ok(cel::Value::Bool(met)) => {
                let seen = if met { Vec::new() } else { self.seen(context) };
                Said { evidence: seen, ..Said::content(met, format!("`{text}` is {met}")) }
            }
            Ok(other) => Said::cannot(format!("`{text}` gives a {}, and an expectation needs true or false", other.type_of())),
            Err(Failed::Run(_)) if self.looks_at("json") && parsed(context.exchange()).is_null() => {
                Said::blind(Topic::Content, format!("`{text}` has no value: the answer is not JSON"))
            }
            Err(Failed::Run(e)) => {
                Said { evidence: self.seen(context), ..Said::blind(Topic::Content, format!("`{text}` has no value: {e}")) }
            }
            Err(Failed::Name(name, e)) => Said::cannot(format!("`{name}` cannot be handed to the expression: {e}")),
        }
    }

    fn looks_at(&self, name: &str) -> bool {
        self.program.references().variables().contains(&name)
    }

    /// The values that the expression looks at, as far as they are short.
    fn seen(&self, context: &Context) -> Vec<String> {
        let place = regex::Regex::new(r"(?:^|[^.\w])((json|usage|timing|vars|status|finish_reason)((?:\.[A-Za-z_]\w*|\[\d+\])*))")
            .expect("a constant");
        let values: std::collections::BTreeMap<_, _> = values(context).into_iter().collect();
        let bare = quoted(&self.text);
        let mut out: Vec<String> = Vec::new();
        for found in place.captures_iter(&bare) {
            let called = bare[found.get(0).map_or(0, |m| m.end())..].starts_with('(');
            // The last word of `json.items.all(…)` is no field.
            let path = if called { found[3].rsplit_once('.').map_or("", |(path, _)| path) } else { &found[3] };
            if called && path.is_empty() {
                continue;
            }
            let steps = path.replace('[', ".").replace(']', "");
            let at = steps.split('.').filter(|s| !s.is_empty()).try_fold(values.get(&found[2]), |at, step| {
                Some(match step.parse::<usize>() {
                    Ok(i) => at?.get(i),
                    Err(_) => at?.get(step),
                })
            });
            let shown = at.flatten().map_or_else(|| "not there".to_owned(), ToString::to_string);
            let line = format!("{}{path} is {}", &found[2], crate::redact::excerpt(&shown, 80));
            if !out.contains(&line) && out.len() < 6 {
                out.push(line);
            }
        }
        out
    }

    fn value(&self, context: &Context) -> Result<cel::Value, Failed> {
        let mut names = cel::Context::default();
        for (name, value) in values(context) {
            names.add_variable(name, signed(value)).map_err(|e| Failed::Name(name, e.to_string()))?;
        }
        self.program.execute(&names).map_err(Failed::Run)
    }
}

/// The answer read as JSON; null where it is none.
fn parsed(exchange: &Exchange) -> serde_json::Value {
    serde_json::from_str(super::json::unfence(&exchange.answer).0).unwrap_or_default()
}

/// What an expression may look at.
fn values(context: &Context) -> Vec<(&'static str, serde_json::Value)> {
    let exchange = context.exchange();
    let timing = &exchange.timing;
    let ms = |d: Option<std::time::Duration>| d.map(|d| d.as_secs_f64() * 1e3);
    vec![
        ("answer", json!(exchange.answer)),
        ("reasoning", json!(exchange.reasoning)),
        ("json", parsed(exchange)),
        ("usage", json!(exchange.usage)),
        (
            "timing",
            json!({"ttft_ms": ms(timing.ttft), "ttfo_ms": ms(timing.ttfo), "ttfb_ms": ms(timing.ttfb), "tpot_ms": ms(timing.tpot),
                    "e2e_ms": ms(timing.e2e), "max_gap_ms": ms(timing.max_gap)}),
        ),
        ("vars", json!(context.vars)),
        ("status", json!(exchange.status)),
        ("headers", json!(exchange.headers.iter().cloned().collect::<std::collections::BTreeMap<_, _>>())),
        ("tool_calls", json!(exchange.tool_calls)),
        ("finish_reason", json!(exchange.finish_reason)),
    ]
}

/// Whole numbers as CEL's literals are, which have a sign: `json.price * 2` would else multiply two kinds that do not mix.
fn signed(value: serde_json::Value) -> Signed {
    match value {
        serde_json::Value::Null => Signed::Null(()),
        serde_json::Value::Bool(b) => Signed::Bool(b),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), _, _) => Signed::Whole(n),
            (None, Some(n), _) => Signed::Large(n),
            (None, None, n) => Signed::Float(n.unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Signed::Text(text),
        serde_json::Value::Array(items) => Signed::List(items.into_iter().map(signed).collect()),
        serde_json::Value::Object(map) => Signed::Map(map.into_iter().map(|(key, value)| (key, signed(value))).collect()),
    }
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum Signed {
    Null(()),
    Bool(bool),
    Whole(i64),
    Large(u64),
    Float(f64),
    Text(String),
    List(Vec<Signed>),
    Map(std::collections::BTreeMap<String, Signed>),
}

/// The expression without its texts.
fn quoted(text: &str) -> String {
    let quoted = regex::Regex::new(r#""[^"]*"|'[^']*'"#).expect("a constant");
    quoted.replace_all(text, "''").into_owned()
}

/// Names that the macros of CEL bind: `json.items.all(i, i.n > 0)`.
fn bound(text: &str) -> Vec<String> {
    let binds = regex::Regex::new(r"\.(?:all|exists|exists_one|map|filter)\(\s*([A-Za-z_]\w*)\s*,").expect("a constant");
    binds.captures_iter(&quoted(text)).map(|c| c[1].to_owned()).collect()
}

const TIMING: &[&str] = &["ttft_ms", "ttfo_ms", "ttfb_ms", "tpot_ms", "e2e_ms", "max_gap_ms"];
const USAGE: &[&str] = &["prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens"];

/// A field of `timing` or `usage` that does not exist, and what does. Texts in quotes are no fields.
fn unknown_field(text: &str) -> Option<String> {
    let field = regex::Regex::new(r"(?:^|[^.\w])(timing|usage)\.([A-Za-z_]\w*)").expect("a constant");
    field.captures_iter(&quoted(text)).find_map(|c| {
        let known = if &c[1] == "timing" { TIMING } else { USAGE };
        (!known.contains(&&c[2])).then(|| format!("`{}` has no `{}`; known: {}", &c[1], &c[2], known.join(", ")))
    })
}

/// Why an expression has no value.
enum Failed {
    Name(&'static str, String),
    Run(ExecutionError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Outcome;

    fn judge(text: &str, answer: &str) -> Outcome {
        let turns = [Exchange { answer: answer.into(), ..Exchange::default() }];
        let vars = serde_json::Map::new();
        let context = Context { turns: &turns, system: None, prompt: "", ground: None, vars: &vars, price: None, fetched: &[] };
        Expr::compile(text).unwrap().judge(&context).outcome
    }

    #[test]
    fn expressions_see_the_answer_and_its_json() {
        assert_eq!(judge("answer.contains('你好') && size(answer) > 1", "你好！"), Outcome::Met);
        assert_eq!(judge("json.items[0].n == 3", r#"{"items":[{"n":3}]}"#), Outcome::Met);
        assert_eq!(judge("json.missing == 3", "{}"), Outcome::Missed);
        for text in [
            "json.price * 2 == 10",
            "json.price + 1 == 6 && json.price - 7 < 0",
            "json.items.all(i, i.n > 0)",
            "!json.items.exists(x, x.n > 9)",
        ] {
            assert_eq!(judge(text, r#"{"price":5,"items":[{"n":3}]}"#), Outcome::Met, "{text}");
        }
        assert!(Expr::compile("size(answer)").unwrap_err().contains("needs true or false"));
    }

    #[test]
    fn wrong_expressions_are_told_before_anything_is_sent() {
        assert!(Expr::compile("answer.contains(").is_err());
        assert!(Expr::compile("'ok' == 'ok'").unwrap_err().contains("nothing of the answer"));
        assert!(Expr::compile("anwser == 'x'").unwrap_err().contains("anwser"));
        assert!(Expr::compile("answer.containz('x')").unwrap_err().contains("containz"));
    }

    #[test]
    fn what_would_take_the_stack_is_refused() {
        let deep = |n: usize| format!("{}answer == ''{}", "(".repeat(n), ")".repeat(n));
        let long = |n: usize| format!("answer == 'x'{}", " + 'x'".repeat(n));
        // The stack that a worker has.
        let small = |text: String| {
            std::thread::Builder::new().stack_size(2 << 20).spawn(move || Expr::compile(&text).map(drop)).unwrap().join().unwrap()
        };
        assert!(small(deep(30)).is_ok() && small(format!("{}answer{} == [1]", "[".repeat(30), "]".repeat(30))).is_ok());
        for text in [deep(100), deep(100_000), long(500), "true ? ".repeat(200) + "true" + &" : false".repeat(200)] {
            assert!(small(text).unwrap_err().contains("more than"));
        }
        assert!(small("answer == ''".to_owned() + &" && true".repeat(300)).is_ok());
    }
}
