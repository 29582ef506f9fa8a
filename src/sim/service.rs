//! The state of a simulated service while it runs.

use super::asked::Asked;
use super::metrics::Counters;
use super::script::{Rule, Script};
use crate::clock::Pacer;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::{Notify, Semaphore};

pub struct Service {
    pub script: Script,
    pub pacer: Pacer,
    pub started: Instant,
    pub slots: Option<Arc<Semaphore>>,
    pub stop: Notify,
    log: Option<Mutex<std::fs::File>>,
    pub counters: Counters,
    /// How often the same body came, so that draws differ between repeats and not between runs.
    repeats: Mutex<HashMap<u64, u64>>,
    /// Hashes of prompts that the cache holds.
    pub cached: Mutex<HashSet<u64>>,
    pub leaked: Mutex<Vec<Vec<u8>>>,
}

/// Different bodies whose repeats are counted, at most.
const REMEMBERED: usize = 1 << 14;

impl Service {
    pub fn new(script: Script) -> std::io::Result<Service> {
        let log = script.log.as_ref().map(std::fs::File::create).transpose()?.map(Mutex::new);
        Ok(Service {
            pacer: Pacer::start(),
            started: Instant::now(),
            slots: script.slots.map(|n| Arc::new(Semaphore::new(n))),
            stop: Notify::new(),
            log,
            counters: Counters::new(),
            repeats: Mutex::default(),
            cached: Mutex::default(),
            leaked: Mutex::default(),
            script,
        })
    }

    /// Draws for this request: the same for the same body in the same position, whatever else runs.
    pub fn draws(&self, body: &[u8]) -> ChaCha8Rng {
        let hash = crate::units::fnv(body.iter().copied());
        let mut repeats = self.repeats.lock().expect("no panic under this lock");
        if repeats.len() >= REMEMBERED {
            // A load with a nonce in each prompt never repeats itself.
            repeats.clear();
        }
        let n = repeats.entry(hash).or_default();
        *n += 1;
        ChaCha8Rng::seed_from_u64(self.script.seed ^ hash ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn rule(&self, asked: &Asked, rng: &mut ChaCha8Rng) -> Option<&Rule> {
        self.script.rules.iter().find(|rule| {
            let w = &rule.when;
            let fits = (w.contains.is_empty() || w.contains.iter().any(|t| asked.prompt.contains(t.as_str())))
                && w.matches.as_ref().is_none_or(|r| r.is_match(&asked.prompt))
                && w.system.as_ref().is_none_or(|t| asked.system.contains(t.as_str()))
                && w.seen.as_ref().is_none_or(|t| asked.earlier.contains(t.as_str()))
                && w.model.as_ref().is_none_or(|m| *m == asked.model)
                && w.share.is_none_or(|share| rng.random::<f64>() < share);
            fits && rule
                .taken
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| w.times.is_none_or(|max| n < max).then_some(n + 1))
                .is_ok()
        })
    }

    pub fn log(&self, request: u64, what: &str) {
        if let Some(log) = &self.log {
            let us = self.started.elapsed().as_nanos() as f64 / 1e3;
            let mut log = log.lock().expect("no panic under this lock");
            // The log is a help for tests; a full disk must not stop the service.
            let _ = writeln!(log, "{{\"us\":{us:.1},\"request\":{request},\"event\":\"{what}\"}}");
        }
    }
}
