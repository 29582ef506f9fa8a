//! What a load sends: inputs with weights, each with one or many bodies, and a nonce against prefix caches.

use crate::options::Api;
use crate::plan::load::PlannedInput;
use hyper::body::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Stands in a body where the nonce goes. Plain letters, so that no JSON escape can tear it.
pub const NONCE: &str = "rwnonce0000000000000000";

/// A body as sent, cut at the nonce.
#[derive(Debug, Clone)]
pub struct Template {
    head: Bytes,
    tail: Option<Bytes>,
    /// Characters of the prompt.
    pub chars: u32,
}

impl Template {
    pub fn new(body: &str, chars: u32) -> Template {
        match body.split_once(NONCE) {
            Some((head, tail)) => {
                Template { head: Bytes::copy_from_slice(head.as_bytes()), tail: Some(Bytes::copy_from_slice(tail.as_bytes())), chars }
            }
            None => Template { head: Bytes::copy_from_slice(body.as_bytes()), tail: None, chars },
        }
    }

    fn fill(&self, nonce: u64) -> Bytes {
        match &self.tail {
            None => self.head.clone(),
            Some(tail) => {
                let mut body = Vec::with_capacity(self.head.len() + tail.len() + 16);
                body.extend_from_slice(&self.head);
                body.extend_from_slice(format!("{nonce:016x}").as_bytes());
                body.extend_from_slice(tail);
                Bytes::from(body)
            }
        }
    }
}

/// One input of a mix.
#[derive(Debug)]
pub struct Item {
    pub name: String,
    pub weight: u64,
    /// For one whole request.
    pub timeout: Duration,
    pub bodies: Vec<Template>,
    /// Whether the answer is asked for as a stream.
    pub stream: bool,
    /// Statuses beside 2xx that are fine.
    pub accept: Arc<Vec<u16>>,
    next: AtomicUsize,
}

impl Item {
    pub fn new(name: String, weight: u64, timeout: Duration, bodies: Vec<Template>) -> Item {
        Item { name, weight, timeout, bodies, stream: true, accept: Arc::default(), next: AtomicUsize::new(0) }
    }
}

/// Builds an item of planned requests. With `cold` each prompt begins with a nonce.
pub fn item(input: &PlannedInput, api: Api, model: Option<&str>, stream: bool, usage: bool, cold: bool, timeout: Duration) -> Item {
    let bodies = input.requests.iter().map(|prompt| {
        let chars = prompt.messages.iter().map(|m| crate::plan::text_of(&m["content"]).chars().count() as u32).sum();
        let mut messages = prompt.messages.clone();
        if cold && let Some(first) = messages.first_mut() {
            crate::plan::begin_with(&mut first["content"], &format!("[{NONCE}] "));
        }
        let body = crate::target::wire::body(api, model, &messages, &prompt.params, stream, usage);
        Template::new(&body.0, chars)
    });
    let item = Item::new(input.name.clone(), input.weight, input.timeout.unwrap_or(timeout), bodies.collect());
    Item { stream, accept: Arc::new(input.accept.clone()), ..item }
}

/// What is sent next.
#[derive(Debug, Clone)]
pub struct Shot {
    pub input: usize,
    pub body: Bytes,
    pub timeout: Duration,
    pub chars: u32,
    pub stream: bool,
    pub accept: Arc<Vec<u16>>,
}

/// The inputs of a load.
#[derive(Debug)]
pub struct Feed {
    items: Vec<Item>,
    weights: u64,
    nonces: AtomicU64,
}

impl Feed {
    /// `seed` begins the nonces: different from run to run, or no cache would stay cold.
    pub fn new(items: Vec<Item>, seed: u64) -> Feed {
        let weights = items.iter().map(|i| i.weight).sum();
        Feed { items, weights, nonces: AtomicU64::new(seed) }
    }

    pub fn names(&self) -> Vec<String> {
        self.items.iter().map(|i| i.name.clone()).collect()
    }

    /// Bodies in all: what "until the data set ends" means.
    pub fn rows(&self) -> u64 {
        self.items.iter().map(|i| i.bodies.len() as u64).sum()
    }

    /// The longest that one request may take.
    pub fn longest(&self) -> Duration {
        self.items.iter().map(|i| i.timeout).max().unwrap_or_default()
    }

    /// Draws an input by weight; its bodies take turns.
    pub fn next(&self, rng: &mut ChaCha8Rng) -> Shot {
        let mut drawn = if self.items.len() > 1 { rng.random_range(0..self.weights.max(1)) } else { 0 };
        let mut place = 0;
        for (i, item) in self.items.iter().enumerate() {
            place = i;
            if drawn < item.weight {
                break;
            }
            drawn -= item.weight;
        }
        let item = &self.items[place];
        let template = &item.bodies[item.next.fetch_add(1, Ordering::Relaxed) % item.bodies.len()];
        // Odd steps reach every number; neighbours share no prefix.
        let nonce = self.nonces.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        Shot {
            input: place,
            body: template.fill(nonce),
            timeout: item.timeout,
            chars: template.chars,
            stream: item.stream,
            accept: item.accept.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn weights_and_nonces() {
        let body = format!("{{\"content\":\"{NONCE} hello\"}}");
        let item = |name: &str, weight| Item::new(name.into(), weight, Duration::from_secs(1), vec![Template::new(&body, 5)]);
        let feed = Feed::new(vec![item("short", 7), item("long", 3)], 1);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let shots: Vec<Shot> = (0..10_000).map(|_| feed.next(&mut rng)).collect();
        let long = shots.iter().filter(|s| s.input == 1).count();
        assert!((2850..3150).contains(&long), "{long}");
        assert_ne!(shots[0].body, shots[1].body);
        assert!(shots.iter().all(|s| serde_json::from_slice::<serde_json::Value>(&s.body).is_ok()));
    }

    #[test]
    fn a_warm_prompt_is_sent_as_it_is() {
        let feed = Feed::new(vec![Item::new("a".into(), 1, Duration::from_secs(1), vec![Template::new("{}", 0)])], 1);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        assert_eq!(feed.next(&mut rng).body, "{}");
    }
}
