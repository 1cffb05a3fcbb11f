//! What a stored entry answers to.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::scope::{Scope, is_separator};
use crate::key::SurrogateKey;

/// What a ledger keeps of a scope's name: 64 bits of a SHA-256 hash.
///
/// Two names that share one are purged together, which is allowed to happen (R11); nothing is ever
/// missed because of it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Fingerprint(u64);

/// The kind of a scope, as it enters its fingerprint. Never renumber: stored entries carry the result.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Kind {
    SurrogateKey = 1,
    Exact = 2,
    Prefix = 3,
    Host = 4,
    Namespace = 5,
}

impl Fingerprint {
    /// Layout version of what is hashed; another one makes every stored entry unknown, so change the envelope's too.
    const SCHEME: u8 = 1;

    pub(super) fn of(kind: Kind, name: &str) -> Self {
        let digest = Sha256::new()
            .chain_update([Self::SCHEME, kind as u8])
            .chain_update(name.as_bytes())
            .finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self(u64::from_be_bytes(first))
    }

    /// The fingerprint with these bits, as they were stored.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its bits, for storing.
    pub const fn as_bits(self) -> u64 {
        self.0
    }
}

/// Everything a stored entry answers to: its exact name, each prefix of it, its host or namespace,
/// and its surrogate keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EntryScopes {
    name: Box<str>,
    fingerprints: Box<[Fingerprint]>,
}

impl EntryScopes {
    /// The scopes of a data entry: `key` as written in Redis, of `namespace`.
    pub fn of_key<'a>(
        namespace: &str,
        key: &str,
        surrogate_keys: impl IntoIterator<Item = &'a SurrogateKey>,
    ) -> Self {
        let mut fingerprints = vec![
            Fingerprint::of(Kind::Namespace, namespace),
            Fingerprint::of(Kind::Exact, key),
        ];
        push_prefixes(&mut fingerprints, key);
        Self::finish(key.into(), fingerprints, surrogate_keys)
    }

    /// The scopes of a stored response.
    ///
    /// `host` in lower case, with its port if that is not the scheme's own; `path_and_query` begins with `/`.
    pub fn of_url<'a>(
        host: &str,
        path_and_query: &str,
        surrogate_keys: impl IntoIterator<Item = &'a SurrogateKey>,
    ) -> Self {
        let name = format!("{host}{path_and_query}");
        let path = path_and_query.split('?').next().unwrap_or_default();
        let mut fingerprints = vec![
            Fingerprint::of(Kind::Host, host),
            Fingerprint::of(Kind::Exact, &name),
            Fingerprint::of(Kind::Exact, path_and_query),
        ];
        push_prefixes(&mut fingerprints, path);
        push_prefixes(&mut fingerprints, &format!("{host}{path}"));
        Self::finish(name.into(), fingerprints, surrogate_keys)
    }

    /// The scopes as they were stored with the entry.
    pub fn from_parts(name: Box<str>, fingerprints: Box<[Fingerprint]>) -> Self {
        Self { name, fingerprints }
    }

    /// The entry's exact name, which patterns are held against.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All but patterns: the hashed scopes.
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.fingerprints
    }

    fn finish<'a>(
        name: Box<str>,
        mut fingerprints: Vec<Fingerprint>,
        surrogate_keys: impl IntoIterator<Item = &'a SurrogateKey>,
    ) -> Self {
        fingerprints.extend(
            surrogate_keys
                .into_iter()
                .map(|key| Fingerprint::of(Kind::SurrogateKey, key.as_str())),
        );
        fingerprints.sort_unstable();
        fingerprints.dedup();
        Self {
            name,
            fingerprints: fingerprints.into(),
        }
    }
}

fn push_prefixes(fingerprints: &mut Vec<Fingerprint>, name: &str) {
    let ends = name
        .bytes()
        .enumerate()
        .filter(|(_, byte)| is_separator(*byte))
        .map(|(at, _)| at + 1)
        .take(Scope::DEEPEST_PREFIX);
    for end in ends {
        let prefix = name.get(..end).unwrap_or_default();
        fingerprints.push(Fingerprint::of(Kind::Prefix, prefix));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_entry_answers_to_each_of_its_scopes() {
        let key = SurrogateKey::parse("region:TX").unwrap();
        let entry = EntryScopes::of_key("plan_catalog", "plan_catalog:v1:plan_123", [&key]);
        for text in [
            "surrogate-key:region:TX",
            "exact:plan_catalog:v1:plan_123",
            "prefix:plan_catalog:",
            "prefix:plan_catalog:v1:",
            "namespace:plan_catalog",
        ] {
            let fingerprint = text.parse::<Scope>().unwrap().fingerprint().unwrap();
            assert!(entry.fingerprints().contains(&fingerprint), "{text}");
        }
        let page = EntryScopes::of_url("example.com", "/api/plans?zip=1", []);
        for text in [
            "host:Example.com",
            "exact:https://EXAMPLE.com:443/api/plans?zip=1",
            "exact:/api/plans?zip=1",
            "prefix:/api/",
            "prefix:http://example.com/",
            "prefix:/",
        ] {
            let fingerprint = text.parse::<Scope>().unwrap().fingerprint().unwrap();
            assert!(page.fingerprints().contains(&fingerprint), "{text}");
        }
    }

    #[test]
    fn fingerprints_are_pinned() {
        let scope: Scope = "surrogate-key:product:42".parse().unwrap();
        assert_eq!(
            scope.fingerprint().map(Fingerprint::as_bits),
            Some(PINNED_PRODUCT_42)
        );
        let same_text_other_kind: Scope = "exact:product:42".parse().unwrap();
        assert_ne!(scope.fingerprint(), same_text_other_kind.fingerprint());
    }

    /// `printf '\x01\x01product:42' | sha256sum | cut -c1-16`
    const PINNED_PRODUCT_42: u64 = 0x4bc9_e230_7a91_87b9;
}
