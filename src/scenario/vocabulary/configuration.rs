//! Words of roadworthy.yaml.

use crate::scenario::grammar::{Key, Kind, key, must};
use Kind::*;

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
