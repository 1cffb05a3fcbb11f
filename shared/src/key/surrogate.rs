//! Surrogate keys: names shared by responses that are purged together.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// One surrogate key: visible ASCII without spaces and commas, compared byte by byte.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct SurrogateKey(Box<str>);

/// The surrogate keys of one response: no more than the limits allow, none twice.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SurrogateKeys(Vec<SurrogateKey>);

/// Why a surrogate key, or a response's set of them, is refused (R12): such a response is not stored.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SurrogateKeyError {
    /// Nothing was given.
    #[error("surrogate key is empty")]
    Empty,
    /// More bytes than allowed.
    #[error("surrogate key is {bytes} bytes long, at most {limit} are allowed", limit = SurrogateKey::LONGEST)]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A byte that is not visible ASCII.
    #[error("surrogate key has a byte that is not visible ASCII at {at}")]
    NotVisibleAscii {
        /// Where.
        at: usize,
    },
    /// A comma, which separates keys in some of the fields that carry them.
    #[error("surrogate key has a comma at {at}")]
    Comma {
        /// Where.
        at: usize,
    },
    /// More keys on one response than allowed.
    #[error("more than {limit} surrogate keys on one response", limit = SurrogateKeys::MOST)]
    TooMany,
    /// More bytes of keys on one response than allowed.
    #[error("more than {limit} bytes of surrogate keys on one response", limit = SurrogateKeys::MOST_BYTES)]
    TooManyBytes,
}

impl SurrogateKey {
    /// Longest key, in bytes; Fastly's limit as well.
    pub const LONGEST: usize = 1_024;

    /// The key that `text` is.
    ///
    /// # Errors
    /// When it is empty, too long, or has a byte that no key may have.
    pub fn parse(text: &str) -> Result<Self, SurrogateKeyError> {
        if text.is_empty() {
            return Err(SurrogateKeyError::Empty);
        }
        if text.len() > Self::LONGEST {
            return Err(SurrogateKeyError::TooLong { bytes: text.len() });
        }
        if let Some(at) = text.bytes().position(|byte| !byte.is_ascii_graphic()) {
            return Err(SurrogateKeyError::NotVisibleAscii { at });
        }
        if let Some(at) = text.bytes().position(|byte| byte == b',') {
            return Err(SurrogateKeyError::Comma { at });
        }
        Ok(Self(text.into()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SurrogateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SurrogateKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl SurrogateKeys {
    /// Most keys on one response.
    pub const MOST: usize = 1_024;

    /// Most bytes of keys on one response, each key with one separator: 16 KiB of a field's value.
    pub const MOST_BYTES: usize = 16 * 1_024 + 1;

    /// The keys in the values of `Surrogate-Key`, `xkey` (by spaces), `Cache-Tag` and `Edge-Cache-Tag` (by commas).
    ///
    /// # Errors
    /// When any key is malformed or a limit is passed: none is dropped silently (R12).
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, SurrogateKeyError> {
        let mut keys = Self::default();
        for value in values {
            for text in value
                .split([' ', '\t', ','])
                .filter(|text| !text.is_empty())
            {
                keys.insert(SurrogateKey::parse(text)?)?;
            }
        }
        Ok(keys)
    }

    /// Adds `key`, unless it is there already.
    ///
    /// # Errors
    /// When a limit is passed; the set is then as it was.
    pub fn insert(&mut self, key: SurrogateKey) -> Result<(), SurrogateKeyError> {
        let Err(place) = self.0.binary_search(&key) else {
            return Ok(());
        };
        if self.0.len() >= Self::MOST {
            return Err(SurrogateKeyError::TooMany);
        }
        let bytes: usize = self.0.iter().map(|key| key.0.len() + 1).sum();
        if bytes + key.0.len() + 1 > Self::MOST_BYTES {
            return Err(SurrogateKeyError::TooManyBytes);
        }
        self.0.insert(place, key);
        Ok(())
    }

    /// The keys, sorted.
    pub fn iter(&self) -> std::slice::Iter<'_, SurrogateKey> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a SurrogateKeys {
    type Item = &'a SurrogateKey;
    type IntoIter = std::slice::Iter<'a, SurrogateKey>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn both_ways_of_separating_are_read_and_repeats_are_dropped() {
        let keys = SurrogateKeys::parse(["b a  a", "c,a, d"]).unwrap();
        let texts: Vec<_> = keys.iter().map(SurrogateKey::as_str).collect();
        assert_eq!(texts, ["a", "b", "c", "d"]);
        assert!(SurrogateKeys::parse(["", " , "]).unwrap().is_empty());
    }

    #[test]
    fn malformed_keys_are_refused_with_their_place() {
        for (text, error) in [
            ("", SurrogateKeyError::Empty),
            ("a b", SurrogateKeyError::NotVisibleAscii { at: 1 }),
            ("é", SurrogateKeyError::NotVisibleAscii { at: 0 }),
            ("a,b", SurrogateKeyError::Comma { at: 1 }),
        ] {
            assert_eq!(SurrogateKey::parse(text), Err(error), "{text:?}");
        }
        let long = "k".repeat(SurrogateKey::LONGEST + 1);
        assert_eq!(
            SurrogateKey::parse(&long),
            Err(SurrogateKeyError::TooLong { bytes: 1_025 })
        );
        assert!(SurrogateKey::parse(&long[1..]).is_ok());
    }

    #[test]
    fn a_thousand_keys_and_sixteen_kibibytes_fit_and_more_is_refused_aloud() {
        let many = |count: usize| {
            (0..count)
                .map(|number| number.to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(SurrogateKeys::parse([&*many(1_024)]).unwrap().len(), 1_024);
        assert_eq!(
            SurrogateKeys::parse([&*many(1_025)]),
            Err(SurrogateKeyError::TooMany)
        );
        let wide = |bytes: usize| {
            (0..16)
                .map(|number| format!("{number:0width$}", width = bytes / 16 - 1))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(wide(16_384).len(), 16_383);
        assert!(SurrogateKeys::parse([&*wide(16_384)]).is_ok());
        assert_eq!(
            SurrogateKeys::parse([&*wide(16_400)]),
            Err(SurrogateKeyError::TooManyBytes)
        );
    }
}
