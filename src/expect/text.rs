//! Checks on the words of a text.

use super::{Pattern, Said};
use crate::expect::chinese::{half_width, is_han};
use crate::units::Range;
use similar::{ChangeTag, TextDiff};
use std::borrow::Cow;
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// What `contains` looks for.
#[derive(Debug, Clone, Default)]
pub struct Search {
    pub any: Vec<String>,
    pub all: Vec<String>,
    pub count: Option<Range>,
    pub case_sensitive: bool,
}

/// The composed form; most text is in it already.
pub(crate) fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// NFC, and lower case when case does not matter.
fn fold(text: &str, case_sensitive: bool) -> Cow<'_, str> {
    let text = nfc(text);
    if case_sensitive { text } else { Cow::Owned(text.to_lowercase()) }
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|t| format!("`{}`", crate::redact::excerpt(t, 60))).collect::<Vec<_>>().join(", ")
}

pub(super) fn equals(text: &str, wanted: &str, case_sensitive: bool) -> Said {
    let (have, want) = (fold(text.trim(), case_sensitive), fold(wanted.trim(), case_sensitive));
    if have == want {
        return Said::content(true, "the answer is the expected text");
    }
    Said::content(false, format!("answer is not `{}`", crate::redact::excerpt(wanted.trim(), 60)))
        .evidence(diff(wanted.trim(), text.trim()))
}

/// A diff on one line, `[-expected-]{+actual+}`; of texts that share little, the actual text, since their diff would be confetti.
pub(crate) fn diff(expected: &str, actual: &str) -> String {
    let cap = |t: &str| t.chars().take(2000).collect::<String>();
    let (expected, whole, actual) = (cap(expected), actual, cap(actual));
    let diff = TextDiff::from_graphemes(&expected, &actual);
    if diff.ratio() < 0.5 {
        return format!("answer: \"{}\"", crate::redact::excerpt(whole, 240));
    }
    let mut out = String::from("diff: ");
    let mut last = ChangeTag::Equal;
    let close = |tag| match tag {
        ChangeTag::Delete => "-]",
        ChangeTag::Insert => "+}",
        ChangeTag::Equal => "",
    };
    for change in diff.iter_all_changes() {
        if change.tag() != last {
            out.push_str(close(last));
            out.push_str(match change.tag() {
                ChangeTag::Delete => "[-",
                ChangeTag::Insert => "{+",
                ChangeTag::Equal => "",
            });
            last = change.tag();
        }
        out.push_str(change.value());
    }
    out.push_str(close(last));
    crate::redact::excerpt(&out, 600)
}

pub(super) fn contains(text: &str, search: &Search) -> Said {
    let have = fold(text, search.case_sensitive);
    let found = |wanted: &String| have.matches(&*fold(wanted, search.case_sensitive)).count();
    let missing: Vec<String> = search.all.iter().filter(|t| found(t) == 0).cloned().collect();
    if !missing.is_empty() {
        return Said::content(false, format!("answer does not contain {}", quoted(&missing)));
    }
    let hits: Vec<&String> = search.any.iter().filter(|t| found(t) > 0).collect();
    if !search.any.is_empty() && hits.is_empty() && search.count.is_none() {
        let which = if search.any.len() == 1 { "" } else { "any of " };
        return Said::content(false, format!("answer does not contain {which}{}", quoted(&search.any)));
    }
    let total: usize = search.any.iter().chain(&search.all).map(found).sum();
    if let Some(range) = search.count {
        let names: Vec<String> = search.any.iter().chain(&search.all).cloned().collect();
        return Said::content(range.holds(total as f64), format!("answer contains {} {total} times, expected {range}", quoted(&names)));
    }
    let names: Vec<String> = hits.into_iter().chain(&search.all).cloned().collect();
    Said::content(true, format!("answer contains {}", quoted(&names))).evidence(around(text, &names, search.case_sensitive))
}

/// The text around the first hit.
fn around(text: &str, names: &[String], case_sensitive: bool) -> String {
    let have = fold(text, case_sensitive);
    let at = names.iter().filter_map(|n| have.find(&*fold(n, case_sensitive))).min().unwrap_or(0);
    let before = have[..at].chars().count();
    let piece: String = have.chars().skip(before.saturating_sub(30)).take(90).collect();
    format!("found in: \"{}\"", crate::redact::excerpt(&piece, 90))
}

