//! What a reader of a load's figures should know before trusting them.

use super::show_ms;
use crate::record::load::LoadRecord;

/// The shortest steady window that figures should come from, in seconds.
const WINDOW_S: f64 = 30.0;

/// Adds the notes that the figures themselves give rise to.
pub fn add(load: &mut LoadRecord) {
    let mut notes = Vec::new();
    let longest = |f: &dyn Fn(&crate::record::load::Level) -> f64| load.levels.iter().map(f).fold(0.0, f64::max);
    let without = load.levels.iter().filter(|l| l.window_s.is_none()).count();
    if without > 0 {
        notes.push(match without == load.levels.len() {
            true => "there was no steady window, so start and end of the load are part of the figures".to_owned(),
            false => format!("{without} levels had no steady window, so their start and end are part of their figures"),
        });
    }
    let short = load.levels.iter().filter_map(|l| Some((l, l.window_s?))).any(|(l, (a, b))| {
        let e2e = l.figures.e2e.as_ref().map_or(0.0, |d| d.p50 / 1e3);
        b - a < WINDOW_S.max(5.0 * e2e)
    });
    if short {
        notes.push("a steady window is shorter than 30 s or five answers: read the intervals, not the points".to_owned());
    }
    if longest(&|l| l.figures.coalesced) > 0.2 {
        let share = longest(&|l| l.figures.coalesced) * 100.0;
        notes.push(format!(
            "{share:.0} % of the token events shared a read with an earlier one: gaps between tokens (icl) are those of a buffer"
        ));
    }
    let per_chunk = longest(&|l| l.figures.tokens_per_chunk.unwrap_or(1.0));
    if per_chunk > 1.05 {
        notes.push(format!(
            "events hold {per_chunk:.1} tokens on average, so gaps between events (icl) are not gaps between tokens; tpot is"
        ));
    }
    if load.levels.iter().any(|l| l.figures.tokens_from == "chunks" && l.counts.ok > 0) {
        notes.push("the service did not tell its token counts for every answer: events were counted instead".to_owned());
    }
    let late = load.health.stamp_lag_p99;
    let ttft = load.levels.iter().filter_map(|l| l.figures.ttft.as_ref()).map(|d| d.p50).reduce(f64::min).unwrap_or(0.0);
    if late > f64::max(2.0, ttft * 0.02) {
        notes.push(format!("the client was woken up to {} late (p99), and high quantiles of times are too long by as much", show_ms(late)));
    }
    let cached = longest(&|l| l.figures.cached.unwrap_or(0.0));
    if load.prefix_cache == "cold" && cached >= 0.01 {
        notes.push(format!("{:.0} % of the prompt tokens came from the prefix cache, although each prompt begins with a nonce: the beginning of the chat template, or another load", cached * 100.0));
    }
    let ours = |get: &dyn Fn(&crate::record::load::Figures) -> Option<f64>| {
        let all: Vec<(f64, u64)> = load.levels.iter().filter_map(|l| Some((get(&l.figures)?, l.counts.ok))).collect();
        let n: u64 = all.iter().map(|a| a.1).sum();
        (n > 0).then(|| all.iter().map(|(v, n)| v * *n as f64).sum::<f64>() / n as f64)
    };
    if let Some(server) = &load.server {
        let pairs = [
            ("time to first token", server.ttft_mean, ours(&|f| f.ttft.as_ref().map(|d| d.mean))),
            ("time of whole answers", server.e2e_mean, ours(&|f| f.e2e.as_ref().map(|d| d.mean))),
        ];
        for (what, theirs, ours) in pairs {
            if let (Some(theirs), Some(ours)) = (theirs, ours)
                && (ours - theirs).abs() > f64::max(10.0, theirs * 0.2)
            {
                notes.push(format!(
                    "the service says a mean {what} of {}, {} were measured here: the rest is network, proxy or client",
                    show_ms(theirs),
                    show_ms(ours)
                ));
            }
        }
    }
    load.notes.extend(notes);
}
