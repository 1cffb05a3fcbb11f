//! `terrace replay`: a request trace against a running edge, as fast as so many connections carry it.

mod report;
mod trace;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::report::{OriginCounts, Tally};
use crate::Failure;
use crate::http_client::HttpClient;

/// The arguments of `terrace replay`.
#[derive(Args)]
pub(crate) struct Replay {
    /// Trace to send: 32-bit big-endian keys, or lines of `time id bytes`; xz-compressed or not. Without one, a Zipf stream.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Where the edge listens.
    #[arg(
        long,
        env = "TERRACE_EDGE_URL",
        default_value = "http://127.0.0.1:8787"
    )]
    edge: String,
    /// Where the origin listens; its counters tell the tiers behind the edge apart.
    #[arg(long, env = "TERRACE_ORIGIN_URL")]
    origin: Option<String>,
    /// Path to ask for, with the key of each request in place of `{key}`.
    #[arg(long, default_value = "/api/products/{key}")]
    path: String,
    /// Requests under way at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// At most so many requests of the trace; also the length of the Zipf stream.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Keys of the Zipf stream.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..))]
    keys: u32,
}

impl Replay {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let requests: Arc<[u32]> = match &self.trace {
            Some(file) => trace::read(file, limit)?,
            None => trace::zipf(self.keys, limit)?,
        }
        .into();
        let client = HttpClient::new();
        let before = self.origin_counts(&client).await?;

        let bar = ProgressBar::new(requests.len() as u64);
        bar.set_style(
            ProgressStyle::with_template("{bar:32} {pos}/{len} {per_sec} {eta}")
                .map_err(Failure::new)?,
        );
        let next = Arc::new(AtomicUsize::new(0));
        let began = Instant::now();
        let workers: Vec<_> = (0..self.connections)
            .map(|_| {
                tokio::spawn(work(
                    client.clone(),
                    format!("{}{}", self.edge.trim_end_matches('/'), self.path),
                    Arc::clone(&requests),
                    Arc::clone(&next),
                    bar.clone(),
                ))
            })
            .collect();
        let mut tally = Tally::default();
        for worker in workers {
            tally.add(worker.await.map_err(Failure::new)?);
        }
        let took = began.elapsed();
        bar.finish_and_clear();

        if let Some(error) = tally.unreachable() {
            return Err(
                Failure::new(format!("no request was answered: {error}")).hint(format!(
                    "is the edge up at {}? `make start` starts one",
                    self.edge
                )),
            );
        }
        let after = self.origin_counts(&client).await?;
        print!(
            "{}",
            report::text(&tally, took, before.as_ref(), after.as_ref())
        );
        Ok(())
    }

    async fn origin_counts(&self, client: &HttpClient) -> Result<Option<OriginCounts>, Failure> {
        let Some(origin) = &self.origin else {
            return Ok(None);
        };
        let url = format!("{}/stats", origin.trim_end_matches('/'));
        let answer = client.get(&url).await.map_err(Failure::new)?;
        let counts = serde_json::from_slice(&answer.body).map_err(|error| {
            Failure::new(format!("{url} did not answer with counters: {error}"))
        })?;
        Ok(Some(counts))
    }
}

/// Sends requests until the trace is through.
async fn work(
    client: HttpClient,
    template: String,
    requests: Arc<[u32]>,
    next: Arc<AtomicUsize>,
    bar: ProgressBar,
) -> Tally {
    let mut tally = Tally::default();
    while let Some(key) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        // Traces count from 0, and products from 1.
        let url = template.replace("{key}", &(u64::from(*key) + 1).to_string());
        let asked = Instant::now();
        match client.get(&url).await {
            Ok(answer) => tally.answered(&answer, asked.elapsed()),
            Err(error) => tally.failed(&error.to_string()),
        }
        bar.inc(1);
    }
    tally
}
