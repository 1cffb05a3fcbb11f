//! Path patterns: which request paths a route is for.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::key::{KeyParts, is_part_name};

/// A pattern of request paths: `/assets/*`, `/*.html`, `/api/plans/{plan_id}`.
///
/// `*` stands for any run of characters, slashes too, also for none. `{name}` stands for one whole
/// segment, at least a character, and captures it. Everything else stands for itself, case and all.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct PathPattern {
    text: Box<str>,
    pieces: Vec<Piece>,
}

/// One piece of a path pattern.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Piece {
    Byte(u8),
    Star,
    Segment(Box<str>),
}

/// Why a text is no path pattern; positions are bytes of the text, from 0.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PathPatternError {
    /// It does not begin with a slash.
    #[error("the path pattern does not begin with \"/\"")]
    NoSlash,
    /// More bytes than allowed.
    #[error("the path pattern is {bytes} bytes long, at most {limit} are allowed", limit = PathPattern::LONGEST)]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// More stars than allowed.
    #[error("the path pattern has {stars} stars, at most {limit} are allowed", limit = PathPattern::MOST_STARS)]
    TooManyStars {
        /// How many it has.
        stars: usize,
    },
    /// A character that no path has: paths are visible ASCII, without query and fragment.
    #[error("{character:?} at {at} cannot stand in a path")]
    ForbiddenCharacter {
        /// The character.
        character: char,
        /// Where.
        at: usize,
    },
    /// Braces that are not closed, do not fill a segment, or hold no name.
    #[error(
        "the braces at {at} are not a name that fills a segment, as in \"/plans/{{plan_id}}/prices\""
    )]
    BadSegment {
        /// Where.
        at: usize,
    },
    /// A name that stands twice.
    #[error("part {part:?} at {at} occurs a second time")]
    Repeated {
        /// The name.
        part: Box<str>,
        /// Where.
        at: usize,
    },
}

impl PathPattern {
    /// Longest pattern, in bytes.
    pub const LONGEST: usize = 512;

    /// Most stars of a pattern.
    pub const MOST_STARS: usize = 8;

    /// The pattern that `text` is.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(text: &str) -> Result<Self, PathPatternError> {
        if !text.starts_with('/') {
            return Err(PathPatternError::NoSlash);
        }
        if text.len() > Self::LONGEST {
            return Err(PathPatternError::TooLong { bytes: text.len() });
        }
        let stars = text.bytes().filter(|byte| *byte == b'*').count();
        if stars > Self::MOST_STARS {
            return Err(PathPatternError::TooManyStars { stars });
        }
        let pieces = pieces(text)?;
        let text = text.into();
        Ok(Self { text, pieces })
    }

    /// The pattern that matches every path.
    pub fn all() -> Self {
        Self {
            text: "/*".into(),
            pieces: vec![Piece::Byte(b'/'), Piece::Star],
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of the segments that it captures.
    pub fn part_names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Segment(name) => Some(&**name),
            Piece::Byte(_) | Piece::Star => None,
        })
    }

    /// Whether it matches the whole of `path`.
    pub fn matches(&self, path: &str) -> bool {
        self.walk(path, |_, _| {})
    }

    /// The segments captured from `path`, percent-decoded, if it matches.
    ///
    /// A segment that is not UTF-8 when it is decoded is captured as it was sent.
    pub fn capture(&self, path: &str) -> Option<KeyParts> {
        // A name that was captured before the last star was tried again is captured again.
        let mut parts = KeyParts::new();
        let matched = self.walk(path, |name, segment| {
            let value = String::from_utf8(percent_decoded(segment).into_owned());
            parts.insert(
                String::from(name),
                value.unwrap_or_else(|_| segment.to_owned()),
            );
        });
        matched.then_some(parts)
    }

    /// Matches with one point to go back to, the last star: costs at most one length times the other.
    fn walk<'a>(&self, path: &'a str, mut captured: impl FnMut(&str, &'a str)) -> bool {
        let bytes = path.as_bytes();
        let (mut at, mut seen) = (0, 0);
        let mut retry = None;
        loop {
            let step = match (self.pieces.get(at), bytes.get(seen)) {
                (None, None) => return true,
                (Some(Piece::Star), _) => {
                    at += 1;
                    retry = Some((at, seen));
                    continue;
                }
                (Some(Piece::Byte(wanted)), Some(byte)) if wanted == byte => 1,
                (Some(Piece::Segment(name)), Some(_)) => {
                    let segment = segment_at(path, seen);
                    captured(name, segment);
                    segment.len()
                }
                (Some(Piece::Byte(_) | Piece::Segment(_)) | None, _) => 0,
            };
            if step > 0 {
                at += 1;
                seen += step;
                continue;
            }
            match retry {
                Some((after_star, from)) if from < bytes.len() => {
                    at = after_star;
                    seen = from + 1;
                    retry = Some((after_star, seen));
                }
                Some(_) | None => return false,
            }
        }
    }
}

impl TryFrom<Box<str>> for PathPattern {
    type Error = PathPatternError;

    fn try_from(text: Box<str>) -> Result<Self, PathPatternError> {
        Self::parse(&text)
    }
}

