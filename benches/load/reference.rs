//! The client that a careful person would write by hand for one service: what the load engine is compared with.
//!
//! `reference --addr 127.0.0.1:PORT --users 64 --requests 20000 [--seconds S] [--ramp S] [--prompt TEXT] [--tokens N]`.
//! One thread, one connection a user, one typed parse an event, bare vectors of figures. Prints one line of JSON.

use crate::{option, process, summary};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

#[derive(Deserialize)]
struct Event {
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    completion_tokens: u32,
}

/// What one user saw, in seconds.
#[derive(Default)]
struct Seen {
    ttft: Vec<f64>,
    tpot: Vec<f64>,
    e2e: Vec<f64>,
    gaps: Vec<f64>,
    events: usize,
    tokens: u64,
    failed: usize,
}

/// Hands out the requests of all users.
struct Tickets {
    left: Cell<usize>,
    until: Cell<Option<Instant>>,
}

impl Tickets {
    fn take(&self) -> bool {
        let open = self.left.get() > 0 && self.until.get().is_none_or(|until| Instant::now() < until);
        if open {
            self.left.set(self.left.get() - 1);
        }
        open
    }
}

pub fn main(arguments: &[String]) {
    process::raise_file_limit();
    let address = option(arguments, "--addr", "127.0.0.1:8000".to_owned());
    let users = option(arguments, "--users", 64usize);
    let seconds = option(arguments, "--seconds", 0.0f64);
    let requests = option(arguments, "--requests", if seconds > 0.0 { usize::MAX } else { 20_000 });
    let ramp = Duration::from_secs_f64(option(arguments, "--ramp", 0.0f64));
    let prompt = option(arguments, "--prompt", "x".to_owned());
    let max_tokens = option(arguments, "--tokens", 16u32);
    let body = json!({
        "model": "m",
        "messages": [{ "role": "user", "content": prompt }],
        "max_tokens": max_tokens,
        "stream": true,
        "stream_options": { "include_usage": true },
    });
    let body = Bytes::from(body.to_string());

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    let (seen, wall, cpu) = LocalSet::new().block_on(&runtime, async {
        let mut connections = Vec::with_capacity(users);
        for _ in 0..users {
            connections.push(connect(&address).await);
        }
        let (start, cpu) = (Instant::now(), process::cpu_seconds(libc::RUSAGE_SELF));
        let until = (seconds > 0.0).then(|| start + Duration::from_secs_f64(seconds));
        let tickets = Rc::new(Tickets { left: Cell::new(requests), until: Cell::new(until) });
        let begin = |(i, connection)| {
            let at = start + ramp.mul_f64(i as f64 / users as f64);
            tokio::task::spawn_local(user(connection, at, address.clone(), body.clone(), tickets.clone()))
        };
        let tasks: Vec<_> = connections.into_iter().enumerate().map(begin).collect();
        let mut all = Seen::default();
        for task in tasks {
            all.merge(task.await.expect("no user panics"));
        }
        (all, start.elapsed().as_secs_f64(), process::cpu_seconds(libc::RUSAGE_SELF) - cpu)
    });
    print(seen, wall, cpu);
}

async fn connect(address: &str) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket takes nodelay");
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake needs no bytes");
    tokio::task::spawn_local(connection);
    sender
}

async fn user(mut connection: SendRequest<Full<Bytes>>, at: Instant, address: String, body: Bytes, tickets: Rc<Tickets>) -> Seen {
    let mut seen = Seen::default();
    let mut buffer = Vec::with_capacity(4 << 10);
    if at > Instant::now() {
        tokio::time::sleep_until(at.into()).await;
    }
    while tickets.take() {
        buffer.clear();
        if connection.ready().await.is_err() || exchange(&mut connection, &address, body.clone(), &mut buffer, &mut seen).await.is_none() {
            seen.failed += 1;
            if connection.is_closed() {
                connection = connect(&address).await;
            }
        }
    }
    seen
}

/// One request and its stream. None when it failed or its answer was not whole.
async fn exchange(
    connection: &mut SendRequest<Full<Bytes>>,
    address: &str,
    body: Bytes,
    buffer: &mut Vec<u8>,
    seen: &mut Seen,
) -> Option<()> {
    let request = hyper::Request::post("/v1/chat/completions")
        .header("host", address)
        .header("content-type", "application/json")
        .body(Full::new(body))
        .ok()?;
    let sent = Instant::now();
    let mut response = connection.send_request(request).await.ok()?;
    if response.status() != hyper::StatusCode::OK {
        return None;
    }
    let (mut first, mut last, mut finish): (Option<Instant>, Option<Instant>, Option<Instant>) = (None, None, None);
    let (mut tokens, mut done) = (0, false);
    while let Some(frame) = response.body_mut().frame().await {
        let frame = frame.ok()?;
        // Before any parsing: what the client does with the bytes is not the service's time.
        let now = Instant::now();
        let Some(data) = frame.data_ref() else { continue };
        buffer.extend_from_slice(data);
        let mut start = 0;
        while let Some(length) = buffer[start..].iter().position(|b| *b == b'\n') {
            let line = buffer[start..start + length].trim_ascii_end();
            start += length + 1;
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            let data = data.trim_ascii_start();
            seen.events += 1;
            if data == b"[DONE]" {
                done = true;
                continue;
            }
            let event: Event = serde_json::from_slice(data).ok()?;
            if let Some(choice) = event.choices.first() {
                if choice.delta.content.as_ref().is_some_and(|c| !c.is_empty()) {
                    if let Some(last) = last {
                        seen.gaps.push((now - last).as_secs_f64());
                    }
                    first.get_or_insert(now);
                    last = Some(now);
                }
                if choice.finish_reason.is_some() {
                    finish = Some(now);
                }
            }
            tokens = event.usage.map_or(tokens, |u| u.completion_tokens);
        }
        buffer.drain(..start);
    }
    let (first, last, finish) = (first?, last?, finish?);
    if !done {
        return None;
    }
    seen.ttft.push((first - sent).as_secs_f64());
    seen.e2e.push((finish - sent).as_secs_f64());
    if tokens > 1 {
        seen.tpot.push((last - first).as_secs_f64() / f64::from(tokens - 1));
    }
    seen.tokens += u64::from(tokens);
    Some(())
}

impl Seen {
    fn merge(&mut self, mut other: Seen) {
        self.ttft.append(&mut other.ttft);
        self.tpot.append(&mut other.tpot);
        self.e2e.append(&mut other.e2e);
        self.gaps.append(&mut other.gaps);
        self.events += other.events;
        self.tokens += other.tokens;
        self.failed += other.failed;
    }
}

fn print(mut seen: Seen, wall: f64, cpu: f64) {
    // Before the sorting below, which is no part of the load.
    let (rss, pss) = (process::peak_rss("self"), process::pss("self"));
    let requests = seen.e2e.len();
    let line = json!({
        "wall_s": wall,
        "requests": requests,
        "failed": seen.failed,
        "requests_per_s": summary::rounded(requests as f64 / wall),
        "cpu_s": cpu,
        "cpu_per_request_us": summary::rounded(cpu / requests.max(1) as f64 * 1e6),
        "events": seen.events,
        "tokens": seen.tokens,
        "ttft_ms": summary::milliseconds(&mut seen.ttft),
        "tpot_ms": summary::milliseconds(&mut seen.tpot),
        "e2e_ms": summary::milliseconds(&mut seen.e2e),
        "gap_ms": summary::milliseconds(&mut seen.gaps),
        "rss_mib": rss,
        "pss_mib": pss,
    });
    println!("{line}");
}
