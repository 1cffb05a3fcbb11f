//! Where the package differs from us, and what the RFCs say of it.

use terrace_shared::outcome::NotStored;

use crate::case::{Case, Kind};
use crate::odd::{
    differs_in_bytes, has_comma_in_quotes, has_other_date, in_capitals, is_malformed,
    is_other_date, is_qualified, is_repeated,
};
use crate::opinion::{Opinion, Question, Reuse};

/// A way in which the two may differ. Each says who is right, by which section.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Disagreement {
    /// The package stores few statuses; any final one may be, if its freshness is explicit. A cache must
    /// understand it only if it is 206 or 304, or if the response says `must-understand` (RFC 9111 §3).
    OtherStatuses,
    /// The package does not know `must-understand`, which overrides `no-store` (RFC 9111 §5.2.2.3).
    MustUnderstand,
    /// `private` lets a private cache store any status; the package asks for more (RFC 9111 §3).
    PrivateIsEnough,
    /// The package stores responses to POST that do not say that they are what a GET would give
    /// (RFC 9110 §9.3.3).
    PostWithoutContentLocation,
    /// We keep nothing that has no body: a response to HEAD only updates what is there (RFC 9111 §3, §4.3.5).
    HeadAlone,
    /// The package stores what varies on everything, and never matches it (RFC 9111 §4.1).
    VariesOnEverything,
    /// We do not store what could neither be reused nor validated (RFC 9111 §3).
    Useless,
    /// Set-Cookie does not inhibit caching. The package wants `public` or `immutable` before it uses such a
    /// response, we want explicit freshness before we store it (RFC 9111 §7.3).
    SetCookie,
    /// Directives are compared without regard to case; the package knows those in lower case (RFC 9111 §5.2).
    DirectiveInCapitals,
    /// A comma in a quoted argument separates nothing; for the package it does (RFC 9111 §5.2).
    CommaInQuotes,
    /// The package takes a qualified `private` or `no-cache` for an unqualified one, as a cache may; we act on
    /// the named fields alone (RFC 9111 §5.2.2.4, §5.2.2.7).
    QualifiedDirective,
    /// The package reads what it can of a malformed argument, or ignores it; we take the response for stale
    /// and the request for demanding (RFC 9111 §4.2.1).
    MalformedArgument,
    /// Of several values the package takes the last, we the smallest: the first or none should be
    /// (RFC 9111 §4.2.1).
    RepeatedDirective,
    /// The package counts on beyond 2^31 seconds (RFC 9111 §1.2.2).
    Overflow,
    /// The package takes `Pragma: no-cache` of a response for a directive, which it is not (RFC 9111 §5.4).
    PragmaOfResponse,
    /// The package says that `no-cache` leaves no lifetime. It has one, and is validated before each use; so the
    /// package lets `max-stale` and `stale-while-revalidate` undo it (RFC 9111 §5.2.2.4).
    NoCache,
    /// The package takes `proxy-revalidate` for a lifetime of zero; it forbids only stale reuse
    /// (RFC 9111 §5.2.2.8).
    ProxyRevalidate,
    /// The package never reuses a response with `must-revalidate`; only stale reuse is forbidden, and that also
    /// within `stale-while-revalidate` (RFC 9111 §5.2.2.2).
    MustRevalidate,
    /// The package gives `immutable` a lifetime of a thousand days; it has none of its own (RFC 8246 §2).
    Immutable,
    /// The package takes dates in forms that HTTP does not have (RFC 9110 §5.6.7, RFC 9111 §5.3).
    DateInAnotherForm,
    /// The package leaves out how old `Date` says that the response is (RFC 9111 §4.2.3).
    ApparentAge,
    /// The package reads what it can of a malformed `Age`, also below zero; it is to be ignored (RFC 9111 §5.1).
    MalformedAge,
    /// The package heeds `Pragma` beside `Cache-Control` (RFC 9111 §5.4).
    PragmaBesideCacheControl,
    /// A client that gives `min-fresh`, or `max-age` without `max-stale`, wants no stale response. The package sends
    /// one within `stale-while-revalidate`, and with `min-fresh=0` one that has just become stale
    /// (RFC 9111 §5.2.1.1, §5.2.1.3).
    StaleAgainstWishes,
    /// `max-stale` allows so many seconds; the package, one less (RFC 9111 §5.2.1.2).
    LastSecondOfMaxStale,
    /// `s-maxage` forbids a shared cache what `max-stale` would allow (RFC 9111 §5.2.2.10).
    SMaxAgeForbidsStale,
    /// Both send what is stale; we revalidate behind it although `max-stale` does not ask for that (RFC 5861 §3).
    RevalidatesBehindMaxStale,
    /// We do not answer a request with `no-store` from a store, as a cache may (RFC 9111 §5.2.1.5).
    RequestWithNoStore,
    /// `If-Match` is for the origin to evaluate; the package does not look at it (RFC 9111 §4.3.2).
    IfMatch,
    /// We hold selecting fields against each other by what they mean, the package by their bytes (RFC 9111 §4.1).
    SelectingFieldsThatMeanTheSame,
    /// A stored response to GET answers HEAD, but not for the package (RFC 9110 §9.3.2).
    HeadFromGet,
    /// The package mixes the client's own conditions with its own, so that a 304 may speak of either; we keep
    /// the client's here and evaluate them afterwards (RFC 9111 §4.3.1, §4.3.2).
    ConditionsOfTheClient,
    /// The package sends validators that are none (RFC 9110 §8.8.2, §8.8.3).
    MalformedValidator,
    /// The package sends the time of sending as `Date`, which is that of the origin (RFC 9110 §6.6.1).
    DateOfSending,
    /// The package looks for the names in `Connection` as they are written, though names have no case
    /// (RFC 9110 §7.6.1, §5.1).
    ConnectionInCapitals,
    /// The package adds a `Warning`, which is obsolete (RFC 9111 §5.5).
    Warning,
}

