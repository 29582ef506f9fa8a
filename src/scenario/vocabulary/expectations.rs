//! Words of expectations: what an answer may be asked for.

use crate::scenario::grammar::{Key, Kind, Word, key, must};
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
    "what to look at; default: the answer; what stands in `<think>` is reasoning",
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
pub const ROLLING: Key = key(
    "rolling",
    Map(&[
        key("quantile", Word, "such as `p90`, of the pooled samples of the window; default p90"),
        key("window", Duration, "how far back; default that of roadworthy.yaml's `baselines`, or 7d"),
        key("factor", Number, "times that quantile is the ceiling; default 1.3"),
    ]),
    "a ceiling that moves with the last days: sees large steps, with one request per case, too",
);
pub const PREDICTED: Key = key(
    "predicted",
    Either(&[Bool, Map(&[key("effect", Number, "smallest ratio worth failing; default 1.10")])]),
    "a prediction limit over the last runs' means: sees steps that `rolling` cannot",
);
pub const RELEASE: Key = key(
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
        doc: "No replacement characters, mojibake, control characters or leftover template marks; what stands in code may speak of marks.",
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
        doc: "No keys, identity, card and phone numbers, e-mail addresses, and no piece of the system message: 20 Chinese characters or 40 letters of it, however set, and 11 or 22 of what holds a code or is marked as not to be said. Who the assistant is, and what `context` says, may be said.",
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
        doc: "Why the model stopped: `stop`, `length`, `tool_calls`, `content_filter`. An answer that `length` or a filter cut is judged as it stands unless this asks for `stop`; a load counts filtered ones as failed.",
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
    Word {
        name: "not",
        bare: false,
        kind: Expectation,
        doc: "The expectation inside is missed. What cannot be seen (an answer that is no JSON, a path that leads nowhere) is not missed: it fails here, too. Where absence is fine, write `any: [ { json: { \"$.error\": { exists: false } } }, { not: … } ]`.",
    },
    Word { name: "all", bare: false, kind: Expectations, doc: "Every expectation inside is met." },
    Word { name: "any", bare: false, kind: Expectations, doc: "At least one expectation inside is met." },
];
