//! Where the requests on a connection begin and end, read along beside the parser that understands them.
//!
//! The HTTP implementation takes a request with both `Content-Length` and `Transfer-Encoding` by the latter and
//! no longer shows the former. Somebody in front may have taken it by the other one, so such a request is not
//! answered (RFC 9112 §6.1, §11.2): this is how it is noticed. Nothing else is decided here.

use memchr::memchr;

/// Follows the bytes of a connection.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    head: Head,
}

/// What the bytes so far have shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Seen {
    /// No request has begun that is not whole.
    Between,
    /// A request's head has begun.
    Head,
    /// A request's body has begun.
    Body,
    /// A request whose end two readers could see in different places; nothing after it is looked at.
    Ambiguous,
    /// Not HTTP/1; nothing is looked at.
    Opaque,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Head,
    Fixed(u64),
    ChunkSize,
    /// With the line end behind it.
    Chunk(u64),
    Trailers,
    Ambiguous,
    Opaque,
}

/// What the lines of a head have said so far.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    begun: bool,
    length: Option<u64>,
    chunked: bool,
    broken: bool,
}

/// Most bytes of a line that are kept when it comes in pieces: field lines that matter here are shorter.
const LONGEST_LINE: usize = 256;

impl Framing {
    /// Follows these bytes, which come after those before.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) -> Seen {
        while !bytes.is_empty() {
            match self.state {
                State::Ambiguous => return Seen::Ambiguous,
                State::Opaque => return Seen::Opaque,
                State::Fixed(left) => bytes = self.skip(bytes, left, State::Fixed, State::Head),
                State::Chunk(left) => {
                    bytes = self.skip(bytes, left, State::Chunk, State::ChunkSize);
                }
                State::Head | State::ChunkSize | State::Trailers => {
                    let Some(end) = memchr(b'\n', bytes) else {
                        self.keep(bytes);
                        break;
                    };
                    let (line, rest) = bytes.split_at(end);
                    bytes = rest.get(1..).unwrap_or_default();
                    if self.line.is_empty() {
                        self.end_line(line);
                    } else {
                        self.keep(line);
                        let line = std::mem::take(&mut self.line);
                        self.end_line(&line);
                    }
                }
            }
        }
        self.seen()
    }

    const fn seen(&self) -> Seen {
        match self.state {
            State::Head if !self.head.begun && self.line.is_empty() => Seen::Between,
            State::Head => Seen::Head,
            State::Fixed(_) | State::ChunkSize | State::Chunk(_) | State::Trailers => Seen::Body,
            State::Ambiguous => Seen::Ambiguous,
            State::Opaque => Seen::Opaque,
        }
    }

    fn skip<'a>(
        &mut self,
        bytes: &'a [u8],
        left: u64,
        more: fn(u64) -> State,
        done: State,
    ) -> &'a [u8] {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length < left {
            self.state = more(left - length);
            return &[];
        }
        self.state = done;
        let taken = usize::try_from(left).unwrap_or(usize::MAX);
        bytes.get(taken..).unwrap_or_default()
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST_LINE.saturating_sub(self.line.len());
        self.line
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn end_line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.state {
            State::Head if line.is_empty() && !self.head.begun => {} // (RFC 9112 §2.2)
            State::Head if line.is_empty() => {
                self.state = std::mem::take(&mut self.head).body();
            }
            State::Head if !self.head.begun => {
                self.head.begun = true;
                if line.starts_with(b"PRI * HTTP/2") {
                    self.state = State::Opaque;
                }
            }
            State::Head => self.head.field(line),
            State::ChunkSize => {
                self.state = match chunk_size(line) {
                    Some(0) => State::Trailers,
                    Some(size) => State::Chunk(size.saturating_add(2)),
                    None => State::Ambiguous,
                }
            }
            State::Trailers if line.is_empty() => self.state = State::Head,
            State::Trailers
            | State::Fixed(_)
            | State::Chunk(_)
            | State::Ambiguous
            | State::Opaque => {}
        }
    }
}

impl Head {
    fn field(&mut self, line: &[u8]) {
        if let Some(value) = value_of(line, b"content-length") {
            let length = std::str::from_utf8(value)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse().ok());
            self.broken |=
                length.is_none() || self.length.is_some_and(|other| Some(other) != length);
            self.length = length.or(self.length);
        } else if value_of(line, b"transfer-encoding").is_some() {
            self.broken |= self.chunked;
            self.chunked = true;
        }
    }

    /// How the body is framed (RFC 9112 §6.3).
    const fn body(self) -> State {
        match self {
            Self { broken: true, .. }
            | Self {
                length: Some(_),
                chunked: true,
                ..
            } => State::Ambiguous,
            Self { chunked: true, .. } => State::ChunkSize,
            Self {
                length: Some(length @ 1..),
                ..
            } => State::Fixed(length),
            Self { .. } => State::Head,
        }
    }
}

/// The value in `line` if it is of the field `name`, without the space around it.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (given, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    given.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// The size in a chunk's first line; its extensions do not matter (RFC 9112 §7.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    let text = std::str::from_utf8(digits).ok()?;
    if text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        u64::from_str_radix(text, 16).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(text: &str) -> Seen {
        let whole = Framing::default().follow(text.as_bytes());
        let mut one_by_one = Framing::default();
        let mut last = Seen::Between;
        for byte in text.as_bytes() {
            last = one_by_one.follow(std::slice::from_ref(byte));
        }
        assert_eq!(whole, last, "in pieces it is the same: {text:?}");
        whole
    }

    #[test]
    fn the_end_of_a_request_is_found_however_its_body_is_framed() {
        for (text, seen) in [
            ("", Seen::Between),
            ("\r\n", Seen::Between),
            ("G", Seen::Head),
            ("GET / HTTP/1.1\r\nhost: a\r\n", Seen::Head),
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", Seen::Between),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", Seen::Body),
            (
                "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
                Seen::Between,
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length:3\r\n\r\nabcG",
                Seen::Head,
            ),
            (
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n",
                Seen::Body,
            ),
            (
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nA\r\ncontent-le\r\n0\r\nx: y\r\n\r\n",
                Seen::Between,
            ),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Seen::Opaque),
        ] {
            assert_eq!(follow(text), seen, "{text:?}");
        }
    }

    #[test]
    fn a_request_that_two_readers_could_end_in_different_places_is_ambiguous() {
        for fields in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nCONTENT-LENGTH: 3\r\n",
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "Content-Length: 3, 3\r\n",
            "Content-Length: +3\r\n",
            "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
        ] {
            let before = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab";
            let text = format!("{before}POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\nx");
            assert_eq!(follow(&text), Seen::Ambiguous, "{fields:?}");
        }
        let same = "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx";
        assert_eq!(follow(same), Seen::Between);
    }

    #[test]
    fn what_stands_in_a_body_is_no_field() {
        let body = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
        let text = format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(follow(&text), Seen::Between);
    }
}
