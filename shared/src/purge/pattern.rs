//! Globs over keys, URLs and paths.

use super::scope::{ScopeError, checked};

/// A glob: `*` stands for any run of characters, also for none, and `?` for one.
///
/// At most 512 bytes and 16 stars, and matched without backtracking over more than one star, so the
/// worst pattern costs its length times the name's.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Pattern(Box<str>);

impl Pattern {
    const LONGEST: usize = 512;
    const MOST_STARS: usize = 16;

    /// The glob that `text` writes.
    ///
    /// # Errors
    /// When it is empty, too long, has control characters or too many stars.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let text = checked(text)?;
        if text.len() > Self::LONGEST {
            return Err(ScopeError::TooLong {
                bytes: text.len(),
                limit: Self::LONGEST,
            });
        }
        let stars = text.bytes().filter(|byte| *byte == b'*').count();
        if stars > Self::MOST_STARS {
            return Err(ScopeError::TooManyStars {
                stars,
                limit: Self::MOST_STARS,
            });
        }
        Ok(Self(text.into()))
    }

    /// The text it was parsed from.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an entry of this name is meant; a pattern that begins with `/` is held against the path alone.
    pub fn matches(&self, name: &str) -> bool {
        let from_path = || name.find('/').and_then(|slash| name.get(slash..));
        glob(self.0.as_bytes(), name.as_bytes())
            || (self.0.starts_with('/')
                && from_path().is_some_and(|path| glob(self.0.as_bytes(), path.as_bytes())))
    }
}

/// Greedy glob match: only the last star is ever retried, so the cost is bounded by the product of the lengths.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, seen));
                at += 1;
            }
            Some(&byte) if byte == b'?' || Some(&byte) == name.get(seen) => {
                at += 1;
                seen += 1;
            }
            Some(_) | None => match retry {
                Some((after_star, from)) => {
                    at = after_star;
                    seen = from + 1;
                    retry = Some((after_star, seen));
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn globs_match_whole_names() {
        for (pattern, name, expected) in [
            ("context:*:support", "context:cust_1:support", true),
            ("context:*:support", "context:cust_1:billing", false),
            ("context:*:support", "context:a:b:support", true),
            ("context:*:support", "context:a:support:conv_1", false),
            ("*", "", true),
            ("a*", "a", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xbxa", false),
            ("/api/*", "example.com/api/plans?zip=1", true),
            ("/api/*", "example.com/static/api/x", false),
            ("example.com/api/*", "example.com/api/plans", true),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(name), expected, "{pattern:?} on {name:?}");
        }
    }

    #[test]
    fn the_worst_pattern_is_refused_or_bounded() {
        assert!(matches!(
            Pattern::parse(&"*".repeat(17)),
            Err(ScopeError::TooManyStars { stars: 17, .. })
        ));
        assert!(matches!(
            Pattern::parse(&"a".repeat(513)),
            Err(ScopeError::TooLong { bytes: 513, .. })
        ));
        let worst = Pattern::parse(&format!("{}b", "*a".repeat(16))).unwrap();
        assert!(!worst.matches(&"a".repeat(4_096)));
    }
}
