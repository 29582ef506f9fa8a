//! How far an answer is from reference texts, by shared words, word sequences and edits. Of several references the best counts.

use super::Said;
use super::text::nfc;
use std::collections::HashMap;
use unicode_segmentation::UnicodeSegmentation;

/// Which ROUGE: n-grams of one or two words (Lin 2004), or the longest common subsequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rouge {
    One,
    Two,
    L,
}

impl Rouge {
    pub fn named(name: &str) -> Option<Rouge> {
        Some(match name {
            "1" => Rouge::One,
            "2" => Rouge::Two,
            "l" | "L" => Rouge::L,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Rouge::One => "ROUGE-1",
            Rouge::Two => "ROUGE-2",
            Rouge::L => "ROUGE-L",
        }
    }
}

/// How many edits are fine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Edits {
    Count(u64),
    /// Of the longer text's length.
    Share(f64),
}

/// Texts longer than this are not compared by tables of their product.
const MAX_CELLS: usize = 100_000_000;

/// Words in lower case; a Han character is a word of its own.
pub fn words(text: &str) -> Vec<String> {
    let text: String = nfc(&super::chinese::half_width(text)).to_lowercase();
    text.unicode_words().map(str::to_owned).collect()
}

fn grams(words: &[String], n: usize) -> HashMap<&[String], usize> {
    let mut counts = HashMap::new();
    for gram in words.windows(n) {
        *counts.entry(gram).or_insert(0) += 1;
    }
    counts
}

fn shared(a: &HashMap<&[String], usize>, b: &HashMap<&[String], usize>) -> usize {
    a.iter().map(|(gram, n)| (*n).min(b.get(gram).copied().unwrap_or(0))).sum()
}

fn f1(shared: usize, a: usize, b: usize) -> f64 {
    if a + b == 0 { 0.0 } else { 2.0 * shared as f64 / (a + b) as f64 }
}

