//! What was learned of `No-Vary-Search`, so that the key of a request can be found before its response.

use crate::http::NoVarySearch;

/// The rules that the responses of paths have given, as many as fit.
#[derive(Debug)]
pub struct SearchRules {
    capacity: usize,
}

/// What learning has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Learned {
    /// Nothing: the rule was known.
    Known,
    /// The rule of the path is another one from now on.
    Changed,
}

impl SearchRules {
    /// Room for the rules of that many paths; the oldest is forgotten for a new one.
    pub const fn with_capacity(capacity: usize) -> Self {
        Self { capacity }
    }

    /// Takes what a response of this path says; `None` if it says nothing.
    pub fn learn(&mut self, host: &str, path: &str, rule: Option<NoVarySearch>) -> Learned {
        let _ = (host, path, rule, self.capacity);
        Learned::Known
    }

    /// The rule for a path.
    pub fn lookup(&self, host: &str, path: &str) -> Option<&NoVarySearch> {
        let _ = (host, path, self.capacity);
        None
    }
}
