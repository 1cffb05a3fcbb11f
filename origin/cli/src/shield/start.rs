//! From the arguments to a running shield: the policy, the tiers, the tokens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use terrace_origin::http::{CacheLayer, Exposure};
use terrace_origin::{ByteCount, Cache, Edge, Policy, Redis, TokenSecrets, load_policy};
use terrace_shared::purge::auth::Tokens;

use super::limits::Patience;
use crate::Failure;

/// What the cache is made of.
#[derive(Args)]
pub(crate) struct CacheArguments {
    /// The policy file; without one, the upstream's own fields decide.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// Redis to share responses and purges through, such as `redis://127.0.0.1/`.
    #[arg(long, env = "TERRACE_REDIS_URL", hide_env_values = true)]
    redis: Option<String>,
    /// The name under which processes share one purge ledger in Redis.
    #[arg(long = "ledger-name", default_value = "default", value_name = "NAME")]
    ledger: String,
    /// Leave surrogate keys and Terrace-Epoch in the answers, for an edge in front.
    #[arg(long)]
    expose_surrogate_keys: bool,
    /// Longest body that is stored, in mebibytes; longer ones flow through.
    #[arg(
        long = "max-stored-body-mib",
        default_value_t = 32,
        value_name = "MEBIBYTES"
    )]
    longest_stored: u64,
    /// Most memory that stored responses take, in mebibytes.
    #[arg(long = "memory-mib", default_value_t = 256, value_name = "MEBIBYTES")]
    memory: u64,
    /// The edge that purges are sent on to.
    #[arg(long, env = "TERRACE_EDGE_URL", requires = "edge_token")]
    edge: Option<String>,
    /// What the edge knows this shield by; better given in the environment than here.
    #[arg(long, env = "TERRACE_EDGE_TOKEN", hide_env_values = true)]
    edge_token: Option<String>,
    /// What signs the tokens of receipts, the same as at the edge: a reader who presents one in Terrace-After gets
    /// nothing older than its purge. Two, with a comma between them, while it is changed.
    #[arg(long, env = "TERRACE_TOKEN_SECRET", hide_env_values = true, value_parser = TokenSecrets::parse, value_name = "SECRET")]
    token_secret: Option<TokenSecrets>,
    /// Who may purge: a file with the JSON array of which `terrace token` prints the members.
    #[arg(long, value_name = "FILE")]
    purge_token_file: Option<PathBuf>,
    /// The same, as text.
    #[arg(
        long,
        env = "TERRACE_PURGE_TOKENS",
        hide_env_values = true,
        value_name = "JSON"
    )]
    purge_tokens: Option<String>,
}

impl CacheArguments {
    /// The policy; HTTP's defaults without a file.
    pub(crate) fn policy(&self) -> Result<Policy, Failure> {
        let Some(path) = &self.policy else {
            return Ok(Policy::default());
        };
        load_policy(path).map_err(|error| {
            Failure::new(error).hint(format!(
                "`terrace check {}` says what is wrong; without --policy the upstream's own fields decide",
                path.display()
            ))
        })
    }

    /// Which policy that is, for the line that the start prints.
    pub(crate) fn policy_in_words(&self) -> String {
        self.policy.as_ref().map_or_else(
            || "policy: none, the upstream's own fields decide".to_owned(),
            |path| format!("policy: {}", path.display()),
        )
    }

    /// The cache, with its tiers.
    pub(crate) async fn cache(&self, policy: Policy) -> Result<Cache, Failure> {
        let mut builder = Cache::builder(policy)
            .memory(ByteCount::mebibytes(0)) // its namespaces are not used: responses are the layer's
            .name(&self.ledger);
        if let Some(url) = &self.redis {
            let redis = Redis::connect(url).await.map_err(|error| {
                Failure::new(error).hint(
                    "is Redis running there? without --redis, responses are kept in memory alone",
                )
            })?;
            builder = builder.redis(redis);
        }
        if let (Some(url), Some(token)) = (&self.edge, &self.edge_token) {
            builder = builder.edge(Edge::new(url, token));
        }
        if let Some(secrets) = &self.token_secret {
            builder = builder.token_secrets(secrets.clone());
        }
        builder.build().await.map_err(Failure::new)
    }

    /// The layer over `cache`, which waits for the upstream a little longer than the upstream's own side does.
    pub(crate) fn layer(&self, cache: Cache, patience: &Patience) -> CacheLayer {
        const LITTLE: Duration = Duration::from_secs(5);
        let exposure = if self.expose_surrogate_keys {
            Exposure::Send
        } else {
            Exposure::Strip
        };
        CacheLayer::new(cache)
            .memory(ByteCount::mebibytes(self.memory))
            .largest_body(ByteCount::mebibytes(self.longest_stored))
            .surrogate_keys(exposure)
            .head_timeout(patience.connect + patience.first_byte + LITTLE)
    }

    /// Who may purge; none if nothing was said.
    pub(crate) fn tokens(&self) -> Result<Option<Tokens>, Failure> {
        let text = match (&self.purge_token_file, &self.purge_tokens) {
            (Some(path), _) => read(path)?,
            (None, Some(text)) => text.clone(),
            (None, None) => return Ok(None),
        };
        let tokens = Tokens::from_json(&text).map_err(|error| {
            Failure::new(error).hint("`terrace token NAME` prints a token and its entry")
        })?;
        Ok(Some(tokens))
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::new(format!("{} cannot be read: {error}", path.display()))
            .hint("--purge-token-file takes the path of a file with a JSON array of tokens")
    })
}
