//! `explain`: which parts of a case's prompt its answer hangs on.

use super::args::ExplainArgs;
use super::models;
use super::output::{self, data, talk};
use super::project::{self, Opened};
use super::run::{connect, script};
use crate::options::{Address, EmbeddingSource};
use crate::plan::Planned;
use crate::redact::Redactor;
use crate::report::explain::{Shown, View, html, terminal};
use crate::run::explain::{Explained, Question};
use crate::verdict::Exit;
use std::path::Path;

pub fn main(args: &ExplainArgs) -> Exit {
    let color = output::color(args.project.common.color);
    let Opened { project, planned, .. } = match project::planned(&args.project, Path::new(".")) {
        Ok(planned) => planned,
        Err(found) => {
            output::diagnostics(&found, color);
            return Exit::BadInput;
        }
    };
    let explained = one(&planned, &args.case).map_err(|why| (Exit::BadInput, why)).and_then(|case| ask(&project, case, args));
    let redactor = Redactor::new(project.options.secrets.iter().cloned());
    match explained {
        Ok(explained) => {
            let view = view(&explained);
            data(&redactor.clean(&terminal(&view, color)));
            talk(&format!("{} requests sent", explained.requests));
            output::written(args.html.as_deref(), || redactor.clean(&html(&view)))
        }
        Err((exit, why)) => {
            talk(&redactor.clean(&format!("error: {why}")));
            exit
        }
    }
}

fn one<'a>(planned: &'a [Planned], part: &str) -> Result<&'a Planned, String> {
    if let Some(exact) = planned.iter().find(|c| c.id == part) {
        return Ok(exact);
    }
    let fitting: Vec<&Planned> = planned.iter().filter(|c| c.id.contains(part)).collect();
    match fitting.as_slice() {
        [] => Err(format!("no case fits `{part}`")),
        [one] => Ok(one),
        several => {
            let ids: Vec<&str> = several.iter().take(8).map(|c| c.id.as_str()).collect();
            Err(format!("`{part}` fits {} cases; one is explained at a time: {}", several.len(), ids.join(", ")))
        }
    }
}

fn ask(project: &project::Project, case: &Planned, args: &ExplainArgs) -> Result<Explained, (Exit, String)> {
    let judge = |why: String| (Exit::CouldNotJudge, why);
    let target = project.options.targets.get(&case.target).ok_or_else(|| {
        let why = project.options.unusable(&case.target).unwrap_or_default();
        (Exit::BadInput, why.into_iter().map(|d| d.message).collect::<Vec<_>>().join("; "))
    })?;
    let local = matches!(&project.options.embeddings, Some(e) if !matches!(e.source, EmbeddingSource::Endpoint { .. }));
    let encoder = local.then(|| models::of_project(project)).transpose().map_err(judge)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|e| judge(e.to_string()))?;
    let script = match &target.address {
        Address::Simulate(file) => Some(
            script(project, &case.target, file)
                .map_err(|found| (Exit::BadInput, found.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; ")))?,
        ),
        Address::Url(_) => None,
    };
    let (service, _running) = connect(project, &case.target, script, &runtime).map_err(|why| (Exit::BadInput, why))?;
    runtime.block_on(async {
        let tell = |why: String| talk(&service.redactor.clean(&format!("waiting for target `{}`: {why}", case.target)));
        crate::target::wait_until_ready(&service, tell).await.map_err(|why| judge(format!("the service is not ready: {why}")))?;
        let question = Question::of(case, &service, encoder.as_deref()).map_err(|why| (Exit::BadInput, why))?;
        let cost = question.cost();
        talk(&format!("{}: {} parts, at most {} requests", case.id, cost.parts, cost.requests));
        if cost.requests > args.max_requests {
            let why = format!("that is more than --max-requests {}; allow more, or explain a shorter prompt", args.max_requests);
            return Err((Exit::BadInput, why));
        }
        question.explain().await.map_err(judge)
    })
}

fn view(explained: &Explained) -> View<'_> {
    let mut last = None;
    let parts = explained.parts.iter().map(|p| Shown {
        role: &p.role,
        begins: last.replace(p.message) != Some(p.message),
        text: &p.text,
        weight: p.weight,
        changes: &p.changes,
    });
    View { id: &explained.id, by: &explained.by, answer: &explained.answer, parts: parts.collect() }
}
