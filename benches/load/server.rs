//! Answers chat requests over plain sockets, at once or at a set pace, and tells at the end what it wrote and when.
//!
//! `server --mode instant|paced --tokens 16 --ttft 200 --tpot 20 --port 0`, times in ms. The first line of standard output is
//! `listening 127.0.0.1:PORT`; on SIGTERM, or when standard input closes, the last is a JSON summary.
//! Every POST gets a stream; `GET /health` tells what is in flight.

use crate::pace::{Pace, Pacer};
use crate::{option, process};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The bytes of a response, formatted once: every request gets the same ones.
pub struct Answer {
    /// Status, headers and the role delta, which no client may take for a token.
    pub start: Vec<u8>,
    pub token: Vec<u8>,
    /// The finish, the usage, `[DONE]` and the last chunk.
    pub end: Vec<u8>,
}

impl Answer {
    fn new(tokens: u32) -> Answer {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let event = |rest: &str| {
            let head = format!("\"id\":\"chatcmpl-0\",\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":\"m\"");
            chunk(&format!("{{{head},{rest}}}"))
        };
        let choice =
            |delta: &str, finish: &str| event(&format!("\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]"));
        let mut start = String::from("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        start.push_str(&choice("{\"role\":\"assistant\",\"content\":\"\"}", "null"));
        let mut end = choice("{}", "\"stop\"");
        let total = tokens + 8;
        end.push_str(&event(&format!(
            "\"choices\":[],\"usage\":{{\"prompt_tokens\":8,\"completion_tokens\":{tokens},\"total_tokens\":{total}}}"
        )));
        end.push_str(&chunk("[DONE]"));
        end.push_str("0\r\n\r\n");
        Answer { start: start.into(), token: choice("{\"content\":\" tok\"}", "null").into(), end: end.into() }
    }

    fn whole(&self, tokens: u32) -> Vec<u8> {
        let mut bytes = self.start.clone();
        bytes.extend(self.token.repeat(tokens as usize));
        bytes.extend_from_slice(&self.end);
        bytes
    }
}

/// One event in one chunk of the transfer, as the usual services send it.
fn chunk(data: &str) -> String {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}

/// Requests read and not yet answered to the end.
#[derive(Default)]
pub struct InFlight {
    now: AtomicUsize,
    peak: AtomicUsize,
    ended: AtomicUsize,
}

impl InFlight {
    fn begin(&self) {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.peak.fetch_max(now, Relaxed);
    }

    pub fn end(&self) {
        self.now.fetch_sub(1, Relaxed);
        self.ended.fetch_add(1, Relaxed);
    }
}

enum Mode {
    /// The whole response, written at once.
    Instant(Vec<u8>),
    Paced(Pacer),
}

struct Service {
    mode: Mode,
    answer: Arc<Answer>,
    in_flight: Arc<InFlight>,
}

pub fn main(arguments: &[String]) {
    process::raise_file_limit();
    let tokens = option(arguments, "--tokens", 16u32).max(1);
    let milliseconds = |name, default| Duration::from_secs_f64(option(arguments, name, default) / 1e3);
    let pace = Pace { ttft: milliseconds("--ttft", 200.0), tpot: milliseconds("--tpot", 20.0), tokens };
    let (answer, in_flight) = (Arc::new(Answer::new(tokens)), Arc::<InFlight>::default());
    let mode = match option(arguments, "--mode", "instant".to_owned()).as_str() {
        "instant" => Mode::Instant(answer.whole(tokens)),
        "paced" => Mode::Paced(Pacer::start(pace, answer.clone(), in_flight.clone())),
        other => panic!("--mode is instant or paced, not {other}"),
    };
    let service = Arc::new(Service { mode, answer, in_flight });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    runtime.block_on(async {
        let listener = listen(option(arguments, "--port", 0u16));
        let mut terminated =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("a signal can be listened for");
        println!("listening {}", listener.local_addr().expect("a bound socket has an address"));
        std::io::stdout().flush().expect("standard output takes a line");
        tokio::select! {
            () = accept(&listener, &service) => {}
            _ = terminated.recv() => {}
            () = input_closes() => {}
        }
        println!("{}", summary(&service));
    });
    // Without waiting for the streams that are still open.
    std::process::exit(0);
}

