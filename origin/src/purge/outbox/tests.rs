use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use terrace_shared::purge::{Epoch, Incarnation, Sequence};
use terrace_shared::time::TimestampMillis;

use super::*;
use crate::ledger::BoxFuture;

/// An edge that fails as often as it is told to, and writes down what it was asked.
#[derive(Clone, Default)]
struct FakeEdge {
    told: Arc<Mutex<Vec<PurgeRequest>>>,
    failures: Arc<AtomicUsize>,
    understands_nothing: bool,
}

impl PurgeTarget for FakeEdge {
    fn tell<'a>(&'a self, request: &'a PurgeRequest) -> BoxFuture<'a, Result<Receipt, TellError>> {
        Box::pin(async move {
            let left = self.failures.load(Ordering::SeqCst);
            if left > 0 {
                self.failures.store(left - 1, Ordering::SeqCst);
                return Err(TellError::Later("the edge is down".to_owned()));
            }
            if self.understands_nothing && !request.everything {
                return Err(TellError::Never("what?".to_owned()));
            }
            self.told.lock().push(request.clone());
            Ok(receipt(request))
        })
    }
}

fn epoch(sequence: u64) -> Epoch {
    Epoch {
        incarnation: Incarnation::from_random(1),
        sequence: Sequence::new(sequence),
    }
}

fn receipt(request: &PurgeRequest) -> Receipt {
    Receipt {
        epoch: epoch(9),
        mode: request.mode,
        scopes: 1,
        purged_at_ms: TimestampMillis::default(),
        visible_by_ms: None,
        tiers: Vec::new(),
        again_at_ms: None,
        token: None,
    }
}

fn purge(key: &str, sequence: u64) -> PurgeRequest {
    PurgeRequest {
        surrogate_keys: vec![key.to_owned()],
        origin_epoch: Some(epoch(sequence)),
        ..PurgeRequest::default()
    }
}

async fn emptied(outbox: &Outbox) {
    while outbox.counts().depth.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await; // paused time: no waiting
    }
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_answers_has_taken_the_purge_when_the_call_returns() {
    let edge = FakeEdge::default();
    let outbox = Outbox::to(edge.clone());
    let delivery = outbox.tell(purge("a", 1)).await;
    assert_eq!(delivery, Delivery::Taken(receipt(&purge("a", 1))));
    assert_eq!(*edge.told.lock(), [purge("a", 1)]);
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_is_down_for_an_hour_is_told_everything_in_order_afterwards() {
    let edge = FakeEdge::default();
    edge.failures.store(130, Ordering::SeqCst);
    let outbox = Outbox::to(edge.clone());
    let first = outbox.tell(purge("a", 1)).await;
    assert_eq!(first, Delivery::Pending("the edge is down".to_owned()));
    let second = outbox.tell(purge("b", 2)).await;
    assert_eq!(second, Delivery::Pending("the edge is down".to_owned()));
    emptied(&outbox).await;
    assert_eq!(*edge.told.lock(), [purge("a", 1), purge("b", 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_the_edge_will_never_understand_becomes_a_purge_of_everything() {
    let edge = FakeEdge {
        understands_nothing: true,
        ..FakeEdge::default()
    };
    let outbox = Outbox::to(edge.clone());
    let delivery = outbox.tell(purge("a", 1)).await;
    assert_eq!(delivery, Delivery::Pending("what?".to_owned()));
    emptied(&outbox).await;
    assert_eq!(*edge.told.lock(), [everything_instead_of(&purge("a", 1))]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_grows_too_long_becomes_one_purge_of_everything() {
    let edge = FakeEdge::default();
    edge.failures.store(3, Ordering::SeqCst);
    let outbox = Outbox::to(edge.clone());
    let last = u64::try_from(Postman::<FakeEdge>::LONGEST_QUEUE).expect("small") + 1;
    for sequence in 1..=last {
        let (first, _) = oneshot::channel();
        outbox.counts.depth.fetch_add(1, Ordering::Relaxed);
        let letter = Letter {
            request: purge("a", sequence),
            first: Some(first),
        };
        outbox.letters.send(letter).expect("the task runs");
    }
    emptied(&outbox).await;
    assert_eq!(
        *edge.told.lock(),
        [everything_instead_of(&purge("a", last))]
    );
}
