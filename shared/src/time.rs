//! Moments and lengths of time, as types that cannot be mixed up.
//!
//! HTTP caching counts in whole seconds (RFC 9111 §1.2.2); ledgers and lifetimes here do too.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A moment, in whole seconds since the Unix epoch.
///
/// This crate never reads a clock: every function that needs the time takes it as an argument.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `seconds` after the Unix epoch.
    pub const fn from_unix_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_unix_seconds(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn saturating_since(self, earlier: Self) -> DeltaSeconds {
        DeltaSeconds(self.0.saturating_sub(earlier.0))
    }

    /// The moment `length` later, or the last one there is.
    #[must_use]
    pub const fn saturating_add(self, length: DeltaSeconds) -> Self {
        Self(self.0.saturating_add(length.0))
    }

    /// The moment `length` earlier, or the Unix epoch.
    #[must_use]
    pub const fn saturating_sub(self, length: DeltaSeconds) -> Self {
        Self(self.0.saturating_sub(length.0))
    }
}

/// A length of time in whole seconds, never negative (RFC 9111 §1.2.2).
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize,
)]
#[serde(transparent)]
pub struct DeltaSeconds(u64);

impl DeltaSeconds {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// The longest length that a cache must be able to keep (RFC 9111 §1.2.2).
    pub const LONGEST: Self = Self(1 << 31);

    /// `seconds` long.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// `minutes` long.
    pub const fn minutes(minutes: u64) -> Self {
        Self(minutes.saturating_mul(60))
    }

    /// `hours` long.
    pub const fn hours(hours: u64) -> Self {
        Self(hours.saturating_mul(3_600))
    }

    /// `days` long.
    pub const fn days(days: u64) -> Self {
        Self(days.saturating_mul(86_400))
    }

    /// Whole seconds.
    pub const fn as_seconds(self) -> u64 {
        self.0
    }

    /// Whether this is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Both lengths one after the other, or the longest there is.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of this after `other`; zero if nothing is.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This length `factor` times, or the longest there is.
    #[must_use]
    pub const fn saturating_mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl fmt::Display for DeltaSeconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} s", self.0)
    }
}

/// A moment, in whole milliseconds since the Unix epoch: for lags and load times, where seconds are too coarse.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize,
)]
#[serde(transparent)]
pub struct TimestampMillis(u64);

impl TimestampMillis {
    /// The moment `milliseconds` after the Unix epoch.
    pub const fn from_unix_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Whole milliseconds since the Unix epoch.
    pub const fn as_unix_millis(self) -> u64 {
        self.0
    }

    /// The whole second that this moment lies in.
    pub const fn timestamp(self) -> Timestamp {
        Timestamp(self.0 / 1_000)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn saturating_since(self, earlier: Self) -> Milliseconds {
        Milliseconds(self.0.saturating_sub(earlier.0))
    }

    /// The moment `length` later, or the last one there is.
    #[must_use]
    pub const fn saturating_add(self, length: Milliseconds) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

/// A length of time in whole milliseconds, never negative.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize,
)]
#[serde(transparent)]
pub struct Milliseconds(u64);

impl Milliseconds {
    /// `milliseconds` long.
    pub const fn new(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Whole milliseconds.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl From<DeltaSeconds> for Milliseconds {
    fn from(length: DeltaSeconds) -> Self {
        Self(length.0.saturating_mul(1_000))
    }
}

impl fmt::Display for Milliseconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ms", self.0)
    }
}

/// A number of bytes.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize,
)]
#[serde(transparent)]
pub struct ByteCount(u64);

impl ByteCount {
    /// `bytes` bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// `kibibytes` times 1,024 bytes.
    pub const fn kibibytes(kibibytes: u64) -> Self {
        Self(kibibytes.saturating_mul(1 << 10))
    }

    /// `mebibytes` times 1,048,576 bytes.
    pub const fn mebibytes(mebibytes: u64) -> Self {
        Self(mebibytes.saturating_mul(1 << 20))
    }

    /// The number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn lengths_and_moments_saturate_at_both_ends() {
        let noon = Timestamp::from_unix_seconds(43_200);
        let later = noon.saturating_add(DeltaSeconds::hours(1));
        assert_eq!(later.saturating_since(noon), DeltaSeconds::hours(1));
        assert_eq!(noon.saturating_since(later), DeltaSeconds::ZERO);
        assert_eq!(
            noon.saturating_sub(DeltaSeconds::days(9)),
            Timestamp::default()
        );
        let longest = DeltaSeconds::seconds(u64::MAX);
        assert_eq!(longest.saturating_mul(2), longest);
        assert_eq!(
            noon.saturating_add(longest),
            Timestamp::from_unix_seconds(u64::MAX)
        );
    }
}
