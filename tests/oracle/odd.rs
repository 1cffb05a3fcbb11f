//! What is odd about the fields of a case.

use crate::case::{Case, Fields, Member};

pub(crate) fn in_capitals(fields: &Fields) -> bool {
    fields
        .directives()
        .iter()
        .any(|member| !member.text.starts_with(&member.name))
}

fn is_quoted(member: &Member) -> bool {
    member
        .argument
        .as_deref()
        .is_some_and(|argument| argument.starts_with('"'))
}

pub(crate) fn has_comma_in_quotes(fields: &Fields) -> bool {
    fields
        .directives()
        .iter()
        .any(|member| is_quoted(member) && member.text.contains(','))
}

pub(crate) fn is_qualified(fields: &Fields, name: &str) -> bool {
    fields
        .directives()
        .iter()
        .any(|member| member.name == name && is_quoted(member))
}

/// Whether any directive has an argument that it should not have, or lacks digits that it should have.
pub(crate) fn is_malformed(fields: &Fields) -> bool {
    let is_malformed = |member: &Member| {
        let digits = member
            .argument
            .as_deref()
            .map(|argument| argument.trim_matches('"'));
        let are_digits = digits.is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        let optional = member.name == "max-stale" && member.argument.is_none();
        if TAKE_SECONDS.contains(&member.name.as_str()) {
            member.text.contains(" =") || !are_digits && !optional
        } else {
            digits == Some("")
        }
    };
    fields.directives().iter().any(is_malformed)
}

const TAKE_SECONDS: [&str; 6] = [
    "max-age",
    "s-maxage",
    "stale-while-revalidate",
    "stale-if-error",
    "min-fresh",
    "max-stale",
];

/// Whether a directive stands there twice, with different arguments.
pub(crate) fn is_repeated(fields: &Fields, name: &str) -> bool {
    let directives = fields.directives();
    let mut same = directives.iter().filter(|member| member.name == name);
    let first = same.next();
    same.any(|member| Some(member) != first)
}

pub(crate) fn has_other_date(fields: &Fields) -> bool {
    ["date", "expires", "last-modified"]
        .iter()
        .any(|name| fields.get(name).is_some_and(is_other_date))
}

/// Not one of the three forms: those end with the zone or with the year.
pub(crate) fn is_other_date(text: &str) -> bool {
    !(text.ends_with(" GMT") || text.ends_with(" 2026") && !text.contains(','))
}

/// Whether the two requests write any field that `Vary` names differently.
pub(crate) fn differs_in_bytes(names: &str, case: &Case) -> bool {
    names.to_ascii_lowercase().split(',').any(|name| {
        let name = name.trim();
        case.request.fields.get(name) != case.later.fields.get(name)
    })
}
