use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex as SyncMutex;
use terrace_shared::purge::token::Wanted;
use terrace_shared::purge::{Incarnation, LedgerLimits, PurgeMode, Scope, Sequence};
use terrace_shared::time::TimestampMillis;
use tokio::sync::Notify;

use super::journal::{Claim, Cursor, Held, JournalError};
use super::plan::widened;
use super::*;
use crate::clock::ManualClock;
use crate::ledger::{BoxFuture, LocalLedger, View};
use crate::purge::target::{Taken, TellError};

/// What an edge was asked: which surrogate keys, or everything, and under which place.
type Asked = (Vec<String>, Option<Epoch>);

/// An edge that fails as often as it is told to, and writes down what it was asked.
#[derive(Clone, Default)]
struct FakeEdge {
    told: Arc<SyncMutex<Vec<Asked>>>,
    /// Calls that fail before anything is done.
    failures: Arc<AtomicUsize>,
    /// Calls that are carried out, and whose answer is lost.
    lost_answers: Arc<AtomicUsize>,
    /// The surrogate key that it has no word for.
    not_understood: Option<&'static str>,
    not_before: Option<Duration>,
    /// It never answers while this is locked.
    hangs: Arc<Mutex<()>>,
    began: Arc<Notify>,
}

fn take_one(count: &AtomicUsize) -> bool {
    count
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        })
        .is_ok()
}

impl PurgeTarget for FakeEdge {
    fn tell<'a>(&'a self, request: &'a PurgeRequest) -> BoxFuture<'a, Result<Taken, TellError>> {
        Box::pin(async move {
            self.began.notify_one();
            let _hangs = self.hangs.lock().await;
            if take_one(&self.failures) {
                return Err(TellError::Later {
                    reason: "the edge is down".to_owned(),
                    not_before: self.not_before,
                });
            }
            let understood = |key: &String| self.not_understood != Some(key.as_str());
            if !request.surrogate_keys.iter().all(understood) {
                return Err(TellError::Never {
                    reason: "what?".to_owned(),
                });
            }
            let mut keys = request.surrogate_keys.clone();
            if request.everything {
                keys.push("everything".to_owned());
            }
            self.told.lock().push((keys, request.origin_epoch));
            if take_one(&self.lost_answers) {
                return Err(TellError::later("the answer is lost"));
            }
            Ok(Taken {
                epoch: Some(epoch(9)),
                bound: Milliseconds::new(3_000),
            })
        })
    }
}

impl FakeEdge {
    fn down(times: usize) -> Self {
        let edge = Self::default();
        edge.failures.store(times, Ordering::SeqCst);
        edge
    }

    fn as_recipient(&self, name: &str) -> Recipient {
        Recipient {
            name: name.into(),
            target: Box::new(self.clone()),
        }
    }

    /// The keys that it was told, in order.
    fn keys(&self) -> Vec<String> {
        let told = self.told.lock();
        told.iter().flat_map(|(keys, _)| keys.clone()).collect()
    }
}

const INCARNATION: u64 = 1;

fn epoch(sequence: u64) -> Epoch {
    Epoch {
        incarnation: Incarnation::from_random(INCARNATION),
        sequence: Sequence::new(sequence),
    }
}

fn request(key: &str) -> PurgeRequest {
    PurgeRequest {
        surrogate_keys: vec![key.to_owned()],
        ..PurgeRequest::default()
    }
}

fn purge(key: &str) -> Purge {
    Purge {
        mode: PurgeMode::Hard,
        scopes: vec![Scope::surrogate_key(key).expect("a key")],
        at: TimestampMillis::default(),
        origin_epoch: None,
    }
}

/// A ledger that answers a while after it has given a purge its place, sooner or later.
struct Slow(LocalLedger);

impl PurgeLedger for Slow {
    fn view(&self) -> &Arc<View> {
        self.0.view()
    }

    fn append(&self, purge: Purge) -> BoxFuture<'_, Result<Appended, LedgerError>> {
        let appended = self.0.append(purge);
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..20))).await;
            appended.await
        })
    }

    fn shared_within(&self) -> Option<Milliseconds> {
        None
    }

    fn met_later(&self, _epoch: Epoch) {}

    fn catch_up<'a>(&'a self, _: &'a Wanted) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A ledger of one process, and its outbox.
struct Service {
    ledger: Slow,
    outbox: Outbox,
}

impl Service {
    fn with(recipients: Vec<Recipient>) -> Self {
        let clock = ManualClock::at(TimestampMillis::default()).clock();
        let ledger = LocalLedger::new(LedgerLimits::default(), &clock);
        let epoch = ledger.view().epoch().expect("its own");
        Self {
            outbox: Outbox::in_process(epoch, recipients),
            ledger: Slow(ledger),
        }
    }

    async fn purge(&self, key: &str) -> Epoch {
        let appended = self.outbox.append(&self.ledger, purge(key)).await;
        appended.expect("taken").epoch
    }

