//! What happens during a run, as one enum; and `fold`, which makes a `RunRecord` of it.

use crate::record::{CaseRecord, RunEnd, RunHeader, RunRecord};
use serde::{Deserialize, Serialize};

/// One line of a journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line of every journal. Under nextest each process writes one; they agree.
    RunStarted(RunHeader),
    /// A case was taken up. Without a matching end, the run was cut off here.
    CaseStarted { id: String },
    /// A service does not answer yet, and why; cases wait for it.
    Waiting { target: String, why: String },
    /// A case has its verdict.
    CaseFinished(Box<CaseRecord>),
    /// The run came to its end.
    RunFinished(RunEnd),
}

/// Builds the record. A case that finished twice (a retry by an outer test runner) counts as it ended last.
pub fn fold(events: impl IntoIterator<Item = Event>) -> RunRecord {
    let mut record = RunRecord::default();
    let mut started: Vec<String> = Vec::new();
    let mut position = std::collections::HashMap::new();
    let mut has_header = false;
    for event in events {
        match event {
            Event::RunStarted(header) if !has_header => {
                record.header = header;
                has_header = true;
            }
            Event::RunStarted(_) => {}
            Event::CaseStarted { id } => started.push(id),
            Event::Waiting { .. } => {}
            Event::CaseFinished(case) => match position.get(&case.id) {
                Some(&at) => record.cases[at] = *case,
                None => {
                    position.insert(case.id.clone(), record.cases.len());
                    record.cases.push(*case);
                }
            },
            Event::RunFinished(end) => record.end = Some(end),
        }
    }
    let order: std::collections::HashMap<&str, usize> = started.iter().enumerate().rev().map(|(i, id)| (id.as_str(), i)).collect();
    record.cases.sort_by_key(|c| order.get(c.id.as_str()).copied().unwrap_or(usize::MAX));
    record
}
