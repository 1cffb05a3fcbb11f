#[cfg(not(target_arch = "wasm32"))]
use proptest::prelude::*;

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const BOUNDS: Bounds = Bounds {
    refresh_after: Milliseconds::new(1_000),
    bound: Milliseconds::new(5_000),
};

const fn at(milliseconds: u64) -> TimestampMillis {
    TimestampMillis::from_unix_millis(milliseconds)
}

fn age(confirmed_at: u64, now: u64) -> Milliseconds {
    at(now).saturating_since(at(confirmed_at))
}

#[test]
fn lots_are_spread_over_half_an_interval_and_within_the_bound() {
    for (lot, bound, after) in [
        (0, 5_000, 1_100),
        (51, 5_000, 1_200),
        (255, 5_000, 1_600),
        (255, 1_400, 1_200),
        (255, 500, 1_000),
    ] {
        let bounds = Bounds {
            bound: Milliseconds::new(bound),
            ..BOUNDS
        };
        let got = bounds.spread(lot).refresh_after;
        assert_eq!(got, Milliseconds::new(after), "{lot} {bound}");
    }
}

#[test]
fn after_failures_the_authority_is_left_alone_for_a_time_by_lot_that_doubles() {
    // Beyond its bound, so requests are answered as their route says.
    for (failures, lot, wait) in [
        (1, 0, 0),
        (1, 51, 100),
        (1, 255, 500),
        (2, 255, 1_000),
        (4, 255, 4_000),
        (9, 255, 4_000),
        (9, 51, 800),
    ] {
        let mut asking = Asking::default();
        for _ in 0..failures {
            asking.ask(at(20_000));
            asking.fail(at(20_000), at(20_000));
        }
        asking.draw(lot);
        let plan = |now| asking.plan(Some(age(1_000, now)), BOUNDS, at(now));
        if wait > 0 {
            assert_eq!(plan(20_000), Refresh::NotNeeded, "{failures} {lot}");
            assert_eq!(plan(19_999 + wait), Refresh::NotNeeded, "{failures} {lot}");
        }
        assert_eq!(plan(20_000 + wait), Refresh::Behind, "{failures} {lot}");
        assert_eq!(
            asking.plan(None, BOUNDS, at(20_000 + wait)),
            Refresh::Behind
        );
        // An answer, and all is as before.
        let mut answered = asking;
        answered.answered(at(19_999));
        assert_eq!(answered, asking, "it was asked for before the failure");
        answered.answered(at(20_000));
        assert_eq!(answered.plan(None, BOUNDS, at(20_000)), Refresh::First);
        assert!(!answered.is_out(at(20_000)));
    }
}

#[test]
fn a_view_that_failed_to_be_refreshed_is_asked_for_again_before_it_is_past_its_bound() {
    for failed_at in [2_200, 3_000, 4_000, 5_000, 5_900] {
        let mut asking = Asking::default();
        for _ in 0..9 {
            asking.fail(at(failed_at), at(failed_at));
        }
        asking.draw(u8::MAX);
        let due = asking.due(Some(at(1_000)), BOUNDS, at(failed_at));
        assert!(due <= at(failed_at.midpoint(6_000)), "{failed_at}: {due:?}");
    }
}

#[test]
fn who_said_long_ago_that_he_asks_is_not_waited_for_nor_who_was_answered() {
    let (behind, first) = (Urgency::Behind, Urgency::First);
    for (urgency, answered_at, now, is_claimed) in [
        (behind, None, 900, true),
        (behind, None, 1_000, true),
        (behind, None, 2_999, true),
        (behind, None, 3_000, false),
        (first, None, 1_599, true),
        (first, None, 1_600, false),
        (behind, Some(999), 1_500, true),
        (behind, Some(1_000), 1_500, false),
        (first, Some(1_400), 1_500, false),
    ] {
        let got = urgency.is_claimed(at(1_000), answered_at.map(at), at(now));
        assert_eq!(got, is_claimed, "{urgency:?} {answered_at:?} {now}");
    }
    assert!(
        !behind.is_claimed(at(1_000), None, at(899)),
        "of the future"
    );
}

#[test]
fn who_waits_for_another_looks_for_about_as_long_as_his_question_may_take() {
    let pauses = (0..).map_while(pause_before_look);
    let together = pauses.map(Milliseconds::as_u64).sum::<u64>();
    assert_eq!(pause_before_look(0), Some(Milliseconds::new(0)));
    assert!((2_000..2_100).contains(&together), "{together}");
}

#[cfg(not(target_arch = "wasm32"))]
proptest! {
    /// The simulation draws only requests that have something to do: it must not miss one.
    #[test]
    fn nothing_is_to_do_before_it_is_due_and_something_then(
        view in proptest::option::of(0_u64..8_000),
        asked in proptest::option::of(0_u64..8_000),
        failures in proptest::collection::vec(0_u64..8_000, 0..5),
        lot: u8,
        refresh in 1_u64..6_000,
        bound in 0_u64..6_000,
        later in 0_u64..15_000,
    ) {
        let bounds = Bounds {
            refresh_after: Milliseconds::new(refresh),
            bound: Milliseconds::new(bound),
        };
        let mut asking = Asking::default();
        for failed_at in failures {
            asking.fail(at(failed_at), at(failed_at));
        }
        if let Some(asked) = asked {
            asking.ask(at(asked));
        }
        asking.draw(lot);
        let now = 8_000;
        let due = asking.due(view.map(at), bounds, at(now)).as_unix_millis();
        prop_assert!(due >= now);
        let plan = |now| asking.plan(view.map(|view| age(view, now)), bounds, at(now));
        prop_assert_ne!(plan(due), Refresh::NotNeeded);
        let before = now + later;
        if before < due {
            prop_assert_eq!(plan(before), Refresh::NotNeeded, "{} before {}", before, due);
        }
    }
}
