//! The ledger in Redis: one key, one script call a purge, and a replica in each process (§2.1).
//!
//! Purges come by three ways: the answer to one's own, pub/sub within a millisecond, and a question about
//! every second, which also says how old the view is (R7). Pub/sub may lose messages; the question does not.

mod scripts;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use redis::RedisResult;
use terrace_shared::policy::Policy;
use terrace_shared::purge::{
    ApplyError, Epoch, Incarnation, Ledger, LedgerLimits, Purge, Record, Sequence, Update,
};
use terrace_shared::time::Milliseconds;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use self::scripts::{Lacking, Scripts};
pub(crate) use self::scripts::{ledger_key, outbox_key};
use self::tail::{Place, Relation, Tail, Told, read_records};
use super::{Appended, BoxFuture, PurgeLedger, ReplicaState, View};
use crate::backoff::Backoff;
use crate::clock::{Clock, Moment};
use crate::error::LedgerError;
use crate::tier::redis::Redis;

/// The ledger that processes share.
pub(crate) struct RedisLedger {
    replica: Arc<Replica>,
    tasks: [AbortHandle; 2],
}

/// This process's replica, and the ways by which purges come to it.
struct Replica {
    view: Arc<View>,
    /// Where the view ends. Locked before the view is, and whenever it is changed.
    tail: Mutex<Option<Tail>>,
    /// An epoch further along than the view, that an entry was met with.
    met: Mutex<Option<Epoch>>,
    scripts: Scripts,
    redis: Redis,
    clock: Clock,
    limits: LedgerLimits,
    bound: Milliseconds,
    refresh: Duration,
    /// One question at a time.
    turn: tokio::sync::Mutex<()>,
    nudge: Notify,
}

/// What an answer to a question has led to.
#[must_use]
enum CaughtUp {
    /// The view is what the ledger was when it was asked.
    Yes,
    /// Purges came in between: ask again.
    Again,
    /// The ledger has lost a part of this history (R6).
    Lost(Incarnation),
}

impl RedisLedger {
    /// The ledger of this name; the first view is waited for, as long as Redis may take to answer.
    pub(crate) async fn start(redis: &Redis, name: &str, policy: &Policy, clock: &Clock) -> Self {
        let settings = policy.ledger();
        let replica = Arc::new(Replica {
            view: Arc::new(View::empty()),
            tail: Mutex::new(None),
            met: Mutex::new(None),
            scripts: Scripts::new(name),
            redis: redis.clone(),
            clock: clock.clone(),
            limits: policy.ledger_limits(),
            bound: settings.bound.into(),
            refresh: Duration::from_secs(settings.refresh.as_seconds().max(1)),
            turn: tokio::sync::Mutex::new(()),
            nudge: Notify::new(),
        });
        let _ = replica.catch_up().await; // the loop tries again
        let tasks = [
            tokio::spawn(replica.clone().keep_asking()).abort_handle(),
            tokio::spawn(replica.clone().keep_listening()).abort_handle(),
        ];
        Self { replica, tasks }
    }

    async fn append_now(&self, purge: Purge) -> Result<Appended, LedgerError> {
        let replica = &*self.replica;
        let place = replica.append(&purge.encode()).await?;
        let epoch = Epoch {
            incarnation: place.incarnation,
            sequence: place.sequence,
        };
        let state = match replica.take(Told { place, purge }) {
            Relation::Next | Relation::Known => ReplicaState::Applied,
            Relation::Unclear => {
                // Others have purged meanwhile. An error here is the loop's to mend; the receipt tells.
                let _ = replica.catch_up().await;
                let tail = replica.tail.lock();
                match &*tail {
                    Some(tail)
                        if tail.incarnation == place.incarnation && tail.head >= place.sequence =>
                    {
                        ReplicaState::Applied
                    }
                    Some(_) | None => ReplicaState::Behind,
                }
            }
        };
        Ok(Appended {
            epoch,
            replica: state,
        })
    }
}

impl Drop for RedisLedger {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl PurgeLedger for RedisLedger {
    fn view(&self) -> &Arc<View> {
        &self.replica.view
    }

