//! The ledger's scripts: each touches one key.

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, Script, ServerErrorKind};
use terrace_shared::purge::{Incarnation, Sequence};

use super::page::{Basis, Page, SnapshotWanted};
use super::tail::{Chain, Place, Tail};
use crate::tier::redis::Vouched;

/// The scripts, with the names of what they work on.
///
/// The key's layout is version 2. Version 1 had no snapshot; its key is left where it is, and whatever was
/// filled under it belongs to another incarnation: the cache is cold once. Processes of the two versions do not
/// hear of one another's purges, so they should not run side by side for longer than a deployment takes.
/// Fields may be added to a version: one without the list of incarnations before it is known to come after none.
pub(super) struct Scripts {
    append: Call,
    catch_up: Call,
    snapshot: Call,
    rotate: Call,
    ledger: String,
    outbox: String,
    channel: String,
}

/// A script with the text that all of them begin with.
struct Call {
    script: Script,
    text: String,
}

/// What a replica lacks.
#[derive(Debug)]
pub(super) enum Lacking {
    /// A page of the history.
    Page(Page),
    /// The replica knows purges that this ledger has lost, or the ledger has lost a part of itself.
    Lost(Incarnation),
}

/// How much the key holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    /// Records that are kept although the snapshot covers them, for replicas that are a little behind.
    pub(super) recent: u64,
    /// Records after which a snapshot is due; later if the snapshot is a large one.
    pub(super) snapshot_after: u64,
    /// Bytes of records after which a snapshot is due.
    pub(super) snapshot_after_bytes: u64,
    /// The most records, should nobody write snapshots: the oldest go, and entries from before them are dropped.
    pub(super) most: u64,
    /// The most bytes of records, likewise.
    pub(super) most_bytes: u64,
    /// The most records of one answer, and about the most bytes: so Redis is not kept from others for long.
    pub(super) page: u64,
    pub(super) page_bytes: u64,
}

impl Keep {
    /// The same, for who has no time to write a snapshot now.
    pub(super) const fn without_snapshots(self) -> Self {
        Self {
            snapshot_after: u64::MAX,
            snapshot_after_bytes: u64::MAX,
            ..self
        }
    }
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            recent: 4_096,
            snapshot_after: 4_096,
            snapshot_after_bytes: 16 << 20,
            most: 131_072,
            most_bytes: 64 << 20,
            page: 4_096,
            page_bytes: 1 << 20,
        }
    }
}

impl Scripts {
    /// Purges that the outbox keeps for edges that are away; an edge that lacks more is purged whole (R11).
    const KEPT_LETTERS: u64 = 16_384;

    pub(super) fn new(name: &str) -> Self {
        Self {
            append: Call::new(include_str!("append.lua")),
            catch_up: Call::new(include_str!("catch_up.lua")),
            snapshot: Call::new(include_str!("snapshot.lua")),
            rotate: Call::new(include_str!("rotate.lua")),
            ledger: ledger_key(name),
            outbox: outbox_key(name),
            channel: format!("terrace:{{{name}}}:purges:v2"),
        }
    }

    /// Where the ledger is kept.
    pub(super) fn key(&self) -> &str {
        &self.ledger
    }

