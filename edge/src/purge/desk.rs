//! Where the authority takes orders: rate-limited, logged, and carried out a second time if that is wanted.
//!
//! Pure but for its [`DeskStorage`], like the [`Authority`] behind it. What one call here writes is one
//! transaction of the platform's.

use terrace_shared::purge::audit::{LogEntry, LogOutcome, LogQuery};
use terrace_shared::purge::{Epoch, LedgerLimits, Purge, PurgeMode, Scope};
use terrace_shared::time::{Milliseconds, TimestampMillis};

use super::audit::Log;
pub use super::audit::LogStorage;
use super::authority::{Authority, LedgerStorage};
use super::limit::{Buckets, RateLimit, TooMany};
use super::order::{Answer, Order, Refusal, Taken};

/// Where a desk keeps what it must not forget. Every call is done before it returns, or has failed.
pub trait DeskStorage: LedgerStorage + LogStorage<Error = <Self as LedgerStorage>::Error> {
    /// The purges that wait for their second time, the next one last: when that is, and their numbers.
    ///
    /// # Errors
    /// When the storage fails.
    fn scheduled(&self) -> Outcome<Vec<(TimestampMillis, u64)>, Self>;

    /// Keeps a purge for its second time, under a number that none has yet.
    ///
    /// # Errors
    /// When the storage fails.
    fn schedule(
        &mut self,
        number: u64,
        due: TimestampMillis,
        by: &str,
        purge: &[u8],
    ) -> Outcome<(), Self>;

    /// Whose purge waits under a number, and its bytes.
    ///
    /// # Errors
    /// When the storage fails.
    fn scheduled_purge(&self, number: u64) -> Outcome<Option<(String, Vec<u8>)>, Self>;

    /// Forgets the purge under a number.
    ///
    /// # Errors
    /// When the storage fails.
    fn forget_scheduled(&mut self, number: u64) -> Outcome<(), Self>;
}

type Outcome<T, S> = Result<T, <S as LedgerStorage>::Error>;

/// The one place that takes an edge's purges.
pub struct Desk<S> {
    authority: Authority<S>,
    buckets: Buckets,
    log: Log,
    /// The purges that wait for their second time, the next one last.
    waiting: Vec<(TimestampMillis, u64)>,
}

impl<S: DeskStorage> Desk<S> {
    /// Furthest ahead that a second purge may be: a day.
    pub const FURTHEST: Milliseconds = Milliseconds::new(86_400_000);

    /// Most purges that wait for their second time.
    pub const MOST_WAITING: usize = 4_096;

    /// Most second purges in one transaction.
    const MOST_AT_ONCE: usize = 256;

