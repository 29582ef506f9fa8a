//! What the tool costs and how true its clock is, beside references measured in the same run. Run it with `cargo bench`.
//!
//! 1. Overhead: N one-request cases with three expectations against an instant server, beside a plain reqwest loop in a process of
//!    its own that streams the same bodies and parses the same JSON.
//! 2. Accuracy: TTFT and TPOT beside the write times that the simulated service logged.
//! 3. Start-up: `--version`, and parsing and planning 10 000 cases.
//! 4. Judging: answers of 1 KB a second on one core, by expectation.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const AT_ONCE: usize = 50;
const BIN: &str = env!("CARGO_BIN_EXE_roadworthy");

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, url, n, _, ..] = arguments.as_slice()
        && flag == "--plain-loop"
    {
        return plain_loop(url, n.parse().unwrap(), arguments[4].parse().unwrap());
    }
    if arguments.iter().any(|a| a == "--serve") {
        // For profilers: the instant server alone, until standard input closes.
        println!("{}", Server::start(Duration::ZERO).address);
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    startup(dir.path());
    judging();
    history(dir.path());
    let instant = Server::start(Duration::ZERO);
    for n in [1000, 10_000] {
        overhead(dir.path(), &instant, n, AT_ONCE);
    }
    // The median of a loop that is busy all the time is 50 ÷ its throughput, whatever the server does: its queue is in it. What a
    // service takes shows where no client queues.
    overhead(dir.path(), &instant, 1000, 1);
    overhead(dir.path(), &Server::start(Duration::from_millis(20)), 1000, AT_ONCE);
    accuracy(dir.path());
}

/// Answers every request on a keep-alive connection with the same short stream, a fixed time after it came.
struct Server {
    address: String,
    after: Duration,
    /// From the last byte of each request to the last of its answer, in milliseconds: no true client can see less.
    served: Arc<Mutex<Vec<f64>>>,
}

impl Server {
    fn start(after: Duration) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { address: listener.local_addr().unwrap().to_string(), after, served: Arc::default() };
        let (response, served) = (response(), server.served.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (response, served) = (response.clone(), served.clone());
                std::thread::Builder::new()
                    .stack_size(128 << 10)
                    .spawn(move || serve(stream, response.as_bytes(), after, &served))
                    .unwrap();
            }
        });
        server
    }

    /// The median of what was served since the last call.
    fn median(&self) -> f64 {
        middle(std::mem::take(&mut *self.served.lock().unwrap()))
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn response() -> String {
    let mut body = String::new();
    for text in ["您好，", "很高兴", "为您", "服务。", " Thank", " you."] {
        body.push_str(&format!("data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"));
    }
    body.push_str("data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
    body.push_str("data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}\n\ndata: [DONE]\n\n");
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    )
}

fn serve(mut stream: TcpStream, response: &[u8], after: Duration, served: &Mutex<Vec<f64>>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    let mut chunk = [0u8; 16 << 10];
    loop {
        let head = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut chunk) {
                Ok(n) if n > 0 => buffer.extend_from_slice(&chunk[..n]),
                _ => return,
            }
        };
        let text = String::from_utf8_lossy(&buffer[..head]).to_lowercase();
        let length: usize =
            text.split("content-length: ").nth(1).and_then(|t| t.lines().next()).and_then(|t| t.trim().parse().ok()).unwrap_or(0);
        while buffer.len() < head + length {
            match stream.read(&mut chunk) {
                Ok(n) if n > 0 => buffer.extend_from_slice(&chunk[..n]),
                _ => return,
            }
        }
        let came = Instant::now();
        buffer.drain(..head + length);
        if !after.is_zero() {
            std::thread::sleep(after);
        }
        if stream.write_all(response).is_err() {
            return;
        }
        served.lock().unwrap().push(came.elapsed().as_secs_f64() * 1e3);
    }
}

