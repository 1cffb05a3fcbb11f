//! A namespace's innards: its part of the policy, its counters, and how its values become bytes.

use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use terrace_shared::policy::{KeySpace, Policy};
use terrace_shared::time::{DeltaSeconds, Milliseconds, TimestampMillis};

use crate::entry::{Lifetime, Value};
use crate::error::NamespaceError;
use crate::metrics::{NamespaceCounters, NamespaceStats};

/// One key space of the policy, in use.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) policy: KeySpace,
    pub(crate) codec: Codec,
    pub(crate) counters: NamespaceCounters,
}

/// The namespaces in use, by name.
#[derive(Debug)]
pub(crate) struct Spaces {
    policy: Policy,
    open: Mutex<BTreeMap<Box<str>, Arc<Space>>>,
}

impl Spaces {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            open: Mutex::new(BTreeMap::new()),
        }
    }

    /// The namespace of this name, opened for values of type `T`.
    pub(crate) fn open<T: Serialize + DeserializeOwned + Send + Sync + 'static>(
        &self,
        name: &str,
    ) -> Result<Arc<Space>, NamespaceError> {
        let codec = Codec::of::<T>();
        let mut open = self.open.lock();
        if let Some(space) = open.get(name) {
            if space.codec.type_id == codec.type_id {
                return Ok(space.clone());
            }
            return Err(NamespaceError::OtherType {
                name: name.to_owned(),
                theirs: space.codec.type_name,
                ours: codec.type_name,
            });
        }
        let Some(policy) = self.policy.key_space(name) else {
            let known: Vec<&str> = self.policy.key_spaces().map(|space| &*space.name).collect();
            return Err(NamespaceError::Unknown {
                name: name.to_owned(),
                known: known.join(", "),
            });
        };
        let space = Arc::new(Space {
            policy: policy.clone(),
            codec,
            counters: NamespaceCounters::default(),
        });
        open.insert(name.into(), space.clone());
        Ok(space)
    }

    /// The policy they come from.
    pub(crate) const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What has been counted in each.
    pub(crate) fn totals(&self) -> BTreeMap<String, NamespaceStats> {
        let open = self.open.lock();
        open.iter()
            .map(|(name, space)| (name.to_string(), space.counters.totals()))
            .collect()
    }
}

/// How values of one type become bytes and back, without the type's name in every signature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codec {
    pub(crate) type_id: TypeId,
    pub(crate) type_name: &'static str,
    encode: fn(&dyn Any) -> Option<Vec<u8>>,
    measure: fn(&dyn Any) -> Option<usize>,
    decode: fn(&[u8]) -> Option<Arc<dyn Any + Send + Sync>>,
}

impl Codec {
    pub(crate) fn of<T: Serialize + DeserializeOwned + Send + Sync + 'static>() -> Self {
        Self {
            type_id: TypeId::of::<T>(),
            type_name: type_name::<T>(),
            encode: |value| serde_json::to_vec(value.downcast_ref::<T>()?).ok(),
            measure: |value| {
                let mut bytes = ByteCounter(0);
                serde_json::to_writer(&mut bytes, value.downcast_ref::<T>()?).ok()?;
                Some(bytes.0)
            },
            decode: |bytes| Some(Arc::new(serde_json::from_slice::<T>(bytes).ok()?)),
        }
    }

    /// The value as bytes, none of them for a negative one; none if it cannot be written.
    pub(crate) fn encode(&self, value: &Value) -> Option<Vec<u8>> {
        match value {
            Some(value) => (self.encode)(&**value),
            None => Some(Vec::new()),
        }
    }

    /// How many bytes that would be.
    pub(crate) fn measure(&self, value: &Value) -> Option<usize> {
        match value {
            Some(value) => (self.measure)(&**value),
            None => Some(0),
        }
    }

    /// The value in `bytes`.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Option<Arc<dyn Any + Send + Sync>> {
        (self.decode)(bytes)
    }
}

/// Takes bytes for their number.
struct ByteCounter(usize);

impl std::io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Space {
    /// How long a value filled at `now` lives on a tier that keeps it fresh for `tier`; none if it is not kept there.
    pub(crate) fn lifetime(
        &self,
        tier: Option<DeltaSeconds>,
        value: &Value,
        created_at: TimestampMillis,
        now: TimestampMillis,
    ) -> Option<Lifetime> {
        let mut fresh = tier.filter(|lifetime| !lifetime.is_zero())?;
        if value.is_none() {
            fresh = fresh.min(self.policy.negative);
        }
        if fresh.is_zero() {
            return None;
        }
        let fresh_until = now.saturating_add(self.jittered(fresh));
        Some(Lifetime {
            created_at,
            fresh_until,
            stale_until: fresh_until.saturating_add(self.longest_stale().into()),
            load_duration: now.saturating_since(created_at),
        })
    }

    /// How long the memory's copy of a value lives that Redis keeps for `shared`; never longer than that.
    pub(crate) fn promoted(&self, shared: &Lifetime, now: TimestampMillis) -> Option<Lifetime> {
        let fresh = self
            .policy
            .lifetimes
            .memory
            .filter(|lifetime| !lifetime.is_zero())?;
        let fresh_until = now
            .saturating_add(self.jittered(fresh))
            .min(shared.fresh_until);
        let stale_until = fresh_until.saturating_add(self.longest_stale().into());
        Some(Lifetime {
            fresh_until,
            stale_until: stale_until.min(shared.stale_until),
            ..*shared
        })
    }

