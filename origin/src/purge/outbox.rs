//! Purges on their way to the edge: in order, at least once, for as long as it takes (R8).
//!
//! The queue lives in this process: a purge that is pending when the process ends is not told any more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use terrace_shared::purge::PurgeMode;
use terrace_shared::purge::wire::{PurgeRequest, Receipt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::edge::{PurgeTarget, TellError};
use crate::backoff::Backoff;

/// The queue's near end.
#[derive(Debug)]
pub(crate) struct Outbox {
    letters: mpsc::UnboundedSender<Letter>,
    counts: Arc<OutboxCounts>,
    task: AbortHandle,
}

/// What the outbox counts.
#[derive(Debug, Default)]
pub(crate) struct OutboxCounts {
    pub(crate) depth: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) failed_attempts: AtomicU64,
    pub(crate) widened: AtomicU64,
}

/// How far a purge has come on its way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Delivery {
    /// The edge has taken it.
    Taken(Receipt),
    /// It has not yet, for this reason; the attempts go on.
    Pending(String),
}

#[derive(Debug)]
struct Letter {
    request: PurgeRequest,
    /// Told how the first attempt went, if somebody still waits for it.
    first: Option<oneshot::Sender<Delivery>>,
}

impl Outbox {
    /// Longest wait of a purge for its first attempt.
    const FIRST_ATTEMPT: Duration = Duration::from_secs(1);

    /// A queue to `target`, with a task that empties it. Call it within a Tokio runtime.
    pub(crate) fn to(target: impl PurgeTarget + 'static) -> Self {
        let (letters, inbox) = mpsc::unbounded_channel();
        let counts = Arc::<OutboxCounts>::default();
        let postman = Postman {
            target,
            inbox,
            queue: VecDeque::new(),
            counts: counts.clone(),
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(30)),
        };
        Self {
            letters,
            counts,
            task: tokio::spawn(postman.run()).abort_handle(),
        }
    }

    /// Queues `request`, and waits a short while for its first attempt.
    ///
    /// # Cancel safety
    /// Once first polled, the request is queued; who stops waiting only misses how it went.
    pub(crate) async fn tell(&self, request: PurgeRequest) -> Delivery {
        let (first, attempted) = oneshot::channel();
        self.counts.depth.fetch_add(1, Ordering::Relaxed);
        let letter = Letter {
            request,
            first: Some(first),
        };
        if self.letters.send(letter).is_err() {
            return Delivery::Pending("the outbox is closed".to_owned());
        }
        match tokio::time::timeout(Self::FIRST_ATTEMPT, attempted).await {
            Ok(Ok(delivery)) => delivery,
            Ok(Err(_)) => Delivery::Pending("the outbox is closed".to_owned()),
            Err(_) => Delivery::Pending(format!(
                "the edge has not answered within {:?}",
                Self::FIRST_ATTEMPT
            )),
        }
    }

    pub(crate) fn counts(&self) -> &OutboxCounts {
        &self.counts
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The queue's far end.
struct Postman<T> {
    target: T,
    inbox: mpsc::UnboundedReceiver<Letter>,
    queue: VecDeque<Letter>,
    counts: Arc<OutboxCounts>,
    backoff: Backoff,
}

impl<T: PurgeTarget> Postman<T> {
    /// Longest queue; what goes beyond it becomes one purge of everything (R11).
    const LONGEST_QUEUE: usize = 4_096;

    async fn run(mut self) {
        loop {
            while let Ok(letter) = self.inbox.try_recv() {
                self.enqueue(letter);
            }
            let Some(letter) = self.queue.front_mut() else {
                let Some(letter) = self.inbox.recv().await else {
                    return; // the cache is gone
                };
                self.enqueue(letter);
                continue;
            };
            match self.target.tell(&letter.request).await {
                Ok(receipt) => {
                    answer(letter, Delivery::Taken(receipt));
                    self.queue.pop_front();
                    self.counts.depth.fetch_sub(1, Ordering::Relaxed);
                    self.counts.delivered.fetch_add(1, Ordering::Relaxed);
                    self.backoff.reset();
                }
                Err(error) => {
                    self.counts.failed_attempts.fetch_add(1, Ordering::Relaxed);
                    let reason = error.to_string();
                    if matches!(error, TellError::Never(_)) && !letter.request.everything {
                        // It must not stay cached because the edge does not understand what it is called.
                        letter.request = everything_instead_of(&letter.request);
                        self.counts.widened.fetch_add(1, Ordering::Relaxed);
                    }
                    answer(letter, Delivery::Pending(reason.clone()));
                    self.pause(&reason).await;
                }
            }
        }
    }

    /// Waits before the next attempt, and tells who comes meanwhile that it will take a while.
    async fn pause(&mut self, reason: &str) {
        let pause = tokio::time::sleep(self.backoff.next_pause());
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                letter = self.inbox.recv() => match letter {
                    Some(mut letter) => {
                        answer(&mut letter, Delivery::Pending(reason.to_owned()));
                        self.enqueue(letter);
                    }
                    None => return,
                },
            }
        }
    }

    fn enqueue(&mut self, letter: Letter) {
        self.queue.push_back(letter);
        if self.queue.len() <= Self::LONGEST_QUEUE {
            return;
        }
        let hard = self
            .queue
            .iter()
            .any(|letter| letter.request.mode == PurgeMode::Hard);
        let newest = self
            .queue
            .back()
            .and_then(|letter| letter.request.origin_epoch);
        self.counts.widened.fetch_add(1, Ordering::Relaxed);
        self.counts.depth.store(1, Ordering::Relaxed);
        self.queue.clear();
        self.queue.push_back(Letter {
            request: PurgeRequest {
                mode: if hard {
                    PurgeMode::Hard
                } else {
                    PurgeMode::Soft
                },
                everything: true,
                origin_epoch: newest,
                ..PurgeRequest::default()
            },
            first: None,
        });
    }
}

fn everything_instead_of(request: &PurgeRequest) -> PurgeRequest {
    PurgeRequest {
        mode: request.mode,
        everything: true,
        origin_epoch: request.origin_epoch,
        ..PurgeRequest::default()
    }
}

fn answer(letter: &mut Letter, delivery: Delivery) {
    if let Some(first) = letter.first.take() {
        let _ = first.send(delivery); // an error means that nobody waits any more
    }
}

#[cfg(test)]
mod tests;
