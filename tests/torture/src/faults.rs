//! What goes wrong, and when: a schedule from a seed, and nothing else.

use std::time::Duration;

use clap::ValueEnum;

/// How Redis is set up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Topology {
    /// One server.
    #[default]
    Standalone,
    /// A primary and a replica, watched by Sentinels.
    Sentinel,
    /// Three primaries, each with a replica.
    Cluster,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// An origin process is killed, and started again after a while.
    Kill(usize),
    /// An origin process stands still.
    Stop(usize),
    /// The connections between an origin process and Redis break, and no new ones come about.
    CutRedis(usize),
    /// They stand, and nothing comes through.
    StallRedis(usize),
    /// Everything on them takes longer.
    SlowRedis(usize),
    /// No origin process reaches the edge with its purges.
    CutEdge,
    /// Purges take longer to the edge.
    SlowEdge,
    /// A data centre does not reach the origin processes.
    CutOrigins(usize),
    /// Redis forgets everything.
    Flush,
    /// Redis is killed, and started again empty after a while.
    RestartRedis,
    /// The primary of a replicated Redis is killed, and comes back after a while.
    FailOver,
    /// Redis has too little memory, and evicts what it likes.
    Evict,
    /// The wall clock of an origin process jumps by minutes, forward or back.
    JumpClock(usize, i64),
    /// The worker of a data centre is killed; its runtime starts it again.
    KillCentre(usize),
    /// The worker with the edge's ledger is killed; its runtime starts it again.
    KillAuthority,
}

/// A fault in its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Planned {
    /// When it begins, from the beginning of the run.
    pub at: Duration,
    /// How long it lasts, for one that lasts.
    pub lasts: Duration,
    /// What it is.
    pub fault: Fault,
}

/// How much there is to go wrong.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Origin processes.
    pub processes: usize,
    /// Data centres.
    pub centres: usize,
    /// How Redis is set up.
    pub topology: Topology,
}

impl Fault {
    /// Its word in the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kill(_) => "kill -9",
            Self::Stop(_) => "SIGSTOP",
            Self::CutRedis(_) => "cut from Redis",
            Self::StallRedis(_) => "stalled to Redis",
            Self::SlowRedis(_) => "slow to Redis",
            Self::CutEdge => "edge outage",
            Self::SlowEdge => "slow to the edge",
            Self::CutOrigins(_) => "centre cut from origins",
            Self::Flush => "FLUSHALL",
            Self::RestartRedis => "Redis restarted empty",
            Self::FailOver => "Redis failover",
            Self::Evict => "eviction",
            Self::JumpClock(..) => "clock jump",
            Self::KillCentre(_) => "worker killed",
            Self::KillAuthority => "edge ledger killed",
        }
    }

    fn random(size: Size, random: &mut fastrand::Rng) -> Self {
        let process = random.usize(0..size.processes);
        let centre = random.usize(0..size.centres);
        match random.u32(0..100) {
            0..10 => Self::Kill(process),
            10..22 => Self::Stop(process),
            22..36 => Self::CutRedis(process),
            36..48 => Self::StallRedis(process),
            48..54 => Self::SlowRedis(process),
            54..62 => Self::CutEdge,
            62..67 => Self::SlowEdge,
            67..72 => Self::CutOrigins(centre),
            72..79 => Self::Flush,
            79..84 => match size.topology {
                Topology::Standalone => Self::RestartRedis,
                Topology::Sentinel | Topology::Cluster => Self::FailOver,
            },
            84..87 => Self::Evict,
            87..93 => {
                let minutes = random.i64(1..10);
                Self::JumpClock(process, if random.bool() { minutes } else { -minutes })
            }
            93..97 => Self::KillCentre(centre),
            _ => Self::KillAuthority,
        }
    }

    /// Shortest and longest time that it lasts, in milliseconds. Some outlast the bound of five seconds.
    const fn lasts(self) -> (u64, u64) {
        match self {
            Self::Kill(_) => (0, 3_000),
            Self::Stop(_) | Self::CutRedis(_) | Self::StallRedis(_) => (200, 9_000),
            Self::SlowRedis(_) | Self::SlowEdge => (1_000, 8_000),
            Self::CutEdge => (500, 12_000),
            Self::CutOrigins(_) => (200, 3_000),
            Self::RestartRedis => (0, 4_000),
            Self::FailOver => (2_000, 8_000),
            Self::Evict => (2_000, 6_000),
            Self::Flush | Self::JumpClock(..) | Self::KillCentre(_) | Self::KillAuthority => (0, 1),
        }
    }
}

/// What goes wrong in a run of this length: the same for the same seed.
pub fn schedule(seed: u64, length: Duration, size: Size) -> Vec<Planned> {
    /// All is well for this long, so that there is something to lose.
    const FIRST: u64 = 4_000;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut at = FIRST;
    let mut planned = Vec::new();
    loop {
        let fault = Fault::random(size, &mut random);
        let (shortest, longest) = fault.lasts();
        let lasts = Duration::from_millis(random.u64(shortest..longest));
        let begins = Duration::from_millis(at);
        if begins + lasts > length {
            return planned;
        }
        planned.push(Planned {
            at: begins,
            lasts,
            fault,
        });
        at += random.u64(500..5_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        processes: 3,
        centres: 2,
        topology: Topology::Standalone,
    };

    #[test]
    fn a_seed_gives_the_same_schedule_again_and_another_one_another() {
        let minute = Duration::from_mins(1);
        let planned = schedule(7, minute, SIZE);
        assert_eq!(planned, schedule(7, minute, SIZE));
        assert_ne!(planned, schedule(8, minute, SIZE));
        assert!(planned.iter().all(|fault| fault.at + fault.lasts <= minute));
    }

    #[test]
    fn ten_minutes_have_every_fault_of_their_topology() {
        let planned = schedule(1, Duration::from_mins(10), SIZE);
        let mut words: Vec<_> = planned.iter().map(|fault| fault.fault.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 14, "{words:?}");
    }
}
