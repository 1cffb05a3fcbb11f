//! A part of the ledger's history, as it comes to a replica that asks.

use terrace_shared::purge::{Epoch, Incarnation, Ledger, LedgerLimits, Record, Sequence, Update};

use super::tail::{Chain, Tail};

/// Records in their order, and what they follow.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) incarnation: Incarnation,
    pub(super) basis: Basis,
    /// The number that the records follow.
    pub(super) base: Sequence,
    /// The last of them, or `base`.
    pub(super) last: Sequence,
    /// The chain there.
    pub(super) chain: Chain,
    /// One that the ledger does not have any more is none.
    pub(super) records: Vec<Option<Vec<u8>>>,
    /// Where the ledger stands; past `last` if there is more to ask for.
    pub(super) head: Sequence,
    pub(super) snapshot: SnapshotWanted,
}

/// What a page's records follow.
#[derive(Debug)]
pub(super) enum Basis {
    /// The replica's own head.
    Tail,
    /// The snapshot with these bytes.
    Snapshot(Vec<u8>),
    /// Records that nobody knows any more.
    Nothing,
}

/// Whether the ledger wants a snapshot from this replica.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SnapshotWanted {
    /// It does.
    Yes,
    /// It does not, or has asked another one.
    No,
}

impl Page {
    /// Whether its records follow on from a replica that ends with `asked`.
    pub(super) fn follows(&self, asked: &Tail) -> bool {
        matches!(self.basis, Basis::Tail)
            && asked.incarnation == self.incarnation
            && asked.head == self.base
    }

    /// The ledger that its basis and its records make; none if they do not fit.
    pub(super) fn into_ledger(self, records: &[Record], limits: LedgerLimits) -> Option<Ledger> {
        let base = Epoch {
            incarnation: self.incarnation,
            sequence: self.base,
        };
        let mut ledger = match self.basis {
            Basis::Snapshot(bytes) => match Update::decode(&bytes, limits) {
                Ok(Update::Snapshot(ledger)) if ledger.epoch() == base => ledger,
                Ok(Update::Snapshot(_) | Update::Delta { .. }) | Err(_) => return None,
            },
            Basis::Tail | Basis::Nothing => {
                Ledger::starting_at(self.incarnation, self.base, limits)
            }
        };
        for record in records {
            ledger.apply(record).ok()?;
        }
        Some(ledger)
    }
}
