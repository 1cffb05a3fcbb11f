//! Whether a response may be stored, and what is kept of it (RFC 9111 §3).

use ::http::header::{CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, ETAG, SET_COOKIE};
use ::http::{HeaderMap, Method, StatusCode};

use super::cache_control::{Flags, ResponseDirectives, number};
use super::fields::{lines, only_line, storable_fields};
use super::freshness::{Lifetime, age_value, date_value, last_modified_value};
use super::invalidate::Target;
use super::range::ContentRange;
use super::stored::Allowance;
use super::surrogate::{Origin, surrogate_keys};
use super::vary::vary_names;
use super::{
    CacheKind, EntityTag, Extent, Fill, PartialRule, RequestFacts, ResponseHead, Rules,
    SetCookieRule, StoredResponse, VaryKey,
};
use crate::outcome::NotStored;
use crate::purge::wire::EPOCH_FIELD;
use crate::purge::{EntryScopes, Epoch, Fence, Scope};

/// The stored form of `response`, or why it may not be stored.
///
/// `extent` is that of the body it will stand for: its own, or for a 304 that of what is stored.
pub(super) fn to_stored(
    request: &RequestFacts,
    response: ResponseHead<'_>,
    extent: Extent,
    fill: &Fill<'_>,
    rules: &Rules,
) -> Result<StoredResponse, NotStored> {
    let ResponseHead { status, fields } = response;
    let received_at = fill.exchange.received_at;
    let mut directives = ResponseDirectives::parse(fields, rules);
    let lifetime = Lifetime::of(status, fields, &directives, received_at, rules);
    check(request, response, &directives, lifetime, rules)?;
    if fill.host.len() + fill.path_and_query.len() > Scope::LONGEST {
        return Err(NotStored::UrlTooLong);
    }
    let vary = VaryKey::of(vary_names(fields, rules)?, request);
    let origin = Origin::of(&request.uri, fill.host);
    let keys = surrogate_keys(fields, origin, rules)?;
    match lifetime {
        Lifetime::SMaxAge(_) => directives.flags.add(Flags::S_MAXAGE),
        Lifetime::Explicit(_) | Lifetime::Assumed(_) | Lifetime::None => {}
    }
    if lifetime.is_explicit() {
        directives.flags.add(Flags::EXPLICIT);
    }
    let allowance =
        |stated: Option<_>, default| stated.map_or(Allowance::Default(default), Allowance::Stated);
    let stored = StoredResponse {
        status,
        fields: storable_fields(fields, &directives.qualified, received_at),
        flags: directives.flags,
        exchange: fill.exchange,
        date: date_value(fields, received_at),
        age_field: age_value(fields),
        lifetime: lifetime.length(),
        grace: allowance(directives.stale_while_revalidate, rules.default_grace),
        stale_if_error: allowance(directives.stale_if_error, rules.default_stale_if_error),
        when_disconnected: rules.stale_when_disconnected,
        entity_tag: only_line(fields, &ETAG).and_then(EntityTag::parse),
        last_modified: last_modified_value(fields, received_at),
        extent,
        vary,
        scopes: EntryScopes::of_url(fill.host, fill.path_and_query, &keys),
        fence: Fence {
            produced_at: produced_at(fields).or(fill.fence.produced_at),
            ..fill.fence
        },
    };
    // It could never be sent again: neither as it is nor after asking.
    let lifetimes = [stored.lifetime, stored.grace(), stored.stale_if_error()];
    let reusable =
        !stored.flags.has(Flags::NO_CACHE) && lifetimes.iter().any(|length| !length.is_zero());
    if reusable || stored.has_validator() {
        Ok(stored)
    } else {
        Err(NotStored::NoFreshness)
    }
}

