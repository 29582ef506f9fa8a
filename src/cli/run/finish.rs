//! The end of a run, by itself or by a signal: the summary, the reports, what CI reads, golden answers.

use crate::cli::args::ReportFiles;
use crate::cli::output::{self, data, talk};
use crate::cli::project::Project;
use crate::event::{Event, fold};
use crate::expect::{Check, Of};
use crate::journal::Journal;
use crate::options::Options;
use crate::plan::Planned;
use crate::record::{RunEnd, RunRecord};
use crate::redact::Redactor;
use crate::report::{self, Publish, terminal};
use crate::run::Engine;
use crate::verdict::{self, Exit, Policy};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Stores the answers of cases that expect a golden one, and tells what was stored.
pub(super) struct Golden {
    pub(super) wanted: Vec<Wanted>,
}

/// One golden expectation: which answer of which case is stored where.
#[derive(PartialEq)]
pub(super) struct Wanted {
    id: String,
    version: Option<String>,
    /// From 0.
    turn: usize,
    of: Of,
    path: PathBuf,
}

impl Wanted {
    /// The text that was judged, when it came whole.
    fn text<'a>(&self, record: &'a RunRecord) -> Option<&'a str> {
        let case = record.cases.iter().find(|c| c.id == self.id)?;
        let trial = case.attempts.last()?.trials.iter().find(|t| t.variant == self.version)?;
        let turn = if let Of::Turn(n) = self.of { n.checked_sub(1)? } else { self.turn };
        let exchange = &trial.turns.get(turn)?.exchange;
        let text = if self.of == Of::Reasoning { &exchange.reasoning } else { &exchange.answer };
        Some(text.as_str()).filter(|text| exchange.failure.is_none() && !text.trim().is_empty())
    }
}

impl Golden {
    pub(super) fn of(cases: &[Planned], project: &Project) -> Golden {
        let mut wanted = Vec::new();
        for case in cases {
            let scenario = project.layout.root.join(&case.file);
            let folder = scenario.parent().unwrap_or(&project.layout.root);
            for version in &case.versions {
                for (turn, expectation) in version.turns.iter().enumerate().flat_map(|(i, t)| t.expect.iter().map(move |e| (i, e))) {
                    if let Check::Golden { file, .. } = &expectation.check {
                        let (of, path) = (expectation.of.clone(), folder.join(file));
                        wanted.push(Wanted { id: case.id.clone(), version: version.label.clone(), turn, of, path });
                    }
                }
            }
        }
        wanted.dedup();
        Golden { wanted }
    }

    pub(super) fn accept(&self, record: &RunRecord) -> Exit {
        let mut exit = Exit::Pass;
        for wanted in &self.wanted {
            let (id, path) = (&wanted.id, &wanted.path);
            if let Of::Json(at) = &wanted.of {
                talk(&format!("not stored: {id} compares the value at {at}; store that by hand"));
                continue;
            }
            let Some(text) = wanted.text(record) else {
                talk(&format!("not stored: {id} has no complete answer"));
                continue;
            };
            if crate::redact::personal::masked(text).is_some() {
                talk(&format!(
                    "not stored: the answer of {id} held personal data, and the record keeps it only with `record: {{ personal_data: keep }}`"
                ));
                continue;
            }
            match output::write_file(path, text) {
                Ok(()) => talk(&format!("stored {}; review it with `git diff` before you commit it", path.display())),
                Err(why) => {
                    talk(&format!("error: {why}"));
                    exit = Exit::NotWritten;
                }
            }
        }
        exit
    }
}