/// One question on which the two differ.
pub(crate) struct Dispute<'a> {
    pub(crate) question: &'a Question,
    pub(crate) case: &'a Case,
    pub(crate) ours: &'a Opinion,
    pub(crate) theirs: &'a Opinion,
}

impl Disagreement {
    pub(crate) const ALL: [Self; 36] = [
        Self::OtherStatuses,
        Self::MustUnderstand,
        Self::PrivateIsEnough,
        Self::PostWithoutContentLocation,
        Self::HeadAlone,
        Self::VariesOnEverything,
        Self::Useless,
        Self::SetCookie,
        Self::DirectiveInCapitals,
        Self::CommaInQuotes,
        Self::QualifiedDirective,
        Self::MalformedArgument,
        Self::RepeatedDirective,
        Self::Overflow,
        Self::PragmaOfResponse,
        Self::NoCache,
        Self::ProxyRevalidate,
        Self::MustRevalidate,
        Self::Immutable,
        Self::DateInAnotherForm,
        Self::ApparentAge,
        Self::MalformedAge,
        Self::PragmaBesideCacheControl,
        Self::StaleAgainstWishes,
        Self::LastSecondOfMaxStale,
        Self::SMaxAgeForbidsStale,
        Self::RevalidatesBehindMaxStale,
        Self::RequestWithNoStore,
        Self::IfMatch,
        Self::SelectingFieldsThatMeanTheSame,
        Self::HeadFromGet,
        Self::ConditionsOfTheClient,
        Self::MalformedValidator,
        Self::DateOfSending,
        Self::ConnectionInCapitals,
        Self::Warning,
    ];

    /// Whether it is the reason, or one of them.
    pub(crate) fn explains(self, dispute: &Dispute<'_>) -> bool {
        match dispute.question {
            Question::Storable => self.explains_storing(dispute),
            Question::Age => self.explains_age(dispute),
            Question::Lifetime => self.explains_lifetime(dispute),
            Question::UsefulFor => self.explains_stale_use(dispute),
            Question::Reuse => self.explains_reuse(dispute),
            Question::Validation => self.explains_validation(dispute),
            Question::Field(name) => self.explains_field(name, dispute),
        }
    }

    fn explains_storing(self, dispute: &Dispute<'_>) -> bool {
        let (case, response) = (dispute.case, &dispute.case.response.fields);
        let we_refuse = |reason: &NotStored| dispute.ours.because.as_ref() == Some(reason);
        let we_store = dispute.ours.storable;
        match self {
            Self::OtherStatuses => we_store && !KNOWN_STATUSES.contains(&case.response.status),
            Self::MustUnderstand => {
                we_store && response.has("must-understand") && response.has("no-store")
            }
            Self::PrivateIsEnough => {
                we_store && case.kind == Kind::Private && response.has("private")
            }
            Self::PostWithoutContentLocation => {
                we_refuse(&NotStored::Method) && case.request.method == "POST"
            }
            Self::HeadAlone => we_refuse(&NotStored::Method) && case.request.method == "HEAD",
            Self::VariesOnEverything => we_refuse(&NotStored::VaryStar),
            // What the package takes for a lifetime is explained by another reason.
            Self::Useless => we_refuse(&NotStored::NoFreshness) && dispute.theirs.lifetime <= 0,
            Self::SetCookie => we_refuse(&NotStored::SetCookie),
            Self::DirectiveInCapitals => in_capitals(response) || in_capitals(&case.request.fields),
            Self::CommaInQuotes => we_store && has_comma_in_quotes(response),
            Self::QualifiedDirective => we_store && is_qualified(response, "private"),
            Self::MalformedArgument => is_malformed(response) || is_malformed(&case.request.fields),
            Self::RepeatedDirective => {
                we_refuse(&NotStored::NoFreshness)
                    && (is_repeated(response, "max-age") || is_repeated(response, "s-maxage"))
            }
            Self::Immutable => we_refuse(&NotStored::NoFreshness) && dispute.is_a_thousand_days(),
            Self::DateInAnotherForm => {
                we_refuse(&NotStored::NoFreshness) && has_other_date(response)
            }
            _ => false,
        }
    }

