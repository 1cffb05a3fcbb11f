//! What is stored of a fill, and as what.

use std::sync::Arc;

use bytes::Bytes;
use terrace_shared::http::{Combined, Extent, Piece, Source, StoredResponse, combine};
use terrace_shared::purge::Verdict;

use super::act::validated;
use super::asked::Origin;
use super::filler::{Answer, Asked, Filler};
use super::growing::Growing;
use super::pump::{self, Ended};
use super::respond::cut;
use super::store::{Entry, Kept};
use super::visit::Visit;

impl<O: Origin> Filler<O> {
    /// A response that is going to be stored; none if it is known to be too large.
    pub(super) fn growing(&self, head: StoredResponse) -> Option<Arc<Growing>> {
        let expected = length_of(&head);
        let largest = self.visit.site.config.largest_body.as_u64();
        (expected.unwrap_or_default() <= largest)
            .then(|| Growing::new(head, self.began.epoch, expected))
    }

    /// Waits for the bytes that the stored part lacked, and answers from both together.
    pub(super) async fn complete(
        &self,
        answer: Answer<O::Body>,
        combined: Combined,
        entry: &Arc<Entry>,
    ) -> Asked<O> {
        let site = &self.visit.site;
        let largest = site.config.largest_body.as_u64();
        if length_of(&combined.head).is_none_or(|length| length > largest) {
            return Asked::Again;
        }
        let Some(growing) = self.growing(*combined.newer) else {
            return Asked::Again;
        };
        let Ended::Kept {
            received,
            last,
            end,
            error,
        } = pump::read(answer.body, &growing, site, |_| {}).await
        else {
            return Asked::Again;
        };
        let body = growing.collected(last.as_ref());
        if error.is_some() {
            return Asked::Again;
        }
        let newer = growing.head.clone().after_body(received, end);
        let Some(combined) = newer.ok().and_then(|newer| combine(&entry.head, &newer)) else {
            return Asked::Again;
        };
        let entry = Arc::new(assemble(combined, &entry.body, &body));
        self.keep(&entry);
        validated(entry, answer.head.status, Ok(()))
    }

    /// Stores what is complete, if no purge has overtaken it.
    pub(super) fn keep(&self, entry: &Arc<Entry>) {
        put(&self.visit, entry);
    }

    /// Forgets what must not be stored any longer.
    pub(super) fn forget(&self, entry: &Entry) {
        let visit = &*self.visit;
        visit
            .site
            .memory
            .remove(&visit.intake.key, entry.head.vary());
        if let Some(shared) = &visit.site.shared {
            shared.remove(&visit.intake.key, entry);
        }
    }
}

/// Stores what is complete, if no purge has overtaken it.
pub(super) fn put(visit: &Visit, entry: &Arc<Entry>) {
    let counters = visit.site.counters();
    if visit.verdict_on(&entry.head) != Verdict::Untouched {
        counters.counts.outrun_fills_total.add_one();
        return;
    }
    let key = visit.site.key_of(visit, &entry.head);
    let now = visit.clock().timestamp();
    let judge = |entry: &Arc<Entry>| visit.ledgers_verdict(entry);
    match visit.site.memory.put(&key, entry, judge, now) {
        Kept::Yes => {}
        Kept::No => return,
    }
    counters.counts.stored_total.add_one();
    let length = entry.body.len() as u64;
    counters.counts.stored_bytes_total.add(length);
    if let Some(shared) = &visit.site.shared
        && length <= visit.site.config.largest_shared_body.as_u64()
    {
        shared.put(&key, entry, now);
    }
}

/// The stored bytes and the newer ones as one body.
pub(super) fn assemble(combined: Combined, stored: &Bytes, newer: &Bytes) -> Entry {
    let mut body = Vec::with_capacity(stored.len() + newer.len());
    for Piece { source, bytes } in &combined.pieces {
        let source = match source {
            Source::Stored => stored,
            Source::Newer => newer,
        };
        body.extend_from_slice(&cut(source, *bytes));
    }
    Entry::new(*combined.head, body.into())
}

/// How long the body of a response is, if its head says so.
pub(super) fn length_of(head: &StoredResponse) -> Option<u64> {
    match head.extent() {
        Extent::Complete { length } => length,
        Extent::Partial { range, .. } => Some(range.length()),
    }
}
