//! `roadworthy load`: one load after the other, each watched while it runs, judged when it ends.

mod adhoc;
mod files;
mod live;
mod one;

use crate::baseline;
use crate::cli::args::{Color, LoadArgs};
use crate::cli::output::{self, data, talk};
use crate::cli::project::{self, Project};
use crate::cli::run::{self, Reports};
use crate::diagnostic::Diagnostic;
use crate::event::{Event, fold};
use crate::expect::past::History;
use crate::journal::Journal;
use crate::load::judge::LoadCheck;
use crate::options::Address;
use crate::plan::{PlannedLoad, loads};
use crate::record::{RunEnd, RunRecord};
use crate::redact::Redactor;
use crate::report::terminal;
use crate::sim;
use crate::target::Service;
use crate::verdict::{self, Exit};
use one::Ended;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub fn main(args: &LoadArgs) -> Exit {
    let color = output::color(args.project.common.color);
    match prepare(args) {
        Ok((project, planned, all)) => start(args, &project, planned, all, color),
        Err(found) => {
            output::diagnostics(&found, color);
            Exit::BadInput
        }
    }
}

/// The loads that are asked for, and how many there are in all.
fn prepare(args: &LoadArgs) -> Result<(Project, Vec<PlannedLoad>, usize), Vec<Diagnostic>> {
    let mut common = args.project.common.clone();
    common.color = Color::Auto;
    let mut project = project::open(&common, Path::new("."))?;
    if let Some(told) = &args.model_type {
        let api = if told.to_lowercase().starts_with("chat") { crate::options::Api::Chat } else { crate::options::Api::Completions };
        project.options.targets.values_mut().for_each(|t| t.api = api);
    }
    let mut planned = Vec::new();
    if adhoc::asked(args) {
        if !args.project.paths.is_empty() {
            return Err(vec![Diagnostic::error(
                "bad-flag",
                "flags that make a load stand beside scenario files; leave out the files or the flags",
            )]);
        }
        let scenario = crate::scenario::parse(&adhoc::scenario(args)?, &adhoc::FromHere)?;
        planned.extend(loads(&scenario, "command-line", args.seed)?);
    } else {
        let (scenarios, mut found) = project.layout.read(&args.project.paths);
        for scenario in scenarios {
            match loads(&scenario, &project.layout.prefix(&scenario.source.name), args.seed) {
                Ok(more) => planned.extend(more),
                Err(more) => found.extend(more),
            }
        }
        if !found.is_empty() {
            return Err(found);
        }
    }
    for load in &mut planned {
        if load.target == "default" {
            load.target.clone_from(&project.target);
        }
        if let Some(mut why) = project.options.unusable(&load.target) {
            let place = format!("{}:{}: ", load.file, load.line);
            why.iter_mut().filter(|d| d.source.is_none()).for_each(|d| d.message.insert_str(0, &place));
            return Err(why);
        }
    }
    let all = planned.len();
    planned.retain(|l| args.filters.is_empty() || args.filters.iter().any(|f| l.id.contains(f.as_str())));
    Ok((project, planned, all))
}

/// What every load of this run shares.
struct Shared<'a> {
    args: &'a LoadArgs,
    runtime: tokio::runtime::Runtime,
    journal: Journal,
    hdr_log: std::sync::Mutex<Option<files::HdrLog>>,
}

fn start(args: &LoadArgs, project: &Project, planned: Vec<PlannedLoad>, all: usize, color: bool) -> Exit {
    if planned.is_empty() {
        talk(&match all {
            0 => "nothing ran: no scenario has `loads`; write one, or say it with flags such as --users 8 --runtime 1m".to_owned(),
            n => format!("nothing ran: the filters leave none of {n} loads"),
        });
        return Exit::NothingRan;
    }
    if args.list {
        planned.iter().for_each(|l| data(&format!("{}: {}\n", l.id, l.shape.says())));
        return Exit::Pass;
    }
    match session(args, project, planned, color) {
        Ok(exit) => exit,
        Err((exit, why)) => {
            talk(&format!("error: {why}"));
            exit
        }
    }
}