impl Pattern {
    /// How often it matches; an error when the cost bound was reached.
    pub fn count(&self, text: &str) -> Result<usize, String> {
        match self {
            Pattern::Linear(regex) => Ok(regex.find_iter(text).count()),
            Pattern::Lookaround(regex) => regex
                .find_iter(text)
                .try_fold(0, |n, m| m.map(|_| n + 1))
                .map_err(|e| format!("the expression costs too much on this text: {e}")),
        }
    }

    fn source(&self) -> &str {
        match self {
            Pattern::Linear(regex) => regex.as_str(),
            Pattern::Lookaround(regex) => regex.as_str(),
        }
    }
}

pub(super) fn matches(text: &str, pattern: &Pattern, count: Option<Range>) -> Said {
    let found = match pattern.count(&nfc(text)) {
        Ok(n) => n,
        Err(why) => return Said::cannot(why),
    };
    let source = crate::redact::excerpt(pattern.source(), 80);
    match count {
        Some(range) => Said::content(range.holds(found as f64), format!("/{source}/ matches {found} times, expected {range}")),
        None if found > 0 => Said::content(true, format!("answer matches /{source}/")),
        None => Said::content(false, format!("answer does not match /{source}/")),
    }
}

pub(super) fn affix(text: &str, any: &[String], case_sensitive: bool, start: bool) -> Said {
    let have = fold(text.trim(), case_sensitive);
    let met = any.iter().map(|t| fold(t.trim(), case_sensitive)).any(|t| if start { have.starts_with(&*t) } else { have.ends_with(&*t) });
    let verb = if start { "start" } else { "end" };
    Said::content(met, format!("answer {} with {}", if met { format!("{verb}s") } else { format!("does not {verb}") }, quoted(any)))
}

/// Identifiers: words that hold a digit and a letter, addresses, URLs, long numbers, words with underscores or inner capitals.
pub fn identifiers(prompt: &str) -> Vec<String> {
    let pattern = regex::Regex::new(r"https?://[^\s，。、；）)】」]+|[A-Za-z0-9_.+-]+@[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+|[A-Za-z0-9]+(?:[-_./:][A-Za-z0-9]+)+|[A-Za-z]+[0-9][A-Za-z0-9]*|[0-9]+[A-Za-z][A-Za-z0-9]*|[0-9]{4,}|[A-Z]{2,}")
        .expect("a constant pattern");
    // `step-by-step` and `and/or` are words.
    let is_name = |word: &str| {
        word.contains("://")
            || word.contains('@')
            || word.bytes().any(|b| b.is_ascii_digit() || b == b'_')
            || word.bytes().skip(1).any(|b| b.is_ascii_uppercase())
    };
    let words = pattern.find_iter(prompt).map(|m| m.as_str().trim_end_matches(['.', ':', '/', '-']).to_owned());
    let mut found: Vec<String> = words.filter(|word| is_name(word)).collect();
    found.sort();
    found.dedup();
    found
}

/// Whether `wanted` stands in `have` as itself: where it begins or ends with a character that `joins`, no such character
/// continues it. `AB-1234` is not in `AB-12345`, nor the fact `100` in `1100`; in Chinese text no space is needed.
fn stands_alone(have: &str, wanted: &str, joins: fn(char) -> bool) -> bool {
    let (starts, ends) = (wanted.starts_with(joins), wanted.ends_with(joins));
    have.match_indices(wanted).any(|(at, found)| {
        let before = have[..at].chars().next_back().is_some_and(joins);
        let after = have[at + found.len()..].chars().next().is_some_and(joins);
        !(starts && before || ends && after)
    })
}

pub(super) fn keeps(text: &str, prompt: &str, all: Option<&[String]>, matching: Option<&regex::Regex>) -> Said {
    let wanted: Vec<String> = match (all, matching) {
        (Some(all), _) => all.to_vec(),
        (None, Some(regex)) => regex.find_iter(prompt).map(|m| m.as_str().to_owned()).filter(|m| !m.is_empty()).collect(),
        (None, None) => identifiers(prompt),
    };
    if wanted.is_empty() {
        return Said::cannot("the prompt holds no identifier to keep; name them with `keeps: { all: […] }`");
    }
    let have = fold(text, true);
    let lost: Vec<String> =
        wanted.iter().filter(|w| !stands_alone(&have, &fold(w, true), |c| c.is_ascii_alphanumeric())).cloned().collect();
    match lost.is_empty() {
        true => Said::content(true, format!("answer keeps {}", quoted(&wanted))),
        false => Said::content(false, format!("answer lost {} of the prompt", quoted(&lost))),
    }
}

