//! Finds a project's files, reads them, and climbs the options ladder with what it read. The only place that reads scenario files.

use super::args::{CommonArgs, ProjectArgs};
use crate::diagnostic::{Diagnostic, Source};
use crate::options::{Options, Origin, Override, Settings};
use crate::plan::{Planned, expand};
use crate::scenario::{self, Files, Scenario};
use serde_json::json;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// A project with its configuration.
pub struct Project {
    /// The folder of roadworthy.yaml, or the working directory.
    pub root: PathBuf,
    pub settings: Settings,
    pub options: Options,
    /// The target used where a scenario names none.
    pub target: String,
}

/// Without `..`, so that a file has one name however it was reached.
fn absolute(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components() {
        match component {
            Component::ParentDir => drop(out.pop()),
            other => out.push(other),
        }
    }
    out
}

/// A scenario or data file larger than this is a mistake.
const MAX_FILE: u64 = 256 << 20;

/// Reads a file; a pipe would be waited for for ever.
fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let told = path.metadata().map_err(|e| e.to_string())?;
    if !told.is_file() {
        return Err("it is no regular file".into());
    }
    if told.len() > MAX_FILE {
        return Err(format!("it has {} bytes, and {MAX_FILE} is the most that is read", told.len()));
    }
    std::fs::read(path).map_err(|e| e.to_string())
}

/// The configuration file: as told, or the nearest roadworthy.yaml upwards.
fn find_config(told: Option<&Path>, from: &Path) -> Result<Option<PathBuf>, Vec<Diagnostic>> {
    match told {
        Some(path) if path.is_file() => Ok(Some(absolute(path))),
        Some(path) => Err(vec![Diagnostic::error("no-config", format!("there is no configuration file {}", path.display()))]),
        None => Ok(absolute(from).ancestors().map(|d| d.join("roadworthy.yaml")).find(|p| p.is_file())),
    }
}

/// Reads a text file that must be UTF-8.
fn read_text(path: &Path, name: &str) -> Result<String, Diagnostic> {
    let bytes = read_file(path).map_err(|e| Diagnostic::error("unreadable", format!("{name} cannot be read: {e}")))?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        Diagnostic::error("not-utf8", format!("{name}:{line}: byte {at} is not UTF-8")).hint("save the file as UTF-8")
    })
}

/// Opens the project and plans every case that the arguments name.
pub fn planned(args: &ProjectArgs) -> Result<(Project, Vec<Planned>), Vec<Diagnostic>> {
    let project = open(&args.common, Path::new("."))?;
    let scenarios = project.scenarios(args)?;
    let planned = project.plan(&scenarios)?;
    Ok((project, planned))
}

/// Opens the project of the working directory.
pub fn open(common: &CommonArgs, from: &Path) -> Result<Project, Vec<Diagnostic>> {
    let config = find_config(common.config.as_deref(), from)?;
    let root = config.as_deref().and_then(Path::parent).map_or_else(|| absolute(from), Path::to_owned);
    let source = match &config {
        Some(path) => {
            let name = path.file_name().map_or("roadworthy.yaml".into(), |n| n.to_string_lossy().into_owned());
            let text = read_text(path, &name).map_err(|d| vec![d])?;
            Some(Arc::new(Source { name, text }))
        }
        None => None,
    };
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
    let settings =
        crate::options::settings(source.as_ref(), common.profile.as_deref(), &target, overrides, &|name| std::env::var(name).ok())?;
    let options = settings.options()?;
    Ok(Project { root, settings, options, target })
}

impl Project {
    /// Reads and parses every scenario file that is asked for. All mistakes of all files come together.
    pub fn scenarios(&self, args: &ProjectArgs) -> Result<Vec<Scenario>, Vec<Diagnostic>> {
        let mut found = Vec::new();
        let mut scenarios = Vec::new();
        for path in self.files(&args.paths)? {
            let name = self.name(&path);
            match read_text(&path, &name) {
                Err(diagnostic) => found.push(diagnostic),
                Ok(text) => match scenario::parse(&Arc::new(Source { name, text }), self) {
                    Ok(scenario) => scenarios.push(scenario),
                    Err(mut more) => found.append(&mut more),
                },
            }
        }
        if found.is_empty() { Ok(scenarios) } else { Err(found) }
    }

