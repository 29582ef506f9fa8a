//! Wakes tasks at exact moments. A timer of the runtime is a millisecond late; a thread that sleeps on absolute deadlines is
//! late by a tenth of that.

use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;
use tokio::sync::oneshot;

struct Alarm {
    at: Instant,
    wake: oneshot::Sender<()>,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Alarm {}
impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Alarm {
    /// The earliest is the greatest, as the heap wants it.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at.cmp(&self.at)
    }
}

/// One thread with a heap of deadlines. It ends when the last handle is dropped.
#[derive(Clone)]
pub struct Pacer {
    shared: Arc<Shared>,
}

struct Shared {
    alarms: Mutex<BinaryHeap<Alarm>>,
    changed: Condvar,
}

impl Pacer {
    pub fn start() -> Pacer {
        let shared = Arc::new(Shared { alarms: Mutex::new(BinaryHeap::new()), changed: Condvar::new() });
        let weak = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("pace".into())
            .spawn(move || {
                while let Some(shared) = weak.upgrade() {
                    let mut alarms = shared.alarms.lock().expect("no panic under this lock");
                    let now = Instant::now();
                    while alarms.peek().is_some_and(|a| a.at <= now) {
                        // A task that is gone needs no wake.
                        let _ = alarms.pop().map(|a| a.wake.send(()));
                    }
                    let wait =
                        alarms.peek().map_or(std::time::Duration::from_millis(200), |a| a.at.saturating_duration_since(Instant::now()));
                    let _unused = shared.changed.wait_timeout(alarms, wait.min(std::time::Duration::from_millis(200)));
                }
            })
            .expect("a thread can be started");
        Pacer { shared }
    }

    /// Returns at `at`, at once when that is past.
    pub async fn sleep_until(&self, at: Instant) {
        if at <= Instant::now() {
            return;
        }
        let (wake, woken) = oneshot::channel();
        self.shared.alarms.lock().expect("no panic under this lock").push(Alarm { at, wake });
        self.shared.changed.notify_one();
        let _ = woken.await;
    }
}
