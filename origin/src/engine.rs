//! The life of a read, without the types of values: memory, a flight, Redis, and what may be served.

use std::sync::Arc;

use http::HeaderMap;
use terrace_shared::key::KeyParts;
use terrace_shared::policy::OnLedgerLag;
use terrace_shared::purge::token::{After, Presented, Reach, TokenSecrets};
use terrace_shared::purge::{EntryScopes, Epoch, Lag, Verdict};
use terrace_shared::sabotage::{self, Rule};
use terrace_shared::stored::{Codec as ValueCodec, Compression, Content, Envelope};
use terrace_shared::time::{Milliseconds, TimestampMillis};
use tokio::sync::Semaphore;

use crate::answer::{LedgerLag, Source, StaleReason};
use crate::ask::{Ask, Boarding, Found, Held, Served, Trust};
use crate::clock::Clock;
use crate::entry::{Condition, Entry, Lifetime};
use crate::filling::NO_VIEW;
use crate::flight::{Flights, Lead, Role};
use crate::ledger::{Began, Judged, PurgeLedger, View};
use crate::metrics::CacheCounters;
use crate::purge::cascade::Cascade;
use crate::space::{Space, Spaces};
use crate::tier::SharedTier;
use crate::tier::memory::MemoryTier;

/// What all namespaces of a cache share.
pub(crate) struct Engine {
    pub(crate) clock: Clock,
    pub(crate) memory: MemoryTier,
    pub(crate) shared: Option<Arc<dyn SharedTier>>,
    pub(crate) ledger: Arc<dyn PurgeLedger>,
    pub(crate) flights: Arc<Flights<Began, Landing>>,
    pub(crate) counters: CacheCounters,
    /// Oldest view of the ledger that a reader may act on.
    pub(crate) bound: Milliseconds,
    /// Room for writes to the shared tier that nobody waits for.
    pub(crate) writes: Arc<Semaphore>,
    /// What signs the tokens of receipts; without it there are none, and none is believed.
    pub(crate) token_secrets: Option<TokenSecrets>,
    pub(crate) cascade: Cascade,
    pub(crate) spaces: Spaces,
    #[cfg(feature = "tower")]
    pub(crate) http: Arc<crate::http::HttpCounters>,
}

/// What a flight lands with.
#[derive(Clone, Debug)]
pub(crate) struct Landing {
    pub(crate) entry: Arc<Entry>,
    pub(crate) names: Names,
}

/// Whether an entry's scopes say all that its fill wanted them to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Names {
    /// They do.
    All,
    /// Some surrogate keys were refused (R12): no purge of those can be seen on it.
    Some,
}

impl Engine {
    /// Most writes to the shared tier that are under way at once; more are left out.
    pub(crate) const MOST_WRITES: usize = 1_024;

    /// Most flights that a request follows before it asks the source itself.
    const MOST_FOLLOWED: usize = 3;

    pub(crate) fn view(&self) -> &View {
        self.ledger.view()
    }

    /// What the fields of a request present, counted.
    pub(crate) fn presented(&self, fields: &HeaderMap) -> Presented {
        let presented = Presented::of(fields, self.token_secrets.as_ref());
        if !presented.after.is_empty() {
            self.counters.tokens_heeded_total.add_one();
        }
        if presented.ignored > 0 {
            self.counters.tokens_ignored_total.add_one();
        }
        presented
    }

    /// Brings the view up to the purges that `after` names, if it lacks one (R10).
    pub(crate) async fn catch_up(&self, after: &After) {
        if self.view().reach(&after.origin) == Reach::Behind {
            self.ledger.catch_up(&after.origin).await;
        }
    }

    /// The ledger's verdict on an entry, for a reader who is answered by nothing older than `after`.
    pub(crate) fn judge(&self, entry: &impl Judged, after: Option<&After>) -> Verdict {
        // First: a verdict from before the view got there would not know of the purge.
        let reach = after.map(|after| self.view().reach(&after.origin));
        let verdict = self.view().judge(entry);
        reach.map_or(verdict, |reach| reach.judge(verdict))
    }

