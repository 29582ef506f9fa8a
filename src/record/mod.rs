//! What is kept of a run: every case with every attempt, exchange and finding. The JSON report, and the input of `report` and `replay`.

pub mod centroid;
pub mod load;
pub mod samples;

use crate::exchange::Exchange;
use crate::finding::Finding;
use crate::redact::personal;
use crate::units::ms;
use centroid::Centroid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Version of the saved format. A reader refuses records of a later version.
pub const FORMAT: u32 = 1;

/// The five verdicts, worst last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The evidence meets the case's bar.
    Pass,
    /// Missed, then met the bar on a retry.
    Flaky,
    /// Too few samples to say.
    Inconclusive,
    /// The case could not be judged.
    #[default]
    Error,
    /// The service was reached and does not meet the bar.
    Fail,
}

impl From<crate::finding::Outcome> for Verdict {
    fn from(outcome: crate::finding::Outcome) -> Verdict {
        use crate::finding::Outcome;
        match outcome {
            Outcome::Met => Verdict::Pass,
            Outcome::Missed => Verdict::Fail,
            Outcome::Inconclusive => Verdict::Inconclusive,
            Outcome::Unjudgeable => Verdict::Error,
        }
    }
}

impl Verdict {
    pub const ALL: [Verdict; 5] = [Verdict::Pass, Verdict::Flaky, Verdict::Inconclusive, Verdict::Error, Verdict::Fail];

    /// The lower-case word used in every output.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Flaky => "flaky",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Error => "error",
            Verdict::Fail => "fail",
        }
    }
}

/// What was run, where and by which version.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunHeader {
    pub format: u32,
    pub run_id: String,
    /// Version of roadworthy.
    pub version: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    pub seed: u64,
    pub targets: BTreeMap<String, TargetRecord>,
    /// Free labels such as the image digest, given by `--label`, and the commit when CI tells it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The environment the service runs in, as the config describes it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Which part of the run this is, of how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<(u64, u64)>,
    /// Verdicts beside `fail` and `error` that fail the run, so that whoever reads the record later decides alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fail_on: Vec<String>,
    /// What the run might use at most, such as `requests: 5000`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budget: Vec<String>,
    /// How many cases were to be run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<u64>,
    /// Of a shard: the fingerprint of all cases of the run it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<String>,
}

impl RunHeader {
    /// In what two shards differ that are not of one run. Simulated services and addresses may: each shard may have its own.
    pub fn differs(&self, other: &RunHeader) -> Option<String> {
        let commit = |header: &RunHeader| header.labels.get("commit").cloned();
        let pairs = [
            ("the version of roadworthy", self.version != other.version),
            ("the seed", self.seed != other.seed),
            ("the commit", commit(self) != commit(other)),
            ("`fail_on`", self.fail_on != other.fail_on),
            ("the cases or filters", self.whole != other.whole),
        ];
        pairs.into_iter().find(|(_, differ)| *differ).map(|(what, _)| format!("{what} differ"))
    }
}

/// A service as it was addressed; never holds a key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TargetRecord {
    /// The address, or the file of the simulated service.
    pub address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub concurrency: usize,
}

/// One case with its verdict and all evidence.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CaseRecord {
    pub id: String,
    pub scenario: String,
    pub name: String,
    pub file: String,
    pub line: u32,
    pub layer: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    pub target: String,
    /// Hash of what is sent (messages and parameters), so that a replay notices a changed prompt.
    pub fingerprint: String,
    pub verdict: Verdict,
    /// One line for people; empty for a plain pass.
    #[serde(default)]
    pub why: String,
    /// Set when the case was not run, with the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// One per try; the last decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateEvidence>,
    /// What a load measured; its findings stand in the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Box<load::LoadRecord>>,
    /// Wall time of the whole case, retries and waiting included.
    #[serde(with = "ms", rename = "took_ms")]
    pub took: Duration,
    /// A shell line that sends the deciding request again, the key as `$VAR`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reproduce: String,
}

/// One try of a case: its trials, and what they came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Attempt {
    pub trials: Vec<Trial>,
    /// Fresh measurements that confirmed or cleared a miss against history, each with its trials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<Vec<Trial>>,
    /// The same trials on the service that is compared with, in the same order; they count for no verdict of the case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Trial>,
    /// Judgements over all trials together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<Finding>,
    /// What judging the group needed from a model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fetched: Vec<Fetched>,
}

/// What a judgement needed from a model, kept so that the record can be judged again without it. Keys are fingerprints of the texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fetched {
    /// The mean cosine over all pairs of some texts' sentence vectors, and the encoder's calibrated limit.
    Similarity {
        key: String,
        cosine: f64,
        encoder: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<f64>,
    },
    /// The mean direction of some texts' sentence vectors.
    Centroid { key: String, centroid: Centroid },
    /// One vote of the judge, from 0 to 5.
    Vote { key: String, score: f64, reason: String },
    /// Nothing could be had, and why.
    Missing { key: String, why: String },
}

