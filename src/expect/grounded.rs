//! Whether an answer stands on the context it was given: sentence by sentence, by shared words, numbers and names.
//!
//! Words alone do not see a negation, so a sentence that negates what its nearest sentence of the context affirms (or the other way
//! round) has no support, however many words they share.

use super::Said;
use super::distance::words;
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Words that say nothing about the subject.
const EMPTY: &[&str] = &[
    "the", "a", "an", "of", "to", "in", "on", "at", "for", "and", "or", "is", "are", "was", "were", "be", "been", "it", "its", "this",
    "that", "with", "as", "by", "from", "will", "can", "you", "your", "they", "their", "has", "have", "had", "do", "does", "did", "yes",
    "there", "which", "的", "了", "是", "在", "和", "与", "及", "或", "也", "就", "都", "而", "于", "为", "有", "个", "这", "那", "您",
    "你", "我", "们", "它", "他", "她", "吗", "呢", "将", "会", "可", "以", "请", "其", "之", "所", "由", "对", "被", "把",
];

/// Marks of negation.
const NEGATIONS: &[&str] = &["not", "no", "never", "cannot", "without", "none", "neither", "nor", "不", "没", "无", "未", "非", "勿", "禁"];

/// Splits a text into sentences. A dot inside a number, a version or after one capital ends none.
pub fn sentences(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    for (i, (at, c)) in chars.iter().enumerate() {
        let next = chars.get(i + 1).map(|(_, c)| *c);
        let ends = match c {
            '。' | '！' | '？' | '!' | '?' | '\n' | '；' | ';' => true,
            '.' => next.is_none_or(char::is_whitespace) && !abbreviation(&text[start..*at]),
            _ => false,
        };
        if ends {
            let end = at + c.len_utf8();
            out.push(text[start..end].trim());
            start = end;
        }
    }
    out.push(text[start..].trim());
    out.retain(|s| s.chars().any(char::is_alphanumeric));
    // The number of a list's item is no sentence; a number alone is an answer.
    let last = out.len().saturating_sub(1);
    let mut i = 0..;
    out.retain(|s| {
        let item = s.strip_suffix(['.', ')', '、']).is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()));
        i.next() == Some(last) || !item
    });
    out
}

fn abbreviation(before: &str) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default();
    matches!(word, "Dr" | "Mr" | "Mrs" | "Ms" | "Prof" | "No" | "vs" | "e.g" | "i.e" | "St")
        || (word.len() == 1 && word.chars().all(char::is_uppercase))
}

/// What a sentence is about: its words without empty ones, Chinese by character, English without common endings.
fn content(text: &str) -> BTreeSet<String> {
    let words = words(text);
    let is_han = |w: &String| w.chars().all(super::chinese::is_han);
    let mut out: BTreeSet<String> =
        words.iter().filter(|w| !is_han(w) && !EMPTY.contains(&w.as_str()) && !negation(w)).map(|w| stem(w)).collect();
    out.extend(words.iter().filter(|w| is_han(w) && !EMPTY.contains(&w.as_str()) && !negation(w)).cloned());
    out
}

fn stem(word: &str) -> String {
    for ending in ["ing", "edly", "ed", "ies", "es", "s", "ly"] {
        if let Some(stem) = word.strip_suffix(ending).filter(|s| s.len() >= 4 && s.is_ascii()) {
            return stem.to_owned();
        }
    }
    word.to_owned()
}

/// Words that turn a direction round.
const DOWN: &[&str] =
    &["fall", "fell", "falling", "decrease", "decreased", "decline", "declined", "drop", "dropped", "unable", "removed", "降", "减", "拒"];

fn negation(word: &str) -> bool {
    NEGATIONS.contains(&word) || DOWN.contains(&word) || word.ends_with("n't") || word.ends_with("n’t")
}

