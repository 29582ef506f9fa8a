//! `roadworthy phases`: scenarios and loads in the order of roadworthy.yaml, each phase a gate for the next and with reports of its own.

use super::args::{LoadArgs, PhasesArgs, ProjectArgs, ReportFiles, RunArgs};
use super::output::{self, data};
use super::{load, project, run};
use crate::options::Phase;
use crate::verdict::Exit;
use std::path::{Path, PathBuf};

pub fn main(args: &PhasesArgs) -> Exit {
    let project = match project::open(&args.common, Path::new(".")) {
        Ok(project) => project,
        Err(found) => {
            output::diagnostics(&found, output::color(args.common.color));
            return Exit::BadInput;
        }
    };
    let phases = &project.options.phases;
    if phases.is_empty() {
        output::talk("nothing ran: roadworthy.yaml has no `phases`");
        return Exit::NothingRan;
    }
    let mut exit = Exit::Pass;
    let mut lines = Vec::new();
    let mut closed: Option<&str> = None;
    for phase in phases {
        if let Some(gate) = closed {
            lines.push(format!("{}: not run, because `{gate}` did not pass", phase.name));
            continue;
        }
        data(&format!("== {}\n\n", phase.name));
        let how = one(args, phase, &project.layout.root);
        lines.push(format!("{}: {}", phase.name, how.says()));
        if !matches!(how, Exit::Pass | Exit::Warnings) && !phase.go_on {
            closed = Some(&phase.name);
        }
        exit = exit.worse(how);
        if matches!(how, Exit::Interrupted | Exit::Terminated) {
            exit = how;
            break;
        }
    }
    data(&format!("== phases\n\n{}\n", lines.join("\n")));
    exit
}

/// Runs a phase's cases, then its loads.
fn one(args: &PhasesArgs, phase: &Phase, root: &Path) -> Exit {
    let tidy: String = phase.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let paths = |told: &[String]| told.iter().map(|p| root.join(p)).collect::<Vec<PathBuf>>();
    let files = |kind: &str| {
        let file = |ending: &str| Some(args.reports.join(format!("{tidy}{kind}.{ending}")));
        ReportFiles { html: file("html"), junit: file("xml"), json: file("json"), ..ReportFiles::default() }
    };
    let both = !phase.run.is_empty() && !phase.load.is_empty();
    let mut exit = Exit::Pass;
    if !phase.run.is_empty() {
        exit = run::main(&RunArgs {
            project: ProjectArgs { paths: paths(&phase.run), common: args.common.clone() },
            filters: phase.filter.clone(),
            files: files(if both { "-cases" } else { "" }),
            label: args.label.clone(),
            ..RunArgs::default()
        });
    }
    let gate = matches!(exit, Exit::Pass | Exit::Warnings) || phase.go_on;
    if !phase.load.is_empty() && gate {
        exit = exit.worse(load::main(&LoadArgs {
            project: ProjectArgs { paths: paths(&phase.load), common: args.common.clone() },
            filters: phase.filter.clone(),
            files: files(if both { "-loads" } else { "" }),
            label: args.label.clone(),
            ..LoadArgs::default()
        }));
    }
    exit
}
