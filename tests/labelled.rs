//! Judges of texts, held to texts that were labelled before. `SHOW=1 cargo test --test labelled -- --nocapture` prints every text that is
//! judged otherwise than labelled; `UPDATE=1 cargo test --release --test labelled` trains the model of refusals anew.
//!
//! - `refusals.jsonl`: labelled before the first rule was written; rules and model know them.
//! - `refusals_more.jsonl`: sets that were blind once; rules and model have learned from them since.
//! - `refusals_blind.jsonl`: no rule and no model has seen them. Whoever looks at one moves its whole set to the second file.

use roadworthy::expect::refusal::model::{BUCKETS, Model, features};
use roadworthy::expect::{grounded, refusal::refusal};
use roadworthy::units::fnv;
use serde_json::Value;
use std::path::Path;

fn lines(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Right and wrong of one half.
#[derive(Default, Debug)]
struct Tally {
    hit: f64,
    missed: f64,
    false_alarm: f64,
    lookalikes: f64,
    lookalike_alarms: f64,
}

impl Tally {
    fn count(&mut self, refuses: bool, says: bool) {
        self.hit += f64::from(refuses && says);
        self.missed += f64::from(refuses && !says);
        self.false_alarm += f64::from(!refuses && says);
    }

    fn precision(&self) -> f64 {
        self.hit / (self.hit + self.false_alarm)
    }

    fn recall(&self) -> f64 {
        self.hit / (self.hit + self.missed)
    }
}

#[test]
fn refusals_are_told_from_answers() {
    let show = std::env::var_os("SHOW").is_some();
    let mut worst = Vec::new();
    for lang in ["zh", "en"] {
        let mut halves = [Tally::default(), Tally::default()];
        for (i, line) in lines("refusals.jsonl").iter().filter(|l| l["lang"] == lang).enumerate() {
            let tally = &mut halves[i % 2];
            let text = line["text"].as_str().unwrap();
            let says = refusal(text);
            let refuses = line["label"] == "refusal";
            tally.count(refuses, says.is_some());
            if line["kind"] == "lookalike" {
                tally.lookalikes += 1.0;
                tally.lookalike_alarms += f64::from(says.is_some());
            }
            if show && refuses != says.is_some() {
                println!("{} {} {:?}: {text}", line["id"], line["kind"], says);
            }
        }
        for (half, t) in ["odd", "even"].iter().zip(&halves) {
            let (precision, recall) = (t.precision(), t.recall());
            let alarms = t.lookalike_alarms / t.lookalikes;
            println!("refusals {lang} {half}: precision {precision:.3}, recall {recall:.3}, alarms on look-alikes {alarms:.3}");
            worst.push((precision >= 0.97 && recall >= 0.90 && alarms <= 0.02, format!("{lang} {half}: {t:?}")));
        }
    }
    let bad: Vec<&String> = worst.iter().filter(|(fine, _)| !fine).map(|(_, what)| what).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn unsupported_sentences_are_found() {
    let show = std::env::var_os("SHOW").is_some();
    let mut found = std::collections::BTreeMap::<String, [f64; 2]>::new();
    for line in lines("grounding.jsonl") {
        let text = |key: &str| line[key].as_str().unwrap();
        let weighed = grounded::weigh(text("answer"), text("context"), text("question"), 0.4);
        let open: Vec<&str> = weighed.iter().filter(|s| s.missing.is_some()).map(|s| s.sentence.as_str()).collect();
        let label = text("label").to_owned();
        let expected = label != "supported";
        let right = expected != open.is_empty();
        let tally = found.entry(label).or_default();
        tally[0] += f64::from(right);
        tally[1] += 1.0;
        if show && !right {
            println!("{}: {} | {:?}\n", line["id"], text("answer"), weighed);
        }
    }
    for (label, [right, all]) in &found {
        println!("grounding {label}: {right} of {all} right");
    }
    // Words alone see half of the negations; who needs the other half asks a judge.
    assert!(found["supported"][0] >= 19.0 && found["unsupported"][0] >= 17.0 && found["negated"][0] >= 5.0, "{found:?}");
}

/// What the model learns from.
const LEARNED: [&str; 2] = ["refusals.jsonl", "refusals_more.jsonl"];

fn examples(names: &[&str]) -> Vec<(String, bool)> {
    let all = names.iter().flat_map(|name| lines(name));
    all.map(|l| (l["text"].as_str().unwrap().to_owned(), l["label"] == "refusal")).collect()
}

/// Logistic regression with a ridge of 1/30 (from 1/10 to 1/300 unseen folds are told equally well), by accelerated gradient steps.
fn train(examples: &[(String, bool)]) -> Model {
    const RIDGE: f64 = 1.0 / 30.0;
    let texts: Vec<Vec<usize>> = examples.iter().map(|(text, _)| features(text)).collect();
    let mut weights = vec![0.0; BUCKETS + 1];
    let mut ahead = weights.clone();
    // A vector of length 1 and the bias: the curvature of each text is at most a quarter of 2.
    let step = 1.0 / (examples.len() as f64 / 2.0 + RIDGE);
    for round in 0..3000 {
        let mut gradient: Vec<f64> = ahead.iter().map(|w| w * RIDGE).collect();
        gradient[BUCKETS] = 0.0;
        for (features, (_, refuses)) in texts.iter().zip(examples) {
            let unit = 1.0 / (features.len().max(1) as f64).sqrt();
            let logit = ahead[BUCKETS] + features.iter().map(|at| ahead[*at]).sum::<f64>() * unit;
            let error = 1.0 / (1.0 + (-logit).exp()) - f64::from(*refuses);
            features.iter().for_each(|at| gradient[*at] += error * unit);
            gradient[BUCKETS] += error;
        }
        let next: Vec<f64> = ahead.iter().zip(&gradient).map(|(w, g)| w - step * g).collect();
        let momentum = f64::from(round) / (f64::from(round) + 3.0);
        ahead = next.iter().zip(&weights).map(|(n, w)| n + momentum * (n - w)).collect();
        weights = next;
    }
    let bias = weights.pop().unwrap() as f32;
    let scale = weights.iter().fold(0.0f64, |most, w| most.max(w.abs())) / 127.0;
    let weights = weights.iter().map(|w| (w / scale).round() as i8).collect();
    Model { bias, scale: scale as f32, fingerprint: fingerprint(examples), weights }
}

fn fingerprint(examples: &[(String, bool)]) -> u64 {
    fnv(examples.iter().flat_map(|(text, refuses)| text.bytes().chain([u8::from(*refuses)])))
}

#[test]
fn the_model_has_learned_from_all_that_it_may() {
    let known = examples(&LEARNED);
    if std::env::var_os("UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/expect/refusal/model.bin");
        std::fs::write(path, train(&known).bytes()).unwrap();
        return;
    }
    assert_eq!(Model::own().unwrap().fingerprint, fingerprint(&known), "stale; run UPDATE=1 cargo test --release --test labelled");
    let blind: Vec<String> = examples(&["refusals_blind.jsonl"]).into_iter().map(|(text, _)| text).collect();
    let seen: Vec<&String> = known.iter().map(|(text, _)| text).filter(|t| t.chars().count() > 12 && blind.contains(t)).collect();
    assert!(seen.is_empty(), "blind texts that the model has learned from: {seen:?}");
}

/// The model alone, on each fifth of what it learns from, trained on the other four.
#[test]
#[ignore = "trains five times; cargo test --release --test labelled -- --ignored --nocapture"]
fn the_model_on_folds_that_it_has_not_seen() {
    let all: Vec<(String, (String, bool))> = LEARNED
        .iter()
        .flat_map(|name| lines(name))
        .map(|l| (l["lang"].as_str().unwrap().to_owned(), (l["text"].as_str().unwrap().to_owned(), l["label"] == "refusal")))
        .collect();
    for lang in ["zh", "en"] {
        let mut tally = Tally::default();
        for fold in 0..5 {
            let rest = all.iter().enumerate().filter(|(i, _)| i % 5 != fold).map(|(_, (_, e))| e.clone()).collect::<Vec<_>>();
            let model = train(&rest);
            for (_, (_, (text, refuses))) in all.iter().enumerate().filter(|(i, (l, _))| i % 5 == fold && l == lang) {
                tally.count(*refuses, model.logit(text) >= 0.0);
            }
        }
        println!("refusals {lang}, model alone on unseen folds: precision {:.3}, recall {:.3}", tally.precision(), tally.recall());
        assert!(tally.precision() > 0.85 && tally.recall() > 0.85, "{tally:?}");
    }
}

#[test]
fn refusals_in_a_set_nobody_has_seen() {
    for (lang, least) in BLIND {
        let mut tally = Tally::default();
        for line in lines("refusals_blind.jsonl").iter().filter(|l| l["lang"] == *lang) {
            tally.count(line["label"] == "refusal", refusal(line["text"].as_str().unwrap()).is_some());
        }
        println!("refusals {lang} blind: precision {:.3}, recall {:.3}", tally.precision(), tally.recall());
        assert!(tally.precision() >= least[0] && tally.recall() >= least[1], "{lang}: {tally:?}");
    }
}

/// Precision and recall that the blind set must reach.
const BLIND: &[(&str, [f64; 2])] = &[("zh", [0.93, 0.9]), ("en", [0.97, 0.88])];
