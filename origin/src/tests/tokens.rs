//! Readers with tokens: nothing older than the purge that they name, at once (R10).

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use terrace_shared::purge::token::ReadToken;
use terrace_shared::purge::{Incarnation, Sequence};
use terrace_shared::time::DeltaSeconds;
use tokio::task::JoinHandle;

use super::lagging::{LaggingLedger, token_at};
use super::support::{Gate, GatedSource, Process, SourceError, World, secrets, settle};
use crate::{Answer, Epoch, Error, Purge, SessionCookie, Source, StaleReason};

type Answered = Result<Answer<Arc<String>>, Error<SourceError>>;

/// A process that has heard of nothing that others have purged, and what they purge in.
fn lagging(grace: DeltaSeconds) -> (Process, Arc<LaggingLedger>) {
    let world = World::new(|space| space.grace = grace);
    let ledger = LaggingLedger::new(world.clock.clock().now());
    (world.with_ledger(ledger.clone()).process(), ledger)
}

fn fields(name: &'static str, value: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert(name, HeaderValue::from_str(value).expect("a field"));
    fields
}

/// A read with this token, whose source answers when it is told to.
async fn read(process: Process, token: String, source: GatedSource) -> Answered {
    let after = process.cache.after(&fields("terrace-after", &token));
    let plans = process.plans.after(&after);
    plans
        .answer_or_fill(&key!(id: 1), async |fill| {
            fill.surrogate_key("region:TX");
            source.ask().await
        })
        .await
}

fn reads(process: &Process, token: &str, source: GatedSource) -> JoinHandle<Answered> {
    tokio::spawn(read(process.clone(), token.to_owned(), source))
}

/// A read with this token, whose source answers at once.
async fn reads_now(process: &Process, token: &str, answer: Result<&str, SourceError>) -> Answered {
    let (gate, source) = Gate::new();
    let _ = gate.answer.send(answer.map(str::to_owned));
    read(process.clone(), token.to_owned(), source).await
}

fn said(answered: Answered) -> (String, Source) {
    let answer = answered.expect("an answer");
    (answer.value.to_string(), answer.source)
}

async fn in_time(reading: JoinHandle<Answered>) -> Answered {
    let answered = tokio::time::timeout(Duration::from_secs(10), reading).await;
    answered.expect("in time").expect("no panic")
}

#[tokio::test]
async fn a_save_elsewhere_is_seen_at_once_by_whoever_has_its_token_and_by_one_question() {
    for purge in [
        Purge::surrogate_key("region:TX"),
        Purge::surrogate_key("region:TX").soft(),
    ] {
        let (process, ledger) = lagging(DeltaSeconds::minutes(5));
        said(reads_now(&process, "", Ok("old")).await);
        let token = ledger.purged_elsewhere(purge);
        let without = said(reads_now(&process, "", Ok("unused")).await);
        assert_eq!(without, ("old".to_owned(), Source::Memory));
        let with = said(reads_now(&process, &token, Ok("new")).await);
        assert_eq!(with, ("new".to_owned(), Source::Filled));
        for token in [&*token, ""] {
            let then = said(reads_now(&process, token, Ok("unused")).await);
            assert_eq!(then, ("new".to_owned(), Source::Memory));
        }
        assert_eq!(ledger.asked(), 1);
        assert_eq!(process.cache.stats().cache.tokens_heeded_total, 2);
    }
}

#[tokio::test]
async fn a_token_leaves_alone_what_its_purge_has_not_named() {
    let (process, ledger) = lagging(DeltaSeconds::ZERO);
    said(reads_now(&process, "", Ok("old")).await);
    let token = ledger.purged_elsewhere(Purge::surrogate_key("region:NY"));
    let with = said(reads_now(&process, &token, Ok("unused")).await);
    assert_eq!(with, ("old".to_owned(), Source::Memory));
}

