//! `roadworthy run`: plan, start services, hand every case to libtest-mimic, and tell what came of it.

use super::args::{Color, CommonArgs, Format, ReportFiles, RunArgs};
use super::output::{self, data, talk};
use super::progress::Progress;
use super::project::{self, Project};
use crate::baseline;
use crate::diagnostic::{Diagnostic, Source};
use crate::event::{Event, fold};
use crate::expect::Check;
use crate::expect::past::History;
use crate::journal::Journal;
use crate::options::{Address, Budget, EmbeddingSource, Embeddings, Options};
use crate::plan::select::Selection;
use crate::plan::{Planned, PlannedTurn};
use crate::record::{FORMAT, RunEnd, RunHeader, RunRecord, TargetRecord, Verdict};
use crate::redact::Redactor;
use crate::report::{self, terminal};
use crate::run::{Engine, Meaning, Terms, Vectors, run_case};
use crate::scenario::Layer;
use crate::sim;
use crate::target::Service;
use crate::verdict::{self, Exit, Policy};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
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

/// Everything that is known before the first request.
struct Prepared {
    project: Project,
    cases: Vec<Planned>,
    filtered_out: usize,
    scripts: BTreeMap<String, sim::Script>,
    policy: Policy,
    budget: Budget,
    runs: PathBuf,
    labels: BTreeMap<String, String>,
    shard: Option<(u64, u64)>,
}

/// `2/5`, or what the CI or cluster says about this job.
fn shard(told: &str) -> Result<(u64, u64), String> {
    let var = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let (index, of) = match told {
        "auto" => {
            // GitLab counts from 1; Kubernetes' completion index and Slurm's array from 0 or wherever they were told to.
            let gitlab = var("CI_NODE_INDEX").zip(var("CI_NODE_TOTAL"));
            let kubernetes = var("JOB_COMPLETION_INDEX").map(|i| i + 1).zip(var("JOB_COMPLETIONS"));
            let slurm = var("SLURM_ARRAY_TASK_ID")
                .zip(var("SLURM_ARRAY_TASK_MIN"))
                .map(|(i, min)| i.saturating_sub(min) + 1)
                .zip(var("SLURM_ARRAY_TASK_COUNT"));
            gitlab.or(kubernetes).or(slurm).ok_or(
                "`--shard auto` needs CI_NODE_INDEX and CI_NODE_TOTAL, JOB_COMPLETION_INDEX and JOB_COMPLETIONS, or Slurm's array variables",
            )?
        }
        told => {
            let parts = told.split_once('/').and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)));
            parts.ok_or_else(|| format!("`--shard {told}` is not a part such as 2/5"))?
        }
    };
    if index == 0 || index > of { Err(format!("there is no shard {index} of {of}; they count from 1")) } else { Ok((index, of)) }
}