    fn explains_age(self, dispute: &Dispute<'_>) -> bool {
        let response = &dispute.case.response.fields;
        let age = response.get("age").unwrap_or("0");
        match self {
            // Exactly that, when nothing else is wrong: `Date` says more than `Age`.
            Self::ApparentAge => {
                response.get("date").is_some() && dispute.ours.age > dispute.theirs.age
            }
            Self::MalformedAge => !age.bytes().all(|byte| byte.is_ascii_digit()),
            Self::Overflow => age.len() > 10,
            _ => false,
        }
    }

    fn explains_lifetime(self, dispute: &Dispute<'_>) -> bool {
        let (case, response) = (dispute.case, &dispute.case.response.fields);
        let theirs_is_zero = dispute.theirs.lifetime == 0;
        match self {
            Self::SetCookie => {
                theirs_is_zero && case.kind == Kind::Shared && response.get("set-cookie").is_some()
            }
            Self::DirectiveInCapitals => in_capitals(response),
            Self::CommaInQuotes => has_comma_in_quotes(response),
            Self::QualifiedDirective => theirs_is_zero && is_qualified(response, "no-cache"),
            Self::MalformedArgument => is_malformed(response),
            Self::RepeatedDirective => {
                is_repeated(response, "max-age") || is_repeated(response, "s-maxage")
            }
            Self::Overflow => response
                .get("cache-control")
                .is_some_and(|text| text.contains(HUGE)),
            Self::PragmaOfResponse => {
                theirs_is_zero
                    && response.get("pragma").is_some()
                    && response.get("cache-control").is_none()
            }
            Self::NoCache => theirs_is_zero && response.has("no-cache"),
            Self::ProxyRevalidate => {
                theirs_is_zero && case.kind == Kind::Shared && response.has("proxy-revalidate")
            }
            Self::Immutable => dispute.is_a_thousand_days(),
            Self::DateInAnotherForm => has_other_date(response),
            _ => false,
        }
    }

    /// What may be sent stale: the package heeds nothing that forbids it.
    fn explains_stale_use(self, dispute: &Dispute<'_>) -> bool {
        let (case, response) = (dispute.case, &dispute.case.response.fields);
        let less = dispute.ours.useful_for < dispute.theirs.useful_for;
        match self {
            Self::NoCache => less && response.has("no-cache"),
            Self::MustRevalidate => less && response.has("must-revalidate"),
            Self::ProxyRevalidate => {
                less && case.kind == Kind::Shared && response.has("proxy-revalidate")
            }
            Self::DirectiveInCapitals => in_capitals(response),
            Self::QualifiedDirective => is_qualified(response, "no-cache"),
            Self::CommaInQuotes => has_comma_in_quotes(response),
            Self::PragmaOfResponse => response.get("pragma").is_some(),
            Self::MalformedArgument => is_malformed(response),
            Self::RepeatedDirective => {
                is_repeated(response, "stale-while-revalidate")
                    || is_repeated(response, "stale-if-error")
            }
            _ => false,
        }
    }

