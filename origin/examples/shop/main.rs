//! The demo: a shop and its energy plans, behind a cache in this process, one in Redis and one at the edge.
//!
//! `make start` runs it behind a local edge. By itself:
//! `cargo run -p terrace-origin --all-features --example shop -- --listen 127.0.0.1:3000`

mod database;
mod routes;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use terrace_origin::{ByteCount, Cache, Edge, Redis, TokenSecrets, load_policy};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use database::Database;

/// A shop behind three tiers of cache.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The policy file.
    #[arg(long, default_value = "terrace.toml")]
    policy: PathBuf,
    /// A database to share with other processes; without one, it is kept in memory.
    #[arg(long)]
    database: Option<PathBuf>,
    /// Redis to share entries and purges through, such as `redis://127.0.0.1/`.
    #[arg(long)]
    redis: Option<String>,
    /// The edge that purges are sent on to.
    #[arg(long, requires = "edge_token")]
    edge_url: Option<String>,
    /// What the edge knows this service by.
    #[arg(long, env = "TERRACE_EDGE_TOKEN", hide_env_values = true)]
    edge_token: Option<String>,
    /// What signs the tokens of receipts, the same as at the edge, so that whoever saves sees the save.
    #[arg(long, env = "TERRACE_TOKEN_SECRET", hide_env_values = true, value_parser = TokenSecrets::parse)]
    token_secret: Option<TokenSecrets>,
    /// Stop when standard input closes, so as not to outlive the process that started this one.
    #[arg(long)]
    until_stdin_closes: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("caused by: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let policy = load_policy(&arguments.policy)?;

    let mut builder = Cache::builder(policy).memory(ByteCount::mebibytes(64));
    if let Some(url) = &arguments.redis {
        builder = builder.redis(Redis::connect(url).await?);
    }
    if let (Some(url), Some(token)) = (&arguments.edge_url, &arguments.edge_token) {
        builder = builder.edge(Edge::new(url, token));
    }
    if let Some(secrets) = arguments.token_secret {
        builder = builder.token_secrets(secrets);
    }
    let shop = routes::Shop::new(
        builder.build().await?,
        Database::open(arguments.database.as_deref())?,
    )?;

    let listener = TcpListener::bind(arguments.listen).await?;
    println!(r#"{{"url":"http://{}"}}"#, listener.local_addr()?);
    let stopped = async move {
        if arguments.until_stdin_closes {
            let mut rest = Vec::new();
            // Whether it closes or breaks, nobody holds the other end any more.
            let _ = tokio::io::stdin().read_to_end(&mut rest).await;
        } else if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("Ctrl-C cannot be waited for: {error}");
        }
    };
    axum::serve(listener, routes::router(Arc::new(shop)))
        .with_graceful_shutdown(stopped)
        .await?;
    Ok(())
}
