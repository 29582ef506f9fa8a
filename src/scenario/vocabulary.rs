//! Every word of the scenario language and of the configuration, with its meaning. The reference documentation and the
//! JSON Schema are made from these tables.

use super::grammar::{Key, Kind, Word, key, must};
use Kind::*;

const BY: Key = key("by", OneOf(&["words", "vectors", "judge"]), "how it is weighed; default words, which needs no model");
const VOTES: Key = key("votes", Count, "of a judge, asked for when the first vote fails; the median decides; default 3");
const OF: Key = key(
    "of",
    Either(&[
        OneOf(&["answer", "reasoning"]),
        Map(&[
            key("turn", Count, "the answer of that turn, from 1"),
            key("json", Word, "the value at that path of the answer read as JSON"),
        ]),
    ]),
    "what to look at; default: the answer",
);
const CASE: Key = key("case_sensitive", Bool, "default true");

static SEARCH: [Kind; 2] = [
    Keyword,
    Map(&[
        key("text", Keyword, "the text to find"),
        key("any", List(&Keyword), "at least one of these"),
        key("all", List(&Keyword), "every one of these"),
        key("count", Range, "how often, over all of them; default at least once"),
        CASE,
        OF,
    ]),
];
static AFFIX: [Kind; 2] = [Keyword, Map(&[key("text", Keyword, "the text"), key("any", List(&Keyword), "one of these"), CASE, OF])];
static BARE_OF: [Kind; 2] = [Bool, Map(&[OF])];
static PHRASES: [Kind; 2] = [Bool, Map(&[key("also", List(&Keyword), "more phrases that count"), OF])];
pub(super) const ROLLING: Key = key(
    "rolling",
    Map(&[
        key("quantile", Word, "such as `p90`, of the pooled samples of the window; default p90"),
        key("window", Duration, "how far back; default that of roadworthy.yaml's `baselines`, or 7d"),
        key("factor", Number, "times that quantile is the ceiling; default 1.3"),
    ]),
    "a ceiling that moves with the last days: sees large steps, with one request per case, too",
);
pub(super) const PREDICTED: Key = key(
    "predicted",
    Either(&[Bool, Map(&[key("effect", Number, "smallest ratio worth failing; default 1.10")])]),
    "a prediction limit over the last runs' means: sees steps that `rolling` cannot",
);
pub(super) const RELEASE: Key = key(
    "release",
    Either(&[Bool, Number]),
    "at most this many times the approved release, default 1.2: sees creep, by this run and the two newest of the week together",
);
static LIMIT: Kind =
    Either(&[Duration, Map(&[key("max", Duration, "an absolute ceiling, for each request"), ROLLING, PREDICTED, RELEASE])]);

const NUMBERS: Kind = Either(&[
    Number,
    Map(&[
        key("any", OneOrMany(&Number), "one of these"),
        key("all", OneOrMany(&Number), "every one of these"),
        key("tolerance", Share, "allowed relative difference; default 0"),
        key("unit", OneOrMany(&Keyword), "only numbers followed by one of these"),
        OF,
    ]),
]);
const FACTS: Kind = Either(&[
    List(&OneOrMany(&Keyword)),
    Map(&[
        must("all", List(&OneOrMany(&Keyword)), "the facts; a list inside is one fact with its aliases"),
        key("min", Share, "share of the facts that must be there; default 100 %"),
        OF,
    ]),
]);

/// Checks that may stand under a path of `json`.
static JSON_CHECK: Kind = Map(&[
    key("exists", Bool, "whether the path leads anywhere; default true"),
    key("type", OneOf(&["string", "number", "integer", "boolean", "array", "object", "null"]), "the JSON type"),
    key("equals", Json, "this very value"),
    key("in", List(&Json), "one of these values"),
    key("min", Number, "a number of at least this"),
    key("max", Number, "a number of at most this"),
    key("items", Range, "how many items an array has"),
    key("length", Either(&[LENGTH_MAP, Range]), "length of the text"),
    key("contains", Either(&SEARCH), "text found in it"),
    key("matches", Regex, "a regular expression found in it"),
    key("starts_with", Either(&AFFIX), "how the text starts"),
    key("ends_with", Either(&AFFIX), "how the text ends"),
    key("language", OneOf(LANGUAGES), "the language of the text"),
    key("not_empty", Bool, "whether the text has more than white space"),
    key("numbers", NUMBERS, "numbers in the text"),
    key("facts", FACTS, "facts in the text"),
    key("refuses", Bool, "whether the text declines"),
    key("readable", Bool, "whether the text has no control characters, no garbled text, no leftover template marks"),
]);