    /// Up to which purges an entry is known to hold; none if it was filled while there was no view.
    pub(crate) fn epoch_of(&self, entry: &Entry) -> Option<Epoch> {
        // Judged untouched, it is lifted to where the view stands; otherwise it stays where it was untouched last.
        let _ = self.view().judge(entry);
        let filled_at = entry.standing().fence().filled_at;
        (filled_at != NO_VIEW.filled_at).then_some(filled_at)
    }

    /// Whether stored entries may be used, by the view's age and the policy, and by what a reader's tokens name.
    ///
    /// # Errors
    /// When the view is too old and the policy says to fail then.
    pub(crate) fn trust(
        &self,
        space: &Space,
        after: Option<&After>,
    ) -> Result<(Trust, Option<LedgerLag>), LedgerLag> {
        let (trust, lag) = self.trust_by_age(space)?;
        let reach = after.map(|after| self.view().reach(&after.origin));
        match reach {
            Some(Reach::Behind) => Ok((Trust::SourceOnly, lag)),
            Some(Reach::Reached) | None => Ok((trust, lag)),
        }
    }

    fn trust_by_age(&self, space: &Space) -> Result<(Trust, Option<LedgerLag>), LedgerLag> {
        let lag = match self.view().lag(&self.clock, self.bound) {
            Lag::Within => return Ok((Trust::Stored, None)),
            Lag::Beyond(age) => LedgerLag::Beyond(age),
            Lag::Unknown => LedgerLag::Unknown,
        };
        space.counters.ledger_lagged_reads_total.add_one();
        match space.policy.on_ledger_lag {
            OnLedgerLag::Revalidate => Ok((Trust::SourceOnly, Some(lag))),
            OnLedgerLag::ServeStale => Ok((Trust::Stored, Some(lag))),
            OnLedgerLag::Fail => Err(lag),
        }
    }

    /// What `read` makes of what memory has for the key that `parts` make, if that is fresh and asked for often.
    pub(crate) fn look_in_hot<R>(
        &self,
        space: &Arc<Space>,
        parts: &KeyParts,
        after: Option<&After>,
        read: impl FnOnce(&Arc<Entry>) -> Option<R>,
    ) -> Option<R> {
        let now = self.clock.latest_now();
        self.memory.find_hot(space, parts, now, |entry| {
            match entry.condition(self.judge(entry, after), now) {
                Condition::Fresh if !space.is_due_early(&entry.lifetime, now) => read(entry),
                Condition::Fresh | Condition::Stale | Condition::Gone => None,
            }
        })
    }

    /// What memory has for `key`.
    pub(crate) fn look_in_memory(&self, space: &Space, key: &str, after: Option<&After>) -> Found {
        let Some(entry) = self.memory.get(key) else {
            return Found::Nothing;
        };
        let now = self.clock.now();
        match entry.condition(self.judge(&entry, after), now) {
            Condition::Fresh if !space.is_due_early(&entry.lifetime, now) => Found::Fresh(entry),
            Condition::Fresh | Condition::Stale => Found::Wanting(entry),
            Condition::Gone => {
                // What is of no use to this reader may be to others.
                if entry.condition(self.view().judge(&entry), now) == Condition::Gone {
                    self.memory.free(key);
                }
                Found::Nothing
            }
        }
    }

