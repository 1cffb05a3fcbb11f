//! An origin that answers by script, byte for byte, and remembers what it was asked.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::wire::{Fields, Head, read_body, read_head};

/// An origin on a free port, gone with the test.
pub struct ScriptedOrigin {
    /// Where it listens.
    pub url: String,
    scripts: Arc<Scripts>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Scripts {
    by_path: Mutex<HashMap<String, Arc<Mutex<State>>>>,
}

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    asked: Vec<Asked>,
}

/// What the requests below one path are answered with.
#[derive(Clone)]
pub struct Script(Arc<Mutex<State>>);

/// A request that the origin received.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Its target.
    pub target: String,
    /// Its field lines.
    pub fields: Fields,
    /// Its content.
    pub body: Vec<u8>,
}

/// What the origin does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Sends these bytes; then the connection ends, or takes the next request.
    Bytes {
        /// Head and content; for a request that is not `HEAD`.
        head: Vec<u8>,
        /// The content as it is sent.
        body: Vec<u8>,
        /// What happens to the connection then.
        then: Then,
    },
    /// Waits so long, and then answers.
    Late(Duration, Box<Answer>),
    /// Sends so much content, as fast as it is taken, and ends the connection: zeros.
    Flood {
        /// The head.
        head: Vec<u8>,
        /// How many bytes follow.
        bytes: u64,
    },
    /// Sends nothing, and waits until the other side goes.
    Silence,
    /// Ends the connection.
    Refusal,
}

/// What happens to a connection behind an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Then {
    /// It takes the next request.
    Next,
    /// It ends.
    End,
    /// It stays open, and nothing more comes.
    Stall,
}

impl ScriptedOrigin {
    /// Where the answers below a path live that are always the same: something that may be stored.
    ///
    /// Whoever has it back from a cache knows that what was stored before is there too.
    pub const SETTLED: &str = "/settled/";

    /// Starts one.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let scripts = Arc::new(Scripts::default());
        let of_server = Arc::clone(&scripts);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let scripts = Arc::clone(&of_server);
                // A connection that breaks is what some tests want.
                tokio::spawn(async move { serve(stream, &scripts).await.unwrap_or_default() });
            }
        });
        Self {
            url,
            scripts,
            server,
        }
    }

    /// The script for `path` and what is below it; `path` has two segments, like `/rfc/one`.
    pub fn script(&self, path: &str) -> Script {
        let mut scripts = self.scripts.by_path.lock().unwrap();
        Script(Arc::clone(scripts.entry(path.to_owned()).or_default()))
    }
}

impl Drop for ScriptedOrigin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Script {
    /// From now on these answers are given, each once; what was asked before is forgotten.
    pub fn begin(&self, answers: Vec<Answer>) {
        let mut state = self.0.lock().unwrap();
        state.answers = answers.into();
        state.asked.clear();
    }

    /// What was asked since it began.
    pub fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().asked.clone()
    }

    /// How often it was asked since it began.
    pub fn asked_times(&self) -> usize {
        self.0.lock().unwrap().asked.len()
    }
}

impl Answer {
    /// An answer with this status line, these fields and this content, framed by its length unless the fields say otherwise.
    pub fn new(status: u16, fields: &[(&str, &str)], body: &str) -> Self {
        let mut head = format!("HTTP/1.1 {status} Status\r\n");
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let framed = |name: &&str| {
            name.eq_ignore_ascii_case("content-length")
                || name.eq_ignore_ascii_case("transfer-encoding")
        };
        if !fields.iter().any(|(name, _)| framed(name)) {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        Self::Bytes {
            head: head.into_bytes(),
            body: body.as_bytes().to_vec(),
            then: Then::Next,
        }
    }

    /// The same, and then the connection behaves so.
    #[must_use]
    pub fn then(self, then: Then) -> Self {
        match self {
            Self::Bytes { head, body, .. } => Self::Bytes { head, body, then },
            other => other,
        }
    }
}

async fn serve(stream: TcpStream, scripts: &Scripts) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(head) = read_head(&mut stream).await? {
        let body = read_body(&mut stream, head.request_framing()).await?;
        let asked = Asked {
            method: head.start.first().cloned().unwrap_or_default(),
            target: head.start.get(1).cloned().unwrap_or_default(),
            fields: head.fields.clone(),
            body: body.bytes,
        };
        let is_head = asked.method == "HEAD";
        let answer = match scripts.answer(asked) {
            Answer::Late(delay, answer) => {
                tokio::time::sleep(delay).await;
                *answer
            }
            answer => answer,
        };
        match answer {
            Answer::Bytes { head, body, then } => {
                stream.get_mut().write_all(&head).await?;
                if !is_head {
                    stream.get_mut().write_all(&body).await?;
                }
                match then {
                    Then::Next => {}
                    Then::End => return Ok(()),
                    Then::Stall => return until_gone(&mut stream).await,
                }
            }
            Answer::Flood { head, bytes } => return flood(&mut stream, &head, bytes).await,
            Answer::Silence => return until_gone(&mut stream).await,
            // Nobody waits twice.
            Answer::Refusal | Answer::Late(..) => return Ok(()),
        }
    }
    Ok(())
}

async fn flood(stream: &mut BufReader<TcpStream>, head: &[u8], bytes: u64) -> io::Result<()> {
    static PIECE: [u8; 64 << 10] = [0; 64 << 10];
    stream.get_mut().write_all(head).await?;
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).map_or(PIECE.len(), |left| left.min(PIECE.len()));
        stream.get_mut().write_all(&PIECE[..length]).await?;
        left -= u64::try_from(length).unwrap_or(left);
    }
    Ok(())
}

async fn until_gone(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    let mut rest = [0; 256];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

impl Scripts {
    fn answer(&self, asked: Asked) -> Answer {
        if asked.target.contains(ScriptedOrigin::SETTLED) {
            // It varies, as what varies is stored in more steps than what does not.
            let fields = [("Cache-Control", "max-age=3600"), ("Vary", "X-Settled")];
            return Answer::new(200, &fields, "settled");
        }
        let path = asked.target.split('?').next().unwrap_or_default();
        let end = path
            .match_indices('/')
            .nth(2)
            .map_or(path.len(), |(at, _)| at);
        let script = self.by_path.lock().unwrap().get(&path[..end]).cloned();
        let Some(script) = script else {
            return Answer::new(404, &[("Cache-Control", "no-store")], "no such script");
        };
        let mut state = script.lock().unwrap();
        state.asked.push(asked);
        state.answers.pop_front().unwrap_or_else(|| {
            Answer::new(
                500,
                &[("Cache-Control", "no-store")],
                "the origin has no answer left",
            )
        })
    }
}

/// The head of a message as bytes, for [`Answer::Bytes`].
pub fn head_bytes(start: &str, fields: &Fields) -> Vec<u8> {
    let mut bytes = format!("{start}\r\n").into_bytes();
    for line in &fields.0 {
        line.write_to(&mut bytes);
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

impl Asked {
    /// As text, for failures.
    pub fn describe(&self) -> String {
        let head = Head {
            start: vec![self.method.clone(), self.target.clone()],
            fields: self.fields.clone(),
        };
        head.describe()
    }
}
