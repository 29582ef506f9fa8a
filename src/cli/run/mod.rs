//! `roadworthy run`: plan, start services, hand every case to libtest-mimic, and tell what came of it.

mod finish;
mod prepare;
mod services;

pub(crate) use finish::Reports;
pub(in crate::cli) use finish::tell_github;
pub(in crate::cli) use prepare::labels;
pub(in crate::cli) use services::{connect, history, script};

use super::args::{Color, CommonArgs, Format, RunArgs};
use super::output::{self, data, talk};
use super::progress::Progress;
use crate::cli::project::Project;
use crate::event::{Event, fold};
use crate::journal::Journal;
use crate::options::Address;
use crate::plan::Planned;
use crate::record::{FORMAT, RunHeader, TargetRecord, Verdict};
use crate::redact::Redactor;
use crate::report::terminal;
use crate::run::{Engine, Terms, is_held, judge_suite, run_case};
use crate::verdict::{self, Exit, Policy};
use finish::{Finish, Golden, end_on_signal};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use prepare::{Prepared, dry_run, prepare};
use services::{Services, services};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Runs as the command line says, from the working directory.
pub fn main(args: &RunArgs) -> Exit {
    main_from(args, Path::new("."), None)
}

/// Runs the project found from `from`. `arguments` are libtest's, when a test harness has parsed them.
pub(crate) fn main_from(args: &RunArgs, from: &Path, arguments: Option<Arguments>) -> Exit {
    let color = output::color(args.project.common.color);
    match prepare(args, from) {
        Err(found) => {
            output::diagnostics(&found, color);
            Exit::BadInput
        }
        Ok(prepared) => start(args, prepared, arguments, color),
    }
}

/// Why there is no case, where no filter has left any out.
fn nothing_there(args: &RunArgs, project: &Project) -> String {
    let paths: Vec<String> = args.project.paths.iter().map(|path| path.display().to_string()).collect();
    let looked = if paths.is_empty() { project.options.scenarios.join(", ") } else { paths.join(", ") };
    let (scenarios, _) = project.layout.read(&args.project.paths);
    if scenarios.iter().any(|s| !s.loads.is_empty()) {
        return format!("{looked} holds loads and no case; `roadworthy load` runs them");
    }
    let hint = if paths.is_empty() { "; `roadworthy init` writes a first one" } else { "" };
    format!("there is no scenario in {looked}{hint}")
}

fn start(args: &RunArgs, prepared: Prepared, arguments: Option<Arguments>, color: bool) -> Exit {
    let from_harness = arguments.is_some();
    let mut arguments = arguments.unwrap_or_else(|| libtest_arguments(args, &args.project.common, color));
    // A small suite may leave a shard without cases; its empty record tells the merge that it ran.
    let empty_shard = prepared.shard.is_some() && prepared.wanted > 0;
    if prepared.cases.is_empty() && !empty_shard {
        let why = match prepared.filtered_out {
            0 => nothing_there(args, &prepared.project),
            n => format!("the filters leave none of {n} cases"),
        };
        talk(&format!("nothing ran: {why}"));
        return Exit::NothingRan;
    }
    if args.list || arguments.list {
        let trials = prepared.cases.iter().map(|c| Trial::test(line(&c.id), || Ok(()))).collect();
        arguments.list = true;
        let lines = Progress::start(0, None);
        arguments.logfile = lines.logfile().or(arguments.logfile);
        let _ = libtest_mimic::run(&arguments, trials);
        lines.finish();
        return Exit::Pass;
    }
    if args.dry_run {
        data(&redactor(args, &prepared).clean(&dry_run(&prepared)));
        return Exit::Pass;
    }
    judge(args, prepared, arguments, color, from_harness)
}

/// Knows every secret that the configuration and the command line tell.
fn redactor(args: &RunArgs, prepared: &Prepared) -> Redactor {
    let told = args.compare_with.iter().flat_map(|url| crate::options::passwords(url));
    Redactor::new(prepared.project.options.secrets.iter().cloned().chain(told))
}

/// Names are one line in libtest's output.
fn line(id: &str) -> String {
    crate::redact::harmless(id).replace('\n', "⏎")
}

fn libtest_arguments(args: &RunArgs, common: &CommonArgs, color: bool) -> Arguments {
    let mut line = vec!["roadworthy".to_owned()];
    line.push(format!(
        "--color={}",
        match common.color {
            Color::Always => "always",
            Color::Never => "never",
            Color::Auto if color => "always",
            Color::Auto => "never",
        }
    ));
    match args.format {
        Format::Pretty => {}
        Format::Terse => line.push("--format=terse".into()),
        Format::Json => line.extend(["--format=json".into(), "-Zunstable-options".into()]),
    }
    if args.quiet && args.format == Format::Pretty {
        line.push("--quiet".into());
    }
    Arguments::from_iter(line)
}

