//! Where purges wait for the edges, and how far each edge has come.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use terrace_shared::purge::Epoch;
use terrace_shared::purge::wire::PurgeRequest;
use terrace_shared::time::Milliseconds;

use crate::ledger::BoxFuture;
use crate::purge::target::Taken;

/// Where purges wait, in the ledger's order, until every edge has taken them (R8).
///
/// Of all processes that share a journal, one at a time sends to an edge: the one whose claim holds.
pub(crate) trait Journal: Send + Sync {
    /// Takes or keeps the right to send to `edge`, and says what it has not taken yet.
    fn claim<'a>(
        &'a self,
        edge: &'a str,
        most: usize,
    ) -> BoxFuture<'a, Result<Claim, JournalError>>;

    /// Writes down how far `edge` has come, if the claim still holds.
    fn note<'a>(
        &'a self,
        edge: &'a str,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Held, JournalError>>;

    /// Gives the right to send to `edge` up, so that another process need not wait for it to run out.
    fn release<'a>(&'a self, edge: &'a str) -> BoxFuture<'a, Result<(), JournalError>>;

    /// How far each edge that the journal knows has come.
    fn edges(&self) -> BoxFuture<'_, Result<Vec<(String, Progress)>, JournalError>>;
}

/// The answer to a claim.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Claim {
    /// Another process sends to this edge, and this is how far it has come.
    Elsewhere(Progress),
    /// This process does.
    Here {
        /// How far the edge has come.
        progress: Progress,
        /// What it has not taken yet.
        backlog: Backlog,
    },
}

/// Whether a claim still holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Held {
    /// It does.
    Yes,
    /// Another process sends to this edge now.
    Lost,
}

/// What an edge has not taken yet, oldest first, and where all of it ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Backlog {
    /// Where the ledger stood when the journal was read.
    pub(crate) ledger: Epoch,
    /// The journal's last letter then.
    pub(crate) end: Mark,
    /// The letters after the edge's own mark; not always all of them.
    pub(crate) letters: Vec<Letter>,
}

/// One purge on its way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Letter {
    /// Its place in the journal.
    pub(crate) mark: Mark,
    /// Its place in the ledger.
    pub(crate) epoch: Epoch,
    /// What it asks for; none if it cannot be read.
    pub(crate) request: Option<PurgeRequest>,
}

/// A place in a journal, as a Redis Stream numbers its entries.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Mark(pub(crate) u64, pub(crate) u64);

/// Up to where an edge has taken all there was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub(crate) struct Cursor {
    /// The last letter that it has taken.
    pub(crate) mark: Mark,
    /// That letter's place in the ledger.
    pub(crate) epoch: Epoch,
}

/// How far an edge has come.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub(crate) struct Progress {
    /// Up to where it has taken all there was; none if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Cursor>,
    /// The place in the edge's own ledger of what it took last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) edge_epoch: Option<Epoch>,
    /// The bound that the edge gave with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bound_ms: Option<Milliseconds>,
    /// Why it does not take the next one, as the last attempt went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failing: Option<String>,
}

/// A journal that does not answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the outbox cannot be read: {reason}")]
pub(crate) struct JournalError {
    pub(crate) reason: String,
}

impl Progress {
    /// Whether the edge has taken the purge at `epoch`, and all before it; of another history, nothing is known.
    pub(crate) fn has_taken(&self, epoch: Epoch) -> bool {
        self.cursor.is_some_and(|cursor| {
            cursor.epoch.incarnation == epoch.incarnation && cursor.epoch.sequence >= epoch.sequence
        })
    }

    /// How many purges lie between the edge and `ledger`, where the ledger stands; none if nobody knows.
    pub(crate) fn behind(&self, ledger: Epoch) -> u64 {
        self.cursor.map_or(0, |cursor| {
            let (head, taken) = (ledger.sequence, cursor.epoch.sequence);
            head.as_u64().saturating_sub(taken.as_u64())
        })
    }

    /// How far it has come once `taken` was said of everything up to `cursor`.
    pub(crate) const fn after(cursor: Cursor, taken: Taken) -> Self {
        Self {
            cursor: Some(cursor),
            edge_epoch: taken.epoch,
            bound_ms: Some(taken.bound),
            failing: None,
        }
    }

    /// Where it has come to as text, with the format's number before it.
    pub(crate) fn encode(&self) -> String {
        // Strings and numbers alone: there is nothing in it that JSON could refuse.
        format!("1 {}", serde_json::to_string(self).unwrap_or_default())
    }

    /// What [`encode`](Self::encode) wrote; anything else is no progress that could be relied upon.
    pub(crate) fn decode(text: &str) -> Self {
        text.strip_prefix("1 ")
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.0, self.1)
    }
}

impl FromStr for Mark {
    type Err = JournalError;

    fn from_str(text: &str) -> Result<Self, JournalError> {
        let parse = || {
            let (first, second) = text.split_once('-')?;
            Some(Self(first.parse().ok()?, second.parse().ok()?))
        };
        parse().ok_or_else(|| JournalError {
            reason: format!("{text:?} is no place in a stream"),
        })
    }
}

impl Serialize for Mark {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use terrace_shared::purge::{Incarnation, Sequence};

    use super::*;

    fn epoch(sequence: u64) -> Epoch {
        Epoch {
            incarnation: Incarnation::from_random(0x00c0_ffee_00c0_ffee),
            sequence: Sequence::new(sequence),
        }
    }

    #[test]
    fn progress_is_written_as_pinned_and_read_back() {
        let all = Progress {
            cursor: Some(Cursor {
                mark: Mark(1_700_000_000_000, 2),
                epoch: epoch(17),
            }),
            edge_epoch: Some(epoch(4)),
            bound_ms: Some(Milliseconds::new(5_000)),
            failing: Some("the edge answered 503".to_owned()),
        };
        let pinned = include_str!("../../../../tests/vectors/outbox_progress_v1.txt");
        let mut lines = pinned.lines().filter(|line| !line.starts_with('#'));
        for progress in [Progress::default(), all] {
            let line = lines.next().expect("a line for each");
            assert_eq!(progress.encode(), line);
            assert_eq!(Progress::decode(line), progress);
        }
    }

    #[test]
    fn progress_that_cannot_be_read_is_none() {
        for text in [
            "",
            "1",
            "1 ",
            "2 {}",
            r#"1 {"cursor":{"mark":"x","epoch":"00c0ffee00c0ffee-1"}}"#,
        ] {
            assert_eq!(Progress::decode(text), Progress::default(), "{text}");
        }
    }

    #[test]
    fn only_what_lies_before_the_cursor_of_its_own_history_is_taken() {
        let at = |epoch| Progress {
            cursor: Some(Cursor {
                mark: Mark::default(),
                epoch,
            }),
            ..Progress::default()
        };
        assert!(at(epoch(5)).has_taken(epoch(5)));
        assert!(!at(epoch(4)).has_taken(epoch(5)));
        let other = Epoch {
            incarnation: Incarnation::from_random(1),
            ..epoch(9)
        };
        assert!(!at(other).has_taken(epoch(5)));
        assert!(!Progress::default().has_taken(epoch(0)));
    }
}