fn session(args: &LoadArgs, project: &Project, planned: Vec<PlannedLoad>, color: bool) -> Result<Exit, (Exit, String)> {
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| (Exit::CouldNotJudge, format!("the runtime cannot start: {e}")))?;
    let redactor = Redactor::new(project.options.secrets.iter().cloned());
    let labels = run::labels(&args.label).map_err(|found| (Exit::BadInput, found[0].message.clone()))?;
    let run_id = run::run_id(None);
    let dir = args.out.clone().unwrap_or_else(|| project.layout.root.join(&project.options.runs));
    let journal = Journal::open(&dir, &run_id, redactor.clone(), false)
        .map_err(|e| (Exit::NotWritten, format!("the record cannot be written in {}: {e}", dir.display())))?;
    let header = Event::RunStarted(Box::new(run::header(&project.options, &labels, None, args.seed, &run_id)));
    let mut events = vec![header];
    journal.write(&events[0]);
    let hdr_log = match &args.hdr_log {
        Some(path) => Some(files::HdrLog::create(path).map_err(|why| (Exit::NotWritten, why))?),
        None => None,
    };
    let shared = Shared { args, runtime, journal, hdr_log: std::sync::Mutex::new(hdr_log) };
    let history = history(project, &planned)?;
    let mut services: BTreeMap<String, (Arc<Service>, Option<sim::Running>)> = BTreeMap::new();
    let mut maxima: BTreeMap<String, f64> = BTreeMap::new();
    let mut ended = Ended::ByItself;
    for load in &planned {
        if !services.contains_key(&load.target) {
            let script = match &project.options.targets[&load.target].address {
                Address::Simulate(file) => {
                    let script = run::script(project, &load.target, file);
                    Some(script.map_err(|found| (Exit::BadInput, found.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; ")))?)
                }
                Address::Url(_) => None,
            };
            let (service, running) = run::connect(project, &load.target, script, &shared.runtime).map_err(|why| (Exit::BadInput, why))?;
            services.insert(load.target.clone(), (Arc::new(service), running));
        }
        let service = services[&load.target].0.clone();
        let (mut record, how) = one::run(&shared, load, &service, &maxima, &history);
        if !project.options.keep_personal {
            record.mask_personal();
        }
        if let Some(found) = record.load.as_ref().and_then(|l| l.found.as_ref()).and_then(|f| f.last_stable) {
            maxima.insert(load.name.clone(), found);
        }
        let event = Event::CaseFinished(Box::new(record));
        shared.journal.write(&event);
        events.push(event);
        if how != Ended::ByItself {
            ended = how;
            break;
        }
    }
    let stopped = match ended {
        Ended::ByItself => None,
        Ended::Interrupted => Some("interrupted (SIGINT)".to_owned()),
        Ended::Terminated => Some("ended by SIGTERM".to_owned()),
    };
    let end = Event::RunFinished(RunEnd { took: began.elapsed(), filtered_out: 0, stopped });
    shared.journal.write(&end);
    events.push(end);
    let record = fold(events);
    let mut exit = verdict::exit(&record, project.options.policy).worse(tell(args, project, &record, &redactor, color));
    if let Some(why) = shared.journal.failure() {
        talk(&format!("error: the record {} is incomplete: {why}", shared.journal.path.display()));
        exit = exit.worse(Exit::NotWritten);
    } else {
        let path = &shared.journal.path;
        let shown = std::env::current_dir().ok().and_then(|d| path.strip_prefix(d).ok()).unwrap_or(path);
        talk(&format!("record: {}", shown.display()));
    }
    drop(services);
    shared.runtime.shutdown_background();
    Ok(match ended {
        Ended::ByItself => exit,
        Ended::Interrupted => Exit::Interrupted,
        Ended::Terminated => Exit::Terminated,
    })
}

/// What earlier runs of these loads measured.
fn history(project: &Project, planned: &[PlannedLoad]) -> Result<History, (Exit, String)> {
    let mut comparisons = 0;
    let mut asked = Vec::new();
    for load in planned {
        let ceilings = load.expect.iter().filter_map(|e| if let LoadCheck::History(c) = &e.check { Some(c.len()) } else { None });
        let ceilings: usize = ceilings.sum();
        if ceilings > 0 {
            comparisons += ceilings;
            let options = &project.options;
            asked.push((
                load.id.clone(),
                baseline::segment(&load.fingerprint, options.targets[&load.target].concurrency, &options.environment),
            ));
        }
    }
    if asked.is_empty() {
        return Ok(History::default());
    }
    baseline::history(&crate::cli::baseline::store(project)?, &asked, comparisons, None, crate::cli::baseline::now())
        .map(|history| History { window: project.options.window, ..history })
        .map_err(crate::cli::baseline::faults)
}

/// Shows the summary and writes every report.
fn tell(args: &LoadArgs, project: &Project, record: &RunRecord, redactor: &Redactor, color: bool) -> Exit {
    let style = terminal::Style { color, evidence: true, transcript: false };
    data(&redactor.clean(&terminal::summary(record, style)));
    let mut exit = Reports::of(Some(&project.options), &project.layout.root, &args.files).write(record, redactor);
    exit = exit.worse(run::tell_github(record, redactor));
    let mut write = |path: &Path, text: String| {
        if let Err(why) = output::write_file(path, redactor.clean(&text)) {
            talk(&format!("error: {why}"));
            exit = exit.worse(Exit::NotWritten);
        }
    };
    if let Some(dir) = &args.csv {
        for (name, text) in crate::report::load::csv(record) {
            write(&dir.join(name), text);
        }
    }
    if let Some(path) = &args.qianfan {
        write(path, crate::report::load::qianfan_json(record));
    }
    exit
}
