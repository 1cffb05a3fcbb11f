//! A stored response, parsed once when it is stored.

use ::http::{HeaderMap, StatusCode};

use super::cache_control::Flags;
use super::range::ByteRange;
use super::{EntityTag, VaryKey};
use crate::purge::{EntryScopes, Epoch, Fence};
use crate::time::{DeltaSeconds, Timestamp, TimestampMillis};

/// What a cache holds, but for the body: the shells keep bodies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredResponse {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) flags: Flags,
    pub(super) exchange: Exchange,
    pub(super) date: Timestamp,
    pub(super) age_field: DeltaSeconds,
    pub(super) lifetime: DeltaSeconds,
    pub(super) grace: Allowance,
    pub(super) stale_if_error: Allowance,
    /// What the rules allow when the origin cannot be reached.
    pub(super) when_disconnected: DeltaSeconds,
    pub(super) entity_tag: Option<EntityTag>,
    pub(super) last_modified: Option<Timestamp>,
    pub(super) extent: Extent,
    pub(super) vary: VaryKey,
    pub(super) scopes: EntryScopes,
    pub(super) fence: Fence,
}

/// When the origin was asked, and when it answered (RFC 9111 §4.2.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exchange {
    /// `request_time`: when the request was sent.
    pub requested_at: Timestamp,
    /// `response_time`: when the head of the response came.
    pub received_at: Timestamp,
}

impl Exchange {
    /// Between these moments: what lies between them is whole seconds rounded down, even if a second turned over
    /// meanwhile, so that an answer within milliseconds does not make a response older.
    pub fn between(requested_at: TimestampMillis, received_at: TimestampMillis) -> Self {
        let delay = received_at.saturating_since(requested_at).as_u64() / 1_000;
        let received_at = received_at.timestamp();
        Self {
            requested_at: received_at.saturating_sub(DeltaSeconds::seconds(delay)),
            received_at,
        }
    }
}

/// How long a response may be served stale, and who says so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Allowance {
    /// The response itself.
    Stated(DeltaSeconds),
    /// The rules.
    Default(DeltaSeconds),
}

/// Which bytes of the representation the stored body is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extent {
    /// All of them; how many, if the origin said so.
    Complete {
        /// The body's length.
        length: Option<u64>,
    },
    /// One range (RFC 9111 §3.3).
    Partial {
        /// Their positions in the representation.
        range: ByteRange,
        /// Length of the whole, if the origin said so; never less than what the range needs.
        complete: Option<u64>,
    },
}

/// Whether a response is fresh (RFC 9111 §4.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Freshness {
    /// Its lifetime is greater than its age.
    Fresh {
        /// By how much.
        remaining: DeltaSeconds,
    },
    /// Its age has reached its lifetime.
    Stale {
        /// How far it is past.
        by: DeltaSeconds,
    },
}

impl Freshness {
    /// Compares the two; equality is stale (RFC 9111 §4.2).
    pub fn of(lifetime: DeltaSeconds, age: DeltaSeconds) -> Self {
        if lifetime > age {
            Self::Fresh {
                remaining: lifetime.saturating_sub(age),
            }
        } else {
            Self::Stale {
                by: age.saturating_sub(lifetime),
            }
        }
    }

    /// Whether its lifetime is greater than its age.
    pub const fn is_fresh(self) -> bool {
        match self {
            Self::Fresh { .. } => true,
            Self::Stale { .. } => false,
        }
    }

    /// For how long it has been stale; zero if it is fresh.
    pub const fn stale_for(self) -> DeltaSeconds {
        match self {
            Self::Fresh { .. } => DeltaSeconds::ZERO,
            Self::Stale { by } => by,
        }
    }
}

impl Allowance {
    const fn length(self) -> DeltaSeconds {
        match self {
            Self::Stated(length) | Self::Default(length) => length,
        }
    }
}

impl StoredResponse {
    /// Its status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Its fields as they are stored; what clients get is [`super::response_fields`].
    pub const fn fields(&self) -> &HeaderMap {
        &self.fields
    }

    /// What it answers to when something is purged.
    pub const fn scopes(&self) -> &EntryScopes {
        &self.scopes
    }

    /// Which purges it has seen.
    pub const fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Which requests it is for.
    pub const fn vary(&self) -> &VaryKey {
        &self.vary
    }

    /// Its entity tag.
    pub const fn entity_tag(&self) -> Option<&EntityTag> {
        self.entity_tag.as_ref()
    }

