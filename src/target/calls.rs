//! Puts tool calls together of the parts in which services send them.

use crate::exchange::ToolCall;
use serde_json::Value;

/// Calls of one answer, at most.
const MOST: usize = 256;

/// Tool calls while they come, each with the index its service gave it, in the order of these.
#[derive(Debug, Default)]
pub struct Calls(Vec<(Option<u64>, ToolCall)>);

impl Calls {
    /// True when a part has a name or arguments.
    pub fn say(parts: &Value) -> bool {
        let said = |part: &Value| {
            let function = &part["function"];
            ["name", "arguments"].iter().any(|k| function[*k].as_str().is_some_and(|t| !t.is_empty())) || function["arguments"].is_object()
        };
        parts.as_array().is_some_and(|parts| parts.iter().any(said))
    }

    /// The calls of a whole body, where each entry is one.
    pub fn of_body(list: &Value) -> Vec<ToolCall> {
        let whole = |entry: &Value| {
            let mut call = ToolCall::default();
            take(&mut call, entry);
            call
        };
        list.as_array().into_iter().flatten().take(MOST).map(whole).collect()
    }

    /// Adds what one event says. Services differ: some count from 1, some give every call the index 0 and an id of its own, some repeat
    /// id and name in each part, and some give the index only once.
    pub fn add(&mut self, parts: &Value) {
        for part in parts.as_array().into_iter().flatten() {
            let index = part["index"].as_u64();
            let id = part["id"].as_str().unwrap_or_default();
            let named = part["function"]["name"].as_str().is_some_and(|name| !name.is_empty());
            let goes_on = |call: &ToolCall| id.is_empty() || call.id.is_empty() || call.id == id;
            let known = match index {
                Some(_) => self.0.iter().rposition(|(of, call)| *of == index && (goes_on(call) || !named)),
                None if id.is_empty() && named => None,
                None => self.0.iter().rposition(|(_, call)| goes_on(call)),
            };
            let at = match known {
                Some(at) => at,
                None if self.0.len() >= MOST => continue,
                None => {
                    let at = index
                        .map_or(self.0.len(), |i| self.0.iter().rposition(|(of, _)| of.is_none_or(|of| of <= i)).map_or(0, |at| at + 1));
                    self.0.insert(at, (index, ToolCall::default()));
                    at
                }
            };
            take(&mut self.0[at].1, part);
        }
    }

    pub fn end(self) -> Vec<ToolCall> {
        self.0.into_iter().map(|(_, call)| call).collect()
    }
}

/// Adds a part to its call. A name comes once, or in pieces; one that is repeated is the same.
fn take(call: &mut ToolCall, part: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if call.id.is_empty() {
        call.id = text(&part["id"]);
    }
    let (name, arguments) = (text(&part["function"]["name"]), &part["function"]["arguments"]);
    if name != call.name {
        call.name.push_str(&name);
    }
    match arguments {
        Value::String(more) => call.arguments.push_str(more),
        // As a value, where OpenAI has its text.
        Value::Object(_) if call.arguments.is_empty() => call.arguments = arguments.to_string(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
        ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
    }

    #[test]
    fn calls_are_put_together_however_they_come() {
        let a = || call("c1", "find", "{\"city\":1}");
        let b = || call("c2", "weather", "{}");
        let cases: &[(&str, Vec<ToolCall>)] = &[
            // OpenAI, vLLM.
            (
                r#"[{"index":0,"id":"c1","function":{"name":"find","arguments":"{\"city\""}}] [{"index":0,"function":{"arguments":":1}"}}]
                   [{"index":1,"id":"c2","function":{"name":"weather","arguments":"{}"}}]"#,
                vec![a(), b()],
            ),
            // Ollama and adapters of Gemini: one index for all.
            (
                r#"[{"index":0,"id":"c1","function":{"name":"find","arguments":"{\"city\":1}"}}]
                   [{"index":0,"id":"c2","function":{"name":"weather","arguments":"{}"}}]"#,
                vec![a(), b()],
            ),
            // A gateway that counts from 1.
            (r#"[{"index":1,"id":"c1","function":{"name":"find"}}] [{"index":1,"function":{"arguments":"{\"city\":1}"}}]"#, vec![a()]),
            // The index only once, or never.
            (r#"[{"index":0,"id":"c1","function":{"name":"find"}}] [{"function":{"arguments":"{\"city\":1}"}}]"#, vec![a()]),
            (
                r#"[{"id":"c1","function":{"name":"find","arguments":"{\"city\":1}"}},{"id":"c2","function":{"name":"weather","arguments":"{}"}}]"#,
                vec![a(), b()],
            ),
            // Id and name in every part.
            (
                r#"[{"index":0,"id":"c1","function":{"name":"find","arguments":"{\"city\""}}]
                   [{"index":0,"id":"c1","function":{"name":"find","arguments":":1}"}}]"#,
                vec![a()],
            ),
            // GLM: arguments as a value. Indices in any order.
            (
                r#"[{"index":1,"id":"c2","function":{"name":"weather","arguments":{}}}] [{"index":0,"id":"c1","function":{"name":"find","arguments":{"city":1}}}]"#,
                vec![a(), b()],
            ),
        ];
        for (parts, wanted) in cases {
            let mut calls = Calls::default();
            serde_json::Deserializer::from_str(parts).into_iter::<Value>().for_each(|part| calls.add(&part.unwrap()));
            assert_eq!(calls.end(), *wanted, "{parts}");
        }
    }

    #[test]
    fn each_entry_of_a_body_is_a_call() {
        let list: Value =
            serde_json::from_str(r#"[{"function":{"name":"f","arguments":{"a":1}}},{"function":{"name":"f","arguments":"{}"}}]"#).unwrap();
        assert_eq!(Calls::of_body(&list), [call("", "f", "{\"a\":1}"), call("", "f", "{}")]);
    }
}
