//! Random templates and parts: no key twice, and every key read back.

use std::collections::HashMap;

use proptest::prelude::*;

use crate::key::{KeyParts, Template};

/// Values that lean on every rule of the escaping.
const VALUES: [&str; 7] = ["", "a", ":", "a:a", "%3A", "/", "aa"];

/// Every choice of parts for a template: each part absent, or one of `VALUES`.
fn choices(template: &Template) -> Vec<KeyParts> {
    let mut choices = vec![KeyParts::new()];
    for name in template.part_names() {
        for choice in choices.clone() {
            choices.extend(VALUES.map(|value| choice.clone().with(name.to_owned(), value)));
        }
    }
    choices
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Templates at random from few characters: whichever is accepted tells all its parts apart.
    #[test]
    fn an_accepted_template_gives_no_key_twice(text in "a(\\{[xyz]\\}|:|/|a|\\[[:/a]\\{[xyz]\\}[:/]?\\]|\\{h:sha256\\(u\\?,w\\?\\)\\}){0,6}") {
        let Ok(template) = Template::parse(&text) else {
            return Ok(());
        };
        prop_assume!(template.part_names().count() <= 3);
        let mut keys = HashMap::new();
        for parts in choices(&template) {
            let Ok(key) = template.format(&parts) else { continue };
            prop_assert!(template.overlaps(&template));
            if template.hash_inputs().next().is_none() {
                prop_assert_eq!(template.match_back(&key), Some(parts.clone()));
            }
            if let Some(other) = keys.insert(key, parts.clone()) {
                prop_assert!(false, "{} and {} make one key of {}", other, parts, text);
            }
        }
        prop_assert!(!keys.is_empty());
    }

    /// Two accepted templates that do not overlap share no key.
    #[test]
    fn templates_that_do_not_overlap_share_no_key(
        one in "a(\\{[xy]\\}|:|/|a|\\[[:/a]\\{[xy]\\}\\]){0,4}",
        other in "a(\\{[xy]\\}|:|/|a|\\[[:/a]\\{[xy]\\}\\]){0,4}",
    ) {
        let (Ok(one), Ok(other)) = (Template::parse(&one), Template::parse(&other)) else {
            return Ok(());
        };
        let shared = choices(&one)
            .iter()
            .filter_map(|parts| one.format(parts).ok())
            .any(|key| other.match_back(&key).is_some());
        prop_assert!(!shared || one.overlaps(&other));
    }

    #[test]
    fn what_is_formatted_is_matched_back(x in ".{0,40}", y in proptest::option::of(".{0,40}"), version: u32) {
        let template = Template::parse("key:v{version}:{x}[:{y}]").unwrap().with_version(version);
        let mut parts = KeyParts::new().with("x", x);
        parts.extend(y.map(|y| ("y", y)));
        let key = template.format(&parts).unwrap();
        prop_assert!(key.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(template.match_back(&key), Some(parts));
    }

    #[test]
    fn what_is_matched_is_formatted_again(tail in "[a:%0-9A-F]{0,12}") {
        let template = Template::parse("k:{x}[:{y}]").unwrap();
        let key = format!("k:{tail}");
        if let Some(parts) = template.match_back(&key) {
            prop_assert_eq!(template.format(&parts), Ok(key));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,60}", braces in "[\\[\\]{}:a?,()sha256 ]{0,40}") {
        let _ = (Template::parse(&text), Template::parse(&braces));
    }
}
