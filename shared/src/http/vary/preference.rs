//! Weighted lists: `Accept` and its kin in one form for all that mean the same (RFC 9110 §12.4.2, §12.5).
//!
//! Members are held against each other by name, parameters and weight. Their order means nothing, and
//! neither do spaces, case, a weight of one, or zeros at the end of a weight.

use std::iter;

use ::http::header::{ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, HeaderName};

use crate::http::cache_control::{Members, segments};

/// Whether the values of this field are weighted lists.
pub(super) fn is_weighted(name: &HeaderName) -> bool {
    [ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE].contains(name)
}

/// The name of a member with its weight in thousandths; one whose weight is malformed has none, and counts fully.
pub(super) fn name_and_weight(member: &[u8]) -> (&[u8], u16) {
    let Member { name, weight, .. } = Member::parse(member);
    (name, weight)
}

/// The one form of a list.
pub(super) fn canonical<'a>(members: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut members: Vec<Member<'_>> = members.map(Member::parse).collect();
    // What is wanted most comes first.
    members.sort_unstable_by(|one, other| {
        let by_weight = other.weight.cmp(&one.weight);
        by_weight.then_with(|| one.bytes().cmp(other.bytes()))
    });
    members.dedup_by(|one, other| one.means_the_same_as(other));
    let mut out = Vec::new();
    for (place, member) in members.iter().enumerate() {
        if place > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend(member.bytes());
        push_weight(&mut out, member.weight);
    }
    out
}

/// Whether [`canonical`] would give `expected`; without allocating, unless a list is long or quoted.
pub(super) fn is_canonical<'a, I: Iterator<Item = &'a [u8]>>(
    expected: &[u8],
    members: impl Fn() -> I,
) -> bool {
    let (Some(stored), Some(own)) = (Few::of(Members { rest: expected }), Few::of(members()))
    else {
        return canonical(members()) == expected;
    };
    // Each against each is quick for few.
    let is_in = |member: &Member<'_>, list: &Few<'_>| {
        let mut list = list.members().iter();
        list.any(|other| other.means_the_same_as(member))
    };
    own.members().iter().all(|member| is_in(member, &stored))
        && stored.members().iter().all(|member| is_in(member, &own))
}

/// A list of few members without quotes, and each with a name. An open quote may swallow what follows it, and
/// of a member without a name nothing may be left, so that such lists can only be held against each other as a
/// whole.
struct Few<'a> {
    members: [Member<'a>; MOST],
    count: usize,
}

const MOST: usize = 16;

impl<'a> Few<'a> {
    fn of(members: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut few = Self {
            members: [Member::NONE; MOST],
            count: 0,
        };
        for text in members {
            if text.contains(&b'"') || text.starts_with(b";") {
                return None;
            }
            *few.members.get_mut(few.count)? = Member::parse(text);
            few.count += 1;
        }
        Some(few)
    }

    fn members(&self) -> &[Member<'a>] {
        self.members.get(..self.count).unwrap_or_default()
    }
}

/// `name;parameter=value;q=0.5`, with whatever spaces and case it came.
#[derive(Clone, Copy)]
struct Member<'a> {
    name: &'a [u8],
    /// Everything behind the name, if there is more than a weight.
    parameters: Option<&'a [u8]>,
    /// In thousandths; a malformed one is a parameter.
    weight: u16,
}

impl<'a> Member<'a> {
    const NONE: Self = Self {
        name: b"",
        parameters: None,
        weight: ONE,
    };

    fn parse(text: &'a [u8]) -> Self {
        let Some(end) = text.iter().position(|byte| *byte == b';') else {
            return Self {
                name: text,
                ..Self::NONE
            };
        };
        let (name, rest) = text.split_at(end);
        let rest = rest.get(1..).unwrap_or_default();
        let is_weight = |segment: &[u8]| weight(segment).is_some();
        Self {
            name: name.trim_ascii_end(),
            parameters: (!segments(rest).all(is_weight)).then_some(rest),
            weight: segments(rest).find_map(weight).unwrap_or(ONE),
        }
    }

    fn parameters(&self) -> impl Iterator<Item = &'a [u8]> {
        let segments = self.parameters.into_iter().flat_map(segments);
        segments.filter(|segment| weight(segment).is_none())
    }

    fn means_the_same_as(&self, other: &Member<'_>) -> bool {
        if self.weight != other.weight || !self.name.eq_ignore_ascii_case(other.name) {
            return false;
        }
        match (self.parameters, other.parameters) {
            (None, None) => true,
            _ => self.bytes().eq(other.bytes()),
        }
    }

    /// Name and parameters in their one form; the values of parameters keep their case.
    fn bytes(&self) -> impl Iterator<Item = u8> {
        let name = self.name.iter().map(u8::to_ascii_lowercase);
        let parameters = self.parameters().flat_map(|segment| {
            let (name, value) = name_and_value(segment);
            let name = name.iter().map(u8::to_ascii_lowercase);
            iter::once(b';').chain(name).chain(value.iter().copied())
        });
        name.chain(parameters)
    }
}

/// A weight of one.
const ONE: u16 = 1_000;

fn push_weight(out: &mut Vec<u8>, weight: u16) {
    if weight < ONE {
        let digits = format!(";q=0.{weight:03}");
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        out.extend_from_slice(digits.as_bytes());
    }
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
        b'1' if fraction == 0 => Some(ONE),
        _ => None,
    }
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
            ("gzip, br", "br, gzip"),
            ("BR;q=1.000,gzip;q=1", "br, gzip"),
            ("a;q=0.50, b ; Q=0.5", "a;q=0.5, b;q=0.5"),
            ("a;q=0.1, b;q=0.25, c", "c, b;q=0.25, a;q=0.1"),
            ("a;q=0, b;q=0.000, *;q=0.", "*;q=0, a;q=0, b;q=0"),
            ("a, a, A", "a"),
            ("a;q=0.05", "a;q=0.05"),
            ("Text/HTML;Level=A;q=0.5;x=y", "text/html;level=A;x=y;q=0.5"),
            ("a;p=\"x;q=0.1\";q=0.2", "a;p=\"x;q=0.1\";q=0.2"),
            ("a;q=2, b;q=0.1234, c;q=x", "a;q=2, b;q=0.1234, c;q=x"),
            ("q=0.5", "q=0.5"),
            ("", ""),
            (";", ";"),
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
            ("a, ;q=1.0", "a,;q=1", true),
            (";x", ";x", true),
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
