//! Origins that are slow or go away, and clients that do.

use std::time::Duration;

use e2e::rfc::{Answer, Connection, Driver, Then};
use e2e::wait_until;
use tokio::io::AsyncReadExt as _;

use crate::{Site, at_the_edge, at_the_shield, cacheable, raw};

#[tokio::test]
async fn the_edge_waits_for_slow_content_and_stores_it_whole() {
    at_the_edge(slow_content_is_stored_whole).await;
}

#[tokio::test]
async fn the_shield_waits_for_slow_content_and_stores_it_whole() {
    at_the_shield(slow_content_is_stored_whole).await;
}

#[tokio::test]
async fn the_edge_stores_nothing_of_an_origin_that_stalls() {
    at_the_edge(stalled_content_is_not_stored).await;
}

#[tokio::test]
async fn the_shield_stores_nothing_of_an_origin_that_stalls() {
    at_the_shield(stalled_content_is_not_stored).await;
}

#[tokio::test]
async fn the_edge_answers_for_origins_that_go_away() {
    at_the_edge(origins_that_go_away_are_a_502).await;
}

#[tokio::test]
async fn the_shield_answers_for_origins_that_go_away() {
    at_the_shield(origins_that_go_away_are_a_502).await;
}

#[tokio::test]
async fn the_edge_is_not_harmed_by_clients_that_go_away() {
    at_the_edge(clients_that_go_away_harm_nobody).await;
}

#[tokio::test]
async fn the_shield_is_not_harmed_by_clients_that_go_away() {
    at_the_shield(clients_that_go_away_harm_nobody).await;
}

async fn slow_content_is_stored_whole<D: Driver>(site: &Site<'_, D>) {
    let page = site.page("slow");
    page.answers([Answer::Late(
        Duration::from_secs(1),
        Box::new(cacheable("slow")),
    )]);
    assert_eq!(page.get(&[]).await.body.bytes, b"slow");
    assert_eq!(page.hit().await.body.bytes, b"slow");
}

async fn stalled_content_is_not_stored<D: Driver>(site: &Site<'_, D>) {
    let page = site.page("stall");
    let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 1000\r\n\r\n";
    page.answers([raw(head, b"half", Then::Stall)]);
    let mut connection = Connection::open(site.cache.authority()).await.unwrap();
    connection.send(&page.request(&[])).await.unwrap();
    let (_, head) = connection.read_heads().await.unwrap();
    assert_eq!(head.status(), 200);
    let mut half = [0; 4];
    connection.stream().read_exact(&mut half).await.unwrap();
    assert_eq!(&half, b"half");
    // Meanwhile others are answered, and nobody takes the half for the whole.
    site.is_well("stall").await;
    drop(connection);
    page.settle().await;
    let answers = || cacheable("whole");
    page.answers([answers(), answers(), answers()]);
    let got = wait_until("somebody gets the whole", async || {
        // Who waits for the same content may share the fate of the first.
        let got = site.cache.send(&page.request(&[])).await.ok()?;
        let half = got.body.bytes == b"half" && !got.body.is_truncated;
        assert!(!half, "half of the content was taken for the whole");
        (got.body.bytes == b"whole").then_some(got)
    })
    .await;
    assert_eq!(got.head.status(), 200);
}

async fn origins_that_go_away_are_a_502<D: Driver>(site: &Site<'_, D>) {
    for (name, sent) in [
        ("nothing", ""),
        ("half a line", "HTTP/1.1 20"),
        (
            "half a head",
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\n",
        ),
        ("no http", "SSH-2.0-OpenSSH_9.2p1\r\n\r\n"),
        ("no status", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
        (
            "status of seven digits",
            "HTTP/1.1 2000000 OK\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        let page = site.page(&name.replace(' ', "-"));
        let answer = || raw(sent, b"", Then::End);
        page.answers([answer(), answer(), answer()]);
        let got = page.get(&[]).await;
        assert_eq!(got.head.status(), 502, "{name}");
        assert!(
            !got.head
                .fields
                .joined("cache-status")
                .unwrap()
                .contains("stored"),
            "{name}"
        );
        page.settle().await;
        page.answers([cacheable("right")]);
        assert_eq!(page.get(&[]).await.body.bytes, b"right", "{name}");
    }
    site.is_well("gone-origins").await;
}

async fn clients_that_go_away_harm_nobody<D: Driver>(site: &Site<'_, D>) {
    const LENGTH: usize = 4 << 20;
    let whole = "y".repeat(LENGTH);
    let page = site.page("gone");
    for read in [0, 1, 100_000] {
        page.answers([cacheable(&whole), cacheable(&whole)]);
        let mut connection = Connection::open(site.cache.authority()).await.unwrap();
        connection.send(&page.request(&[])).await.unwrap();
        if read > 0 {
            connection.read_heads().await.unwrap();
            let mut part = vec![0; read];
            connection.stream().read_exact(&mut part).await.unwrap();
        }
        drop(connection);
    }
    page.settle().await;
    page.answers([cacheable(&whole), cacheable(&whole)]);
    let got = page.get(&[]).await;
    assert!(!got.body.is_truncated);
    assert_eq!(
        got.body.bytes.len(),
        LENGTH,
        "whoever comes next gets all of it"
    );
    assert_eq!(page.hit().await.body.bytes.len(), LENGTH);

    // A client that goes in the middle of its own content.
    let page = site.page("gone-upload");
    page.answers([cacheable("done")]);
    let mut connection = Connection::open(site.cache.authority()).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhalf",
        page.path
    );
    connection.send_bytes(head.as_bytes()).await.unwrap();
    drop(connection);
    site.is_well("gone-clients").await;
}