/// A run id that sorts by time; nextest's when it runs the harness, so that its processes share one record.
pub(in crate::cli) fn run_id(nextest: Option<String>) -> String {
    match nextest {
        Some(id) if id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !id.is_empty() => id,
        _ => {
            let now = jiff::Timestamp::now();
            format!("{}-{:05}", now.strftime("%Y%m%dT%H%M%S%.3fZ").to_string().replace('.', ""), std::process::id() % 100_000)
        }
    }
}

pub(in crate::cli) fn header(
    options: &crate::options::Options,
    labels: &std::collections::BTreeMap<String, String>,
    shard: Option<(u64, u64)>,
    seed: u64,
    run_id: &str,
) -> RunHeader {
    let targets = options.targets.iter().map(|(name, target)| {
        let address = match &target.address {
            Address::Url(url) => url.clone(),
            Address::Simulate(file) => format!("simulated by {file}"),
        };
        (name.clone(), TargetRecord { address, model: target.model.clone(), concurrency: target.concurrency })
    });
    RunHeader {
        format: FORMAT,
        run_id: run_id.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        seed,
        targets: targets.collect(),
        labels: labels.clone(),
        environment: options.environment.clone(),
        shard,
        fail_on: Vec::new(),
        budget: Vec::new(),
        planned: None,
        whole: None,
    }
}

