//! The words that cases are made of: mostly what servers and clients send, sometimes what they should not.

use std::time::{Duration, UNIX_EPOCH};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::case::RECEIVED_AT;

pub(crate) const VARY: [&str; 13] = [
    "accept-encoding",
    "accept-encoding",
    "accept-encoding",
    "accept-language",
    "accept-language",
    "Accept-Encoding",
    "accept-encoding, accept-language",
    "Accept-Language",
    "x-variant",
    "x-variant",
    "X-Variant, Accept-Encoding",
    "*",
    "x-variant, *",
];

/// Round seconds, and those beside them.
pub(crate) fn elapsed() -> impl Strategy<Value = u64> {
    let near = (
        select(vec![10_u64, 30, 60, 90, 120, 600, 3_600, 86_400]),
        0_u64..3,
    )
        .prop_map(|(round, beside)| round + beside - 1);
    prop_oneof![2 => 0_u64..2, 6 => near, 1 => 0_u64..200_000]
}

pub(crate) fn status() -> impl Strategy<Value = u16> {
    let common = vec![
        200_u16, 200, 200, 200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501,
    ];
    let rare = vec![201_u16, 206, 400, 403, 416, 418, 451, 500, 503, 304];
    prop_oneof![12 => select(common), 1 => select(rare)]
}

pub(crate) fn response_directives() -> impl Strategy<Value = String> {
    members(
        "max-age=60|max-age=60|max-age=60|max-age=60|max-age=60|max-age=600|max-age=600|max-age=0|max-age=3600|\
         s-maxage=30|s-maxage=600|public|public|public|private|no-cache|no-store|must-revalidate|\
         proxy-revalidate|immutable|stale-while-revalidate=30|stale-while-revalidate=30|\
         stale-while-revalidate=600|stale-if-error=60|no-transform",
        "max-age=\"60\"|max-age=x|max-age=10x|max-age=-5|max-age=1.5|max-age=|max-age|max-age =60|\
         max-age=99999999999|s-maxage=x|s-maxage=|Max-Age=60|NO-STORE|Private|no-store=|x=\"a\"|\
         must-understand, no-store|must-understand|no-cache=\"x-hop\"|private=\"x-hop\"|\
         no-cache=\"x-a, no-store, x-b\"|stale-while-revalidate=x",
    )
}

pub(crate) fn request_directives() -> impl Strategy<Value = String> {
    members(
        "no-cache|no-store|max-age=0|max-age=30|max-age=60|max-age=60|max-age=600|min-fresh=10|min-fresh=0|\
         min-fresh=60|max-stale|max-stale|max-stale=30|max-stale=30|max-stale=600|only-if-cached|\
         no-transform|no-transform",
        "max-age=x|max-age=|min-fresh=x|max-stale=x|max-stale=|MAX-STALE|max-age=\"30\"|No-Cache",
    )
}

/// A few members out of `common`, and now and then one out of `rare`.
fn members(common: &'static str, rare: &'static str) -> impl Strategy<Value = String> {
    let words = |list: &'static str| select(list.split('|').collect::<Vec<_>>());
    let rare = prop_oneof![5 => Just(None), 1 => words(rare).prop_map(Some)];
    (vec(words(common), 0..4), rare)
        .prop_map(|(mut members, rare)| {
            members.extend(rare);
            members.join(", ")
        })
        .prop_filter("a field of nothing", |value| !value.is_empty())
}

pub(crate) fn age() -> impl Strategy<Value = String> {
    let text = |text: &str| text.to_owned();
    prop_oneof![
        8 => select(vec!["0", "5", "30", "60", "100", "3600"]).prop_map(text),
        1 => select(vec!["-5", "x", "5x", "7, 9", "1.5", "99999999999"]).prop_map(text),
    ]
}

/// A date near to when the response comes, in one of the forms that there are, or something that is none.
pub(crate) fn date() -> impl Strategy<Value = String> {
    let offset = select(vec![
        -8_640_000_i64,
        -864_000,
        -86_400,
        -3_600,
        -600,
        -60,
        -30,
        -10,
        0,
        0,
        10,
        60,
        600,
        3_600,
    ]);
    prop_oneof![
        10 => offset.clone().prop_map(imf),
        1 => offset.clone().prop_map(rfc850),
        1 => offset.prop_map(asctime),
        1 => select(vec!["0", "-1", "never", "2026-11-21T12:00:00Z", "Sat, 21 Nov 2026 13:00:00 EST", "Sat, 21 Nov 2026 12:10:00"])
            .prop_map(str::to_owned),
    ]
}

/// Mostly the moment when the response comes.
pub(crate) fn date_of_sending() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(imf(0)), 1 => date()]
}

/// `Sat, 21 Nov 2026 12:00:00 GMT`, so many seconds away.
pub(crate) fn imf(offset: i64) -> String {
    let moment = RECEIVED_AT.saturating_add_signed(offset);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(moment))
}

/// `Saturday, 21-Nov-26 12:00:00 GMT`
fn rfc850(offset: i64) -> String {
    let text = imf(offset);
    let weekday = match &text[..3] {
        "Tue" => "Tuesday",
        "Wed" => "Wednesday",
        "Thu" => "Thursday",
        "Sat" => "Saturday",
        "Sun" => "Sunday",
        "Mon" => "Monday",
        _ => "Friday",
    };
    let (day, month, year, time) = (&text[5..7], &text[8..11], &text[14..16], &text[17..25]);
    format!("{weekday}, {day}-{month}-{year} {time} GMT")
}

/// `Sat Nov 21 12:00:00 2026`
fn asctime(offset: i64) -> String {
    let text = imf(offset);
    let (weekday, day, month, year, time) = (
        &text[..3],
        &text[5..7],
        &text[8..11],
        &text[12..16],
        &text[17..25],
    );
    let day = day
        .strip_prefix('0')
        .map_or_else(|| day.to_owned(), |digit| format!(" {digit}"));
    format!("{weekday} {month} {day} {time} {year}")
}
