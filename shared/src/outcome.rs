//! The closed sets of words that say what a cache did, and the `Cache-Status` field made of them (RFC 9211).
//!
//! The same words label metrics, so none of them ever holds a URL or a key.

use ::http::header::HeaderName;
use ::http::{HeaderMap, HeaderValue, StatusCode};

use crate::decimal::Decimal;
use crate::http::Freshness;
use crate::key::SurrogateKeyError;
use crate::time::DeltaSeconds;

/// What the cache did with a request (RFC 9211 §2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// Answered from the store, without asking the origin (RFC 9211 §2.1).
    Hit,
    /// Sent on towards the origin (RFC 9211 §2.2).
    Forward(ForwardReason),
}

/// Why a request went forward (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ForwardReason {
    /// The cache is configured not to handle it.
    Bypass,
    /// Its method requires it.
    Method,
    /// Nothing is stored under its URI.
    UriMiss,
    /// Something is stored under its URI, for other selecting request fields.
    VaryMiss,
    /// Something is stored, but none of it may be used: it has been purged, for instance.
    Miss,
    /// The request's own directives or preconditions ask for it.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored has not all the bytes that are asked for.
    Partial,
}

/// Why a stale response was, or may be, served.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum StaleReason {
    /// Within its grace, while it is revalidated (RFC 5861 §3).
    WhileRevalidate,
    /// Softly purged and within its grace, while it is revalidated.
    SoftPurge,
    /// The client takes it so (`max-stale`, RFC 9111 §5.2.1.2).
    ClientAllows,
    /// The origin answered with an error (RFC 5861 §4).
    OriginError,
    /// The origin could not be reached, or gave no answer in time (RFC 9111 §4.2.4, RFC 5861 §4).
    OriginUnreachable,
}

/// Why a response was not stored.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NotStored {
    /// Its method's responses are not (RFC 9111 §3).
    Method,
    /// Its status is not final, not understood, or needs explicit freshness that it has not.
    Status,
    /// The response says `no-store`.
    NoStore,
    /// The request says `no-store`.
    RequestNoStore,
    /// It is meant for one user, and this cache is shared.
    Private,
    /// It answers a request with `Authorization`, and nothing in it allows sharing (RFC 9111 §3.5).
    Authorization,
    /// It sets a cookie, and the rules do not let such a response be stored.
    SetCookie,
    /// It varies on everything.
    VaryStar,
    /// It varies on a request field that the policy does not list.
    VaryNotAllowed,
    /// It has neither a freshness lifetime nor a validator, so that it could never be reused.
    NoFreshness,
    /// Its surrogate keys are malformed or too many, so that it could not be purged by them (R12).
    SurrogateKeys(SurrogateKeyError),
    /// Its `Cache-Groups` field is malformed, so that it could not be purged by it (R12, RFC 9875).
    CacheGroups,
    /// Its URL is longer than a purge can name.
    UrlTooLong,
    /// Its body is larger than the store takes.
    TooLarge,
    /// Its body ended before its length.
    Truncated,
    /// Its body is not as long as its head says.
    Length,
    /// It is a part of a representation, and the rules do not let parts be stored, or it cannot be used.
    Partial,
    /// It is a 304 for the client's own validators.
    NotModified,
    /// It is an error that must not replace what is stored.
    OriginError,
    /// An earlier response of this URI could not be stored, and a marker says so.
    HitForMiss,
    /// The route is not cached at all.
    Bypass,
    /// The view of the purge ledger was too old to stamp it with.
    LedgerLag,
    /// The store failed.
    StoreFailed,
}

/// One member of a `Cache-Status` field (RFC 9211 §2).
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct CacheStatus {
    /// The whole member, as it is sent.
    text: String,
    /// Where `; detail=` begins in it, which stays behind all else; none if there is no detail yet.
    detail_at: Option<usize>,
}

impl Outcome {
    /// Its word as a metric label: `hit`, or the reason.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Forward(reason) => reason.as_str(),
        }
    }
}

impl ForwardReason {
    /// The value of `fwd` (RFC 9211 §2.2).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl StaleReason {
    /// Its word, for `detail` and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhileRevalidate => "stale-while-revalidate",
            Self::SoftPurge => "soft-purge",
            Self::ClientAllows => "max-stale",
            Self::OriginError => "stale-if-error",
            Self::OriginUnreachable => "origin-unreachable",
        }
    }
}

