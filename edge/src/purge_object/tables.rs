//! What the Durable Object keeps, in `SQLite`.

use terrace_shared::purge::Sequence;
use terrace_shared::time::TimestampMillis;
use worker::{Error, Result, SqlStorage, SqlStorageValue};

use crate::purge::authority::LedgerStorage;
use crate::purge::desk::{DeskStorage, LogStorage};

/// The object's tables. Writes between two awaits are one transaction of the platform's.
pub(super) struct Tables(SqlStorage);

impl Tables {
    /// Bytes of a snapshot in one row; `SQLite` in Durable Objects allows 2 MB
    /// (developers.cloudflare.com/durable-objects/platform/limits).
    const PART: usize = 1 << 20;

    pub(super) fn open(sql: SqlStorage) -> Result<Self> {
        sql.exec(
            "CREATE TABLE IF NOT EXISTS ledger (part INTEGER PRIMARY KEY, snapshot BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS records (sequence INTEGER PRIMARY KEY, purge BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS scheduled
                (number INTEGER PRIMARY KEY, due INTEGER NOT NULL, name TEXT NOT NULL, purge BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, name TEXT NOT NULL, line TEXT NOT NULL);",
            None,
        )?;
        Ok(Self(sql))
    }

    fn rows<T>(
        &self,
        query: &str,
        bindings: Vec<SqlStorageValue>,
        read: impl Fn(&mut [SqlStorageValue]) -> Option<T>,
    ) -> Result<Vec<T>> {
        let cursor = self.0.exec(query, bindings)?;
        cursor
            .raw()
            .map(|row| read(&mut row?).ok_or_else(|| Error::from("a row has other columns")))
            .collect()
    }

    fn write(&self, statement: &str, bindings: Vec<SqlStorageValue>) -> Result<()> {
        self.0.exec(statement, bindings).map(|_| ())
    }
}

impl LedgerStorage for Tables {
    type Error = Error;

    fn snapshot(&self) -> Result<Option<Vec<u8>>> {
        let query = "SELECT snapshot FROM ledger ORDER BY part";
        let parts = self.rows(query, Vec::new(), |row| match row {
            [SqlStorageValue::Blob(bytes)] => Some(std::mem::take(bytes)),
            _ => None,
        })?;
        Ok(Some(parts.concat()).filter(|bytes| !bytes.is_empty()))
    }

    fn records(&self, after: Sequence) -> Result<Vec<(Sequence, Vec<u8>)>> {
        let query = "SELECT sequence, purge FROM records WHERE sequence > ? ORDER BY sequence";
        let after = vec![integer(after.as_u64())];
        self.rows(query, after, |row| match row {
            [number, SqlStorageValue::Blob(bytes)] => {
                Some((Sequence::new(natural(number)?), std::mem::take(bytes)))
            }
            _ => None,
        })
    }

    fn insert(&mut self, sequence: Sequence, purge: &[u8]) -> Result<()> {
        self.write(
            "INSERT INTO records (sequence, purge) VALUES (?, ?)",
            vec![integer(sequence.as_u64()), purge.to_vec().into()],
        )
    }

    fn replace(&mut self, snapshot: &[u8], forget: Sequence) -> Result<()> {
        self.write("DELETE FROM ledger", Vec::new())?;
        for (part, bytes) in snapshot.chunks(Self::PART).enumerate() {
            let part = integer(u64::try_from(part).unwrap_or(u64::MAX));
            self.write(
                "INSERT INTO ledger (part, snapshot) VALUES (?, ?)",
                vec![part, bytes.to_vec().into()],
            )?;
        }
        self.write(
            "DELETE FROM records WHERE sequence <= ?",
            vec![integer(forget.as_u64())],
        )
    }
}

impl DeskStorage for Tables {
    fn scheduled(&self) -> Result<Vec<(u64, TimestampMillis)>> {
        let query = "SELECT number, due FROM scheduled";
        self.rows(query, Vec::new(), |row| match row {
            [number, due] => Some((
                natural(number)?,
                TimestampMillis::from_unix_millis(natural(due)?),
            )),
            _ => None,
        })
    }

    fn schedule(
        &mut self,
        number: u64,
        due: TimestampMillis,
        by: &str,
        purge: &[u8],
    ) -> Result<()> {
        let due = integer(due.as_unix_millis());
        self.write(
            "INSERT INTO scheduled (number, due, name, purge) VALUES (?, ?, ?, ?)",
            vec![integer(number), due, by.into(), purge.to_vec().into()],
        )
    }

    fn scheduled_purge(&self, number: u64) -> Result<Option<(String, Vec<u8>)>> {
        let query = "SELECT name, purge FROM scheduled WHERE number = ?";
        let rows = self.rows(query, vec![integer(number)], |row| match row {
            [SqlStorageValue::String(by), SqlStorageValue::Blob(bytes)] => {
                Some((std::mem::take(by), std::mem::take(bytes)))
            }
            _ => None,
        })?;
        Ok(rows.into_iter().next())
    }

    fn forget_scheduled(&mut self, number: u64) -> Result<()> {
        let statement = "DELETE FROM scheduled WHERE number = ?";
        self.write(statement, vec![integer(number)])
    }
}

impl LogStorage for Tables {
    type Error = Error;

    fn last_line(&self) -> Result<u64> {
        let query = "SELECT number FROM log ORDER BY number DESC LIMIT 1";
        let rows = self.rows(query, Vec::new(), |row| match row {
            [number] => natural(number),
            _ => None,
        })?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    fn keep_line(&mut self, number: u64, by: &str, line: &str) -> Result<()> {
        self.write(
            "INSERT INTO log (number, name, line) VALUES (?, ?, ?)",
            vec![integer(number), by.into(), line.into()],
        )
    }

    fn lines(&self, before: u64, by: Option<&str>, limit: usize) -> Result<Vec<(u64, String)>> {
        let all = "SELECT number, line FROM log WHERE number < ? ORDER BY number DESC LIMIT ?";
        let own = "SELECT number, line FROM log WHERE number < ? AND name = ? ORDER BY number DESC LIMIT ?";
        let limit = integer(u64::try_from(limit).unwrap_or(u64::MAX));
        let (query, bindings) = match by {
            None => (all, vec![integer(before), limit]),
            Some(by) => (own, vec![integer(before), by.into(), limit]),
        };
        self.rows(query, bindings, |row| match row {
            [number, SqlStorageValue::String(line)] => {
                Some((natural(number)?, std::mem::take(line)))
            }
            _ => None,
        })
    }

    fn forget_lines(&mut self, up_to: u64) -> Result<()> {
        self.write("DELETE FROM log WHERE number <= ?", vec![integer(up_to)])
    }
}

/// A number as `SQLite` takes it from JavaScript, which counts exactly up to 2^53.
fn integer(number: u64) -> SqlStorageValue {
    const MOST: u64 = (1 << 53) - 1;
    SqlStorageValue::Integer(i64::try_from(number.min(MOST)).unwrap_or(i64::MAX))
}

/// The same back; none if it is no number, or below zero.
fn natural(value: &SqlStorageValue) -> Option<u64> {
    match value {
        SqlStorageValue::Integer(number) => u64::try_from(*number).ok(),
        SqlStorageValue::Null
        | SqlStorageValue::Boolean(_)
        | SqlStorageValue::Float(_)
        | SqlStorageValue::String(_)
        | SqlStorageValue::Blob(_) => None,
    }
}