/// Whether `wanted` stands in `have` at the beginning of a word: `art` is not in `start`, while `return` is in `returns`. Digits are
/// not continued on either side; in Chinese text no space is needed.
fn begins_a_word(have: &str, wanted: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic();
    let digit = |c: char| c.is_ascii_digit();
    have.match_indices(wanted).any(|(at, found)| {
        let mut before = have[..at].chars().rev();
        let mut after = have[at + found.len()..].chars();
        let (first, last) = (found.chars().next(), found.chars().next_back());
        let (left, further) = (before.next(), before.next());
        let (right, beyond) = (after.next(), after.next());
        let joins = |near: Option<char>, far: Option<char>| {
            near.is_some_and(digit) || near.is_some_and(|c| c == '.' || c == ',') && far.is_some_and(digit)
        };
        let broken = first.is_some_and(letter) && left.is_some_and(letter)
            || first.is_some_and(digit) && joins(left, further)
            || last.is_some_and(digit) && joins(right, beyond);
        !broken
    })
}

/// Without the numbers that a sign stands before; a hyphen behind a digit or a word is none.
fn unsigned(text: &str) -> String {
    let signed =
        regex::Regex::new(r"(^|[^\p{L}\p{N}%）)])[-\u{2212}]\d+|([是为约到])[-\u{2212}]\d+|[负負零]下?\d+").expect("a constant pattern");
    signed.replace_all(text, "$1$2").into_owned()
}

/// As facts are compared: lower case, half-width, without marks of emphasis, separators of thousands, and the spaces between Chinese and
/// Latin or between a word and its number, which some writers set and others do not.
fn plain(text: &str) -> String {
    let text = half_width(&fold(text, false)).replace("**", "").replace('`', "").replace('￥', "¥");
    let chars: Vec<char> = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    let at = |i: usize| chars.get(i).copied();
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let mut out = String::with_capacity(text.len());
    for (i, c) in chars.iter().enumerate() {
        let (before, after) = (i.checked_sub(1).and_then(at), at(i + 1));
        let apart = |a: Option<char>, b: Option<char>| a.is_some_and(is_han) || b.is_some_and(is_han) || digit(a) != digit(b);
        let dropped = match c {
            ' ' => before.zip(after).is_some_and(|(a, b)| a.is_alphanumeric() && b.is_alphanumeric()) && apart(before, after),
            // Emphasis, and no sign of multiplication.
            '*' => !digit(before) || !digit(after),
            ',' => digit(before) && (1..=3).all(|k| digit(at(i + k))) && !digit(at(i + 4)),
            _ => false,
        };
        if !dropped {
            out.push(*c);
        }
    }
    out
}

