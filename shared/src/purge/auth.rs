//! Who may purge what: bearer tokens, kept as SHA-256 hashes, each allowed some scopes and modes, for some time.
//!
//! A token is replaced without a moment in which nobody may purge: add the new one beside the old one, which
//! may have the same name, give it to whoever purges, and take the old one out, or let it expire.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Pattern, Purge, PurgeMode, Scope, ScopeError};
use crate::time::Timestamp;

/// The tokens that may purge. Default: none, so nobody may.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tokens(Vec<Token>);

/// One token's hash and rights; the token itself is not known here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    name: Box<str>,
    sha256: [u8; 32],
    allow: Vec<Pattern>,
    modes: Vec<PurgeMode>,
    expires: Option<Timestamp>,
}

/// Why the text holds no tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// Not a JSON array of tokens.
    #[error(
        "a JSON array such as [{{\"name\":\"ci\",\"sha256\":\"<64 hex digits>\",\"allow\":[\"*\"]}}] is expected: {0}"
    )]
    Json(#[from] serde_json::Error),
    /// A hash that is none.
    #[error("the sha256 of token {name:?} is not 64 hexadecimal digits")]
    Hash {
        /// Whose.
        name: String,
    },
    /// A pattern of scopes that is none.
    #[error("token {name:?} allows {pattern:?}: {source}")]
    Allow {
        /// Whose.
        name: String,
        /// Which pattern.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: ScopeError,
    },
    /// A list of modes with nothing in it.
    #[error("token {name:?} has no mode: name \"soft\", \"hard\" or both, or leave modes out")]
    NoMode {
        /// Whose.
        name: String,
    },
}

/// Why a token that was presented is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAuthenticated {
    /// None was.
    #[error("no token was given")]
    Missing,
    /// It is none of these.
    #[error("the token is not known")]
    Unknown,
    /// It was one of these until its time came.
    #[error("token {name:?} has expired")]
    Expired {
        /// Whose.
        name: Box<str>,
    },
}

