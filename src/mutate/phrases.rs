//! Adversarial phrasings and ambiguous questions, written for this project, and lists of the user's own.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

const LIST: &str = include_str!("phrases.tsv");

/// Texts of a kind, those in the prompt's language first, in an order drawn by seed.
pub(super) fn own(kind: &str, prompt: &str, count: usize, rng: &mut ChaCha8Rng) -> Vec<String> {
    let letters = prompt.chars().filter(|c| c.is_alphabetic()).count();
    let han = prompt.chars().filter(|c| crate::expect::chinese::is_han(*c)).count();
    let language = if han * 5 > letters { "zh" } else { "en" };
    let (mut near, mut far): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for line in LIST.lines().skip(1) {
        let mut columns = line.splitn(3, '\t');
        let (Some(k), Some(l), Some(text)) = (columns.next(), columns.next(), columns.next()) else { continue };
        if k == kind {
            let text = text.replace("\\n", "\n").replace("\\t", "\t");
            if l == language { near.push(text) } else { far.push(text) }
        }
    }
    shuffle(&mut near, rng);
    shuffle(&mut far, rng);
    near.append(&mut far);
    // A question that cannot be answered replaces the prompt; the others stand around it.
    if kind == "ambiguous" { near.into_iter().cycle().take(count).collect() } else { cycled(&near, prompt, count) }
}

fn shuffle(list: &mut [String], rng: &mut ChaCha8Rng) {
    for i in (1..list.len()).rev() {
        list.swap(i, rng.random_range(0..=i));
    }
}

/// Each phrase around the prompt, from the start again when they run out.
pub(super) fn cycled(list: &[String], prompt: &str, count: usize) -> Vec<String> {
    let around = |phrase: &String| match phrase.contains("{prompt}") {
        true => phrase.replacen("{prompt}", prompt, 1),
        false => format!("{prompt}\n{phrase}"),
    };
    list.iter().cycle().take(if list.is_empty() { 0 } else { count }).map(around).collect()
}

#[cfg(test)]
mod tests {
    use super::LIST;

    #[test]
    fn every_line_has_a_kind_a_language_and_a_text() {
        for line in LIST.lines().skip(1) {
            let columns: Vec<&str> = line.split('\t').collect();
            assert_eq!(columns.len(), 3, "{line}");
            assert!(["injection", "jailbreak", "ambiguous"].contains(&columns[0]) && ["zh", "en"].contains(&columns[1]), "{line}");
            assert!(!columns[2].trim().is_empty());
        }
    }
}
