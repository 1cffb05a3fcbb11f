//! A response whose body is still coming: everybody who wants it reads what is there, from its beginning.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::http::HeaderMap;
use bytes::Bytes;
use foldhash::fast::RandomState;
use http_body::Frame;
use parking_lot::Mutex;
use terrace_shared::http::StoredResponse;
use terrace_shared::purge::Epoch;
use tokio::sync::Notify;

use super::BodyError;

/// A response that is being filled.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) head: StoredResponse,
    /// Where the view of the ledger stood before the service was asked.
    pub(super) epoch: Option<Epoch>,
    /// How long the body will be, if its head says so.
    pub(super) expected: Option<u64>,
    state: Mutex<State>,
    /// Told when somebody has read, or has gone, and the fill waits for that.
    read: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What is held of the body, each chunk behind its position.
    chunks: VecDeque<(u64, Bytes)>,
    /// Position of the first byte that is still held.
    start: u64,
    received: u64,
    trailers: Option<HeaderMap>,
    end: Option<Result<(), BodyError>>,
    keeping: Keeping,
    readers: HashMap<u64, Place, RandomState>,
    next_reader: u64,
}

/// Whether the body is kept from its beginning.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Keeping {
    /// It is, to be stored.
    #[default]
    All,
    /// Only what somebody has yet to read.
    Unread,
}

/// Where a reader stands.
#[derive(Debug, Default)]
struct Place {
    at: u64,
    waker: Option<Waker>,
}

/// Whether a fill that stores nothing may go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(super) enum Room {
    /// There is room for more.
    Yes,
    /// Nobody reads it any more.
    Deserted,
}

impl Growing {
    /// Most that is held of a body that is not kept, beyond what was held when that was decided.
    pub(super) const WINDOW: u64 = 1 << 20;
    /// A reader for whom others have waited this long is left behind.
    const PATIENCE: Duration = Duration::from_secs(30);

    pub(super) fn new(
        head: StoredResponse,
        epoch: Option<Epoch>,
        expected: Option<u64>,
    ) -> Arc<Self> {
        Arc::new(Self {
            head,
            epoch,
            expected,
            state: Mutex::default(),
            read: Notify::new(),
        })
    }

    /// A reader of the whole body; none if its beginning is no longer held, or it has broken off.
    pub(super) fn read(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.state.lock();
        if state.keeping == Keeping::Unread || matches!(state.end, Some(Err(_))) {
            return None;
        }
        let number = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(number, Place::default());
        drop(state);
        Some(Reader {
            growing: self.clone(),
            number,
            read: 0,
            ended: false,
        })
    }

    /// Adds to the body.
    pub(super) fn push(&self, chunk: Bytes) {
        let mut state = self.state.lock();
        let at = state.received;
        state.received += chunk.len() as u64;
        state.chunks.push_back((at, chunk));
        state.wake_all();
    }

    /// Sets the trailers.
    pub(super) fn push_trailers(&self, trailers: HeaderMap) {
        self.state.lock().trailers = Some(trailers);
    }

    /// The body so far and `last`, in one piece of its own.
    pub(super) fn collected(&self, last: Option<&Bytes>) -> Bytes {
        let state = self.state.lock();
        let chunks = state.chunks.iter().map(|(_, chunk)| chunk).chain(last);
        let mut whole = Vec::with_capacity(chunks.clone().map(Bytes::len).sum());
        for chunk in chunks {
            whole.extend_from_slice(chunk);
        }
        whole.into()
    }

    /// It has come to its end; whoever still reads does so from `whole`, if it was stored.
    pub(super) fn finish(&self, whole: Option<Bytes>) {
        let mut state = self.state.lock();
        if let Some(whole) = whole {
            state.chunks.clear();
            state.start = 0;
            state.received = whole.len() as u64;
            state.chunks.push_back((0, whole));
        }
        state.end.get_or_insert(Ok(()));
        state.wake_all();
    }

    /// It has come to its end too early.
    pub(super) fn fail(&self, error: BodyError) {
        let mut state = self.state.lock();
        state.end.get_or_insert(Err(error));
        state.wake_all();
    }

    /// From now on nothing is held that everybody has read, and nobody joins.
    pub(super) fn stop_keeping(&self) {
        let mut state = self.state.lock();
        state.keeping = Keeping::Unread;
        state.let_go();
    }

    /// Waits until a body that is not kept may grow; what is read is let go.
    pub(super) async fn room(&self) -> Room {
        loop {
            {
                let mut state = self.state.lock();
                state.let_go();
                if state.readers.is_empty() {
                    return Room::Deserted;
                }
                if state.received - state.start < Self::WINDOW {
                    return Room::Yes;
                }
            }
            if tokio::time::timeout(Self::PATIENCE, self.read.notified())
                .await
                .is_err()
            {
                self.state.lock().leave_slowest_behind();
            }
        }
    }

    /// Waits until nobody reads any more.
    pub(super) async fn deserted(&self) {
        while !self.state.lock().readers.is_empty() {
            self.read.notified().await;
        }
    }
}

impl State {
    fn wake_all(&mut self) {
        for place in self.readers.values_mut() {
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
    }

    /// Lets go of what everybody has read.
    fn let_go(&mut self) {
        let read_by_all = self.readers.values().map(|place| place.at).min();
        let start = read_by_all.unwrap_or(self.received);
        while let Some((at, chunk)) = self.chunks.front()
            && at + chunk.len() as u64 <= start
        {
            self.chunks.pop_front();
        }
        self.start = self.chunks.front().map_or(self.received, |(at, _)| *at);
    }

    /// Whoever is the slowest of several reads no further; one alone may take its time.
    fn leave_slowest_behind(&mut self) {
        let places = self.readers.values().map(|place| place.at);
        let (slowest, fastest) = (places.clone().min(), places.max());
        if slowest == fastest {
            return;
        }
        self.readers.retain(|_, place| {
            let stays = Some(place.at) > slowest;
            if !stays && let Some(waker) = place.waker.take() {
                waker.wake();
            }
            stays
        });
    }

    /// What is held from `at` on, in one chunk.
    fn chunk_at(&self, at: u64) -> Option<Bytes> {
        let after = self.chunks.partition_point(|(start, _)| *start <= at);
        let (start, chunk) = self.chunks.get(after.checked_sub(1)?)?;
        let from = usize::try_from(at - start).ok()?;
        (from < chunk.len()).then(|| chunk.slice(from..))
    }
}

/// One of those who read a body while it is coming.
#[derive(Debug)]
pub(super) struct Reader {
    growing: Arc<Growing>,
    number: u64,
    read: u64,
    ended: bool,
}

impl Reader {
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut guard = self.growing.state.lock();
        let state = &mut *guard;
        let chunk = state.chunk_at(self.read);
        let Some(place) = state.readers.get_mut(&self.number) else {
            self.ended = true;
            return Poll::Ready(Some(Err(BodyError::TooSlow)));
        };
        if let Some(chunk) = chunk {
            self.read += chunk.len() as u64;
            place.at = self.read;
            if state.keeping == Keeping::Unread {
                self.growing.read.notify_one();
            }
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let Some(end) = state.end.clone() else {
            place.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        self.ended = true;
        let last = match end {
            Ok(()) => state
                .trailers
                .clone()
                .map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(error)),
        };
        Poll::Ready(last)
    }

    /// How much is still to come, if that is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        let expected = self.growing.expected?;
        Some(expected.saturating_sub(self.read))
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.growing.state.lock().readers.remove(&self.number);
        self.growing.read.notify_one();
    }
}