impl NotStored {
    /// Its word, for `detail` and metric labels.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::NoStore => "no-store",
            Self::RequestNoStore => "request-no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::VaryStar => "vary-star",
            Self::VaryNotAllowed => "vary-not-allowed",
            Self::NoFreshness => "no-freshness",
            Self::SurrogateKeys(_) => "surrogate-keys",
            Self::CacheGroups => "cache-groups",
            Self::UrlTooLong => "url-too-long",
            Self::TooLarge => "too-large",
            Self::Truncated => "truncated",
            Self::Length => "length",
            Self::Partial => "partial",
            Self::NotModified => "not-modified",
            Self::OriginError => "origin-error",
            Self::HitForMiss => "hit-for-miss",
            Self::Bypass => "bypass",
            Self::LedgerLag => "ledger-lag",
            Self::StoreFailed => "store-failed",
        }
    }

    /// The word and, where there is more to say, what exactly: the text of `detail`.
    pub fn detail(&self) -> String {
        match self {
            Self::SurrogateKeys(error) => format!("{}: {error}", self.as_str()),
            _ => self.as_str().to_owned(),
        }
    }

    /// Whether the next response of this URI will probably not be stored either.
    ///
    /// A hit-for-miss marker then keeps its requests from waiting for one another.
    pub const fn is_lasting(&self) -> bool {
        match self {
            Self::NoStore
            | Self::Private
            | Self::Authorization
            | Self::SetCookie
            | Self::VaryStar
            | Self::VaryNotAllowed
            | Self::NoFreshness
            | Self::SurrogateKeys(_)
            | Self::CacheGroups
            | Self::UrlTooLong
            | Self::TooLarge
            | Self::HitForMiss
            | Self::Bypass => true,
            Self::Method
            | Self::Status
            | Self::RequestNoStore
            | Self::Truncated
            | Self::Length
            | Self::Partial
            | Self::NotModified
            | Self::OriginError
            | Self::LedgerLag
            | Self::StoreFailed => false,
        }
    }
}

impl CacheStatus {
    /// The field's name.
    pub const FIELD: HeaderName = HeaderName::from_static("cache-status");

    /// The name under which Terrace's tiers sign.
    pub const NAME: &str = "Terrace";

    /// Signed by `cache`: what it did with the request.
    pub fn new(cache: &str, outcome: Outcome) -> Self {
        let said = Self::of(cache);
        match outcome {
            Outcome::Hit => said.with(&["; hit"]),
            Outcome::Forward(reason) => said.with(&["; fwd=", reason.as_str()]),
        }
    }

    /// Served from the store with this much freshness left.
    pub fn hit(cache: &str, remaining: DeltaSeconds) -> Self {
        Self::new(cache, Outcome::Hit).ttl(remaining)
    }

    /// Served from the store although stale for `by`, and why (RFC 9211 §2.4: the lifetime left is negative).
    pub fn stale_hit(cache: &str, by: DeltaSeconds, because: StaleReason) -> Self {
        Self::new(cache, Outcome::Hit).stale(by, because)
    }

    /// Sent on towards the origin.
    pub fn forward(cache: &str, reason: ForwardReason) -> Self {
        Self::new(cache, Outcome::Forward(reason))
    }

    /// Generated here, neither from the store nor from the next hop's answer, and why.
    ///
    /// RFC 9211 §2 would have such responses say nothing; whoever looks for the reason finds it here, and
    /// nobody is told of a hit or a forward that was none.
    pub fn generated(cache: &str, detail: &str) -> Self {
        Self::of(cache).detail(detail)
    }

    /// The status that the next hop answered with (RFC 9211 §2.3).
    pub fn forward_status(self, status: StatusCode) -> Self {
        // Its own text comes out of a table that a worker has no room for.
        let digits = Decimal::of(status.as_u16().into());
        self.with(&["; fwd-status=", digits.as_str()])
    }

    /// The freshness lifetime that is left (RFC 9211 §2.4).
    pub fn ttl(self, remaining: DeltaSeconds) -> Self {
        self.with(&["; ttl=", bounded(remaining).as_str()])
    }

    /// The freshness lifetime that is left, or for how long there has been none (RFC 9211 §2.4).
    pub fn freshness(self, freshness: Freshness) -> Self {
        match freshness {
            Freshness::Fresh { remaining } => self.ttl(remaining),
            Freshness::Stale { by } => self.stale_for(by),
        }
    }

    /// What is served is stale for `by`, and why.
    pub fn stale(self, by: DeltaSeconds, because: StaleReason) -> Self {
        self.stale_for(by).detail(because.as_str())
    }

    fn stale_for(self, by: DeltaSeconds) -> Self {
        let sign = if by.is_zero() { "" } else { "-" };
        self.with(&["; ttl=", sign, bounded(by).as_str()])
    }

    /// The response was stored (RFC 9211 §2.5).
    pub fn stored(self) -> Self {
        self.with(&["; stored"])
    }

    /// The request waited for another one's response (RFC 9211 §2.6).
    pub fn collapsed(self) -> Self {
        self.with(&["; collapsed"])
    }

    /// The cache key that was used (RFC 9211 §2.7).
    pub fn key(self, key: &str) -> Self {
        let mut quoted = String::with_capacity(key.len() + 2);
        push_string(&mut quoted, key);
        self.with(&["; key=", &quoted])
    }

