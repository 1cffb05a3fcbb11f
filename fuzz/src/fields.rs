//! Fields that carry a value of their own: dates, ages, tags, selecting fields, surrogate keys.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, StatusCode};
use terrace_shared::http::{
    AnswerBody, EntityTag, NoVarySearch, Strength, VaryKey, answer, response_fields,
};
use terrace_shared::key::SurrogateKeys;
use terrace_shared::purge::{Ledger, LedgerLimits, Purge, PurgeMode, Scope, Verdict};
use terrace_shared::time::{DeltaSeconds, Timestamp, TimestampMillis};

use crate::message::{
    after, check_stored, epoch, fixed, get, lines_of, plain, rules, section, store, store_for, with,
};

/// A date in every field that has one.
pub(crate) fn dates(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let mut fields = fixed(&[("cache-control", "stale-if-error=60"), ("etag", "\"one\"")]);
    for name in ["date", "expires", "last-modified"] {
        fields.insert(name, value.clone());
    }
    let stored = store(StatusCode::OK, &fields).expect("it has a validator");
    check_stored(&stored);
    // `Expires` is `Date`, so nothing is left of the lifetime.
    assert_eq!(stored.lifetime(), DeltaSeconds::ZERO);
    let mut asked = HeaderMap::new();
    for name in ["if-modified-since", "if-range", "if-unmodified-since"] {
        asked.insert(name, value.clone());
    }
    let _ = get(&asked);
    let sent = response_fields(&stored, DeltaSeconds::ZERO, &rules());
    let date = sent.get("date").expect("every response has a date");
    let Some(moment) = stored.last_modified() else {
        assert_ne!(date, value, "a malformed date is sent");
        assert!(reference(bytes).is_none(), "a plain date is not read");
        return;
    };
    if let Some(expected) = reference(bytes) {
        assert_eq!(moment, expected, "the date is read wrongly");
    }
    let written =
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(moment.as_unix_seconds()));
    fields.insert(
        "last-modified",
        HeaderValue::try_from(written).expect("it is ASCII"),
    );
    let again = store(StatusCode::OK, &fields).expect("it has a validator");
    assert_eq!(again.last_modified(), Some(moment), "it is not read back");
}

/// What another reader takes a date of the plain form for.
fn reference(bytes: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_plain = text.len() == 29 && text.ends_with(" GMT");
    let moment: SystemTime = httpdate::parse_http_date(text).ok().filter(|_| is_plain)?;
    let since = moment.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_unix_seconds(since.as_secs()))
}

/// Any lines of `Age`.
pub(crate) fn ages(bytes: &[u8]) {
    let fields = with(lines_of("age", bytes), &[("cache-control", "max-age=60")]);
    let stored = store(StatusCode::OK, &fields).expect("it is fresh for a minute");
    check_stored(&stored);
    let age = stored.current_age(after(0));
    assert!(age <= DeltaSeconds::LONGEST, "it is {age:?} old");
    let is_number = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    if is_number && bytes.len() < 9 {
        let number = bytes
            .iter()
            .fold(0, |sum, digit| 10 * sum + u64::from(digit - b'0'));
        assert_eq!(age, DeltaSeconds::seconds(number));
    }
}

/// Any lines of `If-None-Match` and `If-Match`; the first one also as the tag of a response.
pub(crate) fn entity_tags(bytes: &[u8]) {
    let stored = plain();
    let conditions = lines_of("if-none-match", bytes);
    let status_for = |fields: &HeaderMap| {
        let age = stored.current_age(after(1));
        answer(&get(fields), &stored, age, Some(9), "b", &rules()).status
    };
    let _ = status_for(&lines_of("if-match", bytes));
    let before = status_for(&conditions);
    let names_all = conditions
        .get_all("if-none-match")
        .iter()
        .any(|value| value.as_bytes().trim_ascii() == b"*");
    // One tag more never makes it less of a match; but `*` stands alone.
    let more = status_for(&with(conditions, &[("if-none-match", "\"one\"")]));
    assert!(names_all || more == StatusCode::NOT_MODIFIED || before == StatusCode::OK);
    let Some(tag) = EntityTag::parse(bytes) else {
        return;
    };
    let prefix: &[u8] = match tag.strength() {
        Strength::Strong => b"\"",
        Strength::Weak => b"W/\"",
    };
    let text = [prefix, tag.opaque(), b"\""].concat();
    assert_eq!(EntityTag::parse(&text).as_ref(), Some(&tag));
    assert!(tag.weakly_matches(&tag));
    assert_eq!(
        tag.strongly_matches(&tag),
        tag.strength() == Strength::Strong
    );
    if let Ok(value) = HeaderValue::from_bytes(&text) {
        let mut fields = fixed(&[("cache-control", "max-age=60")]);
        fields.insert("etag", value.clone());
        let stored = store(StatusCode::OK, &fields).expect("it is fresh for a minute");
        check_stored(&stored);
        let mut asked = HeaderMap::new();
        asked.insert("if-none-match", value);
        let age = stored.current_age(after(0));
        let answer = answer(&get(&asked), &stored, age, Some(9), "b", &rules());
        assert_eq!(
            answer.status,
            StatusCode::NOT_MODIFIED,
            "its own tag is no match"
        );
        assert_eq!(answer.body, AnswerBody::None);
    }
}

