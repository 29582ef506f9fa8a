//! `compare`: what changed in answers between two records: verdicts, key facts, fields, texts and times.

use super::args::CompareArgs;
use super::output::{self, data, talk};
use crate::compare::compare;
use crate::report::versus;
use crate::verdict::Exit;

pub fn main(args: &CompareArgs) -> Exit {
    let read = |path| crate::journal::read(path).map_err(|why| talk(&format!("error: {why}")));
    let (Ok(a), Ok(b)) = (read(&args.a), read(&args.b)) else { return Exit::BadInput };
    let compared = compare(&a, &b);
    if compared.both == 0 {
        talk("error: the two records have no case in common");
        return Exit::NothingRan;
    }
    data(&crate::redact::harmless(&compared.text));
    // Another wording with the same facts is no difference worth failing for, unless asked.
    let exit = if compared.facts > 0 || args.strict && compared.texts > 0 { Exit::Failed } else { Exit::Pass };
    exit.worse(output::written(args.html.as_deref(), || versus::render([&[a], &[b]], Some(&compared), &[])))
}