/// Odd counts of negations turn a sentence round; a "no" that opens it only answers the question.
fn negated(text: &str) -> bool {
    let opens = [',', '，', '、', '。', '.'];
    let text = match text.split_once(opens) {
        // Only an opening word: 不防水。 says it itself.
        Some((first, rest)) if first.chars().count() <= 4 && !words(rest).is_empty() && words(first).iter().any(|w| negation(w)) => rest,
        _ => text,
    };
    let mut text = text.to_lowercase();
    for bound in BOUNDS {
        text = text.replace(bound, " ");
    }
    words(&text).iter().filter(|w| negation(w)).count() % 2 == 1
}

/// Negations that set a bound or join clauses, and deny nothing.
const BOUNDS: &[&str] = &[
    "无理由",
    "无条件",
    "无线",
    "无论",
    "不超过",
    "不到",
    "不足",
    "不少于",
    "不低于",
    "不高于",
    "不仅",
    "不过",
    "不然",
    "不同",
    "不论",
    "不管",
    "not only",
    "no later than",
    "no more than",
    "no less than",
    "not yet",
    "only been",
    "no matter",
];

/// Numbers however written: what the context is known to say.
fn figures(text: &str) -> Vec<(f64, Counted)> {
    super::numbers::find(text).into_iter().map(|n| (n.value, Counted::by(&n))).collect()
}

/// A sentence without the number that makes it an item of a list: `1、`, `2)`, `（3）`, `4. `.
fn unnumbered(sentence: &str) -> &str {
    let text = sentence.trim_start_matches(['-', '*', '•', '#', ' ']);
    let inner = text.strip_prefix(['(', '（']).unwrap_or(text);
    let rest = inner.trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() == inner.len() || inner.len() - rest.len() > 3 {
        return sentence;
    }
    // `1.5` is a number.
    let dotted = rest.strip_prefix('.').filter(|item| !item.starts_with(|c: char| c.is_ascii_digit()));
    match rest.strip_prefix(['、', ')', '）', '．']).or(dotted) {
        Some(item) if !item.trim().is_empty() => item,
        _ => sentence,
    }
}

/// Numbers in digits, each with what it counts: 一 in 一些 is no claim.
fn claims(text: &str) -> Vec<(f64, Counted)> {
    super::numbers::find(unnumbered(text)).into_iter().filter(|n| n.digits).map(|n| (n.value, Counted::by(&n))).collect()
}

/// What a number counts: the two words behind it, of Chinese the measure; a sign of a currency before it. Empty when neither.
struct Counted(Vec<String>);

/// Chinese measures that say alone what is counted; behind others (个, 项, 次, 小时, 公里) the next character says it.
const WHOLE_MEASURES: &str = "天年月日周秒元块角岁克米吨升度号页";

impl Counted {
    fn by(number: &super::numbers::Found) -> Counted {
        if let Some(sign) = number.before.chars().next_back().filter(|c| "$€£¥￥".contains(*c)) {
            return Counted(vec![sign.to_string()]);
        }
        let after = number.after.to_lowercase();
        Counted(match after.chars().next() {
            Some(c) if WHOLE_MEASURES.contains(c) => vec![c.to_string()],
            Some(c) if super::chinese::is_han(c) => vec![after.chars().take_while(|c| super::chinese::is_han(*c)).take(2).collect()],
            Some(c) if c.is_ascii_alphabetic() => {
                let clause = after.split(|c: char| !c.is_ascii_alphabetic() && c != ' ').next().unwrap_or_default();
                clause.split(' ').filter(|w| !w.is_empty()).take(2).take_while(|w| !EMPTY.contains(w)).map(stem).collect()
            }
            Some(c) if "%‰°℃".contains(c) => vec![c.to_string()],
            _ => Vec::new(),
        })
    }

    /// 30 days and 30 calendar days count the same, 30 business days do not.
    fn is(&self, other: &Counted) -> bool {
        let holds = |a: &Counted, b: &Counted| a.0.first().is_some_and(|first| b.0.contains(first));
        holds(self, other) || holds(other, self)
    }

