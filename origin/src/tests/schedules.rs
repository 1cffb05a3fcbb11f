//! Purges against fills: every interleaving that other caches lose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use terrace_shared::purge::Verdict;
use tokio::task::JoinHandle;

use super::support::{Gate, GatedSource, Process, SourceError, World, settle};
use crate::ledger::Judged;
use crate::{Error, Purge, Source};

type Asked = Result<crate::Answer<Arc<String>>, Error<SourceError>>;

/// A request on a task of its own, whose fill names the value `region:TX`.
fn request(process: &Process, source: GatedSource) -> JoinHandle<Asked> {
    let plans = process.plans.clone();
    tokio::spawn(async move {
        plans
            .answer_or_fill(&key!(id: 1), async |fill| {
                fill.surrogate_key("region:TX");
                source.ask().await
            })
            .await
    })
}

/// A request whose source answers at once.
async fn ask(process: &Process, answer: &str) -> crate::Answer<Arc<String>> {
    process
        .plans
        .answer_or_fill(&key!(id: 1), async |fill| {
            fill.surrogate_key("region:TX");
            Ok::<_, SourceError>(answer.to_owned())
        })
        .await
        .expect("the source answers")
}

async fn value(request: JoinHandle<Asked>) -> (String, Source) {
    let answered = tokio::time::timeout(Duration::from_secs(10), request).await;
    let answer = answered
        .expect("in time")
        .expect("no panic")
        .expect("an answer");
    (answer.value.to_string(), answer.source)
}

