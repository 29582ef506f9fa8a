//! `roadworthy sim`: serves a simulated service until it is told to stop.

use super::args::SimArgs;
use super::output::{data, diagnostics, talk};
use crate::diagnostic::Source;
use crate::verdict::Exit;
use std::sync::Arc;

pub fn main(args: &SimArgs) -> Exit {
    let name = args.file.display().to_string();
    let text = match std::fs::read_to_string(&args.file) {
        Ok(text) => text,
        Err(e) => {
            talk(&format!("error: {name} cannot be read: {e}"));
            return Exit::BadInput;
        }
    };
    let script = match crate::sim::parse(&Arc::new(Source { name, text })) {
        Ok(script) => script,
        Err(found) => {
            diagnostics(&found, false);
            return Exit::BadInput;
        }
    };
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else {
        talk("error: the runtime cannot start");
        return Exit::CouldNotJudge;
    };
    runtime.block_on(async {
        let running = match crate::sim::start(script, args.port).await {
            Ok(running) => running,
            Err(e) => {
                talk(&format!("error: the service cannot start on port {}: {e}", args.port));
                return Exit::CouldNotJudge;
            }
        };
        data(&format!("listening on {}\n", running.base_url));
        tokio::select! {
            () = running.wait() => Exit::Pass,
            exit = signalled() => exit,
        }
    })
}

async fn signalled() -> Exit {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            return tokio::select! {
                _ = terminate.recv() => Exit::Terminated,
                _ = tokio::signal::ctrl_c() => Exit::Interrupted,
            };
        }
    }
    let _ = tokio::signal::ctrl_c().await;
    Exit::Interrupted
}