    /// Joins the flight for the key, or leads one; the leader looks into the shared tier for all of them.
    pub(crate) async fn board(&self, ask: &mut Ask) -> Boarding {
        for _ in 0..Self::MOST_FOLLOWED {
            let began = self.view().begin(&self.clock);
            let joinable = |other: &Began| self.is_joinable(other, ask);
            match self.flights.join(&ask.key, began, joinable) {
                Role::Lead(lead) => return self.take_off(ask, lead).await,
                Role::Follow(follow) => {
                    if let Some(served) = self.serve_held(ask, StaleReason::Grace) {
                        return Boarding::Served(served);
                    }
                    let landing = match ask.wait(follow.landed()).await {
                        Ok(Some(landing)) => landing,
                        Ok(None) => continue, // the leader gave up
                        Err(limit) => return Boarding::TimedOut(limit),
                    };
                    if (ask.accepts)(&landing.entry.value) && self.is_current(&landing) {
                        ask.space.counters.coalesced_total.add_one();
                        return Boarding::Served(Served {
                            entry: landing.entry,
                            source: Source::Coalesced,
                            stale: None,
                        });
                    }
                }
            }
        }
        Boarding::Alone
    }

    /// What is held, if it may be served for this reason; judged again, because a purge may have come (R3).
    pub(crate) fn serve_held(&self, ask: &Ask, reason: StaleReason) -> Option<Served> {
        let held = ask.held.as_ref()?;
        let now = self.clock.now();
        let lifetime = &held.entry.lifetime;
        let verdict = self.judge(&held.entry, ask.after.as_deref());
        let stale = match held.entry.condition(verdict, now) {
            Condition::Fresh => None,
            Condition::Stale => match reason {
                StaleReason::Grace if !ask.space.is_in_grace(lifetime, now) => return None,
                StaleReason::Grace | StaleReason::SourceSlow | StaleReason::SourceFailed => {
                    Some(reason)
                }
            },
            Condition::Gone => return None,
        };
        Some(Served {
            entry: held.entry.clone(),
            source: held.source,
            stale,
        })
    }

    /// Whether what is held is fresh: its fill is an early one.
    pub(crate) fn holds_fresh(&self, ask: &Ask) -> bool {
        ask.held.as_ref().is_some_and(|held| {
            let verdict = self.view().judge(&held.entry);
            held.entry.condition(verdict, self.clock.now()) == Condition::Fresh
        })
    }

    /// The leader's look into both tiers: into memory again, because another flight may have landed since
    /// this request found nothing there.
    async fn take_off(&self, ask: &mut Ask, lead: Lead<Began, Landing>) -> Boarding {
        let mut found = match ask.trust {
            Trust::Stored => self.look_in_memory(&ask.space, &ask.key, ask.after.as_deref()),
            Trust::SourceOnly => Found::Nothing,
        };
        let mut source = Source::Memory;
        if !matches!(found, Found::Fresh(_)) {
            found = self.look_in_shared(ask).await;
            source = Source::Redis;
        }
        match found {
            Found::Fresh(entry) if (ask.accepts)(&entry.value) => {
                lead.land(Landing {
                    entry: entry.clone(),
                    names: Names::All,
                });
                Boarding::Served(Served {
                    entry,
                    source,
                    stale: None,
                })
            }
            Found::Wanting(entry) if (ask.accepts)(&entry.value) => {
                ask.held = Some(Held { entry, source });
                Boarding::Lead(lead)
            }
            Found::Fresh(_) | Found::Wanting(_) | Found::Nothing => Boarding::Lead(lead),
        }
    }

    /// What the shared tier has for the key; what is fresh is promoted.
    async fn look_in_shared(&self, ask: &Ask) -> Found {
        let space = &*ask.space;
        let used = space
            .policy
            .lifetimes
            .redis
            .is_some_and(|lifetime| !lifetime.is_zero());
        let (Some(shared), true, Trust::Stored) = (&self.shared, used, ask.trust) else {
            return Found::Nothing;
        };
        let Ok(bytes) = shared.get(&ask.key).await else {
            space.counters.redis_errors_total.add_one();
            return Found::Nothing;
        };
        let Some((entry, payload_bytes)) = bytes.and_then(|bytes| self.decode(ask, &bytes)) else {
            space.counters.redis_misses_total.add_one();
            return Found::Nothing;
        };
        let now = self.clock.now();
        match entry.condition(self.judge(&entry, ask.after.as_deref()), now) {
            Condition::Fresh if !space.is_due_early(&entry.lifetime, now) => {
                space.counters.redis_hits_total.add_one();
                Found::Fresh(self.promote(space, &ask.key, entry, payload_bytes, now))
            }
            Condition::Fresh | Condition::Stale => Found::Wanting(Arc::new(entry)),
            Condition::Gone => {
                space.counters.redis_misses_total.add_one();
                Found::Nothing
            }
        }
    }

