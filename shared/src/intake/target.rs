//! What a request asks for: host, path and query, taken from its URL as it came.

use std::sync::Arc;

use ::http::Uri;
use ::http::uri::{Authority, Parts, PathAndQuery, Scheme};

/// The target of a request, without anything that two readers could understand differently.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target(Arc<Uri>);

/// Why a target is refused: a cache and an origin could take it for different things.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Not an absolute URL of HTTP.
    #[error("the URL is not understood")]
    Malformed,
    /// `%2f` or `%5c`: one slash to some, none to others.
    #[error("the path has an encoded slash or backslash")]
    EncodedSeparator,
    /// `\`: a slash to some.
    #[error("the path has a backslash")]
    Backslash,
    /// `.` or `..`, also encoded: resolved by some.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `%00`, or another control character.
    #[error("the path has a control character")]
    ControlCharacter,
}

impl Target {
    /// The target that `url` names.
    ///
    /// # Errors
    /// When it is no URL of HTTP, or one that two readers could understand differently.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let url = url.split('#').next().unwrap_or_default();
        let (scheme, rest) = url.split_once("://").ok_or(TargetError::Malformed)?;
        let start = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(start);
        let (scheme, own_port) = match scheme {
            scheme if scheme.eq_ignore_ascii_case("http") => ("http", HTTP_PORT),
            scheme if scheme.eq_ignore_ascii_case("https") => ("https", HTTPS_PORT),
            _ => return Err(TargetError::Malformed),
        };
        let host = host_of(authority, own_port).ok_or(TargetError::Malformed)?;
        check(path_and_query.split('?').next().unwrap_or_default())?;
        let mut uri = String::with_capacity(url.len() + 1);
        uri.extend([scheme, "://", host]);
        uri.make_ascii_lowercase();
        if !path_and_query.starts_with('/') {
            uri.push('/');
        }
        uri.push_str(path_and_query);
        let uri = Uri::try_from(uri).map_err(|_| TargetError::Malformed)?;
        Ok(Self(Arc::new(uri)))
    }

    /// What [`Self::parse`] makes of the URL of these parts, which a request's head has come apart into already.
    ///
    /// `host` may have a port. In the usual case nothing is written down to be read again, and the path is shared.
    ///
    /// # Errors
    /// As [`Self::parse`], and when `host` would end before its end.
    pub fn of(
        scheme: &Scheme,
        host: &str,
        path_and_query: &PathAndQuery,
    ) -> Result<Self, TargetError> {
        let plain = is_plain_host(host.as_bytes());
        if !plain && host.contains(['/', '?', '#', '\\']) {
            return Err(TargetError::Malformed);
        }
        let usual = path_and_query.as_str().starts_with('/')
            && host.len() + path_and_query.as_str().len() <= LONGEST_USUAL;
        let own_port = match scheme {
            _ if !usual => None,
            scheme if *scheme == Scheme::HTTP => Some(HTTP_PORT),
            scheme if *scheme == Scheme::HTTPS => Some(HTTPS_PORT),
            _ => None,
        };
        let Some(own_port) = own_port else {
            return Self::parse(&format!("{scheme}://{host}{}", path_and_query.as_str()));
        };
        let host = if plain {
            let name = host.strip_suffix(own_port);
            let name = name.and_then(|name| name.strip_suffix(':'));
            name.unwrap_or(host)
        } else {
            host_of(host, own_port).ok_or(TargetError::Malformed)?
        };
        check(path_and_query.path())?;
        let authority = if !plain && host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Authority::try_from(host.to_ascii_lowercase())
        } else {
            Authority::try_from(host)
        };
        let mut parts = Parts::default();
        parts.scheme = Some(scheme.clone());
        parts.authority = Some(authority.map_err(|_| TargetError::Malformed)?);
        parts.path_and_query = Some(path_and_query.clone());
        let uri = Uri::from_parts(parts).map_err(|_| TargetError::Malformed)?;
        Ok(Self(Arc::new(uri)))
    }

    /// The whole URL, without fragment.
    pub const fn uri(&self) -> &Arc<Uri> {
        &self.0
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        self.0.scheme_str().unwrap_or_default()
    }

    /// Lower case, with its port if that is not the scheme's own.
    pub fn host(&self) -> &str {
        self.0.authority().map_or("", Authority::as_str)
    }

    /// Begins with a slash.
    pub fn path_and_query(&self) -> &str {
        self.0.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The query alone; none if it has none.
    pub fn query(&self) -> Option<&str> {
        self.0.query()
    }
}

