//! The shop's pages, each a slow read wrapped in a cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use terrace_origin::{Cache, Epoch, Namespace, NamespaceError, Purge, SessionCookie, key};
use terrace_shared::purge::wire::EPOCH_FIELD;

use crate::database::{CategorySales, Database, DatabaseError, Plan, Product};

/// The caches by what they hold, and what stands behind them.
pub(crate) struct Shop {
    cache: Cache,
    database: Database,
    products: Namespace<Product>,
    categories: Namespace<Vec<Product>>,
    plans: Namespace<Plan>,
    plan_searches: Namespace<Vec<Plan>>,
    sales: Namespace<Vec<CategorySales>>,
}

impl Shop {
    pub(crate) fn new(cache: Cache, database: Database) -> Result<Self, NamespaceError> {
        Ok(Self {
            products: cache.namespace("product")?,
            categories: cache.namespace("category")?,
            plans: cache.namespace("plan_catalog")?,
            plan_searches: cache.namespace("plan_search")?,
            sales: cache.namespace("stats")?,
            cache,
            database,
        })
    }
}

/// Every page of the shop.
pub(crate) fn router(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/api/products/{id}", get(product))
        .route("/api/products/{id}/price", post(set_price))
        .route("/api/categories/{id}", get(category))
        .route("/api/plans", get(plan_search))
        .route("/api/plans/{id}", get(plan))
        .route("/api/reports/sales", get(sales))
        .route(
            "/stats",
            get(async |State(shop): State<Arc<Shop>>| Json(shop.cache.stats())),
        )
        .route("/healthz", get(async || "ok"))
        .with_state(shop)
}

async fn product(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<u32>,
    fields: HeaderMap,
) -> Result<Response, PageError> {
    // Whoever has just saved sees the save (R10).
    let after = shop.cache.after(&fields);
    let database = shop.database.clone();
    let answer = shop
        .products
        .after(&after)
        .answer_or_fill(&key!(product_id: id), async move |_| {
            database.product(id).await
        })
        .await?;
    let (product, epoch) = (answer.value, answer.epoch);
    let keys = match &product {
        Some(product) => format!("product:{id} category:{}", product.category),
        None => format!("product:{id}"),
    };
    Ok(page(product.as_deref(), &keys, epoch))
}

/// What `POST /api/products/{id}/price` takes.
#[derive(Deserialize)]
struct NewPrice {
    cents: u32,
}

async fn set_price(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<u32>,
    Json(price): Json<NewPrice>,
) -> Result<Response, PageError> {
    let Some(category) = shop.database.set_price(id, price.cents).await? else {
        return Ok((StatusCode::NOT_FOUND, "there is no such product\n").into_response());
    };
    // First the source, then the purge: a reader after the purge finds the new price.
    let purge = Purge::surrogate_keys([format!("product:{id}"), format!("category:{category}")]);
    let receipt = shop.cache.purge(purge).await?;
    let cookie = SessionCookie::of(&receipt);
    let answer = serde_json::json!({ "id": id, "price_cents": price.cents, "receipt": receipt });
    Ok((cookie, Json(answer)).into_response())
}

/// The page of a list.
#[derive(Deserialize)]
struct PageOf {
    #[serde(default = "first_page")]
    page: u32,
}

const fn first_page() -> u32 {
    1
}

async fn category(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<u32>,
    Query(PageOf { page: number }): Query<PageOf>,
) -> Result<Response, PageError> {
    let database = shop.database.clone();
    let parts = match number {
        0 | 1 => key!(category_id: id), // the policy's page is optional, and the first has none
        _ => key!(category_id: id, page: number),
    };
    let answer = shop
        .categories
        .answer_or_fill(&parts, async move |_| database.category(id, number).await)
        .await?;
    let keys = format!("category:{id}");
    Ok(page(Some(&*answer.value), &keys, answer.epoch))
}

async fn plan(State(shop): State<Arc<Shop>>, Path(id): Path<u32>) -> Result<Response, PageError> {
    let database = shop.database.clone();
    let answer = shop
        .plans
        .answer_or_fill(&key!(plan_id: id), async move |fill| {
            let plan = database.plan(id).await?;
            if let Some(plan) = &plan {
                fill.surrogate_key(format!("region:{}", plan.region));
            }
            Ok::<_, DatabaseError>(plan)
        })
        .await?;
    let keys = format!("plan:{id}");
    Ok(page(answer.value.as_deref(), &keys, answer.epoch))
}

/// What `GET /api/plans` searches for.
#[derive(Deserialize)]
struct PlanSearch {
    region: String,
    #[serde(default = "usual_kwh")]
    kwh: u32,
}

const fn usual_kwh() -> u32 {
    900
}

async fn plan_search(
    State(shop): State<Arc<Shop>>,
    Query(PlanSearch { region, kwh }): Query<PlanSearch>,
) -> Result<Response, PageError> {
    let database = shop.database.clone();
    let searched = region.clone();
    let answer = shop
        .plan_searches
        .answer_or_fill(&key!(region: &region, kwh: kwh), async move |_| {
            database.plans(searched, kwh).await
        })
        .await?;
    let keys = format!("plans region:{region}");
    Ok(page(Some(&*answer.value), &keys, answer.epoch))
}

async fn sales(State(shop): State<Arc<Shop>>) -> Result<Response, PageError> {
    let database = shop.database.clone();
    let answer = shop
        .sales
        .answer_or_fill(&key!(metric: "sales"), async move |_| {
            database.sales().await
        })
        .await?;
    Ok(page(Some(&*answer.value), "stats", answer.epoch))
}

/// A page with its surrogate keys, and the ledger's position up to which it is known to hold (R9).
fn page<T: Serialize + ?Sized>(
    content: Option<&T>,
    surrogate_keys: &str,
    epoch: Option<Epoch>,
) -> Response {
    let mut response = match content {
        Some(content) => Json(content).into_response(),
        None => (
            StatusCode::NOT_FOUND,
            Json(BTreeMap::from([("error", "there is no such page")])),
        )
            .into_response(),
    };
    let fields = [
        ("surrogate-key", Some(surrogate_keys.to_owned())),
        (EPOCH_FIELD, epoch.map(|epoch| epoch.to_string())),
    ];
    for (name, value) in fields {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// Why a page could not be made: answered with 500, and said on standard error.
struct PageError(Box<dyn std::error::Error + Send + Sync>);

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl axum::response::IntoResponse for PageError {
    fn into_response(self) -> Response {
        eprintln!("a page failed: {}", self.0);
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            "the shop has a problem; try again\n",
        )
            .into_response()
    }
}
