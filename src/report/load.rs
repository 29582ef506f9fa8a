//! A load for people: what the user feels, what the service carries, where its limits are; the same as tables, and under the
//! names of Qianfan's `stress_test`.

use super::terminal::Style;
use crate::load::judge::show_value;
use crate::load::show_ms;
use crate::record::load::{Dist, Figures, Level, LoadRecord, Series};
use crate::record::{CaseRecord, RunRecord};
use crate::redact::harmless;
use serde_json::{Map, Value, json};

const USER: &str = "what the user feels";
const SERVICE: &str = "what the service carries";
const LIMITS: &str = "limits and errors";
const ERRORS: &str = "errors in the order in which they came";
const RESOURCES: &str = "resources: mean, lowest to highest";

/// Paints the first line and the headings; everything else has been made harmless before.
fn painted(text: &str, style: Style) -> String {
    if !style.color {
        return text.to_owned();
    }
    let heading = |line: &str| [USER, SERVICE, LIMITS, ERRORS, RESOURCES].contains(&line.trim());
    let lines = text.lines().enumerate().map(|(i, line)| match i == 0 || heading(line) {
        true => format!("\u{1b}[1m{line}\u{1b}[0m\n"),
        false => format!("{line}\n"),
    });
    lines.collect()
}

fn number(n: f64) -> String {
    if n.fract().abs() < 1e-9 { format!("{n:.0}") } else { format!("{n:.2}") }
}

fn percent(share: f64) -> String {
    crate::units::Share(share).to_string()
}

/// The load in three layers, its errors, its resources, and what to know about it. Harmless text.
pub fn summary(case: &CaseRecord, load: &LoadRecord, style: Style) -> String {
    let mut out = format!("{}\n  {}\n", case.id, load.shape);
    if load.levels.len() > 1 {
        out.push_str(&levels(load));
    }
    if let Some(found) = &load.found {
        out.push_str(&match found.last_stable {
            Some(level) => format!("  most that was borne: {} {}", number(level), load.unit),
            None => "  no level was borne".to_owned(),
        });
        if let Some(unstable) = found.first_unstable {
            out.push_str(&format!("; not {}: {}", number(unstable), found.reason));
        } else if !found.reason.is_empty() {
            out.push_str(&format!("; {}", found.reason));
        }
        if found.last_stable.is_some() && !found.proven {
            out.push_str(" (by its point rate: too few requests for a proof)");
        }
        if let Some(knee) = found.knee {
            out.push_str(&format!("; most work for its latency at {}", number(knee)));
        }
        out.push('\n');
    }
    if let Some(level) = shown(load) {
        out.push_str(&one(level, load));
    }
    if !load.periods.is_empty() {
        out.push_str("  period by period\n");
        for period in &load.periods {
            out.push_str(&period_line(period));
        }
    }
    limits(load, &mut out);
    for note in &load.notes {
        out.push_str(&format!("  note: {note}\n"));
    }
    painted(&harmless(&out), style)
}

/// The level whose figures are told in full: the last that was borne, else the last one.
fn shown(load: &LoadRecord) -> Option<&Level> {
    let found = load.found.as_ref().and_then(|f| f.last_stable);
    let borne = found.and_then(|t| load.levels.iter().rev().find(|l| l.target == t && l.stable == Some(true)));
    borne.or(load.levels.last())
}

fn ms(dist: &Option<Dist>, get: impl Fn(&Dist) -> f64) -> String {
    dist.as_ref().map_or("–".into(), |d| show_ms(get(d)))
}

