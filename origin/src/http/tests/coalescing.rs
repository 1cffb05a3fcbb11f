//! One request asks, and the others who want the same take what it gets.

use futures_util::future::join_all;

use super::support::{
    FRESH, Got, Process, Reply, World, get, in_time, request, response, send, streamed,
};
use crate::Purge;
use crate::http::tests::support::read;
use crate::tests::settle;

/// So many requests for `/x` at once, each with these fields; they are under way when this returns.
async fn burst(
    process: &Process,
    count: usize,
    fields: &[(&str, &str)],
) -> Vec<tokio::task::JoinHandle<Got>> {
    let requests = (0..count).map(|_| process.spawn(get("/x", fields)));
    let requests: Vec<_> = requests.collect();
    settle().await;
    requests
}

async fn all(requests: Vec<tokio::task::JoinHandle<Got>>) -> Vec<Got> {
    join_all(requests.into_iter().map(in_time)).await
}

#[tokio::test]
async fn ten_thousand_cold_requests_are_one_call() {
    let process = World::new().process();
    let gate = process.origin.waits();
    let requests = burst(&process, 10_000, &[]).await;
    assert!(
        gate.send(Reply::Now(response(200, &[FRESH], "one")))
            .is_ok()
    );
    let got = all(requests).await;
    assert!(got.iter().all(|got| got.text() == "one"));
    assert_eq!(process.origin.calls(), 1);
    let collapsed = got.iter().filter(|got| got.said().contains("collapsed"));
    assert_eq!(collapsed.count(), 9_999);
    assert_eq!(process.counted().totals.coalesced_total, 9_999);
}

