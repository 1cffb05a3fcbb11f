//! A data centre: isolates near each other, and the entries of the Cache API through which they share.

use terrace_shared::time::{Milliseconds, TimestampMillis};

use crate::clock::{Moment, Span};
use crate::history::News;
use crate::network::Region;
use crate::scenario::Sharing;

/// One data centre and what its isolates have put where the others find it.
pub(crate) struct DataCentre {
    pub(crate) region: Region,
    /// What a round trip from here takes longer than from the middle of the region.
    pub(crate) remoteness: Span,
    /// Whether an isolate here reads what travels.
    pub(crate) has_witness: bool,
    recent: Option<Shared>,
    whole: Option<Shared>,
    /// When an isolate said that it asks.
    claimed_at: Option<Moment>,
}

/// An answer of the authority's, or several put together.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) news: News,
    pub(crate) head: u64,
    /// When the question was asked: what the view is as old as that takes it.
    pub(crate) confirmed_at: TimestampMillis,
    /// When the first of the answers was put here.
    pub(crate) began: Moment,
}

impl DataCentre {
    /// How long an isolate takes to read an entry, and another one to find what was written.
    pub(crate) const READ: Span = Span::millis(3);
    pub(crate) const WRITE: Span = Span::millis(5);

    /// How much the clocks of isolates may differ: what another one asked counts as so much older (`Sharing::SKEW`).
    pub(crate) const SKEW: Milliseconds = Milliseconds::new(100);

    /// A claim that is older than this was made by an isolate that is no more (`Sharing::COURTESY`): as the edge is
    /// built, and where answers are kept together.
    const CLAIM: Span = Span::millis(500);
    const LONG_CLAIM: Span = Span::seconds(2);

    /// How long records are kept together; new isolates take the whole ledger of that time and go on from there.
    const TOGETHER: Span = Span::seconds(60);

    pub(crate) fn new(region: Region, remoteness: Span) -> Self {
        Self {
            region,
            remoteness,
            has_witness: false,
            recent: None,
            whole: None,
            claimed_at: None,
        }
    }

    /// What lies here for an isolate that stands at `position`, in the order in which it takes it.
    pub(crate) fn look(
        &self,
        sharing: Sharing,
        position: Option<u64>,
        refresh_after: Milliseconds,
        now: Moment,
    ) -> Vec<Shared> {
        let Some(recent) = &self.recent else {
            return Vec::new();
        };
        let skewed = |shared: &Shared| Shared {
            confirmed_at: Moment::of(shared.confirmed_at)
                .before(Span::from(Self::SKEW))
                .timestamp(),
            ..shared.clone()
        };
        let young = now.timestamp().saturating_since(recent.confirmed_at) <= refresh_after;
        match sharing {
            Sharing::Entry if young && recent.follows(position) => vec![skewed(recent)],
            Sharing::None | Sharing::Entry => Vec::new(),
            Sharing::Together | Sharing::Regional if recent.follows(position) => {
                vec![skewed(recent)]
            }
            Sharing::Together | Sharing::Regional => match &self.whole {
                Some(whole) if recent.follows(Some(whole.head)) => {
                    vec![skewed(whole), skewed(recent)]
                }
                _ => Vec::new(),
            },
        }
    }

    /// Whether another isolate asks already.
    pub(crate) fn is_claimed(&self, sharing: Sharing, now: Moment) -> bool {
        let lasts = match sharing {
            Sharing::None | Sharing::Entry => Self::CLAIM,
            Sharing::Together | Sharing::Regional => Self::LONG_CLAIM,
        };
        self.claimed_at
            .is_some_and(|at| at <= now && now.since(at) < lasts)
    }

    /// An isolate says that it asks; others find that from `visible` on.
    pub(crate) fn claim(&mut self, visible: Moment) {
        self.claimed_at = Some(visible);
    }

