//! The shared tier in Redis: envelopes under readable keys.

mod connection;
mod followed;
mod key;
mod reads;
mod servers;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::sentinel::SentinelNodeConnectionInfo;
use redis::{Cmd, RedisResult, Value};
use terrace_shared::time::Milliseconds;

pub(crate) use self::connection::{Connection, Sickness};
pub(crate) use self::followed::{Followed, Vouched};
use self::key::Key;
use self::reads::{Reads, Wire};
use self::servers::{Servers, Spread};
use super::SharedTier;
use super::breaker::{Admission, Breaker, Failure};
use crate::clock::Clock;
use crate::error::{RedisError, TierError};
use crate::ledger::BoxFuture;
use crate::metrics::SharedTierStats;

/// One Redis: a server, the master that Sentinels name, or a Cluster.
///
/// Many calls share a connection, which is made anew when it breaks and follows a fail-over. Connecting and each
/// answer may take at most 2 s. Cheap to clone.
///
/// Values that are asked for while another one is under way are read together, with `MGET`. A user who may not use
/// that reads them one by one, as does everybody on a Cluster, where it does not reach across slots.
///
/// All purges of a cache go through one key, on one slot of a Cluster: one order, about as many purges a second as
/// one server takes. Values are spread over all slots. A service that must purge more gives its caches different
/// names ([`CacheBuilder::name`](crate::CacheBuilder::name)); each name is a ledger, and a shard, of its own.
///
/// With replicas, set `min-replicas-to-write` on every server to the number of replicas that a primary has. Then a
/// receipt is given once so many of them have the purge, and a view of the ledger becomes younger only by answers that
/// so many vouch for: a master that was replaced while it stood still, or was cut off, is not believed, and no purge is
/// taken that only it has. Without that setting, a fail-over may lose the last purges and their receipts; they are
/// missed only once somebody asks who has seen them. `docs/fail-over.md` says all of it.
#[derive(Clone)]
pub struct Redis {
    pub(crate) connection: Connection,
    /// The ledger's own, on which replicas are waited for.
    pub(crate) ledger: Connection,
    pub(crate) health: Arc<Health>,
    prefix: Arc<str>,
}

impl Redis {
    /// Connects to the Redis at `url`, in any of the forms that [`lazy`](Self::lazy) takes.
    ///
    /// # Errors
    /// When the address is none, or nobody answers there as Redis does. A service that shall start
    /// nevertheless takes [`lazy`](Self::lazy).
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, RedisError> {
        let redis = Self::lazy(url)?;
        redis.ping().await?;
        Ok(redis)
    }

    /// The Redis at `url`, to be connected to when it is first needed.
    ///
    /// - `redis://[user:password@]host[:port][/database]`: one server.
    /// - `redis+sentinel://[user:password@]host:port,host:port/master[/database]`: the master of this name, found
    ///   through Sentinels at these addresses. User and password are the master's; the Sentinels' own, if they have
    ///   any, follow as `?sentinel_username=…&sentinel_password=…`.
    /// - `redis+cluster://[user:password@]host:port,host:port`: the Cluster that these nodes belong to.
    ///
    /// # Errors
    /// When the address is none.
    pub fn lazy(url: impl AsRef<str>) -> Result<Self, RedisError> {
        let url = url.as_ref();
        Self::over(Servers::parse(url), url)
    }

    /// The master of this name, found through the Sentinels at `urls`, each `redis://[user:password@]host:port`;
    /// to be connected to when it is first needed.
    ///
    /// User and password are the Sentinels' own. A master that wants some has them in the URL of
    /// [`lazy`](Self::lazy).
    ///
    /// # Errors
    /// When there is no address, or one is none.
    pub fn sentinel(
        urls: impl IntoIterator<Item = impl AsRef<str>>,
        master: impl AsRef<str>,
    ) -> Result<Self, RedisError> {
        let urls: Vec<_> = urls
            .into_iter()
            .map(|url| url.as_ref().to_owned())
            .collect();
        let servers = Servers::sentinel(
            &urls,
            master.as_ref(),
            SentinelNodeConnectionInfo::default(),
        );
        Self::over(servers, &urls.join(","))
    }

