//! Waits until a service answers, so that no case is judged while a model is still loading.

use super::Service;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How often somebody who waits is told what for.
const TELL_EVERY: Duration = Duration::from_secs(15);

/// Bytes of a list of models, at most; the longest lists of clouds have some hundred kilobytes.
const MAX_MODELS: usize = 8 << 20;

/// Polls the ready path and tells `tell` what it waits for. `Ok` says how long it took; the error is one sentence fragment and ends
/// the target's cases.
pub async fn wait_until_ready(service: &Service, tell: impl Fn(String)) -> Result<Duration, String> {
    let start = Instant::now();
    // The first time soon, so that a mistyped address is seen at once.
    let mut next_told = Duration::from_secs(2);
    let ready = &service.target.ready;
    let url = ready_url(&service.base_url, &ready.path);
    let mut last;
    loop {
        let left = ready.timeout.saturating_sub(start.elapsed()).max(Duration::from_millis(100));
        match tokio::time::timeout(left, service.get(&url).send()).await {
            // A server without this route is up all the same; one that loads says 503 (llama.cpp) or 502 (a proxy before it).
            Ok(Ok(response)) if !matches!(response.status().as_u16(), 502..=504) => break,
            Ok(Ok(response)) => last = format!("{url} answers {}", response.status().as_u16()),
            Ok(Err(e)) => {
                let text = super::failing::chain(&e);
                let what = if text.to_lowercase().contains("connection refused") { "connection refused".to_owned() } else { text };
                last = format!("{}: {what}", service.base_url);
            }
            Err(_) => last = format!("{url} does not answer"),
        }
        let left = ready.timeout.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(format!("{last} (asked for {})", crate::units::show(start.elapsed())));
        }
        if start.elapsed() >= next_told {
            next_told = start.elapsed() + TELL_EVERY;
            tell(format!("{last}; asked for {}, up to {}", crate::units::show(start.elapsed()), crate::units::show(ready.timeout)));
        }
        // The last look is at the very end of the time.
        tokio::time::sleep(ready.every.min(left)).await;
    }
    service.was_ready.store(true, std::sync::atomic::Ordering::Relaxed);
    if service.model.get().is_none() {
        let _ = service.model.set(first_model(service).await);
    }
    Ok(start.elapsed())
}

/// True when the ready path answers without a server error.
pub(crate) async fn is_alive(service: &Service) -> bool {
    let url = ready_url(&service.base_url, &service.target.ready.path);
    let probe = || tokio::time::timeout(Duration::from_secs(10), service.get(&url).send());
    for _ in 0..2 {
        // A busy service may drop one probe; one that is gone drops the second, too.
        if matches!(probe().await, Ok(Ok(r)) if r.status().as_u16() < 500) {
            return true;
        }
    }
    false
}

/// The ready path counts from the host: `/health` lies beside `/v1`, not below it.
pub(super) fn ready_url(base_url: &str, path: &str) -> String {
    match reqwest::Url::parse(base_url).and_then(|base| base.join(path)) {
        Ok(url) => url.to_string(),
        Err(_) => format!("{base_url}{path}"),
    }
}

/// What the service calls its model, when nobody said.
async fn first_model(service: &Service) -> Option<String> {
    let read = async {
        let mut response = service.get(&format!("{}/models", service.base_url)).send().await.ok()?;
        let mut text = Vec::new();
        while let Some(piece) = response.chunk().await.ok()? {
            text.extend_from_slice(&piece);
            if text.len() > MAX_MODELS {
                return None;
            }
        }
        let models: Value = serde_json::from_slice(&text).ok()?;
        models["data"][0]["id"].as_str().map(str::to_owned)
    };
    tokio::time::timeout(Duration::from_secs(5), read).await.ok()?
}
