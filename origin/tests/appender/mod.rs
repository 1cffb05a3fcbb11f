//! Somebody else who purges, many times at once and with limits of their own: the ledger's own script, called by hand.

use std::time::Duration;

use terrace_origin::Epoch;
use terrace_shared::purge::{Incarnation, Purge, PurgeMode, Scope, Sequence};
use terrace_shared::time::TimestampMillis;

/// Where the ledger of the default name is.
pub(crate) const LEDGER: &str = "terrace:{default}:ledger:v2";

/// The most that the ledger may hold.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Records that are kept although a snapshot covers them.
    pub(crate) recent: u64,
    /// The most records.
    pub(crate) most: u64,
}

impl Limits {
    /// What services have.
    pub(crate) const USUAL: Self = Self {
        recent: 4_096,
        most: 131_072,
    };
}

/// A connection to the Redis at `url`, which has all the time that a busy machine needs.
pub(crate) async fn connect(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).expect("an address");
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(10)))
        .set_response_timeout(Some(Duration::from_secs(10)));
    let connected = client.get_multiplexed_async_connection_with_config(&patient);
    connected.await.expect("Redis answers")
}

/// Appends the purges, oldest first, and says where the last one stands.
pub(crate) async fn append(
    connection: &mut impl redis::aio::ConnectionLike,
    purges: impl IntoIterator<Item = Purge>,
    limits: Limits,
) -> Epoch {
    let script = redis::Script::new(concat!(
        include_str!("../../src/ledger/redis/ledger.lua"),
        "\n",
        include_str!("../../src/ledger/redis/append.lua")
    ));
    script
        .prepare_invoke()
        .load_async(connection)
        .await
        .expect("loaded");
    let purges: Vec<_> = purges.into_iter().collect();
    let mut last = None;
    for some in purges.chunks(1_000) {
        let mut pipeline = redis::pipe();
        for purge in some {
            let call = pipeline
                .cmd("EVALSHA")
                .arg(script.get_hash())
                .arg(2)
                .arg(LEDGER)
                .arg("terrace:{default}:outbox:v1");
            call.arg("00000000000000ff").arg(purge.encode());
            call.arg(limits.recent).arg(limits.most).arg(64 << 20);
            call.arg("terrace:{default}:purges:v2").arg(1_000);
        }
        let places: Vec<(String, u64, String, String)> =
            pipeline.query_async(connection).await.expect("appended");
        last = places.into_iter().last();
    }
    let (incarnation, sequence, ..) = last.expect("at least one");
    Epoch {
        incarnation: Incarnation::from_random(
            u64::from_str_radix(&incarnation, 16).expect("an incarnation"),
        ),
        sequence: Sequence::new(sequence),
    }
}

/// A hard purge of exactly this key, asked for now.
pub(crate) fn exactly(key: &str) -> Purge {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = now.expect("after 1970").as_millis();
    Purge {
        mode: PurgeMode::Hard,
        scopes: vec![Scope::exact(key).expect("a scope")],
        at: TimestampMillis::from_unix_millis(u64::try_from(millis).expect("a while yet")),
        origin_epoch: None,
    }
}
