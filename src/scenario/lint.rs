//! What is legal but unwise, as warnings of `roadworthy check`.

use super::{Case, Expected, Input, LoadInput, LoadSource, Scenario};
use crate::diagnostic::Diagnostic;
use crate::expect::{Check, Expectation, LatencyMetric, mentions};
use crate::load::judge::LoadCheck;
use crate::load::{Ceiling, Metric, Of, Shape, Stat};
use crate::units::Share;
use crate::verdict::rate::{Decision, PassRate, clean_trials_needed};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Looks at one file.
pub fn scenario(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for case in &scenario.cases {
        let mut warn = |code, message: String, hint: &str| {
            found.push(Diagnostic::error(code, message).warning().at(&scenario.source, case.place).hint(hint));
        };
        let expects = ready(case);
        let has = |fits: &dyn Fn(&Check) -> bool| expects.iter().any(|e| mentions(e, fits));
        let temperature = case.params.get("temperature").and_then(Value::as_f64);
        let factual = has(&|c| matches!(c, Check::Numbers(_) | Check::Facts { .. } | Check::Equals { .. }));
        let narrow = case.params.get("top_p").and_then(Value::as_f64) == Some(0.0);
        // A sequential test is how a case at a temperature of its own is judged.
        let tested = matches!(case.pass_rate, Some(PassRate::Sequential { .. }));
        let unknown = case.params.get("temperature").is_some_and(Value::is_string);
        if factual && !narrow && !tested && !unknown && temperature.unwrap_or(1.0) > 0.3 {
            let what = temperature.map_or("the service's own temperature".to_owned(), |t| format!("temperature {t}"));
            warn(
                "warm-facts",
                format!("`{}` asks for facts at {what}", case.name),
                "write `params: { temperature: 0 }`; a factual case above 0.3 flickers",
            );
        }
        let versions = if let Input::Variants(texts) = &case.input { texts.len() as u64 } else { 1 };
        if let Some(PassRate::Fixed { trials, rate: share }) = case.pass_rate
            && let trials = trials * versions
            && let rate = (PassRate::Fixed { trials, rate: share })
            && case.mutate.is_empty()
            && rate.decide(trials, trials) == Decision::Open
            && let Some(n) = clean_trials_needed(share)
        {
            warn(
                "thin-pass-rate",
                format!("`{}` can never pass: {trials} trials do not prove {share} even if all pass", case.name),
                &format!("write `repeat: {n}` or more, or a sequential `pass_rate: {{ accept: …, reject: … }}`"),
            );
        }
        if has(&|c| matches!(c, Check::Latency { max, .. } if max.iter().any(|(m, _)| *m == crate::expect::LatencyMetric::Ttfb))) {
            warn(
                "ttfb",
                format!("`{}` limits ttfb, which many servers send before they have read the prompt", case.name),
                "limit `ttft`, the time to the first token",
            );
        }
        let alone = versions == 1 && case.repeat == 1 && case.pass_rate.is_none() && case.precision.is_none() && case.mutate.is_empty();
        let over_trials = |c: &Check| match c {
            Check::Consistency(wanted) => matches!(wanted.over, crate::expect::group::Over::Trials),
            Check::Variation(_) => true,
            _ => false,
        };
        if alone && has(&over_trials) {
            warn(
                "one-trial",
                format!("`{}` compares its trials with one another and has one", case.name),
                "write `repeat: 20`, or `variants`",
            );
        }
        let asked = if case.mutate.is_empty() { versions } else { case.mutate.len() as u64 * case.mutate_count };
        let requests = case.repeat * asked;
        let strict = expects.iter().filter_map(|e| match &e.check {
            Check::ErrorRate { max } if *max > 0.0 => Some(*max),
            _ => None,
        });
        if let (Some(max), None) = (strict.reduce(f64::min), &case.precision)
            && case.pass_rate.is_none()
            && let Some(needed) = clean_trials_needed(Share(1.0 - max))
            && requests < needed
        {
            warn(
                "thin-error-rate",
                format!(
                    "`{}` asks for an error rate of at most {}, and {requests} requests do not prove it even if all succeed",
                    case.name,
                    Share(max)
                ),
                &format!("{needed} requests would; or write `error_rate: 0%`, which says what is meant of few"),
            );
        }
        let of_tokens = |c: &Check| match c {
            Check::Latency { max, .. } => max.iter().any(|(m, _)| !matches!(m, LatencyMetric::E2e | LatencyMetric::Ttfb)),
            _ => false,
        };
        if case.stream == Some(false) && has(&of_tokens) {
            warn(
                "no-stream",
                format!("`{}` limits times between tokens, and an answer that is not streamed comes at once", case.name),
                "leave `stream: false` out, or limit `e2e`",
            );
        }
        if has(&|c| matches!(c, Check::Logprob { .. })) && !case.params.contains_key("logprobs") {
            warn(
                "no-logprobs",
                format!("`{}` expects log probabilities and does not ask for them", case.name),
                "write `params: { logprobs: true }`",
            );
        }
        if has(&|c| matches!(c, Check::Grounded(_) | Check::UsesContext(_))) && case.context.is_none() {
            warn("no-context", format!("`{}` expects an answer from a context and gives none", case.name), "write `context: { file: … }`");
        }
        if case.retry > 5 {
            warn(
                "many-retries",
                format!("`{}` is tried {} times; even a case that passes one time in three would look healthy", case.name, case.retry + 1),
                "two retries are usual; use `pass_rate` for stochastic behaviour",
            );
        }
    }
    found
}

