//! This process's copy of the ledger, and how purges come to it.

mod loops;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::RedisResult;
use terrace_shared::policy::Policy;
use terrace_shared::purge::token::{Reach, Wanted};
use terrace_shared::purge::{
    ApplyError, Epoch, Incarnation, Ledger, LedgerLimits, Record, Sequence, Update,
};
use terrace_shared::time::Milliseconds;
use tokio::sync::Notify;

use super::page::SnapshotWanted;
use super::scripts::{Keep, Lacking, Scripts};
use super::tail::{Place, Relation, Tail, Told, read_records};
use crate::clock::{Clock, Moment};
use crate::error::LedgerError;
use crate::ledger::{ReplicaState, View};
use crate::tier::redis::{Followed, Redis, Sickness};

/// This process's replica, and the ways by which purges come to it.
pub(super) struct Replica {
    view: Arc<View>,
    /// Where the view ends. Locked before the view is, and whenever it is changed.
    tail: Mutex<Option<Tail>>,
    /// An epoch further along than the view, that an entry was met with.
    met: Mutex<Option<Epoch>>,
    scripts: Scripts,
    keep: Keep,
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
    Yes(SnapshotWanted),
    /// There is more.
    More,
    /// Purges came in between: ask again.
    Again,
    /// The ledger has lost a part of this history (R6).
    Lost(Incarnation),
}

/// Whether the view has become what the ledger was when it was asked.
#[must_use]
enum Level {
    Reached(SnapshotWanted),
    /// Purges came in between again and again.
    Missed,
}

impl Replica {
    /// Largest snapshot that is written; every limit at once takes less.
    const LARGEST_SNAPSHOT: usize = 16 << 20;

    pub(super) fn new(redis: &Redis, name: &str, policy: &Policy, clock: &Clock) -> Self {
        let settings = policy.ledger();
        Self {
            view: Arc::new(View::empty()),
            tail: Mutex::new(None),
            met: Mutex::new(None),
            scripts: Scripts::new(name),
            keep: Keep::default(),
            redis: redis.clone(),
            clock: clock.clone(),
            limits: policy.ledger_limits(),
            bound: settings.bound.into(),
            refresh: Duration::from_secs(settings.refresh.as_seconds().max(1)),
            turn: tokio::sync::Mutex::new(()),
            nudge: Notify::new(),
        }
    }

    pub(super) const fn view(&self) -> &Arc<View> {
        &self.view
    }

    pub(super) const fn bound(&self) -> Milliseconds {
        self.bound
    }

    /// The way to the ledger's master, whose answers count only while its replicas follow it.
    async fn master(&self) -> RedisResult<Followed> {
        self.redis.ledger.followed(self.scripts.key()).await
    }

    /// Whether a view that is level with the ledger has the purge at `place`.
    fn state_of(&self, place: &Place) -> ReplicaState {
        match &*self.tail.lock() {
            Some(tail) if tail.incarnation == place.incarnation && tail.head >= place.sequence => {
                ReplicaState::Applied
            }
            Some(_) | None => ReplicaState::Behind,
        }
    }

    /// Notes that an entry was met which was filled at `epoch`, further along than the view.
    pub(super) fn met_later(&self, epoch: Epoch) {
        self.note_met(epoch);
        self.nudge.notify_one();
    }

    /// Notes an epoch that the ledger must have reached, unless it has lost its tail (R6).
    fn note_met(&self, epoch: Epoch) {
        let mut met = self.met.lock();
        match &mut *met {
            Some(met) if met.incarnation == epoch.incarnation => {
                met.sequence = met.sequence.max(epoch.sequence);
            }
            other => *other = Some(epoch),
        }
    }