    /// More, for whoever reads it (RFC 9211 §2.8); a second one is added after a semicolon and a space.
    pub fn detail(mut self, detail: &str) -> Self {
        if self.detail_at.is_none() {
            self.detail_at = Some(self.text.len());
            self.text.push_str("; detail=\"");
        } else {
            self.text.pop(); // the closing quotation mark
            self.text.push_str("; ");
        }
        push_escaped(&mut self.text, detail);
        self.text.push('"');
        self
    }

    /// Why the response was not stored, as `detail`.
    pub fn not_stored(self, because: &NotStored) -> Self {
        self.detail(&because.detail())
    }

    /// The member as field text.
    pub fn to_text(&self) -> String {
        self.text.clone()
    }

    /// Adds it behind what caches nearer to the origin have said (RFC 9211 §2).
    pub fn append_to(&self, fields: &mut HeaderMap) {
        // Only visible ASCII is ever written, so it is a field value; if it were not, nothing is said.
        if let Ok(value) = HeaderValue::from_str(&self.text) {
            fields.append(Self::FIELD, value);
        }
    }

    /// Only the name of the cache, so far.
    fn of(cache: &str) -> Self {
        let mut text = String::with_capacity(80);
        push_token_or_string(&mut text, cache);
        Self {
            text,
            detail_at: None,
        }
    }

    /// Adds a parameter, given in pieces.
    fn with(mut self, pieces: &[&str]) -> Self {
        match &mut self.detail_at {
            None => self.text.extend(pieces.iter().copied()),
            Some(at) => {
                for piece in pieces {
                    self.text.insert_str(*at, piece);
                    *at += piece.len();
                }
            }
        }
        self
    }
}

/// A structured field's integer has at most fifteen digits (RFC 9651 §3.3.1).
fn bounded(length: DeltaSeconds) -> Decimal {
    Decimal::of(length.as_seconds().min(999_999_999_999_999))
}

fn push_token_or_string(out: &mut String, text: &str) {
    let is_token = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
    if is_token {
        out.push_str(text);
    } else {
        push_string(out, text);
    }
}

/// A structured-field string: printable ASCII in double quotes, with `"` and `\` escaped (RFC 9651 §4.1.6).
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text);
    out.push('"');
}

fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            _ => out.push('?'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn members_read_as_the_specification_writes_them() {
        for (status, text) in [
            (
                CacheStatus::hit("Terrace", DeltaSeconds::seconds(12)),
                "Terrace; hit; ttl=12",
            ),
            (
                CacheStatus::forward("Terrace", ForwardReason::UriMiss)
                    .forward_status(StatusCode::OK)
                    .stored()
                    .ttl(DeltaSeconds::seconds(300))
                    .collapsed()
                    .key("https://x/\"\\")
                    .detail("a\u{e9}b"),
                r#"Terrace; fwd=uri-miss; fwd-status=200; stored; ttl=300; collapsed; key="https://x/\"\\"; detail="a?b""#,
            ),
            (
                CacheStatus::forward("Terrace", ForwardReason::Miss)
                    .collapsed()
                    .stale(DeltaSeconds::seconds(3), StaleReason::SoftPurge),
                r#"Terrace; fwd=miss; collapsed; ttl=-3; detail="soft-purge""#,
            ),
            (
                CacheStatus::stale_hit(
                    "no token",
                    DeltaSeconds::seconds(3),
                    StaleReason::SoftPurge,
                )
                .detail("more"),
                r#""no token"; hit; ttl=-3; detail="soft-purge; more""#,
            ),
            (
                CacheStatus::forward("Terrace", ForwardReason::Stale)
                    .detail("a\"")
                    .forward_status(StatusCode::OK)
                    .detail("\\")
                    .stored()
                    .ttl(DeltaSeconds::LONGEST),
                r#"Terrace; fwd=stale; fwd-status=200; stored; ttl=2147483648; detail="a\"; \\""#,
            ),
            (
                CacheStatus::generated("Terrace", "only-if-cached"),
                r#"Terrace; detail="only-if-cached""#,
            ),
            (
                CacheStatus::forward("Terrace", ForwardReason::Stale)
                    .stored()
                    .freshness(Freshness::Stale {
                        by: DeltaSeconds::seconds(7),
                    }),
                "Terrace; fwd=stale; stored; ttl=-7",
            ),
            (
                CacheStatus::forward("Terrace", ForwardReason::Bypass)
                    .not_stored(&NotStored::SurrogateKeys(SurrogateKeyError::TooMany)),
                r#"Terrace; fwd=bypass; detail="surrogate-keys: more than 1024 surrogate keys on one response""#,
            ),
        ] {
            assert_eq!(status.to_text(), text);
        }
    }

    #[test]
    fn what_upstream_said_stays_in_front() {
        let mut fields = HeaderMap::new();
        fields.insert(CacheStatus::FIELD, HeaderValue::from_static("Origin; hit"));
        CacheStatus::hit("Terrace", DeltaSeconds::ZERO).append_to(&mut fields);
        let lines: Vec<_> = fields.get_all(CacheStatus::FIELD).iter().collect();
        assert_eq!(lines, ["Origin; hit", "Terrace; hit; ttl=0"]);
    }
}
