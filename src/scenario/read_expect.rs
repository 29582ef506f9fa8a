//! Makes typed expectations of checked nodes, compiling what can be compiled.

use super::check::Checker;
use super::schema_words::{misspelt, remote_ref};
use super::tree::{Node, Value as Tree};
use super::vocabulary::EXPECTATIONS;
use super::{Files, count_of, duration_of, number_of};
use crate::expect::past::Ceiling;
use crate::expect::{
    Check, Consistency, Edits, ErrorShape, Expectation, Expr, Figure, Ground, HeaderCheck, JsonCheck, JsonPath, LatencyMetric, NumberCheck,
    Of, Over, Pattern, Rouge, Search, TokenCount, Unit, group, mentions,
};
use crate::stats::history::Predicted;
use crate::units::{self, Range};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Schemas compiled so far, by their text: many cases share one.
#[derive(Default)]
pub struct Compiled {
    schemas: HashMap<String, Arc<jsonschema::Validator>>,
}

/// How many votes a judge has.
fn votes_of(node: &Node) -> u64 {
    node.get("votes").and_then(count_of).unwrap_or(3).clamp(1, 15)
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

struct ExpectReader<'a, 'b> {
    turns: Option<usize>,
    checker: &'a mut Checker<'b>,
    files: &'a dyn Files,
    compiled: &'a mut Compiled,
}

fn texts(node: Option<&Node>) -> Vec<String> {
    match node {
        None => Vec::new(),
        Some(n) => match n.items() {
            Some(items) => items.iter().filter_map(Node::text).map(str::to_owned).collect(),
            None => n.text().map(str::to_owned).into_iter().collect(),
        },
    }
}

fn numbers(node: Option<&Node>) -> Vec<f64> {
    texts(node).iter().filter_map(|t| units::number(t).ok()).collect()
}

fn range_of(node: &Node) -> Option<Range> {
    match node.text() {
        Some(text) => units::range(text).ok(),
        None => Some(Range { min: node.get("min").and_then(number_of), max: node.get("max").and_then(number_of) }),
    }
}

fn flag(node: &Node, key: &str, default: bool) -> bool {
    node.get(key).and_then(Node::boolean).unwrap_or(default)
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

    fn path(&mut self, node: &Node) -> Option<JsonPath> {
        match JsonPath::parse(node.text()?) {
            Ok(path) => Some(path),
            Err(why) => {
                self.checker.error(node.place, "bad-path", why);
                None
            }
        }
    }

    fn pattern(&mut self, node: &Node, lookaround: bool) -> Option<Pattern> {
        let text = node.text()?;
        if lookaround {
            return match fancy_regex::RegexBuilder::new(&crate::expect::nfc(text)).backtrack_limit(100_000).build() {
                Ok(regex) => Some(Pattern::Lookaround(regex)),
                Err(e) => {
                    self.checker.error(node.place, "bad-value", format!("not a regular expression: {e}"));
                    None
                }
            };
        }
        match self.regex(node) {
            Some(regex) => Some(Pattern::Linear(regex)),
            None => {
                if fancy_regex::Regex::new(text).is_ok()
                    && let Some(last) = self.checker.found.last_mut()
                {
                    last.hint = Some("look-around and back-references need `matches: { pattern: …, lookaround: true }`".into());
                }
                None
            }
        }
    }

    fn regex(&mut self, node: &Node) -> Option<regex::Regex> {
        match regex::RegexBuilder::new(&crate::expect::nfc(node.text()?)).size_limit(1 << 20).build() {
            Ok(regex) => Some(regex),
            Err(e) => {
                let why = e.to_string();
                self.checker.error(
                    node.place,
                    "bad-value",
                    format!("not a regular expression: {}", why.lines().last().unwrap_or_default().trim_start_matches("error: ")),
                );
                None
            }
        }
    }

    fn schema(&mut self, schema: &Value, node: &Node) -> Option<Arc<jsonschema::Validator>> {
        let key = schema.to_string();
        if let Some(done) = self.compiled.schemas.get(&key) {
            return Some(done.clone());
        }
        if let Some(remote) = remote_ref(schema) {
            self.checker.error(node.place, "remote-ref", format!("the schema refers to `{remote}`, and remote schemas are never fetched"));
            return None;
        }
        if let Some((keyword, meant)) = misspelt(schema) {
            let why = format!("the schema has the keyword `{keyword}`, which means nothing, so it would check nothing");
            self.checker.error_with_hint(node.place, "bad-schema", why, format!("did you mean `{meant}`?"));
            return None;
        }
        match jsonschema::options().should_validate_formats(true).with_pattern_options(jsonschema::PatternOptions::regex()).build(schema) {
            Ok(validator) => {
                let validator = Arc::new(validator);
                self.compiled.schemas.insert(key, validator.clone());
                Some(validator)
            }
            Err(e) => {
                let at = e.instance_path().to_string();
                let at = if at.is_empty() { String::new() } else { format!(" at {at}") };
                self.checker.error(
                    node.place,
                    "bad-schema",
                    format!("not a JSON Schema{at}: {}", crate::redact::excerpt(&e.to_string(), 200)),
                );
                None
            }
        }
    }

    fn schema_or_file(&mut self, node: &Node) -> Option<Arc<jsonschema::Validator>> {
        match (node.get("schema"), node.get("file")) {
            (Some(schema), None) => self.schema(&schema.json(), schema),
            (None, Some(file)) => {
                let path = file.text()?;
                let read = self.files.read(&self.checker.source.name, path);
                let parsed =
                    read.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).map_err(|e| format!("`{path}` is not JSON: {e}")));
                match parsed {
                    Ok(schema) => self.schema(&schema, file),
                    Err(why) => {
                        self.checker.error(file.place, "file", why);
                        None
                    }
                }
            }
            _ => {
                self.checker.error(node.place, "bad-value", "`json_schema` takes either `schema` or `file`");
                None
            }
        }
    }

    fn search(&self, node: &Node) -> Search {
        if node.text().is_some() {
            return Search { any: texts(Some(node)), case_sensitive: true, ..Search::default() };
        }
        // `text` is wanted whatever stands beside it.
        let mut all = texts(node.get("all"));
        all.extend(texts(node.get("text")));
        Search { any: texts(node.get("any")), all, count: None, case_sensitive: flag(node, "case_sensitive", true) }
    }

    /// A range that something can satisfy and something else not.
    fn range(&mut self, node: &Node) -> Option<Range> {
        let range = range_of(node)?;
        let why = match (range.min, range.max) {
            (None, None) => "say `min`, `max` or both",
            (Some(a), Some(b)) if a > b => "`min` is above `max`, so nothing can satisfy it",
            (Some(0.0), None) => "0 or more asks for nothing, so every answer would pass",
            _ => return Some(range),
        };
        self.checker.error(node.place, "bad-value", why);
        None
    }

    fn optional_range(&mut self, node: Option<&Node>) -> Option<Option<Range>> {
        match node {
            Some(node) => self.range(node).map(Some),
            None => Some(None),
        }
    }

    /// Texts to look for: an empty one stands everywhere.
    fn wanted(&mut self, node: Option<&Node>) -> Option<Vec<String>> {
        let texts = texts(node);
        match node {
            Some(node) if texts.iter().any(|text| text.trim().is_empty()) => {
                self.checker.error(node.place, "bad-value", "an empty text stands in every answer");
                None
            }
            _ => Some(texts),
        }
    }

    /// Facts, each with its aliases.
    fn facts(&mut self, list: &Node) -> Option<Vec<Vec<String>>> {
        list.items().unwrap_or_default().iter().map(|fact| self.wanted(Some(fact))).collect()
    }

    fn nonempty_search(&mut self, node: &Node) -> Option<Search> {
        let search = Search { count: self.optional_range(node.get("count"))?, ..self.search(node) };
        if search.any.is_empty() && search.all.is_empty() {
            self.checker.error(node.place, "missing-key", "say what to look for: `text`, `any` or `all`");
            return None;
        }
        if search.any.iter().chain(&search.all).any(|t| t.is_empty()) {
            self.checker.error(node.place, "bad-value", "an empty text stands in every answer");
            return None;
        }
        Some(search)
    }

    fn affix(&mut self, node: &Node) -> Option<(Vec<String>, bool)> {
        let mut search = self.nonempty_search(node)?;
        if !search.all.is_empty() && !search.any.is_empty() || search.all.len() > 1 {
            self.checker.error(node.place, "bad-value", "an answer begins and ends in one way; write `text`, or several under `any`");
            return None;
        }
        search.any.append(&mut search.all);
        // White space around them does not count.
        if search.any.iter().any(|t| t.trim().is_empty()) {
            self.checker.error(node.place, "bad-value", "every answer begins and ends with an empty text");
            return None;
        }
        Some((search.any, search.case_sensitive))
    }

    fn length(&mut self, node: &Node) -> Option<(Range, Unit)> {
        let range = self.range(node)?;
        let unit = node.get("unit").and_then(Node::text).and_then(Unit::named).unwrap_or_default();
        Some((range, unit))
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

    fn ceilings(&mut self, node: &Node) -> Vec<Ceiling> {
        ceilings(node, self.checker)
    }

    fn references(&mut self, node: &Node) -> Option<Vec<String>> {
        let to = texts(node.get("to"));
        if to.is_empty() || to.iter().any(|t| t.trim().is_empty()) {
            self.checker.error(node.place, "bad-value", "`to` needs at least one text, and none of them empty");
            return None;
        }
        Some(to)
    }

    /// A share that asks for something.
    fn bar(&mut self, node: &Node, key: &str) -> Option<f64> {
        let at = node.get(key)?;
        let share = units::share(at.text()?).ok()?.0;
        if share == 0.0 {
            self.checker.error(at.place, "bad-value", format!("`{key}: 0` asks for nothing, so every answer would pass"));
            return None;
        }
        Some(share)
    }

    /// By what an answer is held against its context; `words` is the default share of words.
    fn ground(&mut self, node: &Node, words: f64) -> Option<Ground> {
        let by = node.get("by").and_then(Node::text).unwrap_or("words");
        if by != "judge"
            && let Some(votes) = node.get("votes")
        {
            self.checker.error(votes.place, "bad-value", "only a judge votes; write `by: judge`, or leave `votes` out");
            return None;
        }
        if by == "words" {
            if let Some(at) = node.get("min")
                && let Err(why) =
                    at.text().ok_or_else(|| "it is no share".to_owned()).and_then(|t| units::share(t).map_err(|e| e.to_string()))
            {
                self.checker.error(at.place, "bad-value", format!("with `by: words`, `min` is a share such as `40%`: {why}"));
                return None;
            }
            return Some(Ground::Words { min: self.bar_or(node, "min", words)? });
        }
        let (most, wanted) = if by == "judge" { (5.0, "points above 0 and up to 5") } else { (1.0, "a cosine above 0 and up to 1") };
        let min = node.get("min").map(|at| (at.place, number_of(at)));
        if let Some((place, n)) = min
            && !n.is_some_and(|n| n > 0.0 && n <= most)
        {
            self.checker.error(place, "bad-value", format!("with `by: {by}`, `min` is {wanted}"));
            return None;
        }
        let min = min.and_then(|(_, n)| n);
        Some(match by {
            "judge" => Ground::Judge { min: min.unwrap_or(4.0), votes: votes_of(node) },
            _ => Ground::Vectors { min },
        })
    }

    fn bar_or(&mut self, node: &Node, key: &str, default: f64) -> Option<f64> {
        if node.get(key).is_some() { self.bar(node, key) } else { Some(default) }
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
            "no_secrets" => Check::NoSecrets { allow: self.regexes(value.get("allow")) },
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
                        value.get(metric.word()).map(|n| self.ceilings(n)).unwrap_or_default().into_iter().map(move |c| (metric, c))
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

    fn regexes(&mut self, node: Option<&Node>) -> Vec<regex::Regex> {
        node.and_then(Node::items).unwrap_or_default().iter().filter_map(|n| self.regex(n)).collect()
    }

    /// What is asked of one header, every part of it.
    fn header(&mut self, node: &Node) -> Option<Vec<HeaderCheck>> {
        if let Some(text) = node.text() {
            return Some(vec![HeaderCheck::Equals(text.to_owned())]);
        }
        let mut checks = Vec::new();
        if let Some(text) = self.wanted(node.get("contains"))?.pop() {
            checks.push(HeaderCheck::Contains(text));
        }
        if let Some(pattern) = node.get("matches") {
            checks.push(HeaderCheck::Matches(self.pattern(pattern, false)?));
        }
        let exists = flag(node, "exists", true);
        if !exists && !checks.is_empty() {
            self.checker.error(node.place, "bad-value", "a header that must not exist holds nothing");
            return None;
        }
        if checks.is_empty() {
            checks.push(HeaderCheck::Exists(exists));
        }
        Some(checks)
    }

    fn json_check(&mut self, node: &Node) -> Option<JsonCheck> {
        // A map says what is asked of the value; anything else is the value itself.
        if node.entries().is_none_or(<[_]>::is_empty) {
            return Some(JsonCheck { equals: Some(node.json()), ..JsonCheck::default() });
        }
        let text = |key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
        let ends = (node.get("min").and_then(number_of), node.get("max").and_then(number_of));
        if matches!(ends, (Some(min), Some(max)) if min > max) {
            self.checker.error(node.place, "bad-value", "`min` is above `max`, so nothing can satisfy it");
            return None;
        }
        Some(JsonCheck {
            exists: node.get("exists").and_then(Node::boolean),
            kind: text("type"),
            equals: node.get("equals").map(Node::json),
            one_of: node.get("in").and_then(Node::items).map(|items| items.iter().map(Node::json).collect()),
            min: ends.0,
            max: ends.1,
            items: match node.get("items").map(|node| (node, range_of(node))) {
                // `0..` asks for a list, whatever it holds.
                Some((_, Some(range))) if range.min == Some(0.0) && range.max.is_none() => Some(range),
                Some((node, _)) => Some(self.range(node)?),
                None => None,
            },
            length: match node.get("length") {
                Some(node) => Some(self.length(node)?),
                None => None,
            },
            contains: match node.get("contains") {
                Some(node) => Some(self.nonempty_search(node)?),
                None => None,
            },
            matches: match node.get("matches") {
                Some(node) => Some(self.pattern(node, false)?),
                None => None,
            },
            starts_with: match node.get("starts_with") {
                Some(node) => Some(self.affix(node)?),
                None => None,
            },
            ends_with: match node.get("ends_with") {
                Some(node) => Some(self.affix(node)?),
                None => None,
            },
            language: text("language"),
            texts: {
                let mut texts = Vec::new();
                for name in ["not_empty", "numbers", "facts", "refuses", "readable"] {
                    if let Some(value) = node.get(name) {
                        texts.push((self.check(name, value, value)?, value.boolean() != Some(false)));
                    }
                }
                texts
            },
        })
    }
}

/// Ceilings from history: `rolling`, `predicted`, `release`.
pub(super) fn ceilings(node: &Node, checker: &mut Checker<'_>) -> Vec<Ceiling> {
    let mut out = Vec::new();
    let mut wrong = |at: &Node, why: &str| {
        checker.error(at.place, "bad-value", why);
    };
    if let Some(rolling) = node.get("rolling") {
        let quantile = rolling.get("quantile").and_then(Node::text).unwrap_or("p90");
        let share = quantile.strip_prefix('p').and_then(|q| q.parse::<f64>().ok()).filter(|q| *q > 0.0 && *q < 100.0);
        if share.is_none() {
            wrong(rolling, &format!("`{quantile}` is not a quantile such as `p90`"));
        }
        let factor = rolling.get("factor").and_then(number_of).unwrap_or(1.3);
        if factor <= 1.0 {
            wrong(rolling, "a `factor` of 1 or less would fail half of all unchanged runs");
        }
        let window = rolling.get("window").and_then(duration_of);
        out.push(Ceiling::Rolling { quantile: share.unwrap_or(90.0) / 100.0, window, factor });
    }
    if let Some(predicted) = node.get("predicted").filter(|n| n.boolean() != Some(false)) {
        let effect = predicted.get("effect").and_then(number_of).unwrap_or(1.1);
        if effect < 1.0 {
            wrong(predicted, "an `effect` below 1 would be an improvement");
        }
        out.push(Ceiling::Predicted(Predicted { min_effect: effect, ..Predicted::default() }));
    }
    if let Some(release) = node.get("release").filter(|n| n.boolean() != Some(false)) {
        let limit = number_of(release).unwrap_or(1.2);
        if limit <= 1.0 {
            wrong(release, "a `release` limit of 1 or less would fail an unchanged service");
        }
        out.push(Ceiling::Release(limit));
    }
    out
}
