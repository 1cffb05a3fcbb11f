//! The purge API's messages: what a client sends, and the receipt it gets.

use serde::{Deserialize, Serialize};

use super::{Epoch, Purge, PurgeMode, Scope, ScopeError};
use crate::time::{Milliseconds, TimestampMillis};

/// Where the edge takes purges: `POST`, a [`PurgeRequest`] as JSON, a bearer token.
pub const PURGE_PATH: &str = "/.terrace/purge";

/// Where the edge says how it is: its ledger's position and its view's age, as JSON.
pub const STATUS_PATH: &str = "/.terrace/status";

/// Response field with the position of the origin's ledger before the response began to be produced (R9).
pub const EPOCH_FIELD: &str = "terrace-epoch";

/// Request field with the token of a receipt: its reader gets nothing older than that purge, anywhere (R10).
pub const AFTER_FIELD: &str = "terrace-after";

/// Most scopes that one purge may name.
pub const MOST_SCOPES: usize = 1_024;

/// Longest time after which a purge may be carried out once more: a day.
pub const LONGEST_AFTER: Milliseconds = Milliseconds::new(24 * 3_600 * 1_000);

/// A purge as clients send it. At least one scope must be named.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PurgeRequest {
    /// Soft or hard. Default: hard.
    pub mode: PurgeMode,
    /// Surrogate keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub surrogate_keys: Vec<String>,
    /// Exact keys of data entries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// URLs, or paths with their query on any host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Prefixes of keys, URLs or paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// Globs over keys, URLs or paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
    /// Hosts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Namespaces of the policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Everything there is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub everything: bool,
    /// Position of the origin's ledger, when the purge was sent on from there (R9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_epoch: Option<Epoch>,
    /// Purge the same once more after this long: for a source whose replicas lag behind. At most a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<Milliseconds>,
}

/// A purge request that cannot be carried out; nothing was purged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PurgeRequestError {
    /// Not JSON, an unknown field, or a value of the wrong kind.
    #[error("the purge is not understood: {0}")]
    Json(#[from] serde_json::Error),
    /// A scope that cannot be one.
    #[error("{field}[{index}]: {source}")]
    Scope {
        /// The field it stands in.
        field: &'static str,
        /// Its place in that field, from zero.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: ScopeError,
    },
    /// No scope at all.
    #[error(
        "the purge names nothing: give surrogate_keys, keys, urls, prefixes, patterns, hosts, namespaces or everything"
    )]
    NothingNamed,
    /// More scopes than allowed.
    #[error("the purge names {scopes} scopes, at most {MOST_SCOPES} are allowed in one call")]
    TooManyScopes {
        /// How many it names.
        scopes: usize,
    },
    /// The second purge is too far away.
    #[error("after_ms is {after}, at most {LONGEST_AFTER} are allowed")]
    AfterTooLong {
        /// How far.
        after: Milliseconds,
    },
}

impl PurgeRequest {
    /// The request that `json` holds.
    ///
    /// # Errors
    /// When it is not JSON of this form.
    pub fn from_json(json: &[u8]) -> Result<Self, PurgeRequestError> {
        Ok(serde_json::from_slice(json)?)
    }

    /// The request that asks for `purge`.
    pub fn from_purge(purge: &Purge) -> Self {
        let mut request = Self {
            mode: purge.mode,
            origin_epoch: purge.origin_epoch,
            ..Self::default()
        };
        for scope in &purge.scopes {
            let (field, name) = match scope {
                Scope::All => {
                    request.everything = true;
                    continue;
                }
                Scope::SurrogateKey(key) => (&mut request.surrogate_keys, key.as_str()),
                Scope::Exact(name) => (&mut request.keys, &**name),
                Scope::Prefix(prefix) => (&mut request.prefixes, &**prefix),
                Scope::Pattern(pattern) => (&mut request.patterns, pattern.as_str()),
                Scope::Host(host) => (&mut request.hosts, &**host),
                Scope::Namespace(namespace) => (&mut request.namespaces, &**namespace),
            };
            field.push(name.to_owned());
        }
        request
    }

