//! What replicas of one data centre leave for each other: the newest answers put together, and the whole ledger.
//!
//! Who has asked the authority leaves the answer behind earlier ones, with the moment when it was *asked*: whoever
//! takes it over has a view of that age, never a younger one (R7). A replica that is new takes the whole ledger,
//! however old that is, and the answers after it; one that was away for a while takes the answers it has missed.
//! What lies there is believed only if it follows on from what the replica knows, and is asked past otherwise.

use super::refresh::{Asking, Question, SKEW};
use super::{Epoch, LedgerLimits, Sequence, Update};
use crate::bytes::{DecodeError, Reader, Writer};
use crate::time::{Milliseconds, TimestampMillis};

/// What is said of answers of the authority's beside their bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Label {
    /// When the last one was asked for.
    pub asked_at: TimestampMillis,
    /// From where on they tell of purges; none if it is the whole ledger.
    pub from: Option<Epoch>,
    /// Where the authority stood.
    pub head: Epoch,
}

/// What a replica is to do with the answers that others left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Worth {
    /// Nothing: they are older than what it knows, or do not agree with it.
    Nothing,
    /// They say that nothing has been purged since.
    Confirms,
    /// They tell of what has been.
    Brings,
    /// They do so after the whole ledger.
    BringsAfterWhole,
}

/// Answers of the authority's, each of which follows on from the one before.
///
/// `B` is what each is kept as: its bytes, or nothing where only lengths are counted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bulletin<B> {
    /// What is said of them all.
    pub label: Label,
    parts: Vec<Part<B>>,
}

/// One answer.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Part<B> {
    /// How far it tells of purges.
    head: Sequence,
    length: usize,
    bytes: B,
}

impl Label {
    /// What to say of the answer to `question`.
    pub fn of(question: Question, update: &Update) -> Self {
        let (from, head) = match update {
            Update::Delta {
                incarnation, head, ..
            } => {
                let head = Epoch {
                    incarnation: *incarnation,
                    sequence: *head,
                };
                (question.since, head)
            }
            Update::Snapshot(ledger) => (None, ledger.epoch()),
        };
        Self {
            asked_at: question.asked_at,
            from,
            head,
        }
    }

    /// When the answers count as asked for by whoever did not ask himself.
    pub fn counts_from(&self) -> TimestampMillis {
        let asked_at = self.asked_at.as_unix_millis();
        TimestampMillis::from_unix_millis(asked_at.saturating_sub(SKEW.as_u64()))
    }

    /// What the answers are worth at `now` to a view that stands `here` and is `view_age` old.
    ///
    /// They must be younger than the view. Those that know less than the view does are of no use: the view has been
    /// told of a purge since, or the authority has lost one, and only the authority knows.
    pub fn worth(
        &self,
        here: Option<Epoch>,
        view_age: Option<Milliseconds>,
        now: TimestampMillis,
    ) -> Worth {
        let counts = now.saturating_since(self.counts_from());
        if now < self.asked_at || view_age.is_some_and(|age| counts >= age) {
            return Worth::Nothing;
        }
        match here {
            Some(here) if here == self.head => Worth::Confirms,
            Some(here) if here.incarnation == self.head.incarnation => {
                let is_known = |from: Epoch| from.sequence <= here.sequence;
                if here.sequence > self.head.sequence {
                    Worth::Nothing
                } else if self.from.is_some_and(is_known) {
                    Worth::Brings
                } else {
                    Worth::BringsAfterWhole
                }
            }
            Some(_) | None => Worth::BringsAfterWhole,
        }
    }

    /// Whether a whole ledger with this label lets a view that stands `here` go on with the answers under `news`.
    pub fn leads_to(&self, news: &Self, here: Option<Epoch>) -> bool {
        let (head, news_from) = (self.head, news.from.unwrap_or(news.head));
        let is_ahead =
            |here: Epoch| here.incarnation != head.incarnation || here.sequence < head.sequence;
        head.incarnation == news_from.incarnation
            && head.sequence >= news_from.sequence
            && here.is_none_or(is_ahead)
    }

    /// `2 ASKED_AT FROM HEAD`, with a dash for the whole ledger.
    pub fn to_text(self) -> String {
        let from = self.from.map_or("-".to_owned(), |from| from.to_string());
        format!("2 {} {from} {}", self.asked_at.as_unix_millis(), self.head)
    }

    /// The label that [`Self::to_text`] wrote; none if it is none.
    pub fn from_text(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let ["2", asked_at, from, head] = words[..] else {
            return None;
        };
        Some(Self {
            asked_at: TimestampMillis::from_unix_millis(asked_at.parse().ok()?),
            from: match from {
                "-" => None,
                from => Some(from.parse().ok()?),
            },
            head: head.parse().ok()?,
        })
    }
}

