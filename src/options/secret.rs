//! Which values of a configuration are secret.

/// A header's value, and what follows its scheme: a service may say back the bare token of `Bearer …`.
pub fn in_header(value: &str) -> Vec<String> {
    let bare = value.split_once(' ').filter(|(scheme, _)| ["bearer", "basic", "token"].contains(&scheme.to_lowercase().as_str()));
    [Some(value), bare.map(|(_, token)| token.trim())].into_iter().flatten().map(str::to_owned).collect()
}

/// The password of an address, as written and as it is meant.
pub fn passwords(url: &str) -> Vec<String> {
    let Some(url) = reqwest::Url::parse(url).ok() else { return Vec::new() };
    let Some(written) = url.password() else { return Vec::new() };
    vec![written.to_owned(), percent_encoding::percent_decode_str(written).decode_utf8_lossy().into_owned()]
}

/// Keys that protect nothing, which local servers are told because clients insist on one: masking them would ruin answers that name
/// the server.
pub fn is_placeholder(secret: &str) -> bool {
    const USUAL: [&str; 11] =
        ["", "empty", "none", "null", "ollama", "dummy", "local", "vllm", "lm-studio", "not-needed", "sk-no-key-required"];
    USUAL.contains(&secret.to_lowercase().as_str())
}

/// Whether a dotted key is that of a header which is secret by its name.
pub fn is_secret_header(key: &str) -> bool {
    let lower = key.to_lowercase();
    lower.contains(".headers.") && ["auth", "key", "token", "secret", "cookie"].iter().any(|w| lower.contains(w))
}
