//! `baseline`: what earlier runs measured. Appends, approves, shows, compares, prunes and verifies.

use super::args::{BaselineArgs, BaselineCommand};
use super::output::{self, data, talk};
use super::project::{self, Project};
use crate::baseline::{self, Aged, CaseEntry, Entry, Fault, Release, Store, Unwritten, VERSION, entries_of};
use crate::expect::past::Known;
use crate::record::samples::Samples;
use crate::record::{RunRecord, Verdict};
use crate::stats::change_point::{Search, change_points};
use crate::stats::history::{Decision, Judged, PastRun, Predicted, Rolling, SCREEN, standing};
use crate::verdict::Exit;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

type Ended = Result<Exit, (Exit, String)>;

pub fn main(args: &BaselineArgs) -> Exit {
    let project = match project::open(&args.common, Path::new(".")) {
        Ok(project) => project,
        Err(found) => {
            output::diagnostics(&found, output::color(args.common.color));
            return Exit::BadInput;
        }
    };
    let ended = store(&project).and_then(|store| match &args.command {
        BaselineCommand::Update { from, force } => update(&project, &store, from.as_deref(), *force),
        BaselineCommand::Approve { release, label } => approve(&store, release, label),
        BaselineCommand::Show { filter } => show(&store, filter.as_deref().unwrap_or_default()),
        BaselineCommand::Diff { run } => diff(&project, &store, run.as_deref()),
        BaselineCommand::History { filter } => history(&store, filter.as_deref().unwrap_or_default()),
        BaselineCommand::Prune { keep } => prune(&store, keep),
        BaselineCommand::Verify => verify(&store),
    });
    ended.unwrap_or_else(|(exit, why)| {
        talk(&format!("error: {why}"));
        exit
    })
}

/// The store of a project.
pub fn store(project: &Project) -> Result<Store, (Exit, String)> {
    Store::open(&project.layout.root, &project.options.baselines).map_err(|why| (Exit::BadInput, why))
}

/// What it means that nothing was written.
fn unwritten(why: Unwritten) -> (Exit, String) {
    let exit = if matches!(why, Unwritten::Overtaken(_)) { Exit::Conflict } else { Exit::NotWritten };
    (exit, why.to_string())
}

pub fn faults(faults: Vec<Fault>) -> (Exit, String) {
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    let what = if faults.iter().all(|f| f.line == 0) { "cannot be read" } else { "are damaged" };
    (Exit::CouldNotJudge, format!("the baselines {what}:\n  {}", lines.join("\n  ")))
}

pub fn now() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1e3
}

fn read(project: &Project, run: Option<&Path>) -> Result<RunRecord, (Exit, String)> {
    let runs = project.layout.root.join(&project.options.runs);
    let path = run.map(Path::to_owned).or_else(|| crate::journal::newest(&runs));
    let path = path.ok_or_else(|| (Exit::BadInput, format!("there is no run in {}", runs.display())))?;
    crate::journal::read(&path).map_err(|why| (Exit::BadInput, why))
}

/// Why a run must not become history.
fn unfit(project: &Project, record: &RunRecord) -> Option<String> {
    let pull = std::env::var("GITHUB_EVENT_NAME").is_ok_and(|e| e.starts_with("pull_request"))
        || std::env::var_os("CI_MERGE_REQUEST_IID").is_some();
    if pull {
        return Some("a pull request only reads history; append on the protected branch or at night".into());
    }
    if record.end.as_ref().is_none_or(|end| end.stopped.is_some()) {
        return Some("the run did not come to its end".into());
    }
    let failed: Vec<&str> =
        record.judged().filter(|c| matches!(c.verdict, Verdict::Fail | Verdict::Error)).map(|c| c.id.as_str()).collect();
    if let Some(first) = failed.first() {
        let others = if failed.len() > 1 { format!(" and {} more", failed.len() - 1) } else { String::new() };
        return Some(format!("{first}{others} failed or could not be judged, and history is what passed"));
    }
    if record.judged().next().is_none() {
        return Some("nothing was judged in it".into());
    }
    let files: std::collections::BTreeSet<&str> = record.cases.iter().map(|c| c.file.as_str()).collect();
    let mut git = std::process::Command::new("git");
    git.arg("-C").arg(&project.layout.root).args(["status", "--porcelain", "--"]).args(files);
    // Without git there is nothing to compare with.
    let dirty = git.output().ok().filter(|o| o.status.success()).map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())?;
    (!dirty.is_empty()).then(|| format!("scenarios differ from what is committed: {}", crate::redact::excerpt(&dirty, 160)))
}

