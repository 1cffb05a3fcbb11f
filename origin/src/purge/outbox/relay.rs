//! One edge's way out of the journal: claim it, tell the edge what it lacks, note how far it has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use terrace_shared::purge::Epoch;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::journal::{Claim, Held, Journal, Progress};
use super::plan::{self, Dispatch, Width};
use crate::backoff::Backoff;
use crate::metrics::OutboxCounters;
use crate::purge::target::{PurgeTarget, Taken, TellError};

/// What a relay shows of itself to those who wait for it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct RelayState {
    /// How far the edge has come, as far as this process knows.
    pub(crate) progress: Progress,
    /// How many purges it has yet to take; none while another process sends to it.
    pub(crate) waiting: Option<u64>,
    /// Why the journal itself could not be read.
    pub(crate) unreadable: Option<String>,
}

/// A relay's handle: who waits looks here, and says so.
#[derive(Clone, Debug)]
pub(crate) struct RelayHandle {
    pub(crate) edge: Arc<str>,
    pub(crate) state: watch::Receiver<RelayState>,
    pub(crate) counters: Arc<OutboxCounters>,
    waiters: Arc<AtomicUsize>,
    nudge: Arc<Notify>,
}

/// What takes purges from the journal to one edge.
pub(crate) struct Relay {
    edge: Arc<str>,
    journal: Arc<dyn Journal>,
    target: Box<dyn PurgeTarget>,
    state: watch::Sender<RelayState>,
    counters: Arc<OutboxCounters>,
    waiters: Arc<AtomicUsize>,
    nudge: Arc<Notify>,
    /// Moves whenever this process learns of a purge, its own or another's.
    news: watch::Receiver<u64>,
    backoff: Backoff,
    /// How many letters may go together; one at a time after several were not understood.
    together: usize,
    noted_at: Instant,
}

/// What a relay does after a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    /// The next step.
    GoOn,
    /// Wait for a purge.
    Rest,
    /// Another process sends: wait for its claim to run out, or look how far it is.
    Watch,
    /// Leave the edge alone for so long.
    Pause(Duration),
    /// Leave the journal alone for so long.
    Away(Duration),
}

impl Relay {
    /// Most letters that are read at once.
    const MOST_LETTERS: usize = 64;

    /// Longest time between two looks at the journal while the claim is held; claims last several of these.
    const LOOK: Duration = Duration::from_millis(1_500);

    /// Time between two looks while somebody here waits for what another process sends.
    const LOOK_SOON: Duration = Duration::from_millis(25);

    /// Shortest and longest pause after a failed attempt.
    const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

    /// Longest time without a note; the journal forgets edges that nobody has sent to for a day.
    const NOTE: Duration = Duration::from_hours(1);

    pub(crate) fn new(
        edge: Arc<str>,
        journal: Arc<dyn Journal>,
        target: Box<dyn PurgeTarget>,
        news: watch::Receiver<u64>,
    ) -> (Self, RelayHandle) {
        let (state, seen) = watch::channel(RelayState::default());
        let handle = RelayHandle {
            edge: edge.clone(),
            state: seen,
            counters: Arc::default(),
            waiters: Arc::default(),
            nudge: Arc::default(),
        };
        let relay = Self {
            edge,
            journal,
            target,
            state,
            counters: handle.counters.clone(),
            waiters: handle.waiters.clone(),
            nudge: handle.nudge.clone(),
            news,
            backoff: Backoff::new(Self::PAUSES.0, Self::PAUSES.1),
            together: Self::MOST_LETTERS,
            noted_at: Instant::now(),
        };
        (relay, handle)
    }

