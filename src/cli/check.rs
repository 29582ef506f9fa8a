//! `roadworthy check`: every mistake, and what is legal but unwise.

use super::args::ProjectArgs;
use super::{output, project};
use crate::scenario::lint;
use crate::verdict::Exit;
use std::path::Path;

pub fn main(args: &ProjectArgs) -> Exit {
    let color = output::color(args.common.color);
    let checked = project::open(&args.common, Path::new(".")).and_then(|project| {
        let scenarios = project.scenarios(args)?;
        let planned = project.plan(&scenarios)?;
        let mut loads = 0;
        for scenario in &scenarios {
            loads += crate::plan::loads(scenario, &project.prefix(&scenario.source.name), 0)?.len();
        }
        let mut warnings: Vec<_> = scenarios.iter().flat_map(|s| [lint::scenario(s), lint::loads(s)].concat()).collect();
        warnings.extend(lint::suite(&scenarios));
        warnings.extend(lint::environment(&project.options.environment, &project.options.production));
        Ok((scenarios.len(), planned.len(), loads, warnings))
    });
    match checked {
        Err(found) => {
            output::diagnostics(&found, color);
            Exit::BadInput
        }
        Ok((_, 0, 0, _)) => {
            output::talk("nothing to check: no scenario was found");
            Exit::NothingRan
        }
        Ok((files, cases, loads, warnings)) => {
            output::diagnostics(&warnings, color);
            let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
            let mut parts = vec![count(files, "file"), count(cases, "case")];
            if loads > 0 {
                parts.push(count(loads, "load"));
            }
            output::data(&format!("{}: no mistakes\n", parts.join(", ")));
            Exit::Pass
        }
    }
}
