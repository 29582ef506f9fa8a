//! Multiplies cases by rows and matrix values, and fills their templates.

use super::{Planned, PlannedTurn};
use crate::diagnostic::{Diagnostic, Place};
use crate::scenario::dataset::{Row, short_hash};
use crate::scenario::grammar::Kind;
use crate::scenario::template::{render, render_json};
use crate::scenario::tree::{Node, Typed, Value as Tree};
use crate::scenario::{Case, Checker, Compiled, Expected, Files, Input, Scenario, expectations};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Plans one scenario. `prefix` is its part of the ids, such as `support/tickets`.
pub fn expand(scenario: &Scenario, prefix: &str, files: &dyn Files) -> Result<Vec<Planned>, Vec<Diagnostic>> {
    let mut planned = Vec::new();
    let mut found: Vec<Diagnostic> = Vec::new();
    for case in &scenario.cases {
        let rows: Vec<Option<&Row>> = match &case.rows {
            Some(rows) => rows.iter().map(Some).collect(),
            None => vec![None],
        };
        'rows: for row in rows {
            for cell in cells(&case.matrix) {
                match one(scenario, case, prefix, row, &cell, files) {
                    Ok(case) => planned.push(case),
                    Err(mut more) => {
                        // One wrong template is wrong in every row; once is enough.
                        found.append(&mut more);
                        break 'rows;
                    }
                }
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    for case in &planned {
        if !seen.insert(case.id.as_str()) {
            found.push(Diagnostic::error("duplicate-case", format!("two cases have the id `{}`", case.id)));
        }
    }
    if found.is_empty() { Ok(planned) } else { Err(found) }
}

/// Every combination of the matrix, first variable slowest.
fn cells(matrix: &[(String, Vec<Value>)]) -> Vec<Vec<(&str, &Value)>> {
    let mut cells = vec![Vec::new()];
    for (name, values) in matrix {
        cells = cells
            .into_iter()
            .flat_map(|cell: Vec<(&str, &Value)>| {
                values.iter().map(move |value| {
                    let mut cell = cell.clone();
                    cell.push((name.as_str(), value));
                    cell
                })
            })
            .collect();
    }
    cells
}

fn one(
    scenario: &Scenario,
    case: &Case,
    prefix: &str,
    row: Option<&Row>,
    cell: &[(&str, &Value)],
    files: &dyn Files,
) -> Result<Planned, Vec<Diagnostic>> {
    let mut vars = case.vars.clone();
    if let Some(row) = row {
        vars.extend(row.vars.clone());
    }
    vars.extend(cell.iter().map(|(k, v)| ((*k).to_owned(), (*v).clone())));
    // Variables may use one another one level deep: a prompt kept in `vars` with a placeholder of its own.
    let vars: Map<String, Value> = vars.iter().map(|(k, v)| (k.clone(), render_json(v, &vars).unwrap_or_else(|_| v.clone()))).collect();

    let wrong = |why: String| vec![Diagnostic::error("template", why).at(&scenario.source, case.place)];
    let id = id(prefix, &case.name, row, cell);
    let mut opening = Vec::new();
    if let Some(system) = &case.system {
        opening.push(json!({"role": "system", "content": render(system, &vars).map_err(wrong)?}));
    }
    let params = render_json(&Value::Object(case.params.clone()), &vars).map_err(wrong)?;
    let params = params.as_object().cloned().unwrap_or_default();
    let mut compiled = Compiled::default();
    let mut expect = |expected: &Expected| expected_for(scenario, expected, &vars, files, &mut compiled);

    let user = |content: Value| json!({"role": "user", "content": content});
    let turns = match &case.input {
        Input::Prompt(text) => vec![(vec![user(json!(render(text, &vars).map_err(wrong)?))], Map::new(), expect(&case.expect)?)],
        Input::Messages(messages) => {
            let messages = messages.iter().map(|m| render_json(m, &vars)).collect::<Result<_, _>>().map_err(wrong)?;
            vec![(messages, Map::new(), expect(&case.expect)?)]
        }
        Input::FromRow => {
            let messages = match row.and_then(|r| r.messages.clone()) {
                Some(messages) => messages,
                None => match vars.get("prompt") {
                    Some(Value::String(prompt)) => vec![user(json!(prompt))],
                    _ => {
                        return Err(wrong(format!(
                            "`{}` has no prompt, and the row {} neither `prompt` nor `messages`",
                            case.name,
                            row.map_or("", |r| &r.id)
                        )));
                    }
                },
            };
            vec![(messages, Map::new(), expect(&case.expect)?)]
        }
        Input::Turns(inputs) => {
            let mut turns = Vec::new();
            for (i, turn) in inputs.iter().enumerate() {
                let mut list = expect(&turn.expect)?;
                if i + 1 == inputs.len() {
                    let last = expect(&case.expect)?;
                    list = Arc::new(list.iter().chain(last.iter()).cloned().collect());
                }
                let content = render_json(&turn.user, &vars).map_err(wrong)?;
                turns.push((vec![user(content)], turn.params.clone(), list));
            }
            turns
        }
    };
    let turns: Vec<PlannedTurn> = turns
        .into_iter()
        .enumerate()
        .map(|(i, (messages, own, expect))| {
            let mut all = if i == 0 { std::mem::take(&mut opening) } else { Vec::new() };
            all.extend(messages);
            let mut params = params.clone();
            params.extend(own);
            PlannedTurn { messages: all, params, expect }
        })
        .collect();
    let mut hash = Sha256::new();
    for turn in &turns {
        hash.update(json!([turn.messages, turn.params]).to_string());
    }
    let fingerprint = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    Ok(Planned {
        id,
        scenario: scenario.name.clone(),
        name: case.name.clone(),
        file: scenario.source.name.clone(),
        line: case.place.line,
        layer: case.layer,
        tags: case.tags.clone(),
        target: case.target.clone(),
        turns,
        skip: case.skip.clone(),
        retry: case.retry,
        repeat: case.repeat,
        pass_rate: case.pass_rate,
        timeout: case.timeout,
        stream: case.stream,
        allow_empty: case.allow_empty,
        fingerprint,
    })
}

fn id(prefix: &str, name: &str, row: Option<&Row>, cell: &[(&str, &Value)]) -> String {
    let mut id = format!("{prefix}::{name}");
    if let Some(row) = row {
        id.push_str(&format!("[{}]", tidy(&row.id)));
    }
    if !cell.is_empty() {
        let parts: Vec<String> = cell.iter().map(|(k, v)| format!("{k}={}", tidy(v.as_str().unwrap_or(&v.to_string())))).collect();
        id.push_str(&format!("[{}]", parts.join(",")));
    }
    id
}

/// Short values stand in ids as they are; long or odd ones as a hash.
fn tidy(text: &str) -> String {
    let fine = text.chars().count() <= 32 && text.chars().all(|c| !c.is_control() && !matches!(c, '[' | ']' | ','));
    if fine { text.to_owned() } else { short_hash(text) }
}

fn expected_for(
    scenario: &Scenario,
    expected: &Expected,
    vars: &Map<String, Value>,
    files: &dyn Files,
    compiled: &mut Compiled,
) -> Result<Arc<Vec<crate::expect::Expectation>>, Vec<Diagnostic>> {
    let node = match expected {
        Expected::Ready(list) => return Ok(list.clone()),
        Expected::Templated(node) => node,
    };
    let filled = fill(node, vars).map_err(|(place, why)| vec![Diagnostic::error("template", why).at(&scenario.source, place)])?;
    let mut checker = Checker::new(&scenario.source);
    checker.check(&filled, &Kind::Expectations);
    let list = if checker.found.is_empty() { expectations(&filled, &mut checker, files, compiled) } else { Vec::new() };
    if checker.found.is_empty() { Ok(Arc::new(list)) } else { Err(checker.found) }
}

fn fill(node: &Node, vars: &Map<String, Value>) -> Result<Node, (Place, String)> {
    let value = match &node.value {
        Tree::Null => Tree::Null,
        Tree::Scalar { text, plain, typed } => {
            let filled = render(text, vars).map_err(|why| (node.place, why))?;
            // What a variable holds is data, so none of YAML's traps applies to it.
            if filled == *text {
                Tree::Scalar { text: filled, plain: *plain, typed: *typed }
            } else {
                Tree::Scalar { text: filled, plain: false, typed: Typed::Text }
            }
        }
        Tree::List(items) => Tree::List(items.iter().map(|n| fill(n, vars)).collect::<Result<_, _>>()?),
        Tree::Map(entries) => {
            Tree::Map(entries.iter().map(|(k, v)| Ok((k.clone(), fill(v, vars)?))).collect::<Result<_, (Place, String)>>()?)
        }
    };
    Ok(Node { place: node.place, value })
}
