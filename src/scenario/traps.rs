//! Places where YAML silently reads something else than what was meant, each with the better form.

use super::grammar::Kind;
use super::tree::{Node, Typed, Value};

/// Traps that any node can be: a tag, or a template or variable without quotes.
pub fn in_node(node: &Node, source: &str) -> Option<(String, String)> {
    if node.tagged {
        let tag = tag_before(source, node.place.start).unwrap_or("!");
        return Some((format!("the YAML tag `{tag}` has no meaning here"), "remove it, or put the text in quotes".into()));
    }
    let here = source.get(node.place.start..)?;
    let line = here.lines().next().unwrap_or_default();
    if matches!(node.value, Value::Map(_)) && line.starts_with("{{") {
        let end = line.find("}}").map_or(line.len(), |i| i + 2);
        return Some((format!("`{}` without quotes is a YAML map, not a template", &line[..end]), format!("write \"{}\"", &line[..end])));
    }
    if let Value::Scalar { text, plain: true, .. } = &node.value {
        let is_variable = text.starts_with("${")
            && text.ends_with('}')
            && text[2..text.len() - 1].bytes().all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b));
        if is_variable && !here.is_empty() && here.starts_with("${") {
            return Some((
                format!("`{text}` is not filled in here: environment variables belong in roadworthy.yaml, in quotes"),
                format!("put the value into a target of roadworthy.yaml, or write \"{text}\" to send it as it stands"),
            ));
        }
    }
    None
}

/// Traps in scalars, by what they are used for.
pub fn in_text(node: &Node, kind: &Kind, source: &str) -> Option<(String, String)> {
    let Value::Scalar { text, plain: true, .. } = &node.value else { return None };
    if !matches!(kind, Kind::Text | Kind::Keyword | Kind::Regex)
        || source.get(node.place.start..node.place.end).is_none_or(|w| w.is_empty())
    {
        return None;
    }
    if let Some(trap) = cut(node, text, source) {
        return Some(trap);
    }
    if !matches!(kind, Kind::Keyword) || !is_short(text) {
        return None;
    }
    if let Some(trap) = one_of_several(node) {
        return Some(trap);
    }
    if let Some(mark) = text.chars().find(|c| matches!(c, '“' | '”' | '‘' | '’')) {
        return Some((
            format!("`{mark}` is part of the keyword: YAML knows only straight quotes"),
            format!("write \"{}\", or \"{}\" if the curly quotes are meant", text.trim_matches(['“', '”', '‘', '’']), text),
        ));
    }
    let mark = text.chars().find(|c| matches!(c, '：' | '％' | '０'..='９'))?;
    let half: String = text.chars().map(half_width).collect();
    Some((
        format!("`{mark}` is a full-width character, and an answer may write it otherwise"),
        format!("write \"{text}\" in quotes if just this is meant, \"{half}\" for the common form, or both under `any:`"),
    ))
}

/// Traps in free values: numbers that readers of YAML disagree on, and text that a comment cuts off. `fills`: the value fills texts,
/// where `12.50` would come out as 12.5.
pub fn in_value(node: &Node, source: &str, fills: bool) -> Option<(String, String)> {
    let Value::Scalar { text, plain: true, typed } = &node.value else { return None };
    // A comment has a space behind its sign; `issue #12` is text that was cut.
    if *typed == Typed::Text
        && rest_of_line(node, source).trim_start().as_bytes().get(1).is_some_and(|b| !matches!(b, b' ' | b'\t' | b'#'))
        && let Some(trap) = cut(node, text, source)
    {
        return Some(trap);
    }
    if text.chars().any(|c| ('０'..='９').contains(&c)) && text.chars().all(|c| ('０'..='９').contains(&c) || "．.，,－-".contains(c))
    {
        let half: String = text.chars().map(half_width).collect();
        return Some((
            format!("`{text}` is text to YAML: its digits are full-width"),
            format!("write {half} for the number, or \"{text}\" for the text"),
        ));
    }
    let digits = text.trim_start_matches(['-', '+']);
    let odd = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(|b| b.is_ascii_alphanumeric());
    if odd && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') || (*typed != Typed::Text && text.contains('_')) {
        return Some((
            format!("`{text}` is a number to some readers of YAML and text to others"),
            format!("write \"{text}\" for the text, or the plain decimal number"),
        ));
    }
    match typed {
        Typed::Float(number) if fills && number.to_string() != *text && format!("{number:?}") != *text => Some((
            format!("`{text}` is a number and would fill a text as {number}"),
            format!("write \"{text}\" for the text, or {number} for the number"),
        )),
        _ => None,
    }
}

