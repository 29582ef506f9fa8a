//! `roadworthy init`: a first scenario, a configuration and CI files. Never writes over anything.

use super::args::InitArgs;
use super::output::{data, talk, write_file};
use crate::verdict::Exit;

/// What is written, by path.
const FILES: &[(&str, &str)] = &[
    ("roadworthy.yaml", include_str!("init/roadworthy.yaml")),
    ("scenarios/first.yaml", include_str!("init/first.yaml")),
    ("scenarios/demo.sim.yaml", include_str!("init/demo.sim.yaml")),
    (".gitignore", "# Journals hold prompts and answers.\nruns/\nout/\n"),
    (".github/workflows/roadworthy.yml", include_str!("init/github.yml")),
    (".gitlab/roadworthy.yml", include_str!("init/gitlab.yml")),
];

pub fn main(args: &InitArgs) -> Exit {
    let mut exit = Exit::Pass;
    for (name, text) in FILES {
        let path = args.dir.join(name);
        if path.exists() {
            data(&format!("kept     {name} (it was there already)\n"));
            continue;
        }
        match write_file(&path, text) {
            Ok(()) => data(&format!("written  {name}\n")),
            Err(why) => {
                talk(&format!("error: {why}"));
                exit = Exit::NotWritten;
            }
        }
    }
    if exit == Exit::Pass {
        data("\nnext: `roadworthy run` judges the simulated service; `roadworthy run --base-url http://127.0.0.1:8000/v1` judges yours\n");
    }
    exit
}
