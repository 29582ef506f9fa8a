//! Flags of `load`.

use super::{ProjectArgs, ReportFiles};
use clap::Args;
use std::path::PathBuf;

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
