//! Who writes and purges, and what each receipt binds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use e2e::PURGE_TOKEN;
use terrace_shared::purge::PurgeMode;
use terrace_shared::purge::wire::{PURGE_PATH, PurgeRequest, Receipt};

use super::{Asked, Pending, Run, Taken};
use crate::checker::{Demand, Reach, bindings, is_pending_at_edge, longest_bound};
use crate::http::Reply;
use crate::names::{Key, Naming, Realm};
use crate::source::Speed;

impl Run {
    pub(super) async fn keep_writing(self: Arc<Self>, mut random: fastrand::Rng) {
        loop {
            let (key, realm) = self.choose(&mut random);
            let naming = Naming::random(realm, &mut random);
            let mode = if random.u32(0..100) < 85 {
                PurgeMode::Hard
            } else {
                PurgeMode::Soft
            };
            let asked = Asked { key, naming, mode };
            let process = random.usize(0..self.world.origins.len());
            let (twice, slowly) = (random.bool(), random.bool());
            if twice && slowly {
                self.world.source.set_speed(key, Speed::Slow);
            }
            let mut taken = self.write_and_purge(&asked, process, &mut random).await;
            if twice {
                // The first purge has emptied the caches. What is filled now is overtaken by a second one.
                let mut spots = self.some_spots(key, 3, &mut random);
                spots.extend(self.spots_in(process, key));
                for spot in spots {
                    tokio::spawn(self.clone().read_once(key, spot, None));
                }
                tokio::time::sleep(Duration::from_millis(random.u64(0..30))).await;
                taken = self.write_and_purge(&asked, process, &mut random).await;
            }
            self.world.source.set_speed(key, Speed::Usual);
            if let Some(taken) = taken {
                self.follow(&asked, &taken, &mut random);
            }
            tokio::time::sleep(Duration::from_millis(random.u64(0..60))).await;
        }
    }

    /// A key to be written: a calm one only if it has been left alone for long enough.
    fn choose(&self, random: &mut fastrand::Rng) -> (Key, Realm) {
        let realm = match random.u32(0..100) {
            0..40 => Realm::Busy,
            40..80 => Realm::Calm,
            _ => Realm::EdgeOnly,
        };
        for _ in 0..30 {
            let key = Key::random(realm, random);
            let written = self.written[key.index()].load(Ordering::Relaxed);
            let idle = self.now().saturating_sub(Duration::from_millis(written));
            if realm != Realm::Calm || written == 0 || idle > Self::CALM {
                return (key, realm);
            }
        }
        (Key::random(Realm::Busy, random), Realm::Busy)
    }

    /// Writes and purges, through `process` or else another one, until somebody has taken the purge.
    async fn write_and_purge(
        &self,
        asked: &Asked,
        mut process: usize,
        random: &mut fastrand::Rng,
    ) -> Option<Taken> {
        const ATTEMPTS: usize = 20;
        let Asked { key, naming, mode } = *asked;
        self.world.source.write(key);
        let reached = key.reached(naming);
        let now = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        for other in &reached {
            self.written[other.index()].store(now, Ordering::Relaxed);
        }
        let reached: Vec<_> = reached
            .into_iter()
            .map(|key| (key, self.world.source.version(key)))
            .collect();
        for _ in 0..ATTEMPTS {
            if let Some(taken) = self.purge(asked, &reached, process, random).await {
                self.report.count("purges", naming.as_str());
                let mode = match mode {
                    PurgeMode::Hard => "hard",
                    PurgeMode::Soft => "soft",
                };
                self.report.count("purges", mode);
                return Some(taken);
            }
            self.report.count("purges", "attempts that failed");
            process = random.usize(0..self.world.origins.len());
            tokio::time::sleep(Duration::from_millis(random.u64(20..200))).await;
        }
        None
    }

    async fn purge(
        &self,
        asked: &Asked,
        reached: &[(Key, u64)],
        process: usize,
        random: &mut fastrand::Rng,
    ) -> Option<Taken> {
        let Asked { key, naming, mode } = *asked;
        let request = key.purge(naming, mode);
        let direct = key.realm() == Realm::EdgeOnly;
        let by = (!direct).then_some(process);
        let losses = self.losses.load(Ordering::SeqCst);
        let asked_at = self.now();
        let reply = match by {
            Some(process) => self.purge_through(process, &request).await,
            None => {
                let isolates = self.isolates();
                let isolate = isolates[random.usize(..isolates.len())];
                self.purge_at(isolate.address, &request).await
            }
        }?;
        let at = self.now();
        let receipt: Receipt = serde_json::from_slice(&reply.body).ok()?;
        let version = reached
            .iter()
            .find_map(|(other, version)| (*other == key).then_some(*version))?;
        let bindings = bindings(&receipt, by, at);
        for (reach, from) in &bindings {
            self.bind(reached, mode, *reach, *from);
        }
        if by.is_some() && is_pending_at_edge(&receipt) {
            self.report.count("purges", "pending at the edge");
            self.pending.lock().push(Pending {
                epoch: receipt.epoch,
                losses,
                bound: Duration::from_millis(longest_bound(&receipt)),
                mode,
                reached: reached.to_vec(),
            });
        }
        self.remember(reached, || {
            format!(
                "{mode:?} purge by {naming:?} through {by:?} asked at {} ms, receipt at {} ms: {} binds {bindings:?}",
                asked_at.as_millis(),
                at.as_millis(),
                receipt.epoch,
            )
        });
        Some(Taken {
            receipt,
            by,
            at,
            version,
        })
    }

    async fn purge_through(&self, process: usize, request: &PurgeRequest) -> Option<Reply> {
        let address = self.world.origins[process].address;
        let fields = [("content-type", "application/json")];
        let body = serde_json::to_vec(request).unwrap();
        let reply = self.post(address, "/torture/purge", &fields, body).await;
        reply.filter(|reply| reply.status == 200)
    }

    async fn purge_at(&self, isolate: SocketAddr, request: &PurgeRequest) -> Option<Reply> {
        let bearer = format!("Bearer {PURGE_TOKEN}");
        let body = serde_json::to_vec(request).unwrap();
        let fields = [("authorization", &*bearer)];
        let reply = self.post(isolate, PURGE_PATH, &fields, body).await;
        reply.filter(|reply| reply.status == 200)
    }

    pub(super) fn bind(
        &self,
        reached: &[(Key, u64)],
        mode: PurgeMode,
        reach: Reach,
        from: Duration,
    ) {
        for (key, version) in reached {
            let demand = Demand {
                version: *version,
                mode,
                reach,
                from,
            };
            self.checker.demand(*key, demand);
        }
    }

    pub(super) fn remember(&self, reached: &[(Key, u64)], text: impl Fn() -> String) {
        const MOST: usize = 6;
        let mut history = self.history.lock();
        for (key, version) in reached {
            let events = history.entry(key.index()).or_default();
            if events.len() == MOST {
                events.pop_front();
            }
            events.push_back(format!("version {version}: {}", text()));
        }
    }
}
