//! Entity tags and lists of them (RFC 9110 §8.8.3).

use ::http::HeaderValue;

/// An opaque validator of a representation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EntityTag {
    pub(super) strength: Strength,
    pub(super) opaque: Box<[u8]>,
}

/// Whether equal tags mean equal bytes (RFC 9110 §8.8.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Strength {
    /// They do.
    Strong,
    /// They mean equivalent content.
    Weak,
}

/// What `If-Match` or `If-None-Match` asks for (RFC 9110 §13.1.1, §13.1.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TagCondition {
    /// `*`: any representation.
    Any,
    /// One of these.
    Tags(Vec<EntityTag>),
}

impl EntityTag {
    /// The tag that `text` is, with its quotes (RFC 9110 §8.8.3).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (tag, rest) = Self::take(text.trim_ascii())?;
        rest.is_empty().then_some(tag)
    }

    /// Whether the tag promises equal bytes.
    pub const fn strength(&self) -> Strength {
        self.strength
    }

    /// Whether equal tags mean equal bytes.
    pub(super) const fn is_strong(&self) -> bool {
        match self.strength {
            Strength::Strong => true,
            Strength::Weak => false,
        }
    }

    /// What is between the quotes.
    pub const fn opaque(&self) -> &[u8] {
        &self.opaque
    }

    /// Strong comparison: equal, and neither is weak (RFC 9110 §8.8.3.2).
    pub fn strongly_matches(&self, other: &Self) -> bool {
        self.strength == Strength::Strong
            && other.strength == Strength::Strong
            && self.opaque == other.opaque
    }

    /// Weak comparison: equal, weak or not (RFC 9110 §8.8.3.2).
    pub fn weakly_matches(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }

    /// The tag as field text.
    pub(super) fn to_value(&self) -> Option<HeaderValue> {
        let mut text = Vec::with_capacity(self.opaque.len() + 4);
        if self.strength == Strength::Weak {
            text.extend_from_slice(b"W/");
        }
        text.push(b'"');
        text.extend_from_slice(&self.opaque);
        text.push(b'"');
        HeaderValue::from_bytes(&text).ok()
    }

    /// A tag from the front of `text`, and what follows it.
    fn take(text: &[u8]) -> Option<(Self, &[u8])> {
        let (strength, quoted) = match text.strip_prefix(b"W/") {
            Some(rest) => (Strength::Weak, rest),
            None => (Strength::Strong, text),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|byte| *byte == b'"')?;
        let (opaque, rest) = inner.split_at_checked(end)?;
        let is_tag_byte = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
        opaque.iter().all(is_tag_byte).then(|| {
            let tag = Self {
                strength,
                opaque: opaque.into(),
            };
            (tag, rest.get(1..).unwrap_or_default())
        })
    }
}

impl TagCondition {
    /// The condition in the lines of one field; none if they are malformed in any place.
    pub(super) fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut tags = Vec::new();
        let mut any = false;
        for line in lines {
            let mut rest = line.trim_ascii();
            if rest == b"*" {
                any = true;
                continue;
            }
            while !rest.is_empty() {
                // Empty list elements are skipped (RFC 9110 §5.6.1.2).
                if let Some(after) = rest.strip_prefix(b",") {
                    rest = after.trim_ascii_start();
                    continue;
                }
                let (tag, after) = EntityTag::take(rest)?;
                tags.push(tag);
                rest = after.trim_ascii_start();
                if !rest.is_empty() && !rest.starts_with(b",") {
                    return None;
                }
            }
        }
        match (any, tags.is_empty()) {
            (true, true) => Some(Self::Any),
            (false, false) => Some(Self::Tags(tags)),
            (true, false) | (false, true) => None,
        }
    }

    /// Whether the condition names `tag` by weak comparison; `*` names every one, also none.
    pub fn weakly_names(&self, tag: Option<&EntityTag>) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => {
                tag.is_some_and(|tag| tags.iter().any(|other| other.weakly_matches(tag)))
            }
        }
    }

    /// Whether the condition names `tag` by strong comparison; `*` names every one, also none.
    pub fn strongly_names(&self, tag: Option<&EntityTag>) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => {
                tag.is_some_and(|tag| tags.iter().any(|other| other.strongly_matches(tag)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn tag(text: &str) -> EntityTag {
        EntityTag::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn comparisons_are_those_of_the_table() {
        // RFC 9110 §8.8.3.2
        for (one, other, strong, weak) in [
            (r#"W/"1""#, r#"W/"1""#, false, true),
            (r#"W/"1""#, r#"W/"2""#, false, false),
            (r#"W/"1""#, r#""1""#, false, true),
            (r#""1""#, r#""1""#, true, true),
        ] {
            assert_eq!(tag(one).strongly_matches(&tag(other)), strong, "{one}");
            assert_eq!(tag(one).weakly_matches(&tag(other)), weak, "{one}");
        }
    }

    #[test]
    fn lists_are_read_over_several_lines_and_commas_within_tags() {
        let lines = [&br#""a,b" , W/"c""#[..], b",, \"\""];
        let expected = vec![tag(r#""a,b""#), tag(r#"W/"c""#), tag(r#""""#)];
        assert_eq!(
            TagCondition::parse(lines.into_iter()),
            Some(TagCondition::Tags(expected))
        );
        assert_eq!(
            TagCondition::parse([&b" * "[..]].into_iter()),
            Some(TagCondition::Any)
        );
    }

    #[test]
    fn malformed_tags_and_lists_are_none() {
        for text in ["", "a", "\"a", "w/\"a\"", "\"a b\"", "W/ \"a\"", "\"a\"x"] {
            assert_eq!(EntityTag::parse(text.as_bytes()), None, "{text}");
        }
        for text in ["", "a", "\"a\" \"b\"", "\"a\", b", "*, \"a\"", ","] {
            assert_eq!(
                TagCondition::parse([text.as_bytes()].into_iter()),
                None,
                "{text}"
            );
        }
    }
}
