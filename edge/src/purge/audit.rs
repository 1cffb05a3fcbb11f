//! The purge log in the authority's storage: bounded, and not to be flooded by who has no token.

use terrace_shared::purge::audit::{LogEntry, LogPage, LogQuery};
use terrace_shared::time::{Milliseconds, TimestampMillis};

/// Where the purge log is kept. Every call is done before it returns, or has failed.
pub trait LogStorage {
    /// What can go wrong in it.
    type Error;

    /// The number of the newest line; zero if there is none.
    ///
    /// # Errors
    /// When the storage fails.
    fn last_line(&self) -> Result<u64, Self::Error>;

    /// Keeps a line under a number that none has yet.
    ///
    /// # Errors
    /// When the storage fails.
    fn keep_line(&mut self, number: u64, by: &str, line: &str) -> Result<(), Self::Error>;

    /// The newest `limit` lines with numbers below `before`, newest first; with `by` only those of that name.
    ///
    /// # Errors
    /// When the storage fails.
    fn lines(
        &self,
        before: u64,
        by: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(u64, String)>, Self::Error>;

    /// Forgets the lines up to this number.
    ///
    /// # Errors
    /// When the storage fails.
    fn forget_lines(&mut self, up_to: u64) -> Result<(), Self::Error>;
}

/// Writes the log.
#[derive(Debug)]
pub(super) struct Log {
    last: u64,
    /// Calls without a known token that have no line yet, and when the last ones got theirs.
    unknown: u64,
    unknown_logged_at: Option<TimestampMillis>,
}

impl Log {
    /// Lines that are kept; older ones are forgotten.
    pub(super) const KEPT: u64 = 10_000;
    /// Lines beyond [`Self::KEPT`] after which they are: not each line costs a deletion.
    pub(super) const SLACK: u64 = 500;
    /// How often calls without a known token get a line, however many there are.
    const UNKNOWN_EVERY: Milliseconds = Milliseconds::new(60_000);

    pub(super) fn open<S: LogStorage>(storage: &S) -> Result<Self, S::Error> {
        Ok(Self {
            last: storage.last_line()?,
            unknown: 0,
            unknown_logged_at: None,
        })
    }

    pub(super) fn write<S: LogStorage>(
        &mut self,
        storage: &mut S,
        entry: &LogEntry,
    ) -> Result<(), S::Error> {
        let number = self.last + 1;
        let by = entry.by.as_deref().unwrap_or_default();
        storage.keep_line(number, by, &entry.to_stored())?;
        self.last = number;
        if number.is_multiple_of(Self::SLACK) {
            storage.forget_lines(number.saturating_sub(Self::KEPT))?;
        }
        Ok(())
    }

    /// Counts `times` calls that came without a known token, and writes of them now and then.
    pub(super) fn unknown<S: LogStorage>(
        &mut self,
        storage: &mut S,
        reason: &str,
        times: u64,
        now: TimestampMillis,
    ) -> Result<(), S::Error> {
        self.unknown = self.unknown.saturating_add(times);
        let is_due = |at| now.saturating_since(at) >= Self::UNKNOWN_EVERY;
        if self.unknown_logged_at.is_none_or(is_due) {
            let entry = LogEntry::refused(None, reason, self.unknown, now);
            self.write(storage, &entry)?;
            self.unknown = 0;
            self.unknown_logged_at = Some(now);
        }
        Ok(())
    }

    /// What `query` asks for, as JSON; with `by` only of that token.
    pub(super) fn page<S: LogStorage>(
        storage: &S,
        query: LogQuery,
        by: Option<&str>,
    ) -> Result<String, S::Error> {
        let lines = storage.lines(query.before.unwrap_or(u64::MAX), by, query.limit)?;
        Ok(LogPage::json_of_stored(&lines, query))
    }
}
