//! The same tables against every place where the cache runs.
//!
//! `RFC_CASE=text` runs only the cases that have the text in their file's name or their own.

use e2e::rfc::{Case, Driver, EdgeDriver, Gaps, ScriptedOrigin, load, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_does_what_the_tables_say() {
    let origin = ScriptedOrigin::start().await;
    let edge = EdgeDriver::start(&origin.url).await;
    hold(&edge, &origin).await;
    edge.stop().await;
}

async fn hold(driver: &impl Driver, origin: &ScriptedOrigin) {
    let report = run(driver, origin, &cases(), &Gaps::load()).await;
    let place = driver.place();
    println!(
        "{place:?}: {} cases hold, {} are known not to",
        report.held, report.known
    );
    assert!(
        report.failures.is_empty(),
        "{} failures at {place:?}:\n\n{}\n",
        report.failures.len(),
        report.failures.join("\n\n")
    );
    assert!(report.held > 0, "no case was chosen");
}

fn cases() -> Vec<Case> {
    load().unwrap_or_else(|error| panic!("{error}"))
}
