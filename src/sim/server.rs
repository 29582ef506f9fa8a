//! Serves a script over HTTP.

use super::metrics::Counters;
use super::script::{Rule, Script, tokens};
use crate::clock::Pacer;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// A service that runs until it is dropped.
pub struct Running {
    /// Such as `http://127.0.0.1:45123/v1`.
    pub base_url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    /// Serves until the process ends or a fault stops it.
    pub async fn wait(mut self) {
        let _ = (&mut self.task).await;
    }
}

struct Service {
    script: Script,
    pacer: Pacer,
    started: Instant,
    slots: Option<Arc<Semaphore>>,
    stop: Notify,
    log: Option<Mutex<std::fs::File>>,
    counters: Counters,
    /// How often the same body came, so that draws differ between repeats and not between runs.
    repeats: Mutex<HashMap<u64, u64>>,
    /// Hashes of prompts that the cache holds.
    cached: Mutex<HashSet<u64>>,
    leaked: Mutex<Vec<Vec<u8>>>,
}

/// Starts on a loopback port (0: any free one).
pub async fn start(script: Script, port: u16) -> std::io::Result<Running> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let base_url = format!("http://{}/v1", listener.local_addr()?);
    let log = script.log.as_ref().map(std::fs::File::create).transpose()?.map(Mutex::new);
    let service = Arc::new(Service {
        pacer: Pacer::start(),
        started: Instant::now(),
        slots: script.slots.map(|n| Arc::new(Semaphore::new(n))),
        stop: Notify::new(),
        log,
        counters: Counters::new(),
        repeats: Mutex::default(),
        cached: Mutex::default(),
        leaked: Mutex::default(),
        script,
    });
    let router = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .route("/v1/embeddings", post(embeddings))
        .with_state(service.clone());
    let task = tokio::spawn(async move {
        // Connections are tasks of this set, so that a stop ends them all, as the death of a process would.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = service.stop.notified() => return,
            };
            let Ok((stream, _)) = accepted else { continue };
            let _ = stream.set_nodelay(true);
            let router = hyper_util::service::TowerToHyperService::new(router.clone());
            connections.spawn(async move {
                // A client that hangs up is no error of the service.
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(stream), router).await;
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(Running { base_url, task })
}

fn error(status: u16, message: &str, kind: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(json!({"error": {"message": message, "type": kind, "code": status.as_u16()}}))).into_response()
}

async fn health(State(service): State<Arc<Service>>) -> Response {
    if service.started.elapsed() < service.script.ready_after {
        return error(503, "Loading model", "unavailable_error");
    }
    axum::Json(json!({"status": "ok"})).into_response()
}

async fn models(State(service): State<Arc<Service>>) -> Response {
    axum::Json(json!({"object": "list", "data": [{"id": service.script.model, "object": "model", "owned_by": "roadworthy"}]}))
        .into_response()
}

