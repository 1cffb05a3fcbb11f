//! What is written down while the simulation goes on, and what must hold in it.

use std::collections::VecDeque;

use hdrhistogram::Histogram;
use terrace_shared::key::SurrogateKey;
use terrace_shared::purge::{EntryScopes, Fence, LedgerLimits, Replica, Scope, Update, Verdict};
use terrace_shared::time::{ByteCount, Milliseconds, TimestampMillis};

use super::Simulation;
use crate::clock::{Moment, Span};
use crate::data_centre::Shared;
use crate::figures::{Checks, Figures, ObjectFigures, Quantiles, histogram};
use crate::history::{History, News};
use crate::isolate::Isolate;
use crate::network::Dice;
use crate::scenario::{Incident, Scenario};

/// The books of one simulation.
pub(super) struct Measures {
    from: Moment,
    bound: Span,
    /// Purges after which isolates are asked when they saw them: each one of so many.
    every: u64,
    /// Purges after this are too young to have been seen by all when it ends.
    last_probe: Moment,
    visible: Histogram<u64>,
    receipt: Histogram<u64>,
    waits: Histogram<u64>,
    lagged: f64,
    refreshes: u64,
    shared: u64,
    records_applied: u64,
    snapshot_bytes_applied: u64,
    bytes_copied: u64,
    snapshots_left: u64,
    /// Calls that wait for their receipt.
    calls: VecDeque<(u64, Moment)>,
    /// When a request was last answered beyond the bound, or after more than a second.
    troubled_at: Option<Moment>,
    checks: Checks,
}

impl Measures {
    /// Purges a second that are looked for in all isolates.
    const PROBES: u64 = 5;

    pub(super) fn new(scenario: &Scenario) -> Self {
        let from = Moment::BEGIN.after(Simulation::WARM_UP);
        let until = from.after(scenario.measured);
        let bound = Span::from(scenario.bounds.bound);
        let purges = scenario.purges;
        let calls = u64::from(purges.per_second / purges.in_a_call.max(1));
        Self {
            from,
            bound,
            every: (calls / Self::PROBES).max(1),
            last_probe: until.before(bound).before(Span::seconds(1)),
            visible: histogram(),
            receipt: histogram(),
            waits: histogram(),
            lagged: 0.0,
            refreshes: 0,
            shared: 0,
            records_applied: 0,
            snapshot_bytes_applied: 0,
            bytes_copied: 0,
            snapshots_left: 0,
            calls: VecDeque::new(),
            troubled_at: None,
            checks: Checks::default(),
        }
    }

    pub(super) fn note_wait(&mut self, now: Moment, came: Moment) {
        if came >= self.from {
            let wait = now.since(came);
            self.waits.saturating_record(wait.as_micros());
            if wait > Span::seconds(1) {
                self.troubled_at = Some(now);
            }
        }
    }

    /// An isolate with so many requests a second answered them without a view within the bound since then.
    pub(super) fn note_lagged(&mut self, now: Moment, since: Moment, rate: f64) {
        self.lagged += now.since(since.max(self.from)).as_seconds() * rate;
    }

    /// A request was answered beyond the bound, as nobody answered its isolate.
    pub(super) fn note_trouble(&mut self, now: Moment) {
        self.troubled_at = Some(now);
    }

    /// An isolate takes over what others left, so many bytes of which are answers.
    pub(super) fn note_shared(&mut self, now: Moment, copied: usize) {
        if now >= self.from {
            self.shared += 1;
            self.bytes_copied += copied as u64;
        }
    }

    /// An isolate encodes the whole ledger for others.
    pub(super) fn note_encoded(&mut self, now: Moment, length: ByteCount) {
        if now >= self.from {
            self.snapshots_left += 1;
            self.snapshot_bytes_applied += length.as_u64();
        }
    }

