//! A future as what the platform takes for an answer: the value itself if it is there at once, or else a promise.
//!
//! A hit in isolate memory waits for nothing, so it costs no promise and no turn of the event loop.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use wasm_bindgen::JsValue;
use worker::wasm_bindgen_futures::future_to_promise;

/// The value of `future`, or a promise of it.
pub(crate) fn value_or_promise<F>(future: F) -> JsValue
where
    F: Future<Output = JsValue> + 'static,
{
    let mut relayed = Relayed::new(future);
    match relayed.poll() {
        Poll::Ready(value) => value,
        Poll::Pending => future_to_promise(async move { Ok(relayed.finish().await) }).into(),
    }
}

/// A future that sees one waker from its first poll on, whichever task polls it: some keep the first they see.
struct Relayed<F> {
    future: Pin<Box<F>>,
    relay: Arc<Relay>,
    waker: Waker,
}

/// Passes a wake on to the task that polls now, if there is one yet.
#[derive(Default)]
struct Relay(Mutex<Option<Waker>>);

impl<F: Future> Relayed<F> {
    fn new(future: F) -> Self {
        let relay = Arc::new(Relay::default());
        Self {
            future: Box::pin(future),
            waker: Waker::from(Arc::clone(&relay)),
            relay,
        }
    }

    fn poll(&mut self) -> Poll<F::Output> {
        let mut context = Context::from_waker(&self.waker);
        self.future.as_mut().poll(&mut context)
    }

    /// Goes on in the task that awaits this. It is polled there at once, so no earlier wake is missed.
    async fn finish(mut self) -> F::Output {
        poll_fn(|context| {
            self.relay.pass_on_to(context.waker());
            self.poll()
        })
        .await
    }
}

impl Relay {
    fn pass_on_to(&self, waker: &Waker) {
        let mut task = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *task = Some(waker.clone());
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        let task = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_there_at_once_needs_no_task() {
        assert_eq!(Relayed::new(async { 7 }).poll(), Poll::Ready(7));
    }

    #[test]
    fn a_waker_kept_from_the_first_poll_wakes_the_task_of_a_later_one() {
        let kept: Rc<Cell<Option<Waker>>> = Rc::default();
        let done = Rc::new(Cell::new(false));
        let future = {
            let (kept, done) = (Rc::clone(&kept), Rc::clone(&done));
            poll_fn(move |context| {
                if done.get() {
                    return Poll::Ready(7);
                }
                // As the platform's timers do: only the first waker is kept.
                let first = kept.take().unwrap_or_else(|| context.waker().clone());
                kept.set(Some(first));
                Poll::Pending
            })
        };
        let mut relayed = Relayed::new(future);
        assert_eq!(relayed.poll(), Poll::Pending);

        let counted = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&counted));
        let mut context = Context::from_waker(&waker);
        let mut finishing = Box::pin(relayed.finish());
        assert_eq!(finishing.as_mut().poll(&mut context), Poll::Pending);
        done.set(true);
        kept.take().unwrap().wake();
        assert_eq!(counted.0.load(Ordering::Relaxed), 1);
        assert_eq!(finishing.as_mut().poll(&mut context), Poll::Ready(7));
    }
}
