//! The cookie by which a person who saves sees the save.

use http::HeaderValue;
use terrace_shared::purge::token::AfterCookie;
use terrace_shared::purge::wire::Receipt;
use terrace_shared::time::DeltaSeconds;

/// Makes a browser present the token of a receipt with its next requests: a service sets it when it has saved.
///
/// `HttpOnly`, `SameSite=Lax`, for the whole host and for a minute. The edge and
/// [`CacheLayer`](crate::http::CacheLayer) read it as they read `Terrace-After`, and answer nothing older than the
/// purge; a request with this cookie alone is as cacheable as one without. With axum it is a part of a response:
///
/// ```
/// # use terrace_origin::{Cache, Policy, Purge, SessionCookie, TokenSecrets};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = Cache::builder(Policy::default())
///     .token_secrets(TokenSecrets::parse("a secret of the edge's and the origin's")?)
///     .build()
///     .await?;
/// let receipt = cache.purge(Purge::surrogate_key("product:42")).await?;
/// let cookie = SessionCookie::of(&receipt).expect("a secret signs its token");
/// let field = cookie.secure().to_field();
/// assert!(field.to_str()?.starts_with("terrace-after=1."));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionCookie(AfterCookie);

impl SessionCookie {
    /// The cookie of `receipt`; none if no secret has signed a token for it.
    pub fn of(receipt: &Receipt) -> Option<Self> {
        AfterCookie::of(receipt).map(Self)
    }

    /// How long a browser presents it, in whole seconds: as long as a tier may take to be told of a purge.
    ///
    /// Default: 60 s.
    #[must_use]
    pub fn max_age(self, length: DeltaSeconds) -> Self {
        Self(self.0.max_age(length))
    }

    /// Sent over TLS only. Default: over both, because a token tells nothing and opens nothing.
    #[must_use]
    pub fn secure(self) -> Self {
        Self(self.0.secure())
    }

    /// The value of the `Set-Cookie` field.
    #[expect(
        clippy::missing_panics_doc,
        reason = "the token was held against what a cookie may hold when this was made"
    )]
    pub fn to_field(&self) -> HeaderValue {
        HeaderValue::try_from(self.0.to_text())
            .expect("a token and the attributes are visible ASCII and blanks")
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponseParts for SessionCookie {
    type Error = std::convert::Infallible;

    /// Makes `(SessionCookie::of(&receipt), Json(saved))` a response that sets the cookie.
    fn into_response_parts(
        self,
        mut parts: axum::response::ResponseParts,
    ) -> Result<axum::response::ResponseParts, Self::Error> {
        let name = http::header::SET_COOKIE;
        parts.headers_mut().append(name, self.to_field());
        Ok(parts)
    }
}