fn update(project: &Project, store: &Store, from: Option<&Path>, force: bool) -> Ended {
    let record = read(project, from)?;
    if let Some(why) = unfit(project, &record) {
        if !force {
            return Err((Exit::Failed, format!("run {} was not appended: {why}", record.header.run_id)));
        }
        talk(&format!("warning: appended although {why}"));
    }
    let mut added = 0;
    for (scenario, entry) in entries_of(&record) {
        let cases = entry.cases.len();
        match store.append(&scenario, &entry).map_err(unwritten)? {
            true => added += cases,
            false => talk(&format!("{scenario}: run {} is there already", record.header.run_id)),
        }
    }
    data(&format!("appended run {}: {added} cases, in {store}\n", record.header.run_id));
    Ok(Exit::Pass)
}

/// Runs a release anchor should have; fewer cannot show creep.
const ANCHOR_RUNS: usize = 7;

/// Labels that name what is approved: an anchor of several values of them stands for no release.
const IDENTITY: [&str; 4] = ["image", "release", "version", "model"];

fn approve(store: &Store, name: &str, labels: &[String]) -> Ended {
    let wanted = labels
        .iter()
        .map(|l| l.split_once('=').ok_or_else(|| (Exit::BadInput, format!("`--label {l}` has no `=`; write it like image=sha256:…"))))
        .collect::<Result<Vec<_>, _>>()?;
    let mut runs: BTreeMap<String, (String, BTreeMap<String, String>)> = BTreeMap::new();
    for scenario in store.scenarios().map_err(faults)? {
        for entry in store.entries(&scenario).map_err(faults)? {
            if wanted.iter().all(|(key, value)| entry.labels.get(*key).is_some_and(|v| v == value)) {
                runs.insert(entry.at.clone() + &entry.run, (entry.run, entry.labels));
            }
        }
    }
    let (newest, of): (Vec<String>, Vec<BTreeMap<String, String>>) = runs.into_values().rev().take(ANCHOR_RUNS).unzip();
    for key in IDENTITY {
        let values: std::collections::BTreeSet<&str> = of.iter().map(|l| l.get(key).map_or("none", String::as_str)).collect();
        if values.len() > 1 {
            let told = values.into_iter().collect::<Vec<_>>().join(", ");
            talk(&format!("warning: the anchor's runs differ in the label `{key}` ({told}); `--label {key}=…` takes those of one"));
        }
    }
    if newest.is_empty() {
        return Err((Exit::NothingRan, "there is no run to approve; `roadworthy baseline update` appends one".into()));
    }
    if newest.len() < ANCHOR_RUNS {
        talk(&format!("warning: the anchor has {} runs; `release:` needs {ANCHOR_RUNS} before it can judge", newest.len()));
    }
    let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let n = newest.len();
    let release = Release { v: VERSION, release: name.to_owned(), at, runs: newest };
    let approved = store.approve(&release).map_err(unwritten)?;
    if !approved {
        return Err((Exit::Conflict, format!("release `{name}` is approved already; a release's anchor never moves")));
    }
    let review = if store.is_folder() { format!("; commit {store} for review") } else { format!(", in {store}") };
    data(&format!("approved {name}: its newest {n} runs are the anchor{review}\n"));
    Ok(Exit::Pass)
}

/// Runs with the samples of one metric, oldest first.
type Runs = Vec<(Rc<Entry>, Samples)>;
/// A case, a metric, and its runs.
type Series = (String, String, Runs);

