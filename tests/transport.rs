//! What only a server that speaks bytes can show: breaks, silences, closed ports and odd answers, each with the verdict it deserves.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const WHOLE: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"fine"},"finish_reason":"stop"}]}"#;

/// A server that handles each connection by `serve`, and the requests it read.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

fn server(serve: impl Fn(&mut Talk) -> std::io::Result<()> + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, serve) = (seen.clone(), Arc::new(serve));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (log, serve) = (log.clone(), serve.clone());
            std::thread::spawn(move || {
                let mut talk = Talk { stream, log };
                let _ = serve(&mut talk);
            });
        }
    });
    Server { url, seen }
}

/// One connection.
struct Talk {
    stream: TcpStream,
    log: Arc<Mutex<Vec<String>>>,
}

impl Talk {
    /// Reads one request, and answers probes and lists of models by itself.
    fn request(&mut self) -> std::io::Result<String> {
        loop {
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            let text = loop {
                let n = self.stream.read(&mut buffer)?;
                if n == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                bytes.extend_from_slice(&buffer[..n]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.to_lowercase().split("content-length: ").nth(1).and_then(|t| t.lines().next()?.parse().ok()).unwrap_or(0);
                if body.len() >= length {
                    break text;
                }
            };
            if text.starts_with("GET /health") {
                self.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
                continue;
            }
            if text.starts_with("POST") {
                self.log.lock().unwrap().push(text.clone());
            }
            return Ok(text);
        }
    }

    fn send(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }

    fn whole(&mut self, status: &str, headers: &str, body: &str) -> std::io::Result<()> {
        self.send(&format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()))
    }

    fn begin_stream(&mut self) -> std::io::Result<()> {
        self.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    }

    fn event(&mut self, data: &str) -> std::io::Result<()> {
        let event = format!("data: {data}\n\n");
        self.send(&format!("{:x}\r\n{event}\r\n", event.len()))
    }

    fn token(&mut self, text: &str) -> std::io::Result<()> {
        self.event(&format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#))
    }
}

/// Runs cases with a target's settings, and gives back the exit code and what was shown.
fn run(url: &str, settings: &str, cases: &str) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let config = format!("targets: {{ default: {{ base_url: \"{url}\", model: m, {settings} }} }}\n");
    std::fs::write(dir.path().join("roadworthy.yaml"), config).unwrap();
    std::fs::create_dir(dir.path().join("scenarios")).unwrap();
    std::fs::write(dir.path().join("scenarios/a.yaml"), format!("scenario: a\ncases:\n{cases}")).unwrap();
    let output = common::roadworthy().current_dir(dir.path()).args(["run", "--test-threads", "1"]).output().unwrap();
    let shown = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    (output.status.code().unwrap_or(-1), shown)
}

fn case(name: &str, expect: &str) -> String {
    format!("  - {{ name: {name}, prompt: hi, expect: [ {expect} ] }}\n")
}

#[test]
fn a_hang_on_a_kept_open_connection_is_the_services_failure() {
    let server = server(|talk| {
        talk.request()?;
        talk.whole("200 OK", "", WHOLE)?;
        talk.request()?;
        std::thread::sleep(Duration::from_millis(1500));
        Ok(())
    });
    let (code, shown) = run(&server.url, "", &(case("first", "equals: fine") + &case("second", "equals: fine")));
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("the connection broke before a response came"), "{shown}");
    assert_eq!(server.seen.lock().unwrap().len(), 2);
}

#[test]
fn an_answer_without_a_stream_has_the_whole_time() {
    let server = server(|talk| {
        talk.request()?;
        std::thread::sleep(Duration::from_millis(700));
        talk.whole("200 OK", "", WHOLE)
    });
    let (code, shown) = run(&server.url, "stream: false, timeout: { first_token: 200ms, total: 5s }", &case("a", "equals: fine"));
    assert_eq!(code, 0, "{shown}");
}

#[test]
fn silence_after_the_first_token_counts_at_once() {
    let server = server(|talk| {
        talk.request()?;
        talk.begin_stream()?;
        talk.token("one")?;
        std::thread::sleep(Duration::from_millis(1500));
        talk.token("two")?;
        talk.event("[DONE]")?;
        talk.send("0\r\n\r\n")
    });
    let (code, shown) = run(&server.url, "timeout: { first_token: 5s, idle: 400ms }", &case("a", "not_empty"));
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("the stream stalled: nothing for 400 ms"), "{shown}");
}

