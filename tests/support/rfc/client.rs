//! A client that sends what it is told to, and shows all that comes back.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::wire::{Body, Fields, Framing, Head, count_chunks, read_body, read_head};

/// A request as it is sent.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Its method.
    pub method: String,
    /// Its target: a path with a query, as a rule.
    pub target: String,
    /// Its field lines; `Host` and `Content-Length` are added unless they are there.
    pub fields: Fields,
    /// Its content.
    pub body: Vec<u8>,
}

/// All that came back for a request.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The responses before the final one (RFC 9110 §15.2).
    pub informational: Vec<Head>,
    /// The final response's head.
    pub head: Head,
    /// Its content.
    pub body: Body,
}

/// How long a response may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to a server, for one request after the other.
pub struct Connection {
    stream: BufReader<TcpStream>,
    authority: String,
}

impl Connection {
    /// Connects to `authority`, such as `127.0.0.1:8787`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(authority: &str) -> io::Result<Self> {
        Ok(Self {
            stream: BufReader::new(TcpStream::connect(authority).await?),
            authority: authority.to_owned(),
        })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(&mut self, request: &Sent) -> io::Result<()> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method, request.target).into_bytes();
        if !request.fields.has("host") {
            bytes.extend_from_slice(format!("Host: {}\r\n", self.authority).as_bytes());
        }
        for line in &request.fields.0 {
            line.write_to(&mut bytes);
        }
        let is_framed =
            request.fields.has("content-length") || request.fields.has("transfer-encoding");
        if !request.body.is_empty() && !is_framed {
            bytes.extend_from_slice(
                format!("Content-Length: {}\r\n", request.body.len()).as_bytes(),
            );
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&request.body);
        self.send_bytes(&bytes).await
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes).await
    }

    /// Reads a response's head, and those before it; a request with `method` was sent.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no HTTP.
    pub async fn read_heads(&mut self) -> io::Result<(Vec<Head>, Head)> {
        let mut informational = Vec::new();
        loop {
            let head = timeout(PATIENCE, read_head(&mut self.stream))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??
                .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            match head.status() {
                100 | 102..=199 => informational.push(head),
                _ => return Ok((informational, head)),
            }
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// When it does not come in time, or its chunks are malformed.
    pub async fn read_body(&mut self, framing: Framing) -> io::Result<Body> {
        timeout(PATIENCE, read_body(&mut self.stream, framing))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// How many bytes of content come in chunks; none is kept.
    ///
    /// # Errors
    /// When the chunks are malformed, or break off.
    pub async fn count_chunks(&mut self) -> io::Result<u64> {
        count_chunks(&mut self.stream).await
    }

    /// The stream, to read from it by hand.
    pub fn stream(&mut self) -> &mut BufReader<TcpStream> {
        &mut self.stream
    }
}

/// Sends a request on a connection of its own and reads the whole answer.
///
/// # Errors
/// When the connection breaks before the head has come.
pub async fn exchange(authority: &str, request: &Sent) -> io::Result<Received> {
    let mut connection = Connection::open(authority).await?;
    connection.send(request).await?;
    let (informational, head) = connection.read_heads().await?;
    let body = connection
        .read_body(head.response_framing(&request.method))
        .await?;
    Ok(Received {
        informational,
        head,
        body,
    })
}
