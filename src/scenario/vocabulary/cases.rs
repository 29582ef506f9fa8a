//! Words of scenario files and their cases.

use crate::scenario::grammar::{Key, Kind, key, must};
use Kind::*;

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
pub static MESSAGE: Kind = Map(&[
    must("role", OneOf(&["system", "developer", "user", "assistant", "tool"]), "who speaks"),
    key("content", CONTENT, "text, or a list of parts"),
    key("name", Word, ""),
    key("tool_call_id", Word, ""),
    key("tool_calls", List(&JsonMap), ""),
]);
pub const PROMPT: Kind = Either(&[Text, Map(&[must("file", Word, "a text file")])]);
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
pub const DATASET: Kind = Either(&[
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
pub const MUTATE: Kind = Either(&[
    MUTATIONS,
    Map(&[must("kinds", MUTATIONS, "what is done to the prompt"), key("count", Count, "requests of each kind; default 10")]),
]);
pub const LAYERS: &[&str] = &["unit", "integration", "scenario"];

pub const LAYER: Key =
    key("layer", OneOf(LAYERS), "unit: after an image build; integration: after a service start; scenario: before a merge (default)");
pub const TAGS: Key = key("tags", List(&Keyword), "for `--tag`");
pub const TARGET: Key = key("target", Word, "a name in roadworthy.yaml; default `default`");
pub const SYSTEM: Key = key("system", PROMPT, "the system message");
pub const PARAMS_KEY: Key = key("params", PARAMS, "request parameters");
pub const VARS: Key = key("vars", Dict(&Filling), "values for `{{ name }}` in texts");
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
pub const STREAM: Key = key("stream", Bool, "over the target's");
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
    key("loads", List(&Map(super::loads::LOAD_KEYS)), "the loads, for `load`"),
];