/// Vectors that texts with words in common have in common: counts of words and pairs of words, hashed into 256 places.
async fn embeddings(State(service): State<Arc<Service>>, axum::Json(asked): axum::Json<Value>) -> Response {
    let texts: Vec<&str> = match &asked["input"] {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(i, text)| {
            let mut vector = vec![0.0f32; 256];
            let words = crate::expect::words(text);
            for gram in words.windows(1).chain(words.windows(2)) {
                vector[(crate::units::fnv(gram.join(" ").bytes()) % 256) as usize] += 1.0;
            }
            json!({"object": "embedding", "index": i, "embedding": vector})
        })
        .collect();
    axum::Json(json!({"object": "list", "model": service.script.model, "data": data})).into_response()
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let text = service.counters.page(&service.script.model, service.script.slots);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn chat(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> Response {
    answer(service, headers, body, true).await
}

async fn completions(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> Response {
    answer(service, headers, body, false).await
}

/// What a request holds that rules look at.
struct Asked {
    prompt: String,
    system: String,
    earlier: String,
    model: String,
    stream: bool,
    usage: bool,
    max_tokens: usize,
    logprobs: bool,
    /// The log probabilities of the prompt itself are asked for, as vLLM gives them.
    prompt_logprobs: bool,
    prompt_tokens: u64,
}

fn asked(body: &Value, chat: bool) -> Result<Asked, &'static str> {
    let mut asked = Asked {
        prompt: String::new(),
        system: String::new(),
        earlier: String::new(),
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        stream: body["stream"].as_bool().unwrap_or(false),
        usage: body["stream_options"]["include_usage"].as_bool().unwrap_or(false),
        max_tokens: ["max_completion_tokens", "max_tokens"].iter().find_map(|k| body[*k].as_u64()).unwrap_or(4096) as usize,
        logprobs: body["logprobs"].as_bool().unwrap_or(false),
        prompt_logprobs: body["prompt_logprobs"].is_number(),
        prompt_tokens: 0,
    };
    if chat {
        let messages = body["messages"].as_array().ok_or("`messages` must be a list")?;
        for message in messages {
            let text = crate::plan::text_of(&message["content"]);
            asked.prompt_tokens += tokens(&text).len() as u64;
            match message["role"].as_str() {
                Some("system") => asked.system.push_str(&text),
                Some("user") => {
                    asked.earlier.push_str(&std::mem::replace(&mut asked.prompt, text));
                    asked.earlier.push('\n');
                }
                _ => asked.earlier.push_str(&text),
            }
        }
    } else {
        asked.prompt = body["prompt"].as_str().ok_or("`prompt` must be text")?.to_owned();
        asked.prompt_tokens = tokens(&asked.prompt).len() as u64;
    }
    Ok(asked)
}

/// Different bodies whose repeats are counted, at most.
const REMEMBERED: usize = 1 << 14;

impl Asked {
    /// What a prefix cache would know this request by.
    fn hash(&self) -> u64 {
        crate::units::fnv([&self.model, &self.system, &self.earlier, &self.prompt].into_iter().flat_map(|t| t.bytes().chain([0])))
    }
}

impl Service {
    /// Draws for this request: the same for the same body in the same position, whatever else runs.
    fn draws(&self, body: &[u8]) -> ChaCha8Rng {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        body.hash(&mut hasher);
        let hash = hasher.finish();
        let mut repeats = self.repeats.lock().expect("no panic under this lock");
        if repeats.len() >= REMEMBERED {
            // A load with a nonce in each prompt never repeats itself.
            repeats.clear();
        }
        let n = repeats.entry(hash).or_default();
        *n += 1;
        ChaCha8Rng::seed_from_u64(self.script.seed ^ hash ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn rule(&self, asked: &Asked, rng: &mut ChaCha8Rng) -> Option<&Rule> {
        self.script.rules.iter().find(|rule| {
            let w = &rule.when;
            let fits = (w.contains.is_empty() || w.contains.iter().any(|t| asked.prompt.contains(t.as_str())))
                && w.matches.as_ref().is_none_or(|r| r.is_match(&asked.prompt))
                && w.system.as_ref().is_none_or(|t| asked.system.contains(t.as_str()))
                && w.seen.as_ref().is_none_or(|t| asked.earlier.contains(t.as_str()))
                && w.model.as_ref().is_none_or(|m| *m == asked.model)
                && w.share.is_none_or(|share| rng.random::<f64>() < share);
            fits && rule
                .taken
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| w.times.is_none_or(|max| n < max).then_some(n + 1))
                .is_ok()
        })
    }

    fn log(&self, request: u64, what: &str) {
        if let Some(log) = &self.log {
            let us = self.started.elapsed().as_nanos() as f64 / 1e3;
            let mut log = log.lock().expect("no panic under this lock");
            // The log is a help for tests; a full disk must not stop the service.
            let _ = writeln!(log, "{{\"us\":{us:.1},\"request\":{request},\"event\":\"{what}\"}}");
        }
    }
}

async fn answer(service: Arc<Service>, headers: HeaderMap, body: Bytes, chat: bool) -> Response {
    let received = Instant::now();
    let number = service.counters.requests.fetch_add(1, Ordering::Relaxed);
    service.log(number, "received");
    if let Some(key) = &service.script.api_key {
        let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if given != format!("Bearer {key}") {
            return error(401, "Invalid API Key", "authentication_error");
        }
    }
    if service.started.elapsed() < service.script.ready_after {
        return error(503, "Loading model", "unavailable_error");
    }
    let parsed: Value = match serde_json::from_slice(&body) {
        Ok(value) => value,
        Err(e) => return error(400, &format!("the body is not JSON: {e}"), "invalid_request_error"),
    };
    let asked = match asked(&parsed, chat) {
        Ok(asked) => asked,
        Err(why) => return error(400, why, "invalid_request_error"),
    };
    let mut rng = service.draws(&body);
    let Some(rule) = service.rule(&asked, &mut rng) else {
        return error(404, "no rule of this simulated service fits the request", "not_found_error");
    };
    let fault = &rule.fault;
    if fault.exit {
        service.stop.notify_one();
        // The connection goes with the service; this never returns an answer.
        std::future::pending::<()>().await;
    }
    let mut response = match told(rule) {
        Some(response) => response,
        None => {
            let reply = Reply::make(&service, rule, &asked, &mut rng, received, number, chat);
            if asked.stream { stream(service.clone(), reply) } else { whole(service.clone(), reply).await }
        }
    };
    for (name, value) in &rule.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<header::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The response of a rule that answers with a status or a body of its own.
fn told(rule: &Rule) -> Option<Response> {
    let fault = &rule.fault;
    let status = match fault.status {
        Some(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        None if fault.body.is_some() => StatusCode::OK,
        None => return None,
    };
    let mut response = match &fault.body {
        Some(text) => {
            let kind = fault.content_type.clone().unwrap_or_else(|| "text/html".into());
            (status, [(header::CONTENT_TYPE, kind)], text.clone()).into_response()
        }
        None => {
            let message = fault.message.as_deref().unwrap_or("simulated fault");
            error(status.as_u16(), message, fault.error_type.as_deref().unwrap_or("server_error"))
        }
    };
    if let Some(value) = fault.retry_after.and_then(|d| d.as_secs().to_string().parse().ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    Some(response)
}

/// Everything that is decided about an answer before its first byte.
struct Reply {
    number: u64,
    received: Instant,
    chat: bool,
    model: String,
    parts: Vec<Part>,
    finish: String,
    prompt_tokens: u64,
    /// Of the prompt, from the cache.
    cached_tokens: u64,
    ttft: Duration,
    gaps: Vec<Duration>,
    usage: bool,
    logprob: Option<f64>,
    /// Of each token of the prompt.
    prompt_logprob: Option<f64>,
    cut_after: Option<usize>,
    end_after: Option<usize>,
    malformed_after: Option<usize>,
    error_after: Option<usize>,
    stall_after: Option<(usize, Duration)>,
    no_done: bool,
    endless_line: bool,
}

enum Part {
    Reasoning(String),
    Text(String),
    Call(usize, String, String),
}

impl Reply {
    fn make(service: &Service, rule: &Rule, asked: &Asked, rng: &mut ChaCha8Rng, received: Instant, number: u64, chat: bool) -> Reply {
        let script = &service.script;
        let text = match rule.answers.len() {
            0 => String::new(),
            1 => rule.answers[0].clone(),
            n => rule.answers[rng.random_range(0..n)].clone(),
        };
        let text = text.replace("{{ prompt }}", &asked.prompt);
        let mut parts: Vec<Part> = rule.reasoning.iter().flat_map(|r| tokens(r)).map(Part::Reasoning).collect();
        parts.extend(tokens(&text).into_iter().map(Part::Text));
        for (i, (name, arguments)) in rule.tool_calls.iter().enumerate() {
            parts.push(Part::Call(i, name.clone(), arguments.to_string()));
        }
        let cut = parts.len() > asked.max_tokens;
        parts.truncate(asked.max_tokens);
        let finish = match (&rule.finish_reason, cut, rule.tool_calls.is_empty()) {
            (Some(reason), _, _) => reason.clone(),
            (None, true, _) => "length".into(),
            (None, false, false) => "tool_calls".into(),
            (None, false, true) => "stop".into(),
        };
        let aged = 1.0 + script.slows * received.saturating_duration_since(service.started).as_secs_f64() / 60.0;
        let mut spread = |d: Duration| {
            let noise = if script.jitter > 0.0 { (1.0 + script.jitter * (rng.random::<f64>() * 2.0 - 1.0)).max(0.0) } else { 1.0 };
            if aged * noise == 1.0 { d } else { d.mul_f64(aged * noise) }
        };
        let again = script.prefix_cache && !service.cached.lock().expect("no panic under this lock").insert(asked.hash());
        let fault = &rule.fault;
        let n = |v: Option<u64>| v.map(|n| n as usize);
        Reply {
            number,
            received,
            chat,
            model: script.model.clone(),
            ttft: spread(rule.ttft.unwrap_or(script.ttft)).mul_f64(if again { 0.1 } else { 1.0 }),
            cached_tokens: if again { asked.prompt_tokens } else { 0 },
            gaps: (1..parts.len().max(1)).map(|_| spread(rule.tpot.unwrap_or(script.tpot))).collect(),
            parts,
            finish,
            prompt_tokens: asked.prompt_tokens,
            usage: script.usage && (asked.usage || !asked.stream),
            logprob: asked.logprobs.then(|| rule.logprob.unwrap_or(-0.1)),
            prompt_logprob: rule.logprob.filter(|_| asked.prompt_logprobs),
            cut_after: n(fault.cut_after),
            end_after: n(fault.end_after),
            malformed_after: n(fault.malformed_after),
            error_after: n(fault.error_after),
            stall_after: n(fault.stall_after).map(|n| (n, fault.stall.unwrap_or(Duration::from_secs(3600)))),
            no_done: fault.no_done,
            endless_line: fault.endless_line,
        }
    }

    fn usage_json(&self) -> Value {
        let n = self.parts.len() as u64;
        let reasoning = self.parts.iter().filter(|p| matches!(p, Part::Reasoning(_))).count();
        json!({
            "prompt_tokens": self.prompt_tokens, "completion_tokens": n, "total_tokens": self.prompt_tokens + n,
            "completion_tokens_details": {"reasoning_tokens": reasoning},
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        })
    }

    fn frame(&self, choice: Value) -> Bytes {
        let object = if self.chat { "chat.completion.chunk" } else { "text_completion" };
        let event = json!({"id": format!("sim-{}", self.number), "object": object, "created": 0, "model": self.model, "choices": [choice]});
        Bytes::from(format!("data: {event}\n\n"))
    }

    fn part_frame(&self, i: usize) -> Bytes {
        let part = &self.parts[i];
        let text = match part {
            Part::Reasoning(t) | Part::Text(t) => t.as_str(),
            Part::Call(..) => "",
        };
        let mut choice = if !self.chat {
            json!({"index": 0, "text": text, "finish_reason": null})
        } else {
            let delta = match part {
                Part::Reasoning(t) => json!({"reasoning_content": t}),
                Part::Text(t) => json!({"content": t}),
                Part::Call(index, name, arguments) => {
                    json!({"tool_calls": [{"index": index, "id": format!("call_{index}"), "type": "function", "function": {"name": name, "arguments": arguments}}]})
                }
            };
            json!({"index": 0, "delta": delta, "finish_reason": null})
        };
        if let Some(logprob) = self.logprob {
            choice["logprobs"] = json!({"content": [{"token": text, "logprob": logprob}]});
        }
        self.frame(choice)
    }
}

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

async fn whole(service: Arc<Service>, reply: Reply) -> Response {
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
    let text = |wanted: fn(&Part) -> Option<&str>| reply.parts.iter().filter_map(wanted).collect::<String>();
    let content = text(|p| if let Part::Text(t) = p { Some(t) } else { None });
    let reasoning = text(|p| if let Part::Reasoning(t) = p { Some(t) } else { None });
    let mut choice = if reply.chat {
        let mut message = json!({"role": "assistant", "content": content});
        if !reasoning.is_empty() {
            message["reasoning_content"] = json!(reasoning);
        }
        let calls: Vec<Value> = reply
            .parts
            .iter()
            .filter_map(|p| {
                if let Part::Call(i, name, arguments) = p {
                    Some(json!({"id": format!("call_{i}"), "type": "function", "function": {"name": name, "arguments": arguments}}))
                } else {
                    None
                }
            })
            .collect();
        if !calls.is_empty() {
            message["tool_calls"] = json!(calls);
        }
        json!({"index": 0, "message": message, "finish_reason": reply.finish})
    } else {
        json!({"index": 0, "text": content, "finish_reason": reply.finish})
    };
    if let Some(logprob) = reply.logprob {
        choice["logprobs"] =
            json!({"content": tokens(&content).iter().map(|t| json!({"token": t, "logprob": logprob})).collect::<Vec<_>>()});
    }
    let mut body = json!({"id": format!("sim-{}", reply.number), "object": "chat.completion", "created": 0, "model": reply.model, "choices": [choice]});
    if reply.usage {
        body["usage"] = reply.usage_json();
    }
    if let Some(logprob) = reply.prompt_logprob {
        let one = json!({"0": {"logprob": logprob, "rank": 1, "decoded_token": ""}});
        let list: Vec<Value> = (0..reply.prompt_tokens).map(|i| if i == 0 { Value::Null } else { one.clone() }).collect();
        body["prompt_logprobs"] = json!(list);
    }
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

fn stream(service: Arc<Service>, reply: Reply) -> Response {
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
                // Sent before the first token, as vLLM does: it must not be taken for one.
                return Some(Ok(reply.frame(json!({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}))));
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
            let last = if self.reply.chat {
                json!({"index": 0, "delta": {}, "finish_reason": self.reply.finish})
            } else {
                json!({"index": 0, "text": "", "finish_reason": self.reply.finish})
            };
            self.service.log(self.reply.number, "finish");
            self.reply.frame(last)
        } else if done == parts + 1 {
            if let Some(mut running) = self.running.take() {
                finish(&self.service, &self.reply, &mut running);
            }
            self.slot = None;
            if self.reply.usage {
                let event = json!({"id": format!("sim-{}", self.reply.number), "object": "chat.completion.chunk", "model": self.reply.model, "choices": [], "usage": self.reply.usage_json()});
                Bytes::from(format!("data: {event}\n\n"))
            } else {
                Bytes::from(": no usage\n\n")
            }
        } else if done == parts + 2 && !self.reply.no_done {
            Bytes::from("data: [DONE]\n\n")
        } else {
            return None;
        };
        self.step += 1;
        Some(Ok(item))
    }
}
