//! What a purge names, and what a stored entry answers to.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::Epoch;
use crate::key::SurrogateKey;
use crate::time::TimestampMillis;

/// How hard a purge falls on what it names.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PurgeMode {
    /// Makes entries stale: they may still be served within grace while they are revalidated.
    Soft,
    /// Makes entries unusable.
    #[default]
    Hard,
}

/// What a purge names.
///
/// Written as a word, a colon and a name (`surrogate-key:product:42`), or as `all`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Scope {
    /// Everything the ledger guards.
    All,
    /// Whatever carries this surrogate key.
    SurrogateKey(SurrogateKey),
    /// The entry with exactly this key, `host/path?query`, or `/path?query` on any host.
    Exact(Box<str>),
    /// Every entry whose key or path goes on after this prefix, which ends with `:` or `/`.
    Prefix(Box<str>),
    /// Every entry whose key or path matches.
    Pattern(Pattern),
    /// Every response of this host.
    Host(Box<str>),
    /// Every entry of this namespace.
    Namespace(Box<str>),
}

/// A glob: `*` stands for any run of characters, also for none, and `?` for one.
///
/// At most 512 bytes and 16 stars, and matched without backtracking over more than one star, so the
/// worst pattern costs its length times the name's.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Pattern(Box<str>);

/// The text names no scope.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// The word before the colon is none of ours.
    #[error(
        "{word:?} is no kind of scope: all, surrogate-key, exact, prefix, pattern, host and namespace are"
    )]
    UnknownKind {
        /// The word that was given.
        word: String,
    },
    /// Nothing stands after the colon.
    #[error("the scope names nothing")]
    Empty,
    /// More bytes than allowed.
    #[error("the scope is {bytes} bytes long, at most {limit} are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A control character, which no key or path has.
    #[error("the scope has a control character at byte {at}")]
    ControlCharacter {
        /// Where.
        at: usize,
    },
    /// More stars than allowed.
    #[error("the pattern has {stars} stars, at most {limit} are allowed")]
    TooManyStars {
        /// How many it has.
        stars: usize,
        /// How many it may have.
        limit: usize,
    },
    /// Not a surrogate key.
    #[error(transparent)]
    SurrogateKey(#[from] crate::key::SurrogateKeyError),
}

/// One purge, before a ledger has given it its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Purge {
    /// Soft or hard.
    pub mode: PurgeMode,
    /// What it names; at least one.
    pub scopes: Vec<Scope>,
    /// When it was asked for.
    pub at: TimestampMillis,
    /// Its position in the origin's ledger, when it was sent on from there (R9).
    pub origin_epoch: Option<Epoch>,
}

impl Scope {
    /// Longest name that a scope may have, in bytes.
    pub const LONGEST: usize = 4_096;

    /// Deepest prefix, in separators, that entries carry; a deeper one is matched as a pattern.
    const DEEPEST_PREFIX: usize = 16;

    /// Exactly this key or URL.
    ///
    /// A URL may be given with or without its scheme; the scheme does not take part.
    ///
    /// # Errors
    /// When it is empty, too long or has control characters.
    pub fn exact(name: &str) -> Result<Self, ScopeError> {
        Ok(Self::Exact(checked(&without_scheme(name))?.into()))
    }

    /// Everything whose key or path begins with `prefix`.
    ///
    /// # Errors
    /// When it is empty, too long or has control characters.
    pub fn prefix(prefix: &str) -> Result<Self, ScopeError> {
        let prefix = without_scheme(prefix);
        let prefix = checked(&prefix)?;
        let separators = prefix.bytes().filter(|byte| is_separator(*byte)).count();
        if prefix.ends_with([':', '/']) && separators <= Self::DEEPEST_PREFIX {
            return Ok(Self::Prefix(prefix.into()));
        }
        // Not at a separator: no entry carries it, so it is matched, with its own stars taken as they are.
        Ok(Self::Pattern(Pattern::parse(&format!("{prefix}*"))?))
    }