    pub(super) fn note_receipt(&mut self, now: Moment, arrived: Moment) {
        if arrived >= self.from {
            let wait = now.since(arrived);
            self.receipt.saturating_record(wait.as_micros());
        }
    }

    /// A call whose receipt waits for replicas.
    pub(super) fn note_call(&mut self, sequence: u64, arrived: Moment) {
        self.calls.push_back((sequence, arrived));
    }

    pub(super) fn note_receipts_up_to(&mut self, known: u64, now: Moment) {
        while let Some((sequence, arrived)) = self.calls.front().copied() {
            if sequence > known {
                break;
            }
            self.calls.pop_front();
            self.note_receipt(now, arrived);
        }
    }

    /// Notes what an isolate that stood at `here` took over.
    pub(super) fn note_taken(
        &mut self,
        now: Moment,
        history: &History,
        shared: &Shared,
        here: Option<u64>,
    ) {
        if now < self.from {
            return;
        }
        self.refreshes += 1;
        match shared.news {
            News::Delta { .. } => {
                let records = shared.head.saturating_sub(here.unwrap_or(shared.head));
                self.records_applied += records;
            }
            News::Snapshot(_) => self.snapshot_bytes_applied += history.whole_bytes().as_u64(),
        }
    }

    /// The last answer that `isolate` gave by its present view, which ends at `now`; none without a view.
    ///
    /// Requests come at no set times, so looking back from any moment the last one lies as far off as looking
    /// forward the next one does.
    pub(super) fn last_answer(
        isolate: &Isolate,
        bound: Milliseconds,
        now: Moment,
        dice: &mut Dice,
    ) -> Option<Moment> {
        let confirmed_at = isolate.confirmed_at()?;
        let due = Moment::of(confirmed_at.saturating_add(isolate.bounds.refresh_after));
        let beyond = Moment::of(confirmed_at.saturating_add(bound));
        let answered_when_due = isolate.answered_at.is_some_and(|at| at >= due);
        let ends = if answered_when_due { beyond } else { due };
        let last = now.min(ends).before(dice.wait(isolate.rate));
        Some(isolate.answered_at.map_or(last, |at| at.max(last)))
    }

    /// Notes that an isolate learnt of the purges after `before` up to `here`, having answered without them until then.
    pub(super) fn note_seen(
        &mut self,
        history: &History,
        before: u64,
        here: u64,
        last_answer: Moment,
    ) {
        let first = (before / self.every + 1) * self.every;
        for sequence in (first..=here).step_by(self.every as usize) {
            let Some(taken_at) = history.taken_at(sequence) else {
                continue;
            };
            if taken_at < self.from || taken_at > self.last_probe {
                continue;
            }
            self.checks.sightings += 1;
            if last_answer <= taken_at {
                continue;
            }
            let delay = last_answer.since(taken_at);
            self.visible.saturating_record(delay.as_micros());
            let promised = history.promised_at(sequence);
            let late =
                promised.is_some_and(|at| last_answer.since(at) > self.bound.plus(Span::millis(1)));
            self.checks.late += u64::from(late);
        }
    }

    /// Sees that a view knows every purge whose receipt was given before the moment it counts as confirmed at (R7).
    pub(super) fn check_view(&mut self, isolate: &Isolate, history: &History, now: Moment) {
        if now < self.from {
            return;
        }
        let (Some(here), Some(confirmed_at)) = (isolate.position(), isolate.confirmed_at()) else {
            return;
        };
        let unknown = history.promised_at(here + 1);
        let hidden = unknown.is_some_and(|given| given.timestamp() < confirmed_at);
        self.checks.hidden += u64::from(hidden);
    }

