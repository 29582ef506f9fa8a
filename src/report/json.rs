//! The record as one JSON document.

use crate::record::RunRecord;

/// Indented JSON with a newline at its end.
pub fn render(record: &RunRecord) -> String {
    serde_json::to_string_pretty(record).unwrap_or_default() + "\n"
}