pub(super) fn facts(text: &str, all: &[Vec<String>], min: f64) -> Said {
    let have = plain(text);
    let (numbers, counted) = (std::cell::OnceCell::new(), std::cell::OnceCell::new());
    let figures = || numbers.get_or_init(|| super::numbers::find(text)).iter();
    let counts = || counted.get_or_init(|| super::numbers::find(&have)).iter();
    let holds = |alias: &String| {
        let spoken = half_width(&fold(alias, false)).trim().to_owned();
        // A number is the same however it is written, and `100` is not in `1,100`.
        // Longer ones, and those that begin with a zero, are identifiers.
        let figure = spoken.len() <= 15 && spoken.starts_with(|c: char| c.is_ascii_digit() && c != '0' || c == '-');
        match spoken.parse::<f64>() {
            Ok(n) if figure => figures().any(|f| f.value == n),
            // So it is with what it counts: 24个月 is 二十四 个月, and not 一百二十四个月.
            _ => {
                let alias = plain(alias);
                match super::numbers::with_unit(&alias) {
                    // As it stands, too: 20多个, 3~5天, 350 Fifth Ave. A sign before it makes it another number.
                    Some((n, unit)) => {
                        counts().any(|f| f.value == n && super::numbers::has_unit(f, &unit))
                            || alias.starts_with(|c: char| c.is_ascii_digit()) && begins_a_word(&unsigned(&have), &alias)
                    }
                    None => begins_a_word(&have, &alias),
                }
            }
        }
    };
    let missing: Vec<String> = all.iter().filter(|aliases| !aliases.iter().any(holds)).map(|a| a.join(" / ")).collect();
    let share = 1.0 - missing.len() as f64 / all.len().max(1) as f64;
    let mut why = format!("{} of {} facts found, expected {:.0} %", all.len() - missing.len(), all.len(), min * 100.0);
    if !missing.is_empty() {
        why.push_str(&format!("; missing {}", quoted(&missing)));
    }
    Said::content(share + 1e-9 >= min, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Outcome;

    #[test]
    fn composed_and_decomposed_forms_are_the_same_text() {
        assert_eq!(equals("e\u{301}té", "été", true).outcome, Outcome::Met);
        assert_eq!(
            contains("cafe\u{301}", &Search { any: vec!["café".into()], case_sensitive: true, ..Search::default() }).outcome,
            Outcome::Met
        );
        let pattern = Pattern::Linear(regex::Regex::new("caf[é]$").unwrap());
        assert_eq!(matches("cafe\u{301}", &pattern, None).outcome, Outcome::Met);
    }

    #[test]
    fn a_longer_number_is_another_number() {
        assert_eq!(facts("It costs 1100 yuan", &[vec!["100".into()]], 1.0).outcome, Outcome::Missed);
        assert_eq!(facts("共100元，不是1100元", &[vec!["100".into()]], 1.0).outcome, Outcome::Met);
        assert_eq!(facts("1,100 yuan, 3.5 stars", &[vec!["1100".into()]], 1.0).outcome, Outcome::Met);
        for (text, fact) in [("1,100 yuan", "100"), ("3.5 stars", "5"), ("a start", "art"), ("Comparison", "paris"), ("1.24个月", "24个月")]
        {
            assert_eq!(facts(text, &[vec![fact.into()]], 1.0).outcome, Outcome::Missed, "{fact} in {text}");
        }
        for (text, fact) in [
            ("保修期为 24 个月", "24个月"),
            ("保修期为24个月", "24 个月"),
            ("iPhone15 已发货", "iPhone 15"),
            ("iPhone 15 已发货", "iPhone15"),
            ("**24**个月", "24个月"),
            ("共1,299 元", "1299元"),
            ("保修期二十四个月", "24个月"),
            ("气温为-5度", "-5度"),
            ("It takes 3-5 days", "3-5 days"),
            ("支持 5G 网络", "5G网络"),
            ("《三国演义》", "三国演义"),
            ("model 3 pro", "Model 3 Pro"),
            ("7*24小时服务", "24小时"),
            ("售价¥299", "￥299"),
            ("共有20多个城市参与", "20多个城市"),
            ("需要3~5个工作日", "3~5个工作日"),
            ("一百多家门店", "一百多家"),
            ("2 inches thick", "2 inch"),
            ("350 Fifth Avenue", "350 Fifth Ave"),
            ("带宽100Mbps", "100M"),
        ] {
            assert_eq!(facts(text, &[vec![fact.into()]], 1.0).outcome, Outcome::Met, "{fact} in {text}");
        }
        for (text, fact) in [("保修期一百二十四个月", "二十四个月"), ("温度是-5度", "5度"), ("7*24小时", "724小时"), ("每天3次", "3天")]
        {
            assert_eq!(facts(text, &[vec![fact.into()]], 1.0).outcome, Outcome::Missed, "{fact} in {text}");
        }
        assert_eq!(facts("It returns to Paris's centre", &[vec!["return".into()], vec!["paris".into()]], 1.0).outcome, Outcome::Met);
        assert_eq!(keeps("xxAB-12345", "", Some(&["AB-1234".into()]), None).outcome, Outcome::Missed);
        assert_eq!(keeps("订单AB-1234已取消", "", Some(&["AB-1234".into()]), None).outcome, Outcome::Met);
    }

    #[test]
    fn identifiers_are_found_in_chinese_text() {
        assert_eq!(identifiers("Please give a step-by-step, and/or short, summary of order_id in AB-1234"), ["AB-1234", "order_id"]);
        assert_eq!(
            identifiers("订单号AB-1234，邮箱a.b@x.cn，见https://x.cn/a?b=1。型号X12"),
            ["AB-1234", "X12", "a.b@x.cn", "https://x.cn/a?b=1"]
        );
    }

    #[test]
    fn diff_marks_what_went_and_what_came() {
        assert_eq!(diff("两年", "三年"), "diff: [-两-]{+三+}年");
    }
}
