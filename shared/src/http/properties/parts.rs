//! Parts of random representations, from origins that answer ranges in every way they may and some they may not.

use ::http::{HeaderMap, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use crate::http::range::ByteRange;
use crate::http::support::{NOON, URL, fields, fill, get, seconds};
use crate::http::*;
use crate::outcome::ForwardReason;
use crate::purge::Verdict;

/// What the origin has: bytes that differ by place and by version, and the fields that go with them.
#[derive(Clone, Debug)]
struct Representation {
    version: u8,
    length: u64,
    validator: &'static str,
}

impl Representation {
    fn bytes(&self) -> Vec<u8> {
        (0..self.length).map(|at| self.byte(at)).collect()
    }

    fn byte(&self, at: u64) -> u8 {
        u8::try_from(at % 100).unwrap() + 100 * self.version
    }

    fn slice(&self, range: ByteRange) -> Vec<u8> {
        (range.first..=range.last).map(|at| self.byte(at)).collect()
    }

    /// The fields of a response with these bytes, or with all.
    fn fields(&self, range: Option<(ByteRange, Complete)>) -> HeaderMap {
        let mut fields = fields(&["cache-control: max-age=60"]);
        if !self.validator.is_empty() {
            let tag = self.validator.replace('V', &self.version.to_string());
            fields.insert("etag", HeaderValue::try_from(tag).unwrap());
        }
        let length = match range {
            None => self.length,
            Some((range, complete)) => {
                let complete = match complete {
                    Complete::Said => Some(self.length),
                    Complete::Unsaid => None,
                };
                let value = HeaderValue::try_from(range.content_range(complete)).unwrap();
                fields.insert("content-range", value);
                range.length()
            }
        };
        fields.insert("content-length", HeaderValue::from(length));
        fields
    }
}

/// Whether the origin says how long the whole is.
#[derive(Clone, Copy, Debug)]
enum Complete {
    Said,
    Unsaid,
}

/// How the origin takes a range that it is asked for.
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// As it should, `If-Range` included.
    Right,
    /// It sends everything, always.
    Whole,
    /// It sends the range of whatever it has now.
    IgnoresIfRange,
    /// It sends another range than was asked for.
    Elsewhere(ByteRange),
}

fn representation() -> impl Strategy<Value = Representation> {
    let validator = proptest::sample::select(vec!["\"V\"", "\"V\"", "W/\"V\"", ""]);
    (0_u8..2, 1_u64..40, validator).prop_map(|(version, length, validator)| Representation {
        version,
        length,
        validator,
    })
}

fn range(length: u64) -> impl Strategy<Value = ByteRange> {
    (0..length, 0..length).prop_map(|(one, other)| ByteRange {
        first: one.min(other),
        last: one.max(other),
    })
}

fn complete() -> impl Strategy<Value = Complete> {
    proptest::sample::select(vec![Complete::Said, Complete::Said, Complete::Unsaid])
}

fn habit() -> impl Strategy<Value = Habit> {
    prop_oneof![
        3 => Just(Habit::Right),
        1 => Just(Habit::Whole),
        1 => Just(Habit::IgnoresIfRange),
        1 => range(10).prop_map(Habit::Elsewhere),
    ]
}

/// What the client asks for: the whole, or a range.
fn wish() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        (0_u64..45, 0_u64..45).prop_map(|(one, other)| {
            Some(format!("bytes={}-{}", one.min(other), one.max(other)))
        }),
        (0_u64..45).prop_map(|first| Some(format!("bytes={first}-"))),
        (1_u64..45).prop_map(|suffix| Some(format!("bytes=-{suffix}"))),
        (0_u64..20, 20_u64..45)
            .prop_map(|(one, other)| Some(format!("bytes={one}-{one},{other}-"))),
    ]
}

fn part(of: &Representation, range: ByteRange, complete: Complete) -> StoredResponse {
    let fields = of.fields(Some((range, complete)));
    let head = ResponseHead {
        status: StatusCode::PARTIAL_CONTENT,
        fields: &fields,
    };
    let rules = Rules::default();
    match on_response(&get(&[]), head, None, Verdict::Untouched, &fill(), &rules) {
        OnResponse::Store(stored) => *stored,
        other => panic!("{other:?}"),
    }
}