/// Every case and metric with its runs, oldest first: scenario::case, metric, samples by run.
fn series(store: &Store, filter: &str) -> Result<Vec<Series>, (Exit, String)> {
    let mut out: BTreeMap<(String, String), Runs> = BTreeMap::new();
    for scenario in store.scenarios().map_err(faults)? {
        let entries = store.entries(&scenario).map_err(faults)?;
        let newest: BTreeMap<String, String> =
            entries.iter().flat_map(|e| e.cases.iter().map(|(n, c)| (n.clone(), c.segment.clone()))).collect();
        for entry in entries.into_iter().map(Rc::new) {
            for (name, CaseEntry { segment, ms, .. }) in &entry.cases {
                let id = format!("{scenario}::{name}");
                // A changed case began a history of its own.
                if !id.contains(filter) || newest.get(name) != Some(segment) {
                    continue;
                }
                for (metric, samples) in ms {
                    out.entry((id.clone(), metric.clone())).or_default().push((entry.clone(), samples.clone()));
                }
            }
        }
    }
    Ok(out.into_iter().map(|((id, metric), runs)| (id, metric, runs)).collect())
}

fn mean_log(samples: &[f64]) -> f64 {
    samples.iter().map(|s| s.ln()).sum::<f64>() / samples.len().max(1) as f64
}

fn sparkline(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    values.iter().map(|v| BARS[if high > low { ((v - low) / (high - low) * 7.0).round() as usize } else { 0 }]).collect()
}

fn show(store: &Store, filter: &str) -> Ended {
    let series = series(store, filter)?;
    if series.is_empty() {
        return Err((Exit::NothingRan, format!("no history in {store} fits")));
    }
    let mut text = format!("{:<48} {:<8} {:>5} {:>7} {:>10} {:>10}  newest right\n", "case", "metric", "runs", "samples", "mean", "last");
    for (id, metric, runs) in series {
        let means: Vec<f64> = runs.iter().map(|(_, s)| mean_log(s.values())).collect();
        let all = means.iter().sum::<f64>() / means.len() as f64;
        let tail = &means[means.len().saturating_sub(40)..];
        text.push_str(&format!(
            "{:<48} {metric:<8} {:>5} {:>7} {:>7.1} ms {:>7.1} ms  {}\n",
            crate::redact::excerpt(&id, 48),
            runs.len(),
            runs.iter().map(|(_, s)| s.len()).sum::<u64>(),
            all.exp(),
            means[means.len() - 1].exp(),
            sparkline(tail)
        ));
    }
    for release in store.releases().map_err(faults)? {
        text.push_str(&format!("release {} approved {}, {} runs\n", release.release, release.at, release.runs.len()));
    }
    data(&text);
    Ok(Exit::Pass)
}

/// The two rules that need no scenario to say so: rolling p90 × 1.3, and the prediction limit.
fn rules(fresh: &[f64], past: &[PastRun]) -> Vec<(&'static str, Judged)> {
    vec![("rolling", Rolling::default().judge(fresh, past, 0)), ("predicted", Predicted::default().judge(fresh, past, SCREEN))]
}

fn diff(project: &Project, store: &Store, run: Option<&Path>) -> Ended {
    let record = read(project, run)?;
    let mut rows = Vec::new();
    // What the answers state that those of the newest earlier run did not.
    let mut other: Vec<String> = Vec::new();
    for (scenario, entry) in entries_of(&record) {
        let mut entries = store.entries(&scenario).map_err(faults)?;
        // A run is not compared with itself.
        entries.retain(|e| e.run != entry.run);
        let aged = Aged::all(entries.clone(), None, None, now());
        for (name, case) in &entry.cases {
            let newest = entries.iter().rev().find_map(|e| e.cases.get(name).filter(|c| c.segment == case.segment)?.says.as_ref());
            if let (Some(before), Some(now)) = (newest, &case.says) {
                other.extend(before.facts.changes(&now.facts).into_iter().map(|line| format!("said    {scenario}::{name} {line}\n")));
            }
            let known: BTreeMap<String, Known> = baseline::known(&aged, name, &case.segment);
            for (metric, fresh) in &case.ms {
                let past = known.get(metric).map(|k| k.past.clone()).unwrap_or_default();
                for (rule, judged) in rules(fresh.values(), &past) {
                    rows.push((format!("{scenario}::{name}"), metric.clone(), rule, judged));
                }
            }
        }
    }
    let beyond = standing(&rows.iter().map(|(.., judged)| judged).collect::<Vec<_>>());
    let missed = beyond.iter().filter(|b| **b).count();
    let mut text = String::new();
    for ((id, metric, rule, judged), beyond) in rows.iter().zip(beyond) {
        let word = match judged.decision {
            _ if beyond => "slower",
            Decision::TooThin => "thin",
            // Beyond the limit, and not yet often or surely enough.
            _ if judged.decision == Decision::Missed || judged.misses > 0 => "over",
            _ => "fine",
        };
        text.push_str(&format!("{word:<7} {id} {metric} {rule}: {}\n", judged.line));
    }
    other.iter().for_each(|line| text.push_str(line));
    let thin = rows.iter().filter(|(.., judged)| judged.decision == Decision::TooThin).count();
    text.push_str(&match thin == rows.len() {
        true => "nothing could be compared: there is no history yet that is thick enough\n".to_owned(),
        false => {
            let over = text.lines().filter(|line| line.starts_with("over ")).count();
            let open = if over > 0 { format!(", {over} over their limit and not confirmed by this run alone") } else { String::new() };
            format!("{} comparisons, {missed} slower at 1 % over all of them{open}, {thin} with too little history\n", rows.len())
        }
    });
    data(&crate::redact::harmless(&text));
    Ok(if missed > 0 { Exit::Failed } else { Exit::Pass })
}

