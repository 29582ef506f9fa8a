//! `drift`: whether the answers of many runs have moved.

use super::args::DriftArgs;
use super::output::{self, data, talk};
use super::{merge, models, project};
use crate::compare::drift::{Embed, Moved, drift};
use crate::record::RunRecord;
use crate::report::versus;
use crate::verdict::Exit;
use std::path::{Path, PathBuf};

pub fn main(args: &DriftArgs) -> Exit {
    match judge(args) {
        Ok(exit) => exit,
        Err((exit, why)) => {
            talk(&format!("error: {why}"));
            exit
        }
    }
}

fn judge(args: &DriftArgs) -> Result<Exit, (Exit, String)> {
    let records = |path: &PathBuf| -> Result<Vec<RunRecord>, (Exit, String)> {
        let paths = merge::journals(std::slice::from_ref(path)).map_err(|why| (Exit::BadInput, why))?;
        paths.iter().map(|p| crate::journal::read(p)).collect::<Result<_, _>>().map_err(|why| (Exit::BadInput, why))
    };
    let (reference, present) = (records(&args.reference)?, records(&args.present)?);
    let encoder = match args.vectors {
        false => None,
        true => {
            let project = project::open(&args.common, Path::new("."))
                .map_err(|found| (Exit::BadInput, found.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; ")))?;
            Some(models::of_project(&project).map_err(|why| (Exit::CouldNotJudge, why))?)
        }
    };
    let embed = encoder.as_ref().map(|e| move |text: &str| e.embed(text));
    let moved = drift(&reference, &present, embed.as_ref().map(|e| e as Embed<'_>)).map_err(|why| (Exit::CouldNotJudge, why))?;
    if moved.is_empty() {
        return Err((Exit::NothingRan, "the two sides have no case with the same prompt in common, or too few answers".into()));
    }
    data(&told(&moved));
    let exit = if moved.iter().any(|m| m.drifted) { Exit::Failed } else { Exit::Pass };
    let json = || serde_json::to_string_pretty(&moved).unwrap_or_default() + "\n";
    let page = || versus::render([&reference, &present], None, &moved);
    Ok(exit.worse(output::written(args.json.as_deref(), json)).worse(output::written(args.html.as_deref(), page)))
}

fn told(moved: &[Moved]) -> String {
    let mut text = String::new();
    for one in moved {
        let word = if one.drifted { "moved" } else { "steady" };
        text.push_str(&format!("{word:<7} {:<8} {} and {} answers: {}\n", one.what, one.n[0], one.n[1], one.why));
    }
    let n = moved.iter().filter(|m| m.drifted).count();
    text + &format!("{n} of {} figures moved\n", moved.len())
}
