//! Makes typed expectations of checked nodes, compiling what can be compiled.

mod parts;

pub(super) use parts::ceilings;

use super::{count_of, duration_of, number_of};
use crate::expect::{
    Check, Consistency, Edits, ErrorShape, Expectation, Expr, Figure, LatencyMetric, NumberCheck, Of, Over, Rouge, TokenCount, group,
    mentions,
};
use crate::scenario::Files;
use crate::scenario::check::Checker;
use crate::scenario::tree::{Node, Value as Tree};
use crate::scenario::vocabulary::EXPECTATIONS;
use crate::units;
use parts::{flag, numbers, texts, votes_of};
use std::collections::HashMap;
use std::sync::Arc;

/// Schemas compiled so far, by their text: many cases share one.
#[derive(Default)]
pub struct Compiled {
    schemas: HashMap<String, Arc<jsonschema::Validator>>,
}

/// Reads a list of expectations that passed the check. What cannot be compiled is told and left out.
/// `turns` is how many answers there are by then, where that is known.
pub fn expectations(
    node: &Node,
    turns: Option<usize>,
    checker: &mut Checker,
    files: &dyn Files,
    compiled: &mut Compiled,
) -> Vec<Expectation> {
    let mut reader = ExpectReader { turns, checker, files, compiled };
    node.items().unwrap_or_default().iter().filter_map(|n| reader.expectation(n)).collect()
}

/// From here on neighbouring whole numbers are one `f64`.
const EXACT: f64 = (1u64 << 53) as f64;

struct ExpectReader<'a, 'b> {
    turns: Option<usize>,
    checker: &'a mut Checker<'b>,
    files: &'a dyn Files,
    compiled: &'a mut Compiled,
}

impl ExpectReader<'_, '_> {
    fn expectation(&mut self, node: &Node) -> Option<Expectation> {
        let null = Node { place: node.place, value: Tree::Null, tagged: false };
        let (name_node, value) = match &node.value {
            Tree::Map(entries) => entries.first().map(|(k, v)| (k, v))?,
            _ => (node, &null),
        };
        let name = EXPECTATIONS.iter().find(|w| Some(w.name) == name_node.text())?.name;
        let of = match value.get("of") {
            Some(of) => self.of(of)?,
            None => Of::Answer,
        };
        let check = self.check(name, value, name_node)?;
        Some(Expectation { name, line: name_node.place.line, of, check })
    }

    fn of(&mut self, node: &Node) -> Option<Of> {
        if let (Some(_), Some(path)) = (node.get("turn"), node.get("json")) {
            self.checker.error(
                path.place,
                "bad-value",
                "`of` looks at a turn, or at a path of the last answer; put the expectation under its turn",
            );
            return None;
        }
        if let Some(turn) = node.get("turn") {
            let n = count_of(turn)? as usize;
            if let Some(turns) = self.turns.filter(|turns| n == 0 || n > *turns) {
                let there = if turns == 1 { "there is one answer".to_owned() } else { format!("there are {turns} answers by then") };
                self.checker.error(turn.place, "bad-value", format!("there is no turn {n}: {there}, counted from 1"));
                return None;
            }
            return Some(Of::Turn(n));
        }
        if let Some(path) = node.get("json") {
            return self.path(path).map(Of::Json);
        }
        Some(if node.text() == Some("reasoning") { Of::Reasoning } else { Of::Answer })
    }

    fn list(&mut self, node: &Node) -> Vec<Expectation> {
        node.items().unwrap_or_default().iter().filter_map(|n| self.single(n)).collect()
    }

    /// An expectation about one exchange; those about all trials stand by themselves.
    fn single(&mut self, node: &Node) -> Option<Expectation> {
        let inner = self.expectation(node)?;
        if mentions(&inner, &group::is_group) {
            let why = format!("`{}` is judged over all trials, so it cannot stand inside `not`, `all` or `any`", inner.name);
            self.checker.error(node.place, "bad-value", why);
            return None;
        }
        Some(inner)
    }