/// Looks at the loads of one file.
pub fn loads(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for load in &scenario.loads {
        let mut warn = |code, message: String, hint: &str| {
            found.push(Diagnostic::error(code, message).warning().at(&scenario.source, load.place).hint(hint));
        };
        let ceilings: Vec<&Ceiling> =
            load.expect.iter().flat_map(|e| if let LoadCheck::Latency(c) = &e.check { c.as_slice() } else { &[] }).collect();
        let spread =
            ceilings.iter().any(|c| c.stat != Stat::Mean) || load.expect.iter().any(|e| matches!(e.check, LoadCheck::Variation(_)));
        if ceilings.iter().any(|c| c.stat == Stat::Mean) && !spread {
            warn(
                "mean-alone",
                format!("`{}` limits a mean and nothing about its spread: half of the users may wait twice as long", load.name),
                "limit `p95` beside it, or `variation: { e2e: 20% }`",
            );
        }
        if ceilings.iter().any(|c| c.metric == Metric::Ttfb) {
            warn(
                "ttfb",
                format!("`{}` limits ttfb, which many servers send before they have read the prompt", load.name),
                "limit `ttft`, the time to the first token",
            );
        }
        let open = matches!(load.shape.of(), Of::Rate);
        if open && ceilings.iter().any(|c| c.metric == Metric::Ttft) && !ceilings.iter().any(|c| c.metric == Metric::TtftSched) {
            warn(
                "ttft-in-open-loop",
                format!("`{}` sends at a rate and limits ttft, which leaves out the time that requests wait to be sent", load.name),
                "limit `ttft_sched`, the time from the intended start",
            );
        }
        let longest = load.inputs.iter().map(input_length).max().unwrap_or(0);
        if !ceilings.is_empty() && longest < 100 && !matches!(load.shape, Shape::Sweep { .. }) {
            warn(
                "short-prompts",
                format!("`{}` limits latency for short prompts only: the longest has {longest} characters", load.name),
                "add an input as long as production's; prefill time grows with it",
            );
        }
        if load.abort.is_none() && matches!(load.shape, Shape::Soak { duration, .. } if duration.as_secs() >= 3600) {
            warn(
                "no-abort",
                format!("`{}` runs on for hours even when every request fails", load.name),
                "write `abort_on: { error_rate: 20% }`",
            );
        }
    }
    found
}

fn input_length(input: &LoadInput) -> usize {
    let rows = input.rows.iter().flatten().map(|r| {
        let told: usize = r.messages.iter().flatten().map(|m| m["content"].as_str().map_or(0, |t| t.chars().count())).sum();
        told + r.vars.values().map(|v| v.to_string().chars().count()).sum::<usize>()
    });
    let own = match &input.source {
        LoadSource::Prompt(text) => text.chars().count(),
        LoadSource::Messages(messages) => messages.iter().map(|m| m["content"].as_str().map_or(0, |t| t.chars().count())).sum(),
        LoadSource::FromRow => 0,
        LoadSource::Random { tokens, .. } => *tokens as usize * 5,
    };
    own + input.system.as_deref().map_or(0, |s| s.chars().count()) + rows.max().unwrap_or(0)
}