    /// Single letters may be anything.
    fn says(&self) -> bool {
        self.0.first().is_some_and(|w| w.chars().count() > 1 || !w.is_ascii() || matches!(w.as_str(), "%" | "$"))
    }
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs().max(1.0)
}

/// Why a number has no support: the context does not hold it, or holds it of something else and others of the same.
/// One that only the question holds may be denied.
fn invented(sentence: &str, known: &[(f64, Counted)], asked: &[(f64, Counted)]) -> Option<String> {
    claims(sentence).into_iter().find_map(|(n, what)| {
        let holders: Vec<&Counted> = known.iter().filter(|(k, _)| same(*k, n)).map(|(_, of)| of).collect();
        let others: Vec<String> = known.iter().filter(|(_, of)| of.is(&what)).map(|(k, _)| k.to_string()).collect();
        let contradicted = what.says() && !others.is_empty() && holders.iter().all(|of| !of.is(&what) && !of.0.is_empty());
        let instead = || format!("the context says {} {}, not {n}", others.join(", "), what.0.join(" "));
        if !holders.is_empty() {
            return contradicted.then(instead);
        }
        match asked.iter().any(|(k, _)| same(*k, n)) {
            true if negated(sentence) => None,
            true if contradicted => Some(instead()),
            true => Some(format!("only the question says {n}")),
            false => Some(format!("the context does not hold {n}")),
        }
    })
}

/// How a sentence stands to the context.
#[derive(Debug, Clone, PartialEq)]
pub struct Support {
    pub sentence: String,
    /// Share of its content words found in the context, 0 to 1.
    pub overlap: f64,
    /// Why it has no support, if it has none.
    pub missing: Option<String>,
}

/// Weighs every sentence of an answer. `min` is the share of its content words that must stand in the context.
pub fn weigh(answer: &str, context: &str, question: &str, min: f64) -> Vec<Support> {
    weigh_by(answer, context, question, &|_, overlap| {
        (overlap < min).then(|| format!("{:.0} % of its words stand in the context", overlap * 100.0))
    })
}

/// Weighs every sentence of an answer. Numbers and negations are always looked at; `strange` says of a sentence and its overlap why the
/// rest of it has no support.
pub(super) fn weigh_by(answer: &str, context: &str, question: &str, strange: &dyn Fn(&str, f64) -> Option<String>) -> Vec<Support> {
    let ground: Vec<(&str, BTreeSet<String>)> = sentences(context).into_iter().flat_map(clauses).map(|s| (s, content(s))).collect();
    let holds = content(context);
    // What the question says supports nothing, and words that only it brought up say nothing about the answer.
    let asked: BTreeSet<String> = content(question).into_iter().filter(|w| !holds.contains(w)).collect();
    let (known, asked_figures) = (figures(context), figures(question));
    sentences(answer)
        .into_iter()
        .filter(|sentence| !is_courtesy(sentence))
        .map(|sentence| {
            let about = content(sentence);
            let weighed = about.iter().filter(|w| !asked.contains(*w)).count();
            let found = about.iter().filter(|w| holds.contains(*w)).count();
            let overlap = match (about.len(), weighed) {
                (0, _) => 1.0,
                (_, 0) => 0.0,
                // A word in common by chance is no support for a sentence that else only repeats the question.
                _ => found as f64 / weighed.max(about.len().div_ceil(3)) as f64,
            };
            let among = |n: f64, figures: &[(f64, Counted)]| figures.iter().any(|(k, _)| same(*k, n));
            // "It is not 1318" denies what the question said.
            let corrects =
                |clause: &str| negated(clause) && claims(clause).iter().any(|(n, _)| !among(*n, &known) && among(*n, &asked_figures));
            let turns_round =
                || clauses(sentence).into_iter().filter(|clause| !corrects(clause)).find_map(|clause| turned(clause, &ground));
            let missing = match invented(sentence, &known, &asked_figures) {
                Some(why) => Some(why),
                None => strange(sentence, overlap)
                    .or_else(|| Some(format!("it turns round \"{}\"", crate::redact::excerpt(turns_round()?, 80)))),
            };
            Support { sentence: sentence.to_owned(), overlap, missing }
        })
        .collect()
}

