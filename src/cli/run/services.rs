//! The services a run needs: those that are asked, and those that help judging; and what earlier runs measured of them.

use super::prepare::Prepared;
use crate::baseline;
use crate::cli::project::Project;
use crate::diagnostic::{Diagnostic, Source};
use crate::expect::past::History;
use crate::expect::{Check, Over};
use crate::options::{Address, EmbeddingSource, Embeddings, Options};
use crate::plan::Planned;
use crate::run::{Meaning, Vectors};
use crate::sim;
use crate::target::Service;
use crate::verdict::Exit;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The targets that the cases ask, and those that help judging them.
fn names(options: &Options, cases: &[Planned]) -> BTreeSet<String> {
    cases.iter().map(|c| c.target.clone()).chain(helpers(options, cases)).collect()
}

/// True when judging some case needs this.
fn need(cases: &[Planned], fits: &dyn Fn(&Check) -> bool) -> bool {
    cases.iter().flat_map(Planned::expectations).any(|e| crate::expect::mentions(e, fits))
}

fn needs_vectors(cases: &[Planned]) -> bool {
    need(cases, &Check::wants_vectors)
}

/// The targets of the judge and of the sentence vectors, where a case needs them.
fn helpers(options: &Options, cases: &[Planned]) -> Vec<String> {
    let vectors = options.embeddings.as_ref().filter(|_| needs_vectors(cases)).and_then(|e| match &e.source {
        EmbeddingSource::Endpoint { target } => Some(target.clone()),
        EmbeddingSource::BuiltIn { .. } | EmbeddingSource::Bert { .. } => None,
    });
    let judge = options.judge.as_ref().filter(|_| need(cases, &Check::wants_judge));
    judge.cloned().into_iter().chain(vectors).collect()
}

/// The simulated services that the cases need.
pub(super) fn scripts(project: &Project, cases: &[Planned]) -> Result<BTreeMap<String, sim::Script>, Vec<Diagnostic>> {
    let mut scripts = BTreeMap::new();
    for name in &names(&project.options, cases) {
        let Some(Address::Simulate(file)) = project.options.targets.get(name).map(|t| &t.address) else { continue };
        scripts.insert(name.to_owned(), script(project, name, file)?);
    }
    Ok(scripts)
}

/// Reads the description of a simulated service.
pub(in crate::cli) fn script(project: &Project, name: &str, file: &str) -> Result<sim::Script, Vec<Diagnostic>> {
    let text = std::fs::read_to_string(project.layout.root.join(file))
        .map_err(|e| vec![Diagnostic::error("unreadable", format!("{file} of target `{name}` cannot be read: {e}"))])?;
    sim::parse(&Arc::new(Source { name: file.to_owned(), text }))
}

/// What earlier runs measured of the cases that are held to it. `but` is a run that is not compared with itself.
pub(in crate::cli) fn history(project: &Project, cases: &[Planned], but: Option<&str>) -> Result<History, (Exit, String)> {
    let mut comparisons = 0;
    let mut asked = Vec::new();
    for case in cases {
        let ceilings = case.group.iter().filter_map(|e| match &e.check {
            Check::Latency { history, .. } => Some(history.len()),
            _ => None,
        });
        let ceilings: usize = ceilings.sum();
        let answers = case.group.iter().any(|e| matches!(&e.check, Check::Consistency(c) if c.over == Over::History));
        if ceilings > 0 || answers {
            comparisons += ceilings;
            let options = &project.options;
            let segment = baseline::segment(&case.fingerprint, options.targets[&case.target].concurrency, &options.environment);
            asked.push((case.id.clone(), segment));
        }
    }
    if asked.is_empty() {
        return Ok(History::default());
    }
    baseline::history(&crate::cli::baseline::store(project)?, &asked, comparisons, but, crate::cli::baseline::now())
        .map(|history| History { window: project.options.window, ..history })
        .map_err(crate::cli::baseline::faults)
}

/// The services of a run.
pub(super) struct Services {
    pub(super) by_target: BTreeMap<String, Service>,
    pub(super) meaning: Meaning,
    pub(super) simulated: Vec<sim::Running>,
}

