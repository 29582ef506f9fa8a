//! Writes the shell line that sends a request again.

use crate::finding::Outcome;
use crate::options::{Address, Target};
use crate::plan::Planned;
use crate::record::CaseRecord;

/// A body longer than this is left in the record.
const MAX_BODY: usize = 8 << 10;

/// A shell line for the deciding request, with the simulated service where that answered; the key as `$API_KEY`, and what other headers hold under their names.
pub(super) fn curl(case: &Planned, record: &CaseRecord, target: &Target) -> String {
    let turns = record.attempts.iter().rev().flat_map(|a| a.trials.iter()).flat_map(|t| t.turns.iter());
    let Some(turn) = turns.clone().find(|t| t.findings.iter().any(|f| f.outcome != Outcome::Met)).or_else(|| turns.clone().next()) else {
        return String::new();
    };
    if turn.exchange.request.0.is_empty() {
        return String::new();
    }
    let body = &turn.exchange.request.0;
    if body.len() > MAX_BODY {
        return format!("# the request of `{}` has {} bytes; it stands in the record of the run", case.name, body.len());
    }
    let key = if target.api_key.is_some() { " -H \"Authorization: Bearer $API_KEY\"" } else { "" };
    let variable = |name: &str| name.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let headers: String = target.headers.iter().map(|(name, _)| format!(" -H \"{name}: ${}\"", variable(name))).collect();
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let body = quoted(&crate::redact::visible_json(body));
    let curl = format!("curl -sN {} -H 'Content-Type: application/json'{key}{headers} -d {body}", turn.exchange.url);
    match &target.address {
        Address::Url(_) => curl,
        // It went with the run, and comes back so. A comment behind the line would be no comment to every shell.
        Address::Simulate(file) => {
            let port = turn.exchange.url.rsplit(':').next().and_then(|rest| rest.split('/').next()).unwrap_or_default();
            let plain = file.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
            let file = if plain { file.clone() } else { quoted(file) };
            format!("roadworthy sim {file} --port {port} & sleep 1; {curl}")
        }
    }
}
