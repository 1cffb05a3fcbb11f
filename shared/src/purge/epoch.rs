//! Positions in a ledger.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The place of a purge in one ledger's history: the first one is 1, and it only grows.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize,
)]
#[serde(transparent)]
pub struct Sequence(u64);

impl Sequence {
    /// Before the first purge.
    pub const ZERO: Self = Self(0);

    /// The place with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The random identity of one ledger's history.
///
/// Whoever starts a ledger, or starts it again after its contents were lost, draws a new one, so
/// that positions in the lost history are never compared with positions in the new one (R6).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Incarnation(u64);

impl Incarnation {
    /// The identity made of 64 random bits.
    pub const fn from_random(bits: u64) -> Self {
        Self(bits)
    }

    /// Its 64 bits.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// A position in a ledger: which history, and how far along it.
///
/// Written as sixteen hexadecimal digits, a hyphen and the sequence: `00c0ffee00c0ffee-17`. That is
/// its form in `Terrace-Epoch` fields and in JSON.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Epoch {
    /// Which history.
    pub incarnation: Incarnation,
    /// How many purges of that history had been seen.
    pub sequence: Sequence,
}

impl Epoch {
    /// The most bytes that an epoch has as text.
    pub const LONGEST: usize = 16 + 1 + 20;
}

/// The text is not an epoch.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is not an epoch: sixteen hexadecimal digits, a hyphen and a number are expected")]
pub struct EpochError {
    text: String,
}

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.incarnation, self.sequence.0)
    }
}

impl FromStr for Epoch {
    type Err = EpochError;

    fn from_str(text: &str) -> Result<Self, EpochError> {
        let parse = || {
            let (incarnation, sequence) = text.split_once('-')?;
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
            if incarnation.len() != 16 || !digits(incarnation) {
                return None;
            }
            if sequence.is_empty() || !sequence.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            Some(Self {
                incarnation: Incarnation(u64::from_str_radix(incarnation, 16).ok()?),
                sequence: Sequence(sequence.parse().ok()?),
            })
        };
        parse().ok_or_else(|| EpochError {
            text: text.chars().take(64).collect(),
        })
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a stored entry says of its own origin, so that a later reader can judge it.
///
/// Read before the source is asked and stored with the answer (R1); a copy promoted to another
/// tier keeps it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Fence {
    /// Position of this tier's ledger, read before the source was asked.
    pub filled_at: Epoch,
    /// Position of the origin's ledger that the origin said its answer was produced under (R9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produced_at: Option<Epoch>,
}

impl Fence {
    /// A fill that begins at `filled_at`, from a source that keeps no ledger of its own.
    pub const fn at(filled_at: Epoch) -> Self {
        Self {
            filled_at,
            produced_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn epoch_text_is_pinned_and_read_back() {
        let epoch = Epoch {
            incarnation: Incarnation::from_random(0x00c0_ffee_00c0_ffee),
            sequence: Sequence::new(17),
        };
        assert_eq!(epoch.to_string(), "00c0ffee00c0ffee-17");
        assert_eq!("00c0ffee00c0ffee-17".parse(), Ok(epoch));
    }

    #[test]
    fn anything_else_is_no_epoch() {
        for text in [
            "",
            "-",
            "17",
            "00c0ffee00c0ffee-",
            "00c0ffee00c0ffee-+1",
            "00c0ffee00c0ffe-1",
            "+0c0ffee00c0ffee-1",
            "00c0ffee00c0ffee-99999999999999999999",
            "00c0ffee00c0ffee-1 ",
        ] {
            assert!(text.parse::<Epoch>().is_err(), "{text:?}");
        }
    }
}