const HTTP_PORT: &str = "80";
const HTTPS_PORT: &str = "443";

/// Longer ones, in bytes, go the long way in [`Target::of`], which knows how long a URL may be.
const LONGEST_USUAL: usize = 32_768;

/// Whether `host` is a name or an IPv4 address in lower case, perhaps with a port: it needs no closer look.
pub fn is_plain_host(host: &[u8]) -> bool {
    let is_plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let end = host.iter().position(|byte| !is_plain(byte));
    let (name, port) = host.split_at(end.unwrap_or(host.len()));
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_port && !name.is_empty()
}

/// The host of an authority, with its port unless that is empty or the scheme's own.
///
/// None if it has no host, or a user before it, or something else than a port behind an address.
fn host_of<'a>(authority: &'a str, own_port: &str) -> Option<&'a str> {
    let address = authority.rfind(']').map_or(0, |at| at + 1); // which has colons of its own
    let rest = authority.get(address..)?;
    if address > 0 && !rest.is_empty() && !rest.starts_with(':') {
        return None;
    }
    let host = match rest.split_once(':') {
        // What is left of two ports is still no authority.
        Some((name, port)) if port.is_empty() || port == own_port => {
            authority.get(..address + name.len())?
        }
        Some(_) | None => authority,
    };
    (!host.is_empty() && !host.contains('@')).then_some(host)
}

fn check(path: &str) -> Result<(), TargetError> {
    // In the usual case there is nothing of what is looked for below.
    let usual = |byte| !matches!(byte, b'\\' | b'%' | b'.') && !byte.is_ascii_control();
    if path.bytes().all(usual) {
        return Ok(());
    }
    if path.bytes().any(|byte| byte == b'\\') {
        return Err(TargetError::Backslash);
    }
    if path.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(TargetError::ControlCharacter);
    }
    for (at, _) in path.match_indices('%') {
        match path.as_bytes().get(at + 1..at + 3) {
            Some([b'2', b'f' | b'F'] | [b'5', b'c' | b'C']) => {
                return Err(TargetError::EncodedSeparator);
            }
            Some([b'0' | b'1', _] | [b'7', b'f' | b'F']) => {
                return Err(TargetError::ControlCharacter);
            }
            Some(_) | None => {}
        }
    }
    if path.split('/').any(is_dot_segment) {
        return Err(TargetError::DotSegment);
    }
    Ok(())
}

