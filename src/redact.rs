//! Takes secrets out of text, and makes text that a model wrote harmless to the terminals and CI logs it is shown in.

pub mod personal;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::sync::Arc;

/// Known secret values in every form in which they may come back: as they are, escaped in JSON, percent-encoded, in base64.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// Of all forms of all secrets; the longest that fits is replaced, so that a key containing another goes whole.
    forms: Option<Arc<AhoCorasick>>,
}

/// What stands in a secret's place.
pub const MASK: &str = "[secret]";

/// Characters of base64 that must be a secret's own before they are taken for it.
const FEWEST_BASE64: usize = 8;

impl Redactor {
    /// Values shorter than six bytes are ignored: masking `a` would ruin every text and protect nothing.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut all: Vec<String> = secrets.into_iter().filter(|s| s.len() >= 6).flat_map(|s| forms(&s)).collect();
        all.sort_unstable();
        all.dedup();
        // Building fails beyond two thousand million bytes of secrets.
        let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&all);
        Redactor { forms: built.ok().filter(|_| !all.is_empty()).map(Arc::new) }
    }

    /// Whether there is anything to replace.
    pub fn knows_any(&self) -> bool {
        self.forms.is_some()
    }

    /// The text with every secret replaced.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        self.wash(&mut text);
        text
    }

    /// Replaces every secret in the texts of a JSON document. A secret of digits is not looked for in its numbers, which would be none
    /// afterwards. Says whether there was a secret.
    pub fn wash_json(&self, json: &mut String) -> bool {
        // Mostly there is none, and a line need not be copied to know it.
        if !self.forms.as_ref().is_some_and(|forms| forms.is_match(json.as_str())) {
            return false;
        }
        let mut washed = json.clone();
        self.wash(&mut washed);
        *json = match serde_json::from_str::<serde::de::IgnoredAny>(&washed) {
            Ok(_) => washed,
            Err(_) => match serde_json::from_str::<serde_json::Value>(json) {
                Ok(mut value) => {
                    self.wash_texts(&mut value);
                    value.to_string()
                }
                Err(_) => washed,
            },
        };
        true
    }

    fn wash_texts(&self, value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => drop(self.wash(text)),
            serde_json::Value::Array(items) => items.iter_mut().for_each(|item| self.wash_texts(item)),
            serde_json::Value::Object(map) => map.values_mut().for_each(|value| self.wash_texts(value)),
            _ => {}
        }
    }

    /// Replaces every secret in place, and says whether there was one.
    pub fn wash(&self, text: &mut String) -> bool {
        match &self.forms {
            Some(forms) if forms.is_match(text.as_str()) => {
                let masks = vec![MASK; forms.patterns_len()];
                *text = forms.replace_all(text, &masks);
                true
            }
            _ => false,
        }
    }
}

/// How a secret may be written.
fn forms(secret: &str) -> Vec<String> {
    let mut out = vec![secret.to_owned()];
    out.extend(serde_json::to_string(secret).ok().map(|s| s[1..s.len() - 1].to_owned()));
    let percent = |keep: &[u8], upper: bool| {
        let encoded = |b: u8| match b.is_ascii_alphanumeric() || keep.contains(&b) {
            true => char::from(b).to_string(),
            false if upper => format!("%{b:02X}"),
            false => format!("%{b:02x}"),
        };
        secret.bytes().map(encoded).collect::<String>()
    };
    // RFC 3986 keeps four marks, forms keep three, and old encoders more.
    for keep in [&b"-._~"[..], b"-._*", b"-_.!~*'()"] {
        out.extend([percent(keep, true), percent(keep, false)]);
    }
    // Inside a longer text a secret begins at any of three places of a group; the characters at its ends belong to its neighbours, too.
    for before in 0..3usize {
        let text = [&vec![b'x'; before][..], secret.as_bytes()].concat();
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&text);
            let from = (before * 8).div_ceil(6);
            let to = text.len() * 8 / 6;
            if to >= from + FEWEST_BASE64 {
                out.push(encoded[from..to].to_owned());
            }
        }
    }
    out
}

/// Makes text safe to print: control, bidi and invisible format characters become visible escapes such as `\u{1b}`, and
/// the markers that GitHub's and GitLab's runners obey are broken apart. Newlines and tabs stay.
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            '\r' => out.push_str("\\r"),
            c if is_hidden(c) => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    // GitLab's JUnit reader takes the first `[[ATTACHMENT|…]]` for a file. The runner takes `##[error]` anywhere in a line and `::error::` after leading white space.
    let mut out = out.replace("[[ATTACHMENT|", "[\u{200a}[ATTACHMENT|");
    // Azure's agent and TeamCity read theirs in the same place.
    for mark in ["##[", "##vso[", "##teamcity["] {
        if out.contains(mark) {
            out = out.replace(mark, &format!("#\u{200a}{}", &mark[1..]));
        }
    }
    if !out.contains("::") {
        return out;
    }
    out.split('\n')
        .map(|line| {
            let indent = line.len() - line.trim_start().len();
            match line[indent..].strip_prefix("::") {
                Some(rest) => format!("{}:\u{200a}:{rest}", &line[..indent]),
                None => line.to_owned(),
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// JSON with such characters written as its escapes, so that it can be shown and copied.
pub fn visible_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_hidden(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
            false => out.push(c),
        }
    }
    out
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{e0000}'..='\u{e007f}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}')
}

/// One line of at most `max` characters, the rest counted; for excerpts.
pub fn excerpt(text: &str, max: usize) -> String {
    let flat: String = text.chars().take(max + 1).map(|c| if c == '\n' { '⏎' } else { c }).collect();
    let flat = harmless(&flat);
    if text.chars().nth(max).is_none() {
        return flat;
    }
    let kept: String = flat.chars().take(max).collect();
    format!("{kept}… ({} characters)", text.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_vanish_also_when_escaped() {
        let redactor = Redactor::new(["sk-\"12345".to_owned(), "x".to_owned()]);
        assert_eq!(redactor.clean(r#"key sk-"12345 x"#), "key [secret] x");
        assert_eq!(redactor.clean(r#"{"k":"sk-\"12345"}"#), r#"{"k":"[secret]"}"#);
    }

    #[test]
    fn secrets_vanish_also_when_encoded() {
        let key = "sk-canary/0123+456789";
        let redactor = Redactor::new([key.to_owned()]);
        let url = "sk-canary%2F0123%2B456789";
        for text in [url.to_owned(), url.to_lowercase()] {
            assert_eq!(redactor.clean(&format!("?key={text}&x")), "?key=[secret]&x");
        }
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "z", "zz"] {
                for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                    let shown = redactor.clean(&engine.encode(format!("{before}{key}{after}")));
                    assert!(shown.contains(MASK), "{before} {after}: {shown}");
                }
            }
        }
        assert_eq!(redactor.clean("c2stY2FuYXJ5 alone says nothing"), "c2stY2FuYXJ5 alone says nothing");
    }

    #[test]
    fn runner_commands_and_escapes_become_visible() {
        assert_eq!(harmless("\u{1b}[31mred"), "\\u{1b}[31mred");
        assert_eq!(harmless("a\u{202e}b"), "a\\u{202e}b");
        assert!(!harmless("x ##[error]boom").contains("##["));
        assert!(!harmless("  ::error::boom").trim_start().starts_with("::"));
        assert_eq!(harmless("std::fmt"), "std::fmt");
    }

    #[test]
    fn excerpts_stay_on_a_line() {
        assert_eq!(excerpt("一\n二", 10), "一⏎二");
        assert_eq!(excerpt("abcdef", 3), "abc… (6 characters)");
    }
}
