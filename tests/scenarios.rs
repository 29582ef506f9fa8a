//! The project's own scenarios as tests, through the harness that users put into theirs.

fn main() -> std::process::ExitCode {
    roadworthy::harness::main()
}
