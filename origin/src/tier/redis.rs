//! The shared tier in Redis: envelopes under readable keys.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue};
use terrace_shared::time::Milliseconds;

use super::SharedTier;
use super::breaker::{Admission, Breaker, Failure};
use crate::clock::Clock;
use crate::error::{RedisError, TierError};
use crate::ledger::BoxFuture;
use crate::metrics::SharedTierStats;

/// One Redis, with a connection that many calls share and that is made anew when it breaks.
///
/// Connecting and each answer may take at most 2 s. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    pub(crate) client: Client,
    pub(crate) connection: ConnectionManager,
    pub(crate) health: Arc<Health>,
    prefix: Arc<str>,
}

impl Redis {
    const TIMEOUT: Duration = Duration::from_secs(2);

    /// Connects to the Redis at `url`: `redis://[user:password@]host[:port][/database]`.
    ///
    /// # Errors
    /// When the address is none, or nobody answers there as Redis does. A service that shall start
    /// nevertheless takes [`lazy`](Self::lazy).
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, RedisError> {
        let redis = Self::lazy(url)?;
        let mut connection = redis.connection.clone();
        let pong: Result<String, _> = redis::cmd("PING").query_async(&mut connection).await;
        match pong {
            Ok(_) => Ok(redis),
            Err(source) => Err(RedisError::Unreachable {
                server: redis.client.get_connection_info().addr().to_string(),
                source,
            }),
        }
    }

    /// The Redis at `url`, to be connected to when it is first needed. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// When the address is none.
    pub fn lazy(url: impl AsRef<str>) -> Result<Self, RedisError> {
        let url = url.as_ref();
        let refuse = |source| RedisError::Address {
            url: without_password(url),
            source,
        };
        let client = Client::open(url).map_err(refuse)?;
        // Attempts are not repeated here: the breaker and the ledger's own loop decide when to try again.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(Self::TIMEOUT))
            .set_response_timeout(Some(Self::TIMEOUT));
        let connection =
            ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(refuse)?;
        Ok(Self {
            client,
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
            .field(
                "server",
                &self.client.get_connection_info().addr().to_string(),
            )
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
        let answered =
            !(error.is_io_error() || error.is_timeout() || error.is_connection_dropped());
        if answered {
            return self.breaker.succeeded();
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
    redis: Redis,
    clock: Clock,
}

impl RedisTier {
    pub(crate) const fn new(redis: Redis, clock: Clock) -> Self {
        Self { redis, clock }
    }

    async fn call<R: FromRedisValue>(&self, command: &Cmd) -> Result<R, TierError> {
        let Redis {
            connection, health, ..
        } = &self.redis;
        match health.breaker.admit(self.clock.moment().steady) {
            Admission::Refuse => return Err(TierError::Refused),
            Admission::Try => {}
        }
        match command.query_async(&mut connection.clone()).await {
            Ok(answer) => {
                health.succeeded();
                Ok(answer)
            }
            Err(error) => {
                health.failed(&error, &self.clock);
                Err(TierError::Failed)
            }
        }
    }

    fn command(&self, name: &str, key: &str) -> Cmd {
        let mut command = redis::cmd(name);
        if self.redis.prefix.is_empty() {
            command.arg(key);
        } else {
            command.arg(format!("{}{key}", self.redis.prefix));
        }
        command
    }
}

impl SharedTier for RedisTier {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, TierError>> {
        Box::pin(async move { self.call(&self.command("GET", key)).await })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        lifetime: Milliseconds,
    ) -> BoxFuture<'a, Result<(), TierError>> {
        Box::pin(async move {
            let mut command = self.command("SET", key);
            command.arg(bytes).arg("PX").arg(lifetime.as_u64().max(1));
            self.call(&command).await
        })
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), TierError>> {
        Box::pin(async move { self.call(&self.command("DEL", key)).await })
    }

    fn stats(&self) -> SharedTierStats {
        let health = &self.redis.health;
        SharedTierStats {
            breaker_open: health.breaker.is_open(),
            breaker_opened_total: health.opened.load(Ordering::Relaxed),
        }
    }
}

/// A URL that may be shown: what stands before its `@` may hold a password.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
        (_, None) => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_none_is_named_without_its_password() {
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
}
