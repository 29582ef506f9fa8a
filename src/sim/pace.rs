//! Writes answers at their pace, with their faults, and counts them.

use super::metrics::Counters;
use super::reply::Reply;
use super::service::Service;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// Waits for a slot; the wait is part of the time to first token, as in a real service.
async fn slot(service: &Arc<Service>) -> Option<OwnedSemaphorePermit> {
    let slots = service.slots.clone()?;
    let _waiting = Counted::new(service, |c| &c.waiting);
    slots.acquire_owned().await.ok()
}

/// Counts a request in a gauge until it is dropped, also when the client hangs up.
struct Counted {
    service: Arc<Service>,
    gauge: fn(&Counters) -> &AtomicU64,
}

impl Counted {
    fn new(service: &Arc<Service>, gauge: fn(&Counters) -> &AtomicU64) -> Counted {
        gauge(&service.counters).fetch_add(1, Ordering::Relaxed);
        Counted { service: service.clone(), gauge }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.gauge)(&self.service.counters).fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that has a slot. One that is dropped before it finished was given up by its client.
struct InFlight {
    running: Counted,
    finished: bool,
}

impl InFlight {
    fn new(service: &Arc<Service>, received: Instant) -> InFlight {
        service.counters.queued.add(received.elapsed());
        InFlight { running: Counted::new(service, |c| &c.running), finished: false }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.finished {
            self.running.service.counters.aborted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The answer in one piece, when all of it would be there.
pub async fn whole(service: Arc<Service>, reply: Reply) -> Response {
    let _slot = slot(&service).await;
    let mut running = InFlight::new(&service, reply.received);
    let total: Duration = reply.ttft + reply.gaps.iter().sum::<Duration>();
    let first = Instant::now() + reply.ttft;
    service.pacer.sleep_until(Instant::now() + total).await;
    service.counters.to_first.add(first.saturating_duration_since(reply.received));
    reply.gaps.iter().for_each(|gap| service.counters.between.add(*gap));
    if reply.stall_after.is_some() {
        service.pacer.sleep_until(Instant::now() + reply.stall_after.map_or(Duration::ZERO, |(_, d)| d)).await;
    }
    let body = reply.whole();
    finish(&service, &reply, &mut running);
    if reply.error_after.is_some() {
        return axum::Json(json!({"error": {"message": "simulated fault inside the answer", "type": "server_error"}})).into_response();
    }
    if reply.malformed_after.is_none() && reply.cut_after.is_none() && reply.end_after.is_none() {
        return axum::Json(body).into_response();
    }
    // Half of it: as if it were all, or before the connection breaks.
    let text = body.to_string();
    let half = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let piece = Bytes::from(text[..half].to_owned());
    let body = match reply.malformed_after {
        Some(_) => Body::from(piece),
        None => {
            let cut = async {
                // What was written before must reach the client first.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(std::io::Error::other("cut on purpose"))
            };
            Body::from_stream(stream::iter([Ok(piece)]).chain(stream::once(cut)))
        }
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn finish(service: &Service, reply: &Reply, running: &mut InFlight) {
    running.finished = true;
    if service.script.leaks > 0 {
        service.leaked.lock().expect("no panic under this lock").push(vec![1; service.script.leaks as usize]);
    }
    let c = &service.counters;
    let ended = if reply.finish == "length" { &c.cut } else { &c.stopped };
    ended.fetch_add(1, Ordering::Relaxed);
    c.prompt_tokens.fetch_add(reply.prompt_tokens, Ordering::Relaxed);
    c.cached_tokens.fetch_add(reply.cached_tokens, Ordering::Relaxed);
    c.generation_tokens.fetch_add(reply.parts.len() as u64, Ordering::Relaxed);
    c.whole.add(reply.received.elapsed());
}

/// Where a stream stands.
struct Streaming {
    service: Arc<Service>,
    reply: Reply,
    /// 0: the role event; then one step per part; then the finish event, usage, and the end mark.
    step: usize,
    due: Instant,
    slot: Option<OwnedSemaphorePermit>,
    running: Option<InFlight>,
    /// When the last part was written.
    last: Option<Instant>,
    sent: usize,
}

/// The answer as a stream of events.
pub fn stream(service: Arc<Service>, reply: Reply) -> Response {
    let state = Streaming { due: Instant::now(), service, reply, step: 0, slot: None, running: None, last: None, sent: 0 };
    let events = futures_util::stream::unfold(state, |mut state| async move { state.next().await.map(|item| (item, state)) });
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")], Body::from_stream(events)).into_response()
}

impl Streaming {
    async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        let reply = &self.reply;
        if reply.endless_line {
            self.sent += 1;
            // Bounded, so that a forgotten client does not read for ever.
            return (self.sent <= 1024).then(|| Ok(Bytes::from(if self.sent == 1 { "data: ".to_owned() } else { "x".repeat(64 << 10) })));
        }
        let parts = reply.parts.len();
        if self.step == 0 {
            self.slot = slot(&self.service).await;
            self.running = Some(InFlight::new(&self.service, reply.received));
            self.due = Instant::now() + reply.ttft;
            self.step = 1;
            if reply.chat {
                return Some(Ok(reply.role_frame()));
            }
        }
        let done = self.step - 1;
        if done <= parts {
            if reply.cut_after == Some(done) {
                // What was written before must reach the client, or the cut would come before the answer.
                self.service.pacer.sleep_until(Instant::now() + Duration::from_millis(20)).await;
                return Some(Err(std::io::Error::other("cut on purpose")));
            }
            if reply.end_after == Some(done) {
                return None;
            }
            if reply.malformed_after == Some(done) {
                self.step += 1;
                return Some(Ok(Bytes::from("data: {\"choices\": [{\"delta\": {\"con\n\n")));
            }
            if reply.error_after == Some(done) {
                self.step = parts + 4;
                return Some(Ok(Bytes::from(
                    "data: {\"error\": {\"message\": \"simulated fault inside the stream\", \"type\": \"server_error\"}}\n\n",
                )));
            }
            if let Some((at, silence)) = reply.stall_after.filter(|(at, _)| *at == done) {
                let _ = at;
                self.due = self.due.max(Instant::now()) + silence;
            }
        }
        let item = if done < parts {
            self.service.pacer.sleep_until(self.due).await;
            let now = Instant::now();
            match self.last.replace(now) {
                None => self.service.counters.to_first.add(now - self.reply.received),
                Some(last) => self.service.counters.between.add(now - last),
            }
            if let Some(gap) = self.reply.gaps.get(done) {
                self.due += *gap;
            }
            self.service.log(self.reply.number, "token");
            self.reply.part_frame(done)
        } else if done == parts {
            if self.reply.stall_after.is_some_and(|(at, _)| at == parts) {
                self.service.pacer.sleep_until(self.due).await;
            }
            self.service.log(self.reply.number, "finish");
            self.reply.last_frame()
        } else if done == parts + 1 {
            if let Some(mut running) = self.running.take() {
                finish(&self.service, &self.reply, &mut running);
            }
            self.slot = None;
            if self.reply.usage { self.reply.usage_frame() } else { Bytes::from(": no usage\n\n") }
        } else if done == parts + 2 && !self.reply.no_done {
            Bytes::from("data: [DONE]\n\n")
        } else {
            return None;
        };
        self.step += 1;
        Some(Ok(item))
    }
}
