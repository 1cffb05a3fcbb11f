//! What a request's tokens ask for, and what may answer it.

use std::collections::VecDeque;

use ::http::header::COOKIE;
use ::http::{HeaderMap, HeaderValue};

use super::cookie::tokens_in_cookies;
use super::{ReadToken, TokenSecrets};
use crate::purge::wire::AFTER_FIELD;
use crate::purge::{Epoch, Fence, Incarnation, Verdict};

/// What a request asks for by its tokens: nothing older than these purges.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct After {
    /// Their places in origin ledgers.
    pub origin: Wanted,
    /// Their places in edge ledgers.
    pub edge: Wanted,
}

/// Places in ledgers of one kind: the furthest of each history.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted(Vec<Epoch>);

/// What a request presents.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Presented {
    /// What its tokens ask for; empty if it has none that is believed.
    pub after: After,
    /// How many of them are not believed: forged, malformed, too many, or no secret is known to read them by.
    pub ignored: usize,
}

/// How a view of a ledger stands against what is wanted of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Reach {
    /// It knows of all these purges, and its verdicts count.
    Reached,
    /// It may lack one: it must ask its authority, and until it has been told, nothing that is stored is usable.
    Behind,
}

/// Histories that an authority is known to have left behind: their tokens ask for nothing any more (R6).
///
/// Bounded: whoever presents a token of one that was forgotten makes the view ask once more.
#[derive(Clone, Debug, Default)]
pub struct GoneHistories(VecDeque<Incarnation>);

impl Presented {
    /// Most tokens of one request that are read.
    pub const MOST: usize = 8;

    /// What the fields of a request present, in [`AFTER_FIELD`] and as a cookie.
    ///
    /// Without `secrets` no token can be believed, and all are ignored.
    pub fn of(fields: &HeaderMap, secrets: Option<&TokenSecrets>) -> Self {
        let lines = fields
            .get_all(AFTER_FIELD)
            .iter()
            .map(HeaderValue::as_bytes);
        let cookies = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
        let tokens = lines
            .chain(cookies.flat_map(tokens_in_cookies))
            .flat_map(|list| list.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|token| !token.is_empty());
        let mut presented = Self::default();
        for (number, token) in tokens.enumerate() {
            let known = secrets.filter(|_| number < Self::MOST);
            let text = std::str::from_utf8(token).ok();
            match known
                .zip(text)
                .map(|(secrets, text)| ReadToken::verify(text, secrets))
            {
                Some(Ok(token)) => presented.after.want(&token),
                Some(Err(_)) | None => presented.ignored += 1,
            }
        }
        presented
    }
}

impl After {
    /// What `token` asks for.
    pub fn of(token: &ReadToken) -> Self {
        let mut after = Self::default();
        after.want(token);
        after
    }

    /// Asks for what `token` names as well.
    pub fn want(&mut self, token: &ReadToken) {
        for (wanted, epoch) in [
            (&mut self.origin, token.origin),
            (&mut self.edge, token.edge),
        ] {
            if let Some(epoch) = epoch {
                wanted.add(epoch);
            }
        }
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.origin.is_empty() && self.edge.is_empty()
    }

    /// What an edge may make of a stored response, on which its ledger has said `verdict`.
    ///
    /// `reach` is how the edge's view stands against [`Self::edge`]; `told` is how far along the origin's ledger it
    /// has been told of purges, which come in their order. A response that was produced under an older position of
    /// the origin's ledger than a token names may be older than that purge, as long as the edge has not been told of it.
    pub fn verdict_at_edge(
        &self,
        verdict: Verdict,
        fence: &Fence,
        reach: Reach,
        told: Option<Epoch>,
    ) -> Verdict {
        let known = |wanted: &Epoch| {
            let covers = |position: Option<Epoch>| position.is_some_and(|at| covers(at, *wanted));
            covers(fence.produced_at) || covers(told)
        };
        if self.origin.0.iter().all(known) {
            reach.judge(verdict)
        } else {
            Verdict::Dropped
        }
    }
}

impl Wanted {
    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How a view that stands at `here` stands against this.
    pub fn reach(&self, here: Option<Epoch>, gone: &GoneHistories) -> Reach {
        let reached = |wanted: &Epoch| {
            here.is_some_and(|here| covers(here, *wanted)) || gone.contains(wanted.incarnation)
        };
        if self.0.iter().all(reached) {
            Reach::Reached
        } else {
            Reach::Behind
        }
    }

    /// The place in the history of `here` that lies beyond it, if one is wanted.
    pub fn beyond(&self, here: Epoch) -> Option<Epoch> {
        let beyond = |wanted: &&Epoch| {
            wanted.incarnation == here.incarnation && wanted.sequence > here.sequence
        };
        self.0.iter().find(beyond).copied()
    }

    fn add(&mut self, epoch: Epoch) {
        let same = |other: &&mut Epoch| other.incarnation == epoch.incarnation;
        match self.0.iter_mut().find(same) {
            Some(other) => other.sequence = other.sequence.max(epoch.sequence),
            None => self.0.push(epoch),
        }
    }
}

impl Reach {
    /// What a reader with tokens may make of an entry, on which the ledger has said `verdict`.
    ///
    /// One that a purge has softened is older than that purge: others may be served it within grace, this reader not.
    /// One that no purge has named counts as filled where the view stands (R2), however stale it is otherwise.
    pub const fn judge(self, verdict: Verdict) -> Verdict {
        match (self, verdict) {
            (Self::Reached, Verdict::Untouched) => Verdict::Untouched,
            (Self::Reached, Verdict::Softened | Verdict::Dropped) | (Self::Behind, _) => {
                Verdict::Dropped
            }
        }
    }
}

impl GoneHistories {
    /// Most that are remembered.
    const MOST: usize = 8;

    /// Notes that the authority was asked after `wanted` was presented, and stands at `here`.
    pub fn note(&mut self, wanted: &Wanted, here: Epoch) {
        self.0.retain(|gone| *gone != here.incarnation);
        let others = wanted.0.iter().map(|wanted| wanted.incarnation);
        for incarnation in others.filter(|other| *other != here.incarnation) {
            if !self.contains(incarnation) {
                self.0.push_back(incarnation);
            }
        }
        let spare = self.0.len().saturating_sub(Self::MOST);
        self.0.drain(..spare);
    }

    fn contains(&self, incarnation: Incarnation) -> bool {
        self.0.contains(&incarnation)
    }
}

/// Whether whoever stands at `at` knows of the purge at `wanted`.
fn covers(at: Epoch, wanted: Epoch) -> bool {
    at.incarnation == wanted.incarnation && at.sequence >= wanted.sequence
}
