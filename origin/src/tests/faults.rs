//! Tiers that fail, bytes that are not what they should be, and a ledger that lags.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use terrace_shared::policy::OnLedgerLag;
use terrace_shared::purge::token::Wanted;
use terrace_shared::purge::{
    Epoch, Incarnation, Ledger, LedgerLimits, Purge as Record, Sequence, Update,
};
use terrace_shared::stored::Envelope;
use terrace_shared::time::{DeltaSeconds, Milliseconds};

use super::support::{Fault, Process, SourceError, World};
use crate::error::LedgerError;
use crate::ledger::{Appended, BoxFuture, PurgeLedger, View};
use crate::{Answer, Error, LedgerLag, NamespaceError, Purge, PurgeError, Source};

async fn ask(process: &Process, answer: &str) -> Result<Answer<Arc<String>>, Error<SourceError>> {
    let answer = answer.to_owned();
    process
        .plans
        .answer_or_fill(&key!(id: 1), async |_| Ok(answer))
        .await
}

#[tokio::test]
async fn bytes_that_are_not_the_entry_are_a_miss_and_counted() {
    let world = World::new(|_| {});
    let one = world.process();
    ask(&one, "v1").await.expect("filled");
    one.cache.flush().await;
    let good = world.tier.stored.lock()["plan:1"].clone();
    let (envelope, payload) = Envelope::decode(&good).expect("an envelope");
    let elsewhere = terrace_shared::purge::EntryScopes::of_key("plan", "plan:2", []);
    let of_another_key = Envelope {
        scopes: elsewhere,
        ..envelope.clone()
    }
    .encode(payload);
    for bad in [
        Vec::new(),
        b"hello".to_vec(),
        good[..good.len() / 2].to_vec(),
        good[..good.len() - 1].to_vec(),
        envelope.encode(b"{\"not\": \"a string\"}"),
        of_another_key,
    ] {
        world
            .tier
            .stored
            .lock()
            .insert("plan:1".to_owned(), bad.clone());
        let process = world.process();
        let answer = ask(&process, "v2").await.expect("filled");
        assert_eq!(answer.source, Source::Filled, "{bad:?}");
        assert_eq!(process.counted().corrupt_entries_total, 1, "{bad:?}");
    }
    world.tier.stored.lock().insert("plan:1".to_owned(), good);
    assert_eq!(
        ask(&world.process(), "v2").await.expect("found").source,
        Source::Redis
    );
}

#[tokio::test]
async fn a_tier_that_fails_is_counted_and_never_the_callers_failure() {
    for fault in [Fault::Down, Fault::AfterPersisting] {
        let world = World::new(|_| {});
        let process = world.process();
        world.tier.fail(fault);
        assert_eq!(
            ask(&process, "v1").await.expect("filled").source,
            Source::Filled
        );
        process.cache.flush().await;
        assert_eq!(
            process.counted().redis_errors_total,
            2,
            "one read, one write"
        );
        assert_eq!(
            ask(&process, "unused").await.expect("kept").source,
            Source::Memory
        );
        let persisted = world.tier.stored.lock().contains_key("plan:1");
        assert_eq!(persisted, fault == Fault::AfterPersisting);
    }
}

#[tokio::test]
async fn a_value_whose_surrogate_keys_are_refused_is_returned_and_not_stored() {
    for bad in ["two words", "", "a,b"] {
        let world = World::new(|_| {});
        let process = world.process();
        for _ in 0..2 {
            let answer = process
                .plans
                .answer_or_fill(&key!(id: 1), async |fill| {
                    fill.surrogate_key("fine")
                        .surrogate_key(bad)
                        .surrogate_key("fine-too");
                    Ok::<_, SourceError>("v".to_owned())
                })
                .await;
            assert_eq!(answer.expect("filled").source, Source::Filled);
        }
        process.cache.flush().await;
        assert_eq!(process.counted().refused_surrogate_keys_total, 2, "{bad:?}");
        assert!(world.tier.stored.lock().is_empty());
    }
    let process = World::new(|_| {}).process();
    let crowd = process
        .plans
        .get_or_fill(&key!(id: 2), async |fill| {
            fill.surrogate_keys((0..1_025).map(|number| number.to_string()));
            Ok::<_, SourceError>("v".to_owned())
        })
        .await;
    assert_eq!(*crowd.expect("filled"), "v");
    assert_eq!(process.counted().refused_surrogate_keys_total, 1);
}

#[tokio::test]
async fn an_entry_that_was_filled_further_along_than_the_view_is_not_believed() {
    let world = World::new(|_| {});
    let process = world.process();
    ask(&process, "v1").await.expect("filled");
    process.cache.flush().await;
    let stored = world.tier.stored.lock()["plan:1"].clone();
    let (mut envelope, payload) = Envelope::decode(&stored).expect("an envelope");
    envelope.fence.filled_at.sequence = Sequence::new(99);
    let ahead = envelope.encode(payload);
    world.tier.stored.lock().insert("plan:1".to_owned(), ahead);
    assert_eq!(
        ask(&world.process(), "v2").await.expect("filled").source,
        Source::Filled
    );
}

/// A ledger elsewhere, whose news come when they are told to.
struct FarLedger {
    view: Arc<View>,
    met: Mutex<Vec<Epoch>>,
}

impl PurgeLedger for FarLedger {
    fn view(&self) -> &Arc<View> {
        &self.view
    }

