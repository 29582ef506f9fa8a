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
        let mut warnings: Vec<_> = scenarios.iter().flat_map(lint::scenario).collect();
        warnings.extend(lint::suite(&scenarios));
        warnings.extend(lint::environment(&project.options.environment, &project.options.production));
        Ok((scenarios.len(), planned.len(), warnings))
    });
    match checked {
        Err(found) => {
            output::diagnostics(&found, color);
            Exit::BadInput
        }
        Ok((_, 0, _)) => {
            output::talk("nothing to check: no scenario was found");
            Exit::NothingRan
        }
        Ok((files, cases, warnings)) => {
            output::diagnostics(&warnings, color);
            output::data(&format!(
                "{files} file{}, {cases} case{}: no mistakes\n",
                if files == 1 { "" } else { "s" },
                if cases == 1 { "" } else { "s" }
            ));
            Exit::Pass
        }
    }
}
