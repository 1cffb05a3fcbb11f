//! The one place where the edge reads the time; everything else takes it as an argument.

use terrace_shared::time::TimestampMillis;
use worker::js_sys;

/// The time now, as the platform tells it.
///
/// A Worker's clock stands still between I/O, so this may be earlier than the real time, never later.
pub(crate) fn now() -> TimestampMillis {
    from_js(js_sys::Date::now())
}

/// What `Date.now()` gave, as a moment; before 1970 and not a number is 1970.
fn from_js(milliseconds: f64) -> TimestampMillis {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float-to-integer cast saturates, and a fraction of a millisecond is of no use"
    )]
    TimestampMillis::from_unix_millis(milliseconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_a_moment() {
        for (given, milliseconds) in [
            (1_700_000_000_123.9, 1_700_000_000_123),
            (-1.0, 0),
            (f64::NAN, 0),
            (f64::INFINITY, u64::MAX),
        ] {
            assert_eq!(from_js(given).as_unix_millis(), milliseconds);
        }
    }
}

#[cfg(all(test, target_arch = "wasm32"))]
mod wasm_tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn the_clock_is_the_platforms() {
        assert!(super::now().as_unix_millis() > 1_700_000_000_000);
    }
}
