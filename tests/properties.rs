//! Properties of the parsers: the result does not depend on how bytes were split, and nothing a stranger writes makes them panic.
//! The samples under `tests/fixtures/sse` are answers of two builds of llama.cpp's server as curl saw them, mostly headers first.

use proptest::prelude::*;
use roadworthy::diagnostic::Source;
use roadworthy::exchange::{Exchange, FailureKind};
use roadworthy::target::sse::Decoder;
use roadworthy::target::wire::{TimedEvent, fold_stream};
use std::sync::Arc;
use std::time::Instant;

/// The bodies of the samples, by name.
fn samples() -> Vec<(String, Vec<u8>)> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sse");
    let mut samples: Vec<(String, Vec<u8>)> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let at = bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
            (path.file_stem().unwrap().to_string_lossy().into_owned(), bytes[at..].to_vec())
        })
        .collect();
    samples.sort();
    assert_eq!(samples.len(), 16);
    samples
}

fn decode(chunks: &[&[u8]]) -> Vec<String> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(chunk, |event| events.push(String::from_utf8_lossy(event).into_owned())).unwrap();
    }
    events
}

fn fold(events: &[String]) -> Exchange {
    let now = Instant::now();
    let timed: Vec<TimedEvent> = events.iter().map(|data| TimedEvent { at: now, data: data.clone() }).collect();
    let mut exchange = Exchange::default();
    fold_stream(&mut exchange, &timed, now, now);
    exchange
}

#[test]
fn every_split_of_every_sample_decodes_alike() {
    for (name, body) in samples() {
        let whole = decode(&[&body]);
        assert!(!whole.is_empty(), "{name}");
        for at in 0..=body.len() {
            assert_eq!(decode(&[&body[..at], &body[at..]]), whole, "{name} split at {at}");
        }
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(decode(&bytes), whole, "{name} byte by byte");
        let crlf = String::from_utf8(body.clone()).unwrap().replace('\n', "\r\n");
        assert_eq!(decode(&crlf.as_bytes().chunks(3).collect::<Vec<_>>()), whole, "{name} with CRLF");
    }
}

#[test]
fn samples_fold_to_what_the_server_said() {
    let by_name: std::collections::BTreeMap<String, Exchange> =
        samples().into_iter().map(|(name, body)| (name, fold(&decode(&[&body])))).collect();
    let whole = &by_name["chat_stream_usage"];
    assert_eq!((whole.failure.clone(), whole.finish_reason.is_some()), (None, true));
    assert_eq!(whole.usage.unwrap().completion_tokens, whole.timing.token_events);
    let cut = by_name["stream_cut_by_sigkill"].failure.as_ref().unwrap();
    assert_eq!(cut.kind, FailureKind::StreamTruncated);
    assert!(!by_name["chat_stream_logprobs"].logprobs.is_empty());
    assert!(by_name["chat_chinese_stream"].answer.chars().any(|c| c as u32 > 0x4e00));
}

proptest! {
    #[test]
    fn any_bytes_in_any_chunks_decode_alike(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b'd'), any::<u8>()], 0..400), cuts in proptest::collection::vec(0usize..400, 0..6)) {
        let whole = decode(&[&bytes]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
        cuts.sort();
        let mut chunks = Vec::new();
        let mut from = 0;
        for cut in cuts {
            chunks.push(&bytes[from..cut]);
            from = cut;
        }
        chunks.push(&bytes[from..]);
        prop_assert_eq!(decode(&chunks), whole);
    }

    #[test]
    fn any_events_fold_without_panic(events in proptest::collection::vec("\\PC{0,60}|\\{\"choices\":\\[\\{\"delta\":\\{\"content\":\"[a-z<>/]{0,9}\"\\}\\}\\]\\}|\\[DONE\\]", 0..12)) {
        fold(&events);
    }

    #[test]
    fn any_text_is_a_scenario_or_a_diagnostic(text in "(scenario|cases|expect|prompt|contains|- |: |\\{|\\}|\\[|\\]|\"|'|&a|\\*a|<<|!t|#|\n|  |\t|你好|，|：|\\$\\{X\\}|1\\.10|no|\\PC){0,60}") {
        let source = Arc::new(Source { name: "any.yaml".into(), text });
        if let Err(found) = roadworthy::scenario::parse(&source, &Nothing) {
            prop_assert!(!found.is_empty());
            for diagnostic in found {
                prop_assert!(!diagnostic.render(false).is_empty());
            }
        }
    }

    #[test]
    fn any_expectation_is_read_or_told(body in "(not_empty|contains|length|json|latency|status|numbers|facts|expr|any|all|not): (\\PC{0,20}|\\{ (min|max|any|all|text|e2e|\"\\$\\.a\"): (\\[\\PC{0,9}\\]|\\PC{0,9}) \\})") {
        let text = format!("scenario: x\ncases:\n  - name: a\n    prompt: hi\n    expect:\n      - {body}\n");
        let source = Arc::new(Source { name: "any.yaml".into(), text });
        if let Err(found) = roadworthy::scenario::parse(&source, &Nothing) {
            prop_assert!(!found.is_empty());
        }
    }

    #[test]
    fn datasets_never_panic(text in "\\PC{0,80}|(\\{\"prompt\":\"x\"\\}\n){0,4}", ending in "jsonl|json|csv|yaml|txt") {
        let _ = roadworthy::scenario::dataset::parse(&format!("a.{ending}"), &text, None);
    }

    #[test]
    fn quantities_never_panic(text in "\\PC{0,12}|[0-9a-z._%]{0,8}") {
        let _ = roadworthy::units::duration(&text);
        let _ = roadworthy::units::share(&text);
        let _ = roadworthy::units::count(&text);
        let _ = roadworthy::units::range(&text);
        let _ = roadworthy::units::rate(&text);
        let _ = roadworthy::expect::chinese::numeral(&text);
    }

    #[test]
    fn shown_text_holds_no_escape_and_no_command(text in "(\u{1b}|\\[|##\\[|::|error|\n|\r| |\u{202e}|\\PC){0,30}") {
        let shown = roadworthy::redact::harmless(&text);
        let clean = !shown.contains('\u{1b}') && !shown.contains('\r') && !shown.contains("##[");
        prop_assert!(clean, "{}", shown);
        prop_assert!(shown.lines().all(|l| !l.trim_start().starts_with("::")));
    }
}

struct Nothing;

impl roadworthy::scenario::Files for Nothing {
    fn read(&self, _: &str, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("no file {path}"))
    }
}