    /// Everything whose key or path matches `pattern`.
    ///
    /// # Errors
    /// When it is empty, too long, has control characters or too many stars.
    pub fn pattern(pattern: &str) -> Result<Self, ScopeError> {
        Ok(Self::Pattern(Pattern::parse(&without_scheme(pattern))?))
    }

    /// Everything of one host, without its port's meaning: `example.com` or `127.0.0.1:8787`.
    ///
    /// # Errors
    /// When it is empty, too long or has control characters.
    pub fn host(host: &str) -> Result<Self, ScopeError> {
        Ok(Self::Host(checked(host)?.to_ascii_lowercase().into()))
    }

    /// Everything of one namespace of the policy.
    ///
    /// # Errors
    /// When it is empty, too long or has control characters.
    pub fn namespace(namespace: &str) -> Result<Self, ScopeError> {
        Ok(Self::Namespace(checked(namespace)?.into()))
    }

    /// Everything with this surrogate key.
    ///
    /// # Errors
    /// When the text is no surrogate key.
    pub fn surrogate_key(key: &str) -> Result<Self, ScopeError> {
        Ok(Self::SurrogateKey(SurrogateKey::parse(key)?))
    }

    /// What the ledger keeps of this scope; none for `All` and for patterns, which it keeps whole.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::All | Self::Pattern(_) => None,
            Self::SurrogateKey(key) => Some(Fingerprint::of(Kind::SurrogateKey, key.as_str())),
            Self::Exact(name) => Some(Fingerprint::of(Kind::Exact, name)),
            Self::Prefix(prefix) => Some(Fingerprint::of(Kind::Prefix, prefix)),
            Self::Host(host) => Some(Fingerprint::of(Kind::Host, host)),
            Self::Namespace(namespace) => Some(Fingerprint::of(Kind::Namespace, namespace)),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("all"),
            Self::SurrogateKey(key) => write!(formatter, "surrogate-key:{}", key.as_str()),
            Self::Exact(name) => write!(formatter, "exact:{name}"),
            Self::Prefix(prefix) => write!(formatter, "prefix:{prefix}"),
            Self::Pattern(pattern) => write!(formatter, "pattern:{}", pattern.0),
            Self::Host(host) => write!(formatter, "host:{host}"),
            Self::Namespace(namespace) => write!(formatter, "namespace:{namespace}"),
        }
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text == "all" {
            return Ok(Self::All);
        }
        let (word, name) = text.split_once(':').unwrap_or((text, ""));
        match word {
            "surrogate-key" => Self::surrogate_key(name),
            "exact" => Self::exact(name),
            "prefix" => Self::prefix(name),
            "pattern" => Self::pattern(name),
            "host" => Self::host(name),
            "namespace" => Self::namespace(name),
            other => Err(ScopeError::UnknownKind {
                word: other.chars().take(64).collect(),
            }),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Pattern {
    const LONGEST: usize = 512;
    const MOST_STARS: usize = 16;

    /// The glob that `text` writes.
    ///
    /// # Errors
    /// When it is empty, too long, has control characters or too many stars.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let text = checked(text)?;
        if text.len() > Self::LONGEST {
            return Err(ScopeError::TooLong {
                bytes: text.len(),
                limit: Self::LONGEST,
            });
        }
        let stars = text.bytes().filter(|byte| *byte == b'*').count();
        if stars > Self::MOST_STARS {
            return Err(ScopeError::TooManyStars {
                stars,
                limit: Self::MOST_STARS,
            });
        }
        Ok(Self(text.into()))
    }

    /// The text it was parsed from.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an entry of this name is meant; a pattern that begins with `/` is held against the path alone.
    pub fn matches(&self, name: &str) -> bool {
        let from_path = || name.find('/').and_then(|slash| name.get(slash..));
        glob(self.0.as_bytes(), name.as_bytes())
            || (self.0.starts_with('/')
                && from_path().is_some_and(|path| glob(self.0.as_bytes(), path.as_bytes())))
    }
}