/// Items of a list that are one scalar, because a full-width comma separates nothing.
pub fn one_of_several(node: &Node) -> Option<(String, String)> {
    let Value::Scalar { text, plain: true, .. } = &node.value else { return None };
    let mark = text.chars().find(|c| matches!(c, '，' | '、')).filter(|_| is_short(text))?;
    let parts: Vec<&str> = text.split(['，', '、']).map(str::trim).filter(|p| !p.is_empty()).collect();
    (parts.len() > 1).then_some(())?;
    Some((
        format!("`{text}` is one keyword: `{mark}` does not separate items in YAML"),
        format!("write {} for several, or \"{text}\" for the text as it stands", parts.join(", ")),
    ))
}

/// Short enough for a keyword; a sentence may hold any mark.
fn is_short(text: &str) -> bool {
    text.chars().count() <= 40 && !text.contains('。')
}

/// Text behind which ` #` begins a comment.
fn cut(node: &Node, text: &str, source: &str) -> Option<(String, String)> {
    let rest = rest_of_line(node, source);
    let comment = rest.trim_start().strip_prefix('#').filter(|_| rest.starts_with([' ', '\t']))?;
    let whole = format!("{text} #{comment}");
    Some((
        "YAML cuts the text here: ` #` starts a comment".into(),
        format!("if it belongs to the text, write \"{}\"; else move the comment to a line of its own", whole.trim().replace('"', "\\\"")),
    ))
}

fn rest_of_line<'a>(node: &Node, source: &'a str) -> &'a str {
    source.get(node.place.end..).and_then(|r| r.lines().next()).unwrap_or_default()
}

/// Says so when a number was written with full-width characters.
pub fn width_hint(text: &str) -> Option<String> {
    let half: String = text.chars().map(half_width).collect();
    (half != text).then(|| format!("it holds full-width characters, write `{half}`"))
}

fn half_width(c: char) -> char {
    match c {
        '。' => '.',
        c => crate::units::half_width(c),
    }
}

/// What a syntax error on this line was probably meant to be.
pub fn in_bad_line(line: &str) -> Option<String> {
    let trimmed = line.trim_start();
    if line.len() != trimmed.len() && line[..line.len() - trimmed.len()].contains('\t') {
        return Some("indent with spaces; YAML does not allow tabs".into());
    }
    let word = trimmed.trim_start_matches(['-', ' ']);
    if let Some((key, _)) = word.split_once('：').filter(|(k, _)| k.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')) {
        return Some(format!("`：` is a full-width colon; write `{key}: `"));
    }
    // `prompt: Translate: hello`
    let value = word.split_once(": ").map(|(_, value)| value.trim()).unwrap_or_default();
    if value.contains(": ") && !value.starts_with(['"', '\'', '{', '[', '|', '>']) {
        return Some(format!("a text with `: ` in it must stand in quotes: \"{}\"", value.replace('"', "\\\"")));
    }
    if value.starts_with('"') && value.contains('\\') {
        return Some("a backslash in double quotes begins an escape; put the text in single quotes, where it is itself".into());
    }
    if value.starts_with('"') && value.trim_end_matches([',', ' ', '}', ']']).matches('"').count() > 2 {
        return Some("quotes inside double quotes end the text; put it in single quotes, or write \\\"".into());
    }
    if line.contains("${") {
        return Some("`${…}` inside `{ }` must stand in quotes: \"${NAME}\"".into());
    }
    if line.contains("$.") || line.contains("$[") {
        return Some("a JSON path inside `{ }` must stand in quotes: \"$.items[0]\"".into());
    }
    if line.contains("{{") {
        return Some("a template must stand in quotes: \"{{ name }}\"".into());
    }
    if trimmed.contains(['“', '”']) {
        return Some("curly quotes are not quotes to YAML; use \" or '".into());
    }
    None
}

fn tag_before(source: &str, at: usize) -> Option<&str> {
    let mut before = source.get(..at)?;
    loop {
        before = before.trim_end();
        let word = &before[before.rfind([' ', '\n', '\t', '[', '{', ',']).map_or(0, |i| i + 1)..];
        if word.starts_with('!') {
            return Some(word);
        }
        if !word.starts_with('&') || word.len() < 2 {
            return None;
        }
        before = &before[..before.len() - word.len()];
    }
}
