//! Who writes, purges, reads and looks after the purges that the edge has yet to take.

mod auditors;
mod readers;
mod settling;
mod writers;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use terrace_shared::purge::wire::Receipt;
use terrace_shared::purge::{Epoch, PurgeMode};

use crate::checker::{Checker, Place};
use crate::http::{Caller, Reply};
use crate::names::{Key, Naming};
use crate::report::{Report, Way};
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

    /// Calls an origin process for its own sake.
    pub async fn tell(&self, process: usize, path: &str) {
        let address = self.world.origins[process].address;
        let body = Vec::new();
        drop(self.post(address, path, &[], body).await);
    }
}
