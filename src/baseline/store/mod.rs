//! Where histories lie: a folder beside the code, or a bucket. Whatever happens at any moment, what is there is the old or the new.

#[cfg(feature = "s3")]
mod bucket;
mod folder;

use super::entry::{Entry, Release, VERSION};
use folder::Folder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::{Path, PathBuf};

const RELEASES: &str = "releases.jsonl";
const BUCKET: &str = "s3://";

/// A line that cannot be read, or a file that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{file}{}: {why}", if *.line > 0 { format!(":{}", .line) } else { String::new() })]
pub struct Fault {
    pub file: String,
    /// From 1; 0 for the file as a whole.
    pub line: usize,
    pub why: String,
}

/// Why nothing was written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unwritten {
    #[error("{0}")]
    Failed(String),
    /// Others wrote again and again in between.
    #[error("{0}")]
    Overtaken(String),
}

/// Baselines, wherever they lie.
#[derive(Debug, Clone)]
pub struct Store {
    shelf: Shelf,
}

#[derive(Debug, Clone)]
enum Shelf {
    Folder(Folder),
    #[cfg(feature = "s3")]
    Bucket(bucket::Bucket),
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shelf {
            Shelf::Folder(folder) => write!(f, "{}", folder.dir.display()),
            #[cfg(feature = "s3")]
            Shelf::Bucket(bucket) => write!(f, "{bucket}"),
        }
    }
}

/// Adds what is new in its place; false when there is nothing to write.
type Change<'a> = &'a mut dyn FnMut(Option<String>) -> Result<Option<String>, Unwritten>;

impl Store {
    /// A folder of baselines.
    pub fn at(dir: impl Into<PathBuf>) -> Store {
        Store { shelf: Shelf::Folder(Folder { dir: dir.into() }) }
    }

    /// What the configuration names: a folder below `root`, or `s3://bucket/prefix`.
    pub fn open(root: &Path, told: &str) -> Result<Store, String> {
        match told.starts_with(BUCKET) {
            false => Ok(Store::at(root.join(told))),
            #[cfg(feature = "s3")]
            true => Ok(Store { shelf: Shelf::Bucket(bucket::Bucket::open(told)?) }),
            #[cfg(not(feature = "s3"))]
            true => Err(format!("{told} cannot be opened: this build knows folders only; build it with `--features s3`")),
        }
    }

    /// True when what is written has to be committed to be kept.
    pub fn is_folder(&self) -> bool {
        matches!(self.shelf, Shelf::Folder(_))
    }

    /// The scenarios that have a history, sorted. Errors name what cannot be listed.
    pub fn scenarios(&self) -> Result<Vec<String>, Vec<Fault>> {
        let mut names = match &self.shelf {
            Shelf::Folder(folder) => folder.names(),
            #[cfg(feature = "s3")]
            Shelf::Bucket(bucket) => bucket.names().map_err(|why| vec![Fault { file: bucket.to_string(), line: 0, why }])?,
        };
        names.retain(|n| n != RELEASES);
        let mut scenarios: Vec<String> = names.iter().filter_map(|n| n.strip_suffix(".jsonl")).map(str::to_owned).collect();
        scenarios.sort();
        Ok(scenarios)
    }

    /// The history of a scenario, oldest first, each run once: a union merge may leave lines twice and out of order.
    pub fn entries(&self, scenario: &str) -> Result<Vec<Entry>, Vec<Fault>> {
        entries(&self.name(&file(scenario)), self.read(&file(scenario))?.as_deref().unwrap_or_default())
    }

    /// Approved releases, oldest first.
    pub fn releases(&self) -> Result<Vec<Release>, Vec<Fault>> {
        releases(&self.name(RELEASES), self.read(RELEASES)?.as_deref().unwrap_or_default())
    }

    /// How messages name a file.
    fn name(&self, file: &str) -> String {
        match &self.shelf {
            Shelf::Folder(folder) => folder.dir.join(file).display().to_string(),
            #[cfg(feature = "s3")]
            Shelf::Bucket(bucket) => format!("{bucket}/{file}"),
        }
    }

    fn read(&self, file: &str) -> Result<Option<String>, Vec<Fault>> {
        let read = match &self.shelf {
            Shelf::Folder(folder) => folder.read(file),
            #[cfg(feature = "s3")]
            Shelf::Bucket(bucket) => bucket.read(file),
        };
        read.map_err(|why| vec![Fault { file: self.name(file), line: 0, why: format!("cannot be read: {why}") }])
    }

    fn write(&self, file: &str, change: Change<'_>) -> Result<bool, Unwritten> {
        match &self.shelf {
            Shelf::Folder(folder) => folder.change(file, change),
            #[cfg(feature = "s3")]
            Shelf::Bucket(bucket) => bucket.change(file, change),
        }
    }

