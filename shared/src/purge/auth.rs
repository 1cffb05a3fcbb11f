//! Who may purge what: bearer tokens, kept as SHA-256 hashes, each allowed some scopes.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Pattern, Scope, ScopeError};

/// The tokens that may purge. Default: none, so nobody may.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tokens(Vec<Token>);

/// One token's hash and rights; the token itself is not known here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    name: Box<str>,
    sha256: [u8; 32],
    allow: Vec<Pattern>,
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenConfig {
    name: String,
    sha256: String,
    allow: Vec<String>,
}

impl Tokens {
    /// The tokens in `json`: an array of `{"name", "sha256", "allow"}`, where `allow` holds globs over
    /// the text of scopes, as `surrogate-key:product:*` or `*`.
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

    /// The token that was presented, if it is one of these.
    ///
    /// Takes the same time whichever it is, and whether it is one at all.
    pub fn authenticate(&self, presented: &str) -> Option<&Token> {
        let hash = Sha256::digest(presented.as_bytes());
        self.0.iter().fold(None, |found, token| {
            let same = bool::from(token.sha256.ct_eq(hash.as_slice()));
            if same { Some(token) } else { found }
        })
    }
}

impl Token {
    fn new(config: TokenConfig) -> Result<Self, TokensError> {
        let TokenConfig {
            name,
            sha256,
            allow,
        } = config;
        let Some(sha256) = hash_from_hex(&sha256) else {
            return Err(TokensError::Hash { name });
        };
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
        })
    }

    /// Whose it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first of `scopes` that this token may not purge.
    pub fn first_forbidden<'a>(&self, scopes: &'a [Scope]) -> Option<&'a Scope> {
        scopes.iter().find(|scope| {
            let text = scope.to_string();
            !self.allow.iter().any(|pattern| pattern.matches(&text))
        })
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

    fn tokens(token: &str, allow: &[&str]) -> Tokens {
        Tokens(vec![Token {
            name: "t".into(),
            sha256: Sha256::digest(token).into(),
            allow: allow
                .iter()
                .map(|text| Pattern::parse(text).unwrap())
                .collect(),
        }])
    }

    #[test]
    fn only_the_right_token_authenticates() {
        let tokens = tokens("secret", &["*"]);
        assert_eq!(tokens.authenticate("secret").map(Token::name), Some("t"));
        for wrong in ["", "Secret", "secret ", "secre"] {
            assert_eq!(tokens.authenticate(wrong), None, "{wrong:?}");
        }
        assert_eq!(Tokens::default().authenticate("secret"), None);
    }

    #[test]
    fn a_token_purges_what_its_globs_allow_and_the_first_other_scope_is_named() {
        let tokens = tokens("s", &["surrogate-key:product:*", "prefix:/api/*"]);
        let token = tokens.authenticate("s").unwrap();
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        let allowed = [scope("surrogate-key:product:1"), scope("prefix:/api/v1/")];
        assert_eq!(token.first_forbidden(&allowed), None);
        for other in [
            "all",
            "surrogate-key:user:1",
            "prefix:/",
            "exact:/api/",
            "pattern:/api/*",
        ] {
            let scopes = [allowed[0].clone(), scope(other)];
            assert_eq!(token.first_forbidden(&scopes), Some(&scopes[1]), "{other}");
        }
    }

    #[test]
    fn a_hash_is_read_in_either_case() {
        // printf secret | sha256sum
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        for hash in [hash.to_owned(), hash.to_uppercase()] {
            let json = format!(r#"[{{"name":"t","sha256":"{hash}","allow":["*"]}}]"#);
            let tokens = Tokens::from_json(&json).unwrap();
            assert!(tokens.authenticate("secret").is_some());
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
        ] {
            let error = Tokens::from_json(&json).unwrap_err().to_string();
            assert!(error.contains(part), "{json}: {error}");
        }
    }
}
