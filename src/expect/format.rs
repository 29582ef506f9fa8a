//! The form of a text: JSON, a table, a list and so on, with how many items it has.

use super::Said;
use crate::finding::Topic;
use crate::units::Range;

pub(super) fn judge(text: &str, name: &str, items: Option<Range>) -> Said {
    let found = match name {
        "json" => json(text),
        "yaml" => yaml(text),
        "xml" => markup(text, false),
        "html" => markup(text, true),
        "markdown_table" => table(text),
        "code" => code(text),
        "list" => list(text),
        other => return Said::cannot(format!("`{other}` is not a format")),
    };
    match (found, items) {
        (Err(why), _) => Said::when(false, Topic::Schema, format!("answer is not {}: {why}", article(name))),
        (Ok(n), Some(range)) => {
            Said::when(range.holds(n as f64), Topic::Schema, format!("{} with {n} items, expected {range}", article(name)))
        }
        (Ok(_), None) => Said::when(true, Topic::Schema, format!("answer is {}", article(name))),
    }
}

fn article(name: &str) -> &str {
    match name {
        "json" => "JSON",
        "yaml" => "YAML",
        "xml" => "XML",
        "html" => "HTML",
        "markdown_table" => "a Markdown table",
        "code" => "a code block",
        _ => "a list",
    }
}

fn json(text: &str) -> Result<usize, String> {
    let value: serde_json::Value = serde_json::from_str(text.trim()).map_err(|e| e.to_string())?;
    Ok(value.as_array().map(Vec::len).or_else(|| value.as_object().map(serde_json::Map::len)).unwrap_or(1))
}

fn yaml(text: &str) -> Result<usize, String> {
    let value: serde_json::Value =
        serde_saphyr::from_str(super::json::unfence(text).0).map_err(|e| e.to_string().lines().next().unwrap_or_default().to_owned())?;
    // Any sentence is a YAML scalar; that is not what anybody means.
    value.as_array().map(Vec::len).or_else(|| value.as_object().map(serde_json::Map::len)).ok_or_else(|| "it is plain text".to_owned())
}

/// Balanced tags; in HTML, void elements need no end.
fn markup(text: &str, html: bool) -> Result<usize, String> {
    const VOID: &[&str] = &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];
    let text = super::json::unfence(text).0;
    if !text.starts_with('<') {
        return Err("it does not start with `<`".into());
    }
    let tag = regex::Regex::new(r"(?s)<!--.*?-->|<[!?][^>]*>|<(/?)([A-Za-z_][\w:.-]*)[^>]*?(/?)>").expect("a constant pattern");
    let mut open: Vec<String> = Vec::new();
    let mut count = 0;
    for found in tag.captures_iter(text) {
        let Some(name) = found.get(2) else { continue };
        let name = if html { name.as_str().to_lowercase() } else { name.as_str().to_owned() };
        if !found[1].is_empty() {
            match open.pop() {
                Some(top) if top == name => {}
                Some(top) => return Err(format!("`</{name}>` closes `<{top}>`")),
                None => return Err(format!("`</{name}>` closes nothing")),
            }
        } else {
            count += usize::from(open.is_empty());
            if found[3].is_empty() && !(html && VOID.contains(&name.as_str())) {
                open.push(name);
            }
        }
    }
    match open.last() {
        Some(name) => Err(format!("`<{name}>` is not closed")),
        None if count == 0 => Err("it has no element".into()),
        None => Ok(count),
    }
}

fn table(text: &str) -> Result<usize, String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let cells = |l: &str| l.trim_matches('|').split('|').count();
    for (i, line) in lines.iter().enumerate().skip(1) {
        let rule = line.contains('-') && line.contains('|') && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '));
        if rule && lines[i - 1].contains('|') {
            if cells(line) != cells(lines[i - 1]) {
                return Err("its rule has another number of columns than its head".into());
            }
            return Ok(lines[i + 1..].iter().take_while(|l| l.contains('|')).count());
        }
    }
    Err("no head with a rule of dashes under it".into())
}

fn code(text: &str) -> Result<usize, String> {
    match text.lines().filter(|l| l.trim_start().starts_with("```")).count() {
        0 => Err("no fence".into()),
        n if n % 2 == 1 => Err("a fence is not closed".into()),
        n => Ok(n / 2),
    }
}

fn list(text: &str) -> Result<usize, String> {
    let item = regex::Regex::new(r"^\s*(?:[-*+•·]\s+|[（(]?(?:\d{1,3}|[一二三四五六七八九十]{1,3})[.、)）．:：]\s*)\S")
        .expect("a constant pattern");
    match text.lines().filter(|l| item.is_match(l)).count() {
        0 => Err("no line starts with a bullet or a number".into()),
        n => Ok(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_recognised_and_counted() {
        assert_eq!(list("一、苹果\n二、梨\n3. plum\n- fig"), Ok(4));
        assert_eq!(table("| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n"), Ok(2));
        assert_eq!(code("x\n```rust\nfn\n```\n"), Ok(1));
        assert!(code("```rust\nfn").is_err());
        assert_eq!(markup("<p>好<br></p><p/>", true), Ok(2));
        assert!(markup("<a><b></a></b>", false).is_err());
        assert!(yaml("just a sentence").is_err());
        assert_eq!(json("[1,2]"), Ok(2));
    }
}
