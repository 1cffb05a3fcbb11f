//! Purges: what they name, and how they travel from the ledger to the edge (R8).

pub(crate) mod again;
mod call;
pub(crate) mod cascade;
pub(crate) mod cloudflare;
pub(crate) mod edge;
pub(crate) mod outbox;
pub(crate) mod target;

use std::time::Duration;

use terrace_shared::purge::PurgeMode;
use terrace_shared::purge::wire::PurgeRequest;
use terrace_shared::time::Milliseconds;

/// A purge to be carried out: what it names, and how hard it falls.
///
/// Hard unless [`soft`](Self::soft) is called. Several things are named together with [`and`](Self::and):
///
/// ```
/// use terrace_origin::Purge;
///
/// let purge = Purge::surrogate_key("region:TX").and(Purge::prefix("plan_catalog:v2:")).soft();
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "a purge does nothing until it is given to `Cache::purge`"]
pub struct Purge(PurgeRequest);

impl Purge {
    /// Whatever carries this surrogate key.
    pub fn surrogate_key(key: impl Into<String>) -> Self {
        Self(PurgeRequest {
            surrogate_keys: vec![key.into()],
            ..PurgeRequest::default()
        })
    }

    /// Whatever carries any of these surrogate keys.
    pub fn surrogate_keys<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self(PurgeRequest {
            surrogate_keys: keys.into_iter().map(Into::into).collect(),
            ..PurgeRequest::default()
        })
    }

    /// The entry with exactly this key, as it is written in Redis.
    pub fn key(key: impl Into<String>) -> Self {
        Self(PurgeRequest {
            keys: vec![key.into()],
            ..PurgeRequest::default()
        })
    }

    /// The response of this URL, or of this path and query on any host.
    pub fn url(url: impl Into<String>) -> Self {
        Self(PurgeRequest {
            urls: vec![url.into()],
            ..PurgeRequest::default()
        })
    }

    /// Whatever has a key, URL or path that begins with this.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self(PurgeRequest {
            prefixes: vec![prefix.into()],
            ..PurgeRequest::default()
        })
    }

    /// Whatever has a key, URL or path that matches this glob of `*` and `?`.
    pub fn pattern(pattern: impl Into<String>) -> Self {
        Self(PurgeRequest {
            patterns: vec![pattern.into()],
            ..PurgeRequest::default()
        })
    }

    /// Every response of this host.
    pub fn host(host: impl Into<String>) -> Self {
        Self(PurgeRequest {
            hosts: vec![host.into()],
            ..PurgeRequest::default()
        })
    }

    /// Every entry of this namespace.
    pub fn namespace(namespace: impl Into<String>) -> Self {
        Self(PurgeRequest {
            namespaces: vec![namespace.into()],
            ..PurgeRequest::default()
        })
    }

    /// Everything, on every tier.
    pub fn everything() -> Self {
        Self(PurgeRequest {
            everything: true,
            ..PurgeRequest::default()
        })
    }

    /// What `other` names as well; the mode, and when to purge again, stay this one's.
    pub fn and(mut self, other: Self) -> Self {
        let Self(mut other) = other;
        self.0.surrogate_keys.append(&mut other.surrogate_keys);
        self.0.keys.append(&mut other.keys);
        self.0.urls.append(&mut other.urls);
        self.0.prefixes.append(&mut other.prefixes);
        self.0.patterns.append(&mut other.patterns);
        self.0.hosts.append(&mut other.hosts);
        self.0.namespaces.append(&mut other.namespaces);
        self.0.everything |= other.everything;
        self
    }

    /// Makes entries stale: they may still be served within grace while they are filled again.
    pub fn soft(mut self) -> Self {
        self.0.mode = PurgeMode::Soft;
        self
    }

    /// Makes entries unusable. Default.
    pub fn hard(mut self) -> Self {
        self.0.mode = PurgeMode::Hard;
        self
    }

    /// Purges the same once more after `delay`, for a source whose replicas lag behind: a fill right after
    /// the first purge may have read the old value there. At most a day.
    ///
    /// With Redis, the second purge is carried out even if this process has ended by then.
    pub fn again_after(mut self, delay: Duration) -> Self {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.0.after_ms = Some(Milliseconds::new(delay));
        self
    }

    pub(crate) fn into_request(self) -> PurgeRequest {
        self.0
    }
}

impl From<PurgeRequest> for Purge {
    /// The purge that a client of an HTTP endpoint asks for; an `origin_epoch` in it is not taken over.
    fn from(request: PurgeRequest) -> Self {
        Self(PurgeRequest {
            origin_epoch: None,
            ..request
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_things_are_named_together() {
        let purge = Purge::surrogate_key("a").and(Purge::namespace("n")).soft();
        let request = purge.into_request();
        assert_eq!(request.mode, PurgeMode::Soft);
        assert_eq!(request.surrogate_keys, ["a"]);
        assert_eq!(request.namespaces, ["n"]);
    }
}
