//! The surrogate keys of a response, from whichever fields carry them.

use std::fmt::Write as _;

use ::http::HeaderMap;
use ::http::header::HeaderName;
use sfv::{BareItem, List, ListEntry, Parser};

use super::Rules;
use super::fields::lines;
use crate::key::{SurrogateKey, SurrogateKeys};
use crate::outcome::NotStored;

/// All surrogate keys of a response stored under `host`.
///
/// # Errors
/// When any of them is malformed or there are too many: then it is not stored (R12).
pub(super) fn surrogate_keys(
    fields: &HeaderMap,
    host: &str,
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
            for text in [escaped(&group), scoped(host, &group)] {
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

/// The surrogate key of a group within one origin, so that no other origin can purge it.
pub(super) fn scoped(host: &str, group: &str) -> String {
    format!("cache-group://{host}/{}", escaped(group))
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
        let keys = surrogate_keys(&fields, "a.example", &Rules::default())?;
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