#[test]
fn a_stream_held_open_after_its_last_word_is_an_answer() {
    let server = server(|talk| {
        talk.request()?;
        talk.begin_stream()?;
        talk.token("one")?;
        talk.event(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#)?;
        std::thread::sleep(Duration::from_millis(1500));
        Ok(())
    });
    let (code, shown) = run(&server.url, "timeout: { idle: 300ms }", &case("a", "equals: one"));
    assert_eq!(code, 0, "{shown}");
}

#[test]
fn an_empty_finish_reason_is_no_end() {
    let server = server(|talk| {
        talk.request()?;
        talk.begin_stream()?;
        talk.event(r#"{"choices":[{"index":0,"delta":{"content":"one"},"finish_reason":""}]}"#)?;
        talk.send("0\r\n\r\n")
    });
    let (code, shown) = run(&server.url, "", &case("a", "not_empty"));
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("without finish_reason and without [DONE]"), "{shown}");
}

#[test]
fn credentials_of_the_address_are_sent_and_never_shown() {
    let server = server(|talk| {
        talk.request()?;
        talk.whole("500 Oops", "", r#"{"error":{"message":"no entry for p@ssword7"}}"#)
    });
    let url = server.url.replace("http://", "http://user:p%40ssword7@");
    let (code, shown) = run(&url, "", &case("a", "not_empty"));
    assert_eq!(code, 1, "{shown}");
    assert!(!shown.contains("ssword7"), "{shown}");
    // `user:p@ssword7`
    assert!(server.seen.lock().unwrap()[0].to_lowercase().contains("authorization: basic dxnlcjpwqhnzd29yzdc="));
}

#[test]
fn a_status_that_is_expected_is_asked_for_once() {
    let server = server(|talk| {
        talk.request()?;
        talk.whole("429 Too Many Requests", "retry-after: 0\r\n", r#"{"error":{"message":"slow down"}}"#)
    });
    let (code, shown) = run(&server.url, "", &case("a", "status: 429"));
    assert_eq!(code, 0, "{shown}");
    assert_eq!(server.seen.lock().unwrap().len(), 1);
}

#[test]
fn retries_happen_for_what_is_told_and_at_the_time_that_is_asked_for() {
    let date = "Wed, 25 Nov 2020 10:00:00 GMT";
    for (when, status, sent) in [("[connect, 429]", "429 Too Many", 3), ("[503]", "429 Too Many", 1), ("[503]", "503 Busy", 3)] {
        let server = server(move |talk| {
            talk.request()?;
            talk.whole(status, &format!("retry-after: {date}\r\n"), "{}")
        });
        let (code, shown) = run(&server.url, &format!("transport_retry: {{ when: {when} }}"), &case("a", "not_empty"));
        assert!(code == 1 || code == 3, "{shown}");
        assert_eq!(server.seen.lock().unwrap().len(), sent, "{when} {status}: {shown}");
    }
}

#[test]
fn a_redirect_is_told_and_not_followed() {
    let server = server(|talk| {
        talk.request()?;
        talk.whole("307 Temporary Redirect", "location: http://127.0.0.1:9/elsewhere\r\n", "")
    });
    let (code, shown) = run(&server.url, "", &case("a", "not_empty"));
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("it points to http://127.0.0.1:9/elsewhere, and redirects are not followed"), "{shown}");
}

#[test]
fn an_error_inside_a_200_may_be_what_was_asked_for() {
    let server = server(|talk| {
        talk.request()?;
        talk.whole("200 OK", "", r#"{"error":{"message":"boom"}}"#)
    });
    let (code, shown) = run(&server.url, "", &(case("asked", "error: { message: boom }") + &case("not", "not_empty")));
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("1 pass, 1 fail"), "{shown}");
}

#[test]
fn a_port_that_closes_after_readiness_is_a_crash_even_when_it_opens_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut listener = Some(listener);
        for round in 0..100 {
            let bound = listener.take().unwrap_or_else(|| TcpListener::bind(address).unwrap());
            let Ok((stream, _)) = bound.accept() else { return };
            let mut talk = Talk { stream, log: log.clone() };
            let asked = talk.request().is_ok();
            if asked && round < 90 {
                // The port is closed before the answer, so that nobody can connect after it; it opens again soon.
                drop(bound);
                let _ = talk.whole("200 OK", "connection: close\r\n", WHOLE);
                drop(talk);
                std::thread::sleep(Duration::from_millis(60));
            } else {
                listener = Some(bound);
            }
        }
    });
    let cases = case("first", "equals: fine") + &case("second", "equals: fine");
    let (code, shown) = run(&format!("http://{address}/v1"), "ready: { path: /health }, transport_retry: { backoff: 200ms }", &cases);
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("service crashed: connection refused"), "{shown}");
}

