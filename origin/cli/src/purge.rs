//! `terrace purge`: one purge, at an edge or at the origin's ledger, and its receipt.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use terrace_origin::{Cache, Edge, Policy, Purge as OriginPurge, PurgeRequest, Receipt, Redis};
use terrace_shared::purge::PurgeMode;
use terrace_shared::purge::wire::{PurgeState, PurgedTier, TierReceipt};
use terrace_shared::time::{Milliseconds, TimestampMillis};
use tokio::time::Instant;

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
    #[arg(
        long,
        env = "TERRACE_TOKEN",
        hide_env_values = true,
        required_unless_present = "redis"
    )]
    token: Option<String>,
    /// Purge at the origin's ledger in this Redis instead: every service, and the edges that they know.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// The name of that ledger.
    #[arg(long, requires = "redis", default_value = "default")]
    name: String,
    /// Make stale instead of unusable.
    #[arg(long)]
    soft: bool,
    /// Purge the same once more after this long (`5s`, `500ms`, `2m`, `1h`): for sources whose replicas lag.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    again_after: Option<Duration>,
    /// Wait until nobody is served anything older, but at most so many seconds; fail if that does not do.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "30")]
    wait: Option<u64>,
    /// Print the receipt as it is, as JSON.
    #[arg(long)]
    json: bool,
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
        let deadline = self
            .wait
            .map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let request = self.request();
        let receipt = match &self.redis {
            Some(url) => self.purge_origin(url, request).await?,
            None => self.purge_edge(request, deadline).await?,
        };
        if self.json {
            let text = serde_json::to_string_pretty(&receipt).map_err(Failure::new)?;
            println!("{text}");
        } else {
            print!("{}", in_words(&receipt, now()));
        }
        match deadline {
            Some(deadline) => until_visible(&receipt, deadline).await,
            None => Ok(()),
        }
    }

    fn request(&self) -> PurgeRequest {
        let named = &self.named;
        PurgeRequest {
            mode: if self.soft {
                PurgeMode::Soft
            } else {
                PurgeMode::Hard
            },
            surrogate_keys: named.surrogate_key.clone(),
            keys: named.key.clone(),
            urls: named.url.clone(),
            prefixes: named.prefix.clone(),
            patterns: named.pattern.clone(),
            hosts: named.host.clone(),
            namespaces: named.namespace.clone(),
            everything: named.everything,
            origin_epoch: None,
            after_ms: self.again_after.map(|after| {
                Milliseconds::new(u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
            }),
        }
    }

    /// Purges at the ledger that services share; they send it on to the edges.
    async fn purge_origin(&self, url: &str, request: PurgeRequest) -> Result<Receipt, Failure> {
        let redis = Redis::connect(url).await.map_err(|error| {
            Failure::new(error).hint("nothing was purged; is Redis running there?")
        })?;
        let builder = Cache::builder(Policy::default())
            .redis(redis)
            .name(&self.name);
        let cache = builder.build().await.map_err(Failure::new)?;
        let purge = OriginPurge::from(request);
        let purged = match self.wait {
            Some(seconds) => cache.purge_wait(purge, Duration::from_secs(seconds)).await,
            None => cache.purge(purge).await,
        };
        let mut receipt = purged.map_err(Failure::new)?;
        receipt.tiers.retain(|tier| tier.tier != PurgedTier::Memory); // this command's own
        Ok(receipt)
    }

    /// Purges at one edge; if it is waited for, until the edge itself says that it judges by the purge.
    async fn purge_edge(
        &self,
        request: PurgeRequest,
        deadline: Option<Instant>,
    ) -> Result<Receipt, Failure> {
        let edge = Edge::new(&self.edge, self.token.clone().unwrap_or_default());
        let mut receipt = edge.purge(&request).await.map_err(|error| {
            Failure::new(error).hint("nothing was purged; `terrace purge --help` shows the forms")
        })?;
        if let Some(deadline) = deadline
            && !judges_by(&edge, &receipt, deadline).await
        {
            receipt.visible_by_ms = None;
            for tier in &mut receipt.tiers {
                tier.state = PurgeState::Pending;
                tier.detail = Some("its readers do not show that they know of it yet".to_owned());
            }
        }
        Ok(receipt)
    }
}

