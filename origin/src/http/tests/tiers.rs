//! The tier that processes share, and a ledger that lags.

use std::sync::Arc;

use terrace_shared::policy::{OnLedgerLag, PathPattern, Policy, Route, RouteClass};
use terrace_shared::purge::token::Wanted;
use terrace_shared::purge::{Incarnation, Ledger, LedgerLimits, Purge, Update};
use terrace_shared::time::{DeltaSeconds, Milliseconds, TimestampMillis};

use super::support::{FRESH, Reply, World, get, request, response};
use crate::clock::Moment;
use crate::error::LedgerError;
use crate::ledger::{Appended, BoxFuture, PurgeLedger, View};
use crate::tests::{Fault, settle};

#[tokio::test]
async fn variants_are_found_by_another_process() {
    let world = World::shared();
    let (one, two) = (world.process(), world.process());
    let languages = [("de", "hallo"), ("en", "hello")];
    for (language, text) in languages {
        one.origin
            .answers(200, &[FRESH, ("vary", "accept-language")], text);
        one.get_with("/x", &[("accept-language", language)]).await;
    }
    one.cache.flush().await;
    for (language, text) in languages {
        let got = two.get_with("/x", &[("accept-language", language)]).await;
        assert_eq!(
            (got.text(), got.said()),
            (text, "Terrace; hit; ttl=60; detail=\"redis\"")
        );
        let got = two.get_with("/x", &[("accept-language", language)]).await;
        assert_eq!(got.said(), "Terrace; hit; ttl=60; detail=\"memory\"");
    }
    assert_eq!(
        (two.origin.calls(), two.counted().totals.redis_hits_total),
        (0, 2)
    );
}

#[tokio::test]
async fn keys_in_the_shared_tier_can_be_read() {
    let world = World::shared();
    let process = world.process();
    process.origin.answers(200, &[FRESH], "one");
    process.get("/x?a=1").await;
    process.cache.flush().await;
    let tier = world.tier.as_ref().expect("it is shared");
    let keys: Vec<String> = tier.stored.lock().keys().cloned().collect();
    assert_eq!(keys, ["http:1:http://a.example/x?a=1"]);
}

#[tokio::test]
async fn what_cannot_be_read_is_a_miss_and_counted() {
    let world = World::shared();
    let tier = world.tier.clone().expect("it is shared");
    let process = world.process();
    for path in ["/x", "/y"] {
        process.origin.answers(200, &[FRESH], path);
        process.get(path).await;
    }
    process.cache.flush().await;
    let good = tier.stored.lock()["http:1:http://a.example/x"].clone();
    let foreign = tier.stored.lock()["http:1:http://a.example/y"].clone();
    let mut other_version = good.clone();
    other_version[2] = 9;
    for (at, bytes) in [
        vec![],
        b"TC".to_vec(),
        good[..60].to_vec(),
        foreign,
        other_version,
    ]
    .into_iter()
    .enumerate()
    {
        let key = "http:1:http://a.example/x".to_owned();
        tier.stored.lock().insert(key, bytes);
        let other = world.process();
        other.origin.answers(200, &[FRESH], "new");
        let got = other.get("/x").await;
        assert_eq!(
            (got.text(), other.counted().totals.undecodable_total),
            ("new", 1),
            "{at}"
        );
    }
}

#[tokio::test]
async fn a_shared_tier_that_is_down_costs_hits_and_nothing_else() {
    let world = World::shared();
    let tier = world.tier.clone().expect("it is shared");
    let process = world.process();
    for (fault, text) in [(Fault::Down, "/a"), (Fault::AfterPersisting, "/b")] {
        tier.fail(fault);
        process.origin.answers(200, &[FRESH], text);
        assert_eq!(process.get(text).await.text(), text);
        process.cache.flush().await;
        assert_eq!(
            process.get(text).await.said(),
            "Terrace; hit; ttl=60; detail=\"memory\""
        );
    }
    assert_eq!(process.counted().totals.redis_errors_total, 4);
}

#[tokio::test]
async fn what_is_stale_in_the_shared_tier_is_validated_and_not_fetched_again() {
    let world = World::shared();
    let (one, two) = (world.process(), world.process());
    let fields = [FRESH, ("etag", "\"1\"")];
    one.origin.answers(200, &fields, "one");
    one.get("/x").await;
    one.cache.flush().await;
    world.advance(65);
    two.origin.answers(304, &fields, "");
    let got = two.get("/x").await;
    assert_eq!(
        (got.text(), got.said()),
        ("one", "Terrace; fwd=stale; fwd-status=304; stored; ttl=60")
    );
    two.cache.flush().await;
    // What another process has freshened is not asked for again.
    assert_eq!(
        one.get("/x").await.said(),
        "Terrace; hit; ttl=60; detail=\"redis\""
    );
    assert_eq!(one.origin.calls(), 1);
}

#[tokio::test]
async fn long_bodies_stay_in_this_process() {
    let world = World::shared();
    let process = world
        .process_with(|layer| layer.largest_shared_body(terrace_shared::time::ByteCount::bytes(3)));
    for path in ["/abcd", "/abc"] {
        process.origin.answers(200, &[FRESH], &path[1..]);
        process.get(path).await;
    }
    process.cache.flush().await;
    let tier = world.tier.as_ref().expect("it is shared");
    let keys: Vec<String> = tier.stored.lock().keys().cloned().collect();
    assert_eq!(keys, ["http:1:http://a.example/abc"]);
}