    /// The purge it asks for, at `now`; [`after_ms`](Self::after_ms) is the caller's to carry out.
    ///
    /// # Errors
    /// When it names nothing, too much, or something that cannot be named, and when the second purge is
    /// more than [`LONGEST_AFTER`] away.
    pub fn into_purge(self, now: TimestampMillis) -> Result<Purge, PurgeRequestError> {
        type Parse = fn(&str) -> Result<Scope, ScopeError>;
        let fields: [(&'static str, &[String], Parse); 7] = [
            ("surrogate_keys", &self.surrogate_keys, Scope::surrogate_key),
            ("keys", &self.keys, Scope::exact),
            ("urls", &self.urls, Scope::exact),
            ("prefixes", &self.prefixes, Scope::prefix),
            ("patterns", &self.patterns, Scope::pattern),
            ("hosts", &self.hosts, Scope::host),
            ("namespaces", &self.namespaces, Scope::namespace),
        ];
        let named: usize = fields.iter().map(|(_, names, _)| names.len()).sum();
        let count = named + usize::from(self.everything);
        if count == 0 {
            return Err(PurgeRequestError::NothingNamed);
        }
        if count > MOST_SCOPES {
            return Err(PurgeRequestError::TooManyScopes { scopes: count });
        }
        if let Some(after) = self.after_ms.filter(|after| *after > LONGEST_AFTER) {
            return Err(PurgeRequestError::AfterTooLong { after });
        }
        let mut scopes = Vec::with_capacity(count);
        if self.everything {
            scopes.push(Scope::All);
        }
        for (field, names, parse) in fields {
            for (index, name) in names.iter().enumerate() {
                scopes.push(parse(name).map_err(|source| PurgeRequestError::Scope {
                    field,
                    index,
                    source,
                })?);
            }
        }
        Ok(Purge {
            mode: self.mode,
            scopes,
            at: now,
            origin_epoch: self.origin_epoch,
        })
    }
}

/// What a purge has done, and when every reader must see it.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct Receipt {
    /// Its place in the ledger that took it first.
    pub epoch: Epoch,
    /// Soft or hard.
    pub mode: PurgeMode,
    /// How many scopes it named.
    pub scopes: usize,
    /// When the ledger took it, in milliseconds since the Unix epoch.
    pub purged_at_ms: TimestampMillis,
    /// From when on nothing older is served, in milliseconds since the Unix epoch; none while a tier has not taken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_by_ms: Option<TimestampMillis>,
    /// What each tier says.
    pub tiers: Vec<TierReceipt>,
    /// When the same is purged once more, in milliseconds since the Unix epoch; none if nobody asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_at_ms: Option<TimestampMillis>,
    /// Presented in [`AFTER_FIELD`], it keeps everything older from its reader (R10); none where no secret signs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// What one tier says of a purge.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct TierReceipt {
    /// Which tier.
    pub tier: PurgedTier,
    /// Which one, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How far the purge has come there.
    pub state: PurgeState,
    /// Longest time after it was taken until every reader of this tier sees it.
    pub bound_ms: Milliseconds,
    /// Its place in this tier's own ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Why it is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A tier that purges reach.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PurgedTier {
    /// The memory of the process that purged.
    Memory,
    /// Every process that shares the Redis ledger, and Redis itself.
    Redis,
    /// The edge.
    Edge,
}

/// How far a purge has come in a tier.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PurgeState {
    /// Its ledger has taken it: readers see it within the bound.
    Done,
    /// It is being told, again and again until it has taken it.
    Pending,
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: TimestampMillis = TimestampMillis::from_unix_millis(1_000);

    fn error_of(json: &str) -> String {
        PurgeRequest::from_json(json.as_bytes())
            .and_then(|request| request.into_purge(NOW))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_request_becomes_a_purge_and_back() {
        let json = br#"{"mode":"soft","surrogate_keys":["region:TX"],"prefixes":["/api/"],"everything":true}"#;
        let purge = PurgeRequest::from_json(json)
            .unwrap()
            .into_purge(NOW)
            .unwrap();
        assert_eq!(purge.mode, PurgeMode::Soft);
        let texts: Vec<_> = purge.scopes.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["all", "surrogate-key:region:TX", "prefix:/api/"]);
        let again = PurgeRequest::from_purge(&purge);
        assert_eq!(again.into_purge(NOW).unwrap(), purge);
    }

    #[test]
    fn errors_name_the_field() {
        for (json, part) in [
            ("{}", "names nothing"),
            ("nonsense", "not understood"),
            (r#"{"tags":["x"]}"#, "unknown field `tags`"),
            (r#"{"mode":"warm"}"#, "unknown variant `warm`"),
            (r#"{"surrogate_keys":["ok",""]}"#, "surrogate_keys[1]"),
            (r#"{"urls":[""]}"#, "urls[0]: the scope names nothing"),
            (r#"{"origin_epoch":"x","everything":true}"#, "not an epoch"),
            (
                r#"{"everything":true,"after_ms":86400001}"#,
                "after_ms is 86400001",
            ),
            (r#"{"everything":true,"after_ms":-1}"#, "not understood"),
        ] {
            let error = error_of(json);
            assert!(error.contains(part), "{json}: {error}");
        }
        let many = format!(r#"{{"keys":[{}"a"]}}"#, "\"a\",".repeat(MOST_SCOPES));
        assert!(error_of(&many).contains("names 1025 scopes"));
    }
}
