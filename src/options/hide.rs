//! Keeps what may be a secret out of what is said about a configuration: a mistyped `api_kye` must not print the key.

use super::secret::passwords;
use crate::diagnostic::{Diagnostic, Source};
use crate::redact::Redactor;
use regex::Regex;
use std::sync::{Arc, LazyLock};

/// Values behind keys that look as if they held something secret, however they are misspelt, and those of headers that start with `X-`.
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    let name = r#"[\w-]*(?:api[\w-]+|key|kye|token|secret|passw|auth|cookie|credential|x-)[\w-]*["']?"#;
    let value = r#""(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,}#][^,}\n#]*"#;
    Regex::new(&format!(r"(?i)\b(?:{name})\s*[:：]\s*\[?\s*({value})")).expect("a constant pattern")
});

/// The password of an address.
static PASSWORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"://[^/\s:@]*:([^\s/@]+)@").expect("a constant pattern"));

/// The diagnostics with everything secret in the source's lines, and in what is said of them, replaced.
pub fn hide(mut found: Vec<Diagnostic>, source: &Source) -> Vec<Diagnostic> {
    let mut text = source.text.clone().into_bytes();
    let mut secrets = Vec::new();
    for pattern in [&SECRET, &PASSWORD] {
        for value in pattern.captures_iter(&source.text).filter_map(|captures| captures.get(1)) {
            let written = value.as_str().trim_end();
            // `"${NAME}"` is how it should be written, and says nothing.
            if written.trim_matches(['"', '\'']).starts_with("${") {
                continue;
            }
            // As long as before, so that places stay where they are.
            text[value.start()..value.start() + written.len()].fill(b'*');
            secrets.push(written.trim_matches(['"', '\'']).to_owned());
            secrets.extend(passwords(written));
        }
    }
    if secrets.is_empty() {
        return found;
    }
    let masked = Arc::new(Source { name: source.name.clone(), text: String::from_utf8(text).expect("asterisks are UTF-8") });
    // Parts of a value are said, too: those between brackets, and behind a scheme.
    let parts: Vec<String> = secrets.iter().flat_map(|s| s.split([' ', ',', '[', ']'])).map(str::to_owned).collect();
    let redactor = Redactor::new(secrets.into_iter().chain(parts));
    for diagnostic in &mut found {
        redactor.wash(&mut diagnostic.message);
        diagnostic.hint.iter_mut().for_each(|hint| {
            redactor.wash(hint);
        });
        if diagnostic.source.as_ref().is_some_and(|s| s.name == source.name) {
            diagnostic.source = Some(masked.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::settings;

    #[test]
    fn mistakes_beside_a_secret_do_not_show_it() {
        for text in [
            "targets: { default: { base_url: http://h/v1, api_kye: sk-literal-0123 } }",
            "targets:\n  default:\n    base_url: http://h/v1\n    headers: { X-Auth: sk-literal-0123, X-Team: [1] }\n",
            "targets:\n  default: { base_url: \"http://user:sk-literal-0123@h/v1\", modle: m }\n",
            "targets:\n  default:\n    base_url: http://h/v1\n    api_key: [sk-literal-0123\n    headers: { X-Other: sk-literal-0123 }\n",
            "targets:\n  default:\n    base_url: http://h/v1\n    api_key: { a: sk-literal-0123 }\n",
            "targets:\n  default:\n    base_url: http://h/v1\n    api-key: \"sk-literal-0123\" \"x\"\n",
        ] {
            let source = Arc::new(Source { name: "roadworthy.yaml".into(), text: text.into() });
            let found = settings(Some(&source), None, "default", Vec::new(), &|_| None).map(drop).unwrap_err();
            let told: Vec<String> = hide(found, &source).iter().map(|d| d.render(false)).collect();
            let told = told.join("\n");
            assert!(!told.is_empty() && !told.contains("literal-0123"), "{told}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let text = "targets:\n  default: { base_url: http://h/v1, api: chta, api_key: \"${KEY}\", modle: m }\n";
        let source = Arc::new(Source { name: "roadworthy.yaml".into(), text: text.into() });
        let found = settings(Some(&source), None, "default", Vec::new(), &|_| Some("x".into())).map(drop).unwrap_err();
        let told: Vec<String> = hide(found, &source).iter().map(|d| d.render(false)).collect();
        assert!(told.join("\n").contains("api: chta, api_key: \"${KEY}\", modle: m"), "{told:?}");
    }
}
