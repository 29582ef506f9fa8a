//! Words of loads.

use super::cases::{DATASET, LAYER, MESSAGE, MUTATE, PARAMS_KEY, PROMPT, STREAM, SYSTEM, TAGS, TARGET, VARS};
use super::expectations::{PREDICTED, RELEASE, ROLLING};
use crate::scenario::grammar::{Key, Kind, key, must};
use Kind::*;

const OF: Key = key("of", OneOf(&["users", "rate"]), "users who wait for their answers (default), or requests a second");
const SPAWN: Key = key("spawn_rate", Rate, "users that start a second; default all at once");
const DURATION: Key = key("duration", Duration, "no request starts after it");
const REQUESTS: Key = key("requests", Count, "no more than these; default with neither: until the data set ends");

static CEILING: Kind = Map(&[
    key("mean", Duration, "the mean, at most"),
    key("p50", Duration, "failed requests count as infinitely slow in every quantile"),
    key("p90", Duration, ""),
    key("p95", Duration, ""),
    key("p99", Duration, ""),
    key("max", Duration, "the slowest of the complete answers"),
    ROLLING,
    PREDICTED,
    RELEASE,
]);
static PLAIN: Kind = Map(&[
    key("mean", Duration, "the mean, at most"),
    key("p50", Duration, "failed requests count as infinitely slow in every quantile"),
    key("p90", Duration, ""),
    key("p95", Duration, ""),
    key("p99", Duration, ""),
    key("max", Duration, "the slowest of the complete answers"),
]);

const TTFT: Key = key("ttft", CEILING, "request written to first token");
const TTFT_SCHED: Key = key("ttft_sched", CEILING, "intended start to first token: what a user of an open loop feels");
const TTFO: Key = key("ttfo", CEILING, "request written to first token that is not reasoning");
const TTFB: Key = key("ttfb", CEILING, "request written to response headers; says little about the model");
const TPOT: Key = key("tpot", CEILING, "mean time per output token after the first, per request");
const ICL: Key = key("icl", CEILING, "gaps between token events, of all requests together");
const MAX_GAP: Key = key("max_gap", CEILING, "the largest gap of each request");
const E2E: Key = key("e2e", CEILING, "request written to the end of the answer");
const E2E_SCHED: Key = key("e2e_sched", CEILING, "intended start to the end of the answer");
const ERROR_RATE: Key =
    key("error_rate", Either(&[Share, Map(&[must("max", Share, "at most")])]), "failed, cancelled and unsent requests among all");

const fn plain(name: &'static str) -> Key {
    key(name, PLAIN, "at most")
}
const UNTIL: Kind = Map(&[ERROR_RATE, plain("ttft"), plain("ttft_sched"), plain("ttfo"), plain("tpot"), plain("e2e"), plain("e2e_sched")]);

/// How much load there is over time; exactly one.
pub const SHAPES: &[Key] = &[
    key(
        "constant",
        Map(&[
            key("users", Count, "so many users, each waiting for the answer before asking again"),
            key("interval", Duration, "instead of users: one request every so often"),
            SPAWN,
            DURATION,
            REQUESTS,
        ]),
        "the same load all the time",
    ),
    key(
        "rate",
        Map(&[
            must("rate", Rate, "requests started a second, whether or not earlier ones are answered"),
            key("arrivals", OneOf(&["poisson", "constant"]), "how they are spaced; default poisson"),
            DURATION,
            REQUESTS,
        ]),
        "an open loop",
    ),
    key("trace", Map(&[must("file", Word, "one moment a line, in seconds from the start")]), "recorded moments, replayed"),
    key(
        "stages",
        Map(&[
            OF,
            must(
                "steps",
                List(&Map(&[must("to", Number, "level at its end"), must("over", Duration, "how long it takes")])),
                "straight lines from level to level, from 0",
            ),
        ]),
        "a profile over time",
    ),
    key(
        "ramp",
        Map(&[
            OF,
            must("from", Number, "first level"),
            must("step", Number, "how much more each time"),
            must("every", Duration, "length of a level; the service runs empty between two"),
            key("until", UNTIL, "a level that breaks this is not borne, and the ramp ends; default an error rate over 1 %"),
            must("max", Number, "last level"),
        ]),
        "step by step, until something breaks",
    ),
    key(
        "search",
        Map(&[
            OF,
            key("from", Number, "first level; default 1"),
            must("max", Number, "never more than this"),
            key("every", Duration, "length of a level; default 60s"),
            key("error_rate", Share, "default 1 %"),
        ]),
        "the highest level that is borne and keeps the `slo`: doubled, then bisected, then confirmed",
    ),
    key(
        "soak",
        Map(&[
            OF,
            key("level", Number, "users, or requests a second"),
            key("share", Share, "of what another load found"),
            key("of_load", Word, "that load's name, earlier in this file"),
            must("duration", Duration, "how long"),
            key("report_every", Duration, "figures of each such period; default 1h"),
        ]),
        "one level for long, with trends",
    ),
    key(
        "rounds",
        Map(&[
            must("users", Count, "in the first round"),
            must("interval", Count, "more users in each further round"),
            must("rounds", Count, "how many"),
            SPAWN,
            DURATION,
            REQUESTS,
            key(
                "stop",
                Map(&[
                    key("first_token", Duration, "mean time to first token over this"),
                    key("round_latency", Duration, "mean time of whole answers over this"),
                    key("success_rate", Share, "fewer successful requests than this"),
                ]),
                "further rounds are pointless",
            ),
        ]),
        "rounds with more and more users, as Qianfan's multi_stress_test",
    ),
    key(
        "sweep",
        Map(&[
            must("tokens", List(&Count), "prompt lengths, in words of about a token each; the service's own counts are reported"),
            key("users", Count, "default 1"),
            key("requests", Count, "of each length; default 20"),
        ]),
        "latency against the length of the prompt",
    ),
];

