//! Cache directives: `Cache-Control` in both directions, and the fields that stand in for it.

mod lex;
mod targeted;

use ::http::HeaderMap;
use ::http::header::{CACHE_CONTROL, HeaderName, PRAGMA};

use self::lex::{Argument, directives};
pub(super) use self::lex::{Members, delta_seconds, number, segments};
use super::fields::lines;
use super::{CacheKind, ClientDirectives, Rules};
use crate::time::DeltaSeconds;

/// What a request asks of caches (RFC 9111 §5.2.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct RequestDirectives {
    pub(super) no_cache: bool,
    pub(super) no_store: bool,
    pub(super) only_if_cached: bool,
    pub(super) max_age: Option<DeltaSeconds>,
    pub(super) min_fresh: Option<DeltaSeconds>,
    pub(super) max_stale: Option<DeltaSeconds>,
    pub(super) stale_if_error: Option<DeltaSeconds>,
}

/// What a response allows caches (RFC 9111 §5.2.2, RFC 5861, RFC 8246).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct ResponseDirectives {
    pub(super) flags: Flags,
    /// Zero if it was there and malformed (RFC 9111 §4.2.1).
    pub(super) max_age: Option<DeltaSeconds>,
    pub(super) s_maxage: Option<DeltaSeconds>,
    pub(super) stale_while_revalidate: Option<DeltaSeconds>,
    pub(super) stale_if_error: Option<DeltaSeconds>,
    /// Fields that must not be stored, or not be reused without validation.
    pub(super) qualified: Vec<HeaderName>,
    /// Whether a targeted field said all this, so that `Expires` says nothing (RFC 9213 §2.2).
    pub(super) targeted: bool,
}

/// A set of yes-or-no facts about a response; the bits are stored, so they are never renumbered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Flags(pub(super) u16);

impl Flags {
    pub(super) const NO_STORE: Self = Self(1);
    pub(super) const NO_CACHE: Self = Self(1 << 1);
    pub(super) const PRIVATE: Self = Self(1 << 2);
    pub(super) const PUBLIC: Self = Self(1 << 3);
    pub(super) const MUST_REVALIDATE: Self = Self(1 << 4);
    pub(super) const PROXY_REVALIDATE: Self = Self(1 << 5);
    pub(super) const MUST_UNDERSTAND: Self = Self(1 << 6);
    pub(super) const IMMUTABLE: Self = Self(1 << 7);
    /// The lifetime is `s-maxage`, which forbids stale reuse that is not granted (RFC 9111 §5.2.2.10).
    pub(super) const S_MAXAGE: Self = Self(1 << 8);
    /// The response itself states its lifetime.
    pub(super) const EXPLICIT: Self = Self(1 << 9);

    pub(super) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    pub(super) const fn add(&mut self, flag: Self) {
        self.0 |= flag.0;
    }
}

impl RequestDirectives {
    /// The request's directives, as far as `rules` let them have a say.
    pub(super) fn parse(fields: &HeaderMap, rules: &Rules) -> Self {
        let mut all = Self::default();
        for directive in directives(lines(fields, &CACHE_CONTROL)) {
            let argument = directive.argument;
            match directive.name.to_ascii_lowercase().as_slice() {
                b"no-cache" => all.no_cache = true,
                b"no-store" => all.no_store = true,
                b"only-if-cached" => all.only_if_cached = true,
                // Malformed or twice: whatever lets less be reused.
                b"max-age" => {
                    lower(
                        &mut all.max_age,
                        argument.delta_seconds().unwrap_or_default(),
                    );
                }
                b"min-fresh" => {
                    let length = argument.delta_seconds().unwrap_or(DeltaSeconds::LONGEST);
                    all.min_fresh = Some(all.min_fresh.map_or(length, |other| other.max(length)));
                }
                b"max-stale" => {
                    let length = match argument {
                        Argument::None => DeltaSeconds::LONGEST, // any staleness (RFC 9111 §5.2.1.2)
                        Argument::Token(_) | Argument::Quoted(_) | Argument::Malformed => {
                            argument.delta_seconds().unwrap_or_default()
                        }
                    };
                    lower(&mut all.max_stale, length);
                }
                b"stale-if-error" => {
                    lower(
                        &mut all.stale_if_error,
                        argument.delta_seconds().unwrap_or_default(),
                    );
                }
                _ => {}
            }
        }
        // For clients of HTTP/1.0 only (RFC 9111 §5.4).
        if !fields.contains_key(CACHE_CONTROL) {
            all.no_cache = directives(lines(fields, &PRAGMA))
                .any(|directive| directive.name.eq_ignore_ascii_case(b"no-cache"));
        }
        match rules.client_directives {
            ClientDirectives::Honour => all,
            ClientDirectives::Ignore => Self {
                no_store: all.no_store,
                only_if_cached: all.only_if_cached,
                ..Self::default()
            },
        }
    }
}

