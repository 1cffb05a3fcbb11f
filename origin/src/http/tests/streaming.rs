//! Bodies: long ones, broken ones, slow readers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use terrace_shared::time::ByteCount;
use tower::ServiceExt;
use tower_layer::Layer;

use super::support::{Broken, FRESH, Reply, World, get, in_time, read, send, streamed};
use crate::http::{BodyError, CacheLayer};
use crate::tests::settle;

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_to_all_and_not_stored() {
    let process = World::new().process();
    let (chunks, answer) = streamed(200, &[FRESH]);
    process.origin.replies(Reply::Now(answer));
    let (first, second) = (process.spawn(get("/x", &[])), process.spawn(get("/x", &[])));
    settle().await;
    send(&chunks, "be");
    settle().await;
    assert!(chunks.send(Err(Broken)).is_ok());
    for request in [first, second] {
        let got = in_time(request).await;
        assert!(
            matches!(got.body, Err(BodyError::Service(_))),
            "{:?}",
            got.body
        );
    }
    process.origin.answers(200, &[FRESH], "begin");
    assert_eq!(process.get("/x").await.text(), "begin");
    assert_eq!(process.counted().totals.broken_fills_total, 1);
}

#[tokio::test]
async fn a_body_of_another_length_than_its_head_says_is_an_error_and_not_stored() {
    for (length, text) in [("6", "begin"), ("4", "begin"), ("0", "begin")] {
        let process = World::new().process();
        process
            .origin
            .answers(200, &[FRESH, ("content-length", length)], text);
        let got = process.get("/x").await;
        assert!(
            matches!(got.body, Err(BodyError::Length { .. })),
            "{length}: {got:?}"
        );
        process.origin.answers(200, &[FRESH], "whole");
        assert_eq!(process.get("/x").await.text(), "whole", "{length}");
    }
}

#[tokio::test]
async fn a_body_that_broke_off_answers_for_the_bytes_that_it_has() {
    let process = World::new().process();
    let fields = [FRESH, ("etag", "\"1\""), ("content-length", "10")];
    process.origin.answers(200, &fields, "01234");
    assert!(process.get("/x").await.body.is_err());
    let got = process.get_with("/x", &[("range", "bytes=1-3")]).await;
    assert_eq!(
        (got.status.as_u16(), got.text(), process.origin.calls()),
        (206, "123", 1)
    );
    let part = [FRESH, ("etag", "\"1\""), ("content-range", "bytes 5-9/10")];
    process.origin.answers(206, &part, "56789");
    let got = process.get("/x").await;
    assert_eq!(
        (got.status.as_u16(), got.text()),
        (200, "0123456789"),
        "{}",
        got.said()
    );
}

#[tokio::test]
async fn whoever_has_all_of_a_body_finds_it_stored() {
    let process = World::new().process();
    let (chunks, answer) = streamed(200, &[FRESH, ("content-length", "5")]);
    process.origin.replies(Reply::Now(answer));
    let response = process.call(get("/x", &[])).await.expect("an answer");
    let mut body = response.into_body();
    send(&chunks, "be");
    send(&chunks, "gin");
    drop(chunks);
    let mut text = Vec::new();
    while text.len() < 5 {
        let frame = body.frame().await.expect("a frame").expect("no error");
        text.extend_from_slice(&frame.into_data().expect("data"));
    }
    assert_eq!(process.stored("/x").body, "begin");
}

#[tokio::test]
async fn trailers_go_through_once() {
    let process = World::new().process();
    let (chunks, answer) = streamed(200, &[FRESH]);
    send(&chunks, "x");
    let mut trailers = ::http::HeaderMap::new();
    trailers.insert("checksum", "7".parse().unwrap());
    assert!(chunks.send(Ok(Frame::trailers(trailers.clone()))).is_ok());
    drop(chunks);
    process.origin.replies(Reply::Now(answer));
    let response = process.call(get("/x", &[])).await.expect("an answer");
    let body = response.into_body().collect().await.expect("a body");
    assert_eq!(body.trailers(), Some(&trailers));
}

/// A body of so many chunks, which counts those that were taken.
#[derive(Clone)]
struct Long {
    left: u64,
    taken: Arc<AtomicU64>,
}

impl Long {
    const CHUNK: u64 = 64 << 10;
}

impl Body for Long {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        static CHUNK: [u8; 64 << 10] = [b'x'; 64 << 10];
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.taken.fetch_add(Self::CHUNK, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK)))))
    }
}

