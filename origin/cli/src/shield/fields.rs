//! The fields that a proxy adds on the way (RFC 9110 §7.6.3, RFC 7239, RFC 8586).

use std::net::{IpAddr, SocketAddr};

use http::header::{COOKIE, FORWARDED, HOST, HeaderName, TE, VIA};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri, Version};
use terrace_shared::http::remove_hop_by_hop;
use terrace_shared::intake::{Target, TargetError, is_plain_host, origin_fields};

/// What `Via` says of messages that came here in HTTP/1.1.
pub(crate) const VIA_HERE: HeaderValue = HeaderValue::from_static("1.1 terrace");

const VIA_HERE_2: HeaderValue = HeaderValue::from_static("2.0 terrace");
const VIA_HERE_1_0: HeaderValue = HeaderValue::from_static("1.0 terrace");

const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Most shields that a request may have passed before it is taken to go round in circles.
const MOST_SHIELDS: usize = 8;

/// How this process signs requests, to know them again.
#[derive(Clone, Debug)]
pub(crate) struct Signature(HeaderValue);

impl Signature {
    /// One that nobody else has.
    pub(crate) fn random() -> Self {
        let text = format!("terrace; id={:016x}", rand::random::<u64>());
        Self(HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("terrace")))
    }

    /// Whether a request has been here before, or nearly everywhere (RFC 8586 §2).
    pub(crate) fn has_looped(&self, fields: &HeaderMap) -> bool {
        let mut shields = 0;
        for line in fields.get_all(CDN_LOOP) {
            for member in line.as_bytes().split(|byte| *byte == b',') {
                let member = member.trim_ascii();
                if member == self.0.as_bytes() {
                    return true;
                }
                shields += usize::from(member.starts_with(b"terrace"));
            }
        }
        shields >= MOST_SHIELDS
    }
}

/// What the fields of a request say of its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage<'a> {
    /// Of whom it came.
    pub(crate) peer: SocketAddr,
    /// In which version.
    pub(crate) version: Version,
    /// What it asks for, as an absolute URI.
    pub(crate) uri: &'a Uri,
    /// Who passes it on.
    pub(crate) signature: &'a Signature,
}

/// Makes a client's fields those of the upstream's request, but for `Host`.
///
/// # Errors
/// When its target could be understood in two ways.
pub(crate) fn to_upstream(
    mut fields: HeaderMap,
    passage: Passage<'_>,
) -> Result<HeaderMap, TargetError> {
    let takes_trailers = takes_trailers(&fields);
    remove_hop_by_hop(&mut fields);
    if passage.uri.path() != "*" {
        let target = Target::parse(&passage.uri.to_string())?;
        fields = origin_fields(fields, &target);
    }
    let address = passage.peer.ip().to_canonical();
    join(&mut fields, X_FORWARDED_FOR, &address.to_string());
    join(&mut fields, FORWARDED, &forwarded(address, passage.uri));
    if takes_trailers {
        fields.insert(TE, HeaderValue::from_static("trailers")); // (RFC 9110 §10.1.4)
        fields.insert(
            http::header::CONNECTION,
            HeaderValue::from_static("te"), // (RFC 9110 §7.6.1)
        );
    }
    fields.append(VIA, via(passage.version));
    fields.append(CDN_LOOP, passage.signature.0.clone());
    Ok(fields)
}

/// Makes the upstream's fields those of an answer that passed here.
pub(crate) fn from_upstream(fields: &mut HeaderMap, version: Version) {
    remove_hop_by_hop(fields);
    fields.append(VIA, via(version));
}

/// What is wrong with the way a request names its host.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum HostError {
    /// It names none (RFC 9112 §3.2).
    #[error("the request names no host")]
    Missing,
    /// It names several, or one that is none.
    #[error("the request's host is not understood")]
    Malformed,
}

/// The host that a request names: in its target, or in `Host` (RFC 9112 §3.2, RFC 9113 §8.3.1).
pub(crate) fn host_of(
    uri: &Uri,
    fields: &HeaderMap,
    version: Version,
) -> Result<HeaderValue, HostError> {
    let host = named_host(uri, fields, version)?;
    HeaderValue::from_bytes(host).map_err(|_| HostError::Malformed)
}

/// [`host_of`], where it stands.
pub(crate) fn named_host<'a>(
    uri: &'a Uri,
    fields: &'a HeaderMap,
    version: Version,
) -> Result<&'a [u8], HostError> {
    let mut lines = fields.get_all(HOST).iter();
    let (line, more) = (lines.next(), lines.next());
    if more.is_some() {
        return Err(HostError::Malformed);
    }
    let named = match (uri.authority(), line) {
        // In HTTP/2 they must agree, in HTTP/1.1 the target counts.
        (Some(authority), Some(line))
            if version == Version::HTTP_2
                && !line
                    .as_bytes()
                    .eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            return Err(HostError::Malformed);
        }
        (Some(authority), _) => authority.as_str().as_bytes(),
        (None, Some(line)) => line.as_bytes(),
        (None, None) => return Err(HostError::Missing),
    };
    is_host(named).then_some(named).ok_or(HostError::Malformed)
}

