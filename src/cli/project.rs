//! Opens a project: its configuration, its scenarios, and the plan that comes of them.

use super::args::{CommonArgs, ProjectArgs};
use super::layout::{Layout, absolute, read_text};
use crate::diagnostic::{Diagnostic, Place, Source};
use crate::options::{Options, Origin, Override, Settings};
use crate::plan::{Planned, expand};
use crate::scenario::Scenario;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A project with its configuration.
pub struct Project {
    pub layout: Layout,
    pub settings: Settings,
    pub options: Options,
    /// The target used where a scenario names none.
    pub target: String,
}

/// The configuration file: as told, or the nearest roadworthy.yaml upwards.
fn find_config(told: Option<&Path>, from: &Path) -> Result<Option<PathBuf>, Vec<Diagnostic>> {
    match told {
        Some(path) if path.is_file() => Ok(Some(absolute(path))),
        Some(path) => Err(vec![Diagnostic::error("no-config", format!("there is no configuration file {}", path.display()))]),
        None => Ok(absolute(from).ancestors().map(|d| d.join("roadworthy.yaml")).find(|p| p.is_file())),
    }
}

/// A project with everything that its scenarios ask for.
pub struct Opened {
    pub project: Project,
    pub scenarios: Vec<Scenario>,
    pub planned: Vec<Planned>,
}

impl Opened {
    /// The same, if no target of its cases lacks anything.
    pub fn usable(self) -> Result<Opened, Vec<Diagnostic>> {
        self.project.usable(&self.planned).map(|()| self)
    }
}

/// Opens the project, reads the scenarios that the arguments name, and plans their cases. All mistakes of all files come together,
/// those of the configuration first.
pub fn planned(args: &ProjectArgs, from: &Path) -> Result<Opened, Vec<Diagnostic>> {
    let (root, config) = configuration(&args.common, from)?;
    let project = match settle(&args.common, root.clone(), config.as_ref()) {
        Ok(project) => project,
        Err(mut found) => {
            let layout = Layout::of(root, config.as_ref());
            let (scenarios, more) = layout.read(&args.paths);
            found.extend(more);
            found.extend(scenarios.iter().filter_map(|s| expand(s, &layout.prefix(&s.source.name), &layout).err()).flatten());
            return Err(found);
        }
    };
    let (scenarios, mut found) = project.layout.read(&args.paths);
    match project.plan(&scenarios) {
        Ok(planned) if found.is_empty() => Ok(Opened { project, scenarios, planned }),
        Ok(_) => Err(found),
        Err(more) => {
            found.extend(more);
            Err(found)
        }
    }
}

/// Opens the project of a folder.
pub fn open(common: &CommonArgs, from: &Path) -> Result<Project, Vec<Diagnostic>> {
    let (root, config) = configuration(common, from)?;
    settle(common, root, config.as_ref())
}

/// The project's folder, and its configuration if it has one.
fn configuration(common: &CommonArgs, from: &Path) -> Result<(PathBuf, Option<Arc<Source>>), Vec<Diagnostic>> {
    let Some(path) = find_config(common.config.as_deref(), from)? else { return Ok((absolute(from), None)) };
    let name = path.file_name().map_or("roadworthy.yaml".into(), |n| n.to_string_lossy().into_owned());
    let text = read_text(&path, &name).map_err(|d| vec![d])?;
    let root = path.parent().map_or_else(|| absolute(from), Path::to_owned);
    Ok((root, Some(Arc::new(Source { name, text }))))
}

/// An address that is told and empty: a variable that CI does not know, behind which another service would be judged.
fn empty_address(common: &CommonArgs) -> Option<Diagnostic> {
    let empty = |told: &str, meant: &str| {
        Diagnostic::error("no-address", format!("{told} is empty, so it is not known which service is meant")).hint(meant)
    };
    if common.base_url.as_deref().is_some_and(|url| url.trim().is_empty()) {
        return Some(empty("`--base-url`", "is the variable behind it set?"));
    }
    let variable = std::env::var("ROADWORTHY_BASE_URL").ok().filter(|_| common.base_url.is_none())?;
    variable
        .trim()
        .is_empty()
        .then(|| empty("the variable `ROADWORTHY_BASE_URL`", "give it an address, or unset it to use that of roadworthy.yaml"))
}