    /// Whether a stale entry may be served at `now` while it is filled again.
    pub(crate) fn is_in_grace(&self, lifetime: &Lifetime, now: TimestampMillis) -> bool {
        let end = lifetime
            .fresh_until
            .saturating_add(self.policy.grace.into());
        now < end.min(lifetime.stale_until)
    }

    /// Whether an entry that is fresh at `now` should be filled again already.
    pub(crate) fn is_due_early(&self, lifetime: &Lifetime, now: TimestampMillis) -> bool {
        let fresh_until = lifetime.fresh_until;
        self.policy.early_refresh.is_due(
            fresh_until.saturating_since(lifetime.created_at),
            fresh_until.saturating_since(now),
            lifetime.load_duration,
            fastrand::f64,
        )
    }

    fn longest_stale(&self) -> DeltaSeconds {
        self.policy.grace.max(self.policy.stale_if_error)
    }

    fn jittered(&self, fresh: DeltaSeconds) -> Milliseconds {
        let whole = Milliseconds::from(fresh).as_u64();
        let most = whole / 100 * u64::from(self.policy.jitter_percent.min(100));
        Milliseconds::new(whole - fastrand::u64(0..=most))
    }
}

#[cfg(test)]
mod tests {
    use terrace_shared::policy::EarlyRefresh;

    use super::*;

    fn space(change: impl FnOnce(&mut KeySpace)) -> Space {
        let mut policy = KeySpace::new("n", "n:{id}").expect("a template");
        policy.lifetimes.memory = Some(DeltaSeconds::seconds(100));
        policy.jitter_percent = 0;
        policy.early_refresh = EarlyRefresh::Off;
        change(&mut policy);
        Space {
            policy,
            codec: Codec::of::<u32>(),
            counters: NamespaceCounters::default(),
        }
    }

    const fn at(millis: u64) -> TimestampMillis {
        TimestampMillis::from_unix_millis(millis)
    }

    fn lifetime(space: &Space, value: &Value) -> Option<Lifetime> {
        space.lifetime(space.policy.lifetimes.memory, value, at(0), at(10))
    }

    #[test]
    fn a_negative_entry_lives_its_own_time_and_never_longer_than_a_value() {
        let value: Value = Some(Arc::new(1_u32));
        for (negative, end) in [(5, Some(at(5_010))), (500, Some(at(100_010))), (0, None)] {
            let space = space(|policy| policy.negative = DeltaSeconds::seconds(negative));
            let fresh_until = |value| lifetime(&space, value).map(|lifetime| lifetime.fresh_until);
            assert_eq!(fresh_until(&None), end);
            assert_eq!(fresh_until(&value), Some(at(100_010)));
        }
    }

    #[test]
    fn jitter_only_shortens() {
        let space = space(|policy| policy.jitter_percent = 10);
        for _ in 0..1_000 {
            let end = lifetime(&space, &None).expect("kept").fresh_until;
            assert!(end <= at(60_010) && end >= at(54_010), "{end:?}");
        }
    }

    #[test]
    fn a_promoted_copy_lives_no_longer_than_the_copy_it_came_from() {
        let space = space(|_| {});
        let shared = Lifetime {
            created_at: at(0),
            fresh_until: at(20_000),
            stale_until: at(30_000),
            load_duration: Milliseconds::new(3),
        };
        assert_eq!(space.promoted(&shared, at(10)), Some(shared));
    }

    #[test]
    fn grace_ends_on_the_moment() {
        let space = space(|policy| {
            policy.grace = DeltaSeconds::seconds(1);
            policy.stale_if_error = DeltaSeconds::seconds(9);
        });
        let lifetime = lifetime(&space, &None).expect("kept");
        let end = lifetime.fresh_until;
        assert!(space.is_in_grace(&lifetime, end.saturating_add(Milliseconds::new(999))));
        assert!(!space.is_in_grace(&lifetime, end.saturating_add(Milliseconds::new(1_000))));
        assert_eq!(
            lifetime.stale_until,
            end.saturating_add(Milliseconds::new(9_000))
        );
    }

    #[test]
    fn early_refresh_by_percent_begins_on_the_moment_and_xfetch_is_likelier_near_the_end() {
        let by_percent =
            space(|policy| policy.early_refresh = EarlyRefresh::Percent { percent: 80 });
        let shared = Lifetime {
            created_at: at(0),
            fresh_until: at(100_000),
            stale_until: at(100_000),
            load_duration: Milliseconds::new(1_000),
        };
        assert!(!by_percent.is_due_early(&shared, at(79_999)));
        assert!(by_percent.is_due_early(&shared, at(80_000)));

        let xfetch = space(|policy| policy.early_refresh = EarlyRefresh::Xfetch { beta: 1.0 });
        let drawn = |now| {
            (0..10_000)
                .filter(|_| xfetch.is_due_early(&shared, now))
                .count()
        };
        assert_eq!(drawn(at(0)), 0);
        let (early, late) = (drawn(at(98_000)), drawn(at(99_500)));
        assert!(
            (1_000..1_800).contains(&early),
            "e^-2 of 10,000 is 1,353, drawn {early}"
        );
        assert!(
            (5_500..6_700).contains(&late),
            "e^-0.5 of 10,000 is 6,065, drawn {late}"
        );
    }
}
