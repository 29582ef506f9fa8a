//! Reads one event of a stream, or a whole body, as services write it: a text or a number of an unexpected type counts as absent,
//! since services add and bend fields freely. The reader chooses what becomes of texts (`T`) and of structures (`V`).

use crate::exchange::Usage;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// One event, or one body.
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de> + Default, V: Deserialize<'de> + Default")]
pub struct Chunk<'a, T, V> {
    #[serde(default, borrow)]
    object: Said<'a>,
    #[serde(borrow)]
    choices: Option<First<'a, T, V>>,
    usage: Option<Counts>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    // What services say of a failure without `error`: FastAPI's `detail`, DashScope's and Qianfan's codes.
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    error_code: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error_msg: Said<'a>,
}

/// A chunk whose texts and structures are kept.
pub type Whole<'a> = Chunk<'a, Said<'a>, Value>;

/// What a choice adds to the answer. A stream has it under `delta`, a body under `message`.
#[derive(Deserialize, Default)]
#[serde(bound = "T: Deserialize<'de> + Default, V: Deserialize<'de> + Default", default)]
pub struct Choice<'a, T, V> {
    index: Count,
    delta: Option<Part<T, V>>,
    message: Option<Part<T, V>>,
    text: T,
    #[serde(borrow)]
    finish_reason: Reason<'a>,
    pub logprobs: V,
}

#[derive(Deserialize, Default)]
#[serde(bound = "T: Deserialize<'de> + Default, V: Deserialize<'de> + Default", default)]
pub struct Part<T, V> {
    content: T,
    refusal: T,
    reasoning_content: T,
    reasoning: T,
    pub tool_calls: V,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Counts {
    prompt_tokens: Count,
    completion_tokens: Count,
    prompt_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    cached_tokens: Count,
    reasoning_tokens: Count,
}

impl<'a, T: Leaf<'a>, V: Deserialize<'a> + Default> Chunk<'a, T, V> {
    /// `Err` says why the data is no chunk.
    pub fn read(data: &'a [u8]) -> Result<Self, String> {
        serde_json::from_slice(data).map_err(|e| e.to_string())
    }

    /// What the service says went wrong: OpenAI's `{"error": {…}}`, the flat `{"object": "error", "message": …}` of some servers, or, where
    /// neither an answer nor counts stand beside it, a code, a message or a detail.
    pub fn error(&self, data: &[u8]) -> Option<String> {
        // A gateway may send the field with every event.
        let error = self.error.filter(|error| !["\"\"", "{}", "false", "0"].contains(&error.get()));
        let silent = self.choices.is_none() && self.usage.is_none();
        let fine = ["", "0", "200", "ok", "success"];
        let coded = self.code.is_some_and(|code| !fine.contains(&code.get().trim_matches('"').to_lowercase().as_str()));
        let said = !self.error_msg.0.is_empty() || self.error_code.is_some_and(|code| code.get() != "0") || self.detail.is_some();
        let text = match error {
            Some(error) => error.get().as_bytes(),
            None if self.object.0 == "error" || silent && (said || coded) => data,
            None => return None,
        };
        // What is too deep or too large for a value is shown as it came.
        let error = serde_json::from_slice::<Value>(text).unwrap_or_else(|_| String::from_utf8_lossy(text).into());
        let told = ["message", "error_msg", "detail"].into_iter().find_map(|key| error[key].as_str());
        Some(told.map_or_else(|| error.to_string(), str::to_owned))
    }

    pub fn has_choices(&self) -> bool {
        self.choices.as_ref().is_some_and(|list| list.0.is_some())
    }

    /// Takes the first choice.
    pub fn choice(&mut self) -> Choice<'a, T, V> {
        self.choices.take().and_then(|c| c.0).unwrap_or_default()
    }

    /// Counts without that of the prompt say nothing.
    pub fn usage(&self) -> Option<Usage> {
        let usage = self.usage.as_ref()?;
        Some(Usage {
            prompt_tokens: usage.prompt_tokens.0?,
            completion_tokens: usage.completion_tokens.0.unwrap_or(0),
            cached_tokens: usage.prompt_tokens_details.as_ref().and_then(|d| d.cached_tokens.0),
            reasoning_tokens: usage.completion_tokens_details.as_ref().and_then(|d| d.reasoning_tokens.0),
        })
    }
}

