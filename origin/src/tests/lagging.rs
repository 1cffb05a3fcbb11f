//! A ledger elsewhere, which this process hears of only when it asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use terrace_shared::purge::token::{ReadToken, Wanted};
use terrace_shared::purge::{Epoch, Incarnation, Ledger, LedgerLimits, Purge, Update};
use terrace_shared::time::{Milliseconds, TimestampMillis};

use super::support::secrets;
use crate::clock::Moment;
use crate::error::LedgerError;
use crate::ledger::{Appended, BoxFuture, PurgeLedger, ReplicaState, View};

/// A ledger elsewhere, which this process hears of only when it asks.
pub(crate) struct LaggingLedger {
    view: Arc<View>,
    authority: Mutex<Ledger>,
    now: Moment,
    is_reachable: AtomicBool,
    asked: AtomicUsize,
}

impl LaggingLedger {
    /// One that this process has just heard of.
    pub(crate) fn new(now: TimestampMillis) -> Arc<Self> {
        let limits = LedgerLimits::default();
        let ledger = Self {
            view: Arc::new(View::empty()),
            authority: Mutex::new(Ledger::new(Incarnation::from_random(1), limits)),
            now: Moment {
                wall: now,
                steady: now,
            },
            is_reachable: AtomicBool::new(true),
            asked: AtomicUsize::new(0),
        };
        ledger.tell();
        Arc::new(ledger)
    }

    /// Another process purges; what comes back is the token of its receipt.
    pub(crate) fn purged_elsewhere(&self, purge: crate::Purge) -> String {
        let purge = purge.into_request().into_purge(self.now.wall);
        let mut authority = self.authority.lock();
        authority.append(purge.expect("a purge"));
        token_at(authority.epoch())
    }

    /// Another history begins: this one is lost.
    pub(crate) fn lose(&self) {
        let mut authority = self.authority.lock();
        let next = authority.epoch().incarnation.as_u64() + 1;
        *authority = Ledger::new(Incarnation::from_random(next), LedgerLimits::default());
    }

    /// From now on no question is answered.
    pub(crate) fn cut(&self) {
        self.is_reachable.store(false, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Where the authority stands.
    pub(crate) fn epoch(&self) -> Epoch {
        self.authority.lock().epoch()
    }

    /// This process hears of everything.
    pub(crate) fn tell(&self) {
        let update = Update::Snapshot(self.authority.lock().clone());
        let told = self
            .view
            .change(|replica| replica.update(update, self.now.wall));
        told.expect("a snapshot fits");
        self.view.vouch(self.epoch());
        self.view.confirm(self.now);
    }
}

/// A signed token of a purge in this place.
pub(crate) fn token_at(epoch: Epoch) -> String {
    let token = ReadToken {
        origin: Some(epoch),
        edge: None,
    };
    token.sign(&secrets())
}

impl PurgeLedger for LaggingLedger {
    fn view(&self) -> &Arc<View> {
        &self.view
    }

    fn append(&self, purge: Purge) -> BoxFuture<'_, Result<Appended, LedgerError>> {
        let epoch = {
            let mut authority = self.authority.lock();
            authority.append(purge);
            authority.epoch()
        };
        self.tell();
        let replica = ReplicaState::Applied;
        Box::pin(std::future::ready(Ok(Appended { epoch, replica })))
    }

    fn shared_within(&self) -> Option<Milliseconds> {
        Some(Milliseconds::new(5_000))
    }

    fn met_later(&self, _: Epoch) {}

    fn catch_up<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if self.is_reachable.load(Ordering::SeqCst) {
                self.tell();
                self.view.note_gone(wanted);
            }
        })
    }
}
