//! Connections of a service that wait for their next request.

use super::Route;
use super::open::Open;
use crate::exchange::{Failure, FailureKind};
use crate::options::Target;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Boxes on the way forget a silent connection after some minutes without a word; one that waited this long is not used again.
const IDLE: Duration = Duration::from_secs(90);

/// Servers that keep connections at all keep them at least this long.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// Open connections, the last used one on top.
#[derive(Default)]
pub(super) struct Pool {
    /// Where new ones go; found when the first one is needed, and again after one could not be opened.
    route: tokio::sync::Mutex<Option<Arc<Route>>>,
    idle: Mutex<Vec<(Held, Instant)>>,
    /// The service has ended a connection soon after an answer: llama.cpp's does after each one.
    ends_early: AtomicBool,
}

/// A connection, and the way it took.
pub(super) struct Held {
    pub open: Open,
    pub route: Arc<Route>,
    /// How long it took to set up; absent when it had been in use before.
    pub connect: Option<Duration>,
    /// How long it waited for this request.
    pub rested: Duration,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

impl Pool {
    /// A connection that waits, unless it must be `fresh`; else a new one.
    pub async fn take(&self, target: &Target, base_url: &str, ca: Option<&[u8]>, fresh: bool) -> Result<Held, Failure> {
        let waiting = || if fresh { None } else { self.idle.lock().expect("no panic under this lock").pop() };
        while let Some((mut held, since)) = waiting() {
            let rested = since.elapsed();
            if rested < IDLE && held.open.is_open() && held.open.ready(target.timeouts.connect).await {
                held.connect = None;
                held.rested = rested;
                return Ok(held);
            }
            self.ends_early.fetch_or(rested < KEPT_FOR, Ordering::Relaxed);
        }
        let began = Instant::now();
        let route = self.route(target, base_url, ca).await?;
        match route.connect().await {
            Ok(mut open) => {
                open.ready(target.timeouts.connect).await;
                Ok(Held { open, route, connect: Some(began.elapsed()), rested: Duration::ZERO })
            }
            Err(failure) => {
                *self.route.lock().await = None;
                Err(failure)
            }
        }
    }

    async fn route(&self, target: &Target, base_url: &str, ca: Option<&[u8]>) -> Result<Arc<Route>, Failure> {
        let mut known = self.route.lock().await;
        if let Some(route) = known.as_ref() {
            return Ok(route.clone());
        }
        let route = Arc::new(Route::new(target, base_url, ca).await?);
        *known = Some(route.clone());
        Ok(route)
    }

    /// Whether a new connection comes about, as far as this machine can tell: it may have run out of files or ports itself.
    pub async fn takes_connections(&self, target: &Target, base_url: &str, ca: Option<&[u8]>) -> bool {
        match self.route(target, base_url, ca).await {
            Ok(route) => route.connect().await.err().is_none_or(|failure| failure.kind == FailureKind::ClientSaturation),
            Err(_) => false,
        }
    }

    /// Whether a connection that waited so long may have been ended for no other reason than that.
    pub fn may_end(&self, rested: Duration) -> bool {
        rested >= KEPT_FOR || self.ends_early.load(Ordering::Relaxed)
    }

    /// Keeps a connection whose answer has been read to its end.
    pub fn keep(&self, held: Held) {
        self.idle.lock().expect("no panic under this lock").push((held, Instant::now()));
    }
}
