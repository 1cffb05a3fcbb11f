//! A Cloudflare zone's own cache, purged through Cloudflare's API.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use terrace_shared::purge::wire::PurgeRequest;
use terrace_shared::time::Milliseconds;

use super::call::Call;
use super::edge::is_name;
use super::target::{PurgeTarget, Taken, TellError};
use crate::error::BuildError;
use crate::ledger::BoxFuture;

/// A Cloudflare zone whose cache holds responses beside the edge's own, and the API token that may purge it.
///
/// Surrogate keys go as tags (the zone has to see them as `Cache-Tag`), URLs as files, hosts as hosts, and
/// prefixes of a host's paths as prefixes. What the API has no word for (a path on any host, a pattern)
/// becomes a purge of everything. Keys and namespaces of data name nothing there. A soft purge is a
/// hard one there.
#[derive(Clone)]
pub struct CloudflareZone {
    zone: String,
    token: String,
    api: String,
    timeout: Duration,
    bound: Duration,
}

impl CloudflareZone {
    /// The zone with this identifier; the token needs the permission "Cache Purge".
    ///
    /// Whether both can be used is said when the cache is built.
    pub fn new(zone_id: impl Into<String>, api_token: impl Into<String>) -> Self {
        Self {
            zone: zone_id.into(),
            token: api_token.into(),
            api: "https://api.cloudflare.com/client/v4".to_owned(),
            timeout: Duration::from_secs(10),
            bound: Duration::from_secs(30),
        }
    }

    /// Where the API is, up to its version. Default: `https://api.cloudflare.com/client/v4`.
    #[must_use]
    pub fn api(mut self, url: impl Into<String>) -> Self {
        self.api = url.into();
        self
    }

    /// Longest time from Cloudflare's answer until no data centre serves what was purged.
    ///
    /// Cloudflare speaks of a median of 150 ms, and promises nothing; receipts count on this. Default: 30 s.
    #[must_use]
    pub fn bound(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }
}

impl fmt::Debug for CloudflareZone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CloudflareZone")
            .field("zone", &self.zone)
            .finish_non_exhaustive()
    }
}

/// The zone over its API.
pub(crate) struct ZoneClient {
    name: String,
    call: Call,
    bound: Milliseconds,
}

/// One call of the API: one kind of thing.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum ZonePurge {
    Tags(Vec<String>),
    Files(Vec<String>),
    Prefixes(Vec<String>),
    Hosts(Vec<String>),
    PurgeEverything(bool),
}

#[derive(Deserialize)]
struct ZoneAnswer {
    success: bool,
}

impl ZoneClient {
    pub(crate) fn new(zone: &CloudflareZone) -> Result<Self, BuildError> {
        let refuse = |reason| BuildError::Edge {
            url: zone.api.clone(),
            reason,
        };
        let name = format!("cloudflare:{}", zone.zone);
        let is_id = zone.zone.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if zone.zone.is_empty() || !is_id || !is_name(&name) {
            return Err(refuse("the zone's identifier has to be letters and digits"));
        }
        let url = format!(
            "{}/zones/{}/purge_cache",
            zone.api.trim_end_matches('/'),
            zone.zone
        );
        let bound = u64::try_from(zone.bound.as_millis()).unwrap_or(u64::MAX);
        Ok(Self {
            name,
            call: Call::new("Cloudflare", &url, &zone.token, zone.timeout).map_err(refuse)?,
            bound: Milliseconds::new(bound),
        })
    }

    /// What it is called in receipts.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    async fn purge(&self, purge: &ZonePurge) -> Result<(), TellError> {
        let answer = self.call.post(purge).await?;
        let done: Option<ZoneAnswer> = serde_json::from_slice(&answer.body).ok();
        match done {
            Some(ZoneAnswer { success: true }) if answer.status.is_success() => Ok(()),
            Some(_) | None => Err(answer.refusal()),
        }
    }
}

impl PurgeTarget for ZoneClient {
    fn tell<'a>(&'a self, request: &'a PurgeRequest) -> BoxFuture<'a, Result<Taken, TellError>> {
        Box::pin(async move {
            // Broken off in the middle, all of it is told again.
            for purge in in_words_of_the_api(request) {
                self.purge(&purge).await?;
            }
            Ok(Taken {
                epoch: None,
                bound: self.bound,
            })
        })
    }
}

/// Most things that one call may name.
const MOST_A_CALL: usize = 100;

/// The calls that purge at least what `request` names.
fn in_words_of_the_api(request: &PurgeRequest) -> Vec<ZonePurge> {
    let everything = vec![ZonePurge::PurgeEverything(true)];
    if request.everything {
        return everything;
    }
    let (mut files, mut prefixes) = (Vec::new(), Vec::new());
    for name in request.keys.iter().chain(&request.urls) {
        let name = without_scheme(name);
        match (split_host(name), name.split_once('?')) {
            (Named::NothingThere, _) => {}
            (Named::AnyHost, _) => return everything,
            // The zone keeps a query as it was sent, not as it is normalised here.
            (Named::OnHost, Some((path, _))) => prefixes.push(path.to_owned()),
            (Named::OnHost, None) => {
                files.extend(["https", "http"].map(|scheme| format!("{scheme}://{name}")));
            }
        }
    }
    let ends = request
        .patterns
        .iter()
        .map(|pattern| pattern.strip_suffix('*'));
    let patterns = ends.map(|prefix| prefix.filter(|prefix| !prefix.contains(['*', '?'])));
    for prefix in request
        .prefixes
        .iter()
        .map(|prefix| Some(prefix.as_str()))
        .chain(patterns)
    {
        let Some(prefix) = prefix.map(without_scheme) else {
            return everything;
        };
        match split_host(prefix) {
            Named::OnHost => prefixes.push(prefix.to_owned()),
            Named::NothingThere if prefix.ends_with(':') && !prefix.contains('.') => {}
            // On any host, or the beginning of a host's name, perhaps.
            Named::AnyHost | Named::NothingThere => return everything,
        }
    }
    let hosts = request.hosts.iter().map(|host| {
        let (name, _port) = host.split_once(':').unwrap_or((host, ""));
        name.to_owned()
    });
    [
        calls(&request.surrogate_keys, ZonePurge::Tags),
        calls(&files, ZonePurge::Files),
        calls(&prefixes, ZonePurge::Prefixes),
        calls(&hosts.collect::<Vec<_>>(), ZonePurge::Hosts),
    ]
    .concat()
}

fn calls(names: &[String], call: fn(Vec<String>) -> ZonePurge) -> Vec<ZonePurge> {
    names
        .chunks(MOST_A_CALL)
        .map(|names| call(names.to_vec()))
        .collect()
}

/// What a name can mean in a zone.
#[derive(Clone, Copy)]
enum Named {
    /// A host and a path.
    OnHost,
    /// A path on whichever host.
    AnyHost,
    /// A key of data: no response has such a name.
    NothingThere,
}

fn split_host(name: &str) -> Named {
    match name.find('/') {
        None => Named::NothingThere,
        Some(0) => Named::AnyHost,
        Some(_) => Named::OnHost,
    }
}

fn without_scheme(name: &str) -> &str {
    let name = name.strip_prefix("https://").unwrap_or(name);
    name.strip_prefix("http://").unwrap_or(name)
}

#[cfg(test)]
mod tests;