    fn append(&self, purge: Purge) -> BoxFuture<'_, Result<Appended, LedgerError>> {
        Box::pin(self.append_now(purge))
    }

    fn shared_within(&self) -> Option<Milliseconds> {
        Some(self.replica.bound)
    }

    fn met_later(&self, epoch: Epoch) {
        let mut met = self.replica.met.lock();
        match &mut *met {
            Some(met) if met.incarnation == epoch.incarnation => {
                met.sequence = met.sequence.max(epoch.sequence);
            }
            other => *other = Some(epoch),
        }
        drop(met);
        self.replica.nudge.notify_one();
    }
}

impl Replica {
    /// Shortest and longest pause between questions that fail.
    const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

    /// Longest silence on the channel before the connection is tried.
    const SILENCE: Duration = Duration::from_secs(10);

    /// Longest wait for a connection to listen on, and for its answer.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// Has the purge appended; a second time if the connection turned out to be a dead one, which does no harm.
    async fn append(&self, purge: &[u8]) -> Result<Place, LedgerError> {
        let mut lost_answer = None;
        for _ in 0..2 {
            let mut connection = self.redis.connection.clone();
            let error = match self.scripts.append(&mut connection, purge).await {
                Ok(place) => {
                    self.redis.health.succeeded();
                    return Ok(place);
                }
                Err(error) => error,
            };
            self.redis.health.failed(&error, &self.clock);
            let reason = error.to_string();
            if error.is_connection_refusal() {
                return Err(match lost_answer {
                    None => LedgerError::Unreachable { reason },
                    Some(reason) => LedgerError::Unconfirmed { reason },
                });
            }
            if error.is_timeout() {
                return Err(LedgerError::Unconfirmed { reason });
            }
            if !error.is_io_error() && !error.is_connection_dropped() {
                return Err(LedgerError::Refused { reason });
            }
            lost_answer = Some(reason);
        }
        Err(LedgerError::Unconfirmed {
            reason: lost_answer.unwrap_or_default(),
        })
    }

    /// Applies a purge if it is the next one.
    fn take(&self, told: Told) -> Relation {
        let mut tail = self.tail.lock();
        let Some(tail) = &mut *tail else {
            return Relation::Unclear;
        };
        let relation = tail.relation(&told.place);
        if relation == Relation::Next {
            let record = Record {
                sequence: told.place.sequence,
                purge: told.purge,
            };
            if self.view.change(|replica| replica.push(&record)).is_err() {
                return Relation::Unclear;
            }
            tail.advance(told.place.sequence, told.place.chain);
        }
        relation
    }

    /// Asks what the view lacks, and takes it.
    async fn catch_up(&self) -> RedisResult<()> {
        let _turn = self.turn.lock().await;
        let mut connection = self.redis.connection.clone();
        for _ in 0..4 {
            let asked_at = self.clock.moment();
            let asked = self.tail.lock().clone();
            let met = *self.met.lock();
            let lacking = self
                .scripts
                .catch_up(&mut connection, asked.as_ref())
                .await?;
            match self.take_lacking(lacking, asked.as_ref(), met, asked_at) {
                CaughtUp::Yes => return Ok(()),
                CaughtUp::Again => {}
                CaughtUp::Lost(incarnation) => {
                    self.scripts.rotate(&mut connection, incarnation).await?;
                }
            }
        }
        Ok(()) // the view is as old as it was, and says so
    }