#[tokio::test]
async fn everybody_gets_the_first_bytes_before_the_last_ones_are_there() {
    let process = World::new().process();
    let (chunks, answer) = streamed(200, &[FRESH]);
    process.origin.replies(Reply::Now(answer));
    let mut first = process.call(get("/x", &[])).await.expect("an answer");
    send(&chunks, "be");
    let mut second = process.call(get("/x", &[])).await.expect("an answer");
    for response in [&mut first, &mut second] {
        let frame = http_body_util::BodyExt::frame(response.body_mut()).await;
        let data = frame.expect("a frame").expect("no error").into_data();
        assert_eq!(data.expect("data"), "be");
    }
    send(&chunks, "gin");
    drop(chunks);
    for response in [first, second] {
        assert_eq!(read(response).await.text(), "gin");
    }
    assert_eq!(process.get("/x").await.text(), "begin");
    assert_eq!(process.origin.calls(), 1);
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_shared_and_the_next_do_not_wait() {
    let process = World::new().process();
    let private = [("cache-control", "private, max-age=60")];
    let gate = process.origin.waits();
    let requests = burst(&process, 4, &[]).await;
    assert_eq!(process.origin.calls(), 1);
    for text in ["b", "c", "d"] {
        process.origin.answers(200, &private, text);
    }
    assert!(gate.send(Reply::Now(response(200, &private, "a"))).is_ok());
    let mut texts: Vec<_> = all(requests)
        .await
        .iter()
        .map(|got| got.text().to_owned())
        .collect();
    texts.sort();
    assert_eq!(texts, ["a", "b", "c", "d"]);

    let gates: Vec<_> = (0..3).map(|_| process.origin.waits()).collect();
    let requests = burst(&process, 3, &[]).await;
    assert_eq!(process.origin.calls(), 7, "nobody waits for anybody");
    for gate in gates {
        assert!(
            gate.send(Reply::Now(response(200, &[FRESH], "public")))
                .is_ok()
        );
    }
    all(requests).await;
    assert_eq!(
        process.get("/x").await.said(),
        "Terrace; hit; ttl=60; detail=\"memory\""
    );
}

#[tokio::test]
async fn a_mark_is_gone_after_a_while() {
    let world = World::new();
    let process = world.process();
    process
        .origin
        .answers(200, &[("cache-control", "no-store")], "a");
    process.get("/x").await;
    world.advance(31);
    let gate = process.origin.waits();
    let requests = burst(&process, 3, &[]).await;
    assert_eq!(process.origin.calls(), 2);
    assert!(gate.send(Reply::Now(response(200, &[FRESH], "b"))).is_ok());
    assert!(all(requests).await.iter().all(|got| got.text() == "b"));
}

#[tokio::test]
async fn each_variant_is_asked_for_once() {
    let process = World::new().process();
    let fields = [FRESH, ("vary", "accept-language")];
    let gate = process.origin.waits();
    let german = burst(&process, 20, &[("accept-language", "de")]).await;
    let english = burst(&process, 20, &[("accept-language", "en")]).await;
    let other = process.origin.waits();
    assert!(
        gate.send(Reply::Now(response(200, &fields, "hallo")))
            .is_ok()
    );
    settle().await;
    assert!(
        other
            .send(Reply::Now(response(200, &fields, "hello")))
            .is_ok()
    );
    assert!(all(german).await.iter().all(|got| got.text() == "hallo"));
    assert!(all(english).await.iter().all(|got| got.text() == "hello"));
    assert_eq!(process.origin.calls(), 2);
}

#[tokio::test]
async fn when_the_service_fails_all_who_wait_fail_with_it() {
    let process = World::new().process();
    let gate = process.origin.waits();
    let leader = {
        let process = process.clone();
        tokio::spawn(async move { process.call(get("/x", &[])).await.is_err() })
    };
    settle().await;
    let followers = burst(&process, 3, &[]).await;
    assert!(gate.send(Reply::Fail).is_ok());
    assert!(in_time(leader).await, "the service's own error");
    assert!(
        all(followers)
            .await
            .iter()
            .all(|got| got.status.as_u16() == 502)
    );
    assert_eq!(process.origin.calls(), 1);
}

#[tokio::test]
async fn stale_stands_in_for_all_who_wait() {
    let world = World::new();
    let process = world.process();
    let fields = [("cache-control", "max-age=60, stale-if-error=600")];
    process.origin.answers(200, &fields, "old");
    process.get("/x").await;
    world.advance(65);
    for reply in [Reply::Fail, Reply::Now(response(503, &[], ""))] {
        let calls = process.origin.calls();
        let gate = process.origin.waits();
        let requests = burst(&process, 3, &[]).await;
        assert!(gate.send(reply).is_ok());
        assert!(all(requests).await.iter().all(|got| got.text() == "old"));
        assert_eq!(process.origin.calls(), calls + 1);
    }
}

#[tokio::test]
async fn one_validation_is_for_all() {
    let world = World::new();
    let process = world.process();
    process
        .origin
        .answers(200, &[FRESH, ("etag", "\"1\"")], "one");
    process.get("/x").await;
    world.advance(65);
    let gate = process.origin.waits();
    let requests = burst(&process, 5, &[]).await;
    assert!(
        gate.send(Reply::Now(response(304, &[FRESH, ("etag", "\"1\"")], "")))
            .is_ok()
    );
    let got = all(requests).await;
    assert!(got.iter().all(|got| got.text() == "one"));
    let said = "Terrace; fwd=stale; fwd-status=304; collapsed; stored; ttl=60";
    assert_eq!(
        got.iter().filter(|got| got.said() == said).count(),
        4,
        "{got:?}"
    );
    assert_eq!(process.origin.calls(), 2);
}

#[tokio::test]
async fn who_waited_for_a_validation_across_a_soft_purge_is_told_that_the_answer_is_stale() {
    let world = World::new();
    let process = world.process();
    let fields = [
        ("cache-control", "max-age=60, stale-while-revalidate=600"),
        ("etag", "\"1\""),
        ("surrogate-key", "plans"),
    ];
    process.origin.answers(200, &fields, "one");
    process.get("/x").await;
    world.advance(700);
    let gate = process.origin.waits();
    let requests = burst(&process, 3, &[]).await;
    process.purge(Purge::surrogate_key("plans").soft()).await;
    process.origin.answers(304, &fields, "");
    assert!(gate.send(Reply::Now(response(304, &fields, ""))).is_ok());
    for got in all(requests).await {
        let said = got.said();
        let waited = said.contains("collapsed");
        assert!(!waited || said.contains("soft-purge"), "{said}");
        assert_eq!(got.text(), "one");
    }
}

#[tokio::test]
async fn who_wants_an_answer_of_now_asks_itself() {
    let process = World::new().process();
    let gate = process.origin.waits();
    let first = burst(&process, 1, &[]).await;
    process.origin.answers(200, &[FRESH], "second");
    let got = process
        .get_with("/x", &[("cache-control", "no-cache")])
        .await;
    assert_eq!(got.text(), "second");
    assert!(
        gate.send(Reply::Now(response(200, &[FRESH], "first")))
            .is_ok()
    );
    assert_eq!(
        all(first)
            .await
            .first()
            .map(|got| got.text().to_owned())
            .as_deref(),
        Some("first")
    );
}

#[tokio::test]
async fn a_follower_does_not_take_what_must_be_validated_for_each() {
    let process = World::new().process();
    let gate = process.origin.waits();
    let requests = burst(&process, 2, &[]).await;
    let fields = [("cache-control", "no-cache"), ("etag", "\"1\"")];
    process.origin.answers(304, &fields, "");
    assert!(gate.send(Reply::Now(response(200, &fields, "one"))).is_ok());
    assert!(all(requests).await.iter().all(|got| got.text() == "one"));
    assert_eq!(process.origin.calls(), 2);
}

#[tokio::test]
async fn a_fill_whose_client_has_gone_is_stored() {
    let process = World::new().process();
    let (chunks, answer) = streamed(200, &[FRESH, ("content-length", "5")]);
    let gate = process.origin.waits();
    let leader = process.spawn(get("/x", &[]));
    settle().await;
    leader.abort();
    settle().await;
    assert!(gate.send(Reply::Now(answer)).is_ok());
    settle().await;
    send(&chunks, "be");
    settle().await;
    send(&chunks, "gin");
    drop(chunks);
    settle().await;
    assert_eq!(
        process.get("/x").await.said(),
        "Terrace; hit; ttl=60; detail=\"memory\""
    );
}

#[tokio::test]
async fn what_nobody_wants_and_nobody_stores_is_let_go() {
    let process = World::new().process();
    let gate = process.origin.waits();
    let leader = process.spawn(get("/x", &[]));
    settle().await;
    leader.abort();
    let (_chunks, gone, answer) = super::support::watched(200, &[("cache-control", "no-store")]);
    assert!(gate.send(Reply::Now(answer)).is_ok());
    assert!(gone.await.is_err(), "its sender was dropped with the body");
}

#[tokio::test]
async fn a_fill_that_panics_is_a_bad_gateway_and_frees_its_url() {
    let process = World::new().process();
    let gate = process.origin.waits();
    let requests = burst(&process, 1, &[]).await;
    drop(gate); // the service has nothing more to say: it answers 500, which is not stored
    assert_eq!(
        all(requests).await.first().map(|got| got.status.as_u16()),
        Some(500)
    );
    process.origin.answers(200, &[FRESH], "x");
    assert_eq!(process.get("/x").await.text(), "x");
}

#[tokio::test]
async fn a_head_does_not_wait_for_a_get() {
    let process = World::new().process();
    let _gate = process.origin.waits();
    let _first = burst(&process, 1, &[]).await;
    process
        .origin
        .answers(200, &[FRESH, ("content-length", "3")], "");
    let got = process.ask(request("HEAD", "/x", &[])).await;
    assert_eq!(
        (got.status.as_u16(), got.field("content-length")),
        (200, "3")
    );
}
