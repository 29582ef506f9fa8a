//! Damage to a text, character by character.

use super::Mutation;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use unicode_segmentation::UnicodeSegmentation;

/// The i-th of `count` variants.
pub(super) fn mutated(mutation: &Mutation, prompt: &str, i: usize, count: usize, rng: &mut ChaCha8Rng) -> String {
    match mutation {
        Mutation::RepeatTo { chars } => {
            let length = chars / 2 + chars.div_ceil(2) * (i + 1) / count.max(1);
            let unit = if prompt.is_empty() { "字" } else { prompt };
            unit.chars().cycle().take(length).collect()
        }
        Mutation::Garble => {
            sprinkled(prompt, rng, 3, &["�", "\\x", "@#$%", "〓", "▒", "ÿ", "¿", "{{", "NaN", "ﾃ", "\u{fffd}\u{fffd}", ";;;"])
        }
        Mutation::Mojibake => mojibake(prompt, i, rng),
        Mutation::Control => sprinkled(
            prompt,
            rng,
            4,
            &["\u{0}", "\u{7}", "\u{8}", "\u{1b}[2J", "\u{1b}[31m", "\u{7f}", "\u{85}", "\u{9b}1m", "\r", "\u{b}"],
        ),
        Mutation::ZeroWidth => {
            sprinkled(prompt, rng, 2, &["\u{200b}", "\u{200c}", "\u{200d}", "\u{2060}", "\u{feff}", "\u{ad}", "\u{34f}"])
        }
        Mutation::Homoglyphs => replaced(prompt, rng, look_alike),
        Mutation::FullWidth => {
            // Less and less stays as it was.
            let share = (i % 10 + 1) * 10;
            prompt.chars().map(|c| if rng.random_range(0..100) < share || i == 0 { width(c) } else { c }).collect::<String>() + "　"
        }
        Mutation::Typos => typos(prompt, rng),
        Mutation::Casing => cased(prompt, i, rng),
        Mutation::Truncate => {
            let clusters: Vec<&str> = prompt.graphemes(true).collect();
            let keep = clusters.len() * (i + 1) / (count + 1);
            // Cut inside a word, and where that leaves all, an unfinished start.
            clusters[..keep].concat()
                + if clusters.len() <= count { ["", "，", "(", "\"", "{", "[", "因为", "and", "-", "1."][i % 10] } else { "" }
        }
        Mutation::EmojiFlood => {
            let flood: String = (0..50 + 25 * i).map(|_| EMOJI[rng.random_range(0..EMOJI.len())]).collect();
            if i.is_multiple_of(2) { format!("{flood}{prompt}") } else { format!("{prompt}{flood}") }
        }
        Mutation::RightToLeft => right_to_left(prompt, i, rng),
        Mutation::Empty => ["", " ", "\n", "　", "\t", "\u{200b}", "\u{feff}", "\r\n", "\u{a0}", "\u{3164}"][i % 10].to_owned(),
        Mutation::Injection | Mutation::Jailbreak | Mutation::Ambiguous | Mutation::Phrases(_) => prompt.to_owned(),
    }
}

const EMOJI: &[&str] = &["😀", "🔥", "👩‍👩‍👧‍👦", "🇨🇳", "👍🏿", "🏳️‍🌈", "🧑🏽‍🚀", "❤️", "🐉", "🥟", "#️⃣", "👨‍💻"];

/// Puts scraps between the characters, one for every few of them and at least one.
fn sprinkled(text: &str, rng: &mut ChaCha8Rng, every: usize, scraps: &[&str]) -> String {
    let mut out = String::from(scraps[rng.random_range(0..scraps.len())]);
    for cluster in text.graphemes(true) {
        out.push_str(cluster);
        if rng.random_range(0..every) == 0 {
            out.push_str(scraps[rng.random_range(0..scraps.len())]);
        }
    }
    out
}