/// The reference: send, read the stream, cut it at blank lines, parse every event.
fn plain_loop(url: &str, n: usize, at_once: usize) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut latencies = runtime.block_on(async {
        let client = reqwest::Client::builder().pool_max_idle_per_host(usize::MAX).tcp_nodelay(true).build().unwrap();
        let next = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let workers: Vec<_> = (0..at_once)
            .map(|_| {
                let (client, next, url) = (client.clone(), next.clone(), url.to_owned());
                tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    loop {
                        let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if i >= n {
                            return latencies;
                        }
                        let body = serde_json::json!({"model": "m", "messages": [{"role": "user", "content": format!("你好 {i}")}], "stream": true, "stream_options": {"include_usage": true}});
                        let start = Instant::now();
                        let mut response = client.post(&url).header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
                        let mut text = Vec::new();
                        while let Some(chunk) = response.chunk().await.unwrap() {
                            text.extend_from_slice(&chunk);
                        }
                        latencies.push(start.elapsed());
                        let text = String::from_utf8(text).unwrap();
                        let events = text.split("\n\n").filter_map(|e| e.strip_prefix("data: ")).filter(|e| *e != "[DONE]");
                        let parsed = events.filter(|e| serde_json::from_str::<serde_json::Value>(e).is_ok()).count();
                        assert_eq!(parsed, 8);
                    }
                })
            })
            .collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.await.unwrap());
        }
        all
    });
    latencies.sort();
    println!("{}", latencies[latencies.len() / 2].as_secs_f64() * 1e3);
}

/// Wall time, standard output, and the peak resident memory in MiB, sampled.
fn timed(command: &mut Command) -> (Duration, String, f64) {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let watch = std::thread::spawn(move || {
        let mut peak: f64 = 0.0;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let Some(kib) = text
                .lines()
                .find_map(|l| l.strip_prefix("VmHWM:"))
                .and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<f64>().ok())
            else {
                break;
            };
            peak = peak.max(kib / 1024.0);
            std::thread::sleep(Duration::from_millis(5));
        }
        peak
    });
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.wait().unwrap();
    let wall = start.elapsed();
    (wall, out, watch.join().unwrap())
}

fn many_cases(n: usize) -> String {
    let mut text = String::from("scenario: many\ncases:\n");
    for i in 0..n {
        text.push_str(&format!("  - name: case {i}\n    prompt: 你好 {i}\n    expect:\n      - length: {{ min: 5, max: 60 }}\n      - contains: {{ any: [您好, 抱歉] }}\n      - latency: {{ e2e: 10s }}\n"));
    }
    text
}

fn overhead(dir: &Path, server: &Server, n: usize, at_once: usize) {
    let address = &server.address;
    std::fs::write(dir.join("many.yaml"), many_cases(n)).unwrap();
    let me = std::env::current_exe().unwrap();
    let mut rows = Vec::new();
    for _ in 0..5 {
        let (plain, median, _) = timed(Command::new(&me).args([
            "--plain-loop",
            &format!("http://{address}/v1/chat/completions"),
            &n.to_string(),
            &at_once.to_string(),
        ]));
        server.median();
        let out = dir.join("runs");
        let _ = std::fs::remove_dir_all(&out);
        let (tool, _, memory) = timed(
            Command::new(BIN)
                .current_dir(dir)
                .args([
                    "run",
                    "many.yaml",
                    "--model",
                    "m",
                    "--base-url",
                    &format!("http://{address}/v1"),
                    "--concurrency",
                    &at_once.to_string(),
                    "--out",
                ])
                .arg(&out),
        );
        let served = server.median();
        let journal = std::fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
        let record = roadworthy::journal::read(&journal).unwrap();
        assert_eq!(record.count(roadworthy::record::Verdict::Pass), n);
        let latencies: Vec<f64> =
            record.cases.iter().flat_map(|c| c.exchanges()).map(|e| e.timing.e2e.unwrap().as_secs_f64() * 1e3).collect();
        assert_eq!(latencies.len(), n);
        let theirs: f64 = median.trim().parse().unwrap();
        rows.push((tool.as_secs_f64() * 1e3, plain.as_secs_f64() * 1e3, memory, middle(latencies), theirs, served));
    }
    rows.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    println!(
        "{n} cases, {at_once} at once, answered after {} ms (five runs, best ratio first; allowed: 2 × the plain loop + 100 ms):",
        server.after.as_millis()
    );
    for (tool, plain, memory, ours, theirs, served) in rows {
        println!(
            "  tool {tool:.0} ms, plain loop {plain:.0} ms: {:.2} ×, allowed {:.0} ms; {memory:.0} MiB; median e2e {ours:.2} ms beside {theirs:.2} ms: {:+.0} % (served in {served:.3} ms)",
            tool / plain,
            plain * 2.0 + 100.0,
            (ours / theirs - 1.0) * 100.0
        );
    }
}