/// Waits until the edge's view of its ledger has come to the receipt's place; false if it does not in time.
async fn judges_by(edge: &Edge, receipt: &Receipt, deadline: Instant) -> bool {
    const LOOK: Duration = Duration::from_millis(250);
    loop {
        if let Ok(Some(epoch)) = edge.epoch().await
            && epoch.incarnation == receipt.epoch.incarnation
            && epoch.sequence >= receipt.epoch.sequence
        {
            return true;
        }
        if Instant::now() + LOOK > deadline {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until the receipt's bound has passed; an error if that is too late, or some tier has not taken the purge.
async fn until_visible(receipt: &Receipt, deadline: Instant) -> Result<(), Failure> {
    let hint = "what is pending is told again and again, with or without this command";
    let Some(visible_by) = receipt.visible_by_ms else {
        let pending = receipt
            .tiers
            .iter()
            .filter(|tier| tier.state == PurgeState::Pending);
        let pending: Vec<_> = pending.map(tier_in_words).collect();
        let text = format!(
            "the purge is not visible everywhere yet: {}",
            pending.join("; ")
        );
        return Err(Failure::new(text).hint(hint));
    };
    let left = Duration::from_millis(visible_by.saturating_since(now()).as_u64());
    let visible_at = Instant::now() + left;
    tokio::time::sleep_until(visible_at.min(deadline)).await;
    if visible_at > deadline {
        let text = format!("the purge is only sure to be visible everywhere in {left:.1?}");
        return Err(
            Failure::new(text).hint("every tier has taken it; wait longer with --wait SECONDS")
        );
    }
    Ok(())
}

/// A receipt for people: what, where, by when.
fn in_words(receipt: &Receipt, now: TimestampMillis) -> String {
    let mode = match receipt.mode {
        PurgeMode::Soft => "softly",
        PurgeMode::Hard => "hard",
    };
    let scopes = match receipt.scopes {
        1 => "one scope".to_owned(),
        scopes => format!("{scopes} scopes"),
    };
    let mut text = format!("purged {scopes} {mode}, at {}\n", receipt.epoch);
    for tier in &receipt.tiers {
        let _ = writeln!(text, "  {}", tier_in_words(tier)); // a String takes everything
    }
    let _ = match receipt.visible_by_ms {
        Some(at) => writeln!(
            text,
            "{} nobody is served anything older",
            from_now(at, now)
        ),
        None => writeln!(
            text,
            "not everywhere yet: what is pending is told until it takes it"
        ),
    };
    if let Some(at) = receipt.again_at_ms {
        let _ = writeln!(text, "the same once more {}", from_now(at, now));
    }
    text
}

fn tier_in_words(tier: &TierReceipt) -> String {
    let place = match tier.tier {
        PurgedTier::Memory => "memory",
        PurgedTier::Redis => "services and Redis",
        PurgedTier::Edge => "edge",
    };
    let name = tier
        .name
        .as_ref()
        .map(|name| format!(" {name}"))
        .unwrap_or_default();
    let detail = tier
        .detail
        .as_ref()
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    match tier.state {
        PurgeState::Done => format!(
            "{place}{name}: taken, every reader within {}{detail}",
            tier.bound_ms
        ),
        PurgeState::Pending => format!("{place}{name}: pending{detail}"),
    }
}

fn from_now(at: TimestampMillis, now: TimestampMillis) -> String {
    let left = Duration::from_millis(at.saturating_since(now).as_u64());
    if left.is_zero() {
        return "now".to_owned();
    }
    format!("in {:.1} s", left.as_secs_f64())
}

fn now() -> TimestampMillis {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    TimestampMillis::from_unix_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// A whole number and its unit.
fn parse_time(text: &str) -> Result<Duration, String> {
    let refuse =
        || format!("{text:?} is no time: a number and ms, s, m or h are expected, such as 5s");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refuse())?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(refuse()),
    };
    Ok(Duration::from_millis(number.saturating_mul(milliseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, expected) in [
            ("500ms", Some(500)),
            ("5s", Some(5_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("5", None),
            ("s", None),
            ("-5s", None),
            ("5 s", None),
            ("99999999999999999999s", None),
        ] {
            let parsed = parse_time(text).ok().map(|time| time.as_millis());
            assert_eq!(parsed, expected, "{text}");
        }
    }

    #[test]
    fn a_receipt_says_what_where_and_by_when() {
        let receipt: Receipt = serde_json::from_value(serde_json::json!({
            "epoch": "00c0ffee00c0ffee-17", "mode": "soft", "scopes": 2, "purged_at_ms": 1_000,
            "again_at_ms": 6_000,
            "tiers": [
                { "tier": "redis", "state": "done", "bound_ms": 5_000 },
                { "tier": "edge", "name": "eu", "state": "pending", "bound_ms": 5_000, "detail": "it is down" },
            ],
        }))
        .expect("a receipt");
        let text = in_words(&receipt, TimestampMillis::from_unix_millis(1_000));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "purged 2 scopes softly, at 00c0ffee00c0ffee-17",
                "  services and Redis: taken, every reader within 5000 ms",
                "  edge eu: pending: it is down",
                "not everywhere yet: what is pending is told until it takes it",
                "the same once more in 5.0 s",
            ]
        );
    }
}
