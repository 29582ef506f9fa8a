//! Appends the events of a run to a file, one JSON object a line, secrets taken out; and reads such a file again.

use crate::event::{Event, fold};
use crate::record::{FORMAT, RunRecord};
use crate::redact::Redactor;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The file, and lines that may wait for the next write.
#[derive(Debug)]
struct Out {
    file: File,
    waiting: String,
    /// Other processes write the same file.
    shared: bool,
    /// The last write failed, perhaps in the middle of a line.
    torn: bool,
    /// The first failure to write; told at the end, because a full disk should not stop the judging.
    failed: Option<String>,
}

impl Out {
    /// Hands what waits to the system.
    fn flush(&mut self) {
        let mut line = std::mem::take(&mut self.waiting);
        let file = &self.file;
        // A long line may not be written in one piece, so processes take turns.
        let turn = if self.shared { file.lock() } else { Ok(()) };
        // Another process may have been killed in the middle of its line.
        if self.torn || self.shared && turn.is_ok() && breaks_off(file) {
            line.insert(0, '\n');
        }
        let written = turn.and_then(|()| (&mut &*file).write_all(line.as_bytes()));
        if self.shared {
            let _ = file.unlock();
        }
        self.torn = written.is_err();
        if let Err(e) = written {
            self.failed.get_or_insert(e.to_string());
        }
    }
}

/// Whether a file ends within a line.
fn breaks_off(mut file: &File) -> bool {
    let mut last = [b'\n'];
    // What is appended goes to the end, wherever was read.
    file.seek(SeekFrom::End(-1)).is_ok() && file.read(&mut last).is_ok() && last != [b'\n']
}

/// How long what has only begun may wait for its line.
const SOON: Duration = Duration::from_millis(100);

/// An open journal. Every event is handed to the operating system before the call returns, so a kill loses nothing finished; that a
/// case began stands there soon after.
#[derive(Debug)]
pub struct Journal {
    out: Arc<Mutex<Out>>,
    pub path: PathBuf,
    redactor: Redactor,
}

impl Journal {
    /// Opens `<dir>/<run_id>.jsonl` for appending. `shared` when several processes write one run.
    pub fn open(dir: &Path, run_id: &str, redactor: Redactor, shared: bool) -> std::io::Result<Journal> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(format!("{run_id}.jsonl"));
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
        let out = Arc::new(Mutex::new(Out { file, waiting: String::new(), shared, torn: false, failed: None }));
        let watched = Arc::downgrade(&out);
        std::thread::spawn(move || {
            while let Some(out) = watched.upgrade() {
                let mut out = out.lock().expect("no panic under this lock");
                if !out.waiting.is_empty() {
                    out.flush();
                }
                drop(out);
                std::thread::sleep(SOON);
            }
        });
        Ok(Journal { out, path, redactor })
    }

    pub fn write(&self, event: &Event) {
        // Most lines fit, and growing costs as much as writing them.
        let mut line = Vec::with_capacity(4096);
        if let Err(e) = serde_json::to_writer(&mut line, event) {
            self.out.lock().expect("no panic under this lock").failed.get_or_insert(e.to_string());
            return;
        }
        let mut line = String::from_utf8(line).expect("JSON is UTF-8");
        self.redactor.wash_json(&mut line);
        line.push('\n');
        let mut out = self.out.lock().expect("no panic under this lock");
        out.waiting.push_str(&line);
        if matches!(event, Event::CaseStarted { .. }) {
            // Nothing is finished by it: it goes out with the next line.
            return;
        }
        out.flush();
    }

    /// Why the record is incomplete, if it is.
    pub fn failure(&self) -> Option<String> {
        self.out.lock().expect("no panic under this lock").failed.clone()
    }
}

/// How every line begins.
const BEGIN: &[u8] = b"{\"event\":";