impl ResponseDirectives {
    /// The directives that apply to this cache: of the first valid targeted field, else of
    /// `Cache-Control` (RFC 9213 §2.2).
    pub(super) fn parse(fields: &HeaderMap, rules: &Rules) -> Self {
        if rules.kind == CacheKind::Shared {
            for name in rules.targets.iter() {
                if let Some(directives) = targeted::parse(fields, name) {
                    return directives;
                }
            }
        }
        Self::of_lines(lines(fields, &CACHE_CONTROL), rules.kind)
    }

    /// Directives in `Cache-Control` syntax.
    fn of_lines<'a>(lines: impl Iterator<Item = &'a [u8]>, kind: CacheKind) -> Self {
        let mut all = Self::default();
        for directive in directives(lines) {
            let argument = directive.argument;
            let name = directive.name.to_ascii_lowercase();
            if let Some(flag) = Flags::named(&name) {
                // A qualified `private` or `no-cache` speaks of those fields alone (RFC 9111 §5.2.2.4, §5.2.2.7).
                let only = (flag == Flags::NO_CACHE || flag == Flags::PRIVATE)
                    .then(|| argument.field_names())
                    .flatten();
                match only {
                    // For shared caches only (RFC 9111 §5.2.2.8).
                    None if flag == Flags::PROXY_REVALIDATE && kind == CacheKind::Private => {}
                    // `private` means nothing to a private cache, so its fields stay.
                    Some(_) if flag == Flags::PRIVATE && kind == CacheKind::Private => {}
                    Some(names) => all.qualified.extend(names),
                    None => all.flags.add(flag),
                }
                continue;
            }
            // Of two different values the smaller one; a malformed one is zero (RFC 9111 §4.2.1).
            let length = || argument.delta_seconds().unwrap_or_default();
            match name.as_slice() {
                b"max-age" => lower(&mut all.max_age, length()),
                b"s-maxage" => lower(&mut all.s_maxage, length()),
                b"stale-while-revalidate" => lower(&mut all.stale_while_revalidate, length()),
                b"stale-if-error" => lower(&mut all.stale_if_error, length()),
                _ => {} // unknown directives are ignored (RFC 9111 §5.2.3)
            }
        }
        all
    }
}

impl Flags {
    /// The flag of a directive, whose name is in lower case.
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"no-store" => Self::NO_STORE,
            b"no-cache" => Self::NO_CACHE,
            b"private" => Self::PRIVATE,
            b"public" => Self::PUBLIC,
            b"must-revalidate" => Self::MUST_REVALIDATE,
            b"proxy-revalidate" => Self::PROXY_REVALIDATE,
            b"must-understand" => Self::MUST_UNDERSTAND,
            b"immutable" => Self::IMMUTABLE,
            _ => return None,
        })
    }
}

fn lower(slot: &mut Option<DeltaSeconds>, length: DeltaSeconds) {
    *slot = Some(slot.map_or(length, |other| other.min(length)));
}

#[cfg(test)]
mod tests;
