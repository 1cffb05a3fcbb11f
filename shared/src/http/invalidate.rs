//! What a successful unsafe request makes unusable (RFC 9111 §4.4, RFC 9875 §3).

use ::http::header::{CONTENT_LOCATION, HeaderName, LOCATION};
use ::http::{HeaderMap, Method, StatusCode, Uri};

use super::fields::only_line;
use super::surrogate::{Origin, groups};
use crate::purge::Scope;

/// The scopes to purge from this cache, because `method` on `uri` was answered with `status` and `fields`.
///
/// None for safe methods and for errors. Other origins' URLs are left alone, so that nobody can purge
/// what is not his. A `uri` without host stands for its path on any host.
pub fn invalidation(
    method: &Method,
    uri: &Uri,
    status: StatusCode,
    fields: &HeaderMap,
) -> Vec<Scope> {
    let is_error = !(status.is_success() || status.is_redirection());
    let Some(target) = Target::of(uri).filter(|_| !method.is_safe() && !is_error) else {
        return Vec::new();
    };
    let mut targets = vec![target];
    for name in [LOCATION, CONTENT_LOCATION] {
        let Some(text) = only_line(fields, &name) else {
            continue;
        };
        // Only within the origin of the request (RFC 9111 §4.4).
        let other = targets.first().and_then(|target| {
            target
                .resolve(text)
                .filter(|other| other.has_origin_of(target))
        });
        if let Some(other) = other.filter(|other| !targets.contains(other)) {
            targets.push(other);
        }
    }
    let groups = groups(fields, &GROUP_INVALIDATION).unwrap_or_default();
    let host = targets.first().map(|target| target.host.clone());
    let origin = Origin::of(uri, host.as_deref().unwrap_or_default());
    let of_group = |group: &String| Scope::surrogate_key(&origin.scoped(group)).ok();
    // What is too long to be named is not stored either.
    let mut scopes: Vec<_> = targets.iter().filter_map(Target::scope).collect();
    scopes.extend(groups.iter().filter_map(of_group));
    scopes
}

const GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// A URL's parts that tell responses apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    scheme: String,
    /// In lower case, with its port if that is not the scheme's own; empty if it is not known.
    host: String,
    path: String,
    query: Option<String>,
}

impl Target {
    /// The target of a request; none if it has no path of its own (`*`, or an authority alone).
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str().unwrap_or_default().to_ascii_lowercase();
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let own_port = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let host = match uri.port_u16() {
            Some(port) if Some(port) != own_port => format!("{host}:{port}"),
            Some(_) | None => host,
        };
        let path = uri.path();
        let path = if path.is_empty() { "/" } else { path };
        path.starts_with('/').then(|| Self {
            scheme,
            host,
            path: without_dots(path),
            query: uri.query().map(str::to_owned),
        })
    }

    /// The URL that `text` means, seen from here (RFC 3986 §5.2).
    pub(super) fn resolve(&self, text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.trim();
        let text = text.split('#').next().unwrap_or_default();
        if let Some(rest) = text.strip_prefix("//") {
            return Self::of(&format!("{}://{rest}", self.scheme).parse().ok()?);
        }
        let before_path = text.split(['/', '?']).next().unwrap_or_default();
        if before_path.contains(':') {
            let uri: Uri = text.parse().ok()?;
            return Self::of(&uri).filter(|_| matches!(uri.scheme_str(), Some("http" | "https")));
        }
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (text, None),
        };
        let (path, query) = if path.is_empty() {
            let query = query.or_else(|| self.query.clone().filter(|_| !text.contains('?')));
            (self.path.clone(), query)
        } else if path.starts_with('/') {
            (without_dots(path), query)
        } else {
            let directory = self
                .path
                .rfind('/')
                .and_then(|slash| self.path.get(..=slash));
            (
                without_dots(&format!("{}{path}", directory.unwrap_or("/"))),
                query,
            )
        };
        Some(Self {
            path,
            query,
            ..self.clone()
        })
    }

    fn has_origin_of(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host
    }

    fn scope(&self) -> Option<Scope> {
        let mut name = format!("{}{}", self.host, self.path);
        if let Some(query) = &self.query {
            name.push('?');
            name.push_str(query);
        }
        Scope::exact(&name).ok()
    }
}

/// The path without `.` and `..` segments (RFC 3986 §5.2.4).
fn without_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let segments = path.strip_prefix('/').unwrap_or(path);
    let last = segments.split('/').next_back().unwrap_or_default();
    for segment in segments.split('/') {
        match segment {
            "." => {}
            ".." => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    if last == "." || last == ".." {
        out.push("");
    }
    format!("/{}", out.join("/"))
}

#[cfg(test)]
mod tests;
