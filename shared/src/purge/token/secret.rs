//! The secrets that sign tokens.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// A secret, ready to sign with.
pub(super) type Keyed = Hmac<Sha256>;

/// One secret that signs tokens and is believed, and perhaps another one that is believed as well.
///
/// To change it while requests are served: first give every edge and origin `OLD,NEW`; when all have it, `NEW,OLD`;
/// and when the last token that the old one signed has gone, `NEW`.
#[derive(Clone)]
pub struct TokenSecrets {
    first: Keyed,
    second: Option<Keyed>,
}

/// Why a text holds no secrets.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenSecretError {
    /// A secret that could be guessed, or is a mistake.
    #[error(
        "secret {number} is {bytes} bytes long, from {least} to {most} are expected: `openssl rand -hex 32` makes one",
        least = TokenSecrets::SHORTEST,
        most = TokenSecrets::LONGEST
    )]
    Length {
        /// Its place in the text, from one.
        number: usize,
        /// Its length.
        bytes: usize,
    },
    /// More than two.
    #[error(
        "{count} secrets are given, at most two are: the one that signs, and one more that is believed"
    )]
    TooMany {
        /// How many.
        count: usize,
    },
}

impl TokenSecrets {
    /// Fewest bytes of a secret.
    pub const SHORTEST: usize = 16;
    /// Most bytes of a secret.
    pub const LONGEST: usize = 256;

    /// The secrets in `text`: one, or two with a comma between them, of which the first signs. Blanks around them
    /// do not count.
    ///
    /// # Errors
    /// When there are more than two, or one is too short or too long.
    pub fn parse(text: &str) -> Result<Self, TokenSecretError> {
        let count = text.split(',').count();
        if count > 2 {
            return Err(TokenSecretError::TooMany { count });
        }
        let key = |number, secret: &str| {
            let bytes = secret.len();
            let allowed = Self::SHORTEST..=Self::LONGEST;
            match Keyed::new_from_slice(secret.as_bytes()) {
                Ok(key) if allowed.contains(&bytes) => Ok(key),
                Ok(_) | Err(_) => Err(TokenSecretError::Length { number, bytes }),
            }
        };
        let mut secrets = text.split(',').map(str::trim);
        Ok(Self {
            first: key(1, secrets.next().unwrap_or_default())?,
            second: secrets.next().map(|secret| key(2, secret)).transpose()?,
        })
    }

    pub(super) const fn first(&self) -> &Keyed {
        &self.first
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Keyed> {
        std::iter::once(&self.first).chain(&self.second)
    }
}

/// Says how many there are, and nothing of them.
impl fmt::Debug for TokenSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TokenSecrets({})", self.all().count())
    }
}
