//! Bodies as they were before the service packed them, up to a size.

use flate2::write::GzDecoder;
use std::io::{Error, ErrorKind, Write};

/// A body that comes in pieces.
pub(super) enum Inflate {
    AsIs { left: u64 },
    Gzip { decoder: Box<GzDecoder<Capped>>, begun: bool },
}

/// Takes so many bytes and no more.
pub(super) struct Capped {
    bytes: Vec<u8>,
    left: u64,
}

impl Inflate {
    /// `encoding` is the header `content-encoding`; `max` counts unpacked bytes.
    pub fn new(encoding: Option<&str>, max: u64) -> Inflate {
        match encoding.map(str::trim) {
            Some(e) if e.eq_ignore_ascii_case("gzip") || e.eq_ignore_ascii_case("x-gzip") => {
                Inflate::Gzip { decoder: Box::new(GzDecoder::new(Capped { bytes: Vec::new(), left: max })), begun: false }
            }
            _ => Inflate::AsIs { left: max },
        }
    }

    /// Appends what a piece holds. Errors are of kind `FileTooLarge` beyond the size; others say how the packing is broken.
    pub fn push(&mut self, piece: &[u8], into: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Inflate::AsIs { left } => {
                into.extend_from_slice(piece);
                *left = left.checked_sub(piece.len() as u64).ok_or(ErrorKind::FileTooLarge)?;
                Ok(())
            }
            Inflate::Gzip { decoder, begun } => {
                *begun = true;
                // Flushed, because a stream's events are wanted when they come and not when a buffer is full.
                let done = decoder.write_all(piece).and_then(|()| decoder.flush());
                into.append(&mut decoder.get_mut().bytes);
                done
            }
        }
    }

    /// Appends what is left at the end of a body. An error when the packing breaks off.
    pub fn end(&mut self, into: &mut Vec<u8>) -> Result<(), Error> {
        let Inflate::Gzip { decoder, begun: true } = self else { return Ok(()) };
        let done = decoder.try_finish();
        into.append(&mut decoder.get_mut().bytes);
        done
    }
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(ErrorKind::FileTooLarge)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn pieces_come_out_as_they_went_in() {
        let text = "data: 你好\n\n".repeat(100);
        for size in [1, 7, 1000] {
            let mut inflate = Inflate::new(Some(" GZIP "), 1 << 20);
            let mut out = Vec::new();
            packed(text.as_bytes()).chunks(size).for_each(|piece| inflate.push(piece, &mut out).unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        let mut out = Vec::new();
        Inflate::new(None, 10).push(b"plain", &mut out).unwrap();
        assert_eq!(out, b"plain");
    }

    #[test]
    fn a_packing_that_breaks_off_is_told() {
        let whole = packed("您好".repeat(100).as_bytes());
        for (len, fine) in [(whole.len(), true), (whole.len() - 9, false), (3, false)] {
            let mut inflate = Inflate::new(Some("gzip"), 1 << 20);
            let mut out = Vec::new();
            inflate.push(&whole[..len], &mut out).unwrap();
            assert_eq!(inflate.end(&mut out).is_ok(), fine, "{len} bytes");
        }
        // No body is no broken one.
        assert!(Inflate::new(Some("gzip"), 1).end(&mut Vec::new()).is_ok());
    }

    #[test]
    fn a_bomb_ends_at_the_size() {
        let bomb = packed(&vec![b'a'; 50 << 20]);
        let mut out = Vec::new();
        let error = Inflate::new(Some("gzip"), 1 << 20).push(&bomb, &mut out).unwrap_err();
        assert!(error.kind() == ErrorKind::FileTooLarge && out.len() <= 1 << 20, "{error}");
        assert_eq!(Inflate::new(None, 3).push(b"four", &mut out).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_ne!(Inflate::new(Some("gzip"), 99).push(b"no gzip at all", &mut out).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
