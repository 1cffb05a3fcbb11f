//! The body of a fill: read as it comes, held for those who want it, and stored when it is complete.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body::{Body, Frame};
use terrace_shared::http::{BodyEnd, combine};
use terrace_shared::outcome::NotStored;

use super::BodyError;
use super::error::BoxError;
use super::growing::{Growing, Room};
use super::keep::{assemble, put};
use super::share::Landing;
use super::site::Site;
use super::store::Entry;
use super::visit::Visit;
use crate::flight::Lead;
use crate::ledger::Began;

/// A body that is coming, and is to be stored.
pub(super) struct Pump<B> {
    pub(super) body: B,
    pub(super) growing: Arc<Growing>,
    pub(super) keep: Keep,
}

/// As what a body is stored.
#[derive(Clone, Debug)]
pub(super) enum Keep {
    /// As it is.
    AsItIs,
    /// Together with the stored part that it continues, or precedes.
    CombinedWith(Arc<Entry>),
}

/// How reading came to its end.
#[derive(Debug)]
pub(super) enum Ended {
    /// All that came is held; but for the last chunk, which nobody has been given yet.
    Kept {
        received: u64,
        last: Option<Bytes>,
        end: BodyEnd,
        error: Option<BodyError>,
    },
    /// It flowed on to whoever read it.
    Flowed,
}

/// Reads the body to its end, and stores it; `lead` is given up when it is stored, or will not be.
pub(super) async fn run<B>(visit: &Visit, pump: Pump<B>, mut lead: Option<Lead<Began, Landing>>)
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let Pump {
        body,
        growing,
        keep,
    } = pump;
    let site = &visit.site;
    let stop = |because| {
        site.counters().not_stored(&because);
        site.markers.set(&visit.intake.key, visit.clock());
        if let Some(lead) = lead.take() {
            lead.announce(Landing::Alone);
        }
    };
    let Ended::Kept {
        received,
        last,
        end,
        error,
    } = read(body, &growing, site, stop).await
    else {
        return;
    };
    let whole = growing.collected(last.as_ref());
    match growing.head.clone().after_body(received, end) {
        Ok(head) => {
            let combined = match &keep {
                Keep::AsItIs => None,
                Keep::CombinedWith(stored) => combine(&stored.head, &head)
                    .map(|combined| assemble(combined, &stored.body, &whole)),
            };
            let entry = combined.unwrap_or_else(|| Entry::new(head, whole.clone()));
            put(visit, &Arc::new(entry));
        }
        Err(because) => site.counters().not_stored(&because),
    }
    drop(lead); // from now on it is found in the store
    match error {
        None => growing.finish(Some(whole)),
        Some(error) => {
            site.counters().counts.broken_fills_total.add_one();
            if let Some(last) = last {
                growing.push(last);
            }
            growing.fail(error);
        }
    }
}

/// Reads `body` into `growing` until its end; when it is too much to be kept, `stop` is told, and it flows on
/// only as fast as it is read.
///
/// The chunk that completes a body of known length is held back: whoever has all of it may come again at once,
/// and finds it stored.
pub(super) async fn read<B>(
    body: B,
    growing: &Growing,
    site: &Site,
    stop: impl FnOnce(NotStored),
) -> Ended
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let mut body = pin!(body);
    let mut deadline = pin!(tokio::time::sleep(site.config.fill_timeout));
    let mut reading = Reading::of(growing, site);
    let because = loop {
        let frame = tokio::select! {
            biased;
            frame = next(body.as_mut()) => frame,
            () = &mut deadline => break NotStored::StoreFailed,
        };
        match reading.take(frame.map(|frame| frame.map_err(BodyError::service))) {
            Took::More => {}
            // Nothing more will come; some bodies know.
            Took::AllExpected if !body.is_end_stream() => {}
            Took::AllExpected => return reading.ended(),
            Took::TooMuch => break NotStored::TooLarge,
            Took::End(ended) => return ended,
        }
    };
    stop(because);
    growing.stop_keeping();
    let received = reading.let_go();
    flow(body, growing, received).await;
    Ended::Flowed
}

/// A body that is being read, to be stored.
struct Reading<'a> {
    growing: &'a Growing,
    buffered: Buffered<'a>,
    received: u64,
    last: Option<Bytes>,
}

