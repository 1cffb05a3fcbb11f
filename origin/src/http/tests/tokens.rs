//! Requests with tokens: nothing older than the purge that they name, at once (R10); and what a cache in front is told
//! of when an answer was produced (R9).

use std::sync::Arc;

use terrace_shared::http::Exposure;
use terrace_shared::time::TimestampMillis;

use super::support::{FRESH, Process, Reply, World, get, in_time, response};
use crate::Purge;
use crate::tests::{LaggingLedger, settle};

const KEYED: [(&str, &str); 2] = [FRESH, ("surrogate-key", "region:TX")];
const WITH_GRACE: [(&str, &str); 2] = [
    (
        "cache-control",
        "max-age=60, stale-while-revalidate=60, stale-if-error=60",
    ),
    ("surrogate-key", "region:TX"),
];

/// A process that has heard of nothing that others have purged, with `old` stored, and what they purge in.
async fn lagging(fields: &[(&str, &str)]) -> (Process, Arc<LaggingLedger>) {
    let ledger = LaggingLedger::new(TimestampMillis::from_unix_millis(1_800_000_000_000));
    let world = World::new().with_ledger(ledger.clone());
    let process = world.process_with(|layer| layer.surrogate_keys(Exposure::Send));
    process.origin.answers(200, fields, "old");
    assert_eq!(process.get("/x").await.text(), "old");
    (process, ledger)
}

#[tokio::test]
async fn a_save_elsewhere_is_seen_at_once_by_field_and_by_cookie() {
    for purge in [Purge::surrogate_key("region:TX"), Purge::url("/x").soft()] {
        for name in ["terrace-after", "cookie"] {
            let (process, ledger) = lagging(&WITH_GRACE).await;
            let token = ledger.purged_elsewhere(purge.clone());
            let value = if name == "cookie" {
                format!("terrace-after={token}")
            } else {
                token
            };
            assert_eq!(process.get("/x").await.text(), "old");
            process.origin.answers(200, &WITH_GRACE, "new");
            let got = process.get_with("/x", &[(name, &value)]).await;
            assert_eq!(got.text(), "new", "{}", got.said());
            assert_eq!(got.field("terrace-epoch"), ledger.epoch().to_string());
            let got = process.get_with("/x", &[(name, &value)]).await;
            assert_eq!(got.said(), "Terrace; hit; ttl=60; detail=\"memory\"");
            assert_eq!(ledger.asked(), 1);
            let asked = process.origin.last_asked().headers;
            assert!(
                asked.contains_key("terrace-after"),
                "the service may have caches too"
            );
            assert!(!asked.contains_key("cookie"));
        }
    }
}

#[tokio::test]
async fn without_word_from_the_ledger_the_service_answers_and_the_answer_says_so() {
    let (process, ledger) = lagging(&WITH_GRACE).await;
    let token = ledger.purged_elsewhere(Purge::surrogate_key("region:TX"));
    ledger.cut();
    process.origin.answers(200, &WITH_GRACE, "new");
    let got = process.get_with("/x", &[("terrace-after", &token)]).await;
    assert_eq!(got.text(), "new");
    assert!(got.said().contains("after-unreached"), "{}", got.said());
    process.origin.replies(Reply::Fail);
    let failed = process.call(get("/x", &[("terrace-after", &token)])).await;
    assert!(failed.is_err(), "an error, and nothing older");
    assert!(process.get("/x").await.said().contains("hit"));
    assert_eq!(ledger.asked(), 2);
}

#[tokio::test]
async fn what_is_softly_purged_stands_in_for_a_service_that_fails_but_for_no_reader_with_its_token()
{
    let (process, ledger) = lagging(&WITH_GRACE).await;
    let token = ledger.purged_elsewhere(Purge::surrogate_key("region:TX").soft());
    process.origin.replies(Reply::Fail);
    let failed = process.call(get("/x", &[("terrace-after", &token)])).await;
    assert!(failed.is_err());
    process.origin.answers(503, &[], "down");
    let got = process.get_with("/x", &[("terrace-after", &token)]).await;
    assert_eq!((got.status.as_u16(), got.text()), (503, "down"));
    process.origin.replies(Reply::Fail);
    assert_eq!(process.get("/x").await.text(), "old");
}

#[tokio::test]
async fn a_fill_from_before_the_purge_is_not_waited_for() {
    let (process, ledger) = lagging(&[("cache-control", "no-store")]).await;
    let old_gate = process.origin.waits();
    let old = process.spawn(get("/y", &[]));
    settle().await;
    let token = ledger.purged_elsewhere(Purge::surrogate_key("region:TX"));
    process.origin.answers(200, &KEYED, "new");
    let new = process.spawn(get("/y", &[("terrace-after", &token)]));
    assert_eq!(in_time(new).await.text(), "new");
    assert!(
        old_gate
            .send(Reply::Now(response(200, &KEYED, "old")))
            .is_ok()
    );
    assert_eq!(in_time(old).await.text(), "old");
    assert_eq!(process.get("/y").await.text(), "new");
}

#[tokio::test]
async fn a_forged_token_costs_nothing_and_the_answer_says_so() {
    let (process, ledger) = lagging(&KEYED).await;
    let token = ledger
        .purged_elsewhere(Purge::everything())
        .replace("-1.", "-2.");
    let got = process.get_with("/x", &[("terrace-after", &token)]).await;
    assert_eq!(
        got.said(),
        "Terrace; hit; ttl=60; detail=\"memory; after-ignored\""
    );
    assert_eq!(ledger.asked(), 0);
}

#[tokio::test]
async fn a_stale_answer_is_not_said_to_be_from_after_the_purge_that_made_it_stale() {
    let (process, ledger) = lagging(&WITH_GRACE).await;
    let before = ledger.epoch().to_string();
    assert_eq!(process.get("/x").await.field("terrace-epoch"), before);
    process.purge(Purge::surrogate_key("region:NY")).await;
    let after = ledger.epoch().to_string();
    assert_eq!(process.get("/x").await.field("terrace-epoch"), after);
    process
        .purge(Purge::surrogate_key("region:TX").soft())
        .await;
    process.origin.replies(Reply::Fail);
    let stale = process.get("/x").await;
    assert!(stale.said().contains("soft-purge"), "{}", stale.said());
    assert_eq!(
        stale.field("terrace-epoch"),
        before,
        "a cache in front would keep it"
    );
}

#[tokio::test]
async fn an_older_epoch_of_the_service_s_own_is_passed_on_and_judged_by() {
    let (process, ledger) = lagging(&KEYED).await;
    let before = ledger.epoch().to_string();
    process.purge(Purge::surrogate_key("region:TX")).await;
    let behind = [KEYED[0], KEYED[1], ("terrace-epoch", &*before)];
    for method in ["GET", "POST"] {
        process.origin.answers(200, &behind, "old");
        let got = process
            .ask(super::support::request(method, "/x", &[]))
            .await;
        assert_eq!(
            (got.text(), got.field("terrace-epoch")),
            ("old", &*before),
            "{method}"
        );
    }
    process.origin.answers(200, &KEYED, "new");
    assert_eq!(
        process.get("/x").await.text(),
        "new",
        "what lagged is not kept"
    );
}
