//! Where a project's files lie, and which of them are scenarios. The only place that reads scenario files.

use crate::diagnostic::{Diagnostic, Source};
use crate::scenario::tree::{self, Node};
use crate::scenario::{self, Files, Scenario};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The folders of a project.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The folder of roadworthy.yaml, or the working directory.
    pub root: PathBuf,
    /// Folders and files of scenarios.
    pub scenarios: Vec<String>,
    pub exclude: Vec<String>,
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

/// Reads a text file that must be UTF-8.
pub(super) fn read_text(path: &Path, name: &str) -> Result<String, Diagnostic> {
    let bytes = read_file(path).map_err(|e| Diagnostic::error("unreadable", format!("{name} cannot be read: {e}")))?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        Diagnostic::error("not-utf8", format!("{name}:{line}: byte {at} is not UTF-8")).hint("save the file as UTF-8")
    })
}

/// Without `..`, so that a file has one name however it was reached.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components() {
        match component {
            Component::ParentDir => drop(out.pop()),
            other => out.push(other),
        }
    }
    out
}

impl Layout {
    /// What a configuration says of its folders, however wrong the rest of it is.
    pub fn of(root: PathBuf, config: Option<&Arc<Source>>) -> Layout {
        let tree = config.and_then(|source| tree::parse(source).ok());
        let list = |key: &str, default: &[&str]| match tree.as_ref().and_then(|t| t.get(key)) {
            Some(node) => node.items().unwrap_or(std::slice::from_ref(node)).iter().filter_map(Node::text).map(str::to_owned).collect(),
            None => default.iter().map(|text| (*text).to_owned()).collect(),
        };
        Layout { root, scenarios: list("scenarios", &["scenarios"]), exclude: list("exclude", &[]) }
    }

    /// Reads and parses every scenario file under the given paths, or all of the project; the mistakes of all files stand beside.
    pub fn read(&self, paths: &[PathBuf]) -> (Vec<Scenario>, Vec<Diagnostic>) {
        let mut found = Vec::new();
        let mut scenarios = Vec::new();
        for path in self.files(paths, &mut found) {
            let name = self.name(&path);
            match read_text(&path, &name) {
                Err(diagnostic) => found.push(diagnostic),
                Ok(text) => match scenario::parse(&Arc::new(Source { name, text }), self) {
                    Ok(scenario) => scenarios.push(scenario),
                    Err(mut more) => found.append(&mut more),
                },
            }
        }
        (scenarios, found)
    }

    /// The files under the given paths, or under `scenarios`; simulated services and excluded paths left out. Sorted.
    fn files(&self, paths: &[PathBuf], found: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
        let told = !paths.is_empty();
        let starts: Vec<PathBuf> =
            if told { paths.iter().map(|p| absolute(p)).collect() } else { self.scenarios.iter().map(|p| self.root.join(p)).collect() };
        let excluded: Vec<PathBuf> = self.exclude.iter().map(|p| self.root.join(p)).collect();
        let mut files = Vec::new();
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
        files
    }

    /// A path as shown to people: relative to the project where it lies inside.
    pub fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().replace('\\', "/")
    }

    /// A file's part of case ids: its path without ending and without the folder that all scenarios share.
    pub fn prefix(&self, name: &str) -> String {
        let ending = [".yaml", ".yml"].iter().find(|ending| name.to_lowercase().ends_with(*ending));
        let stem = &name[..name.len() - ending.map_or(0, |ending| ending.len())];
        let inside = self.scenarios.iter().find_map(|dir| stem.strip_prefix(&format!("{}/", dir.trim_end_matches('/'))));
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

impl Files for Layout {
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
