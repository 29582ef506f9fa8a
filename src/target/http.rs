//! One request over HTTP, with every time taken where bytes leave the socket, before parsing.

use super::failing::{broken, chain, says, unreachable};
use super::inflate::Inflate;
use super::limits::Limiter;
use super::open::{STALE_WITHIN, Waited};
use super::patience::Patience;
use super::pool::Pool;
use super::reading::{Reading, Streamed};
use super::wire::{self, fail};
use crate::exchange::{Exchange, FailureKind, TransportRetry};
use crate::options::{Address, Target};
use crate::redact::Redactor;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue};
use serde_json::{Map, Value};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A service that is ready to be asked.
#[derive(Debug)]
pub struct Service {
    pub target: Target,
    /// The base URL actually used; a simulated service gets its own.
    pub base_url: String,
    /// Connections of the turns of cases.
    pool: Pool,
    /// Everything else: vectors, pages of figures.
    client: reqwest::Client,
    /// Opens a new connection for every request, as a probe should.
    fresh: reqwest::Client,
    pub limiter: Limiter,
    /// The model's name, from the configuration or from `/models`.
    pub model: OnceLock<Option<String>>,
    /// Set when the service took a request only without `stream_options`.
    without_usage: AtomicBool,
    /// Before an excerpt is made: half a secret would not be known as one.
    pub redactor: Redactor,
    ca: Option<Vec<u8>>,
    /// Set when the service went away after it had been ready: the case that saw it first.
    pub crashed: OnceLock<String>,
    /// Set once it has answered: from then on nobody who refuses a connection is still starting.
    pub(super) was_ready: AtomicBool,
}

/// What is asked in one turn.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub messages: &'a [Value],
    pub params: &'a Map<String, Value>,
    pub stream: bool,
    pub total: Duration,
    /// Statuses that are the answer asked for, and so no reason to ask again.
    pub accept: &'a [u16],
}

enum Sent {
    Complete,
    /// Nothing reached the model; the reason, and how long the service asks to wait.
    TryAgain(String, Option<Duration>),
    /// The service does not know `stream_options`.
    WithoutUsage,
    /// A connection kept open from an earlier request was closed before a byte of a response came, and how long it had waited for this
    /// one. Servers close idle connections whenever they like; one that was in use just before may have broken under the request.
    Stale(Duration),
}

