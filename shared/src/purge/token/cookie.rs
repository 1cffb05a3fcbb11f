//! The token as a cookie, so that a person who saves sees the save without a line of script.

use ::http::header::COOKIE;
use ::http::{HeaderMap, HeaderName, HeaderValue};

use crate::purge::wire::{AFTER_FIELD, Receipt};
use crate::time::DeltaSeconds;

/// The name of the cookie that holds a token.
pub const AFTER_COOKIE: &str = "terrace-after";

/// A `Set-Cookie` field that makes a browser present a receipt's token with its next requests (RFC 6265).
///
/// `HttpOnly`, `SameSite=Lax`, for the whole host. Edge and layer read the cookie as if it were the field
/// [`AFTER_FIELD`], and keep it out of keys and of the route's rules for cookies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AfterCookie {
    token: String,
    max_age: DeltaSeconds,
    only_over_tls: bool,
}

impl AfterCookie {
    /// The cookie of `receipt`; none if the receipt has no token, for want of a secret to sign one with.
    pub fn of(receipt: &Receipt) -> Option<Self> {
        // Receipts come from elsewhere, too; what ours hold fits into a cookie (RFC 6265 §4.1.1).
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        let token = receipt
            .token
            .clone()
            .filter(|token| token.bytes().all(fits))?;
        Some(Self {
            token,
            max_age: DeltaSeconds::minutes(1),
            only_over_tls: false,
        })
    }

    /// How long a browser presents it: as long as any tier may take to be told of a purge. Default: 60 s.
    #[must_use]
    pub const fn max_age(mut self, length: DeltaSeconds) -> Self {
        self.max_age = length;
        self
    }

    /// Sent over TLS only. Default: over both, because a token tells nothing and opens nothing.
    #[must_use]
    pub const fn secure(mut self) -> Self {
        self.only_over_tls = true;
        self
    }

    /// The value of the `Set-Cookie` field.
    pub fn to_text(&self) -> String {
        let secure = if self.only_over_tls { "; Secure" } else { "" };
        format!(
            "{AFTER_COOKIE}={}; Max-Age={}; Path=/; HttpOnly; SameSite=Lax{secure}",
            self.token,
            self.max_age.as_seconds()
        )
    }
}

/// Moves tokens from the cookies of a request into [`AFTER_FIELD`]: nothing else may depend on that cookie.
///
/// Costs one look-up for a request without cookies.
pub fn take_after_cookie(fields: &mut HeaderMap) {
    let has_one = |line: &HeaderValue| pairs(line.as_bytes()).any(|pair| token_of(pair).is_some());
    if !fields.get_all(COOKIE).iter().any(has_one) {
        return;
    }
    let lines: Vec<HeaderValue> = fields.get_all(COOKIE).iter().cloned().collect();
    fields.remove(COOKIE);
    for line in &lines {
        let others: Vec<&[u8]> = pairs(line.as_bytes())
            .filter(|pair| token_of(pair).is_none() && !pair.is_empty())
            .collect();
        append(fields, COOKIE, &others.join(&b"; "[..]));
        for token in tokens_in_cookies(line.as_bytes()) {
            append(fields, HeaderName::from_static(AFTER_FIELD), token);
        }
    }
}

/// The tokens in a line of `Cookie`.
pub(super) fn tokens_in_cookies(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    pairs(line).filter_map(token_of)
}

fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
}

fn token_of(pair: &[u8]) -> Option<&[u8]> {
    pair.strip_prefix(AFTER_COOKIE.as_bytes())?
        .strip_prefix(b"=")
}

fn append(fields: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value)
        && !value.is_empty()
    {
        fields.append(name, value);
    }
}
