//! Expectations that need a model to be judged: sentence vectors, or a judge. What the model said is fetched beforehand and
//! handed over, so judging stays pure and a record can be judged again without any model.

use super::ground::{self, Asked};
use super::{Check, Context, Expectation, Said, subject};
use crate::finding::Outcome;
use crate::record::Fetched;

/// What has to be fetched before an expectation can be judged.
#[derive(Debug, Clone, PartialEq)]
pub enum Need {
    /// The mean cosine over all pairs of these texts' vectors; of two texts, their cosine.
    Similarity { key: String, texts: Vec<String> },
    /// The highest cosine between a text's vector and those of others.
    Nearest { key: String, text: String, among: Vec<String> },
    /// The mean direction of these texts' vectors.
    Centroid { key: String, texts: Vec<String> },
    /// Votes of the judge; after a first vote of at least `min` no further one is needed.
    Votes { key: String, rubric: String, prompt: String, answer: String, context: Option<String>, min: f64, votes: u64 },
}

impl Need {
    pub fn key(&self) -> &str {
        match self {
            Need::Similarity { key, .. } | Need::Nearest { key, .. } | Need::Centroid { key, .. } | Need::Votes { key, .. } => key,
        }
    }
}

/// What was fetched for some texts is found again under this: personal data counts by its kind, as a record keeps it, so that a record
/// can be judged again.
pub(super) fn key(texts: &[impl AsRef<str>]) -> String {
    let kept = texts.iter().map(|text| {
        let mut text = text.as_ref().to_owned();
        crate::redact::personal::mask(&mut text);
        text
    });
    crate::units::fingerprint(&kept.collect::<Vec<_>>())
}

/// True when an expectation cannot be judged without a model.
pub fn needs_model(expectation: &Expectation) -> bool {
    super::mentions(expectation, &|c| c.wants_vectors() || c.wants_judge())
}

/// What the expectations of a turn need.
pub fn needs(expectations: &[Expectation], context: &Context) -> Vec<Need> {
    let mut out = Vec::new();
    for expectation in expectations {
        collect(expectation, context, &mut out);
    }
    out
}

fn collect(expectation: &Expectation, context: &Context, out: &mut Vec<Need>) {
    match &expectation.check {
        Check::Not(inner) => collect(inner, context, out),
        Check::All(inner) | Check::Any(inner) => inner.iter().for_each(|e| collect(e, context, out)),
        Check::Similar { to, .. } => {
            if let Ok(text) = subject(&expectation.of, context) {
                out.extend(to.iter().map(|reference| {
                    let texts = vec![text.to_string(), reference.clone()];
                    Need::Similarity { key: key(&texts), texts }
                }));
            }
        }
        Check::Judge { rubric, min, votes } => {
            if let Ok(text) = subject(&expectation.of, context) {
                out.push(Need::Votes {
                    key: key(&[rubric.as_str(), &text]),
                    rubric: rubric.clone(),
                    prompt: context.prompt.to_owned(),
                    answer: text.into_owned(),
                    context: context.ground.map(str::to_owned),
                    min: *min,
                    votes: *votes,
                });
            }
        }
        Check::Grounded(by) | Check::UsesContext(by) => {
            let asked = if matches!(expectation.check, Check::Grounded(_)) { Asked::Grounded } else { Asked::UsesContext };
            if let Ok(text) = subject(&expectation.of, context) {
                out.extend(ground::needs(asked, *by, &text, context));
            }
        }
        _ => {}
    }
}

/// The cosine under a key, the encoder's name, and its default limit.
pub(super) fn similarity<'a>(key: &str, fetched: &'a [Fetched]) -> Result<(f64, &'a str, Option<f64>), String> {
    for f in fetched {
        match f {
            Fetched::Similarity { key: k, cosine, encoder, limit } if k == key => return Ok((*cosine, encoder, *limit)),
            Fetched::Missing { key: k, why } if k == key => return Err(why.clone()),
            _ => {}
        }
    }
    Err("the record holds no sentence vectors for this text".into())
}

/// The mean direction under a key.
pub(super) fn centroid<'a>(key: &str, fetched: &'a [Fetched]) -> Result<&'a crate::record::centroid::Centroid, String> {
    for f in fetched {
        match f {
            Fetched::Centroid { key: k, centroid } if k == key => return Ok(centroid),
            Fetched::Missing { key: k, why } if k == key => return Err(why.clone()),
            _ => {}
        }
    }
    Err("the record holds no sentence vectors for these answers".into())
}

pub(super) fn similar(text: &str, to: &[String], min: Option<f64>, fetched: &[Fetched]) -> Said {
    let mut best: Option<(f64, &str, Option<f64>, &String)> = None;
    for reference in to {
        match similarity(&key(&[text, reference]), fetched) {
            Ok((cosine, encoder, limit)) => {
                if best.is_none_or(|(b, ..)| cosine > b) {
                    best = Some((cosine, encoder, limit, reference));
                }
            }
            Err(why) => return Said::cannot(why),
        }
    }
    let Some((cosine, encoder, limit, reference)) = best else { return Said::cannot("there is no reference") };
    let Some(min) = min.or(limit) else {
        return Said::cannot(format!("the encoder {encoder} has no calibrated limit; write `similar: {{ to: …, min: 0.8 }}`"));
    };
    Said::content(
        cosine + 1e-9 >= min,
        format!("similarity {cosine:.3} ({encoder}), expected at least {min}; nearest: \"{}\"", crate::redact::excerpt(reference, 60)),
    )
}

pub(super) fn judged(text: &str, rubric: &str, min: f64, fetched: &[Fetched]) -> Said {
    let key = key(&[rubric, text]);
    let votes: Vec<(f64, &str)> = fetched
        .iter()
        .filter_map(|f| match f {
            Fetched::Vote { key: k, score, reason } if *k == key => Some((*score, reason.as_str())),
            _ => None,
        })
        .collect();
    if votes.is_empty() {
        let why = fetched.iter().find_map(|f| match f {
            Fetched::Missing { key: k, why } if *k == key => Some(why.clone()),
            _ => None,
        });
        return Said::cannot(why.unwrap_or_else(|| "the record holds no vote of the judge on this answer".into()));
    }
    let mut scores: Vec<f64> = votes.iter().map(|v| v.0).collect();
    scores.sort_by(f64::total_cmp);
    let median = (scores[(scores.len() - 1) / 2] + scores[scores.len() / 2]) / 2.0;
    let spread = if scores.len() > 1 {
        format!(", {} votes from {} to {}", scores.len(), scores[0], scores[scores.len() - 1])
    } else {
        String::new()
    };
    let reason = votes.iter().min_by(|a, b| (a.0 - median).abs().total_cmp(&(b.0 - median).abs())).map_or("", |v| v.1);
    let met = median + 1e-9 >= min;
    let mut said = Said::content(
        met,
        format!("the judge gives {median} of 5{spread}, expected at least {min}: {}", crate::redact::excerpt(reason, 160)),
    );
    if said.outcome == Outcome::Missed {
        said = said.evidence(format!("rubric: {}", crate::redact::excerpt(rubric, 160)));
    }
    said
}
