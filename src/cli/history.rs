//! `roadworthy history`: a static page over many records, for GitLab or GitHub Pages.

use super::args::HistoryArgs;
use super::output::{self, data, talk};
use super::{baseline, merge, project};
use crate::report;
use crate::verdict::Exit;
use std::collections::BTreeMap;
use std::path::Path;

pub fn main(args: &HistoryArgs) -> Exit {
    let project = project::open(&args.common, Path::new(".")).ok();
    let dirs = if args.runs.is_empty() {
        vec![project.as_ref().map_or_else(|| "runs".into(), |p| p.layout.root.join(&p.options.runs))]
    } else {
        args.runs.clone()
    };
    let paths = match merge::journals(&dirs) {
        Ok(paths) => paths,
        Err(why) => {
            talk(&format!("error: {why}"));
            return Exit::NothingRan;
        }
    };
    let mut records = Vec::new();
    let mut exit = Exit::Pass;
    for path in paths.iter().rev().take(args.last).rev() {
        match crate::journal::read(path) {
            Ok(record) => records.push(record),
            // One broken record should not hide the others.
            Err(why) => {
                talk(&format!("left out: {why}"));
                exit = Exit::CouldNotJudge;
            }
        }
    }
    let mut releases = BTreeMap::new();
    if let Some(project) = &project
        && let Ok(store) = baseline::store(project)
        && let Ok(known) = store.releases()
    {
        for release in known {
            if let Some(last) = release.runs.last() {
                releases.insert(last.clone(), release.release.clone());
            }
        }
    }
    let page = report::history::render(&records, &releases);
    if let Err(why) = output::write_file(&args.html, &page) {
        talk(&format!("error: {why}"));
        return Exit::NotWritten;
    }
    data(&format!("{} runs in {}\n", records.len(), args.html.display()));
    exit
}