    /// The desk over what `storage` holds; see [`Authority::open`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn open(
        storage: S,
        limits: LedgerLimits,
        rate: RateLimit,
        random: impl FnOnce() -> u64,
    ) -> Outcome<Self, S> {
        let log = Log::open(&storage)?;
        let waiting = storage.scheduled()?;
        Ok(Self {
            authority: Authority::open(storage, limits, random)?,
            buckets: Buckets::new(rate),
            log,
            waiting,
        })
    }

    /// Carries out these orders, one after the other.
    ///
    /// # Errors
    /// When the storage fails; some of them may have been carried out then, so all must be asked for again.
    pub fn take(&mut self, orders: Vec<Order>, now: TimestampMillis) -> Outcome<Vec<Answer>, S> {
        orders
            .into_iter()
            .map(|order| self.take_one(order, now))
            .collect()
    }

    /// Notes calls that were refused before they came here.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn refused(&mut self, refusal: &Refusal, now: TimestampMillis) -> Outcome<(), S> {
        let Refusal { by, reason, times } = refusal;
        let Some(by) = by.as_deref() else {
            let storage = self.authority.storage_mut();
            return self.log.unknown(storage, reason, *times, now);
        };
        match self.admit(by, now)? {
            Ok(()) => self.write(&LogEntry::refused(Some(by), reason, *times, now)),
            Err(_) => Ok(()),
        }
    }

    /// Purges for the second time what is due; some of it, if that is much.
    ///
    /// What fails after it was purged is purged once more: that costs hits and nothing else.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn run_due(&mut self, now: TimestampMillis) -> Outcome<(), S> {
        for _ in 0..Self::MOST_AT_ONCE {
            let Some(&(_, number)) = self.waiting.last().filter(|(due, _)| *due <= now) else {
                break;
            };
            if let Some((by, bytes)) = self.authority.storage_mut().scheduled_purge(number)? {
                let purge = Purge::decode(&bytes).unwrap_or_else(|_| everything());
                // Without its place in the origin's ledger, which may have begun anew since (R9).
                let purge = Purge {
                    at: now,
                    origin_epoch: None,
                    ..purge
                };
                let epoch = self.authority.append(purge.clone(), now.timestamp())?;
                self.write(&LogEntry {
                    outcome: LogOutcome::PurgedAgain,
                    ..LogEntry::purged(Some(&by), &purge, epoch, now)
                })?;
                self.authority.storage_mut().forget_scheduled(number)?;
            }
            self.waiting.pop();
        }
        Ok(())
    }

    /// When [`Self::run_due`] has something to do next.
    pub fn next_due(&self) -> Option<TimestampMillis> {
        self.waiting.last().map(|(due, _)| *due)
    }

    /// What brings a replica up to here, as bytes; see [`Authority::answer`].
    ///
    /// # Errors
    /// When the storage fails.
    pub fn answer(
        &mut self,
        since: Option<Epoch>,
        random: impl FnOnce() -> u64,
    ) -> Outcome<Vec<u8>, S> {
        self.authority.answer(since, random)
    }

    /// The part of the log that is asked for, a `LogPage` as JSON; with `by` only what that token did.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn log_page(&mut self, query: LogQuery, by: Option<&str>) -> Outcome<String, S> {
        Log::page(self.authority.storage_mut(), query, by)
    }

    fn take_one(&mut self, order: Order, now: TimestampMillis) -> Outcome<Answer, S> {
        let Order { by, purge, after } = order;
        let Some(by) = by else {
            let epoch = self.authority.append(purge, now.timestamp())?;
            let again_at = None;
            return Ok(Answer::Taken(Taken { epoch, again_at }));
        };
        if let Err(TooMany { retry_after, .. }) = self.admit(&by, now)? {
            return Ok(Answer::TooMany { retry_after });
        }
        let refusal = match after {
            Some(after) if after > Self::FURTHEST => Some((
                "the second purge is further ahead than a day",
                Answer::TooFarAhead {
                    most: Self::FURTHEST,
                },
            )),
            Some(_) if self.waiting.len() >= Self::MOST_WAITING => Some((
                "too many purges wait for their second time",
                Answer::TooManyScheduled {
                    pending: self.waiting.len(),
                },
            )),
            Some(_) | None => None,
        };
        if let Some((reason, answer)) = refusal {
            self.write(&LogEntry::refused(Some(&by), reason, 1, now))?;
            return Ok(answer);
        }
        let again_at = after.map(|after| now.saturating_add(after));
        if let Some(due) = again_at {
            self.schedule(&by, &purge, due)?;
        }
        let epoch = self.authority.append(purge.clone(), now.timestamp())?;
        self.write(&LogEntry {
            again_at_ms: again_at,
            ..LogEntry::purged(Some(&by), &purge, epoch, now)
        })?;
        Ok(Answer::Taken(Taken { epoch, again_at }))
    }

    /// Takes one call of `by`'s, and writes down earlier ones too many that have no line yet.
    fn admit(&mut self, by: &str, now: TimestampMillis) -> Outcome<Result<(), TooMany>, S> {
        let (admitted, to_log) = match self.buckets.take(by, now) {
            Ok(to_log) => (Ok(()), to_log),
            Err(too_many) => (Err(too_many), too_many.to_log),
        };
        if to_log > 0 {
            self.write(&LogEntry::refused(Some(by), "too many calls", to_log, now))?;
        }
        Ok(admitted)
    }

    fn schedule(&mut self, by: &str, purge: &Purge, due: TimestampMillis) -> Outcome<(), S> {
        let numbers = self.waiting.iter().map(|(_, number)| *number);
        let number = numbers.max().unwrap_or_default() + 1;
        let storage = self.authority.storage_mut();
        storage.schedule(number, due, by, &purge.encode())?;
        let place = self.waiting.partition_point(|(other, _)| *other > due);
        self.waiting.insert(place, (due, number));
        Ok(())
    }

    fn write(&mut self, entry: &LogEntry) -> Outcome<(), S> {
        self.log.write(self.authority.storage_mut(), entry)
    }
}

/// What a scheduled purge that cannot be read any more is taken for.
fn everything() -> Purge {
    Purge {
        mode: PurgeMode::Hard,
        scopes: vec![Scope::All],
        at: TimestampMillis::from_unix_millis(0),
        origin_epoch: None,
    }
}

#[cfg(test)]
mod tests;