/// Reads a journal. The last line may be cut off. Another broken line, which a full disk leaves, loses only itself, and the run counts
/// as cut off; a file with more of them is none of ours.
pub fn read(path: &Path) -> Result<RunRecord, String> {
    let name = path.display();
    // Bytes: the cut may go through a character.
    let bytes = std::fs::read(path).map_err(|e| format!("{name} cannot be read: {e}"))?;
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
    let mut events = Vec::with_capacity(lines.len());
    let mut torn = 0;
    for (i, line) in lines.iter().enumerate() {
        match serde_json::from_slice::<Event>(line) {
            Ok(event) => events.push(event),
            // Cut, and another process went on in the same line: quotes inside of a text would not stand so.
            Err(_)
                if let Some(at) = line.windows(BEGIN.len()).rposition(|w| w == BEGIN).filter(|at| *at > 0 && line.starts_with(BEGIN)) =>
            {
                torn += 1;
                if let Ok(event) = serde_json::from_slice::<Event>(&line[at..]) {
                    events.push(event);
                }
            }
            Err(_) if i + 1 == lines.len() && !bytes.ends_with(b"\n") => break,
            // Cut in its middle: a line that was written whole, or by somebody else, is broken otherwise.
            Err(e) if e.is_eof() && (line.starts_with(BEGIN) || BEGIN.starts_with(line)) => torn += 1,
            Err(e) => return Err(format!("{name}:{}: not an event of a run: {e}", i + 1)),
        }
    }
    if torn > 0 {
        // What those lines said is not known, so the run has not come to its end.
        events.retain(|event| !matches!(event, Event::RunFinished(_)));
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

/// The newest journal of a folder.
pub fn newest(dir: &Path) -> Option<PathBuf> {
    all(dir).pop()
}

/// The journals of a folder, the newest last. They say themselves when they began: nextest's run ids do not.
pub fn all(dir: &Path) -> Vec<PathBuf> {
    let began = |path: &PathBuf| -> Option<String> {
        let mut line = Vec::new();
        BufReader::new(File::open(path).ok()?).take(1 << 20).read_until(b'\n', &mut line).ok()?;
        match serde_json::from_slice(&line).ok()? {
            Event::RunStarted(header) => Some(header.started_at),
            _ => None,
        }
    };
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|x| x == "jsonl")).collect();
    found.sort_by_cached_key(|path| (began(path), path.clone()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RunHeader;

    #[test]
    fn a_cut_last_line_loses_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), "r", Redactor::new(["topsecret".to_owned()]), true).unwrap();
        journal.write(&Event::RunStarted(Box::new(RunHeader {
            format: FORMAT,
            run_id: "r".into(),
            version: "topsecret".into(),
            ..RunHeader::default()
        })));
        journal.write(&Event::CaseStarted { id: "a".into(), position: 0 });
        journal.write(&Event::RunFinished(crate::record::RunEnd::default()));
        let text = std::fs::read_to_string(&journal.path).unwrap();
        assert!(!text.contains("topsecret"));
        std::fs::write(&journal.path, &text[..text.len() - 5]).unwrap();
        assert_eq!(read(&journal.path).unwrap().header.run_id, "r");
        // Inside a character.
        std::fs::write(&journal.path, [text.as_bytes(), b"{\"event\":\"case_started\",\"id\":\"\xe4\xbd"].concat()).unwrap();
        assert_eq!(read(&journal.path).unwrap().header.run_id, "r");
        std::fs::write(&journal.path, format!("{text}garbage\n{{}}\n")).unwrap();
        assert!(read(&journal.path).unwrap_err().contains(":4: "));
        let lines: Vec<&str> = text.lines().collect();
        let torn = format!("{}\n{}\n{}\n", lines[0], &lines[1][..lines[1].len() - 4], lines[2]);
        std::fs::write(&journal.path, torn).unwrap();
        assert!(read(&journal.path).unwrap().end.is_none());
    }

    #[test]
    fn a_line_torn_by_another_process_loses_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Journal::open(dir.path(), "r", Redactor::default(), true).unwrap();
        let journal = open();
        journal.write(&Event::RunStarted(Box::new(RunHeader { format: FORMAT, run_id: "r".into(), ..RunHeader::default() })));
        let begun = std::fs::read_to_string(&journal.path).unwrap();
        let torn = "{\"event\":\"case_finished\",\"id\":\"a";
        std::fs::write(&journal.path, format!("{begun}{torn}")).unwrap();
        open().write(&Event::RunFinished(crate::record::RunEnd::default()));
        let text = std::fs::read_to_string(&journal.path).unwrap();
        assert!(text.lines().count() == 3 && read(&journal.path).unwrap().end.is_none(), "{text}");
        // As an older version left it.
        let id = "{\"event\":\"case_started\",\"id\":\"b\"}";
        std::fs::write(&journal.path, format!("{begun}{torn}{id}\n")).unwrap();
        assert_eq!(read(&journal.path).unwrap().cases[0].id, "b");
    }

    #[test]
    fn a_secret_of_digits_leaves_numbers_alone() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), "r", Redactor::new(["100000".to_owned()]), false).unwrap();
        journal.write(&Event::RunStarted(Box::new(RunHeader {
            format: FORMAT,
            run_id: "r".into(),
            seed: 1_000_003,
            ..RunHeader::default()
        })));
        journal.write(&Event::CaseStarted { id: "say 100000".into(), position: 100_000 });
        journal.write(&Event::RunFinished(crate::record::RunEnd::default()));
        let record = read(&journal.path).unwrap();
        assert_eq!((record.header.seed, record.cases[0].id.as_str()), (1_000_003, "say [secret]"));
    }
}
