//! Cuts a byte stream into server-sent events. Push in whatever the socket gives: the result does not depend on how the bytes
//! were split. Follows the WHATWG rules for line ends (LF, CRLF, CR), comments, a leading BOM and multi-line data.

/// A line or an event larger than this is an attack or a mistake.
pub const MAX_EVENT: usize = 4 << 20;

/// The stream breaks the limits of this decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line or event longer than {} MiB", MAX_EVENT >> 20)]
pub struct TooLong;

/// Feed it bytes, get the data of events.
#[derive(Debug, Default)]
pub struct Decoder {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was CR, so an LF right after it belongs to the same line end.
    after_cr: bool,
    started: bool,
}

impl Decoder {
    /// Takes the next bytes and hands every completed event's data to `emit`.
    pub fn push(&mut self, mut bytes: &[u8], mut emit: impl FnMut(&[u8])) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            match memchr::memchr2(b'\n', b'\r', bytes) {
                Some(end) => {
                    self.line.extend_from_slice(&bytes[..end]);
                    self.after_cr = bytes[end] == b'\r';
                    bytes = &bytes[end + 1..];
                    self.end_line(&mut emit)?;
                }
                None => {
                    self.line.extend_from_slice(bytes);
                    bytes = &[];
                }
            }
            if self.line.len() > MAX_EVENT {
                return Err(TooLong);
            }
        }
        Ok(())
    }

    fn end_line(&mut self, emit: &mut impl FnMut(&[u8])) -> Result<(), TooLong> {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.started, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                emit(&self.data);
            }
            self.data.clear();
        } else if let Some(value) = field(&line, b"data") {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data.extend_from_slice(value);
            if self.data.len() > MAX_EVENT {
                return Err(TooLong);
            }
        }
        // The buffer is kept for the next line.
        line.clear();
        self.line = line;
        Ok(())
    }
}

/// The value of `name: value`, the one space after the colon being optional; a bare `name` has an empty value.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest {
        [] => Some(rest),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

/// Whether a body is a stream of events, by its first bytes: services forget the content type, and send an error under that of a stream.
/// `told` is what the content type says. `None` while it could still become either.
pub fn is_stream(told: bool, first: &[u8]) -> Option<bool> {
    let first = first.strip_prefix("\u{feff}".as_bytes()).unwrap_or(first).trim_ascii_start();
    match first {
        [] => None,
        [b'{' | b'[' | b'<', ..] => Some(false),
        _ if told => Some(true),
        _ => {
            let fields = ["data:", "event:", "id:", "retry:", ":"].map(str::as_bytes);
            if fields.iter().any(|field| first.starts_with(field)) {
                return Some(true);
            }
            (!fields.iter().any(|field| field.starts_with(first))).then_some(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_known_by_its_first_bytes() {
        for (told, first, stream) in [
            (true, "data: {}", Some(true)),
            (false, "data: {}", Some(true)),
            (false, "\u{feff}\n: ping", Some(true)),
            (true, "{\"error\": 1}", Some(false)),
            (true, "<html>", Some(false)),
            (false, "error", Some(false)),
            (false, "da", None),
            (true, "da", Some(true)),
            (true, "", None),
        ] {
            assert_eq!(is_stream(told, first.as_bytes()), stream, "{first}");
        }
    }

    fn all(chunks: &[&[u8]]) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for chunk in chunks {
            decoder.push(chunk, |e| out.push(String::from_utf8_lossy(e).into_owned())).unwrap();
        }
        out
    }

    #[test]
    fn events_as_the_standard_says() {
        assert_eq!(all(&[b"\xef\xbb\xbfdata: a\n\n"]), ["a"]);
        assert_eq!(all(&[b": comment\n\ndata:a\ndata: b\n\n"]), ["a\nb"]);
        assert_eq!(all(&[b"data: a\r\n\r\ndata: b\r\rdata: c\n\n"]), ["a", "b", "c"]);
        assert_eq!(all(&[b"event: x\nid: 1\n\n"]), Vec::<String>::new());
        assert_eq!(all(&[b"data\n\n"]), [""]);
        assert_eq!(all(&[b"data: unfinished\n"]), Vec::<String>::new());
        assert_eq!(all(&[b"database: x\n\n"]), Vec::<String>::new());
    }

    #[test]
    fn utf8_may_be_split_anywhere() {
        let bytes = "data: 你好😀\n\n".as_bytes();
        for i in 0..bytes.len() {
            assert_eq!(all(&[&bytes[..i], &bytes[i..]]), ["你好😀"]);
        }
    }

    #[test]
    fn endless_lines_are_refused() {
        let mut decoder = Decoder::default();
        let chunk = vec![b'x'; 1 << 20];
        let refused = (0..10).any(|_| decoder.push(&chunk, |_| {}).is_err());
        assert!(refused);
    }
}
