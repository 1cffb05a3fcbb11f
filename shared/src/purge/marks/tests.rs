use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NEVER: Sequence = Sequence::ZERO;

/// A fingerprint as random as a hash's.
fn spread(number: u64) -> Fingerprint {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Fingerprint::from_bits((mixed ^ mixed.rotate_left(29)).wrapping_mul(0xbf58_476d_1ce4_e5b9))
}

fn hard(at: u64) -> Marks {
    Marks::of(PurgeMode::Hard, Sequence::new(at))
}

#[test]
fn a_hundred_thousand_marks_take_at_most_twenty_bytes_each() {
    for capacity in [100_000, 131_072] {
        let mut table = MarkTable::new(capacity);
        let mut most: f64 = 0.0;
        for number in 0..131_072 {
            table.raise(spread(number), PurgeMode::Hard, Sequence::new(number + 1));
            let len = table.len();
            if len > 60_000 {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
                let each = table.heap_bytes() as f64 / len as f64;
                most = most.max(each);
            }
        }
        assert!(most <= 20.0, "{most:.2} bytes a mark");
    }
}

#[test]
fn a_snapshot_s_marks_come_back_in_their_order_without_crowding() {
    let mut table = MarkTable::new(131_072);
    for number in 0..131_072 {
        table.raise(spread(number), PurgeMode::Soft, Sequence::new(number + 1));
    }
    let sorted = table.sorted();
    for capacity in [131_072, 1_000] {
        let mut restored = MarkTable::new(capacity);
        restored.restore(&sorted);
        assert!(restored.len() <= capacity);
        assert!(restored.longest_way() < 200, "{}", restored.longest_way());
        for number in (0..131_072).step_by(111) {
            let said = restored.verdict(spread(number), Sequence::new(number));
            assert_eq!(said, Verdict::Softened);
        }
    }
}

#[test]
fn neighbours_at_both_ends_and_the_scope_that_looks_like_a_gap_are_found() {
    let mut table = MarkTable::new(1_000);
    let scopes = [0, 2, 3, u64::MAX, u64::MAX - 1].map(Fingerprint::from_bits);
    let ends = (0..200).map(|number| Fingerprint::from_bits(u64::MAX - number));
    let all: Vec<_> = scopes.into_iter().chain(ends).collect();
    for (scope, at) in all.iter().zip(1..) {
        table.raise(*scope, PurgeMode::Hard, Sequence::new(at));
    }
    for scope in &all {
        assert_eq!(table.verdict(*scope, NEVER), Verdict::Dropped, "{scope:?}");
    }
    for absent in [4, 5, 1 << 63, u64::MAX - 200] {
        let absent = Fingerprint::from_bits(absent);
        assert_eq!(table.verdict(absent, NEVER), Verdict::Untouched);
    }
}

#[test]
fn a_base_that_moves_on_lifts_old_marks_and_forgets_none() {
    let mut table = MarkTable::new(10);
    let far = 5_u64 << 32;
    table.raise(spread(1), PurgeMode::Soft, Sequence::new(1));
    table.raise(spread(2), PurgeMode::Hard, Sequence::new(far));
    table.restore(&[(spread(3), hard(2))]); // as a snapshot may carry it, whatever came before
    for (scope, verdict) in [
        (1, Verdict::Softened),
        (2, Verdict::Dropped),
        (3, Verdict::Dropped),
    ] {
        assert_eq!(table.verdict(spread(scope), NEVER), verdict, "{scope}");
    }
    let before = Sequence::new(far - 1);
    assert_eq!(table.verdict(spread(1), before), Verdict::Untouched);
    assert_eq!(table.verdict(spread(2), before), Verdict::Dropped);
    assert_eq!(
        table.verdict(spread(2), Sequence::new(far)),
        Verdict::Untouched
    );
}

/// What fills a table far above its capacity costs the entries that are older than what was folded.
#[test]
fn wrong_purges_by_the_sketch_are_counted_and_bounded() {
    for (folded, most) in [(1_000_u64, 0.02), (4_000, 0.2), (16_000, 0.8)] {
        let mut sketch = Sketch::new();
        for number in 0..folded {
            sketch.raise(spread(number), hard(number + 1));
        }
        let asked = 20_000;
        let wrong = (0..asked)
            .filter(|number| {
                let marks = sketch.marks(spread(folded + 1_000_000 + number));
                marks.verdict(NEVER) != Verdict::Untouched
            })
            .count();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let rate = wrong as f64 / asked as f64;
        println!(
            "{folded} scopes in the sketch: {:.2} % of scopes older than all of them are purged wrongly",
            rate * 100.0
        );
        assert!(rate < most, "{rate}");
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The table against a map that keeps everything: never a milder verdict, and the same one below the cap.
        #[test]
        fn nothing_that_was_purged_is_ever_missed(
            purges in proptest::collection::vec((0..300_u64, any::<bool>()), 1..1_000),
            capacity in 2..400_usize,
            spread_out in any::<bool>(),
            forget in 0..1_000_u64,
        ) {
            // Close together or spread out: both the long runs and the gaps are met.
            let scope = |number| if spread_out { spread(number) } else { Fingerprint::from_bits(number << 3) };
            let mut table = MarkTable::new(capacity);
            let mut all = HashMap::<Fingerprint, Marks>::new();
            for ((number, soft), at) in purges.iter().zip(1..) {
                let mode = if *soft { PurgeMode::Soft } else { PurgeMode::Hard };
                table.raise(scope(*number), mode, Sequence::new(at));
                all.entry(scope(*number)).or_default().raise(mode, Sequence::new(at));
            }
            let floor = Sequence::new(forget.min(purges.len() as u64));
            table.forget_up_to(floor);
            for number in 0..320 {
                for filled_at in (floor.as_u64()..).step_by(37).take(10).map(Sequence::new) {
                    let truth = all.get(&scope(number)).copied().unwrap_or_default().verdict(filled_at);
                    let said = table.verdict(scope(number), filled_at);
                    prop_assert!(said >= truth, "{number} at {filled_at:?}: {said:?}, but {truth:?}");
                    if all.len() <= capacity {
                        prop_assert_eq!(said, truth);
                    }
                }
            }
            let sorted = table.sorted();
            prop_assert!(sorted.is_sorted_by_key(|(scope, _)| *scope));
            prop_assert_eq!(sorted.len(), table.len());
        }
    }
}
