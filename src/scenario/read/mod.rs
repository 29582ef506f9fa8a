//! Makes typed scenarios of checked trees.

mod expect;
mod load;

pub use expect::{Compiled, expectations};

use super::check::{Checker, is_template};
use super::grammar::{Key, Kind};
use super::spread::spread;
use super::tree::{Node, Value as Tree};
use super::vocabulary::FILE_KEYS;
use super::{Case, Expected, Files, Input, Layer, Scenario, Skip, TurnInput, dataset, params, traps, tree};
use crate::diagnostic::{Diagnostic, Source};
use crate::mutate::Mutation;
use crate::units::{self, Share};
use crate::verdict::rate::{PassRate, Undecided, default_max_samples};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Parses a text and holds it against a top-level shape; used for simulated services and, with `variables` in it, for the configuration.
pub fn parse_shape(source: &Arc<Source>, keys: &'static [Key], variables: bool) -> Result<Node, Vec<Diagnostic>> {
    let (root, found) = shape(source, keys, variables)?;
    if found.is_empty() { Ok(root) } else { Err(found) }
}

/// The tree and its mistakes; `Err` when there is no tree, or not a map.
fn shape(source: &Arc<Source>, keys: &'static [Key], variables: bool) -> Result<(Node, Vec<Diagnostic>), Vec<Diagnostic>> {
    let root = match tree::parse(source) {
        Ok(root) => root,
        Err(diagnostic) => return Err(vec![with_trap_hint(*diagnostic)]),
    };
    let mut checker = Checker { variables, tags: source.text.contains('!'), ..Checker::new(source) };
    match &root.value {
        Tree::Map(_) => checker.map(&root, keys),
        _ => {
            let diagnostic =
                checker.error(root.place, "wrong-type", format!("the file holds {}, expected {}", root.what(), Kind::Map(keys).says()));
            let line = source.text.lines().next().unwrap_or_default();
            diagnostic.hint = traps::in_bad_line(line);
            return Err(checker.found);
        }
    }
    Ok((root, checker.found))
}

fn with_trap_hint(mut diagnostic: Diagnostic) -> Diagnostic {
    if let Some(source) = &diagnostic.source {
        // The parser often stumbles on the line after the one that is wrong.
        let lines: Vec<&str> = source.text.lines().collect();
        let at = diagnostic.place.line.saturating_sub(1) as usize;
        diagnostic.hint = [at, at.saturating_sub(1)].iter().filter_map(|i| lines.get(*i)).find_map(|l| traps::in_bad_line(l));
    }
    diagnostic
}

/// Parses one scenario file, or tells every mistake in it.
pub fn parse(source: &Arc<Source>, files: &dyn Files) -> Result<Scenario, Vec<Diagnostic>> {
    let (root, mut found) = shape(source, FILE_KEYS, false)?;
    let mut reader = Reader { checker: Checker::new(source), files, compiled: Compiled::default(), templates: is_template(&source.text) };
    let name = root.get("scenario").and_then(Node::text).unwrap_or_default().to_owned();
    let defaults = root.get("defaults");
    if let Some(shared) = defaults.and_then(|d| d.get("params")) {
        params::ranges(shared, &mut reader.checker);
    }
    let mut lines = std::collections::HashMap::new();
    let loads = root.get("loads").and_then(Node::items).unwrap_or_default();
    let nodes = root.get("cases").and_then(Node::items).unwrap_or_default();
    if nodes.is_empty() && loads.is_empty() && found.is_empty() {
        reader.checker.error(root.place, "no-cases", "the file has neither `cases` nor `loads`");
    }
    // A case whose shape is wrong has been told already; reading it would only add follow-up mistakes.
    let until = nodes.iter().skip(1).map(|next| next.place.line).chain([u32::MAX]);
    let is_told = |node: &Node, until: u32| found.iter().any(|d| (node.place.line..until).contains(&d.place.line));
    let sound: Vec<&Node> = nodes.iter().zip(until).filter(|(node, until)| !is_told(node, *until)).map(|(node, _)| node).collect();
    let read = spread(&sound, |nodes| {
        let mut reader = reader.beside();
        let cases: Vec<Case> = nodes.iter().map(|node| reader.case(node, &root, defaults)).collect();
        (cases, reader.checker.found)
    });
    let mut cases: Vec<Case> = Vec::with_capacity(sound.len());
    for (mut some, mut wrong) in read {
        cases.append(&mut some);
        reader.checker.found.append(&mut wrong);
    }
    for case in &cases {
        if let Some(line) = lines.insert(case.name.as_str(), case.place.line) {
            reader.checker.error(case.place, "duplicate-case", format!("another case is named `{}`, on line {line}", case.name));
        }
    }
    let loads = reader.loads(loads, &root, &found);
    found.append(&mut reader.checker.found);
    found.sort_by_key(|d| d.place.start);
    if found.is_empty() { Ok(Scenario { source: source.clone(), name, cases, loads }) } else { Err(found) }
}

