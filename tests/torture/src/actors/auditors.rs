//! Who looks, after a purge, at what it must have reached.

use std::sync::Arc;
use std::time::Duration;

use terrace_shared::purge::PurgeMode;

use super::{Asked, Run, Spot, Taken};
use crate::checker::{is_pending_at_edge, longest_bound};
use crate::http::Caller;
use crate::names::{Key, Realm};
use crate::report::{Seen, Way};

impl Run {
    /// Reads what was purged: now and then until it is seen, with the token at once, and after the bound everywhere.
    pub(super) fn follow(
        self: &Arc<Self>,
        asked: &Asked,
        taken: &Taken,
        random: &mut fastrand::Rng,
    ) {
        let Asked { key, mode, .. } = *asked;
        if let (Some(token), PurgeMode::Hard) = (&taken.receipt.token, mode) {
            for spot in self.some_spots(key, 3, random) {
                let token = (token.clone(), taken.version);
                tokio::spawn(self.clone().read_once(key, spot, Some(token)));
            }
        }
        // Those who read in the process that purged see it at once: nobody may join a fill from before it there.
        let mut spots = taken
            .by
            .map(|process| self.spots_in(process, key))
            .unwrap_or_default();
        // And a data centre that is filled now may come to a process that has not heard of it yet.
        let mut isolates = self.isolates();
        random.shuffle(&mut isolates);
        spots.extend(isolates.into_iter().take(2));
        for spot in spots {
            tokio::spawn(self.clone().read_once(key, spot, None));
        }
        if mode == PurgeMode::Hard && random.u32(0..6) == 0 {
            self.probe(key, taken, random);
        }
        if key.realm() != Realm::Busy {
            let audit_at = taken.at
                + Duration::from_millis(longest_bound(&taken.receipt) + random.u64(15..600));
            tokio::spawn(self.clone().audit(key, audit_at));
        }
    }

    async fn audit(self: Arc<Self>, key: Key, at: Duration) {
        tokio::time::sleep(at.saturating_sub(self.now())).await;
        for spot in self.spots(key) {
            tokio::spawn(self.clone().read_once(key, spot, None));
        }
    }

    /// Looks again and again until the purge is seen.
    fn probe(self: &Arc<Self>, key: Key, taken: &Taken, random: &mut fastrand::Rng) {
        let isolates = self.isolates();
        let isolate = isolates[random.usize(..isolates.len())];
        let mut probes = vec![(Seen::Edge, isolate)];
        if let Some(by) = taken.by {
            let other = (by + 1) % self.world.origins.len();
            probes = vec![
                (Seen::Here, self.spot(by, Way::Value)),
                (Seen::Elsewhere, self.spot(other, Way::Value)),
            ];
            if !is_pending_at_edge(&taken.receipt) {
                probes.push((Seen::Edge, isolate));
            }
        }
        for (seen, spot) in probes {
            let (run, at, version) = (self.clone(), taken.at, taken.version);
            tokio::spawn(async move {
                const LONGEST: Duration = Duration::from_secs(15);
                let mut caller = Caller::of(spot.address, Self::PATIENCE);
                loop {
                    let began = run.now();
                    let read = run.read(&mut caller, key, spot, None).await;
                    if read.is_some_and(|read| read >= version) {
                        return run.report.lag(seen, began.saturating_sub(at));
                    }
                    if began.saturating_sub(at) > LONGEST {
                        return run.report.count("purges", "not probed to the end");
                    }
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
            });
        }
    }

    /// Every place where the key is read.
    fn spots(&self, key: Key) -> Vec<Spot> {
        let processes = 0..self.world.origins.len();
        let in_processes = processes.flat_map(|process| self.spots_in(process, key));
        self.isolates().into_iter().chain(in_processes).collect()
    }

    /// The ways in which the key is read in this process.
    pub(super) fn spots_in(&self, process: usize, key: Key) -> Vec<Spot> {
        match key.realm() {
            Realm::Busy | Realm::Calm => [Way::Value, Way::Page]
                .map(|way| self.spot(process, way))
                .to_vec(),
            Realm::EdgeOnly => Vec::new(),
        }
    }

    pub(super) fn some_spots(
        &self,
        key: Key,
        count: usize,
        random: &mut fastrand::Rng,
    ) -> Vec<Spot> {
        let mut spots = self.spots(key);
        random.shuffle(&mut spots);
        spots.truncate(count);
        spots
    }

    pub(super) async fn read_once(
        self: Arc<Self>,
        key: Key,
        spot: Spot,
        token: Option<(String, u64)>,
    ) {
        let mut caller = self.caller(spot.address);
        let token = token.as_ref().map(|(token, version)| (&**token, *version));
        self.read(&mut caller, key, spot, token).await;
        self.give_back(spot.address, caller);
    }
}
