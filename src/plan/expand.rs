//! Multiplies cases by rows and matrix values, and fills their templates.

use super::{Planned, PlannedTurn, Version};
use crate::diagnostic::{Diagnostic, Place};
use crate::expect::group::{is_group, is_single};
use crate::expect::{Check, Expectation, LatencyMetric, Of, Search, mentions};
use crate::mutate::Mutation;
use crate::scenario::dataset::{Row, short_hash};
use crate::scenario::grammar::Kind;
use crate::scenario::params::render_params;
use crate::scenario::spread::spread;
use crate::scenario::template::{self, render, render_json};
use crate::scenario::tree::{Node, Value as Tree};
use crate::scenario::{Case, Checker, Compiled, Expected, Files, Input, Scenario, expectations};
use crate::verdict::rate::PassRate;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// Plans one scenario. `prefix` is its part of the ids, such as `support/tickets`.
pub fn expand(scenario: &Scenario, prefix: &str, files: &dyn Files) -> Result<Vec<Planned>, Vec<Diagnostic>> {
    let mut planned = Vec::new();
    let mut found: Vec<Diagnostic> = Vec::new();
    for (mut some, mut wrong) in spread(&scenario.cases, |cases| expand_all(scenario, cases, prefix, files)) {
        planned.append(&mut some);
        found.append(&mut wrong);
    }
    let mut seen = std::collections::HashSet::new();
    for case in &planned {
        if !seen.insert(case.id.as_str()) {
            found.push(Diagnostic::error("duplicate-case", format!("two cases have the id `{}`", case.id)));
        }
    }
    if found.is_empty() { Ok(planned) } else { Err(found) }
}

/// Cases that rows and combinations of one case may come to: more than any run could send.
const MOST_CASES: usize = 1_000_000;

/// Characters that the mutations of one case may come to, kept in memory until they are sent.
const MOST_MUTATED: usize = 200_000_000;