/// Starts what is simulated and connects to what is not.
pub(super) fn services(prepared: &mut Prepared, runtime: &tokio::runtime::Runtime) -> Result<Services, String> {
    let asked: BTreeSet<String> = prepared.cases.iter().map(|c| c.target.clone()).collect();
    let mut by_target = BTreeMap::new();
    let mut helping: BTreeMap<String, Arc<Service>> = BTreeMap::new();
    let mut simulated = Vec::new();
    let helpers = helpers(&prepared.project.options, &prepared.cases);
    for name in names(&prepared.project.options, &prepared.cases) {
        let script = prepared.scripts.remove(&name);
        let (service, running) = connect(&prepared.project, &name, script, runtime)?;
        let again = (helpers.contains(&name) && asked.contains(&name)).then(|| service.again()).transpose()?;
        simulated.extend(running);
        match again {
            Some(again) => {
                helping.insert(name.clone(), Arc::new(again));
                by_target.insert(name, service);
            }
            None if helpers.contains(&name) => {
                helping.insert(name, Arc::new(service));
            }
            None => {
                by_target.insert(name, service);
            }
        }
    }
    let meaning = meaning(&prepared.project, &helping, needs_vectors(&prepared.cases));
    Ok(Services { by_target, meaning, simulated })
}

/// The service that every trial is compared with: a target by its name, or an address that is asked like the default target.
pub(super) fn beside(
    prepared: &Prepared,
    told: &str,
    runtime: &tokio::runtime::Runtime,
) -> Result<(Service, Option<sim::Running>), String> {
    let project = &prepared.project;
    if told.starts_with("http://") || told.starts_with("https://") {
        let mut target = project.options.targets[&project.target].clone();
        let url = told.trim_end_matches('/').to_owned();
        target.address = Address::Url(url.clone());
        target.name = told.to_owned();
        target.origin = "--compare-with".into();
        let ca = authority(project, &target)?;
        return Service::new(target, url, ca).map(|service| (service, None));
    }
    if let Some(why) = project.options.unusable(told) {
        let why: Vec<String> =
            why.into_iter().map(|d| [Some(d.message), d.hint].into_iter().flatten().collect::<Vec<_>>().join("; ")).collect();
        return Err(format!("--compare-with {told} is neither an address nor a target that can be used: {}", why.join("; ")));
    }
    let target = &project.options.targets[told];
    let script = match &target.address {
        Address::Simulate(file) => {
            Some(script(project, told, file).map_err(|found| found.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; "))?)
        }
        Address::Url(_) => None,
    };
    connect(project, told, script, runtime)
}

/// Connects to a target, or starts it where it is simulated.
pub(in crate::cli) fn connect(
    project: &Project,
    name: &str,
    script: Option<sim::Script>,
    runtime: &tokio::runtime::Runtime,
) -> Result<(Service, Option<sim::Running>), String> {
    let target = project.options.targets[name].clone();
    let (base_url, running) = match &target.address {
        Address::Url(url) => (url.clone(), None),
        Address::Simulate(file) => {
            let script = script.ok_or_else(|| format!("{file} was not read"))?;
            let running = runtime.block_on(sim::start(script, 0)).map_err(|e| format!("the simulated service {file} cannot start: {e}"))?;
            (running.base_url.clone(), Some(running))
        }
    };
    let ca = authority(project, &target)?;
    Ok((Service::new(target, base_url, ca).map_err(|why| format!("target `{name}`: {why}"))?, running))
}

/// The certificates that a target's own is checked with.
fn authority(project: &Project, target: &crate::options::Target) -> Result<Option<Vec<u8>>, String> {
    let read = |file: &String| std::fs::read(project.layout.root.join(file)).map_err(|e| format!("ca_file {file} cannot be read: {e}"));
    target.ca_file.as_ref().map(read).transpose()
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
        Some(_) => crate::cli::models::of_project(project).map(Vectors::Local),
    };
    let judge = project.options.judge.as_ref().and_then(|name| helping.get(name)).map_or(none.judge, |service| Ok(service.clone()));
    Meaning::new(vectors, judge)
}