impl<'a, T: Leaf<'a> + PartialEq, V: Default> Choice<'a, T, V> {
    /// What is new of the answer, of its reasoning, and of its tool calls.
    pub fn parts(&mut self) -> (T, T, V) {
        let part = self.delta.take().or(self.message.take()).unwrap_or_default();
        let first = |texts: [T; 3]| texts.into_iter().find(|t| *t != T::default()).unwrap_or_default();
        let content = first([part.content, part.refusal, std::mem::take(&mut self.text)]);
        (content, first([part.reasoning_content, part.reasoning, T::default()]), part.tool_calls)
    }

    pub fn finish_reason(&self) -> Option<&str> {
        Some(&*self.finish_reason.0).filter(|reason| !reason.is_empty())
    }
}

/// Whether a service says by its `finish_reason` that it gave the answer up: vLLM and SGLang (`abort`), DeepSeek
/// (`insufficient_system_resource`), GLM (`network_error`), gateways.
pub fn gave_up(reason: &str) -> bool {
    const SAID: [&str; 9] = [
        "error",
        "abort",
        "aborted",
        "cancelled",
        "canceled",
        "network_error",
        "engine_error",
        "engine_overloaded",
        "insufficient_system_resource",
    ];
    SAID.iter().any(|said| reason.eq_ignore_ascii_case(said))
}

/// Whether a filter cut the answer off.
pub fn filtered(reason: &str) -> bool {
    ["content_filter", "sensitive"].iter().any(|said| reason.eq_ignore_ascii_case(said))
}

/// The first choice of a list, by its index; the others are alike.
struct First<'a, T, V>(Option<Choice<'a, T, V>>);

impl<'de: 'a, 'a, T, V> Deserialize<'de> for First<'a, T, V>
where
    T: Deserialize<'de> + Default,
    V: Deserialize<'de> + Default,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfList<'a, T, V>(PhantomData<Choice<'a, T, V>>);
        impl<'de: 'a, 'a, T, V> Visitor<'de> for OfList<'a, T, V>
        where
            T: Deserialize<'de> + Default,
            V: Deserialize<'de> + Default,
        {
            type Value = First<'a, T, V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut first = None;
                while let Some(choice) = list.next_element::<Choice<'a, T, V>>()? {
                    if first.is_none() && choice.index.0.unwrap_or(0) == 0 {
                        first = Some(choice);
                    }
                }
                Ok(First(first))
            }
        }
        deserializer.deserialize_seq(OfList(PhantomData))
    }
}

/// A text, borrowed from the data where it holds no escape. Some services send it in parts.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Said<'a>(pub Cow<'a, str>);

/// Why the model stopped; SGLang's own route tells it as `{"type": …}`.
#[derive(Debug, Default, Clone, PartialEq)]
struct Reason<'a>(Cow<'a, str>);

#[derive(Default, Clone, Copy)]
struct Count(Option<u64>);

/// What is made of one value, whatever it is: something of texts and counts, of lists by merging, of maps by looking into some keys.
pub trait Leaf<'de>: Deserialize<'de> + Default {
    fn text(_: &str) -> Self {
        Self::default()
    }
    fn borrowed(text: &'de str) -> Self {
        Self::text(text)
    }
    fn count(_: u64) -> Self {
        Self::default()
    }
    fn merge(self, _: Self) -> Self {
        self
    }
    /// Keys of maps that are looked into.
    const KEYS: &'static [&'static str] = &[];
}

impl<'de: 'a, 'a> Leaf<'de> for Said<'a> {
    fn text(text: &str) -> Self {
        Said(Cow::Owned(text.to_owned()))
    }
    fn borrowed(text: &'de str) -> Self {
        Said(Cow::Borrowed(text))
    }
    fn merge(self, other: Self) -> Self {
        Said(self.0 + other.0)
    }
    const KEYS: &'static [&'static str] = &["text"];
}

impl<'de: 'a, 'a> Leaf<'de> for Reason<'a> {
    fn text(text: &str) -> Self {
        Reason(Cow::Owned(text.to_owned()))
    }
    fn borrowed(text: &'de str) -> Self {
        Reason(Cow::Borrowed(text))
    }
    fn merge(self, other: Self) -> Self {
        Reason(self.0 + other.0)
    }
    const KEYS: &'static [&'static str] = &["type"];
}

