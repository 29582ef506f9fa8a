//! Takes secrets out of text, and makes text that a model wrote harmless to the terminals and CI logs it is shown in.

/// Known secret values, longest first, so that a key containing another is replaced whole.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

/// What stands in a secret's place.
pub const MASK: &str = "[secret]";

impl Redactor {
    /// Values shorter than six bytes are ignored: masking `a` would ruin every text and protect nothing.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<String> = secrets.into_iter().filter(|s| s.len() >= 6).collect();
        // JSON escapes some characters, so a secret inside a record would not be found as it was typed.
        let escaped: Vec<String> = secrets
            .iter()
            .filter_map(|s| serde_json::to_string(s).ok())
            .map(|s| s[1..s.len() - 1].to_owned())
            .filter(|s| !secrets.contains(s))
            .collect();
        secrets.extend(escaped);
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        secrets.dedup();
        Redactor { secrets }
    }

    /// The text with every secret replaced.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        self.wash(&mut text);
        text
    }

    /// Replaces every secret in place.
    pub fn wash(&self, text: &mut String) {
        for secret in self.secrets.iter().filter(|s| !s.is_empty()) {
            if text.contains(secret.as_str()) {
                *text = text.replace(secret.as_str(), MASK);
            }
        }
    }
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
    // The runner takes `##[error]` anywhere in a line and `::error::` after leading white space.
    let out = out.replace("##[", "#\u{200a}#[");
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

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}')
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