/// An HTTP client that keeps up to `idle` connections open.
fn client(target: &Target, ca: Option<&[u8]>, idle: usize) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        // Another feature of the build may bring HTTP/2 along; every build measures alike.
        .http1_only()
        .user_agent(concat!("roadworthy/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(target.timeouts.connect)
        .pool_max_idle_per_host(idle)
        .tcp_nodelay(true)
        // A redirect would send the key and the prompt to somebody else.
        .redirect(reqwest::redirect::Policy::none())
        // Attempts are ours to count.
        .retry(reqwest::retry::never());
    if matches!(target.address, Address::Simulate(_)) {
        builder = builder.no_proxy();
    }
    if let Some(pem) = ca {
        let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(|e| format!("ca_file holds no certificate: {e}"))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|e| chain(&e))
}

impl Service {
    /// Builds the client. Errors are sentence fragments about certificates or the TLS set-up.
    pub fn new(target: Target, base_url: String, ca: Option<Vec<u8>>) -> Result<Service, String> {
        static PROVIDER: OnceLock<()> = OnceLock::new();
        PROVIDER.get_or_init(|| {
            // Fails only when a library user has installed a provider already, which serves as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let client = client(&target, ca.as_deref(), usize::MAX)?;
        let fresh = self::client(&target, ca.as_deref(), 0)?;
        let limiter = Limiter::new(target.concurrency, target.rate);
        let model = OnceLock::new();
        if target.model.is_some() {
            let _ = model.set(target.model.clone());
        }
        Ok(Service {
            redactor: Redactor::new(target.secrets.iter().map(|secret| secret.0.clone())),
            target,
            base_url,
            pool: Pool::default(),
            client,
            fresh,
            limiter,
            model,
            without_usage: AtomicBool::new(false),
            ca,
            crashed: OnceLock::new(),
            was_ready: AtomicBool::new(false),
        })
    }

    /// The same service with a state of its own.
    pub fn again(&self) -> Result<Service, String> {
        Service::new(self.target.clone(), self.base_url.clone(), self.ca.clone())
    }

    /// Whether the service tells token counts at the end of a stream; known after the first request.
    pub fn tells_usage(&self) -> bool {
        !self.without_usage.load(Ordering::Relaxed)
    }

    /// The way that requests of a load take.
    pub async fn route(&self) -> Result<super::Route, String> {
        super::Route::new(&self.target, &self.base_url, self.ca.as_deref()).await.map_err(|failure| failure.message)
    }

    /// The service's Prometheus page, where the configuration names one; a path counts from the host, as `ready.path` does.
    pub fn metrics_url(&self) -> Option<String> {
        let told = self.target.metrics.as_ref()?;
        Some(if told.starts_with('/') { super::ready::ready_url(&self.base_url, told) } else { told.clone() })
    }

    /// Reads a text page of the service or of something beside it, within a second. The target's key goes only to its own host.
    pub async fn page(&self, url: &str) -> Result<String, String> {
        let own = reqwest::Url::parse(url).ok().zip(reqwest::Url::parse(&self.base_url).ok());
        let own = own.is_some_and(|(a, b)| a.host() == b.host() && a.port_or_known_default() == b.port_or_known_default());
        let request = if own { self.with_headers(self.client.get(url)) } else { self.client.get(url) };
        let read = async {
            let mut response = request.send().await.map_err(|e| chain(&e))?;
            if !response.status().is_success() {
                return Err(format!("status {}", response.status().as_u16()));
            }
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|e| chain(&e))? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() as u64 > self.target.max_response {
                    return Err(format!("the page is larger than {} bytes", self.target.max_response));
                }
            }
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        tokio::time::timeout(Duration::from_millis(900), read).await.unwrap_or_else(|_| Err("no answer within 0.9 s".into()))
    }

    /// The address requests go to.
    pub fn endpoint(&self) -> String {
        format!("{}/{}", self.base_url, self.target.api.route())
    }

    /// A plain GET with the target's headers, for probes.
    pub(super) fn get(&self, url: &str) -> reqwest::RequestBuilder {
        self.with_headers(self.fresh.get(url))
    }

    pub(super) fn post(&self, url: &str) -> reqwest::RequestBuilder {
        self.with_headers(self.client.post(url))
    }

    fn with_headers(&self, mut request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        // A header of the same name takes the key's place, as it does in the turns of cases.
        let told = self.target.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if let Some(key) = self.target.api_key.as_ref().filter(|_| !told) {
            request = request.bearer_auth(&key.0);
        }
        for (name, value) in &self.target.headers {
            request = request.header(name, &value.0);
        }
        request
    }

    /// Sends one turn, transport retries included, and gives back what came, whatever it is. `jitter` is from 0 to 1.
    /// `again` is asked before a request is sent once more after a wait, and may forbid it.
    pub async fn ask(&self, request: &Request<'_>, jitter: f64, again: &(dyn Fn(Duration) -> bool + Sync)) -> Exchange {
        let retry = self.target.transport_retry;
        let mut retries: Vec<TransportRetry> = Vec::new();
        let mut queued = Duration::ZERO;
        let mut backoff = retry.backoff;
        let mut fresh = false;
        let mut without_usage = self.without_usage.load(Ordering::Relaxed);
        loop {
            let waiting = Instant::now();
            let slot = self.limiter.acquire().await;
            queued += waiting.elapsed();
            let with_usage = request.stream && !without_usage;
            let model = self.model.get().and_then(Option::as_deref);
            let body = wire::body(self.target.api, model, request.messages, request.params, request.stream, with_usage);
            let mut exchange = Exchange { url: self.endpoint(), request: body, ..Exchange::default() };
            let sent = self.send(&mut exchange, request, with_usage, fresh).await;
            drop(slot);
            exchange.timing.queued = queued;
            if let Some(failure) = exchange.failure.as_mut() {
                failure.message = crate::redact::excerpt(&self.redactor.clean(&failure.message), LONGEST_MESSAGE);
            }
            match sent {
                Sent::WithoutUsage if again(Duration::ZERO) => {
                    without_usage = true;
                    continue;
                }
                // A service that takes no new connections went away, and perhaps because of this request.
                Sent::Stale(rested) if !fresh && self.takes_connections().await && again(Duration::ZERO) => {
                    fresh = true;
                    let reason = "a connection kept open from an earlier request broke before a response came".into();
                    retries.push(TransportRetry { reason, waited: Duration::ZERO, broke: !self.pool.may_end(rested) });
                    continue;
                }
                // A service that asks for longer than the whole request may take will not be waited for.
                Sent::TryAgain(reason, asked)
                    if (retries.len() as u64) + 1 < retry.attempts
                        && asked.is_none_or(|a| a <= request.total)
                        && again(asked.unwrap_or(backoff)) =>
                {
                    // Between half and the whole of the backoff, so that clients that failed together do not return together.
                    let wait = asked.unwrap_or_else(|| backoff.mul_f64(0.5 + jitter / 2.0)).min(request.total);
                    backoff = backoff.saturating_mul(2).min(request.total);
                    retries.push(TransportRetry { reason, waited: wait, broke: false });
                    tokio::time::sleep(wait).await;
                }
                sent => {
                    if exchange.failure.is_none() {
                        self.without_usage.fetch_or(without_usage, Ordering::Relaxed);
                        self.limiter.succeeded();
                    }
                    if let (Sent::TryAgain(_, Some(asked)), Some(failure)) = (&sent, exchange.failure.as_mut())
                        && *asked > request.total
                    {
                        let (asked, total) = (crate::units::show(*asked), crate::units::show(request.total));
                        failure.message.push_str(&format!(" (it asks to wait {asked}, longer than the {total} of a request)"));
                    }
                    if let (Some(failure), n @ 1..) = (exchange.failure.as_mut(), retries.len()) {
                        failure.message.push_str(&format!(" ({} attempts)", n + 1));
                    }
                    exchange.transport_retries = retries;
                    return exchange;
                }
            }
        }
    }

    async fn send(&self, exchange: &mut Exchange, request: &Request<'_>, with_usage: bool, fresh: bool) -> Sent {
        let mut held = match self.pool.take(&self.target, &self.base_url, self.ca.as_deref(), fresh).await {
            Ok(held) => held,
            Err(failure) => {
                let again = self.target.transport_retry.when.connect
                    && match failure.kind {
                        FailureKind::ConnectTimeout => true,
                        // Whoever listened before and does not now went away.
                        FailureKind::ConnectRefused => !self.is_ready(),
                        _ => false,
                    };
                let failure = unreachable(failure, &self.base_url);
                let reason = failure.message.clone();
                exchange.failure = Some(failure);
                return if again { Sent::TryAgain(reason, None) } else { Sent::Complete };
            }
        };
        exchange.timing.connect = held.connect;
        let mut http = held.route.request(exchange.request.0.clone().into());
        http.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        http.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let sent = Instant::now();
        let patience = Patience { timeouts: &self.target.timeouts, total: request.total, sent };
        let mut deadline = std::pin::pin!(tokio::time::sleep_until((sent + patience.head(request.stream)).into()));
        let response = match held.open.head(http, deadline.as_mut()).await {
            Waited::Came(response) => response,
            Waited::Late => {
                exchange.failure = Some(patience.headless(request.stream));
                return Sent::Complete;
            }
            Waited::Broke(why) => {
                let failure = broken(&why, &self.base_url);
                let rested = held.rested;
                let stale = failure.kind == FailureKind::ConnReset && held.connect.is_none() && sent.elapsed() < STALE_WITHIN;
                exchange.failure = Some(failure);
                return if stale { Sent::Stale(rested) } else { Sent::Complete };
            }
        };
        exchange.timing.ttfb = Some(held.open.last_read().saturating_duration_since(sent));
        let status = response.status().as_u16();
        exchange.status = Some(status);
        exchange.headers =
            response.headers().iter().map(|(n, v)| (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect();
        let is_stream = exchange.header("content-type").is_some_and(|t| t.to_ascii_lowercase().contains("text/event-stream"));
        let mut reading = Reading {
            inflate: Inflate::new(exchange.header("content-encoding"), self.target.max_response),
            body: response.into_body(),
            held,
            deadline,
            patience,
            max_response: self.target.max_response,
        };
        let mut begun = Vec::new();
        if (is_stream || request.stream) && (200..300).contains(&status) {
            match reading.stream(exchange, is_stream).await {
                Streamed::ToItsEnd => {
                    self.pool.keep(reading.held);
                    return Sent::Complete;
                }
                Streamed::InPart => return Sent::Complete,
                Streamed::Not(bytes) => begun = bytes,
            }
        }
        let body = match reading.whole(begun).await {
            Ok(body) => body,
            Err((failure, partial)) => {
                exchange.answer = wire::clip(&String::from_utf8_lossy(&partial));
                exchange.failure = Some(failure);
                return Sent::Complete;
            }
        };
        let ended = reading.held.open.last_read();
        self.pool.keep(reading.held);
        if (200..300).contains(&status) {
            wire::fold_body(exchange, &body, sent, ended);
            return Sent::Complete;
        }
        let text = String::from_utf8_lossy(&body);
        exchange.answer = wire::clip(&text);
        exchange.timing.e2e = Some(ended.saturating_duration_since(sent));
        let says = says(&text).map(|m| format!(": {}", crate::redact::excerpt(&self.redactor.clean(&m), 160))).unwrap_or_default();
        let elsewhere = exchange.header("location").filter(|_| (300..400).contains(&status));
        let elsewhere = elsewhere.map(|to| format!("; it points to {to}, and redirects are not followed")).unwrap_or_default();
        // The commonest slip in an address.
        let bare = status == 404 && reqwest::Url::parse(&self.base_url).is_ok_and(|u| u.path() == "/");
        let slip = if bare { "; most services expect `/v1` at the end of the base_url" } else { "" };
        let key = match (status, &self.target.api_key) {
            (401 | 403, None) if !self.target.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) => {
                "; no key was sent, as `api_key` is not set".to_owned()
            }
            (401 | 403, Some(_)) => format!("; the key comes from {}", self.target.key_origin),
            _ => String::new(),
        };
        fail(exchange, FailureKind::Http, format!("status {status} from {}{says}{elsewhere}{slip}{key}", self.endpoint()));
        if matches!(status, 400 | 422) && with_usage && blames_usage(&text) {
            return Sent::WithoutUsage;
        }
        if request.accept.contains(&status) {
            return Sent::Complete;
        }
        let wait = exchange.header("retry-after").and_then(|v| retry_after(v, jiff::Timestamp::now()));
        let when = self.target.transport_retry.when;
        match status {
            429 => {
                self.limiter.too_many();
                if when.too_many_requests { Sent::TryAgain("status 429".into(), wait) } else { Sent::Complete }
            }
            // Only a 503 that asks for it: any other one is the service's failure.
            503 if when.unavailable && wait.is_some() => Sent::TryAgain("status 503 with Retry-After".into(), wait),
            _ => Sent::Complete,
        }
    }

    /// True when the service still takes connections, by the way that requests take.
    pub async fn takes_connections(&self) -> bool {
        self.pool.takes_connections(&self.target, &self.base_url, self.ca.as_deref()).await
    }

    /// True once the service has answered.
    pub fn is_ready(&self) -> bool {
        self.was_ready.load(Ordering::Relaxed)
    }
}

/// How long a `Retry-After` asks to wait: seconds, or a date.
fn retry_after(text: &str, now: jiff::Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

/// Characters of a failure's message, at most.
const LONGEST_MESSAGE: usize = 400;

/// Whether a refusal names the request for token counts. The request itself, which some services send back, names it always.
fn blames_usage(body: &str) -> bool {
    let names = |text: &str| text.contains("stream_options") || text.contains("include_usage");
    let Ok(value) = serde_json::from_str::<Value>(body) else { return names(body) };
    let error = &value["error"];
    let told = [error, &error["message"], &error["param"], &value["message"], &value["param"], &value["detail"]];
    let details = value["detail"].as_array().into_iter().flatten();
    let details = details.flat_map(|d| d["loc"].as_array().into_iter().flatten().chain([&d["msg"]]));
    told.into_iter().chain(details).filter_map(Value::as_str).any(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now: jiff::Timestamp = "2026-11-25T10:00:00Z".parse().unwrap();
        assert_eq!(retry_after(" 2 ", now), Some(Duration::from_secs(2)));
        assert_eq!(retry_after("Wed, 25 Nov 2026 10:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Wed, 25 Nov 2026 09:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
    }
}
