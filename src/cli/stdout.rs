//! Standard output behind a pipe of our own while a test harness prints to it: a harness panics when it cannot print, and a reader
//! that went away, or a full disk, is no reason to stop judging.

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

    pub fn behind_a_pipe() {
        let mut behind = BEHIND.lock().expect("no panic under this lock");
        if behind.is_none() {
            *behind = start();
        }
    }

    fn start() -> Option<Behind> {
        let real = rustix::io::dup(rustix::stdio::stdout()).ok()?;
        let (mut from, to) = std::io::pipe().ok()?;
        let mut out = std::fs::File::from(real.try_clone().ok()?);
        rustix::stdio::dup2_stdout(&to).ok()?;
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                // Read on when nobody listens, or the writer would stand still.
                if out.write_all(&buffer[..n]).is_err() {
                    crate::cli::output::unheard();
                }
                std::thread::sleep(GATHER);
            }
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

/// Puts a pipe before standard output.
pub fn behind_a_pipe() {
    #[cfg(unix)]
    unix::behind_a_pipe();
}

/// Passes on what is in the pipe and takes it away. Does nothing when there is none.
pub fn direct() {
    #[cfg(unix)]
    unix::direct();
}
