//! The worker's variables and bindings, as one typed value.

use http::Uri;
use terrace_shared::intake::Routes;
use terrace_shared::purge::auth::Tokens;
use terrace_shared::purge::token::TokenSecrets;
use terrace_shared::time::Milliseconds;
use worker::Env;

use crate::error::ConfigError;

/// What the worker was deployed with.
#[derive(Debug)]
pub struct Config {
    /// Where requests are forwarded to.
    pub origin: Origin,
    /// Longest time until the origin's response head must have come. Default: 30 s.
    pub origin_timeout: Milliseconds,
    /// Who may purge. Default: nobody.
    ///
    /// Tokens that cannot be read close the purge endpoint only, not the site.
    pub tokens: Result<Tokens, ConfigError>,
    /// What signs the tokens of receipts, the same as at the origin. Default: nothing; then receipts have no token,
    /// and those that requests present are ignored.
    ///
    /// A secret that cannot be used counts as none, and the purge endpoint says so.
    pub token_secrets: Result<Option<TokenSecrets>, ConfigError>,
}

/// The policy that `build.rs` has checked and built in.
pub(crate) fn built_in_routes() -> Result<Routes, ConfigError> {
    let json = include_str!(concat!(env!("OUT_DIR"), "/policy.json"));
    serde_json::from_str(json)
        .map(Routes::new)
        .map_err(|error| ConfigError::Policy(error.to_string()))
}

/// The origin: scheme, host, and a path under which everything lies, if there is one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Without a slash at the end.
    base: Box<str>,
}

impl Config {
    /// Name of the variable with the origin's URL.
    const ORIGIN: &'static str = "ORIGIN";
    /// Name of the secret with the tokens that may purge.
    const TOKENS: &'static str = "TERRACE_PURGE_TOKENS";
    /// Name of the secret that signs the tokens of receipts.
    const TOKEN_SECRETS: &'static str = "TERRACE_TOKEN_SECRET";
    /// Name of the variable with the time-out.
    const ORIGIN_TIMEOUT: &'static str = "TERRACE_ORIGIN_TIMEOUT_MS";

    /// What the platform hands to each request.
    ///
    /// # Errors
    /// When a variable is missing or has no meaning.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Self::from_vars(|name| env.var(name).ok().map(|var| var.to_string()))
    }

    /// The configuration in variables that `var` looks up; an empty one counts as not set.
    ///
    /// # Errors
    /// When a variable is missing or has no meaning.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let var = |name: &str| var(name).filter(|value| !value.trim().is_empty());
        let origin = var(Self::ORIGIN).ok_or(ConfigError::NoOrigin)?;
        let origin = Origin::parse(origin.trim())?;
        let origin_timeout = match var(Self::ORIGIN_TIMEOUT) {
            None => Milliseconds::new(30_000),
            Some(given) => {
                number(Self::ORIGIN_TIMEOUT, given, 1, 600_000).map(Milliseconds::new)?
            }
        };
        let tokens = match var(Self::TOKENS) {
            None => Ok(Tokens::default()),
            Some(json) => Tokens::from_json(&json).map_err(ConfigError::Tokens),
        };
        let secrets = var(Self::TOKEN_SECRETS).map(|text| TokenSecrets::parse(&text));
        Ok(Self {
            origin,
            origin_timeout,
            tokens,
            token_secrets: secrets.transpose().map_err(ConfigError::TokenSecrets),
        })
    }
}

impl Origin {
    fn parse(given: &str) -> Result<Self, ConfigError> {
        let error = || ConfigError::Origin {
            given: given.to_owned(),
        };
        let url: Uri = given.parse().map_err(|_| error())?;
        let authority = url.authority().ok_or_else(error)?.as_str();
        let plain = matches!(url.scheme_str(), Some("http" | "https"))
            && !authority.contains('@')
            && url.query().is_none()
            && !given.contains('#');
        if !plain {
            return Err(error());
        }
        Ok(Self {
            base: given.trim_end_matches('/').into(),
        })
    }

    /// The origin's URL of `path_and_query`, which begins with a slash.
    pub fn url(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.base)
    }
}

pub(crate) fn number(
    name: &'static str,
    given: String,
    least: u64,
    most: u64,
) -> Result<u64, ConfigError> {
    match given.trim().parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(ConfigError::Number {
            name,
            given,
            least,
            most,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_vars(|name| {
            let found = vars.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_origin_is_all_that_must_be_given() {
        let config = config(&[("ORIGIN", "http://127.0.0.1:3000/")]).unwrap();
        assert_eq!(config.origin.url("/a?b"), "http://127.0.0.1:3000/a?b");
        assert_eq!(config.origin_timeout, Milliseconds::new(30_000));
        assert_eq!(config.tokens.unwrap(), Tokens::default());
    }

    #[test]
    fn an_origin_may_lie_under_a_path() {
        let config = config(&[("ORIGIN", "https://example.com/shop/")]).unwrap();
        assert_eq!(config.origin.url("/a"), "https://example.com/shop/a");
    }

    #[test]
    fn what_is_missing_or_has_no_meaning_is_said() {
        for (vars, part) in [
            (&[][..], "ORIGIN is not set"),
            (&[("ORIGIN", " ")][..], "ORIGIN is not set"),
            (&[("ORIGIN", "origin.example.com")][..], "a URL such as"),
            (&[("ORIGIN", "ftp://example.com")][..], "a URL such as"),
            (
                &[("ORIGIN", "https://u:p@example.com")][..],
                "a URL such as",
            ),
            (&[("ORIGIN", "https://example.com/?a")][..], "a URL such as"),
            (
                &[("ORIGIN", "http://a"), ("TERRACE_ORIGIN_TIMEOUT_MS", "0")][..],
                "a number from 1 to 600000",
            ),
        ] {
            let error = config(vars).unwrap_err().to_string();
            assert!(error.contains(part), "{vars:?}: {error}");
        }
    }

    #[test]
    fn bad_tokens_close_the_purge_endpoint_only() {
        let config = config(&[("ORIGIN", "http://a"), ("TERRACE_PURGE_TOKENS", "x")]).unwrap();
        let error = config.tokens.unwrap_err().to_string();
        assert!(error.contains("TERRACE_PURGE_TOKENS"), "{error}");
    }

    #[test]
    fn a_bad_token_secret_is_said_and_a_good_one_shown_to_nobody() {
        let of = |secret| config(&[("ORIGIN", "http://a"), ("TERRACE_TOKEN_SECRET", secret)]);
        let error = of("short").unwrap().token_secrets.unwrap_err().to_string();
        assert!(error.contains("TERRACE_TOKEN_SECRET"), "{error}");
        let config = of("a-secret-of-some-length,another-secret-of-some").unwrap();
        assert!(config.token_secrets.as_ref().unwrap().is_some());
        assert!(!format!("{config:?}").contains("another"));
    }
}
