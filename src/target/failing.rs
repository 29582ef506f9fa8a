//! Failures in the words of whoever has to mend them.

use crate::exchange::{Failure, FailureKind};

/// What the TLS library names by its own words, in those of whoever has to mend it.
fn plainly(text: String) -> String {
    let known = [
        ("InvalidContentType", "it does not speak TLS; is the address `http://`?"),
        ("UnknownIssuer", "nobody known here has signed its certificate; `ca_file` names further authorities"),
        ("NotValidForName", "its certificate is for another host"),
    ];
    match known.iter().find(|(word, _)| text.contains(word)) {
        Some((_, meaning)) => format!("{meaning} ({text})"),
        None => text,
    }
}

/// The messages of an error and its causes, without the address twice.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(e) = next {
        let text = e.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        next = e.source();
    }
    plainly(parts.pop().unwrap_or_default())
}

/// What the body of a refusal says in words, in the shapes of OpenAI, of flat errors and of FastAPI.
pub fn says(body: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
    [&value["error"]["message"], &value["message"], &value["detail"]].into_iter().find_map(|told| told.as_str().map(str::to_owned))
}

/// Why no connection came about, in words that name the service.
pub fn unreachable(failure: Failure, base_url: &str) -> Failure {
    let Failure { kind, message: why } = failure;
    let message = match kind {
        FailureKind::Dns => format!("the host name cannot be resolved: {base_url}"),
        FailureKind::ConnectTimeout => format!("no connection in time to {base_url}"),
        FailureKind::Tls => format!("TLS with {base_url} failed: {}", plainly(why)),
        _ if why.to_lowercase().contains("connection refused") => format!("connection refused by {base_url}"),
        _ => format!("no connection to {base_url}: {why}"),
    };
    Failure { kind, message }
}

/// What a connection that broke before the head of a response means.
pub fn broken(why: &str, base_url: &str) -> Failure {
    let text = why.to_lowercase();
    let (kind, message) = if ["reset", "closed", "ended", "incomplete", "broken pipe"].iter().any(|word| text.contains(word)) {
        (FailureKind::ConnReset, format!("the connection broke before a response came from {base_url}"))
    } else {
        (FailureKind::Send, format!("no HTTP/1.1 came from {base_url}: {why}"))
    };
    Failure { kind, message }
}
