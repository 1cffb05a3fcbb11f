//! What is written, purged and read: keys in groups, and their names on every tier.

use terrace_shared::purge::PurgeMode;
use terrace_shared::purge::wire::PurgeRequest;

/// Something that is written and read: an index into the source.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Key(u16);

/// Who caches a key, and how often it is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Realm {
    /// On every tier; written all the time, so that fills and purges meet.
    Busy,
    /// On every tier; written seldom enough that what a purge has missed is there when its bound has passed.
    Calm,
    /// At the edge alone: its purges go straight there.
    EdgeOnly,
}

/// What a purge names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Naming {
    /// The key's surrogate key.
    SurrogateKey,
    /// The surrogate key of its group.
    Group,
    /// Its key in Redis and its URL.
    Exact,
    /// What its group's keys and URLs begin with.
    Prefix,
    /// A glob.
    Pattern,
    /// All there is.
    Everything,
}

impl Key {
    /// Keys of a group.
    const PER_GROUP: u16 = 8;
    const BUSY: u16 = 2 * Self::PER_GROUP;
    const CALM: u16 = 16 * Self::PER_GROUP;
    const EDGE_ONLY: u16 = 4 * Self::PER_GROUP;

    /// How many there are.
    pub const COUNT: usize = (Self::BUSY + Self::CALM + Self::EDGE_ONLY) as usize;

    /// The key with this index; none if there are fewer.
    pub fn at(index: usize) -> Option<Self> {
        (index < Self::COUNT).then(|| Self(u16::try_from(index).unwrap_or(0)))
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).filter_map(Self::at)
    }

    /// A random one of this realm.
    pub fn random(realm: Realm, random: &mut fastrand::Rng) -> Self {
        let first = match realm {
            Realm::Busy => 0,
            Realm::Calm => Self::BUSY,
            Realm::EdgeOnly => Self::BUSY + Self::CALM,
        };
        let count = match realm {
            Realm::Busy => Self::BUSY,
            Realm::Calm => Self::CALM,
            Realm::EdgeOnly => Self::EDGE_ONLY,
        };
        Self(first + random.u16(0..count))
    }

    /// Its index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Its group.
    pub const fn group(self) -> u16 {
        self.0 / Self::PER_GROUP
    }

    /// Who caches it.
    pub const fn realm(self) -> Realm {
        if self.0 < Self::BUSY {
            Realm::Busy
        } else if self.0 < Self::BUSY + Self::CALM {
            Realm::Calm
        } else {
            Realm::EdgeOnly
        }
    }

    /// Its URL without scheme and host.
    pub fn path(self) -> String {
        let word = match self.realm() {
            Realm::Busy | Realm::Calm => "t",
            Realm::EdgeOnly => "d",
        };
        format!("/api/{word}/{}/{}", self.group(), self.0)
    }

    /// Its surrogate keys.
    pub fn surrogate_keys(self) -> [String; 2] {
        [format!("group:{}", self.group()), format!("key:{}", self.0)]
    }

    /// The purge that reaches it, named like this.
    pub fn purge(self, naming: Naming, mode: PurgeMode) -> PurgeRequest {
        let (group, key) = (self.group(), self.0);
        let [group_name, key_name] = self.surrogate_keys();
        let path = self.path();
        let folder = &path[..=path.rfind('/').unwrap_or(0)];
        let mut request = PurgeRequest {
            mode,
            ..PurgeRequest::default()
        };
        match naming {
            Naming::SurrogateKey => request.surrogate_keys = vec![key_name],
            Naming::Group => request.surrogate_keys = vec![group_name],
            Naming::Exact => {
                request.keys = vec![format!("torture:v1:{group}:{key}")];
                request.urls = vec![path];
            }
            Naming::Prefix => {
                request.prefixes = vec![format!("torture:v1:{group}:"), folder.to_owned()];
            }
            Naming::Pattern => {
                request.patterns = vec![format!("torture:*:{key}"), format!("/api/*/{key}")];
            }
            Naming::Everything => request.everything = true,
        }
        request
    }

    /// Every key that such a purge reaches.
    pub fn reached(self, naming: Naming) -> Vec<Self> {
        match naming {
            Naming::SurrogateKey | Naming::Exact | Naming::Pattern => vec![self],
            Naming::Group | Naming::Prefix => Self::all()
                .filter(|other| other.group() == self.group())
                .collect(),
            Naming::Everything => Self::all().collect(),
        }
    }
}

impl Naming {
    /// A random one; everything seldom.
    pub fn random(realm: Realm, random: &mut fastrand::Rng) -> Self {
        match (realm, random.u32(0..1_000)) {
            (Realm::Busy, 0..2) => Self::Everything,
            // Calm keys are left alone until their purge has been audited, so their neighbours are too.
            (Realm::Calm, 0..12) | (Realm::Busy | Realm::EdgeOnly, 2..200) => Self::Group,
            (Realm::Calm, 12..24) | (Realm::Busy | Realm::EdgeOnly, 200..350) => Self::Prefix,
            (_, 350..500) => Self::Pattern,
            (_, 500..750) => Self::Exact,
            _ => Self::SurrogateKey,
        }
    }

    /// Its word in the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SurrogateKey => "surrogate key",
            Self::Group => "group",
            Self::Exact => "exact",
            Self::Prefix => "prefix",
            Self::Pattern => "pattern",
            Self::Everything => "everything",
        }
    }
}

#[cfg(test)]
mod tests {
    use terrace_shared::key::SurrogateKey;
    use terrace_shared::purge::{EntryScopes, Fence, Incarnation, Ledger, LedgerLimits, Verdict};
    use terrace_shared::time::TimestampMillis;

    use super::*;

    #[test]
    fn a_purge_reaches_the_keys_that_it_is_held_to_and_no_others() {
        let namings = [
            Naming::SurrogateKey,
            Naming::Group,
            Naming::Exact,
            Naming::Prefix,
            Naming::Pattern,
            Naming::Everything,
        ];
        for naming in namings {
            for key in [Key(3), Key(12), Key(100), Key(150)] {
                let now = TimestampMillis::from_unix_millis(0);
                let purge = key.purge(naming, PurgeMode::Hard).into_purge(now).unwrap();
                let mut ledger = Ledger::new(Incarnation::from_random(1), LedgerLimits::default());
                let fence = Fence::at(ledger.epoch());
                ledger.append(purge);
                for other in Key::all() {
                    let names = other.surrogate_keys();
                    let names = names.map(|name| SurrogateKey::parse(&name).unwrap());
                    let (group, number) = (other.group(), other.0);
                    let data = format!("torture:v1:{group}:{number}");
                    let on_tiers = [
                        EntryScopes::of_key("torture", &data, &names),
                        EntryScopes::of_url("127.0.0.1:80", &other.path(), &names),
                    ];
                    let reached = key.reached(naming).contains(&other);
                    for scopes in on_tiers {
                        let dropped = ledger.verdict(&fence, &scopes) == Verdict::Dropped;
                        assert_eq!(dropped, reached, "{naming:?} of {key:?}: {}", scopes.name());
                    }
                }
            }
        }
    }
}