impl Fetched {
    /// A judge may quote what it judged.
    fn mask_personal(&mut self) {
        if let Fetched::Vote { reason, .. } = self {
            personal::mask(reason);
        }
    }
}

/// One conversation, judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trial {
    /// The seed sent with the request, when trials must differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Which of several inputs was sent: a variant of the prompt, or a mutation of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub verdict: Verdict,
    pub turns: Vec<Turn>,
}

/// One request with its findings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Turn {
    pub exchange: Exchange,
    pub findings: Vec<Finding>,
    /// What judging needed from a model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fetched: Vec<Fetched>,
}

/// Why a pass rate counts as met or not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RateEvidence {
    pub passed: u64,
    pub trials: u64,
    /// One line with the rule, the interval or the test, and the numbers.
    pub rule: String,
}

/// A run as a fold of its events.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunRecord {
    #[serde(rename = "run")]
    pub header: RunHeader,
    /// Cases in the order in which they were planned.
    pub cases: Vec<CaseRecord>,
    /// Absent when the run was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<RunEnd>,
}

/// How the run ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunEnd {
    #[serde(with = "ms", rename = "took_ms")]
    pub took: Duration,
    pub filtered_out: u64,
    /// Why the run stopped early, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl CaseRecord {
    /// True of a case whose run ended before it could be judged.
    pub fn is_not_run(&self) -> bool {
        self.skipped.as_deref().is_some_and(|why| why.starts_with("not run"))
    }
}

impl RunRecord {
    /// Cases that were judged, so not the skipped ones.
    pub fn judged(&self) -> impl Iterator<Item = &CaseRecord> {
        self.cases.iter().filter(|c| c.skipped.is_none())
    }

    /// Whether a case fails the run: by its verdict, or because the run was told that flaky or inconclusive ones do.
    pub fn fails(&self, case: &CaseRecord) -> bool {
        let told = || self.header.fail_on.iter().any(|word| word == case.verdict.word());
        case.skipped.is_none() && (matches!(case.verdict, Verdict::Fail | Verdict::Error) || told())
    }

    /// How many judged cases have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.judged().filter(|c| c.verdict == verdict).count()
    }
}

impl CaseRecord {
    /// True for what is judged about all cases together.
    pub fn is_suite(&self) -> bool {
        self.scenario == "suite" && self.fingerprint.is_empty()
    }

    /// True for what was under way when the run ended: all that is known is that it began.
    pub fn is_cut_off(&self) -> bool {
        self.verdict == Verdict::Error && self.fingerprint.is_empty() && !self.is_suite()
    }

    /// Takes personal data out of everything that came from the service or was sent to it. Each mask tells the kind.
    /// True when a request held some.
    pub fn mask_personal(&mut self) -> bool {
        let mut asked = false;
        let attempts = &mut self.attempts;
        for attempt in attempts.iter_mut() {
            let trials = attempt.trials.iter_mut().chain(&mut attempt.beside).chain(attempt.again.iter_mut().flatten());
            for turn in trials.flat_map(|t| &mut t.turns) {
                asked |= turn.exchange.mask_personal();
                turn.findings.iter_mut().for_each(Finding::mask_personal);
                turn.fetched.iter_mut().for_each(Fetched::mask_personal);
            }
            attempt.group.iter_mut().for_each(Finding::mask_personal);
        }
        let said = self.load.iter_mut().flat_map(|l| &mut l.first_errors).map(|e| &mut e.excerpt);
        said.chain([&mut self.why]).for_each(|text| {
            personal::mask(text);
        });
        personal::mask(&mut self.reproduce);
        asked
    }

    /// The findings of the deciding attempt, in order.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.attempts.last().into_iter().flat_map(Attempt::findings)
    }

    /// Every exchange of every attempt.
    pub fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.attempts.iter().flat_map(Attempt::all_trials).flat_map(|t| &t.turns).map(|t| &t.exchange)
    }
}

impl Attempt {
    /// The trials, then those of fresh measurements.
    pub fn all_trials(&self) -> impl Iterator<Item = &Trial> {
        self.trials.iter().chain(self.again.iter().flatten())
    }

    /// Findings about all trials together, then those of each.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.group.iter().chain(self.all_trials().flat_map(|t| &t.turns).flat_map(|t| &t.findings))
    }

    /// The worst verdict among its trials and of the group.
    pub fn verdict(&self) -> Verdict {
        let group = self.group.iter().map(|f| f.outcome.into());
        self.all_trials().map(|t| t.verdict).chain(group).max().unwrap_or(Verdict::Error)
    }
}
