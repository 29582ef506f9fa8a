//! `roadworthy import`: published lists of prompts become scenarios.

use super::args::{ImportArgs, ImportCommand};
use super::output;
use crate::scenario::import;
use crate::verdict::Exit;
use std::path::Path;

pub fn main(args: &ImportArgs) -> Exit {
    let ImportCommand::Prompts { file, to } = &args.command;
    match prompts(file, to) {
        Ok(text) => {
            output::data(&text);
            Exit::Pass
        }
        Err((exit, why)) => {
            output::talk(&format!("error: {why}"));
            exit
        }
    }
}

fn prompts(file: &Path, to: &Path) -> Result<String, (Exit, String)> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|e| (Exit::BadInput, format!("{shown} cannot be read: {e}")))?;
    let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = stem.chars().map(|c| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { '-' }).collect();
    let data = format!("{name}.jsonl");
    let got = import::prompts(&file.to_string_lossy(), &text, &name, &data).map_err(|why| (Exit::BadInput, format!("{shown}: {why}")))?;
    let scenario = to.join(format!("{name}.yaml"));
    for (path, text) in [(to.join(&data), &got.rows), (scenario.clone(), &got.scenario)] {
        if path.exists() {
            return Err((Exit::BadInput, format!("{} is there already; move it away or choose another folder with --to", path.display())));
        }
        output::write_file(&path, text).map_err(|why| (Exit::NotWritten, why))?;
    }
    Ok(format!("{} prompts in {}; try them with `roadworthy run {}`\n", got.count, scenario.display(), scenario.display()))
}
