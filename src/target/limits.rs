//! How much is asked of a service at once: a concurrency limit that halves on 429 and recovers slowly, and a start rate.

use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

#[derive(Debug)]
pub struct Limiter {
    semaphore: Semaphore,
    state: Mutex<State>,
    max: usize,
    /// Time between two starts.
    spacing: Option<Duration>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// Permits to take away as they come back.
    debt: usize,
    successes: usize,
    next_start: Option<Instant>,
}

impl Limiter {
    /// `rate` is in starts per second.
    pub fn new(concurrency: usize, rate: Option<f64>) -> Self {
        Limiter {
            semaphore: Semaphore::new(concurrency),
            state: Mutex::new(State { limit: concurrency, debt: 0, successes: 0, next_start: None }),
            max: concurrency,
            spacing: rate.map(|r| Duration::from_secs_f64(1.0 / r)),
        }
    }

    /// Waits for a slot, then for the start rate.
    pub async fn acquire(&self) -> Slot<'_> {
        let permit = self.semaphore.acquire().await.expect("the semaphore is never closed");
        if let Some(spacing) = self.spacing {
            let start = {
                let mut state = self.state.lock().expect("no panic under this lock");
                let now = Instant::now();
                let start = state.next_start.map_or(now, |n| n.max(now));
                state.next_start = Some(start + spacing);
                start
            };
            tokio::time::sleep_until(start).await;
        }
        Slot { limiter: self, permit: Some(permit) }
    }

    /// The service said 429.
    pub fn too_many(&self) {
        let mut state = self.state.lock().expect("no panic under this lock");
        let halved = (state.limit / 2).max(1);
        state.debt += state.limit - halved;
        state.limit = halved;
        state.successes = 0;
    }

    /// The service answered. After as many successes as the limit, one more slot is tried.
    pub fn succeeded(&self) {
        let mut state = self.state.lock().expect("no panic under this lock");
        if state.limit == self.max {
            return;
        }
        state.successes += 1;
        if state.successes >= state.limit {
            state.successes = 0;
            state.limit += 1;
            if state.debt > 0 {
                state.debt -= 1;
            } else {
                self.semaphore.add_permits(1);
            }
        }
    }

    /// The limit now in force.
    pub fn limit(&self) -> usize {
        self.state.lock().expect("no panic under this lock").limit
    }
}

/// A slot in use; given back on drop.
#[derive(Debug)]
pub struct Slot<'a> {
    limiter: &'a Limiter,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state.lock().expect("no panic under this lock");
        if state.debt > 0 {
            state.debt -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn halves_on_429_and_recovers() {
        let limiter = Limiter::new(8, None);
        {
            let _slots = [limiter.acquire().await, limiter.acquire().await];
            limiter.too_many();
            assert_eq!(limiter.limit(), 4);
        }
        limiter.too_many();
        limiter.too_many();
        limiter.too_many();
        assert_eq!(limiter.limit(), 1);
        for _ in 0..100 {
            drop(limiter.acquire().await);
            limiter.succeeded();
        }
        assert_eq!(limiter.limit(), 8);
        assert_eq!(limiter.semaphore.available_permits(), 8);
    }

    #[tokio::test]
    async fn starts_are_spaced() {
        let limiter = Limiter::new(8, Some(100.0));
        let start = Instant::now();
        for _ in 0..5 {
            drop(limiter.acquire().await);
        }
        assert!(start.elapsed() >= Duration::from_millis(40));
    }
}
