//! What is stored for a request, and what to do with it.

use std::sync::Arc;

use terrace_shared::http::{Decision, Held};
use terrace_shared::intake::{judge, judge_among};
use terrace_shared::outcome::ForwardReason;
use terrace_shared::purge::Verdict;
use terrace_shared::time::Timestamp;

use super::respond::Place;
use super::store::{Entry, Variants};
use super::visit::Visit;

/// The stored responses of a request's URL, and which one is meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) variants: Arc<Variants>,
    /// The one that was decided about; none if all are for other requests.
    pub(super) entry: Option<Arc<Entry>>,
    pub(super) place: Place,
}

/// What memory has for a request, and what to do with it: the ledger's verdict, and then HTTP's.
pub(super) fn look_up(visit: &Visit, now: Timestamp) -> (Decision, Found) {
    let variants = visit.site.memory.get(&visit.intake.key);
    judged(visit, variants.unwrap_or_default(), Place::Memory, now)
}

/// What is to be done with a request, when these responses are stored.
fn judged(
    visit: &Visit,
    variants: Arc<Variants>,
    place: Place,
    now: Timestamp,
) -> (Decision, Found) {
    let (decision, entry) = match variants.as_slice() {
        [entry] => match judge_one(visit, entry, now) {
            // It is for other requests, or not to be used: there may be more to say.
            Decision::Forward(ForwardReason::VaryMiss | ForwardReason::Miss) => {
                judge_all(visit, &variants, now)
            }
            decision => (decision, Some(entry.clone())),
        },
        _ => judge_all(visit, &variants, now),
    };
    let found = Found {
        variants,
        entry,
        place,
    };
    (decision, found)
}

/// What is to be done with the request of `visit`, if there were but `entry`.
pub(super) fn judge_one(visit: &Visit, entry: &Arc<Entry>, now: Timestamp) -> Decision {
    let standing = (visit.verdict(entry), visit.lag);
    let Visit { intake, .. } = visit;
    judge(
        &intake.facts,
        Some(&entry.head),
        standing,
        now,
        &intake.rules,
    )
}

fn judge_all(visit: &Visit, variants: &Variants, now: Timestamp) -> (Decision, Option<Arc<Entry>>) {
    let held = held(visit, variants.as_slice());
    let Visit { intake, lag, .. } = visit;
    let among = judge_among(&intake.facts, &held, *lag, now, &intake.rules);
    let entry = among.place.and_then(|place| variants.as_slice().get(place));
    (among.said, entry.cloned())
}

/// The stored responses with the ledger's verdicts at this moment.
pub(super) fn held<'a>(visit: &Visit, entries: &'a [Arc<Entry>]) -> Vec<Held<'a>> {
    let hold = |entry: &'a Arc<Entry>| Held {
        head: &entry.head,
        verdict: visit.verdict(entry),
    };
    entries.iter().map(hold).collect()
}

/// What Redis has besides, promoted into memory under the fence that it has.
pub(super) async fn look_in_shared(visit: &Visit, found: &Found) -> Option<(Decision, Found)> {
    let shared = visit.site.shared.as_ref()?;
    let entry = shared.get(&visit.intake.key, &visit.intake.facts).await?;
    let entry = Arc::new(entry);
    let filled_at = entry.filled_under().filled_at;
    let here = visit.site.engine().view().epoch()?;
    if filled_at.incarnation == here.incarnation && filled_at.sequence > here.sequence {
        // Either this view is behind, or the ledger has lost its tail: find out before it is believed.
        visit.site.engine().ledger.met_later(filled_at);
        return None;
    }
    let age = |entry: &Arc<Entry>| {
        let fence = entry.filled_under();
        (entry.head.exchange().received_at, fence.filled_at.sequence)
    };
    let is_known = found.variants.as_slice().iter().any(|own| {
        own.head.vary() == entry.head.vary()
            && age(own) >= age(&entry)
            && visit.verdict(own) != Verdict::Dropped
    });
    if is_known || visit.verdict(&entry) == Verdict::Dropped {
        return None;
    }
    let now = visit.clock().timestamp();
    let judge = |entry: &Arc<Entry>| visit.ledgers_verdict(entry);
    visit.site.memory.put(&visit.intake.key, &entry, judge, now);
    let merged: Variants = found.variants.with(&entry, judge, now)?;
    let (decision, mut found) = judged(visit, Arc::new(merged), Place::Memory, now);
    if found
        .entry
        .as_ref()
        .is_some_and(|found| Arc::ptr_eq(found, &entry))
    {
        found.place = Place::Redis;
    }
    Some((decision, found))
}

impl Found {
    /// What is found, if it may still be considered.
    pub(super) fn usable(&self, visit: &Visit) -> Option<(&Arc<Entry>, Verdict)> {
        let entry = self.entry.as_ref()?;
        let verdict = visit.verdict(entry);
        (verdict != Verdict::Dropped).then_some((entry, verdict))
    }
}
