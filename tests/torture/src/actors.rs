//! Who writes, purges, reads and looks after the purges that the edge has yet to take.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use e2e::PURGE_TOKEN;
use parking_lot::Mutex;
use terrace_shared::purge::wire::{AFTER_FIELD, PURGE_PATH, PurgeRequest, Receipt};
use terrace_shared::purge::{Epoch, PurgeMode};

use crate::checker::{
    Checker, Demand, Floor, Label, Place, Reach, bindings, is_pending_at_edge, longest_bound,
};
use crate::http::{Caller, NoReply, Reply, label_of};
use crate::names::{Key, Naming, Realm};
use crate::report::{Report, Seen, Violation, Way};
use crate::source::Speed;
use crate::world::World;

/// A run: the world, what is known of it, and what has been seen.
pub struct Run {
    /// What is tortured.
    pub world: World,
    /// What reads are held against.
    pub checker: Checker,
    /// What has been counted.
    pub report: Report,
    /// How long readers rest between two reads, on average half of it.
    pub pace: Duration,
    /// How often something was lost from Redis.
    pub losses: AtomicU64,
    began: Instant,
    /// When each key was written last.
    written: Vec<AtomicU64>,
    pending: Mutex<Vec<Pending>>,
    history: Mutex<HashMap<usize, VecDeque<String>>>,
    callers: Mutex<HashMap<SocketAddr, Vec<Caller>>>,
}

/// A purge that the edge had not taken when its receipt was written.
#[derive(Clone)]
struct Pending {
    epoch: Epoch,
    losses: u64,
    bound: Duration,
    mode: PurgeMode,
    reached: Vec<(Key, u64)>,
}

/// A purge as it is asked for.
struct Asked {
    key: Key,
    naming: Naming,
    mode: PurgeMode,
}

/// A purge that was taken.
struct Taken {
    receipt: Receipt,
    /// The process that took it; none for the edge itself.
    by: Option<usize>,
    at: Duration,
    version: u64,
}

/// Something that is read from one place.
#[derive(Clone, Copy, Debug)]
struct Spot {
    way: Way,
    place: Place,
    address: SocketAddr,
}

impl Run {
    /// Longest wait of a reader for an answer.
    const PATIENCE: Duration = Duration::from_secs(4);

    /// How long a calm key is left alone after a purge, until that has been audited.
    const CALM: Duration = Duration::from_secs(9);

    /// One that begins now.
    pub fn new(world: World, pace: Duration) -> Arc<Self> {
        let checker = Checker::new(world.origins.len());
        Arc::new(Self {
            world,
            checker,
            report: Report::default(),
            pace,
            losses: AtomicU64::new(0),
            began: Instant::now(),
            written: Key::all().map(|_| AtomicU64::new(0)).collect(),
            pending: Mutex::default(),
            history: Mutex::default(),
            callers: Mutex::default(),
        })
    }

    /// How long it has been going on: the only clock there is.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Sets everybody to work.
    pub fn begin(self: &Arc<Self>, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        for process in 0..self.world.origins.len() {
            for way in [Way::Value, Way::Page] {
                let spot = self.spot(process, way);
                tokio::spawn(self.clone().keep_reading(spot, random.fork()));
            }
            for _ in 0..2 {
                tokio::spawn(self.clone().keep_reading_many(process, random.fork()));
            }
        }
        tokio::spawn(self.clone().keep_settling());
        for spot in self.isolates() {
            for _ in 0..3 {
                tokio::spawn(self.clone().keep_reading(spot, random.fork()));
            }
        }
        for _ in 0..4 {
            tokio::spawn(self.clone().keep_writing(random.fork()));
        }
    }

    fn spot(&self, process: usize, way: Way) -> Spot {
        Spot {
            way,
            place: Place::Process(process),
            address: self.world.origins[process].address,
        }
    }

    fn isolates(&self) -> Vec<Spot> {
        let isolates = self
            .world
            .centres
            .iter()
            .flat_map(|centre| &centre.isolates);
        let spot = |address: &SocketAddr| Spot {
            way: Way::Edge,
            place: Place::Edge,
            address: *address,
        };
        isolates.map(spot).collect()
    }

    // Reading.

    async fn keep_reading(self: Arc<Self>, spot: Spot, mut random: fastrand::Rng) {
        let mut caller = Caller::of(spot.address, Self::PATIENCE);
        loop {
            let realm = match (spot.way, random.u32(0..10)) {
                (Way::Edge, 0..2) => Realm::EdgeOnly,
                (_, 0..6) => Realm::Calm,
                _ => Realm::Busy,
            };
            let key = Key::random(realm, &mut random);
            let read = self.read(&mut caller, key, spot, None).await;
            self.rest(&mut random, read.is_none()).await;
        }
    }