const UNITS: Key = key(
    "unit",
    OneOf(&["characters", "words", "tokens", "lines", "sentences", "bytes"]),
    "default characters: grapheme clusters after NFC, so `👩‍👩‍👧‍👦` and `好` count one each; words segments Chinese per character",
);
const LENGTH_MAP: Kind = Map(&[key("min", Count, "at least"), key("max", Count, "at most"), UNITS, OF]);

/// Languages that `language` knows.
pub const LANGUAGES: &[&str] = &["zh", "en", "ja", "ko", "ru", "ar", "fr", "de", "es", "pt", "it", "hi", "th", "vi"];
/// Formats that `format` knows.
pub const FORMATS: &[&str] = &["json", "yaml", "xml", "html", "markdown_table", "code", "list"];

/// The expectations, in the order of the documentation.
pub static EXPECTATIONS: &[Word] = &[
    Word {
        name: "not_empty",
        bare: true,
        kind: Either(&BARE_OF),
        doc: "There is an answer: text that is not only white space, or a tool call.",
    },
    Word {
        name: "equals",
        bare: false,
        kind: Either(&[Keyword, Map(&[must("text", Keyword, "the whole text"), CASE, OF])]),
        doc: "The answer is this text, surrounding white space aside.",
    },
    Word {
        name: "contains",
        bare: false,
        kind: Either(&SEARCH),
        doc: "The text stands somewhere in the answer. Full-width and half-width forms differ.",
    },
    Word {
        name: "matches",
        bare: false,
        kind: Either(&[
            Regex,
            Map(&[
                must("pattern", Regex, "the expression"),
                key("count", Range, "how often"),
                key("lookaround", Bool, "allow look-around and back-references, at bounded cost; default false"),
                OF,
            ]),
        ]),
        doc: "A regular expression is found in the answer (linear time unless `lookaround`).",
    },
    Word { name: "starts_with", bare: false, kind: Either(&AFFIX), doc: "The answer starts with this text, leading white space aside." },
    Word { name: "ends_with", bare: false, kind: Either(&AFFIX), doc: "The answer ends with this text, trailing white space aside." },
    Word { name: "length", bare: false, kind: Either(&[LENGTH_MAP, Range]), doc: "How long the answer is, ends included." },
    Word {
        name: "language",
        bare: false,
        kind: Either(&[
            OneOf(LANGUAGES),
            Map(&[must("is", OneOf(LANGUAGES), "the language"), key("min", Share, "share of the letters in its script; default 60 %"), OF]),
        ]),
        doc: "The answer is in this language. Decided by script where scripts differ; between Latin languages a short text is inconclusive.",
    },
    Word {
        name: "format",
        bare: false,
        kind: Either(&[
            OneOf(FORMATS),
            Map(&[must("is", OneOf(FORMATS), "the format"), key("items", Range, "list items, table rows or code blocks"), OF]),
        ]),
        doc: "The answer has this form.",
    },
    Word {
        name: "keeps",
        bare: true,
        kind: Either(&[
            Bool,
            List(&Keyword),
            Map(&[key("all", List(&Keyword), "these survive"), key("matching", Regex, "whatever in the prompt matches this survives"), OF]),
        ]),
        doc: "Identifiers of the prompt (codes, numbers with letters, addresses, URLs) stand unchanged in the answer.",
    },
    Word {
        name: "numbers", bare: false, kind: NUMBERS, doc: "Numbers in the answer, written as 1,213 or １２１３ or 一千二百一十三."
    },
    Word {
        name: "facts",
        bare: false,
        kind: FACTS,
        doc: "Key information is in the answer, each fact by one of its aliases; case and width do not matter.",
    },
    Word { name: "refuses", bare: true, kind: Either(&PHRASES), doc: "The answer declines to do what was asked, in Chinese or English." },
    Word { name: "asks_back", bare: true, kind: Either(&PHRASES), doc: "The answer asks for what is missing instead of guessing." },
    Word {
        name: "readable",
        bare: true,
        kind: Either(&BARE_OF),
        doc: "No replacement characters, mojibake, control characters or leftover template marks.",
    },
    Word {
        name: "no_repetition",
        bare: true,
        kind: Either(&[Bool, Map(&[key("max", Count, "how often in a row a phrase may stand; default 3"), OF])]),
        doc: "The answer does not loop: no phrase stands again and again in a row.",
    },
    Word {
        name: "no_secrets",
        bare: true,
        kind: Either(&[Bool, Map(&[key("allow", List(&Regex), "matches of these are fine"), OF])]),
        doc: "No keys, identity numbers, phone numbers, addresses, and no verbatim piece of the system message.",
    },
    Word {
        name: "json_schema",
        bare: false,
        kind: Map(&[key("schema", JsonMap, "the JSON Schema"), key("file", Word, "a file with the JSON Schema")]),
        doc: "The answer is exactly one JSON value that satisfies the schema. Remote references are never fetched.",
    },
    Word {
        name: "json",
        bare: false,
        kind: Dict(&Either(&[JSON_CHECK, Json])),
        doc: "Values at paths (`\"$.items[0].name\"` or `/items/0/name`) of the answer read as JSON; a fenced block is accepted and reported.",
    },
    Word {
        name: "tool_call",
        bare: true,
        kind: Either(&[
            Word,
            Map(&[
                key("name", Word, "the function"),
                key("arguments", JsonMap, "these arguments with these values; more may stand beside them"),
                key("schema", JsonMap, "a JSON Schema for the arguments"),
                key("count", Range, "how many calls; 0 for none"),
                key("order", List(&Word), "these functions, called in this order; others may stand between"),
            ]),
        ]),
        doc: "The model called a tool.",
    },
    Word {
        name: "finish_reason",
        bare: false,
        kind: OneOrMany(&Word),
        doc: "Why the model stopped: `stop`, `length`, `tool_calls`, `content_filter`.",
    },
    Word {
        name: "logprob",
        bare: false,
        kind: Map(&[
            key("mean", Number, "mean natural-log probability of the tokens, at least"),
            key("min", Number, "that of the least likely token, at least"),
        ]),
        doc: "How sure the model was; needs `logprobs: true` in `params`.",
    },
    Word { name: "status", bare: false, kind: OneOrMany(&Count), doc: "The HTTP status is (one of) these. Without it only a 2xx will do." },
    Word {
        name: "error",
        bare: true,
        kind: Either(&[
            Bool,
            Map(&[
                key("type", Keyword, "`error.type`"),
                key("code", Keyword, "`error.code`"),
                key("message", Keyword, "found in `error.message`"),
            ]),
        ]),
        doc: "The body is an error of OpenAI's shape: `{\"error\": {\"message\": …}}`.",
    },
    Word { name: "service_alive", bare: true, kind: Bool, doc: "Right after this exchange the service still answers." },
    Word {
        name: "header",
        bare: false,
        kind: Dict(&Either(&[
            Keyword,
            Map(&[
                key("contains", Keyword, "found in the value"),
                key("matches", Regex, "found in the value"),
                key("exists", Bool, "default true"),
            ]),
        ])),
        doc: "Response headers, by name in any case.",
    },
    Word {
        name: "latency",
        bare: false,
        kind: Map(&[
            key("ttft", LIMIT, "request written to first token"),
            key("ttfo", LIMIT, "request written to first token that is not reasoning"),
            key("ttfb", LIMIT, "request written to response headers; says little about the model"),
            key("tpot", LIMIT, "mean time per output token after the first"),
            key("e2e", LIMIT, "request written to the end of the answer"),
            key("max_gap", LIMIT, "largest gap between token events"),
        ]),
        doc: "Times of the request; waiting inside this tool is part of none. `max` holds for each request; ceilings from `baselines/` for all trials of the case together.",
    },
    Word {
        name: "tokens",
        bare: false,
        kind: Map(&[
            key("prompt", Range, "as the service counts"),
            key("completion", Range, "reasoning included"),
            key("total", Range, "both"),
            key("reasoning", Range, "where the service tells"),
            key("cached", Range, "prompt tokens served from the prefix cache"),
        ]),
        doc: "Token counts reported by the service.",
    },
    Word {
        name: "cost",
        bare: false,
        kind: Either(&[Number, Map(&[must("max", Number, "in the currency of the target's `price`")])]),
        doc: "What the exchange costs by the target's `price`, at most.",
    },
    Word {
        name: "rouge",
        bare: false,
        kind: Map(&[
            must("to", OneOrMany(&Text), "reference texts; the best counts"),
            must("min", Share, "the F measure, at least"),
            key("kind", OneOf(&["1", "2", "l"]), "single words, pairs, or the longest common subsequence; default l"),
            OF,
        ]),
        doc: "Words in common with a reference (ROUGE); a Han character is a word.",
    },
    Word {
        name: "bleu",
        bare: false,
        kind: Map(&[must("to", OneOrMany(&Text), "reference texts"), must("min", Share, "at least"), OF]),
        doc: "Word sequences in common with references (sentence BLEU of up to four words, smoothed); a Han character is a word.",
    },
    Word {
        name: "levenshtein",
        bare: false,
        kind: Map(&[
            must("to", OneOrMany(&Text), "reference texts; the nearest counts"),
            must("max", Either(&[Share, Count]), "edits at most: a count, or a share of the longer text such as `10%`"),
            OF,
        ]),
        doc: "Edits from a reference, counted in characters as a person sees them.",
    },
    Word {
        name: "golden",
        bare: true,
        kind: Either(&[Bool, Map(&[key("file", Word, "where the answer is stored; default `goldens/`, by file and case"), OF])]),
        doc: "The answer is the stored one; `run --accept` stores new answers after review.",
    },
    Word {
        name: "similar",
        bare: false,
        kind: Map(&[
            must("to", OneOrMany(&Text), "reference texts; the best counts"),
            key("min", Number, "cosine of the sentence vectors, at least; default: the limit calibrated for the encoder"),
            OF,
        ]),
        doc: "The answer means about the same as a reference. No encoder sees a negation, so do not gate on it alone.",
    },
    Word {
        name: "judge",
        bare: false,
        kind: Either(&[
            Text,
            Map(&[
                must("rubric", Text, "what a good answer does"),
                key("min", Number, "points from 0 to 5, at least; default 4"),
                VOTES,
                OF,
            ]),
        ]),
        doc: "A second model gives 0 to 5 points with a reason; needs `judge:` in roadworthy.yaml.",
    },
    Word {
        name: "grounded",
        bare: true,
        kind: Either(&[
            Bool,
            Map(&[
                BY,
                key(
                    "min",
                    Word,
                    "of `words` the share of a sentence's words found in the context, default 40 %; of `vectors` the cosine with the nearest sentence, default four fifths of the encoder's limit; of `judge` points, default 4",
                ),
                VOTES,
                OF,
            ]),
        ]),
        doc: "Every sentence of the answer has support in the case's `context`: its words (or its meaning), its numbers, and no negation turned round. A judge weighs the answer as a whole and quotes what has no support.",
    },
    Word {
        name: "uses_context",
        bare: true,
        kind: Either(&[
            Bool,
            Map(&[
                BY,
                key(
                    "min",
                    Word,
                    "of `words` the share of the words not in the question that come from the context, default 20 %; of `vectors` the cosine of the sentence nearest to the context; of `judge` points, default 4",
                ),
                VOTES,
                OF,
            ]),
        ]),
        doc: "The answer takes something from the case's `context` that the question does not hold.",
    },
    Word {
        name: "expr",
        bare: false,
        kind: Text,
        doc: "A CEL expression over `answer`, `reasoning`, `json`, `usage`, `timing`, `vars`, `status`, `headers`, `tool_calls`, `finish_reason` is true. `timing` has `ttft_ms`, `ttfo_ms`, `ttfb_ms`, `tpot_ms`, `e2e_ms`, `max_gap_ms`; `usage` has `prompt_tokens`, `completion_tokens`, `cached_tokens`, `reasoning_tokens`.",
    },
    Word {
        name: "consistency",
        bare: false,
        kind: Map(&[
            key(
                "over",
                OneOf(&["repeats", "variants", "targets", "history"]),
                "whose answers: all trials (`repeats`, `variants`; the default), those of the service of `--compare-with` beside them, or earlier runs",
            ),
            key(
                "exact",
                Share,
                "share of the answers that are the same as the most frequent one (over history: of the runs that gave today's), at least",
            ),
            key(
                "same_facts",
                Share,
                "share with the same numbers, identifiers, JSON fields and behaviour as the most frequent answer, at least",
            ),
            key("overlap", Share, "mean ROUGE-L of all pairs, at least"),
            key("similarity", Number, "mean cosine of all pairs' sentence vectors, at least"),
            key(
                "facts",
                Either(&[
                    List(&OneOrMany(&Keyword)),
                    Map(&[
                        must("all", List(&OneOrMany(&Keyword)), "the facts; a list inside is one fact with its aliases"),
                        key("min", Share, "share of the answers that hold them all; default 99 %"),
                    ]),
                ]),
                "key information that the answers hold",
            ),
            OF,
        ]),
        doc: "Judged once, over all trials of the case: the answers agree.",
    },
    Word {
        name: "error_rate",
        bare: false,
        kind: Either(&[Share, Map(&[must("max", Share, "at most")])]),
        doc: "Judged once, over all trials of the case: the share of requests that failed. With it, a failed request fails nothing else.",
    },
    Word {
        name: "variation",
        bare: false,
        kind: Map(&[
            key("ttft", Share, "time to first token"),
            key("tpot", Share, "time per output token"),
            key("e2e", Share, "whole request"),
            key("length", Share, "characters of the answer"),
            key("tokens", Share, "completion tokens"),
        ]),
        doc: "Judged once, over all trials of the case: standard deviation ÷ mean, at most, for each input.",
    },
    Word { name: "not", bare: false, kind: Expectation, doc: "The expectation inside is missed." },
    Word { name: "all", bare: false, kind: Expectations, doc: "Every expectation inside is met." },
    Word { name: "any", bare: false, kind: Expectations, doc: "At least one expectation inside is met." },
];

