//! Connections of a service that wait for their next request.

use super::Route;
use super::open::Open;
use crate::exchange::Failure;
use crate::options::Target;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Boxes on the way forget a silent connection after some minutes without a word; one that waited this long is not used again.
const IDLE: Duration = Duration::from_secs(90);

/// Open connections, the last used one on top.
#[derive(Default)]
pub(super) struct Pool {
    /// Where new ones go; found when the first one is needed, and again after one could not be opened.
    route: tokio::sync::Mutex<Option<Arc<Route>>>,
    idle: Mutex<Vec<(Held, Instant)>>,
}

/// A connection, and the way it took.
pub(super) struct Held {
    pub open: Open,
    pub route: Arc<Route>,
    /// How long it took to set up; absent when it had been in use before.
    pub connect: Option<Duration>,
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
            if since.elapsed() < IDLE && held.open.is_open() && held.open.ready(target.timeouts.connect).await {
                held.connect = None;
                return Ok(held);
            }
        }
        let began = Instant::now();
        let route = self.route(target, base_url, ca).await?;
        match route.connect().await {
            Ok(mut open) => {
                open.ready(target.timeouts.connect).await;
                Ok(Held { open, route, connect: Some(began.elapsed()) })
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

    /// Whether a new connection comes about.
    pub async fn takes_connections(&self, target: &Target, base_url: &str, ca: Option<&[u8]>) -> bool {
        match self.route(target, base_url, ca).await {
            Ok(route) => route.connect().await.is_ok(),
            Err(_) => false,
        }
    }

    /// Keeps a connection whose answer has been read to its end.
    pub fn keep(&self, held: Held) {
        self.idle.lock().expect("no panic under this lock").push((held, Instant::now()));
    }
}