fn history(store: &Store, filter: &str) -> Ended {
    let mut text = String::new();
    let series = series(store, filter)?;
    if series.is_empty() {
        return Err((Exit::NothingRan, format!("no history in {store} fits")));
    }
    for (id, metric, runs) in series {
        let means: Vec<f64> = runs.iter().map(|(_, s)| mean_log(s.values())).collect();
        // Permutations are drawn by the case's name, so the same history gives the same answer.
        let mut rng = ChaCha8Rng::seed_from_u64(crate::units::fnv(id.bytes().chain(metric.bytes())));
        let mut below = |n: usize| rng.random_range(0..n.max(1));
        let Some(points) = change_points(&means, &Search::default(), &mut below) else { continue };
        for point in points {
            let (entry, _) = &runs[point.index];
            let mean = |part: &[f64]| (part.iter().sum::<f64>() / part.len().max(1) as f64).exp();
            let labels: Vec<String> = entry.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            text.push_str(&format!(
                "{id} {metric}: moved at run {} ({}) {}: {:.1} ms before, {:.1} ms since (p {:.3})\n",
                entry.run,
                entry.at,
                labels.join(" "),
                mean(&means[..point.index]),
                mean(&means[point.index..]),
                point.p_value
            ));
        }
    }
    data(if text.is_empty() { "no metric moved\n" } else { &text });
    Ok(Exit::Pass)
}

fn prune(store: &Store, keep: &str) -> Ended {
    let keep = crate::units::duration(keep).map_err(|why| (Exit::BadInput, format!("--keep: {why}")))?;
    let oldest = now() - keep.as_secs_f64();
    let anchored: Vec<String> = store.releases().map_err(faults)?.pop().map(|r| r.runs).unwrap_or_default();
    let mut gone = 0;
    for scenario in store.scenarios().map_err(faults)? {
        let mut here = 0;
        let change = |entries: &mut Vec<Entry>| {
            let before = entries.len();
            entries.retain(|e| e.seconds() >= oldest || anchored.contains(&e.run));
            here = before - entries.len();
            here > 0
        };
        store.change(&scenario, change).map_err(unwritten)?;
        gone += here;
    }
    data(&format!("{gone} entries removed; the runs of the newest release stay\n"));
    Ok(Exit::Pass)
}

fn verify(store: &Store) -> Ended {
    let mut all = Vec::new();
    let (mut files, mut entries) = (0, 0);
    for scenario in store.scenarios().map_err(faults)? {
        files += 1;
        match store.entries(&scenario) {
            Ok(list) => entries += list.len(),
            Err(mut more) => all.append(&mut more),
        }
    }
    if let Err(mut more) = store.releases() {
        all.append(&mut more);
    }
    if !all.is_empty() {
        return Err(faults(all));
    }
    let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    data(&format!("{}, {}, all readable\n", count(files, "file", "files"), count(entries, "entry", "entries")));
    Ok(Exit::Pass)
}