    /// Has the purge appended; a second time if the connection turned out to be a dead one, which does no harm.
    pub(super) async fn append(&self, purge: &[u8]) -> Result<Place, LedgerError> {
        let mut lost_answer: Option<String> = None;
        for attempt in 0..2 {
            let answer = match self.master().await {
                Ok(mut master) => {
                    let known = self.tail.lock().as_ref().map(|tail| tail.incarnation);
                    self.scripts
                        .append(&mut master, purge, known, self.keep)
                        .await
                }
                Err(error) => Err(error),
            };
            let error = match answer {
                Ok(place) => {
                    self.redis.health.succeeded();
                    return Ok(place);
                }
                Err(error) => error,
            };
            self.redis.health.failed(&error, &self.clock);
            let reason = error.to_string();
            match Sickness::of(&error) {
                Sickness::Absent => {
                    return Err(match lost_answer {
                        None => LedgerError::Unreachable { reason },
                        Some(reason) => LedgerError::Unconfirmed { reason },
                    });
                }
                Sickness::Silent | Sickness::Unproven => {
                    return Err(LedgerError::Unconfirmed { reason });
                }
                Sickness::Severed => lost_answer = Some(reason),
                // It has done nothing; the next connection leads to its successor.
                Sickness::Demoted | Sickness::Alone if attempt == 0 => {}
                Sickness::Demoted | Sickness::Alone | Sickness::None => {
                    return Err(match lost_answer {
                        None => LedgerError::Refused { reason },
                        Some(reason) => LedgerError::Unconfirmed { reason },
                    });
                }
            }
        }
        Err(LedgerError::Unconfirmed {
            reason: lost_answer.unwrap_or_default(),
        })
    }

