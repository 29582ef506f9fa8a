//! Which planned cases a command asks for.

use super::Planned;
use crate::scenario::Layer;
use std::collections::HashMap;
use std::time::Duration;

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
    pub ids: Option<std::collections::HashSet<String>>,
    /// One part of so many, from 1, by the hash of the id.
    pub shard: Option<(u64, u64)>,
    /// How long cases took in an earlier run, by id: shards then take about as long as each other. A case that is new takes as long
    /// as most do.
    pub took: Option<HashMap<String, Duration>>,
}

impl Selection {
    /// Splits a plan into what is asked for and the number of what is not.
    pub fn apply(&self, planned: Vec<Planned>) -> Selected {
        let all = planned.len();
        let mut cases: Vec<Planned> = planned.into_iter().filter(|case| self.wants(case)).collect();
        let wanted = cases.len();
        let whole = self.shard.map(|_| fingerprint(&cases));
        match (self.shard, &self.took) {
            (Some((index, of)), Some(took)) => {
                let parts = balanced(cases.iter().map(|c| c.id.as_str()), of, took);
                cases.retain(|case| parts[case.id.as_str()] == index - 1);
            }
            (Some((index, of)), None) => cases.retain(|case| crate::units::fnv(case.id.bytes()) % of == index - 1),
            (None, _) => {}
        }
        Selected { left_out: all - cases.len(), cases, wanted, whole }
    }

    fn wants(&self, case: &Planned) -> bool {
        let fits = |part: &String| if self.exact { case.id == *part } else { case.id.contains(part.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(fits))
            && !self.skip.iter().any(fits)
            && (self.tags.is_empty() || self.tags.iter().any(|t| case.tags.contains(t)))
            && (self.layers.is_empty() || self.layers.contains(&case.layer))
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&case.id))
    }
}

/// What a selection leaves.
#[derive(Debug)]
pub struct Selected {
    pub cases: Vec<Planned>,
    pub left_out: usize,
    /// Before they were shared out among shards.
    pub wanted: usize,
    /// Of a shard: what all shards together run, so that those of different runs are told apart.
    pub whole: Option<String>,
}

/// The ids of cases, and what each of them sends.
fn fingerprint(cases: &[Planned]) -> String {
    let parts = cases.iter().flat_map(|case| case.id.bytes().chain([0]).chain(case.fingerprint.bytes()).chain([0]));
    format!("{:016x}", crate::units::fnv(parts))
}

/// Gives each case its part, from 0: the longest first, each to the part that has least to do. Every shard comes to the same answer.
fn balanced<'a>(ids: impl Iterator<Item = &'a str>, of: u64, took: &HashMap<String, Duration>) -> HashMap<String, u64> {
    let mut known: Vec<Duration> = took.values().copied().collect();
    known.sort();
    let middle = known.get(known.len() / 2).copied().unwrap_or_default();
    let mut ids: Vec<(Duration, &str)> = ids.map(|id| (took.get(id).copied().unwrap_or(middle), id)).collect();
    ids.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let mut load = vec![(Duration::ZERO, 0u64); of.max(1) as usize];
    let mut out = HashMap::new();
    for (took, id) in ids {
        let part = (0..load.len()).min_by_key(|part| load[*part]).unwrap_or(0);
        load[part] = (load[part].0 + took, load[part].1 + 1);
        out.insert(id.to_owned(), part as u64);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_take_about_as_long_as_each_other() {
        let took: HashMap<String, Duration> =
            (0..20).map(|i| (format!("c{i}"), Duration::from_secs(if i == 0 { 60 } else { 5 }))).collect();
        let mut ids: Vec<String> = took.keys().cloned().chain(["new".to_owned()]).collect();
        let parts = balanced(ids.iter().map(String::as_str), 3, &took);
        let seconds =
            |part: u64| -> u64 { parts.iter().filter(|(_, p)| **p == part).map(|(id, _)| took.get(id).map_or(5, Duration::as_secs)).sum() };
        assert_eq!((0..3).map(seconds).sum::<u64>(), 60 + 19 * 5 + 5);
        assert!((0..3).map(seconds).all(|s| (50..=60).contains(&s)), "{parts:?}");
        // Whatever the order in which a shard sees them.
        ids.reverse();
        assert_eq!(balanced(ids.iter().map(String::as_str), 3, &took), parts);
    }
}
