//! HTTP by hand, from either side: for what no client and no server would do.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A connection whose every byte the test decides.
pub struct RawConnection {
    stream: TcpStream,
    /// What has come and has not been asked for.
    buffer: Vec<u8>,
}

/// An upstream whose every byte the test decides.
pub struct RawUpstream {
    listener: TcpListener,
    /// Where it listens.
    pub url: String,
}

/// How long bytes may take that should be there in a moment.
const PATIENCE: Duration = Duration::from_secs(30);

impl RawConnection {
    /// To `address`.
    ///
    /// # Panics
    /// When nobody takes it.
    pub async fn to(address: &str) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends this.
    ///
    /// # Panics
    /// When the other side has gone.
    pub async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.try_send(text).await.unwrap();
    }

    /// Sends this, or says that the other side has gone.
    pub async fn try_send(&mut self, text: impl AsRef<[u8]>) -> std::io::Result<()> {
        let sending = self.stream.write_all(text.as_ref());
        timeout(PATIENCE, sending).await.unwrap()
    }

    /// Everything up to and with `end`.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until(&mut self, end: &str) -> String {
        let found = self.until_if_any(end).await;
        found.unwrap_or_else(|| {
            let there = String::from_utf8_lossy(&self.buffer);
            panic!("closed before {end:?} came; there was {there:?}")
        })
    }

    async fn until_if_any(&mut self, end: &str) -> Option<String> {
        let at = loop {
            let mut windows = self.buffer.windows(end.len());
            if let Some(at) = windows.position(|window| window == end.as_bytes()) {
                break at + end.len();
            }
            if self.fill().await == 0 {
                return None;
            }
        };
        let taken = self.buffer.drain(..at).collect();
        Some(String::from_utf8(taken).unwrap())
    }

    /// A head: everything up to and with the next empty line.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// This many bytes, as text.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn take(&mut self, length: usize) -> String {
        while self.buffer.len() < length {
            assert!(self.fill().await > 0, "closed after {:?}", self.buffer);
        }
        let taken = self.buffer.drain(..length).collect();
        String::from_utf8(taken).unwrap()
    }

    /// Takes this many bytes without keeping them.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn skip(&mut self, length: usize) -> usize {
        let mut skipped = 0;
        loop {
            let taken = self.buffer.len().min(length - skipped);
            self.buffer.drain(..taken);
            skipped += taken;
            if skipped == length {
                return skipped;
            }
            assert!(self.fill().await > 0, "closed after {skipped} bytes");
        }
    }

    /// Everything until the other side closes.
    pub async fn rest(&mut self) -> String {
        while self.fill().await > 0 {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// What has come already, without waiting for more.
    pub fn at_hand(&mut self) -> String {
        let mut bytes = [0; 4_096];
        while let Ok(length @ 1..) = self.stream.try_read(&mut bytes) {
            self.buffer.extend_from_slice(&bytes[..length]);
        }
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    async fn fill(&mut self) -> usize {
        let reading = self.stream.read_buf(&mut self.buffer);
        match timeout(PATIENCE, reading).await {
            Ok(read) => read.unwrap_or(0),
            Err(_) => panic!(
                "nothing more came after {:?}",
                String::from_utf8_lossy(&self.buffer)
            ),
        }
    }
}

impl RawUpstream {
    /// On a free port.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// The next connection on which a request comes, and the request's head; others are let go.
    ///
    /// # Panics
    /// When none comes.
    pub async fn request(&self) -> (RawConnection, String) {
        let mut waiting = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let mut connection = RawConnection::over(accepted.unwrap().0);
                    waiting.spawn(async move {
                        let head = connection.until_if_any("\r\n\r\n").await;
                        head.map(|head| (connection, head))
                    });
                }
                // One that ends without a request is nothing to us.
                Some(Ok(Some(request))) = waiting.join_next() => return request,
                () = tokio::time::sleep(PATIENCE) => panic!("no request came"),
            }
        }
    }

    /// Answers the next request with these bytes, and gives back its head and the connection.
    pub async fn answer(&self, answer: &str) -> (RawConnection, String) {
        let (mut connection, head) = self.request().await;
        connection.send(answer).await;
        (connection, head)
    }
}