    /// Applies a purge if it is the next one.
    pub(super) fn take(&self, told: Told) -> Relation {
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

    /// Asks what the view lacks, and takes it, page by page.
    pub(super) async fn catch_up(&self) -> RedisResult<()> {
        let turn = self.turn.lock().await;
        let level = self.ask_until_level(self.keep).await?;
        drop(turn);
        if let Level::Reached(SnapshotWanted::Yes) = level {
            // Nobody waits for it; if it fails, somebody is asked again some purges later.
            let _ = self.write_snapshot().await;
        }
        Ok(())
    }

    /// Asks what the view lacks of what tokens name, unless it was told meanwhile.
    pub(super) async fn catch_up_with(&self, wanted: &Wanted) {
        let asking = async {
            let _turn = self.turn.lock().await;
            if self.view.reach(wanted) == Reach::Reached {
                return;
            }
            // A signed token is as good as an entry that was filled there.
            if let Some(later) = self.view.epoch().and_then(|here| wanted.beyond(here)) {
                self.note_met(later);
            }
            let level = self.ask_until_level(self.keep.without_snapshots()).await;
            if let Ok(Level::Reached(_)) = level {
                self.view.note_gone(wanted);
            }
        };
        // In vain, the view stays where it is, and the reader is served nothing that is stored.
        let _ = tokio::time::timeout(Self::PATIENCE, asking).await;
    }

    /// Catches up unless somebody else has done so, at least to `place`, while this one waited for its turn.
    pub(super) async fn catch_up_to(&self, place: &Place) -> ReplicaState {
        let _turn = self.turn.lock().await;
        if self.knows(place) {
            return ReplicaState::Applied;
        }
        // An error here is the loop's to mend; the receipt tells.
        match self.ask_until_level(self.keep.without_snapshots()).await {
            Ok(Level::Reached(_)) => self.state_of(place),
            Ok(Level::Missed) | Err(_) if self.knows(place) => ReplicaState::Applied,
            Ok(Level::Missed) | Err(_) => ReplicaState::Behind,
        }
    }

    /// Whether the view has the purge in this place, and not another one under its number, which a fail-over has lost.
    fn knows(&self, place: &Place) -> bool {
        let tail = self.tail.lock();
        tail.as_ref()
            .is_some_and(|tail| tail.relation(place) == Relation::Known)
    }

    async fn ask_until_level(&self, keep: Keep) -> RedisResult<Level> {
        let mut attempts = 0;
        while attempts < 4 {
            let mut master = self.master().await?;
            let asked_at = self.clock.moment();
            let asked = self.tail.lock().clone();
            let met = *self.met.lock();
            let vouched = master.vouched();
            let lacking = self
                .scripts
                .catch_up(&mut master, asked.as_ref(), keep, vouched)
                .await?;
            match self.take_lacking(lacking, asked.as_ref(), met, asked_at) {
                CaughtUp::Yes(wanted) => return Ok(Level::Reached(wanted)),
                CaughtUp::More => {} // each page leads further
                CaughtUp::Again => attempts += 1,
                CaughtUp::Lost(incarnation) => {
                    attempts += 1;
                    let known = asked.map(|asked| asked.incarnation);
                    self.scripts.rotate(&mut master, incarnation, known).await?;
                }
            }
        }
        Ok(Level::Missed) // the view is as old as it was, and says so
    }

    fn take_lacking(
        &self,
        lacking: Lacking,
        asked: Option<&Tail>,
        met: Option<Epoch>,
        asked_at: Moment,
    ) -> CaughtUp {
        let page = match lacking {
            Lacking::Lost(incarnation) => return CaughtUp::Lost(incarnation),
            Lacking::Page(page) => page,
        };
        if let Some(met) = met {
            if met.incarnation == page.incarnation && met.sequence > page.head {
                return CaughtUp::Lost(page.incarnation); // an entry was filled under purges that are gone
            }
            self.met.lock().take_if(|newest| *newest == met);
        }
        let (incarnation, head, last) = (page.incarnation, page.head, page.last);
        let (chain, wanted) = (page.chain, page.snapshot);
        let records = read_records(page.base, &page.records);
        let mut place = self.tail.lock();
        let reached = match (&mut *place, records) {
            (Some(tail), Some(records)) if asked.is_some_and(|asked| page.follows(asked)) => {
                if self.push_later(&records, tail.head).is_err() {
                    *place = None; // the view is not where its tail says: build it anew
                    return CaughtUp::Again;
                }
                if last > tail.head {
                    tail.advance(last, chain);
                }
                tail.head
            }
            (Some(tail), _) if tail.incarnation == incarnation && tail.head > last => {
                return CaughtUp::Again; // what came meanwhile must not be lost again
            }
            (_, records) => {
                let ledger = records.and_then(|records| page.into_ledger(&records, self.limits));
                // What cannot be read may have named anything: entries from before it are dropped.
                let ledger =
                    ledger.unwrap_or_else(|| Ledger::starting_at(incarnation, last, self.limits));
                let updated = self.view.change(|replica| {
                    replica.forget();
                    replica.update(Update::Snapshot(ledger), asked_at.wall)
                });
                if updated.is_err() {
                    return CaughtUp::Again;
                }
                *place = Some(Tail::new(incarnation, last, chain));
                last
            }
        };
        if place.as_ref().is_some_and(|tail| tail.passes(last, chain)) {
            let sequence = last;
            self.view.vouch(Epoch {
                incarnation,
                sequence,
            });
        }
        if reached < head {
            return CaughtUp::More;
        }
        self.view.confirm(asked_at); // as young as the question whose answer it holds whole
        CaughtUp::Yes(wanted)
    }

    /// Writes what this replica knows into the ledger's key, for those who come after it.
    async fn write_snapshot(&self) -> RedisResult<()> {
        let (tail, ledger) = {
            let tail = self.tail.lock();
            (tail.clone(), self.view.ledger())
        };
        let (Some(tail), Some(ledger)) = (tail, ledger) else {
            return Ok(());
        };
        let now = self.clock.now().timestamp();
        let encode = move || {
            let mut ledger = ledger;
            ledger.compact(now); // what lies beyond the horizon goes no further
            Update::Snapshot(ledger).encode()
        };
        let Ok(bytes) = tokio::task::spawn_blocking(encode).await else {
            return Ok(()); // the runtime ends
        };
        if bytes.len() > Self::LARGEST_SNAPSHOT {
            return Ok(());
        }
        let mut master = self.master().await?;
        self.scripts
            .keep_snapshot(&mut master, &tail, &bytes, self.keep)
            .await
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
}
