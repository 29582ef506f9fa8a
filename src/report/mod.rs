//! Views of a record, one file per format. Pure: a record in, text out.

pub mod ci;
pub mod explain;
pub mod history;
pub mod html;
pub mod json;
pub mod junit;
mod latency;
pub mod load;
pub mod markdown;
pub mod terminal;
mod transcript;
pub mod versus;

use crate::record::RunRecord;

/// The formats that are written to files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Junit,
    Json,
    Html,
    Markdown,
    Ctrf,
    CodeQuality,
    Metrics,
    Dotenv,
}

/// Where readers of one report find the others.
#[derive(Debug, Clone, Default)]
pub struct Publish {
    /// Address of the page with the evidence.
    pub link: Option<String>,
    /// The page as an attachment of JUnit cases.
    pub attachment: Option<String>,
    /// Of the page; without it, the browser's.
    pub language: Option<&'static str>,
}

impl Format {
    pub const ALL: [Format; 8] =
        [Format::Junit, Format::Json, Format::Html, Format::Markdown, Format::Ctrf, Format::CodeQuality, Format::Metrics, Format::Dotenv];

    /// The key under `reports:`, and the flag with dashes.
    pub fn word(self) -> &'static str {
        match self {
            Format::Junit => "junit",
            Format::Json => "json",
            Format::Html => "html",
            Format::Markdown => "markdown",
            Format::Ctrf => "ctrf",
            Format::CodeQuality => "code_quality",
            Format::Metrics => "metrics",
            Format::Dotenv => "dotenv",
        }
    }

    /// Renders a record. `evidence` is where the whole report is published, if it is.
    pub fn render(self, record: &RunRecord, publish: &Publish) -> Result<String, String> {
        match self {
            Format::Junit => junit::render(record, publish.attachment.as_deref()),
            Format::Json => Ok(json::render(record)),
            Format::Html => html::render(record, publish.language),
            Format::Markdown => Ok(markdown::render(record, publish.link.as_deref())),
            Format::Ctrf => Ok(ci::ctrf(record)),
            Format::CodeQuality => Ok(ci::code_quality(record)),
            Format::Metrics => Ok(ci::metrics(record)),
            Format::Dotenv => Ok(ci::dotenv(record, "ROADWORTHY_")),
        }
    }
}

/// Which services were judged, a line each: the address, or that it is simulated, and the model that was asked.
fn judged_services(record: &crate::record::RunRecord) -> Vec<String> {
    let used: std::collections::BTreeSet<&str> = record.judged().filter(|c| !c.is_suite()).map(|c| c.target.as_str()).collect();
    let asked = |name: &str| -> Option<String> {
        let exchange = record.judged().filter(|c| c.target == name).flat_map(|c| c.exchanges()).find(|e| !e.request.0.is_empty())?;
        let body: serde_json::Value = serde_json::from_str(&exchange.request.0).ok()?;
        body["model"].as_str().map(str::to_owned)
    };
    let line = |name: &&str| {
        let target = record.header.targets.get(*name)?;
        let model = target.model.clone().or_else(|| asked(name));
        let model = model.filter(|_| !target.address.starts_with("simulated")).map(|m| format!(", model {m}")).unwrap_or_default();
        Some(format!("target {name}: {}{model}", target.address))
    };
    used.iter().filter_map(line).take(8).collect()
}
