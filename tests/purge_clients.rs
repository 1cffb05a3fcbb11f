//! What people purge with already, pointed at the edge and at the shield.

use e2e::{Client, Edge, Shield, TestOrigin};

mod purge_clients {
    mod forms;
    mod refusals;
    mod sdk;
}

/// A cache before an origin, with the tokens of `e2e`.
struct Site {
    cache: Client,
    origin: TestOrigin,
}

/// Runs `check` against the edge.
async fn at_the_edge(check: impl AsyncFnOnce(&Site)) {
    let origin = TestOrigin::start().await;
    let edge = Edge::start(&origin.url).await;
    let cache = edge.client.clone();
    check(&Site { cache, origin }).await;
    edge.stop().await;
}

/// Runs `check` against the shield.
async fn at_the_shield(check: impl AsyncFnOnce(&Site)) {
    let origin = TestOrigin::start().await;
    let shield = Shield::start(&origin.url).await;
    let cache = shield.client.clone();
    check(&Site { cache, origin }).await;
}
