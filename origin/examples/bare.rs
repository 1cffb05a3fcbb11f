//! A bare axum handler: what the shield is measured against, and what it is measured in front of.
//!
//! `/1k…` answers 1 KiB, `/100k` 100 KiB, `/300k` 300 KiB, all fresh for an hour. Runs until SIGTERM.

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use bytes::Bytes;
use clap::Parser;
use tokio::net::TcpListener;

#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind(arguments.listen).await?;
    axum::serve(listener, router()).await?;
    Ok(())
}

fn router() -> Router {
    let of = |kibibytes: usize| {
        let body = Bytes::from(vec![b'a'; kibibytes << 10]);
        axum::routing::get(answer).with_state(body)
    };
    Router::new()
        .route("/1k", of(1))
        .route("/1k/{*rest}", of(1))
        .route("/100k", of(100))
        .route("/300k", of(300))
}

async fn answer(State(body): State<Bytes>) -> impl IntoResponse {
    let fields = [
        (CONTENT_TYPE, "text/plain"),
        (CACHE_CONTROL, "max-age=3600"),
    ];
    (fields, body)
}