fn levels(load: &LoadRecord) -> String {
    let first = if load.levels.iter().any(|l| l.prompt_tokens.is_some()) { "tokens" } else { load.unit.as_str() };
    let mut out = format!(
        "  {first:>10} {:>8} {:>8} {:>10} {:>10} {:>10} {:>10} {:>10}  borne\n",
        "requests", "errors", "answers/s", "tokens/s", "ttft p95", "tpot p50", "e2e p95"
    );
    for level in &load.levels {
        let f = &level.figures;
        let borne = match level.stable {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let target = level.prompt_tokens.map_or_else(|| number(level.target), |n| n.to_string());
        out.push_str(&format!(
            "  {target:>10} {:>8} {:>8} {:>10.2} {:>10.1} {:>10} {:>10} {:>10}  {borne}{}\n",
            level.counts.scheduled,
            percent(level.counts.error_rate()),
            f.rps_ok,
            f.output_tps,
            ms(&f.ttft, |d| d.p95),
            ms(&f.tpot, |d| d.p50),
            ms(&f.e2e, |d| d.p95),
            if level.stable == Some(false) { format!(": {}", level.why) } else { String::new() },
        ));
    }
    out
}

fn latency_row(name: &str, dist: &Option<Dist>) -> String {
    let Some(d) = dist else { return String::new() };
    let pen = |v: Option<f64>| v.map_or("∞".to_owned(), show_ms);
    let plain = [d.mean, d.p50, d.p90, d.p95, d.p99, d.max].map(|v| format!("{:>9}", show_ms(v))).join(" ");
    let failed =
        if d.p99_pen != Some(d.p99) { format!("   with failures: p95 {} p99 {}", pen(d.p95_pen), pen(d.p99_pen)) } else { String::new() };
    format!("    {name:<10} {:>7} {plain}{failed}\n", d.n)
}

fn one(level: &Level, load: &LoadRecord) -> String {
    let f = &level.figures;
    let c = &level.counts;
    let window = level.window_s.map_or("the whole level".to_owned(), |(a, b)| format!("steady from {a:.0} s to {b:.0} s"));
    let mut out = format!("  {} {}, {window}\n", number(level.target), load.unit);
    out.push_str(&format!("  {USER}\n"));
    out.push_str(&format!(
        "    {:<10} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        "latency", "n", "mean", "p50", "p90", "p95", "p99", "max"
    ));
    let open = load.unit != "users";
    let rows = [
        ("ttft", &f.ttft),
        ("ttft_sched", if open { &f.ttft_sched } else { &None }),
        ("ttfo", if f.ttfo.as_ref().map(|d| d.mean) == f.ttft.as_ref().map(|d| d.mean) { &None } else { &f.ttfo }),
        ("tpot", &f.tpot),
        ("itl", &f.itl),
        ("max_gap", &f.max_gap),
        ("e2e", &f.e2e),
    ];
    rows.into_iter().for_each(|(name, dist)| out.push_str(&latency_row(name, dist)));
    if let Some(ttft) = &f.ttft {
        let lost = c.failed + c.cancelled;
        out.push_str(&format!("    {}\n", feeling(ttft.p95, f.tpot.as_ref().map(|d| d.p95), lost, c.scheduled)));
    }
    if f.stalls > 0 {
        out.push_str(&format!("    {} stalls: gaps over a second and over ten times the usual one\n", f.stalls));
    }
    out.push_str(&format!("  {SERVICE}\n"));
    out.push_str(&format!(
        "    {:.2} answers/s ({:.0} a minute), {:.1} output tokens/s; {:.1} counted as others do, over the whole level with its end\n",
        f.rps_ok,
        f.rps_ok * 60.0,
        f.output_tps,
        f.output_tps_total
    ));
    if let (Some(rate), Some(decode)) = (&f.req_rate, &f.decode_rate) {
        out.push_str(&format!(
            "    per request {:.1} tokens/s (p50), {:.1} while decoding; {} tokens in, {} out on average\n",
            rate.p50,
            decode.p50,
            f.tokens_in.as_ref().map_or("unknown".into(), |d| format!("{:.1}", d.mean)),
            f.tokens_out.as_ref().map_or("unknown".into(), |d| format!("{:.1}", d.mean)),
        ));
    }
    if c.good != c.ok {
        out.push_str(&format!("    {:.2} good answers/s; {} of the requests met the objective\n", f.goodput, percent(f.slo_attainment)));
    }
    let vary = [("e2e", f.variation_e2e), ("ttft", f.variation_ttft), ("answers/s", f.variation_qps)];
    let vary: Vec<String> = vary.iter().filter_map(|(n, v)| v.map(|v| format!("{n} {}", percent(v)))).collect();
    if !vary.is_empty() {
        out.push_str(&format!("    varies by (standard deviation ÷ mean): {}\n", vary.join(", ")));
    }
    if let Some(cost) = f.cost_per_million {
        out.push_str(&format!("    {cost:.2} for a million output tokens, prompts included\n"));
    }
    for input in &f.inputs {
        out.push_str(&format!(
            "    {}: {} ok, {} failed, e2e p50 {} p95 {}\n",
            input.name,
            input.ok,
            input.failed,
            ms(&input.e2e, |d| d.p50),
            ms(&input.e2e, |d| d.p95)
        ));
    }
    out.push_str(&format!("  {LIMITS}\n"));
    out.push_str(&format!(
        "    {} requests: {} ok, {} failed, {} cancelled, {} not sent\n",
        c.scheduled, c.ok, c.failed, c.cancelled, c.dropped
    ));
    out
}

/// The thresholds that users of chat services are known to feel.
fn feeling(ttft_ms: f64, tpot_ms: Option<f64>, lost: u64, all: u64) -> String {
    let first = match ttft_ms {
        t if t < 1000.0 => "instant",
        t if t <= 3000.0 => "noticeable",
        t if t <= 5000.0 => "doubtful: users begin to wonder",
        _ => "lost: users leave",
    };
    let flow = match tpot_ms {
        None => "",
        Some(t) if t <= 30.0 => "; the text flows smoothly",
        Some(t) if t <= 100.0 => "; the text flows",
        Some(_) => "; the text comes in jerks",
    };
    match lost {
        0 => format!("for 95 % of the users the first token is {first}{flow}"),
        _ => format!("of those who were answered, 95 % find the first token {first}{flow}; {lost} of {all} requests were not answered"),
    }
}

fn period_line(period: &Level) -> String {
    let f = &period.figures;
    format!(
        "    {:>8} {:>8} requests, errors {}, {:.2} answers/s, ttft p95 {}, e2e p50 {} p95 {}\n",
        crate::units::show(std::time::Duration::from_secs_f64(period.ended_s.max(0.0))),
        period.counts.scheduled,
        percent(period.counts.error_rate()),
        f.rps_ok,
        ms(&f.ttft, |d| d.p95),
        ms(&f.e2e, |d| d.p50),
        ms(&f.e2e, |d| d.p95)
    )
}

fn limits(load: &LoadRecord, out: &mut String) {
    if !load.first_errors.is_empty() {
        out.push_str(&format!("  {ERRORS}\n"));
        for e in &load.first_errors {
            out.push_str(&format!(
                "    {:>8} {:<20} at {} {}, {} in flight, {} in all: {}\n",
                format!("{:.1} s", e.t_s),
                e.kind,
                number(e.level),
                load.unit,
                e.in_flight,
                e.count,
                crate::redact::excerpt(&e.excerpt, 120)
            ));
            if let Some(id) = &e.request_id {
                out.push_str(&format!("             request {}\n", crate::redact::excerpt(id, 80)));
            }
        }
    }
    for line in &load.suggests {
        out.push_str(&format!("    → {line}\n"));
    }
    for trend in &load.trends {
        out.push_str(&format!("    {} {}\n", if trend.leak { "✗" } else { "·" }, trend.why));
    }
    if !load.series.is_empty() {
        out.push_str(&format!("  {RESOURCES}\n"));
        for series in &load.series {
            out.push_str(&format!("    {}\n", resource(series)));
        }
    }
    if let Some(server) = &load.server {
        let mut parts = Vec::new();
        let mut add = |what: &str, value: Option<String>| parts.extend(value.map(|v| format!("{what} {v}")));
        add("output tokens", server.generation_tokens.map(number));
        add("prompt tokens", server.prompt_tokens.map(number));
        add("ttft mean", server.ttft_mean.map(show_ms));
        add("e2e mean", server.e2e_mean.map(show_ms));
        add("cache hits", server.cache_hit_rate.map(percent));
        add("preemptions", server.preemptions.map(number));
        add("longest queue", server.waiting_max.map(number));
        add("fullest KV cache", server.kv_usage_max.map(percent));
        out.push_str(&format!("    the service itself says: {}\n", parts.join(", ")));
    }
    let h = &load.health;
    out.push_str(&format!(
        "  client: {} busy at most (mean {}) of {} threads, requests {} late (p99), stamps {} late (p99), {} connections opened{}, {} MiB\n",
        percent(h.cpu_max),
        percent(h.cpu_mean),
        h.workers,
        show_ms(h.lag_p99),
        show_ms(h.stamp_lag_p99),
        h.connections_opened,
        match h.resent {
            0 => String::new(),
            n => format!(", {n} requests sent again because theirs had been closed"),
        },
        h.memory_bytes >> 20
    ));
    for problem in &h.problems {
        out.push_str(&format!("  invalid: {problem}\n"));
    }
}

fn resource(series: &Series) -> String {
    let values: Vec<f64> = series.points.iter().map(|p| p.1).collect();
    if values.is_empty() {
        return format!("{} ({}): nothing", series.name, series.from);
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    let show = |v| show_value(v, &series.unit);
    format!("{:<18} {}, {} to {}  ({})", series.name, show(mean), show(low), show(high), series.from)
}

/// Loads of a run with their cases.
pub fn loads(record: &RunRecord) -> impl Iterator<Item = (&CaseRecord, &LoadRecord)> {
    record.cases.iter().filter_map(|c| Some((c, c.load.as_deref()?)))
}

/// A cell that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err() { format!("'{text}") } else { text.to_owned() }
}

fn table(rows: Vec<Vec<String>>) -> String {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for row in rows {
        // Writing into memory does not fail.
        let _ = writer.write_record(row.iter().map(|c| cell(c)));
    }
    String::from_utf8_lossy(&writer.into_inner().unwrap_or_default()).into_owned()
}

/// `levels.csv`, `ticks.csv`, `resources.csv` and `errors.csv`.
pub fn csv(record: &RunRecord) -> Vec<(&'static str, String)> {
    let header = |names: &str| vec![names.split(' ').map(str::to_owned).collect::<Vec<String>>()];
    let mut levels = header(
        "load level started_s ended_s scheduled ok failed cancelled dropped rps_ok output_tps goodput slo_attainment variation_e2e variation_qps \
         ttft_mean_ms ttft_p50_ms ttft_p95_ms ttft_p99_ms tpot_mean_ms tpot_p50_ms tpot_p95_ms e2e_mean_ms e2e_p50_ms e2e_p95_ms e2e_p99_ms stable why",
    );
    let mut ticks = header("load t_s in_flight started ok failed tokens_per_s ttft_p50_ms ttft_p95_ms e2e_p50_ms e2e_p95_ms tpot_p50_ms");
    let mut resources = header("load from name unit t_s value");
    let mut errors = header("load t_s kind level in_flight status count excerpt");
    let optional = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
    for (case, load) in loads(record) {
        for l in &load.levels {
            let f = &l.figures;
            let of = |d: &Option<Dist>, get: &dyn Fn(&Dist) -> f64| optional(d.as_ref().map(get));
            let mut row = vec![case.id.clone(), l.target.to_string(), l.started_s.to_string(), l.ended_s.to_string()];
            row.extend([l.counts.scheduled, l.counts.ok, l.counts.failed, l.counts.cancelled, l.counts.dropped].map(|n| n.to_string()));
            row.extend([f.rps_ok, f.output_tps, f.goodput, f.slo_attainment].map(|v| v.to_string()));
            row.extend([optional(f.variation_e2e), optional(f.variation_qps)]);
            row.extend([of(&f.ttft, &|d| d.mean), of(&f.ttft, &|d| d.p50), of(&f.ttft, &|d| d.p95), of(&f.ttft, &|d| d.p99)]);
            row.extend([of(&f.tpot, &|d| d.mean), of(&f.tpot, &|d| d.p50), of(&f.tpot, &|d| d.p95)]);
            row.extend([of(&f.e2e, &|d| d.mean), of(&f.e2e, &|d| d.p50), of(&f.e2e, &|d| d.p95), of(&f.e2e, &|d| d.p99)]);
            row.extend([l.stable.map_or_else(String::new, |s| s.to_string()), l.why.clone()]);
            levels.push(row);
        }
        for t in &load.ticks {
            let mut row = vec![case.id.clone(), t.t_s.to_string(), t.in_flight.to_string()];
            row.extend([t.started, t.ok, t.failed].map(|n| n.to_string()));
            row.push(t.tps.to_string());
            row.extend([t.ttft_p50, t.ttft_p95, t.e2e_p50, t.e2e_p95, t.tpot_p50].map(optional));
            ticks.push(row);
        }
        for s in &load.series {
            for (t, value) in &s.points {
                resources.push(vec![case.id.clone(), s.from.clone(), s.name.clone(), s.unit.clone(), t.to_string(), value.to_string()]);
            }
        }
        for e in &load.first_errors {
            let status = e.status.map_or_else(String::new, |s| s.to_string());
            let row = [
                case.id.clone(),
                e.t_s.to_string(),
                e.kind.clone(),
                e.level.to_string(),
                e.in_flight.to_string(),
                status,
                e.count.to_string(),
                e.excerpt.clone(),
            ];
            errors.push(row.to_vec());
        }
    }
    vec![("levels.csv", table(levels)), ("ticks.csv", table(ticks)), ("resources.csv", table(resources)), ("errors.csv", table(errors))]
}

/// The names of the Qianfan SDK's summary, each with its right value; times in seconds as there.
fn qianfan(level: &Level, load: &LoadRecord) -> Value {
    let f: &Figures = &level.figures;
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| {
        out.insert(name.to_owned(), value);
    };
    let setting = |name: &str| load.settings.get(name).cloned().unwrap_or_default();
    put("user_num", json!(level.target));
    put("worker_num", json!(load.health.workers));
    put("spawn_rate", json!(setting("spawn_rate")));
    put("model_type", json!(if setting("api") == "completions" { "Completion" } else { "ChatCompletion" }));
    put("hyperparameters", serde_json::from_str(&setting("params")).unwrap_or(Value::Null));
    put("QPS", json!(f.rps_ok));
    put("RPM", json!(f.rps_ok * 60.0));
    for (name, dist) in [("Latency", &f.e2e), ("FirstTokenLatency", &f.ttft), ("IntervalLatency", &f.icl), ("ttfb_headers", &f.ttfb)] {
        let Some(d) = dist else { continue };
        let figures = [
            ("Avg", d.mean),
            ("Min", d.min),
            ("Max", d.max),
            ("50%", d.p50),
            ("80%", d.p80),
            ("90%", d.p90),
            ("95%", d.p95),
            ("99%", d.p99),
        ];
        for (which, value) in figures {
            put(&format!("{name} {which}"), json!(value / 1e3));
        }
    }
    let mean = |d: &Option<Dist>| d.as_ref().map_or(Value::Null, |d| json!(d.mean));
    put("InputTokens Avg", mean(&f.tokens_in));
    put("OutputTokens Avg", mean(&f.tokens_out));
    put("TotalInputTokens", json!(f.total_tokens_in));
    put("TotalOutputTokens", json!(f.total_tokens_out));
    put("InputStringLength Avg", mean(&f.chars_in));
    put("OutputStringLength Avg", mean(&f.chars_out));
    // The mean of each request's own rate, not the ratio of two means.
    put("OutputTokensPerSecond", mean(&f.req_rate));
    let per_second = f.chars_out.as_ref().zip(f.e2e.as_ref()).filter(|(_, e)| e.mean > 0.0).map(|(c, e)| c.mean / (e.mean / 1e3));
    put("OutputStringLengthPerSecond", json!(per_second));
    let c = &level.counts;
    put("SendQuery", json!(c.scheduled - c.dropped));
    put("TotalQuery", json!(c.scheduled));
    put("SuccessQuery", json!(c.ok));
    put("FailureQuery", json!(c.scheduled - c.ok));
    put("TotalTime", json!(level.ended_s - level.started_s));
    put("SuccessRate", json!((1.0 - c.error_rate()) * 100.0));
    Value::Object(out)
}

/// Every level of every load under Qianfan's names.
pub fn qianfan_json(record: &RunRecord) -> String {
    let rounds: Vec<Value> = loads(record).flat_map(|(_, load)| load.levels.iter().map(|l| qianfan(l, load))).collect();
    let note = "Names of the Qianfan SDK's stress_test. Here FirstTokenLatency ends at the first token (there: at the response headers, kept as \
                ttfb_headers), 99% is the 99th percentile (there: the 98th), IntervalLatency holds no header time, QPS counts complete answers in \
                the steady window.";
    let out = json!({"qianfan_compat": {"note": note, "log": format!("{}.jsonl", record.header.run_id), "rounds": rounds}});
    serde_json::to_string_pretty(&out).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        let text = table(vec![vec!["=1+1".into(), "-5".into(), "@x".into()]]);
        assert_eq!(text, "'=1+1,-5,'@x\n");
    }

    #[test]
    fn only_our_own_text_is_painted() {
        let case = CaseRecord { id: "a\u{1b}[31mb".into(), ..CaseRecord::default() };
        let mut load = LoadRecord { shape: "constant".into(), ..LoadRecord::default() };
        load.levels.push(Level::default());
        let shown = summary(&case, &load, Style { color: true, evidence: false, transcript: false });
        assert!(shown.starts_with("\u{1b}[1ma\\u{1b}[31mb\u{1b}[0m\n") && shown.contains("\u{1b}[1m  what the user feels"), "{shown:?}");
    }

    #[test]
    fn what_users_feel() {
        assert!(feeling(900.0, Some(20.0), 0, 9).contains("instant; the text flows smoothly"));
        assert!(feeling(5100.0, Some(150.0), 2, 9).contains("2 of 9 requests were not answered"));
        assert!(feeling(5100.0, Some(150.0), 0, 9).contains("lost"));
    }
}