/// A backlog for thousands of clients that connect at the same moment.
fn listen(port: u16) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket can be opened");
    socket.set_reuseaddr(true).expect("a socket can be reused");
    socket.bind(([127, 0, 0, 1], port).into()).expect("the port is free");
    socket.listen(4096).expect("a bound socket can listen")
}

async fn input_closes() {
    let (closed, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = closed.send(());
    });
    let _ = wait.await;
}

async fn accept(listener: &TcpListener, service: &Arc<Service>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, service.clone()));
            }
            // Out of files: those who are connected go on.
            Err(error) => {
                eprintln!("cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// One connection, until its reader leaves.
async fn serve(stream: TcpStream, service: Arc<Service>) {
    let _ = stream.set_nodelay(true);
    let (mut reader, writer) = stream.into_split();
    let writer = Arc::new(writer);
    let mut buffer = Vec::with_capacity(4 << 10);
    while let Some(request) = read(&mut reader, &mut buffer).await {
        let read = Instant::now();
        let done = match (&service.mode, request.post) {
            (_, false) => write(&writer, &inform(&request.path, &service)).await,
            (Mode::Instant(whole), true) => {
                service.in_flight.begin();
                let done = write(&writer, whole).await;
                service.in_flight.end();
                done
            }
            (Mode::Paced(pacer), true) => {
                service.in_flight.begin();
                let done = write(&writer, &service.answer.start).await;
                pacer.submit(read, writer.clone());
                done
            }
        };
        if !done {
            return;
        }
    }
}

/// Waits for room in the socket. The pacing thread may hold the same half, but never writes while a request is being read.
async fn write(writer: &OwnedWriteHalf, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match writer.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if writer.writable().await.is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    true
}

struct Request {
    post: bool,
    path: String,
}

/// Reads one head and the body its content-length announces; what follows stays in `buffer`. None at the end of the connection.
async fn read(reader: &mut OwnedReadHalf, buffer: &mut Vec<u8>) -> Option<Request> {
    let mut wanted = 0;
    loop {
        if wanted == 0
            && let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n")
        {
            wanted = at + 4 + content_length(&buffer[..at]);
        }
        if wanted > 0 && buffer.len() >= wanted {
            let post = buffer.starts_with(b"POST ");
            let path = if post { String::new() } else { String::from_utf8_lossy(buffer.split(|b| *b == b' ').nth(1)?).into_owned() };
            buffer.drain(..wanted);
            return Some(Request { post, path });
        }
        if reader.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    let line = head.split(|b| *b == b'\n').find(|l| l.len() > NAME.len() && l[..NAME.len()].eq_ignore_ascii_case(NAME));
    line.and_then(|l| std::str::from_utf8(&l[NAME.len()..]).ok()).and_then(|v| v.trim().parse().ok()).unwrap_or(0)
}

fn inform(path: &str, service: &Service) -> Vec<u8> {
    let (status, body) = match path {
        "/health" => ("200 OK", json!({ "in_flight": service.in_flight.now.load(Relaxed) })),
        "/v1/models" => ("200 OK", json!({ "object": "list", "data": [{ "id": "m", "object": "model" }] })),
        _ => ("404 Not Found", json!({ "error": { "message": "no such page" } })),
    };
    let body = body.to_string();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into()
}

fn summary(service: &Service) -> Value {
    let in_flight = &service.in_flight;
    let (truth, mode) = match &service.mode {
        Mode::Instant(_) => (Value::Null, "instant"),
        Mode::Paced(pacer) => (pacer.summary(), "paced"),
    };
    json!({
        "mode": mode,
        "responses": in_flight.ended.load(Relaxed),
        "peak_in_flight": in_flight.peak.load(Relaxed),
        "cpu_s": process::cpu_seconds(libc::RUSAGE_SELF),
        "written": truth,
    })
}
