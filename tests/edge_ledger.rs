//! The edge's ledger in workerd: shared by a data centre's isolates, honest about its age, audited, limited.

use e2e::{Answer, Client, Content, Edge, PRODUCTS_TOKEN, PURGE_TOKEN, TestOrigin, wait_until};
use futures_util::future::join_all;
use serde_json::{Value, json};

const CACHED: [(&str, &str); 2] = [("cache-control", "max-age=600"), ("surrogate-key", "k")];

async fn counter(client: &Client, name: &str) -> u64 {
    let status = client.get("/.terrace/status").await.json();
    status["counters"][name].as_u64().unwrap()
}

#[tokio::test]
async fn isolates_of_a_data_centre_share_what_one_of_them_learnt() {
    let origin = TestOrigin::start().await;
    origin.set("/api/plans", Content::new("old", &CACHED));
    let edge = Edge::start_before(&origin.url, &[], &["--isolates", "3"]).await;
    let ask_all = async || {
        join_all(
            edge.isolates
                .iter()
                .map(|isolate| isolate.get("/api/plans")),
        )
        .await
    };
    let sums = async |name| {
        let each = edge.isolates.iter().map(|isolate| counter(isolate, name));
        join_all(each).await.into_iter().sum::<u64>()
    };
    ask_all().await;
    // In use, they keep asking; but each time one asks, the others find what it has learnt.
    wait_until("they share", async || {
        ask_all().await;
        (sums("ledger_shared").await >= 6).then_some(())
    })
    .await;
    let (asked, shared) = (sums("ledger_asked").await, sums("ledger_shared").await);
    assert!(asked <= shared + 3, "{asked} asked, {shared} shared");
    for isolate in &edge.isolates {
        assert_eq!(counter(isolate, "undecodable").await, 0);
    }

    // A purge through one isolate is seen there at once, and in the others within the bound.
    origin.set("/api/plans", Content::new("new", &CACHED));
    let receipt = edge.purge(&json!({ "surrogate_keys": ["k"] })).await;
    assert_eq!(receipt.status, 200, "{}", receipt.text());
    let visible_by = receipt.json()["visible_by_ms"].as_u64().unwrap();
    let first = edge.get("/api/plans").await;
    assert_eq!(first.text(), "new", "{}", first.cache_status());
    wait_until("all have passed the bound", async || {
        let past = now_ms() > visible_by;
        let answers = ask_all().await;
        assert_eq!(answers[0].text(), "new");
        if past {
            for answer in &answers {
                assert_eq!(answer.text(), "new", "{}", answer.cache_status());
            }
        }
        past.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_isolate_takes_the_whole_ledger_and_the_news_after_it_from_its_neighbours() {
    let origin = TestOrigin::start().await;
    origin.set("/api/plans", Content::new("old", &CACHED));
    let edge = Edge::start_before(&origin.url, &[], &["--isolates", "3"]).await;
    let [first, second, new] = &edge.isolates[..] else {
        panic!("there are three isolates");
    };
    let shared = async || {
        for isolate in [first, second] {
            isolate.get("/api/plans").await;
        }
        counter(first, "ledger_shared").await + counter(second, "ledger_shared").await
    };
    wait_until("the whole ledger lies there", async || {
        (shared().await > 0).then_some(())
    })
    .await;

    // What is purged now is not in it, but in the news that follow.
    origin.set("/api/plans", Content::new("new", &CACHED));
    let receipt = edge.purge(&json!({ "surrogate_keys": ["k"] })).await.json();
    let knows = async |isolate: &Client| {
        let status = isolate.get("/.terrace/status").await.json();
        status["ledger_epoch"] == receipt["epoch"]
    };
    wait_until("both know of it", async || {
        shared().await;
        knows(second).await.then_some(())
    })
    .await;
    let before = shared().await;
    wait_until("one has found it there", async || {
        (shared().await > before).then_some(())
    })
    .await;

    let answer = new.get("/api/plans").await;
    assert_eq!(answer.text(), "new", "{}", answer.cache_status());
    assert!(!answer.cache_status().contains("ledger-lag"));
    assert!(knows(new).await);
    for (name, count) in [
        ("ledger_asked", 0),
        ("ledger_shared", 1),
        ("undecodable", 0),
    ] {
        assert_eq!(counter(new, name).await, count, "{name}");
    }
}

#[tokio::test]
async fn in_an_outage_the_ledger_is_asked_by_one_of_a_data_centre_at_a_time() {
    let origin = TestOrigin::start().await;
    origin.set("/api/reports/sales", Content::new("1", &CACHED));
    let edge = edge_with_faults(&origin, &["--isolates", "3"]).await;
    let ask_all = async || {
        let isolates = edge.isolates.iter();
        join_all(isolates.map(|isolate| isolate.get("/api/reports/sales"))).await
    };
    let asked = async || {
        let each = edge.isolates.iter();
        let each = join_all(each.map(|isolate| counter(isolate, "ledger_asked"))).await;
        each.into_iter().sum::<u64>()
    };
    ask_all().await;
    set_fault(&origin, "throw");
    let (before, began) = (asked().await, now_ms());
    // Every request of every isolate may find its view too old, and asks at most when nobody else has just begun to.
    wait_until("all are beyond their bound for a while", async || {
        let answers = ask_all().await;
        let is_late = |answer: &Answer| answer.cache_status().contains("ledger-lag=");
        (answers.iter().all(is_late) && now_ms() - began > 8_000).then_some(())
    })
    .await;
    let (asked, elapsed) = (asked().await - before, now_ms() - began);
    let most = 3 + 2 * elapsed / 600;
    assert!((1..=most).contains(&asked), "{asked} in {elapsed} ms");

    set_fault(&origin, "none");
    wait_until("all are within their bound again", async || {
        let answers = ask_all().await;
        let is_well = |answer: &Answer| !answer.cache_status().contains("ledger-lag");
        answers.iter().all(is_well).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sharing_can_be_turned_off() {
    let origin = TestOrigin::start().await;
    origin.set("/api/plans", Content::new("1", &CACHED));
    let off = [("TERRACE_LEDGER_SHARING", "off")];
    let edge = Edge::start_before(&origin.url, &off, &["--isolates", "2"]).await;
    wait_until("both have asked several times", async || {
        let mut asked = u64::MAX;
        for isolate in &edge.isolates {
            isolate.get("/api/plans").await;
            asked = asked.min(counter(isolate, "ledger_asked").await);
        }
        (asked >= 2).then_some(())
    })
    .await;
    for isolate in &edge.isolates {
        assert_eq!(counter(isolate, "ledger_shared").await, 0);
    }
    let wrong = [("TERRACE_LEDGER_SHARING", "perhaps")];
    let edge = Edge::start_before(&origin.url, &wrong, &[]).await;
    let answer = edge.get("/api/plans").await;
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("TERRACE_LEDGER_SHARING"));
}

/// An edge whose ledger does what `faults` is told.
async fn edge_with_faults(origin: &TestOrigin, flags: &[&str]) -> Edge {
    set_fault(origin, "none");
    let faults = format!("{}/faults", origin.url);
    let proxy = ["--before-ledger", "tests/support/workers/ledger.js"];
    let flags = [&proxy, flags].concat();
    Edge::start_before(&origin.url, &[("LEDGER_FAULTS", &faults)], &flags).await
}

fn set_fault(origin: &TestOrigin, fault: &str) {
    origin.set("/faults", Content::new(fault, &[]));
}

/// Asks until the answer says that the ledger's view is older than the bound.
async fn lagging(edge: &Edge, path: &str) -> Answer {
    wait_until(&format!("{path} knows that its view is old"), async || {
        let answer = edge.get(path).await;
        let late = answer.status == 503 || answer.cache_status().contains("ledger-lag=");
        late.then_some(answer)
    })
    .await
}

#[tokio::test]
async fn a_late_view_is_said_and_each_route_does_what_its_policy_says() {
    const ROUTES: [&str; 3] = ["/api/plans", "/api/reports/sales", "/api/consents/7"];
    let origin = TestOrigin::start().await;
    let edge = edge_with_faults(&origin, &[]).await;
    for path in ROUTES {
        origin.set(path, Content::new("old", &CACHED));
        edge.hit(path).await;
    }
    for fault in ["throw", "hang"] {
        set_fault(&origin, fault);
        for path in ROUTES {
            origin.set(path, Content::new("new", &CACHED));
        }
        let [revalidated, served, failed] = ROUTES.map(|path| lagging(&edge, path));
        // Not trusted: the origin is asked.
        let revalidated = revalidated.await;
        assert_eq!(revalidated.text(), "new", "{fault}");
        assert!(
            revalidated.cache_status().contains("fwd=stale"),
            "{fault}: {}",
            revalidated.cache_status()
        );
        // Served as if nothing had been purged, and said.
        let served = served.await;
        assert_eq!(served.text(), "old", "{fault}");
        assert!(served.is_hit(), "{fault}: {}", served.cache_status());
        let failed = failed.await;
        assert_eq!(failed.status, 503, "{fault}: {}", failed.cache_status());
        assert!(failed.text().contains("not known"), "{}", failed.text());

        // A purge is refused aloud.
        let refused = edge.purge(&json!({ "everything": true })).await;
        assert_eq!(refused.status, 503, "{fault}: {}", refused.text());

        set_fault(&origin, "none");
        for path in ROUTES {
            wait_until(&format!("{path} is itself again"), async || {
                let answer = edge.get(path).await;
                let well = answer.status == 200 && !answer.cache_status().contains("ledger-lag");
                well.then_some(())
            })
            .await;
        }
        // What was purged meanwhile, or not known to have been, is told apart again.
        edge.purge(&json!({ "everything": true })).await;
        for path in ROUTES {
            origin.set(path, Content::new("old", &CACHED));
            edge.purge(&json!({ "urls": [path] })).await;
            assert_eq!(edge.hit(path).await.text(), "old", "{fault} {path}");
        }
    }
}

#[tokio::test]
async fn a_purge_whose_answer_was_lost_counts_all_the_same() {
    let origin = TestOrigin::start().await;
    let edge = edge_with_faults(&origin, &[]).await;
    origin.set("/api/plans", Content::new("old", &CACHED));
    edge.hit("/api/plans").await;
    origin.set("/api/plans", Content::new("new", &CACHED));
    set_fault(&origin, "lose");
    let lost = edge.purge(&json!({ "surrogate_keys": ["k"] })).await;
    assert_eq!(lost.status, 503, "{}", lost.text());
    assert!(lost.text().contains("may or may not"), "{}", lost.text());
    set_fault(&origin, "none");
    wait_until("the purge shows", async || {
        (edge.get("/api/plans").await.text() == "new").then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_purge_and_every_refusal_is_in_the_log() {
    let origin = TestOrigin::start().await;
    let edge = Edge::start(&origin.url).await;
    let origin_epoch = "00000000000000aa-9";
    let purge =
        json!({ "surrogate_keys": ["product:1"], "mode": "soft", "origin_epoch": origin_epoch });
    let receipt = edge
        .purge_as(PRODUCTS_TOKEN, &purge.to_string())
        .await
        .json();
    edge.purge(&json!({ "everything": true })).await;
    let forbidden = edge
        .purge_as(PRODUCTS_TOKEN, r#"{"everything":true}"#)
        .await;
    assert_eq!(forbidden.status, 403);
    for _ in 0..3 {
        assert_eq!(edge.purge_as("wrong", "{}").await.status, 401);
    }

    let page = edge.log_as(PURGE_TOKEN, "").await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(page.field("cache-control"), "no-store");
    let page = page.json();
    let lines = page["entries"].as_array().unwrap();
    let said: Vec<_> = lines
        .iter()
        .map(|line| (&line["by"], &line["outcome"]))
        .collect();
    let (nobody, all, products) = (Value::Null, json!("all"), json!("products"));
    let (purged, refused) = (json!("purged"), json!("refused"));
    // Those without a token share lines: one at once, the others later.
    assert_eq!(
        said,
        [
            (&nobody, &refused),
            (&products, &refused),
            (&all, &purged),
            (&products, &purged)
        ]
    );
    assert!(lines[1]["reason"].as_str().unwrap().contains("all"));
    assert_eq!(lines[3]["epoch"], receipt["epoch"]);
    assert_eq!(lines[3]["origin_epoch"], origin_epoch);
    assert_eq!(lines[3]["scopes"], json!(["surrogate-key:product:1"]));
    assert_eq!(lines[3]["mode"], "soft");

    // A token that may not purge everything sees what it did itself.
    let own = edge.log_as(PRODUCTS_TOKEN, "?limit=1").await.json();
    assert_eq!(own["entries"], json!([lines[1]]));
    let before = format!("?before={}", own["next_before"]);
    let own = edge.log_as(PRODUCTS_TOKEN, &before).await.json();
    assert_eq!(own, json!({ "entries": [lines[3]] }));

    for (token, query, status) in [
        ("wrong", "", 401),
        (PURGE_TOKEN, "?limit=0", 400),
        (PURGE_TOKEN, "?after=1", 400),
    ] {
        let answer = edge.log_as(token, query).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        assert!(answer.json()["error"].is_string());
    }
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_back() {
    let origin = TestOrigin::start().await;
    let limit = [
        ("TERRACE_PURGE_CALLS_PER_SECOND", "1"),
        ("TERRACE_PURGE_BURST", "3"),
    ];
    let edge = Edge::start_before(&origin.url, &limit, &[]).await;
    let body = r#"{"surrogate_keys":["product:1"]}"#;
    let answers = join_all((0..20).map(|_| edge.purge_as(PRODUCTS_TOKEN, body))).await;
    let (taken, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 200);
    assert!((3..20).contains(&taken.len()), "{} were taken", taken.len());
    for answer in refused {
        assert_eq!(answer.status, 429, "{}", answer.text());
        assert_eq!(answer.field("retry-after"), "1");
        let json = answer.json();
        assert!(json["error"].as_str().unwrap().contains("too many purges"));
    }
    // Others are not refused for it, and the one who waits is let pass.
    assert_eq!(edge.purge_as(PURGE_TOKEN, body).await.status, 200);
    wait_until("the token may again", async || {
        (edge.purge_as(PRODUCTS_TOKEN, body).await.status == 200).then_some(())
    })
    .await;
    let page = edge.log_as(PURGE_TOKEN, "").await.json();
    let lines = page["entries"].as_array().unwrap();
    let flood = lines
        .iter()
        .filter(|line| line["reason"] == "too many calls");
    assert!((1..=2).contains(&flood.count()), "{page}");
}

#[tokio::test]
async fn a_second_purge_reaches_what_was_filled_after_the_first() {
    let origin = TestOrigin::start().await;
    origin.set(
        "/api/plans",
        Content::new("of a replica that lags", &CACHED),
    );
    let edge = Edge::start(&origin.url).await;
    let purge = json!({ "surrogate_keys": ["k"], "after_ms": 1_500 });
    let receipts = join_all((0..3).map(|_| edge.purge(&purge))).await;
    for receipt in &receipts {
        assert_eq!(receipt.status, 200, "{}", receipt.text());
        let receipt = receipt.json();
        let again_at = receipt["again_at_ms"].as_u64().unwrap();
        let asked_at = receipt["purged_at_ms"].as_u64().unwrap();
        assert!(again_at.abs_diff(asked_at + 1_500) < 1_000, "{receipt}");
    }
    edge.hit("/api/plans").await;
    origin.set("/api/plans", Content::new("new", &CACHED));
    wait_until("the second purge shows", async || {
        (edge.get("/api/plans").await.text() == "new").then_some(())
    })
    .await;
    wait_until("all three have been purged again", async || {
        let page = edge.log_as(PURGE_TOKEN, "").await.json();
        let lines = page["entries"].as_array()?.iter();
        let again = lines.filter(|line| line["outcome"] == "purged_again");
        (again.count() == 3).then_some(())
    })
    .await;
    let day = 86_400_000;
    let far = json!({ "surrogate_keys": ["k"], "after_ms": day + 1 });
    let refused = edge.purge(&far).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("after_ms"), "{}", refused.text());
    let in_a_day = json!({ "surrogate_keys": ["k"], "after_ms": day });
    assert_eq!(edge.purge(&in_a_day).await.status, 200);
}

#[tokio::test]
async fn purges_that_come_together_each_get_their_own_place() {
    let origin = TestOrigin::start().await;
    let edge = Edge::start_before(&origin.url, &[], &["--isolates", "2"]).await;
    let purges = (0..100).map(|number| {
        let isolate = &edge.isolates[number % 2];
        let body = json!({ "surrogate_keys": [format!("product:{number}")] }).to_string();
        async move {
            let bearer = format!("Bearer {PURGE_TOKEN}");
            let fields = [("authorization", &*bearer)];
            isolate
                .send(http::Method::POST, "/.terrace/purge", &fields, &body)
                .await
        }
    });
    let mut places: Vec<u64> = Vec::new();
    for answer in join_all(purges).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let epoch = answer.json()["epoch"].as_str().unwrap().to_owned();
        places.push(epoch.rsplit_once('-').unwrap().1.parse().unwrap());
    }
    places.sort_unstable();
    assert_eq!(places, (1..=100).collect::<Vec<_>>());
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