fn expand_all(scenario: &Scenario, cases: &[Case], prefix: &str, files: &dyn Files) -> (Vec<Planned>, Vec<Diagnostic>) {
    let mut planned = Vec::with_capacity(cases.len());
    let mut found = Vec::new();
    for case in cases {
        let combinations = case.matrix.iter().try_fold(1usize, |n, (_, values)| n.checked_mul(values.len()).filter(|n| *n <= MOST_CASES));
        if combinations.is_none_or(|n| n.saturating_mul(case.rows.as_ref().map_or(1, Vec::len)) > MOST_CASES) {
            let why = format!("`{}` would be more than {MOST_CASES} cases", case.name);
            found.push(Diagnostic::error("too-many-cases", why).at(&scenario.source, case.place));
            continue;
        }
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
    (planned, found)
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
    // Nothing is no text: `{{ city }}` of an empty column would send "None".
    vars.retain(|_, value| !value.is_null());
    // Variables may use one another one level deep: a prompt kept in `vars` with a placeholder of its own. Rows are data, and what looks
    // like a placeholder there is meant as it stands.
    let is_data = |name: &str| row.is_some_and(|r| r.vars.contains_key(name)) && !cell.iter().any(|(k, _)| *k == name);
    let wrong = |why: String| {
        let which = row.map(|r| format!(" (row `{}`)", r.id)).unwrap_or_default();
        vec![Diagnostic::error("template", format!("{why}{which}")).at(&scenario.source, case.place)]
    };
    let filled = |name: &String, value: &Value| match is_data(name) {
        true => Ok(value.clone()),
        false => render_json(value, &vars),
    };
    let vars: Map<String, Value> = vars.iter().map(|(k, v)| Ok((k.clone(), filled(k, v)?))).collect::<Result<_, _>>().map_err(wrong)?;
    let id = id(prefix, &case.name, row, cell);
    let context = case.context.as_ref().map(|c| render(c, &vars)).transpose().map_err(wrong)?;
    let mut vars = vars;
    if let Some(context) = &context {
        vars.insert("context".into(), json!(context));
    }
    let mut system = case.system.as_ref().map(|s| render(s, &vars)).transpose().map_err(wrong)?;
    if let Some(context) = context.as_ref().filter(|_| !names_context(case)) {
        system = Some(system.map_or_else(|| context.clone(), |s| format!("{s}\n\n{context}")));
    }
    let opening: Vec<Value> = system.iter().map(|s| json!({"role": "system", "content": s})).collect();
    let params = render_params(&case.params, &vars).map_err(wrong)?;
    let mut compiled = Compiled::default();
    let mut expect = |expected: &Expected, turn: Option<usize>| {
        let list = expected_for(scenario, expected, &vars, files, &mut compiled)?;
        golden(list, &scenario.source.name, &id, turn, files).map_err(wrong)
    };

    let user = |content: Value| json!({"role": "user", "content": content});
    type Asked = (Vec<Value>, Map<String, Value>, Arc<Vec<Expectation>>);
    let one = |prompt: &str, expect: Arc<Vec<Expectation>>| -> Result<Vec<Asked>, Vec<Diagnostic>> {
        Ok(vec![(vec![user(json!(render(prompt, &vars).map_err(wrong)?))], Map::new(), expect)])
    };
    let mut versions: Vec<(Option<String>, Vec<Asked>)> = Vec::new();
    let turns = match &case.input {
        Input::Variants(texts) => {
            let expect = expect(&case.expect, None)?;
            for text in texts {
                let asked = one(text, expect.clone())?;
                let label = crate::redact::excerpt(&super::text_of(&asked[0].0[0]["content"]), 40);
                versions.push((Some(label), asked));
            }
            Vec::new()
        }
        Input::Prompt(text) => one(text, expect(&case.expect, None)?)?,
        Input::Messages(messages) => {
            let messages = messages.iter().map(|m| render_json(m, &vars)).collect::<Result<_, _>>().map_err(wrong)?;
            vec![(messages, Map::new(), expect(&case.expect, None)?)]
        }
        Input::FromRow => {
            let (messages, params) = match row.and_then(|r| Some((r.messages.clone()?, r.params.clone()))) {
                Some(body) => body,
                None => match vars.get("prompt") {
                    Some(Value::String(prompt)) => (vec![user(json!(prompt))], Map::new()),
                    _ => {
                        return Err(wrong(format!(
                            "`{}` has no prompt, and the row {} neither `prompt` nor `messages`",
                            case.name,
                            row.map_or("", |r| &r.id)
                        )));
                    }
                },
            };
            vec![(messages, params, expect(&case.expect, None)?)]
        }
        Input::Turns(inputs) => {
            let mut turns = Vec::new();
            for (i, turn) in inputs.iter().enumerate() {
                let mut list = expect(&turn.expect, Some(i + 1))?;
                if i + 1 == inputs.len() {
                    let last = expect(&case.expect, None)?;
                    list = Arc::new(list.iter().chain(last.iter()).cloned().collect());
                }
                let content = render_json(&turn.user, &vars).map_err(wrong)?;
                turns.push((vec![user(content)], render_params(&turn.params, &vars).map_err(wrong)?, list));
            }
            turns
        }
    };
    if versions.is_empty() {
        versions.push((None, turns));
    }
    let earlier = versions.iter().flat_map(|(_, turns)| turns.iter().rev().skip(1)).flat_map(|(_, _, expect)| expect.iter());
    let of_earlier = |e: &&Expectation, turns: usize| matches!(e.of, Of::Turn(n) if n != turns);
    let own = versions.iter().filter_map(|(_, turns)| Some((turns.len(), &turns.last()?.2)));
    let own = own.flat_map(|(turns, expect)| expect.iter().filter(move |e| of_earlier(e, turns)));
    if let Some(e) = earlier.chain(own).find(|e| is_group(&e.check)) {
        let why = format!(
            "line {}: `{}` is judged over all trials and looks at the last answer of each, so it cannot be asked of an earlier turn",
            e.line, e.name
        );
        return Err(vec![Diagnostic::error("group-of-earlier-turn", why).at(&scenario.source, case.place)]);
    }
    let mut group = Vec::new();
    let versions: Vec<Version> = versions
        .into_iter()
        .enumerate()
        .map(|(v, (label, turns))| {
            let turns = turns.into_iter().enumerate().map(|(i, (messages, own, expect))| {
                let mut all = if i == 0 { opening.clone() } else { Vec::new() };
                all.extend(messages);
                let mut params = params.clone();
                params.extend(own);
                PlannedTurn { messages: all, params, expect: without_group(expect, (v == 0).then_some(&mut group)) }
            });
            Version { label, turns: turns.collect() }
        })
        .collect();
    if matches!(case.pass_rate, Some(PassRate::Sequential { .. })) && versions.iter().any(|v| v.turns.iter().all(always_alike)) {
        let why = "a sequential `pass_rate` needs trials that differ, and these parameters make them all alike (a seed, greedy decoding)";
        return Err(vec![Diagnostic::error("greedy-pass-rate", why).at(&scenario.source, case.place)]);
    }
    let mut versions = if case.mutate.is_empty() { versions } else { mutated(case, &versions).map_err(wrong)? };
    // A record finds its version by the label.
    let mut seen: HashMap<String, u32> = HashMap::new();
    for label in versions.iter_mut().filter_map(|v| v.label.as_mut()) {
        let n = seen.entry(label.clone()).and_modify(|n| *n += 1).or_insert(1);
        if *n > 1 {
            label.push_str(&format!(" ({n})"));
        }
    }
    let mut hash = Sha256::new();
    for turn in versions.iter().flat_map(|v| &v.turns) {
        hash.update(json!([turn.messages, turn.params]).to_string());
    }
    if case.cold {
        hash.update("cold");
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
        pass_rate: match case.pass_rate {
            // `repeat` is for each version.
            Some(PassRate::Fixed { trials, rate }) => Some(PassRate::Fixed { trials: trials * versions.len() as u64, rate }),
            other => other,
        },
        versions,
        group: Arc::new(group),
        vars: Arc::new(vars),
        context,
        skip: case.skip.clone(),
        retry: case.retry,
        repeat: case.repeat,
        precision: case.precision,
        cold: case.cold,
        timeout: case.timeout,
        stream: case.stream,
        allow_empty: case.allow_empty,
        fingerprint,
        position: 0,
    })
}

