//! Everything that is known before the first request: what would be sent, where, and under which limits.

use super::line;
use super::services::scripts;
use crate::cli::args::RunArgs;
use crate::cli::project::{self, Opened, Project};
use crate::diagnostic::Diagnostic;
use crate::options::Budget;
use crate::plan::select::{Selected, Selection};
use crate::plan::{Planned, PlannedTurn};
use crate::record::Verdict;
use crate::scenario::Layer;
use crate::sim;
use crate::verdict::Policy;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// Everything that is known before the first request.
pub(super) struct Prepared {
    pub(super) project: Project,
    pub(super) cases: Vec<Planned>,
    pub(super) filtered_out: usize,
    pub(super) scripts: BTreeMap<String, sim::Script>,
    pub(super) policy: Policy,
    pub(super) budget: Budget,
    pub(super) runs: PathBuf,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) shard: Option<(u64, u64)>,
    /// Cases of all shards together, and their fingerprint.
    pub(super) wanted: usize,
    pub(super) whole: Option<String>,
}

/// `2/5`, or what the CI or cluster says about this job.
fn shard(told: &str) -> Result<(u64, u64), String> {
    let var = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let (index, of) = match told {
        "auto" => {
            // GitLab counts from 1; Kubernetes' completion index and Slurm's array from 0 or wherever they were told to.
            let gitlab = var("CI_NODE_INDEX").zip(var("CI_NODE_TOTAL"));
            let kubernetes = var("JOB_COMPLETION_INDEX").map(|i| i + 1).zip(var("JOB_COMPLETIONS"));
            let slurm = var("SLURM_ARRAY_TASK_ID")
                .zip(var("SLURM_ARRAY_TASK_MIN"))
                .map(|(i, min)| i.saturating_sub(min) + 1)
                .zip(var("SLURM_ARRAY_TASK_COUNT"));
            gitlab.or(kubernetes).or(slurm).ok_or(
                "`--shard auto` needs CI_NODE_INDEX and CI_NODE_TOTAL, JOB_COMPLETION_INDEX and JOB_COMPLETIONS, or Slurm's array variables",
            )?
        }
        told => {
            let parts = told.split_once('/').and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)));
            parts.ok_or_else(|| format!("`--shard {told}` is not a part such as 2/5"))?
        }
    };
    if index == 0 || index > of { Err(format!("there is no shard {index} of {of}; they count from 1")) } else { Ok((index, of)) }
}

/// How many records are looked through for the last verdict of every case.
const LOOK_BACK: usize = 30;

/// The cases that failed when they last ran, whichever run that was; `None` for all of them, when the suite as a whole failed.
fn last_failures(runs: &Path, planned: &[Planned]) -> Result<Option<HashSet<String>>, Vec<Diagnostic>> {
    let mut journals = crate::journal::all(runs);
    if journals.is_empty() {
        return Err(vec![Diagnostic::error("no-run", format!("--failed needs a run in {}", runs.display()))]);
    }
    let mut open: HashSet<&str> = planned.iter().map(|c| c.id.as_str()).collect();
    let mut failed = HashSet::new();
    let mut cut_short = None;
    for _ in 0..LOOK_BACK {
        let Some(path) = journals.pop().filter(|_| !open.is_empty()) else { break };
        let record = crate::journal::read(&path).map_err(|why| vec![Diagnostic::error("bad-record", why)])?;
        cut_short.get_or_insert(record.end.as_ref().is_none_or(|end| end.stopped.is_some()));
        for case in record.cases.iter().filter(|case| case.is_not_run()) {
            if open.remove(case.id.as_str()) {
                failed.insert(case.id.clone());
            }
        }
        for case in record.judged() {
            let missed = matches!(case.verdict, Verdict::Fail | Verdict::Error);
            if case.is_suite() && missed && record.cases.iter().any(|c| open.contains(c.id.as_str())) {
                // What failed of the suite as a whole, all its cases must say again.
                return Ok(None);
            }
            if open.contains(case.id.as_str()) && missed {
                failed.insert(case.id.clone());
            }
        }
        for case in record.judged() {
            open.remove(case.id.as_str());
        }
    }
    // The last run ended before its time, and these have no verdict at all.
    if cut_short == Some(true) {
        failed.extend(open.into_iter().map(str::to_owned));
    }
    Ok(Some(failed))
}