/// What the end of a run needs, whether it ends by itself or by a signal.
pub(super) struct Finish {
    pub(super) engine: Arc<Engine>,
    pub(super) journal: Arc<Journal>,
    pub(super) events: Arc<Mutex<Vec<Event>>>,
    pub(super) reports: Reports,
    pub(super) policy: Policy,
    pub(super) filtered_out: u64,
    pub(super) redactor: Redactor,
    pub(super) style: terminal::Style,
    /// Under an outer test runner the summary would be one per case.
    pub(super) show_summary: bool,
    /// With `--compare-with`: the other service's name, and the ratio of times that is fine.
    pub(super) compared: Option<(String, f64)>,
    /// Set with `--accept`.
    pub(super) golden: Option<Golden>,
    pub(super) done: Mutex<bool>,
}

/// Files to write.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reports {
    files: Vec<(report::Format, PathBuf)>,
    language: Option<&'static str>,
}

impl Reports {
    /// Those of the command line, else of the configuration.
    pub(crate) fn of(options: Option<&Options>, root: &Path, told: &ReportFiles) -> Reports {
        let configured = |format: report::Format| options.and_then(|o| o.reports.get(format.word())).map(|p| root.join(p));
        let file = |format: report::Format| Some((format, told.of(format).cloned().or_else(|| configured(format))?));
        let files = report::Format::ALL.into_iter().filter_map(file).collect();
        Reports { files, language: told.lang.map(crate::cli::args::Language::code) }
    }

    /// Writes them; every failure is told, none stops the others.
    pub(crate) fn write(&self, record: &RunRecord, redactor: &Redactor) -> Exit {
        let mut exit = Exit::Pass;
        let publish =
            Publish { link: evidence_link().map(|link| redactor.clean(&link)), attachment: self.attachment(), language: self.language };
        // Washed before it is rendered: a secret of digits is no number of what programs read.
        let washed = (redactor.knows_any() && !self.files.is_empty()).then(|| wash(record, redactor)).flatten();
        for (format, path) in &self.files {
            let rendered = match &washed {
                Some(washed) if *format == report::Format::Markdown => format.render(washed, &publish).map(|text| redactor.clean(&text)),
                Some(washed) => format.render(washed, &publish),
                None => format.render(record, &publish).map(|text| redactor.clean(&text)),
            };
            let written = rendered.and_then(|text| output::write_file(path, text));
            if let Err(why) = written {
                talk(&format!("error: {why}"));
                exit = Exit::NotWritten;
            }
        }
        exit
    }
}

/// The record without its secrets, where it holds any.
fn wash(record: &RunRecord, redactor: &Redactor) -> Option<RunRecord> {
    let mut text = serde_json::to_string(record).ok()?;
    redactor.wash_json(&mut text).then(|| serde_json::from_str(&text).ok()).flatten()
}

impl Reports {
    /// The page as GitLab's JUnit reader finds it among the artifacts: by its path from the project's folder.
    fn attachment(&self) -> Option<String> {
        let root = std::env::var_os("CI_PROJECT_DIR").filter(|_| std::env::var_os("GITLAB_CI").is_some())?;
        let (_, page) = self.files.iter().find(|(format, _)| *format == report::Format::Html)?;
        let page = std::path::absolute(page).ok()?;
        page.strip_prefix(std::path::absolute(root).ok()?).ok()?.to_str().map(str::to_owned)
    }
}

/// Where CI publishes the report: told, or the page of the run.
fn evidence_link() -> Option<String> {
    let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    var("ROADWORTHY_REPORT_URL")
        .or_else(|| {
            let (server, repository, run) = (var("GITHUB_SERVER_URL")?, var("GITHUB_REPOSITORY")?, var("GITHUB_RUN_ID")?);
            Some(format!("{server}/{repository}/actions/runs/{run}"))
        })
        .or_else(|| Some(format!("{}/artifacts/browse", var("CI_JOB_URL")?)))
}