/// The bytes that pieces say.
fn assembled(pieces: &[Piece], stored: &[u8], newer: &[u8]) -> Vec<u8> {
    let place = |position: u64| usize::try_from(position).unwrap();
    let bytes = pieces.iter().flat_map(|piece| {
        let body = match piece.source {
            Source::Stored => stored,
            Source::Newer => newer,
        };
        &body[place(piece.bytes.first)..=place(piece.bytes.last)]
    });
    bytes.copied().collect()
}

/// The bytes that an answer sends of a stored body.
fn sent(answer: &Answer, body: &[u8]) -> Vec<Vec<u8>> {
    let cut = |range: &ByteRange| {
        let place = |position: u64| usize::try_from(position).unwrap();
        body[place(range.first)..=place(range.last)].to_vec()
    };
    match &answer.body {
        AnswerBody::None => Vec::new(),
        AnswerBody::Full => vec![body.to_vec()],
        AnswerBody::Range(range) => vec![cut(range)],
        AnswerBody::Multipart { parts, .. } => parts.iter().map(|(_, range)| cut(range)).collect(),
    }
}

/// The range that a completion asks for, held against what the origin has.
fn asked_for(completion: &CompletionRequest, length: u64) -> Option<ByteRange> {
    let text = completion.fields["range"].to_str().unwrap();
    let (first, last) = text
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let end = length - 1;
    let first: u64 = first.parse().unwrap();
    let last = last.parse().unwrap_or(end).min(end);
    (first <= end).then_some(ByteRange { first, last })
}

