//! What a judge found: the outcome, what was expected, what was seen, and where the two differ.

use serde::{Deserialize, Serialize};

/// How one expectation turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Met,
    Missed,
    /// Too little evidence to say.
    Inconclusive,
    /// What the judgement needs is not there.
    Unjudgeable,
}

impl Outcome {
    /// Of two that must both hold.
    pub fn and(self, other: Outcome) -> Outcome {
        [Outcome::Missed, Outcome::Unjudgeable, Outcome::Inconclusive]
            .into_iter()
            .find(|o| self == *o || other == *o)
            .unwrap_or(Outcome::Met)
    }

    /// Of two of which one must hold.
    pub fn or(self, other: Outcome) -> Outcome {
        [Outcome::Met, Outcome::Unjudgeable, Outcome::Inconclusive]
            .into_iter()
            .find(|o| self == *o || other == *o)
            .unwrap_or(Outcome::Missed)
    }

    /// Of the opposite.
    pub fn negated(self) -> Outcome {
        match self {
            Outcome::Met => Outcome::Missed,
            Outcome::Missed => Outcome::Met,
            unknown => unknown,
        }
    }
}

/// The kind of miss, a closed list that reports use as a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    Content,
    Schema,
    Threshold,
    Transport,
    Timeout,
    /// A limit that history sets.
    Regression,
    /// What is not the service's doing: a judge that is down, a target that is missing.
    #[serde(alias = "config")]
    Internal,
}

impl Topic {
    /// The lower-case word used in reports.
    pub fn word(self) -> &'static str {
        match self {
            Topic::Content => "content",
            Topic::Schema => "schema",
            Topic::Threshold => "threshold",
            Topic::Transport => "transport",
            Topic::Timeout => "timeout",
            Topic::Regression => "regression",
            Topic::Internal => "internal",
        }
    }
}

/// One judgement with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The expectation as written, such as `contains`.
    pub expectation: String,
    /// 1-based line of the scenario file, 0 when none.
    pub line: u32,
    pub outcome: Outcome,
    pub topic: Topic,
    /// One line that stands alone: what was expected, what came, where they differ.
    pub why: String,
    /// More lines: a diff, a span, a JSON path, numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

impl Finding {
    pub fn mask_personal(&mut self) {
        std::iter::once(&mut self.why).chain(&mut self.evidence).for_each(|text| {
            crate::redact::personal::mask(text);
        });
    }

    pub fn is_met(&self) -> bool {
        self.outcome == Outcome::Met
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome::{self, Inconclusive, Met, Missed, Unjudgeable};

    #[test]
    fn both_either_and_not_are_one_logic() {
        let all = [Met, Missed, Inconclusive, Unjudgeable];
        for (a, b) in all.iter().flat_map(|a| all.map(|b| (*a, b))) {
            // De Morgan's law, and no order of members that matters.
            assert_eq!(a.and(b).negated(), a.negated().or(b.negated()));
            assert_eq!((a.and(b), a.or(b)), (b.and(a), b.or(a)));
        }
        assert_eq!([Missed, Unjudgeable].into_iter().reduce(Outcome::or), Some(Unjudgeable));
        assert_eq!([Missed, Unjudgeable].into_iter().reduce(Outcome::and), Some(Missed));
    }
}