/// Reads a body of 100 MiB, and says how far the fill was ahead at most.
async fn read_long(layer: CacheLayer, length: Option<u64>, readers: usize) -> u64 {
    const CHUNKS: u64 = 1_600;
    let taken = Arc::new(AtomicU64::new(0));
    let (counter, body) = (taken.clone(), taken.clone());
    let service = tower::service_fn(move |_: Request<Empty<Bytes>>| {
        let mut response = Response::new(Long {
            left: CHUNKS,
            taken: body.clone(),
        });
        response
            .headers_mut()
            .insert("cache-control", "max-age=60".parse().unwrap());
        if let Some(length) = length {
            response
                .headers_mut()
                .insert("content-length", length.into());
        }
        std::future::ready(Ok::<_, Broken>(response))
    });
    let service = layer.layer(service);
    let mut bodies = Vec::new();
    for _ in 0..readers {
        let response = service
            .clone()
            .oneshot(get("/long", &[]))
            .await
            .expect("an answer");
        bodies.push(response.into_body());
    }
    let (mut read, mut ahead) = (0, 0);
    'reading: loop {
        for body in &mut bodies {
            let Some(frame) = body.frame().await else {
                break 'reading;
            };
            read += frame.expect("no error").into_data().expect("data").len() as u64;
        }
        settle().await;
        let each = read / bodies.len() as u64;
        ahead = ahead.max(counter.load(Ordering::SeqCst).saturating_sub(each));
    }
    assert_eq!(read, CHUNKS * Long::CHUNK * readers as u64);
    ahead
}

#[tokio::test]
async fn a_long_body_of_unknown_length_flows_in_bounded_memory() {
    let process = World::new().process();
    let layer = CacheLayer::new(process.cache.clone()).largest_body(ByteCount::mebibytes(4));
    let ahead = read_long(layer, None, 1).await;
    assert!(
        (1 << 20..=(5 << 20) + Long::CHUNK).contains(&ahead),
        "{ahead}"
    );
    let counted = process.counted();
    assert_eq!(counted.not_stored_total["too-large"], 1);
    assert_eq!((counted.totals.stored_total, counted.memory_urls), (0, 0));
}

#[tokio::test]
async fn a_body_that_is_known_to_be_long_is_not_held_at_all() {
    let process = World::new().process();
    let layer = CacheLayer::new(process.cache.clone());
    let ahead = read_long(layer, Some(1_600 * Long::CHUNK), 1).await;
    assert!(ahead <= Long::CHUNK, "{ahead}");
    assert_eq!(process.counted().not_stored_total["too-large"], 1);
}

#[tokio::test]
async fn fills_share_one_limit_on_what_they_hold() {
    let process = World::new().process();
    let layer = CacheLayer::new(process.cache.clone()).memory(ByteCount::mebibytes(2));
    let ahead = read_long(layer, None, 1).await;
    assert!(
        (1 << 20..=(3 << 20) + Long::CHUNK).contains(&ahead),
        "{ahead}"
    );
}

#[tokio::test(start_paused = true)]
async fn of_two_readers_of_a_long_body_the_one_that_stands_still_is_left_behind() {
    let process = World::new().process_with(|layer| layer.largest_body(ByteCount::kibibytes(1)));
    let (chunks, answer) = streamed(200, &[FRESH]);
    process.origin.replies(Reply::Now(answer));
    let reading = process.spawn(get("/x", &[]));
    let standing = {
        settle().await;
        process.call(get("/x", &[])).await.expect("an answer")
    };
    let chunk = "x".repeat(512 << 10);
    for _ in 0..8 {
        send(&chunks, &chunk);
    }
    drop(chunks);
    assert_eq!(in_time(reading).await.text().len(), 4 << 20);
    assert!(matches!(read(standing).await.body, Err(BodyError::TooSlow)));
    assert_eq!(process.origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_takes_too_long_goes_on_for_its_reader_and_is_not_stored() {
    let limit = std::time::Duration::from_secs(5);
    let process = World::new().process_with(|layer| layer.fill_timeout(limit));
    let (chunks, answer) = streamed(200, &[FRESH]);
    process.origin.replies(Reply::Now(answer));
    let reading = process.spawn(get("/x", &[]));
    settle().await;
    send(&chunks, "sl");
    settle().await;
    tokio::time::advance(limit * 2).await;
    settle().await;
    send(&chunks, "ow");
    drop(chunks);
    assert_eq!(in_time(reading).await.text(), "slow");
    assert_eq!(process.counted().totals.stored_total, 0);
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_takes_too_long_and_has_no_reader_is_let_go() {
    let limit = std::time::Duration::from_secs(5);
    let process = World::new().process_with(|layer| layer.fill_timeout(limit));
    let (_chunks, gone, answer) = super::support::watched(200, &[FRESH]);
    process.origin.replies(Reply::Now(answer));
    let reading = process.spawn(get("/x", &[]));
    settle().await;
    reading.abort();
    assert!(
        in_time(tokio::spawn(gone)).await.is_err(),
        "its sender was dropped with the body"
    );
}