    /// Lets a witness read what travels, and asks it what the model believes.
    pub(super) fn show(
        &mut self,
        witness: &mut Replica,
        history: &History,
        news: &News,
        head: u64,
        confirmed_at: TimestampMillis,
    ) {
        let here = witness.epoch().map(|epoch| epoch.sequence.as_u64());
        if here.is_some_and(|here| head <= here) {
            return witness.confirm(confirmed_at);
        }
        let bytes = match news {
            News::Delta { since } => {
                history.delta(here.map_or(*since, |here| here.max(*since)), head)
            }
            News::Snapshot(Some(bytes)) => bytes.to_vec(),
            News::Snapshot(None) => history.snapshot().to_vec(),
        };
        let taken = Update::decode(&bytes, LedgerLimits::default())
            .ok()
            .is_some_and(|update| witness.update(update, confirmed_at).is_ok());
        self.checks.witnessed += 1;
        let agrees = taken && agrees(witness, history, head);
        self.checks.disagreed += u64::from(!agrees);
    }
}

/// Whether a replica that has seen the purge at `head` drops what was filled before it, and only that.
fn agrees(witness: &Replica, history: &History, head: u64) -> bool {
    if witness.epoch() != Some(history.epoch(head)) {
        // What was put together from a replica's whole ledger may reach further than the replica.
        return witness
            .epoch()
            .is_some_and(|epoch| epoch.sequence.as_u64() > head);
    }
    let Some(purge) = history.purge(head) else {
        return true;
    };
    let keys: Vec<&SurrogateKey> = purge
        .scopes
        .iter()
        .filter_map(|scope| match scope {
            Scope::SurrogateKey(key) => Some(key),
            _ => None,
        })
        .collect();
    let entry = EntryScopes::of_url("shop.example", "/", keys);
    let judged = |sequence| witness.verdict(&Fence::at(history.epoch(sequence)), &entry);
    judged(head - 1) == Verdict::Dropped && judged(head) == Verdict::Untouched
}

impl Simulation<'_> {
    pub(super) fn finish(mut self) -> Figures {
        let length = self.scenario.measured;
        let seconds = length.as_seconds();
        let visitors: f64 = self.isolates.iter().map(|isolate| isolate.rate).sum();
        for isolate in &mut self.isolates {
            for came in std::mem::take(&mut isolate.waiting) {
                self.measures.note_wait(self.until, came);
            }
            if let Some(since) = isolate.end_failing() {
                self.measures.note_lagged(self.until, since, isolate.rate);
            }
        }
        let (authority, replicas) = self.objects.split_at(1);
        let usages = |objects: &'_ [crate::object::Object]| {
            ObjectFigures::of(objects.iter().map(crate::object::Object::usage), length)
        };
        let replicas = (!replicas.is_empty()).then(|| usages(replicas));
        let authority = usages(authority);
        let measures = &self.measures;
        let rate = |count: u64| count as f64 / seconds;
        Figures {
            visible: Quantiles::of(&measures.visible),
            receipt: Quantiles::of(&measures.receipt),
            authority,
            replicas,
            waited_percent: 100.0 * rate(measures.waits.len()) / visitors,
            waits: Quantiles::of(&measures.waits),
            lagged_percent: 100.0 * measures.lagged / seconds / visitors,
            refreshes_per_second: rate(measures.refreshes),
            records_applied_per_second: rate(measures.records_applied),
            snapshot_bytes_applied_per_second: rate(measures.snapshot_bytes_applied),
            bytes_copied_per_second: rate(measures.bytes_copied),
            snapshots_left_per_second: rate(measures.snapshots_left),
            shared_percent: 100.0 * measures.shared as f64 / measures.refreshes.max(1) as f64,
            recovery_seconds: self.recovery(),
            checks: measures.checks,
        }
    }

    fn recovery(&self) -> Option<f64> {
        match self.scenario.incident {
            Incident::None | Incident::Deployment | Incident::ColdStart => None,
            Incident::Outage { length, .. } => {
                let woke = self.from.after(Self::INCIDENT).after(length);
                let troubled = self.measures.troubled_at?;
                Some(troubled.since(woke).as_seconds())
            }
        }
    }
}