    /// Takes over an answer, as the next isolate finds it.
    pub(crate) fn put(
        &mut self,
        sharing: Sharing,
        answer: Shared,
        most_in_delta: u64,
        now: Moment,
    ) {
        self.claimed_at = None;
        let is_newer = self
            .recent
            .as_ref()
            .is_none_or(|recent| recent.confirmed_at < answer.confirmed_at);
        match (sharing, &answer.news, &mut self.recent) {
            (Sharing::None, ..) => {}
            (Sharing::Together | Sharing::Regional, News::Snapshot(_), _) => {
                let since = answer.head;
                if is_newer {
                    self.recent = Some(Shared {
                        news: News::Delta { since },
                        began: now,
                        ..answer.clone()
                    });
                }
                self.whole = Some(answer);
            }
            (Sharing::Together | Sharing::Regional, News::Delta { since }, Some(recent))
                if recent.goes_on_with(*since, answer.head, most_in_delta, now) =>
            {
                recent.head = recent.head.max(answer.head);
                recent.confirmed_at = recent.confirmed_at.max(answer.confirmed_at);
            }
            (Sharing::Entry, ..)
            | (Sharing::Together | Sharing::Regional, News::Delta { .. }, _) => {
                if is_newer {
                    self.recent = Some(answer);
                }
            }
        }
    }
}

impl Shared {
    /// Whether an isolate that stands at `position` can take it.
    fn follows(&self, position: Option<u64>) -> bool {
        match self.news {
            News::Snapshot(_) => true,
            News::Delta { since } => position.is_some_and(|position| position >= since),
        }
    }

    /// Whether the records after `since` up to `head` can be put behind these.
    fn goes_on_with(&self, since: u64, head: u64, most_in_delta: u64, now: Moment) -> bool {
        match self.news {
            News::Snapshot(_) => false,
            News::Delta { since: first } => {
                first <= since
                    && since <= self.head
                    && head.saturating_sub(first) <= most_in_delta
                    && now.since(self.began) < DataCentre::TOGETHER
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH: Milliseconds = Milliseconds::new(1_000);

    fn at(millis: u64) -> Moment {
        Moment::BEGIN.after(Span::millis(millis))
    }

    fn answer(news: News, head: u64, asked: u64) -> Shared {
        Shared {
            news,
            head,
            confirmed_at: at(asked).timestamp(),
            began: at(asked),
        }
    }

    fn heads(found: &[Shared]) -> Vec<u64> {
        found.iter().map(|shared| shared.head).collect()
    }

    #[test]
    fn a_simple_entry_is_taken_while_it_is_young_and_follows_on() {
        let mut centre = DataCentre::new(Region::Africa, Span::ZERO);
        let sharing = Sharing::Entry;
        centre.put(
            sharing,
            answer(News::Delta { since: 5 }, 7, 0),
            1_000,
            at(0),
        );
        for (position, now, found) in [
            (Some(5), 1_000, vec![7]),
            (Some(9), 1_000, vec![7]),
            (Some(4), 1_000, vec![]),
            (None, 1_000, vec![]),
            (Some(5), 1_001, vec![]),
        ] {
            let taken = centre.look(sharing, position, REFRESH, at(now));
            assert_eq!(heads(&taken), found, "{position:?} at {now}");
        }
    }

    #[test]
    fn answers_are_put_together_and_a_new_isolate_goes_on_from_the_whole_ledger() {
        let mut centre = DataCentre::new(Region::Africa, Span::ZERO);
        let sharing = Sharing::Together;
        centre.put(sharing, answer(News::Snapshot(None), 5, 0), 1_000, at(0));
        centre.put(
            sharing,
            answer(News::Delta { since: 5 }, 6, 1_000),
            1_000,
            at(1_000),
        );
        centre.put(
            sharing,
            answer(News::Delta { since: 6 }, 9, 2_000),
            1_000,
            at(2_000),
        );
        let found = centre.look(sharing, None, REFRESH, at(2_500));
        assert_eq!(heads(&found), [5, 9]);
        let found = centre.look(sharing, Some(5), REFRESH, at(2_500));
        assert_eq!(heads(&found), [9]);
        // After a minute it begins anew, and what came before is asked for.
        centre.put(
            sharing,
            answer(News::Delta { since: 9 }, 10, 61_000),
            1_000,
            at(61_000),
        );
        assert!(centre.look(sharing, None, REFRESH, at(61_000)).is_empty());
        assert!(
            centre
                .look(sharing, Some(8), REFRESH, at(61_000))
                .is_empty()
        );
    }

    #[test]
    fn a_claim_is_seen_once_it_is_written_and_lapses() {
        let mut centre = DataCentre::new(Region::Africa, Span::ZERO);
        centre.claim(at(5));
        for (now, claimed) in [(4, false), (5, true), (504, true), (505, false)] {
            assert_eq!(centre.is_claimed(Sharing::Entry, at(now)), claimed, "{now}");
        }
    }
}