/// Request parameters that OpenAI, vLLM, SGLang or llama.cpp know.
pub const PARAMS: Kind = Map(&[
    key("temperature", Number, "0 is greedy"),
    key("top_p", Number, "nucleus sampling"),
    key("top_k", Number, "vLLM, SGLang, llama.cpp"),
    key("min_p", Number, "vLLM, SGLang, llama.cpp"),
    key("max_tokens", Count, "output limit"),
    key("max_completion_tokens", Count, "output limit, reasoning included"),
    key("min_tokens", Count, "vLLM, SGLang"),
    key("n", Count, "choices; only the first is judged"),
    key("stop", OneOrMany(&Text), "stop sequences"),
    key("seed", Count, "sampling seed"),
    key("presence_penalty", Number, ""),
    key("frequency_penalty", Number, ""),
    key("repetition_penalty", Number, "vLLM, SGLang"),
    key("repeat_penalty", Number, "llama.cpp"),
    key("logit_bias", JsonMap, ""),
    key("logprobs", Either(&[Bool, Count]), "chat: true or false; completions: a count"),
    key("top_logprobs", Count, ""),
    key("response_format", JsonMap, "such as `{ type: json_object }`"),
    key("tools", List(&JsonMap), "functions the model may call"),
    key("tool_choice", Json, ""),
    key("parallel_tool_calls", Bool, ""),
    key("reasoning_effort", Word, ""),
    key("ignore_eos", Bool, "vLLM, SGLang, llama.cpp"),
    key("skip_special_tokens", Bool, "vLLM, SGLang"),
    key("guided_json", Json, "vLLM"),
    key("guided_regex", Text, "vLLM"),
    key("guided_choice", List(&Text), "vLLM"),
    key("chat_template_kwargs", JsonMap, "such as `{ enable_thinking: false }`"),
    key("cache_prompt", Bool, "llama.cpp"),
    key("user", Word, ""),
    key("service_tier", Word, ""),
    key("store", Bool, ""),
    key("modalities", List(&Word), ""),
    key("prediction", JsonMap, ""),
    key("verbosity", Word, ""),
    key("best_of", Count, "completions"),
    key("echo", Bool, "completions"),
    key("suffix", Text, "completions"),
    key("stop_token_ids", List(&Count), "vLLM, SGLang"),
    key("include_stop_str_in_output", Bool, "vLLM"),
    key("length_penalty", Number, "vLLM"),
    key("prompt_logprobs", Count, "vLLM"),
    key("truncate_prompt_tokens", Number, "vLLM"),
    key("add_generation_prompt", Bool, "vLLM"),
    key("structured_outputs", JsonMap, "vLLM"),
    key("guided_grammar", Text, "vLLM"),
    key("spaces_between_special_tokens", Bool, "vLLM, SGLang"),
    key("regex", Text, "SGLang"),
    key("ebnf", Text, "SGLang"),
    key("json_schema", Json, "SGLang, llama.cpp"),
    key("separate_reasoning", Bool, "SGLang"),
    key("no_stop_trim", Bool, "SGLang"),
    key("grammar", Text, "llama.cpp"),
    key("n_predict", Number, "llama.cpp"),
    key("typical_p", Number, "llama.cpp"),
    key("mirostat", Count, "llama.cpp"),
    key("mirostat_tau", Number, "llama.cpp"),
    key("mirostat_eta", Number, "llama.cpp"),
    key("dry_multiplier", Number, "llama.cpp"),
    key("repeat_last_n", Number, "llama.cpp"),
    key("samplers", List(&Word), "llama.cpp"),
    key("id_slot", Number, "llama.cpp"),
    key("extra_body", JsonMap, "anything else, sent as it stands"),
]);