/// The first line is `Vary`; then the fields of one request, an empty line, and those of another.
pub(crate) fn vary(bytes: &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    let (names, requests) = bytes.split_at(end);
    let (first, second) = halves(requests.get(1..).unwrap_or_default());
    let (first, second) = (get(&section(first)), get(&section(second)));
    let fields = with(lines_of("vary", names), &[("cache-control", "max-age=60")]);
    let Ok(stored) = store_for(&first, StatusCode::OK, &fields) else {
        return;
    };
    check_stored(&stored);
    let vary = stored.vary();
    assert!(vary.matches(&first), "it is not for its own request");
    let key_of = |request| VaryKey::of(vary.names().cloned(), request);
    let same = key_of(&first).to_bytes() == key_of(&second).to_bytes();
    assert_eq!(vary.matches(&second), same, "the key and the match differ");
}

/// What stands before an empty line, and what behind it.
pub(crate) fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    let blank = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (first, second) = bytes.split_at(blank.unwrap_or(bytes.len()));
    (first, second.get(2..).unwrap_or_default())
}

/// `No-Vary-Search`, an empty line, and a query.
pub(crate) fn no_vary_search(bytes: &[u8]) {
    let (lines, query) = halves(bytes);
    let fields = lines_of("no-vary-search", lines);
    let (Some(rule), Ok(query)) = (NoVarySearch::of(&fields), std::str::from_utf8(query)) else {
        return;
    };
    let normal = rule.normalise(query);
    assert_eq!(
        rule.normalise(&normal),
        normal,
        "the normal form is not one"
    );
    let twice = format!("&{query}&&");
    assert_eq!(rule.normalise(&twice), normal, "empty pairs count");
}

/// The first byte chooses a field with surrogate keys; the rest are its lines.
pub(crate) fn surrogate_keys(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let name = KEY_FIELDS[usize::from(*choice) % KEY_FIELDS.len()];
    let fields = with(lines_of(name, bytes), &[("cache-control", "max-age=60")]);
    let Ok(stored) = store(StatusCode::OK, &fields) else {
        return;
    };
    check_stored(&stored);
    let sent = response_fields(&stored, DeltaSeconds::ZERO, &rules());
    assert!(!sent.contains_key(name), "clients see {name}");
    if name == KEY_FIELDS[4] {
        return;
    }
    // Whatever is stored can be purged by each of its keys (R12).
    let lines: Vec<_> = fields
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    let keys = SurrogateKeys::parse(lines.iter().map(AsRef::as_ref)).expect("it was stored");
    for key in keys.iter().take(8) {
        let mut ledger = Ledger::starting_at(
            epoch(1).incarnation,
            epoch(1).sequence,
            LedgerLimits::default(),
        );
        let _ = ledger.append(Purge {
            mode: PurgeMode::Hard,
            scopes: vec![Scope::SurrogateKey(key.clone())],
            at: TimestampMillis::from_unix_millis(0),
            origin_epoch: None,
        });
        let verdict = ledger.verdict(stored.fence(), stored.scopes());
        assert_eq!(verdict, Verdict::Dropped, "{key} does not purge it");
    }
}

const KEY_FIELDS: [&str; 5] = [
    "surrogate-key",
    "cache-tag",
    "edge-cache-tag",
    "xkey",
    "cache-groups",
];
