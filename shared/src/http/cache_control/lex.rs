//! Directives out of field lines (RFC 9111 §5.2).

use std::borrow::Cow;

use ::http::header::HeaderName;

use crate::time::DeltaSeconds;

/// A directive; its name is in whatever case it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Directive<'a> {
    pub(super) name: &'a [u8],
    pub(super) argument: Argument<'a>,
}

/// What follows its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Argument<'a> {
    None,
    Token(&'a [u8]),
    Quoted(Cow<'a, [u8]>),
    /// An equals sign is there, and neither a token nor a quoted string behind it.
    Malformed,
}

/// The directives in the lines of one field.
///
/// A quote that is never closed does not hide what follows it: `x="a, no-store` still says `no-store`.
pub(super) fn directives<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> impl Iterator<Item = Directive<'a>> {
    lines.flat_map(|line| Members { rest: line }).map(directive)
}

/// The members of a comma-separated list that are not empty, trimmed; commas in quoted strings do not separate.
#[derive(Clone)]
pub(in crate::http) struct Members<'a> {
    pub(in crate::http) rest: &'a [u8],
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = member_end(self.rest);
            let (member, rest) = self.rest.split_at_checked(end)?;
            self.rest = rest.get(1..).unwrap_or_default();
            let member = member.trim_ascii();
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

/// The trimmed parts between semicolons that are not in quoted strings.
pub(in crate::http) fn segments(text: &[u8]) -> impl Iterator<Item = &[u8]> {
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

fn member_end(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b',' => return at,
            b'"' => at = quoted_end(text, at).unwrap_or(at + 1),
            _ => at += 1,
        }
    }
    text.len()
}

/// Where the quoted string that opens at `at` has ended; none if it never does.
fn quoted_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn directive(member: &[u8]) -> Directive<'_> {
    let Some(equals) = member.iter().position(|byte| *byte == b'=') else {
        return Directive {
            name: member,
            argument: Argument::None,
        };
    };
    let (name, rest) = member.split_at(equals);
    let text = rest.get(1..).unwrap_or_default();
    let trimmed = name.trim_ascii_end();
    let argument = if trimmed.len() != name.len() {
        Argument::Malformed // no space before the sign (RFC 9111 §5.2)
    } else if text.first() == Some(&b'"') {
        match quoted_end(text, 0) {
            Some(end) if end == text.len() => {
                Argument::Quoted(unescaped(text.get(1..end - 1).unwrap_or_default()))
            }
            Some(_) | None => Argument::Malformed,
        }
    } else if !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte)) {
        Argument::Token(text)
    } else {
        Argument::Malformed
    };
    Directive {
        name: trimmed,
        argument,
    }
}

impl Argument<'_> {
    /// The argument as a length of time; both forms are accepted (RFC 9111 §5.2).
    pub(super) fn delta_seconds(&self) -> Option<DeltaSeconds> {
        match self {
            Self::Token(text) => delta_seconds(text),
            Self::Quoted(text) => delta_seconds(text),
            Self::None | Self::Malformed => None,
        }
    }

    /// The field names of a qualified directive; none if it is not one, or if any name is malformed.
    pub(super) fn field_names(&self) -> Option<Vec<HeaderName>> {
        let Self::Quoted(text) = self else {
            return None;
        };
        let names: Option<Vec<_>> = Members { rest: text }
            .map(|name| HeaderName::from_bytes(name).ok())
            .collect();
        names.filter(|names| !names.is_empty())
    }
}

/// Digits as a length of time; too many of them are the longest one (RFC 9111 §1.2.2).
pub(in crate::http) fn delta_seconds(digits: &[u8]) -> Option<DeltaSeconds> {
    let seconds = number(digits)?;
    Some(DeltaSeconds::seconds(seconds).min(DeltaSeconds::LONGEST))
}

/// One digit or more as a number, which saturates.
pub(in crate::http) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        digit.is_ascii_digit().then(|| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        })
    })
}

fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => out.extend(bytes.next()),
            _ => out.push(byte),
        }
    }
    Cow::Owned(out)
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
