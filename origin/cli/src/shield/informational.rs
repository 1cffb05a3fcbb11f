//! Interim answers (1xx) on their way to an HTTP/1.1 client (RFC 9110 §15.2).
//!
//! The HTTP implementation has no way to send them, so they are written between its own writes: the upstream's
//! side puts them into a queue, and the connection's writer takes them out where the implementation has nothing
//! unfinished on the wire, and the final answer of the same exchange has not begun. Elsewhere they are dropped,
//! which a cache may do with what is only a hint.
//!
//! Clients of HTTP/2 get none: the implementation keeps to itself what could send them. Those of HTTP/1.0 may not
//! be sent any (RFC 9110 §15.2).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use super::connection::Client;

/// The interim answers of one connection.
#[derive(Debug, Default)]
pub(crate) struct Interim {
    /// The number of the latest exchange.
    latest: AtomicU64,
    /// The number of the exchange whose final answer has not been decided; zero if there is none.
    live: AtomicU64,
    /// Whether the queue may have something.
    waiting: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    exchange: u64,
    heads: Vec<u8>,
    writer: Option<Waker>,
}

/// Sends the interim answers of one exchange to its client.
#[derive(Clone, Debug)]
pub(crate) struct InterimSender {
    client: Arc<Client>,
    exchange: u64,
}

/// Most bytes of interim answers that wait for a slow client.
const MOST_WAITING: usize = 64 * 1024;

impl Interim {
    /// An exchange begins; its number.
    pub(crate) fn begin(&self) -> u64 {
        let exchange = self.latest.fetch_add(1, Ordering::Relaxed) + 1;
        self.live.store(exchange, Ordering::Release);
        exchange
    }

    /// Its final answer is there.
    pub(crate) fn end(&self) {
        self.live.store(0, Ordering::Release);
    }

    /// Who is to be woken when there is something to write.
    pub(crate) fn written_by(&self, writer: &Waker) {
        let mut queue = self.queue.lock();
        match &mut queue.writer {
            Some(before) => before.clone_from(writer),
            before @ None => *before = Some(writer.clone()),
        }
    }

    /// What may be written while nothing else is half written and `answered` is the latest exchange whose
    /// final answer has begun.
    pub(crate) fn take(&self, answered: u64) -> Option<Vec<u8>> {
        if !self.waiting.load(Ordering::Acquire) {
            return None;
        }
        let mut queue = self.queue.lock();
        self.waiting.store(false, Ordering::Release);
        let heads = std::mem::take(&mut queue.heads);
        (queue.exchange > answered && !heads.is_empty()).then_some(heads)
    }

    /// The exchange whose final answer is being written, if one is.
    pub(crate) fn answering(&self) -> Option<u64> {
        (self.live.load(Ordering::Acquire) == 0).then(|| self.latest.load(Ordering::Relaxed))
    }

    fn send(&self, exchange: u64, status: StatusCode, fields: &HeaderMap) {
        let mut queue = self.queue.lock();
        if self.live.load(Ordering::Acquire) != exchange {
            return;
        }
        if queue.exchange != exchange {
            queue.exchange = exchange;
            queue.heads.clear();
        }
        if queue.heads.len() > MOST_WAITING {
            return;
        }
        write_head(&mut queue.heads, status, fields);
        self.waiting.store(true, Ordering::Release);
        if let Some(writer) = queue.writer.take() {
            writer.wake();
        }
    }
}

impl InterimSender {
    /// For the exchange of this number on the connection of `client`.
    pub(crate) const fn new(client: Arc<Client>, exchange: u64) -> Self {
        Self { client, exchange }
    }

    /// Sends one, if the final answer is not there yet.
    pub(crate) fn send(&self, status: StatusCode, fields: &HeaderMap) {
        self.client.interim.send(self.exchange, status, fields);
    }
}

fn write_head(into: &mut Vec<u8>, status: StatusCode, fields: &HeaderMap) {
    into.extend_from_slice(b"HTTP/1.1 ");
    into.extend_from_slice(status.as_str().as_bytes());
    into.push(b' ');
    into.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    into.extend_from_slice(b"\r\n");
    for (name, value) in fields {
        // Meant for one connection, or for a body that an interim answer has not (RFC 9110 §7.6.1, §8.6).
        if [CONNECTION, UPGRADE, TRANSFER_ENCODING, CONTENT_LENGTH].contains(name) {
            continue;
        }
        into.extend_from_slice(name.as_str().as_bytes());
        into.extend_from_slice(b": ");
        into.extend_from_slice(value.as_bytes());
        into.extend_from_slice(b"\r\n");
    }
    into.extend_from_slice(b"\r\n");
}
