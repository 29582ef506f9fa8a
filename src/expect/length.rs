//! How long a text is, in the unit asked for.

use super::Said;
use crate::exchange::Usage;
use crate::finding::Topic;
use crate::units::Range;
use unicode_segmentation::UnicodeSegmentation;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// Grapheme clusters after NFC.
    #[default]
    Characters,
    /// Words as Unicode segments them; a Han character is a word of its own.
    Words,
    /// As the service counts them.
    Tokens,
    /// Lines that are not blank.
    Lines,
    Sentences,
    Bytes,
}

impl Unit {
    pub fn named(name: &str) -> Option<Unit> {
        Some(match name {
            "characters" => Unit::Characters,
            "words" => Unit::Words,
            "tokens" => Unit::Tokens,
            "lines" => Unit::Lines,
            "sentences" => Unit::Sentences,
            "bytes" => Unit::Bytes,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Unit::Characters => "characters",
            Unit::Words => "words",
            Unit::Tokens => "tokens",
            Unit::Lines => "lines",
            Unit::Sentences => "sentences",
            Unit::Bytes => "bytes",
        }
    }
}

/// The length of a text; `None` for tokens, which only the service can count.
pub fn measure(text: &str, unit: Unit) -> Option<u64> {
    let n = match unit {
        Unit::Characters => {
            let text = text.trim();
            // Most text holds nothing that joins with its neighbour; then counting is enough.
            if text.chars().all(stands_alone) { text.chars().count() } else { super::text::nfc(text).graphemes(true).count() }
        }
        Unit::Words => text.unicode_words().count(),
        Unit::Lines => text.lines().filter(|l| !l.trim().is_empty()).count(),
        Unit::Sentences => sentences(text),
        Unit::Bytes => text.len(),
        Unit::Tokens => return None,
    };
    Some(n as u64)
}

/// Characters that are a grapheme cluster of their own beside any other such character.
fn stands_alone(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{3001}'..='\u{3011}' | '\u{ff01}'..='\u{ff60}' | '“' | '”' | '‘' | '’' | '…' | '—')
        || super::chinese::is_han(c)
}

/// Sentences end at 。！？!?… or a full stop before white space, and at line ends.
fn sentences(text: &str) -> usize {
    let mut count = 0;
    for line in text.lines() {
        let mut open = false;
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            let ends = matches!(c, '。' | '！' | '？' | '!' | '?' | '…') || c == '.' && chars.peek().is_none_or(|n| n.is_whitespace());
            if ends {
                count += usize::from(open);
                open = false;
            } else if c.is_alphanumeric() {
                open = true;
            }
        }
        count += usize::from(open);
    }
    count
}

pub(super) fn judge(text: &str, range: &Range, unit: Unit, usage: Option<Usage>) -> Said {
    let n = match (measure(text, unit), usage) {
        (Some(n), _) => n,
        (None, Some(usage)) => usage.completion_tokens,
        (None, None) => return Said::cannot("the service did not report token usage, so a length in tokens cannot be judged"),
    };
    Said::when(range.holds(n as f64), Topic::Content, format!("answer has {n} {}, expected {range}", unit.word()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_what_people_see() {
        assert_eq!(measure("👩‍👩‍👧‍👦你好é", Unit::Characters), Some(4));
        assert_eq!(measure("我用 Rust 写 code", Unit::Words), Some(5));
        assert_eq!(measure("你好。吃了吗？Fine. It costs 1.5 yuan", Unit::Sentences), Some(4));
        assert_eq!(measure("a\n\nb", Unit::Lines), Some(2));
    }
}
