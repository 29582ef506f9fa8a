//! Cuts a prompt into sentences and phrases. Put together again, the parts are the text.

/// Cuts after each character that `ends` says, with the white space behind it.
fn cut(text: &str, ends: impl Fn(char, Option<char>) -> bool) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let last = out.len() - 1;
        out[last].push(c);
        let next = chars.peek().copied();
        // Several marks in a row, and closing quotes, belong to the sentence they end.
        let goes_on = next.is_some_and(|n| n.is_whitespace() || ends(n, None) || matches!(n, '”' | '’' | '」' | '』' | '"' | ')' | '）'));
        // What follows the mark: in the white space behind it, that white space.
        let after = if c.is_whitespace() { Some(' ') } else { next };
        let ended = out[last].trim_end().chars().next_back().is_some_and(|e| {
            let quoted = out[last].trim_end().trim_end_matches(['”', '’', '」', '』', '"', ')', '）']);
            ends(e, after) || quoted.chars().next_back().is_some_and(|e| ends(e, after))
        });
        if ended && !goes_on && next.is_some() {
            out.push(String::new());
        }
    }
    // White space alone is no part.
    let mut parts: Vec<String> = Vec::new();
    for part in out.into_iter().filter(|p| !p.is_empty()) {
        match parts.last_mut() {
            Some(before) if part.trim().is_empty() => before.push_str(&part),
            _ => parts.push(part),
        }
    }
    parts
}

/// Sentences and lines.
pub fn sentences(text: &str) -> Vec<String> {
    cut(text, |c, next| match c {
        '。' | '！' | '？' | '!' | '?' | '\n' => true,
        // A dot inside a number or a name ends nothing.
        '.' => next.is_none_or(char::is_whitespace),
        _ => false,
    })
}

/// Parts between commas, colons and semicolons; of a text without any, groups of words.
pub fn phrases(text: &str) -> Vec<String> {
    let by_mark = cut(text, |c, next| match c {
        '，' | '、' | '；' | '：' | ';' => true,
        ',' | ':' => next.is_none_or(char::is_whitespace),
        _ => false,
    });
    if by_mark.len() > 1 {
        return by_mark;
    }
    let words: Vec<&str> = text.split_inclusive(char::is_whitespace).collect();
    let size = words.len().div_ceil(6).max(1);
    words.chunks(size).map(<[&str]>::concat).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_put_together_are_the_text() {
        for text in [
            "你是客服。保修期为 24 个月，电池除外！问：多长？",
            "It costs 3.5 yuan. Really?  Yes, e.g. today.\nNext line",
            "",
            "one",
            "。。",
        ] {
            assert_eq!(sentences(text).concat(), text);
            assert_eq!(phrases(text).concat(), text);
        }
        assert_eq!(sentences("你好。价格 3.5 元！”他说。"), ["你好。", "价格 3.5 元！”", "他说。"]);
        assert_eq!(sentences("It costs 3.5 yuan. Really? Yes"), ["It costs 3.5 yuan. ", "Really? ", "Yes"]);
        assert_eq!(phrases("保修期为两年，电池除外"), ["保修期为两年，", "电池除外"]);
        assert_eq!(phrases("a b c d e f g h").len(), 4);
    }
}
