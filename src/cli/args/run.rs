//! Flags of `run` and `phases`.

use super::{CommonArgs, Format, ProjectArgs, ReportFiles};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args, Clone, Default)]
pub struct RunArgs {
    #[command(flatten)]
    pub project: ProjectArgs,

    /// Only cases whose id contains TEXT; may be given more than once
    #[arg(short = 'k', long = "filter", value_name = "TEXT", help_heading = "Selection")]
    pub filters: Vec<String>,
    /// Filters are whole ids
    #[arg(long, help_heading = "Selection")]
    pub exact: bool,
    /// Leave out cases whose id contains TEXT
    #[arg(long, value_name = "TEXT", help_heading = "Selection")]
    pub skip: Vec<String>,
    /// Only cases with this tag; may be given more than once
    #[arg(long, value_name = "TAG", help_heading = "Selection")]
    pub tag: Vec<String>,
    /// Only this layer: unit, integration or scenario
    #[arg(long, value_name = "LAYER", help_heading = "Selection", value_parser = ["unit", "integration", "scenario"])]
    pub layer: Vec<String>,
    /// Only what failed or could not be judged when it last ran (30 runs back), and what the last run did not reach
    #[arg(long, help_heading = "Selection")]
    pub failed: bool,
    /// Only one part of the cases, such as 2/5; `auto` reads GitLab, Kubernetes or Slurm. The same case is always in the same part
    #[arg(long, value_name = "I/N", help_heading = "Selection")]
    pub shard: Option<String>,
    /// With --shard: parts that take about as long as each other, by the durations of this record
    #[arg(long, value_name = "RUN", requires = "shard", help_heading = "Selection")]
    pub balance: Option<PathBuf>,
    /// List the cases and stop
    #[arg(long, help_heading = "Selection")]
    pub list: bool,

    /// Show what would be sent, and the number of requests and tokens; send nothing
    #[arg(long, help_heading = "Running")]
    pub dry_run: bool,
    /// Store the answers of this run as golden ones, where an expectation asks for them
    #[arg(long, help_heading = "Running")]
    pub accept: bool,
    /// Send every trial to this target or address, too, in turns, and judge the ratio of times
    #[arg(long, value_name = "NAME|URL", help_heading = "Running")]
    pub compare_with: Option<String>,
    /// With --compare-with: times up to this ratio are fine
    #[arg(long, value_name = "RATIO", default_value_t = 1.1, help_heading = "Running")]
    pub compare_limit: f64,
    /// Start no further case after the first failure
    #[arg(long, help_heading = "Running")]
    pub fail_fast: bool,
    /// Cases at once; default: the concurrency of the targets
    #[arg(long, value_name = "N", help_heading = "Running", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub test_threads: Option<usize>,
    /// Send at most N requests
    #[arg(long, value_name = "N", help_heading = "Running")]
    pub max_requests: Option<u64>,
    /// Use at most N tokens, as the service counts them
    #[arg(long, value_name = "N", help_heading = "Running")]
    pub max_tokens_total: Option<u64>,
    /// Base of the seeds of repeated trials
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Running")]
    pub seed: u64,

    /// Verdicts that fail the run beside fail and error: flaky, inconclusive
    #[arg(long, value_name = "VERDICT", value_delimiter = ',', help_heading = "Verdict", value_parser = ["flaky", "inconclusive", "fail", "error"])]
    pub fail_on: Vec<String>,
    /// Exit with 10 instead of 0 when something was flaky or inconclusive
    #[arg(long, help_heading = "Verdict")]
    pub warnings_exit_10: bool,

    #[command(flatten)]
    pub files: ReportFiles,
    /// Folder of the journals; default: runs
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// A fact about this run to keep in its record, such as image=sha256:…
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Output")]
    pub label: Vec<String>,
    /// Form of the case lines
    #[arg(long, value_enum, default_value_t = Format::Pretty, help_heading = "Output")]
    pub format: Format,
    /// One character per case
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// Tell every conversation and how each expectation was judged, of passing cases, too
    #[arg(short, long, help_heading = "Output", conflicts_with = "quiet")]
    pub verbose: bool,
}

#[derive(Debug, Args, Clone, Default)]
pub struct PhasesArgs {
    /// Folder of the reports, a page, a JUnit file and a record for each phase
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,
    /// A fact about this run to keep in its records, such as image=sha256:…
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    #[command(flatten)]
    pub common: CommonArgs,
}
