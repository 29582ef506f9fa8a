//! Serves a script over HTTP.

use super::asked::Asked;
use super::pace::{stream, whole};
use super::reply::Reply;
use super::script::{Rule, Script};
use super::service::Service;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

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

/// Starts on a loopback port (0: any free one).
pub async fn start(script: Script, port: u16) -> std::io::Result<Running> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let base_url = format!("http://{}/v1", listener.local_addr()?);
    let service = Arc::new(Service::new(script)?);
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
    let asked = match Asked::of(&parsed, chat) {
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