/// Looks at all files together; each doubt is told once.
pub fn suite(scenarios: &[Scenario]) -> Vec<Diagnostic> {
    let mut found = short_prompts(scenarios);
    found.extend(negation(scenarios));
    found
}

/// What sentence vectors cannot tell: 包含电池 and 不包含电池 lie close together.
fn negation(scenarios: &[Scenario]) -> Option<Diagnostic> {
    let all = scenarios.iter().flat_map(|s| s.cases.iter().map(move |c| (s, c)));
    let (scenario, case) = all.into_iter().find(|(_, case)| {
        let expects = ready(case);
        let by_meaning = |e: &&Expectation| mentions(e, &|c| matches!(c, Check::Similar { .. }));
        let by_fact = |c: &Check| {
            matches!(
                c,
                Check::Facts { .. }
                    | Check::Numbers(_)
                    | Check::Contains(_)
                    | Check::Equals { .. }
                    | Check::Judge { .. }
                    | Check::Grounded(_)
            )
        };
        expects.iter().any(by_meaning) && !expects.iter().any(|e| mentions(e, &by_fact))
    })?;
    let warning = Diagnostic::error(
        "negation",
        format!(
            "`{}` is judged by `similar` alone, and no encoder sees negation: an answer that says the opposite is similar, too",
            case.name
        ),
    );
    Some(
        warning
            .warning()
            .at(&scenario.source, case.place)
            .hint("add what must be stated: `facts`, `contains`, `not: { contains: … }` or a `judge`"),
    )
}

/// Latency limits that only short prompts are held to.
fn short_prompts(scenarios: &[Scenario]) -> Vec<Diagnostic> {
    let mut limited = Vec::new();
    for scenario in scenarios {
        for case in &scenario.cases {
            if ready(case).iter().any(|e| mentions(e, &|c| matches!(c, Check::Latency { .. }))) {
                limited.push((scenario, case, prompt_length(case)));
            }
        }
    }
    let Some((scenario, case, _)) = limited.first() else { return Vec::new() };
    let longest = limited.iter().map(|(_, _, n)| *n).max().unwrap_or(0);
    if longest >= 500 {
        return Vec::new();
    }
    vec![
        Diagnostic::error(
            "short-prompts",
            format!("latency is limited for short prompts only: the longest of {} has {longest} characters", limited.len()),
        )
        .warning()
        .at(&scenario.source, case.place)
        .hint("add a case with a prompt as long as production's; prefill time grows with it"),
    ]
}

/// Expectations that the configuration leaves without what they need: a judge, a price.
pub fn helpers(scenarios: &[Scenario], has_judge: bool, has_price: &dyn Fn(&str) -> bool) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (scenario, case) in scenarios.iter().flat_map(|s| s.cases.iter().map(move |c| (s, c))) {
        let expects = ready(case);
        let has = |fits: &dyn Fn(&Check) -> bool| expects.iter().any(|e| mentions(e, fits));
        let mut warn = |code, message: String, hint: &str| {
            found.push(Diagnostic::error(code, message).warning().at(&scenario.source, case.place).hint(hint));
        };
        if !has_judge && has(&Check::wants_judge) {
            warn(
                "no-judge",
                format!("`{}` needs a judge, and the configuration names none", case.name),
                "write `judge: { target: … }` in roadworthy.yaml",
            );
        }
        if !has_price(&case.target) && has(&|c| matches!(c, Check::Cost { .. })) {
            let hint = "write `price: { input: …, output: … }`, per million tokens, under the target";
            warn("no-price", format!("`{}` limits the cost, and its target has no price", case.name), hint);
        }
    }
    found
}

