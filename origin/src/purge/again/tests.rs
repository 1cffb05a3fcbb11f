use terrace_shared::purge::token::Wanted;
use terrace_shared::purge::{LedgerLimits, PurgeMode, Scope};
use terrace_shared::time::TimestampMillis;

use super::*;
use crate::clock::ManualClock;
use crate::error::LedgerError;
use crate::ledger::{Appended, LocalLedger, PurgeLedger, View};

/// A ledger that refuses as often as it is told to.
struct Moody {
    ledger: LocalLedger,
    refusals: Mutex<usize>,
}

impl PurgeLedger for Moody {
    fn view(&self) -> &Arc<View> {
        self.ledger.view()
    }

    fn append(&self, purge: Purge) -> BoxFuture<'_, Result<Appended, LedgerError>> {
        let mut refusals = self.refusals.lock();
        if *refusals > 0 {
            *refusals -= 1;
            return Box::pin(async { Err(LedgerError::NoLedger) });
        }
        self.ledger.append(purge)
    }

    fn shared_within(&self) -> Option<Milliseconds> {
        None
    }

    fn met_later(&self, _epoch: terrace_shared::purge::Epoch) {}

    fn catch_up<'a>(&'a self, _: &'a Wanted) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn purge(key: &str) -> Purge {
    Purge {
        mode: PurgeMode::Soft,
        scopes: vec![Scope::surrogate_key(key).expect("a key")],
        at: TimestampMillis::default(),
        origin_epoch: None,
    }
}

fn carrier(refusals: usize) -> Arc<Carrier> {
    let clock = ManualClock::at(TimestampMillis::default()).clock();
    let ledger = LocalLedger::new(LedgerLimits::default(), &clock);
    let refusals = Mutex::new(refusals);
    Arc::new(Carrier {
        ledger: Arc::new(Moody { ledger, refusals }),
        outbox: None,
        clock,
    })
}

fn purged(carrier: &Carrier) -> u64 {
    let epoch = carrier.ledger.view().epoch();
    epoch.map_or(0, |epoch| epoch.sequence.as_u64())
}

const SOON: Milliseconds = Milliseconds::new(5_000);

#[tokio::test(start_paused = true)]
async fn what_is_due_is_one_process_s_for_a_while_and_then_everybody_s_until_it_is_struck_off() {
    let agenda = MemoryAgenda::default();
    let entry = agenda.add(&purge("a"), SOON).await.expect("room");
    let due = agenda.due().await.expect("in memory");
    assert_eq!(
        (due.purges.len(), due.next_in),
        (0, Some(Duration::from_secs(5)))
    );
    tokio::time::advance(Duration::from_secs(5)).await;
    let due = agenda.due().await.expect("in memory");
    assert_eq!(due.purges, [(entry.clone(), purge("a"))]);
    assert_eq!(due.next_in, Some(CLAIM));
    assert_eq!(agenda.due().await.expect("in memory").purges, []);
    tokio::time::advance(CLAIM).await; // whoever had it died
    assert_eq!(agenda.due().await.expect("in memory").purges.len(), 1);
    agenda.strike(&entry).await.expect("in memory");
    tokio::time::advance(CLAIM).await;
    assert_eq!(agenda.due().await.expect("in memory"), Due::default());
}

#[tokio::test(start_paused = true)]
async fn a_second_purge_that_the_ledger_refuses_is_tried_until_it_is_taken_once() {
    let (agenda, carrier) = (Arc::<MemoryAgenda>::default(), carrier(3));
    agenda.add(&purge("a"), SOON).await.expect("room");
    let kept = keep(agenda.clone(), carrier.clone(), Arc::default());
    let task = tokio::spawn(kept);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(purged(&carrier), 0, "not due yet");
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(purged(&carrier), 1);
    assert!(!task.is_finished());
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn more_second_purges_than_may_wait_are_refused() {
    let agenda = MemoryAgenda::default();
    for _ in 0..MOST_WAITING {
        agenda.add(&purge("a"), SOON).await.expect("room");
    }
    let refused = agenda.add(&purge("a"), SOON).await;
    assert_eq!(refused, Err(AgendaError::Full { most: MOST_WAITING }));
}
