//! Key spaces: one kind of cached value, how its keys look and how long it lives on every tier.

use serde::{Deserialize, Serialize};

use super::{OnLedgerLag, Policy};
use crate::key::{KeyError, KeyParts, SurrogateKey, SurrogateKeys, Template, TemplateError};
use crate::time::{ByteCount, DeltaSeconds, Milliseconds};

/// One kind of cached value: `[keys.NAME]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KeySpace {
    /// Its name, which is also its namespace in purges.
    pub name: Box<str>,
    /// How its keys look, with its version filled in.
    pub template: Template,
    /// Version of what is stored: another one makes other keys. Default: 1.
    pub version: u32,
    /// The surrogate keys that every entry carries, made from the key's own parts. Default: none.
    pub surrogate_key_templates: Vec<Template>,
    /// Who reads and writes the source. Default: cache-aside.
    pub strategy: Strategy,
    /// How long an entry is fresh on each tier.
    pub lifetimes: Lifetimes,
    /// How long a stale entry may be served while it is revalidated. Zero turns it off. Default: 60 s.
    pub grace: DeltaSeconds,
    /// How long a stale entry may be served when the source fails. Zero turns it off. Default: 0 s.
    pub stale_if_error: DeltaSeconds,
    /// How long "there is none" is fresh; on each tier no longer than a value. Zero turns it off. Default: 60 s.
    pub negative: DeltaSeconds,
    /// By how many percent, at most, a lifetime is shortened at random, so that entries filled together
    /// do not end together. Default: 10.
    pub jitter_percent: u8,
    /// When an entry is refreshed before it ends. Default: `XFetch` with beta 1.
    pub early_refresh: EarlyRefresh,
    /// How lifetimes follow demand. Default: they do not.
    pub adaptive: Option<Adaptive>,
    /// Values of more bytes are compressed in Redis. Default: none is.
    pub compress_above: Option<ByteCount>,
    /// Whether reading an entry begins its lifetime anew. Default: fixed.
    pub expiry: Expiry,
    /// What happens when the ledger's replica is older than its bound. Default: revalidate.
    pub on_ledger_lag: OnLedgerLag,
    /// How long a caller waits for a fill when there is a stale entry to serve. Default: until it is done.
    pub soft_timeout: Option<Milliseconds>,
    /// How long a caller waits for a fill at all. Default: until it is done.
    pub hard_timeout: Option<Milliseconds>,
}

/// How long an entry is fresh on each tier; none where the tier is not used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lifetimes {
    /// In the memory of each process.
    pub memory: Option<DeltaSeconds>,
    /// In Redis.
    pub redis: Option<DeltaSeconds>,
    /// At the edge, of a response made from this; zero has the edge revalidate each time.
    pub edge: Option<DeltaSeconds>,
    /// In browsers, of a response made from this; zero has the browser revalidate each time.
    pub browser: Option<DeltaSeconds>,
}

/// Who reads and writes the source, and in which order.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The caller reads the source on a miss, and purges after it has written.
    #[default]
    CacheAside,
    /// The cache reads the source itself on a miss.
    ReadThrough,
    /// The cache writes the source, then itself, in the order of versions.
    WriteThrough,
    /// The cache writes itself and a durable queue, and the source later.
    WriteBehind,
    /// Numbers that are counted in Redis alone.
    Counter,
}

/// When an entry is refreshed although it is still fresh.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EarlyRefresh {
    /// Never.
    Off,
    /// At random, the likelier the nearer the end and the longer a load takes (`XFetch`).
    Xfetch {
        /// Above 1 earlier, below 1 later; more than 0, at most 10.
        beta: f64,
    },
    /// When this much of the lifetime is over.
    Percent {
        /// From 1 to 99.
        percent: u8,
    },
}

/// How lifetimes follow demand.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Adaptive {
    /// An entry read more often than this is hot. Default: 1,000.
    pub hot_above_accesses: u64,
    /// A hot entry's lifetime is so many times as long. Default: 2.
    pub hot_factor: u32,
    /// An entry read less often than this is cold. Default: 10.
    pub cold_below_accesses: u64,
    /// A cold entry's lifetime is this part of it. Default: 2, for a half.
    pub cold_divisor: u32,
}

/// Whether reading an entry begins its lifetime anew.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// A lifetime begins when the entry is filled.
    #[default]
    Fixed,
    /// A lifetime begins anew with every read: sessions.
    Sliding,
}

impl KeySpace {
    /// The key space with this template and every setting at its default; no tier is used yet.
    ///
    /// # Errors
    /// When `template` is no template.
    pub fn new(name: &str, template: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            name: name.into(),
            template: Template::parse(template)?,
            version: 1,
            surrogate_key_templates: Vec::new(),
            strategy: Strategy::default(),
            lifetimes: Lifetimes::default(),
            grace: DeltaSeconds::minutes(1),
            stale_if_error: DeltaSeconds::ZERO,
            negative: DeltaSeconds::minutes(1),
            jitter_percent: 10,
            early_refresh: EarlyRefresh::default(),
            adaptive: None,
            compress_above: None,
            expiry: Expiry::default(),
            on_ledger_lag: OnLedgerLag::default(),
            soft_timeout: None,
            hard_timeout: None,
        })
    }

    /// The readable key of these parts.
    ///
    /// # Errors
    /// When a part is missing, none of the template's, or the key becomes too long.
    pub fn key(&self, parts: &KeyParts) -> Result<String, KeyError> {
        self.template.format(parts)
    }

    /// The surrogate keys of the entry with these parts, in the order of their text.
    ///
    /// # Errors
    /// When a part is missing, or what comes out is no set of surrogate keys.
    pub fn surrogate_keys(&self, parts: &KeyParts) -> Result<SurrogateKeys, KeyError> {
        surrogate_keys(&self.surrogate_key_templates, parts)
    }

    /// The lifetime of an entry on a tier whose lifetime is `base`, after so many reads.
    pub fn adapted(&self, base: DeltaSeconds, accesses: u64) -> DeltaSeconds {
        match &self.adaptive {
            Some(adaptive) => adaptive.lifetime(base, accesses),
            None => base,
        }
    }

    /// Longest that an entry can be of use after it was filled or last read, on any tier but browsers.
    pub fn longest_use(&self) -> DeltaSeconds {
        let Lifetimes {
            memory,
            redis,
            edge,
            ..
        } = self.lifetimes;
        let longest = memory.max(redis).max(edge).unwrap_or_default();
        self.adapted(longest, u64::MAX)
            .max(self.adapted(longest, 0))
            .saturating_add(self.grace.max(self.stale_if_error))
    }
}

