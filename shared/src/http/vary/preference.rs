//! Weighted lists: `Accept` and its kin in one form for all that mean the same (RFC 9110 §12.4.2, §12.5).
//!
//! Members are held against each other by name, parameters and weight. Their order means nothing, and
//! neither do spaces, case, a weight of one, or zeros at the end of a weight.

use ::http::header::{ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, HeaderName};

use crate::http::cache_control::Members;

/// Whether the values of this field are weighted lists.
pub(super) fn is_weighted(name: &HeaderName) -> bool {
    [ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE].contains(name)
}

/// The one form of a list.
pub(super) fn canonical<'a>(members: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut members: Vec<(u16, Vec<u8>)> = members
        .map(|text| {
            let member = Member { text };
            (member.weight(), member.to_bytes())
        })
        .collect();
    // What is wanted most comes first.
    members.sort_unstable_by(|(one, text), (other, next)| other.cmp(one).then(text.cmp(next)));
    members.dedup();
    let texts: Vec<Vec<u8>> = members.into_iter().map(|(_, text)| text).collect();
    texts.join(&b","[..])
}

/// Whether [`canonical`] would give `expected`; without allocating, unless a list is very long.
pub(super) fn is_canonical<'a, I: Iterator<Item = &'a [u8]>>(
    expected: &[u8],
    members: impl Fn() -> I,
) -> bool {
    let stored = || Members { rest: expected };
    // Each against each is quick for few. An open quote may swallow what follows it, so that only the whole
    // can be held against the whole.
    let is_quoted = |text: &[u8]| text.contains(&b'"');
    let is_long = stored().nth(MANY).is_some() || members().nth(MANY).is_some();
    if is_long || is_quoted(expected) || members().any(is_quoted) {
        return canonical(members()) == expected;
    }
    let mut own = members().map(|text| Member { text });
    let mut others = stored().map(|text| Member { text });
    own.all(|own| stored().any(|text| own.means_the_same_as(Member { text })))
        && others.all(|other| members().any(|text| other.means_the_same_as(Member { text })))
}

const MANY: usize = 32;

/// `name;parameter=value;q=0.5`, with whatever spaces and case it came.
#[derive(Clone, Copy)]
struct Member<'a> {
    text: &'a [u8],
}

impl<'a> Member<'a> {
    /// Its weight in thousandths; that of a malformed one is part of its parameters.
    fn weight(self) -> u16 {
        self.segments().skip(1).find_map(weight).unwrap_or(1_000)
    }

    /// Its name, then its parameters.
    fn segments(self) -> impl Iterator<Item = &'a [u8]> {
        segments(self.text)
    }

    /// The same without the weight.
    fn unweighted(self) -> impl Iterator<Item = &'a [u8]> {
        let is_kept = |(place, segment): &(usize, &[u8])| *place == 0 || weight(segment).is_none();
        self.segments()
            .enumerate()
            .filter(is_kept)
            .map(|(_, segment)| segment)
    }

    fn means_the_same_as(self, other: Member<'_>) -> bool {
        if self.text == other.text {
            return true;
        }
        let (mut own, mut others) = (self.unweighted(), other.unweighted());
        loop {
            match (own.next(), others.next()) {
                (None, None) => return self.weight() == other.weight(),
                (Some(one), Some(other)) if is_same_segment(one, other) => {}
                _ => return false,
            }
        }
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.text.len());
        for segment in self.unweighted() {
            if !out.is_empty() {
                out.push(b';');
            }
            let (name, value) = name_and_value(segment);
            out.extend(name.to_ascii_lowercase());
            out.extend_from_slice(value);
        }
        let weight = self.weight();
        if weight < 1_000 {
            let digits = format!(";q=0.{weight:03}");
            let digits = digits.trim_end_matches('0').trim_end_matches('.');
            out.extend_from_slice(digits.as_bytes());
        }
        out
    }
}

