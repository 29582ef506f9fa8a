//! Appends the events of a run to a file, one JSON object a line, secrets taken out; and reads such a file again.

use crate::event::{Event, fold};
use crate::record::{FORMAT, RunRecord};
use crate::redact::Redactor;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The file, and lines that may wait for the next write.
#[derive(Debug)]
struct Out {
    file: File,
    waiting: String,
}

/// An open journal. Every event is handed to the operating system before the call returns, so a kill loses nothing finished.
#[derive(Debug)]
pub struct Journal {
    file: Mutex<Out>,
    pub path: PathBuf,
    redactor: Redactor,
    /// Other processes write the same file.
    shared: bool,
    /// The first failure to write; told at the end, because a full disk should not stop the judging.
    failed: Mutex<Option<String>>,
}

impl Journal {
    /// Opens `<dir>/<run_id>.jsonl` for appending. `shared` when several processes write one run.
    pub fn open(dir: &Path, run_id: &str, redactor: Redactor, shared: bool) -> std::io::Result<Journal> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(format!("{run_id}.jsonl"));
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok(Journal { file: Mutex::new(Out { file, waiting: String::new() }), path, redactor, shared, failed: Mutex::new(None) })
    }

    pub fn write(&self, event: &Event) {
        // Most lines fit, and growing costs as much as writing them.
        let mut line = Vec::with_capacity(4096);
        if let Err(e) = serde_json::to_writer(&mut line, event) {
            return self.fail(e.to_string());
        }
        let mut line = String::from_utf8(line).expect("JSON is UTF-8");
        self.redactor.wash(&mut line);
        line.push('\n');
        let mut out = self.file.lock().expect("no panic under this lock");
        out.waiting.push_str(&line);
        if matches!(event, Event::CaseStarted { .. }) {
            // Nothing is finished by it: it goes out with the next line.
            return;
        }
        let line = std::mem::take(&mut out.waiting);
        let file = &out.file;
        // A long line may not be written in one piece, so processes take turns.
        let turn = if self.shared { file.lock() } else { Ok(()) };
        let written = turn.and_then(|()| (&mut &*file).write_all(line.as_bytes()));
        if self.shared {
            let _ = file.unlock();
        }
        if let Err(e) = written {
            self.fail(e.to_string());
        }
    }

    fn fail(&self, why: String) {
        self.failed.lock().expect("no panic under this lock").get_or_insert(why);
    }

    /// Why the record is incomplete, if it is.
    pub fn failure(&self) -> Option<String> {
        self.failed.lock().expect("no panic under this lock").clone()
    }
}

/// Reads a journal. The last line may be cut off; any other broken line is an error with its number.
pub fn read(path: &Path) -> Result<RunRecord, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| format!("{name} cannot be read: {e}"))?;
    let lines: Vec<&str> = text.lines().collect();
    let mut events = Vec::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        match serde_json::from_str::<Event>(line) {
            Ok(event) => events.push(event),
            Err(_) if i + 1 == lines.len() && !text.ends_with('\n') => break,
            Err(e) => return Err(format!("{name}:{}: not an event of a run: {e}", i + 1)),
        }
    }
    if !matches!(events.first(), Some(Event::RunStarted(_))) {
        return Err(format!("{name} is not the record of a run: it does not begin with `run_started`"));
    }
    let record = fold(events);
    if record.header.format > FORMAT {
        return Err(format!("{name} has format {}, and this version of roadworthy reads up to {FORMAT}", record.header.format));
    }
    Ok(record)
}

/// The newest journal of a folder, by its name, which begins with the time.
pub fn newest(dir: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?;
    entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|x| x == "jsonl")).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RunHeader;

    #[test]
    fn a_cut_last_line_loses_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), "r", Redactor::new(["topsecret".to_owned()]), true).unwrap();
        journal.write(&Event::RunStarted(RunHeader {
            format: FORMAT,
            run_id: "r".into(),
            version: "topsecret".into(),
            ..RunHeader::default()
        }));
        journal.write(&Event::CaseStarted { id: "a".into() });
        journal.write(&Event::RunFinished(crate::record::RunEnd::default()));
        let text = std::fs::read_to_string(&journal.path).unwrap();
        assert!(!text.contains("topsecret"));
        std::fs::write(&journal.path, &text[..text.len() - 5]).unwrap();
        assert_eq!(read(&journal.path).unwrap().header.run_id, "r");
        std::fs::write(&journal.path, format!("{text}garbage\n{{}}\n")).unwrap();
        assert!(read(&journal.path).unwrap_err().contains(":4: "));
    }
}
