//! The parts that expectations are made of: texts to look for, ranges, patterns, schemas, bars, ceilings.

use super::ExpectReader;
use crate::expect::past::Ceiling;
use crate::expect::{Ground, HeaderCheck, JsonCheck, JsonPath, Pattern, Search, Unit};
use crate::scenario::check::Checker;
use crate::scenario::read::{count_of, duration_of, number_of};
use crate::scenario::schema_words::{misspelt, misspelt_format, remote_ref};
use crate::scenario::tree::Node;
use crate::stats::history::Predicted;
use crate::units::{self, Range};
use serde_json::Value;
use std::sync::Arc;

pub(super) fn texts(node: Option<&Node>) -> Vec<String> {
    match node {
        None => Vec::new(),
        Some(n) => match n.items() {
            Some(items) => items.iter().filter_map(Node::text).map(str::to_owned).collect(),
            None => n.text().map(str::to_owned).into_iter().collect(),
        },
    }
}

pub(super) fn numbers(node: Option<&Node>) -> Vec<f64> {
    texts(node).iter().filter_map(|t| units::number(t).ok()).collect()
}

pub(super) fn range_of(node: &Node) -> Option<Range> {
    match node.text() {
        Some(text) => units::range(text).ok(),
        None => Some(Range { min: node.get("min").and_then(number_of), max: node.get("max").and_then(number_of) }),
    }
}

pub(super) fn flag(node: &Node, key: &str, default: bool) -> bool {
    node.get(key).and_then(Node::boolean).unwrap_or(default)
}

/// How many votes a judge has.
pub(super) fn votes_of(node: &Node) -> u64 {
    node.get("votes").and_then(count_of).unwrap_or(3).clamp(1, 15)
}

/// Ceilings from history: `rolling`, `predicted`, `release`.
pub(in crate::scenario::read) fn ceilings(node: &Node, checker: &mut Checker<'_>) -> Vec<Ceiling> {
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

impl ExpectReader<'_, '_> {
    pub(super) fn path(&mut self, node: &Node) -> Option<JsonPath> {
        match JsonPath::parse(node.text()?) {
            Ok(path) => Some(path),
            Err(why) => {
                self.checker.error(node.place, "bad-path", why);
                None
            }
        }
    }

    pub(super) fn pattern(&mut self, node: &Node, lookaround: bool) -> Option<Pattern> {
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

    pub(super) fn regex(&mut self, node: &Node) -> Option<regex::Regex> {
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

    pub(super) fn schema(&mut self, schema: &Value, node: &Node) -> Option<Arc<jsonschema::Validator>> {
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
        if let Some((format, meant)) = misspelt_format(schema) {
            let why = format!("the schema has the format `{format}`, which nothing checks");
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

    pub(super) fn schema_or_file(&mut self, node: &Node) -> Option<Arc<jsonschema::Validator>> {
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

    pub(super) fn search(&self, node: &Node) -> Search {
        if node.text().is_some() {
            return Search { any: texts(Some(node)), case_sensitive: true, ..Search::default() };
        }
        // `text` is wanted whatever stands beside it.
        let mut all = texts(node.get("all"));
        all.extend(texts(node.get("text")));
        Search { any: texts(node.get("any")), all, count: None, case_sensitive: flag(node, "case_sensitive", true) }
    }

    /// A range that something can satisfy and something else not.
    pub(super) fn range(&mut self, node: &Node) -> Option<Range> {
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

    pub(super) fn optional_range(&mut self, node: Option<&Node>) -> Option<Option<Range>> {
        match node {
            Some(node) => self.range(node).map(Some),
            None => Some(None),
        }
    }

    /// Texts to look for: an empty one stands everywhere.
    pub(super) fn wanted(&mut self, node: Option<&Node>) -> Option<Vec<String>> {
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
    pub(super) fn facts(&mut self, list: &Node) -> Option<Vec<Vec<String>>> {
        list.items().unwrap_or_default().iter().map(|fact| self.wanted(Some(fact))).collect()
    }

    pub(super) fn nonempty_search(&mut self, node: &Node) -> Option<Search> {
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

    pub(super) fn affix(&mut self, node: &Node) -> Option<(Vec<String>, bool)> {
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

    pub(super) fn length(&mut self, node: &Node) -> Option<(Range, Unit)> {
        let range = self.range(node)?;
        let unit = node.get("unit").and_then(Node::text).and_then(Unit::named).unwrap_or_default();
        Some((range, unit))
    }

    pub(super) fn references(&mut self, node: &Node) -> Option<Vec<String>> {
        let to = texts(node.get("to"));
        if to.is_empty() || to.iter().any(|t| t.trim().is_empty()) {
            self.checker.error(node.place, "bad-value", "`to` needs at least one text, and none of them empty");
            return None;
        }
        Some(to)
    }

    /// A share that asks for something.
    pub(super) fn bar(&mut self, node: &Node, key: &str) -> Option<f64> {
        let at = node.get(key)?;
        let share = units::share(at.text()?).ok()?.0;
        if share == 0.0 {
            self.checker.error(at.place, "bad-value", format!("`{key}: 0` asks for nothing, so every answer would pass"));
            return None;
        }
        Some(share)
    }

    /// By what an answer is held against its context; `words` is the default share of words.
    pub(super) fn ground(&mut self, node: &Node, words: f64) -> Option<Ground> {
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

    pub(super) fn bar_or(&mut self, node: &Node, key: &str, default: f64) -> Option<f64> {
        if node.get(key).is_some() { self.bar(node, key) } else { Some(default) }
    }

    pub(super) fn regexes(&mut self, node: Option<&Node>) -> Vec<regex::Regex> {
        node.and_then(Node::items).unwrap_or_default().iter().filter_map(|n| self.regex(n)).collect()
    }

    /// What is asked of one header, every part of it.
    pub(super) fn header(&mut self, node: &Node) -> Option<Vec<HeaderCheck>> {
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

    pub(super) fn json_check(&mut self, node: &Node) -> Option<JsonCheck> {
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
                Some(node) if node.get("unit").and_then(Node::text) == Some("tokens") => {
                    self.checker.error(
                        node.place,
                        "bad-value",
                        "only whole answers have a count of tokens; a value has characters or words",
                    );
                    return None;
                }
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
