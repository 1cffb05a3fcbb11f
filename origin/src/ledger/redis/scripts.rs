//! The ledger's three scripts: each touches one key.

use redis::aio::ConnectionManager;
use redis::{RedisResult, Script};
use terrace_shared::purge::{Incarnation, Sequence};

use super::tail::{Chain, Place, Tail};

/// The scripts, with the names of what they work on.
pub(super) struct Scripts {
    append: Script,
    catch_up: Script,
    rotate: Script,
    ledger: String,
    outbox: String,
    channel: String,
}

/// What a replica lacks.
#[derive(Debug)]
pub(super) enum Lacking {
    /// These records follow number `base`; one that the ledger does not have any more is none.
    Records {
        incarnation: Incarnation,
        base: Sequence,
        head: Sequence,
        chain: Chain,
        records: Vec<Option<Vec<u8>>>,
    },
    /// The replica knows purges that this ledger has lost.
    Forked(Incarnation),
}

impl Scripts {
    /// Records that are kept for replicas to catch up with.
    const KEPT: u64 = 16_384;

    /// Purges that the outbox keeps for edges that are away; an edge that lacks more is purged whole (R11).
    const KEPT_LETTERS: u64 = 16_384;

    pub(super) fn new(name: &str) -> Self {
        Self {
            append: Script::new(include_str!("append.lua")),
            catch_up: Script::new(include_str!("catch_up.lua")),
            rotate: Script::new(include_str!("rotate.lua")),
            ledger: ledger_key(name),
            outbox: outbox_key(name),
            channel: format!("terrace:{{{name}}}:purges:v1"),
        }
    }

    /// Where purges are told.
    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// Appends a purge.
    pub(super) async fn append(
        &self,
        connection: &mut ConnectionManager,
        purge: &[u8],
    ) -> RedisResult<Place> {
        let (incarnation, sequence, before, chain): (String, u64, String, String) = self
            .append
            .key(&self.ledger)
            .key(&self.outbox)
            .arg(new_incarnation())
            .arg(purge)
            .arg(Self::KEPT)
            .arg(&self.channel)
            .arg(Self::KEPT_LETTERS)
            .invoke_async(connection)
            .await?;
        Ok(Place {
            incarnation: parse_incarnation(&incarnation)?,
            sequence: Sequence::new(sequence),
            before: Chain::parse(&before).ok_or_else(foreign)?,
            chain: Chain::parse(&chain).ok_or_else(foreign)?,
        })
    }

    /// Asks for what a replica that ends with `tail` lacks.
    pub(super) async fn catch_up(
        &self,
        connection: &mut ConnectionManager,
        tail: Option<&Tail>,
    ) -> RedisResult<Lacking> {
        type Reply = (String, String, u64, u64, String, Vec<Option<Vec<u8>>>);
        let mut call = self.catch_up.key(&self.ledger);
        call.arg(new_incarnation());
        match tail {
            Some(tail) => call
                .arg(tail.incarnation.to_string())
                .arg(tail.head.as_u64())
                .arg(tail.chain.to_string()),
            None => call.arg("").arg(0).arg(""),
        };
        let (word, incarnation, base, head, chain, records): Reply =
            call.invoke_async(connection).await?;
        let incarnation = parse_incarnation(&incarnation)?;
        if word == "forked" {
            return Ok(Lacking::Forked(incarnation));
        }
        Ok(Lacking::Records {
            incarnation,
            base: Sequence::new(base),
            head: Sequence::new(head),
            chain: Chain::parse(&chain).ok_or_else(foreign)?,
            records,
        })
    }

    /// Begins a new history in place of `lost`.
    pub(super) async fn rotate(
        &self,
        connection: &mut ConnectionManager,
        lost: Incarnation,
    ) -> RedisResult<()> {
        self.rotate
            .key(&self.ledger)
            .arg(lost.to_string())
            .arg(new_incarnation())
            .invoke_async(connection)
            .await
    }
}

/// Where the ledger of this name is kept.
pub(crate) fn ledger_key(name: &str) -> String {
    format!("terrace:{{{name}}}:ledger:v1")
}

/// Where its purges wait for the edges.
pub(crate) fn outbox_key(name: &str) -> String {
    format!("terrace:{{{name}}}:outbox:v1")
}

fn new_incarnation() -> String {
    Incarnation::from_random(fastrand::u64(..)).to_string()
}

fn parse_incarnation(text: &str) -> RedisResult<Incarnation> {
    let bits = u64::from_str_radix(text, 16).map_err(|_| foreign())?;
    Ok(Incarnation::from_random(bits))
}

fn foreign() -> redis::RedisError {
    (
        redis::ErrorKind::UnexpectedReturnType,
        "the ledger's key holds something else",
    )
        .into()
}
