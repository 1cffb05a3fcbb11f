//! Tokens of receipts: whoever presents one is answered by nothing older than its purge, at every tier (R10).
//!
//! A token names the place of a purge in the origin's ledger, in an edge's, or in both, and is signed with a secret
//! that edge and origin share. Without the secret nobody can make one, so nobody can make a tier ask its ledger, or
//! refuse what it has stored, by guessing; and what is no token costs one hash at most, and nothing else.
//!
//! As text, version 1: `1.ORIGIN.EDGE.SIGNATURE`. A place is an [`Epoch`], or nothing; the signature is the first
//! 16 bytes of the HMAC-SHA256 of all before its dot, as hexadecimal digits. The characters are those that a cookie
//! and a field may hold. Golden vectors: `tests/vectors/purge_token_v1.txt`.

mod after;
mod cookie;
mod secret;

use hmac::Mac as _;

use super::Epoch;
use super::wire::{PurgedTier, Receipt, TierReceipt};
use secret::Keyed;

pub use after::{After, GoneHistories, Presented, Reach, Wanted};
pub use cookie::{AFTER_COOKIE, AfterCookie, take_after_cookie};
pub use secret::{TokenSecretError, TokenSecrets};

/// What a receipt's token names.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct ReadToken {
    /// The purge's place in the origin's ledger.
    pub origin: Option<Epoch>,
    /// Its place in the ledger of an edge.
    pub edge: Option<Epoch>,
}

/// Why a text is not taken for a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadTokenError {
    /// It has not the form of a token.
    #[error("it has not the form 1.ORIGIN.EDGE.SIGNATURE")]
    Malformed,
    /// It is signed with none of the secrets that are known here.
    #[error("its signature is none of ours")]
    Forged,
}

impl ReadToken {
    /// The most bytes that a token has.
    pub const LONGEST: usize = 1 + 3 + 2 * Epoch::LONGEST + 2 * SIGNATURE_BYTES;

    /// The token as text, signed with the first of `secrets`.
    pub fn sign(&self, secrets: &TokenSecrets) -> String {
        let place = |epoch: Option<Epoch>| epoch.map(|epoch| epoch.to_string());
        let (origin, edge) = (place(self.origin), place(self.edge));
        let mut text = format!(
            "{VERSION}.{}.{}",
            origin.unwrap_or_default(),
            edge.unwrap_or_default()
        );
        let signature = keyed(secrets.first(), &text).finalize().into_bytes();
        text.push('.');
        for byte in signature.iter().take(SIGNATURE_BYTES) {
            text.extend([byte >> 4, byte & 15].map(hex_digit));
        }
        text
    }

    /// What the token in `text` names, if one of `secrets` has signed it; signatures are compared in constant time.
    ///
    /// # Errors
    /// When it has not the form of a token, or is signed with another secret.
    pub fn verify(text: &str, secrets: &TokenSecrets) -> Result<Self, ReadTokenError> {
        let (signed, signature) = text
            .rsplit_once('.')
            .filter(|_| text.len() <= Self::LONGEST)
            .ok_or(ReadTokenError::Malformed)?;
        let token = Self::parse(signed).ok_or(ReadTokenError::Malformed)?;
        let signature = read_signature(signature).ok_or(ReadTokenError::Malformed)?;
        // Both are tried whichever fits, so that the time tells nothing of that either.
        let fits = secrets.all().fold(false, |fits, secret| {
            let verified = keyed(secret, signed).verify_truncated_left(&signature);
            fits | verified.is_ok()
        });
        fits.then_some(token).ok_or(ReadTokenError::Forged)
    }

    /// What the token of `receipt` names: the purge's place in each ledger that the receipt speaks of.
    pub fn of(receipt: &Receipt) -> Self {
        let is_edge = |tier: &&TierReceipt| tier.tier == PurgedTier::Edge;
        let taken_by_edge = receipt
            .tiers
            .iter()
            .find(is_edge)
            .and_then(|tier| tier.epoch);
        let began_at_edge = receipt.tiers.iter().all(|tier| is_edge(&tier));
        Self {
            origin: (!began_at_edge).then_some(receipt.epoch),
            edge: taken_by_edge,
        }
    }

    fn parse(signed: &str) -> Option<Self> {
        let places = signed.strip_prefix(VERSION)?.strip_prefix('.')?;
        let (origin, edge) = places.split_once('.')?;
        let place = |text: &str| match text {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        };
        let token = Self {
            origin: place(origin)?,
            edge: place(edge)?,
        };
        (token != Self::default()).then_some(token)
    }
}

impl Receipt {
    /// The same receipt with a token; without one where no secret signs it.
    #[must_use]
    pub fn with_token(self, secrets: Option<&TokenSecrets>) -> Self {
        let token = secrets.map(|secrets| ReadToken::of(&self).sign(secrets));
        Self { token, ..self }
    }
}

/// Another form of the text gets another one, and this one is still read.
const VERSION: &str = "1";

const SIGNATURE_BYTES: usize = 16;

/// What is signed besides the text, so that the secret can sign other things without one being taken for another.
const PURPOSE: &[u8] = b"terrace-after\n";

fn keyed(secret: &Keyed, signed: &str) -> Keyed {
    secret
        .clone()
        .chain_update(PURPOSE)
        .chain_update(signed.as_bytes())
}

fn hex_digit(nibble: u8) -> char {
    // A nibble is a hexadecimal digit.
    char::from_digit(nibble.into(), 16).unwrap_or_default()
}

/// Digits in lower case only: one token has one text.
fn read_signature(text: &str) -> Option<[u8; SIGNATURE_BYTES]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut signature = [0; SIGNATURE_BYTES];
    if text.len() != 2 * SIGNATURE_BYTES {
        return None;
    }
    for (byte, pair) in signature.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(signature)
}

#[cfg(test)]
mod tests;
