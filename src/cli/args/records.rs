//! Flags of the commands that work on records of runs.

use super::files::file;
use super::{Color, CommonArgs, ProjectArgs, ReportFiles};
use clap::Args;
use std::path::PathBuf;

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