    async fn keep_reading_many(self: Arc<Self>, process: usize, mut random: fastrand::Rng) {
        const COUNT: usize = 16;
        let address = self.world.origins[process].address;
        let mut caller = Caller::of(address, Self::PATIENCE);
        loop {
            let first = Key::random(
                if random.bool() {
                    Realm::Calm
                } else {
                    Realm::Busy
                },
                &mut random,
            );
            let keys: Vec<_> = (first.index()..first.index() + COUNT)
                .filter_map(Key::at)
                .filter(|key| key.realm() != Realm::EdgeOnly)
                .collect();
            let began = self.now();
            let place = Place::Process(process);
            let floors: Vec<_> = keys
                .iter()
                .map(|key| self.checker.floor(*key, place, began))
                .collect();
            let path = format!("/many?first={}&count={}", first.index(), keys.len());
            let reply = caller.get(&path, &[]).await;
            let body = match &reply {
                Ok(reply) => std::str::from_utf8(&reply.body).unwrap_or_default(),
                Err(error) => {
                    self.failed(*error);
                    ""
                }
            };
            let view = reply.as_ref().map(Reply::view).unwrap_or_default();
            for ((key, floor), line) in keys.iter().zip(floors).zip(body.lines()) {
                for (way, word) in [Way::Value, Way::Page].into_iter().zip(line.split(' ')) {
                    let (label, digits) = match word.strip_prefix('~') {
                        Some(digits) => (Label::Stale, digits),
                        None => (Label::Current, word),
                    };
                    let Ok(version) = digits.parse() else {
                        self.report
                            .count("reads without an answer", "source or tier error");
                        continue;
                    };
                    let spot = self.spot(process, way);
                    self.check(*key, spot, floor, began, version, label, "", view);
                }
            }
            self.rest(&mut random, reply.is_err()).await;
        }
    }

    async fn rest(&self, random: &mut fastrand::Rng, failed: bool) {
        let least = if failed { 20 } else { 0 };
        let most = u64::try_from(self.pace.as_micros()).unwrap_or(u64::MAX) + 1;
        let pause = Duration::from_micros(random.u64(0..most)) + Duration::from_millis(least);
        tokio::time::sleep(pause).await;
    }

    /// Reads `key`, with a token and its version if there is one: the version that came.
    async fn read(
        &self,
        caller: &mut Caller,
        key: Key,
        spot: Spot,
        token: Option<(&str, u64)>,
    ) -> Option<u64> {
        let path = match spot.way {
            Way::Value => format!("/value/{}", key.index()),
            Way::Page | Way::Edge => key.path(),
        };
        let began = self.now();
        let mut floor = self.checker.floor(key, spot.place, began);
        let mut fields = Vec::new();
        if let Some((token, version)) = token {
            floor = floor.at_least(version);
            fields.push((AFTER_FIELD, token));
            self.report.with_token();
        }
        let reply = match caller.get(&path, &fields).await {
            Ok(reply) => reply,
            Err(error) => {
                self.failed(error);
                return None;
            }
        };
        let said = reply.cache_status();
        let Some(version) = reply.version() else {
            self.report.count("reads without an answer", "error status");
            return None;
        };
        let (label, view) = (label_of(&said), reply.view());
        self.check(key, spot, floor, began, version, label, &said, view);
        Some(version)
    }

    fn failed(&self, error: NoReply) {
        let what = match error {
            NoReply::Broken => "connection broken",
            NoReply::TimedOut => "timed out",
        };
        self.report.count("reads without an answer", what);
    }

    #[expect(clippy::too_many_arguments, reason = "all that is known of a read")]
    fn check(
        &self,
        key: Key,
        spot: Spot,
        floor: Floor,
        began: Duration,
        version: u64,
        label: Label,
        said: &str,
        view: &str,
    ) {
        let demanded = (floor != Floor::default()).then_some(());
        self.report.read(spot.way, demanded, said);
        if label == Label::Stale {
            self.report.stale();
        }
        if let Some(offence) = floor.offence(version, label) {
            let millis = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
            let history = self.history.lock().get(&key.index()).cloned();
            self.report.violation(Violation {
                what: key.path(),
                place: format!(
                    "{} at {:?}, {}",
                    spot.way.as_str(),
                    spot.place,
                    spot.address
                ),
                version,
                demanded: format!("{offence:?}: {floor:?}, labelled {label:?}"),
                began_ms: millis(began),
                took_ms: millis(self.now().saturating_sub(began)),
                said: said.to_owned(),
                view: view.to_owned(),
                history: history.unwrap_or_default().into(),
            });
        }
    }

