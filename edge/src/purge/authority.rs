//! The ledger's authority: gives purges their places, keeps them, and tells replicas.
//!
//! Pure but for its [`LedgerStorage`]: the Durable Object hands in `SQLite`, tests hand in a map.

use terrace_shared::purge::refresh::Telling;
use terrace_shared::purge::{
    Epoch, Incarnation, Ledger, LedgerLimits, Purge, Record, Sequence, Update,
};
use terrace_shared::time::Timestamp;

/// Where an authority keeps its ledger. Every call is done before it returns, or has failed.
pub trait LedgerStorage {
    /// What can go wrong in it.
    type Error;

    /// The newest snapshot, as [`Update::encode`] wrote it.
    ///
    /// # Errors
    /// When the storage fails.
    fn snapshot(&self) -> Result<Option<Vec<u8>>, Self::Error>;

    /// The purges after `after`, oldest first, as [`Purge::encode`] wrote them.
    ///
    /// # Errors
    /// When the storage fails.
    fn records(&self, after: Sequence) -> Result<Vec<(Sequence, Vec<u8>)>, Self::Error>;

    /// Keeps one purge.
    ///
    /// # Errors
    /// When the storage fails, or already has a purge in that place.
    fn insert(&mut self, sequence: Sequence, purge: &[u8]) -> Result<(), Self::Error>;

    /// Replaces the snapshot and forgets the records up to `forget`, both or neither.
    ///
    /// # Errors
    /// When the storage fails.
    fn replace(&mut self, snapshot: &[u8], forget: Sequence) -> Result<(), Self::Error>;
}

/// The one place where purges of an edge get their order.
pub struct Authority<S> {
    storage: S,
    limits: LedgerLimits,
    ledger: Ledger,
    /// The last record that the storage no longer has.
    forgotten: Sequence,
    /// The whole ledger as bytes, and where it stood then.
    encoded: Option<(Epoch, Vec<u8>)>,
}

impl<S: LedgerStorage> Authority<S> {
    /// Records kept one by one for replicas that are behind; older ones live on in the snapshot.
    const KEPT: u64 = 10_000;

    /// Records beyond [`Self::KEPT`] after which they are trimmed: a snapshot is not written for every purge.
    const SLACK: u64 = 1_000;

    /// The authority over what `storage` holds.
    ///
    /// Begins a new history, named by `random` bits, when the storage is empty, or when what it holds
    /// cannot be read: then nothing that was filled before is believed (R6).
    ///
    /// # Errors
    /// When the storage fails.
    pub fn open(
        mut storage: S,
        limits: LedgerLimits,
        random: impl FnOnce() -> u64,
    ) -> Result<Self, S::Error> {
        let (ledger, forgotten) = match read(&storage, limits)? {
            Some(found) => found,
            None => (begin(&mut storage, limits, random())?, Sequence::ZERO),
        };
        Ok(Self {
            storage,
            limits,
            ledger,
            forgotten,
            encoded: None,
        })
    }

    /// Gives `purge` the next place and keeps it there.
    ///
    /// # Errors
    /// When the storage fails; the purge then has no place, and must be asked for again.
    pub fn append(&mut self, purge: Purge, now: Timestamp) -> Result<Epoch, S::Error> {
        let sequence = self.ledger.epoch().sequence.next();
        self.storage.insert(sequence, &purge.encode())?;
        self.ledger.append(purge);
        if sequence.as_u64() - self.forgotten.as_u64() > Self::KEPT + Self::SLACK {
            self.trim(now)?;
        }
        Ok(self.ledger.epoch())
    }

