//! Judges that stand on word lists, held to texts that were labelled before the rules were written. `SHOW=1 cargo test --test
//! labelled -- --nocapture` prints every text that is judged otherwise than labelled.

use roadworthy::expect::{grounded, refusal};
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
            match (refuses, says.is_some()) {
                (true, true) => tally.hit += 1.0,
                (true, false) => tally.missed += 1.0,
                (false, true) => tally.false_alarm += 1.0,
                (false, false) => {}
            }
            if line["kind"] == "lookalike" {
                tally.lookalikes += 1.0;
                tally.lookalike_alarms += f64::from(says.is_some());
            }
            if show && refuses != says.is_some() {
                println!("{} {} {:?}: {text}", line["id"], line["kind"], says);
            }
        }
        for (half, t) in ["odd", "even"].iter().zip(&halves) {
            let (precision, recall) = (t.hit / (t.hit + t.false_alarm), t.hit / (t.hit + t.missed));
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

#[test]
fn refusals_in_a_set_no_rule_has_seen() {
    for lang in ["zh", "en"] {
        let mut tally = Tally::default();
        for line in lines("refusals_blind.jsonl").iter().filter(|l| l["lang"] == lang) {
            let says = refusal(line["text"].as_str().unwrap()).is_some();
            let refuses = line["label"] == "refusal";
            tally.hit += f64::from(refuses && says);
            tally.missed += f64::from(refuses && !says);
            tally.false_alarm += f64::from(!refuses && says);
        }
        let (precision, recall) = (tally.hit / (tally.hit + tally.false_alarm), tally.hit / (tally.hit + tally.missed));
        println!("refusals {lang} blind: precision {precision:.3}, recall {recall:.3}");
        // Below what the tuned set shows, and the truer figure: nobody may tune rules on this set.
        assert!(precision >= 0.92 && recall >= 0.90, "{lang}: {tally:?}");
    }
}