    fn check(&mut self, name: &str, value: &Node, name_node: &Node) -> Option<Check> {
        let text = |key: &str| value.get(key).and_then(Node::text).map(str::to_owned);
        Some(match name {
            "not_empty" => Check::NotEmpty,
            "equals" => Check::Equals {
                text: value.text().map(str::to_owned).or_else(|| text("text"))?,
                case_sensitive: flag(value, "case_sensitive", true),
            },
            "contains" => Check::Contains(self.nonempty_search(value)?),
            "matches" => {
                let node = value.get("pattern").unwrap_or(value);
                let pattern = self.pattern(node, flag(value, "lookaround", false))?;
                let count = self.optional_range(value.get("count"))?;
                if count.is_none() && pattern.count("").is_ok_and(|n| n > 0) {
                    self.checker.error(node.place, "bad-value", "this expression matches the empty text, so it matches every answer");
                    return None;
                }
                Check::Matches { pattern, count }
            }
            "starts_with" => {
                let (any, case_sensitive) = self.affix(value)?;
                Check::StartsWith { any, case_sensitive }
            }
            "ends_with" => {
                let (any, case_sensitive) = self.affix(value)?;
                Check::EndsWith { any, case_sensitive }
            }
            "length" => {
                let (range, unit) = self.length(value)?;
                Check::Length { range, unit }
            }
            "language" => {
                Check::Language { code: value.text().map(str::to_owned).or_else(|| text("is"))?, min: self.bar_or(value, "min", 0.6)? }
            }
            "format" => Check::Format {
                name: value.text().map(str::to_owned).or_else(|| text("is"))?,
                items: self.optional_range(value.get("items"))?,
            },
            "keeps" => {
                let all = match Some(value).filter(|v| v.items().is_some()).or(value.get("all")) {
                    Some(list) => Some(self.wanted(Some(list))?),
                    None => None,
                };
                let matching = match value.get("matching") {
                    Some(node) => Some(self.regex(node)?),
                    None => None,
                };
                if let (Some(node), true) = (value.get("matching"), matching.as_ref().is_some_and(|regex| regex.is_match(""))) {
                    self.checker.error(node.place, "bad-value", "this expression matches the empty text, which every answer keeps");
                    return None;
                }
                Check::Keeps { all, matching }
            }
            "numbers" => {
                let mut any = numbers(value.get("any"));
                any.extend(value.text().and_then(|t| units::number(t).ok()));
                let all = numbers(value.get("all"));
                if any.is_empty() && all.is_empty() {
                    self.checker.error(value.place, "missing-key", "say which numbers: `any` or `all`");
                    return None;
                }
                if any.iter().chain(&all).any(|n| n.abs() >= EXACT) {
                    let why = "a number of this size is not compared to its last digit; look for its digits by `contains`";
                    self.checker.error(value.place, "bad-value", why);
                    return None;
                }
                let tolerance = text("tolerance").and_then(|t| units::share(&t).ok()).map_or(0.0, |s| s.0);
                Check::Numbers(NumberCheck { any, all, tolerance, units: self.wanted(value.get("unit"))? })
            }
            "facts" => {
                let list = value.get("all").unwrap_or(value);
                let min = text("min").and_then(|t| units::share(&t).ok()).map_or(1.0, |s| s.0);
                if min == 0.0 {
                    self.checker.error(value.place, "bad-value", "`min: 0%` asks for no fact at all, so every answer would pass");
                    return None;
                }
                Check::Facts { all: self.facts(list)?, min }
            }
            "refuses" => Check::Refuses { also: self.wanted(value.get("also"))? },
            "asks_back" => Check::AsksBack { also: self.wanted(value.get("also"))? },
            "readable" => Check::Readable,
            "no_repetition" => {
                let max = value.get("max").map(|at| (at.place, count_of(at)));
                if let Some((place, Some(0))) = max {
                    self.checker.error(place, "bad-value", "every phrase stands at least once in a row");
                    return None;
                }
                Check::NoRepetition { max: max.and_then(|(_, n)| n).unwrap_or(3) }
            }
            "no_secrets" => {
                let allow = self.regexes(value.get("allow"));
                if let Some(regex) = allow.iter().find(|regex| regex.is_match("")) {
                    let why = format!("`{regex}` fits every text, so that everything would be allowed");
                    self.checker.error(value.get("allow")?.place, "bad-value", why);
                    return None;
                }
                Check::NoSecrets { allow }
            }
            "json_schema" => Check::JsonSchema(self.schema_or_file(value)?),
            "json" => {
                let mut checks = Vec::new();
                for (key, node) in value.entries()? {
                    checks.push((self.path(key)?, self.json_check(node)?));
                }
                if checks.is_empty() {
                    self.checker.error(value.place, "no-expectation", "`json` without a path expects nothing");
                }
                Check::Json(checks)
            }
            "tool_call" => Check::ToolCall {
                name: value.text().filter(|_| value.boolean().is_none()).map(str::to_owned).or_else(|| text("name")),
                arguments: value.get("arguments").map(Node::json),
                schema: match value.get("schema") {
                    Some(node) => Some(self.schema(&node.json(), node)?),
                    None => None,
                },
                count: self.optional_range(value.get("count"))?,
                order: self.wanted(value.get("order"))?,
            },
            "finish_reason" => {
                const KNOWN: [&str; 6] = ["stop", "length", "tool_calls", "content_filter", "function_call", "eos_token"];
                let reasons = texts(Some(value));
                for reason in reasons.iter().filter(|r| !KNOWN.contains(&r.as_str())) {
                    // Services have reasons of their own; what is nearly a known one is a slip, and under `not` it would always pass.
                    if let Some(near) = crate::diagnostic::nearest(reason, KNOWN) {
                        let diagnostic = self.checker.error(value.place, "bad-value", format!("`{reason}` is not a reason to finish"));
                        diagnostic.hint = Some(format!("did you mean `{near}`?"));
                    }
                }
                Check::FinishReason(reasons)
            }
            "logprob" if value.get("mean").is_none() && value.get("min").is_none() => {
                self.checker.error(value.place, "missing-key", "say how probable: `logprob: { mean: -0.5 }`, or `min` for each token");
                return None;
            }
            "logprob" => Check::Logprob { mean: value.get("mean").and_then(number_of), min: value.get("min").and_then(number_of) },
            "status" => {
                let codes: Vec<u16> = texts(Some(value)).iter().filter_map(|t| t.parse().ok()).filter(|c| (100..600).contains(c)).collect();
                if codes.len() != texts(Some(value)).len() {
                    self.checker.error(value.place, "bad-value", "an HTTP status is a number from 100 to 599");
                    return None;
                }
                Check::Status(codes)
            }
            "error" => {
                Check::Error(ErrorShape { kind: text("type"), code: text("code"), message: self.wanted(value.get("message"))?.pop() })
            }
            "service_alive" => Check::ServiceAlive,
            "header" => {
                let mut checks = Vec::new();
                if value.entries()?.is_empty() {
                    self.checker.error(value.place, "no-expectation", "`header` without a name expects nothing");
                    return None;
                }
                for (key, node) in value.entries()? {
                    let name = key.text()?.to_lowercase();
                    checks.extend(self.header(node)?.into_iter().map(|check| (name.clone(), check)));
                }
                Check::Header(checks)
            }
            "latency" => {
                let limits: Vec<_> = LatencyMetric::ALL
                    .into_iter()
                    .filter_map(|metric| {
                        let node = value.get(metric.word())?;
                        Some((metric, duration_of(node.get("max").unwrap_or(node))?))
                    })
                    .collect();
                let ceilings: Vec<_> = LatencyMetric::ALL
                    .into_iter()
                    .flat_map(|metric| {
                        value
                            .get(metric.word())
                            .map(|n| ceilings(n, self.checker))
                            .unwrap_or_default()
                            .into_iter()
                            .map(move |c| (metric, c))
                    })
                    .collect();
                if limits.is_empty() && ceilings.is_empty() {
                    self.checker.error(value.place, "missing-key", "say which time: `latency: { e2e: 800ms }`");
                    return None;
                }
                Check::Latency { max: limits, history: ceilings }
            }
            "tokens" => {
                let asked = TokenCount::ALL.into_iter().filter_map(|c| Some((c, value.get(c.word())?)));
                let ranges: Vec<_> = asked.map(|(c, node)| Some((c, self.range(node)?))).collect::<Option<_>>()?;
                if ranges.is_empty() {
                    self.checker.error(value.place, "missing-key", "say which tokens: `tokens: { completion: 1..200 }`");
                    return None;
                }
                Check::Tokens(ranges)
            }
            "cost" => {
                let at = value.get("max").unwrap_or(value);
                let max = number_of(at)?;
                if max < 0.0 {
                    self.checker.error(at.place, "bad-value", "no exchange costs less than nothing");
                    return None;
                }
                Check::Cost { max }
            }
            "not" => Check::Not(Box::new(self.single(value)?)),
            "all" => Check::All(self.list(value)),
            "any" => Check::Any(self.list(value)),
            "rouge" => Check::Rouge {
                to: self.references(value)?,
                kind: text("kind").and_then(|k| Rouge::named(&k)).unwrap_or(Rouge::L),
                min: self.bar(value, "min")?,
            },
            "bleu" => Check::Bleu { to: self.references(value)?, min: self.bar(value, "min")? },
            "levenshtein" => {
                let max = value.get("max")?;
                let written = max.text()?;
                let max = match units::count(written) {
                    Ok(n) => Edits::Count(n),
                    Err(_) => Edits::Share(units::share(written).ok()?.0),
                };
                if matches!(max, Edits::Share(share) if share >= 1.0) {
                    self.checker.error(
                        value.get("max")?.place,
                        "bad-value",
                        "a share of all characters allows every answer; write a whole number for a count of edits",
                    );
                    return None;
                }
                Check::Levenshtein { to: self.references(value)?, max }
            }
            // The plan knows the case, and with it the file.
            "golden" => Check::Golden { file: text("file").unwrap_or_default(), stored: None },
            "similar" => {
                let min = value.get("min").and_then(number_of);
                if min.is_some_and(|m| !(m > 0.0 && m <= 1.0)) {
                    self.checker.error(value.get("min")?.place, "bad-value", "a cosine worth asking for lies above 0 and is at most 1");
                    return None;
                }
                Check::Similar { to: self.references(value)?, min }
            }
            "judge" => {
                let rubric = value.text().map(str::to_owned).or_else(|| text("rubric"))?;
                let min = value.get("min").and_then(number_of).unwrap_or(4.0);
                if !(min > 0.0 && min <= 5.0) || rubric.trim().is_empty() {
                    self.checker.error(value.place, "bad-value", "a judge needs a rubric and a `min` above 0 and up to 5");
                    return None;
                }
                Check::Judge { rubric, min, votes: votes_of(value) }
            }
            "grounded" => Check::Grounded(self.ground(value, 0.4)?),
            "uses_context" => Check::UsesContext(self.ground(value, 0.2)?),
            "expr" => match Expr::compile(value.text()?) {
                Ok(expr) => Check::Expr(expr),
                Err(why) => {
                    self.checker.error(value.place, "bad-value", format!("not a CEL expression: {why}"));
                    return None;
                }
            },
            "consistency" => {
                let facts =
                    value.get("facts").map(|node| Some((self.facts(node.get("all").unwrap_or(node))?, self.bar_or(node, "min", 0.99)?)));
                let facts = match facts {
                    Some(facts) => Some(facts?),
                    None => None,
                };
                let mut share = |key: &str| match value.get(key) {
                    Some(_) => self.bar(value, key).map(Some),
                    None => Some(None),
                };
                let over = match text("over").as_deref() {
                    Some("targets") => Over::Targets,
                    Some("history") => Over::History,
                    _ => Over::Trials,
                };
                let wanted = Consistency {
                    over,
                    same_facts: share("same_facts")?,
                    exact: share("exact")?,
                    overlap: share("overlap")?,
                    similarity: value.get("similarity").and_then(number_of),
                    facts,
                };
                if let (Over::History, Some(key)) = (over, ["overlap", "facts"].into_iter().find(|key| value.get(key).is_some())) {
                    let why = format!(
                        "history keeps no texts, so `{key}` cannot be looked for in it; `exact`, `same_facts` and `similarity` can"
                    );
                    self.checker.error(value.place, "bad-value", why);
                    return None;
                }
                let nothing = wanted.exact.is_none() && wanted.overlap.is_none() && wanted.similarity.is_none();
                if nothing && wanted.facts.is_none() && wanted.same_facts.is_none() {
                    self.checker.error(
                        value.place,
                        "missing-key",
                        "say in what the answers should agree: `exact`, `same_facts`, `overlap`, `similarity` or `facts`",
                    );
                    return None;
                }
                Check::Consistency(wanted)
            }
            "error_rate" => {
                let max = units::share(value.text().or_else(|| value.get("max")?.text())?).ok()?.0;
                if max >= 1.0 {
                    self.checker.error(
                        value.place,
                        "bad-value",
                        "an `error_rate` of 100 % allows every request to fail; 1 % is written `1%`",
                    );
                    return None;
                }
                Check::ErrorRate { max }
            }
            "variation" => {
                let limits: Vec<_> = Figure::ALL
                    .into_iter()
                    .filter_map(|figure| Some((figure, units::share(value.get(figure.word())?.text()?).ok()?.0)))
                    .collect();
                if limits.is_empty() {
                    self.checker.error(value.place, "missing-key", "say what may vary by how much: `variation: { e2e: 20% }`");
                    return None;
                }
                Check::Variation(limits)
            }
            other => {
                self.checker.error(name_node.place, "unknown-expectation", format!("`{other}` is not an expectation"));
                return None;
            }
        })
    }
}