/// The origin's answer to a completion: status, fields and body.
fn answered(
    now: &Representation,
    completion: &CompletionRequest,
    habit: Habit,
) -> (u16, HeaderMap, Vec<u8>) {
    let whole = || (200, now.fields(None), now.bytes());
    let some = |range: ByteRange| {
        let fields = now.fields(Some((range, Complete::Said)));
        (206, fields, now.slice(range))
    };
    let unchanged = now.fields(None).get("etag") == completion.fields.get("if-range");
    let range = asked_for(completion, now.length);
    match (habit, range) {
        (Habit::Right, _) if !unchanged => whole(),
        (Habit::Right | Habit::IgnoresIfRange, Some(range)) => some(range),
        (Habit::Right | Habit::IgnoresIfRange, None) => {
            let text = format!("content-range: bytes */{}", now.length);
            (416, fields(&[&text]), Vec::new())
        }
        (Habit::Elsewhere(range), _) if range.last < now.length => some(range),
        (Habit::Whole | Habit::Elsewhere(_), _) => whole(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn combining_parts_yields_the_bytes_of_one_representation_or_nothing(
        (one, first) in representation().prop_flat_map(|one| {
            let length = one.length;
            (Just(one), range(length))
        }),
        (other, second) in representation().prop_flat_map(|one| {
            let length = one.length;
            (Just(one), range(length))
        }),
        completes in (complete(), complete()),
        same in any::<bool>(),
    ) {
        let (other, second) = if same {
            let last = second.last.min(one.length - 1);
            (one.clone(), ByteRange { first: second.first.min(last), last })
        } else {
            (other, second)
        };
        let (stored, newer) = (part(&one, first, completes.0), part(&other, second, completes.1));
        let Some(combined) = combine(&stored, &newer) else {
            return Ok(());
        };
        prop_assert_eq!(one.validator, "\"V\"");
        prop_assert_eq!(one.version, other.version);
        let body = assembled(&combined.pieces, &one.slice(first), &other.slice(second));
        // Two of one version but of different lengths have the same bytes as far as both go.
        let longer = if one.length > other.length { &one } else { &other };
        let (begin, length) = match combined.head.extent() {
            Extent::Complete { length } => (0, length.unwrap()),
            Extent::Partial { range, .. } => (range.first, range.length()),
        };
        let expected = ByteRange { first: begin, last: begin + length - 1 };
        prop_assert_eq!(&body, &longer.slice(expected));
        let cut = ByteRange { first: length / 3, last: length - 1 };
        let pieces = combined.cut(cut);
        let some = assembled(&pieces, &one.slice(first), &other.slice(second));
        prop_assert_eq!(&some[..], &body[usize::try_from(cut.first).unwrap()..]);
    }

    #[test]
    fn what_is_completed_is_what_the_origin_has(
        (before, range) in representation().prop_flat_map(|one| {
            let length = one.length;
            (Just(one), range(length))
        }),
        changed in proptest::option::of(representation()),
        complete in complete(),
        wish in wish(),
        habit in habit(),
    ) {
        let stored = part(&before, range, complete);
        let lines: Vec<String> = wish.iter().map(|wish| format!("range: {wish}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let request = get(&lines);
        let rules = Rules::default();
        // A new representation has a new version.
        let now = changed.filter(|now| now.version != before.version).unwrap_or_else(|| before.clone());
        let completion = match decide(&request, Some(&stored), Verdict::Untouched, NOON, &rules) {
            Decision::Complete(completion) => completion,
            Decision::Reuse { age, .. } => {
                let length = Some(range.length());
                let answer = answer(&request, &stored, age, length, "b", &rules);
                let body = before.slice(range);
                prop_assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
                for bytes in sent(&answer, &body) {
                    prop_assert!(!bytes.is_empty());
                }
                if let AnswerBody::Range(cut) = answer.body {
                    let there = ByteRange { first: cut.first + range.first, last: cut.last + range.first };
                    let text = answer.fields["content-range"].to_str().unwrap();
                    let there = format!("bytes {}-{}/", there.first, there.last);
                    prop_assert!(text.starts_with(&there));
                }
                return Ok(());
            }
            Decision::Forward(ForwardReason::Partial) => return Ok(()),
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(before.validator, "\"V\"");
        let (status, fields, body) = answered(&now, &completion, habit);
        let head = ResponseHead { status: StatusCode::from_u16(status).unwrap(), fields: &fields };
        let fill = Fill { asked: ForwardAs::Completion(&completion), ..fill() };
        match on_response(&request, head, Some(&stored), Verdict::Untouched, &fill, &rules) {
            OnResponse::Complete(combined) => {
                prop_assert_eq!(now.version, before.version);
                let whole = assembled(&combined.pieces, &before.slice(range), &body);
                let length = u64::try_from(whole.len()).unwrap();
                let answer = answer(&request, &combined.head, seconds(0), Some(length), "b", &rules);
                let parts = sent(&answer, &whole);
                if wish.is_none() {
                    prop_assert_eq!(answer.status, StatusCode::OK);
                    prop_assert_eq!(parts, vec![now.bytes()]);
                } else if let AnswerBody::Range(cut) = answer.body {
                    prop_assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
                    let text = answer.fields["content-range"].to_str().unwrap();
                    let first: u64 = text[6..].split('-').next().unwrap().parse().unwrap();
                    let there = ByteRange { first, last: first + cut.length() - 1 };
                    prop_assert_eq!(parts, vec![now.slice(there)]);
                }
            }
            OnResponse::Store(_) => prop_assert_eq!(status, 200),
            OnResponse::AskAgain => prop_assert_ne!(status, 200),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_body_that_breaks_off_is_never_stored_as_whole(
        length in proptest::option::of(1_u64..50),
        received in 0_u64..60,
        tag in any::<bool>(),
    ) {
        let mut lines = vec!["cache-control: max-age=60".to_owned()];
        lines.extend(length.map(|length| format!("content-length: {length}")));
        lines.extend(tag.then(|| "etag: \"a\"".to_owned()));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let fields = fields(&lines);
        let head = ResponseHead { status: StatusCode::OK, fields: &fields };
        let uri = URL.parse().unwrap();
        let rules = Rules::default();
        let request = RequestFacts::parse(&Method::GET, &uri, &HeaderMap::new(), NOON, &rules);
        let OnResponse::Store(stored) =
            on_response(&request, head, None, Verdict::Untouched, &fill(), &rules)
        else {
            panic!("it can be stored");
        };
        for end in [BodyEnd::Whole, BodyEnd::BrokenOff] {
            match stored.clone().after_body(received, end).map(|stored| stored.extent()) {
                Ok(Extent::Complete { length: said }) => {
                    prop_assert_eq!(said, Some(received));
                    prop_assert!(length == Some(received) || end == BodyEnd::Whole);
                }
                Ok(Extent::Partial { range, complete }) => {
                    prop_assert_eq!((range.first, range.length()), (0, received));
                    prop_assert_eq!(complete, length);
                }
                Err(_) => prop_assert!(received == 0 || length.is_some_and(|length| received > length)),
            }
        }
    }
}
