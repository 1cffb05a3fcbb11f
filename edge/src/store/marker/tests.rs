use http::header::{ACCEPT, ACCEPT_LANGUAGE};
use http::{HeaderMap, Method, StatusCode, Uri};
use terrace_shared::http::{
    Exchange, Fill, ForwardAs, OnResponse, ResponseHead, Rules, Variant, on_response,
};
use terrace_shared::purge::{Epoch, Fence, Incarnation, Sequence, Verdict};

use super::*;

pub(in crate::store) const NOW: Timestamp = Timestamp::from_unix_seconds(1_000_000);
const LATER: Timestamp = Timestamp::from_unix_seconds(1_000_100);

pub(in crate::store) fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        let name = HeaderName::from_static(name);
        (name, value.parse().unwrap())
    };
    lines.iter().map(pair).collect()
}

pub(in crate::store) fn request(lines: &[(&'static str, &str)]) -> RequestFacts {
    let uri = Uri::from_static("https://a.example/");
    RequestFacts::parse(&Method::GET, &uri, &fields(lines), NOW, &Rules::default())
}

/// What is stored for a request with these fields that came so many seconds after the first.
pub(in crate::store) fn stored(
    lines: &[(&'static str, &str)],
    vary: &str,
    second: u64,
) -> StoredResponse {
    let rules = Rules::default();
    let fields = fields(&[
        ("cache-control", "max-age=60"),
        ("etag", "\"a\""),
        ("vary", vary),
    ]);
    let response = ResponseHead {
        status: StatusCode::OK,
        fields: &fields,
    };
    let at = Timestamp::from_unix_seconds(NOW.as_unix_seconds() + second);
    let epoch = Epoch {
        incarnation: Incarnation::from_random(1),
        sequence: Sequence::ZERO,
    };
    let fill = Fill {
        exchange: Exchange {
            requested_at: at,
            received_at: at,
        },
        fence: Fence::at(epoch),
        host: "a.example",
        path_and_query: "/",
        asked: ForwardAs::Fill,
    };
    match on_response(
        &request(lines),
        response,
        None,
        Verdict::Untouched,
        &fill,
        &rules,
    ) {
        OnResponse::Store(head) => *head,
        other => panic!("{other:?}"),
    }
}

fn marker(before: Option<&Rc<VaryMarker>>, head: &StoredResponse) -> Option<Rc<VaryMarker>> {
    VaryMarker::with(before, head, LATER, NOW, || 7).map(Rc::new)
}

fn key() -> StoreKey {
    StoreKey::of(b"/")
}

#[test]
fn a_response_that_does_not_vary_has_a_marker_only_beside_others_that_do() {
    let plain = stored(&[], "", 1);
    assert_eq!(marker(None, &plain), None);
    let one = stored(&[("accept", "a")], "accept", 0);
    let first = marker(None, &one).unwrap();
    let both = marker(Some(&first), &plain).unwrap();
    assert_eq!((first.generation, both.generation), (7, 7));
    assert_eq!(both.names, [ACCEPT]);
    let request = request(&[("accept", "a")]);
    let places: Vec<_> = both.places(key(), &request).collect();
    let expected = [&plain, &one].map(|head| both.place(key(), head.vary()));
    assert_eq!(places, expected); // the most recent first
}

#[test]
fn variants_by_other_fields_are_found_beside_each_other_and_where_version_1_put_them() {
    let one = stored(&[("accept", "a")], "accept", 0);
    let two = stored(
        &[("accept", "b"), ("accept-language", "c")],
        "accept-language, accept",
        1,
    );
    let first = marker(None, &one).unwrap();
    let both = marker(Some(&first), &two).unwrap();
    assert_eq!(both.names, [ACCEPT, ACCEPT_LANGUAGE]);
    let found = |marker: &VaryMarker, lines: &[(&'static str, &str)]| -> Vec<_> {
        marker.places(key(), &request(lines)).collect()
    };
    assert_eq!(
        found(&both, &[("accept", "a")]),
        [both.place(key(), one.vary())]
    );
    let lines = [("accept", "b"), ("accept-language", "c")];
    assert_eq!(found(&both, &lines), [both.place(key(), two.vary())]);
    // Nothing is listed for it, so it may lie where it would if it varied by everything.
    let unlisted = [("accept", "b"), ("accept-language", "d")];
    assert_eq!(
        found(&both, &unlisted),
        [both.place_of(key(), &request(&unlisted))]
    );
    let old = VaryMarker::from_text("1 0000000000000007 1000100 accept,accept-language").unwrap();
    assert_eq!(found(&old, &lines), [both.place(key(), two.vary())]);
}

#[test]
fn two_that_were_written_side_by_side_are_merged_unless_one_was_begun_anew() {
    let one = stored(&[("accept", "a")], "accept", 0);
    let first = marker(None, &one).unwrap();
    let left = marker(Some(&first), &stored(&[("accept", "b")], "accept", 1)).unwrap();
    let right = marker(Some(&first), &stored(&[("accept", "c")], "accept", 2)).unwrap();
    let merged = left.merged(Some(&right));
    for accept in ["a", "b", "c"] {
        assert_eq!(
            merged
                .known()
                .matching(&request(&[("accept", accept)]))
                .count(),
            1
        );
    }
    let other = VaryMarker::with(None, &one, LATER, NOW, || 8).unwrap();
    assert_eq!(left.merged(Some(&other)), left);
    assert_eq!(left.merged(None), left);
}

#[test]
fn too_many_selecting_fields_begin_anew() {
    let one = stored(&[], "accept", 0);
    let first = Rc::new(VaryMarker::with(None, &one, LATER, NOW, || 1).unwrap());
    let many: Vec<String> = (0..VaryMarker::MOST_NAMES)
        .map(|name| format!("x-{name}"))
        .collect();
    let many = stored(&[], &many.join(", "), 1);
    let anew = marker(Some(&first), &many).unwrap();
    assert_eq!(
        (anew.generation, anew.names.len()),
        (7, VaryMarker::MOST_NAMES)
    );
    assert_eq!(anew.known().matching(&request(&[])).count(), 1);
}

#[test]
fn what_is_struck_off_is_neither_found_nor_offered() {
    let one = stored(&[("accept", "a")], "accept", 0);
    let first = marker(None, &one).unwrap();
    let rest = first.without(one.vary()).unwrap();
    assert_eq!(rest.without(one.vary()), None);
    let named = |marker: &VaryMarker| {
        let said = fields(&[("etag", "\"a\"")]);
        let named: Vec<Variant> = marker.known().named(&said).cloned().collect();
        named.len()
    };
    assert_eq!((named(&first), named(&rest)), (1, 0));
}

#[test]
fn a_marker_is_read_back_in_every_version_and_anything_else_is_none() {
    let marker = marker(None, &stored(&[("accept", "a")], "accept", 0)).unwrap();
    let text = marker.to_text();
    assert!(
        text.starts_with("2 0000000000000007 1000100 accept "),
        "{text}"
    );
    assert_eq!(VaryMarker::from_text(&text).as_ref(), Some(&*marker));
    let old = VaryMarker::from_text("1 00000000000000ff 12 accept,accept-language").unwrap();
    assert_eq!(
        (old.generation, &old.known),
        (0xff, &VariantList::default())
    );
    assert_eq!(old.names, [ACCEPT, ACCEPT_LANGUAGE]);
    assert_eq!(VaryMarker::from_text(&old.to_text()), Some(old));
    for other in [
        "",
        "3 ff 12 accept",
        "1 ff 12",
        "1 ff 12 ",
        "1 ff 12 a b",
        "1 xx 12 accept",
        "1 ff -1 accept",
        "2 ff 12 accept",
        "2 ff 12 accept !!!",
        "2 ff 12 accept AAAA",
        &text[..text.len() - 4],
        &format!("{text} more"),
    ] {
        assert_eq!(VaryMarker::from_text(other), None, "{other:?}");
    }
}