    async fn purge_and_ask(&self, key: &str) -> Vec<TierReceipt> {
        let epoch = self.purge(key).await;
        self.outbox.receipts(epoch, Patience::FirstAttempt).await
    }
}

/// One process of several over the same journal.
fn process(journal: &MemoryJournal, sender: u64, edge: &FakeEdge) -> Outbox {
    let own = journal.shared_with(sender);
    let keeping = Keeping::Here {
        journal: own.clone(),
        turn: Mutex::new(()),
    };
    let (_, news) = watch::channel(0);
    Outbox::start(Arc::new(own), keeping, vec![edge.as_recipient("eu")], &news)
}

async fn taken(outbox: &Outbox, epoch: Epoch) {
    let receipts = outbox.receipts(epoch, Patience::Within(Duration::from_hours(2)));
    for receipt in receipts.await {
        assert_eq!(receipt.state, PurgeState::Done, "{receipt:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_is_taken_at_once_is_reported_taken() {
    let edge = FakeEdge::default();
    let service = Service::with(vec![edge.as_recipient("eu")]);
    let [receipt] = &service.purge_and_ask("a").await[..] else {
        panic!("one edge");
    };
    assert_eq!(receipt.state, PurgeState::Done);
    assert_eq!(receipt.name.as_deref(), Some("eu"));
    assert_eq!(receipt.bound_ms, Milliseconds::new(3_000));
    assert_eq!((receipt.epoch, &receipt.detail), (Some(epoch(9)), &None));
    assert_eq!(edge.keys(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_is_down_for_an_hour_is_told_everything_in_order_afterwards() {
    let edge = FakeEdge::down(130);
    let service = Service::with(vec![edge.as_recipient("eu")]);
    let began = tokio::time::Instant::now();
    let mut last = epoch(0);
    for key in ["a", "b", "c"] {
        let receipts = service.purge_and_ask(key).await;
        assert_eq!(receipts[0].state, PurgeState::Pending);
        let detail = receipts[0].detail.as_deref().expect("why");
        assert!(
            detail.starts_with("the edge is down; it waits in this process"),
            "{detail}"
        );
        last = service.purge(&format!("{key}2")).await;
    }
    taken(&service.outbox, last).await;
    assert!(
        began.elapsed() > Duration::from_mins(40),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(edge.keys(), ["a", "a2", "b", "b2", "c", "c2"]);
    let told = edge.told.lock().clone();
    assert!(told.is_sorted_by_key(|(_, epoch)| epoch.map(|epoch| epoch.sequence)));
    assert_eq!(told.last().and_then(|(_, epoch)| *epoch), Some(last));
}

#[tokio::test(start_paused = true)]
async fn one_edge_that_is_down_does_not_delay_another() {
    let (down, up) = (FakeEdge::down(usize::MAX), FakeEdge::default());
    let hanging = FakeEdge::default();
    let _hangs = hanging.hangs.clone().try_lock_owned().expect("free");
    let service = Service::with(vec![
        down.as_recipient("down"),
        hanging.as_recipient("hanging"),
        up.as_recipient("up"),
    ]);
    for (number, key) in (1..).zip(["a", "b"]) {
        let receipts = service.purge_and_ask(key).await;
        let states: Vec<_> = receipts.iter().map(|receipt| receipt.state).collect();
        assert_eq!(
            states,
            [PurgeState::Pending, PurgeState::Pending, PurgeState::Done]
        );
        assert_eq!(up.keys().len(), number);
    }
}

#[tokio::test(start_paused = true)]
async fn an_edge_whose_answer_was_lost_is_told_the_same_again_under_the_same_place() {
    let edge = FakeEdge::default();
    edge.lost_answers.store(1, Ordering::SeqCst);
    let service = Service::with(vec![edge.as_recipient("eu")]);
    let first = service.purge("a").await;
    taken(&service.outbox, first).await;
    let told = edge.told.lock().clone();
    assert_eq!(
        told,
        [
            (vec!["a".to_owned()], Some(first)),
            (vec!["a".to_owned()], Some(first))
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_the_edge_will_never_understand_becomes_everything_and_its_neighbours_do_not()
{
    let edge = FakeEdge {
        not_understood: Some("odd"),
        ..FakeEdge::default()
    };
    let held = edge.hangs.clone().try_lock_owned().expect("free");
    let service = Service::with(vec![edge.as_recipient("eu")]);
    service.purge("first").await;
    edge.began.notified().await; // the others wait for the first
    for key in ["a", "odd"] {
        service.purge(key).await;
    }
    let last = service.purge("b").await;
    drop(held);
    taken(&service.outbox, last).await;
    assert_eq!(edge.keys(), ["first", "a", "everything", "b"]);
    let (_, stats) = service.outbox.stats().next().expect("one");
    assert_eq!(
        (stats.counted.widened_total, stats.counted.delivered_total),
        (1, 4)
    );
    let soft = PurgeRequest {
        mode: PurgeMode::Soft,
        ..request("odd")
    };
    assert_eq!(widened(&soft).mode, PurgeMode::Soft);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_outbox_keeps_becomes_one_purge_of_everything() {
    let edge = FakeEdge::default();
    let held = edge.hangs.clone().try_lock_owned().expect("free");
    let service = Service::with(vec![edge.as_recipient("eu")]);
    let mut last = service.purge("a").await;
    edge.began.notified().await;
    for _ in 0..=MemoryJournal::MOST_LETTERS {
        last = service.purge("b").await;
    }
    drop(held);
    taken(&service.outbox, last).await;
    assert_eq!(edge.keys(), ["a", "everything"]);
    let told = edge.told.lock();
    assert_eq!(told.last().and_then(|(_, epoch)| *epoch), Some(last));
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_asks_to_be_left_alone_is() {
    let edge = FakeEdge {
        not_before: Some(Duration::from_secs(20)),
        ..FakeEdge::down(1)
    };
    let service = Service::with(vec![edge.as_recipient("eu")]);
    let began = tokio::time::Instant::now();
    let last = service.purge("a").await;
    taken(&service.outbox, last).await;
    assert!(
        began.elapsed() >= Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_one_sends_and_the_other_takes_over_when_it_is_gone() {
    let journal = MemoryJournal::new(epoch(0), ["eu".to_owned()]);
    let (one, two) = (FakeEdge::default(), FakeEdge::default());
    let first = process(&journal, 1, &one);
    journal.push(epoch(1), request("a"));
    taken(&first, epoch(1)).await;
    let second = process(&journal, 2, &two);
    journal.push(epoch(2), request("b"));
    // It is the first that sends; the second sees how far the edge is.
    taken(&second, epoch(2)).await;
    assert_eq!(
        (one.keys(), two.keys()),
        (vec!["a".into(), "b".into()], Vec::new())
    );

    // The first dies in the middle of telling: nobody gives its claim up.
    let _hangs = one.hangs.clone().try_lock_owned().expect("free");
    journal.push(epoch(3), request("c"));
    one.began.notified().await; // of "a", or of "b"
    for task in &first.tasks {
        task.abort();
    }
    let died = tokio::time::Instant::now();
    journal.push(epoch(4), request("d"));
    taken(&second, epoch(4)).await;
    assert_eq!(two.keys(), ["c", "d"]);
    assert!(
        died.elapsed() < Duration::from_secs(8),
        "{:?}",
        died.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_in_order_hands_over_at_once() {
    let journal = MemoryJournal::new(epoch(0), ["eu".to_owned()]);
    let (one, two) = (FakeEdge::default(), FakeEdge::default());
    let first = process(&journal, 1, &one);
    journal.push(epoch(1), request("a"));
    taken(&first, epoch(1)).await;
    let second = process(&journal, 2, &two);
    drop(first);
    journal.push(epoch(2), request("b"));
    let ended = tokio::time::Instant::now();
    taken(&second, epoch(2)).await;
    assert!(
        ended.elapsed() < Duration::from_secs(1),
        "{:?}",
        ended.elapsed()
    );
    assert_eq!(two.keys(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_was_stopped_and_wakes_up_does_not_move_the_mark_back() {
    let journal = MemoryJournal::new(epoch(0), ["eu".to_owned()]);
    let (old, new) = (journal.shared_with(1), journal.shared_with(2));
    journal.push(epoch(1), request("a"));
    let Ok(Claim::Here { .. }) = old.claim("eu", 64).await else {
        panic!("nobody else claims");
    };
    tokio::time::advance(Duration::from_secs(6)).await; // stopped, for longer than its claim
    let edge = FakeEdge::default();
    let other = process(&journal, 2, &edge);
    taken(&other, epoch(1)).await;
    let cursor = Cursor {
        mark: journal::Mark(0, 0),
        epoch: epoch(0),
    };
    let stale = Progress {
        cursor: Some(cursor),
        ..Progress::default()
    };
    assert_eq!(old.note("eu", &stale).await, Ok(Held::Lost));
    let edges: Result<_, JournalError> = new.edges().await;
    assert!(edges.expect("in memory")[0].1.has_taken(epoch(1)));
}

#[tokio::test(start_paused = true)]
async fn purges_at_once_reach_the_edge_in_the_order_of_their_places() {
    let edge = FakeEdge::default();
    let service = Arc::new(Service::with(vec![edge.as_recipient("eu")]));
    let purges: Vec<_> = (0..200)
        .map(|number| {
            let service = service.clone();
            tokio::spawn(async move { service.purge(&format!("k{number}")).await })
        })
        .collect();
    let mut last = epoch(0);
    for purge in purges {
        let epoch = purge.await.expect("no panic");
        if epoch.sequence > last.sequence {
            last = epoch;
        }
    }
    taken(&service.outbox, last).await;
    assert_eq!(edge.keys().len(), 200);
    let (_, stats) = service.outbox.stats().next().expect("one");
    assert_eq!(stats.counted.widened_total, 0, "no place was passed over");
}
