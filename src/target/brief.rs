//! What a load needs of an event or a body: whether it carries a token, how long the text is, the counts, the end. Texts are
//! counted, never kept.

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// One event of a stream, or a whole body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Brief {
    /// Characters of answer and refusal text.
    pub content: u32,
    pub reasoning: u32,
    /// A name or arguments of a tool call came.
    pub call: bool,
    pub finish: Option<Finish>,
    pub prompt_tokens: Option<u64>,
    pub completion_tokens: Option<u64>,
    pub cached_tokens: Option<u64>,
    /// The service says that it failed, and how.
    pub error: Option<String>,
}

/// Why the model stopped, as far as a load cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Fine,
    ContentFilter,
    /// `error` or `abort`: the service gave the answer up.
    GaveUp,
}

impl Brief {
    /// True when an event carries a token.
    pub fn is_token(&self) -> bool {
        self.content > 0 || self.reasoning > 0 || self.call
    }
}

/// Reads an event's data. `Err` says why it is not an event.
pub fn read(data: &[u8]) -> Result<Brief, String> {
    let wire: Wire = serde_json::from_slice(data).map_err(|e| e.to_string())?;
    let mut brief = Brief::default();
    let error = wire.error.filter(|e| e.get() != "null");
    if error.is_some() || (wire.choices.is_none() && wire.usage.is_none()) {
        // Rare: the slow way serves.
        let value: Value = serde_json::from_slice(data).map_err(|e| e.to_string())?;
        if let Some(error) = super::wire::error_in(&value) {
            brief.error = Some(error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned));
            return Ok(brief);
        }
    }
    if let Some(First(Some(choice))) = wire.choices {
        let part = choice.delta.or(choice.message).unwrap_or_default();
        brief.content = part.content.0 + part.refusal.0 + choice.text.0;
        brief.reasoning = part.reasoning_content.0 + part.reasoning.0;
        brief.call = part.tool_calls.0;
        brief.finish = choice.finish_reason.0;
    }
    if let Some(usage) = wire.usage {
        brief.prompt_tokens = usage.prompt_tokens;
        brief.completion_tokens = usage.completion_tokens;
        brief.cached_tokens = usage.prompt_tokens_details.and_then(|d| d.cached_tokens);
    }
    Ok(brief)
}

#[derive(Deserialize)]
struct Wire<'a> {
    choices: Option<First>,
    usage: Option<Usage>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Choice {
    delta: Option<Part>,
    message: Option<Part>,
    text: Length,
    finish_reason: Reason,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Part {
    content: Length,
    refusal: Length,
    reasoning_content: Length,
    reasoning: Length,
    tool_calls: Calls,
}

/// The first choice of a list; the others are alike.
struct First(Option<Choice>);

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<First, D::Error> {
        struct OfList;
        impl<'de> Visitor<'de> for OfList {
            type Value = First;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First, A::Error> {
                let first = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        deserializer.deserialize_seq(OfList)
    }
}

/// Characters of a text; anything else counts as none.
#[derive(Default, Clone, Copy)]
struct Length(u32);

/// Whether any tool call has a name or arguments.
#[derive(Default, Clone, Copy)]
struct Calls(bool);

#[derive(Default, Clone, Copy)]
struct Reason(Option<Finish>);

/// Visits any value and makes something small of texts, lists and maps.
struct Any<T>(std::marker::PhantomData<T>);

trait Small: Default {
    fn text(_: &str) -> Self {
        Self::default()
    }
    fn merge(self, _: Self) -> Self {
        self
    }
    /// Keys of maps that are looked into.
    const KEYS: &'static [&'static str] = &[];
}

impl Small for Length {
    fn text(text: &str) -> Length {
        Length(text.chars().count() as u32)
    }
    fn merge(self, other: Length) -> Length {
        Length(self.0 + other.0)
    }
    // Some services send content in parts.
    const KEYS: &'static [&'static str] = &["text"];
}

impl Small for Calls {
    fn text(text: &str) -> Calls {
        Calls(!text.is_empty())
    }
    fn merge(self, other: Calls) -> Calls {
        Calls(self.0 || other.0)
    }
    const KEYS: &'static [&'static str] = &["function", "name", "arguments"];
}

impl Small for Reason {
    fn text(text: &str) -> Reason {
        Reason(Some(match text {
            "content_filter" => Finish::ContentFilter,
            "error" | "abort" => Finish::GaveUp,
            _ => Finish::Fine,
        }))
    }
}

impl<'de, T: Small + Deserialize<'de>> Visitor<'de> for Any<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text))
    }
    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let mut out = T::default();
        while let Some(item) = list.next_element::<T>()? {
            out = out.merge(item);
        }
        Ok(out)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut out = T::default();
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if T::KEYS.contains(&&*key) {
                out = out.merge(map.next_value::<T>()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(out)
    }
}

macro_rules! small {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                deserializer.deserialize_any(Any(std::marker::PhantomData))
            }
        }
    )*};
}
small!(Length, Calls, Reason);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_what_the_sheet_says() {
        let token = |data: &str| read(data.as_bytes()).unwrap().is_token();
        assert!(!token(r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#));
        assert!(!token(r#"{"choices":[{"delta":{"content":""}}]}"#));
        assert!(!token(r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}"#));
        assert!(token(r#"{"choices":[{"delta":{"content":"你"}}]}"#));
        assert!(token(r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#));
        assert!(token(r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}}]}"#));
        assert!(token(r#"{"choices":[{"text":"a"}]}"#));
        assert!(!token(r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"x","function":{"arguments":""}}]}}]}"#));
    }

    #[test]
    fn ends_counts_and_errors() {
        let b = read(r#"{"choices":[{"delta":{"content":"你好"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":2}}}"#.as_bytes()).unwrap();
        assert_eq!((b.content, b.finish, b.completion_tokens, b.cached_tokens), (2, Some(Finish::Fine), Some(3), Some(2)));
        assert_eq!(read(br#"{"error":{"message":"boom"}}"#).unwrap().error.as_deref(), Some("boom"));
        assert_eq!(read(br#"{"object":"error","message":"boom"}"#).unwrap().error.as_deref(), Some("boom"));
        assert_eq!(read(br#"{"choices":[{"delta":{},"finish_reason":"abort"}],"error":null}"#).unwrap().finish, Some(Finish::GaveUp));
        assert!(read(b"{broken").is_err());
        let whole = read(br#"{"choices":[{"message":{"content":"abc"},"finish_reason":"length"}]}"#).unwrap();
        assert_eq!((whole.content, whole.finish), (3, Some(Finish::Fine)));
    }
}
