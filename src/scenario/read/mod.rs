//! Makes typed scenarios of checked trees.

mod expect;
mod input;
mod load;

pub use expect::{Compiled, expectations};

use super::check::{Checker, is_template};
use super::grammar::{Key, Kind};
use super::spread::spread;
use super::tree::{Node, Value as Tree};
use super::vocabulary::FILE_KEYS;
use super::{Case, Expected, Files, Input, Layer, Scenario, Skip, params, traps, tree};
use crate::diagnostic::{Diagnostic, Source};
use crate::units::{self, Share};
use crate::verdict::rate::{PassRate, Undecided, default_max_samples};
use serde_json::Value;
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

fn has_template(node: &Node) -> bool {
    match &node.value {
        Tree::Null => false,
        Tree::Scalar { text, .. } => is_template(text),
        Tree::List(items) => items.iter().any(has_template),
        Tree::Map(entries) => entries.iter().any(|(_, v)| has_template(v)),
    }
}