static CONTENT: Kind = Either(&[
    Text,
    List(&Map(&[
        key("text", Text, "a text part"),
        key("image", Word, "an image file, sent as a data URL"),
        key("image_url", Word, "an image address, which the service fetches"),
        key("detail", OneOf(&["auto", "low", "high"]), "for images"),
    ])),
]);
pub(super) static MESSAGE: Kind = Map(&[
    must("role", OneOf(&["system", "developer", "user", "assistant", "tool"]), "who speaks"),
    key("content", CONTENT, "text, or a list of parts"),
    key("name", Word, ""),
    key("tool_call_id", Word, ""),
    key("tool_calls", List(&JsonMap), ""),
]);
pub(super) const PROMPT: Kind = Either(&[Text, Map(&[must("file", Word, "a text file")])]);
const PASS_RATE: Kind = Either(&[
    Share,
    Map(&[
        must("accept", Share, "a service this good should pass"),
        must("reject", Share, "a service this bad should fail"),
        key("max_samples", Count, "default derives from the pair"),
        key("undecided", OneOf(&["inconclusive", "decide"]), "when the last sample leaves it open; decide: the likelier rate holds"),
    ]),
]);
const SKIP: Kind = Map(&[must("reason", Text, "why"), must("until", Date, "the last day of the skip; afterwards the case fails")]);
const TURN: Kind = Map(&[
    must("user", CONTENT, "what the user says"),
    key("expect", Expectations, "judged on this turn's answer"),
    key("params", PARAMS, "over those of the case"),
]);
pub(super) const DATASET: Kind = Either(&[
    Word,
    Map(&[
        must("file", Word, "jsonl, json, csv, yaml or txt"),
        key("id", Word, "the column that names a row; default `id`, else a hash of the row"),
        key("limit", Count, "only the first rows"),
    ]),
]);
static MUTATIONS: Kind = List(&Either(&[
    OneOf(crate::mutate::NAMES),
    Map(&[
        key("repeat_to", Word, "the prompt again and again, up to this length, such as `100_000 chars`"),
        key("phrases", Word, "a text file with one adversarial phrasing a line; `{prompt}` stands for the prompt"),
    ]),
]));
pub(super) const MUTATE: Kind = Either(&[
    MUTATIONS,
    Map(&[must("kinds", MUTATIONS, "what is done to the prompt"), key("count", Count, "requests of each kind; default 10")]),
]);
pub const LAYERS: &[&str] = &["unit", "integration", "scenario"];