    /// The Cluster that the nodes at `urls` belong to, each `redis://[user:password@]host:port`; to be connected to
    /// when it is first needed. Several, so that one that is gone does not matter.
    ///
    /// # Errors
    /// When there is no address, or one is none.
    pub fn cluster(urls: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, RedisError> {
        let urls: Vec<_> = urls
            .into_iter()
            .map(|url| url.as_ref().to_owned())
            .collect();
        Self::over(Servers::cluster(&urls), &urls.join(","))
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// When it does not.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn ping(&self) -> Result<(), RedisError> {
        let mut connection = self.connection.clone();
        match redis::cmd("PING").query_async(&mut connection).await {
            Ok(()) => Ok(()),
            Err(source) => Err(RedisError::Unreachable {
                server: self.connection.servers().to_string(),
                source,
            }),
        }
    }

    fn over(servers: RedisResult<Servers>, urls: &str) -> Result<Self, RedisError> {
        let servers = servers.map_err(|source| RedisError::Address {
            url: without_password(urls),
            source,
        })?;
        let connection = Connection::new(servers);
        Ok(Self {
            ledger: connection.apart(),
            connection,
            health: Arc::default(),
            prefix: "".into(),
        })
    }

    /// What every key in this Redis begins with, for one that is shared with others. Default: nothing.
    #[must_use]
    pub fn prefix(mut self, prefix: impl AsRef<str>) -> Self {
        self.prefix = prefix.as_ref().into();
        self
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Redis")
            .field("server", &self.connection.servers().to_string())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Whether this Redis answers, as seen by everybody who calls it.
#[derive(Debug, Default)]
pub(crate) struct Health {
    breaker: Breaker,
    opened: AtomicU64,
}

impl Health {
    pub(crate) fn succeeded(&self) {
        self.breaker.succeeded();
    }

    /// Notes a failed call; an answer that is an error is none.
    pub(crate) fn failed(&self, error: &redis::RedisError, clock: &Clock) {
        match Sickness::of(error) {
            // It answers, if only readers.
            Sickness::None | Sickness::Alone | Sickness::Unproven => {
                return self.breaker.succeeded();
            }
            Sickness::Absent | Sickness::Silent | Sickness::Severed | Sickness::Demoted => {}
        }
        match self.breaker.failed(clock.moment().steady) {
            Failure::Counted => {}
            Failure::Opened => {
                self.opened.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The tier of values.
#[derive(Debug)]
pub(crate) struct RedisTier {
    reads: Reads<Way>,
}

impl RedisTier {
    pub(crate) fn new(redis: Redis, clock: Clock) -> Self {
        Self {
            reads: Reads::new(Way { redis, clock }),
        }
    }

    async fn write(&self, command: &Cmd) -> Result<(), TierError> {
        let way = self.reads.wire();
        way.admit()?;
        match way.ask(command).await {
            Ok(_) => Ok(()),
            Err(_) => Err(TierError::Failed),
        }
    }

    fn key<'a>(&'a self, name: &'a str) -> Key<'a> {
        Key {
            prefix: &self.reads.wire().redis.prefix,
            name,
        }
    }
}

impl SharedTier for RedisTier {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, TierError>> {
        Box::pin(async move {
            let way = self.reads.wire();
            match (way.admit()?, way.redis.connection.servers().spread()) {
                (Admitted::Freely, Spread::OneServer) => self.reads.get(self.key(key)).await,
                // Others shall not wait for an attempt; and on a Cluster, keys lie on many slots.
                (Admitted::ToTry, _) | (_, Spread::Slots) => {
                    Box::pin(self.reads.get_alone(self.key(key))).await
                }
            }
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        lifetime: Milliseconds,
    ) -> BoxFuture<'a, Result<(), TierError>> {
        Box::pin(async move {
            let mut command = self.key(key).command("SET");
            command.arg(bytes).arg("PX").arg(lifetime.as_u64().max(1));
            self.write(&command).await
        })
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), TierError>> {
        Box::pin(async move { self.write(&self.key(key).command("DEL")).await })
    }

    fn stats(&self) -> SharedTierStats {
        let health = &self.reads.wire().redis.health;
        SharedTierStats {
            breaker_open: health.breaker.is_open(),
            breaker_opened_total: health.opened.load(Ordering::Relaxed),
        }
    }
}

/// The way of values to a Redis and back, with what is known of its health.
#[derive(Debug)]
struct Way {
    redis: Redis,
    clock: Clock,
}

/// How a call may go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Admitted {
    /// As any does.
    Freely,
    /// As the one that finds out whether Redis is back.
    ToTry,
}

impl Way {
    /// Lets a call go on, unless Redis is taken for down.
    fn admit(&self) -> Result<Admitted, TierError> {
        let breaker = &self.redis.health.breaker;
        if !breaker.is_open() {
            return Ok(Admitted::Freely); // without a look at the clock
        }
        match breaker.admit(self.clock.moment().steady) {
            Admission::Try => Ok(Admitted::ToTry),
            Admission::Refuse => Err(TierError::Refused),
        }
    }
}

impl Wire for Way {
    async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        let Redis {
            connection, health, ..
        } = &self.redis;
        let answer = connection.ask(command).await;
        match &answer {
            Ok(_) => health.succeeded(),
            Err(error) => health.failed(error, &self.clock),
        }
        answer
    }

    fn is_down(&self) -> bool {
        self.redis.health.breaker.is_open()
    }
}

/// URLs that may be shown: what stands before an `@`, or after a `?`, may hold a password.
fn without_password(urls: &str) -> String {
    let (urls, query) = match urls.split_once('?') {
        Some((urls, _)) => (urls, "?…"),
        None => (urls, ""),
    };
    let shown = match (urls.split_once("://"), urls.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
        (_, None) => urls.to_owned(),
    };
    shown + query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_named_without_its_password() {
        let error = Redis::lazy("http://me:secret@host").map_err(|error| error.to_string());
        let error = error.err();
        assert!(
            error
                .as_deref()
                .is_some_and(|error| error.contains("…@host")),
            "{error:?}"
        );
        assert!(!error.is_some_and(|error| error.contains("secret")));
    }

    #[tokio::test]
    async fn a_redis_that_is_not_there_is_named() {
        let error = Redis::connect("redis://127.0.0.1:1").await.err();
        let text = error.map(|error| error.to_string());
        assert_eq!(
            text.as_deref(),
            Some("Redis at 127.0.0.1:1 does not answer")
        );
    }

    #[test]
    fn each_kind_of_address_is_read_and_shown_without_secrets() {
        for (url, shown) in [
            ("redis://me:secret@a:7/3", "a:7"),
            ("redis+sentinel://a:7,b:8/shop", "Sentinel's master shop"),
            (
                "redis+sentinel://:secret@a:7,b:8/shop/3?sentinel_password=secret",
                "Sentinel's master shop",
            ),
            (
                "redis+cluster://me:secret@a:7,b:8",
                "the cluster of a:7, b:8",
            ),
            ("redis+cluster://a:7/", "the cluster of a:7"),
        ] {
            let redis = Redis::lazy(url).expect(url);
            assert_eq!(redis.connection.servers().to_string(), shown, "{url}");
            assert!(!format!("{redis:?}").contains("secret"), "{url}");
        }
    }

    #[test]
    fn an_address_with_a_part_missing_is_refused_without_its_secrets() {
        for url in [
            "redis+sentinel://a:7,b:8",
            "redis+sentinel://a:7/",
            "redis+sentinel://:secret@a:7,b:x/shop?sentinel_password=secret",
            "redis+sentinel://a:7/shop/x",
            "redis+cluster://",
            "redis+cluster://me:secret@a:7,b:x",
            "redis+raft://a:7",
        ] {
            let error = Redis::lazy(url).map(drop).expect_err(url).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(Redis::cluster(Vec::<String>::new()).is_err());
        assert!(Redis::sentinel(Vec::<String>::new(), "shop").is_err());
        assert!(Redis::sentinel(["redis://a:7"], "").is_err());
    }
}
