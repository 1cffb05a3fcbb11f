//! `terrace shield`: a caching reverse proxy in front of a service in any language.
//!
//! A request comes in through `server` (connections, their limits and their end), is looked at by `front`
//! (what is refused, what is Terrace's own, what is a tunnel), and goes to `upstream` (the pool, the time-outs,
//! the fields that a proxy adds). What the upstream says before its final answer goes back through `informational`.

mod activity;
mod body;
mod connection;
mod error;
mod exchange;
mod expect;
mod fields;
mod framing;
mod front;
mod informational;
mod limits;
mod pool;
mod purge_api;
mod server;
mod start;
mod upgrade;
mod upstream;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::{HeaderValue, Uri};

use crate::Failure;
use front::Shared;
use limits::{Limits, Patience};
use purge_api::PurgeApi;
use start::CacheArguments;
use terrace_shared::intake::Routes;
use upstream::{Upstream, UpstreamOptions, UpstreamProtocol};

/// The arguments of `terrace shield`.
#[derive(Args)]
pub(crate) struct Shield {
    /// The service to shield, such as `http://127.0.0.1:3000`.
    #[arg(long)]
    upstream: Uri,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Host that the upstream is asked for, instead of the client's.
    #[arg(long, value_parser = host_value)]
    upstream_host: Option<HeaderValue>,
    /// Speak HTTP/2 to the upstream; over plain TCP, without asking it first.
    #[arg(long)]
    upstream_http2: bool,
    #[command(flatten)]
    cache: CacheArguments,
    #[command(flatten)]
    limits: LimitArguments,
    #[command(flatten)]
    patience: PatienceArguments,
}

/// How much a client may send.
#[derive(Args)]
struct LimitArguments {
    /// Longest request body, in mebibytes; a longer one is answered with 413.
    #[arg(
        long = "max-body-mib",
        default_value_t = 1024,
        value_name = "MEBIBYTES"
    )]
    longest_body: u64,
    /// Longest request head, in bytes; a longer one is answered with 431.
    #[arg(long = "max-header-bytes", default_value_t = 65_536, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(8_192..))]
    longest_head: u32,
    /// Most fields in a request; more are answered with 431.
    #[arg(long = "max-headers", default_value_t = 100, value_name = "FIELDS", value_parser = clap::value_parser!(u16).range(1..))]
    most_fields: u16,
}

/// How long anything may take.
#[derive(Args)]
struct PatienceArguments {
    /// Longest wait for a client's request head, once it has begun.
    #[arg(
        long = "header-timeout-seconds",
        default_value = "30",
        value_name = "SECONDS"
    )]
    head: NonZeroU32,
    /// Longest rest of a client's connection between two requests.
    #[arg(
        long = "idle-timeout-seconds",
        default_value = "75",
        value_name = "SECONDS"
    )]
    idle: NonZeroU32,
    /// Longest wait for a client that sends or takes a body.
    #[arg(
        long = "client-timeout-seconds",
        default_value = "60",
        value_name = "SECONDS"
    )]
    client: NonZeroU32,
    /// Longest wait for a connection to the upstream, TLS included.
    #[arg(
        long = "upstream-connect-timeout-seconds",
        default_value = "5",
        value_name = "SECONDS"
    )]
    connect: NonZeroU32,
    /// Longest wait for the head of the upstream's answer.
    #[arg(
        long = "upstream-first-byte-timeout-seconds",
        default_value = "60",
        value_name = "SECONDS"
    )]
    first_byte: NonZeroU32,
    /// Longest wait for more of the upstream's body.
    #[arg(
        long = "upstream-read-timeout-seconds",
        default_value = "60",
        value_name = "SECONDS"
    )]
    read: NonZeroU32,
    /// Longest rest of a connection to the upstream between two requests.
    #[arg(
        long = "upstream-idle-timeout-seconds",
        default_value = "60",
        value_name = "SECONDS"
    )]
    upstream_idle: NonZeroU32,
    /// How long requests under way may go on after SIGTERM or SIGINT.
    #[arg(long = "drain-seconds", default_value_t = 30, value_name = "SECONDS")]
    drain: u32,
}

impl Shield {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let limits = self.limits.limits();
        let patience = self.patience.patience();
        let upstream = Upstream::new(UpstreamOptions {
            uri: self.upstream,
            host: self.upstream_host,
            protocol: if self.upstream_http2 {
                UpstreamProtocol::Http2
            } else {
                UpstreamProtocol::Http1
            },
            patience,
        })
        .map_err(|error| Failure::new(error).hint("give --upstream as http://host:port"))?;
        let policy = self.cache.policy()?;
        let tokens = self.cache.tokens()?;
        let listener = server::bind(self.listen).await?;
        let routes = Routes::new(policy.clone());
        let cache = self.cache.cache(policy).await?;
        if let Err(error) = upstream.probe().await {
            eprintln!("warning: {} does not answer yet: {error}", upstream.url());
        }
        let address = listener.local_addr().map_err(Failure::new)?;
        println!(
            "terrace shield: http://{address} shields {}; {}",
            upstream.url(),
            self.cache.policy_in_words()
        );
        let own = PurgeApi {
            cache: cache.clone(),
            routes,
            tokens: tokens.unwrap_or_default(),
        };
        let layer = self.cache.layer(cache.clone(), &patience);
        let shared = Arc::new(Shared {
            layer,
            upstream,
            limits,
            own,
        });
        server::serve(listener, shared, patience).await?;
        cache.flush().await;
        Ok(())
    }
}

impl LimitArguments {
    fn limits(&self) -> Limits {
        Limits {
            body_bytes: self.longest_body.saturating_mul(1 << 20),
            head_bytes: usize::try_from(self.longest_head).unwrap_or(usize::MAX),
            fields: self.most_fields.into(),
        }
    }
}

impl PatienceArguments {
    fn patience(&self) -> Patience {
        let seconds = |seconds: NonZeroU32| Duration::from_secs(seconds.get().into());
        Patience {
            head: seconds(self.head),
            idle: seconds(self.idle),
            client: seconds(self.client),
            connect: seconds(self.connect),
            first_byte: seconds(self.first_byte),
            read: seconds(self.read),
            upstream_idle: seconds(self.upstream_idle),
            drain: Duration::from_secs(self.drain.into()),
        }
    }
}

fn host_value(text: &str) -> Result<HeaderValue, String> {
    let authority: Result<http::uri::Authority, _> = text.parse();
    authority
        .ok()
        .filter(|authority| !authority.as_str().contains('@'))
        .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
        .ok_or_else(|| "a host, with its port if it has one, is expected".to_owned())
}
