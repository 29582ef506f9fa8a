//! Words of a simulated service, `*.sim.yaml`.

use crate::scenario::grammar::{Key, Kind, key, must};
use Kind::*;

/// A simulated service, `*.sim.yaml`.
pub const SIM_KEYS: &[Key] = &[
    key("simulated", Word, "what this service stands for"),
    key("model", Word, "its model name; default `sim`"),
    key("seed", Count, "for answers and jitter; default 0"),
    key("ttft", Duration, "time to first token; default 0"),
    key("tpot", Duration, "time per further token; default 0"),
    key("jitter", Share, "relative spread of both; default 0"),
    key("slots", Count, "requests served at once, further ones queue; default unlimited"),
    key("ready_after", Duration, "`/health` is 503 until then; default 0"),
    key("api_key", Word, "asked for when set"),
    key("usage", Bool, "whether token counts are reported; default true"),
    key("log", Word, "a file that gets one line per event written, with its time"),
    key("leaks", Count, "bytes of memory that are kept for ever after each answer; default 0"),
    key("slows", Share, "by which its times grow in each minute of its life; default 0"),
    key("prefix_cache", Bool, "whether a prompt seen before is answered in a tenth of the `ttft`, with `cached_tokens`; default false"),
    must("rules", List(&Map(RULE)), "the first that fits answers"),
];

const RULE: &[Key] = &[
    key(
        "when",
        Map(&[
            key("contains", OneOrMany(&Keyword), "the last user message contains one of these"),
            key("matches", Regex, "the last user message matches"),
            key("system", Keyword, "the system message contains this"),
            key("seen", Keyword, "an earlier message of the conversation contains this"),
            key("model", Word, "the requested model"),
            key("share", Share, "of the requests, drawn by seed"),
            key("times", Count, "only the first so many requests that fit"),
        ]),
        "default: always",
    ),
    key("answer", OneOrMany(&Text), "the text; of several, one is drawn by seed; `{{ prompt }}` is the last user message"),
    key("json", Json, "the answer as JSON"),
    key("reasoning", Text, "sent as reasoning_content first"),
    key(
        "tool_calls",
        List(&Map(&[must("name", Word, "the function"), must("arguments", JsonMap, "its arguments")])),
        "sent instead of text",
    ),
    key("finish_reason", Word, "default `stop`"),
    key("logprob", Number, "log probability of every token, of the prompt's, too, where `prompt_logprobs` asks for them"),
    key("ttft", Duration, "over the service's"),
    key("tpot", Duration, "over the service's"),
    key("headers", Dict(&Word), "further response headers"),
    key("fault", Map(FAULT), "what goes wrong"),
];

const FAULT: &[Key] = &[
    key("status", Count, "answer with this status and an OpenAI error"),
    key("retry_after", Duration, "the `Retry-After` header, in whole seconds"),
    key("message", Text, "the error's message"),
    key("error_type", Word, "the error's type"),
    key("body", Text, "this body instead, as text/html"),
    key("content_type", Word, "of that body"),
    key("cut_after", Count, "the connection breaks after so many tokens"),
    key("end_after", Count, "the stream closes cleanly after so many tokens, without an end mark"),
    key("malformed_after", Count, "an event that is not JSON after so many tokens"),
    key("error_after", Count, "an error object in the stream after so many tokens"),
    key("stall_after", Count, "silence after so many tokens"),
    key("stall", Duration, "how long; default forever"),
    key("no_done", Bool, "finish_reason is sent, `[DONE]` is not"),
    key("endless_line", Bool, "a line that does not end"),
    key("exit", Bool, "the service stops: this and every later connection is refused"),
];