#[tokio::test]
async fn what_must_be_forgotten_is_forgotten_everywhere() {
    let world = World::shared();
    let process = world.process();
    process
        .origin
        .answers(200, &[FRESH, ("etag", "\"1\"")], "one");
    process.get("/x").await;
    process.cache.flush().await;
    process
        .origin
        .answers(304, &[("cache-control", "no-store"), ("etag", "\"1\"")], "");
    process
        .get_with("/x", &[("cache-control", "no-cache")])
        .await;
    process.cache.flush().await;
    assert!(
        world
            .tier
            .as_ref()
            .expect("it is shared")
            .stored
            .lock()
            .is_empty()
    );
}

/// A ledger elsewhere, whose view is as old as the test wants.
struct Elsewhere(Arc<View>);

impl Elsewhere {
    fn new() -> Self {
        Self(Arc::new(View::empty()))
    }

    /// The view was told everything at `now`.
    fn confirm(&self, now: TimestampMillis) {
        let ledger = Ledger::new(Incarnation::from_random(1), LedgerLimits::default());
        self.0.change(|replica| {
            let _ = replica.update(Update::Snapshot(ledger), now);
        });
        let moment = Moment {
            wall: now,
            steady: now,
        };
        self.0.confirm(moment);
    }
}

impl PurgeLedger for Elsewhere {
    fn view(&self) -> &Arc<View> {
        &self.0
    }

    fn append(&self, _: Purge) -> BoxFuture<'_, Result<Appended, LedgerError>> {
        Box::pin(async { Err(LedgerError::NoLedger) })
    }

    fn shared_within(&self) -> Option<Milliseconds> {
        None
    }

    fn met_later(&self, _: crate::Epoch) {}

    fn catch_up<'a>(&'a self, _: &'a Wanted) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn a_view_that_is_too_old_is_not_acted_on_unless_the_route_says_so() {
    for (on_lag, status, said) in [
        (
            OnLedgerLag::ServeStale,
            200,
            "Terrace; hit; ttl=54; detail=\"memory; ledger-lag=6000ms\"",
        ),
        (
            OnLedgerLag::Revalidate,
            200,
            "Terrace; fwd=stale; fwd-status=304; stored; ttl=60; detail=\"ledger-lag=6000ms\"",
        ),
        (
            OnLedgerLag::Fail,
            503,
            "Terrace; fwd=bypass; detail=\"ledger-lag=6000ms\"",
        ),
    ] {
        let mut route = Route::new(PathPattern::all(), RouteClass::OriginHeaders);
        route.on_ledger_lag = on_lag;
        route.purge_bound = DeltaSeconds::seconds(5);
        let ledger = Arc::new(Elsewhere::new());
        let world = World::of(Policy::default().with_route(route)).with_ledger(ledger.clone());
        ledger.confirm(TimestampMillis::from_unix_millis(1_800_000_000_000));
        let process = world.process();
        process
            .origin
            .answers(200, &[FRESH, ("etag", "\"1\"")], "one");
        process.get("/x").await;
        world.advance(6);
        process.origin.answers(304, &[FRESH, ("etag", "\"1\"")], "");
        let got = process.get("/x").await;
        assert_eq!((got.status.as_u16(), got.said()), (status, said));
        assert_eq!(process.counted().totals.ledger_lagged_requests_total, 1);
    }
}

#[tokio::test]
async fn nothing_is_stored_before_there_is_a_view() {
    let world = World::new().with_ledger(Arc::new(Elsewhere::new()));
    let process = world.process();
    for text in ["one", "two"] {
        process.origin.answers(200, &[FRESH], text);
        let got = process.get("/x").await;
        assert_eq!(got.text(), text);
        assert!(got.said().contains("ledger-lag"), "{}", got.said());
    }
}

#[tokio::test]
async fn an_invalidation_that_the_ledger_does_not_take_is_done_here_at_least() {
    let ledger = Arc::new(Elsewhere::new());
    let world = World::new().with_ledger(ledger.clone());
    ledger.confirm(TimestampMillis::from_unix_millis(1_800_000_000_000));
    let process = world.process();
    process.origin.answers(200, &[FRESH], "old");
    process.get("/x").await;
    process.origin.answers(204, &[], "");
    process.ask(request("DELETE", "/x", &[])).await;
    process.origin.answers(200, &[FRESH], "new");
    assert_eq!(process.get("/x").await.text(), "new");
    assert_eq!(process.counted().totals.failed_invalidations_total, 1);
}

#[tokio::test]
async fn a_refresh_behind_an_answer_takes_what_another_process_has_stored() {
    let world = World::shared();
    let (one, two) = (world.process(), world.process());
    let fields = [("cache-control", "max-age=60, stale-while-revalidate=60")];
    one.origin.answers(200, &fields, "old");
    one.get("/x").await;
    one.cache.flush().await;
    assert_eq!(two.get("/x").await.text(), "old");
    world.advance(65);
    let gate = one.origin.waits();
    assert_eq!(one.get("/x").await.text(), "old");
    settle().await;
    assert!(gate.send(Reply::Now(response(200, &fields, "new"))).is_ok());
    settle().await;
    one.cache.flush().await;
    assert_eq!(two.get("/x").await.text(), "old");
    settle().await;
    let got = two.ask(get("/x", &[])).await;
    assert_eq!(
        (got.text(), two.origin.calls()),
        ("new", 0),
        "{}",
        got.said()
    );
}
