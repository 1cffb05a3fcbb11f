//! The Durable Object that is the ledger's authority: decode, ask [`Authority`], persist, encode.
//!
//! Only this worker talks to it: `POST /append` with a purge's bytes answers with its epoch,
//! `GET /updates?since=EPOCH` with the bytes of an update.

use std::cell::RefCell;

use terrace_shared::purge::{Epoch, Purge, Sequence};
use worker::{
    DurableObject, Env, Error, Method, Request, Response, Result, SqlStorage, SqlStorageValue,
    State, durable_object, wasm_bindgen,
};

use crate::clock;
use crate::convert::random_bits;
use crate::env::built_in_routes;
use crate::purge::authority::{Authority, LedgerStorage};

/// The purge ledger of one edge, in `SQLite`.
#[durable_object(fetch)]
pub struct PurgeObject {
    state: State,
    /// Replayed from storage at the first request after a wake.
    authority: RefCell<Option<Authority<Tables>>>,
}

impl DurableObject for PurgeObject {
    fn new(state: State, _env: Env) -> Self {
        Self {
            state,
            authority: RefCell::new(None),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        match (request.method(), request.path().as_str()) {
            (Method::Post, "/append") => {
                let purge = Purge::decode(&request.bytes().await?)
                    .map_err(|error| Error::RustError(error.to_string()))?;
                let now = clock::now().timestamp();
                let epoch = self.with_authority(|authority| authority.append(purge, now))?;
                self.state.storage().sync().await?;
                Response::ok(epoch.to_string())
            }
            (Method::Get, "/updates") => {
                let url = request.inner().url();
                let since = url.split_once("?since=").map(|(_, text)| text);
                let since = since.and_then(|text| text.parse::<Epoch>().ok());
                let update =
                    self.with_authority(|authority| authority.updates(since, random_bits))?;
                Response::from_bytes(update.encode())
            }
            _ => Response::error("no such call", 404),
        }
    }
}

impl PurgeObject {
    fn with_authority<T>(
        &self,
        call: impl FnOnce(&mut Authority<Tables>) -> Result<T>,
    ) -> Result<T> {
        let mut slot = self.authority.borrow_mut();
        let authority = match &mut *slot {
            Some(authority) => authority,
            empty @ None => {
                let tables = Tables::open(self.state.storage().sql())?;
                let routes = built_in_routes().map_err(|error| Error::from(error.to_string()))?;
                let limits = routes.policy().ledger_limits();
                empty.insert(Authority::open(tables, limits, random_bits)?)
            }
        };
        let outcome = call(authority);
        if outcome.is_err() {
            *slot = None; // what the storage holds now is read anew
        }
        outcome
    }
}

/// The object's tables. Writes between two awaits are one transaction of the platform's.
struct Tables(SqlStorage);

impl Tables {
    /// Bytes of a snapshot in one row; `SQLite` in Durable Objects allows 2 MB
    /// (developers.cloudflare.com/durable-objects/platform/limits).
    const PART: usize = 1 << 20;

    fn open(sql: SqlStorage) -> Result<Self> {
        sql.exec(
            "CREATE TABLE IF NOT EXISTS ledger (part INTEGER PRIMARY KEY, snapshot BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS records (sequence INTEGER PRIMARY KEY, purge BLOB NOT NULL);",
            None,
        )?;
        Ok(Self(sql))
    }

    fn rows(&self, query: &str, bindings: Vec<SqlStorageValue>) -> Result<Vec<(i64, Vec<u8>)>> {
        let cursor = self.0.exec(query, bindings)?;
        cursor
            .raw()
            .map(|row| match row?.as_mut_slice() {
                [
                    SqlStorageValue::Integer(number),
                    SqlStorageValue::Blob(bytes),
                ] => Ok((*number, std::mem::take(bytes))),
                _ => Err(Error::from("a row is not a number and a blob")),
            })
            .collect()
    }
}

impl LedgerStorage for Tables {
    type Error = Error;

    fn snapshot(&self) -> Result<Option<Vec<u8>>> {
        let parts = self.rows(
            "SELECT part, snapshot FROM ledger ORDER BY part",
            Vec::new(),
        )?;
        let whole: Vec<u8> = parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
        Ok(Some(whole).filter(|bytes| !bytes.is_empty()))
    }

    fn records(&self, after: Sequence) -> Result<Vec<(Sequence, Vec<u8>)>> {
        let rows = self.rows(
            "SELECT sequence, purge FROM records WHERE sequence > ? ORDER BY sequence",
            vec![integer(after)],
        )?;
        let place = |number| Sequence::new(u64::try_from(number).unwrap_or_default());
        Ok(rows
            .into_iter()
            .map(|(number, bytes)| (place(number), bytes))
            .collect())
    }

    fn insert(&mut self, sequence: Sequence, purge: &[u8]) -> Result<()> {
        self.0.exec(
            "INSERT INTO records (sequence, purge) VALUES (?, ?)",
            vec![integer(sequence), SqlStorageValue::Blob(purge.to_vec())],
        )?;
        Ok(())
    }

    fn replace(&mut self, snapshot: &[u8], forget: Sequence) -> Result<()> {
        self.0.exec("DELETE FROM ledger", None)?;
        for (part, bytes) in snapshot.chunks(Self::PART).enumerate() {
            let part = SqlStorageValue::Integer(i64::try_from(part).unwrap_or(i64::MAX));
            self.0.exec(
                "INSERT INTO ledger (part, snapshot) VALUES (?, ?)",
                vec![part, SqlStorageValue::Blob(bytes.to_vec())],
            )?;
        }
        self.0.exec(
            "DELETE FROM records WHERE sequence <= ?",
            vec![integer(forget)],
        )?;
        Ok(())
    }
}

/// A sequence as `SQLite` takes it from JavaScript, which counts exactly up to 2^53.
fn integer(sequence: Sequence) -> SqlStorageValue {
    const MOST: u64 = (1 << 53) - 1;
    let number = sequence.as_u64().min(MOST);
    SqlStorageValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