    /// Adds an entry in its place. False when the run is there already.
    pub fn append(&self, scenario: &str, entry: &Entry) -> Result<bool, Unwritten> {
        self.change(scenario, |entries| {
            if entries.iter().any(|e| e.run == entry.run) {
                return false;
            }
            entries.push(entry.clone());
            entries.sort_by(|a, b| (&a.at, &a.run).cmp(&(&b.at, &b.run)));
            true
        })
    }

    /// Changes the history of a scenario. `change` says whether there is anything to write; it is asked again when others wrote in
    /// between.
    pub fn change(&self, scenario: &str, mut change: impl FnMut(&mut Vec<Entry>) -> bool) -> Result<bool, Unwritten> {
        let name = self.name(&file(scenario));
        self.write(&file(scenario), &mut |text| {
            let mut entries = entries(&name, text.as_deref().unwrap_or_default()).map_err(damaged)?;
            Ok(change(&mut entries).then(|| lines(&entries)))
        })
    }

    /// Freezes an anchor. False when the release has one already.
    pub fn approve(&self, release: &Release) -> Result<bool, Unwritten> {
        let name = self.name(RELEASES);
        self.write(RELEASES, &mut |text| {
            let mut releases = releases(&name, text.as_deref().unwrap_or_default()).map_err(damaged)?;
            if releases.iter().any(|r| r.release == release.release) {
                return Ok(None);
            }
            releases.push(release.clone());
            Ok(Some(lines(&releases)))
        })
    }
}

fn file(scenario: &str) -> String {
    format!("{scenario}.jsonl")
}

fn damaged(faults: Vec<Fault>) -> Unwritten {
    Unwritten::Failed(faults[0].to_string())
}

fn lines<T: Serialize>(entries: &[T]) -> String {
    // Maps with text keys, numbers and texts: these always become JSON.
    entries.iter().filter_map(|e| serde_json::to_string(e).ok()).fold(String::new(), |text, line| text + &line + "\n")
}

fn entries(name: &str, text: &str) -> Result<Vec<Entry>, Vec<Fault>> {
    let mut entries: Vec<Entry> = parse(name, text, |e: &Entry| e.v)?;
    entries.sort_by(|a, b| (&a.at, &a.run).cmp(&(&b.at, &b.run)));
    entries.dedup_by(|a, b| a.run == b.run);
    Ok(entries)
}

fn releases(name: &str, text: &str) -> Result<Vec<Release>, Vec<Fault>> {
    let mut releases: Vec<Release> = parse(name, text, |r: &Release| r.v)?;
    releases.sort_by(|a, b| a.at.cmp(&b.at));
    Ok(releases)
}

fn parse<T: DeserializeOwned>(name: &str, text: &str, version: impl Fn(&T) -> u32) -> Result<Vec<T>, Vec<Fault>> {
    let mut out = Vec::new();
    let mut faults = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let fault = |why: String| Fault { file: name.to_owned(), line: i + 1, why };
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
                        assert!(store.append("a/b", &entry(&format!("{writer}-{i}"), &format!("2026-01-{:02}T00:00:00Z", i + 1))).unwrap());
                    }
                });
            }
        });
        let entries = store.entries("a/b").unwrap();
        assert_eq!(entries.len(), 128);
        assert!(entries.windows(2).all(|w| w[0].at <= w[1].at));
        assert_eq!(store.scenarios().unwrap(), ["a/b"]);
        assert!(!store.append("a/b", &entry("3-3", "2026-01-04T00:00:00Z")).unwrap(), "a run counts once");
    }

    #[test]
    fn damaged_lines_are_named_and_nothing_is_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        store.append("s", &entry("1", "2026-01-01T00:00:00Z")).unwrap();
        let path = dir.path().join("s.jsonl");
        let good = std::fs::read_to_string(&path).unwrap();
        // What a union merge leaves: lines twice.
        std::fs::write(&path, format!("{good}{good}")).unwrap();
        assert_eq!(store.entries("s").unwrap().len(), 1);
        std::fs::write(&path, format!("{good}<<<<<<< ours\n{{\"v\":9,\"at\":\"\",\"run\":\"x\",\"cases\":{{}}}}\nnonsense\n")).unwrap();
        let faults = store.entries("s").unwrap_err();
        assert_eq!(faults.iter().map(|f| f.line).collect::<Vec<_>>(), [2, 3, 4]);
        assert!(store.append("s", &entry("2", "2026-01-02T00:00:00Z")).is_err());
        assert!(std::fs::read_to_string(&path).unwrap().contains("nonsense"));
    }

    #[test]
    fn a_release_is_approved_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let release = Release { v: VERSION, release: "v1".into(), at: "2026-01-01T00:00:00Z".into(), runs: vec!["1".into()] };
        assert!(store.approve(&release).unwrap());
        assert!(!store.approve(&release).unwrap());
        assert_eq!(store.releases().unwrap().len(), 1);
    }
}
