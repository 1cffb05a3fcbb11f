//! Which cookies of a request take part in the cache.

use ::http::header::COOKIE;
use ::http::{HeaderMap, HeaderValue};

use crate::policy::CookieRule;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cookies {
    /// They leave the request cacheable.
    Cacheable,
    /// One of them does not.
    Bypass,
}

/// Takes out the cookies that the route leaves out, and gives those that are part of the key.
pub(super) fn apply_cookies(
    rule: &CookieRule,
    fields: &mut HeaderMap,
) -> (Cookies, Option<Vec<u8>>) {
    if !fields.contains_key(COOKIE) {
        return (Cookies::Cacheable, None);
    }
    let (keyed, bypass) = match rule {
        CookieRule::Bypass => return (Cookies::Bypass, None),
        CookieRule::Ignore => {
            fields.remove(COOKIE);
            return (Cookies::Cacheable, None);
        }
        CookieRule::Named { keyed, bypass } => (keyed, bypass),
    };
    let lines: Vec<HeaderValue> = fields.get_all(COOKIE).iter().cloned().collect();
    let mut kept: Vec<&[u8]> = Vec::new();
    for pair in lines
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
    {
        let pair = pair.trim_ascii();
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        if bypass.iter().any(|other| other.as_bytes() == name) {
            return (Cookies::Bypass, None);
        }
        if keyed.iter().any(|other| other.as_bytes() == name) {
            kept.push(pair);
        }
    }
    kept.sort_unstable();
    let kept = kept.join(&b"; "[..]);
    fields.remove(COOKIE);
    if let Ok(value) = HeaderValue::from_bytes(&kept)
        && !kept.is_empty()
    {
        fields.insert(COOKIE, value);
    }
    (Cookies::Cacheable, Some(kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn cookies(rule: &CookieRule, line: &str) -> (Cookies, Option<String>, Option<String>) {
        let mut fields = HeaderMap::new();
        fields.insert(COOKIE, HeaderValue::from_str(line).unwrap());
        let (cookies, keyed) = apply_cookies(rule, &mut fields);
        let left = fields.get(COOKIE);
        (
            cookies,
            keyed.map(|keyed| String::from_utf8(keyed).unwrap()),
            left.map(|value| value.to_str().unwrap().to_owned()),
        )
    }

    #[test]
    fn cookies_take_part_as_the_route_says() {
        let named = CookieRule::Named {
            keyed: vec!["lang".into(), "theme".into()],
            bypass: vec!["session".into()],
        };
        let text = |text: &str| Some(text.to_owned());
        for (rule, line, expected) in [
            (
                &CookieRule::Bypass,
                "a=1",
                (Cookies::Bypass, None, text("a=1")),
            ),
            (&CookieRule::Ignore, "a=1", (Cookies::Cacheable, None, None)),
            (
                &named,
                "theme=dark; a=1;lang=de",
                (
                    Cookies::Cacheable,
                    text("lang=de; theme=dark"),
                    text("lang=de; theme=dark"),
                ),
            ),
            (&named, "a=1", (Cookies::Cacheable, text(""), None)),
            (
                &named,
                "lang=de; session=x",
                (Cookies::Bypass, None, text("lang=de; session=x")),
            ),
        ] {
            assert_eq!(cookies(rule, line), expected, "{rule:?} {line}");
        }
    }
}
