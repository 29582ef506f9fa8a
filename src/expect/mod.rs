//! Decides whether an exchange satisfies an expectation. Pure: no clock, no network.
//!
//! To add an expectation: a `Word` in `scenario/vocabulary/expectations.rs`, a variant of [`Check`], an arm in [`judge`] and in
//! `scenario/read/expect/`, and one good and one bad example under `tests/spec/expect/`. The compiler lists the arms.

pub mod chinese;
mod distance;
mod expr;
mod format;
mod ground;
pub mod grounded;
pub mod group;
mod json;
pub mod key_facts;
mod language;
mod length;
pub mod meaning;
mod numbers;
pub mod parts;
pub mod past;
mod phrases;
pub mod precision;
pub mod refusal;
mod safety;
mod service;
pub mod suite;
mod text;

pub use distance::{Edits, Rouge, rouge, words};
pub use expr::Expr;
pub use ground::Ground;
pub use group::{Consistency, Figure, Over};
pub use json::{JsonCheck, JsonPath};
pub use length::Unit;
pub use numbers::{NumberCheck, find as find_numbers};
pub use refusal::refusal;
pub use service::{ErrorShape, HeaderCheck, LatencyMetric, TokenCount};
pub(crate) use text::nfc;
pub use text::{Search, identifiers};

use crate::exchange::{Exchange, FailureKind};
use crate::finding::{Finding, Outcome, Topic};
use crate::record::Fetched;
use crate::units::Range;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// One expectation at its line of the scenario file.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The word as written.
    pub name: &'static str,
    pub line: u32,
    pub of: Of,
    pub check: Check,
}

/// What an expectation looks at.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Of {
    #[default]
    Answer,
    Reasoning,
    /// The answer of that turn, from 1.
    Turn(usize),
    /// The value at that path of the answer.
    Json(JsonPath),
}

/// A compiled regular expression; look-around costs more and is bounded.
#[derive(Debug, Clone)]
pub enum Pattern {
    Linear(regex::Regex),
    Lookaround(fancy_regex::Regex),
}

/// Every check the language knows.
#[derive(Debug, Clone)]
pub enum Check {
    NotEmpty,
    Equals {
        text: String,
        case_sensitive: bool,
    },
    Contains(Search),
    Matches {
        pattern: Pattern,
        count: Option<Range>,
    },
    StartsWith {
        any: Vec<String>,
        case_sensitive: bool,
    },
    EndsWith {
        any: Vec<String>,
        case_sensitive: bool,
    },
    Length {
        range: Range,
        unit: Unit,
    },
    Language {
        code: String,
        min: f64,
    },
    Format {
        name: String,
        items: Option<Range>,
    },
    Keeps {
        all: Option<Vec<String>>,
        matching: Option<regex::Regex>,
    },
    Numbers(NumberCheck),
    Facts {
        all: Vec<Vec<String>>,
        min: f64,
    },
    Refuses {
        also: Vec<String>,
    },
    AsksBack {
        also: Vec<String>,
    },
    Readable,
    NoRepetition {
        max: u64,
    },
    NoSecrets {
        allow: Vec<regex::Regex>,
    },
    JsonSchema(Arc<jsonschema::Validator>),
    Json(Vec<(JsonPath, JsonCheck)>),
    ToolCall {
        name: Option<String>,
        arguments: Option<serde_json::Value>,
        schema: Option<Arc<jsonschema::Validator>>,
        count: Option<Range>,
        /// Functions that are called in this order; others may stand between.
        order: Vec<String>,
    },
    FinishReason(Vec<String>),
    Logprob {
        mean: Option<f64>,
        min: Option<f64>,
    },
    Status(Vec<u16>),
    Error(ErrorShape),
    ServiceAlive,
    Header(Vec<(String, HeaderCheck)>),
    Latency {
        /// Ceilings for each request.
        max: Vec<(LatencyMetric, Duration)>,
        /// Ceilings from history, for all trials of the case together.
        history: Vec<(LatencyMetric, past::Ceiling)>,
    },
    Tokens(Vec<(TokenCount, Range)>),
    Cost {
        max: f64,
    },
    Rouge {
        to: Vec<String>,
        kind: Rouge,
        min: f64,
    },
    Bleu {
        to: Vec<String>,
        min: f64,
    },
    Levenshtein {
        to: Vec<String>,
        max: Edits,
    },
    /// The file is relative to the scenario; no text when nothing is stored yet.
    Golden {
        file: String,
        stored: Option<String>,
    },
    Similar {
        to: Vec<String>,
        min: Option<f64>,
    },
    Judge {
        rubric: String,
        min: f64,
        votes: u64,
    },
    Grounded(Ground),
    UsesContext(Ground),
    Expr(Expr),
    Consistency(Consistency),
    ErrorRate {
        max: f64,
    },
    Variation(Vec<(Figure, f64)>),
    Not(Box<Expectation>),
    All(Vec<Expectation>),
    Any(Vec<Expectation>),
}

