//! HTTP/1.1 as bytes: nothing is joined, trimmed or put right on the way.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// One field line: its name as it was sent, and its value's bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// The name, in the case that it came in.
    pub name: String,
    /// The value, without the space around it.
    pub value: Vec<u8>,
}

/// Field lines in their order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fields(pub Vec<Line>);

/// The head of a message: its first line and its fields.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Head {
    /// The first line, in words.
    pub start: Vec<String>,
    /// The field lines.
    pub fields: Fields,
}

/// A body as it came.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Body {
    /// The content.
    pub bytes: Vec<u8>,
    /// The trailer section.
    pub trailers: Fields,
    /// Whether the connection ended before the content did.
    pub is_truncated: bool,
}

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// When the connection ends.
    UntilClose,
}

/// Longest head that is read.
const LONGEST_HEAD: usize = 1 << 20;

impl Line {
    /// A line of text.
    pub fn new(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: value.as_bytes().to_vec(),
        }
    }

    /// The line as it is sent.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(&self.value);
        out.extend_from_slice(b"\r\n");
    }
}

impl Fields {
    /// The values of each line of `name`, in order.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        let lines = self.0.iter();
        let lines = lines.filter(|line| line.name.eq_ignore_ascii_case(name));
        lines.map(|line| line.value.as_slice()).collect()
    }

    /// The first value of `name`, as text.
    pub fn text(&self, name: &str) -> Option<String> {
        let first = self.all(name).into_iter().next()?;
        Some(String::from_utf8_lossy(first).into_owned())
    }

    /// All lines of `name` as one value.
    pub fn joined(&self, name: &str) -> Option<String> {
        let all = self.all(name);
        (!all.is_empty()).then(|| String::from_utf8_lossy(&all.join(&b", "[..])).into_owned())
    }

    /// Whether there is a line of `name`.
    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// Whether a list field has `member`, in any case.
    pub fn lists(&self, name: &str, member: &str) -> bool {
        let joined = self.joined(name).unwrap_or_default();
        let mut members = joined.split(',').map(str::trim);
        members.any(|other| other.eq_ignore_ascii_case(member))
    }
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [u8])>>(lines: I) -> Self {
        let line = |(name, value): (&str, &[u8])| Line {
            name: name.to_owned(),
            value: value.to_vec(),
        };
        Self(lines.into_iter().map(line).collect())
    }
}

impl Head {
    /// The status in a response's first line.
    pub fn status(&self) -> u16 {
        let word = self.start.get(1);
        word.and_then(|word| word.parse().ok()).unwrap_or_default()
    }

    /// The head as text, for failures.
    pub fn describe(&self) -> String {
        let mut text = self.start.join(" ");
        for line in &self.fields.0 {
            let value = line.value.escape_ascii();
            text.push_str(&format!("\n    {}: {value}", line.name));
        }
        text
    }

    /// How the body of a request with this head ends.
    pub fn request_framing(&self) -> Framing {
        self.framing().unwrap_or(Framing::None)
    }

    /// How the body of a response with this head ends, when `method` was asked for.
    pub fn response_framing(&self, method: &str) -> Framing {
        match self.status() {
            100..=199 | 204 | 304 => Framing::None,
            _ if method == "HEAD" => Framing::None,
            _ => self.framing().unwrap_or(Framing::UntilClose),
        }
    }

    fn framing(&self) -> Option<Framing> {
        if self.fields.lists("transfer-encoding", "chunked") {
            return Some(Framing::Chunked);
        }
        let length = self.fields.text("content-length")?;
        Some(Framing::Length(length.trim().parse().ok()?))
    }
}