#[test]
fn an_endless_list_of_models_is_left_alone() {
    let server = server(|talk| {
        let request = talk.request()?;
        if request.starts_with("GET") {
            talk.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")?;
            let piece = "x".repeat(1 << 16);
            loop {
                talk.send(&format!("{:x}\r\n{piece}\r\n", piece.len()))?;
            }
        }
        talk.whole("200 OK", "", WHOLE)
    });
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.yaml"), format!("scenario: a\ncases:\n{}", case("a", "equals: fine"))).unwrap();
    let output = common::roadworthy().current_dir(dir.path()).args(["run", "a.yaml", "--base-url", &server.url]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_request_under_which_its_connection_broke_is_no_plain_pass() {
    let server = server(|talk| {
        loop {
            talk.request()?;
            if talk.log.lock().unwrap().len() == 2 {
                return Ok(());
            }
            talk.whole("200 OK", "", WHOLE)?;
        }
    });
    let (code, shown) = run(&server.url, "", &(case("first", "equals: fine") + &case("second", "equals: fine")));
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("1 pass, 1 flaky") && shown.contains("the connection broke under a request"), "{shown}");
}

#[test]
fn half_a_key_is_never_shown() {
    const KEY: &str = "sk-0123456789abcdefghijklmnopqrstuv";
    for stream in [false, true] {
        for before in (100..420).step_by(7) {
            let server = server(move |talk| {
                talk.request()?;
                let error = format!(r#"{{"error":{{"message":"{}Bearer {KEY}"}}}}"#, "x".repeat(before));
                if !stream {
                    return talk.whole("500 Oops", "", &error);
                }
                talk.begin_stream()?;
                talk.event(&error)?;
                talk.send("0\r\n\r\n")
            });
            let (code, shown) = run(&server.url, &format!("api_key: {KEY}"), &case("a", "not_empty"));
            assert_eq!(code, 1, "{shown}");
            assert!(!shown.contains(&KEY[..12]), "{before} {shown}");
        }
    }
}

#[test]
fn a_request_that_is_sent_back_does_not_switch_counts_off() {
    let server = server(|talk| {
        let request = talk.request()?;
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        if body.contains("too long") {
            let detail = format!(r#"{{"detail":[{{"loc":["body","messages"],"msg":"too long","input":{body}}}]}}"#);
            return talk.whole("422 Unprocessable", "", &detail);
        }
        talk.begin_stream()?;
        talk.token("one")?;
        talk.event(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#)?;
        if body.contains("include_usage") {
            talk.event(r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#)?;
        }
        talk.event("[DONE]")?;
        talk.send("0\r\n\r\n")
    });
    let long = "  - { name: refused, prompt: too long, expect: [ status: 422 ] }\n";
    let (code, shown) = run(&server.url, "", &(long.to_owned() + &case("counted", "tokens: { completion: 1 }")));
    assert_eq!(code, 0, "{shown}");
    assert_eq!(server.seen.lock().unwrap().len(), 2, "{shown}");
}

#[test]
fn an_error_instead_of_a_stream_is_the_body() {
    let server = server(|talk| {
        talk.request()?;
        talk.begin_stream()?;
        talk.event(r#"{"error":{"message":"boom","type":"server_error"}}"#)?;
        talk.send("0\r\n\r\n")
    });
    let (code, shown) = run(&server.url, "", &case("asked", "error: { message: boom }"));
    assert_eq!(code, 0, "{shown}");
}

/// Runs a load of a few requests by two users, and gives back the exit code, what was shown, and how many were complete.
fn load(url: &str, settings: &str, more: &[&str]) -> (i32, String, u64) {
    let dir = tempfile::tempdir().unwrap();
    let config = format!("targets: {{ default: {{ base_url: \"{url}\", model: m, {settings} }} }}\n");
    std::fs::write(dir.path().join("roadworthy.yaml"), config).unwrap();
    let args = ["load", "--users", "2", "--requests", "6", "--prompt", "x", "--json", "r.json"];
    let output = common::roadworthy().current_dir(dir.path()).args(args).args(more).output().unwrap();
    let shown = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    let record: serde_json::Value =
        std::fs::read_to_string(dir.path().join("r.json")).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let ok = record["cases"][0]["load"]["levels"][0]["counts"]["ok"].as_u64().unwrap_or(0);
    (output.status.code().unwrap_or(-1), shown, ok)
}

#[test]
fn a_load_reads_answers_as_a_run_does() {
    // Held open after its last word.
    let held = server(|talk| {
        talk.request()?;
        talk.begin_stream()?;
        talk.token("one")?;
        talk.event(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#)?;
        talk.event("[DONE]")?;
        std::thread::sleep(Duration::from_millis(1500));
        Ok(())
    });
    let (code, shown, ok) = load(&held.url, "timeout: { idle: 300ms, total: 1s }", &[]);
    assert!(matches!(code, 0 | 3) && ok == 6, "{shown}");
    // Whole, and later than a first token may come.
    let slow = server(|talk| {
        loop {
            talk.request()?;
            std::thread::sleep(Duration::from_millis(500));
            talk.whole("200 OK", "", WHOLE)?;
        }
    });
    let (code, shown, ok) = load(&slow.url, "stream: false, timeout: { first_token: 200ms, total: 5s }", &[]);
    assert!(matches!(code, 0 | 3) && ok == 6, "{shown}");
}

#[test]
fn a_load_does_not_hide_what_the_service_broke() {
    let server = server(|talk| {
        talk.request()?;
        talk.whole("200 OK", "", WHOLE)?;
        talk.request()?;
        std::thread::sleep(Duration::from_millis(1200));
        Ok(())
    });
    let (_, shown, ok) = load(&server.url, "stream: false", &[]);
    assert!(ok < 6 && shown.contains("conn_reset"), "{shown}");
}

#[test]
fn a_stream_is_known_by_its_first_bytes() {
    let events = "data: {\"choices\":[{\"delta\":{\"content\":\"fine\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let unnamed = server(move |talk| {
        talk.request()?;
        talk.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{events}", events.len()))
    });
    let (code, shown) = run(&unnamed.url, "", &case("a", "equals: fine"));
    assert_eq!(code, 0, "{shown}");
    let error = r#"{"error":{"message":"out of memory"}}"#;
    let misnamed = server(move |talk| {
        talk.request()?;
        talk.send(&format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{error}", error.len()))
    });
    let (code, shown) = run(&misnamed.url, "", &case("a", "equals: fine"));
    assert!(code == 1 && shown.contains("out of memory"), "{shown}");
}

#[test]
fn an_error_in_the_stream_has_many_shapes() {
    for error in
        [r#"{"code":"DataInspectionFailed","message":"no"}"#, r#"{"detail":"CUDA OOM"}"#, r#"{"error_code":17,"error_msg":"quota"}"#]
    {
        let server = server(move |talk| {
            talk.request()?;
            talk.begin_stream()?;
            talk.token("one")?;
            talk.event(error)?;
            talk.event("[DONE]")?;
            talk.send("0\r\n\r\n")
        });
        let (code, shown) = run(&server.url, "", &case("a", "contains: one"));
        assert!(code == 1 && shown.contains("the stream holds an error"), "{error}: {shown}");
    }
}

#[test]
fn many_resends_wait_no_longer_than_the_request_may() {
    let server = server(|talk| {
        loop {
            talk.request()?;
            talk.whole("429 Too Many Requests", "retry-after: 0\r\n", "{}")?;
        }
    });
    let (code, shown) = run(&server.url, "transport_retry: { attempts: 80 }", &case("a", "not_empty"));
    assert!(code == 3 && shown.contains("80 attempts") && shown.contains("(79 times)"), "{shown}");
}

#[test]
fn what_may_still_become_a_body_has_the_whole_time() {
    let early = server(|talk| {
        talk.request()?;
        talk.send(&format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", WHOLE.len()))?;
        std::thread::sleep(Duration::from_millis(600));
        talk.send(WHOLE)
    });
    let (code, shown) = run(&early.url, "timeout: { first_token: 200ms, total: 5s }", &case("a", "equals: fine"));
    assert_eq!(code, 0, "{shown}");
    let (code, shown, ok) = load(&early.url, "timeout: { first_token: 200ms, total: 5s }", &[]);
    assert!(matches!(code, 0 | 3) && ok == 6, "{shown}");
    // And so has the rest of what has shown itself to be one.
    let halves = server(|talk| {
        talk.request()?;
        let (first, rest) = WHOLE.split_at(10);
        talk.send(&format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{first}", WHOLE.len()))?;
        std::thread::sleep(Duration::from_millis(600));
        talk.send(rest)
    });
    let (code, shown, ok) = load(&halves.url, "timeout: { first_token: 200ms, total: 5s }", &[]);
    assert!(matches!(code, 0 | 3) && ok == 6, "{shown}");
    // The first bytes do not yet tell what it is.
    let torn = server(|talk| {
        talk.request()?;
        talk.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nda\r\n")?;
        std::thread::sleep(Duration::from_millis(50));
        let rest = "ta: {\"choices\":[{\"delta\":{\"content\":\"fine\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        talk.send(&format!("{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len()))
    });
    let (code, shown) = run(&torn.url, "", &case("a", "equals: fine"));
    assert_eq!(code, 0, "{shown}");
    let (code, shown, ok) = load(&torn.url, "", &[]);
    assert!(matches!(code, 0 | 3) && ok == 6, "{shown}");
}
