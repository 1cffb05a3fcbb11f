//! `terrace purge`: one purge at the edge, and its receipt.

use clap::Args;
use terrace_origin::{Edge, PurgeRequest};
use terrace_shared::purge::PurgeMode;

use crate::Failure;

/// The arguments of `terrace purge`: at least one thing to purge.
#[derive(Args)]
pub(crate) struct Purge {
    /// The edge to purge.
    #[arg(
        long,
        env = "TERRACE_EDGE_URL",
        default_value = "http://127.0.0.1:8787"
    )]
    edge: String,
    /// The token that may; better given in the environment than here.
    #[arg(long, env = "TERRACE_TOKEN", hide_env_values = true)]
    token: String,
    /// Make stale instead of unusable.
    #[arg(long)]
    soft: bool,
    #[command(flatten)]
    named: Named,
}

/// What to purge; each may be repeated.
#[derive(Args)]
#[group(required = true, multiple = true)]
struct Named {
    /// Whatever carries this surrogate key.
    #[arg(long)]
    surrogate_key: Vec<String>,
    /// The entry with exactly this key.
    #[arg(long)]
    key: Vec<String>,
    /// This URL, or this path and query on any host.
    #[arg(long)]
    url: Vec<String>,
    /// Everything that begins so.
    #[arg(long)]
    prefix: Vec<String>,
    /// Everything that matches this glob.
    #[arg(long)]
    pattern: Vec<String>,
    /// Everything of this host.
    #[arg(long)]
    host: Vec<String>,
    /// Everything of this namespace.
    #[arg(long)]
    namespace: Vec<String>,
    /// Everything.
    #[arg(long)]
    everything: bool,
}

impl Purge {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let named = self.named;
        let request = PurgeRequest {
            mode: if self.soft {
                PurgeMode::Soft
            } else {
                PurgeMode::Hard
            },
            surrogate_keys: named.surrogate_key,
            keys: named.key,
            urls: named.url,
            prefixes: named.prefix,
            patterns: named.pattern,
            hosts: named.host,
            namespaces: named.namespace,
            everything: named.everything,
            origin_epoch: None,
            after_ms: None,
        };
        let receipt = Edge::new(&self.edge, self.token)
            .purge(&request)
            .await
            .map_err(|error| {
                Failure::new(error)
                    .hint("nothing was purged; `terrace purge --help` shows the forms")
            })?;
        let text = serde_json::to_string_pretty(&receipt).map_err(Failure::new)?;
        println!("{text}");
        Ok(())
    }
}