/// Reads a message's head; none when the connection ends before one begins.
///
/// # Errors
/// When it is no HTTP, or breaks off.
pub async fn read_head(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Head>> {
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        from.read_until(b'\n', &mut bytes).await?;
        if bytes.len() == before {
            return if before == 0 {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        if bytes.len() > LONGEST_HEAD {
            return Err(io::Error::other("the head is too long"));
        }
        if bytes.ends_with(b"\r\n\r\n") {
            return head(&bytes).map(Some);
        }
        if bytes == b"\r\n" {
            bytes.clear(); // (RFC 9112 §2.2)
        }
    }
}

fn head(bytes: &[u8]) -> io::Result<Head> {
    let (first, rest) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1);
    let start = String::from_utf8_lossy(first);
    let mut parsed = vec![httparse::EMPTY_HEADER; 1_024];
    let fields = match httparse::parse_headers(rest, &mut parsed) {
        Ok(httparse::Status::Complete((_, fields))) => fields,
        Ok(httparse::Status::Partial) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) => {
            return Err(io::Error::other(format!(
                "{error}: {:?}",
                rest.escape_ascii().to_string()
            )));
        }
    };
    let line = |field: &httparse::Header<'_>| Line {
        name: field.name.to_owned(),
        value: field.value.to_vec(),
    };
    Ok(Head {
        start: start.trim_end().splitn(3, ' ').map(str::to_owned).collect(),
        fields: Fields(fields.iter().map(line).collect()),
    })
}

/// Reads a body.
///
/// # Errors
/// When the chunks are malformed. A body that breaks off is no error: it says so.
pub async fn read_body(
    from: &mut (impl AsyncBufRead + Unpin),
    framing: Framing,
) -> io::Result<Body> {
    let mut body = Body::default();
    match framing {
        Framing::None => {}
        Framing::Length(length) => {
            body.is_truncated = !take(from, length, &mut body.bytes).await;
        }
        Framing::Chunked => chunks(from, &mut body).await?,
        // An end by reset is an end as well: only the other framings know better.
        Framing::UntilClose => {
            body.is_truncated = from.read_to_end(&mut body.bytes).await.is_err();
        }
    }
    Ok(body)
}

/// Whether all of `length` came.
async fn take(from: &mut (impl AsyncBufRead + Unpin), length: u64, into: &mut Vec<u8>) -> bool {
    let came = from.take(length).read_to_end(into).await;
    came.is_ok_and(|came| u64::try_from(came) == Ok(length))
}

/// How many bytes of content come in chunks; none is kept.
///
/// # Errors
/// When the chunks are malformed, or break off.
pub async fn count_chunks(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<u64> {
    let mut all = 0;
    loop {
        let mut line = String::new();
        from.read_line(&mut line).await?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        tokio::io::copy(&mut from.take(size + 2), &mut tokio::io::sink()).await?;
        all += size;
        if size == 0 {
            return Ok(all);
        }
    }
}

async fn chunks(from: &mut (impl AsyncBufRead + Unpin), body: &mut Body) -> io::Result<()> {
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).await.unwrap_or_default() == 0 {
            body.is_truncated = true;
            return Ok(());
        }
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16)
            .map_err(|_| io::Error::other(format!("{line:?} is no chunk size")))?;
        if size == 0 {
            return trailers(from, body).await;
        }
        let mut end = Vec::new();
        if !take(from, size, &mut body.bytes).await || !take(from, 2, &mut end).await {
            body.is_truncated = true;
            return Ok(());
        }
        if end != b"\r\n" {
            return Err(io::Error::other("a chunk is longer than its size"));
        }
    }
}

async fn trailers(from: &mut (impl AsyncBufRead + Unpin), body: &mut Body) -> io::Result<()> {
    loop {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line).await?;
        match line.strip_suffix(b"\r\n") {
            Some(b"") => return Ok(()),
            Some(line) => {
                let colon = line.iter().position(|byte| *byte == b':');
                let (name, value) = line.split_at(colon.unwrap_or(line.len()));
                body.trailers.0.push(Line {
                    name: String::from_utf8_lossy(name).into_owned(),
                    value: value.get(1..).unwrap_or_default().trim_ascii().to_vec(),
                });
            }
            None => {
                body.is_truncated = true;
                return Ok(());
            }
        }
    }
}
