//! The policy as a whole.

use serde::{Deserialize, Serialize};

#[cfg(feature = "toml")]
use super::file::{self, PolicyErrors};
use super::{Event, KeySpace, LedgerPolicy, Route};
use crate::purge::LedgerLimits;
use crate::time::DeltaSeconds;

/// Everything that `terrace.toml` says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub(super) key_spaces: Vec<KeySpace>,
    pub(super) routes: Vec<Route>,
    pub(super) fallback: Route,
    pub(super) events: Vec<Event>,
    pub(super) ledger: LedgerPolicy,
}

impl Policy {
    /// Version of the file's format; the file says `version = 1`.
    pub const VERSION: u32 = 1;

    /// Longest lifetime that may be written, and that an adapted one may reach.
    pub const LONGEST_LIFETIME: DeltaSeconds = DeltaSeconds::days(365);

    /// Shortest horizon that follows from lifetimes; a shorter one must be written.
    pub const SHORTEST_HORIZON: DeltaSeconds = DeltaSeconds::days(30);

    /// The policy that the text of a `terrace.toml` is.
    ///
    /// # Errors
    /// When anything is wrong with it: all of it, in the order of its lines.
    #[cfg(feature = "toml")]
    pub fn from_toml(text: &str) -> Result<Self, PolicyErrors> {
        file::read(text)
    }

    /// This policy and one more key space, which replaces the one of the same name.
    #[must_use]
    pub fn with_key_space(mut self, space: KeySpace) -> Self {
        self.key_spaces.retain(|other| other.name != space.name);
        self.key_spaces.push(space);
        self
    }

    /// This policy and one more route, after the others.
    #[must_use]
    pub fn with_route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// This policy with other settings of the ledger.
    #[must_use]
    pub fn with_ledger(mut self, ledger: LedgerPolicy) -> Self {
        self.ledger = ledger;
        self
    }

    /// The key space of this name.
    pub fn key_space(&self, name: &str) -> Option<&KeySpace> {
        self.key_spaces.iter().find(|space| *space.name == *name)
    }

    /// All key spaces, as they stand in the file.
    pub fn key_spaces(&self) -> std::slice::Iter<'_, KeySpace> {
        self.key_spaces.iter()
    }

    /// The key space that `key` belongs to.
    pub fn key_space_of(&self, key: &str) -> Option<&KeySpace> {
        self.key_spaces
            .iter()
            .find(|space| space.template.match_back(key).is_some())
    }

    /// The first route whose pattern matches `path`, or the fallback: as the origin's headers say.
    ///
    /// `path` is the normalised path, without the query.
    pub fn route(&self, path: &str) -> &Route {
        self.routes
            .iter()
            .find(|route| route.path.matches(path))
            .unwrap_or(&self.fallback)
    }

    /// All routes, in the order in which they are tried; the fallback not.
    pub fn routes(&self) -> std::slice::Iter<'_, Route> {
        self.routes.iter()
    }

    /// What the event of this name does.
    pub fn event(&self, name: &str) -> Option<&Event> {
        self.events.iter().find(|event| *event.name == *name)
    }

    /// All events, as they stand in the file.
    pub fn events(&self) -> std::slice::Iter<'_, Event> {
        self.events.iter()
    }

    /// The settings of the purge ledger.
    pub fn ledger(&self) -> &LedgerPolicy {
        &self.ledger
    }

    /// How long a purge matters: no tier keeps anything longer, whatever an origin's headers say.
    ///
    /// Default: the longest lifetime in the policy, with its grace, and the bound on lag; at least
    /// [`Policy::SHORTEST_HORIZON`], which leaves room for lifetimes that origins give themselves.
    pub fn horizon(&self) -> DeltaSeconds {
        self.ledger
            .horizon
            .unwrap_or_else(|| self.longest_use().max(Self::SHORTEST_HORIZON))
    }

    /// Longest that anything can be of use by the lifetimes of the policy, and how late a purge of it may come.
    pub fn longest_use(&self) -> DeltaSeconds {
        let spaces = self.key_spaces.iter().map(KeySpace::longest_use);
        let routes = self.routes.iter().map(Route::longest_use);
        let bounds = self.routes.iter().map(|route| route.purge_bound);
        spaces
            .chain(routes)
            .max()
            .unwrap_or_default()
            .saturating_add(bounds.fold(self.ledger.bound, DeltaSeconds::max))
    }

    /// What a ledger may keep under this policy.
    pub fn ledger_limits(&self) -> LedgerLimits {
        LedgerLimits {
            marks: self.ledger.marks,
            patterns: self.ledger.patterns,
            horizon: self.horizon(),
        }
    }
}