pub(super) const LAYER: Key =
    key("layer", OneOf(LAYERS), "unit: after an image build; integration: after a service start; scenario: before a merge (default)");
pub(super) const TAGS: Key = key("tags", List(&Keyword), "for `--tag`");
pub(super) const TARGET: Key = key("target", Word, "a name in roadworthy.yaml; default `default`");
pub(super) const SYSTEM: Key = key("system", PROMPT, "the system message");
pub(super) const PARAMS_KEY: Key = key("params", PARAMS, "request parameters");
pub(super) const VARS: Key = key("vars", Dict(&Filling), "values for `{{ name }}` in texts");
const RETRY: Key = key("retry", Count, "further attempts after a miss; a later pass is `flaky`; excludes `pass_rate`");
const REPEAT: Key = key(
    "repeat",
    Either(&[
        Count,
        OneOf(&["auto"]),
        Map(&[
            key(
                "precision",
                Share,
                "until its latencies are known so well: half of the 95 % interval of their geometric mean; default 5 %",
            ),
            key("max", Count, "trials at most; default 200"),
        ]),
    ]),
    "trials per case; all must pass unless `pass_rate` says otherwise. `auto`: as many as its latencies need",
);
const PREFIX_CACHE: Key = key(
    "prefix_cache",
    OneOf(&["cold", "warm"]),
    "warm (default): prompts are sent as they are; cold: each begins with a nonce, so that no answer comes from a cache",
);
const RATE: Key = key(
    "pass_rate",
    PASS_RATE,
    "how large a share of the trials must pass: with a share, so many of `repeat` that the one-sided 95 % bound (Wilson) reaches it, which for 95 % takes 52 without a miss; with `accept` and `reject` a sequential test finds how many trials it needs",
);
const TIMEOUT: Key = key("timeout", Duration, "for one whole request, over the target's");
pub(super) const STREAM: Key = key("stream", Bool, "over the target's");
const EMPTY: Key = key("allow_empty", Bool, "an empty answer is fine; default false");

