//! A data centre: isolates near each other, and the entries of the Cache API through which they share.

use std::rc::Rc;

use terrace_shared::purge::Epoch;
use terrace_shared::purge::bulletin::{self, Bulletin, Label, Worth};
use terrace_shared::purge::refresh::Urgency;
use terrace_shared::time::{Milliseconds, TimestampMillis};

use crate::clock::{Moment, Span};
use crate::history::News;
use crate::network::Region;

/// One data centre and what its isolates have put where the others find it.
pub(crate) struct DataCentre {
    pub(crate) region: Region,
    /// What a round trip from here takes longer than from the middle of the region.
    pub(crate) remoteness: Span,
    /// Whether an isolate here reads what travels.
    pub(crate) has_witness: bool,
    news: Option<Kept<Bulletin<()>>>,
    whole: Option<Kept<Whole>>,
    /// When an isolate said that it asks, and from when on others find that.
    claimed: Option<(TimestampMillis, Moment)>,
}

/// An entry and when it was put.
struct Kept<T> {
    entry: T,
    put_at: Moment,
}

/// The whole ledger, and its bytes where a witness will read them.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    pub(crate) label: Label,
    pub(crate) bytes: Option<Rc<[u8]>>,
}

/// An answer of the authority's, or several put together, as an isolate takes it.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) news: News,
    pub(crate) head: u64,
    /// When the question was asked: what the view is as old as that takes it.
    pub(crate) confirmed_at: TimestampMillis,
}

/// What an isolate finds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// When the newest answer was asked for.
    pub(crate) answered_at: Option<TimestampMillis>,
    /// What is of use to it, in the order in which it takes it.
    pub(crate) steps: Vec<Shared>,
    /// Bytes of answers that it copies.
    pub(crate) copied: usize,
}

impl DataCentre {
    /// How long an isolate takes to read an entry, and another one to find what was written.
    pub(crate) const READ: Span = Span::millis(3);
    pub(crate) const WRITE: Span = Span::millis(5);

    pub(crate) fn new(region: Region, remoteness: Span) -> Self {
        Self {
            region,
            remoteness,
            has_witness: false,
            news: None,
            whole: None,
            claimed: None,
        }
    }

    /// What lies here for an isolate that stands `here`, with a view of that age, as the edge's `take_shared` finds it.
    pub(crate) fn look(
        &self,
        here: Option<Epoch>,
        view_age: Option<Milliseconds>,
        now: Moment,
    ) -> Found {
        let Some(news) = Kept::at(self.news.as_ref(), now) else {
            return Found::default();
        };
        let label = news.label;
        let whole = Kept::at(self.whole.as_ref(), now);
        let steps = match label.worth(here, view_age, now.timestamp()) {
            Worth::Nothing => Vec::new(),
            Worth::Confirms | Worth::Brings => vec![Shared::of(label, None)],
            Worth::BringsAfterWhole => match whole {
                Some(whole) if whole.label.leads_to(&label, here) => {
                    let mut steps = vec![Shared::of(whole.label, whole.bytes.clone())];
                    if whole.label.head.sequence <= label.head.sequence {
                        steps.push(Shared::of(label, None));
                    }
                    steps
                }
                Some(_) | None => Vec::new(),
            },
        };
        let is_new = here != Some(label.head) && !steps.is_empty();
        Found {
            answered_at: Some(label.asked_at),
            steps,
            copied: if is_new { news.length() } else { 0 },
        }
    }

    /// Whether another isolate asks already.
    pub(crate) fn is_claimed(
        &self,
        urgency: Urgency,
        answered_at: Option<TimestampMillis>,
        now: Moment,
    ) -> bool {
        self.claimed.is_some_and(|(since, visible)| {
            visible <= now && urgency.is_claimed(since, answered_at, now.timestamp())
        })
    }

    /// An isolate says at `now` that it asks.
    pub(crate) fn claim(&mut self, now: Moment) {
        self.claimed = Some((now.timestamp(), now.after(Self::WRITE)));
    }

