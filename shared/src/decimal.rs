//! Numbers in digits, as fields have them.

use ::http::HeaderValue;

/// A number in digits, on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal {
    digits: [u8; Self::MOST],
    /// Where they begin.
    first: usize,
}

impl Decimal {
    /// As many digits as the largest number has.
    const MOST: usize = 20;

    pub(crate) fn of(number: u64) -> Self {
        let mut digits = [b'0'; Self::MOST];
        let mut first = Self::MOST;
        let mut rest = number;
        for (place, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            first = place;
            if rest == 0 {
                break;
            }
        }
        Self { digits, first }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.first..).unwrap_or_default()
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// As the value of a field, in no more memory than it needs.
    pub(crate) fn to_value(self) -> HeaderValue {
        HeaderValue::from_bytes(self.as_bytes()).unwrap_or(HeaderValue::from_static("0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn numbers_read_as_they_are_formatted() {
        for number in [0, 1, 9, 10, 99, 100, 1_000_000, u64::MAX - 1, u64::MAX] {
            let decimal = Decimal::of(number);
            assert_eq!(decimal.as_str(), number.to_string());
            assert_eq!(decimal.to_value(), HeaderValue::from(number));
        }
    }
}