pub const DEFAULTS: Kind = Map(&[SYSTEM, PARAMS_KEY, VARS, RETRY, REPEAT, RATE, TIMEOUT, STREAM, EMPTY, PREFIX_CACHE, TAGS, LAYER, TARGET]);

pub const CASE_KEYS: &[Key] = &[
    must("name", Word, "unique in the file; part of the case's id"),
    key("prompt", PROMPT, "one user message"),
    key("messages", List(&MESSAGE), "a whole conversation to answer"),
    key("turns", List(&TURN), "messages sent one after the other, each with its expectations"),
    key("variants", List(&Text), "several prompts that should be answered alike; each is sent `repeat` times"),
    key("mutate", MUTATE, "abuse the prompt is turned into; each kind is sent `count` times"),
    key("context", PROMPT, "what the answer should stand on: `{{ context }}` in a text, else appended to the system message"),
    SYSTEM,
    PARAMS_KEY,
    VARS,
    key("matrix", Dict(&List(&Filling)), "one case for each combination of these variables"),
    key(
        "dataset",
        DATASET,
        "one case for each row; columns are variables, `prompt` or `messages` the prompt unless the case has one; parameters beside `messages` go with them",
    ),
    TAGS,
    LAYER,
    TARGET,
    key("skip", SKIP, "do not run for now"),
    RETRY,
    REPEAT,
    RATE,
    TIMEOUT,
    STREAM,
    EMPTY,
    PREFIX_CACHE,
    key("expect", Expectations, "what the answer must be like; with `turns`, judged on the last answer"),
];

