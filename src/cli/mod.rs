//! The command line: arguments become one call into the library, files, and an exit code. Holds no rules.

pub(crate) mod args;
mod baseline;
mod check;
mod compare;
mod config;
mod drift;
mod explain;
mod history;
mod import;
mod init;
mod layout;
mod load;
mod merge;
mod models;
mod output;
mod phases;
mod progress;
pub(crate) mod project;
mod report;
pub(crate) mod run;
mod schema;
mod sim;
mod stdout;

use crate::verdict::Exit;
use clap::{CommandFactory, Parser};
use std::ffi::OsString;

/// Runs the command line and gives back how the process should end.
pub fn main(arguments: impl Iterator<Item = OsString>) -> Exit {
    let cli = match args::Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version come this way, too, and are no mistakes.
            let _ = e.print();
            return if e.use_stderr() { Exit::BadInput } else { Exit::Pass };
        }
    };
    match cli.command {
        args::Command::Run(args) => run::main(&args),
        args::Command::Load(args) => load::main(&args),
        args::Command::Phases(args) => phases::main(&args),
        args::Command::Check(args) => check::main(&args),
        args::Command::Report(args) => report::report(&args),
        args::Command::Replay(args) => report::replay(&args),
        args::Command::Sim(args) => sim::main(&args),
        args::Command::Baseline(args) => baseline::main(&args),
        args::Command::Merge(args) => merge::main(&args),
        args::Command::Compare(args) => compare::main(&args),
        args::Command::Explain(args) => explain::main(&args),
        args::Command::Drift(args) => drift::main(&args),
        args::Command::Models(args) => models::main(&args),
        args::Command::History(args) => history::main(&args),
        args::Command::Import(args) => import::main(&args),
        args::Command::Init(args) => init::main(&args),
        args::Command::Schema(args) => schema::main(&args),
        args::Command::Config(args) => config::main(&args),
        args::Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut args::Cli::command(), "roadworthy", &mut text);
            output::data(&String::from_utf8_lossy(&text));
            Exit::Pass
        }
        args::Command::Man { command } => {
            let mut text = Vec::new();
            let mut all = args::Cli::command();
            all.build();
            let page = match command {
                None => all,
                Some(name) => match all.find_subcommand(&name) {
                    Some(found) => found.clone(),
                    None => {
                        output::talk(&format!("error: there is no command `{name}`; `roadworthy --help` lists them"));
                        return Exit::BadInput;
                    }
                },
            };
            let rendered = clap_mangen::Man::new(page).render(&mut text);
            output::data(&String::from_utf8_lossy(&text));
            if rendered.is_ok() { Exit::Pass } else { Exit::NotWritten }
        }
    }
}