/// The conditions for storing at all, in the order of RFC 9111 §3.
fn check(
    request: &RequestFacts,
    response: ResponseHead<'_>,
    directives: &ResponseDirectives,
    lifetime: Lifetime,
    rules: &Rules,
) -> Result<(), NotStored> {
    let ResponseHead { status, fields } = response;
    let flags = directives.flags;
    check_method(request, fields, lifetime)?;
    // Final ones only (RFC 9111 §3), and none that speaks of this one request's conditions or ranges.
    if !(200..600).contains(&status.as_u16()) || matches!(status.as_u16(), 304 | 412 | 416) {
        return Err(NotStored::Status);
    }
    // `must-understand` asks for a status whose rules are known here, and then overrides `no-store`
    // (RFC 9111 §5.2.2.3).
    let must_understand = flags.has(Flags::MUST_UNDERSTAND);
    if must_understand && !is_understood(status) {
        return Err(NotStored::Status);
    }
    if flags.has(Flags::NO_STORE) && !must_understand {
        return Err(NotStored::NoStore); // (RFC 9111 §5.2.2.5)
    }
    if request.directives.no_store {
        return Err(NotStored::RequestNoStore); // (RFC 9111 §5.2.1.5)
    }
    match rules.kind {
        CacheKind::Private => {}
        CacheKind::Shared => check_shared(request, directives)?,
    }
    if fields.contains_key(SET_COOKIE) && !directives.qualified.contains(&SET_COOKIE) {
        match rules.set_cookie {
            SetCookieRule::IfExplicit if lifetime.is_explicit() => {}
            SetCookieRule::IfExplicit | SetCookieRule::Never => return Err(NotStored::SetCookie),
        }
    }
    // Something must say that it may be stored: a lifetime, a directive, or its status.
    let says_so = lifetime != Lifetime::None
        || flags.has(Flags::PUBLIC)
        || (flags.has(Flags::PRIVATE) && rules.kind == CacheKind::Private)
        || super::freshness::is_heuristically_cacheable(status);
    if says_so {
        Ok(())
    } else {
        Err(NotStored::Status)
    }
}

fn check_method(
    request: &RequestFacts,
    fields: &HeaderMap,
    lifetime: Lifetime,
) -> Result<(), NotStored> {
    match request.method {
        Method::GET | Method::HEAD => Ok(()),
        // With explicit freshness, and if it says that it is what a GET would give (RFC 9110 §9.3.3).
        Method::POST if lifetime.is_explicit() => {
            let location = only_line(fields, &CONTENT_LOCATION)
                .zip(Target::of(&request.uri))
                .and_then(|(text, target)| Some(target.resolve(text)? == target));
            match location {
                Some(true) => Ok(()),
                Some(false) | None => Err(NotStored::Method),
            }
        }
        _ => Err(NotStored::Method),
    }
}

/// What holds for a shared cache besides.
fn check_shared(request: &RequestFacts, directives: &ResponseDirectives) -> Result<(), NotStored> {
    let flags = directives.flags;
    if flags.has(Flags::PRIVATE) {
        return Err(NotStored::Private); // (RFC 9111 §5.2.2.7)
    }
    let shareable = flags.has(Flags::PUBLIC)
        || flags.has(Flags::MUST_REVALIDATE)
        || directives.s_maxage.is_some();
    if request.authorization && !shareable {
        return Err(NotStored::Authorization); // (RFC 9111 §3.5)
    }
    Ok(())
}

/// Which bytes the body of `response` is, or why it cannot be stored.
pub(super) fn extent(response: ResponseHead<'_>, rules: &Rules) -> Result<Extent, NotStored> {
    let ResponseHead { status, fields } = response;
    if status != StatusCode::PARTIAL_CONTENT {
        let length = only_line(fields, &CONTENT_LENGTH).and_then(number);
        return Ok(Extent::Complete { length });
    }
    // (RFC 9111 §3.3); several ranges in one body are passed on.
    let range = only_line(fields, &CONTENT_RANGE).and_then(ContentRange::parse);
    let (PartialRule::Store, Some(ContentRange { range, complete })) = (rules.partial, range)
    else {
        return Err(NotStored::Partial);
    };
    let length = only_line(fields, &CONTENT_LENGTH).map(number);
    match length {
        Some(length) if length != Some(range.length()) => Err(NotStored::Length),
        Some(_) | None => Ok(Extent::Partial { range, complete }),
    }
}

/// The origin's position, if it says one (R9); a malformed one is ignored.
fn produced_at(fields: &HeaderMap) -> Option<Epoch> {
    let name = ::http::header::HeaderName::from_static(EPOCH_FIELD);
    let mut epochs =
        lines(fields, &name).map(|text| std::str::from_utf8(text).ok()?.trim().parse().ok());
    match (epochs.next(), epochs.next()) {
        (Some(epoch), None) => epoch,
        _ => None,
    }
}

/// Statuses whose caching rules this cache knows and follows (RFC 9110 §15).
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=206 | 300..=303 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505
    )
}

#[cfg(test)]
mod tests;
