//! HTTP dates (RFC 9110 §5.6.7).

use ::http::HeaderValue;

use crate::time::Timestamp;

/// The moment that `text` writes in one of the three forms; moments before 1970 are taken as 1970.
///
/// Letters may be in either case, and no zone but GMT is taken (RFC 9111 §4.2). `now` says which
/// century a two-digit year is in.
pub(super) fn parse(text: &[u8], now: Timestamp) -> Option<Timestamp> {
    let text = text.trim_ascii();
    let (weekday, _) = text.split_at_checked(3)?;
    position(&WEEKDAYS, |name| {
        name.as_bytes()
            .get(..3)
            .is_some_and(|short| short.eq_ignore_ascii_case(weekday))
    })?;
    match text.get(3)? {
        b',' => imf_fixdate(text.get(4..)?),
        b' ' => asctime(text.get(4..)?),
        _ => rfc850(text, now),
    }
}

/// The moment in the form that must be sent (`IMF-fixdate`).
pub(super) fn to_value(moment: Timestamp) -> HeaderValue {
    let seconds = moment.as_unix_seconds().min(LAST);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_of_days(days);
    let weekday = WEEKDAYS
        .get(usize::try_from((days + 4) % 7).unwrap_or_default())
        .and_then(|name| name.get(..3))
        .unwrap_or_default();
    let month = usize::try_from(month - 1)
        .ok()
        .and_then(|month| MONTHS.get(month))
        .copied()
        .unwrap_or_default();
    let text = format!(
        "{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT",
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    );
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(EPOCH))
}

const EPOCH: &str = "Thu, 01 Jan 1970 00:00:00 GMT";

/// The last second of the year 9999, which four digits can still write.
const LAST: u64 = 253_402_300_799;

/// ` 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(rest: &[u8]) -> Option<Timestamp> {
    if rest.len() != 25 {
        return None;
    }
    literal(rest, 0, b" ")?;
    literal(rest, 3, b" ")?;
    literal(rest, 7, b" ")?;
    literal(rest, 12, b" ")?;
    zone(rest.get(21..)?)?;
    moment(
        number(rest.get(8..12)?)?,
        month(rest.get(4..7)?)?,
        number(rest.get(1..3)?)?,
        rest.get(13..21)?,
    )
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(text: &[u8], now: Timestamp) -> Option<Timestamp> {
    let comma = text.iter().position(|byte| *byte == b',')?;
    let weekday = text.get(..comma)?;
    position(&WEEKDAYS, |name| {
        name.as_bytes().eq_ignore_ascii_case(weekday)
    })?;
    let rest = text.get(comma + 1..)?;
    if rest.len() != 23 {
        return None;
    }
    literal(rest, 0, b" ")?;
    literal(rest, 3, b"-")?;
    literal(rest, 7, b"-")?;
    literal(rest, 10, b" ")?;
    zone(rest.get(19..)?)?;
    let (this_year, ..) = civil_of_days(now.as_unix_seconds().min(LAST) / 86_400);
    let mut year = this_year / 100 * 100 + number(rest.get(8..10)?)?;
    // More than 50 years ahead is the most recent past year with these digits (RFC 9110 §5.6.7).
    if year > this_year + 50 {
        year -= 100;
    }
    moment(
        year,
        month(rest.get(4..7)?)?,
        number(rest.get(1..3)?)?,
        rest.get(11..19)?,
    )
}

/// `Nov  6 08:49:37 1994`
fn asctime(rest: &[u8]) -> Option<Timestamp> {
    if rest.len() != 20 {
        return None;
    }
    literal(rest, 3, b" ")?;
    literal(rest, 6, b" ")?;
    literal(rest, 15, b" ")?;
    let day = match rest.get(4..6)? {
        [b' ', digit] => number(&[*digit])?,
        digits => number(digits)?,
    };
    moment(
        number(rest.get(16..20)?)?,
        month(rest.get(..3)?)?,
        day,
        rest.get(7..15)?,
    )
}

fn moment(year: u64, month: u64, day: u64, time: &[u8]) -> Option<Timestamp> {
    if time.len() != 8 {
        return None;
    }
    literal(time, 2, b":")?;
    literal(time, 5, b":")?;
    let hour = number(time.get(..2)?)?;
    let minute = number(time.get(3..5)?)?;
    let second = number(time.get(6..)?)?;
    // 60 is a leap second.
    if hour > 23 || minute > 59 || second > 60 || day == 0 || day > days_in(year, month) {
        return None;
    }
    let days = days_of_civil(year, month, day);
    let seconds = hour * 3_600 + minute * 60 + second.min(59);
    Some(Timestamp::from_unix_seconds(days.map_or(0, |days| {
        days.saturating_mul(86_400).saturating_add(seconds)
    })))
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u64::from(digit - b'0'))
    })
}

fn literal(text: &[u8], at: usize, expected: &[u8]) -> Option<()> {
    text.get(at..)?.starts_with(expected).then_some(())
}

fn zone(text: &[u8]) -> Option<()> {
    text.eq_ignore_ascii_case(b" GMT").then_some(())
}

fn month(text: &[u8]) -> Option<u64> {
    position(&MONTHS, |name| name.as_bytes().eq_ignore_ascii_case(text)).map(|at| at + 1)
}

fn position<const N: usize>(names: &[&str; N], is: impl Fn(&str) -> bool) -> Option<u64> {
    let at = names.iter().position(|name| is(name))?;
    u64::try_from(at).ok()
}

const fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar; none before it.
fn days_of_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years begin in March, so that the leap day is their last.
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    (year * 365 + year / 4 - year / 100 + year / 400 + day_of_year).checked_sub(DAYS_BEFORE_1970)
}

/// The date of a day since 1970-01-01.
const fn civil_of_days(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// From the first of March of the year 0.
const DAYS_BEFORE_1970: u64 = 719_468;

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_000_000); // November 2026

    fn seconds(text: &str) -> Option<u64> {
        parse(text.as_bytes(), NOW).map(Timestamp::as_unix_seconds)
    }

    #[test]
    fn all_three_forms_are_read_in_either_case() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "sun, 06 nOV 1994 08:49:37 gmt",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            " Sun Nov 06 08:49:37 1994 ",
        ] {
            assert_eq!(seconds(text), Some(784_111_777), "{text}");
        }
        assert_eq!(
            seconds("Friday, 06-Nov-76 08:49:37 GMT"),
            Some(3_371_878_177)
        );
        assert_eq!(seconds("Sunday, 06-Nov-77 08:49:37 GMT"), Some(247_654_177));
        assert_eq!(seconds("Wed, 01 Jan 1000 00:00:00 GMT"), Some(0));
        assert_eq!(
            seconds("Thu, 29 Feb 2024 23:59:60 GMT"),
            Some(1_709_251_199)
        );
    }

    #[test]
    fn anything_else_is_no_date() {
        for text in [
            "",
            "0",
            "-1",
            "Sun, 06 Nov 1994 08:49:37 EST",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06  Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 00 Jan 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Xxx, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(
            to_value(Timestamp::from_unix_seconds(784_111_777)),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        for seconds in (0..LAST).step_by(86_399 * 97).chain([LAST, 1_709_164_800]) {
            let moment = Timestamp::from_unix_seconds(seconds);
            assert_eq!(parse(to_value(moment).as_bytes(), NOW), Some(moment));
        }
        assert_eq!(
            to_value(Timestamp::from_unix_seconds(u64::MAX)),
            "Fri, 31 Dec 9999 23:59:59 GMT"
        );
    }
}
