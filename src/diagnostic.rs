//! What a user wrote that cannot be right (or is unwise), with its place, as data and as text.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::sync::Arc;

/// A file's name as shown to people, and its text.
#[derive(Debug)]
pub struct Source {
    pub name: String,
    pub text: String,
}

/// A place in a source: 1-based line and column, and the byte range it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    pub line: u32,
    pub column: u32,
    pub start: usize,
    pub end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// One mistake or doubt.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable name, such as `unknown-expectation`.
    pub code: &'static str,
    /// One sentence without a full stop; stands alone.
    pub message: String,
    pub source: Option<Arc<Source>>,
    pub place: Place,
    /// What to do, when that is probably right.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error without a place, for things that are not in a file.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Error, code, message: message.into(), source: None, place: Place::default(), hint: None }
    }

    pub fn at(mut self, source: &Arc<Source>, place: Place) -> Self {
        self.source = Some(source.clone());
        self.place = place;
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Renders for people: message, `--> file:line:col`, the line, the hint. No trailing newline.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.message.as_str()).id(self.code);
        let mut out = match &self.source {
            Some(source) => {
                // Only the offending line is handed over: a renderer that walks a 100 000-character line for each of many errors is slow.
                let (from, to) = line_around(&source.text, self.place.start);
                let (line, start, end) =
                    clip(&source.text[from..to], self.place.start - from, self.place.end.clamp(self.place.start, to) - from);
                let snippet = Snippet::source(line.as_str())
                    .line_start(self.place.line.max(1) as usize)
                    .path(source.name.as_str())
                    .annotation(AnnotationKind::Primary.span(start..end.max(start)));
                let group = title.element(snippet);
                let text = renderer.render(&[group]);
                fix_column(&text, &source.name, self.place)
            }
            None => renderer.render(&[annotate_snippets::Group::with_title(title)]),
        };
        if let Some(hint) = &self.hint {
            out.push_str(&format!("\nhint: {hint}"));
        }
        out
    }
}

fn line_around(text: &str, at: usize) -> (usize, usize) {
    let at = floor_boundary(text, at.min(text.len()));
    let from = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let to = text[at..].find('\n').map_or(text.len(), |i| at + i);
    (from, to.max(from))
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Shows at most some 160 bytes around the place, with control characters made visible.
fn clip(line: &str, start: usize, end: usize) -> (String, usize, usize) {
    let start = floor_boundary(line, start.min(line.len()));
    let end = floor_boundary(line, end.min(line.len()));
    let from = if start > 120 { floor_boundary(line, start - 80) } else { 0 };
    let to = if line.len() - from > 200 { floor_boundary(line, (start + 80).min(line.len())) } else { line.len() };
    let clean = |s: &str| s.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let head = clean(&line[from..start]);
    let mark = clean(&line[start..end.min(to).max(start)]);
    let tail = clean(&line[end.min(to).max(start)..to.max(start)]);
    let (s, e) = (head.len(), head.len() + mark.len());
    (head + &mark + &tail, s, e)
}

/// The renderer counts columns within what it was given; the header must tell the file's own.
fn fix_column(text: &str, name: &str, place: Place) -> String {
    let mut lines = text.splitn(3, '\n');
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else { return text.to_owned() };
    let second = match second.rfind(&format!("{name}:")) {
        Some(i) => {
            let tail = &second[i + name.len()..];
            let rest = tail.trim_start_matches(|c: char| c == ':' || c.is_ascii_digit());
            format!("{}{name}:{}:{}{rest}", &second[..i], place.line, place.column)
        }
        None => second.to_owned(),
    };
    match lines.next() {
        Some(rest) => format!("{first}\n{second}\n{rest}"),
        None => format!("{first}\n{second}"),
    }
}

/// The nearest of `names` to `word`, when it is near enough to be meant.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&word.to_lowercase(), name), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= 1 + name.chars().count() / 4)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_place_line_and_hint() {
        let text = "cases:\n  - 你好: x\n";
        let source = Arc::new(Source { name: "a.yaml".into(), text: text.into() });
        let start = text.find('你').unwrap();
        let place = Place { line: 2, column: 5, start, end: start + 6 };
        let shown = Diagnostic::error("unknown-key", "`你好` is not a key").at(&source, place).hint("did you mean `name`?").render(false);
        assert!(shown.contains("error[unknown-key]: `你好` is not a key"), "{shown}");
        assert!(shown.contains("a.yaml:2:5"), "{shown}");
        assert!(shown.contains("^^^^"), "{shown}");
        assert!(shown.ends_with("hint: did you mean `name`?"), "{shown}");
    }

    #[test]
    fn nearest_name_is_near() {
        assert_eq!(nearest("contians", ["contains", "equals"]), Some("contains"));
        assert_eq!(nearest("banana", ["contains", "equals"]), None);
    }
}
