//! Language negotiation: one variant for all clients who would be sent the same language.

use serde::{Deserialize, Serialize};

/// The languages that the origin has, if it picks one of them by `Accept-Language`.
///
/// Browsers spell their wishes in thousands of ways (`de-CH, de;q=0.9, en;q=0.8`). With the list, the request that is
/// stored under and sent to the origin names one language alone, or has no `Accept-Language` if none of the list
/// is wanted: the origin's default.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub struct LanguageRule(Vec<Box<str>>);

impl LanguageRule {
    /// These language tags, the one that the origin prefers first.
    pub const fn new(tags: Vec<Box<str>>) -> Self {
        Self(tags)
    }

    /// Whether there is a list at all. Without one, requests stay as they are.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The language that is liked best by who names these ranges, each with its weight in thousandths; none if
    /// all are refused.
    ///
    /// A range speaks of a language if it is the language or begins it (`de` of `de-AT`, RFC 4647 §3.3.1), or
    /// if the language is what is left of it (`de` for `de-CH`, §3.4); `*` speaks of those that no other does. Of two
    /// languages with the same weight, the one that a range names more closely is meant, then the first of the list.
    pub fn best(&self, ranges: &[(&[u8], u16)]) -> Option<&str> {
        let mut best: Option<(&str, (u16, Nearness))> = None;
        for tag in &self.0 {
            let wish = wish(tag.as_bytes(), ranges);
            if wish.0 > 0 && best.is_none_or(|(_, most)| wish > most) {
                best = Some((tag, wish));
            }
        }
        best.map(|(tag, _)| tag)
    }

    /// Whether `tag` has the form of a language tag: subtags of letters and digits (RFC 4647 §2.1).
    pub fn is_tag(tag: &str) -> bool {
        let is_subtag = |subtag: &str| {
            matches!(subtag.len(), 1..=8) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        let mut subtags = tag.split('-');
        let is_word = |subtag: &str| subtag.bytes().all(|byte| byte.is_ascii_alphabetic());
        subtags.next().is_some_and(is_word) && tag.split('-').all(is_subtag)
    }
}

/// How closely a range names a language.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Nearness {
    /// It is `*`.
    Any,
    /// The language is what is left of it, so many letters.
    Narrower(usize),
    /// It begins the language.
    Wider,
    /// It is the language.
    Same,
}

/// How much `tag` is wanted, and how closely it is named.
fn wish(tag: &[u8], ranges: &[(&[u8], u16)]) -> (u16, Nearness) {
    let of_own = ranges.iter().filter(|(range, _)| begins(range, tag));
    // The longest that the language begins with is about it more than the others.
    let own = of_own.max_by_key(|(range, _)| range.len());
    let narrower = ranges.iter().filter(|(range, _)| begins(tag, range));
    let narrower = narrower
        .map(|(_, weight)| (*weight, Nearness::Narrower(tag.len())))
        .max();
    match (own, narrower) {
        (Some((_, 0)), _) => (0, Nearness::Any),
        (Some((range, weight)), narrower) => {
            let nearness = if range.len() == tag.len() {
                Nearness::Same
            } else {
                Nearness::Wider
            };
            narrower.into_iter().fold((*weight, nearness), Ord::max)
        }
        (None, Some(narrower)) => narrower,
        (None, None) => {
            let others = ranges.iter().find(|(range, _)| *range == b"*");
            (others.map_or(0, |(_, weight)| *weight), Nearness::Any)
        }
    }
}

/// Whether the subtags of `long` begin with those of `short`, in whatever case.
fn begins(short: &[u8], long: &[u8]) -> bool {
    match long.split_at_checked(short.len()) {
        Some((start, rest)) => {
            start.eq_ignore_ascii_case(short) && matches!(rest.first(), None | Some(b'-'))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_language_that_is_liked_best_is_found() {
        for (tags, ranges, expected) in [
            (
                &["en", "de"][..],
                &[("de", 1_000), ("en", 900)][..],
                Some("de"),
            ),
            (&["en", "de"], &[("fr", 500), ("DE", 1_000)], Some("de")),
            // Of equals the first of the list, in whatever order the client names them.
            (&["de", "en"], &[("en", 1_000), ("de", 1_000)], Some("de")),
            (&["en", "de"], &[("en", 1_000), ("de", 1_000)], Some("en")),
            // What is left of a narrower range; what a wider range means.
            (&["en", "de"], &[("de-CH", 1_000), ("en", 900)], Some("de")),
            (&["en", "de-AT", "de-DE"], &[("de", 1_000)], Some("de-AT")),
            (&["en", "de-AT", "de"], &[("de", 1_000)], Some("de")),
            (&["de", "de-AT"], &[("de-AT", 1_000)], Some("de-AT")),
            (&["de", "de-AT"], &[("de-AT-1996", 1_000)], Some("de-AT")),
            (
                &["en", "zh-Hant"],
                &[("zh-Hant-TW", 1_000)],
                Some("zh-Hant"),
            ),
            (
                &["en", "zh-Hant"],
                &[("zh-Hans", 1_000), ("en", 100)],
                Some("en"),
            ),
            // Subtags, not letters.
            (&["en", "de"], &[("den", 1_000)], None),
            // The longest range counts, also where it refuses.
            (
                &["de-AT", "de-DE"],
                &[("de", 1_000), ("de-AT", 0)],
                Some("de-DE"),
            ),
            (
                &["de", "en"],
                &[("de", 0), ("de-CH", 1_000), ("en", 1)],
                Some("en"),
            ),
            (
                &["de", "en"],
                &[("de", 100), ("de-CH", 1_000), ("en", 900)],
                Some("de"),
            ),
            // Everything else.
            (&["en", "de"], &[("en", 100), ("*", 500)], Some("de")),
            (&["en", "de"], &[("*", 1_000), ("en", 0)], Some("de")),
            (&["en", "de"], &[("*", 0)], None),
            (&["en", "de"], &[("fr", 1_000)], None),
            (&["en", "de"], &[], None),
            (&[], &[("en", 1_000)], None),
        ] {
            let rule = LanguageRule::new(tags.iter().map(|tag| (*tag).into()).collect());
            let ranges: Vec<_> = ranges
                .iter()
                .map(|(range, weight)| (range.as_bytes(), *weight))
                .collect();
            assert_eq!(rule.best(&ranges), expected, "{tags:?} {ranges:?}");
        }
    }

    #[test]
    fn tags_have_subtags_of_letters_and_digits() {
        for (tag, is_one) in [
            ("de", true),
            ("zh-Hant-TW", true),
            ("es-419", true),
            ("de-", false),
            ("", false),
            ("*", false),
            ("de_DE", false),
            ("419", false),
            ("abcdefghi", false),
            ("de;q=1", false),
        ] {
            assert_eq!(LanguageRule::is_tag(tag), is_one, "{tag}");
        }
    }
}
