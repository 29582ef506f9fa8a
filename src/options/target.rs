//! One service: where it is and how it is treated.

use super::{Settings, shown};
use crate::diagnostic::Diagnostic;
use crate::expect::Price;
use crate::units;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// A value that is never printed.
#[derive(Clone, PartialEq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::redact::MASK)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Address {
    /// The base URL, without a slash at its end.
    Url(String),
    /// A file that describes a simulated service.
    Simulate(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Chat,
    Completions,
}

impl Api {
    /// Below the base URL.
    pub fn route(self) -> &'static str {
        match self {
            Api::Chat => "chat/completions",
            Api::Completions => "completions",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timeouts {
    pub connect: Duration,
    pub first_token: Duration,
    pub idle: Duration,
    pub total: Duration,
}

/// What may be sent again, because the model never got to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryWhen {
    pub connect: bool,
    pub too_many_requests: bool,
    pub unavailable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransportRetry {
    pub attempts: u64,
    pub when: RetryWhen,
    pub backoff: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Ready {
    pub path: String,
    pub every: Duration,
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    pub name: String,
    pub address: Address,
    /// Who said where it is, for messages.
    pub origin: String,
    pub model: Option<String>,
    pub api: Api,
    pub api_key: Option<Secret>,
    /// Who said the key, for messages.
    pub key_origin: String,
    pub headers: Vec<(String, Secret)>,
    pub stream: bool,
    pub timeouts: Timeouts,
    pub transport_retry: TransportRetry,
    pub concurrency: usize,
    /// Requests started per second, at most.
    pub rate: Option<f64>,
    pub ready: Ready,
    pub price: Option<Price>,
    /// The service's Prometheus page.
    pub metrics: Option<String>,
    pub ca_file: Option<String>,
    /// Bytes of a response after decompression, at most.
    pub max_response: u64,
    /// What must not be said back, of the whole configuration.
    pub secrets: Vec<Secret>,
}

/// What holds of a target where nobody says otherwise.
pub(super) fn built_in() -> [(&'static str, Value); 14] {
    [
        ("api", json!("chat")),
        ("stream", json!(true)),
        ("timeout.connect", json!("3s")),
        ("timeout.first_token", json!("60s")),
        ("timeout.idle", json!("30s")),
        ("timeout.total", json!("120s")),
        ("transport_retry.attempts", json!(3)),
        ("transport_retry.when", json!(["connect", "429", "503"])),
        ("transport_retry.backoff", json!("500ms")),
        ("limits.concurrency", json!(8)),
        ("ready.path", json!("/health")),
        ("ready.every", json!("1s")),
        ("ready.timeout", json!("5s")),
        ("max_response", json!(64 << 20)),
    ]
}

/// Values that are of the right kind, and nothing that could work.
fn senseless(settings: &Settings, name: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut wrong = |key: &str, why: &str| {
        let key = format!("targets.{name}.{key}");
        let origin = settings.map.get(&key).map(|s| format!("it comes from {}", s.origin)).unwrap_or_default();
        found.push(Diagnostic::error("bad-value", format!("{}: {why}", shown(&key))).hint(origin));
    };
    let text = |key: &str| settings.text(&format!("targets.{name}.{key}"));
    for key in ["timeout.connect", "timeout.first_token", "timeout.idle", "timeout.total", "ready.every"] {
        if text(key).and_then(|t| units::duration(&t).ok()).is_some_and(|d| d.is_zero()) {
            wrong(key, "nothing can be done in no time");
        }
    }
    for key in ["transport_retry.attempts", "limits.concurrency", "max_response"] {
        if text(key).and_then(|t| units::count(&t).ok()) == Some(0) {
            wrong(key, "0 would send or take nothing");
        }
    }
    for key in ["price.input", "price.output"] {
        if text(key).and_then(|t| units::number(&t).ok()).is_some_and(|n| n < 0.0) {
            wrong(key, "a price is not below 0");
        }
    }
    if text("base_url").and_then(|url| reqwest::Url::parse(&url).ok()).is_some_and(|url| url.query().is_some() || url.fragment().is_some())
    {
        wrong("base_url", "routes are appended to it, so it ends before `?` and `#`; a key belongs into `api_key` or `headers`");
    }
    let sendable = |value: &str| reqwest::header::HeaderValue::from_str(value).is_ok();
    if text("base_url")
        .is_some_and(|url| ["/chat/completions", "/completions"].iter().any(|route| url.trim_end_matches('/').ends_with(route)))
    {
        wrong("base_url", "routes are appended to it, so it ends before `/chat/completions`");
    }
    if text("api_key").is_some_and(|key| !sendable(&key)) {
        wrong("api_key", "it holds a character that no header can carry, such as a line break");
    }
    for (header, value) in settings.below(&format!("targets.{name}.headers")) {
        if header.parse::<reqwest::header::HeaderName>().is_err() {
            wrong(&format!("headers.{header}"), "this is no name of a header");
        } else if !sendable(&value) {
            wrong(&format!("headers.{header}"), "it holds a character that no header can carry, such as a line break");
        }
    }
    found
}

pub(super) fn target(settings: &Settings, name: &str) -> Result<Target, Vec<Diagnostic>> {
    let found = senseless(settings, name);
    if !found.is_empty() {
        return Err(found);
    }
    let key = |k: &str| format!("targets.{name}.{k}");
    let text = |k: &str| settings.text(&key(k));
    // Whatever is asked for in this way is built in, so it is there.
    let duration = |k: &str| settings.parsed(&key(k), units::duration).map(Option::unwrap_or_default);
    let count = |k: &str| settings.parsed(&key(k), units::count).map(Option::unwrap_or_default);
    let number = |k: &str| settings.parsed(&key(k), units::number);
    let (address, origin) = match (text("base_url"), text("simulate")) {
        (Some(url), _) => {
            let parsed = reqwest::Url::parse(&url).ok().filter(|u| matches!(u.scheme(), "http" | "https"));
            if parsed.is_none() {
                return Err(vec![
                    Diagnostic::error(
                        "bad-url",
                        format!("`{}` is not an http or https address (target `{}`)", without_password(&url), shown(name)),
                    )
                    .hint(format!("write it like http://127.0.0.1:8000/v1; it comes from {}", settings.map[&key("base_url")].origin)),
                ]);
            }
            (Address::Url(url.trim_end_matches('/').to_owned()), settings.map[&key("base_url")].origin.to_string())
        }
        (None, Some(file)) => (Address::Simulate(file), settings.map[&key("simulate")].origin.to_string()),
        (None, None) => {
            return Err(vec![Diagnostic::error("no-address", format!("target `{}` has neither `base_url` nor `simulate`", shown(name)))]);
        }
    };
    let when = settings.list(&key("transport_retry.when"));
    let on = |word: &str| when.iter().any(|w| w == word);
    let price = match (number("price.input")?, number("price.output")?) {
        (Some(input), Some(output)) => Some(Price { input, output, currency: text("price.currency").unwrap_or_else(|| "USD".into()) }),
        _ => None,
    };
    Ok(Target {
        name: shown(name),
        address,
        origin,
        model: text("model"),
        api: if text("api").as_deref() == Some("completions") { Api::Completions } else { Api::Chat },
        api_key: text("api_key").map(Secret),
        key_origin: settings.map.get(&key("api_key")).map(|s| s.origin.to_string()).unwrap_or_default(),
        headers: settings.below(&key("headers")).into_iter().map(|(k, v)| (k, Secret(v))).collect(),
        stream: text("stream").as_deref() != Some("false"),
        timeouts: Timeouts {
            connect: duration("timeout.connect")?,
            first_token: duration("timeout.first_token")?,
            idle: duration("timeout.idle")?,
            total: duration("timeout.total")?,
        },
        transport_retry: TransportRetry {
            attempts: count("transport_retry.attempts")?.max(1),
            when: RetryWhen { connect: on("connect"), too_many_requests: on("429"), unavailable: on("503") },
            backoff: duration("transport_retry.backoff")?,
        },
        concurrency: count("limits.concurrency")?.max(1) as usize,
        rate: settings.parsed(&key("limits.rate"), units::rate)?,
        ready: Ready { path: text("ready.path").unwrap_or_default(), every: duration("ready.every")?, timeout: duration("ready.timeout")? },
        price,
        metrics: text("metrics"),
        ca_file: text("ca_file"),
        max_response: count("max_response")?,
        secrets: settings.secrets.iter().cloned().map(Secret).collect(),
    })
}

/// An address that may not even be one, without what stands before its `@`.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}…{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}
