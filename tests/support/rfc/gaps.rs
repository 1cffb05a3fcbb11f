//! Cases that are known not to hold yet: each is expected to fail, and the list must shrink when it does not.

use serde::Deserialize;

use super::driver::Place;
use super::load::directory;

/// The list's file beside the tables, without its ending.
pub const FILE: &str = "known-gaps";

/// The list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gaps {
    /// Its entries.
    #[serde(default)]
    pub gap: Vec<Gap>,
}

/// Cases that do not hold somewhere.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// Their names.
    pub cases: Vec<String>,
    /// Where they do not hold.
    #[serde(rename = "where")]
    pub places: Vec<Place>,
    /// Why not.
    pub why: String,
}

impl Gaps {
    /// Reads the list.
    ///
    /// # Panics
    /// When it is malformed.
    pub fn load() -> Self {
        let file = directory().join(format!("{FILE}.toml"));
        let text = std::fs::read_to_string(&file).unwrap();
        toml::from_str(&text).unwrap_or_else(|error| panic!("{FILE}.toml: {error}"))
    }

    /// Why `case` is known not to hold at `place`.
    pub fn why(&self, case: &str, place: Place) -> Option<&str> {
        let mut gaps = self.gap.iter();
        let gap = gaps.find(|gap| gap.places.contains(&place) && gap.names(case))?;
        Some(&gap.why)
    }
}

impl Gap {
    fn names(&self, case: &str) -> bool {
        self.cases.iter().any(|name| name == case)
    }
}
