//! What is served while it is stale, early, negative, or slow to come.

use std::sync::Arc;
use std::time::Duration;

use terrace_shared::policy::{EarlyRefresh, KeySpace};
use terrace_shared::time::{DeltaSeconds, Milliseconds};

use super::support::{Gate, Process, SourceError, World, settle};
use crate::{Answer, Error, Purge, Source, StaleReason};

async fn fill(
    process: &Process,
    answer: Result<&str, SourceError>,
) -> Result<Answer<Arc<String>>, Error<SourceError>> {
    let answer = answer.map(str::to_owned);
    process
        .plans
        .answer_or_fill(&key!(id: 1), async |_| answer)
        .await
}

async fn refresh(
    process: &Process,
    answer: Result<&str, SourceError>,
) -> Result<Answer<Arc<String>>, Error<SourceError>> {
    let answer = answer.map(str::to_owned);
    process
        .plans
        .answer_or_refresh(&key!(id: 1), async |_| answer)
        .await
}

fn told(answer: &Answer<Arc<String>>) -> (&str, Source, Option<StaleReason>) {
    (&answer.value, answer.source, answer.stale)
}

fn memory_only(space: &mut KeySpace) {
    space.lifetimes.redis = None;
}

#[tokio::test]
async fn an_entry_within_grace_is_served_at_once_while_one_task_fills_it_again() {
    let world = World::new(|space| {
        memory_only(space);
        space.grace = DeltaSeconds::seconds(30);
    });
    let process = world.process();
    refresh(&process, Ok("v1")).await.expect("filled");
    world.clock.advance(DeltaSeconds::seconds(60));
    let first = refresh(&process, Ok("v2")).await.expect("stale");
    assert_eq!(
        told(&first),
        ("v1", Source::Memory, Some(StaleReason::Grace))
    );
    settle().await;
    let next = refresh(&process, Ok("unused")).await.expect("fresh");
    assert_eq!(told(&next), ("v2", Source::Memory, None));
    assert_eq!(process.counted().fills_total, 2);
    world.clock.advance(DeltaSeconds::seconds(90));
    let after = refresh(&process, Ok("v3")).await.expect("filled");
    assert_eq!(told(&after), ("v3", Source::Filled, None));
}

#[tokio::test]
async fn whoever_fills_without_a_task_waits_and_the_others_are_served_stale() {
    let world = World::new(|space| space.grace = DeltaSeconds::minutes(60));
    let process = world.process();
    fill(&process, Ok("v1")).await.expect("filled");
    world.clock.advance(DeltaSeconds::minutes(11));
    let (gate, source) = Gate::new();
    let plans = process.plans.clone();
    let first = tokio::spawn(async move {
        plans
            .answer_or_fill(&key!(id: 1), async |_| source.ask().await)
            .await
    });
    settle().await;
    let other = fill(&process, Ok("unused")).await.expect("stale");
    assert_eq!(
        told(&other),
        ("v1", Source::Memory, Some(StaleReason::Grace))
    );
    gate.open("v2");
    let first = first.await.expect("no panic").expect("filled");
    assert_eq!(told(&first), ("v2", Source::Filled, None));
}

#[tokio::test]
async fn a_soft_purge_leaves_a_stale_entry_and_a_hard_one_none() {
    let world = World::new(|space| {
        memory_only(space);
        space.grace = DeltaSeconds::seconds(30);
        space.stale_if_error = DeltaSeconds::hours(1);
    });
    let process = world.process();
    fill(&process, Ok("v1")).await.expect("filled");
    process
        .cache
        .purge(Purge::key("plan:1").soft())
        .await
        .expect("taken");
    let soft = refresh(&process, Err(SourceError)).await.expect("stale");
    assert_eq!(
        told(&soft),
        ("v1", Source::Memory, Some(StaleReason::Grace))
    );
    settle().await;
    process
        .cache
        .purge(Purge::key("plan:1"))
        .await
        .expect("taken");
    process
        .cache
        .purge(Purge::key("plan:1").soft())
        .await
        .expect("taken");
    let hard = refresh(&process, Err(SourceError)).await;
    assert!(matches!(hard, Err(Error::Fill(SourceError))), "{hard:?}");
}

#[tokio::test]
async fn a_source_that_fails_is_covered_by_a_stale_entry_for_as_long_as_the_policy_says() {
    let world = World::new(|space| {
        memory_only(space);
        space.stale_if_error = DeltaSeconds::seconds(100);
    });
    let process = world.process();
    fill(&process, Ok("v1")).await.expect("filled");
    world.clock.advance(DeltaSeconds::seconds(60));
    let covered = fill(&process, Err(SourceError)).await.expect("stale");
    assert_eq!(
        told(&covered),
        ("v1", Source::Memory, Some(StaleReason::SourceFailed))
    );
    world.clock.advance(DeltaSeconds::seconds(100));
    let over = fill(&process, Err(SourceError)).await;
    assert!(matches!(over, Err(Error::Fill(SourceError))), "{over:?}");
    assert_eq!(process.counted().fill_errors_total, 2);
}

