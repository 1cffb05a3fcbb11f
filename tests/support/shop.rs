//! The demo's backend, as its own process.

use std::path::Path;

use tokio::process::Command;

use crate::client::Client;
use crate::edge::PURGE_TOKEN;
use crate::process::{Process, root, url_of};

/// How to start a shop.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShopOptions<'a> {
    /// Where it listens; a free port if nothing is said.
    pub listen: Option<&'a str>,
    /// A database to share with other shops.
    pub database: Option<&'a Path>,
    /// Redis to share with other shops.
    pub redis: Option<&'a str>,
    /// The edge to tell of purges, with [`PURGE_TOKEN`].
    pub edge: Option<&'a str>,
}

/// A running shop.
pub struct Shop {
    /// Sends requests to it, past the edge.
    pub client: Client,
    process: Process,
}

impl Shop {
    /// Starts one.
    pub async fn start(options: ShopOptions<'_>) -> Self {
        let mut command = Command::new(root().join("target/debug/examples/shop"));
        command.args(["--policy", "terrace.toml", "--until-stdin-closes"]);
        command.args(["--listen", options.listen.unwrap_or("127.0.0.1:0")]);
        if let Some(database) = options.database {
            command.arg("--database").arg(database);
        }
        if let Some(redis) = options.redis {
            command.args(["--redis", redis]);
        }
        if let Some(edge) = options.edge {
            command.args(["--edge-url", edge]);
            command.env("TERRACE_EDGE_TOKEN", PURGE_TOKEN);
        }
        let (process, ready) = Process::start("the shop", &mut command).await;
        Self {
            client: Client::new(&url_of(&ready)),
            process,
        }
    }

    /// What a product costs, according to this process.
    pub async fn price(&self, product: u32) -> u64 {
        let answer = self.client.get(&format!("/api/products/{product}")).await;
        answer.json()["price_cents"].as_u64().unwrap()
    }

    /// Its counters of one namespace.
    pub async fn stats(&self, namespace: &str) -> serde_json::Value {
        self.client.get("/stats").await.json()["namespaces"][namespace].take()
    }

    /// Kills it, as a crash would.
    pub async fn kill(self) {
        self.process.kill().await;
    }

    /// Stops it.
    pub async fn stop(self) {
        self.process.stop().await;
    }
}
