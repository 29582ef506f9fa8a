//! `roadworthy schema`.

use super::args::{SchemaArgs, SchemaKind};
use crate::scenario::schema::{About, schema};
use crate::verdict::Exit;

pub fn main(args: &SchemaArgs) -> Exit {
    let about = match args.kind {
        SchemaKind::Scenario => About::Scenario,
        SchemaKind::Config => About::Config,
        SchemaKind::Sim => About::Simulation,
    };
    super::output::data(&(serde_json::to_string_pretty(&schema(about)).unwrap_or_default() + "\n"));
    Exit::Pass
}