/// What a frame of a body was.
enum Took {
    /// There is more to come.
    More,
    /// Its head speaks of no more.
    AllExpected,
    /// More than may be held.
    TooMuch,
    /// The end.
    End(Ended),
}

impl<'a> Reading<'a> {
    const fn of(growing: &'a Growing, site: &'a Site) -> Self {
        Self {
            growing,
            buffered: Buffered::of(site),
            received: 0,
            last: None,
        }
    }

    fn take(&mut self, frame: Option<Result<Frame<Bytes>, BodyError>>) -> Took {
        let data = match frame {
            None => return Took::End(self.ended()),
            Some(Err(error)) => return Took::End(broken(self.last.take(), self.received, error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    push_trailers(self.growing, frame);
                    return Took::More;
                }
            },
        };
        self.push_last();
        self.received += data.len() as u64;
        let received = self.received;
        match self.growing.expected {
            Some(expected) if received > expected => {
                let error = BodyError::Length { received, expected };
                Took::End(broken(None, received, error))
            }
            Some(expected) if received == expected => {
                self.last = Some(data);
                Took::AllExpected
            }
            Some(_) | None => {
                let fits = self.buffered.take(data.len() as u64);
                self.growing.push(data);
                if fits { Took::More } else { Took::TooMuch }
            }
        }
    }

    fn ended(&mut self) -> Ended {
        ended(self.last.take(), self.received, self.growing.expected)
    }

    /// Hands out what was held back, and says how much has come so far.
    fn let_go(mut self) -> u64 {
        self.push_last();
        self.received
    }

    fn push_last(&mut self) {
        if let Some(last) = self.last.take() {
            self.growing.push(last);
        }
    }
}

/// Lets the rest of a body that is not kept flow to whoever reads it, as fast as the slowest does.
async fn flow<B>(mut body: Pin<&mut B>, growing: &Growing, mut received: u64)
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    while growing.room().await == Room::Yes {
        let frame = tokio::select! {
            biased;
            frame = next(body.as_mut()) => frame,
            () = growing.deserted() => return,
        };
        match frame {
            None => {
                return match ended(None, received, growing.expected) {
                    Ended::Kept {
                        error: Some(error), ..
                    } => growing.fail(error),
                    Ended::Kept { error: None, .. } | Ended::Flowed => growing.finish(None),
                };
            }
            Some(Err(error)) => return growing.fail(BodyError::service(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    received += data.len() as u64;
                    growing.push(data);
                }
                Err(frame) => push_trailers(growing, frame),
            },
        }
    }
}

async fn next<B: Body>(mut body: Pin<&mut B>) -> Option<Result<Frame<B::Data>, B::Error>> {
    std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await
}

fn push_trailers(growing: &Growing, frame: Frame<Bytes>) {
    if let Ok(trailers) = frame.into_trailers() {
        growing.push_trailers(trailers);
    }
}

/// The body has come to its end by its own framing: is it as long as its head says?
fn ended(last: Option<Bytes>, received: u64, expected: Option<u64>) -> Ended {
    let error = match expected {
        Some(expected) if received != expected => Some(BodyError::Length { received, expected }),
        Some(_) | None => None,
    };
    Ended::Kept {
        received,
        last,
        end: BodyEnd::Whole,
        error,
    }
}

fn broken(last: Option<Bytes>, received: u64, error: BodyError) -> Ended {
    Ended::Kept {
        received,
        last,
        end: BodyEnd::BrokenOff,
        error: Some(error),
    }
}

/// What a fill holds in memory before it is stored; given back with this value.
struct Buffered<'a> {
    site: &'a Site,
    bytes: u64,
}

impl<'a> Buffered<'a> {
    /// A chunk takes memory of its own, however short it is.
    const LEAST: u64 = 64;

    const fn of(site: &'a Site) -> Self {
        Self { site, bytes: 0 }
    }

    /// Whether this much more may be held: by this fill, and by all of them together.
    fn take(&mut self, more: u64) -> bool {
        let more = more.max(Self::LEAST);
        self.bytes += more;
        let all = self.site.filling.fetch_add(more, Ordering::Relaxed) + more;
        let config = &self.site.config;
        self.bytes <= config.largest_body.as_u64() && all <= config.memory.as_u64()
    }
}

impl Drop for Buffered<'_> {
    fn drop(&mut self) {
        self.site.filling.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
