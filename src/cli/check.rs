//! `roadworthy check`: every mistake, and what is legal but unwise.

use super::args::ProjectArgs;
use super::project::{Opened, Project};
use super::{models, output, project};
use crate::diagnostic::Diagnostic;
use crate::expect::{Check, Expectation};
use crate::options::{EmbeddingSource, Embeddings};
use crate::plan::Planned;
use crate::scenario::lint;
use crate::verdict::Exit;
use regex::Regex;
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;
use std::sync::LazyLock;

pub fn main(args: &ProjectArgs) -> Exit {
    let color = output::color(args.common.color);
    let checked = project::planned(args, Path::new(".")).and_then(|Opened { project, scenarios, planned }| {
        let mut loads = 0;
        for scenario in &scenarios {
            loads += crate::plan::loads(scenario, &project.layout.prefix(&scenario.source.name), 0)?.len();
        }
        let mut warnings: Vec<_> = scenarios.iter().flat_map(|s| [lint::scenario(s), lint::loads(s)].concat()).collect();
        warnings.extend(lint::suite(&scenarios));
        warnings.extend(limited_encoder(&project).and_then(|(name, knows)| lint::encoder(&scenarios, &name, &knows)));
        let options = &project.options;
        let priced = |name: &str| {
            let name = if name == "default" { &project.target } else { name };
            options.targets.get(name).is_some_and(|t| t.price.is_some())
        };
        warnings.extend(lint::helpers(&scenarios, options.judge.is_some(), &priced));
        warnings.extend(missing_goldens(&planned));
        warnings.extend(lint::environment(&project.options.environment, &project.options.production));
        Ok((scenarios.len(), planned.len(), loads, warnings))
    });
    match checked {
        Err(found) => {
            output::diagnostics(&found, color);
            Exit::BadInput
        }
        Ok((_, 0, 0, _)) => {
            output::talk("nothing to check: no scenario was found");
            Exit::NothingRan
        }
        Ok((files, cases, loads, warnings)) => {
            output::diagnostics(&warnings, color);
            let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
            let mut parts = vec![count(files, "file"), count(cases, "case")];
            if loads > 0 {
                parts.push(count(loads, "load"));
            }
            output::data(&format!("{}: no mistakes\n", parts.join(", ")));
            Exit::Pass
        }
    }
}

/// Golden answers that are not there yet: a misspelt name of one would leave its case inconclusive for ever.
fn missing_goldens(planned: &[Planned]) -> Vec<Diagnostic> {
    let missing = |case: &Planned, expectation: &Expectation| match &expectation.check {
        Check::Golden { file, stored: None } => {
            let message =
                format!("{}:{}: there is no golden answer {file} yet, so `{}` stays inconclusive", case.file, expectation.line, case.name);
            Some(Diagnostic::error("no-golden", message).warning().hint("`roadworthy run --accept` stores one"))
        }
        _ => None,
    };
    let of_case = |case: &Planned| {
        let mut expectations = case.versions.iter().flat_map(|v| &v.turns).flat_map(|t| t.expect.iter());
        expectations.find_map(|e| missing(case, e))
    };
    planned.iter().filter_map(of_case).collect()
}

/// Models whose cards say that they are for English. The multilingual ones of the same families have other names.
static ENGLISH_ONLY: LazyLock<Regex> = LazyLock::new(|| {
    let names = r"all-minilm|all-mpnet|all-distilroberta|multi-qa-|paraphrase-(?:minilm|mpnet)|bge-\w+-en|mxbai-embed-large";
    Regex::new(&format!(r"(?i){names}|nomic-embed-text(?:-v1(?:\.5)?)?$|(?:^|/)(?:e5|gte)-(?:small|base|large)(?:-v2)?$"))
        .expect("a constant pattern")
});

type Knows = Box<dyn Fn(char) -> bool>;

/// An encoder that may not know every character, by name, and whether it knows one; `None` when it knows all or nothing is known of it.
fn limited_encoder(project: &Project) -> Option<(String, Knows)> {
    match &project.options.embeddings {
        Some(Embeddings { source: EmbeddingSource::Endpoint { target }, .. }) => {
            let model = project.options.targets.get(target)?.model.clone()?;
            ENGLISH_ONLY.is_match(&model).then(|| (model, Box::new(|c: char| c.is_ascii()) as Knows))
        }
        Some(Embeddings { source: EmbeddingSource::Bert { model_dir }, .. }) => {
            let dir = models::bert_folder(project, model_dir.as_deref());
            let text = std::fs::read_to_string(dir.join("tokenizer.json")).ok()?;
            let tokenizer: Value = serde_json::from_str(&text).ok()?;
            let pieces = tokenizer["model"]["vocab"].as_object()?.keys();
            let single = |piece: &String| {
                let mut chars = piece.trim_start_matches("##").chars();
                chars.next().filter(|_| chars.next().is_none())
            };
            let known: HashSet<char> = pieces.filter_map(single).collect();
            Some((dir.file_name()?.to_string_lossy().into_owned(), Box::new(move |c| known.contains(&c))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::ENGLISH_ONLY;

    #[test]
    fn english_encoders_are_known_by_name() {
        for name in [
            "sentence-transformers/all-MiniLM-L6-v2",
            "BAAI/bge-small-en-v1.5",
            "intfloat/e5-base-v2",
            "thenlper/gte-large",
            "nomic-embed-text",
        ] {
            assert!(ENGLISH_ONLY.is_match(name), "{name}");
        }
        for name in [
            "BAAI/bge-m3",
            "BAAI/bge-small-zh-v1.5",
            "intfloat/multilingual-e5-large",
            "paraphrase-multilingual-MiniLM-L12-v2",
            "nomic-embed-text-v2-moe",
            "Qwen3-Embedding-0.6B",
        ] {
            assert!(!ENGLISH_ONLY.is_match(name), "{name}");
        }
    }
}
