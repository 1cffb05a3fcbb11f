//! Content that is not as long as was said.

use e2e::rfc::{Driver, Then};

use crate::{Site, at_the_edge, at_the_shield, cacheable, raw};

/// Lengths on both sides of what a cache may keep in memory, or in one piece.
const LENGTHS: [usize; 3] = [1_000, 300 << 10, 7 << 20];

#[tokio::test]
async fn the_edge_never_stores_content_that_broke_off() {
    at_the_edge(content_that_broke_off_is_not_stored).await;
}

#[tokio::test]
async fn the_shield_never_stores_content_that_broke_off() {
    at_the_shield(content_that_broke_off_is_not_stored).await;
}

#[tokio::test]
async fn the_edge_never_stores_content_that_never_came() {
    at_the_edge(content_that_never_came_is_not_stored).await;
}

#[tokio::test]
async fn the_shield_never_stores_content_that_never_came() {
    at_the_shield(content_that_never_came_is_not_stored).await;
}

#[tokio::test]
async fn the_edge_takes_no_more_content_than_was_said() {
    at_the_edge(content_beyond_its_length_is_nobodys).await;
}

#[tokio::test]
async fn the_shield_takes_no_more_content_than_was_said() {
    at_the_shield(content_beyond_its_length_is_nobodys).await;
}

#[tokio::test]
async fn the_edge_refuses_lengths_that_contradict_each_other() {
    at_the_edge(lengths_that_contradict_are_refused).await;
}

#[tokio::test]
async fn the_shield_refuses_lengths_that_contradict_each_other() {
    at_the_shield(lengths_that_contradict_are_refused).await;
}

async fn content_that_broke_off_is_not_stored<D: Driver>(site: &Site<'_, D>) {
    for length in LENGTHS {
        for kept in [length / 2, length - 1] {
            broke_off(site, length, kept).await;
        }
    }
}

async fn content_that_never_came_is_not_stored<D: Driver>(site: &Site<'_, D>) {
    for length in LENGTHS {
        broke_off(site, length, 0).await;
    }
}

/// The origin goes away after so many bytes, and the next time it does not.
async fn broke_off<D: Driver>(site: &Site<'_, D>, length: usize, kept: usize) {
    let whole = pattern(length);
    for (how, head, sent) in [
        ("sized", format!("Content-Length: {length}"), whole.clone()),
        (
            "chunked",
            "Transfer-Encoding: chunked".to_owned(),
            one_chunk(&whole),
        ),
    ] {
        let what = format!("{how}-{kept}-of-{length}");
        let page = site.page(&what);
        let head = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\n{head}\r\n\r\n");
        page.answers([raw(&head, &sent[..kept], Then::End)]);
        // A cache may as well refuse to answer, or go away itself.
        if let Ok(got) = site.cache.send(&page.request(&[])).await {
            let failed = got.head.status() == 502;
            assert!(got.body.is_truncated || failed, "{what} came as whole");
        }
        page.settle().await;
        page.answers([raw(&head, &sent, Then::Next)]);
        let got = page.get(&[]).await;
        assert_eq!(page.asked_times(), 1, "{what} was stored");
        assert!(got.body.bytes == whole, "{what}");
        let hit = page.hit().await;
        assert!(hit.body.bytes == whole, "{what}");
    }
}

async fn content_beyond_its_length_is_nobodys<D: Driver>(site: &Site<'_, D>) {
    let page = site.page("too-long");
    let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 3\r\n\r\n";
    let poison =
        b"oneHTTP/1.1 200 OK\r\nContent-Length: 6\r\nCache-Control: max-age=3600\r\n\r\npoison";
    page.answers([raw(head, poison, Then::Next)]);
    assert_eq!(page.get(&[]).await.body.bytes, b"one");
    assert_eq!(page.hit().await.body.bytes, b"one");
    // The bytes behind it answer no other request.
    for number in 0..8 {
        let page = site.page(&format!("after-too-long-{number}"));
        page.answers([cacheable("clean"), cacheable("clean")]);
        let got = page.get(&[]).await;
        assert_ne!(got.body.bytes, b"poison");
    }
    site.is_well("too-long").await;
}

async fn lengths_that_contradict_are_refused<D: Driver>(site: &Site<'_, D>) {
    for (name, lengths) in [
        ("two", "Content-Length: 3\r\nContent-Length: 6\r\n"),
        ("list", "Content-Length: 3, 6\r\n"),
        ("negative", "Content-Length: -3\r\n"),
        ("hexadecimal", "Content-Length: 0x3\r\n"),
        ("word", "Content-Length: three\r\n"),
        ("huge", "Content-Length: 99999999999999999999999\r\n"),
    ] {
        let page = site.page(name);
        let head = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\n{lengths}\r\n");
        let answer = || raw(&head, b"onetwo", Then::End);
        page.answers([answer(), answer()]);
        let got = site.cache.send(&page.request(&[])).await;
        let refused = got.map_or(true, |got| {
            got.head.status() == 502 || got.body.is_truncated
        });
        assert!(refused, "{name}");
        page.settle().await;
        page.answers([cacheable("right")]);
        let got = page.get(&[]).await;
        assert_eq!(got.body.bytes, b"right", "{name}: something was stored");
    }
    // The same length twice is that length (RFC 9110 §8.6).
    let page = site.page("same");
    let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n";
    page.answers([raw(head, b"one", Then::End), cacheable("one")]);
    let got = page.get(&[]).await;
    assert!(
        matches!(got.head.status(), 200 | 502),
        "{}",
        got.head.status()
    );
    site.is_well("contradictions").await;
}

/// Content in which each place looks different from its neighbours.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| b'a' + u8::try_from(at % 23).unwrap())
        .collect()
}

fn one_chunk(content: &[u8]) -> Vec<u8> {
    let mut sent = format!("{:x}\r\n", content.len()).into_bytes();
    sent.extend_from_slice(content);
    sent.extend_from_slice(b"\r\n0\r\n\r\n");
    sent
}
