//! The reference pages, made from the grammar, so that it cannot say anything else than the reader reads.

use super::grammar::{Key, Kind, Word};
use super::vocabulary::{CASE_KEYS, CONFIG_KEYS, EXPECTATIONS, LOAD_KEYS, SIM_KEYS};

const MADE: &str = "Made from the grammar by `UPDATE=1 cargo test --test architecture`; edit `src/scenario/vocabulary/` instead.";

/// The page on scenarios, in Markdown.
pub fn page() -> String {
    let mut out = format!("# The scenario language\n\n{MADE}\n\n## A case\n\n");
    keys(CASE_KEYS, 0, &mut out);
    out.push_str(TEMPLATES);
    out.push_str("\n## Expectations\n\nAn expectation is a word (`refuses`) or a map with one key (`length: 20..60`). ");
    out.push_str("Most look at the answer; `of` makes them look at something else: `of: reasoning`, `of: { turn: 2 }`, `of: { json: \"$.summary\" }`.\n");
    for word in EXPECTATIONS {
        expectation(word, &mut out);
    }
    out.push_str("\n## A load\n\n");
    self::keys(LOAD_KEYS, 0, &mut out);
    out
}

const TEMPLATES: &str = "
## Variables

`{{ name }}` in a text is filled in by minijinja, strictly: an unknown name is an error. Variables come from `vars`, `matrix` and the
columns of a `dataset`; filters such as `{{ name | upper }}` and `{{ list | join(\", \") }}` work. A placeholder that stands alone is the value
itself, so `numbers: \"{{ n }}\"` takes a number. What stands in a row is data and is never filled in. In YAML a text that begins with
`{{` needs quotes.
";

/// The page on the configuration and on simulated services, in Markdown.
pub fn settings_page() -> String {
    let mut out = format!("# Configuration\n\n{MADE}\n\n{LADDER}\n## roadworthy.yaml\n\n");
    keys(CONFIG_KEYS, 0, &mut out);
    out.push_str("\n## A simulated service (`*.sim.yaml`)\n\n");
    keys(SIM_KEYS, 0, &mut out);
    out
}

const LADDER: &str = "\
`roadworthy.yaml` is looked for from the working directory upwards. What counts, each over the one before: what is built in, the file, the
profile (`--profile ci`), the environment (`ROADWORTHY_BASE_URL`, `ROADWORTHY_MODEL`, `ROADWORTHY_API_KEY`, `ROADWORTHY_CONCURRENCY`), flags.
`roadworthy config` shows the result and where each value comes from. `\"${NAME}\"` and `\"${NAME:-default}\"` are filled in from the
environment, in the common part and in the chosen profile; whatever a variable brings into a key or a header is shown nowhere. A
target that lacks a variable is an error only where a case, a load or a judge uses it. A `ROADWORTHY_BASE_URL` that is set and empty is an
error: it must not turn into a run on another service.
";

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
        match kind {
            Kind::Map(map) => {
                out.push('\n');
                keys(map, 0, out);
            }
            Kind::Dict(Kind::Either(values)) => {
                let plain: Vec<String> = values.iter().filter(|k| !matches!(k, Kind::Map(_))).map(Kind::says).collect();
                out.push_str(&format!("\nUnder each of its keys stands {}, or a map:\n\n", plain.join(", or ")));
                values.iter().for_each(|k| {
                    if let Kind::Map(map) = k {
                        keys(map, 0, out)
                    }
                });
            }
            _ => {}
        }
    }
}

fn keys(keys: &[Key], depth: usize, out: &mut String) {
    for key in keys {
        let inner: &[Kind] = match &key.kind {
            Kind::Either(kinds) => kinds,
            Kind::List(inner) | Kind::Dict(inner) if matches!(inner, Kind::Map(_)) => std::slice::from_ref(inner),
            Kind::List(Kind::Either(kinds)) | Kind::Dict(Kind::Either(kinds)) => kinds,
            kind => std::slice::from_ref(kind),
        };
        let maps: Vec<&[Key]> = inner.iter().filter_map(|k| if let Kind::Map(keys) = k { Some(*keys) } else { None }).collect();
        let plain: Vec<String> = inner.iter().filter(|k| !matches!(k, Kind::Map(_))).map(Kind::says).collect();
        let takes = if plain.is_empty() { String::new() } else { format!(" ({})", plain.join(", or ")) };
        let doc = if key.doc.is_empty() { String::new() } else { format!(": {}", key.doc) };
        let required = if key.required { ", required" } else { "" };
        out.push_str(&format!("{}- `{}`{takes}{required}{doc}\n", "  ".repeat(depth), key.name));
        // `of` is told once, and so are the request parameters: those of a case.
        if depth < 3 && key.name != "of" && (key.name != "params" || depth == 0) {
            maps.iter().for_each(|map| self::keys(map, depth + 1, out));
        }
    }
}
