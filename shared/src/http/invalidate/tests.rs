use super::*;
use crate::http::support::{URL, fields};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn scopes(method: &Method, status: u16, lines: &[&str]) -> Vec<String> {
    let status = StatusCode::from_u16(status).unwrap();
    let scopes = invalidation(method, &URL.parse().unwrap(), status, &fields(lines));
    scopes.iter().map(ToString::to_string).collect()
}

#[test]
fn unsafe_methods_that_succeed_invalidate_their_target() {
    // RFC 9111 §4.4
    let own = ["exact:a.example/p/q?x=1"];
    for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        for status in [200, 204, 302] {
            assert_eq!(scopes(&method, status, &[]), own, "{method} {status}");
        }
        for status in [100, 400, 404, 500] {
            assert!(scopes(&method, status, &[]).is_empty(), "{method} {status}");
        }
    }
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        assert!(
            scopes(&method, 200, &["location: /x"]).is_empty(),
            "{method}"
        );
    }
}

#[test]
fn locations_are_resolved_and_taken_only_within_the_origin() {
    // RFC 9111 §4.4, RFC 3986 §5.2
    for (location, expected) in [
        ("/x", Some("a.example/x")),
        ("x", Some("a.example/p/x")),
        ("./x/../y/.", Some("a.example/p/y/")),
        ("../../x#part", Some("a.example/x")),
        ("?y=2", Some("a.example/p/q?y=2")),
        ("https://a.example/x?y", Some("a.example/x?y")),
        ("https://A.EXAMPLE:443", Some("a.example/")),
        ("//a.example/x", Some("a.example/x")),
        ("", None), // the target itself
        ("/p/q?x=1", None),
        ("https://b.example/x", None),
        ("http://a.example/x", None),
        ("https://a.example:444/x", None),
        ("//b.example/x", None),
        ("mailto:a@a.example", None),
        ("https://[nonsense", None),
    ] {
        for name in ["location", "content-location"] {
            let all = scopes(&Method::POST, 201, &[&format!("{name}: {location}")]);
            let expected = expected.map(|name| format!("exact:{name}"));
            assert_eq!(all.get(1).cloned(), expected, "{name}: {location}");
        }
    }
}

#[test]
fn groups_are_invalidated_within_the_origin() {
    // RFC 9875 §3
    let all = scopes(
        &Method::POST,
        200,
        &["cache-group-invalidation: \"a b\", \"c\""],
    );
    assert_eq!(
        all[1..],
        [
            "surrogate-key:cache-group://a.example/a%20b",
            "surrogate-key:cache-group://a.example/c"
        ]
    );
    assert_eq!(
        scopes(&Method::POST, 200, &["cache-group-invalidation: a"]).len(),
        1
    );
}

#[test]
fn a_target_without_host_is_its_path_on_any_host() {
    let uri = "/p/q".parse().unwrap();
    let lines = fields(&["location: /x"]);
    let scopes = invalidation(&Method::POST, &uri, StatusCode::OK, &lines);
    let texts: Vec<_> = scopes.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["exact:/p/q", "exact:/x"]);
}