    // Writing.

    async fn keep_writing(self: Arc<Self>, mut random: fastrand::Rng) {
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

    fn bind(&self, reached: &[(Key, u64)], mode: PurgeMode, reach: Reach, from: Duration) {
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

    fn remember(&self, reached: &[(Key, u64)], text: impl Fn() -> String) {
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

    /// Reads what was purged: now and then until it is seen, with the token at once, and after the bound everywhere.
    fn follow(self: &Arc<Self>, asked: &Asked, taken: &Taken, random: &mut fastrand::Rng) {
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
    fn spots_in(&self, process: usize, key: Key) -> Vec<Spot> {
        match key.realm() {
            Realm::Busy | Realm::Calm => [Way::Value, Way::Page]
                .map(|way| self.spot(process, way))
                .to_vec(),
            Realm::EdgeOnly => Vec::new(),
        }
    }

    fn some_spots(&self, key: Key, count: usize, random: &mut fastrand::Rng) -> Vec<Spot> {
        let mut spots = self.spots(key);
        random.shuffle(&mut spots);
        spots.truncate(count);
        spots
    }

    async fn read_once(self: Arc<Self>, key: Key, spot: Spot, token: Option<(String, u64)>) {
        let mut caller = self.caller(spot.address);
        let token = token.as_ref().map(|(token, version)| (&**token, *version));
        self.read(&mut caller, key, spot, token).await;
        self.give_back(spot.address, caller);
    }

    async fn post(
        &self,
        address: SocketAddr,
        path: &str,
        fields: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Option<Reply> {
        let mut caller = self.caller(address);
        let reply = caller.post(path, fields, body).await.ok();
        self.give_back(address, caller);
        reply
    }

    fn caller(&self, address: SocketAddr) -> Caller {
        let idle = self.callers.lock().get_mut(&address).and_then(Vec::pop);
        idle.unwrap_or_else(|| Caller::of(address, Self::PATIENCE))
    }

    fn give_back(&self, address: SocketAddr, caller: Caller) {
        self.callers.lock().entry(address).or_default().push(caller);
    }

    // Purges that the edge had yet to take.

    /// Binds the edge's readers to what it had yet to take, once any process says that it has: the outbox is in Redis,
    /// and outlives whoever purged.
    async fn keep_settling(self: Arc<Self>) {
        for process in (0..self.world.origins.len()).cycle() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if self.pending.lock().is_empty() {
                continue;
            }
            let taken = self.taken_by_edge(process).await;
            let now = self.now();
            let losses = self.losses.load(Ordering::SeqCst);
            let (mut told, mut lost) = (Vec::new(), 0);
            self.pending.lock().retain(|pending| {
                let may_be_lost = pending.losses != losses;
                let is_told = taken.is_some_and(|taken| {
                    taken.incarnation == pending.epoch.incarnation
                        && taken.sequence >= pending.epoch.sequence
                });
                if may_be_lost {
                    lost += 1;
                } else if is_told {
                    told.push(pending.clone());
                }
                !may_be_lost && !is_told
            });
            for _ in 0..lost {
                self.report.count("purges", "pending, and lost with Redis");
            }
            for pending in told {
                let from = now + pending.bound;
                self.bind(&pending.reached, pending.mode, Reach::Edge, from);
                self.remember(&pending.reached, || {
                    format!("told the edge by {} ms", now.as_millis())
                });
                self.report.count("purges", "pending, and told later");
            }
        }
    }

    /// Up to where the edge has taken the purges of the processes, if this one knows.
    async fn taken_by_edge(&self, process: usize) -> Option<Epoch> {
        let address = self.world.origins[process].address;
        let mut caller = Caller::of(address, Self::PATIENCE);
        let reply = caller.get("/torture/edge", &[]).await.ok()?;
        std::str::from_utf8(&reply.body).ok()?.parse().ok()
    }

    /// Calls an origin process for its own sake.
    pub async fn tell(&self, process: usize, path: &str) {
        let address = self.world.origins[process].address;
        let body = Vec::new();
        drop(self.post(address, path, &[], body).await);
    }
}
