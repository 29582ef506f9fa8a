//! Standard output behind a pipe of our own while a test harness prints to it: a harness panics when it cannot print, and a reader
//! that went away, or a full disk, is no reason to stop judging. On the way its lines are set to one width: it counts characters, and
//! Chinese ones take two columns.

use unicode_width::UnicodeWidthStr;

/// The columns that the longest of some names takes, where one of them takes more than it has characters.
pub fn columns<'a>(names: impl Iterator<Item = &'a str>) -> Option<usize> {
    let (mut widest, mut wide) = (0, false);
    for name in names {
        let width = name.width();
        widest = widest.max(width);
        wide |= width != name.chars().count();
    }
    wide.then_some(widest)
}

/// A line `test NAME ... ok` of the harness with its name set to so many columns; any other as it is.
pub fn aligned(line: &str, columns: usize) -> String {
    let parts = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "));
    match parts {
        Some((name, verdict)) => {
            let name = name.trim_end();
            let fill = columns.saturating_sub(name.width());
            format!("test {name}{:fill$} ... {verdict}", "")
        }
        None => line.to_owned(),
    }
}

#[cfg(unix)]
mod unix {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::sync::Mutex;
    use std::thread::JoinHandle;
    use std::time::Duration;

    /// How long lines gather before they are passed on, so that a quick suite does not wake a thread for each.
    const GATHER: Duration = Duration::from_millis(10);

    struct Behind {
        real: OwnedFd,
        reader: JoinHandle<()>,
    }

    static BEHIND: Mutex<Option<Behind>> = Mutex::new(None);

    pub fn behind_a_pipe(columns: Option<usize>) {
        let mut behind = BEHIND.lock().expect("no panic under this lock");
        if behind.is_none() {
            *behind = start(columns);
        }
    }

    fn start(columns: Option<usize>) -> Option<Behind> {
        let real = rustix::io::dup(rustix::stdio::stdout()).ok()?;
        let (mut from, to) = std::io::pipe().ok()?;
        let mut out = std::fs::File::from(real.try_clone().ok()?);
        rustix::stdio::dup2_stdout(&to).ok()?;
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            // The beginning of a line whose end has not come.
            let mut begun: Vec<u8> = Vec::new();
            let mut pass = |bytes: &[u8]| {
                // Read on when nobody listens, or the writer would stand still.
                if out.write_all(bytes).is_err() {
                    crate::cli::output::unheard();
                }
            };
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                match columns {
                    None => pass(&buffer[..n]),
                    Some(columns) => {
                        begun.extend_from_slice(&buffer[..n]);
                        let whole = begun.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                        let lines = String::from_utf8_lossy(&begun[..whole]).into_owned();
                        let set: String = lines.split_inclusive('\n').map(|line| super::aligned(line, columns)).collect();
                        pass(set.as_bytes());
                        begun.drain(..whole);
                    }
                }
                std::thread::sleep(GATHER);
            }
            pass(&begun);
        });
        Some(Behind { real, reader })
    }

    pub fn direct() {
        let Some(Behind { real, reader }) = BEHIND.lock().expect("no panic under this lock").take() else { return };
        let _ = std::io::stdout().flush();
        // This closes the last end that writes to the pipe.
        if rustix::stdio::dup2_stdout(&real).is_ok() {
            let _ = reader.join();
        }
    }
}

/// Puts a pipe before standard output; with `columns`, names of tests are set to that width.
pub fn behind_a_pipe(columns: Option<usize>) {
    #[cfg(unix)]
    unix::behind_a_pipe(columns);
    #[cfg(not(unix))]
    let _ = columns;
}

/// Passes on what is in the pipe and takes it away. Does nothing when there is none.
pub fn direct() {
    #[cfg(unix)]
    unix::direct();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_set_to_the_columns_they_take() {
        assert_eq!(columns(["a::b", "long name"].into_iter()), None);
        let columns = columns(["a::问候", "a::b", "a::long"].into_iter()).unwrap();
        assert_eq!(columns, 7);
        assert_eq!(aligned("test a::问候    ... ok\n", columns), "test a::问候 ... ok\n");
        assert_eq!(aligned("test a::b       ... FAILED\n", columns), "test a::b    ... FAILED\n");
        assert_eq!(aligned("failures:\n", columns), "failures:\n");
    }
}