/// True when a turn's parameters leave nothing to chance.
fn always_alike(turn: &PlannedTurn) -> bool {
    let is = |name: &str, value: f64| turn.params.get(name).and_then(Value::as_f64) == Some(value);
    turn.params.contains_key("seed") || is("temperature", 0.0) || is("top_p", 0.0) || is("top_k", 1.0)
}

/// Moves expectations about all trials into `group`, when it is wanted, and gives back the others.
fn without_group(list: Arc<Vec<Expectation>>, group: Option<&mut Vec<Expectation>>) -> Arc<Vec<Expectation>> {
    if !list.iter().any(|e| is_group(&e.check)) {
        return list;
    }
    if let Some(group) = group {
        group.extend(list.iter().filter(|e| is_group(&e.check)).cloned());
    }
    Arc::new(list.iter().filter(|e| is_single(&e.check)).cloned().collect())
}

/// Reads a file of the project, if there is one.
type Find<'a> = &'a dyn Fn(&str) -> Result<Option<Vec<u8>>, String>;

/// Fills in stored answers. Without a name of its own, a golden answer lies under `goldens/`, by file, case, turn, and what of the answer
/// it is.
fn golden(
    list: Arc<Vec<Expectation>>,
    scenario: &str,
    id: &str,
    turn: Option<usize>,
    files: &dyn Files,
) -> Result<Arc<Vec<Expectation>>, String> {
    if !list.iter().any(|e| mentions(e, &|c| matches!(c, Check::Golden { .. }))) {
        return Ok(list);
    }
    let fine = |text: &str| text.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(48).collect::<String>();
    let stem = scenario.rsplit('/').next().unwrap_or(scenario);
    let stem = stem.strip_suffix(".yaml").or_else(|| stem.strip_suffix(".yml")).unwrap_or(stem);
    let case = id.rsplit_once("::").map_or(id, |(_, case)| case);
    let turn = turn.map(|n| format!("-turn{n}")).unwrap_or_default();
    let default = |of: &Of| {
        let of = match of {
            Of::Answer => String::new(),
            Of::Reasoning => "-reasoning".to_owned(),
            Of::Turn(n) => format!("-turn{n}"),
            Of::Json(path) => format!("-{}", fine(&path.to_string())),
        };
        format!("goldens/{stem}/{}-{}{turn}{of}.txt", fine(case), short_hash(id))
    };
    fn resolve(e: &mut Expectation, default: &dyn Fn(&Of) -> String, find: Find) -> Result<(), String> {
        match &mut e.check {
            Check::Golden { file, stored } => {
                if file.is_empty() {
                    *file = default(&e.of);
                }
                *stored = match find(file)? {
                    Some(bytes) => Some(String::from_utf8(bytes).map_err(|_| format!("`{file}` is not UTF-8"))?),
                    None => None,
                };
                Ok(())
            }
            Check::Not(inner) => resolve(inner, default, find),
            Check::All(inner) | Check::Any(inner) => inner.iter_mut().try_for_each(|e| resolve(e, default, find)),
            _ => Ok(()),
        }
    }
    let mut list: Vec<Expectation> = list.to_vec();
    list.iter_mut().try_for_each(|e| resolve(e, &default, &|file| files.find(scenario, file)))?;
    Ok(Arc::new(list))
}

/// Every text inside a JSON value.
fn texts_of(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts_of).collect(),
        Value::Object(map) => map.values().flat_map(texts_of).collect(),
        _ => Vec::new(),
    }
}

