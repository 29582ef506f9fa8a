//! Turns a harmless prompt into abuse, to see what a service does with it. The same seed gives the same texts on every machine.

mod phrases;
mod text;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What is done to a prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum Mutation {
    /// The prompt again and again, up to this many characters.
    RepeatTo {
        chars: usize,
    },
    Garble,
    Mojibake,
    Control,
    ZeroWidth,
    Homoglyphs,
    FullWidth,
    Typos,
    Casing,
    Truncate,
    EmojiFlood,
    RightToLeft,
    Empty,
    Injection,
    Jailbreak,
    Ambiguous,
    /// A user's own list; `{prompt}` stands for the prompt.
    Phrases(Vec<String>),
}

/// Mutations without arguments, by name.
pub const NAMES: &[&str] = &[
    "garble",
    "mojibake",
    "control",
    "zero_width",
    "homoglyphs",
    "full_width",
    "typos",
    "casing",
    "truncate",
    "emoji_flood",
    "right_to_left",
    "empty",
    "injection",
    "jailbreak",
    "ambiguous",
];

impl Mutation {
    /// The mutation of that name; those with arguments have none.
    pub fn named(name: &str) -> Option<Mutation> {
        Some(match name {
            "garble" => Mutation::Garble,
            "mojibake" => Mutation::Mojibake,
            "control" => Mutation::Control,
            "zero_width" => Mutation::ZeroWidth,
            "homoglyphs" => Mutation::Homoglyphs,
            "full_width" => Mutation::FullWidth,
            "typos" => Mutation::Typos,
            "casing" => Mutation::Casing,
            "truncate" => Mutation::Truncate,
            "emoji_flood" => Mutation::EmojiFlood,
            "right_to_left" => Mutation::RightToLeft,
            "empty" => Mutation::Empty,
            "injection" => Mutation::Injection,
            "jailbreak" => Mutation::Jailbreak,
            "ambiguous" => Mutation::Ambiguous,
            _ => return None,
        })
    }

    pub fn name(&self) -> &'static str {
        match self {
            Mutation::RepeatTo { .. } => "repeat_to",
            Mutation::Garble => "garble",
            Mutation::Mojibake => "mojibake",
            Mutation::Control => "control",
            Mutation::ZeroWidth => "zero_width",
            Mutation::Homoglyphs => "homoglyphs",
            Mutation::FullWidth => "full_width",
            Mutation::Typos => "typos",
            Mutation::Casing => "casing",
            Mutation::Truncate => "truncate",
            Mutation::EmojiFlood => "emoji_flood",
            Mutation::RightToLeft => "right_to_left",
            Mutation::Empty => "empty",
            Mutation::Injection => "injection",
            Mutation::Jailbreak => "jailbreak",
            Mutation::Ambiguous => "ambiguous",
            Mutation::Phrases(_) => "phrases",
        }
    }
}

/// `count` variants of a prompt.
pub fn variants(mutation: &Mutation, prompt: &str, count: usize, seed: u64) -> Vec<String> {
    let name = crate::units::fnv(mutation.name().bytes());
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ name ^ crate::units::fnv(prompt.bytes()));
    match mutation {
        Mutation::Injection | Mutation::Jailbreak | Mutation::Ambiguous => phrases::own(mutation.name(), prompt, count, &mut rng),
        Mutation::Phrases(list) => phrases::cycled(list, prompt, count),
        _ => (0..count).map(|i| text::mutated(mutation, prompt, i, count, &mut rng)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Mutation> {
        let mut all: Vec<Mutation> = NAMES.iter().filter_map(|n| Mutation::named(n)).collect();
        all.push(Mutation::RepeatTo { chars: 1000 });
        all.push(Mutation::Phrases(vec!["ignore {prompt}".into(), "plain".into()]));
        all
    }

    #[test]
    fn any_prompt_can_be_mutated_and_always_alike() {
        let long = "长".repeat(20_000);
        for prompt in ["", "a", "总结下面的文字。", "Sum up the text, please!", "e\u{301}😀👩‍👩‍👧", &long] {
            for mutation in all() {
                let first = variants(&mutation, prompt, 10, 7);
                assert_eq!(first.len(), 10);
                assert_eq!(first, variants(&mutation, prompt, 10, 7), "{mutation:?}");
            }
        }
    }

    #[test]
    fn variants_differ_from_the_prompt_and_from_each_other() {
        let prompt = "请总结下面的文字：The warranty lasts two years.";
        for mutation in all() {
            let mut made = variants(&mutation, prompt, 10, 0);
            let same = made.iter().filter(|m| *m == prompt).count();
            made.sort();
            made.dedup();
            assert!(same == 0, "{mutation:?} left the prompt as it was");
            let enough =
                if matches!(mutation, Mutation::Empty | Mutation::Phrases(_) | Mutation::FullWidth | Mutation::Casing) { 2 } else { 8 };
            assert!(made.len() >= enough, "{mutation:?} gives {} texts", made.len());
        }
    }

    #[test]
    fn over_long_prompts_have_the_length_asked_for() {
        let made = variants(&Mutation::RepeatTo { chars: 1000 }, "你好。", 4, 0);
        let lengths: Vec<usize> = made.iter().map(|t| t.chars().count()).collect();
        assert!(lengths.iter().all(|n| (500..=1000).contains(n)), "{lengths:?}");
        assert_eq!(lengths[3], 1000);
    }

    #[test]
    fn the_language_of_the_prompt_comes_first() {
        let han = |t: &String| t.chars().any(crate::expect::chinese::is_han);
        assert!(variants(&Mutation::Ambiguous, "保修期多长？", 5, 0).iter().all(han));
        assert!(!variants(&Mutation::Ambiguous, "How long is it?", 5, 0).iter().any(han));
    }
}
