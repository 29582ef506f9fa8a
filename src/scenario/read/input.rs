//! What a case sends: prompts, conversations, images, files, rows and mutations.

use super::{Reader, count_of};
use crate::diagnostic::Place;
use crate::mutate::Mutation;
use crate::scenario::tree::Node;
use crate::scenario::{Expected, Input, TurnInput, dataset, params};
use crate::units;
use serde_json::{Map, Value, json};

impl Reader<'_> {
    pub(super) fn input(&mut self, node: &Node, place: Place, has_rows: bool) -> Input {
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
    pub(super) fn content(&mut self, node: &Node) -> Value {
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
