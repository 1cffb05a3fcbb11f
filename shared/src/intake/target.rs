//! What a request asks for: host, path and query, taken from its URL as it came.

use ::http::Uri;
use ::http::uri::Authority;

/// The target of a request, without anything that two readers could understand differently.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// The whole URL, without fragment.
    pub uri: Uri,
    /// `http` or `https`.
    pub scheme: Box<str>,
    /// Lower case, with its port if that is not the scheme's own.
    pub host: Box<str>,
    /// Begins with a slash.
    pub path_and_query: Box<str>,
}

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
        let scheme = scheme.to_ascii_lowercase();
        let start = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(start);
        let own_port = match &*scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return Err(TargetError::Malformed),
        };
        // Two ports, for instance, are none that a name could be made of.
        if authority.contains('@') || authority.parse::<Authority>().is_err() {
            return Err(TargetError::Malformed);
        }
        let host = authority.to_ascii_lowercase();
        let host = host.strip_suffix(own_port).unwrap_or(&host);
        let host = host.strip_suffix(':').unwrap_or(host);
        if host.is_empty() {
            return Err(TargetError::Malformed);
        }
        let path_and_query = if path_and_query.starts_with('/') {
            path_and_query.to_owned()
        } else {
            format!("/{path_and_query}")
        };
        check(path_and_query.split('?').next().unwrap_or_default())?;
        let uri = format!("{scheme}://{host}{path_and_query}");
        Ok(Self {
            uri: uri.parse().map_err(|_| TargetError::Malformed)?,
            scheme: scheme.into(),
            host: host.into(),
            path_and_query: path_and_query.into(),
        })
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }
}

fn check(path: &str) -> Result<(), TargetError> {
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
    let dots = |segment: &str| {
        let plain = segment.replace("%2e", ".").replace("%2E", ".");
        matches!(&*plain, "." | "..")
    };
    if path.split('/').any(dots) {
        return Err(TargetError::DotSegment);
    }
    Ok(())
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
            assert_eq!(&*target.scheme, scheme, "{url}");
            assert_eq!(&*target.host, host, "{url}");
            assert_eq!(&*target.path_and_query, path_and_query, "{url}");
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
}
