//! Files that a command writes beside what it shows.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

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
pub(super) fn file(told: &str) -> Result<PathBuf, String> {
    match told {
        "-" => Err("standard output belongs to what the run says; give a file, such as /dev/stderr".into()),
        told => Ok(PathBuf::from(told)),
    }
}