/// Greedy glob match: only the last star is ever retried, so the cost is bounded by the product of the lengths.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, seen));
                at += 1;
            }
            Some(&byte) if byte == b'?' || Some(&byte) == name.get(seen) => {
                at += 1;
                seen += 1;
            }
            Some(_) | None => match retry {
                Some((after_star, from)) => {
                    at = after_star;
                    seen = from + 1;
                    retry = Some((after_star, seen));
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

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
enum Kind {
    SurrogateKey = 1,
    Exact = 2,
    Prefix = 3,
    Host = 4,
    Namespace = 5,
}

impl Fingerprint {
    /// Layout version of what is hashed; another one makes every stored entry unknown, so change the envelope's too.
    const SCHEME: u8 = 1;

    fn of(kind: Kind, name: &str) -> Self {
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

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b':' | b'/')
}

/// A URL's scheme and default port do not take part in its name, and its host is in lower case; a key stays as it is.
fn without_scheme(name: &str) -> Cow<'_, str> {
    let (rest, default_port) = if let Some(rest) = name.strip_prefix("https://") {
        (rest, ":443")
    } else if let Some(rest) = name.strip_prefix("http://") {
        (rest, ":80")
    } else {
        return Cow::Borrowed(name);
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.strip_suffix(default_port).unwrap_or(host);
    Cow::Owned(format!("{}{path}", host.to_ascii_lowercase()))
}

fn checked(name: &str) -> Result<&str, ScopeError> {
    if name.is_empty() {
        return Err(ScopeError::Empty);
    }
    if name.len() > Scope::LONGEST {
        return Err(ScopeError::TooLong {
            bytes: name.len(),
            limit: Scope::LONGEST,
        });
    }
    match name.bytes().position(|byte| byte.is_ascii_control()) {
        Some(at) => Err(ScopeError::ControlCharacter { at }),
        None => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn globs_match_whole_names() {
        for (pattern, name, expected) in [
            ("context:*:support", "context:cust_1:support", true),
            ("context:*:support", "context:cust_1:billing", false),
            ("context:*:support", "context:a:b:support", true),
            ("context:*:support", "context:a:support:conv_1", false),
            ("*", "", true),
            ("a*", "a", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xbxa", false),
            ("/api/*", "example.com/api/plans?zip=1", true),
            ("/api/*", "example.com/static/api/x", false),
            ("example.com/api/*", "example.com/api/plans", true),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(name), expected, "{pattern:?} on {name:?}");
        }
    }

    #[test]
    fn the_worst_pattern_is_refused_or_bounded() {
        assert!(matches!(
            Pattern::parse(&"*".repeat(17)),
            Err(ScopeError::TooManyStars { stars: 17, .. })
        ));
        assert!(matches!(
            Pattern::parse(&"a".repeat(513)),
            Err(ScopeError::TooLong { bytes: 513, .. })
        ));
        let worst = Pattern::parse(&format!("{}b", "*a".repeat(16))).unwrap();
        assert!(!worst.matches(&"a".repeat(4_096)));
    }

    #[test]
    fn scope_text_is_read_back() {
        for text in [
            "all",
            "surrogate-key:product:42",
            "exact:plan_catalog:v1:plan_123",
            "prefix:plan_catalog:",
            "pattern:context:*:support",
            "host:example.com",
            "namespace:plan_catalog",
        ] {
            let scope: Scope = text.parse().unwrap();
            assert_eq!(scope.to_string(), text);
        }
        assert!(matches!(
            "tag:x".parse::<Scope>(),
            Err(ScopeError::UnknownKind { .. })
        ));
        assert_eq!("exact:".parse::<Scope>(), Err(ScopeError::Empty));
        assert_eq!(
            "exact:a\nb".parse::<Scope>(),
            Err(ScopeError::ControlCharacter { at: 1 })
        );
    }

    #[test]
    fn a_prefix_that_ends_inside_a_part_becomes_a_pattern() {
        assert_eq!(
            Scope::prefix("https://example.com/api").unwrap(),
            Scope::pattern("example.com/api*").unwrap()
        );
        assert!(matches!(
            Scope::prefix(&"a:".repeat(17)).unwrap(),
            Scope::Pattern(_)
        ));
        assert!(matches!(
            Scope::prefix(&"a:".repeat(16)).unwrap(),
            Scope::Prefix(_)
        ));
    }

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