impl Leaf<'_> for Count {
    fn count(n: u64) -> Self {
        Count(Some(n))
    }
}

/// Visits any value and makes a leaf of it.
pub struct Any<T>(pub PhantomData<T>);

impl<'de, T: Leaf<'de>> Visitor<'de> for Any<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text))
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<T, E> {
        Ok(T::borrowed(text))
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
    fn visit_u64<E: Error>(self, n: u64) -> Result<T, E> {
        Ok(T::count(n))
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
        while let Some(Said(key)) = map.next_key()? {
            if T::KEYS.contains(&&*key) {
                out = out.merge(map.next_value::<T>()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(out)
    }
}

/// Lets a leaf be read from any value.
macro_rules! leaf {
    ($($name:ident $(<$a:lifetime>)?),*) => {$(
        impl<'de $(: $a, $a)?> serde::Deserialize<'de> for $name $(<$a>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($crate::target::chunk::Any(std::marker::PhantomData))
            }
        }
    )*};
}
pub(super) use leaf;
leaf!(Said<'a>, Reason<'a>, Count);

#[cfg(test)]
mod tests {
    use super::*;

    fn content(data: &str) -> String {
        Whole::read(data.as_bytes()).unwrap().choice().parts().0.0.into_owned()
    }

    #[test]
    fn fields_that_are_not_what_they_should_be_count_as_absent() {
        assert_eq!(content(r#"{"choices":[{"delta":{"content":"a\nb","refusal":7},"logprobs":[1]}],"object":3}"#), "a\nb");
        assert_eq!(content(r#"{"choices":[{"delta":{"content":5,"refusal":"no"}}]}"#), "no");
        assert_eq!(content(r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]}"#), "ab");
        assert_eq!(content(r#"{"choices":null}"#), "");
    }

    #[test]
    fn the_choice_is_the_first_by_its_index() {
        assert_eq!(content(r#"{"choices":[{"index":1,"text":"b"},{"index":0,"text":"a"}]}"#), "a");
        assert_eq!(content(r#"{"choices":[{"index":1,"text":"b"}]}"#), "");
    }

    #[test]
    fn errors_of_any_shape_are_told() {
        let error = |data: &str| Whole::read(data.as_bytes()).unwrap().error(data.as_bytes());
        assert_eq!(error(r#"{"error":{"message":"boom"}}"#).as_deref(), Some("boom"));
        assert_eq!(error(r#"{"object":"error","message":"boom"}"#).as_deref(), Some("boom"));
        assert_eq!(error(r#"{"error":null,"choices":[]}"#), None);
        assert_eq!(error(r#"{"error":"","choices":[{"delta":{"content":"a"}}]}"#), None);
        assert_eq!(error(r#"{"code":"DataInspectionFailed","message":"boom"}"#).as_deref(), Some("boom"));
        assert_eq!(error(r#"{"error_code":17,"error_msg":"boom"}"#).as_deref(), Some("boom"));
        assert_eq!(error(r#"{"detail":"boom"}"#).as_deref(), Some("boom"));
        assert_eq!(error(r#"{"code":500,"message":"boom"}"#).as_deref(), Some("boom"));
        for fine in [r#"{"type":"ping"}"#, "{}", r#"{"code":0,"message":"ok"}"#, r#"{"code":1,"choices":[{"text":"a"}]}"#] {
            assert_eq!(error(fine), None, "{fine}");
        }
        assert!(error(r#"{"error":{"code":1e999}}"#).unwrap().contains("1e999"));
    }

    #[test]
    fn counts_need_that_of_the_prompt() {
        let usage = |data: &str| Whole::read(data.as_bytes()).unwrap().usage();
        assert_eq!(usage(r#"{"usage":{"completion_tokens":3}}"#), None);
        assert_eq!(usage(r#"{"usage":null}"#), None);
        let known = usage(r#"{"usage":{"prompt_tokens":5,"completion_tokens":"3","completion_tokens_details":{"reasoning_tokens":2}}}"#);
        assert_eq!(known, Some(Usage { prompt_tokens: 5, completion_tokens: 0, cached_tokens: None, reasoning_tokens: Some(2) }));
    }
}
