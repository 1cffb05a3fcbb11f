//! A journal in this process: what waits in it is lost with the process.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use terrace_shared::purge::Epoch;
use terrace_shared::purge::wire::PurgeRequest;
use tokio::time::Instant;

use super::journal::{Backlog, Claim, Cursor, Held, Journal, JournalError, Letter, Mark, Progress};
use crate::ledger::BoxFuture;

/// One sender's end of a journal in memory.
///
/// A process has one. Tests have several over the same letters, as processes have over one Redis.
#[derive(Clone, Debug)]
pub(crate) struct MemoryJournal {
    sender: u64,
    letters: Arc<Mutex<Letters>>,
}

#[derive(Debug)]
struct Letters {
    ledger: Epoch,
    end: Mark,
    waiting: VecDeque<Letter>,
    edges: HashMap<String, Progress>,
    claims: HashMap<String, (u64, Instant)>,
}

impl MemoryJournal {
    /// Most letters; beyond them the oldest is lost, which edges that had yet to take it notice (R11).
    pub(crate) const MOST_LETTERS: usize = 4_096;

    /// How long a claim holds.
    const CLAIM: Duration = Duration::from_secs(5);

    /// A journal whose `edges` have taken everything up to `ledger`.
    pub(crate) fn new(ledger: Epoch, edges: impl IntoIterator<Item = String>) -> Self {
        let cursor = Cursor {
            mark: Mark::default(),
            epoch: ledger,
        };
        let progress = Progress {
            cursor: Some(cursor),
            ..Progress::default()
        };
        let edges = edges.into_iter().map(|edge| (edge, progress.clone()));
        let letters = Letters {
            ledger,
            end: Mark::default(),
            waiting: VecDeque::new(),
            edges: edges.collect(),
            claims: HashMap::new(),
        };
        Self {
            sender: 1,
            letters: Arc::new(Mutex::new(letters)),
        }
    }

    /// The same letters, for another sender.
    #[cfg(test)]
    pub(crate) fn shared_with(&self, sender: u64) -> Self {
        Self {
            sender,
            letters: self.letters.clone(),
        }
    }

    /// Adds the purge that the ledger has put at `epoch`.
    pub(crate) fn push(&self, epoch: Epoch, request: PurgeRequest) {
        let mut kept = self.letters.lock();
        let mark = Mark(0, kept.end.1 + 1);
        kept.end = mark;
        kept.ledger = epoch;
        kept.waiting.push_back(Letter {
            mark,
            epoch,
            request: Some(request),
        });
        if kept.waiting.len() > Self::MOST_LETTERS {
            kept.waiting.pop_front();
        }
    }
}

impl Letters {
    fn holds(&mut self, edge: &str, sender: u64) -> bool {
        let now = Instant::now();
        match self.claims.get(edge) {
            Some((holder, until)) if *holder != sender && *until > now => false,
            Some(_) | None => {
                let claim = (sender, now + MemoryJournal::CLAIM);
                self.claims.insert(edge.to_owned(), claim);
                true
            }
        }
    }

    fn claim(&mut self, edge: &str, sender: u64, most: usize) -> Claim {
        let progress = self.edges.get(edge).cloned().unwrap_or_default();
        if !self.holds(edge, sender) {
            return Claim::Elsewhere(progress);
        }
        let taken = progress.cursor.map(|cursor| cursor.mark);
        let lacking = |letter: &&Letter| Some(letter.mark) > taken;
        let backlog = Backlog {
            ledger: self.ledger,
            end: self.end,
            letters: self
                .waiting
                .iter()
                .filter(lacking)
                .take(most)
                .cloned()
                .collect(),
        };
        Claim::Here { progress, backlog }
    }

    fn note(&mut self, edge: &str, sender: u64, progress: &Progress) -> Held {
        match self.claims.get(edge) {
            Some((holder, _)) if *holder == sender => {}
            Some(_) | None => return Held::Lost,
        }
        self.edges.insert(edge.to_owned(), progress.clone());
        let marks = self.edges.values();
        let taken = marks
            .map(|progress| progress.cursor.map(|cursor| cursor.mark))
            .min()
            .flatten();
        self.waiting.retain(|letter| Some(letter.mark) > taken);
        Held::Yes
    }
}

impl Journal for MemoryJournal {
    fn claim<'a>(
        &'a self,
        edge: &'a str,
        most: usize,
    ) -> BoxFuture<'a, Result<Claim, JournalError>> {
        Box::pin(async move { Ok(self.letters.lock().claim(edge, self.sender, most)) })
    }

    fn note<'a>(
        &'a self,
        edge: &'a str,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Held, JournalError>> {
        Box::pin(async move { Ok(self.letters.lock().note(edge, self.sender, progress)) })
    }

    fn release<'a>(&'a self, edge: &'a str) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            let mut kept = self.letters.lock();
            if kept
                .claims
                .get(edge)
                .is_some_and(|(holder, _)| *holder == self.sender)
            {
                kept.claims.remove(edge);
            }
            Ok(())
        })
    }

    fn edges(&self) -> BoxFuture<'_, Result<Vec<(String, Progress)>, JournalError>> {
        Box::pin(async move {
            let kept = self.letters.lock();
            let edges = kept.edges.iter();
            Ok(edges
                .map(|(edge, progress)| (edge.clone(), progress.clone()))
                .collect())
        })
    }
}