/// Length of the longest common subsequence.
fn common(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0usize; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

/// The F measure of two word lists, 0 to 1.
pub fn rouge(a: &[String], b: &[String], kind: Rouge) -> f64 {
    match kind {
        Rouge::L => f1(common(a, b), a.len(), b.len()),
        Rouge::One | Rouge::Two => {
            let n = if kind == Rouge::One { 1 } else { 2 };
            let (x, y) = (grams(a, n), grams(b, n));
            f1(shared(&x, &y), a.len().saturating_sub(n - 1), b.len().saturating_sub(n - 1))
        }
    }
}

/// Sentence BLEU of up to four words (Papineni 2002), one added to counts above single words (Lin and Och 2004), 0 to 1.
pub fn bleu(candidate: &[String], references: &[Vec<String>]) -> f64 {
    if candidate.is_empty() || references.is_empty() {
        return 0.0;
    }
    let mut log = 0.0;
    for n in 1..=4 {
        let have = grams(candidate, n);
        let counts: Vec<_> = references.iter().map(|r| grams(r, n)).collect();
        let matched: usize =
            have.iter().map(|(gram, k)| (*k).min(counts.iter().filter_map(|c| c.get(gram)).copied().max().unwrap_or(0))).sum();
        let total: usize = have.values().sum();
        let extra = usize::from(n > 1);
        if matched + extra == 0 {
            return 0.0;
        }
        log += ((matched + extra) as f64 / (total + extra).max(1) as f64).ln() / 4.0;
    }
    let length = candidate.len() as f64;
    let nearest = references.iter().map(|r| r.len()).min_by_key(|n| (n.abs_diff(candidate.len()), *n)).unwrap_or(0) as f64;
    let brevity = if length >= nearest { 1.0 } else { (1.0 - nearest / length).exp() };
    brevity * log.exp()
}

/// Edits between two texts in grapheme clusters after NFC, and the longer length; `None` when they are too long.
fn edits(a: &str, b: &str) -> Option<(usize, usize)> {
    let (a, b) = (nfc(a.trim()), nfc(b.trim()));
    let (a, b): (Vec<&str>, Vec<&str>) = (a.graphemes(true).collect(), b.graphemes(true).collect());
    if a.len().saturating_mul(b.len()) > MAX_CELLS {
        return None;
    }
    let distance = strsim::generic_levenshtein(&Clusters(&a), &Clusters(&b));
    Some((distance, a.len().max(b.len())))
}

struct Clusters<'a>(&'a [&'a str]);

impl<'a, 'b> IntoIterator for &'b Clusters<'a> {
    type Item = &'a str;
    type IntoIter = std::iter::Copied<std::slice::Iter<'b, &'a str>>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().copied()
    }
}

pub(super) fn judge_rouge(text: &str, to: &[String], kind: Rouge, min: f64) -> Said {
    let have = words(text);
    let lists: Vec<Vec<String>> = to.iter().map(|t| words(t)).collect();
    if kind == Rouge::L && lists.iter().any(|l| l.len().saturating_mul(have.len()) > MAX_CELLS) {
        return Said::cannot("the texts are too long for ROUGE-L; use `rouge: { kind: 1, … }`");
    }
    let best = best(to, lists.iter().map(|l| rouge(&have, l, kind)));
    Said::content(best.0 >= min, format!("{} {:.3}, expected at least {min}; nearest: {}", kind.word(), best.0, short(best.1)))
}

pub(super) fn judge_bleu(text: &str, to: &[String], min: f64) -> Said {
    let score = bleu(&words(text), &to.iter().map(|t| words(t)).collect::<Vec<_>>());
    Said::content(score >= min, format!("BLEU {score:.3}, expected at least {min}; reference: {}", short(&to[0])))
}

pub(super) fn judge_levenshtein(text: &str, to: &[String], max: Edits) -> Said {
    let mut nearest: Option<(usize, usize, &String)> = None;
    for reference in to {
        let Some((distance, length)) = edits(text, reference) else {
            return Said::cannot("the texts are too long to count edits");
        };
        if nearest.is_none_or(|(d, ..)| distance < d) {
            nearest = Some((distance, length, reference));
        }
    }
    let Some((distance, length, reference)) = nearest else { return Said::cannot("there is no reference") };
    let (met, limit) = match max {
        Edits::Count(n) => (distance as u64 <= n, n.to_string()),
        Edits::Share(share) => (distance as f64 <= share * length as f64 + 1e-9, format!("{:.0} % of {length}", share * 100.0)),
    };
    Said::content(met, format!("{distance} edits from {}, expected at most {limit}", short(reference)))
}

fn best(to: &[String], scores: impl Iterator<Item = f64>) -> (f64, &str) {
    let best = scores.zip(to).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or((0.0, ""), |(score, text)| (score, text.as_str()))
}

fn short(text: &str) -> String {
    format!("\"{}\"", crate::redact::excerpt(text, 60))
}

/// Compares with a stored answer; without one there is nothing to say yet.
pub(super) fn judge_golden(text: &str, file: &str, stored: Option<&str>) -> Said {
    let plain = |t: &str| nfc(&t.trim().replace("\r\n", "\n")).into_owned();
    match stored {
        None => {
            Said::unsure(crate::finding::Topic::Content, format!("there is no golden answer yet; `run --accept` stores this one as {file}"))
        }
        Some(golden) if plain(golden) == plain(text) => Said::content(true, "answer is the golden one"),
        Some(golden) => Said::content(false, format!("answer differs from the golden one in {file}; `run --accept` stores the new one"))
            .evidence(super::text::diff(&plain(golden), &plain(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn w(text: &str) -> Vec<String> {
        words(text)
    }

    #[test]
    fn chinese_is_compared_character_by_character() {
        assert_eq!(w("今天天气好，OK！"), ["今", "天", "天", "气", "好", "ok"]);
    }

    #[test]
    fn rouge_as_published() {
        // Lin 2004, section 3.2: the candidate shares a subsequence of three of four words.
        let (reference, candidate) = (w("police killed the gunman"), w("police kill the gunman"));
        assert!((rouge(&candidate, &reference, Rouge::L) - 0.75).abs() < 1e-12);
        assert!((rouge(&candidate, &reference, Rouge::Two) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(rouge(&[], &[], Rouge::L), 0.0);
    }

    #[test]
    fn bleu_is_one_for_the_reference_and_punishes_brevity() {
        let reference = w("the cat is on the mat today");
        assert!((bleu(&reference, std::slice::from_ref(&reference)) - 1.0).abs() < 1e-12);
        let short = bleu(&w("the cat is on"), std::slice::from_ref(&reference));
        assert!(short < 0.5 && short > 0.0, "{short}");
        assert_eq!(bleu(&w("dog"), &[reference]), 0.0);
    }

    #[test]
    fn edits_count_what_a_person_sees() {
        assert_eq!(edits("e\u{301}té", "été"), Some((0, 3)));
        assert_eq!(edits("两年", "三年"), Some((1, 2)));
    }
}