/// A greeting or a closing word, which claims nothing.
fn is_courtesy(sentence: &str) -> bool {
    static COURTESY: LazyLock<Regex> = LazyLock::new(|| {
        let opening = r"好的|当然(?:可以)?|没问题|sure|of course|great question|good question|happy to help|很高兴为(?:您|你)服务|(?:您|你)好[,，]?感谢(?:您|你)的(?:咨询|提问)|(?:還|还)有什(?:么|麼)可以(?:帮|幫)(?:您|你)的?(?:吗|嗎)?|is there anything else i can help you with|thanks for (?:reaching out|asking|your question)|here(?:'s| is) (?:a|the) (?:summary|answer)[:：]?";
        let greeting = r"(?:尊敬的.{0,6})?(?:您|你|大家)好(?:呀|啊)?|hello(?: there)?|hi(?: there)?|thank you|thanks|谢谢(?:您|你)?(?:的提问|的咨询)?|感谢(?:您|你)的(?:提问|咨询|耐心等待)";
        let closing = r"希望(?:(?:以上|这些)(?:信息|内容|回答))?(?:能|可以)?(?:对(?:您|你))?(?:有所|有)?(?:帮助|帮到(?:您|你))|祝(?:您|你)(?:生活|购物|使用)?愉快|i hope (?:this|that) helps|hope (?:this|that) helps|如(?:果(?:您|你)?(?:还)?)?有(?:其他|任何)?(?:问题|疑问)[,，]?(?:欢迎|请)随时(?:提问|咨询|联系我|联系我们|告诉我)|(?:please )?let me know if you have (?:any )?(?:other |more |further )?questions";
        Regex::new(&format!(r"(?i)^[\s*#-]*(?:{opening}|{greeting}|{closing})[\s!！,，。.~～😊]*$")).expect("a constant pattern")
    });
    COURTESY.is_match(sentence.trim())
}

/// The parts between commas, and the whole when it is short.
fn clauses(sentence: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = sentence.split(['，', '；', ';']).flat_map(|p| p.split(", ")).map(str::trim).collect();
    // What is cut too small says nothing alone.
    parts.retain(|p| content(p).len() >= 3);
    if parts.is_empty() { vec![sentence] } else { parts }
}

/// The clause of the context that says nearly the same with the opposite sign.
fn turned<'a>(clause: &str, ground: &[(&'a str, BTreeSet<String>)]) -> Option<&'a str> {
    let about = content(clause);
    let likeness = |g: &BTreeSet<String>| about.intersection(g).count() as f64 / about.len().min(g.len()).max(1) as f64;
    // A shared number says that the same thing is spoken of.
    let weight = |w: &String| if w.chars().any(|c| c.is_ascii_digit()) { 3.0 } else { 1.0 };
    let rank = |g: &BTreeSet<String>| about.intersection(g).map(weight).sum::<f64>() / about.union(g).map(weight).sum::<f64>().max(1.0);
    let (against, words) = ground.iter().max_by(|a, b| rank(&a.1).total_cmp(&rank(&b.1)))?;
    (likeness(words) >= 0.6 && negated(against) != negated(clause)).then_some(against)
}

pub(super) fn grounded(text: &str, ground: &str, question: &str, min: f64) -> Said {
    said(&weigh(text, ground, question, min))
}

