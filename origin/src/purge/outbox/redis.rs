//! The journal in Redis: a stream that the ledger's own script adds to, a claim and a mark for each edge.
//!
//! All keys share the ledger's slot. Losing one of them, or all, is noticed and costs a purge of everything
//! at the edges: a stream that does not reach the ledger's head, or an edge without a mark, says so (R6).

use redis::Script;
use terrace_shared::purge::wire::PurgeRequest;
use terrace_shared::purge::{Epoch, Incarnation, Purge, Sequence};

use super::journal::{Backlog, Claim, Held, Journal, JournalError, Letter, Progress};
use crate::ledger::BoxFuture;
use crate::ledger::redis::{ledger_key, outbox_key};
use crate::tier::redis::{Followed, Redis};

/// One process's end of the journal that processes share.
pub(crate) struct RedisJournal {
    redis: Redis,
    name: String,
    sender: String,
    edges: String,
    claim: Script,
    note: Script,
    release: Script,
}

/// What the script answers to a claim.
type Claimed = (String, String, String, u64, String, Vec<RawLetter>);

/// A letter's mark, its place in the ledger and the purge's bytes.
type RawLetter = (String, String, Vec<u8>);

impl RedisJournal {
    /// How long a claim holds, in milliseconds: an edge waits so long when its sender dies.
    const CLAIM_MS: u64 = 5_000;

    /// How long an outbox is kept that nobody reads, in milliseconds: a week.
    const KEPT_MS: u64 = 7 * 24 * 3_600 * 1_000;

    /// The journal of the ledger of this name.
    pub(crate) fn new(redis: &Redis, name: &str) -> Self {
        Self {
            redis: redis.clone(),
            name: name.to_owned(),
            sender: format!("{:016x}", fastrand::u64(..)),
            edges: format!("terrace:{{{name}}}:edges:v1"),
            claim: Script::new(include_str!("redis/claim.lua")),
            note: Script::new(include_str!("redis/note.lua")),
            release: Script::new(include_str!("redis/release.lua")),
        }
    }

    fn claim_key(&self, edge: &str) -> String {
        format!("terrace:{{{}}}:sender:v1:{edge}", self.name)
    }

    /// The way to the ledger's master: one that another has replaced knows of no purges that wait there.
    async fn master(&self) -> redis::RedisResult<Followed> {
        self.redis.ledger.followed(&ledger_key(&self.name)).await
    }

    async fn claim_now(&self, edge: &str, most: usize) -> Result<Claim, JournalError> {
        let mut connection = self.master().await?;
        let (word, progress, incarnation, sequence, end, letters): Claimed = self
            .claim
            .key(self.claim_key(edge))
            .key(&self.edges)
            .key(outbox_key(&self.name))
            .key(ledger_key(&self.name))
            .arg(edge)
            .arg(&self.sender)
            .arg(Self::CLAIM_MS)
            .arg(most)
            .arg(Self::KEPT_MS)
            .invoke_async(&mut connection)
            .await?;
        let progress = read_progress(&progress);
        match &*word {
            "elsewhere" => Ok(Claim::Elsewhere(progress)),
            "here" => Ok(Claim::Here {
                progress,
                backlog: Backlog {
                    ledger: read_epoch(&format!("{incarnation}-{sequence}"))?,
                    end: end.parse()?,
                    letters: letters
                        .into_iter()
                        .map(read_letter)
                        .collect::<Result<_, _>>()?,
                },
            }),
            other => Err(JournalError {
                reason: format!("{other} so far"),
            }),
        }
    }

    async fn note_now(&self, edge: &str, progress: &Progress) -> Result<Held, JournalError> {
        let mut connection = self.master().await?;
        let mark = progress
            .cursor
            .map(|cursor| cursor.mark)
            .unwrap_or_default();
        let written: u8 = self
            .note
            .key(self.claim_key(edge))
            .key(&self.edges)
            .key(outbox_key(&self.name))
            .arg(edge)
            .arg(&self.sender)
            .arg(Self::CLAIM_MS)
            .arg(mark.to_string())
            .arg(progress.encode())
            .invoke_async(&mut connection)
            .await?;
        Ok(match written {
            0 => Held::Lost,
            _ => Held::Yes,
        })
    }
}

impl Journal for RedisJournal {
    fn claim<'a>(
        &'a self,
        edge: &'a str,
        most: usize,
    ) -> BoxFuture<'a, Result<Claim, JournalError>> {
        Box::pin(self.claim_now(edge, most))
    }

    fn note<'a>(
        &'a self,
        edge: &'a str,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Held, JournalError>> {
        Box::pin(self.note_now(edge, progress))
    }

    fn release<'a>(&'a self, edge: &'a str) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            let mut connection = self.redis.ledger.clone();
            let _: u8 = self
                .release
                .key(self.claim_key(edge))
                .arg(&self.sender)
                .invoke_async(&mut connection)
                .await?;
            Ok(())
        })
    }

    fn edges(&self) -> BoxFuture<'_, Result<Vec<(String, Progress)>, JournalError>> {
        Box::pin(async move {
            let mut connection = self.redis.ledger.clone();
            let mut command = redis::cmd("HGETALL");
            let edges: Vec<(String, String)> = command
                .arg(&self.edges)
                .query_async(&mut connection)
                .await?;
            let read = |(edge, progress): (String, String)| (edge, read_progress(&progress));
            Ok(edges.into_iter().map(read).collect())
        })
    }
}

impl From<redis::RedisError> for JournalError {
    fn from(error: redis::RedisError) -> Self {
        Self {
            reason: error.to_string(),
        }
    }
}

/// The progress behind its mark and the second of its note.
fn read_progress(text: &str) -> Progress {
    text.splitn(3, ' ')
        .nth(2)
        .map(Progress::decode)
        .unwrap_or_default()
}

fn read_epoch(text: &str) -> Result<Epoch, JournalError> {
    text.parse().map_err(|_| JournalError {
        reason: format!("{text:?} is no place in a ledger"),
    })
}

fn read_letter((mark, epoch, bytes): RawLetter) -> Result<Letter, JournalError> {
    let purge = Purge::decode(&bytes).ok();
    Ok(Letter {
        mark: mark.parse()?,
        // A letter without a place does not follow on from any: the edge is told to purge everything.
        epoch: epoch.parse().unwrap_or(Epoch {
            incarnation: Incarnation::from_random(0),
            sequence: Sequence::ZERO,
        }),
        request: purge.as_ref().map(PurgeRequest::from_purge),
    })
}
