//! The reference page of the language, made from the grammar, so that it cannot say anything else than the reader reads.

use super::grammar::{Key, Kind, Word};
use super::load_words::LOAD_KEYS;
use super::vocabulary::{CASE_KEYS, EXPECTATIONS};

/// The page in Markdown.
pub fn page() -> String {
    let mut out = String::from(
        "# The scenario language\n\nMade from the grammar by `UPDATE=1 cargo test --test architecture`; edit `src/scenario/vocabulary.rs` instead.\n\n## A case\n\n",
    );
    keys(CASE_KEYS, 0, &mut out);
    out.push_str("\n## Expectations\n\nAn expectation is a word (`refuses`) or a map with one key (`length: 20..60`).\n");
    for word in EXPECTATIONS {
        expectation(word, &mut out);
    }
    out.push_str("\n## A load\n\n");
    self::keys(LOAD_KEYS, 0, &mut out);
    out
}

fn expectation(word: &Word, out: &mut String) {
    out.push_str(&format!("\n### `{}`\n\n{}\n", word.name, word.doc));
    if word.bare {
        out.push_str("\nMay stand alone.\n");
    }
    let forms: &[Kind] = match &word.kind {
        Kind::Either(kinds) => kinds,
        kind => std::slice::from_ref(kind),
    };
    let short: Vec<String> = forms.iter().filter(|k| !matches!(k, Kind::Map(_) | Kind::Bool)).map(Kind::says).collect();
    if !short.is_empty() {
        out.push_str(&format!("\nTakes {}.\n", short.join(", or ")));
    }
    for kind in forms {
        if let Kind::Map(map) = kind {
            out.push('\n');
            keys(map, 0, out);
        }
    }
}

fn keys(keys: &[Key], depth: usize, out: &mut String) {
    for key in keys {
        let inner: &[Kind] = match &key.kind {
            Kind::Either(kinds) => kinds,
            Kind::List(inner) | Kind::Dict(inner) if matches!(inner, Kind::Map(_)) => std::slice::from_ref(inner),
            Kind::List(Kind::Either(kinds)) => kinds,
            kind => std::slice::from_ref(kind),
        };
        let maps: Vec<&[Key]> = inner.iter().filter_map(|k| if let Kind::Map(keys) = k { Some(*keys) } else { None }).collect();
        let plain: Vec<String> = inner.iter().filter(|k| !matches!(k, Kind::Map(_))).map(Kind::says).collect();
        let takes = if plain.is_empty() { String::new() } else { format!(" ({})", plain.join(", or ")) };
        let doc = if key.doc.is_empty() { String::new() } else { format!(": {}", key.doc) };
        let required = if key.required { ", required" } else { "" };
        out.push_str(&format!("{}- `{}`{takes}{required}{doc}\n", "  ".repeat(depth), key.name));
        // The request parameters and `of` say enough with one line.
        if depth < 2 && key.name != "of" {
            maps.iter().for_each(|map| self::keys(map, depth + 1, out));
        }
    }
}
