//! What was said in a case and how each part of it was judged, met or not: for `--verbose`.

use super::terminal::finding;
use crate::exchange::Exchange;
use crate::record::{CaseRecord, Turn};
use crate::redact::{excerpt, harmless};
use crate::units::show;
use serde_json::Value;

/// Characters of a prompt and of an answer, at most.
const MOST: usize = 1200;

/// Trials told of each attempt, at most.
const TRIALS: usize = 3;

/// The conversations of a case.
pub fn case(case: &CaseRecord) -> String {
    let mut out = format!("{} — {}, {}\n", case.id, case.verdict.word(), show(case.took));
    for (i, attempt) in case.attempts.iter().enumerate() {
        if case.attempts.len() > 1 {
            out.push_str(&format!("  attempt {} of {}: {}\n", i + 1, case.attempts.len(), attempt.verdict().word()));
        }
        let trials = attempt.trials.len();
        for (j, trial) in attempt.trials.iter().enumerate().take(TRIALS) {
            if trials > 1 {
                let variant = trial.variant.as_ref().map(|v| format!(", {v}")).unwrap_or_default();
                out.push_str(&format!("  trial {} of {trials}{variant}: {}\n", j + 1, trial.verdict.word()));
            }
            trial.turns.iter().for_each(|turn| out.push_str(&self::turn(turn, &case.file)));
        }
        if trials > TRIALS {
            out.push_str(&format!("  … and {} more trials, in the record\n", trials - TRIALS));
        }
        attempt.group.iter().for_each(|f| out.push_str(&finding(f, &case.file, "")));
    }
    harmless(&out)
}

fn turn(turn: &Turn, file: &str) -> String {
    let exchange = &turn.exchange;
    let mut out = said('>', &asked(exchange));
    if !exchange.reasoning.is_empty() {
        out.push_str(&said('~', &exchange.reasoning));
    }
    if !exchange.answer.is_empty() || exchange.tool_calls.is_empty() {
        out.push_str(&said('<', &exchange.answer));
    }
    for call in &exchange.tool_calls {
        out.push_str(&format!("  < {}({})\n", call.name, excerpt(&call.arguments, MOST)));
    }
    if let Some(failure) = &exchange.failure {
        out.push_str(&format!("  ! {}\n", failure.message));
    }
    let facts = facts(exchange);
    if !facts.is_empty() {
        out.push_str(&format!("    {facts}\n"));
    }
    turn.findings.iter().for_each(|f| out.push_str(&finding(f, file, "")));
    out
}

/// What the user said last.
fn asked(exchange: &Exchange) -> String {
    let Ok(body) = serde_json::from_str::<Value>(&exchange.request.0) else { return "(nothing was sent)".to_owned() };
    match body["messages"].as_array().and_then(|m| m.last()) {
        Some(message) => crate::plan::text_of(&message["content"]),
        None => body["prompt"].as_str().unwrap_or_default().to_owned(),
    }
}

/// A text behind a mark, its further lines below it.
fn said(mark: char, text: &str) -> String {
    let mut out = String::new();
    let mut left = MOST;
    for (i, line) in text.lines().enumerate() {
        let mark = if i == 0 { mark } else { ' ' };
        if left == 0 {
            out.push_str(&format!("    … {} characters, the record holds them\n", text.chars().count()));
            break;
        }
        let kept: String = line.chars().take(left).collect();
        left -= kept.chars().count().min(left);
        out.push_str(&format!("  {mark} {kept}\n"));
    }
    if out.is_empty() { format!("  {mark}\n") } else { out }
}

fn facts(exchange: &Exchange) -> String {
    let timing = &exchange.timing;
    let times = [("ttft", timing.ttft), ("tpot", timing.tpot), ("e2e", timing.e2e)];
    let mut parts: Vec<String> = times.into_iter().filter_map(|(word, d)| Some(format!("{word} {}", show(d?)))).collect();
    if let Some(usage) = exchange.usage {
        parts.push(format!("{} + {} tokens", usage.prompt_tokens, usage.completion_tokens));
    }
    parts.extend(exchange.finish_reason.iter().filter(|reason| *reason != "stop").map(|reason| format!("ended by {reason}")));
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_and_say_so() {
        assert_eq!(said('<', "一\n二"), "  < 一\n    二\n");
        assert_eq!(said('<', ""), "  <\n");
        let long = said('<', &format!("{}\nmore", "好".repeat(MOST)));
        assert!(long.ends_with("… 1205 characters, the record holds them\n"), "{long}");
    }
}
