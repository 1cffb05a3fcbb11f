//! What a purge names, and what a stored entry answers to.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Epoch;
use super::entry::{Fingerprint, Kind};
use super::pattern::Pattern;
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
    pub(super) const DEEPEST_PREFIX: usize = 16;

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
            Self::Pattern(pattern) => write!(formatter, "pattern:{}", pattern.as_str()),
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

pub(super) const fn is_separator(byte: u8) -> bool {
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
    // An empty port is none either; so what is left never begins with a scheme, and its text is read back as it is.
    let host = host.strip_suffix(default_port).unwrap_or(host);
    let host = host.trim_end_matches(':');
    Cow::Owned(format!("{}{path}", host.to_ascii_lowercase()))
}

/// The text, if a scope may have it for its name.
pub(super) fn checked(name: &str) -> Result<&str, ScopeError> {
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
    fn the_name_of_a_url_is_read_back_as_itself() {
        for (url, name) in [
            ("https://A.example:443/x", "a.example/x"),
            ("http://a.example:/x", "a.example/x"),
            ("https://http://a.example/x", "http//a.example/x"),
            ("http://HTTP::80//x", "http//x"),
        ] {
            let scope = Scope::exact(url).unwrap();
            assert_eq!(scope.to_string(), format!("exact:{name}"), "{url}");
            assert_eq!(scope.to_string().parse(), Ok(scope), "{url}");
        }
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
}
