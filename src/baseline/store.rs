//! The files under `baselines/`. Writers take turns by a lock and replace files whole, so a kill at any moment leaves the old or the new.

use super::entry::{Entry, Release, VERSION};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

const RELEASES: &str = "releases.jsonl";

/// A line that cannot be read, or a file that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{file}:{line}: {why}")]
pub struct Fault {
    pub file: String,
    /// From 1; 0 for the file as a whole.
    pub line: usize,
    pub why: String,
}

/// A folder of baselines.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    pub fn at(dir: impl Into<PathBuf>) -> Store {
        Store { dir: dir.into() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, scenario: &str) -> PathBuf {
        self.dir.join(format!("{scenario}.jsonl"))
    }

    /// The scenarios that have a history, sorted.
    pub fn scenarios(&self) -> Vec<String> {
        fn walk(dir: &Path, root: &Path, out: &mut Vec<String>) {
            for path in std::fs::read_dir(dir).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())) {
                if path.is_dir() {
                    walk(&path, root, out);
                } else if let Some(name) = path.strip_prefix(root).ok().and_then(|p| p.to_str()?.strip_suffix(".jsonl").map(str::to_owned))
                    && path != root.join(RELEASES)
                {
                    out.push(name.replace('\\', "/"));
                }
            }
        }
        let mut out = Vec::new();
        walk(&self.dir, &self.dir, &mut out);
        out.sort();
        out
    }

    /// The history of a scenario, oldest first, each run once: a union merge may leave lines twice and out of order.
    pub fn entries(&self, scenario: &str) -> Result<Vec<Entry>, Vec<Fault>> {
        let mut entries: Vec<Entry> = self.lines(&self.path(scenario), |e: &Entry| e.v)?;
        entries.sort_by(|a, b| (&a.at, &a.run).cmp(&(&b.at, &b.run)));
        entries.dedup_by(|a, b| a.run == b.run);
        Ok(entries)
    }

    /// Approved releases, oldest first.
    pub fn releases(&self) -> Result<Vec<Release>, Vec<Fault>> {
        let mut releases: Vec<Release> = self.lines(&self.dir.join(RELEASES), |r: &Release| r.v)?;
        releases.sort_by(|a, b| a.at.cmp(&b.at));
        Ok(releases)
    }

    fn lines<T: DeserializeOwned>(&self, path: &Path, version: impl Fn(&T) -> u32) -> Result<Vec<T>, Vec<Fault>> {
        let name = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(vec![Fault { file: name, line: 0, why: format!("cannot be read: {e}") }]),
        };
        let mut out = Vec::new();
        let mut faults = Vec::new();
        for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let fault = |why: String| Fault { file: name.clone(), line: i + 1, why };
            if line.starts_with("<<<<<<<") || line.starts_with("=======") || line.starts_with(">>>>>>>") {
                faults.push(fault("a merge conflict was left here; keep the lines of both sides".into()));
                continue;
            }
            match serde_json::from_str::<T>(line) {
                Ok(entry) if version(&entry) > VERSION => {
                    faults.push(fault(format!("format {} is later than {VERSION}, which this version reads", version(&entry))));
                }
                Ok(entry) => out.push(entry),
                Err(e) => faults.push(fault(format!("not an entry: {e}"))),
            }
        }
        if faults.is_empty() { Ok(out) } else { Err(faults) }
    }

    /// Takes the turn of a writer; it ends when the file is dropped.
    fn lock(&self) -> Result<File, String> {
        let failed = |e: std::io::Error| format!("{} cannot be written: {e}", self.dir.display());
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.dir.join(".lock")).map_err(failed)?;
        file.lock().map_err(failed)?;
        let attributes = self.dir.join(".gitattributes");
        if !attributes.exists() {
            // Two branches that both append keep both.
            std::fs::write(attributes, "*.jsonl merge=union text eol=lf\n").map_err(failed)?;
            std::fs::write(self.dir.join(".gitignore"), ".lock\n").map_err(failed)?;
        }
        Ok(file)
    }

    fn replace<T: Serialize>(&self, path: &Path, entries: &[T]) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("{} cannot be written: {e}", path.display());
        let dir = path.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        for entry in entries {
            let line = serde_json::to_string(entry).map_err(|e| e.to_string())?;
            writeln!(file, "{line}").map_err(failed)?;
        }
        file.as_file().sync_all().map_err(failed)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
        }
        file.persist(path).map_err(|e| failed(e.error))?;
        Ok(())
    }

    /// Adds an entry in its place. False when the run is there already.
    pub fn append(&self, scenario: &str, entry: Entry) -> Result<bool, String> {
        self.change(scenario, |entries| {
            if entries.iter().any(|e| e.run == entry.run) {
                return false;
            }
            entries.push(entry);
            entries.sort_by(|a, b| (&a.at, &a.run).cmp(&(&b.at, &b.run)));
            true
        })
    }

    /// Changes the history of a scenario while nobody else writes. `change` says whether there is anything to write.
    pub fn change(&self, scenario: &str, change: impl FnOnce(&mut Vec<Entry>) -> bool) -> Result<bool, String> {
        let _turn = self.lock()?;
        let mut entries = self.entries(scenario).map_err(|faults| faults[0].to_string())?;
        let changed = change(&mut entries);
        if changed {
            self.replace(&self.path(scenario), &entries)?;
        }
        Ok(changed)
    }

    /// Freezes an anchor. False when the release has one already.
    pub fn approve(&self, release: Release) -> Result<bool, String> {
        let _turn = self.lock()?;
        let mut releases = self.releases().map_err(|faults| faults[0].to_string())?;
        if releases.iter().any(|r| r.release == release.release) {
            return Ok(false);
        }
        releases.push(release);
        self.replace(&self.dir.join(RELEASES), &releases)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(run: &str, at: &str) -> Entry {
        Entry { v: VERSION, at: at.into(), run: run.into(), labels: Default::default(), cases: Default::default() }
    }

    #[test]
    fn sixteen_writers_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        std::thread::scope(|scope| {
            for writer in 0..16 {
                let store = &store;
                scope.spawn(move || {
                    for i in 0..8 {
                        assert!(store.append("a/b", entry(&format!("{writer}-{i}"), &format!("2026-01-{:02}T00:00:00Z", i + 1))).unwrap());
                    }
                });
            }
        });
        let entries = store.entries("a/b").unwrap();
        assert_eq!(entries.len(), 128);
        assert!(entries.windows(2).all(|w| w[0].at <= w[1].at));
        assert_eq!(store.scenarios(), ["a/b"]);
        assert!(!store.append("a/b", entry("3-3", "2026-01-04T00:00:00Z")).unwrap(), "a run counts once");
    }

    #[test]
    fn damaged_lines_are_named_and_nothing_is_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        store.append("s", entry("1", "2026-01-01T00:00:00Z")).unwrap();
        let path = dir.path().join("s.jsonl");
        let good = std::fs::read_to_string(&path).unwrap();
        // What a union merge leaves: lines twice.
        std::fs::write(&path, format!("{good}{good}")).unwrap();
        assert_eq!(store.entries("s").unwrap().len(), 1);
        std::fs::write(&path, format!("{good}<<<<<<< ours\n{{\"v\":9,\"at\":\"\",\"run\":\"x\",\"cases\":{{}}}}\nnonsense\n")).unwrap();
        let faults = store.entries("s").unwrap_err();
        assert_eq!(faults.iter().map(|f| f.line).collect::<Vec<_>>(), [2, 3, 4]);
        assert!(store.append("s", entry("2", "2026-01-02T00:00:00Z")).is_err());
        assert!(std::fs::read_to_string(&path).unwrap().contains("nonsense"));
    }

    #[test]
    fn a_release_is_approved_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let release = Release { v: VERSION, release: "v1".into(), at: "2026-01-01T00:00:00Z".into(), runs: vec!["1".into()] };
        assert!(store.approve(release.clone()).unwrap());
        assert!(!store.approve(release).unwrap());
        assert_eq!(store.releases().unwrap().len(), 1);
    }
}
