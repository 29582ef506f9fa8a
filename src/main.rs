//! The `roadworthy` command.

use std::process::ExitCode;

#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    roadworthy::cli::main(std::env::args_os()).into()
}
