//! The source of truth: a small `SQLite` database, whose queries cost what such queries cost.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

/// Products in the shop, numbered from 1.
pub(crate) const PRODUCTS: u32 = 20_000;
const CATEGORIES: u32 = 50;
const REVIEWS_PER_PRODUCT: u32 = 6;
const PLANS: u32 = 600;

/// A product with what its reviews say of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Product {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) category: u32,
    pub(crate) price_cents: u32,
    pub(crate) rating: f64,
    pub(crate) reviews: u32,
}

/// An energy plan.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) cents_per_kwh: f64,
    pub(crate) base_cents: u32,
    pub(crate) renewable_percent: u32,
}

/// One category's figures in the sales report.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct CategorySales {
    pub(crate) category: u32,
    pub(crate) products: u32,
    pub(crate) average_cents: f64,
    pub(crate) average_rating: f64,
}

/// A connection, used by one query at a time on a thread that may block.
#[derive(Clone)]
pub(crate) struct Database(Arc<Mutex<Connection>>);

impl Database {
    /// Opens the database and fills it if it is empty; several processes may share a file.
    pub(crate) fn open(file: Option<&Path>) -> rusqlite::Result<Self> {
        let mut connection = match file {
            Some(file) => Connection::open(file)?,
            None => Connection::open_in_memory()?,
        };
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        seed(&mut connection)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Runs `query` where it may block.
    async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let connection = Arc::clone(&self.0);
        let answer = tokio::task::spawn_blocking(move || {
            query(&connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        Ok(answer.await.map_err(|_| DatabaseError::Interrupted)??)
    }

    pub(crate) async fn product(&self, id: u32) -> Result<Option<Product>, DatabaseError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT p.id, p.name, p.category, p.price_cents, coalesce(avg(r.stars), 0), count(r.stars)
                 FROM products p LEFT JOIN reviews r ON r.product = p.id WHERE p.id = ?1 GROUP BY p.id",
            )?;
            statement.query_row([id], product).optional()
        })
        .await
    }

    pub(crate) async fn category(&self, id: u32, page: u32) -> Result<Vec<Product>, DatabaseError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT p.id, p.name, p.category, p.price_cents, coalesce(avg(r.stars), 0) AS rating, count(r.stars)
                 FROM products p LEFT JOIN reviews r ON r.product = p.id WHERE p.category = ?1
                 GROUP BY p.id ORDER BY rating DESC, p.id LIMIT 20 OFFSET ?2",
            )?;
            statement.query_map([id, page.saturating_sub(1).saturating_mul(20)], product)?.collect()
        })
        .await
    }

    /// Sets a price; the product's category, or none if there is no such product.
    pub(crate) async fn set_price(
        &self,
        id: u32,
        cents: u32,
    ) -> Result<Option<u32>, DatabaseError> {
        self.run(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE products SET price_cents = ?2 WHERE id = ?1 RETURNING category",
                )?
                .query_row([id, cents], |row| row.get(0))
                .optional()
        })
        .await
    }

    pub(crate) async fn plan(&self, id: u32) -> Result<Option<Plan>, DatabaseError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, name, region, cents_per_kwh, base_cents, renewable_percent FROM plans WHERE id = ?1",
            )?;
            statement.query_row([id], plan).optional()
        })
        .await
    }

    /// The cheapest plans of a region for so much use a month.
    pub(crate) async fn plans(&self, region: String, kwh: u32) -> Result<Vec<Plan>, DatabaseError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, name, region, cents_per_kwh, base_cents, renewable_percent FROM plans
                 WHERE region = ?1 ORDER BY base_cents + cents_per_kwh * ?2, id LIMIT 10",
            )?;
            statement.query_map(params![region, kwh], plan)?.collect()
        })
        .await
    }

    pub(crate) async fn sales(&self) -> Result<Vec<CategorySales>, DatabaseError> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT p.category, count(DISTINCT p.id), avg(p.price_cents), avg(r.stars)
                 FROM products p JOIN reviews r ON r.product = p.id GROUP BY p.category ORDER BY p.category",
            )?;
            let sales = |row: &rusqlite::Row<'_>| {
                Ok(CategorySales {
                    category: row.get(0)?,
                    products: row.get(1)?,
                    average_cents: row.get(2)?,
                    average_rating: row.get(3)?,
                })
            };
            statement.query_map([], sales)?.collect()
        })
        .await
    }
}