/// What the weighed sentences come to.
pub(super) fn said(weighed: &[Support]) -> Said {
    if weighed.is_empty() {
        return Said::cannot("the answer has no sentence that could stand on the context");
    }
    let open: Vec<&Support> = weighed.iter().filter(|s| s.missing.is_some()).collect();
    let mut said = Said::content(
        open.is_empty(),
        if open.is_empty() {
            format!("all {} sentences have support in the context", weighed.len())
        } else {
            format!("{} of {} sentences have no support in the context", open.len(), weighed.len())
        },
    );
    for s in open.iter().take(5) {
        said = said.evidence(format!(
            "no support: \"{}\" — {}",
            crate::redact::excerpt(&s.sentence, 160),
            s.missing.as_deref().unwrap_or_default()
        ));
    }
    said
}

/// Whether the answer takes anything from the context that the question does not hold already.
pub(super) fn uses_context(text: &str, ground: &str, question: &str, min: f64) -> Said {
    let asked = content(question);
    let fresh: BTreeSet<String> = content(text).into_iter().filter(|w| !asked.contains(w)).collect();
    let ground = content(ground);
    let taken = fresh.iter().filter(|w| ground.contains(*w)).count();
    let share = if fresh.is_empty() { 0.0 } else { taken as f64 / fresh.len() as f64 };
    Said::content(
        share >= min && taken > 0,
        format!(
            "{taken} of the {} words that the question does not hold come from the context ({:.0} %), expected {:.0} %",
            fresh.len(),
            share * 100.0,
            min * 100.0
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_something_else_is_no_support() {
        let context = "The X200 costs 299 dollars. It supports returns within 30 days. Battery life is 12 hours.";
        let open = |answer: &str, context: &str| weigh(answer, context, "", 0.4).into_iter().find_map(|s| s.missing);
        assert_eq!(open("The X200 costs 30 dollars.", context).as_deref(), Some("the context says 299 dollar, not 30"));
        assert_eq!(open("The X200 costs 299 dollars, and returns are possible within 30 days.", context), None);
        assert!(open("电池续航 30 小时。", "电池续航12小时。支持30天内退货。").is_some());
        assert_eq!(open("1. 续航12小时。\n2. 可以退货。", "电池续航12小时。支持30天内退货，可以退货。"), None);
        assert_eq!(open("保修费是1.2万元。", "保修费是1.2万元。"), None);
        assert_eq!(said(&weigh("👍", context, "", 0.4)).outcome, crate::finding::Outcome::Unjudgeable);
        let distance = "北京到上海的距离是1213公里。";
        let asked = |answer: &str| weigh(answer, distance, "北京到上海的距离是1318公里，对吗？", 0.4).into_iter().find_map(|s| s.missing);
        assert_eq!(asked("是的，北京到上海的距离是1318公里。").as_deref(), Some("the context says 1213 公里, not 1318"));
        assert_eq!(asked("不是1318公里，北京到上海的距离是1213公里。"), None);
        assert!(weigh("火星上有两只老虎在唱歌。", distance, "火星上有两只老虎在唱歌吗？", 0.4)[0].missing.is_some());
        assert_eq!(said(&weigh("30", context, "", 0.4)).outcome, crate::finding::Outcome::Met);
        assert_eq!(said(&weigh("40.", context, "", 0.4)).outcome, crate::finding::Outcome::Missed);
    }

    #[test]
    fn the_same_measure_in_other_words_is_support() {
        let open = |answer: &str, context: &str| weigh(answer, context, "", 0.0).into_iter().find_map(|s| s.missing);
        let days = "Returns are possible within 30 calendar days, and refunds take 10 business days or 5 days by card.";
        assert_eq!(open("You have 30 days.", days), None);
        assert_eq!(open("You have 30 calendar days.", "Return it within 30 days; a refund takes 10 calendar days."), None);
        assert!(open("A refund takes 30 business days.", days).is_some());
        assert_eq!(open("30天免费退货。", "支持30天内退货，7天无理由换货。"), None);
        assert_eq!(open("1、支持30天退货。\n2) 30天内退货。\n（3）30天退货", "支持30天内退货，7天无理由换货。"), None);
        assert!(open("7个月保修。", "保修36个月，共7个型号。").is_some());
    }
}