    fn promote(
        &self,
        space: &Space,
        key: &Arc<str>,
        entry: Entry,
        payload_bytes: usize,
        now: TimestampMillis,
    ) -> Arc<Entry> {
        let Some(lifetime) = space.promoted(&entry.lifetime, now) else {
            return Arc::new(entry);
        };
        let (fence, scopes) = (entry.standing().filled_under(), entry.scopes().clone());
        let copy = Arc::new(Entry::new(
            entry.value,
            lifetime,
            fence,
            scopes,
            payload_bytes,
        ));
        self.memory.put(key.clone(), copy.clone());
        copy
    }

    /// The entry in a shared tier's bytes; whatever is wrong with them, it is a miss and counted.
    fn decode(&self, ask: &Ask, bytes: &[u8]) -> Option<(Entry, usize)> {
        let corrupt = || {
            ask.space.counters.corrupt_entries_total.add_one();
            None
        };
        let Ok((envelope, payload)) = Envelope::decode(bytes) else {
            return corrupt();
        };
        let readable = match (envelope.codec, envelope.compression) {
            (ValueCodec::Json, Compression::None) => true,
            (ValueCodec::Json, Compression::Zstd) => false,
        };
        if !readable || envelope.scopes.name() != &*ask.key {
            return corrupt();
        }
        let value = match envelope.content {
            Content::Negative => None,
            Content::Value => match ask.space.codec.decode(payload) {
                Some(value) => Some(value),
                None => return corrupt(),
            },
        };
        let filled_at = envelope.fence.filled_at;
        let here = self.view().epoch()?;
        if filled_at.incarnation == here.incarnation && filled_at.sequence > here.sequence {
            // Either this view is behind, or the ledger has lost its tail: find out before it is believed.
            self.ledger.met_later(filled_at);
            return None;
        }
        let lifetime = Lifetime {
            created_at: envelope.created_at,
            fresh_until: envelope.fresh_until,
            stale_until: envelope.stale_until,
            load_duration: envelope.load_duration,
        };
        let entry = Entry::new(
            value,
            lifetime,
            envelope.fence,
            envelope.scopes,
            payload.len(),
        );
        Some((entry, payload.len()))
    }

    /// Whether a request may join a flight that began so (R5).
    fn is_joinable(&self, began: &Began, ask: &Ask) -> bool {
        // A flight that began before the bound may miss a purge that every reader must see by now.
        let age = self.clock.moment().saturating_since(began.at);
        if ask.trust == Trust::SourceOnly && age > self.bound {
            return false;
        }
        if let Some(after) = &ask.after
            && self.view().reach_of(began, &after.origin) == Reach::Behind
        {
            return false; // it began before a purge that the caller's tokens name
        }
        if began.generation == self.view().generation() || sabotage::breaks(Rule::JoinAfterPurge) {
            return true;
        }
        let Some(fence) = began.fence() else {
            return false; // there was no view then, and there is one now
        };
        let scopes = EntryScopes::of_key(&ask.space.policy.name, &ask.key, []);
        self.view().verdict(&fence, &scopes) == Verdict::Untouched
    }

    /// Whether a follower may take what has landed: judged again, now that all its surrogate keys are known (R5).
    fn is_current(&self, landing: &Landing) -> bool {
        match landing.names {
            _ if sabotage::breaks(Rule::JoinAfterPurge) => true,
            Names::All => self.view().judge(&landing.entry) == Verdict::Untouched,
            Names::Some => landing.entry.standing().judged_in() == self.view().generation(),
        }
    }
}