    /// Puts an answer behind those that lie here; gives the label of all if they begin elsewhere than before, and the
    /// whole ledger does not lead there.
    pub(crate) fn put(&mut self, label: Label, length: usize, now: Moment) -> Option<Label> {
        let later = Bulletin::beginning(label, (), length);
        let earlier = Kept::at(self.news.as_ref(), now).cloned();
        let began = earlier.as_ref().and_then(|earlier| earlier.label.from);
        let all = Bulletin::put_behind(earlier, later)?;
        let label = all.label;
        self.news = Some(Kept {
            entry: all,
            put_at: now,
        });
        if label.from == began {
            return None;
        }
        let leads = |whole: &Whole| whole.label.leads_to(&label, None);
        let whole = Kept::at(self.whole.as_ref(), now);
        (!whole.is_some_and(leads)).then_some(label)
    }

    pub(crate) fn empty(&mut self) {
        (self.news, self.whole) = (None, None);
    }

    pub(crate) fn put_whole(&mut self, whole: Whole, put_at: Moment) {
        let entry = whole;
        self.whole = Some(Kept { entry, put_at });
    }
}

impl<T> Kept<T> {
    /// What still lies here at `now`.
    fn at(this: Option<&Self>, now: Moment) -> Option<&T> {
        let lasts = Span::from(bulletin::KEPT);
        let kept = this.filter(|kept| now.since(kept.put_at) < lasts)?;
        Some(&kept.entry)
    }
}

impl Shared {
    fn of(label: Label, whole: Option<Rc<[u8]>>) -> Self {
        let news = match label.from {
            Some(from) => News::Delta {
                since: from.sequence.as_u64(),
            },
            None => News::Snapshot(whole),
        };
        Self {
            news,
            head: label.head.sequence.as_u64(),
            confirmed_at: label.counts_from(),
        }
    }
}

#[cfg(test)]
mod tests {
    use terrace_shared::purge::{Incarnation, Sequence};

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::BEGIN.after(Span::millis(millis))
    }

    fn epoch(sequence: u64) -> Epoch {
        Epoch {
            incarnation: Incarnation::from_random(1),
            sequence: Sequence::new(sequence),
        }
    }

    fn label(from: Option<u64>, head: u64, asked: u64) -> Label {
        Label {
            asked_at: at(asked).timestamp(),
            from: from.map(epoch),
            head: epoch(head),
        }
    }

    fn heads(found: &Found) -> Vec<u64> {
        found.steps.iter().map(|shared| shared.head).collect()
    }

    #[test]
    fn answers_are_put_together_and_a_new_isolate_goes_on_from_the_whole_ledger() {
        let mut centre = DataCentre::new(Region::Africa, Span::ZERO);
        let whole = Whole {
            label: label(None, 5, 0),
            bytes: None,
        };
        centre.put_whole(whole, at(0));
        assert_eq!(centre.put(label(None, 5, 0), 1, at(0)), None);
        assert_eq!(centre.put(label(Some(5), 6, 1_000), 1, at(1_000)), None);
        assert_eq!(centre.put(label(Some(6), 9, 2_000), 1, at(2_000)), None);
        let found = centre.look(None, None, at(2_500));
        assert_eq!((heads(&found), found.copied), (vec![5, 9], 2));
        assert_eq!(found.answered_at, Some(at(2_000).timestamp()));
        let age = Some(Milliseconds::new(9_000));
        assert_eq!(heads(&centre.look(Some(epoch(5)), age, at(2_500))), [9]);
        let found = centre.look(Some(epoch(9)), age, at(2_500));
        assert_eq!((heads(&found), found.copied), (vec![9], 0));
        assert!(
            centre
                .look(Some(epoch(10)), age, at(2_500))
                .steps
                .is_empty()
        );
        // Where answers begin anew, the whole ledger is missing; and in the end everything is gone.
        let anew = label(Some(11), 12, 3_000);
        assert_eq!(centre.put(anew, 1, at(3_000)), Some(anew));
        assert!(centre.look(None, None, at(3_500)).steps.is_empty());
        assert_eq!(centre.look(None, None, at(303_000)).answered_at, None);
    }

    #[test]
    fn a_claim_is_seen_once_it_is_written_and_lapses() {
        let mut centre = DataCentre::new(Region::Africa, Span::ZERO);
        centre.claim(at(0));
        for (now, claimed) in [(4, false), (5, true), (1_999, true), (2_000, false)] {
            let got = centre.is_claimed(Urgency::Behind, None, at(now));
            assert_eq!(got, claimed, "{now}");
        }
        let answered_at = Some(at(0).timestamp());
        assert!(!centre.is_claimed(Urgency::Behind, answered_at, at(500)));
    }
}