/// What a judge may look at besides the exchange itself.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Every exchange of the conversation so far, the judged one last. Never empty.
    pub turns: &'a [Exchange],
    /// The system message, when there is one.
    pub system: Option<&'a str>,
    /// The text of the user messages.
    pub prompt: &'a str,
    /// What the answer should stand on.
    pub ground: Option<&'a str>,
    /// The case's variables.
    pub vars: &'a serde_json::Map<String, serde_json::Value>,
    pub price: Option<&'a Price>,
    /// What [`meaning::needs`] asked for.
    pub fetched: &'a [Fetched],
}

/// Prices per million tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    pub input: f64,
    pub output: f64,
    pub currency: String,
}

impl<'a> Context<'a> {
    fn exchange(&self) -> &'a Exchange {
        self.turns.last().expect("a conversation has a turn")
    }
}

/// What a check says, before it is tied to its place.
struct Said {
    outcome: Outcome,
    topic: Topic,
    why: String,
    evidence: Vec<String>,
    /// There was nothing to look at, which proves nothing: neither what was asked nor, under `not`, its opposite.
    blind: bool,
}

impl Said {
    fn when(met: bool, topic: Topic, why: impl Into<String>) -> Said {
        let outcome = if met { Outcome::Met } else { Outcome::Missed };
        Said { outcome, topic, why: why.into(), evidence: Vec::new(), blind: false }
    }

    /// Missed, because there is nothing to look at.
    fn blind(topic: Topic, why: impl Into<String>) -> Said {
        Said { blind: true, ..Said::when(false, topic, why) }
    }

    fn content(met: bool, why: impl Into<String>) -> Said {
        Said::when(met, Topic::Content, why)
    }

    fn unsure(topic: Topic, why: impl Into<String>) -> Said {
        Said { outcome: Outcome::Inconclusive, ..Said::when(false, topic, why) }
    }

    fn cannot(why: impl Into<String>) -> Said {
        Said { outcome: Outcome::Unjudgeable, ..Said::when(false, Topic::Internal, why) }
    }

    fn evidence(mut self, line: impl Into<String>) -> Said {
        self.evidence.push(line.into());
        self
    }
}

/// Judges one expectation.
pub fn judge(expectation: &Expectation, context: &Context) -> Finding {
    finding(expectation, said(expectation, context))
}

fn said(expectation: &Expectation, context: &Context) -> Said {
    let each = |inner: &[Expectation]| inner.iter().map(|e| said(e, context)).collect();
    match &expectation.check {
        Check::Not(inner) => {
            let inner = said(inner, context);
            let outcome = if inner.blind { inner.outcome } else { inner.outcome.negated() };
            Said { outcome, why: format!("should not hold: {}", inner.why), ..inner }
        }
        Check::All(inner) => group(each(inner), true),
        Check::Any(inner) => group(each(inner), false),
        check => of_check(check, expectation, context),
    }
}

fn finding(expectation: &Expectation, said: Said) -> Finding {
    Finding {
        expectation: expectation.name.to_owned(),
        line: expectation.line,
        outcome: said.outcome,
        topic: said.topic,
        why: said.why,
        evidence: said.evidence,
    }
}

/// `all` is as bad as its worst member, `any` as good as its best.
fn group(inner: Vec<Said>, all: bool) -> Said {
    let outcomes = inner.iter().map(|s| s.outcome);
    let Some(outcome) = (if all { outcomes.reduce(Outcome::and) } else { outcomes.reduce(Outcome::or) }) else {
        return Said::cannot("an empty group says nothing");
    };
    let decisive: Vec<&Said> = inner.iter().filter(|s| s.outcome == outcome).collect();
    let why = match (outcome, all) {
        (Outcome::Met, true) => "all of them hold".to_owned(),
        (Outcome::Met, false) => decisive[0].why.clone(),
        (_, true) => decisive.iter().map(|s| s.why.as_str()).collect::<Vec<_>>().join("; "),
        (_, false) => format!("none of {} holds: {}", inner.len(), inner.iter().map(|s| s.why.as_str()).collect::<Vec<_>>().join("; ")),
    };
    let evidence = decisive.iter().flat_map(|s| s.evidence.clone()).collect();
    // One member that really misses shows that not all hold; that none holds is shown only when each was looked at.
    let blind = if all { decisive.iter().all(|s| s.blind) } else { decisive.iter().any(|s| s.blind) };
    Said { outcome, topic: decisive[0].topic, why, evidence, blind }
}

