//! The worker in workerd.

use std::fmt::Write as _;

use http::Method;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use crate::client::{Answer, Client};
use crate::process::{Process, root, url_of, wait_until};

/// A token that may purge everything.
pub const PURGE_TOKEN: &str = "a-token-that-may-purge-everything";

/// A token that may purge only `surrogate-key:product:*`.
pub const PRODUCTS_TOKEN: &str = "a-token-that-may-purge-products";

/// What signs the tokens of receipts, for an edge and a service that share it.
pub const TOKEN_SECRET: &str = "what-signs-the-tokens-of-tests";

/// A running edge.
pub struct Edge {
    /// Sends requests to it.
    pub client: Client,
    /// Send requests to each of its isolates; the first one is `client`.
    pub isolates: Vec<Client>,
    process: Process,
}

impl Edge {
    /// Starts one before `origin`, with [`PURGE_TOKEN`] and [`PRODUCTS_TOKEN`].
    pub async fn start(origin: &str) -> Self {
        Self::start_with(&[("ORIGIN", origin), ("TERRACE_PURGE_TOKENS", &token_list())]).await
    }

    /// Starts one before `origin` that signs tokens with [`TOKEN_SECRET`].
    pub async fn start_signing(origin: &str) -> Self {
        Self::start_with(&[
            ("ORIGIN", origin),
            ("TERRACE_PURGE_TOKENS", &token_list()),
            ("TERRACE_TOKEN_SECRET", TOKEN_SECRET),
        ])
        .await
    }

    /// Starts one with these variables.
    pub async fn start_with(vars: &[(&str, &str)]) -> Self {
        Self::start_as(vars, &[]).await
    }

    /// Starts one before `origin` with tokens as [`Self::start`], more variables, and flags of `scripts/edge.mjs`.
    pub async fn start_before(origin: &str, vars: &[(&str, &str)], flags: &[&str]) -> Self {
        let tokens = token_list();
        let mut all = vec![("ORIGIN", origin), ("TERRACE_PURGE_TOKENS", &*tokens)];
        all.extend_from_slice(vars);
        Self::start_as(&all, flags).await
    }

    async fn start_as(vars: &[(&str, &str)], flags: &[&str]) -> Self {
        let mut command = Command::new(root().join("node_modules/.bin/node"));
        command.arg("scripts/edge.mjs");
        for (name, value) in vars {
            command.arg("--var").arg(format!("{name}={value}"));
        }
        command.args(flags);
        let (process, ready) = Process::start("the edge", &mut command).await;
        let isolates = ready["isolates"].as_array().unwrap().iter();
        Self {
            client: Client::new(&url_of(&ready)),
            isolates: isolates
                .map(|url| Client::new(url.as_str().unwrap()))
                .collect(),
            process,
        }
    }

    /// The process that started workerd, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.client.get(path).await
    }

    /// `GET`, again and again until the edge has stored what it answered before: that happens behind the answer.
    pub async fn hit(&self, path: &str) -> Answer {
        wait_until(&format!("{path} is a hit"), async || {
            Some(self.get(path).await).filter(Answer::is_hit)
        })
        .await
    }

    /// Purges with [`PURGE_TOKEN`].
    pub async fn purge(&self, request: &serde_json::Value) -> Answer {
        self.purge_as(PURGE_TOKEN, &request.to_string()).await
    }

    /// The newest lines of the purge log that `token` may see.
    pub async fn log_as(&self, token: &str, query: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let path = format!("/.terrace/log{query}");
        let fields = [("authorization", &*bearer)];
        self.client.send(Method::GET, &path, &fields, "").await
    }

    /// Sends `body` as a purge with `token`.
    pub async fn purge_as(&self, token: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.client
            .send(
                Method::POST,
                "/.terrace/purge",
                &[("authorization", &bearer)],
                body,
            )
            .await
    }

    /// Stops it.
    pub async fn stop(self) {
        self.process.stop().await;
    }
}

/// What whoever takes purges must know of [`PURGE_TOKEN`] and [`PRODUCTS_TOKEN`].
pub fn token_list() -> String {
    let tokens = serde_json::json!([
        { "name": "all", "sha256": hash(PURGE_TOKEN), "allow": ["*"] },
        { "name": "products", "sha256": hash(PRODUCTS_TOKEN), "allow": ["surrogate-key:product:*"] },
    ]);
    tokens.to_string()
}

fn hash(token: &str) -> String {
    Sha256::digest(token)
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
}