    fn explains_reuse(self, dispute: &Dispute<'_>) -> bool {
        let Dispute {
            case, ours, theirs, ..
        } = dispute;
        let (response, later) = (&case.response.fields, &case.later.fields);
        let we_do = ours.reuse != Reuse::No && theirs.reuse == Reuse::No;
        let they_do = ours.reuse == Reuse::No && theirs.reuse != Reuse::No;
        let is_stale = ours.age >= ours.lifetime;
        match self {
            Self::MustRevalidate => {
                (we_do && !is_stale || they_do && is_stale) && response.has("must-revalidate")
            }
            Self::ProxyRevalidate => {
                they_do && is_stale && case.kind == Kind::Shared && response.has("proxy-revalidate")
            }
            Self::NoCache => they_do && response.has("no-cache"),
            Self::PragmaOfResponse => they_do && response.get("pragma").is_some(),
            Self::SelectingFieldsThatMeanTheSame => {
                let names = response.get("vary").unwrap_or_default();
                we_do && differs_in_bytes(names, case)
            }
            Self::HeadFromGet => we_do && case.later.method == "HEAD",
            Self::RequestWithNoStore => they_do && later.has("no-store"),
            Self::IfMatch => they_do && later.get("if-match").is_some(),
            Self::DirectiveInCapitals => in_capitals(response) || in_capitals(later),
            Self::MalformedArgument => is_malformed(response) || is_malformed(later),
            Self::QualifiedDirective => is_qualified(response, "no-cache"),
            Self::CommaInQuotes => has_comma_in_quotes(response),
            Self::RepeatedDirective => {
                let of_request = ["max-age", "min-fresh", "max-stale"];
                is_repeated(response, "stale-while-revalidate")
                    || of_request.iter().any(|name| is_repeated(later, name))
            }
            _ => self.explains_wishes(dispute),
        }
    }

    /// What the client asks for, and what it allows.
    fn explains_wishes(self, dispute: &Dispute<'_>) -> bool {
        let Dispute {
            case, ours, theirs, ..
        } = dispute;
        let later = &case.later.fields;
        let only_theirs_is_plain = ours.reuse != Reuse::AsItIs && theirs.reuse == Reuse::AsItIs;
        let is_stale = ours.age >= ours.lifetime;
        match self {
            Self::PragmaBesideCacheControl => {
                theirs.reuse == Reuse::No
                    && later.get("pragma") == Some("no-cache")
                    && later.get("cache-control").is_some()
            }
            Self::StaleAgainstWishes => {
                let demands =
                    later.has("min-fresh") || later.has("max-age") && !later.has("max-stale");
                ours.reuse == Reuse::No && theirs.reuse != Reuse::No && is_stale && demands
            }
            Self::LastSecondOfMaxStale => {
                let last = format!("max-stale={}", ours.age - ours.lifetime);
                let says_so = later.directives().iter().any(|member| member.text == last);
                ours.reuse == Reuse::AsItIs && theirs.reuse != Reuse::AsItIs && says_so
            }
            Self::SMaxAgeForbidsStale => {
                only_theirs_is_plain
                    && is_stale
                    && case.kind == Kind::Shared
                    && case.response.fields.has("s-maxage")
                    && later.has("max-stale")
            }
            Self::RevalidatesBehindMaxStale => {
                only_theirs_is_plain
                    && ours.reuse == Reuse::WhileRevalidating
                    && later.has("max-stale")
            }
            _ => false,
        }
    }

    fn explains_validation(self, dispute: &Dispute<'_>) -> bool {
        let (response, later) = (&dispute.case.response.fields, &dispute.case.later.fields);
        match self {
            Self::ConditionsOfTheClient => {
                later.get("if-none-match").is_some() || later.get("if-modified-since").is_some()
            }
            Self::IfMatch => later.get("if-match").is_some(),
            Self::RequestWithNoStore => later.has("no-store"),
            Self::MalformedValidator => {
                response.get("etag") == Some("unquoted")
                    || response.get("last-modified").is_some_and(is_other_date)
            }
            Self::SelectingFieldsThatMeanTheSame => {
                let names = response.get("vary").unwrap_or_default();
                differs_in_bytes(names, dispute.case)
            }
            _ => false,
        }
    }

    fn explains_field(self, name: &str, dispute: &Dispute<'_>) -> bool {
        let response = &dispute.case.response.fields;
        let connection = response.get("connection").unwrap_or_default();
        match self {
            Self::DateOfSending => name == "date",
            Self::ConnectionInCapitals => name == "x-hop" && connection.contains("X-Hop"),
            Self::QualifiedDirective => {
                let names_it = |directive| is_qualified(response, directive);
                name == "x-hop" && (names_it("no-cache") || names_it("private"))
            }
            Self::Warning => name == "warning",
            _ => false,
        }
    }
}

impl Dispute<'_> {
    /// The package takes milliseconds for seconds.
    fn is_a_thousand_days(&self) -> bool {
        self.theirs.lifetime == 86_400_000 && self.case.response.fields.has("immutable")
    }
}

/// What the package calls understood, and 206, which neither side stores here.
const KNOWN_STATUSES: [u16; 15] = [
    200, 203, 204, 206, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501,
];

const HUGE: &str = "99999999999";
