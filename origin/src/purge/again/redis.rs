//! An agenda in Redis, that every process of this name looks at.

use std::time::Duration;

use redis::Script;
use terrace_shared::purge::{Purge, PurgeMode, Scope};
use terrace_shared::time::{Milliseconds, TimestampMillis};

use super::{Agenda, CLAIM, Due, EntryId, MOST_DUE, MOST_WAITING};
use crate::error::AgendaError;
use crate::ledger::BoxFuture;
use crate::tier::redis::Redis;

/// Second purges in a sorted set, by when they are due.
pub(crate) struct RedisAgenda {
    redis: Redis,
    key: String,
    add: Script,
    due: Script,
}

impl RedisAgenda {
    /// Digits that tell entries of the same purge apart.
    const DIGITS: usize = 16;

    /// The agenda beside the ledger of this name.
    pub(crate) fn new(redis: &Redis, name: &str) -> Self {
        Self {
            redis: redis.clone(),
            key: format!("terrace:{{{name}}}:again:v1"),
            add: Script::new(include_str!("redis/add.lua")),
            due: Script::new(include_str!("redis/due.lua")),
        }
    }

    async fn add_now(&self, purge: &Purge, after: Milliseconds) -> Result<EntryId, AgendaError> {
        let mut entry = format!("{:016x}", fastrand::u64(..)).into_bytes();
        entry.extend(purge.encode());
        let mut connection = self.redis.ledger.clone();
        let added: u8 = self
            .add
            .key(&self.key)
            .arg(&entry)
            .arg(after.as_u64())
            .arg(MOST_WAITING)
            .invoke_async(&mut connection)
            .await?;
        match added {
            0 => Err(AgendaError::Full { most: MOST_WAITING }),
            _ => Ok(EntryId(entry)),
        }
    }

    async fn due_now(&self) -> Result<Due, AgendaError> {
        let mut connection = self.redis.ledger.clone();
        let (due, next_in): (Vec<Vec<u8>>, i64) = self
            .due
            .key(&self.key)
            .arg(MOST_DUE)
            .arg(u64::try_from(CLAIM.as_millis()).unwrap_or(u64::MAX))
            .invoke_async(&mut connection)
            .await?;
        let read = |entry: Vec<u8>| {
            let purge = read_entry(&entry);
            (EntryId(entry), purge)
        };
        Ok(Due {
            purges: due.into_iter().map(read).collect(),
            next_in: u64::try_from(next_in).ok().map(Duration::from_millis),
        })
    }
}

impl Agenda for RedisAgenda {
    fn add<'a>(
        &'a self,
        purge: &'a Purge,
        after: Milliseconds,
    ) -> BoxFuture<'a, Result<EntryId, AgendaError>> {
        Box::pin(self.add_now(purge, after))
    }

    fn due(&self) -> BoxFuture<'_, Result<Due, AgendaError>> {
        Box::pin(self.due_now())
    }

    fn strike<'a>(&'a self, entry: &'a EntryId) -> BoxFuture<'a, Result<(), AgendaError>> {
        Box::pin(async move {
            let mut connection = self.redis.ledger.clone();
            let mut command = redis::cmd("ZREM");
            command.arg(&self.key).arg(&entry.0);
            let _: u8 = command.query_async(&mut connection).await?;
            Ok(())
        })
    }

    fn remark(&self) -> Option<&'static str> {
        None
    }
}

impl From<redis::RedisError> for AgendaError {
    fn from(error: redis::RedisError) -> Self {
        Self::Unreachable {
            reason: error.to_string(),
        }
    }
}

/// The purge of an entry; one that cannot be read may have named anything.
fn read_entry(entry: &[u8]) -> Purge {
    let bytes = entry.get(RedisAgenda::DIGITS..).unwrap_or_default();
    Purge::decode(bytes).unwrap_or_else(|_| Purge {
        mode: PurgeMode::Hard,
        scopes: vec![Scope::All],
        at: TimestampMillis::default(),
        origin_epoch: None,
    })
}
