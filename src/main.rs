//! The `roadworthy` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    roadworthy::cli::main(std::env::args_os()).into()
}
