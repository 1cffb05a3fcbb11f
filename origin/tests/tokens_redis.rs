//! Readers with tokens over a real Redis: a process that hears of no purge by itself asks once, and knows.

mod support;

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderValue};
use support::RedisServer;
use terrace_origin::{
    Answer, Cache, Epoch, Namespace, Policy, Purge, Redis, Source, TokenSecrets, key,
};
use terrace_shared::policy::{KeySpace, LedgerPolicy};
use terrace_shared::purge::Sequence;
use terrace_shared::purge::token::ReadToken;
use terrace_shared::time::DeltaSeconds;

/// A process that asks for news once an hour.
struct Process {
    cache: Cache,
    plans: Namespace<String>,
}

impl Process {
    async fn start(url: &str) -> Self {
        let mut space = KeySpace::new("plan", "plan:{id}").expect("a template");
        space.lifetimes.memory = Some(DeltaSeconds::minutes(10));
        space.lifetimes.redis = None;
        let mut ledger = LedgerPolicy::default();
        (ledger.bound, ledger.refresh) = (DeltaSeconds::days(1), DeltaSeconds::hours(1));
        let policy = Policy::default().with_key_space(space).with_ledger(ledger);
        let cache = Cache::builder(policy)
            .redis(Redis::connect(url).await.expect("Redis answers"))
            .token_secrets(secrets())
            .build()
            .await
            .expect("built");
        let plans = cache.namespace("plan").expect("the policy has it");
        Self { cache, plans }
    }

    async fn ask(&self, token: &str, answer: &str) -> Answer<Arc<String>> {
        let mut fields = HeaderMap::new();
        let token = HeaderValue::try_from(token).expect("a field");
        fields.insert("terrace-after", token);
        let plans = self.plans.after(&self.cache.after(&fields));
        let fill = async |_| Ok::<_, std::convert::Infallible>(answer.to_owned());
        plans
            .answer_or_fill(&key!(id: 1), fill)
            .await
            .expect("an answer")
    }
}

fn secrets() -> TokenSecrets {
    TokenSecrets::parse("what signs tokens here").expect("long enough")
}

/// Redis, one process, and one that may not listen.
async fn hearing_and_deaf() -> (RedisServer, Process, Process) {
    let server = RedisServer::start().await;
    let rights = [
        "ACL", "SETUSER", "deaf", "on", ">secret", "~*", "&*", "+@all", "-@pubsub", "+publish",
    ];
    let done: Option<String> = server.call(&rights).await;
    assert_eq!(done.as_deref(), Some("OK"));
    let deaf = server.url().replace("redis://", "redis://deaf:secret@");
    let (hearing, deaf) = (
        Process::start(&server.url()).await,
        Process::start(&deaf).await,
    );
    (server, hearing, deaf)
}

#[tokio::test]
async fn a_process_that_has_heard_of_nothing_serves_nothing_older_than_the_token() {
    let (_server, hearing, deaf) = hearing_and_deaf().await;
    for round in 0..20 {
        let (old, new) = (format!("old {round}"), format!("new {round}"));
        let before = deaf.ask("", &old).await;
        let receipt = hearing
            .cache
            .purge(Purge::key("plan:1"))
            .await
            .expect("taken");
        let without = deaf.ask("", "unused").await;
        assert_eq!(
            (&without.value, without.source),
            (&before.value, Source::Memory)
        );
        let with = deaf.ask(&receipt.token.expect("signed"), &new).await;
        assert_eq!((&**with.value, with.source), (&*new, Source::Filled));
        assert_eq!(deaf.cache.epoch(), Some(receipt.epoch));
    }
}

#[tokio::test]
async fn a_token_of_purges_that_redis_has_lost_ends_their_history() {
    let (_server, hearing, deaf) = hearing_and_deaf().await;
    let receipt = hearing
        .cache
        .purge(Purge::key("plan:9"))
        .await
        .expect("taken");
    deaf.ask("", "old").await;
    let lost = ReadToken {
        origin: Some(Epoch {
            sequence: Sequence::new(9),
            ..receipt.epoch
        }),
        edge: None,
    };
    let with = deaf.ask(&lost.sign(&secrets()), "new").await;
    assert_eq!((&**with.value, with.source), ("new", Source::Filled));
    let now = deaf.cache.epoch().expect("a view");
    assert_ne!(now.incarnation, receipt.epoch.incarnation);
    // It is left behind, and its tokens ask for nothing any more.
    let again = deaf.ask(&lost.sign(&secrets()), "unused").await;
    assert_eq!(again.source, Source::Memory);
    assert_eq!(deaf.cache.epoch(), Some(now));
}

#[tokio::test]
async fn without_redis_a_reader_with_a_token_waits_a_bounded_while_and_the_source_answers() {
    let (mut server, hearing, deaf) = hearing_and_deaf().await;
    deaf.ask("", "old").await;
    let receipt = hearing
        .cache
        .purge(Purge::key("plan:1"))
        .await
        .expect("taken");
    server.kill();
    let began = Instant::now();
    let with = deaf.ask(&receipt.token.expect("signed"), "new").await;
    assert_eq!((&**with.value, with.source), ("new", Source::Filled));
    assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
}