const RANDOM: Kind = Map(&[
    must("tokens", Count, "words of about a token each"),
    key("shared_prefix", Count, "of them, the same in every prompt; default 0"),
    key("prompts", Count, "different prompts; default 64"),
]);

const INPUT: &[Key] = &[
    key("weight", Count, "how often beside the others; default 1"),
    key("name", Word, "for figures; default: the beginning of the prompt"),
    PROMPT_KEY,
    MESSAGES,
    DATASET_KEY,
    RANDOM_KEY,
    SYSTEM,
    PARAMS_KEY,
    VARS,
    INPUT_TIMEOUT,
    MUTATE_KEY,
    ACCEPT,
];
const MUTATE_KEY: Key = key("mutate", MUTATE, "abuse the prompt is turned into; the forms take turns");
const ACCEPT: Key =
    key("accept", List(&Count), "statuses beside 2xx that are fine for this input: `[400, 413]` for prompts that may be refused");
const PROMPT_KEY: Key = key("prompt", PROMPT, "one user message");
const MESSAGES: Key = key("messages", List(&MESSAGE), "a whole conversation to answer");
const DATASET_KEY: Key = key("dataset", DATASET, "rows take turns; `prompt` may use their columns");
const RANDOM_KEY: Key = key("random", RANDOM, "made-up prompts of a given length");
const INPUT_TIMEOUT: Key = key("timeout", Duration, "for one whole request, over the target's");

const BOUND: Kind = Map(&[
    key("mean", Either(&[Share, Number]), "at most, over the whole load"),
    key("max", Either(&[Share, Number]), "at most, at any time"),
    key("min", Either(&[Share, Number]), "at least, at any time"),
]);

/// The expectations about loads, in the order of the documentation.
pub const LOAD_EXPECTATIONS: &[Key] = &[
    ERROR_RATE,
    key("max_concurrency", Map(&[must("min", Number, "the highest level that was borne is at least this")]), "for `ramp` and `search`"),
    TTFT,
    TTFT_SCHED,
    TTFO,
    TTFB,
    TPOT,
    ICL,
    MAX_GAP,
    E2E,
    E2E_SCHED,
    key(
        "variation",
        Dict(&Share),
        "standard deviation ÷ mean, at most: of `e2e` and `ttft` (per input), of `qps` (completions per ten seconds), or of a monitored figure such as `gpu_memory`",
    ),
    key(
        "throughput",
        Map(&[
            key("tokens", Number, "output tokens a second of the service, at least"),
            key("requests", Number, "complete answers a second, at least"),
        ]),
        "what the service carries",
    ),
    key(
        "goodput",
        Map(&[
            key("min", Number, "answers a second that meet the `slo`, at least"),
            key("share", Share, "of all scheduled requests, at least"),
        ]),
        "what of it is worth anything",
    ),
    key("no_leak", Bool, "neither latency nor memory creeps upwards"),
    key("resources", Dict(&BOUND), "bounds on monitored figures such as `cpu`, `gpu_memory`, `kv_usage`"),
    key(
        "first_error",
        Map(&[
            key("only", List(&Word), "the first error may be one of these"),
            key("not", List(&Word), "the first error must be none of these"),
        ]),
        "which kind of error may come first, such as `http_429`; no error at all is fine",
    ),
];

static EXPECT: Kind = Either(&[OneOf(&["no_leak"]), Map(LOAD_EXPECTATIONS)]);
static MONITOR: Kind = Either(&[
    OneOf(&["host", "nvidia_smi", "target"]),
    Map(&[
        key("prometheus", Word, "address of a metrics page: vLLM, SGLang, TGI, llama.cpp, DCGM, node exporter"),
        key("pid", Count, "a process of this machine"),
    ]),
]);

pub const LOAD_KEYS: &[Key] = &[
    must("name", Word, "unique in the file; part of the load's id"),
    PROMPT_KEY,
    MESSAGES,
    DATASET_KEY,
    RANDOM_KEY,
    key("mix", List(&Map(INPUT)), "several inputs, drawn by weight"),
    SYSTEM,
    PARAMS_KEY,
    VARS,
    INPUT_TIMEOUT,
    MUTATE_KEY,
    ACCEPT,
    STREAM,
    TARGET,
    TAGS,
    LAYER,
    must("shape", Map(SHAPES), "how much load there is over time; exactly one"),
    key("think_time", Word, "between an answer and the user's next request: `1s`, or `0.5s..1s`"),
    key("warm_up", Duration, "left out of the figures; default 0s"),
    key("max_in_flight", Count, "in an open loop; more are dropped and counted; default 4000"),
    key("workers", Count, "threads of the client; default 1"),
    key("prefix_cache", OneOf(&["cold", "warm"]), "cold (default): each prompt begins with a nonce, so that no answer comes from a cache"),
    key(
        "slo",
        Map(&[
            key("ttft", Duration, "each request, at most"),
            key("tpot", Duration, "each request, at most"),
            key("e2e", Duration, "each request, at most"),
            key("share", Share, "of the requests that should keep to it; default 95 %"),
        ]),
        "the objective that goodput and `search` go by",
    ),
    key(
        "abort_on",
        Map(&[
            ERROR_RATE,
            plain("ttft"),
            plain("ttft_sched"),
            plain("tpot"),
            plain("e2e"),
            plain("e2e_sched"),
            key("after", Duration, "not before; default 30s"),
        ]),
        "ends the load early when it is pointless to go on",
    ),
    key("monitor", List(&MONITOR), "watched each second; the target's own `metrics` page always is"),
    must("expect", List(&EXPECT), "what the load must come to"),
];
