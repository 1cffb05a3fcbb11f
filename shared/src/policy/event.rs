//! Events: what happens in the domain, and what that purges and warms.

use serde::{Deserialize, Serialize};

use super::key_space::surrogate_keys;
use crate::key::{KeyError, KeyParts, SurrogateKeys, Template};
use crate::purge::PurgeMode;

/// One kind of event: a line of `[events]`.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Event {
    /// Its name: `order.placed`.
    pub name: Box<str>,
    /// The surrogate keys that it purges, made from its payload. Default: none.
    pub purge: Vec<Template>,
    /// How hard. Default: hard.
    pub mode: PurgeMode,
    /// The key spaces whose entry it warms after the purge, the key made from its payload. Default: none.
    pub warm: Vec<Box<str>>,
}

impl Event {
    /// The surrogate keys that an event with this payload purges; what the payload has besides is ignored.
    ///
    /// # Errors
    /// When the payload lacks a part, or what comes out is no set of surrogate keys.
    pub fn surrogate_keys(&self, payload: &KeyParts) -> Result<SurrogateKeys, KeyError> {
        surrogate_keys(&self.purge, payload)
    }
}