fn of_check(check: &Check, expectation: &Expectation, context: &Context) -> Said {
    let exchange = context.exchange();
    // What looks at the exchange itself.
    match check {
        Check::Status(codes) => return service::status(exchange, codes),
        Check::Error(shape) => return service::error(exchange, shape),
        Check::ServiceAlive => return service::alive(exchange),
        Check::Header(headers) => return service::headers(exchange, headers),
        Check::Latency { max, .. } => return service::latency(exchange, max),
        Check::Tokens(ranges) => return service::tokens(exchange, ranges),
        Check::Cost { max } => return service::cost(context, *max),
        Check::FinishReason(reasons) => return service::finish_reason(exchange, reasons),
        Check::Logprob { mean, min } => return service::logprob(exchange, *mean, *min),
        Check::ToolCall { name, arguments, schema, count, order } => {
            return service::tool_call(exchange, name.as_deref(), arguments.as_ref(), schema.as_deref(), *count, order);
        }
        Check::Expr(expr) => return expr.judge(context),
        Check::NotEmpty if expectation.of == Of::Answer => {
            return Said::content(
                !exchange.is_empty(),
                if exchange.is_empty() { "the answer is empty" } else { "the answer is not empty" },
            );
        }
        _ => {}
    }
    // What looks at a text.
    let text = match subject(&expectation.of, context) {
        Ok(text) => text,
        Err(said) => return *said,
    };
    let text = text.as_ref();
    let mut said = match check {
        Check::NotEmpty => Said::content(!text.trim().is_empty(), "the text must not be empty"),
        Check::Equals { text: wanted, case_sensitive } => text::equals(text, wanted, *case_sensitive),
        Check::Contains(search) => text::contains(text, search),
        Check::Matches { pattern, count } => text::matches(text, pattern, *count),
        Check::StartsWith { any, case_sensitive } => text::affix(text, any, *case_sensitive, true),
        Check::EndsWith { any, case_sensitive } => text::affix(text, any, *case_sensitive, false),
        Check::Length { range, unit } => {
            // The service counts the tokens of whole answers, not of parts.
            let counted = matches!(expectation.of, Of::Answer).then_some(exchange.usage).flatten();
            length::judge(text, range, *unit, counted)
        }
        Check::Language { code, min } => language::judge(text, code, *min),
        Check::Format { name, items } => format::judge(text, name, *items),
        Check::Keeps { all, matching } => text::keeps(text, context.prompt, all.as_deref(), matching.as_ref()),
        Check::Numbers(check) => numbers::judge(text, check),
        Check::Facts { all, min } => text::facts(text, all, *min),
        Check::Refuses { also } => phrases::refuses(text, also),
        Check::AsksBack { also } => phrases::asks_back(text, also),
        Check::Readable => safety::readable(text),
        Check::NoRepetition { max } => safety::no_repetition(text, *max),
        Check::NoSecrets { allow } => {
            let said = safety::no_secrets(text, context.system, context.ground, allow);
            // Whoever asks the service sees what it thought, too.
            if said.outcome == Outcome::Met && expectation.of == Of::Answer && !exchange.reasoning.is_empty() {
                let thought = safety::no_secrets(&exchange.reasoning, context.system, context.ground, allow);
                Said { why: thought.why.replacen("answer", "reasoning", 1), ..thought }
            } else {
                said
            }
        }
        Check::JsonSchema(schema) => json::schema(text, schema),
        Check::Json(checks) => json::paths(text, checks),
        Check::Rouge { to, kind, min } => distance::judge_rouge(text, to, *kind, *min),
        Check::Bleu { to, min } => distance::judge_bleu(text, to, *min),
        Check::Levenshtein { to, max } => distance::judge_levenshtein(text, to, *max),
        Check::Golden { file, stored } => distance::judge_golden(text, file, stored.as_deref()),
        Check::Similar { to, min } => meaning::similar(text, to, *min, context.fetched),
        Check::Judge { rubric, min, .. } => meaning::judged(text, rubric, *min, context.fetched),
        Check::Grounded(by) => ground::judge(ground::Asked::Grounded, *by, text, context),
        Check::UsesContext(by) => ground::judge(ground::Asked::UsesContext, *by, text, context),
        _ => unreachable!("handled above"),
    };
    if said.outcome == Outcome::Missed && !matches!(check, Check::Equals { .. } | Check::NoSecrets { .. } | Check::Golden { .. }) {
        let label = match &expectation.of {
            Of::Answer => "answer".to_owned(),
            Of::Reasoning => "reasoning".to_owned(),
            Of::Turn(n) => format!("answer of turn {n}"),
            Of::Json(path) => format!("value at {path}"),
        };
        said.evidence.push(format!("{label}: \"{}\"", crate::redact::excerpt(text, 240)));
    }
    said
}

