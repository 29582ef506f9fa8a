//! Decides verdicts and exit codes. Pure: evidence in, word out.

pub mod rate;
pub mod transport;

use crate::exchange::Exchange;
use crate::finding::Finding;
use crate::record::{RunRecord, Verdict};

/// The verdict of one conversation, from all its findings. A service that could not be reached outranks
/// what its absent answer failed to say.
pub fn of_trial<'a>(exchanges: impl IntoIterator<Item = &'a Exchange>, findings: impl IntoIterator<Item = &'a Finding>) -> Verdict {
    let mut worst = Verdict::Pass;
    for finding in findings {
        worst = worst.max(finding.outcome.into());
    }
    let unreachable = exchanges.into_iter().filter_map(transport::blame).any(|v| v == Verdict::Error);
    if unreachable && worst != Verdict::Pass { Verdict::Error } else { worst }
}

/// Which verdicts beyond `fail` and `error` make the run fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    pub fail_on_flaky: bool,
    pub fail_on_inconclusive: bool,
    /// Exit 10 instead of 0 when something was flaky or inconclusive.
    pub warnings_exit_10: bool,
}

impl Policy {
    /// Of the verdicts that fail a run beside `fail` and `error`, by their words.
    pub fn of(fail_on: &[String]) -> Policy {
        let has = |word: &str| fail_on.iter().any(|w| w == word);
        Policy { fail_on_flaky: has("flaky"), fail_on_inconclusive: has("inconclusive"), warnings_exit_10: false }
    }

    /// Those words.
    pub fn fail_on(self) -> Vec<String> {
        let words = [(self.fail_on_flaky, "flaky"), (self.fail_on_inconclusive, "inconclusive")];
        words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word.to_owned()).collect()
    }
}

/// How the process ends. Every code has one meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything met its bar; flaky and inconclusive count as warnings.
    Pass = 0,
    /// The gate failed: the service was reached and does not meet a bar.
    Failed = 1,
    /// The command line, configuration or a scenario file is wrong; nothing was sent.
    BadInput = 2,
    /// Something could not be judged.
    CouldNotJudge = 3,
    /// Nothing ran, or a case was inconclusive under the policy `fail`.
    NothingRan = 4,
    /// The baseline changed underneath.
    Conflict = 5,
    /// A report or record could not be written.
    NotWritten = 6,
    /// Passed with warnings, only with `--warnings-exit-10`.
    Warnings = 10,
    /// Interrupted (SIGINT); what had finished is reported.
    Interrupted = 130,
    /// Ended by SIGTERM; what had finished is reported.
    Terminated = 143,
}

impl Exit {
    /// The worse of two codes: 2, 1, 3, 5, 6, 4, 10, 0. Interruption outranks all, because what was not run is unknown.
    pub fn worse(self, other: Exit) -> Exit {
        let rank = |e: Exit| match e {
            Exit::Terminated => 0,
            Exit::Interrupted => 1,
            Exit::BadInput => 2,
            Exit::Failed => 3,
            Exit::CouldNotJudge => 4,
            Exit::Conflict => 5,
            Exit::NotWritten => 6,
            Exit::NothingRan => 7,
            Exit::Warnings => 8,
            Exit::Pass => 9,
        };
        if rank(self) <= rank(other) { self } else { other }
    }
}

impl Exit {
    /// For a line of a summary.
    pub fn says(self) -> &'static str {
        match self {
            Exit::Pass => "pass",
            Exit::Failed => "failed",
            Exit::BadInput => "wrong input",
            Exit::CouldNotJudge => "could not be judged",
            Exit::NothingRan => "nothing ran",
            Exit::Conflict => "the baseline changed underneath",
            Exit::NotWritten => "a report could not be written",
            Exit::Warnings => "pass with warnings",
            Exit::Interrupted => "interrupted",
            Exit::Terminated => "ended by a signal",
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        (exit as u8).into()
    }
}

/// The exit code a record deserves under a policy.
pub fn exit(record: &RunRecord, policy: Policy) -> Exit {
    let mut code = if record.judged().next().is_none() { Exit::NothingRan } else { Exit::Pass };
    // What a run that was cut off would have found is not known.
    if record.end.as_ref().is_none_or(|end| end.stopped.is_some()) {
        code = code.worse(Exit::CouldNotJudge);
    }
    for case in record.judged() {
        code = code.worse(match case.verdict {
            Verdict::Pass => Exit::Pass,
            Verdict::Flaky if policy.fail_on_flaky => Exit::Failed,
            Verdict::Inconclusive if policy.fail_on_inconclusive => Exit::NothingRan,
            Verdict::Flaky | Verdict::Inconclusive if policy.warnings_exit_10 => Exit::Warnings,
            Verdict::Flaky | Verdict::Inconclusive => Exit::Pass,
            Verdict::Fail => Exit::Failed,
            Verdict::Error => Exit::CouldNotJudge,
        });
    }
    code
}

/// True when the verdict shows as `FAILED` in libtest's output.
pub fn is_failure(verdict: Verdict, policy: Policy) -> bool {
    match verdict {
        Verdict::Pass => false,
        Verdict::Flaky => policy.fail_on_flaky,
        Verdict::Inconclusive => policy.fail_on_inconclusive,
        Verdict::Fail | Verdict::Error => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worst_code_wins_in_the_documented_order() {
        let order = [
            Exit::BadInput,
            Exit::Failed,
            Exit::CouldNotJudge,
            Exit::Conflict,
            Exit::NotWritten,
            Exit::NothingRan,
            Exit::Warnings,
            Exit::Pass,
        ];
        for (i, a) in order.iter().enumerate() {
            for b in &order[i..] {
                assert_eq!(a.worse(*b), *a);
                assert_eq!(b.worse(*a), *a);
            }
        }
    }

    #[test]
    fn an_empty_run_is_not_a_pass() {
        let ended = RunRecord { end: Some(Default::default()), ..RunRecord::default() };
        assert_eq!(exit(&ended, Policy::default()), Exit::NothingRan);
        assert_eq!(exit(&RunRecord::default(), Policy::default()), Exit::CouldNotJudge);
    }
}