/// A whole scenario file.
pub const FILE_KEYS: &[Key] = &[
    must("scenario", Word, "what this file is about"),
    LAYER,
    TAGS,
    TARGET,
    key("defaults", DEFAULTS, "merged under every case"),
    key("cases", List(&Map(CASE_KEYS)), "the cases, for `run`"),
    key("loads", List(&Map(super::load_words::LOAD_KEYS)), "the loads, for `load`"),
];

const ENDPOINT: &[Key] = &[
    key("base_url", Word, "such as `http://127.0.0.1:8000/v1`"),
    key("simulate", Word, "a `*.sim.yaml` file: a simulated service is started for the run"),
    key("model", Word, "sent as `model`"),
    key("api", OneOf(&["chat", "completions"]), "default chat"),
    key("api_key", Word, "write `\"${NAME:-}\"`; never shown"),
    key("headers", Dict(&Word), "sent with every request"),
    key("stream", Bool, "default true"),
    key(
        "timeout",
        Map(&[
            key("connect", Duration, "default 3s"),
            key("first_token", Duration, "default 60s"),
            key("idle", Duration, "longest silence in a stream; default 30s"),
            key("total", Duration, "whole request; default 120s"),
        ]),
        "limits of one request",
    ),
    key(
        "transport_retry",
        Map(&[
            key("attempts", Count, "tries in all; default 3"),
            key("when", List(&OneOf(&["connect", "429", "503"])), "what is tried again; default all three"),
            key("backoff", Duration, "before the second try, doubled each time, with jitter; default 500ms"),
        ]),
        "only for requests that never reached the model",
    ),
    key(
        "limits",
        Map(&[key("concurrency", Count, "requests at once; default 8"), key("rate", Rate, "requests started, at most")]),
        "what the service is asked to bear",
    ),
    key(
        "ready",
        Map(&[
            key("path", Word, "default `/health`; from the host, not from base_url"),
            key("every", Duration, "default 1s"),
            key("timeout", Duration, "default 5s; raise it where the service loads a model"),
        ]),
        "polled before the first case",
    ),
    key(
        "price",
        Map(&[
            must("input", Number, "per million tokens"),
            must("output", Number, "per million tokens"),
            key("currency", Word, "default USD"),
        ]),
        "for `cost`",
    ),
    key("metrics", Word, "the service's Prometheus page, watched during loads: a path of its host such as `/metrics`, or an address"),
    key("ca_file", Word, "a PEM file with further certificate authorities"),
    key("max_response", Count, "bytes after decompression; default 67_108_864"),
];

