//! Second purges: the same once more, some time later, for a source whose replicas lag behind.
//!
//! A fill after the first purge may have read a replica that had yet to hear of the change. With Redis the
//! second purge is written down before the first is carried out, and whichever process looks first when it is
//! due carries it out; should that one die meanwhile, another does. Without Redis this process keeps it.

#[cfg(feature = "redis")]
pub(crate) mod redis;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use terrace_shared::purge::Purge;
use terrace_shared::time::Milliseconds;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::cascade::Carrier;
use crate::backoff::Backoff;
use crate::error::AgendaError;
use crate::ledger::BoxFuture;

/// Where second purges wait until they are due.
pub(crate) trait Agenda: Send + Sync {
    /// Writes down that `purge` is due once more after `after`.
    fn add<'a>(
        &'a self,
        purge: &'a Purge,
        after: Milliseconds,
    ) -> BoxFuture<'a, Result<EntryId, AgendaError>>;

    /// What is due now; nobody else gets it for [`CLAIM`], and afterwards everybody again.
    fn due(&self) -> BoxFuture<'_, Result<Due, AgendaError>>;

    /// Strikes off what was carried out, or shall not be.
    fn strike<'a>(&'a self, entry: &'a EntryId) -> BoxFuture<'a, Result<(), AgendaError>>;

    /// What a receipt has to say of how it is kept.
    fn remark(&self) -> Option<&'static str>;
}

/// How long a due purge is one process's to carry out.
pub(crate) const CLAIM: Duration = Duration::from_secs(10);

/// Most second purges that wait; one more is refused (R11).
pub(crate) const MOST_WAITING: usize = 10_000;

/// Most that are taken at once.
const MOST_DUE: usize = 64;

/// One second purge, by what its agenda calls it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct EntryId(pub(crate) Vec<u8>);

/// What is due.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Due {
    pub(crate) purges: Vec<(EntryId, Purge)>,
    /// How long until there is more to do; none if nothing waits.
    pub(crate) next_in: Option<Duration>,
}

/// An agenda in this process.
#[derive(Debug, Default)]
pub(crate) struct MemoryAgenda(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    number: u64,
    purges: BTreeMap<(Instant, u64), Purge>,
}

impl Waiting {
    fn key_of(&self, entry: &EntryId) -> Option<(Instant, u64)> {
        let number = u64::from_be_bytes(entry.0.as_slice().try_into().ok()?);
        self.purges
            .keys()
            .find(|(_, other)| *other == number)
            .copied()
    }

    fn due(&mut self) -> Due {
        let now = Instant::now();
        let due: Vec<_> = self.purges.keys().take(MOST_DUE).copied().collect();
        let mut purges = Vec::new();
        for key in due.into_iter().take_while(|(at, _)| *at <= now) {
            if let Some(purge) = self.purges.remove(&key) {
                self.purges.insert((now + CLAIM, key.1), purge.clone());
                purges.push((EntryId(key.1.to_be_bytes().to_vec()), purge));
            }
        }
        let next = self.purges.keys().next();
        Due {
            purges,
            next_in: next.map(|(at, _)| at.saturating_duration_since(now)),
        }
    }
}

impl Agenda for MemoryAgenda {
    fn add<'a>(
        &'a self,
        purge: &'a Purge,
        after: Milliseconds,
    ) -> BoxFuture<'a, Result<EntryId, AgendaError>> {
        Box::pin(async move {
            let mut waiting = self.0.lock();
            if waiting.purges.len() >= MOST_WAITING {
                return Err(AgendaError::Full { most: MOST_WAITING });
            }
            let number = waiting.number;
            waiting.number += 1;
            let at = Instant::now() + Duration::from_millis(after.as_u64());
            waiting.purges.insert((at, number), purge.clone());
            Ok(EntryId(number.to_be_bytes().to_vec()))
        })
    }

    fn due(&self) -> BoxFuture<'_, Result<Due, AgendaError>> {
        Box::pin(async move { Ok(self.0.lock().due()) })
    }

    fn strike<'a>(&'a self, entry: &'a EntryId) -> BoxFuture<'a, Result<(), AgendaError>> {
        Box::pin(async move {
            let mut waiting = self.0.lock();
            if let Some(key) = waiting.key_of(entry) {
                waiting.purges.remove(&key);
            }
            Ok(())
        })
    }

    fn remark(&self) -> Option<&'static str> {
        Some("the second purge waits in this process, and is lost if that ends")
    }
}

/// Carries out what is due, as long as it runs.
pub(super) async fn keep(agenda: Arc<dyn Agenda>, carrier: Arc<Carrier>, nudge: Arc<Notify>) {
    /// Longest time between two looks: another process may have died with something to do.
    const LOOK: Duration = Duration::from_secs(5);
    let mut backoff = Backoff::new(Duration::from_millis(100), LOOK);
    loop {
        let pause = match agenda.due().await {
            Ok(due) if due.purges.is_empty() => {
                backoff.reset();
                let longest = LOOK.mul_f64(0.8 + 0.2 * fastrand::f64());
                due.next_in.map_or(longest, |next| next.min(longest))
            }
            Ok(due) => match carry_out(&*agenda, &carrier, due).await {
                Ok(()) => continue, // there may be more
                Err(()) => backoff.next_pause(),
            },
            Err(_) => backoff.next_pause(),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = nudge.notified() => {}
        }
    }
}

/// Carries out what is due, in the order in which it was; an error means that some of it is due again later.
async fn carry_out(agenda: &dyn Agenda, carrier: &Carrier, due: Due) -> Result<(), ()> {
    for (entry, purge) in due.purges {
        carrier.purge_again(purge).await.map_err(drop)?;
        // Not struck off, it is carried out once more, which does no harm.
        agenda.strike(&entry).await.map_err(drop)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
