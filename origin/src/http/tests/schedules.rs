//! Purges against fills: every interleaving that other caches lose.

use terrace_shared::purge::Verdict;

use super::support::{FRESH, Reply, World, get, in_time, request, response, send, streamed};
use crate::Purge;
use crate::ledger::Judged;
use crate::tests::settle;

const KEYED: [(&str, &str); 2] = [FRESH, ("surrogate-key", "region:TX")];

fn purges() -> [Purge; 7] {
    [
        Purge::url("http://a.example/x"),
        Purge::url("/x"),
        Purge::prefix("a.example/"),
        Purge::host("a.example"),
        Purge::pattern("a.example/?"),
        Purge::surrogate_key("region:TX"), // named by the service only after the purge
        Purge::everything(),
    ]
}

#[tokio::test]
async fn a_fill_in_flight_across_a_purge_does_not_survive_it_on_any_tier() {
    for purge in purges() {
        let world = World::shared();
        let process = world.process();
        let gate = process.origin.waits();
        let first = process.spawn(get("/x", &[]));
        settle().await;
        process.purge(purge.clone()).await;
        assert!(gate.send(Reply::Now(response(200, &KEYED, "old"))).is_ok());
        assert_eq!(in_time(first).await.text(), "old");
        process.cache.flush().await;

        process.origin.answers(200, &KEYED, "new");
        assert_eq!(process.get("/x").await.text(), "new", "{purge:?}");
        process.cache.flush().await;
        let other = world.process();
        let got = other.get("/x").await;
        assert_eq!(
            got.said(),
            "Terrace; hit; ttl=60; detail=\"redis\"",
            "{purge:?}"
        );
        assert_eq!(got.text(), "new");
        assert_eq!(process.counted().totals.outrun_fills_total, 1);
    }
}

#[tokio::test]
async fn a_purge_while_the_body_comes_counts_as_well() {
    let process = World::new().process();
    let (chunks, answer) = streamed(200, &KEYED);
    process.origin.replies(Reply::Now(answer));
    let first = process.spawn(get("/x", &[]));
    settle().await;
    send(&chunks, "o");
    settle().await;
    process.purge(Purge::surrogate_key("region:TX")).await;
    send(&chunks, "ld");
    drop(chunks);
    assert_eq!(in_time(first).await.text(), "old");
    process.origin.answers(200, &KEYED, "new");
    assert_eq!(process.get("/x").await.text(), "new");
}