fn is_dot_segment(segment: &str) -> bool {
    let mut rest = segment;
    let mut dots = 0;
    while let Some(after) = ["%2e", "%2E", "."]
        .iter()
        .find_map(|dot| rest.strip_prefix(dot))
    {
        rest = after;
        dots += 1;
    }
    rest.is_empty() && matches!(dots, 1 | 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn host_and_path_are_taken_as_the_key_needs_them() {
        for (url, scheme, host, path_and_query) in [
            ("https://A.example:443/x?y#z", "https", "a.example", "/x?y"),
            ("http://a.example:80", "http", "a.example", "/"),
            ("http://a.example:443/", "http", "a.example:443", "/"),
            ("http://a.example:/", "http", "a.example", "/"),
            ("http://[::1]:80/", "http", "[::1]", "/"),
            ("http://[::1]:/", "http", "[::1]", "/"),
            ("http://127.0.0.1:8787?q", "http", "127.0.0.1:8787", "/?q"),
            (
                "https://a/%20%C3%A9/.well-known/..a",
                "https",
                "a",
                "/%20%C3%A9/.well-known/..a",
            ),
            (
                "https://a/x?next=%2F..%2Fy",
                "https",
                "a",
                "/x?next=%2F..%2Fy",
            ),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(target.scheme(), scheme, "{url}");
            assert_eq!(target.host(), host, "{url}");
            assert_eq!(target.path_and_query(), path_and_query, "{url}");
        }
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        for (url, error) in [
            ("/x", TargetError::Malformed),
            ("ftp://a/", TargetError::Malformed),
            ("https://u@a/", TargetError::Malformed),
            ("https:///x", TargetError::Malformed),
            ("https://a:443:443/x", TargetError::Malformed),
            ("https://a::443/x", TargetError::Malformed),
            ("https://a:443:/x", TargetError::Malformed),
            ("https://[::1]443/x", TargetError::Malformed),
            ("https://:443/x", TargetError::Malformed),
            ("https://a/x%2Fy", TargetError::EncodedSeparator),
            ("https://a/x%5cy", TargetError::EncodedSeparator),
            ("https://a/x\\y", TargetError::Backslash),
            ("https://a/x/../y", TargetError::DotSegment),
            ("https://a/x/%2e%2E/y", TargetError::DotSegment),
            ("https://a/./y", TargetError::DotSegment),
            ("https://a/x%00", TargetError::ControlCharacter),
            ("https://a/x%0d%0ay", TargetError::ControlCharacter),
            ("https://a/x\u{1}", TargetError::ControlCharacter),
        ] {
            assert_eq!(Target::parse(url), Err(error), "{url}");
        }
    }

    /// What the parts of a head make, and what the URL makes that they write.
    fn both_ways(scheme: &str, host: &str, path: &str) -> Option<[Result<Target, TargetError>; 2]> {
        let scheme = Scheme::try_from(scheme).ok()?;
        let path: PathAndQuery = path.parse().ok()?;
        let whole = Target::parse(&format!("{scheme}://{host}{}", path.as_str()));
        Some([Target::of(&scheme, host, &path), whole])
    }

    #[test]
    fn parts_of_a_head_make_what_their_url_makes() {
        let long = format!("/{}", "x".repeat(LONGEST_USUAL));
        let too_long = "/x".repeat(32_766);
        for (scheme, host, path) in [
            ("http", "a.example", "/"),
            ("http", "A.example:80", "/x?y"),
            ("https", "a.example:443", "/x?y?z"),
            ("https", "a.example:80", "/?"),
            ("HTTP", "a.example:80", "/"),
            ("ftp", "a.example", "/"),
            ("http", "[::1]:80", "/"),
            ("http", "a:80:80", "/"),
            ("http", "a:180", "/"),
            ("http", "a.:80", "/"),
            ("http", "80", "/"),
            ("http", "a:", "/"),
            ("http", "u@a", "/"),
            ("http", "u@a", "/.."),
            ("http", "a b", "/.."),
            ("http", "a b", "/"),
            ("http", "", "/"),
            ("http", ":80", "/"),
            ("http", "\u{e9}", "/"),
            ("http", "%", "/"),
            ("http", "a", "*"),
            ("http", "a", "?x"),
            ("http", "a", "/x?%2f"),
            ("http", "a", "/%2f?x"),
            ("http", "a", "/a.b/.c"),
            ("http", "a", "/a/.."),
            ("http", "a", "/a/%2e?"),
            ("http", "a", &long),
            ("http", "a", &too_long),
        ] {
            let Some([parts, whole]) = both_ways(scheme, host, path) else {
                continue; // it comes to nobody
            };
            assert_eq!(parts, whole, "{scheme} {host} {path}");
            let text = |target: Target| target.uri().to_string();
            assert_eq!(parts.map(text), whole.map(text), "{scheme} {host} {path}");
        }
    }

    #[test]
    fn a_host_does_not_end_before_its_end() {
        for host in ["a/b", "a?b", "a#b", "a\\b"] {
            let target = Target::of(&Scheme::HTTP, host, &PathAndQuery::from_static("/"));
            assert_eq!(target, Err(TargetError::Malformed), "{host}");
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_parts_of_a_head_make_what_their_url_makes(
            scheme in "https?|HTTP|Https|ftp|h2",
            host in "([a-c0-9.-]{1,4}|[a-cA-C0-9.@%\\[\\] é-]{0,6}(\\[(::|[0-9a-f])*\\])?)(|:|:80|:443|:8080|:x)",
            path in "(/[ab]{0,2}|[/*?]?([/?ab.%*\\\\]|%2[eEfF]|%5[cC]|%0d|%7f|é|\u{7f}){0,9})",
        ) {
            if let Some([parts, whole]) = both_ways(&scheme, &host, &path) {
                proptest::prop_assert_eq!(&parts, &whole);
                let text = |target: Target| target.uri().to_string();
                proptest::prop_assert_eq!(parts.map(text), whole.map(text));
            }
        }
    }
}