fn accuracy(dir: &Path) {
    let log = dir.join("written.jsonl");
    let script = format!(
        "simulated: a steady pace\nttft: 200ms\ntpot: 20ms\nlog: {}\nrules: [ {{ answer: one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen }} ]\n",
        log.display()
    );
    std::fs::write(dir.join("pace.sim.yaml"), script).unwrap();
    let mut cases = String::from("scenario: pace\ncases:\n");
    for i in 0..256 {
        cases.push_str(&format!("  - name: case {i}\n    prompt: case {i}\n    expect: [ not_empty ]\n"));
    }
    std::fs::write(dir.join("pace.yaml"), cases).unwrap();
    let mut sim = Command::new(BIN).current_dir(dir).args(["sim", "pace.sim.yaml"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(sim.stdout.take().unwrap()), &mut line).unwrap();
    let url = line.trim().rsplit(' ').next().unwrap().to_owned();
    let json = dir.join("pace.json");
    // Spread starts: 64 streams that begin and end in lock-step would measure how fast two cores handle a burst of 64.
    std::fs::write(
        dir.join("roadworthy.yaml"),
        "targets: { default: { base_url: http://replaced, limits: { concurrency: 64, rate: 125/s } } }\n",
    )
    .unwrap();
    timed(Command::new(BIN).current_dir(dir).args(["run", "pace.yaml", "--base-url", &url, "--json"]).arg(&json));
    std::fs::remove_file(dir.join("roadworthy.yaml")).unwrap();
    sim.kill().unwrap();
    let _ = sim.wait();

    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let record: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let ours = |key: &str| -> Vec<f64> {
        record["cases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["attempts"][0]["trials"][0]["turns"][0]["exchange"]["timing"][key].as_f64().unwrap())
            .collect()
    };
    let mut written: std::collections::BTreeMap<u64, (f64, Vec<f64>)> = std::collections::BTreeMap::new();
    for line in std::fs::read_to_string(&log).unwrap().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let entry = written.entry(event["request"].as_u64().unwrap()).or_default();
        let ms = event["us"].as_f64().unwrap() / 1e3;
        match event["event"].as_str().unwrap() {
            "received" => entry.0 = ms,
            "token" => entry.1.push(ms),
            _ => {}
        }
    }
    let ttft: Vec<f64> = written.values().map(|(received, tokens)| tokens[0] - received).collect();
    let tpot: Vec<f64> = written.values().map(|(_, tokens)| (tokens.last().unwrap() - tokens[0]) / (tokens.len() - 1) as f64).collect();
    let (a, b, c, d) = (mean(&ours("ttft_ms")), mean(&ttft), mean(&ours("tpot_ms")), mean(&tpot));
    println!("64 streams, nominal 200 ms and 20 ms, {} requests (allowed: 0.5 ms):", ttft.len());
    println!("  mean ttft {a:.3} ms, written {b:.3} ms: {:+.3} ms; mean tpot {c:.3} ms, written {d:.3} ms: {:+.3} ms", a - b, c - d);
}

struct NoFiles;

impl roadworthy::scenario::Files for NoFiles {
    fn read(&self, _: &str, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("no file {path}"))
    }
}