    fn append(&self, _purge: Record) -> BoxFuture<'_, Result<Appended, LedgerError>> {
        let reason = "connection refused".to_owned();
        Box::pin(async { Err(LedgerError::Unreachable { reason }) })
    }

    fn shared_within(&self) -> Option<Milliseconds> {
        Some(Milliseconds::new(5_000))
    }

    fn met_later(&self, epoch: Epoch) {
        self.met.lock().push(epoch);
    }

    fn catch_up<'a>(&'a self, _: &'a Wanted) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn far_world(on_ledger_lag: OnLedgerLag) -> (World, Arc<FarLedger>) {
    let ledger = Arc::new(FarLedger {
        view: Arc::new(View::empty()),
        met: Mutex::default(),
    });
    let world = World::new(|space| space.on_ledger_lag = on_ledger_lag);
    (world.with_ledger(ledger.clone()), ledger)
}

fn confirm(world: &World, ledger: &FarLedger) {
    let now = world.clock.clock().moment();
    let news = Ledger::new(Incarnation::from_random(1), LedgerLimits::default());
    let update = Update::Snapshot(news);
    let updated = ledger
        .view
        .change(|replica| replica.update(update, now.wall));
    updated.expect("a snapshot fits");
    ledger.view.confirm(now);
}

#[tokio::test]
async fn nothing_is_stored_before_the_first_view_of_the_ledger() {
    let (world, ledger) = far_world(OnLedgerLag::Revalidate);
    let process = world.process();
    for _ in 0..2 {
        let answer = ask(&process, "v1").await.expect("filled");
        assert_eq!(
            (answer.source, answer.ledger_lag),
            (Source::Filled, Some(LedgerLag::Unknown))
        );
    }
    confirm(&world, &ledger);
    assert_eq!(
        ask(&process, "v1").await.expect("filled").source,
        Source::Filled
    );
    assert_eq!(
        ask(&process, "v1").await.expect("kept").source,
        Source::Memory
    );
}

#[tokio::test]
async fn a_view_older_than_its_bound_does_what_the_policy_says_and_the_answer_tells() {
    let age = LedgerLag::Beyond(Milliseconds::new(5_001));
    for (policy, source) in [
        (OnLedgerLag::Revalidate, Some(Source::Filled)),
        (OnLedgerLag::ServeStale, Some(Source::Memory)),
        (OnLedgerLag::Fail, None),
    ] {
        let (world, ledger) = far_world(policy);
        let process = world.process();
        confirm(&world, &ledger);
        ask(&process, "v1").await.expect("filled");
        world.clock.advance(DeltaSeconds::seconds(5));
        let within = ask(&process, "unused").await.expect("kept");
        assert_eq!((within.source, within.ledger_lag), (Source::Memory, None));
        world.clock.advance(Milliseconds::new(1));
        match (ask(&process, "v2").await, source) {
            (Ok(answer), Some(source)) => {
                assert_eq!(
                    (answer.source, answer.ledger_lag),
                    (source, Some(age)),
                    "{policy:?}"
                );
            }
            (Err(Error::LedgerLag { lag, .. }), None) => assert_eq!(lag, age),
            (answer, _) => panic!("{policy:?}: {answer:?}"),
        }
        assert_eq!(process.counted().ledger_lagged_reads_total, 1);
    }
}

#[tokio::test]
async fn a_purge_that_the_ledger_does_not_take_says_that_nothing_was_purged() {
    let (world, ledger) = far_world(OnLedgerLag::Revalidate);
    let process = world.process();
    confirm(&world, &ledger);
    ask(&process, "v1").await.expect("filled");
    let error = process
        .cache
        .purge(Purge::everything())
        .await
        .expect_err("refused");
    assert_eq!(error.to_string(), "nothing was purged");
    assert!(matches!(
        error,
        PurgeError::Ledger(LedgerError::Unreachable { .. })
    ));
    assert_eq!(
        ask(&process, "unused").await.expect("kept").source,
        Source::Memory
    );
    let stats = process.cache.stats().cache;
    assert_eq!((stats.purges_total, stats.purge_errors_total), (0, 1));
}

#[tokio::test]
async fn a_purge_that_names_nothing_or_nonsense_says_which() {
    let process = World::new(|_| {}).process();
    let calls = process.cache.engine().ledger.view().generation();
    for (purge, reason) in [
        (Purge::surrogate_keys(Vec::<String>::new()), "names nothing"),
        (Purge::surrogate_key("a b"), "surrogate_keys[0]"),
        (Purge::pattern(""), "patterns[0]"),
    ] {
        let error = process.cache.purge(purge).await.expect_err("refused");
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        assert!(
            cause.as_deref().is_some_and(|cause| cause.contains(reason)),
            "{cause:?}"
        );
    }
    assert_eq!(process.cache.engine().ledger.view().generation(), calls);
}

#[tokio::test]
async fn a_namespace_or_a_key_that_does_not_fit_is_named() {
    let process = World::new(|_| {}).process();
    let unknown = process
        .cache
        .namespace::<String>("plans")
        .expect_err("unknown");
    assert_eq!(
        unknown.to_string(),
        "the policy has no [keys.plans]; it has plan"
    );
    let other = process.cache.namespace::<u32>("plan").expect_err("in use");
    assert!(matches!(other, NamespaceError::OtherType { .. }));
    let wrong = process
        .plans
        .get_or_fill(&key!(number: 1), async |_| {
            Ok::<_, SourceError>(String::new())
        })
        .await;
    assert!(matches!(wrong, Err(Error::Key { .. })));
    assert_eq!(process.counted().fills_total, 0);
    assert_eq!(process.cache.engine().flights.len(), 0);
}

#[tokio::test]
async fn a_tier_that_is_not_used_is_not_asked() {
    let world = World::new(|space| space.lifetimes.redis = None);
    let process = world.process();
    ask(&process, "v1").await.expect("filled");
    process.cache.flush().await;
    assert_eq!(world.tier.calls.load(Ordering::SeqCst), 0);
}