    pub(crate) async fn run(mut self) {
        let mut away = Backoff::new(Self::PAUSES.0, Duration::from_secs(2));
        loop {
            let step = self.step(&mut away).await;
            match step {
                Then::GoOn => {}
                Then::Rest => self.rest(Self::LOOK).await,
                Then::Watch => self.watch().await,
                Then::Pause(pause) => self.pause(pause).await,
                Then::Away(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    async fn step(&mut self, away: &mut Backoff) -> Then {
        self.news.mark_unchanged(); // before the journal is read: what comes later is news
        let claim = self.journal.claim(&self.edge, Self::MOST_LETTERS).await;
        let (progress, backlog) = match claim {
            Ok(Claim::Here { progress, backlog }) => (progress, backlog),
            Ok(Claim::Elsewhere(progress)) => {
                away.reset();
                self.show(progress, None);
                return Then::Watch;
            }
            Err(error) => {
                let reason = error.to_string();
                self.state
                    .send_modify(|state| state.unreadable = Some(reason));
                return Then::Away(away.next_pause());
            }
        };
        away.reset();
        self.show(progress.clone(), Some(progress.behind(backlog.ledger)));
        match plan::next(progress.cursor.as_ref(), &backlog, self.together) {
            None => self.keep_noted(progress).await,
            Some(dispatch) => self.send(progress, dispatch).await,
        }
    }

    /// Notes an edge that has nothing to be told, now and then, so that it is not forgotten.
    async fn keep_noted(&mut self, progress: Progress) -> Then {
        if self.noted_at.elapsed() >= Self::NOTE {
            return self.note(progress, Then::Rest).await;
        }
        Then::Rest
    }

    async fn send(&mut self, before: Progress, mut dispatch: Dispatch) -> Then {
        loop {
            let told = tokio::select! {
                told = self.target.tell(&dispatch.request) => told,
                () = self.lose_claim() => return Then::Watch,
            };
            match told {
                Ok(taken) => return self.delivered(&dispatch, taken).await,
                Err(TellError::Never { .. })
                    if dispatch.letters > 1 && !dispatch.request.everything =>
                {
                    self.counters.failed_attempts_total.add_one();
                    self.together = 1; // one of them: find out which
                    return Then::GoOn;
                }
                Err(TellError::Never { .. }) if !dispatch.request.everything => {
                    self.counters.failed_attempts_total.add_one();
                    dispatch.request = plan::widened(&dispatch.request);
                    dispatch.width = Width::Everything;
                }
                Err(TellError::Never { reason }) => return self.failed(before, reason, None).await,
                Err(TellError::Later { reason, not_before }) => {
                    return self.failed(before, reason, not_before).await;
                }
            }
        }
    }

    async fn delivered(&mut self, dispatch: &Dispatch, taken: Taken) -> Then {
        let letters = u64::try_from(dispatch.letters).unwrap_or(u64::MAX);
        self.counters.delivered_total.add(letters);
        if dispatch.width == Width::Everything {
            self.counters.widened_total.add_one();
        }
        self.backoff.reset();
        self.together = Self::MOST_LETTERS;
        self.note(Progress::after(dispatch.cursor, taken), Then::GoOn)
            .await
    }

    async fn failed(
        &mut self,
        mut progress: Progress,
        reason: String,
        not_before: Option<Duration>,
    ) -> Then {
        self.counters.failed_attempts_total.add_one();
        progress.failing = Some(reason);
        let pause = self.backoff.next_pause();
        // Nobody may ask for longer than an outage's own pause: the purge is late enough.
        let asked = not_before.unwrap_or_default().min(Self::PAUSES.1);
        self.note(progress, Then::Pause(pause.max(asked))).await
    }

    /// Writes down how far the edge has come, and shows it; then `then`, unless the claim is gone.
    async fn note(&mut self, progress: Progress, then: Then) -> Then {
        match self.journal.note(&self.edge, &progress).await {
            Ok(Held::Yes) => {
                self.noted_at = Instant::now();
                self.show_progress(progress);
                then
            }
            Ok(Held::Lost) => Then::Watch,
            Err(error) => {
                // The edge may have taken it: whoever sends next tells it again, which does no harm (R8).
                self.show_progress(progress);
                let reason = error.to_string();
                self.state
                    .send_modify(|state| state.unreadable = Some(reason));
                Then::Away(self.backoff.next_pause())
            }
        }
    }

    /// Keeps the claim, and ends once it is lost.
    async fn lose_claim(&self) {
        loop {
            tokio::time::sleep(Self::LOOK).await;
            match self.journal.claim(&self.edge, 0).await {
                Ok(Claim::Here { progress, backlog }) => {
                    let waiting = progress.behind(backlog.ledger);
                    self.state
                        .send_modify(|state| state.waiting = Some(waiting));
                }
                Ok(Claim::Elsewhere(_)) => return,
                Err(_) => {} // it may still hold: the next answer says
            }
        }
    }

    async fn rest(&mut self, longest: Duration) {
        tokio::select! {
            () = tokio::time::sleep(longest) => {}
            () = self.nudge.notified() => {}
            Ok(()) = self.news.changed() => {}
        }
    }

    async fn watch(&self) {
        let pause = match self.waiters.load(Ordering::Acquire) {
            0 => Self::LOOK.mul_f64(0.9 + 0.2 * fastrand::f64()),
            _ => Self::LOOK_SOON,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.nudge.notified() => {}
        }
    }

    /// Leaves the edge alone, and keeps the claim meanwhile: others would not do better.
    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.lose_claim() => {}
        }
    }

    fn show(&self, progress: Progress, waiting: Option<u64>) {
        self.state.send_replace(RelayState {
            progress,
            waiting,
            unreadable: None,
        });
    }

    fn show_progress(&self, progress: Progress) {
        self.state.send_modify(|state| state.progress = progress);
    }
}

impl RelayHandle {
    /// Tells the relay that there is something to send, or that somebody waits.
    pub(crate) fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Says that somebody waits, as long as the answer lives: then the relay looks more often.
    pub(crate) fn hurry(&self) -> Waiting<'_> {
        let waiting = Waiting::begin(&self.waiters);
        self.nudge();
        waiting
    }

    /// Waits until the edge has taken the purge at `epoch`, or `is_enough` says so of the relay's state.
    pub(crate) async fn until_taken(&self, epoch: Epoch, is_enough: impl Fn(&RelayState) -> bool) {
        let mut state = self.state.clone();
        // An error means that the relay is gone; what it showed last stands.
        let _ = state
            .wait_for(|state| state.progress.has_taken(epoch) || is_enough(state))
            .await;
    }
}

/// Somebody who waits, for as long as this lives.
#[must_use]
pub(crate) struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiters: &'a AtomicUsize) -> Self {
        waiters.fetch_add(1, Ordering::AcqRel);
        Self(waiters)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
