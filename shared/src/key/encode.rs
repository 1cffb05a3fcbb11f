//! Encoded keys: bytes that no two different lists of parts share.

use sha2::{Digest, Sha256};

/// A list of parts as bytes: the scheme, then each part behind its length.
///
/// Layout: one byte [`EncodedKey::SCHEME`], then for each part its length in bytes (`u32`, big-endian)
/// and its bytes. So ("a", "bc") and ("ab", "c") never meet, nor do an empty part and none.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EncodedKey(Vec<u8>);

impl EncodedKey {
    /// Layout version: another layout gets another number, and starts with a cold cache.
    pub const SCHEME: u8 = 1;

    /// The key of these parts, in this order.
    pub fn of<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.push(Self::SCHEME);
        for part in parts {
            let part = part.as_ref();
            // A part of 4 GiB is no part of any key: URLs and values are bounded where they are read.
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Self(bytes)
    }

    /// Its bytes, the scheme first.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The parts it was made of, in their order.
    pub fn parts(&self) -> EncodedParts<'_> {
        EncodedParts(self.0.get(1..).unwrap_or_default())
    }

    /// The SHA-256 of its bytes: 64 hexadecimal digits in lower case.
    pub fn digest(&self) -> String {
        let mut text = String::with_capacity(64);
        self.push_digest(&mut text, 64);
        text
    }

    /// Appends the first digits of the digest.
    pub(super) fn push_digest(&self, text: &mut String, digits: usize) {
        let digest = Sha256::digest(&self.0);
        let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        text.extend(nibbles.take(digits).map(|nibble| {
            // A nibble is a hexadecimal digit.
            char::from_digit(u32::from(nibble), 16).unwrap_or_default()
        }));
    }
}

/// The parts of an encoded key, in their order.
#[derive(Clone, Debug)]
pub struct EncodedParts<'a>(&'a [u8]);

impl<'a> Iterator for EncodedParts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (part, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn layout_and_digest_are_pinned() {
        let vectors = include_str!("../../../tests/vectors/key_encoding_v1.txt");
        for line in vectors.lines().filter(|line| !line.starts_with('#')) {
            let [parts, bytes, digest] = *line.split('\t').collect::<Vec<_>>() else {
                panic!("{line:?} has not three fields");
            };
            let parts: Vec<String> = serde_json::from_str(parts).unwrap();
            let key = EncodedKey::of(&parts);
            let hex = key
                .as_bytes()
                .iter()
                .flat_map(|byte| [byte >> 4, byte & 15]);
            let hex: String = hex
                .filter_map(|nibble| char::from_digit(nibble.into(), 16))
                .collect();
            assert_eq!(hex, bytes, "{parts:?}");
            assert_eq!(key.digest(), digest, "{parts:?}");
        }
    }

    #[test]
    fn moving_a_byte_between_parts_changes_the_key() {
        let key = EncodedKey::of(["a", "bc"]);
        for other in [
            &["ab", "c"][..],
            &["abc"],
            &["a", "bc", ""],
            &["", "a", "bc"],
            &[],
        ] {
            assert_ne!(key, EncodedKey::of(other));
            assert_ne!(key.digest(), EncodedKey::of(other).digest());
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn parts_are_read_back(parts: Vec<Vec<u8>>) {
            let key = EncodedKey::of(&parts);
            proptest::prop_assert!(key.parts().eq(parts.iter().map(Vec::as_slice)));
        }

        #[test]
        fn different_parts_give_different_keys(one: Vec<String>, other: Vec<String>) {
            proptest::prop_assert_eq!(one == other, EncodedKey::of(&one) == EncodedKey::of(&other));
        }
    }
}