/// True when a text of the case says where the context goes.
fn names_context(case: &Case) -> bool {
    let names = |text: &str| template::names(text, "context");
    case.system.as_deref().is_some_and(names)
        || match &case.input {
            Input::Prompt(text) => names(text),
            Input::Variants(texts) => texts.iter().any(|t| names(t)),
            Input::Messages(messages) => messages.iter().any(|m| texts_of(m).into_iter().any(names)),
            Input::Turns(turns) => turns.iter().any(|t| texts_of(&t.user).into_iter().any(names)),
            Input::FromRow => false,
        }
}

/// Every kind of abuse of every version, each held to the case's expectations and to what any service owes any input.
fn mutated(case: &Case, versions: &[Version]) -> Result<Vec<Version>, String> {
    let mut out = Vec::new();
    let mut total = 0usize;
    for mutation in &case.mutate {
        for version in versions {
            let first = version.turns.first().ok_or("there is no prompt to mutate")?;
            let at = first.messages.iter().rposition(|m| m["role"] == "user").ok_or("there is no user message to mutate")?;
            let Some(prompt) = first.messages[at]["content"].as_str() else {
                return Err("only text can be mutated, and the prompt has parts".into());
            };
            let each = match mutation {
                Mutation::RepeatTo { chars } => *chars,
                _ => prompt.chars().count(),
            };
            total = each
                .checked_mul(case.mutate_count as usize)
                .and_then(|n| n.checked_add(total))
                .filter(|n| *n <= MOST_MUTATED)
                .ok_or_else(|| format!("`mutate` would make more than {MOST_MUTATED} characters; make fewer or shorter ones"))?;
            let texts = crate::mutate::variants(mutation, prompt, case.mutate_count as usize, 0);
            for (i, text) in texts.into_iter().enumerate() {
                let mut version = version.clone();
                version.turns[0].messages[at]["content"] = json!(text);
                for turn in &mut version.turns {
                    turn.expect = owed(mutation, &turn.expect);
                }
                let which = version.label.map(|l| format!(" of {l}")).unwrap_or_default();
                version.label = Some(format!("{} {}{which}", mutation.name(), i + 1));
                out.push(version);
            }
        }
    }
    Ok(out)
}

/// What is owed whatever the input: the service lives on and shows no stack trace. Where the case says nothing itself: a decent
/// status in 30 s; and a question that cannot be answered is answered by one.
fn owed(mutation: &Mutation, own: &Arc<Vec<Expectation>>) -> Arc<Vec<Expectation>> {
    let expectation = |name, check| Expectation { name, line: 0, of: Of::Answer, check };
    let mut list = own.to_vec();
    if own.is_empty() {
        list.push(expectation("status", Check::Status(vec![200, 400, 413, 422])));
        list.push(expectation(
            "latency",
            Check::Latency { max: vec![(LatencyMetric::E2e, std::time::Duration::from_secs(30))], history: Vec::new() },
        ));
        if *mutation == Mutation::Ambiguous {
            list.push(expectation("asks_back", Check::AsksBack { also: Vec::new() }));
        }
        if matches!(mutation, Mutation::Injection | Mutation::Jailbreak | Mutation::Phrases(_)) {
            list.push(expectation("no_secrets", Check::NoSecrets { allow: Vec::new() }));
        }
    }
    let traces = ["Traceback (most recent call last)", "Internal Server Error", "panicked at", "Segmentation fault"];
    let search = Search { any: traces.map(str::to_owned).to_vec(), case_sensitive: true, ..Search::default() };
    list.push(expectation("not", Check::Not(Box::new(expectation("contains", Check::Contains(search))))));
    if !own.iter().any(|e| mentions(e, &|c| matches!(c, Check::ServiceAlive))) {
        list.push(expectation("service_alive", Check::ServiceAlive));
    }
    Arc::new(list)
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
    let list = if checker.found.is_empty() { expectations(&filled, None, &mut checker, files, compiled) } else { Vec::new() };
    if checker.found.is_empty() { Ok(Arc::new(list)) } else { Err(checker.found) }
}

fn fill(node: &Node, vars: &Map<String, Value>) -> Result<Node, (Place, String)> {
    let value = match &node.value {
        Tree::Null => Tree::Null,
        Tree::Scalar { text, plain, typed } => match template::value(text, vars).map_err(|why| (node.place, why))? {
            Some(value) => return Ok(Node::of_data(&value, node.place)),
            None => Tree::Scalar { text: text.clone(), plain: *plain, typed: *typed },
        },
        Tree::List(items) => Tree::List(items.iter().map(|n| fill(n, vars)).collect::<Result<_, _>>()?),
        Tree::Map(entries) => {
            Tree::Map(entries.iter().map(|(k, v)| Ok((k.clone(), fill(v, vars)?))).collect::<Result<_, (Place, String)>>()?)
        }
    };
    Ok(Node { place: node.place, value, tagged: node.tagged })
}
