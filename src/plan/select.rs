//! Which planned cases a command asks for.

use super::Planned;
use crate::scenario::Layer;

/// Filters as given on the command line; empty ones let everything through.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Parts of ids; any of them must fit.
    pub filters: Vec<String>,
    /// The filters are whole ids.
    pub exact: bool,
    /// Parts of ids that must not fit (whole ids with `exact`).
    pub skip: Vec<String>,
    pub tags: Vec<String>,
    pub layers: Vec<Layer>,
    /// Only these ids, such as the last run's failures.
    pub ids: Option<Vec<String>>,
    /// One part of so many, from 1, by the hash of the id.
    pub shard: Option<(u64, u64)>,
}

impl Selection {
    /// Splits a plan into what is asked for and the number of what is not.
    pub fn apply(&self, planned: Vec<Planned>) -> (Vec<Planned>, usize) {
        let all = planned.len();
        let kept: Vec<Planned> = planned.into_iter().filter(|case| self.wants(case)).collect();
        let out = all - kept.len();
        (kept, out)
    }

    fn wants(&self, case: &Planned) -> bool {
        let fits = |part: &String| if self.exact { case.id == *part } else { case.id.contains(part.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(fits))
            && !self.skip.iter().any(fits)
            && (self.tags.is_empty() || self.tags.iter().any(|t| case.tags.contains(t)))
            && (self.layers.is_empty() || self.layers.contains(&case.layer))
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&case.id))
            && self.shard.is_none_or(|(index, of)| crate::units::fnv(case.id.bytes()) % of == index - 1)
    }
}
