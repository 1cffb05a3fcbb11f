//! Targeted cache control (RFC 9213), and `Surrogate-Control` beside it.

use ::http::HeaderMap;
use ::http::header::HeaderName;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::lex::{Members, delta_seconds, directives, segments};
use super::{Flags, ResponseDirectives};
use crate::http::CacheKind;
use crate::http::fields::lines;
use crate::time::DeltaSeconds;

/// The directives of the targeted field `name`; none if it is absent, empty or malformed anywhere (RFC 9213 §2.1).
pub(super) fn parse(fields: &HeaderMap, name: &HeaderName) -> Option<ResponseDirectives> {
    if !fields.contains_key(name) {
        return None;
    }
    let mut directives = if name.as_str() == "surrogate-control" {
        surrogate_control(fields, name)?
    } else {
        dictionary(fields, name)?
    };
    directives.targeted = true;
    Some(directives)
}

fn dictionary(fields: &HeaderMap, name: &HeaderName) -> Option<ResponseDirectives> {
    // Several lines are one value with commas between (RFC 9651 §4.2).
    let value: Vec<&[u8]> = lines(fields, name).collect();
    let dictionary: Dictionary = Parser::new(&value.join(&b", "[..])).parse().ok()?;
    if dictionary.is_empty() {
        return None;
    }
    let mut all = ResponseDirectives::default();
    for (key, entry) in &dictionary {
        let item = match entry {
            ListEntry::Item(item) => Some(&item.bare_item),
            ListEntry::InnerList(_) => None,
        };
        if let Some(flag) = Flags::named(key.as_str().as_bytes()) {
            match item {
                Some(BareItem::Boolean(false)) => {}
                Some(BareItem::String(names))
                    if flag == Flags::NO_CACHE || flag == Flags::PRIVATE =>
                {
                    let names: Option<Vec<_>> = Members {
                        rest: names.as_str().as_bytes(),
                    }
                    .map(|name| HeaderName::from_bytes(name).ok())
                    .collect();
                    match names.filter(|names| !names.is_empty()) {
                        Some(names) => all.qualified.extend(names),
                        None => all.flags.add(flag),
                    }
                }
                Some(_) | None => all.flags.add(flag),
            }
            continue;
        }
        let slot = match key.as_str() {
            "max-age" => &mut all.max_age,
            "s-maxage" => &mut all.s_maxage,
            "stale-while-revalidate" => &mut all.stale_while_revalidate,
            "stale-if-error" => &mut all.stale_if_error,
            _ => continue,
        };
        // A length of another type than integer spoils the field.
        let seconds = i64::from(item?.as_integer()?);
        let seconds = DeltaSeconds::seconds(u64::try_from(seconds).unwrap_or_default());
        *slot = Some(seconds.min(DeltaSeconds::LONGEST));
    }
    Some(all)
}

/// `Surrogate-Control` (W3C Edge Architecture 1.0 §2.3): `Cache-Control` syntax, and `max-age=600+30` is 30 seconds of grace.
///
/// None if all of it is aimed at others.
fn surrogate_control(fields: &HeaderMap, name: &HeaderName) -> Option<ResponseDirectives> {
    let members = ours(lines(fields, name).flat_map(|line| Members { rest: line }));
    if members.is_empty() {
        return None;
    }
    let mut all = ResponseDirectives::of_lines(members.iter().copied(), CacheKind::Shared);
    for directive in directives(members.iter().copied()) {
        // This cache may well be a remote one.
        if directive.name.eq_ignore_ascii_case(b"no-store-remote") {
            all.flags.add(Flags::NO_STORE);
        }
        let super::Argument::Token(text) = directive.argument else {
            continue;
        };
        let Some(plus) = text.iter().position(|byte| *byte == b'+') else {
            continue;
        };
        if !directive.name.eq_ignore_ascii_case(b"max-age") {
            continue;
        }
        let (fresh, rest) = text.split_at(plus);
        let extension = delta_seconds(rest.get(1..).unwrap_or_default());
        if let (Some(fresh), Some(extension)) = (delta_seconds(fresh), extension) {
            all.max_age = Some(fresh);
            all.stale_while_revalidate = Some(extension);
        }
    }
    Some(all)
}

/// At whom a directive is aimed: `max-age=60;name` at one surrogate, `max-age=60;!name` at all others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Aim {
    Everybody,
    Us,
    Others,
}

impl Aim {
    fn of<'a>(mut targets: impl Iterator<Item = &'a [u8]>) -> Self {
        let Some(target) = targets.next() else {
            return Self::Everybody;
        };
        match target.strip_prefix(b"!") {
            Some(name) if name.eq_ignore_ascii_case(OWN_NAME) => Self::Others,
            Some(_) => Self::Everybody,
            None if target.eq_ignore_ascii_case(OWN_NAME) => Self::Us,
            None => Self::Others,
        }
    }
}

const OWN_NAME: &[u8] = b"terrace";

/// The directives for this surrogate without their targets; one that is aimed at us replaces the general ones
/// of its name.
fn ours<'a>(members: impl Iterator<Item = &'a [u8]>) -> Vec<&'a [u8]> {
    let (mut own, mut general) = (Vec::new(), Vec::new());
    for member in members {
        let mut parts = segments(member);
        let directive = parts.next().unwrap_or_default();
        match Aim::of(parts) {
            Aim::Us => own.push(directive),
            Aim::Everybody => general.push(directive),
            Aim::Others => {}
        }
    }
    general.retain(|directive| {
        let is_replaced = |other: &&[u8]| name_of(other).eq_ignore_ascii_case(name_of(directive));
        !own.iter().any(is_replaced)
    });
    own.extend(general);
    own
}

fn name_of(directive: &[u8]) -> &[u8] {
    let name = directive.split(|byte| *byte == b'=').next();
    name.unwrap_or_default()
}
