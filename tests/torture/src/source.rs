//! The versioned source: what every tier caches, and what the checker knows to be true.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::names::Key;

/// A version for each key, which only grows. The first is 1.
#[derive(Debug)]
pub struct Source {
    versions: Vec<AtomicU64>,
    /// Whether reads of each key are held back for long.
    slow: Vec<AtomicBool>,
    reads: AtomicU64,
}

impl Source {
    /// One with every key at its first version.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            versions: Key::all().map(|_| AtomicU64::new(1)).collect(),
            slow: Key::all().map(|_| AtomicBool::new(false)).collect(),
            reads: AtomicU64::new(0),
        })
    }

    /// Writes the key: its new version.
    pub fn write(&self, key: Key) -> u64 {
        self.versions[key.index()].fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The key's version.
    pub fn version(&self, key: Key) -> u64 {
        self.versions[key.index()].load(Ordering::SeqCst)
    }

    /// Holds reads of the key back for long from now on, or no longer than others.
    pub fn set_speed(&self, key: Key, speed: Speed) {
        self.slow[key.index()].store(speed == Speed::Slow, Ordering::SeqCst);
    }

    /// How often it was read.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Answers reads on `listener`, each held back for a random while AFTER the version was read.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        while let Ok((stream, _)) = listener.accept().await {
            let random = random.fork();
            let source = self.clone();
            // A connection that breaks off is its reader's to notice.
            tokio::spawn(async move { drop(source.answer(stream, random).await) });
        }
    }

    async fn answer(&self, stream: TcpStream, mut random: fastrand::Rng) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (from, mut to) = stream.into_split();
        let mut lines = BufReader::new(from).lines();
        while let Some(line) = lines.next_line().await? {
            let Some(key) = line.parse().ok().and_then(Key::at) else {
                return Ok(());
            };
            let version = self.version(key);
            self.reads.fetch_add(1, Ordering::Relaxed);
            if random.u32(0..200) == 0 {
                to.write_all(b"error\n").await?;
                continue;
            }
            let slow = self.slow[key.index()].load(Ordering::SeqCst);
            let hold = match random.u32(0..100) {
                _ if slow => random.u64(800..2_500),
                0..50 => 0,
                50..85 => random.u64(1..40),
                85..94 => random.u64(40..400),
                _ => random.u64(400..2_000),
            };
            if hold > 0 {
                tokio::time::sleep(Duration::from_millis(hold)).await;
            }
            to.write_all(format!("{version}\n").as_bytes()).await?;
        }
        Ok(())
    }
}

/// How long reads of a key take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Speed {
    /// Most of them a moment.
    Usual,
    /// All of them a second or two: purges overtake them.
    Slow,
}

/// Asks a [`Source`] in another process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SourceClient {
    address: SocketAddr,
    /// Connections that nobody uses at the moment.
    idle: Arc<Mutex<Vec<BufReader<TcpStream>>>>,
}

impl SourceClient {
    /// One of the source at `address`.
    pub fn of(address: SocketAddr) -> Self {
        Self {
            address,
            idle: Arc::default(),
        }
    }

    /// The key's version.
    ///
    /// # Errors
    /// When the source cannot be reached, or says that it has a problem.
    ///
    /// # Cancel safety
    /// Dropped early, the connection goes with it.
    pub async fn read(&self, key: Key) -> std::io::Result<u64> {
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(self.address).await?),
        };
        connection
            .write_all(format!("{}\n", key.index()).as_bytes())
            .await?;
        let mut line = String::new();
        connection.read_line(&mut line).await?;
        let version = line
            .trim_end()
            .parse()
            .map_err(|_| std::io::Error::other(format!("the source says {line:?}")))?;
        self.idle.lock().push(connection);
        Ok(version)
    }
}
