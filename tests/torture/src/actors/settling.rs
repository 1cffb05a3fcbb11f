//! Purges that the edge had yet to take when their receipts were written.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use terrace_shared::purge::Epoch;

use super::Run;
use crate::checker::Reach;
use crate::http::Caller;

impl Run {
    /// Binds the edge's readers to what it had yet to take, once any process says that it has: the outbox is in Redis,
    /// and outlives whoever purged.
    pub(super) async fn keep_settling(self: Arc<Self>) {
        for process in (0..self.world.origins.len()).cycle() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if self.pending.lock().is_empty() {
                continue;
            }
            let taken = self.taken_by_edge(process).await;
            let now = self.now();
            let losses = self.losses.load(Ordering::SeqCst);
            let (mut told, mut lost) = (Vec::new(), 0);
            self.pending.lock().retain(|pending| {
                let may_be_lost = pending.losses != losses;
                let is_told = taken.is_some_and(|taken| {
                    taken.incarnation == pending.epoch.incarnation
                        && taken.sequence >= pending.epoch.sequence
                });
                if may_be_lost {
                    lost += 1;
                } else if is_told {
                    told.push(pending.clone());
                }
                !may_be_lost && !is_told
            });
            for _ in 0..lost {
                self.report.count("purges", "pending, and lost with Redis");
            }
            for pending in told {
                let from = now + pending.bound;
                self.bind(&pending.reached, pending.mode, Reach::Edge, from);
                self.remember(&pending.reached, || {
                    format!("told the edge by {} ms", now.as_millis())
                });
                self.report.count("purges", "pending, and told later");
            }
        }
    }

    /// Up to where the edge has taken the purges of the processes, if this one knows.
    async fn taken_by_edge(&self, process: usize) -> Option<Epoch> {
        let address = self.world.origins[process].address;
        let mut caller = Caller::of(address, Self::PATIENCE);
        let reply = caller.get("/torture/edge", &[]).await.ok()?;
        std::str::from_utf8(&reply.body).ok()?.parse().ok()
    }
}
