//! Runs planned cases against services and emits what happens. Knows nothing of terminals, files or test harnesses.

mod budget;
mod case;
mod conversation;
pub mod explain;
mod meaning;
mod replay;
mod reproduce;
mod suite;

pub use case::{Judged, run_case};
pub use meaning::{Encoder, Meaning, Vectors};
pub use replay::replay;
pub use suite::{is_held, judge_suite};

use crate::event::Event;
use crate::expect::past::History;
use crate::options::Budget;
use crate::redact::Redactor;
use crate::target::Service;
use budget::Books;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::OnceCell;

/// What every case of a run shares.
pub struct Engine {
    services: BTreeMap<String, Shared>,
    /// Gets every trial, too, in turns with the case's own service.
    beside: Option<Shared>,
    books: Books,
    seed: u64,
    nonces: AtomicU64,
    stopped: AtomicBool,
    why_stopped: Mutex<Option<String>>,
    sink: Sink,
    redactor: Redactor,
    keep_personal: bool,
    today: jiff::civil::Date,
    meaning: Meaning,
    history: History,
}

/// On what terms a run is made.
pub struct Terms {
    pub budget: Budget,
    /// Base of the seeds of repeated trials.
    pub seed: u64,
    /// Decides which skips have expired.
    pub today: jiff::civil::Date,
    /// Takes secrets out of answers before they are judged or kept.
    pub redactor: Redactor,
    /// Personal data is kept in records as it came.
    pub keep_personal: bool,
}

/// Gets every event, from several threads; it should be quick.
pub type Sink = Box<dyn Fn(Event) + Send + Sync>;

/// A service and the one answer to whether it is ready.
struct Shared {
    service: Arc<Service>,
    ready: OnceCell<Result<(), String>>,
}

impl Engine {
    pub fn new(services: BTreeMap<String, Service>, terms: Terms, meaning: Meaning, history: History, sink: Sink) -> Engine {
        let Terms { budget, seed, today, redactor, keep_personal } = terms;
        let services =
            services.into_iter().map(|(name, service)| (name, Shared { service: Arc::new(service), ready: OnceCell::new() })).collect();
        Engine {
            services,
            beside: None,
            books: Books::new(budget),
            seed,
            nonces: AtomicU64::new(jiff::Timestamp::now().as_nanosecond() as u64),
            stopped: AtomicBool::new(false),
            why_stopped: Mutex::new(None),
            sink,
            redactor,
            keep_personal,
            today,
            meaning,
            history,
        }
    }

    /// Sends every trial to another service, too, interleaved A B B A, so that both meet the same machine in the same state.
    pub fn beside(mut self, service: Service) -> Engine {
        self.beside = Some(Shared { service: Arc::new(service), ready: OnceCell::new() });
        self
    }

    /// The service of a target; every planned target has one.
    fn shared(&self, target: &str) -> Option<&Shared> {
        self.services.get(target)
    }

    pub fn emit(&self, event: Event) {
        (self.sink)(event);
    }

    /// No further case is started.
    pub fn stop(&self, why: &str) {
        self.stopped.store(true, Ordering::Relaxed);
        self.why_stopped.lock().expect("no panic under this lock").get_or_insert(why.to_owned());
    }

    /// Why the run stopped early, if it did.
    pub fn why_stopped(&self) -> Option<String> {
        self.stopped.load(Ordering::Relaxed).then(|| self.why_stopped.lock().expect("no panic under this lock").clone()).flatten()
    }

    /// A number that no other prompt began with, in this run or another.
    fn nonce(&self) -> u64 {
        self.nonces.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
    }

    /// Time since the run began.
    pub fn elapsed(&self) -> std::time::Duration {
        self.books.elapsed()
    }
}