#[tokio::test]
async fn without_word_from_the_ledger_the_source_is_asked_and_others_keep_their_hits() {
    let (process, ledger) = lagging(DeltaSeconds::minutes(5));
    said(reads_now(&process, "", Ok("old")).await);
    let token = ledger.purged_elsewhere(Purge::surrogate_key("region:TX"));
    ledger.cut();
    let with = said(reads_now(&process, &token, Ok("new")).await);
    assert_eq!(with, ("new".to_owned(), Source::Filled));
    let failing = reads_now(&process, &token, Err(SourceError)).await;
    assert!(
        matches!(failing, Err(Error::Fill(SourceError))),
        "{failing:?}"
    );
    assert_eq!(ledger.asked(), 2, "one question each");
    let without = said(reads_now(&process, "", Ok("unused")).await);
    assert_eq!(without.1, Source::Memory);
}

#[tokio::test]
async fn a_fill_from_before_the_purge_is_not_waited_for() {
    let (process, ledger) = lagging(DeltaSeconds::ZERO);
    let (old_gate, source) = Gate::new();
    let old = reads(&process, "", source);
    settle().await;
    let token = ledger.purged_elsewhere(Purge::surrogate_key("region:TX"));
    let (new_gate, source) = Gate::new();
    let new = reads(&process, &token, source);
    settle().await;
    // The first fill is still under way; by the key alone no purge has named it.
    let asked = tokio::time::timeout(Duration::from_secs(10), new_gate.asked).await;
    asked.expect("at once").expect("by this reader");
    let _ = new_gate.answer.send(Ok("new".to_owned()));
    assert_eq!(said(in_time(new).await), ("new".to_owned(), Source::Filled));
    old_gate.open("old");
    assert_eq!(said(in_time(old).await).0, "old");
    let then = said(reads_now(&process, "", Ok("unused")).await);
    assert_eq!(
        then,
        ("new".to_owned(), Source::Memory),
        "and is not put over it"
    );
}

#[tokio::test]
async fn a_fill_from_after_the_purge_is_shared() {
    let (process, ledger) = lagging(DeltaSeconds::ZERO);
    let token = ledger.purged_elsewhere(Purge::surrogate_key("region:TX"));
    ledger.tell();
    let (gate, source) = Gate::new();
    let first = reads(&process, "", source);
    settle().await;
    let (_, unused) = Gate::new();
    let second = reads(&process, &token, unused);
    settle().await;
    gate.open("new");
    assert_eq!(
        said(in_time(first).await),
        ("new".to_owned(), Source::Filled)
    );
    assert_eq!(
        said(in_time(second).await),
        ("new".to_owned(), Source::Coalesced)
    );
    assert_eq!(ledger.asked(), 0);
}

#[tokio::test]
async fn what_is_softly_purged_answers_no_reader_with_its_token_whatever_the_source_does() {
    let (process, _) = lagging(DeltaSeconds::minutes(5));
    said(reads_now(&process, "", Ok("old")).await);
    let purge = Purge::surrogate_key("region:TX").soft();
    let receipt = process.cache.purge(purge).await.expect("taken");
    let token = receipt.token.expect("signed");
    let with = reads_now(&process, &token, Err(SourceError)).await;
    assert!(matches!(with, Err(Error::Fill(SourceError))), "{with:?}");
    let without = reads_now(&process, "", Err(SourceError))
        .await
        .expect("stale");
    assert_eq!(
        (&**without.value, without.stale),
        ("old", Some(StaleReason::SourceFailed))
    );
}

#[tokio::test]
async fn an_answer_says_up_to_which_purges_it_holds() {
    let (process, ledger) = lagging(DeltaSeconds::minutes(5));
    let first = reads_now(&process, "", Ok("old")).await.expect("filled");
    assert_eq!(first.epoch, Some(ledger.epoch()));
    let other = Purge::surrogate_key("region:NY");
    process.cache.purge(other).await.expect("taken");
    let untouched = reads_now(&process, "", Ok("unused")).await.expect("kept");
    let before = ledger.epoch();
    assert_eq!(
        (untouched.source, untouched.epoch),
        (Source::Memory, Some(before))
    );
    let soft = Purge::surrogate_key("region:TX").soft();
    process.cache.purge(soft).await.expect("taken");
    let stale = reads_now(&process, "", Err(SourceError))
        .await
        .expect("stale");
    assert!(stale.stale.is_some());
    assert_eq!(stale.epoch, Some(before), "a cache in front would keep it");
    let new = reads_now(&process, "", Ok("new")).await.expect("filled");
    assert_eq!(new.epoch, Some(ledger.epoch()));
}