#[tokio::test]
async fn a_purge_during_a_failing_fill_takes_the_stale_entry_away_too() {
    let world = World::new(|space| {
        memory_only(space);
        space.stale_if_error = DeltaSeconds::hours(1);
    });
    let process = world.process();
    fill(&process, Ok("v1")).await.expect("filled");
    world.clock.advance(DeltaSeconds::seconds(60));
    let (gate, source) = Gate::new();
    let plans = process.plans.clone();
    let request = tokio::spawn(async move {
        plans
            .answer_or_fill(&key!(id: 1), async |_| source.ask().await)
            .await
    });
    settle().await;
    process
        .cache
        .purge(Purge::key("plan:1"))
        .await
        .expect("taken");
    drop(gate.answer);
    let answer = request.await.expect("no panic");
    assert!(
        matches!(answer, Err(Error::Fill(SourceError))),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_slow_is_left_to_finish_on_its_own() {
    let world = World::new(|space| {
        memory_only(space);
        space.stale_if_error = DeltaSeconds::hours(1);
        space.soft_timeout = Some(Milliseconds::new(50));
        space.hard_timeout = Some(Milliseconds::new(500));
    });
    let process = world.process();
    let slow = async |answer: &'static str, takes| {
        process
            .plans
            .answer_or_refresh(&key!(id: 1), move |_| async move {
                tokio::time::sleep(Duration::from_millis(takes)).await; // paused time: no waiting
                Ok::<_, SourceError>(answer.to_owned())
            })
            .await
    };
    let none_yet = slow("v1", 600).await;
    assert!(
        matches!(none_yet, Err(Error::TimedOut { limit }) if limit.as_u64() == 500),
        "{none_yet:?}"
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        told(&slow("unused", 0).await.expect("stored meanwhile")),
        ("v1", Source::Memory, None)
    );
    world.clock.advance(DeltaSeconds::seconds(60));
    let stale = slow("v2", 100).await.expect("stale");
    assert_eq!(
        told(&stale),
        ("v1", Source::Memory, Some(StaleReason::SourceSlow))
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        told(&slow("unused", 0).await.expect("stored meanwhile")),
        ("v2", Source::Memory, None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_borrows_ends_with_the_hard_time_out() {
    let world = World::new(|space| space.hard_timeout = Some(Milliseconds::new(500)));
    let process = world.process();
    let answer = process
        .plans
        .get_or_fill(&key!(id: 1), async |_| {
            std::future::pending::<Result<String, SourceError>>().await
        })
        .await;
    assert!(matches!(answer, Err(Error::TimedOut { .. })), "{answer:?}");
    assert_eq!(process.counted().fill_timeouts_total, 1);
    assert_eq!(process.cache.stats().memory.flights, 0);
}

#[tokio::test]
async fn an_entry_due_early_is_served_fresh_and_filled_behind() {
    let world = World::new(|space| {
        memory_only(space);
        space.early_refresh = EarlyRefresh::Percent { percent: 80 };
    });
    let process = world.process();
    refresh(&process, Ok("v1")).await.expect("filled");
    world.clock.advance(DeltaSeconds::seconds(47));
    assert_eq!(
        told(&refresh(&process, Ok("unused")).await.expect("fresh")),
        ("v1", Source::Memory, None)
    );
    world.clock.advance(DeltaSeconds::seconds(1));
    assert_eq!(
        told(&refresh(&process, Ok("v2")).await.expect("fresh")),
        ("v1", Source::Memory, None)
    );
    settle().await;
    assert_eq!(
        told(&refresh(&process, Ok("unused")).await.expect("fresh")),
        ("v2", Source::Memory, None)
    );
    assert_eq!(process.counted().early_refreshes_total, 1);
}

#[tokio::test]
async fn there_is_none_is_remembered_on_both_tiers_and_is_no_answer_for_who_needs_one() {
    let world = World::new(|_| {});
    let (one, two) = (world.process(), world.process());
    let none = async |process: &Process| {
        let answer = process
            .plans
            .answer_or_fill(&key!(id: 1), async |_| {
                Ok::<Option<String>, SourceError>(None)
            })
            .await;
        answer.expect("an answer")
    };
    assert_eq!(
        (none(&one).await.value, none(&one).await.source),
        (None, Source::Memory)
    );
    one.cache.flush().await;
    assert_eq!(none(&two).await.source, Source::Redis);
    let needed = fill(&two, Ok("v1")).await.expect("filled");
    assert_eq!(told(&needed), ("v1", Source::Filled, None));
    let found = two
        .plans
        .get_or_fill(&key!(id: 1), async |_| {
            Ok::<Option<String>, SourceError>(None)
        })
        .await;
    assert_eq!(
        found.expect("an answer").as_deref().map(String::as_str),
        Some("v1")
    );
}

#[tokio::test]
async fn a_value_is_stale_exactly_at_the_end_of_its_lifetime() {
    let world = World::new(memory_only);
    let process = world.process();
    fill(&process, Ok("v1")).await.expect("filled");
    world.clock.advance(Milliseconds::new(59_999));
    assert_eq!(
        fill(&process, Ok("v2")).await.expect("fresh").source,
        Source::Memory
    );
    world.clock.advance(Milliseconds::new(1));
    assert_eq!(
        fill(&process, Ok("v2")).await.expect("filled").source,
        Source::Filled
    );
}
