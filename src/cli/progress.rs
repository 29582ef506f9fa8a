//! A progress bar on a terminal, beside the lines that libtest-mimic prints. Its lines come through a pipe, so that the bar can
//! step aside for each of them. Elsewhere standard output stands behind a pipe of its own.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// A bar and, on a terminal, the pipe that takes the lines.
pub struct Progress {
    bar: ProgressBar,
    #[cfg(unix)]
    pipe: Option<(std::io::PipeWriter, std::thread::JoinHandle<()>)>,
}

impl Progress {
    /// A bar only where a person looks on: both streams a terminal, no CI.
    /// `columns`: the width that names of cases are set to, where the harness would count it wrongly.
    pub fn start(cases: usize, columns: Option<usize>) -> Progress {
        let watched = std::io::stderr().is_terminal() && std::io::stdout().is_terminal() && std::env::var_os("CI").is_none();
        if !watched || cases < 2 {
            super::stdout::behind_a_pipe(columns);
            return Progress {
                bar: ProgressBar::hidden(),
                #[cfg(unix)]
                pipe: None,
            };
        }
        let bar = ProgressBar::with_draw_target(Some(cases as u64), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Progress {
            #[cfg(unix)]
            pipe: lines_through(&bar, columns),
            bar,
        }
    }

    /// The file that takes the case lines instead of standard output, if any.
    pub fn logfile(&self) -> Option<String> {
        #[cfg(unix)]
        {
            use std::os::fd::AsRawFd;
            self.pipe.as_ref().map(|(writer, _)| format!("/dev/fd/{}", writer.as_raw_fd()))
        }
        #[cfg(not(unix))]
        None
    }

    pub fn step(&self) {
        self.bar.inc(1);
    }

    /// Ends the bar once every line has been shown.
    pub fn finish(self) {
        #[cfg(unix)]
        if let Some((writer, reader)) = self.pipe {
            drop(writer);
            let _ = reader.join();
        }
        self.bar.finish_and_clear();
        super::stdout::direct();
    }
}

#[cfg(unix)]
fn lines_through(bar: &ProgressBar, columns: Option<usize>) -> Option<(std::io::PipeWriter, std::thread::JoinHandle<()>)> {
    use std::io::BufRead;
    // The printer opens the pipe by its name.
    if !std::path::Path::new("/dev/fd").exists() {
        return None;
    }
    let (reader, writer) = std::io::pipe().ok()?;
    let bar = bar.clone();
    let thread = std::thread::spawn(move || {
        for line in std::io::BufReader::new(reader).lines().map_while(Result::ok) {
            let line = columns.map_or_else(|| line.clone(), |columns| super::stdout::aligned(&line, columns));
            bar.suspend(|| super::output::data(&format!("{line}\n")));
        }
    });
    Some((writer, thread))
}