fn judge(args: &RunArgs, mut prepared: Prepared, mut arguments: Arguments, color: bool, from_harness: bool) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            talk(&format!("error: the runtime cannot start: {e}"));
            return Exit::CouldNotJudge;
        }
    };
    let Services { by_target: services, meaning, mut simulated } = match services(&mut prepared, &runtime) {
        Ok(started) => started,
        Err(why) => {
            talk(&format!("error: {why}"));
            return Exit::BadInput;
        }
    };
    let beside = match args.compare_with.as_ref().map(|told| services::beside(&prepared, told, &runtime)).transpose() {
        Ok(beside) => beside,
        Err(why) => {
            talk(&format!("error: {why}"));
            return Exit::BadInput;
        }
    };
    let redactor = redactor(args, &prepared);
    let nextest = std::env::var("NEXTEST_RUN_ID").ok().filter(|_| from_harness);
    let under_nextest = nextest.is_some();
    let run_id = run_id(nextest);
    let journal = match Journal::open(&prepared.runs, &run_id, redactor.clone(), under_nextest) {
        Ok(journal) => Arc::new(journal),
        Err(e) => {
            talk(&format!("error: the record cannot be written in {}: {e}", prepared.runs.display()));
            return Exit::NotWritten;
        }
    };
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let (journal, events, redactor) = (journal.clone(), events.clone(), redactor.clone());
        let crashed = AtomicBool::new(false);
        Box::new(move |event: Event| {
            if let Event::Waiting { target, why } = &event {
                talk(&redactor.clean(&format!("waiting for target `{target}`: {why}")));
            }
            // Before everything else: what follows a crash says little.
            if let Event::CaseFinished(case) = &event
                && case.why.starts_with("service crashed")
                && !crashed.swap(true, Ordering::Relaxed)
            {
                talk(&redactor.clean(&crate::redact::harmless(&format!("{}: {}", case.id, case.why))));
            }
            journal.write(&event);
            events.lock().expect("no panic under this lock").push(event);
        })
    };
    let threads: usize = services.values().map(|s| s.target.concurrency).sum();
    let today = jiff::Zoned::now().date();
    let history = match history(&prepared.project, &prepared.cases, None) {
        Ok(history) => history,
        Err((exit, why)) => {
            talk(&format!("error: {why}"));
            return exit;
        }
    };
    let budget = prepared.budget.told();
    let terms = Terms {
        budget: prepared.budget,
        seed: args.seed,
        today,
        redactor: redactor.clone(),
        keep_personal: prepared.project.options.keep_personal,
    };
    let mut engine = Engine::new(services, terms, meaning, history, sink);
    if let Some((service, running)) = beside {
        simulated.extend(running);
        engine = engine.beside(service);
    }
    let engine = Arc::new(engine);
    let mut header = header(&prepared.project.options, &prepared.labels, prepared.shard, args.seed, &run_id);
    header.fail_on = prepared.policy.fail_on();
    header.budget = budget;
    // Under nextest each process knows of its own case only.
    header.planned = (!under_nextest).then_some(prepared.cases.len() as u64);
    header.whole.clone_from(&prepared.whole);
    engine.emit(Event::RunStarted(Box::new(header)));

    arguments.test_threads.get_or_insert(args.test_threads.unwrap_or(threads).clamp(1, 512).min(prepared.cases.len().max(1)));
    let columns = crate::cli::stdout::columns(prepared.cases.iter().map(|c| c.id.as_str()));
    let progress = Arc::new(Progress::start(if from_harness { 0 } else { prepared.cases.len() }, columns));
    if let Some(path) = progress.logfile() {
        arguments.logfile = Some(path);
    }
    let finish = Arc::new(Finish {
        engine: engine.clone(),
        journal,
        events,
        reports: if under_nextest {
            Reports::default()
        } else {
            Reports::of(Some(&prepared.project.options), &prepared.project.layout.root, &args.files)
        },
        policy: prepared.policy,
        filtered_out: prepared.filtered_out as u64,
        redactor: redactor.clone(),
        style: terminal::Style { color, evidence: false, transcript: args.verbose },
        show_summary: !under_nextest && args.format != Format::Json,
        compared: args.compare_with.clone().map(|name| (name, args.compare_limit)),
        golden: args.accept.then(|| Golden::of(&prepared.cases, &prepared.project)),
        done: Mutex::new(false),
    });
    runtime.spawn(end_on_signal(finish.clone()));

    let shared = Shared {
        engine,
        policy: prepared.policy,
        redactor,
        fail_fast: args.fail_fast,
        progress: progress.clone(),
        runtime: runtime.handle().clone(),
        told: Mutex::default(),
    };
    let shared = Arc::new(shared);
    let held: Vec<Planned> = prepared.cases.iter().filter(|c| !under_nextest && is_held(c)).cloned().collect();
    let trials: Vec<Trial> = std::mem::take(&mut prepared.cases)
        .into_iter()
        .map(|case| {
            let shared = shared.clone();
            Trial::ignorable_test(line(&case.id), move || shared.run(case))
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(shared);
    if let Ok(progress) = Arc::try_unwrap(progress) {
        progress.finish();
    }
    crate::cli::stdout::direct();
    if !held.is_empty() {
        let so_far = fold(finish.events.lock().expect("no panic under this lock").clone());
        let tell = || talk("the suite as a whole looks slower than its history; it is measured twice more");
        if let Some(case) = runtime.block_on(judge_suite(&finish.engine, &held, &so_far, tell)) {
            finish.engine.emit(Event::CaseFinished(Box::new(case)));
        }
    }
    let exit = finish.finish(None).map(|exit| {
        // libtest saw a failure that no verdict explains: a trial panicked. That is never a pass.
        if conclusion.has_failed() && exit == Exit::Pass { Exit::CouldNotJudge } else { exit }
    });
    drop(simulated);
    runtime.shutdown_background();
    // A signal got in first and ends the process itself.
    exit.unwrap_or_else(|| {
        loop {
            std::thread::park();
        }
    })
}

/// What each trial needs.
struct Shared {
    engine: Arc<Engine>,
    policy: Policy,
    redactor: Redactor,
    fail_fast: bool,
    progress: Arc<Progress>,
    runtime: tokio::runtime::Handle,
    /// How often each reason has been told in full.
    told: Mutex<HashMap<String, usize>>,
}

/// Cases that could not be judged for the same reason are told in full so often, and then in a line each.
const TOLD_IN_FULL: usize = 3;

impl Shared {
    fn run(&self, case: Planned) -> Result<Completion, Failed> {
        // Driven from this thread, not from the runtime's few: reading an answer must not wait behind judging another one.
        let judged = self.runtime.block_on(run_case(&self.engine, &case));
        self.progress.step();
        if let Some(why) = judged.skipped {
            return Ok(Completion::ignored_with(line(&why)));
        }
        if !verdict::is_failure(judged.verdict, self.policy) {
            return Ok(Completion::Completed);
        }
        if self.fail_fast {
            self.engine.stop("--fail-fast, after the first failure");
        }
        let evidence = match judged.verdict == Verdict::Error && self.has_been_told(&judged.why) {
            true => format!("error: {} — as above: {}\n", case.id, crate::redact::excerpt(&judged.why, 200)),
            false => judged.evidence,
        };
        Err(Failed::from(self.redactor.clean(&evidence)))
    }

    fn has_been_told(&self, why: &str) -> bool {
        let mut told = self.told.lock().expect("no panic under this lock");
        let times = told.entry(why.to_owned()).or_default();
        *times += 1;
        *times > TOLD_IN_FULL
    }
}
