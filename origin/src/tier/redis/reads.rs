//! Reads that wait travel together: one `MGET` for all that have gathered.
//!
//! A read that is the only one goes at once. Those that come while one is under way gather, and go in one command as
//! soon as whoever runs beside them has had a turn; with many commands under way, as soon as one of those is over. So
//! nobody waits for company, and the more they are, the less each one costs.
//!
//! Redis reads a read's bytes after the read began: those who have gathered are sent afterwards, and nobody joins what
//! has been sent. A reader may have been told of a purge, or have taken its fence, meanwhile (R1, R5).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use super::connection::TIMEOUT;
use super::key::Key;
use crate::error::TierError;

/// What a read ends with: the bytes, or that there are none.
pub(super) type Answer = Result<Option<Vec<u8>>, TierError>;

/// The way to Redis, as reads need it.
pub(super) trait Wire: Send + Sync + 'static {
    /// Sends a command and waits for its answer, no longer than for any.
    fn ask(&self, command: &Cmd) -> impl Future<Output = RedisResult<Value>> + Send;

    /// Whether asking is of no use now.
    fn is_down(&self) -> bool;
}

/// The reads of one Redis: those under way, and those that wait.
#[derive(Debug)]
pub(super) struct Reads<W: Wire>(Arc<Shared<W>>);

#[derive(Debug)]
struct Shared<W> {
    wire: W,
    places: Mutex<Places>,
    /// Room for commands that many reads share.
    room: Semaphore,
    /// Whether the server has refused to be asked for many keys at once, which is then not tried again.
    refused: AtomicBool,
}

/// Who is under way, and who waits.
#[derive(Debug, Default)]
struct Places {
    /// Commands that have been sent, or will be.
    trips: usize,
    /// Those of them that have not been sent, the oldest first.
    waiting: VecDeque<Batch>,
    /// How many there have been.
    batches: u64,
    /// How large a value is, about.
    usual_bytes: usize,
}

/// Reads that have gathered.
#[derive(Debug)]
struct Batch {
    number: u64,
    command: Cmd,
    /// In the order of the command's keys.
    readers: Vec<oneshot::Sender<Told>>,
}

/// What a reader that has waited is told.
#[derive(Debug)]
enum Told {
    /// What was read for it.
    Answer(Answer),
    /// To read for itself.
    Apart,
}

/// How a read goes.
enum Place<W: Wire> {
    /// At once, alone.
    Alone(Trip<W>),
    /// With others, in the batch of this number.
    Gathered(u64, oneshot::Receiver<Told>),
}

/// A command that is under way, or will be.
///
/// Dropping it ends that, however it comes about: answer, failure, cancellation, or a runtime that stops.
struct Trip<W: Wire> {
    shared: Arc<Shared<W>>,
    /// The batch that it is for, if reads share it.
    batch: Option<u64>,
    read: Sizes,
}

/// How many values a command was answered, and all their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    values: usize,
    bytes: usize,
}

impl<W: Wire> Reads<W> {
    /// Most commands under way that reads share; more wait, and so take more along.
    const MOST_SHARED: usize = 8;

    pub(super) fn new(wire: W) -> Self {
        Self(Arc::new(Shared {
            wire,
            places: Mutex::default(),
            room: Semaphore::new(Self::MOST_SHARED),
            refused: AtomicBool::new(false),
        }))
    }

    pub(super) fn wire(&self) -> &W {
        &self.0.wire
    }

    /// What is stored under `key`, read alone or with others.
    ///
    /// What is no string is a failure if it is read alone, and nothing if it is read with others: of no use either
    /// way.
    ///
    /// # Errors
    /// When Redis fails or is silent; those who share a command all fail with it.
    ///
    /// # Cancel safety
    /// Nobody else notices: a command that reads share is on a task of its own.
    pub(super) async fn get(&self, key: Key<'_>) -> Answer {
        // What goes alone goes in a box, so that those who wait do not carry the room for it.
        if self.0.refused.load(Ordering::Relaxed) {
            return Box::pin(self.get_alone(key)).await;
        }
        match self.0.place(key) {
            Place::Alone(mut trip) => {
                let answer = Box::pin(self.get_alone(key)).await;
                trip.read.note(&answer);
                answer
            }
            Place::Gathered(batch, told) => match tokio::time::timeout(TIMEOUT, told).await {
                Ok(Ok(Told::Answer(answer))) => answer,
                Ok(Ok(Told::Apart)) => Box::pin(self.get_alone(key)).await,
                Ok(Err(_)) => Err(TierError::Failed),
                Err(_) => {
                    // Whoever should have sent it does not get to: nobody else shall wait for that.
                    self.0.places.lock().take(batch);
                    Err(TierError::Failed)
                }
            },
        }
    }

    /// What is stored under `key`, read by a command of its own.
    ///
    /// # Errors
    /// When Redis fails or is silent, or what is stored is no string.
    pub(super) async fn get_alone(&self, key: Key<'_>) -> Answer {
        match self.0.wire.ask(&key.command("GET")).await {
            Ok(value) => bytes(value),
            Err(_) => Err(TierError::Failed),
        }
    }
}

