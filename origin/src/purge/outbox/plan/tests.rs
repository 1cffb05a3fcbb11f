use terrace_shared::purge::{Epoch, Incarnation, Sequence};

use super::super::journal::Mark;
use super::*;

fn epoch(incarnation: u64, sequence: u64) -> Epoch {
    Epoch {
        incarnation: Incarnation::from_random(incarnation),
        sequence: Sequence::new(sequence),
    }
}

fn purge(mode: PurgeMode, keys: &[String]) -> PurgeRequest {
    PurgeRequest {
        mode,
        surrogate_keys: keys.to_vec(),
        ..PurgeRequest::default()
    }
}

fn letter(sequence: u64) -> Letter {
    Letter {
        mark: Mark(1, sequence),
        epoch: epoch(1, sequence),
        request: Some(purge(PurgeMode::Hard, &[format!("k{sequence}")])),
    }
}

/// A journal that holds `letters`, beside a ledger that stands at `head`.
fn backlog(head: u64, letters: impl IntoIterator<Item = Letter>) -> Backlog {
    Backlog {
        ledger: epoch(1, head),
        end: Mark(1, head),
        letters: letters.into_iter().collect(),
    }
}

fn cursor(incarnation: u64, sequence: u64) -> Cursor {
    Cursor {
        mark: Mark(1, sequence),
        epoch: epoch(incarnation, sequence),
    }
}

fn sent(next: Option<Dispatch>) -> Dispatch {
    next.expect("there is something to send")
}

#[test]
fn an_edge_that_has_taken_everything_is_told_nothing() {
    assert_eq!(next(Some(&cursor(1, 7)), &backlog(7, []), 64), None);
}

#[test]
fn whatever_may_be_missing_becomes_a_purge_of_everything_up_to_where_the_ledger_stands() {
    let from = |numbers: std::ops::RangeInclusive<u64>| numbers.map(letter).collect::<Vec<_>>();
    for (why, cursor, backlog) in [
        (
            "nothing is known of the edge",
            None,
            backlog(9, from(8..=9)),
        ),
        (
            "the ledger began again",
            Some(cursor(2, 7)),
            backlog(9, from(8..=9)),
        ),
        (
            "the oldest are gone",
            Some(cursor(1, 5)),
            backlog(9, from(8..=9)),
        ),
        ("all are gone", Some(cursor(1, 7)), backlog(9, [])),
        ("the ledger went back", Some(cursor(1, 12)), backlog(9, [])),
        (
            "numbers were given again",
            Some(cursor(1, 12)),
            backlog(9, from(8..=9)),
        ),
    ] {
        let dispatch = sent(next(cursor.as_ref(), &backlog, 64));
        assert_eq!(dispatch.width, Width::Everything, "{why}");
        assert_eq!(dispatch.request.mode, PurgeMode::Hard, "{why}");
        assert!(dispatch.request.everything, "{why}");
        assert_eq!(dispatch.request.origin_epoch, Some(epoch(1, 9)), "{why}");
        assert_eq!(dispatch.cursor.epoch, epoch(1, 9), "{why}");
        assert_eq!(dispatch.cursor.mark, Mark(1, 9), "{why}");
    }
}

#[test]
fn what_lies_before_a_gap_is_told_as_it_is() {
    let dispatch = sent(next(
        Some(&cursor(1, 3)),
        &backlog(8, [letter(4), letter(5), letter(8)]),
        64,
    ));
    assert_eq!(dispatch.request.surrogate_keys, ["k4", "k5"]);
    assert_eq!((dispatch.letters, dispatch.cursor), (2, cursor(1, 5)));
    assert_eq!(dispatch.width, Width::AsAsked);
}

#[test]
fn neighbours_of_one_mode_go_together_under_the_place_of_the_last() {
    let mut letters: Vec<_> = (1..=5).map(letter).collect();
    letters[3].request = Some(purge(PurgeMode::Soft, &["soft".to_owned()]));
    letters[1].request = letters[0].request.clone();
    let dispatch = sent(next(Some(&cursor(1, 0)), &backlog(5, letters.clone()), 64));
    assert_eq!(dispatch.request.surrogate_keys, ["k1", "k3"]);
    assert_eq!(dispatch.request.origin_epoch, Some(epoch(1, 3)));
    assert_eq!((dispatch.letters, dispatch.cursor), (3, cursor(1, 3)));
    let alone = sent(next(Some(&cursor(1, 0)), &backlog(5, letters), 1));
    assert_eq!((alone.letters, alone.cursor), (1, cursor(1, 1)));
}

#[test]
fn a_letter_that_cannot_be_read_becomes_everything_and_only_that_one() {
    let mut letters: Vec<_> = (1..=3).map(letter).collect();
    letters[1].request = None;
    let backlog = backlog(3, letters);
    let first = sent(next(Some(&cursor(1, 0)), &backlog, 64));
    assert_eq!((first.letters, first.width), (1, Width::AsAsked));
    let rest = Backlog {
        letters: backlog.letters[1..].to_vec(),
        ..backlog
    };
    let second = sent(next(Some(&first.cursor), &rest, 64));
    assert_eq!((second.letters, second.width), (1, Width::Everything));
    assert_eq!(second.cursor, cursor(1, 2));
}

#[test]
fn a_purge_of_many_scopes_goes_alone_and_few_go_together_up_to_a_limit() {
    let many: Vec<_> = (0..1_000).map(|number| format!("m{number}")).collect();
    let mut letters: Vec<_> = (1..=2).map(letter).collect();
    letters[0].request = Some(purge(PurgeMode::Hard, &many));
    let dispatch = sent(next(Some(&cursor(1, 0)), &backlog(2, letters), 64));
    assert_eq!(
        (dispatch.letters, dispatch.request.surrogate_keys.len()),
        (1, 1_000)
    );
    let few = (1..=400).map(letter);
    let dispatch = sent(next(Some(&cursor(1, 0)), &backlog(400, few), 400));
    assert_eq!(dispatch.letters, MOST_SCOPES);
}

#[test]
fn however_letters_are_lost_whatever_the_cursor_passes_has_been_told() {
    for seed in 0..2_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let head = random.u64(1..40);
        let kept: Vec<_> = (1..=head)
            .filter(|_| random.u8(..) < 250)
            .map(letter)
            .collect();
        let unreadable = random.u64(1..80);
        let mut at = (random.u8(..) > 20).then(|| cursor(1, random.u64(0..=head)));
        let began = at.map_or(0, |cursor| cursor.epoch.sequence.as_u64());
        let (mut told, mut everything) = (Vec::new(), at.is_none());
        loop {
            let taken = at.map_or(0, |cursor| cursor.mark.1);
            let waiting = kept.iter().filter(|letter| letter.mark.1 > taken).cloned();
            let mut backlog = backlog(head, waiting.take(random.usize(1..8)));
            for letter in &mut backlog.letters {
                if letter.mark.1 == unreadable {
                    letter.request = None;
                }
            }
            let Some(dispatch) = next(at.as_ref(), &backlog, random.usize(1..8)) else {
                break;
            };
            let moved = at.is_none_or(|at| at.mark < dispatch.cursor.mark);
            assert!(moved, "seed {seed}: it goes on");
            everything |= dispatch.request.everything;
            told.extend(dispatch.request.surrogate_keys);
            at = Some(dispatch.cursor);
        }
        assert_eq!(at, Some(cursor(1, head)), "seed {seed}");
        let all = (began + 1..=head).all(|number| told.contains(&format!("k{number}")));
        assert!(all || everything, "seed {seed}: something was passed over");
    }
}
