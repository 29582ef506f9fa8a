//! Judges large-model services by YAML scenarios: text in, verdicts with evidence out.
//!
//! ```text
//! YAML ─parse→ Scenario ─plan→ Planned* ─run→ Event* ─fold→ RunRecord ─render→ terminal · junit · json
//!                 │ positions      │
//!            Diagnostics        Service ─▶ model service
//! ```
//!
//! Six floors; a room uses its own and those below, and `tests/architecture.rs` checks it:
//!
//! | floor | rooms | about |
//! |---|---|---|
//! | 5 doors | [`cli`], [`harness`] | arguments become one call, files and an exit code |
//! | 4 doing | [`target`], [`run`], [`drive`], [`monitor`], [`journal`], [`baseline`], [`sim`], [`clock`] | the only async, the only I/O |
//! | 3 telling | [`event`], [`report`], [`compare`] | what happened, as data and as text |
//! | 2 description | [`scenario`], [`plan`], [`options`] | text becomes a plan, or every mistake in it |
//! | 1 judgement | [`expect`], [`load`], [`gauges`], [`mutate`], [`semantic`], [`stats`], [`verdict`] | pure functions that return findings and verdicts |
//! | 0 words | [`exchange`], [`finding`], [`record`], [`diagnostic`], [`redact`], [`units`] | plain data |
//!
//! Most users want the command line; [`harness`] puts the same judgement into `cargo test`.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod baseline;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod diagnostic;
pub mod drive;
pub mod event;
pub mod exchange;
pub mod expect;
pub mod finding;
pub mod gauges;
pub mod harness;
pub mod journal;
pub mod load;
pub mod monitor;
pub mod mutate;
pub mod options;
pub mod plan;
pub mod record;
pub mod redact;
pub mod report;
pub mod run;
pub mod scenario;
pub mod semantic;
pub mod sim;
pub mod stats;
pub mod target;
pub mod units;
pub mod verdict;