impl From<PathPattern> for Box<str> {
    fn from(pattern: PathPattern) -> Self {
        pattern.text
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, PathPatternError> {
    let mut pieces = Vec::new();
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let at = text.len() - rest.len();
        match character {
            '*' => pieces.push(Piece::Star),
            '{' => {
                let bad = PathPatternError::BadSegment { at };
                let segment = rest.split('/').next().unwrap_or_default();
                let name = segment
                    .strip_prefix('{')
                    .and_then(|name| name.strip_suffix('}'));
                let name = name
                    .filter(|name| is_part_name(name))
                    .ok_or_else(|| bad.clone())?;
                if !text.get(..at).is_some_and(|before| before.ends_with('/')) {
                    return Err(bad);
                }
                if names.contains(&name) {
                    let part = name.into();
                    return Err(PathPatternError::Repeated { part, at });
                }
                names.push(name);
                pieces.push(Piece::Segment(name.into()));
                rest = rest.get(segment.len()..).unwrap_or_default();
                continue;
            }
            '}' => return Err(PathPatternError::BadSegment { at }),
            '?' | '#' => return Err(PathPatternError::ForbiddenCharacter { character, at }),
            _ if character.is_ascii_graphic() => {
                pieces.extend(rest.bytes().next().map(Piece::Byte));
            }
            _ => return Err(PathPatternError::ForbiddenCharacter { character, at }),
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    Ok(pieces)
}

/// The whole segment that begins at `start`; empty if none does.
fn segment_at(path: &str, start: usize) -> &str {
    let begins = start > 0 && path.as_bytes().get(start - 1) == Some(&b'/');
    let rest = path.get(start..).filter(|_| begins).unwrap_or_default();
    rest.split('/').next().unwrap_or_default()
}

/// The bytes that a part of a URL stands for (RFC 3986 §2.1); a `%` without two digits stands for itself.
pub(crate) fn percent_decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.split_first_chunk().filter(|_| *byte == b'%');
        let escaped = digits.and_then(|([high, low], after)| {
            Some(((hex_value(*high)? << 4) | hex_value(*low)?, after))
        });
        let (byte, after) = escaped.unwrap_or((*byte, after));
        bytes.push(byte);
        rest = after;
    }
    Cow::Owned(bytes)
}

fn hex_value(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn paths_are_matched_whole() {
        for (pattern, path, expected) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/*", "/", true),
            ("/*", "/a/b", true),
            ("/assets/*", "/assets/app.1f3c.js", true),
            ("/assets/*", "/assets", false),
            ("/assets/*", "/x/assets/app.js", false),
            ("/*.html", "/index.html", true),
            ("/*.html", "/a/b.html", true),
            ("/*.html", "/a.html/b", false),
            ("/*.html", "/a.html.html", true),
            ("/api/{id}", "/api/1", true),
            ("/api/{id}", "/api/", false),
            ("/api/{id}", "/api/1/2", false),
            ("/api/{id}/x", "/api/1/x", true),
            ("/*/{id}/x", "/a/b/c/x", true),
            ("/*/{id}/x", "/a/x", false),
            ("/*{x", "/", false),
        ] {
            let Ok(pattern) = PathPattern::parse(pattern) else {
                assert_eq!(pattern, "/*{x");
                continue;
            };
            assert_eq!(pattern.matches(path), expected, "{pattern:?} on {path:?}");
        }
        assert_eq!(PathPattern::parse("/*"), Ok(PathPattern::all()));
    }

    #[test]
    fn captured_segments_are_decoded() {
        let pattern = PathPattern::parse("/*/plans/{plan_id}/{tab}").unwrap();
        assert_eq!(pattern.part_names().collect::<Vec<_>>(), ["plan_id", "tab"]);
        for (path, expected) in [
            ("/api/plans/a%20b/x", "plan_id=a b, tab=x"),
            ("/a/plans/b/plans/c/d", "plan_id=c, tab=d"),
            ("/api/plans/%FF/%zz%4", "plan_id=%FF, tab=%zz%4"),
        ] {
            let parts = pattern.capture(path).unwrap();
            assert_eq!(parts.to_string(), expected, "{path}");
        }
        assert_eq!(pattern.capture("/api/plans/1"), None);
    }

    #[test]
    fn malformed_patterns_are_refused_with_their_place() {
        use PathPatternError as Error;
        for (text, error) in [
            ("", Error::NoSlash),
            ("*", Error::NoSlash),
            (
                "/a?b=c",
                Error::ForbiddenCharacter {
                    character: '?',
                    at: 2,
                },
            ),
            (
                "/é",
                Error::ForbiddenCharacter {
                    character: 'é',
                    at: 1,
                },
            ),
            (
                "/a b",
                Error::ForbiddenCharacter {
                    character: ' ',
                    at: 2,
                },
            ),
            ("/{a", Error::BadSegment { at: 1 }),
            ("/a}", Error::BadSegment { at: 2 }),
            ("/{a}b", Error::BadSegment { at: 1 }),
            ("/b{a}", Error::BadSegment { at: 2 }),
            ("/{}", Error::BadSegment { at: 1 }),
            ("/{a*}", Error::BadSegment { at: 1 }),
            (
                "/{a}/{a}",
                Error::Repeated {
                    part: "a".into(),
                    at: 5,
                },
            ),
            ("/*********", Error::TooManyStars { stars: 9 }),
        ] {
            assert_eq!(PathPattern::parse(text), Err(error), "{text:?}");
        }
        let long = format!("/{}", "a".repeat(512));
        assert_eq!(
            PathPattern::parse(&long),
            Err(Error::TooLong { bytes: 513 })
        );
    }
}
