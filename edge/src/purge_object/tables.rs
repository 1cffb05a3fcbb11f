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

    fn rows(
        &self,
        query: &str,
        bindings: Vec<SqlStorageValue>,
    ) -> Result<Vec<Vec<SqlStorageValue>>> {
        self.0.exec(query, bindings)?.raw().collect()
    }

    fn write(&self, statement: &str, bindings: Vec<SqlStorageValue>) -> Result<()> {
        self.0.exec(statement, bindings).map(|_| ())
    }
}

impl LedgerStorage for Tables {
    type Error = Error;

    fn snapshot(&self) -> Result<Option<Vec<u8>>> {
        let mut whole = Vec::new();
        for row in self.rows("SELECT snapshot FROM ledger ORDER BY part", Vec::new())? {
            let [SqlStorageValue::Blob(bytes)] = row.as_slice() else {
                return Err(other_columns());
            };
            whole.extend_from_slice(bytes);
        }
        Ok(Some(whole).filter(|bytes| !bytes.is_empty()))
    }

    fn records(&self, after: Sequence) -> Result<Vec<(Sequence, Vec<u8>)>> {
        let query = "SELECT sequence, purge FROM records WHERE sequence > ? ORDER BY sequence";
        let mut records = Vec::new();
        for mut row in self.rows(query, vec![integer(after.as_u64())])? {
            let [number, SqlStorageValue::Blob(bytes)] = row.as_mut_slice() else {
                return Err(other_columns());
            };
            records.push((Sequence::new(natural(number)?), std::mem::take(bytes)));
        }
        Ok(records)
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
    fn scheduled(&self) -> Result<Vec<(TimestampMillis, u64)>> {
        let query = "SELECT due, number FROM scheduled ORDER BY due DESC";
        let mut scheduled = Vec::new();
        for row in self.rows(query, Vec::new())? {
            let [due, number] = row.as_slice() else {
                return Err(other_columns());
            };
            let due = TimestampMillis::from_unix_millis(natural(due)?);
            scheduled.push((due, natural(number)?));
        }
        Ok(scheduled)
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
        let Some(mut row) = self.rows(query, vec![integer(number)])?.pop() else {
            return Ok(None);
        };
        match row.as_mut_slice() {
            [SqlStorageValue::String(by), SqlStorageValue::Blob(bytes)] => {
                Ok(Some((std::mem::take(by), std::mem::take(bytes))))
            }
            _ => Err(other_columns()),
        }
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
        match self.rows(query, Vec::new())?.pop().as_deref() {
            None => Ok(0),
            Some([number]) => natural(number),
            Some(_) => Err(other_columns()),
        }
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
        let mut lines = Vec::new();
        for mut row in self.rows(query, bindings)? {
            let [number, SqlStorageValue::String(line)] = row.as_mut_slice() else {
                return Err(other_columns());
            };
            lines.push((natural(number)?, std::mem::take(line)));
        }
        Ok(lines)
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

/// The same back.
fn natural(value: &SqlStorageValue) -> Result<u64> {
    match value {
        SqlStorageValue::Integer(number) => {
            u64::try_from(*number).map_err(|_| Error::from("a number is below zero"))
        }
        SqlStorageValue::Null
        | SqlStorageValue::Boolean(_)
        | SqlStorageValue::Float(_)
        | SqlStorageValue::String(_)
        | SqlStorageValue::Blob(_) => Err(other_columns()),
    }
}

fn other_columns() -> Error {
    Error::from("a row has other columns than were asked for")
}
