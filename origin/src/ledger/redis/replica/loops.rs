//! What a replica does by itself: it asks, and it listens.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::RedisResult;

use super::Replica;
use crate::backoff::Backoff;
use crate::ledger::redis::tail::{Relation, Told};

impl Replica {
    /// Shortest and longest pause between questions that fail.
    const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

    /// Longest silence on the channel before the connection is tried.
    const SILENCE: Duration = Duration::from_secs(10);

    /// Longest wait for a connection to listen on, and for its answer.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// Asks about every second, and at once when there is reason to.
    pub(in crate::ledger::redis) async fn keep_asking(self: Arc<Self>) {
        let mut backoff = Backoff::new(Self::PAUSES.0, Self::PAUSES.1);
        loop {
            match self.catch_up().await {
                Ok(()) => {
                    self.redis.health.succeeded();
                    self.view.compact(self.clock.now().timestamp());
                    backoff.reset();
                    let pause = self.refresh.mul_f64(0.9 + 0.2 * fastrand::f64());
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.nudge.notified() => {}
                    }
                }
                Err(error) => {
                    self.redis.health.failed(&error, &self.clock);
                    tokio::time::sleep(backoff.next_pause()).await;
                }
            }
        }
    }

    /// Listens for purges; connects again whenever that ends.
    pub(in crate::ledger::redis) async fn keep_listening(self: Arc<Self>) {
        let mut backoff = Backoff::new(Self::PAUSES.0, Self::PAUSES.1);
        loop {
            if self.listen(&mut backoff).await.is_err() {
                tokio::time::sleep(backoff.next_pause()).await;
            }
        }
    }

    async fn listen(&self, backoff: &mut Backoff) -> Result<(), ()> {
        let connected = tokio::time::timeout(Self::PATIENCE, async {
            let server = self.redis.connection.server_to_listen_to().await?;
            let mut pubsub = server.get_async_pubsub().await?;
            pubsub.subscribe(self.scripts.channel()).await?;
            RedisResult::Ok(pubsub.split())
        });
        let (mut sink, mut messages) = connected.await.map_err(drop)?.map_err(drop)?;
        backoff.reset();
        self.nudge.notify_one(); // whatever was told before this connection listened
        loop {
            match tokio::time::timeout(Self::SILENCE, messages.next()).await {
                Ok(Some(message)) => {
                    let relation = match Told::parse(message.get_payload_bytes()) {
                        Some(told) => self.take(told),
                        None => Relation::Unclear,
                    };
                    if relation == Relation::Unclear {
                        self.nudge.notify_one();
                    }
                }
                Ok(None) => return Err(()),
                Err(_) => {
                    let pong = tokio::time::timeout(Self::PATIENCE, sink.ping::<redis::Value>());
                    pong.await.map_err(drop)?.map_err(drop)?;
                }
            }
        }
    }
}
