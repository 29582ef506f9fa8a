//! By what `grounded` and `uses_context` weigh an answer: shared words, sentence vectors, or the votes of a judge.

use super::grounded::{self, sentences, weigh_by};
use super::meaning::{self, Need, key, similarity};
use super::{Context, Said};
use std::collections::BTreeMap;

/// The measure, with what it asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ground {
    /// Share of words, above 0 and up to 1.
    Words { min: f64 },
    /// Cosine, 0 to 1; [`OF_LIMIT`] of the encoder's own limit when absent.
    Vectors { min: Option<f64> },
    /// Points, above 0 and up to 5.
    Judge { min: f64, votes: u64 },
}

/// Support takes less than sameness: of 20 supported and 20 unsupported answers 18 and 19 are told right by the built-in encoder at four
/// fifths of its limit for `similar`, and 14 and 19 at the whole of it (`tests/data/grounding.jsonl`).
const OF_LIMIT: f64 = 0.8;

/// What the judge is asked for `grounded`.
const SUPPORTED: &str = "Every statement of the answer is supported by the context: nothing is added, no figure is changed, nothing is turned \
round. 5: all of it is supported; 0: a statement is invented or contradicts the context. Quote in the reason every sentence that has no support.";
/// And for `uses_context`.
const USED: &str = "The answer is made from the context, not from general knowledge or from the question alone. 5: what it says comes from \
the context; 0: nothing does. Say in the reason what it takes from the context.";

/// Which of the two expectations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Asked {
    Grounded,
    UsesContext,
}

impl Asked {
    fn rubric(self) -> &'static str {
        match self {
            Asked::Grounded => SUPPORTED,
            Asked::UsesContext => USED,
        }
    }
}

/// What has to be fetched before [`judge`] can say anything.
pub(super) fn needs(asked: Asked, by: Ground, text: &str, context: &Context) -> Vec<Need> {
    let Some(ground) = context.ground else { return Vec::new() };
    match by {
        Ground::Words { .. } => Vec::new(),
        Ground::Vectors { .. } => {
            let among: Vec<String> = sentences(ground).into_iter().map(str::to_owned).collect();
            let mut out = Vec::new();
            for sentence in sentences(text) {
                out.push(Need::Nearest { key: nearest(sentence, ground), text: sentence.to_owned(), among: among.clone() });
                if asked == Asked::UsesContext {
                    let texts = vec![sentence.to_owned(), context.prompt.to_owned()];
                    out.push(Need::Similarity { key: key(&texts), texts });
                }
            }
            out
        }
        Ground::Judge { min, votes } => vec![Need::Votes {
            key: key(&[asked.rubric(), text]),
            rubric: asked.rubric().to_owned(),
            prompt: context.prompt.to_owned(),
            answer: text.to_owned(),
            context: Some(ground.to_owned()),
            min,
            votes,
        }],
    }
}

fn nearest(sentence: &str, ground: &str) -> String {
    key(&["nearest", sentence, ground])
}

pub(super) fn judge(asked: Asked, by: Ground, text: &str, context: &Context) -> Said {
    let Some(ground) = context.ground else { return Said::cannot("the case has no `context` to stand on") };
    match (by, asked) {
        (Ground::Words { min }, Asked::Grounded) => grounded::grounded(text, ground, context.prompt, min),
        (Ground::Words { min }, Asked::UsesContext) => grounded::uses_context(text, ground, context.prompt, min),
        (Ground::Vectors { min }, _) => by_vectors(asked, text, ground, context, min).unwrap_or_else(Said::cannot),
        (Ground::Judge { min, .. }, _) => meaning::judged(text, asked.rubric(), min, context.fetched),
    }
}

fn by_vectors(asked: Asked, text: &str, ground: &str, context: &Context, min: Option<f64>) -> Result<Said, String> {
    let mut cosines: BTreeMap<&str, f64> = BTreeMap::new();
    let mut limit = min;
    let mut name = "";
    for sentence in sentences(text) {
        let (cosine, encoder, own) = similarity(&nearest(sentence, ground), context.fetched)?;
        limit = limit.or(own.map(|own| (own * OF_LIMIT * 1e3).round() / 1e3));
        name = encoder;
        cosines.insert(sentence, cosine);
    }
    let Some(limit) = limit else {
        return Err(match name {
            "" => "the answer has no sentence".to_owned(),
            name => format!("the encoder {name} has no calibrated limit; write `by: vectors, min: 0.7`"),
        });
    };
    if asked == Asked::Grounded {
        let weighed = weigh_by(text, ground, context.prompt, &|sentence, _| {
            let cosine = cosines.get(sentence).copied().unwrap_or(-1.0);
            (cosine + 1e-9 < limit)
                .then(|| format!("the nearest sentence of the context has a similarity of {cosine:.3} ({name}), expected {limit}"))
        });
        return Ok(grounded::said(&weighed));
    }
    // A sentence that only says the question again takes nothing from the context.
    let mut best: Option<(f64, &str)> = None;
    for (sentence, cosine) in cosines {
        let (asked, ..) = similarity(&key(&[sentence, context.prompt]), context.fetched)?;
        if cosine > asked && best.is_none_or(|(b, _)| cosine > b) {
            best = Some((cosine, sentence));
        }
    }
    Ok(match best {
        None => Said::content(false, "every sentence is nearer to the question than to the context"),
        Some((cosine, sentence)) => Said::content(
            cosine + 1e-9 >= limit,
            format!("the sentence nearest to the context has a similarity of {cosine:.3} ({name}), expected at least {limit}"),
        )
        .evidence(format!("nearest: \"{}\"", crate::redact::excerpt(sentence, 160))),
    })
}
