//! Standard output for data, standard error for talk. A closed pipe is no reason to panic.

use super::args::Color;
use crate::diagnostic::{Diagnostic, Severity};
use crate::verdict::Exit;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

static UNHEARD: AtomicBool = AtomicBool::new(false);

pub fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        unheard();
    }
}

pub(super) fn unheard() {
    UNHEARD.store(true, Ordering::Relaxed);
}

/// False once standard output took no more: a closed pipe, a full device.
pub fn is_heard() -> bool {
    !UNHEARD.load(Ordering::Relaxed)
}

pub fn talk(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Whether to color what goes to standard output.
pub fn color(choice: Color) -> bool {
    match choice {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal(),
    }
}

/// How many diagnostics are shown before the rest is counted.
const MAX_SHOWN: usize = 50;

/// Shows every diagnostic and a count.
pub fn diagnostics(found: &[Diagnostic], color: bool) {
    for diagnostic in found.iter().take(MAX_SHOWN) {
        talk(&format!("{}\n", diagnostic.render(color)));
    }
    if found.len() > MAX_SHOWN {
        talk(&format!("… and {} more\n", found.len() - MAX_SHOWN));
    }
    let count = |severity| found.iter().filter(|d| d.severity == severity).count();
    let plural = |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let mut parts = Vec::new();
    if errors > 0 {
        parts.push(plural(errors, "error"));
    }
    if warnings > 0 {
        parts.push(plural(warnings, "warning"));
    }
    if !parts.is_empty() {
        talk(&parts.join(", "));
    }
}

/// Adds to a file that CI reads.
pub fn append_file(path: &Path, text: &str) -> Result<(), String> {
    let append = || std::fs::OpenOptions::new().create(true).append(true).open(path).and_then(|mut f| f.write_all(text.as_bytes()));
    append().map_err(|e| format!("{} cannot be written: {e}", path.display()))
}

/// Writes the file that a flag names, if it names one, and tells what became of it.
pub fn written(path: Option<&Path>, render: impl FnOnce() -> String) -> Exit {
    let Some(path) = path else { return Exit::Pass };
    match write_file(path, render()) {
        Ok(()) => {
            talk(&format!("wrote {}", path.display()));
            Exit::Pass
        }
        Err(why) => {
            talk(&format!("error: {why}"));
            Exit::NotWritten
        }
    }
}

/// Writes a file whole or not at all, making its folder. A device, pipe or link is written to, never replaced:
/// renaming a file over `/dev/null` would take the device away from the whole machine.
pub fn write_file(path: &Path, content: impl AsRef<[u8]>) -> Result<(), String> {
    let content = content.as_ref();
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        if path.symlink_metadata().is_ok_and(|m| !m.is_file()) {
            let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(path)?;
            return file.write_all(content).and_then(|()| file.flush());
        }
        std::fs::create_dir_all(dir)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(content)?;
        // Readable like any other file; temporary files are private.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|e| format!("{} cannot be written: {e}", path.display()))
}
