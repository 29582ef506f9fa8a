//! The same judgement inside `cargo test` and `cargo nextest`.
//!
//! ```toml
//! [[test]]
//! name = "scenarios"
//! harness = false
//! ```
//!
//! ```no_run
//! // tests/scenarios.rs
//! fn main() -> std::process::ExitCode {
//!     roadworthy::harness::main()
//! }
//! ```
//!
//! The project is found from the package's folder upwards. Under nextest each case is a process of its own; they share one run id and one record.

use crate::cli::args::RunArgs;
use libtest_mimic::Arguments;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs every scenario of the project as a test, with libtest's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let from = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let args = RunArgs {
        // libtest's filters are applied here already: what they leave out must not be planned for, nor counted as not run.
        filters: arguments.filter.clone().into_iter().collect(),
        exact: arguments.exact,
        skip: arguments.skip.clone(),
        ..RunArgs::default()
    };
    if arguments.list && arguments.ignored {
        // No scenario is ignored by itself; a skip is decided when it runs.
        return ExitCode::SUCCESS;
    }
    crate::cli::run::main_from(&args, &from, Some(arguments)).into()
}