    fn take_lacking(
        &self,
        lacking: Lacking,
        asked: Option<&Tail>,
        met: Option<Epoch>,
        asked_at: Moment,
    ) -> CaughtUp {
        let (incarnation, base, head, chain, records) = match lacking {
            Lacking::Forked(incarnation) => return CaughtUp::Lost(incarnation),
            Lacking::Records {
                incarnation,
                base,
                head,
                chain,
                records,
            } => (incarnation, base, head, chain, records),
        };
        if let Some(met) = met {
            if met.incarnation == incarnation && met.sequence > head {
                return CaughtUp::Lost(incarnation); // an entry was filled under purges that are gone
            }
            self.met.lock().take_if(|newest| *newest == met);
        }
        let mut place = self.tail.lock();
        let follows_on = |asked: &Tail| asked.incarnation == incarnation && asked.head == base;
        let follows_on = asked.is_some_and(follows_on);
        match (&mut *place, read_records(base, &records)) {
            (Some(tail), Some(records)) if follows_on => {
                if self.push_later(&records, tail.head).is_err() {
                    *place = None; // the view is not where its tail says: build it anew
                    return CaughtUp::Again;
                }
                if head > tail.head {
                    tail.advance(head, chain);
                }
            }
            (Some(tail), _) if tail.incarnation == incarnation && tail.head > head => {
                return CaughtUp::Again; // what came meanwhile must not be lost again
            }
            (_, records) => {
                // What cannot be read may have named anything: entries from before it are dropped.
                let (base, records) = records.map_or_else(|| (head, Vec::new()), |all| (base, all));
                let mut ledger = Ledger::starting_at(incarnation, base, self.limits);
                let applied = records.iter().try_for_each(|record| ledger.apply(record));
                if applied.is_err() {
                    ledger = Ledger::starting_at(incarnation, head, self.limits);
                }
                let updated = self.view.change(|replica| {
                    replica.forget();
                    replica.update(Update::Snapshot(ledger), asked_at.wall)
                });
                if updated.is_err() {
                    return CaughtUp::Again;
                }
                *place = Some(Tail::new(incarnation, head, chain));
            }
        }
        self.view.confirm(asked_at);
        CaughtUp::Yes
    }

    /// Pushes what comes after `head`; where nothing does, no entry need be judged anew.
    fn push_later(&self, records: &[Record], head: Sequence) -> Result<(), ApplyError> {
        let known = records.partition_point(|record| record.sequence <= head);
        let Some(news @ [_, ..]) = records.get(known..) else {
            return Ok(());
        };
        self.view
            .change(|replica| news.iter().try_for_each(|record| replica.push(record)))
    }

    /// Asks about every second, and at once when there is reason to.
    async fn keep_asking(self: Arc<Self>) {
        let mut backoff = Backoff::new(Self::PAUSES.0, Self::PAUSES.1);
        loop {
            match self.catch_up().await {
                Ok(()) => {
                    self.redis.health.succeeded();
                    self.view.compact(self.clock.now().timestamp());
                    backoff.reset();
                    let pause = self.refresh.mul_f64(0.9 + 0.2 * fastrand::f64());
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.nudge.notified() => {}
                    }
                }
                Err(error) => {
                    self.redis.health.failed(&error, &self.clock);
                    tokio::time::sleep(backoff.next_pause()).await;
                }
            }
        }
    }

    /// Listens for purges; connects again whenever that ends.
    async fn keep_listening(self: Arc<Self>) {
        let mut backoff = Backoff::new(Self::PAUSES.0, Self::PAUSES.1);
        loop {
            if self.listen(&mut backoff).await.is_err() {
                tokio::time::sleep(backoff.next_pause()).await;
            }
        }
    }

    async fn listen(&self, backoff: &mut Backoff) -> Result<(), ()> {
        let connected = tokio::time::timeout(Self::PATIENCE, async {
            let mut pubsub = self.redis.client.get_async_pubsub().await?;
            pubsub.subscribe(self.scripts.channel()).await?;
            RedisResult::Ok(pubsub.split())
        });
        let (mut sink, mut messages) = connected.await.map_err(drop)?.map_err(drop)?;
        backoff.reset();
        self.nudge.notify_one(); // whatever was told before this connection listened
        loop {
            match tokio::time::timeout(Self::SILENCE, messages.next()).await {
                Ok(Some(message)) => {
                    let relation = match Told::parse(message.get_payload_bytes()) {
                        Some(told) => self.take(told),
                        None => Relation::Unclear,
                    };
                    if relation == Relation::Unclear {
                        self.nudge.notify_one();
                    }
                }
                Ok(None) => return Err(()),
                Err(_) => {
                    let pong = tokio::time::timeout(Self::PATIENCE, sink.ping::<redis::Value>());
                    pong.await.map_err(drop)?.map_err(drop)?;
                }
            }
        }
    }
}