impl<W: Wire> Shared<W> {
    fn place(self: &Arc<Self>, key: Key<'_>) -> Place<W> {
        let mut places = self.places.lock();
        if places.trips > 0 {
            if let Some(batch) = places.open_batch() {
                return Place::Gathered(batch.number, batch.join(key));
            }
            // What waits is sent from a task.
            if let Ok(runtime) = Handle::try_current() {
                let batch = places.begin_batch();
                let (number, told) = (batch.number, batch.join(key));
                drop(places);
                let trip = self.trip(Some(number));
                runtime.spawn(trip.go());
                return Place::Gathered(number, told);
            }
        }
        places.trips += 1;
        drop(places);
        Place::Alone(self.trip(None))
    }

    /// A command that has been counted.
    fn trip(self: &Arc<Self>, batch: Option<u64>) -> Trip<W> {
        Trip {
            shared: self.clone(),
            batch,
            read: Sizes::default(),
        }
    }
}

impl<W: Wire> Trip<W> {
    /// How often whoever else is about to run has a turn before a batch goes.
    const TURNS: usize = 2;

    /// Takes a batch along, as soon as there is room.
    async fn go(mut self) {
        // Whoever is about to run may have a read to make, too: those here, and those who are handed over meanwhile.
        for _ in 0..Self::TURNS {
            tokio::task::yield_now().await;
        }
        let shared = self.shared.clone();
        let Ok(_room) = shared.room.acquire().await else {
            return;
        };
        let batch = self
            .batch
            .and_then(|number| shared.places.lock().take(number));
        let Some(Batch {
            command, readers, ..
        }) = batch
        else {
            return;
        };
        if readers.iter().all(oneshot::Sender::is_closed) {
            return;
        }
        if shared.wire.is_down() {
            return tell(readers, || Told::Answer(Err(TierError::Refused)));
        }
        match shared.wire.ask(&command).await {
            Ok(Value::Array(values)) if values.len() == readers.len() => {
                for (reader, value) in readers.into_iter().zip(values) {
                    let answer = bytes(value);
                    self.read.note(&answer);
                    let _gone = reader.send(Told::Answer(answer));
                }
            }
            Err(error) if refuses_many(&error) => {
                shared.refused.store(true, Ordering::Relaxed);
                tell(readers, || Told::Apart);
            }
            Ok(_) | Err(_) => tell(readers, || Told::Answer(Err(TierError::Failed))),
        }
    }
}

impl<W: Wire> Drop for Trip<W> {
    fn drop(&mut self) {
        let mut places = self.shared.places.lock();
        places.trips -= 1;
        places.note(self.read);
        let unsent = self.batch.and_then(|number| places.take(number));
        drop(places);
        drop(unsent); // wakes whoever waits for it
    }
}

impl Places {
    /// Most keys of one command.
    const MOST_KEYS: usize = 128;

    /// About as many bytes as a command may be answered: Redis serves nobody else meanwhile.
    const MOST_BYTES: usize = 1 << 20;

    /// The batch that a read may join.
    fn open_batch(&mut self) -> Option<&mut Batch> {
        let most = most_keys(self.usual_bytes);
        let last = self.waiting.back_mut()?;
        (last.readers.len() < most).then_some(last)
    }

    fn begin_batch(&mut self) -> &mut Batch {
        self.trips += 1;
        self.batches += 1;
        let mut command = Cmd::with_capacity(64, 2_048);
        command.arg("MGET");
        self.waiting.push_back_mut(Batch {
            number: self.batches,
            command,
            readers: Vec::with_capacity(64),
        })
    }

    /// The batch of this number, if it still waits; nobody joins it any more.
    fn take(&mut self, number: u64) -> Option<Batch> {
        let at = self
            .waiting
            .iter()
            .position(|batch| batch.number == number)?;
        self.waiting.remove(at)
    }

    /// Notes how large values are: larger ones are believed at once, smaller ones by and by.
    fn note(&mut self, read: Sizes) {
        if let Some(mean) = read.bytes.checked_div(read.values) {
            self.usual_bytes = mean.max(self.usual_bytes - self.usual_bytes / 8 + mean / 8);
        }
    }
}

impl Batch {
    fn join(&mut self, key: Key<'_>) -> oneshot::Receiver<Told> {
        let (reader, told) = oneshot::channel();
        self.command.arg(key);
        self.readers.push(reader);
        told
    }
}

impl Sizes {
    fn note(&mut self, answer: &Answer) {
        if let Ok(Some(bytes)) = answer {
            self.values += 1;
            self.bytes += bytes.len();
        }
    }
}

fn tell(readers: Vec<oneshot::Sender<Told>>, what: impl Fn() -> Told) {
    for reader in readers {
        let _gone = reader.send(what());
    }
}

/// Most keys of one command where a value has so many bytes.
fn most_keys(usual_bytes: usize) -> usize {
    (Places::MOST_BYTES / usual_bytes.max(1)).clamp(1, Places::MOST_KEYS)
}

/// The bytes in an answer; the tier stores nothing else.
fn bytes(value: Value) -> Answer {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::Nil => Ok(None),
        _ => Err(TierError::Failed),
    }
}

/// Whether the server takes no command for many keys, from nobody or not from this user.
fn refuses_many(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoPerm) => true,
        ErrorKind::Server(ServerErrorKind::ResponseError) => error
            .detail()
            .is_some_and(|detail| detail.starts_with("unknown command")),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
