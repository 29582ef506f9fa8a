//! The form of a text: JSON, a table, a list and so on, with how many items it has.

use super::Said;
use crate::finding::Topic;
use crate::units::Range;

pub(super) fn judge(text: &str, name: &str, items: Option<Range>) -> Said {
    let found = match name {
        "json" => json(text),
        "yaml" => yaml(text),
        "xml" => xml(text),
        "html" => html(text),
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

/// Well-formed, with one root; entities are those that XML knows without a document type.
fn xml(text: &str) -> Result<usize, String> {
    use quick_xml::events::Event;
    let text = super::json::unfence(text).0;
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut depth, mut roots, mut open) = (0u32, 0, String::new());
    loop {
        let event = reader.read_event().map_err(|e| e.to_string())?;
        match &event {
            Event::Start(tag) | Event::Empty(tag) => {
                if let Some(Err(e)) = tag.attributes().find(Result::is_err) {
                    return Err(format!("an attribute of `<{}>`: {e}", String::from_utf8_lossy(tag.name().as_ref())));
                }
                roots += usize::from(depth == 0);
                if matches!(event, Event::Start(_)) {
                    depth += 1;
                    open = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
                }
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Text(text) if depth == 0 && !text.iter().all(u8::is_ascii_whitespace) => {
                return Err("text stands outside of its root element".into());
            }
            Event::GeneralRef(entity) => {
                let name = String::from_utf8_lossy(entity).into_owned();
                if !name.starts_with('#') && !["amp", "lt", "gt", "quot", "apos"].contains(&name.as_str()) {
                    return Err(format!("XML knows no `&{name};`"));
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match roots {
        _ if depth > 0 => Err(format!("`<{open}>` or what is around it is not closed")),
        0 => Err("it has no element".into()),
        1 => Ok(1),
        n => Err(format!("it has {n} root elements")),
    }
}

/// Balanced tags; void elements need no end.
fn html(text: &str) -> Result<usize, String> {
    const VOID: &[&str] = &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];
    let text = super::json::unfence(text).0;
    if !text.starts_with('<') {
        return Err("it does not start with `<`".into());
    }
    let tag = regex::Regex::new(r"(?s)<!--.*?-->|<[!?][^>]*>|<(/?)([A-Za-z_][\w:.-]*)[^>]*?(/?)>").expect("a constant pattern");
    let mut open: Vec<String> = Vec::new();
    let mut count = 0;
    for found in tag.captures_iter(text) {
        let Some(name) = found.get(2).map(|name| name.as_str().to_lowercase()) else { continue };
        if !found[1].is_empty() {
            match open.pop() {
                Some(top) if top == name => {}
                Some(top) => return Err(format!("`</{name}>` closes `<{top}>`")),
                None => return Err(format!("`</{name}>` closes nothing")),
            }
        } else {
            count += usize::from(open.is_empty());
            if found[3].is_empty() && !VOID.contains(&name.as_str()) {
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
    match text.lines().filter(|l| l.trim_start().starts_with("```") || l.trim_start().starts_with("~~~")).count() {
        0 => Err("no fence".into()),
        n if n % 2 == 1 => Err("a fence is not closed".into()),
        n => Ok(n / 2),
    }
}

fn list(text: &str) -> Result<usize, String> {
    // `12:30` and `1.5` are no numbers of items.
    let number = r"[（(]?(?:\d{1,3}|[一二三四五六七八九十]{1,3})";
    let item = regex::Regex::new(&format!(r"^\s*(?:[-*+•·]\s+\S|{number}(?:[、)）．：]\s*\S|[.:]\s+\S|[.:][^\d\s]))"))
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
        assert_eq!(list("一、苹果\n二、梨\n3. plum\n- fig\n5.好\n（6）六"), Ok(6));
        assert!(["12:30 开会", "1.5 倍速度", "3.14 是圆周率"].iter().all(|text| list(text).is_err()));
        assert!(["<a/><b/>", "<a>1</a>text", "<a b=1/>", "<a>&nbsp;</a>", "<a><b></a>"].iter().all(|text| xml(text).is_err()));
        assert_eq!(xml("<?xml version=\"1.0\"?>\n<a b=\"1\"><c/>&amp;&#20320;</a>"), Ok(1));
        assert_eq!(code("~~~py\nprint(1)\n~~~"), Ok(1));
        assert_eq!(table("| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n"), Ok(2));
        assert_eq!(code("x\n```rust\nfn\n```\n"), Ok(1));
        assert!(code("```rust\nfn").is_err());
        assert_eq!(html("<p>好<br></p><p/>"), Ok(2));
        assert!(xml("<a><b></a></b>").is_err());
        assert!(yaml("just a sentence").is_err());
        assert_eq!(json("[1,2]"), Ok(2));
    }
}
