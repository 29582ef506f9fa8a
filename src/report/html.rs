//! One self-contained page: the record inside, and a script that shows it. No network, no dependencies.

use crate::record::{RunRecord, Verdict};

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = concat!(include_str!("html/load.js"), include_str!("html/script.js"));
const WORDS: &str = include_str!("html/words.json");

/// Renders the record as a page that opens in a language, `en` or `zh`; without one, in the browser's.
pub fn render(record: &RunRecord, language: Option<&str>) -> Result<String, String> {
    let data = serde_json::to_string(record).map_err(|e| e.to_string())?;
    let page = match language {
        Some(language) => PAGE.replacen("<html lang=\"en\">", &format!("<html lang=\"{language}\" data-lang=\"{language}\">"), 1),
        None => PAGE.to_owned(),
    };
    Ok(assemble(&page, SCRIPT, WORDS, &data, &without_script(record)))
}

/// Puts a page together; `words` and `data` are JSON.
pub(super) fn assemble(page: &str, script: &str, words: &str, data: &str, noscript: &str) -> String {
    let parts: [(&str, String); 6] = [
        ("<!--HEAD-->", include_str!("html/head.html").trim_end().to_owned()),
        ("/*STYLE*/", STYLE.to_owned()),
        ("/*SCRIPT*/", script.to_owned()),
        ("/*WORDS*/", inert(words)),
        ("<!--DATA-->", inert(data)),
        ("<!--NOSCRIPT-->", noscript.to_owned()),
    ];
    // The template is walked once, so a placeholder inside the data stays text.
    let mut out = String::with_capacity(data.len() + data.len() / 8 + 64_000);
    let mut rest = page;
    loop {
        let next = parts.iter().filter_map(|(name, text)| rest.find(name).map(|at| (at, name.len(), text))).min_by_key(|(at, ..)| *at);
        let Some((at, length, text)) = next else { break };
        out.push_str(&rest[..at]);
        out.push_str(text);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

/// JSON that cannot end the element it stands in. These characters occur only inside strings, where the escape means the same.
fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 16);
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

fn without_script(record: &RunRecord) -> String {
    let counts: Vec<String> =
        Verdict::ALL.iter().rev().filter(|v| record.count(**v) > 0).map(|v| format!("{} {}", record.count(*v), v.word())).collect();
    let counts = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
    format!("<noscript><p>{} cases judged: {counts}. The evidence is shown by a script.</p></noscript>", record.judged().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::CaseRecord;

    fn hostile() -> RunRecord {
        let case: CaseRecord = serde_json::from_value(serde_json::json!({
            "id": "a::</script><script>alert(1)</script>", "scenario": "<!--", "name": "/*STYLE*/ <!--DATA-->", "file": "a.yaml", "line": 1,
            "layer": "scenario", "tags": [], "target": "default", "fingerprint": "x", "verdict": "fail", "why": "\u{2028}&lt;", "took_ms": 1.0
        }))
        .unwrap();
        RunRecord { cases: vec![case], ..RunRecord::default() }
    }

    #[test]
    fn a_page_opens_in_the_language_that_is_told() {
        let record = RunRecord::default();
        assert!(render(&record, Some("zh")).unwrap().contains("<html lang=\"zh\" data-lang=\"zh\">"));
        assert!(render(&record, None).unwrap().contains("<html lang=\"en\">"));
        assert!(SCRIPT.contains("dataset.lang"));
    }

    #[test]
    fn no_text_of_the_record_leaves_its_element() {
        let page = render(&hostile(), None).unwrap();
        let data = page.split("id=\"record\">").nth(1).unwrap().split("</script>").next().unwrap();
        let back: RunRecord = serde_json::from_str(data).unwrap();
        assert_eq!(back.cases[0].name, "/*STYLE*/ <!--DATA-->");
        assert!(!page.contains("alert(1)</script>"));
        assert_eq!(page.matches("<style>").count(), 1);
    }

    #[test]
    fn both_languages_have_every_word_the_script_uses() {
        let words: serde_json::Value = serde_json::from_str(WORDS).unwrap();
        let keys = |language: &str| words[language].as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(keys("en"), keys("zh"));
        let used = regex::Regex::new(r#"\bt\("([a-z_0-9]+)"|data-t="([a-z_0-9]+)""#).unwrap();
        let known = keys("en");
        for found in used.captures_iter(SCRIPT).chain(used.captures_iter(PAGE)) {
            let key = found.get(1).or(found.get(2)).unwrap().as_str();
            assert!(known.contains(key), "`{key}` has no words");
        }
    }
}