fn is_same_segment(one: &[u8], other: &[u8]) -> bool {
    let ((name, value), (other_name, other_value)) = (name_and_value(one), name_and_value(other));
    name.eq_ignore_ascii_case(other_name) && value == other_value
}

/// What of a segment may be in either case, and the rest with its sign.
fn name_and_value(segment: &[u8]) -> (&[u8], &[u8]) {
    let end = segment.iter().position(|byte| *byte == b'=');
    segment.split_at(end.unwrap_or(segment.len()))
}

/// The weight that `q=0.5` is, in thousandths; none if the segment is something else (RFC 9110 §12.4.2).
fn weight(segment: &[u8]) -> Option<u16> {
    let (b"q=" | b"Q=", digits) = segment.split_at_checked(2)? else {
        return None;
    };
    let (whole, fraction) = match digits {
        [whole] => (*whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        _ => return None,
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |place: usize| {
        fraction
            .get(place)
            .map_or(0, |digit| u16::from(digit - b'0'))
    };
    let fraction = 100 * digit(0) + 10 * digit(1) + digit(2);
    match whole {
        b'0' => Some(fraction),
        b'1' if fraction == 0 => Some(1_000),
        _ => None,
    }
}

/// The trimmed parts between semicolons that are not in quoted strings.
fn segments(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |byte| {
        let within = quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if within => escaped = true,
            b'"' => quoted = !within,
            _ => {}
        }
        *byte == b';' && !within
    })
    .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn form(text: &str) -> String {
        let members = Members {
            rest: text.as_bytes(),
        };
        String::from_utf8(canonical(members)).unwrap()
    }

    #[test]
    fn lists_that_mean_the_same_have_one_form() {
        for (text, expected) in [
            ("gzip, br", "br,gzip"),
            ("BR;q=1.000,gzip;q=1", "br,gzip"),
            ("a;q=0.50, b ; Q=0.5", "a;q=0.5,b;q=0.5"),
            ("a;q=0.1, b;q=0.25, c", "c,b;q=0.25,a;q=0.1"),
            ("a;q=0, b;q=0.000, *;q=0.", "*;q=0,a;q=0,b;q=0"),
            ("a, a, A", "a"),
            ("a;q=0.05", "a;q=0.05"),
            ("Text/HTML;Level=A;q=0.5;x=y", "text/html;level=A;x=y;q=0.5"),
            ("a;p=\"x;q=0.1\";q=0.2", "a;p=\"x;q=0.1\";q=0.2"),
            ("a;q=2, b;q=0.1234, c;q=x", "a;q=2,b;q=0.1234,c;q=x"),
            ("q=0.5", "q=0.5"),
            ("", ""),
        ] {
            assert_eq!(form(text), expected, "{text}");
            assert_eq!(form(expected), expected, "{text}");
        }
    }

    #[test]
    fn a_list_is_recognised_in_any_form() {
        let long = |separator: &str| {
            let names: Vec<String> = (0..50).map(|number| format!("c{number}")).collect();
            names.join(separator)
        };
        for (one, other, same) in [
            ("gzip, br;q=1", "br,GZIP", true),
            ("gzip;q=0.5", "gzip;q=0.500", true),
            ("gzip;q=0.5", "gzip", false),
            ("gzip", "gzip;q=0.5", false),
            ("gzip, br", "gzip", false),
            ("gzip", "gzip, br", false),
            ("a, b, c", "c;q=1.0 , B,a", true),
            ("a;x=1", "a;x=2", false),
            ("a;x=1", "a", false),
            ("a;X=v", "a;x=V", false),
            ("", "a", false),
            (&long(","), &long(" ,"), true),
            (&long(","), "c1", false),
        ] {
            let members = || Members {
                rest: other.as_bytes(),
            };
            let expected = form(one);
            assert_eq!(
                is_canonical(expected.as_bytes(), members),
                same,
                "{one} {other}"
            );
            assert_eq!(expected == form(other), same, "{one} {other}");
        }
    }
}
