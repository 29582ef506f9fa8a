//! Writes the tokens of every stream at absolute deadlines and logs when it did.
//!
//! One thread owns a heap of deadlines and makes the write calls itself: 50 000 writes a second leave no time to wake a task for
//! each. It parks until the earliest deadline (late by the timer slack, 50 µs, which also gathers neighbours into one wake).

use crate::server::{Answer, InFlight};
use crate::summary;
use serde_json::{Value, json};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::{Duration, Instant};
use tokio::net::tcp::OwnedWriteHalf;

/// So many writes, then a look at what has been submitted meanwhile.
const BATCH: usize = 64;
/// When a socket that took no bytes is tried again.
const RETRY: Duration = Duration::from_millis(1);

#[derive(Clone, Copy)]
pub struct Pace {
    pub ttft: Duration,
    pub tpot: Duration,
    pub tokens: u32,
}

/// When the bytes of one response were handed to the kernel, on the monotonic clock. Each is stamped just before its write call:
/// a reader on another core can have the bytes before the call returns, never before it begins.
#[derive(Clone, Copy)]
struct Written {
    read: Instant,
    first: Instant,
    last: Instant,
    finish: Instant,
}

struct Stream {
    /// Of the next write.
    due: Instant,
    /// Tokens written so far; the finish follows the last one at once.
    done: u32,
    /// Bytes of the present event that the socket has taken already.
    taken: usize,
    written: Written,
    socket: Arc<OwnedWriteHalf>,
}

impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}
impl Eq for Stream {}
impl PartialOrd for Stream {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Stream {
    /// The earliest is the greatest, as the heap wants it.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.due.cmp(&self.due)
    }
}

#[derive(Default)]
struct Inbox {
    streams: Vec<Stream>,
    /// The moment the thread sleeps until; absent when it has nothing to wait for.
    until: Option<Instant>,
}

#[derive(Default)]
struct Log {
    written: Vec<Written>,
    /// Seconds between a deadline and its write.
    late: Vec<f64>,
    /// Writes that a full socket refused in whole or in part.
    blocked: usize,
    /// Streams whose reader went away.
    broken: usize,
}

pub struct Pacer {
    pace: Pace,
    inbox: Arc<Mutex<Inbox>>,
    log: Arc<Mutex<Log>>,
    thread: Thread,
}

impl Pacer {
    pub fn start(pace: Pace, answer: Arc<Answer>, in_flight: Arc<InFlight>) -> Pacer {
        let (inbox, log) = (Arc::<Mutex<Inbox>>::default(), Arc::<Mutex<Log>>::default());
        let (theirs, log_there) = (inbox.clone(), log.clone());
        let handle = std::thread::Builder::new().name("pace".into()).spawn(move || write(pace, &answer, &in_flight, &theirs, &log_there));
        Pacer { pace, inbox, log, thread: handle.expect("a thread can be started").thread().clone() }
    }

    /// Takes over a stream whose request was fully read at `read`.
    pub fn submit(&self, read: Instant, socket: Arc<OwnedWriteHalf>) {
        let due = read + self.pace.ttft;
        let written = Written { read, first: read, last: read, finish: read };
        let mut inbox = self.inbox.lock().expect("no panic under this lock");
        inbox.streams.push(Stream { due, done: 0, taken: 0, written, socket });
        let wake = inbox.until.is_none_or(|until| due < until);
        drop(inbox);
        if wake {
            self.thread.unpark();
        }
    }

    /// The truth that clients are compared with.
    pub fn summary(&self) -> Value {
        let mut log = self.log.lock().expect("no panic under this lock");
        let steps = f64::from(self.pace.tokens.max(2) - 1);
        let since = |of: fn(&Written) -> Instant| -> Vec<f64> { log.written.iter().map(|w| (of(w) - w.read).as_secs_f64()).collect() };
        let (mut ttft, mut e2e) = (since(|w| w.first), since(|w| w.finish));
        let mut tpot: Vec<f64> = log.written.iter().map(|w| (w.last - w.first).as_secs_f64() / steps).collect();
        json!({
            "ttft_ms": summary::milliseconds(&mut ttft),
            "tpot_ms": summary::milliseconds(&mut tpot),
            "e2e_ms": summary::milliseconds(&mut e2e),
            "late_ms": summary::milliseconds(&mut log.late),
            "blocked": log.blocked,
            "broken": log.broken,
        })
    }
}

/// The thread. It ends with the process.
fn write(pace: Pace, answer: &Answer, in_flight: &InFlight, inbox: &Mutex<Inbox>, log: &Mutex<Log>) {
    let mut heap = BinaryHeap::new();
    loop {
        {
            let mut inbox = inbox.lock().expect("no panic under this lock");
            heap.extend(inbox.streams.drain(..));
            inbox.until = heap.peek().map(|s: &Stream| s.due);
        }
        let Some(next) = heap.peek() else {
            std::thread::park();
            continue;
        };
        let wait = next.due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            // An early return, for a stream that is due sooner, only means another look at the inbox.
            std::thread::park_timeout(wait);
        }
        let mut log = log.lock().expect("no panic under this lock");
        for _ in 0..BATCH {
            let Some(mut stream) = heap.peek_mut() else { break };
            if stream.due > Instant::now() {
                break;
            }
            if step(&mut stream, pace, answer, &mut log) {
                PeekMut::pop(stream);
                in_flight.end();
            }
        }
    }
}

/// Writes what is due on one stream and sets its next deadline. True when the stream has ended.
fn step(stream: &mut Stream, pace: Pace, answer: &Answer, log: &mut Log) -> bool {
    if stream.done < pace.tokens {
        let now = Instant::now();
        if stream.taken == 0 {
            log.late.push((now - stream.due).as_secs_f64());
            stream.written.last = now;
            if stream.done == 0 {
                stream.written.first = now;
            }
        }
        match send(stream, &answer.token, log) {
            Sent::All => stream.done += 1,
            Sent::Part => return false,
            Sent::Broken => return true,
        }
        if stream.done < pace.tokens {
            // From the request, not from the last write: lateness must not add up.
            stream.due = stream.written.read + pace.ttft + pace.tpot * stream.done;
            return false;
        }
    }
    if stream.taken == 0 {
        stream.written.finish = Instant::now();
    }
    match send(stream, &answer.end, log) {
        Sent::All => log.written.push(stream.written),
        Sent::Part => return false,
        Sent::Broken => {}
    }
    true
}

enum Sent {
    All,
    Part,
    Broken,
}

fn send(stream: &mut Stream, bytes: &[u8], log: &mut Log) -> Sent {
    let taken = match stream.socket.try_write(&bytes[stream.taken..]) {
        Ok(n) => n,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
        Err(_) => {
            log.broken += 1;
            return Sent::Broken;
        }
    };
    stream.taken += taken;
    if stream.taken == bytes.len() {
        stream.taken = 0;
        return Sent::All;
    }
    log.blocked += 1;
    stream.due = Instant::now() + RETRY;
    Sent::Part
}
