//! Runs the reference and the tool in turn against a fresh server each time, and prints what the tool costs beside it.
//!
//! `[--rounds 1] [--only TEXT] [--alone] [--seconds 20] [--runs 3]`; a round is reference, tool, tool, reference, so that drift of the machine cancels. The
//! command of the tool comes from `LOAD_COMMAND`, with `{addr}`, `{users}`, `{requests}`, `{tokens}`, `{spawn}`, `{runs}` and `{json}` filled in.
//! Client and server get a core each where `taskset` exists.

use crate::summary::median;
use crate::{option, process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

const TOOL: &str = concat!(
    env!("CARGO_BIN_EXE_roadworthy"),
    " load --quiet --base-url http://{addr}/v1 --model m --users {users} --spawn-rate {spawn} --requests {requests} --prompt x \
     --param max_tokens={tokens} --out {runs} --json {json}"
);

struct Load {
    name: &'static str,
    users: usize,
    /// Requests of each user.
    each: usize,
    tokens: u32,
    /// Absent: the server answers at once.
    pace: Option<Pace>,
}

/// Milliseconds. The users start evenly over `ramp`, which is shorter than a response: streams that begin and end in lock-step
/// would measure how fast two cores handle the burst.
struct Pace {
    ttft: f64,
    tpot: f64,
    ramp: f64,
}

const fn paced(name: &'static str, users: usize) -> Load {
    Load { name, users, each: 5, tokens: 50, pace: Some(Pace { ttft: 200.0, tpot: 20.0, ramp: 1000.0 }) }
}

const LOADS: [Load; 6] = [
    Load { name: "instant, 64 users", users: 64, each: 1000, tokens: 16, pace: None },
    Load { name: "instant, 256 users", users: 256, each: 250, tokens: 16, pace: None },
    paced("paced 200 and 20 ms, 64 streams", 64),
    paced("paced 200 and 20 ms, 256 streams", 256),
    paced("paced 200 and 20 ms, 1000 streams", 1000),
    Load {
        name: "paced 200 and 100 ms, 5000 streams",
        users: 5000,
        each: 3,
        tokens: 20,
        pace: Some(Pace { ttft: 200.0, tpot: 100.0, ramp: 2000.0 }),
    },
];

impl Load {
    fn requests(&self) -> usize {
        self.users * self.each
    }

    /// Seconds that a client without any cost of its own would take.
    fn ideal_wall(&self) -> Option<f64> {
        let pace = self.pace.as_ref()?;
        let response = pace.ttft + pace.tpot * f64::from(self.tokens - 1);
        Some((response * self.each as f64 + pace.ramp * (1.0 - 1.0 / self.users as f64)) / 1e3)
    }
}

#[derive(Clone, Copy)]
enum Client {
    Reference,
    Tool,
}

/// Mean and p99, milliseconds.
#[derive(Clone, Copy)]
struct Latency {
    mean: f64,
    p99: f64,
}

/// What a client says of its run.
struct Figures {
    requests: usize,
    wall: f64,
    ttft: Latency,
    tpot: Latency,
}

/// What is known of one run: the client's word, and what was seen from outside.
struct Outcome {
    figures: Figures,
    /// Of the whole client process with its start, seconds.
    cpu: f64,
    /// Sampled, MiB.
    pss: f64,
    /// The server's summary.
    truth: Value,
}

/// Reads the figures of a client: the reference's line, or the record of the tool.
fn figures(json: &Value) -> Figures {
    let level = &json["cases"][0]["load"]["levels"][0];
    if let Some(ended) = level["ended_s"].as_f64() {
        let figures = &level["figures"];
        return Figures {
            requests: level["counts"]["ok"].as_u64().unwrap_or(0) as usize,
            wall: ended - level["started_s"].as_f64().unwrap_or(0.0),
            ttft: latency(&figures["ttft"]),
            tpot: latency(&figures["tpot"]),
        };
    }
    Figures {
        requests: json["requests"].as_u64().unwrap_or(0) as usize,
        wall: json["wall_s"].as_f64().unwrap_or(f64::NAN),
        ttft: latency(&json["ttft_ms"]),
        tpot: latency(&json["tpot_ms"]),
    }
}

fn latency(json: &Value) -> Latency {
    Latency { mean: json["mean"].as_f64().unwrap_or(f64::NAN), p99: json["p99"].as_f64().unwrap_or(f64::NAN) }
}

pub fn main(arguments: &[String]) {
    process::raise_file_limit();
    let rounds = option(arguments, "--rounds", 1usize);
    let only = option(arguments, "--only", String::new());
    let alone = arguments.iter().any(|a| a == "--alone");
    let tool = std::env::var("LOAD_COMMAND").unwrap_or_else(|_| TOOL.to_owned());
    let turns: &[Client] = if alone { &[Client::Reference] } else { &[Client::Reference, Client::Tool, Client::Tool, Client::Reference] };
    let pinned = Command::new("taskset").args(["-c", "1", "true"]).status().is_ok_and(|s| s.success());
    println!("{}", if pinned { "client on core 0, server on core 1" } else { "no core of their own: client and server may meet" });
    if !alone && "schedule".contains(&only) {
        schedule(option(arguments, "--runs", 3), option(arguments, "--seconds", 20), pinned);
    }
    for load in LOADS.iter().filter(|l| l.name.contains(&only)) {
        let (mut reference, mut ours) = (Vec::new(), Vec::new());
        for turn in turns.iter().cycle().take(turns.len() * rounds) {
            match turn {
                Client::Reference => reference.push(run(load, Client::Reference, &tool, pinned)),
                Client::Tool => ours.push(run(load, Client::Tool, &tool, pinned)),
            }
        }
        println!("{} (medians of {} runs):", load.name, reference.len());
        let reference = report("reference", load, &reference);
        if !alone {
            let ours = report("tool", load, &ours);
            let (rate, cpu) = (ours.0 / reference.0, ours.1 / reference.1);
            println!("  tool beside reference: {rate:.2} × the requests a second, {cpu:.2} × the CPU of a request");
        }
    }
}

/// An open loop of 2000 requests a second: does it keep its schedule?
fn schedule(rounds: usize, seconds: usize, pinned: bool) {
    let load = Load { name: "", users: 1, each: 1, tokens: 1, pace: None };
    let (mut sent, mut lag) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let server = Server::start(&load, pinned);
        let file = std::env::temp_dir().join(format!("load-{}.json", std::process::id()));
        let line = format!(
            "{} load --quiet --base-url http://{}/v1 --model m --rate 2000/s --arrivals constant --runtime {seconds}s --prompt x --out {} --json {}",
            env!("CARGO_BIN_EXE_roadworthy"),
            server.address,
            file.with_extension("runs").display(),
            file.display()
        );
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let mut child =
            on_core(pinned.then_some("0"), &words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the client starts");
        child.wait().expect("a child can be waited for");
        let record: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("the client leaves figures")).expect("JSON");
        let load = &record["cases"][0]["load"];
        sent.push(load["levels"][0]["counts"]["scheduled"].as_f64().unwrap_or(f64::NAN));
        lag.push(load["health"]["lag_p99"].as_f64().unwrap_or(f64::NAN));
        server.stop();
    }
    let wanted = 2000.0 * seconds as f64;
    let off = median(sent.iter().map(|n| (n / wanted - 1.0).abs() * 100.0));
    let sent: Vec<String> = sent.iter().map(|n| format!("{n:.0}")).collect();
    println!("open loop, 2000/s for {seconds} s: sent {} of {wanted:.0} ({off:.3} % off)", sent.join(", "));
    println!("  taken up late by p99 {:.3} ms (median of {rounds}; {lag:?})", median(lag.iter().copied()));
}