impl<B> Bulletin<B> {
    /// Most bytes that are kept together; the older half goes when there are more.
    pub const MOST: usize = 256 * 1_024;

    /// Answers that begin with one of this label, of which `bytes` are `length` long.
    ///
    /// After the whole ledger they begin with nothing: that is kept by itself.
    #[must_use]
    pub fn beginning(label: Label, bytes: B, length: usize) -> Self {
        let from = label.from.unwrap_or(label.head);
        let head = label.head.sequence;
        let part = (from != label.head).then_some(Part {
            head,
            length,
            bytes,
        });
        Self {
            label: Label {
                from: Some(from),
                ..label
            },
            parts: part.into_iter().collect(),
        }
    }

    /// The answers that lie here and `later` behind them; without them if it does not follow on. None if those that
    /// lie here are newer.
    #[must_use]
    pub fn put_behind(earlier: Option<Self>, later: Self) -> Option<Self> {
        let asked_at = later.label.asked_at;
        let latest = asked_at.saturating_add(Asking::PATIENCE);
        // What was asked long after this, which has just been answered, was so by a clock that goes wrong.
        let earlier = earlier.filter(|earlier| earlier.label.asked_at <= latest);
        let Some(mut all) = earlier else {
            return Some(later);
        };
        if all.label.asked_at >= asked_at {
            return None;
        }
        if !all.label.goes_on_with(&later.label) {
            return Some(later);
        }
        all.label = Label {
            from: all.label.from,
            ..later.label
        };
        let known = all.parts.last().map(|part| part.head);
        let new = later.parts.into_iter().next_back();
        if let Some(part) = new.filter(|part| Some(part.head) > known) {
            all.parts.push(part);
        }
        all.trim();
        Some(all)
    }

    /// How long all answers are together.
    #[must_use]
    pub fn length(&self) -> usize {
        self.parts.iter().map(|part| part.length).sum()
    }

    /// Forgets the oldest answers when they are too long.
    fn trim(&mut self) {
        let mut length = self.length();
        if length <= Self::MOST {
            return;
        }
        let mut gone = 0;
        for part in &self.parts {
            if length <= Self::MOST / 2 {
                break;
            }
            length -= part.length;
            gone += 1;
        }
        let rest = self.parts.split_off(gone);
        let last = std::mem::replace(&mut self.parts, rest).pop();
        if let (Some(last), Some(from)) = (last, &mut self.label.from) {
            from.sequence = last.head;
        }
    }
}

impl Label {
    /// Whether `later` tells of everything after what is told here, of the same history.
    fn goes_on_with(&self, later: &Self) -> bool {
        let (Some(from), Some(since)) = (self.from, later.from) else {
            return false;
        };
        from.incarnation == since.incarnation
            && from.incarnation == later.head.incarnation
            && (from.sequence..=self.head.sequence).contains(&since.sequence)
            && self.head.sequence <= later.head.sequence
    }
}

impl<'a> Bulletin<&'a [u8]> {
    /// The answers that [`Self::encode`] wrote, under their `label`.
    ///
    /// # Errors
    /// When the bytes are not those of answers.
    pub fn decode(label: Label, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::UnknownVersion(other)),
        }
        let count = reader.count(12)?;
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            let head = Sequence::new(reader.u64()?);
            let bytes = reader.bytes()?;
            parts.push(Part {
                head,
                length: bytes.len(),
                bytes,
            });
        }
        reader.finish()?;
        Ok(Self { label, parts })
    }

    /// The answers as bytes, without their label.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(VERSION);
        writer.count(self.parts.len());
        for part in &self.parts {
            writer.u64(part.head.as_u64());
            writer.bytes(part.bytes);
        }
        writer.0
    }

    /// What they tell a replica that stands at `here`; older answers are not read.
    ///
    /// # Errors
    /// When an answer is none, or is one of another history than the label says.
    pub fn news_after(&self, here: Sequence, limits: LedgerLimits) -> Result<Update, DecodeError> {
        let Epoch {
            incarnation,
            sequence: head,
        } = self.label.head;
        let mut news = Vec::new();
        for part in self.parts.iter().filter(|part| part.head > here) {
            match Update::decode(part.bytes, limits)? {
                Update::Delta {
                    incarnation: theirs,
                    head,
                    records,
                } if theirs == incarnation && head == part.head => news.extend(records),
                Update::Delta { .. } | Update::Snapshot(_) => return Err(DecodeError::OtherKind),
            }
        }
        Ok(Update::Delta {
            incarnation,
            head,
            records: news,
        })
    }
}

/// How long answers are kept, and the whole ledger beside them.
pub const KEPT: Milliseconds = Milliseconds::new(300_000);

const VERSION: u8 = 2;

#[cfg(test)]
mod tests;
