//! The same tables against every place where the cache runs.
//!
//! `RFC_CASE=text` runs only the cases that have the text in their file's name or their own.

mod rfc {
    pub(super) mod layer;
}

use e2e::rfc::{Case, Driver, EdgeDriver, Gaps, ScriptedOrigin, ShieldDriver, load, parse, run};
use rfc::layer::LayerDriver;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_does_what_the_tables_say() {
    let origin = ScriptedOrigin::start().await;
    let edge = EdgeDriver::start(&origin.url).await;
    hold(&edge, &origin).await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_layer_does_what_the_tables_say() {
    let origin = ScriptedOrigin::start().await;
    let layer = LayerDriver::start(&origin.url).await;
    hold(&layer, &origin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shield_does_what_the_tables_say() {
    let origin = ScriptedOrigin::start().await;
    let shield = ShieldDriver::start(&origin.url).await;
    hold(&shield, &origin).await;
}

#[test]
fn a_table_with_anything_wrong_in_it_is_refused_and_the_place_named() {
    const CASE: &str = "[[case]]\nname = \"one\"\nsection = \"RFC 9111 §4\"\n";
    const STEP: &str = "[[case.step]]\n";
    let asked = format!("{CASE}{STEP}origin = {{}}\nexpect = {{}}\n");
    assert_eq!(parse("file", &asked).unwrap().len(), 1);
    for (wrong, part) in [
        (
            format!("{asked}{STEP}expects = {{}}"),
            "step 2: unknown field `expects`",
        ),
        (
            format!("{asked}{STEP}origin = {{}}"),
            "step 2: missing field `expect`",
        ),
        (
            format!("{asked}{STEP}expect = {{ state = 200 }}"),
            "step 2: unknown field `state`",
        ),
        (
            format!("{CASE}{STEP}origin = {{}}\nexpect = {{ asked = false }}"),
            "step 1: the origin's answer is never used",
        ),
        (
            format!("{CASE}{STEP}expect = {{ asked = true }}"),
            "step 1: the origin is asked and has no answer",
        ),
        (
            format!("{CASE}{STEP}origin_saw = {{}}\nexpect = {{}}"),
            "step 1: the origin is not asked, and sees nothing",
        ),
        (
            format!("{CASE}{STEP}fields = [\"A: {{dat:0}}\"]\nexpect = {{}}"),
            "step 1: {dat:0} is no placeholder",
        ),
        (
            format!("{CASE}{STEP}fields = [\"A\"]\nexpect = {{}}"),
            "step 1: \"A\" is no field line",
        ),
        (CASE.to_owned(), "\"one\": it has no [[case.step]]"),
        (
            format!("{CASE}where = [\"edge\"]\n{STEP}expect = {{}}"),
            "\"one\": `where` needs a `because`",
        ),
        (
            format!("{CASE}where = [\"moon\"]\nbecause = \"x\"\n{STEP}expect = {{}}"),
            "\"one\": unknown variant `moon`",
        ),
        (
            format!("{CASE}why = 1\n{STEP}expect = {{}}"),
            "\"one\": unknown field `why`",
        ),
        (format!("other = 1\n{asked}"), "unknown key \"other\""),
        ("[[case]".to_owned(), "file: TOML parse error"),
    ] {
        let error = parse("file", &wrong).unwrap_err().to_string();
        assert!(
            error.contains("file") && error.contains(part),
            "{wrong}\n{error}"
        );
    }
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