/// What UTF-8 looks like after a wrong decoding.
fn mojibake(text: &str, i: usize, rng: &mut ChaCha8Rng) -> String {
    let latin = |t: &str| t.bytes().map(char::from).collect::<String>();
    let made = match i % 4 {
        0 => latin(text),
        1 => latin(&latin(text)),
        2 => text.chars().map(|c| if c.is_ascii() { c.to_string() } else { "锟斤拷".into() }).collect(),
        _ => {
            // Bytes lost on the way.
            let bytes: Vec<u8> = text.bytes().filter(|_| rng.random_range(0..6) > 0).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    // Text in ASCII survives any decoding, so a wrongly decoded mark is added.
    format!("{made}{}", ["â€œ", "ï»¿", "锘�", "烫烫烫", "Ã©", "ä½ å¥½", "屯屯", "�?", "ã€‚", "Â "][i % 10])
}

fn replaced(text: &str, rng: &mut ChaCha8Rng, swap: fn(char) -> char) -> String {
    let chars: Vec<char> = text.chars().collect();
    let candidates: Vec<usize> = (0..chars.len()).filter(|i| swap(chars[*i]) != chars[*i]).collect();
    if candidates.is_empty() {
        return format!("{text}\u{13a0}{}", rng.random_range(0..1000));
    }
    let sure = candidates[rng.random_range(0..candidates.len())];
    chars.iter().enumerate().map(|(i, c)| if i == sure || rng.random_range(0..2) == 0 { swap(*c) } else { *c }).collect()
}

/// A character that looks alike and is another one.
fn look_alike(c: char) -> char {
    const PAIRS: &[(char, char)] = &[
        ('a', 'а'),
        ('c', 'с'),
        ('e', 'е'),
        ('i', 'і'),
        ('j', 'ј'),
        ('o', 'о'),
        ('p', 'р'),
        ('s', 'ѕ'),
        ('x', 'х'),
        ('y', 'у'),
        ('A', 'Α'),
        ('B', 'Β'),
        ('E', 'Ε'),
        ('H', 'Η'),
        ('I', 'Ι'),
        ('K', 'Κ'),
        ('M', 'Μ'),
        ('N', 'Ν'),
        ('O', 'Ο'),
        ('P', 'Ρ'),
        ('T', 'Τ'),
        ('X', 'Χ'),
        ('Z', 'Ζ'),
        ('日', '曰'),
        ('未', '末'),
        ('己', '已'),
        ('土', '士'),
        ('人', '⼈'),
        ('大', '⼤'),
        ('文', '⽂'),
        ('字', '宇'),
        ('天', '夭'),
        ('下', '丅'),
        ('面', '⾯'),
        ('总', '怱'),
        ('的', '旳'),
        ('请', '清'),
        ('一', '⼀'),
        ('二', '⼆'),
        ('月', '⽉'),
        ('水', '⽔'),
        ('木', '⽊'),
        ('工', '⼯'),
        ('口', '⼝'),
        ('长', '⻓'),
        ('用', '⽤'),
        ('0', 'О'),
        ('1', 'l'),
        ('。', '｡'),
    ];
    PAIRS.iter().find(|(from, _)| *from == c).map_or(c, |(_, to)| *to)
}

fn width(c: char) -> char {
    match c {
        ' ' => '　',
        '!'..='~' => char::from_u32(c as u32 + 0xfee0).unwrap_or(c),
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '。' => '.',
        c => c,
    }
}

/// Swapped, dropped and doubled characters, and those that people confuse: one for about ten characters, and at least one.
fn typos(text: &str, rng: &mut ChaCha8Rng) -> String {
    const CONFUSED: &[(char, char)] = &[
        ('的', '地'),
        ('地', '得'),
        ('在', '再'),
        ('再', '在'),
        ('他', '她'),
        ('做', '作'),
        ('以', '已'),
        ('那', '哪'),
        ('下', '夏'),
        ('文', '问'),
        ('请', '情'),
        ('e', 'r'),
        ('a', 's'),
        ('t', 'y'),
        ('i', 'o'),
    ];
    let mut clusters: Vec<String> = text.graphemes(true).map(str::to_owned).collect();
    if clusters.is_empty() {
        return "teh".chars().skip(rng.random_range(0..3)).collect();
    }
    for _ in 0..=clusters.len() / 10 {
        let at = rng.random_range(0..clusters.len());
        let single = clusters[at].chars().next().unwrap_or(' ');
        match (rng.random_range(0..4), CONFUSED.iter().find(|(from, _)| *from == single)) {
            (_, Some((_, to))) => clusters[at] = to.to_string(),
            (0, _) if at + 1 < clusters.len() && clusters[at] != clusters[at + 1] => clusters.swap(at, at + 1),
            (1, _) if clusters.len() > 1 => {
                clusters.remove(at);
            }
            _ => {
                let doubled = clusters[at].clone();
                clusters.insert(at, doubled);
            }
        }
    }
    let out = clusters.concat();
    if out == text { format!("{out}{}", clusters[rng.random_range(0..clusters.len())]) } else { out }
}

fn cased(text: &str, i: usize, rng: &mut ChaCha8Rng) -> String {
    let out: String = match i % 3 {
        0 => text.to_uppercase(),
        1 => text.chars().enumerate().map(|(k, c)| if k % 2 == 0 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect(),
        _ => text.chars().map(|c| if rng.random_range(0..2) == 0 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect(),
    };
    if out == text { format!("{out} {}", ["PLEASE", "pLeAsE", "PLEASE!!!"][i % 3]) } else { out }
}

fn right_to_left(text: &str, i: usize, rng: &mut ChaCha8Rng) -> String {
    let reversed: String = text.graphemes(true).rev().collect();
    let word = ["مرحبا", "שלום", "كيف الحال", "תודה"][rng.random_range(0..4)];
    match i % 5 {
        0 => format!("\u{202e}{text}\u{202c}{i}"),
        1 => format!("\u{202e}{reversed} {word}"),
        2 => format!("\u{2067}{word} {text}\u{2069}{i}"),
        3 => format!("{word} {text} {word}{i}"),
        _ => format!("\u{2066}{text}\u{202b}{word}{i}"),
    }
}