fn startup(dir: &Path) {
    let mut times: Vec<f64> = (0..20).map(|_| timed(Command::new(BIN).current_dir(dir).arg("--version")).0.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    println!("--version: median {:.1} ms (allowed: 10 ms)", times[10]);
    let text = many_cases(10_000);
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let source = std::sync::Arc::new(roadworthy::diagnostic::Source { name: "many.yaml".into(), text: text.clone() });
            let start = Instant::now();
            let scenario = roadworthy::scenario::parse(&source, &NoFiles).unwrap_or_else(|d| panic!("{}", d[0].render(false)));
            let planned = roadworthy::plan::expand(&scenario, "many", &NoFiles).unwrap_or_else(|d| panic!("{}", d[0].render(false)));
            assert_eq!(planned.len(), 10_000);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("parsing and planning 10 000 cases: median {:.0} ms (allowed: 300 ms)", times[2]);
}

/// Reading 90 days of history and judging 1000 cases against it.
fn history(dir: &Path) {
    use roadworthy::baseline::{CaseEntry, Entry, Store, VERSION};
    use roadworthy::expect::past::{Ceiling, once};
    use roadworthy::record::samples::Samples;
    use roadworthy::stats::history::Predicted;
    const CASES: usize = 1000;
    const DAYS: u64 = 90;
    let store = Store::at(dir.join("baselines"));
    let now = 1_800_000_000u64;
    let value = |case: usize, day: u64, sample: u64| {
        let draw = case as u64 * 7919 + day * 104_729 + sample * 1_299_709;
        300.0 * (1.0 + 0.3 * ((draw % 1009) as f64 / 1009.0 - 0.5))
    };
    for scenario in 0..10 {
        let entries = (1..=DAYS).map(|day| {
            let at = now - day * 86_400;
            let cases = (0..CASES / 10).map(|case| {
                let ms = ["ttft", "tpot", "e2e", "max_gap"].map(|metric| {
                    (metric.to_owned(), Samples::of((0..3).map(|s| (value(scenario * 100 + case, day, s) * 1e3).round() / 1e3).collect()))
                });
                let entry = CaseEntry { segment: "s".into(), trials: 3, passed: 3, says: None, ms: ms.into() };
                (format!("case {case}"), entry)
            });
            let time = format!("2027-01-{:02}T{:02}:00:00Z", day % 28 + 1, day % 24);
            Entry { v: VERSION, at: time, run: at.to_string(), labels: Default::default(), cases: cases.collect() }
        });
        let all: Vec<Entry> = entries.collect();
        store
            .change(&format!("scenario{scenario}"), |kept| {
                kept.extend(all.clone());
                true
            })
            .unwrap();
    }
    let seconds = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second() as f64;
    let asked: Vec<(String, String)> =
        (0..CASES).map(|case| (format!("scenario{}::case {}", case / 100, case % 100), "s".to_owned())).collect();
    let fresh = [310.0, 290.0, 305.0];
    let rolling = Ceiling::Rolling { quantile: 0.9, window: None, factor: 1.3 };
    let predicted = Ceiling::Predicted(Predicted::default());
    let (mut reading, mut judging) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let start = Instant::now();
        let history = roadworthy::baseline::history(&store, &asked, 2 * CASES, None, seconds("2027-01-30T00:00:00Z")).unwrap();
        reading.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        for (id, _) in &asked {
            let known = history.cases[id].get("e2e");
            std::hint::black_box(once(&rolling, &fresh, known, &history));
            std::hint::black_box(once(&predicted, &fresh, known, &history));
        }
        judging.push(start.elapsed().as_secs_f64() * 1e3);
    }
    reading.sort_by(f64::total_cmp);
    judging.sort_by(f64::total_cmp);
    println!(
        "1000 cases against {DAYS} days of history, four metrics: read in {:.0} ms, judged by two rules in {:.0} ms (medians; allowed: 200 ms together)",
        reading[2], judging[2]
    );
}

/// How many answers of 1 KB one core judges in a second.
fn judging() {
    use roadworthy::exchange::Exchange;
    use roadworthy::expect::{Context, judge};
    let sentence =
        "保修期为24个月，自购买之日起计算，电池不在保修范围内。The motor of the Lumo kettle is covered, too, up to 1,213 hours. ";
    let mut answer: String = sentence.repeat(9);
    while answer.len() > 1024 {
        answer.pop();
    }
    println!("judged a second on one core, answers of {} bytes (asked for the first four: 100 000):", answer.len());
    for expectation in [
        "contains: { any: [并不存在, 电池不在] }",
        "matches: \"[0-9]+ hours\"",
        "length: 10..5000",
        "numbers: { any: 1213 }",
        "equals: x",
        "language: zh",
        "facts: [ 24个月, 电池 ]",
        "refuses",
        "asks_back",
        "readable",
        "no_repetition: { max: 30 }",
        "no_secrets",
        "format: list",
        "rouge: { to: 保修期为24个月, min: 1% }",
        "bleu: { to: 保修期为24个月, min: 1% }",
        "levenshtein: { to: 保修期为24个月, max: 9999 }",
        "grounded",
        "expr: size(answer) > 3",
    ] {
        let text = format!("scenario: s\ncases: [ {{ name: c, prompt: p, context: {answer:?}, expect: [ {expectation} ] }} ]\n");
        let source = std::sync::Arc::new(roadworthy::diagnostic::Source { name: "s.yaml".into(), text });
        let scenario = roadworthy::scenario::parse(&source, &NoFiles).unwrap_or_else(|d| panic!("{}", d[0].render(false)));
        let planned = roadworthy::plan::expand(&scenario, "s", &NoFiles).unwrap_or_else(|d| panic!("{}", d[0].render(false)));
        let turns = [Exchange { answer: answer.clone(), status: Some(200), ..Exchange::default() }];
        let vars = serde_json::Map::new();
        let context = Context { turns: &turns, system: None, prompt: "p", ground: Some(&answer), vars: &vars, price: None, fetched: &[] };
        let expectation = &planned[0].versions[0].turns[0].expect[0];
        let start = Instant::now();
        let mut n = 0u32;
        while start.elapsed() < Duration::from_millis(300) {
            for _ in 0..20 {
                std::hint::black_box(judge(std::hint::black_box(expectation), &context));
                n += 1;
            }
        }
        println!("  {:<14} {:>9.0}", expectation.name, f64::from(n) / start.elapsed().as_secs_f64());
    }
}