#[tokio::test(start_paused = true)]
async fn a_fill_in_flight_across_a_purge_does_not_survive_it_on_any_tier() {
    for purge in [
        Purge::key("plan:1"),
        Purge::namespace("plan"),
        Purge::prefix("plan:"),
        Purge::pattern("pl*:?"),
        Purge::surrogate_key("region:TX"), // named by the fill only after the purge
        Purge::everything(),
    ] {
        let world = World::new(|_| {});
        let process = world.process();
        let (gate, source) = Gate::new();
        let first = request(&process, source);
        settle().await;
        process.cache.purge(purge.clone()).await.expect("taken");
        gate.open("old");
        assert_eq!(value(first).await, ("old".to_owned(), Source::Filled));
        process.cache.flush().await;

        let next = ask(&process, "new").await;
        assert_eq!(
            (&**next.value, next.source),
            ("new", Source::Filled),
            "{purge:?}"
        );
        process.cache.flush().await;
        let other = ask(&world.process(), "unused").await;
        assert_eq!(
            (&**other.value, other.source),
            ("new", Source::Redis),
            "{purge:?}"
        );
        assert_eq!(process.counted().fills_outrun_total, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_reaches_memory_and_redis_of_every_process() {
    let world = World::new(|_| {});
    let (one, two) = (world.process(), world.process());
    assert_eq!(ask(&one, "v1").await.source, Source::Filled);
    one.cache.flush().await;
    assert_eq!(ask(&two, "unused").await.source, Source::Redis);
    assert_eq!(ask(&two, "unused").await.source, Source::Memory);
    one.cache
        .purge(Purge::surrogate_key("region:TX"))
        .await
        .expect("taken");
    for (process, source) in [(&two, Source::Filled), (&one, Source::Redis)] {
        let answer = ask(process, "v2").await;
        assert_eq!((&**answer.value, answer.source), ("v2", source));
        process.cache.flush().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_join_a_flight_that_began_before_a_purge() {
    let world = World::new(|_| {});
    let process = world.process();
    let (old_gate, source) = Gate::new();
    let old = request(&process, source);
    settle().await;
    process
        .cache
        .purge(Purge::key("plan:1"))
        .await
        .expect("taken");
    let (new_gate, source) = Gate::new();
    let new = request(&process, source);
    settle().await;
    let follower = request(&process, Gate::new().1);
    settle().await;
    new_gate.open("new");
    assert_eq!(value(new).await, ("new".to_owned(), Source::Filled));
    assert_eq!(value(follower).await, ("new".to_owned(), Source::Coalesced));
    old_gate.open("old");
    assert_eq!(value(old).await, ("old".to_owned(), Source::Filled));
    assert_eq!(ask(&process, "unused").await.source, Source::Memory);
    assert_eq!(*ask(&process, "unused").await.value, "new");
}

#[tokio::test(start_paused = true)]
async fn a_follower_does_not_take_what_a_purge_named_by_a_surrogate_key_of_the_fill() {
    let world = World::new(|_| {});
    let process = world.process();
    let (gate, source) = Gate::new();
    let leader = request(&process, source);
    settle().await;
    let (own_gate, source) = Gate::new();
    let follower = request(&process, source);
    settle().await;
    // Nobody can know yet that this names the flight's value.
    process
        .cache
        .purge(Purge::surrogate_key("region:TX"))
        .await
        .expect("taken");
    gate.open("old");
    assert_eq!(value(leader).await, ("old".to_owned(), Source::Filled));
    own_gate.open("new");
    assert_eq!(value(follower).await, ("new".to_owned(), Source::Filled));
}

#[tokio::test(start_paused = true)]
async fn a_follower_takes_over_when_its_leader_is_cancelled_panics_or_fails() {
    enum End {
        Cancelled,
        Panics,
        Fails,
    }
    for end in [End::Cancelled, End::Panics, End::Fails] {
        let process = World::new(|_| {}).process();
        let (gate, source) = Gate::new();
        let plans = process.plans.clone();
        let panics = matches!(end, End::Panics);
        let leader = tokio::spawn(async move {
            plans
                .answer_or_fill(&key!(id: 1), async |_| {
                    let answer = source.ask().await;
                    assert!(!panics, "as it was told to");
                    answer
                })
                .await
        });
        settle().await;
        let (own_gate, source) = Gate::new();
        let follower = request(&process, source);
        settle().await;
        match end {
            End::Cancelled => leader.abort(),
            End::Panics => gate.open("unused"),
            End::Fails => drop(gate.answer),
        }
        own_gate.asked.await.expect("the follower asks the source");
        let _ = own_gate.answer.send(Ok("its own".to_owned()));
        assert_eq!(
            value(follower).await,
            ("its own".to_owned(), Source::Filled)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_misses_at_once_are_one_fill() {
    let process = World::new(|_| {}).process();
    let fills = Arc::new(AtomicUsize::new(0));
    let requests: Vec<_> = (0..10_000)
        .map(|_| {
            let (plans, fills) = (process.plans.clone(), fills.clone());
            tokio::spawn(async move {
                let value = plans
                    .get_or_fill(&key!(id: 1), async |_| {
                        fills.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        Ok::<_, SourceError>("v".to_owned())
                    })
                    .await;
                value.expect("an answer")
            })
        })
        .collect();
    for request in requests {
        assert_eq!(*request.await.expect("no panic"), "v");
    }
    assert_eq!(fills.load(Ordering::SeqCst), 1);
    assert_eq!(process.counted().fills_total, 1);
}

#[tokio::test(start_paused = true)]
async fn purges_of_others_lift_an_entry_and_leave_it_where_it_is() {
    let world = World::new(|_| {});
    let process = world.process();
    ask(&process, "v").await;
    for number in 0..50 {
        let other = Purge::key(format!("plan:other{number}"));
        process.cache.purge(other).await.expect("taken");
        assert_eq!(ask(&process, "unused").await.source, Source::Memory);
    }
    let engine = process.cache.engine();
    let entry = engine.memory.get("plan:1").expect("stored");
    assert_eq!(
        Some(entry.standing().fence().filled_at),
        process.cache.epoch()
    );
    assert_eq!(entry.standing().judged_in(), engine.view().generation());
}

#[tokio::test(start_paused = true)]
async fn a_promoted_copy_keeps_the_fence_of_the_copy_it_came_from() {
    let world = World::new(|_| {});
    let (one, two) = (world.process(), world.process());
    ask(&one, "v1").await;
    one.cache.flush().await;
    let filled_at = one.cache.epoch();
    let stored = world.tier.stored.lock()["plan:1"].clone();
    let (envelope, _) = terrace_shared::stored::Envelope::decode(&stored).expect("an envelope");
    assert_eq!(Some(envelope.fence.filled_at), filled_at);
    one.cache
        .purge(Purge::surrogate_key("other"))
        .await
        .expect("taken");
    assert_eq!(ask(&two, "unused").await.source, Source::Redis);
    let copy = two.cache.engine().memory.get("plan:1").expect("promoted");
    assert_eq!(
        (copy.standing().filled_under(), copy.scopes()),
        (envelope.fence, &envelope.scopes)
    );
    one.cache
        .purge(Purge::surrogate_key("region:TX"))
        .await
        .expect("taken");
    assert_eq!(two.cache.engine().view().judge(&copy), Verdict::Dropped);
}