    /// When its representation was last changed, as the origin says.
    pub const fn last_modified(&self) -> Option<Timestamp> {
        self.last_modified
    }

    /// When it was produced: its `Date`, or when it came.
    pub const fn date(&self) -> Timestamp {
        self.date
    }

    /// When it was asked for and when it came.
    pub const fn exchange(&self) -> Exchange {
        self.exchange
    }

    /// Which bytes its body is.
    pub const fn extent(&self) -> Extent {
        self.extent
    }

    /// Whether its body is all of the representation.
    pub const fn is_whole(&self) -> bool {
        match self.extent {
            Extent::Complete { .. } => true,
            Extent::Partial { .. } => false,
        }
    }

    /// Its freshness lifetime.
    pub const fn lifetime(&self) -> DeltaSeconds {
        self.lifetime
    }

    /// How long it may be served stale while it is revalidated; zero if it must not be.
    pub const fn grace(&self) -> DeltaSeconds {
        self.allowed(self.grace)
    }

    /// How long it may be served stale when the origin fails; zero if it must not be.
    pub const fn stale_if_error(&self) -> DeltaSeconds {
        self.allowed(self.stale_if_error)
    }

    /// How long it may be served stale while the origin cannot be reached; zero if it must not be.
    pub const fn stale_when_disconnected(&self) -> DeltaSeconds {
        match self.stale_if_error {
            // The origin has said for how long itself (RFC 5861 §4).
            Allowance::Stated(_) => DeltaSeconds::ZERO,
            Allowance::Default(_) => self.allowed(Allowance::Default(self.when_disconnected)),
        }
    }

    /// Whether there is anything to validate it with.
    pub const fn has_validator(&self) -> bool {
        self.entity_tag.is_some() || self.last_modified.is_some()
    }

    /// Whether it will never change while it is fresh (RFC 8246).
    pub const fn is_immutable(&self) -> bool {
        self.flags.has(Flags::IMMUTABLE)
    }

    /// Current age at `now` (RFC 9111 §4.2.3).
    pub fn current_age(&self, now: Timestamp) -> DeltaSeconds {
        let Exchange {
            requested_at,
            received_at,
        } = self.exchange;
        let apparent_age = received_at.saturating_since(self.date);
        let response_delay = received_at.saturating_since(requested_at);
        let corrected_age = self.age_field.saturating_add(response_delay);
        let resident_time = now.saturating_since(received_at);
        apparent_age
            .max(corrected_age)
            .saturating_add(resident_time)
    }

    /// Whether it is fresh at `now` (RFC 9111 §4.2).
    pub fn freshness(&self, now: Timestamp) -> Freshness {
        Freshness::of(self.lifetime, self.current_age(now))
    }

    /// From when on it may not be sent without asking the origin, whatever happens: stale, and past everything
    /// that lets it be sent nevertheless.
    ///
    /// With a validator it is still worth keeping for longer; that is for the shell to weigh.
    pub fn usable_until(&self) -> Timestamp {
        let received_at = self.exchange.received_at;
        let allowed = self
            .grace()
            .max(self.stale_if_error())
            .max(self.stale_when_disconnected());
        received_at.saturating_add(
            self.lifetime
                .saturating_add(allowed)
                .saturating_sub(self.current_age(received_at)),
        )
    }

    /// Lifts the fence of a response that the ledger has judged untouched at `epoch` (R2).
    #[must_use]
    pub const fn lifted_to(mut self, epoch: Epoch) -> Self {
        self.fence.filled_at = epoch;
        self
    }

    /// Whether any directive forbids to send it stale (RFC 9111 §4.2.4).
    pub(super) const fn forbids_stale(&self) -> bool {
        self.flags.has(Flags::NO_CACHE)
            || self.flags.has(Flags::MUST_REVALIDATE)
            || self.flags.has(Flags::PROXY_REVALIDATE)
    }

    /// Whether it may be sent stale because somebody other than the origin says so: `s-maxage` forbids
    /// that too (RFC 9111 §5.2.2.10).
    pub(super) const fn forbids_unstated_stale(&self) -> bool {
        self.forbids_stale() || self.flags.has(Flags::S_MAXAGE)
    }

    const fn allowed(&self, allowance: Allowance) -> DeltaSeconds {
        let forbidden = match allowance {
            Allowance::Stated(_) => self.forbids_stale(),
            Allowance::Default(_) => self.forbids_unstated_stale(),
        };
        if forbidden {
            DeltaSeconds::ZERO
        } else {
            allowance.length()
        }
    }
}