    /// Where purges are told.
    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// Appends a purge.
    pub(super) async fn append(
        &self,
        connection: &mut impl ConnectionLike,
        purge: &[u8],
        known: Option<Incarnation>,
        keep: Keep,
    ) -> RedisResult<Place> {
        let mut command = self.append.on([&self.ledger, &self.outbox]);
        command
            .arg(new_incarnation())
            .arg(purge)
            .arg(keep.recent)
            .arg(keep.most)
            .arg(keep.most_bytes)
            .arg(&self.channel)
            .arg(Self::KEPT_LETTERS)
            .arg(known.map(|known| known.to_string()).unwrap_or_default());
        let (incarnation, sequence, before, chain): (String, u64, String, String) =
            self.append.invoke(connection, command).await?;
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
        connection: &mut impl ConnectionLike,
        tail: Option<&Tail>,
        keep: Keep,
        vouched: Vouched,
    ) -> RedisResult<Lacking> {
        type Records = Vec<Option<Vec<u8>>>;
        type Reply = (String, String, u64, u64, String, Records, Vec<u8>, u64);
        let mut command = self.catch_up.on([&self.ledger]);
        command.arg(new_incarnation());
        match tail {
            Some(tail) => command
                .arg(tail.incarnation.to_string())
                .arg(tail.head.as_u64())
                .arg(tail.chain.to_string()),
            None => command.arg("").arg(0).arg(""),
        };
        command
            .arg(keep.page)
            .arg(keep.page_bytes)
            .arg(keep.snapshot_after)
            .arg(keep.snapshot_after_bytes)
            .arg(match vouched {
                Vouched::ByReplicas => 1,
                Vouched::ByNobody => 0,
            });
        let (word, incarnation, base, head, chain, records, snapshot, wanted): Reply =
            self.catch_up.invoke(connection, command).await?;
        let incarnation = parse_incarnation(&incarnation)?;
        let basis = match word.as_str() {
            "tail" => Basis::Tail,
            "snapshot" => Basis::Snapshot(snapshot),
            "nothing" => Basis::Nothing,
            "forked" => return Ok(Lacking::Lost(incarnation)),
            _ => return Err(foreign()),
        };
        let Some(chain) = Chain::parse(&chain) else {
            return Ok(Lacking::Lost(incarnation)); // a record is missing where there must be one
        };
        let last = base.saturating_add(u64::try_from(records.len()).unwrap_or(u64::MAX));
        Ok(Lacking::Page(Page {
            incarnation,
            basis,
            base: Sequence::new(base),
            last: Sequence::new(last),
            chain,
            records,
            head: Sequence::new(head),
            snapshot: match wanted {
                0 => SnapshotWanted::No,
                _ => SnapshotWanted::Yes,
            },
        }))
    }

    /// Has the ledger keep the snapshot `bytes`, which ends with `tail`.
    pub(super) async fn keep_snapshot(
        &self,
        connection: &mut impl ConnectionLike,
        tail: &Tail,
        bytes: &[u8],
        keep: Keep,
    ) -> RedisResult<()> {
        let mut command = self.snapshot.on([&self.ledger]);
        command
            .arg(tail.incarnation.to_string())
            .arg(tail.head.as_u64())
            .arg(tail.chain.to_string())
            .arg(bytes)
            .arg(keep.recent)
            .arg(keep.most)
            .arg(keep.most_bytes);
        self.snapshot.invoke(connection, command).await
    }

    /// Begins a new history in place of `lost`, and after the `known` one.
    pub(super) async fn rotate(
        &self,
        connection: &mut impl ConnectionLike,
        lost: Incarnation,
        known: Option<Incarnation>,
    ) -> RedisResult<()> {
        let mut command = self.rotate.on([&self.ledger]);
        command
            .arg(lost.to_string())
            .arg(new_incarnation())
            .arg(known.map(|known| known.to_string()).unwrap_or_default());
        self.rotate.invoke(connection, command).await
    }
}

impl Call {
    fn new(text: &str) -> Self {
        let text = format!("{}\n{text}", include_str!("ledger.lua"));
        let script = Script::new(&text);
        Self { script, text }
    }

    /// A call on keys of one slot, by the script's hash; its arguments are still to come.
    fn on<const N: usize>(&self, keys: [&str; N]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.script.get_hash()).arg(N).arg(&keys);
        command
    }

    /// Has it done. A server that does not know the script yet is given its text with the call, so that only
    /// the server that has the key takes part.
    async fn invoke<R: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        command: Cmd,
    ) -> RedisResult<R> {
        match command.query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let mut whole = redis::cmd("EVAL");
                whole.arg(&self.text);
                for argument in command.args_iter().skip(2) {
                    if let redis::Arg::Simple(bytes) = argument {
                        whole.arg(bytes);
                    }
                }
                whole.query_async(connection).await
            }
            answer => answer,
        }
    }
}

/// Where the ledger of this name is kept.
pub(crate) fn ledger_key(name: &str) -> String {
    format!("terrace:{{{name}}}:ledger:v2")
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
        ErrorKind::UnexpectedReturnType,
        "the ledger's key holds something else",
    )
        .into()
}
