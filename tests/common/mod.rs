//! The tool as a stranger's machine would run it.

use std::process::Command;

/// The binary under test, without what the CI, the test runner or the machine have set for themselves.
pub fn roadworthy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roadworthy"));
    let foreign = |name: &str| {
        ["ROADWORTHY_", "NEXTEST", "GITHUB_", "CI_", "AWS_"].iter().any(|prefix| name.starts_with(prefix))
            || matches!(name, "CI" | "GITLAB_CI")
            || name.to_lowercase().ends_with("_proxy")
    };
    for name in std::env::vars().map(|(name, _)| name).filter(|name| foreign(name)) {
        command.env_remove(name);
    }
    command
}
