//! `compare`: what changed in answers between two records: verdicts, key facts, fields, texts and times. `drift`: whether the answers
//! of many runs have moved.

use super::args::{CompareArgs, DriftArgs};
use super::output::{self, data, talk};
use super::{merge, models, project};
use crate::compare::compare;
use crate::compare::drift::{self, Moved};
use crate::options::EmbeddingSource;
use crate::record::RunRecord;
use crate::report::versus;
use crate::verdict::Exit;
use std::path::{Path, PathBuf};

pub fn main(args: &CompareArgs) -> Exit {
    let read = |path| crate::journal::read(path).map_err(|why| talk(&format!("error: {why}")));
    let (Ok(a), Ok(b)) = (read(&args.a), read(&args.b)) else { return Exit::BadInput };
    let compared = compare(&a, &b);
    if compared.both == 0 {
        talk("error: the two records have no case in common");
        return Exit::NothingRan;
    }
    data(&crate::redact::harmless(&compared.text));
    // Another wording with the same facts is no difference worth failing for, unless asked.
    let exit = if compared.facts > 0 || args.strict && compared.texts > 0 { Exit::Failed } else { Exit::Pass };
    exit.worse(page(args.html.as_deref(), || versus::render([&[a], &[b]], Some(&compared), &[])))
}

fn page(path: Option<&Path>, render: impl FnOnce() -> String) -> Exit {
    let Some(path) = path else { return Exit::Pass };
    match output::write_file(path, &render()) {
        Ok(()) => {
            talk(&format!("page: {}", path.display()));
            Exit::Pass
        }
        Err(why) => {
            talk(&format!("error: {why}"));
            Exit::NotWritten
        }
    }
}

fn records(path: &PathBuf) -> Result<Vec<RunRecord>, String> {
    merge::journals(std::slice::from_ref(path))?.iter().map(|p| crate::journal::read(p)).collect()
}

pub fn drift(args: &DriftArgs) -> Exit {
    let (reference, present) = match (records(&args.reference), records(&args.present)) {
        (Ok(reference), Ok(present)) => (reference, present),
        (Err(why), _) | (_, Err(why)) => {
            talk(&format!("error: {why}"));
            return Exit::BadInput;
        }
    };
    let encoder = match args.vectors.then(|| encoder(args)).transpose() {
        Ok(encoder) => encoder,
        Err(why) => {
            talk(&format!("error: {why}"));
            return Exit::CouldNotJudge;
        }
    };
    let embed = encoder.as_ref().map(|e| move |text: &str| e.embed(text));
    let moved = drift::drift(&reference, &present, embed.as_ref().map(|e| e as &dyn Fn(&str) -> Vec<f32>));
    if moved.is_empty() {
        talk("error: the two sides have no case with the same prompt in common, or too few answers");
        return Exit::NothingRan;
    }
    data(&told(&moved));
    let exit = if moved.iter().any(|m| m.drifted) { Exit::Failed } else { Exit::Pass };
    let written = args.json.as_deref().map_or(Exit::Pass, |path| {
        let text = serde_json::to_string_pretty(&moved).unwrap_or_default() + "\n";
        output::write_file(path, &text).map_or_else(
            |why| {
                talk(&format!("error: {why}"));
                Exit::NotWritten
            },
            |()| Exit::Pass,
        )
    });
    exit.worse(written).worse(page(args.html.as_deref(), || versus::render([&reference, &present], None, &moved)))
}

fn told(moved: &[Moved]) -> String {
    let mut text = String::new();
    for one in moved {
        let word = if one.drifted { "moved" } else { "steady" };
        text.push_str(&format!("{word:<7} {:<8} {} and {} answers: {}\n", one.what, one.n[0], one.n[1], one.why));
    }
    let n = moved.iter().filter(|m| m.drifted).count();
    text + &format!("{n} of {} figures moved\n", moved.len())
}

/// The built-in encoder, from where the configuration says it lies.
fn encoder(args: &DriftArgs) -> Result<Box<dyn crate::run::Encoder>, String> {
    let project = project::open(&args.common, Path::new(".")).ok();
    let dir = project.and_then(|p| match p.options.embeddings {
        Some(crate::options::Embeddings { source: EmbeddingSource::BuiltIn { model_dir: Some(dir) }, .. }) => Some(p.root.join(dir)),
        _ => None,
    });
    models::encoder(dir, None)
}
