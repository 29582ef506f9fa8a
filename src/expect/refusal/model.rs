//! A linear model over the words of a text: the logit of "this declines what was asked".
//!
//! Features are single tokens, pairs of neighbours, and the first one to three tokens; a token is a Latin word or any other character, so
//! Chinese is read by character. They are hashed into [`BUCKETS`], each counts once, and a text's vector has length 1. The weights come
//! from logistic regression on the labelled answers under `tests/data`; `UPDATE=1 cargo test --release --test labelled` trains them anew.

use crate::expect::chinese::half_width;
use crate::units::fnv;
use std::sync::LazyLock;

/// Features that share a bucket cannot be told apart.
pub const BUCKETS: usize = 1 << BITS;
const BITS: u32 = 15;

/// Bias and scale as little-endian `f32`, a 64-bit fingerprint of the training texts, and a signed byte for every bucket.
static WEIGHTS: &[u8] = include_bytes!("model.bin");
const HEAD: usize = 16;

/// A trained model.
#[derive(Debug, Clone)]
pub struct Model {
    pub bias: f32,
    /// What a byte of 1 weighs.
    pub scale: f32,
    /// Of the texts that it was trained on.
    pub fingerprint: u64,
    pub weights: Vec<i8>,
}

impl Model {
    /// The one that judges; `None` when its file is damaged.
    pub fn own() -> Option<Model> {
        let four = |at: usize| Some(f32::from_le_bytes(WEIGHTS.get(at..at + 4)?.try_into().ok()?));
        let weights: Vec<i8> = WEIGHTS.get(HEAD..)?.iter().map(|b| *b as i8).collect();
        let fingerprint = u64::from_le_bytes(WEIGHTS.get(8..HEAD)?.try_into().ok()?);
        (weights.len() == BUCKETS).then_some(Model { bias: four(0)?, scale: four(4)?, fingerprint, weights })
    }

    /// As the file holds it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = [self.bias.to_le_bytes(), self.scale.to_le_bytes()].concat();
        out.extend(self.fingerprint.to_le_bytes());
        out.extend(self.weights.iter().map(|w| *w as u8));
        out
    }

    /// Above 0 when the text rather declines.
    pub fn logit(&self, text: &str) -> f64 {
        let features = features(text);
        let sum: i64 = features.iter().map(|at| i64::from(self.weights[*at])).sum();
        f64::from(self.bias) + f64::from(self.scale) * sum as f64 / (features.len().max(1) as f64).sqrt()
    }
}

/// The logit of the own model.
pub(super) fn logit(text: &str) -> f64 {
    static OWN: LazyLock<Model> = LazyLock::new(|| Model::own().expect("the model's file is part of the program"));
    OWN.logit(text)
}

/// The buckets of a text's features, each once, in order.
pub fn features(text: &str) -> Vec<usize> {
    let folded: String = half_width(text)
        .to_lowercase()
        .chars()
        .filter(|c| !matches!(c, '*' | '#' | '>' | '_' | '`'))
        .map(super::rules::simplified)
        .collect();
    let folded = folded.replace(['’', '‘'], "'");
    let tokens = tokens(&folded);
    let bucket = |kind: u8, parts: &[&str]| {
        let bytes = parts.iter().flat_map(|p| p.bytes().chain([b' ']));
        (fnv(std::iter::once(kind).chain(bytes)) >> (64 - BITS)) as usize
    };
    let singles = tokens.iter().map(|t| bucket(b't', &[t]));
    let pairs = tokens.windows(2).map(|pair| bucket(b't', pair));
    let starts = (1..=tokens.len().min(3)).map(|n| bucket(b's', &tokens[..n]));
    let mut out: Vec<usize> = singles.chain(pairs).chain(starts).collect();
    out.sort_unstable();
    out.dedup();
    out
}

/// Latin words with their apostrophes, and every other character but blanks on its own; line breaks count.
fn tokens(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '\'';
    let mut out = Vec::new();
    let mut word = None;
    for (at, c) in text.char_indices() {
        if is_word(c) {
            word.get_or_insert(at);
            continue;
        }
        if let Some(from) = word.take() {
            out.push(&text[from..at]);
        }
        if c == '\n' || !c.is_whitespace() {
            out.push(&text[at..at + c.len_utf8()]);
        }
    }
    out.extend(word.map(|from| &text[from..]));
    out
}