/// A query that gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// The database refused it.
    #[error("the database refused the query")]
    Query(#[from] rusqlite::Error),
    /// Its thread was ended.
    #[error("the query was interrupted")]
    Interrupted,
}

fn product(row: &rusqlite::Row<'_>) -> rusqlite::Result<Product> {
    Ok(Product {
        id: row.get(0)?,
        name: row.get(1)?,
        category: row.get(2)?,
        price_cents: row.get(3)?,
        rating: row.get(4)?,
        reviews: row.get(5)?,
    })
}

fn plan(row: &rusqlite::Row<'_>) -> rusqlite::Result<Plan> {
    Ok(Plan {
        id: row.get(0)?,
        name: row.get(1)?,
        region: row.get(2)?,
        cents_per_kwh: row.get(3)?,
        base_cents: row.get(4)?,
        renewable_percent: row.get(5)?,
    })
}

/// Fills an empty database, the same in every run.
fn seed(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, category INTEGER NOT NULL, price_cents INTEGER NOT NULL);
         CREATE INDEX IF NOT EXISTS products_by_category ON products (category);
         CREATE TABLE IF NOT EXISTS reviews (product INTEGER NOT NULL, stars INTEGER NOT NULL);
         CREATE INDEX IF NOT EXISTS reviews_by_product ON reviews (product);
         CREATE TABLE IF NOT EXISTS plans (id INTEGER PRIMARY KEY, name TEXT NOT NULL, region TEXT NOT NULL, cents_per_kwh REAL NOT NULL, base_cents INTEGER NOT NULL, renewable_percent INTEGER NOT NULL);",
    )?;
    let filled: u32 =
        transaction.query_row("SELECT count(*) FROM products", [], |row| row.get(0))?;
    if filled == 0 {
        let mut product = transaction.prepare("INSERT INTO products VALUES (?1, ?2, ?3, ?4)")?;
        let mut review = transaction.prepare("INSERT INTO reviews VALUES (?1, ?2)")?;
        for id in 1..=PRODUCTS {
            let name = format!(
                "{} {} no. {id}",
                ADJECTIVES[spread(id, 1) % ADJECTIVES.len()],
                NOUNS[spread(id, 2) % NOUNS.len()]
            );
            let category = 1 + id % CATEGORIES;
            product.execute(params![id, name, category, 500 + spread(id, 3) % 20_000])?;
            for number in 0..REVIEWS_PER_PRODUCT {
                review.execute(params![id, 1 + spread(id, 10 + number) % 5])?;
            }
        }
        let mut plan = transaction.prepare("INSERT INTO plans VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        for id in 1..=PLANS {
            let region = REGIONS[spread(id, 4) % REGIONS.len()];
            let tenths = u32::try_from(80 + spread(id, 5) % 120).unwrap_or(100);
            let name = format!(
                "{region} {} {id}",
                ADJECTIVES[spread(id, 6) % ADJECTIVES.len()]
            );
            plan.execute(params![
                id,
                name,
                region,
                f64::from(tenths) / 10.0,
                spread(id, 7) % 2_000,
                spread(id, 8) % 101
            ])?;
        }
    }
    transaction.commit()
}

/// A number as good as random, the same for the same arguments.
fn spread(id: u32, salt: u32) -> usize {
    let mixed = (u64::from(id) << 32 | u64::from(salt)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from((mixed ^ (mixed >> 29)) >> 20 & 0xff_ffff).unwrap_or_default()
}

const ADJECTIVES: [&str; 8] = [
    "Oak", "Linen", "Brass", "Quiet", "Folding", "Enamel", "Woven", "Tall",
];
const NOUNS: [&str; 8] = [
    "lamp", "chair", "kettle", "shelf", "basket", "mirror", "stool", "clock",
];
const REGIONS: [&str; 4] = ["TX", "NY", "OH", "PA"];