/// Facts to keep in the record: the commit where CI tells it, and what was given.
pub(in crate::cli) fn labels(told: &[String]) -> Result<BTreeMap<String, String>, Vec<Diagnostic>> {
    let mut labels = BTreeMap::new();
    if let Some(commit) = ["CI_COMMIT_SHA", "GITHUB_SHA"].iter().find_map(|v| std::env::var(v).ok()) {
        labels.insert("commit".to_owned(), commit);
    }
    for label in told {
        let (key, value) = label.split_once('=').ok_or_else(|| {
            vec![Diagnostic::error("bad-label", format!("`--label {label}` has no `=`")).hint("write it like --label image=sha256:…")]
        })?;
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

pub(super) fn prepare(args: &RunArgs, from: &Path) -> Result<Prepared, Vec<Diagnostic>> {
    let Opened { project, planned, .. } = project::planned(&args.project, from)?;
    let runs = args.out.clone().unwrap_or_else(|| project.layout.root.join(&project.options.runs));
    let ids = match args.failed {
        false => None,
        true => {
            let failed = last_failures(&runs, &planned)?;
            if failed.as_ref().is_some_and(|ids| ids.is_empty()) {
                return Err(vec![Diagnostic::error(
                    "no-failure",
                    format!("none of these cases failed when it last ran (records in {})", runs.display()),
                )]);
            }
            failed
        }
    };
    let shard = args.shard.as_deref().map(shard).transpose().map_err(|why| vec![Diagnostic::error("bad-shard", why)])?;
    let took = match &args.balance {
        None => None,
        Some(path) => {
            let record = crate::journal::read(path).map_err(|why| vec![Diagnostic::error("bad-record", why)])?;
            Some(record.cases.into_iter().map(|c| (c.id, c.took)).collect())
        }
    };
    let selection = Selection {
        filters: args.filters.clone(),
        exact: args.exact,
        skip: args.skip.clone(),
        tags: args.tag.clone(),
        layers: args.layer.iter().filter_map(|l| Layer::named(l)).collect(),
        ids,
        shard,
        took,
    };
    let Selected { cases, left_out: filtered_out, wanted, whole } = selection.apply(planned);
    project.usable(&cases)?;
    let scripts = scripts(&project, &cases)?;
    let mut policy = project.options.policy;
    policy.fail_on_flaky |= args.fail_on.iter().any(|v| v == "flaky");
    policy.fail_on_inconclusive |= args.fail_on.iter().any(|v| v == "inconclusive");
    policy.warnings_exit_10 = args.warnings_exit_10;
    let budget = Budget {
        requests: args.max_requests.or(project.options.budget.requests),
        tokens: args.max_tokens_total.or(project.options.budget.tokens),
        time: project.options.budget.time,
        cost: project.options.budget.cost.clone(),
    };
    let labels = labels(&args.label)?;
    Ok(Prepared { project, cases, filtered_out, scripts, policy, budget, runs, labels, shard, wanted, whole })
}

pub(super) fn dry_run(prepared: &Prepared) -> String {
    let mut out = String::new();
    let (mut requests, mut tokens) = (0, 0);
    for case in &prepared.cases {
        requests += case.requests();
        tokens += case.tokens();
        out.push_str(&format!("{}  → {}\n", line(&case.id), case.target));
        for version in case.versions.iter().take(3) {
            if let Some(label) = &version.label {
                out.push_str(&format!("  {label}\n"));
            }
            out.push_str(&turns(&version.turns));
        }
        if case.versions.len() > 3 {
            out.push_str(&format!("  … and {} more versions\n", case.versions.len() - 3));
        }
    }
    let worst: u64 = prepared.cases.iter().map(Planned::max_requests).sum();
    let votes: u64 = prepared.cases.iter().map(Planned::votes).fold(0, u64::saturating_add);
    let judged = if votes > 0 { format!(", {votes} more to the judge") } else { String::new() };
    out.push_str(&format!(
        "{} cases, {requests} requests ({worst} if every retry is needed){judged}, about {tokens} tokens at most ({}); nothing was sent\n",
        prepared.cases.len(),
        crate::plan::ASSUMED
    ));
    out
}

fn turns(turns: &[PlannedTurn]) -> String {
    let mut out = String::new();
    for turn in turns {
        for message in &turn.messages {
            let role = message["role"].as_str().unwrap_or_default();
            out.push_str(&format!("    {role}: {}\n", crate::redact::excerpt(&crate::plan::text_of(&message["content"]), 160)));
        }
        if !turn.params.is_empty() {
            out.push_str(&format!("    params: {}\n", serde_json::Value::Object(turn.params.clone())));
        }
    }
    out
}