const BUDGET: Kind = Map(&[
    key("requests", Count, "at most, in one run"),
    key("tokens", Count, "at most, as reported by the services; a request whose `max_tokens` could go over is not sent"),
    key("time", Duration, "at most"),
    key("cost", Word, "at most, such as `5 USD`, by the `price` of each target"),
]);
const CONFIG_COMMON: [Key; 10] = [
    key("targets", Dict(&Map(ENDPOINT)), "the services, by name; `default` is the one used when nothing else is said"),
    key("scenarios", List(&Word), "files and folders to run; default `scenarios`"),
    key("exclude", List(&Word), "files and folders to leave out"),
    key("budget", BUDGET, "a run stops before it goes over"),
    key("environment", Dict(&Word), "what the service runs on, such as `gpu: A10`; recorded"),
    key("production", Dict(&Word), "the same for production; `check` warns where they differ"),
    key(
        "record",
        Map(&[key(
            "personal_data",
            OneOf(&["mask", "keep"]),
            "mask (default): addresses, phone, identity and card numbers and keys in prompts and answers stand in records and reports only by their kind",
        )]),
        "what is kept of a run",
    ),
    key(
        "baselines",
        Map(&[
            key("dir", Word, "a folder (default `baselines`), or `s3://bucket/prefix` where the tool is built with S3"),
            key("window", Duration, "how far back `rolling` looks where a ceiling does not say; default 7d"),
        ]),
        "what earlier runs measured",
    ),
    key("judge", Map(&[must("target", Word, "the target that judges; its model should be stronger than the judged one")]), "for `judge`"),
    key(
        "embeddings",
        Map(&[
            must(
                "source",
                OneOf(&["builtin", "endpoint", "bert"]),
                "the built-in multilingual encoder, a service with /v1/embeddings, or a BERT model from a folder (builds with `--features bert`)",
            ),
            key("target", Word, "the target of `source: endpoint`"),
            key(
                "limit",
                Number,
                "default of `similar` for this encoder; the built-in one (0.55) and all-MiniLM-L6-v2 (0.82) bring their own",
            ),
            key(
                "model_dir",
                Word,
                "where the built-in encoder's weights or the BERT model's files lie; default: the cache that `models pull` fills",
            ),
        ]),
        "sentence vectors, for `similar` and `consistency: { similarity: … }`",
    ),
];
const PHASES: Kind = List(&Map(&[
    must("name", Word, "such as `performance`; names its reports"),
    key("run", List(&Word), "scenario files and folders whose cases are judged"),
    key("load", List(&Word), "scenario files and folders whose loads are run"),
    key("filter", List(&Word), "only ids that contain one of these"),
    key("go_on", Bool, "later phases run even when this one fails; default false"),
]));
const PROFILE_KEYS: [Key; 3] = [
    key("fail_on", List(&OneOf(&["flaky", "inconclusive", "fail", "error"])), "verdicts that fail the run; fail and error always do"),
    key(
        "reports",
        Map(&[
            key("junit", Word, "JUnit XML"),
            key("json", Word, "the record as JSON"),
            key("html", Word, "a page that needs nothing else"),
            key("markdown", Word, "a summary"),
            key("ctrf", Word, "Common Test Report Format"),
            key("code_quality", Word, "GitLab's code quality report"),
            key("metrics", Word, "OpenMetrics text, GitLab's metrics report"),
            key("dotenv", Word, "KEY=value lines with the verdict and counts"),
        ]),
        "files to write",
    ),
    key("runs", Word, "folder of the journals; default `runs`"),
];
const PROFILE: Kind = Map(&[
    CONFIG_COMMON[0],
    CONFIG_COMMON[1],
    CONFIG_COMMON[2],
    CONFIG_COMMON[3],
    CONFIG_COMMON[4],
    CONFIG_COMMON[5],
    CONFIG_COMMON[6],
    CONFIG_COMMON[7],
    CONFIG_COMMON[8],
    CONFIG_COMMON[9],
    PROFILE_KEYS[0],
    PROFILE_KEYS[1],
    PROFILE_KEYS[2],
]);

/// roadworthy.yaml.
pub const CONFIG_KEYS: &[Key] = &[
    CONFIG_COMMON[0],
    CONFIG_COMMON[1],
    CONFIG_COMMON[2],
    CONFIG_COMMON[3],
    CONFIG_COMMON[4],
    CONFIG_COMMON[5],
    CONFIG_COMMON[6],
    CONFIG_COMMON[7],
    CONFIG_COMMON[8],
    CONFIG_COMMON[9],
    PROFILE_KEYS[0],
    PROFILE_KEYS[1],
    PROFILE_KEYS[2],
    key("phases", PHASES, "what `roadworthy phases` does in order, each a gate for the next, each with reports of its own"),
    key("profiles", Dict(&PROFILE), "named changes to all of the above, chosen by `--profile`"),
];

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
