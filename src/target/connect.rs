//! Learns when a new connection was set up for a request, so that its set-up is not counted as the model's latency.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

tokio::task_local! {
    /// Start and end of the connection set up by the request of this scope.
    static CONNECTED: Cell<Option<(Instant, Instant)>>;
}

/// Runs a request and tells whether and when a connection was set up for it.
pub async fn observed<T>(request: impl Future<Output = T>) -> (T, Option<(Instant, Instant)>) {
    CONNECTED
        .scope(Cell::new(None), async {
            let out = request.await;
            (out, CONNECTED.with(Cell::get))
        })
        .await
}

/// Wraps reqwest's connector.
#[derive(Debug, Clone, Copy)]
pub struct ConnectTimer;

impl<S> Layer<S> for ConnectTimer {
    type Service = Timed<S>;
    fn layer(&self, inner: S) -> Timed<S> {
        Timed { inner }
    }
}

#[derive(Debug, Clone)]
pub struct Timed<S> {
    inner: S,
}

impl<S, R> Service<R> for Timed<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let start = Instant::now();
        let connecting = self.inner.call(request);
        Box::pin(async move {
            let result = connecting.await;
            // When a pooled connection wins the race, this future moves to a task of its own, outside the scope,
            // and nothing is recorded: the request did not wait for it.
            let _ = CONNECTED.try_with(|slot| slot.set(Some((start, Instant::now()))));
            result
        })
    }
}