/// What a token may not do of what was asked with it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Forbidden {
    /// A scope that none of its patterns matches.
    #[error("token {name:?} may not purge {scope}")]
    Scope {
        /// Whose.
        name: Box<str>,
        /// The first such scope.
        scope: Scope,
    },
    /// A mode that is not among its own.
    #[error("token {name:?} may not purge {}: its modes name others", match mode {
        PurgeMode::Soft => "softly",
        PurgeMode::Hard => "hard",
    })]
    Mode {
        /// Whose.
        name: Box<str>,
        /// Which mode.
        mode: PurgeMode,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenConfig {
    name: String,
    sha256: String,
    allow: Vec<String>,
    modes: Option<Vec<PurgeMode>>,
    /// Seconds since the Unix epoch.
    expires: Option<u64>,
}

impl Tokens {
    /// The tokens in `json`: an array of `{"name", "sha256", "allow"}`, where `allow` holds globs over
    /// the text of scopes, as `surrogate-key:product:*` or `*`.
    ///
    /// `modes` may stand beside them, as `["soft"]`, for a token that may purge in no other, and `expires`,
    /// in seconds since the Unix epoch, for one that is no more from then on.
    ///
    /// # Errors
    /// When the text is not such an array.
    pub fn from_json(json: &str) -> Result<Self, TokensError> {
        let configs: Vec<TokenConfig> = serde_json::from_str(json)?;
        configs
            .into_iter()
            .map(Token::new)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether nobody may purge.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The token that was presented.
    ///
    /// Takes the same time whichever it is, and whether it is one at all. Of several with the same hash, the
    /// last one counts.
    ///
    /// # Errors
    /// When none was presented, or it is none of these at `now`.
    pub fn authenticate(
        &self,
        presented: Option<&str>,
        now: Timestamp,
    ) -> Result<&Token, NotAuthenticated> {
        let presented = presented.ok_or(NotAuthenticated::Missing)?;
        let hash = Sha256::digest(presented.as_bytes());
        let found = self.0.iter().fold(None, |found, token| {
            let same = bool::from(token.sha256.ct_eq(hash.as_slice()));
            if same { Some(token) } else { found }
        });
        match found {
            None => Err(NotAuthenticated::Unknown),
            Some(token) if token.expires.is_some_and(|expires| expires <= now) => {
                let name = token.name.clone();
                Err(NotAuthenticated::Expired { name })
            }
            Some(token) => Ok(token),
        }
    }
}

impl Token {
    fn new(config: TokenConfig) -> Result<Self, TokensError> {
        let TokenConfig {
            name,
            sha256,
            allow,
            modes,
            expires,
        } = config;
        let Some(sha256) = hash_from_hex(&sha256) else {
            return Err(TokensError::Hash { name });
        };
        let modes = modes.unwrap_or_else(|| vec![PurgeMode::Soft, PurgeMode::Hard]);
        if modes.is_empty() {
            return Err(TokensError::NoMode { name });
        }
        let allow = allow
            .into_iter()
            .map(|text| {
                Pattern::parse(&text).map_err(|source| TokensError::Allow {
                    name: name.clone(),
                    pattern: text,
                    source,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.into(),
            sha256,
            allow,
            modes,
            expires: expires.map(Timestamp::from_unix_seconds),
        })
    }

    /// Whose it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it may name everything, and so see what everybody has purged.
    pub fn may_all(&self) -> bool {
        self.may_name(&Scope::All)
    }

    fn may_name(&self, scope: &Scope) -> bool {
        let text = scope.to_string();
        self.allow.iter().any(|pattern| pattern.matches(&text))
    }

    /// Whether it may ask for all of `purge`.
    ///
    /// # Errors
    /// When it may not: what of it is the first that it may not.
    pub fn check(&self, purge: &Purge) -> Result<(), Forbidden> {
        if !self.modes.contains(&purge.mode) {
            return Err(Forbidden::Mode {
                name: self.name.clone(),
                mode: purge.mode,
            });
        }
        let forbidden = purge.scopes.iter().find(|scope| !self.may_name(scope));
        match forbidden {
            None => Ok(()),
            Some(scope) => Err(Forbidden::Scope {
                name: self.name.clone(),
                scope: scope.clone(),
            }),
        }
    }
}

/// The token in an `Authorization` field's value (RFC 6750 §2.1); the scheme's case does not matter.
pub fn bearer(authorization: Option<&str>) -> Option<&str> {
    let (scheme, token) = authorization?.trim().split_once(' ')?;
    let token = token.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn hash_from_hex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let value = char::from(*high).to_digit(16)? << 4 | char::from(*low).to_digit(16)?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_000);

    fn token(token: &str, rest: &str) -> String {
        let hash = Sha256::digest(token);
        let hash = hash
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        format!(r#"{{"name":"t","sha256":"{hash}",{rest}}}"#)
    }

    fn tokens(entries: &[String]) -> Tokens {
        Tokens::from_json(&format!("[{}]", entries.join(","))).unwrap()
    }

    fn purge(mode: PurgeMode, scopes: &[&str]) -> Purge {
        Purge {
            mode,
            scopes: scopes.iter().map(|text| text.parse().unwrap()).collect(),
            at: crate::time::TimestampMillis::from_unix_millis(1_000_000),
            origin_epoch: None,
        }
    }

    #[test]
    fn only_the_right_token_authenticates() {
        let tokens = tokens(&[token("secret", r#""allow":["*"]"#)]);
        let found = tokens.authenticate(Some("secret"), NOW);
        assert_eq!(found.map(Token::name), Ok("t"));
        for wrong in ["", "Secret", "secret ", "secre"] {
            let found = tokens.authenticate(Some(wrong), NOW);
            assert_eq!(found, Err(NotAuthenticated::Unknown), "{wrong:?}");
        }
        let none = tokens.authenticate(None, NOW);
        assert_eq!(none, Err(NotAuthenticated::Missing));
        assert!(Tokens::default().is_empty());
        assert!(Tokens::default().authenticate(Some("secret"), NOW).is_err());
    }

    #[test]
    fn a_token_is_no_more_from_the_second_in_which_it_expires() {
        let tokens = tokens(&[token("s", r#""allow":["*"],"expires":1001"#)]);
        let at = |seconds| tokens.authenticate(Some("s"), Timestamp::from_unix_seconds(seconds));
        assert!(at(0).is_ok());
        assert!(at(1_000).is_ok());
        for seconds in [1_001, u64::MAX] {
            let name = "t".into();
            assert_eq!(at(seconds), Err(NotAuthenticated::Expired { name }));
        }
    }

    #[test]
    fn a_token_is_rotated_in_two_steps_without_a_gap() {
        let (old, new) = (
            token("old", r#""allow":["*"],"expires":1001"#),
            token("new", r#""allow":["*"]"#),
        );
        let allowed = |entries: &[String], seconds| {
            let tokens = tokens(entries);
            let now = Timestamp::from_unix_seconds(seconds);
            ["old", "new"].map(|presented| tokens.authenticate(Some(presented), now).is_ok())
        };
        assert_eq!(allowed(std::slice::from_ref(&old), 1_000), [true, false]);
        // First: both are known, under one name, while whoever purges is given the new one.
        assert_eq!(allowed(&[old.clone(), new.clone()], 1_000), [true, true]);
        // Then: the old one has expired, or is taken out.
        assert_eq!(allowed(&[old, new.clone()], 1_001), [false, true]);
        assert_eq!(allowed(&[new], 1_000), [false, true]);
    }

    #[test]
    fn a_token_purges_what_its_globs_allow_and_the_first_other_scope_is_named() {
        let tokens = tokens(&[token(
            "s",
            r#""allow":["surrogate-key:product:*","prefix:/api/*"]"#,
        )]);
        let token = tokens.authenticate(Some("s"), NOW).unwrap();
        let allowed = ["surrogate-key:product:1", "prefix:/api/v1/"];
        assert_eq!(token.check(&purge(PurgeMode::Hard, &allowed)), Ok(()));
        for other in [
            "all",
            "surrogate-key:user:1",
            "prefix:/",
            "exact:/api/",
            "pattern:/api/*",
        ] {
            let checked = token.check(&purge(PurgeMode::Hard, &[allowed[0], other]));
            let error = checked.unwrap_err().to_string();
            assert_eq!(error, format!("token \"t\" may not purge {other}"));
        }
    }

    #[test]
    fn a_token_purges_in_its_modes() {
        for (modes, soft, hard) in [
            ("", true, true),
            (r#","modes":["soft"]"#, true, false),
            (r#","modes":["hard"]"#, false, true),
            (r#","modes":["soft","hard"]"#, true, true),
        ] {
            let tokens = tokens(&[token("s", &format!(r#""allow":["*"]{modes}"#))]);
            let token = tokens.authenticate(Some("s"), NOW).unwrap();
            let may = |mode| token.check(&purge(mode, &["all"])).is_ok();
            assert_eq!(may(PurgeMode::Soft), soft, "{modes}");
            assert_eq!(may(PurgeMode::Hard), hard, "{modes}");
        }
        let tokens = tokens(&[token("s", r#""allow":["*"],"modes":["soft"]"#)]);
        let token = tokens.authenticate(Some("s"), NOW).unwrap();
        let refused = token.check(&purge(PurgeMode::Hard, &["all"])).unwrap_err();
        let text = "token \"t\" may not purge hard: its modes name others";
        assert_eq!(refused.to_string(), text);
    }

    #[test]
    fn a_hash_is_read_in_either_case() {
        // printf secret | sha256sum
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        for hash in [hash.to_owned(), hash.to_uppercase()] {
            let json = format!(r#"[{{"name":"t","sha256":"{hash}","allow":["*"]}}]"#);
            let tokens = Tokens::from_json(&json).unwrap();
            assert!(tokens.authenticate(Some("secret"), NOW).is_ok());
        }
    }

    #[test]
    fn bearer_takes_the_token_and_nothing_else() {
        for (field, token) in [
            (Some("Bearer abc"), Some("abc")),
            (Some("bearer  abc"), Some("abc")),
            (Some("Basic abc"), None),
            (Some("Bearer"), None),
            (Some("Bearer "), None),
            (None, None),
        ] {
            assert_eq!(bearer(field), token, "{field:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_tokens_is_an_error_that_says_whose() {
        let hash = "0".repeat(64);
        for (json, part) in [
            ("{}".to_owned(), "JSON array"),
            (r#"[{"name":"x"}]"#.to_owned(), "missing field"),
            (
                r#"[{"name":"x","sha256":"12","allow":[]}]"#.to_owned(),
                "of token \"x\" is not 64",
            ),
            (
                format!(
                    r#"[{{"name":"x","sha256":"{}","allow":[]}}]"#,
                    "é".repeat(32)
                ),
                "not 64",
            ),
            (
                format!(r#"[{{"name":"x","sha256":"{hash}","allow":[""]}}]"#),
                "allows \"\"",
            ),
            (
                format!(r#"[{{"name":"x","sha256":"{hash}","alow":[]}}]"#),
                "unknown field",
            ),
            (
                format!(r#"[{{"name":"x","sha256":"{hash}","allow":["*"],"modes":[]}}]"#),
                "\"x\" has no mode",
            ),
            (
                format!(r#"[{{"name":"x","sha256":"{hash}","allow":["*"],"modes":["warm"]}}]"#),
                "unknown variant `warm`",
            ),
            (
                format!(r#"[{{"name":"x","sha256":"{hash}","allow":["*"],"expires":"soon"}}]"#),
                "expected u64",
            ),
        ] {
            let error = Tokens::from_json(&json).unwrap_err().to_string();
            assert!(error.contains(part), "{json}: {error}");
        }
    }
}