/// GitHub reads annotations from the output, and a summary and outputs from files it names.
pub(in crate::cli) fn tell_github(record: &RunRecord, redactor: &Redactor) -> Exit {
    if std::env::var("GITHUB_ACTIONS").as_deref() != Ok("true") {
        return Exit::Pass;
    }
    data(&redactor.clean(&report::ci::annotations(record)));
    let summary = report::markdown::render(record, evidence_link().as_deref());
    let mut exit = Exit::Pass;
    for (variable, text) in [("GITHUB_STEP_SUMMARY", summary), ("GITHUB_OUTPUT", report::ci::dotenv(record, "").to_lowercase())] {
        let Some(path) = std::env::var_os(variable).filter(|v| !v.is_empty()) else { continue };
        if let Err(why) = output::append_file(Path::new(&path), &redactor.clean(&text)) {
            talk(&format!("error: {why}"));
            exit = Exit::NotWritten;
        }
    }
    exit
}

impl Finish {
    /// Folds what happened, shows and writes it. The second caller gets nothing to do.
    pub(super) fn finish(&self, interrupted: Option<&str>) -> Option<Exit> {
        let mut done = self.done.lock().expect("no panic under this lock");
        if std::mem::replace(&mut *done, true) {
            return None;
        }
        let stopped = interrupted.map(str::to_owned).or_else(|| self.engine.why_stopped());
        if let Some((name, limit)) = &self.compared {
            let so_far = fold(self.events.lock().expect("no panic under this lock").clone());
            if let Some(case) = crate::compare::beside::judge(&so_far, name, *limit) {
                self.engine.emit(Event::CaseFinished(Box::new(case)));
            }
        }
        self.engine.emit(Event::RunFinished(RunEnd { took: self.engine.elapsed(), filtered_out: self.filtered_out, stopped }));
        let record = fold(std::mem::take(&mut *self.events.lock().expect("no panic under this lock")));
        let mut exit = verdict::exit(&record, self.policy);
        if record.header.shard.is_some() && record.cases.is_empty() {
            exit = Exit::Pass;
        }
        if self.show_summary {
            data(&self.redactor.clean(&terminal::summary(&record, self.style)));
        }
        exit = exit.worse(self.reports.write(&record, &self.redactor));
        if self.show_summary {
            exit = exit.worse(tell_github(&record, &self.redactor));
        }
        if let (Some(golden), None) = (&self.golden, interrupted) {
            exit = exit.worse(golden.accept(&record));
        }
        if !output::is_heard() {
            talk("error: standard output cannot be written");
            exit = exit.worse(Exit::NotWritten);
        }
        match self.journal.failure() {
            Some(why) => {
                talk(&format!("error: the record {} is incomplete: {why}", self.journal.path.display()));
                exit = exit.worse(Exit::NotWritten);
            }
            None if self.show_summary => {
                let path = &self.journal.path;
                let shown = std::env::current_dir().ok().and_then(|d| path.strip_prefix(d).ok()).unwrap_or(path);
                talk(&format!("record: {}", shown.display()));
            }
            None => {}
        }
        // The process ends next, and to take a record of ten thousand cases apart takes a tenth of a second.
        std::mem::forget(record);
        Some(exit)
    }
}

/// On SIGINT or SIGTERM: tells what has finished and ends the process at once.
pub(super) async fn end_on_signal(finish: Arc<Finish>) {
    #[cfg(unix)]
    use tokio::signal::unix::{SignalKind, signal};
    #[cfg(unix)]
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else { return };
    #[cfg(unix)]
    let (name, exit) = tokio::select! {
        _ = interrupt.recv() => ("interrupted (SIGINT)", Exit::Interrupted),
        _ = terminate.recv() => ("ended by SIGTERM", Exit::Terminated),
    };
    #[cfg(not(unix))]
    let (name, exit) = {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        ("interrupted", Exit::Interrupted)
    };
    // Whoever asks again does not want to wait for reports.
    #[cfg(unix)]
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        std::process::exit(exit as i32);
    });
    finish.engine.stop(name);
    data("\n");
    if finish.finish(Some(name)).is_some() {
        crate::cli::stdout::direct();
        std::process::exit(exit as i32);
    }
}