pub(super) struct Reader<'a> {
    pub(super) checker: Checker<'a>,
    files: &'a dyn Files,
    compiled: Compiled,
    /// The file holds a template somewhere; most hold none, and need not be searched node by node.
    templates: bool,
}

pub(crate) fn duration_of(node: &Node) -> Option<Duration> {
    units::duration(node.text()?).ok()
}

pub(crate) fn count_of(node: &Node) -> Option<u64> {
    units::count(node.text()?).ok()
}

pub(crate) fn number_of(node: &Node) -> Option<f64> {
    units::number(node.text()?).ok()
}

impl<'a> Reader<'a> {
    /// Another reader of the same file.
    fn beside(&self) -> Reader<'a> {
        Reader { checker: Checker::new(self.checker.source), files: self.files, compiled: Compiled::default(), templates: self.templates }
    }

    fn case(&mut self, node: &Node, file: &Node, defaults: Option<&Node>) -> Case {
        // A case's own key wins over the defaults, and those over the file.
        let get = |key: &str| node.get(key).or_else(|| defaults.and_then(|d| d.get(key)));
        let get_or_file = |key: &str| get(key).or_else(|| file.get(key));
        let text = |n: Option<&Node>| n.and_then(Node::text).map(str::to_owned);

        let own_name = node.get("name");
        let place = own_name.map_or(node.place, |n| n.place);
        let mut tags: Vec<String> = Vec::new();
        for from in [file.get("tags"), defaults.and_then(|d| d.get("tags")), node.get("tags")] {
            tags.extend(from.and_then(Node::items).unwrap_or_default().iter().filter_map(Node::text).map(str::to_owned));
        }
        tags.sort();
        tags.dedup();

        let params = params::read(defaults.and_then(|d| d.get("params")), node.get("params"), &mut self.checker);

        let rows = node.get("dataset").and_then(|d| self.dataset(d));
        let matrix = node
            .get("matrix")
            .and_then(Node::entries)
            .unwrap_or_default()
            .iter()
            .map(|(k, v)| (k.text().unwrap_or_default().to_owned(), v.items().unwrap_or_default().iter().map(Node::json).collect()))
            .collect();

        let retry = get("retry").and_then(count_of).unwrap_or(0);
        let repeat_node = get("repeat");
        let (repeat, precision) = self.repeat(repeat_node);
        if repeat == 0 {
            self.checker.error(
                repeat_node.map_or(place, |n| n.place),
                "bad-value",
                "`repeat: 0` runs nothing, and what does not run does not pass",
            );
        }
        let pass_rate = get("pass_rate").and_then(|n| self.pass_rate(n, repeat_node, repeat));
        if let (Some(_), Some(_), Some(node)) = (pass_rate, precision, repeat_node) {
            self.checker.error(
                node.place,
                "repeat-and-pass-rate",
                "`repeat: auto` is for latencies; a `pass_rate` needs a number, or `{ accept: …, reject: … }`, which finds its own",
            );
        }
        if let (Some(_), true) = (pass_rate, retry > 0) {
            let at = get("retry").map_or(place, |n| n.place);
            self.checker.error(
                at,
                "retry-and-pass-rate",
                "`retry` and `pass_rate` exclude each other: three tries at 80 % pass 99.2 % of the time",
            );
        }
        let greedy = params.get("temperature").and_then(Value::as_f64) == Some(0.0);
        if greedy && matches!(pass_rate, Some(PassRate::Sequential { .. })) {
            let at = get("pass_rate").map_or(place, |n| n.place);
            self.checker.error(
                at,
                "greedy-pass-rate",
                "a sequential `pass_rate` needs trials that differ, and `temperature: 0` makes them alike",
            );
        }

        if let Some(reason) = node.get("skip").and_then(|s| s.get("reason")).filter(|r| r.text().is_none_or(|t| t.trim().is_empty())) {
            self.checker.error(reason.place, "bad-value", "a skip without a reason cannot be reviewed; say why");
        }
        let input = self.input(node, place, node.get("dataset").is_some() || rows.is_some());
        let (mutate, mutate_count) = self.mutations(node.get("mutate"));
        let has_turn_expect =
            matches!(&input, Input::Turns(turns) if turns.iter().any(|t| !matches!(&t.expect, Expected::Ready(e) if e.is_empty())));
        let expect = match node.get("expect") {
            Some(expect) => self.expected(expect, node.get("turns").and_then(Node::items).map_or(1, <[Node]>::len)),
            None => {
                if !has_turn_expect && mutate.is_empty() {
                    self.checker.error(place, "no-expectation", "the case has no `expect`, so it would pass whatever the service says");
                }
                Expected::none()
            }
        };
        Case {
            name: text(own_name).unwrap_or_default(),
            place,
            layer: get_or_file("layer").and_then(Node::text).and_then(Layer::named).unwrap_or(Layer::Scenario),
            tags,
            target: text(get_or_file("target")).unwrap_or_else(|| "default".to_owned()),
            system: get("system").and_then(|n| self.text_or_file(n)),
            input,
            mutate,
            mutate_count,
            context: node.get("context").and_then(|n| self.text_or_file(n)),
            params,
            vars: params::merged(defaults.and_then(|d| d.get("vars")), node.get("vars")),
            matrix,
            rows,
            skip: node
                .get("skip")
                .and_then(|n| Some(Skip { reason: n.get("reason")?.text()?.to_owned(), until: n.get("until")?.text()?.parse().ok()? })),
            retry,
            repeat: repeat.max(1),
            precision,
            cold: get("prefix_cache").and_then(Node::text) == Some("cold"),
            pass_rate,
            timeout: get("timeout").and_then(duration_of),
            stream: get("stream").and_then(Node::boolean),
            allow_empty: get("allow_empty").and_then(Node::boolean).unwrap_or(false),
            expect,
        }
    }

    fn input(&mut self, node: &Node, place: crate::diagnostic::Place, has_rows: bool) -> Input {
        let given: Vec<&str> = ["prompt", "messages", "turns", "variants"].into_iter().filter(|k| node.get(k).is_some()).collect();
        if given.len() > 1 {
            self.checker.error(
                place,
                "two-inputs",
                format!("a case takes one of `prompt`, `messages`, `turns`, `variants`, not {}", given.join(" and ")),
            );
        }
        match given.first() {
            Some(&"prompt") => Input::Prompt(node.get("prompt").and_then(|n| self.text_or_file(n)).unwrap_or_default()),
            Some(&"variants") => {
                let texts: Vec<String> = node
                    .get("variants")
                    .and_then(Node::items)
                    .unwrap_or_default()
                    .iter()
                    .filter_map(Node::text)
                    .map(str::to_owned)
                    .collect();
                if texts.len() < 2 {
                    self.checker.error(place, "bad-value", "`variants` needs at least two prompts; for one write `prompt`");
                }
                Input::Variants(texts)
            }
            Some(&"messages") => {
                let messages = node.get("messages").and_then(Node::items).unwrap_or_default();
                Input::Messages(messages.iter().map(|m| self.message(m)).collect())
            }
            Some(_) => {
                let turns = node.get("turns").and_then(Node::items).unwrap_or_default();
                let turns = turns.iter().enumerate().map(|(i, turn)| {
                    let params = params::read(None, turn.get("params"), &mut self.checker);
                    TurnInput {
                        user: turn.get("user").map_or(Value::Null, |u| self.content(u)),
                        params,
                        expect: turn.get("expect").map_or_else(Expected::none, |e| self.expected(e, i + 1)),
                    }
                });
                Input::Turns(turns.collect())
            }
            None => {
                if !has_rows {
                    self.checker.error(place, "no-input", "the case sends nothing: give it a `prompt`, `messages`, `turns` or a `dataset`");
                }
                Input::FromRow
            }
        }
    }

    pub(super) fn mutations(&mut self, node: Option<&Node>) -> (Vec<Mutation>, u64) {
        let Some(node) = node else { return (Vec::new(), 0) };
        let mut out = Vec::new();
        for item in node.get("kinds").unwrap_or(node).items().unwrap_or_default() {
            if let Some(name) = item.text() {
                out.extend(Mutation::named(name));
            }
            if let Some(length) = item.get("repeat_to") {
                let written = length.text().unwrap_or_default();
                let digits = written.trim().trim_end_matches("characters").trim_end_matches("chars").trim();
                match units::count(digits) {
                    Ok(_) if digits == written.trim() => {
                        let why = format!("`{written}` lacks its unit; write `{written} chars`");
                        self.checker.error(length.place, "bad-value", why);
                        // It has been told; that nothing is left to send would be told once more.
                        out.push(Mutation::RepeatTo { chars: 1 });
                    }
                    Ok(chars @ 1..=10_000_000) => out.push(Mutation::RepeatTo { chars: chars as usize }),
                    _ => {
                        self.checker.error(
                            length.place,
                            "bad-value",
                            format!("`{written}` is not a length such as `100_000 chars` (at most 10 million)"),
                        );
                    }
                }
            }
            if let Some(file) = item.get("phrases").filter(|f| f.text().is_some()) {
                let path = file.text().unwrap_or_default().to_owned();
                let phrases: Vec<String> = self
                    .text_file(file, &path)
                    .unwrap_or_default()
                    .lines()
                    .map(str::trim)
                    .filter(|l| !l.is_empty() && !l.starts_with('#'))
                    .map(str::to_owned)
                    .collect();
                if phrases.is_empty() {
                    self.checker.error(file.place, "empty-dataset", format!("`{path}` holds no phrase"));
                }
                out.push(Mutation::Phrases(phrases));
            }
        }
        let count = node.get("count").and_then(count_of).unwrap_or(10);
        if out.is_empty() || count == 0 {
            self.checker.error(node.place, "bad-value", "`mutate` without a kind or with `count: 0` sends nothing");
        }
        (out, count)
    }

    pub(super) fn message(&mut self, node: &Node) -> Value {
        let mut message = Map::new();
        for (key, value) in node.entries().unwrap_or_default() {
            let name = key.text().unwrap_or_default().to_owned();
            let value = if name == "content" { self.content(value) } else { value.json() };
            message.insert(name, value);
        }
        Value::Object(message)
    }

    /// Text stays text; parts become OpenAI's parts, images data URLs.
    fn content(&mut self, node: &Node) -> Value {
        let Some(parts) = node.items() else { return json!(node.text().unwrap_or_default()) };
        let parts = parts.iter().map(|part| {
            let text = |key: &str| part.get(key).and_then(Node::text);
            if let Some(text) = text("text") {
                return json!({"type": "text", "text": text});
            }
            let url = match (text("image"), text("image_url")) {
                (Some(path), _) => self.image(part, path),
                (None, Some(url)) => url.to_owned(),
                (None, None) => {
                    self.checker.error(part.place, "bad-part", "a part is `text`, `image` or `image_url`");
                    String::new()
                }
            };
            let mut image = json!({"url": url});
            if let Some(detail) = text("detail") {
                image["detail"] = json!(detail);
            }
            json!({"type": "image_url", "image_url": image})
        });
        Value::Array(parts.collect())
    }

    fn image(&mut self, node: &Node, path: &str) -> String {
        use base64::Engine;
        let kind = match path.rsplit('.').next().unwrap_or_default().to_lowercase().as_str() {
            "png" => "png",
            "jpg" | "jpeg" => "jpeg",
            "gif" => "gif",
            "webp" => "webp",
            _ => {
                self.checker.error(node.place, "bad-image", format!("`{path}` is not a png, jpg, gif or webp file"));
                return String::new();
            }
        };
        match self.file(node, path) {
            Some(bytes) if image_kind(&bytes) != Some(kind) => {
                let is = image_kind(&bytes).map_or("no image of any kind this tool knows".to_owned(), |k| format!("a {k}"));
                self.checker.error(node.place, "bad-image", format!("`{path}` is named like a {kind}, and is {is}"));
                String::new()
            }
            Some(bytes) => format!("data:image/{kind};base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes)),
            None => String::new(),
        }
    }

    fn file(&mut self, node: &Node, path: &str) -> Option<Vec<u8>> {
        match self.files.read(&self.checker.source.name, path) {
            Ok(bytes) => Some(bytes),
            Err(why) => {
                self.checker.error(node.place, "file", why);
                None
            }
        }
    }

    pub(super) fn text_file(&mut self, node: &Node, path: &str) -> Option<String> {
        let bytes = self.file(node, path)?;
        match String::from_utf8(bytes) {
            Ok(text) => Some(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned)),
            Err(e) => {
                self.checker.error(
                    node.place,
                    "not-utf8",
                    format!("`{path}` is not UTF-8: byte {} is wrong", e.utf8_error().valid_up_to()),
                );
                None
            }
        }
    }

    pub(super) fn text_or_file(&mut self, node: &Node) -> Option<String> {
        match node.get("file").and_then(Node::text) {
            Some(path) => {
                let path = path.to_owned();
                self.text_file(node, &path)
            }
            None => node.text().map(str::to_owned),
        }
    }

    pub(super) fn dataset(&mut self, node: &Node) -> Option<Vec<dataset::Row>> {
        let (file, id, limit) = match node.text() {
            Some(path) => (path, None, None),
            None => (node.get("file")?.text()?, node.get("id").and_then(Node::text), node.get("limit").and_then(count_of)),
        };
        let text = self.text_file(node, file)?;
        match dataset::parse(file, &text, id) {
            Ok(mut rows) => {
                rows.truncate(limit.map_or(usize::MAX, |n| n as usize));
                if rows.is_empty() {
                    self.checker.error(node.place, "empty-dataset", format!("`{file}` has no rows, so the case would not run"));
                }
                Some(rows)
            }
            Err(why) => {
                self.checker.error(node.place, "dataset", format!("{file}: {why}"));
                None
            }
        }
    }

    /// Trials at most, and the precision at which they may end.
    fn repeat(&mut self, node: Option<&Node>) -> (u64, Option<Share>) {
        const PRECISION: Share = Share(0.05);
        const MAX: u64 = 200;
        let Some(node) = node else { return (1, None) };
        if node.text() == Some("auto") {
            return (MAX, Some(PRECISION));
        }
        if let Some(count) = count_of(node) {
            return (count, None);
        }
        let max = node.get("max").and_then(count_of).unwrap_or(MAX);
        let precision = node.get("precision").and_then(Node::text).and_then(|t| units::share(t).ok()).unwrap_or(PRECISION);
        if max < 8 || precision.0 <= 0.0 {
            self.checker.error(node.place, "bad-value", "a precision above 0 % and a `max` of at least 8 are needed");
        }
        (max, Some(precision))
    }

    fn pass_rate(&mut self, node: &Node, repeat_node: Option<&Node>, repeat: u64) -> Option<PassRate> {
        if let Some(text) = node.text() {
            if repeat_node.is_none() {
                self.checker.error(
                    node.place,
                    "pass-rate-without-repeat",
                    "a fixed `pass_rate` needs `repeat`; or write `{ accept: …, reject: … }` to let the evidence decide",
                );
            }
            let rate = units::share(text).ok()?;
            if rate.0 == 0.0 {
                self.checker.error(node.place, "bad-value", "a `pass_rate` of 0 asks for nothing, so every service would pass");
                return None;
            }
            return Some(PassRate::Fixed { trials: repeat.max(1), rate });
        }
        if let Some(repeat) = repeat_node {
            self.checker.error(
                repeat.place,
                "repeat-and-sequential",
                "a sequential `pass_rate` decides the number of trials itself; write `max_samples` inside it instead of `repeat`",
            );
        }
        let share = |key| node.get(key).and_then(Node::text).and_then(|t| units::share(t).ok());
        let (accept, reject) = (share("accept")?, share("reject")?);
        if !(reject.0 > 0.0 && reject.0 < accept.0 && accept.0 < 1.0) {
            self.checker.error(node.place, "bad-value", "`reject` must be below `accept`, and both strictly between 0 and 100 %");
            return None;
        }
        let max_samples = node.get("max_samples").and_then(count_of).unwrap_or_else(|| default_max_samples(accept, reject));
        let of = |undecided| PassRate::Sequential { accept, reject, max_samples, undecided };
        if of(Undecided::Inconclusive).decide(max_samples, max_samples) != crate::verdict::rate::Decision::Met {
            self.checker.error(
                node.place,
                "bad-value",
                format!("{max_samples} samples can never suffice: even if all pass, the test stays open"),
            );
        }
        let decides = node.get("undecided").and_then(Node::text) == Some("decide");
        Some(of(if decides { Undecided::Decide } else { Undecided::Inconclusive }))
    }

    fn expected(&mut self, node: &Node, turns: usize) -> Expected {
        if self.templates && has_template(node) {
            return Expected::Templated(Arc::new(node.clone()));
        }
        Expected::Ready(Arc::new(expectations(node, Some(turns), &mut self.checker, self.files, &mut self.compiled)))
    }
}

/// What the first bytes of a file say it is.
fn image_kind(bytes: &[u8]) -> Option<&'static str> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    match () {
        () if starts(b"\x89PNG\r\n\x1a\n") => Some("png"),
        () if starts(b"\xff\xd8\xff") => Some("jpeg"),
        () if starts(b"GIF87a") || starts(b"GIF89a") => Some("gif"),
        () if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") => Some("webp"),
        () => None,
    }
}

fn has_template(node: &Node) -> bool {
    match &node.value {
        Tree::Null => false,
        Tree::Scalar { text, .. } => is_template(text),
        Tree::List(items) => items.iter().any(has_template),
        Tree::Map(entries) => entries.iter().any(|(_, v)| has_template(v)),
    }
}