/// Where the environment of the run differs from production's.
pub fn environment(here: &BTreeMap<String, String>, production: &BTreeMap<String, String>) -> Vec<Diagnostic> {
    production
        .iter()
        .filter(|(key, value)| here.get(*key) != Some(value))
        .map(|(key, value)| {
            let seen = here.get(key).map_or("not stated".to_owned(), |v| format!("`{v}`"));
            Diagnostic::error(
                "unlike-production",
                format!("`{key}` is {seen} here and `{value}` in production, so latencies are not comparable"),
            )
            .warning()
            .hint("compare with a baseline taken on the same environment")
        })
        .collect()
}

/// Chinese texts before an encoder that does not know their characters: all of them look alike to it. `knows` says which it knows.
pub fn encoder(scenarios: &[Scenario], name: &str, knows: &dyn Fn(char) -> bool) -> Option<Diagnostic> {
    let (scenario, case, seen, unknown) =
        scenarios.iter().flat_map(|s| s.cases.iter().map(move |c| (s, c))).find_map(|(scenario, case)| {
            let expects = ready(case);
            let by_vectors = |c: &Check| match c {
                Check::Similar { .. } => true,
                Check::Consistency(wanted) => wanted.similarity.is_some(),
                _ => false,
            };
            if !expects.iter().any(|e| mentions(e, &by_vectors)) {
                return None;
            }
            let texts = RefCell::new(texts_of(case));
            let references = |c: &Check| {
                if let Check::Similar { to, .. } = c {
                    texts.borrow_mut().extend(to.iter().cloned());
                }
                false
            };
            expects.iter().for_each(|e| _ = mentions(e, &references));
            let texts = texts.into_inner();
            let han: Vec<char> = texts.iter().flat_map(|t| t.chars()).filter(|c| crate::expect::chinese::is_han(*c)).collect();
            let unknown = han.iter().filter(|c| !knows(**c)).count();
            // A rare character now and then is unknown to any encoder.
            (unknown * 10 > han.len()).then_some((scenario, case, han.len(), unknown))
        })?;
    let message = format!(
        "`{}` judges Chinese by the vectors of `{name}`, which knows {} of its {seen} Chinese characters",
        case.name,
        seen - unknown
    );
    let warning = Diagnostic::error("english-encoder", message).warning().at(&scenario.source, case.place);
    Some(warning.hint("unrelated Chinese texts look alike to it; write `embeddings: { source: builtin }`, which speaks Chinese"))
}

/// What a case says, as far as it is text.
fn texts_of(case: &Case) -> Vec<String> {
    match &case.input {
        Input::Prompt(text) => vec![text.clone()],
        Input::Variants(texts) => texts.clone(),
        Input::Messages(messages) => messages.iter().filter_map(|m| Some(m["content"].as_str()?.to_owned())).collect(),
        Input::Turns(turns) => turns.iter().filter_map(|t| Some(t.user.as_str()?.to_owned())).collect(),
        Input::FromRow => case.rows.iter().flatten().flat_map(|r| r.vars.values().map(Value::to_string)).collect(),
    }
}

fn ready(case: &Case) -> Vec<&Expectation> {
    let mut all = Vec::new();
    if let Expected::Ready(list) = &case.expect {
        all.extend(list.iter());
    }
    if let Input::Turns(turns) = &case.input {
        for turn in turns {
            if let Expected::Ready(list) = &turn.expect {
                all.extend(list.iter());
            }
        }
    }
    all
}

fn prompt_length(case: &Case) -> usize {
    let system = case.system.as_deref().map_or(0, |s| s.chars().count());
    let input = match &case.input {
        Input::Prompt(text) => text.chars().count(),
        Input::Variants(texts) => texts.iter().map(|t| t.chars().count()).max().unwrap_or(0),
        Input::Messages(messages) => messages.iter().map(|m| m["content"].as_str().map_or(0, |t| t.chars().count())).sum(),
        Input::Turns(turns) => turns.iter().map(|t| t.user.as_str().map_or(0, |t| t.chars().count())).sum(),
        Input::FromRow => 0,
    };
    let vars: usize = case.vars.values().filter_map(Value::as_str).map(|t| t.chars().count()).sum();
    let rows = case.rows.iter().flatten().map(|r| r.vars.values().map(|v| v.to_string().chars().count()).sum::<usize>()).max().unwrap_or(0);
    system + input + vars + rows
}
