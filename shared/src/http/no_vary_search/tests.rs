use super::*;
use crate::http::support::fields;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn rule(text: &str) -> Option<NoVarySearch> {
    NoVarySearch::of(&fields(&[&format!("no-vary-search: {text}")]))
}

#[test]
fn rules_are_read_and_written_in_one_way() {
    for (text, expected) in [
        ("params", "params, except=()"),
        ("params=?1", "params, except=()"),
        ("params=(\"b\" \"a\" \"b\")", "params=(\"a\" \"b\")"),
        ("params, except=(\"x\")", "params, except=(\"x\")"),
        ("key-order", "key-order, params=()"),
        (
            "params, key-order, except=(\"x\"), z=9",
            "key-order, params, except=(\"x\")",
        ),
        (
            "params=(\"%C3%A9+x\" \"\u{7e}\")",
            "params=(\"%7E\" \"%C3%A9+x\")",
        ),
        (
            "key-order;a=1, params=(\"a\";b);c",
            "key-order, params=(\"a\")",
        ),
    ] {
        let read = rule(text).unwrap();
        assert_eq!(read.to_text(), expected, "{text}");
        assert_eq!(rule(expected), Some(read), "{text}");
    }
    let two = fields(&["no-vary-search: key-order", "no-vary-search: params"]);
    assert_eq!(NoVarySearch::of(&two), rule("key-order, params"));
}

#[test]
fn what_is_invalid_or_says_nothing_is_no_rule() {
    // §5.1, §5.2
    for text in [
        "",
        "unknown-key",
        "key-order=\"not a boolean\"",
        "params=\"not a boolean or inner list\"",
        "params=(not-a-string)",
        "params=(\"a\"), except=(\"x\")",
        "params=(), except=()",
        "params=?0, except=(\"x\")",
        "params, except=(not-a-string)",
        "params, except=\"not an inner list\"",
        "params, except=?1",
        "except=(\"x\")",
        "except=()",
        "params=?0",
        "params=()",
        "key-order=?0",
        "params=(\"a\"), key-order=1",
        "params=(\"a\",",
        "\u{e9}",
    ] {
        assert_eq!(rule(text), None, "{text}");
    }
    assert_eq!(NoVarySearch::of(&HeaderMap::new()), None);
}

#[test]
fn queries_are_equivalent_when_they_differ_only_in_what_does_not_matter() {
    // §6
    for (text, one, other, expected) in [
        ("params=(\"a\")", "a=1&b=2", "b=2&a=3", true),
        ("params=(\"a\")", "a=1&b=2", "b=3", false),
        ("params=(\"a\")", "b=1&c=2", "c=2&b=1", false),
        ("params=(\"a\")", "", "a=1", true),
        ("params=(\"a\")", "A=1", "", false),
        ("params", "a=1&b=2", "", true),
        ("params, except=(\"id\")", "id=1&x=2", "y&id=1", true),
        ("params, except=(\"id\")", "id=1", "id=2", false),
        ("key-order", "a=1&b=2", "b=2&a=1", true),
        ("key-order", "a=1&a=2", "a=2&a=1", false),
        ("key-order", "a=b&&&c", "c=&a=b", true),
        ("key-order", "a=%41", "%61=A", true),
        ("key-order", "a=%zz", "a=%25zz", true),
        ("key-order", "a=b%26c=d", "a=b&c=d", false),
        ("key-order", "a=%3D", "a==", true),
        ("key-order", "%ff", "%fe", true),
        (
            "params=(\"%C3%A9+%E6%B0%97\")",
            "\u{e9} \u{6c17}=1",
            "%C3%A9+%E6%B0%97=4",
            true,
        ),
        (
            "params=(\"%C3%A9+%E6%B0%97\")",
            "\u{e9}+\u{6c17}=2",
            "%C3%A9%20\u{6c17}=3",
            true,
        ),
    ] {
        let rule = rule(text).unwrap();
        assert_eq!(
            rule.are_equivalent(one, other),
            expected,
            "{text}: {one} {other}"
        );
        let normal = rule.normalise(one);
        assert_eq!(rule.normalise(&normal), normal, "{text}: {one}");
    }
}
