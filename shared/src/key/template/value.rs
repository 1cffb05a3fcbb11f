//! How the values of parts stand in keys.

/// Appends a value, escaped.
pub(super) fn push_escaped(key: &mut String, value: &str) {
    if value.bytes().all(is_plain) {
        key.push_str(value);
        return;
    }
    for byte in value.bytes() {
        if is_plain(byte) {
            key.push(char::from(byte));
        } else {
            key.push('%');
            key.push(hex_digit(byte >> 4));
            key.push(hex_digit(byte & 15));
        }
    }
}

/// The value that was escaped so; none if no value is.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let byte = (hex_value(rest.next()?)? << 4) | hex_value(rest.next()?)?;
        if is_plain(byte) {
            return None;
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

/// Whether a byte stands for itself in a value: the unreserved characters of RFC 3986 §2.3.
pub(super) const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether a text is the digest of a hashed part.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == DIGEST_DIGITS
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Hexadecimal digits of a hashed part: 128 bits.
pub(super) const DIGEST_DIGITS: usize = 32;

fn hex_digit(nibble: u8) -> char {
    let digit = char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    digit.to_ascii_uppercase()
}

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
