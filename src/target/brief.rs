//! What a load needs of an event or a body: whether it carries a token, how long the text is, the counts, the end. Texts are
//! counted, never kept.

use super::chunk::{Chunk, Leaf, filtered, gave_up, leaf};

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
    /// The service gave the answer up.
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
    let mut chunk = Chunk::<Length, Calls>::read(data)?;
    let mut brief = Brief::default();
    if let Some(error) = chunk.error(data) {
        brief.error = Some(error);
        return Ok(brief);
    }
    let mut choice = chunk.choice();
    let (content, reasoning, call) = choice.parts();
    (brief.content, brief.reasoning, brief.call) = (content.0, reasoning.0, call.0);
    brief.finish = choice.finish_reason().map(|reason| match reason {
        reason if filtered(reason) => Finish::ContentFilter,
        reason if gave_up(reason) => Finish::GaveUp,
        _ => Finish::Fine,
    });
    if let Some(usage) = chunk.usage() {
        brief.prompt_tokens = Some(usage.prompt_tokens);
        brief.completion_tokens = Some(usage.completion_tokens);
        brief.cached_tokens = usage.cached_tokens;
    }
    Ok(brief)
}

/// Characters of a text; anything else counts as none.
#[derive(Default, Clone, Copy, PartialEq)]
struct Length(u32);

/// Whether any tool call has a name or arguments.
#[derive(Default, Clone, Copy)]
struct Calls(bool);

impl Leaf<'_> for Length {
    fn text(text: &str) -> Length {
        Length(text.chars().count() as u32)
    }
    fn merge(self, other: Length) -> Length {
        Length(self.0 + other.0)
    }
    const KEYS: &'static [&'static str] = &["text"];
}

impl Leaf<'_> for Calls {
    fn text(text: &str) -> Calls {
        Calls(!text.is_empty())
    }
    fn merge(self, other: Calls) -> Calls {
        Calls(self.0 || other.0)
    }
    const KEYS: &'static [&'static str] = &["function", "name", "arguments"];
}

leaf!(Length, Calls);

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
