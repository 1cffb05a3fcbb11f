//! The surrogate keys of a response, from whichever fields carry them.

use std::fmt::Write as _;

use ::http::header::HeaderName;
use ::http::uri::Scheme;
use ::http::{HeaderMap, Uri};
use sfv::{BareItem, List, ListEntry, Parser};

use super::Rules;
use super::fields::lines;
use crate::key::{SurrogateKey, SurrogateKeys};
use crate::outcome::NotStored;

/// All surrogate keys of a response of `origin`.
///
/// # Errors
/// When any of them is malformed or there are too many: then it is not stored (R12).
pub(super) fn surrogate_keys(
    fields: &HeaderMap,
    origin: Origin<'_>,
    rules: &Rules,
) -> Result<SurrogateKeys, NotStored> {
    let mut values = Vec::new();
    for name in &rules.surrogate_key_fields {
        if name.as_str() != CACHE_GROUPS {
            values.extend(lines(fields, name).map(String::from_utf8_lossy));
        }
    }
    let mut keys =
        SurrogateKeys::parse(values.iter().map(AsRef::as_ref)).map_err(NotStored::SurrogateKeys)?;
    let name = HeaderName::from_static(CACHE_GROUPS);
    if rules.surrogate_key_fields.contains(&name) && fields.contains_key(&name) {
        let groups = groups(fields, &name).ok_or(NotStored::CacheGroups)?;
        for group in groups {
            // The name itself for who purges by hand, and the group of this origin alone (RFC 9875 §2).
            for text in [escaped(&group), origin.scoped(&group)] {
                let key = SurrogateKey::parse(&text).and_then(|key| keys.insert(key));
                key.map_err(NotStored::SurrogateKeys)?;
            }
        }
    }
    Ok(keys)
}

/// The group names in `Cache-Groups` or `Cache-Group-Invalidation`; none if they are malformed (RFC 9875 §2, §3).
pub(super) fn groups(fields: &HeaderMap, name: &HeaderName) -> Option<Vec<String>> {
    let value: Vec<&[u8]> = lines(fields, name).collect();
    let list: List = Parser::new(&value.join(&b", "[..])).parse().ok()?;
    list.iter()
        .map(|entry| match entry {
            ListEntry::Item(item) => match &item.bare_item {
                BareItem::String(name) if !name.as_str().is_empty() => {
                    Some(name.as_str().to_owned())
                }
                _ => None,
            },
            ListEntry::InnerList(_) => None,
        })
        .collect()
}

/// Where a response comes from; groups are its own (RFC 9875 §2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Origin<'a> {
    is_plain: bool,
    host: &'a str,
}

impl<'a> Origin<'a> {
    /// The origin of `uri`; `host` is in lower case, with its port if that is not the scheme's own.
    pub(super) fn of(uri: &Uri, host: &'a str) -> Self {
        Self {
            is_plain: uri.scheme() == Some(&Scheme::HTTP),
            host,
        }
    }

    /// The surrogate key of a group within this origin, so that no other origin can purge it.
    pub(super) fn scoped(self, group: &str) -> String {
        let scheme = if self.is_plain { "+http" } else { "" };
        format!("cache-group{scheme}://{}/{}", self.host, escaped(group))
    }
}

/// A group's name with what no surrogate key may have as `%20`; two that become one are purged together.
fn escaped(group: &str) -> String {
    let mut out = String::with_capacity(group.len());
    for byte in group.bytes() {
        if byte.is_ascii_graphic() && byte != b',' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

const CACHE_GROUPS: &str = "cache-groups";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SurrogateKeyError;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn keys(lines: &[(&'static str, &str)]) -> Result<Vec<String>, NotStored> {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(*name, value.parse().unwrap());
        }
        let uri = Uri::from_static("https://a.example/");
        let origin = Origin::of(&uri, "a.example");
        let keys = surrogate_keys(&fields, origin, &Rules::default())?;
        Ok(keys.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_field_that_carries_keys_is_read() {
        let all = keys(&[
            ("surrogate-key", "b a"),
            ("cache-tag", "c,d"),
            ("edge-cache-tag", "e"),
            ("xkey", "f"),
            ("xkey", "g"),
            ("cache-groups", r#""h i";x=1, "j""#),
        ]);
        let expected =
            "a b c cache-group://a.example/h%20i cache-group://a.example/j d e f g h%20i j";
        assert_eq!(all.unwrap().join(" "), expected);
    }

    #[test]
    fn groups_belong_to_one_origin() {
        // RFC 9875 §2.1
        let of = |uri: &'static str, host| Origin::of(&Uri::from_static(uri), host).scoped("g");
        let secure = of("https://a.example/x", "a.example");
        assert_eq!(secure, "cache-group://a.example/g");
        assert_eq!(of("/x", "a.example"), secure);
        for (uri, host) in [
            ("http://a.example/x", "a.example"),
            ("https://b.example/x", "b.example"),
            ("https://a.example:8443/x", "a.example:8443"),
        ] {
            assert_ne!(of(uri, host), secure, "{uri}");
        }
    }

    #[test]
    fn thirty_two_groups_of_thirty_two_characters_fit() {
        // RFC 9875 §2
        let groups: Vec<String> = (0..32).map(|number| format!("\"{number:032}\"")).collect();
        let all = keys(&[("cache-groups", &groups.join(", "))]).unwrap();
        assert_eq!(all.len(), 64);
        let both = keys(&[("cache-groups", "\"a\", \"A\"")]).unwrap();
        assert_eq!(both.len(), 4);
    }

    #[test]
    fn malformed_keys_are_refused_aloud() {
        // R12
        assert_eq!(
            keys(&[("xkey", "ok n\u{e4}h")]),
            Err(NotStored::SurrogateKeys(
                SurrogateKeyError::NotVisibleAscii { at: 1 }
            ))
        );
        for groups in ["token", "\"open", "(\"a\")", "\"\"", "1"] {
            assert_eq!(
                keys(&[("cache-groups", groups)]),
                Err(NotStored::CacheGroups)
            );
        }
    }
}
