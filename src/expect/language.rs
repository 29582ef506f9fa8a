//! Which language a text is in. Scripts decide where they can; statistics only between languages of one script, and
//! a short text there is inconclusive, because guesses on few words are wrong too often to gate on.

use super::Said;
use super::chinese::is_han;
use crate::finding::Topic;

fn in_script(c: char, code: &str) -> bool {
    match code {
        "zh" => is_han(c),
        "ja" => is_han(c) || matches!(c, '\u{3040}'..='\u{30ff}'),
        "ko" => matches!(c, '\u{ac00}'..='\u{d7a3}' | '\u{1100}'..='\u{11ff}'),
        "ru" => matches!(c, '\u{400}'..='\u{4ff}'),
        "ar" => matches!(c, '\u{600}'..='\u{6ff}'),
        "hi" => matches!(c, '\u{900}'..='\u{97f}'),
        "th" => matches!(c, '\u{e00}'..='\u{e7f}'),
        _ => c.is_alphabetic() && (c as u32) < 0x250 || matches!(c, '\u{1e00}'..='\u{1eff}'),
    }
}

fn latin(code: &str) -> Option<whatlang::Lang> {
    use whatlang::Lang;
    Some(match code {
        "en" => Lang::Eng,
        "fr" => Lang::Fra,
        "de" => Lang::Deu,
        "es" => Lang::Spa,
        "pt" => Lang::Por,
        "it" => Lang::Ita,
        "vi" => Lang::Vie,
        _ => return None,
    })
}

pub(super) fn judge(text: &str, code: &str, min: f64) -> Said {
    let letters: Vec<char> = text.chars().filter(|c| c.is_alphabetic()).collect();
    if letters.is_empty() {
        return Said::unsure(Topic::Content, format!("the answer has no letters, so its language cannot be told (expected {code})"));
    }
    // A Latin word is one unit of meaning as a Han character is, so words are weighed, not letters.
    let words = weigh(text, code);
    let share = words.0 as f64 / (words.0 + words.1).max(1) as f64;
    let why = format!("{:.0} % of the answer is in the script of {code}, expected at least {:.0} %", share * 100.0, min * 100.0);
    if share + 1e-9 < min {
        return Said::content(false, why);
    }
    let kana = letters.iter().any(|c| matches!(c, '\u{3040}'..='\u{30ff}'));
    match code {
        "ja" if !kana => return Said::unsure(Topic::Content, "the answer has no kana; it may be Japanese or Chinese"),
        "zh" if kana => {
            let kana = letters.iter().filter(|c| matches!(c, '\u{3040}'..='\u{30ff}')).count();
            if kana * 5 > letters.len() {
                return Said::content(false, "the answer holds kana, so it is Japanese rather than Chinese");
            }
        }
        _ => {}
    }
    let Some(lang) = latin(code) else { return Said::content(true, why) };
    let allow: Vec<whatlang::Lang> = ["en", "fr", "de", "es", "pt", "it", "vi"].iter().filter_map(|c| latin(c)).collect();
    let latin_text: String = text.chars().filter(|c| !is_han(*c)).collect();
    match whatlang::Detector::with_allowlist(allow).detect(&latin_text) {
        Some(info) if info.is_reliable() && latin_text.split_whitespace().count() >= 5 => Said::content(
            info.lang() == lang,
            format!("the answer reads as {} ({:.0} % sure), expected {code}", info.lang().eng_name(), info.confidence() * 100.0),
        ),
        // English short answers are the common case: frequent words settle it without a guess.
        _ if code == "en" && common_english(&latin_text) => Said::content(true, "the answer uses common English words"),
        _ => Said::unsure(Topic::Content, format!("the answer is too short to tell {code} from other Latin languages")),
    }
}

/// Units in the script, and units in others.
fn weigh(text: &str, code: &str) -> (usize, usize) {
    use unicode_segmentation::UnicodeSegmentation;
    let mut inside = 0;
    let mut outside = 0;
    for word in text.unicode_words() {
        let Some(c) = word.chars().find(|c| c.is_alphabetic()) else { continue };
        if in_script(c, code) { inside += 1 } else { outside += 1 }
    }
    (inside, outside)
}

fn common_english(text: &str) -> bool {
    const COMMON: &[&str] = &[
        "the", "is", "are", "you", "i", "hello", "yes", "no", "and", "of", "to", "it", "this", "that", "what", "please", "thanks", "sorry",
        "how",
    ];
    text.split(|c: char| !c.is_alphanumeric()).any(|w| COMMON.contains(&w.to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Outcome;

    #[test]
    fn scripts_decide_and_short_latin_does_not() {
        assert_eq!(judge("你好，我是客服", "zh", 0.6).outcome, Outcome::Met);
        assert_eq!(judge("我用 Rust 写 code", "zh", 0.4).outcome, Outcome::Met);
        assert_eq!(judge("Hello there", "zh", 0.6).outcome, Outcome::Missed);
        assert_eq!(judge("Hello, how are you today?", "en", 0.6).outcome, Outcome::Met);
        assert_eq!(judge("Bonjour", "en", 0.6).outcome, Outcome::Inconclusive);
        assert_eq!(judge("これは日本語です", "zh", 0.3).outcome, Outcome::Missed);
        assert_eq!(judge("12345", "zh", 0.6).outcome, Outcome::Inconclusive);
    }
}
