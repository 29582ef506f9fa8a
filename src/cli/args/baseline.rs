//! Flags of `baseline`.

use super::CommonArgs;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct BaselineArgs {
    #[command(subcommand)]
    pub command: BaselineCommand,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// Append a passing run: on the protected branch or at night, never in a pull request
    Update {
        /// Journal of the run; default: the newest in `runs`
        #[arg(long, value_name = "RUN")]
        from: Option<PathBuf>,
        /// Append although the run failed, scenarios are not committed, or this is a pull request
        #[arg(long)]
        force: bool,
    },
    /// Freeze the newest runs as the anchor of a release
    Approve {
        /// Name of the release, such as v1.4
        #[arg(long, value_name = "NAME")]
        release: String,
        /// Only runs with this label, such as image=sha256:…
        #[arg(long, value_name = "KEY=VALUE")]
        label: Vec<String>,
    },
    /// Show what is known of each case
    Show {
        /// Only cases whose id contains TEXT
        filter: Option<String>,
    },
    /// Compare a run with history; exit 1 when something is slower
    Diff {
        /// Journal of the run; default: the newest in `runs`
        run: Option<PathBuf>,
    },
    /// Name the runs at which a metric moved
    History {
        /// Only cases whose id contains TEXT
        filter: Option<String>,
    },
    /// Remove old entries; the runs of the newest release stay
    Prune {
        /// Age of the oldest entry that stays
        #[arg(long, value_name = "AGE", default_value = "90d")]
        keep: String,
    },
    /// Read everything and name what is damaged
    Verify,
}