/// One client against one server.
fn run(load: &Load, client: Client, tool: &str, pinned: bool) -> Outcome {
    let server = Server::start(load, pinned);
    let file = std::env::temp_dir().join(format!("load-{}.json", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let words = match client {
        Client::Reference => reference_command(load, &server.address),
        Client::Tool => filled(tool, load, &server.address, &file),
    };
    let before = process::cpu_seconds(libc::RUSAGE_CHILDREN);
    let mut child = on_core(pinned.then_some("0"), &words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the client starts");
    let id = child.id().to_string();
    // Until it ends: a process that is gone has no memory to tell.
    let watch = std::thread::spawn(move || {
        let mut peak = 0f64;
        while let Some(now) = process::pss(&id) {
            peak = peak.max(now);
            std::thread::sleep(Duration::from_millis(200));
        }
        peak
    });
    let mut out = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut out).expect("a client prints text");
    let status = child.wait().expect("a child can be waited for");
    // The server is waited for later, so its time is not in here.
    let cpu = process::cpu_seconds(libc::RUSAGE_CHILDREN) - before;
    let text = match client {
        Client::Reference => out,
        // The exit code is no matter: a failed gate still leaves figures.
        Client::Tool => std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{words:?} ended with {status} and left no figures: {e}")),
    };
    let json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?} ended with {status}: {e}"));
    Outcome { figures: figures(&json), cpu, pss: watch.join().expect("the watch does not panic"), truth: server.stop() }
}

fn reference_command(load: &Load, address: &str) -> Vec<String> {
    let ramp = load.pace.as_ref().map_or(0.0, |p| p.ramp / 1e3);
    let words = format!(
        "{} reference --addr {address} --users {} --requests {} --tokens {} --ramp {ramp}",
        me().display(),
        load.users,
        load.requests(),
        load.tokens
    );
    words.split(' ').map(str::to_owned).collect()
}

fn filled(template: &str, load: &Load, address: &str, json: &Path) -> Vec<String> {
    let ramp = load.pace.as_ref().map_or(0.0, |p| p.ramp / 1e3);
    let fill = |word: &str| {
        word.replace("{addr}", address)
            .replace("{users}", &load.users.to_string())
            .replace("{requests}", &load.requests().to_string())
            .replace("{tokens}", &load.tokens.to_string())
            .replace("{spawn}", &(if ramp > 0.0 { load.users as f64 / ramp } else { 1e6 }).to_string())
            .replace("{runs}", &json.with_extension("runs").display().to_string())
            .replace("{json}", &json.display().to_string())
    };
    template.split_whitespace().map(fill).collect()
}

fn me() -> PathBuf {
    std::env::current_exe().expect("a process knows its file")
}

fn on_core(core: Option<&str>, words: &[String]) -> Command {
    let Some(core) = core else {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        return command;
    };
    let mut command = Command::new("taskset");
    command.args(["-c", core]).args(words);
    command
}

struct Server {
    child: Child,
    /// Closing it ends the server.
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start(load: &Load, pinned: bool) -> Server {
        let mode = match &load.pace {
            None => "instant".to_owned(),
            Some(pace) => format!("paced --ttft {} --tpot {}", pace.ttft, pace.tpot),
        };
        let words = format!("{} server --tokens {} --mode {mode}", me().display(), load.tokens);
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let mut command = on_core(pinned.then_some("1"), &words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the server starts");
        let (input, output) = (child.stdin.take().expect("it is piped"), child.stdout.take().expect("it is piped"));
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line).expect("the server prints text");
        let address = line.trim().strip_prefix("listening ").expect("the server tells its address").to_owned();
        Server { child, input, output, address }
    }

    fn stop(self) -> Value {
        let Server { mut child, input, mut output, .. } = self;
        drop(input);
        let mut text = String::new();
        output.read_to_string(&mut text).expect("the server prints text");
        child.wait().expect("a child can be waited for");
        serde_json::from_str(text.trim()).expect("the server ends with a summary")
    }
}

/// Prints a line or two; returns requests a second and CPU microseconds a request.
fn report(name: &str, load: &Load, outcomes: &[Outcome]) -> (f64, f64) {
    let of = |f: &dyn Fn(&Outcome) -> f64| median(outcomes.iter().map(f));
    let rate = of(&|o| o.figures.requests as f64 / o.figures.wall);
    let cpu = of(&|o| o.cpu / o.figures.requests as f64 * 1e6);
    let served = of(&|o| o.truth["cpu_s"].as_f64().unwrap_or(f64::NAN) / o.figures.requests as f64 * 1e6);
    let (pss, requests) = (of(&|o| o.pss), of(&|o| o.figures.requests as f64));
    println!(
        "  {name}: {requests} of {} requests, {rate:.0} a second; CPU of a request {cpu:.1} µs, server {served:.1} µs; PSS {pss:.1} MiB",
        load.requests()
    );
    if let Some(ideal) = load.ideal_wall() {
        let part = rate / (load.requests() as f64 / ideal) * 100.0;
        let error = |key: &str, pick: fn(&Figures) -> Latency| {
            let truth = |o: &Outcome| latency(&o.truth["written"][key]);
            (of(&|o| pick(&o.figures).mean - truth(o).mean), of(&|o| pick(&o.figures).p99 - truth(o).p99))
        };
        let ((ttft, ttft99), (tpot, tpot99)) = (error("ttft_ms", |f| f.ttft), error("tpot_ms", |f| f.tpot));
        let late = of(&|o| latency(&o.truth["written"]["late_ms"]).mean);
        let late99 = of(&|o| latency(&o.truth["written"]["late_ms"]).p99);
        println!(
            "    {part:.1} % of the ideal rate; beside the log, ms: ttft mean {ttft:+.3}, p99 {ttft99:+.3}; tpot mean {tpot:+.4}, p99 {tpot99:+.4}"
        );
        println!("    the server wrote late by {late:.3} ms on average, p99 {late99:.3}");
    }
    (rate, cpu)
}
