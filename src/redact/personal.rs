//! Personal data and keys in texts, known by form and check digit: found in answers, and kept out of records.

use serde_json::Value;
use std::borrow::Cow;

/// Stands before the kind of what was taken out of a text.
const BEGIN: &str = "[masked: ";

/// The first such thing in a text that is not `allowed`, and what it is.
pub fn find<'a>(text: &'a str, allowed: &dyn Fn(&str) -> bool) -> Option<(&'static str, &'a str)> {
    patterns().iter().find_map(|(what, pattern)| {
        let found = pattern.find_iter(text).find(|m| !allowed(m.as_str()) && plausible(what, m.as_str()))?;
        Some((*what, found.as_str()))
    })
}

/// A text whose digits or at-signs are full-width, as a Chinese input method writes them, with half-width forms.
fn narrow(text: &str) -> Option<String> {
    let wide = text.chars().any(|c| ('０'..='９').contains(&c) || c == '＠');
    // Punctuation stays, as far as no address or number is written with it.
    let told = |c: char| {
        if matches!(c, '０'..='９' | 'Ａ'..='Ｚ' | 'ａ'..='ｚ' | '＠' | '．' | '－' | '＿') {
            crate::units::half_width(c)
        } else {
            c
        }
    };
    wide.then(|| text.chars().map(told).collect())
}

/// Puts the kind of it in place of each such thing. True when there was any. Full-width digits and letters become half-width where
/// something was taken out.
pub fn mask(text: &mut String) -> bool {
    if let Some(mut half) = narrow(text) {
        let any = mask(&mut half);
        if any {
            *text = half;
        }
        return any;
    }
    // Most texts have neither a long number nor one of these marks.
    if !may_hold(text) {
        return false;
    }
    let mut any = false;
    for (what, pattern) in patterns() {
        let masked = pattern.replace_all(text, |found: &regex::Captures<'_>| {
            if !plausible(what, &found[0]) {
                return found[0].to_owned();
            }
            any = true;
            format!("{BEGIN}{what}]")
        });
        if let Cow::Owned(masked) = masked {
            *text = masked;
        }
    }
    any
}

/// The same inside of JSON: an escape such as `\n` belongs neither to what stands before it nor to what follows. A text that is no JSON
/// is taken as it stands.
pub fn mask_json(text: &mut String) -> bool {
    fn walk(value: &mut Value) -> bool {
        match value {
            Value::String(text) => mask(text),
            Value::Array(items) => items.iter_mut().fold(false, |any, item| walk(item) | any),
            Value::Object(map) => map.values_mut().fold(false, |any, item| walk(item) | any),
            _ => false,
        }
    }
    if !may_hold(text) {
        return false;
    }
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return mask(text) };
    let any = walk(&mut value);
    if any {
        *text = value.to_string();
    }
    any
}

/// What was taken out of a text by [`mask`], if anything was.
pub fn masked(text: &str) -> Option<&'static str> {
    let kind = &text[text.find(BEGIN)? + BEGIN.len()..];
    patterns().iter().map(|(what, _)| *what).find(|what| kind.starts_with(*what))
}

fn may_hold(text: &str) -> bool {
    let mut digits = 0;
    for b in text.bytes() {
        match b {
            b'@' => return true,
            b'0'..=b'9' => digits += 1,
            b' ' | b'-' | b'(' | b')' | b'.' => {}
            _ => digits = 0,
        }
        if digits >= 10 {
            return true;
        }
    }
    static MARKS: std::sync::LazyLock<aho_corasick::AhoCorasick> = std::sync::LazyLock::new(|| {
        let marks = [
            "sk-",
            "pk-",
            "rk-",
            "AKIA",
            "ghp_",
            "gho_",
            "ghu_",
            "ghs_",
            "ghr_",
            "glpat-",
            "AIza",
            "LTAI",
            "-----BEGIN",
            "eyJ",
            "hf_",
            "xox",
        ];
        aho_corasick::AhoCorasick::new(marks).expect("constant patterns")
    });
    MARKS.is_match(text)
}