#[tokio::test]
async fn tokens_that_are_forged_or_malformed_cost_nothing_and_are_counted() {
    let (process, ledger) = lagging(DeltaSeconds::ZERO);
    said(reads_now(&process, "", Ok("old")).await);
    let token = ledger.purged_elsewhere(Purge::everything());
    let forged = token.replace("-1.", "-2.");
    for token in [&*forged, "x", "1...", &"1".repeat(9_999)] {
        let with = said(reads_now(&process, token, Ok("unused")).await);
        assert_eq!(with, ("old".to_owned(), Source::Memory), "{token}");
    }
    assert_eq!(ledger.asked(), 0);
    let stats = process.cache.stats().cache;
    assert_eq!(
        (stats.tokens_heeded_total, stats.tokens_ignored_total),
        (0, 4)
    );
}

#[tokio::test]
async fn a_token_beyond_the_ledger_s_end_makes_no_loop_and_nothing_stored_answers_it() {
    let (process, ledger) = lagging(DeltaSeconds::ZERO);
    said(reads_now(&process, "", Ok("old")).await);
    let future = token_at(Epoch {
        sequence: Sequence::new(99),
        ..ledger.epoch()
    });
    for round in 1..=2 {
        let with = said(reads_now(&process, &future, Ok("new")).await);
        assert_eq!(with, ("new".to_owned(), Source::Filled));
        assert_eq!(ledger.asked(), round);
    }
}

#[tokio::test]
async fn a_token_of_a_history_left_behind_costs_one_question_and_one_of_a_new_one_is_heeded() {
    let (process, ledger) = lagging(DeltaSeconds::ZERO);
    said(reads_now(&process, "", Ok("old")).await);
    let foreign = token_at(Epoch {
        incarnation: Incarnation::from_random(77),
        sequence: Sequence::new(5),
    });
    for _ in 0..3 {
        let with = said(reads_now(&process, &foreign, Ok("unused")).await);
        assert_eq!(with, ("old".to_owned(), Source::Memory));
    }
    assert_eq!(ledger.asked(), 1);
    // The ledger is lost, and this process does not know; somebody saves in the new one.
    ledger.lose();
    let token = ledger.purged_elsewhere(Purge::surrogate_key("region:TX"));
    let with = said(reads_now(&process, &token, Ok("new")).await);
    assert_eq!(with, ("new".to_owned(), Source::Filled));
    assert_eq!(ledger.asked(), 2);
}

#[tokio::test]
async fn an_embedded_ledger_asks_nobody() {
    let process = World::new(|_| {}).process();
    said(reads_now(&process, "", Ok("old")).await);
    let receipt = process
        .cache
        .purge(Purge::everything())
        .await
        .expect("taken");
    let token = receipt.token.clone().expect("signed");
    let of = ReadToken::verify(&token, &secrets()).expect("ours");
    assert_eq!((of.origin, of.edge), (Some(receipt.epoch), None));
    let foreign = token_at(Epoch {
        incarnation: Incarnation::from_random(77),
        sequence: Sequence::new(5),
    });
    let both = format!("{token},{foreign}");
    assert_eq!(
        said(reads_now(&process, &both, Ok("new")).await).1,
        Source::Filled
    );
    assert_eq!(
        said(reads_now(&process, &both, Ok("unused")).await).1,
        Source::Memory
    );
}

#[tokio::test]
async fn the_cookie_of_a_receipt_is_read_as_its_token() {
    let (process, ledger) = lagging(DeltaSeconds::ZERO);
    let receipt = process
        .cache
        .purge(Purge::everything())
        .await
        .expect("taken");
    let cookie = SessionCookie::of(&receipt).expect("signed").to_field();
    let pair = cookie
        .to_str()
        .expect("text")
        .split(';')
        .next()
        .expect("a pair");
    let after = process
        .cache
        .after(&fields("cookie", &format!("a=b; {pair}")));
    assert!(after.origin.beyond(ledger.epoch()).is_none());
    assert!(!after.is_empty());
    assert!(process.cache.after(&fields("cookie", "a=b")).is_empty());
}