fn prepare(args: &RunArgs, from: &Path) -> Result<Prepared, Vec<Diagnostic>> {
    let project = project::open(&args.project.common, from)?;
    let scenarios = project.scenarios(&args.project)?;
    let planned = project.plan(&scenarios)?;
    let runs = args.out.clone().unwrap_or_else(|| project.root.join(&project.options.runs));
    let ids = match args.failed {
        false => None,
        true => {
            let path = crate::journal::newest(&runs)
                .ok_or_else(|| vec![Diagnostic::error("no-run", format!("--failed needs a run in {}", runs.display()))])?;
            let last = crate::journal::read(&path).map_err(|why| vec![Diagnostic::error("bad-record", why)])?;
            Some(last.judged().filter(|c| matches!(c.verdict, Verdict::Fail | Verdict::Error)).map(|c| c.id.clone()).collect())
        }
    };
    let shard = args.shard.as_deref().map(shard).transpose().map_err(|why| vec![Diagnostic::error("bad-shard", why)])?;
    let selection = Selection {
        filters: args.filters.clone(),
        exact: args.exact,
        skip: args.skip.clone(),
        tags: args.tag.clone(),
        layers: args.layer.iter().filter_map(|l| Layer::named(l)).collect(),
        ids,
        shard,
    };
    let (cases, filtered_out) = selection.apply(planned);
    let scripts = scripts(&project, &cases)?;
    let mut policy = project.options.policy;
    policy.fail_on_flaky |= args.fail_on.iter().any(|v| v == "flaky");
    policy.fail_on_inconclusive |= args.fail_on.iter().any(|v| v == "inconclusive");
    policy.warnings_exit_10 = args.warnings_exit_10;
    let budget = Budget {
        requests: args.max_requests.or(project.options.budget.requests),
        tokens: args.max_tokens_total.or(project.options.budget.tokens),
        time: project.options.budget.time,
    };
    let mut labels = BTreeMap::new();
    if let Some(commit) = ["CI_COMMIT_SHA", "GITHUB_SHA"].iter().find_map(|v| std::env::var(v).ok()) {
        labels.insert("commit".to_owned(), commit);
    }
    for label in &args.label {
        let (key, value) = label.split_once('=').ok_or_else(|| {
            vec![Diagnostic::error("bad-label", format!("`--label {label}` has no `=`")).hint("write it like --label image=sha256:…")]
        })?;
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(Prepared { project, cases, filtered_out, scripts, policy, budget, runs, labels, shard })
}

/// The targets that the cases ask, and those that help judging them.
fn names(options: &Options, cases: &[Planned]) -> BTreeSet<String> {
    cases.iter().map(|c| c.target.clone()).chain(helpers(options, cases)).collect()
}

/// True when judging some case needs this.
fn need(cases: &[Planned], fits: &dyn Fn(&Check) -> bool) -> bool {
    cases.iter().any(|c| {
        let each = c.versions.iter().flat_map(|v| &v.turns).flat_map(|t| t.expect.iter());
        each.chain(c.group.iter()).any(|e| crate::expect::mentions(e, fits))
    })
}

fn needs_vectors(cases: &[Planned]) -> bool {
    need(cases, &|c| match c {
        Check::Similar { .. } => true,
        Check::Consistency(wanted) => wanted.similarity.is_some(),
        _ => false,
    })
}

/// The targets of the judge and of the sentence vectors, where a case needs them.
fn helpers(options: &Options, cases: &[Planned]) -> Vec<String> {
    let vectors = options.embeddings.as_ref().filter(|_| needs_vectors(cases)).and_then(|e| match &e.source {
        EmbeddingSource::Endpoint { target } => Some(target.clone()),
        EmbeddingSource::BuiltIn { .. } => None,
    });
    let judge = options.judge.as_ref().filter(|_| need(cases, &|c| matches!(c, Check::Judge { .. })));
    judge.cloned().into_iter().chain(vectors).collect()
}

/// The simulated services that the cases need.
fn scripts(project: &Project, cases: &[Planned]) -> Result<BTreeMap<String, sim::Script>, Vec<Diagnostic>> {
    let mut scripts = BTreeMap::new();
    for name in helpers(&project.options, cases) {
        if !project.options.targets.contains_key(&name) {
            let known: Vec<&str> = project.options.targets.keys().map(String::as_str).collect();
            return Err(vec![
                Diagnostic::error("unknown-target", format!("there is no target `{name}` for `judge` or `embeddings`"))
                    .hint(format!("targets of roadworthy.yaml: {}", known.join(", "))),
            ]);
        }
    }
    for name in &names(&project.options, cases) {
        let Some(Address::Simulate(file)) = project.options.targets.get(name).map(|t| &t.address) else { continue };
        let text = std::fs::read_to_string(project.root.join(file))
            .map_err(|e| vec![Diagnostic::error("unreadable", format!("{file} of target `{name}` cannot be read: {e}"))])?;
        scripts.insert(name.to_owned(), sim::parse(&Arc::new(Source { name: file.clone(), text }))?);
    }
    Ok(scripts)
}

fn start(args: &RunArgs, prepared: Prepared, arguments: Option<Arguments>, color: bool) -> Exit {
    let from_harness = arguments.is_some();
    let mut arguments = arguments.unwrap_or_else(|| libtest_arguments(args, &args.project.common, color));
    // A small suite may leave a shard without cases; its empty record tells the merge that it ran.
    let empty_shard = prepared.shard.is_some() && prepared.filtered_out > 0;
    if prepared.cases.is_empty() && !empty_shard {
        let why = match prepared.filtered_out {
            0 => format!("no scenario was found in {}", prepared.project.options.scenarios.join(", ")),
            n => format!("the filters leave none of {n} cases"),
        };
        talk(&format!("nothing ran: {why}"));
        return Exit::NothingRan;
    }
    if args.list || arguments.list {
        let trials = prepared.cases.iter().map(|c| Trial::test(line(&c.id), || Ok(()))).collect();
        arguments.list = true;
        let _ = libtest_mimic::run(&arguments, trials);
        return Exit::Pass;
    }
    if args.dry_run {
        data(&dry_run(&prepared));
        return Exit::Pass;
    }
    judge(args, prepared, arguments, color, from_harness)
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

fn dry_run(prepared: &Prepared) -> String {
    let mut out = String::new();
    let (mut requests, mut tokens) = (0, 0);
    for case in &prepared.cases {
        requests += case.requests();
        tokens += case.tokens();
        out.push_str(&format!("{}  → {}\n", line(&case.id), case.target));
        for version in case.versions.iter().take(3) {
            if let Some(label) = &version.label {
                out.push_str(&format!("  {label}\n"));
            }
            out.push_str(&turns(&version.turns));
        }
        if case.versions.len() > 3 {
            out.push_str(&format!("  … and {} more versions\n", case.versions.len() - 3));
        }
    }
    let worst: u64 = prepared.cases.iter().map(Planned::max_requests).sum();
    out.push_str(&format!(
        "{} cases, {requests} requests ({worst} if every retry is needed), about {tokens} tokens at most; nothing was sent\n",
        prepared.cases.len()
    ));
    out
}

fn turns(turns: &[PlannedTurn]) -> String {
    let mut out = String::new();
    for turn in turns {
        for message in &turn.messages {
            let role = message["role"].as_str().unwrap_or_default();
            out.push_str(&format!("    {role}: {}\n", crate::redact::excerpt(&crate::plan::text_of(&message["content"]), 160)));
        }
        if !turn.params.is_empty() {
            out.push_str(&format!("    params: {}\n", serde_json::Value::Object(turn.params.clone())));
        }
    }
    out
}

/// A run id that sorts by time; nextest's when it runs the harness, so that its processes share one record.
fn run_id(nextest: Option<String>) -> String {
    match nextest {
        Some(id) if id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !id.is_empty() => id,
        _ => {
            let now = jiff::Timestamp::now();
            format!("{}-{:05}", now.strftime("%Y%m%dT%H%M%S%.3fZ").to_string().replace('.', ""), std::process::id() % 100_000)
        }
    }
}

fn header(prepared: &Prepared, seed: u64, run_id: &str) -> RunHeader {
    let targets = prepared.project.options.targets.iter().map(|(name, target)| {
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
        labels: prepared.labels.clone(),
        environment: prepared.project.options.environment.clone(),
        shard: prepared.shard,
    }
}

/// What earlier runs measured of the cases that are held to it. `but` is a run that is not compared with itself.
pub(super) fn history(project: &Project, cases: &[Planned], but: Option<&str>) -> Result<History, (Exit, String)> {
    let mut comparisons = 0;
    let mut asked = Vec::new();
    for case in cases {
        let ceilings = case.group.iter().filter_map(|e| match &e.check {
            Check::Latency { history, .. } => Some(history.len()),
            _ => None,
        });
        let ceilings: usize = ceilings.sum();
        if ceilings > 0 {
            comparisons += ceilings;
            let options = &project.options;
            let segment = baseline::segment(&case.fingerprint, options.targets[&case.target].concurrency, &options.environment);
            asked.push((case.id.clone(), segment));
        }
    }
    baseline::history(&super::baseline::store(project), &asked, comparisons, but, super::baseline::now()).map_err(super::baseline::faults)
}

/// The services of a run.
struct Services {
    by_target: BTreeMap<String, Service>,
    meaning: Meaning,
    simulated: Vec<sim::Running>,
}

/// Starts what is simulated and connects to what is not.
fn services(prepared: &mut Prepared, runtime: &tokio::runtime::Runtime) -> Result<Services, String> {
    let asked: BTreeSet<String> = prepared.cases.iter().map(|c| c.target.clone()).collect();
    let mut by_target = BTreeMap::new();
    let mut helping: BTreeMap<String, Arc<Service>> = BTreeMap::new();
    let mut simulated = Vec::new();
    let helpers = helpers(&prepared.project.options, &prepared.cases);
    for name in names(&prepared.project.options, &prepared.cases) {
        let target = prepared.project.options.targets[&name].clone();
        let base_url = match &target.address {
            Address::Url(url) => url.clone(),
            Address::Simulate(file) => {
                let script = prepared.scripts.remove(&name).ok_or_else(|| format!("{file} was not read"))?;
                let running =
                    runtime.block_on(sim::start(script, 0)).map_err(|e| format!("the simulated service {file} cannot start: {e}"))?;
                let url = running.base_url.clone();
                simulated.push(running);
                url
            }
        };
        let ca = match &target.ca_file {
            Some(file) => Some(std::fs::read(prepared.project.root.join(file)).map_err(|e| format!("ca_file {file} cannot be read: {e}"))?),
            None => None,
        };
        let connect = || Service::new(target.clone(), base_url.clone(), ca.clone()).map_err(|why| format!("target `{name}`: {why}"));
        if helpers.contains(&name) {
            helping.insert(name.clone(), Arc::new(connect()?));
        }
        if asked.contains(&name) {
            by_target.insert(name.clone(), connect()?);
        }
    }
    let meaning = meaning(&prepared.project, &helping, needs_vectors(&prepared.cases));
    Ok(Services { by_target, meaning, simulated })
}

/// The models that help judging, as the configuration names them.
fn meaning(project: &Project, helping: &BTreeMap<String, Arc<Service>>, wants_vectors: bool) -> Meaning {
    let none = Meaning::none();
    let vectors = match project.options.embeddings.as_ref().filter(|_| wants_vectors) {
        None => none.vectors,
        Some(Embeddings { source: EmbeddingSource::Endpoint { target }, limit }) => match helping.get(target) {
            Some(service) => Ok(Vectors::Endpoint { service: service.clone(), limit: *limit }),
            None => none.vectors,
        },
        Some(Embeddings { source: EmbeddingSource::BuiltIn { model_dir }, limit }) => {
            super::models::encoder(model_dir.as_ref().map(|d| project.root.join(d)), *limit).map(Vectors::Local)
        }
    };
    let judge = project.options.judge.as_ref().and_then(|name| helping.get(name)).map_or(none.judge, |service| Ok(service.clone()));
    Meaning::new(vectors, judge)
}

/// Stores the answers of cases that expect a golden one, and tells what was stored.
struct Golden {
    /// Case id and file, for every golden expectation of an answer.
    wanted: Vec<(String, PathBuf)>,
}

impl Golden {
    fn of(cases: &[Planned], project: &Project) -> Golden {
        let mut wanted = Vec::new();
        for case in cases {
            let scenario = project.root.join(&case.file);
            let folder = scenario.parent().unwrap_or(&project.root);
            for expectation in case.versions.iter().flat_map(|v| &v.turns).flat_map(|t| t.expect.iter()) {
                if let Check::Golden { file, .. } = &expectation.check {
                    wanted.push((case.id.clone(), folder.join(file)));
                }
            }
        }
        wanted.dedup();
        Golden { wanted }
    }

    fn accept(&self, record: &RunRecord) -> Exit {
        let mut exit = Exit::Pass;
        for (id, path) in &self.wanted {
            let answer = record
                .cases
                .iter()
                .find(|c| c.id == *id)
                .and_then(|c| c.exchanges().last())
                .filter(|e| e.failure.is_none() && !e.answer.trim().is_empty());
            let Some(exchange) = answer else {
                talk(&format!("not stored: {id} has no complete answer"));
                continue;
            };
            match output::write_file(path, &exchange.answer) {
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
struct Finish {
    engine: Arc<Engine>,
    journal: Arc<Journal>,
    events: Arc<Mutex<Vec<Event>>>,
    reports: Reports,
    policy: Policy,
    filtered_out: u64,
    redactor: Redactor,
    style: terminal::Style,
    /// Under an outer test runner the summary would be one per case.
    show_summary: bool,
    /// Set with `--accept`.
    golden: Option<Golden>,
    done: Mutex<bool>,
}

/// Files to write.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reports {
    files: Vec<(report::Format, PathBuf)>,
}

impl Reports {
    /// Those of the command line, else of the configuration.
    pub(crate) fn of(options: Option<&Options>, root: &Path, told: &ReportFiles) -> Reports {
        let configured = |format: report::Format| options.and_then(|o| o.reports.get(format.word())).map(|p| root.join(p));
        let file = |format: report::Format| Some((format, told.of(format).cloned().or_else(|| configured(format))?));
        Reports { files: report::Format::ALL.into_iter().filter_map(file).collect() }
    }

    /// Writes them; every failure is told, none stops the others.
    pub(crate) fn write(&self, record: &RunRecord, redactor: &Redactor) -> Exit {
        let mut exit = Exit::Pass;
        let link = evidence_link();
        for (format, path) in &self.files {
            let written = format.render(record, link.as_deref()).and_then(|text| output::write_file(path, &redactor.clean(&text)));
            if let Err(why) = written {
                talk(&format!("error: {why}"));
                exit = Exit::NotWritten;
            }
        }
        exit
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
fn tell_github(record: &RunRecord, redactor: &Redactor) -> Exit {
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
    fn finish(&self, interrupted: Option<&str>) -> Option<Exit> {
        let mut done = self.done.lock().expect("no panic under this lock");
        if std::mem::replace(&mut *done, true) {
            return None;
        }
        let stopped = interrupted.map(str::to_owned).or_else(|| self.engine.why_stopped());
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
        Some(exit)
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
    let Services { by_target: services, meaning, simulated } = match services(&mut prepared, &runtime) {
        Ok(started) => started,
        Err(why) => {
            talk(&format!("error: {why}"));
            return Exit::BadInput;
        }
    };
    let redactor = Redactor::new(prepared.project.options.secrets.iter().cloned());
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
        let (journal, events) = (journal.clone(), events.clone());
        Box::new(move |event: Event| {
            if let Event::Waiting { target, why } = &event {
                talk(&format!("waiting for target `{target}`: {why}"));
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
    let terms = Terms { budget: prepared.budget, seed: args.seed, today, redactor: redactor.clone() };
    let engine = Arc::new(Engine::new(services, terms, meaning, history, sink));
    engine.emit(Event::RunStarted(header(&prepared, args.seed, &run_id)));

    arguments.test_threads.get_or_insert(args.test_threads.unwrap_or(threads).clamp(1, 512).min(prepared.cases.len().max(1)));
    let progress = Arc::new(Progress::start(if from_harness { 0 } else { prepared.cases.len() }));
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
            Reports::of(Some(&prepared.project.options), &prepared.project.root, &args.files)
        },
        policy: prepared.policy,
        filtered_out: prepared.filtered_out as u64,
        redactor: redactor.clone(),
        style: terminal::Style { color, evidence: args.quiet || args.format != Format::Pretty },
        show_summary: !under_nextest && args.format != Format::Json,
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
    };
    let shared = Arc::new(shared);
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
}

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
        Err(Failed::from(self.redactor.clean(&judged.evidence)))
    }
}

/// On SIGINT or SIGTERM: tells what has finished and ends the process at once.
async fn end_on_signal(finish: Arc<Finish>) {
    #[cfg(unix)]
    let (name, exit) = {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else { return };
        tokio::select! {
            _ = interrupt.recv() => ("interrupted (SIGINT)", Exit::Interrupted),
            _ = terminate.recv() => ("ended by SIGTERM", Exit::Terminated),
        }
    };
    #[cfg(not(unix))]
    let (name, exit) = {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        ("interrupted", Exit::Interrupted)
    };
    finish.engine.stop(name);
    data("\n");
    if finish.finish(Some(name)).is_some() {
        std::process::exit(exit as i32);
    }
}