/// The edge of a word, written `<` or `>` below. Han characters count as none: what is looked for mostly touches them.
const EDGE: &str = r"(?-u:\b)";

fn patterns() -> &'static [(&'static str, regex::Regex)] {
    static PATTERNS: std::sync::OnceLock<Vec<(&'static str, regex::Regex)>> = std::sync::OnceLock::new();
    PATTERNS.get_or_init(|| {
        [
            ("an API key", r"<(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}|<AKIA[0-9A-Z]{16}>|<gh[pousr]_[A-Za-z0-9]{30,}>|<glpat-[A-Za-z0-9_-]{16,}|<AIza[0-9A-Za-z_-]{30,}|<LTAI[0-9A-Za-z]{12,}|<hf_[A-Za-z0-9]{30,}>|<xox[abprs]-[A-Za-z0-9-]{20,}"),
            ("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
            ("a token", r"<eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}"),
            ("a Chinese identity number", r"<[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx]>"),
            ("a mobile phone number", r"(?:\+?<86[- ]?|<)1[3-9]\d[- ]?\d{4}[- ]?\d{4}>"),
            ("a phone number", r"<0\d{2,3}-\d{7,8}>|(?:\+?<1[- .]?)?\(\d{3}\)[- .]?\d{3}[- .]\d{4}>"),
            ("an e-mail address", r"<[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}>"),
            ("a bank card number", r"<\d{4}[- ]?\d{4}[- ]?\d{4}[- ]?\d{4}(?:[- ]?\d{1,3})?>"),
        ]
        .into_iter()
        .map(|(what, pattern)| (what, regex::Regex::new(&pattern.replace(['<', '>'], EDGE)).expect("a constant pattern")))
        .collect()
    })
}

/// Check digits tell a card or identity number from any other long number.
fn plausible(what: &str, found: &str) -> bool {
    let digits: Vec<u32> = found.chars().filter_map(|c| c.to_digit(10)).collect();
    match what {
        "a bank card number" => {
            let sum: u32 = digits
                .iter()
                .rev()
                .enumerate()
                .map(|(i, d)| {
                    if i % 2 == 1 {
                        let x = d * 2;
                        if x > 9 { x - 9 } else { x }
                    } else {
                        *d
                    }
                })
                .sum();
            sum.is_multiple_of(10)
        }
        "a Chinese identity number" => {
            const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
            let sum: u32 = digits.iter().zip(WEIGHTS).map(|(d, w)| d * w).sum();
            found.chars().last().map(|c| c.to_ascii_uppercase()) == "10X98765432".chars().nth((sum % 11) as usize)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_personal_is_masked_and_nothing_else() {
        let mut text =
            "电话 13812345678，邮箱 li@example.com，身份证 11010519491231002X，编号 110105194912310021，key sk-abcdefghijklmnop1234"
                .to_owned();
        assert!(mask(&mut text));
        assert_eq!(
            text,
            "电话 [masked: a mobile phone number]，邮箱 [masked: an e-mail address]，身份证 [masked: a Chinese identity number]，\
             编号 110105194912310021，key [masked: an API key]"
        );
        assert_eq!(masked(&text), Some("a mobile phone number"));
        // Chinese has no spaces.
        let mut text =
            "我的电话是13812345678请拨打，身份证号11010519491231002X。邮箱li.ming@example.com谢谢，密钥sk-abcdefghijklmnop1234请保密，\
                        座机010-12345678转，+1 (555) 123-4567，hf_abcdefghijklmnopqrstuvwxyzabcdefgh"
                .to_owned();
        assert!(mask(&mut text));
        assert_eq!(text.matches(BEGIN).count(), 7, "{text}");
        assert!(!text.contains("ming") && text.contains("我的电话是[masked: a mobile phone number]请拨打"), "{text}");
        let mut plain = "2026-11-23 共 1234 条，合计 12,345.67 元".to_owned();
        assert!(!mask(&mut plain) && plain.contains("12,345.67"));
        assert_eq!(masked("[masked: nothing known]"), None);
    }
}
