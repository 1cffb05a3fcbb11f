//! One client's connection: its bytes, and what the answers to its requests need to know of it.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::framing::{Framing, Seen};
use super::informational::Interim;

/// What is known of a client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// Who is at the other end.
    pub(crate) peer: SocketAddr,
    /// What it waits for.
    pub(crate) activity: Activity,
    /// What goes to it before the final answers.
    pub(crate) interim: Interim,
    ambiguous: AtomicBool,
}

/// The bytes of a client's connection.
#[derive(Debug)]
pub(crate) struct ClientIo<S> {
    stream: S,
    client: Arc<Client>,
    framing: Framing,
    /// Interim answers that have begun to be written.
    interim: Bytes,
    /// The latest exchange whose final answer has begun to be written.
    answered: u64,
    /// Whether all that was written before has been flushed.
    clean: bool,
}

impl Client {
    /// Of the one at `peer`.
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            activity: Activity::default(),
            interim: Interim::default(),
            ambiguous: AtomicBool::new(false),
        }
    }

    /// Whether it has sent a request whose end two readers could see in different places.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Ordering::Relaxed)
    }
}

impl<S> ClientIo<S> {
    /// Over this stream.
    pub(crate) fn new(stream: S, client: Arc<Client>) -> Self {
        Self {
            stream,
            client,
            framing: Framing::default(),
            interim: Bytes::new(),
            answered: 0,
            clean: true,
        }
    }
}

impl<S: AsyncWrite + Unpin> ClientIo<S> {
    /// Before bytes of the HTTP implementation are written: interim answers that came before them go first.
    fn before_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(exchange) = self.client.interim.answering()
            && exchange > self.answered
        {
            if self.clean
                && let Some(heads) = self.client.interim.take(self.answered)
            {
                self.interim = heads.into();
            }
            self.answered = exchange;
        }
        ready!(self.write_interim(context))?;
        self.clean = false;
        Poll::Ready(Ok(()))
    }

    fn write_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.interim.has_remaining() {
            let written = Pin::new(&mut self.stream).poll_write(context, &self.interim);
            match ready!(self.noted(written))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.interim.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn noted<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match written {
            Poll::Pending => self.client.activity.write_waits(),
            Poll::Ready(_) => self.client.activity.wrote(),
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending() {
            self.client.activity.read_waits();
            return read;
        }
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        let seen = self.framing.follow(bytes);
        if seen == Seen::Ambiguous {
            self.client.ambiguous.store(true, Ordering::Relaxed);
        }
        self.client.activity.read(seen);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.before_write(context))?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.before_write(context))?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// The HTTP implementation flushes when it has handed over all that it had; so nothing of its own is half
    /// written here, and an interim answer may go out.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.interim.has_remaining()
            && let Some(heads) = self.client.interim.take(self.answered)
        {
            self.interim = heads.into();
        }
        ready!(self.write_interim(context))?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.clean = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::super::informational::InterimSender;
    use super::*;

    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\n\r\n";

    struct World {
        client: Arc<Client>,
        io: ClientIo<DuplexStream>,
        other_end: DuplexStream,
    }

    impl World {
        fn new() -> Self {
            let (stream, other_end) = duplex(1_000);
            let client = Arc::new(Client::new(([127, 0, 0, 1], 1).into()));
            let io = ClientIo::new(stream, Arc::clone(&client));
            Self {
                client,
                io,
                other_end,
            }
        }

        fn begin(&self) -> InterimSender {
            InterimSender::new(Arc::clone(&self.client), self.client.interim.begin())
        }

        async fn sees(mut self, text: &str) {
            self.io.shutdown().await.unwrap();
            let mut seen = String::new();
            self.other_end.read_to_string(&mut seen).await.unwrap();
            assert_eq!(seen, text);
        }
    }

    fn hint(sender: &InterimSender) {
        sender.send(StatusCode::EARLY_HINTS, &HeaderMap::new());
    }

    #[tokio::test]
    async fn an_interim_answer_goes_out_when_all_else_is_flushed() {
        let mut world = World::new();
        let sender = world.begin();
        hint(&sender);
        world.io.flush().await.unwrap();
        hint(&sender);
        world.client.interim.end();
        world.io.write_all(b"final").await.unwrap();
        world.io.flush().await.unwrap();
        world.sees(&format!("{HINTS}{HINTS}final")).await;
    }

    #[tokio::test]
    async fn an_interim_answer_never_lands_in_or_behind_the_final_one() {
        let mut world = World::new();
        let sender = world.begin();
        world.client.interim.end();
        hint(&sender);
        world.io.write_all(b"fin").await.unwrap();
        hint(&sender);
        world.io.flush().await.unwrap();
        world.io.write_all(b"al").await.unwrap();
        world.io.flush().await.unwrap();
        // Not in the next exchange either: a fill that goes on behind its answer speaks to nobody.
        let _next = world.begin();
        hint(&sender);
        world.io.flush().await.unwrap();
        world.sees("final").await;
    }

    #[tokio::test]
    async fn an_interim_answer_waits_for_what_is_half_written() {
        let mut world = World::new();
        let sender = world.begin();
        world.io.write_all(b"HTTP/1.1 100 ").await.unwrap();
        hint(&sender);
        world.io.write_all(b"Continue\r\n\r\n").await.unwrap();
        world.io.flush().await.unwrap();
        world
            .sees(&format!("HTTP/1.1 100 Continue\r\n\r\n{HINTS}"))
            .await;
    }
}