/// The text an expectation looks at.
fn subject<'a>(of: &Of, context: &Context<'a>) -> Result<Cow<'a, str>, Box<Said>> {
    match of {
        Of::Answer => Ok(Cow::Borrowed(&context.exchange().answer)),
        Of::Reasoning => Ok(Cow::Borrowed(&context.exchange().reasoning)),
        Of::Turn(n) => match n.checked_sub(1).and_then(|i| context.turns.get(i)) {
            Some(turn) => Ok(Cow::Borrowed(&turn.answer)),
            None => Err(Box::new(Said::cannot(format!("there is no turn {n} yet")))),
        },
        Of::Json(path) => json::text_at(&context.exchange().answer, path).map(Cow::Owned).map_err(Box::new),
    }
}

/// Judges all expectations in order. An exchange that failed, or answered with a status nobody asked for, adds a finding of its own,
/// and what would judge the missing answer is left out: one cause, one finding.
pub fn judge_all(expectations: &[Expectation], context: &Context, allow_empty: bool) -> Vec<Finding> {
    let exchange = context.exchange();
    let mut findings = Vec::new();
    // `not: { status: 500 }` does not ask for a 503, so what stands under `not` excuses nothing.
    let expects_status = expectations.iter().any(|e| asks_for(e, &|e| matches!(e.check, Check::Status(_) | Check::Error(_))));
    let expects_error = expectations.iter().any(|e| asks_for(e, &|e| matches!(e.check, Check::Error(_))));
    let judges_empty = expectations.iter().any(|e| asks_for(e, &|e| e.of == Of::Answer && matches!(e.check, Check::NotEmpty)));
    let mut broken = false;
    if let Some(failure) = &exchange.failure {
        let excused = match failure.kind {
            FailureKind::Http => expects_status,
            FailureKind::ApiError => expects_error,
            _ => false,
        };
        if !excused {
            findings.push(service::failed(exchange, failure));
            broken = true;
        }
    } else if exchange.is_empty() && !allow_empty && !judges_empty {
        findings.push(service::empty(exchange));
        broken = true;
    }
    for expectation in expectations {
        let about_service =
            mentions(expectation, &|c| matches!(c, Check::Status(_) | Check::Error(_) | Check::ServiceAlive | Check::Header(_)));
        if !broken || about_service {
            findings.push(judge(expectation, context));
        }
    }
    findings
}

/// True when the expectation, or one inside it that must or may hold, fits.
fn asks_for(expectation: &Expectation, fits: &dyn Fn(&Expectation) -> bool) -> bool {
    match &expectation.check {
        Check::All(inner) | Check::Any(inner) => inner.iter().any(|e| asks_for(e, fits)),
        _ => fits(expectation),
    }
}

impl Check {
    /// True when sentence vectors must be fetched to judge it.
    pub fn wants_vectors(&self) -> bool {
        match self {
            Check::Similar { .. } => true,
            Check::Consistency(wanted) => wanted.similarity.is_some(),
            Check::Grounded(by) | Check::UsesContext(by) => matches!(by, Ground::Vectors { .. }),
            _ => false,
        }
    }

    /// True when a judge must be asked.
    pub fn wants_judge(&self) -> bool {
        matches!(self, Check::Judge { .. } | Check::Grounded(Ground::Judge { .. }) | Check::UsesContext(Ground::Judge { .. }))
    }
}

/// True when the expectation or one inside it fits.
pub fn mentions(expectation: &Expectation, fits: &dyn Fn(&Check) -> bool) -> bool {
    fits(&expectation.check)
        || match &expectation.check {
            Check::Not(inner) => mentions(inner, fits),
            Check::All(inner) | Check::Any(inner) => inner.iter().any(|e| mentions(e, fits)),
            _ => false,
        }
}