/// Joins the lines of `Cookie` that HTTP/2 has cut (RFC 9113 §8.2.3).
pub(crate) fn join_cookies(fields: &mut HeaderMap) {
    let mut lines = fields.get_all(COOKIE).iter();
    if lines.next().is_some() && lines.next().is_some() {
        let all: Vec<&[u8]> = fields
            .get_all(COOKIE)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
            fields.insert(COOKIE, joined);
        }
    }
}

fn is_host(host: &[u8]) -> bool {
    is_plain_host(host)
        || !host.is_empty()
            && !host.contains(&b'@')
            && Authority::try_from(host).is_ok_and(|authority| !authority.host().is_empty())
}

fn takes_trailers(fields: &HeaderMap) -> bool {
    fields.get_all(TE).iter().any(|line| {
        line.as_bytes()
            .split(|byte| *byte == b',')
            .any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

const fn via(version: Version) -> HeaderValue {
    match version {
        Version::HTTP_2 => VIA_HERE_2,
        Version::HTTP_10 => VIA_HERE_1_0,
        _ => VIA_HERE,
    }
}

/// One element of `Forwarded` (RFC 7239 §4).
fn forwarded(address: IpAddr, uri: &Uri) -> String {
    let node = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let host = uri.authority().map_or("", Authority::as_str);
    let proto = uri.scheme_str().unwrap_or("http");
    format!("for={node};host=\"{host}\";proto={proto}")
}

/// Adds `value` behind what the lines of `name` say.
fn join(fields: &mut HeaderMap, name: HeaderName, value: &str) {
    let mut all: Vec<&[u8]> = fields
        .get_all(&name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    all.push(value.as_bytes());
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b", "[..])) {
        fields.insert(name, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        fields
    }

    #[test]
    fn the_host_is_the_target_s_or_the_only_host_field_s() {
        let missing = Err(HostError::Missing);
        let malformed = Err(HostError::Malformed);
        for (uri, lines, version, host) in [
            ("/x", &[("host", "a")][..], Version::HTTP_11, Ok("a")),
            ("/x", &[("host", "a.b:80")], Version::HTTP_11, Ok("a.b:80")),
            ("/x", &[("host", "A:80")], Version::HTTP_11, Ok("A:80")),
            ("/x", &[("host", ":80")], Version::HTTP_11, malformed),
            ("/x", &[("host", "a:80:80")], Version::HTTP_11, malformed),
            (
                "/x",
                &[("host", "[::1]:80")],
                Version::HTTP_11,
                Ok("[::1]:80"),
            ),
            ("/x", &[], Version::HTTP_11, missing),
            ("/x", &[("host", "")], Version::HTTP_11, malformed),
            (
                "/x",
                &[("host", "a"), ("host", "a")],
                Version::HTTP_11,
                malformed,
            ),
            ("/x", &[("host", "a/b")], Version::HTTP_11, malformed),
            ("/x", &[("host", "u@a")], Version::HTTP_11, malformed),
            ("http://b/x", &[("host", "a")], Version::HTTP_11, Ok("b")),
            ("http://b/x", &[("host", "a")], Version::HTTP_2, malformed),
            ("http://b/x", &[("host", "B")], Version::HTTP_2, Ok("b")),
            ("http://b/x", &[], Version::HTTP_2, Ok("b")),
        ] {
            let found = host_of(&uri.parse().unwrap(), &fields(lines), version);
            let found = found.as_ref().map(|host| host.to_str().unwrap());
            assert_eq!(found.map_err(|error| *error), host, "{uri} {lines:?}");
        }
    }

    #[test]
    fn a_loop_is_noticed_by_the_signature_or_by_its_length() {
        let ours = Signature::random();
        let text = ours.0.to_str().unwrap().to_owned();
        let many = ["terrace; id=0"; MOST_SHIELDS].join(", ");
        for (line, looped) in [
            ("", false),
            ("other", false),
            ("terrace; id=0", false),
            (text.as_str(), true),
            (format!("other , {text},x").as_str(), true),
            (many.as_str(), true),
        ] {
            assert_eq!(
                ours.has_looped(&fields(&[("cdn-loop", line)])),
                looped,
                "{line}"
            );
        }
    }

    #[test]
    fn an_ipv6_client_is_written_as_the_field_wants_it() {
        let uri = Uri::from_static("http://a:1/x");
        let peer = "[2001:db8::1]:5".parse().unwrap();
        let passage = Passage {
            peer,
            version: Version::HTTP_11,
            uri: &uri,
            signature: &Signature::random(),
        };
        let sent = to_upstream(HeaderMap::new(), passage).unwrap();
        assert_eq!(sent["x-forwarded-for"], "2001:db8::1");
        assert_eq!(
            sent["forwarded"],
            "for=\"[2001:db8::1]\";host=\"a:1\";proto=http"
        );
    }

    #[test]
    fn cookies_that_were_cut_are_joined() {
        let mut cut = fields(&[("cookie", "a=1"), ("cookie", "b=2")]);
        join_cookies(&mut cut);
        let lines: Vec<_> = cut.get_all("cookie").iter().collect();
        assert_eq!(lines, ["a=1; b=2"]);
    }
}