    /// What [`Self::updates`] says, as bytes; the whole ledger is encoded once while nothing is purged.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn answer(
        &mut self,
        since: Option<Epoch>,
        random: impl FnOnce() -> u64,
    ) -> Result<Vec<u8>, S::Error> {
        let here = self.epoch();
        let is_new = since.is_none_or(|since| since.incarnation != here.incarnation);
        match &self.encoded {
            Some((at, bytes)) if is_new && *at == here => return Ok(bytes.clone()),
            Some(_) | None => {}
        }
        let update = self.updates(since, random)?;
        let bytes = update.encode();
        if let Update::Snapshot(ledger) = update {
            self.encoded = Some((ledger.epoch(), bytes.clone()));
        }
        Ok(bytes)
    }

    /// What brings a replica that stands at `since` up to here.
    ///
    /// A replica that stands further than this authority has seen a part of the history which is lost
    /// here: a new one, named by `random` bits, begins (R6).
    ///
    /// # Errors
    /// When the storage fails.
    pub fn updates(
        &mut self,
        since: Option<Epoch>,
        random: impl FnOnce() -> u64,
    ) -> Result<Update, S::Error> {
        let here = self.ledger.epoch();
        let Some(since) = since.filter(|since| since.incarnation == here.incarnation) else {
            return Ok(Update::Snapshot(self.ledger.clone()));
        };
        if since.sequence > here.sequence {
            self.ledger = begin(&mut self.storage, self.limits, random())?;
            self.forgotten = Sequence::ZERO;
            return Ok(Update::Snapshot(self.ledger.clone()));
        }
        let missing = here.sequence.as_u64() - since.sequence.as_u64();
        if since.sequence < self.forgotten {
            return Ok(Update::Snapshot(self.ledger.clone()));
        }
        let kept = if missing > 0 {
            self.storage.records(since.sequence)?
        } else {
            Vec::new()
        };
        let length: usize = kept.iter().map(|(_, bytes)| bytes.len()).sum();
        if Telling::of(missing, length, self.ledger.mark_count()) == Telling::Whole {
            return Ok(Update::Snapshot(self.ledger.clone()));
        }
        let mut records = Vec::with_capacity(kept.len());
        for (sequence, bytes) in kept {
            let Ok(purge) = Purge::decode(&bytes) else {
                return Ok(Update::Snapshot(self.ledger.clone()));
            };
            records.push(Record { sequence, purge });
        }
        Ok(Update::Delta {
            incarnation: here.incarnation,
            head: here.sequence,
            records,
        })
    }

    /// Where the ledger stands.
    pub fn epoch(&self) -> Epoch {
        self.ledger.epoch()
    }

    /// Where it keeps its ledger, and others keep theirs.
    pub(super) fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    fn trim(&mut self, now: Timestamp) -> Result<(), S::Error> {
        self.ledger.compact(now);
        let head = self.ledger.epoch().sequence.as_u64();
        let forget = Sequence::new(head.saturating_sub(Self::KEPT));
        let snapshot = Update::Snapshot(self.ledger.clone()).encode();
        self.storage.replace(&snapshot, forget)?;
        self.forgotten = forget;
        Ok(())
    }
}

/// The ledger in `storage`, and the last record it no longer has; none when there is none that can be believed.
fn read<S: LedgerStorage>(
    storage: &S,
    limits: LedgerLimits,
) -> Result<Option<(Ledger, Sequence)>, S::Error> {
    let Some(bytes) = storage.snapshot()? else {
        return Ok(None);
    };
    let Ok(Update::Snapshot(mut ledger)) = Update::decode(&bytes, limits) else {
        return Ok(None);
    };
    let mut forgotten = ledger.epoch().sequence;
    let mut expected = None;
    for (sequence, bytes) in storage.records(Sequence::ZERO)? {
        if *expected.get_or_insert(sequence) != sequence {
            return Ok(None); // one in between is lost
        }
        expected = Some(sequence.next());
        forgotten = forgotten.min(Sequence::new(sequence.as_u64().saturating_sub(1)));
        let Ok(purge) = Purge::decode(&bytes) else {
            return Ok(None);
        };
        if ledger.apply(&Record { sequence, purge }).is_err() {
            return Ok(None);
        }
    }
    Ok(Some((ledger, forgotten)))
}

/// Begins a new history in `storage`, over whatever it holds.
fn begin<S: LedgerStorage>(
    storage: &mut S,
    limits: LedgerLimits,
    random: u64,
) -> Result<Ledger, S::Error> {
    let ledger = Ledger::new(Incarnation::from_random(random), limits);
    let snapshot = Update::Snapshot(ledger.clone()).encode();
    storage.replace(&snapshot, Sequence::new(u64::MAX))?;
    Ok(ledger)
}

#[cfg(test)]
mod tests;