/// Climbs the options ladder.
fn settle(common: &CommonArgs, root: PathBuf, source: Option<&Arc<Source>>) -> Result<Project, Vec<Diagnostic>> {
    if let Some(mistake) = empty_address(common) {
        return Err(vec![mistake]);
    }
    let mut overrides: Vec<Override> = Vec::new();
    for (variable, key) in [
        ("ROADWORTHY_BASE_URL", ".base_url"),
        ("ROADWORTHY_MODEL", ".model"),
        ("ROADWORTHY_API_KEY", ".api_key"),
        ("ROADWORTHY_CONCURRENCY", ".limits.concurrency"),
    ] {
        if let Some(value) = std::env::var(variable).ok().filter(|v| !v.is_empty()) {
            overrides.push((key, json!(value), Origin::Environment(variable)));
        }
    }
    if let Some(url) = &common.base_url {
        overrides.push((".base_url", json!(url), Origin::Flag("--base-url")));
    }
    if let Some(model) = &common.model {
        overrides.push((".model", json!(model), Origin::Flag("--model")));
    }
    if let Some(n) = common.concurrency {
        overrides.push((".limits.concurrency", json!(n), Origin::Flag("--concurrency")));
    }
    let target = common.target.clone().unwrap_or_else(|| "default".into());
    let hidden = |found| match source {
        Some(source) => crate::options::hide(found, source),
        None => found,
    };
    let settings = crate::options::settings(source, common.profile.as_deref(), &target, overrides, &|name| std::env::var(name).ok());
    let mut settings = settings.map_err(hidden)?;
    settings.unfilled.values_mut().for_each(|found| *found = hidden(std::mem::take(found)));
    let options = settings.options().map_err(hidden)?;
    let layout = Layout { root, scenarios: options.scenarios.clone(), exclude: options.exclude.clone() };
    Ok(Project { layout, settings, options, target })
}

/// Where a file names a target: in the case that begins at the line, or above it for all of them.
fn place_of_target(text: &str, target: &str, case: u32) -> Option<Place> {
    let mut start = 0;
    let mut above = None;
    for (line, written) in (1u32..).zip(text.split_inclusive('\n')) {
        let named = written.find("target:").and_then(|at| Some(at + "target:".len() + written[at + "target:".len()..].find(target)?));
        if let Some(at) = named {
            let place = Place { line, column: written[..at].chars().count() as u32 + 1, start: start + at, end: start + at + target.len() };
            if line >= case {
                return Some(place);
            }
            above.get_or_insert(place);
        }
        start += written.len();
    }
    above
}

impl Project {
    /// Says what the targets of these cases lack, each once.
    pub fn usable(&self, cases: &[Planned]) -> Result<(), Vec<Diagnostic>> {
        let mut found = Vec::new();
        for (target, lacking) in &self.options.unfilled {
            let Some(user) = cases.iter().find(|case| case.target == *target) else { continue };
            let user = format!("{} uses the target `{target}`", user.file);
            found.extend(
                lacking
                    .iter()
                    .cloned()
                    .map(|d| Diagnostic { hint: Some(d.hint.map_or(user.clone(), |hint| format!("{hint}; {user}"))), ..d }),
            );
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    /// Plans what was read.
    pub fn plan(&self, scenarios: &[Scenario]) -> Result<Vec<Planned>, Vec<Diagnostic>> {
        let mut found = Vec::new();
        let mut planned = Vec::new();
        for scenario in scenarios {
            match expand(scenario, &self.layout.prefix(&scenario.source.name), &self.layout) {
                Ok(mut cases) => planned.append(&mut cases),
                Err(mut more) => found.append(&mut more),
            }
        }
        // A target that a whole file names is one mistake.
        let mut told = std::collections::HashSet::new();
        for (i, case) in planned.iter_mut().enumerate() {
            case.position = i as u64;
            if case.target == "default" {
                case.target.clone_from(&self.target);
            }
            // What a target lacks is told where a case that is run uses it.
            if self.options.unfilled.contains_key(&case.target) {
                continue;
            }
            let Some(why) = self.options.unusable(&case.target) else { continue };
            let source = scenarios.iter().map(|s| &s.source).find(|source| source.name == case.file);
            let place = source.and_then(|source| place_of_target(&source.text, &case.target, case.line));
            for diagnostic in why {
                let placed = match (source, place) {
                    (Some(source), Some(place)) => diagnostic.at(source, place),
                    // It was named elsewhere, by a flag or a variable.
                    _ => Diagnostic { message: format!("{}:{}: {}", case.file, case.line, diagnostic.message), ..diagnostic },
                };
                if told.insert((case.file.clone(), placed.place.line)) {
                    found.push(placed);
                }
            }
        }
        // Two files may share a name: `a.yaml` beside `a.yml`, or in two folders of `scenarios`.
        let mut seen: std::collections::HashMap<&str, &str> = std::collections::HashMap::new();
        for case in &planned {
            let first = *seen.entry(&case.id).or_insert(&case.file);
            if first != case.file {
                found.push(Diagnostic::error(
                    "duplicate-case",
                    format!(
                        "two cases have the id `{}`, one in {first} and one in {}; give one of the files another name",
                        case.id, case.file
                    ),
                ));
                break;
            }
        }
        if found.is_empty() { Ok(planned) } else { Err(found) }
    }
}