#[tokio::test]
async fn a_request_does_not_join_a_flight_that_began_before_a_purge() {
    for purge in purges() {
        let process = World::new().process();
        let old_gate = process.origin.waits();
        let old = process.spawn(get("/x", &[]));
        settle().await;
        process.purge(purge.clone()).await;
        let new_gate = process.origin.waits();
        let new = process.spawn(get("/x", &[]));
        settle().await;
        // By its surrogate keys the first one is known to be outdated only when its head is there.
        assert!(
            old_gate
                .send(Reply::Now(response(200, &KEYED, "old")))
                .is_ok()
        );
        assert_eq!(in_time(old).await.text(), "old");
        settle().await;
        let follower = process.spawn(get("/x", &[]));
        settle().await;
        assert_eq!(process.origin.calls(), 2, "{purge:?}");
        assert!(
            new_gate
                .send(Reply::Now(response(200, &KEYED, "new")))
                .is_ok()
        );
        assert_eq!(in_time(new).await.text(), "new", "{purge:?}");
        assert_eq!(in_time(follower).await.text(), "new", "{purge:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_coming_is_not_joined_after_a_purge() {
    let process = World::new().process();
    let (chunks, answer) = streamed(200, &KEYED);
    process.origin.replies(Reply::Now(answer));
    let first = process.spawn(get("/x", &[]));
    settle().await;
    send(&chunks, "old");
    settle().await;
    process.purge(Purge::surrogate_key("region:TX")).await;
    process.origin.answers(200, &KEYED, "new");
    assert_eq!(in_time(process.spawn(get("/x", &[]))).await.text(), "new");
    drop(chunks);
    assert_eq!(in_time(first).await.text(), "old");
    assert_eq!(
        process.get("/x").await.text(),
        "new",
        "the older one is not put over it"
    );
}

#[tokio::test]
async fn a_purge_of_something_else_does_not_part_a_flight() {
    let process = World::new().process();
    let gate = process.origin.waits();
    let first = process.spawn(get("/x", &[]));
    settle().await;
    process.purge(Purge::surrogate_key("other")).await;
    let second = process.spawn(get("/x", &[]));
    settle().await;
    assert!(gate.send(Reply::Now(response(200, &KEYED, "one"))).is_ok());
    for request in [first, second] {
        assert_eq!(in_time(request).await.text(), "one");
    }
    assert_eq!(process.origin.calls(), 1);
}

#[tokio::test]
async fn a_promoted_copy_keeps_the_fence_of_what_it_is_a_copy_of() {
    let world = World::shared();
    let (one, two) = (world.process(), world.process());
    one.origin.answers(200, &KEYED, "old");
    let before = one.cache.epoch().expect("a view");
    one.get("/x").await;
    one.cache.flush().await;
    one.purge(Purge::surrogate_key("other")).await;
    assert_eq!(
        two.get("/x").await.said(),
        "Terrace; hit; ttl=60; detail=\"redis\""
    );
    let entry = two.stored("/x");
    assert_eq!(entry.filled_under().filled_at, before);
    assert_eq!(entry.standing().filled_under().filled_at, before);
    two.purge(Purge::surrogate_key("region:TX")).await;
    assert_eq!(two.cache.engine().view().judge(&entry), Verdict::Dropped);
    two.origin.answers(200, &KEYED, "new");
    assert_eq!(two.get("/x").await.text(), "new");
}

#[tokio::test]
async fn what_was_purged_is_found_on_no_tier() {
    for purge in purges() {
        let world = World::shared();
        let (one, two) = (world.process(), world.process());
        one.origin.answers(200, &KEYED, "old");
        one.get("/x").await;
        one.cache.flush().await;
        assert_eq!(two.get("/x").await.text(), "old");
        one.purge(purge.clone()).await;
        two.origin.answers(200, &KEYED, "new");
        assert_eq!(two.get("/x").await.text(), "new", "{purge:?}");
        two.cache.flush().await;
        assert_eq!(one.get("/x").await.text(), "new", "{purge:?}");
    }
}

#[tokio::test]
async fn what_was_softly_purged_is_served_within_grace_and_refreshed() {
    let process = World::new().process();
    let fields = [
        ("cache-control", "max-age=60, stale-while-revalidate=30"),
        KEYED[1],
    ];
    process.origin.answers(200, &fields, "old");
    process.get("/x").await;
    process
        .purge(Purge::surrogate_key("region:TX").soft())
        .await;
    process.origin.answers(200, &fields, "new");
    let got = process.get("/x").await;
    assert_eq!(
        got.said(),
        "Terrace; hit; ttl=0; detail=\"soft-purge; memory\""
    );
    settle().await;
    assert_eq!(process.get("/x").await.text(), "new");
}

#[tokio::test]
async fn a_hard_purge_leaves_nothing_to_stand_in_for_a_service_that_fails() {
    let process = World::new().process();
    let fields = [
        ("cache-control", "max-age=60, stale-if-error=600"),
        KEYED[1],
    ];
    process.origin.answers(200, &fields, "old");
    process.get("/x").await;
    process.purge(Purge::surrogate_key("region:TX")).await;
    process.origin.replies(Reply::Fail);
    assert!(process.call(get("/x", &[])).await.is_err());
}

#[tokio::test]
async fn a_304_for_what_was_purged_meanwhile_is_asked_again() {
    let world = World::new();
    let process = world.process();
    let fields = [FRESH, ("etag", "\"1\""), KEYED[1]];
    process.origin.answers(200, &fields, "old");
    process.get("/x").await;
    world.advance(65);
    let gate = process.origin.waits();
    let asking = process.spawn(get("/x", &[]));
    settle().await;
    process.purge(Purge::surrogate_key("region:TX")).await;
    process.origin.answers(200, &fields, "new");
    assert!(gate.send(Reply::Now(response(304, &fields, ""))).is_ok());
    let got = in_time(asking).await;
    assert_eq!(
        (got.text(), process.origin.calls()),
        ("new", 3),
        "{}",
        got.said()
    );
    assert!(
        !process
            .origin
            .last_asked()
            .headers
            .contains_key("if-none-match")
    );
}

#[tokio::test]
async fn an_unsafe_request_outdates_a_fill_that_is_under_way() {
    let process = World::new().process();
    let gate = process.origin.waits();
    let first = process.spawn(get("/x", &[]));
    settle().await;
    process.origin.answers(204, &[], "");
    process.ask(request("PUT", "/x", &[])).await;
    assert!(
        gate.send(Reply::Now(response(200, &[FRESH], "old")))
            .is_ok()
    );
    assert_eq!(in_time(first).await.text(), "old");
    process.origin.answers(200, &[FRESH], "new");
    assert_eq!(process.get("/x").await.text(), "new");
}