    /// Plans what was read.
    pub fn plan(&self, scenarios: &[Scenario]) -> Result<Vec<Planned>, Vec<Diagnostic>> {
        let mut found = Vec::new();
        let mut planned = Vec::new();
        for scenario in scenarios {
            match expand(scenario, &self.prefix(&scenario.source.name), self) {
                Ok(mut cases) => planned.append(&mut cases),
                Err(mut more) => found.append(&mut more),
            }
        }
        for (i, case) in planned.iter_mut().enumerate() {
            case.position = i as u64;
            if case.target == "default" {
                case.target.clone_from(&self.target);
            }
            if !self.options.targets.contains_key(&case.target) {
                let known: Vec<&str> = self.options.targets.keys().map(String::as_str).collect();
                found.push(
                    Diagnostic::error("unknown-target", format!("{}:{}: there is no target `{}`", case.file, case.line, case.target))
                        .hint(format!("targets of roadworthy.yaml: {}", known.join(", "))),
                );
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

    /// The files under the given paths, or under `scenarios`; simulated services and excluded paths left out. Sorted.
    fn files(&self, paths: &[PathBuf]) -> Result<Vec<PathBuf>, Vec<Diagnostic>> {
        let told = !paths.is_empty();
        let starts: Vec<PathBuf> = if told {
            paths.iter().map(|p| absolute(p)).collect()
        } else {
            self.options.scenarios.iter().map(|p| self.root.join(p)).collect()
        };
        let excluded: Vec<PathBuf> = self.options.exclude.iter().map(|p| self.root.join(p)).collect();
        let mut files = Vec::new();
        let mut found = Vec::new();
        for start in starts {
            if start.is_file() {
                files.push(start);
            } else if start.is_dir() {
                walk(&start, &excluded, &mut files, 0);
            } else if told {
                found.push(Diagnostic::error("no-file", format!("there is no file or folder {}", self.name(&start))));
            }
        }
        files.sort();
        files.dedup();
        if found.is_empty() { Ok(files) } else { Err(found) }
    }

    /// A path as shown to people: relative to the project where it lies inside.
    pub fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().replace('\\', "/")
    }

    /// A file's part of case ids: its path without ending and without the folder that all scenarios share.
    pub fn prefix(&self, name: &str) -> String {
        let ending = [".yaml", ".yml"].iter().find(|ending| name.to_lowercase().ends_with(*ending));
        let stem = &name[..name.len() - ending.map_or(0, |ending| ending.len())];
        let inside = self.options.scenarios.iter().find_map(|dir| stem.strip_prefix(&format!("{}/", dir.trim_end_matches('/'))));
        let stem = inside.unwrap_or(stem);
        // A file outside the project is told by its name alone: ids must not hold the paths of a machine.
        if Path::new(stem).is_absolute() { stem.rsplit('/').next().unwrap_or(stem).to_owned() } else { stem.to_owned() }
    }
}

fn walk(dir: &Path, excluded: &[PathBuf], files: &mut Vec<PathBuf>, depth: usize) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.filter_map(|e| Some(e.ok()?.path())) {
        let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
        if name.starts_with('.') || excluded.contains(&path) {
            continue;
        }
        let is_link = path.symlink_metadata().is_ok_and(|m| m.is_symlink());
        if path.is_dir() && !is_link && depth < 32 {
            walk(&path, excluded, files, depth + 1);
        } else if (name.ends_with(".yaml") || name.ends_with(".yml")) && !name.ends_with(".sim.yaml") && name != "roadworthy.yaml" {
            // Data sets may be YAML, too; only what looks like a scenario is one. A broken file still counts, so that it is told.
            let is_data = read_file(&path).is_ok_and(|bytes| {
                String::from_utf8_lossy(&bytes)
                    .trim_start_matches('\u{feff}')
                    .lines()
                    .find(|l| !l.trim().is_empty() && !l.starts_with('#'))
                    .is_some_and(|l| l.starts_with('-') && !l.starts_with("---"))
            });
            if !is_data {
                files.push(path);
            }
        }
    }
}

impl Files for Project {
    fn read(&self, scenario: &str, path: &str) -> Result<Vec<u8>, String> {
        self.find(scenario, path)?.ok_or_else(|| format!("`{path}` cannot be read: there is no such file"))
    }

    fn find(&self, scenario: &str, path: &str) -> Result<Option<Vec<u8>>, String> {
        let asked = Path::new(path);
        if asked.is_absolute() {
            return Err(format!("`{path}` is an absolute path; paths are relative to the scenario file"));
        }
        let file = self.root.join(scenario);
        let base = file.parent().unwrap_or(&self.root);
        let root = if file.starts_with(&self.root) { self.root.as_path() } else { base };
        let outside = || format!("`{path}` leads out of the project");
        let mut depth = base.strip_prefix(root).map_or(0, |p| p.components().count()) as i64;
        for component in asked.components() {
            depth += match component {
                Component::ParentDir => -1,
                Component::Normal(_) => 1,
                _ => 0,
            };
            if depth < 0 {
                return Err(outside());
            }
        }
        let full = base.join(asked);
        // A link may lead out, too.
        let real = match full.canonicalize() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| format!("`{path}` cannot be read: {e}"))?,
        };
        if !root.canonicalize().is_ok_and(|root| real.starts_with(root)) {
            return Err(outside());
        }
        read_file(&real).map(Some).map_err(|e| format!("`{path}` cannot be read: {e}"))
    }
}
