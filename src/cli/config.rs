//! `roadworthy config`: the merged configuration with the origin of every value.

use super::args::ProjectArgs;
use super::{output, project};
use crate::redact::{MASK, Redactor};
use crate::verdict::Exit;
use std::path::Path;

pub fn main(args: &ProjectArgs) -> Exit {
    let project = match project::open(&args.common, Path::new(".")) {
        Ok(project) => project,
        Err(found) => {
            output::diagnostics(&found, output::color(args.common.color));
            return Exit::BadInput;
        }
    };
    let redactor = Redactor::new(project.options.secrets.iter().cloned());
    let rows: Vec<(String, String, String)> = project
        .settings
        .map
        .iter()
        .map(|(key, setting)| {
            let text = setting.value.as_str().map_or_else(|| setting.value.to_string(), str::to_owned);
            let hidden = !text.is_empty() && (key.ends_with(".api_key") || key.contains(".headers."));
            (crate::options::shown(key), if hidden { MASK.to_owned() } else { redactor.clean(&text) }, setting.origin.to_string())
        })
        .collect();
    let width = |f: fn(&(String, String, String)) -> &str| rows.iter().map(|r| f(r).chars().count()).max().unwrap_or(0).min(60);
    let (a, b) = (width(|r| &r.0), width(|r| &r.1));
    for (key, value, origin) in &rows {
        output::data(&format!("{key:a$}  {value:b$}  # {origin}\n"));
    }
    for (name, lacking) in &project.options.unfilled {
        for diagnostic in lacking {
            output::data(&format!("# targets.{name} cannot be used: {}\n", diagnostic.message));
        }
    }
    Exit::Pass
}