impl EarlyRefresh {
    /// Whether what is fresh for `remaining` of its `lifetime`, and took `load` to be filled, should be filled again.
    ///
    /// `draw` gives a number from 0 to below 1, at random; it is only asked where chance has a say.
    pub fn is_due(
        self,
        lifetime: Milliseconds,
        remaining: Milliseconds,
        load: Milliseconds,
        draw: impl FnOnce() -> f64,
    ) -> bool {
        match self {
            Self::Off => false,
            Self::Percent { percent } => {
                let left = 100_u64.saturating_sub(u64::from(percent));
                remaining.as_u64().saturating_mul(100) <= lifetime.as_u64().saturating_mul(left)
            }
            Self::Xfetch { beta } => {
                // P(early) = e^(−remaining / (β·δ)); beyond 40 times that it never happens.
                let scale = beta * as_f64(load);
                let remaining = as_f64(remaining);
                remaining < scale * 40.0 && remaining < -scale * (1.0 - draw()).ln()
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of lifetimes fit 52 bits"
)]
const fn as_f64(length: Milliseconds) -> f64 {
    length.as_u64() as f64
}

impl Default for EarlyRefresh {
    fn default() -> Self {
        Self::Xfetch { beta: 1.0 }
    }
}

impl Adaptive {
    /// The lifetime of an entry that was read `accesses` times; at most [`Policy::LONGEST_LIFETIME`].
    pub fn lifetime(&self, base: DeltaSeconds, accesses: u64) -> DeltaSeconds {
        let adapted = if accesses > self.hot_above_accesses {
            base.saturating_mul(self.hot_factor.into())
        } else if accesses < self.cold_below_accesses {
            DeltaSeconds::seconds(base.as_seconds() / u64::from(self.cold_divisor.max(1)))
        } else {
            base
        };
        adapted.min(Policy::LONGEST_LIFETIME)
    }
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            hot_above_accesses: 1_000,
            hot_factor: 2,
            cold_below_accesses: 10,
            cold_divisor: 2,
        }
    }
}

/// The surrogate keys that templates make of these parts.
pub(super) fn surrogate_keys(
    templates: &[Template],
    parts: &KeyParts,
) -> Result<SurrogateKeys, KeyError> {
    let mut keys = SurrogateKeys::default();
    for template in templates {
        keys.insert(SurrogateKey::parse(&template.format_from(parts)?)?)?;
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn lifetimes_double_above_a_thousand_reads_and_halve_below_ten() {
        let hour = DeltaSeconds::hours(1);
        let adaptive = Adaptive::default();
        for (accesses, expected) in [
            (0, 1_800),
            (9, 1_800),
            (10, 3_600),
            (1_000, 3_600),
            (1_001, 7_200),
            (u64::MAX, 7_200),
        ] {
            let lifetime = adaptive.lifetime(hour, accesses);
            assert_eq!(lifetime, DeltaSeconds::seconds(expected), "{accesses}");
        }
        let year = Policy::LONGEST_LIFETIME;
        assert_eq!(adaptive.lifetime(year, 5_000), year);
    }

    #[test]
    fn longest_use_counts_hot_entries_and_grace_but_no_browser() {
        let mut space = KeySpace::new("plan", "plan:{plan_id}").unwrap();
        assert_eq!(space.longest_use(), DeltaSeconds::minutes(1));
        space.lifetimes.redis = Some(DeltaSeconds::hours(1));
        space.lifetimes.memory = Some(DeltaSeconds::minutes(5));
        space.lifetimes.browser = Some(DeltaSeconds::days(9));
        space.stale_if_error = DeltaSeconds::hours(3);
        assert_eq!(space.longest_use(), DeltaSeconds::hours(4));
        space.adaptive = Some(Adaptive::default());
        assert_eq!(space.longest_use(), DeltaSeconds::hours(5));
    }

    #[test]
    fn a_space_gives_keys_and_surrogate_keys() {
        let mut space = KeySpace::new("plan", "plan:v{version}:{plan_id}[:{tab}]").unwrap();
        space.surrogate_key_templates = ["plan:{plan_id}", "plans"]
            .map(|text| Template::parse(text).unwrap())
            .into();
        let parts = KeyParts::new().with("plan_id", "1,2").with("tab", 3);
        assert_eq!(space.key(&parts).as_deref(), Ok("plan:v1:1%2C2:3"));
        let keys = space.surrogate_keys(&parts).unwrap();
        let texts: Vec<_> = keys.iter().map(SurrogateKey::as_str).collect();
        assert_eq!(texts, ["plan:1%2C2", "plans"]);
        assert_eq!(
            space.surrogate_keys(&KeyParts::new()),
            Err(KeyError::Missing {
                part: "plan_id".into()
            })
        );
    }
}
