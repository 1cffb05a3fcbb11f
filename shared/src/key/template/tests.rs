#[cfg(not(target_arch = "wasm32"))]
mod properties;

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Lines of vectors: template, version, parts and key.
fn vectors(text: &str) -> impl Iterator<Item = (Template, KeyParts, &str)> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && line.contains('\t'));
    lines.map(|line| {
        let [template, version, parts, key] = *line.split('\t').collect::<Vec<_>>() else {
            panic!("{line:?} has not four fields");
        };
        let template = Template::parse(template).unwrap();
        (
            template.with_version(version.parse().unwrap()),
            serde_json::from_str(parts).unwrap(),
            key,
        )
    })
}

const PINNED: &str = include_str!("../../../../tests/vectors/key_templates_v1.txt");
const SEEDS: &str = include_str!("../../../../tests/vectors/key_seeds_v1.txt");

#[test]
fn keys_are_pinned() {
    for (template, parts, key) in vectors(PINNED) {
        assert_eq!(template.format(&parts).as_deref(), Ok(key), "{template:?}");
        let back = template.match_back(key).unwrap();
        assert_eq!(template.format(&back).as_deref(), Ok(key), "{template:?}");
    }
}

#[test]
fn every_key_of_the_seed_systems_is_expressible() {
    let mut count = 0;
    for (template, parts, key) in vectors(SEEDS) {
        count += 1;
        assert_eq!(template.format(&parts).as_deref(), Ok(key), "{template:?}");
        let back = template.match_back(key).unwrap();
        if template.hash_inputs().next().is_none() {
            assert_eq!(back, parts, "{template:?}");
        }
        assert_eq!(template.format(&back).as_deref(), Ok(key), "{template:?}");
    }
    assert_eq!(count, 40);
}

#[test]
fn the_patterns_of_one_seed_system_never_meet() {
    for system in SEEDS.split("\nS") {
        let mut templates: Vec<_> = vectors(system).map(|(template, ..)| template).collect();
        templates.dedup_by(|one, other| one.text == other.text);
        // S1 names its responses in two ways; they are one key space.
        templates.retain(|template| template.as_str() != "cache:response:{hash}");
        for (place, one) in templates.iter().enumerate() {
            for other in templates.iter().skip(place + 1) {
                assert!(!one.overlaps(other), "{one:?} meets {other:?}");
            }
        }
    }
}

#[test]
fn malformed_templates_are_refused_with_their_place() {
    use TemplateError as Error;
    let name = |name: &str, at| Error::BadName {
        name: name.into(),
        at,
    };
    let repeated = |part: &str, at| Error::Repeated {
        part: part.into(),
        at,
    };
    let function = |text: &str, at| Error::BadFunction {
        function: text.into(),
        at,
    };
    for (text, error) in [
        ("", Error::Empty),
        ("{a}", Error::NoLiteralFirst),
        ("[a:{b}]", Error::NoLiteralFirst),
        (
            "a b",
            Error::ForbiddenCharacter {
                character: ' ',
                at: 1,
            },
        ),
        (
            "a:*",
            Error::ForbiddenCharacter {
                character: '*',
                at: 2,
            },
        ),
        (
            "a%3A",
            Error::ForbiddenCharacter {
                character: '%',
                at: 1,
            },
        ),
        (
            "é",
            Error::ForbiddenCharacter {
                character: 'é',
                at: 0,
            },
        ),
        (
            "a:{b",
            Error::Unclosed {
                bracket: '{',
                at: 2,
            },
        ),
        (
            "a[:{b}",
            Error::Unclosed {
                bracket: '[',
                at: 1,
            },
        ),
        (
            "a]",
            Error::Unopened {
                bracket: ']',
                at: 1,
            },
        ),
        (
            "a}",
            Error::Unopened {
                bracket: '}',
                at: 1,
            },
        ),
        ("a[:{b}[:{c}]]", Error::NestedGroup { at: 6 }),
        ("a[:b]", Error::MalformedGroup { at: 1 }),
        ("a[{b}]", Error::MalformedGroup { at: 1 }),
        ("a[:{version}]", Error::MalformedGroup { at: 1 }),
        ("a[]", Error::MalformedGroup { at: 1 }),
        ("a:{}", name("", 3)),
        ("a:{1b}", name("1b", 3)),
        ("a:{ b}", name(" b", 3)),
        ("a:{h:sha256(b, c d)}", name("c d", 15)),
        ("a:{h:sha256()}", name("", 12)),
        ("a:{h:sha256(version)}", name("version", 12)),
        ("a:{b}:{b}", repeated("b", 7)),
        ("a:{b}:{h:sha256(c,b)}", repeated("b", 18)),
        ("a:v{version}:{version}", repeated("version", 14)),
        ("a:{h:md5(b)}", function("md5(b)", 5)),
        ("a:{h:sha256(b}", function("sha256(b", 5)),
        ("a:{version:sha256(b)}", function("sha256(b)", 3)),
    ] {
        assert_eq!(Template::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn templates_have_limits() {
    use TemplateError as Error;
    let many: Vec<_> = (0..33).map(|part| format!(":{{p{part}}}")).collect();
    assert_eq!(Template::parse(&many.concat()), Err(Error::TooManyParts));
    let groups: Vec<_> = (0..7).map(|part| format!("[:{{p{part}}}]")).collect();
    assert_eq!(
        Template::parse(&format!("a{}", groups.concat())),
        Err(Error::TooManyGroups)
    );
    let long = "a".repeat(513);
    assert_eq!(Template::parse(&long), Err(Error::TooLong { bytes: 513 }));
    assert!(Template::parse(&long[1..]).is_ok());
}

#[test]
fn templates_that_could_give_one_key_twice_are_refused() {
    use TemplateError as Error;
    let adjacent = |part: &str| Error::Adjacent { part: part.into() };
    let undelimited = |part: &str, character| Error::Undelimited {
        part: part.into(),
        character,
    };
    let group = |part: &str, character| Error::AmbiguousGroup {
        part: part.into(),
        character,
    };
    for (text, error) in [
        ("a:{b}{c}", adjacent("b")),
        ("a:{version}{c}", adjacent("version")),
        ("a:{b}[:{c}]{d}", adjacent("b")),
        ("a[:{b}]{c}", adjacent("b")),
        ("a:{b}-{c}", undelimited("b", '-')),
        ("a:{b}x", undelimited("b", 'x')),
        ("a:{b}[.{c}]", undelimited("b", '.')),
        ("a:{b}[:{c}]_", undelimited("b", '_')),
        ("a:v{version}0:{c}", undelimited("version", '0')),
        ("a[:{b}][:{c}]", group("b", ':')),
        ("a[:{b}]:c", group("b", ':')),
        ("a[:{b}][/{c}]:{d}", group("b", ':')),
        ("a[b:{c}]{d}", group("c", 'b')),
        ("a[b:{c}:]{d}", group("c", 'b')),
        // An empty value of the last part would stand for the group's beginning.
        ("a[:{b}:]{c}:", group("b", ':')),
        ("a:{h:sha256(b)}c", undelimited("h", 'c')),
    ] {
        assert_eq!(Template::parse(text), Err(error), "{text:?}");
    }
    for text in [
        "a[:{b}:]{c}",
        "a[:{b}][/{c}]",
        "a[b{c}]",
        "a[:{b}]/c",
        "a:{b}[:{c}]|{d}",
        "ab{c}",
    ] {
        assert!(Template::parse(text).is_ok(), "{text:?}");
    }
}

#[test]
fn parts_that_make_no_key_are_named() {
    let part = |part: &str| part.into();
    let template = "a:{x}[:{y}:{z}]:h/{h:sha256(b,c?)}";
    assert!(matches!(
        Template::parse(template),
        Err(TemplateError::AmbiguousGroup { .. })
    ));
    let template = Template::parse("a:{x}[/{y}/{z}]:{h:sha256(b,c?)}").unwrap();
    let good = KeyParts::new().with("x", 1).with("b", 2);
    assert!(template.format(&good).is_ok());
    assert_eq!(
        template.part_names().collect::<Vec<_>>(),
        ["x", "y", "z", "b", "c"]
    );
    let digest = "0".repeat(32);
    for (parts, error) in [
        (
            KeyParts::new().with("b", 2),
            KeyError::Missing { part: part("x") },
        ),
        (
            KeyParts::new().with("x", 1),
            KeyError::Missing { part: part("b") },
        ),
        (
            good.clone().with("y", 3),
            KeyError::Partial { part: part("z") },
        ),
        (
            good.clone().with("z", 3),
            KeyError::Partial { part: part("y") },
        ),
        (
            good.clone().with("q", 3),
            KeyError::Unknown { part: part("q") },
        ),
        (
            good.clone().with("version", 3),
            KeyError::Unknown {
                part: part("version"),
            },
        ),
        (
            good.clone().with("h", &digest),
            KeyError::Unknown { part: part("b") },
        ),
        (
            KeyParts::new().with("x", 1).with("h", "A"),
            KeyError::NotADigest { part: part("h") },
        ),
    ] {
        assert_eq!(template.format(&parts), Err(error), "{parts}");
    }
    let more = good.clone().with("q", 3);
    assert_eq!(template.format_from(&more), template.format(&good));
}

#[test]
fn keys_end_at_their_limit() {
    let template = Template::parse("a:{x}").unwrap();
    let of = |length: usize| template.format(&KeyParts::new().with("x", "x".repeat(length)));
    assert_eq!(of(1_022).map(|key| key.len()), Ok(1_024));
    assert_eq!(of(1_023), Err(KeyError::TooLong { bytes: 1_025 }));
    assert!(
        template
            .match_back(&format!("a:{}", "x".repeat(1_023)))
            .is_none()
    );
}

#[test]
fn keys_that_the_template_does_not_write_are_not_matched() {
    let template = Template::parse("a:v{version}:{x}[:{y}]")
        .unwrap()
        .with_version(2);
    assert!(template.match_back("a:v2:1:").is_some());
    for key in [
        "",
        "a",
        "b:v2:1",
        "a:v1:1",
        "a:v02:1",
        "a:v2",
        "a:v2:1:2:3",
        "a:v2:1/2",
        "a:v2:%61",
        "a:v2:%3a",
        "a:v2:%3",
        "a:v2:%",
        "a:v2:%FF",
        "a:v2:é",
        "a:v2:1 ",
    ] {
        assert_eq!(template.match_back(key), None, "{key:?}");
    }
}

#[test]
fn templates_that_share_a_key_overlap() {
    for (one, other, expected) in [
        ("product:{a}", "product:{b}", true),
        ("product:{a}", "product:v{version}", true),
        ("product:{a}", "product:v{version}:{b}", false),
        ("a:{x}[:{y}]", "a:{x}:{z}", true),
        ("a:{x}[:{y}]", "a:{x}/{z}", false),
        ("a:{x}", "a:", true),
        ("a:{x}:b", "a:b:{x}", true),
        ("a:{x}:b", "a:{x}:c", false),
        ("a:x{x}", "a:y{x}", false),
        ("a:x{x}", "a:{x}", true),
        ("a:{h:sha256(x)}", "a:{y}", true),
    ] {
        let one = Template::parse(one).unwrap();
        let other = Template::parse(other).unwrap();
        assert_eq!(one.overlaps(&other), expected, "{one:?} {other:?}");
        assert_eq!(other.overlaps(&one), expected, "{other:?} {one:?}");
    }
    let one = Template::parse("a:v{version}:{x}").unwrap();
    assert!(!one.overlaps(&one.clone().with_version(2)));
}

#[test]
fn json_keeps_the_version_and_checks_the_text() {
    let template = Template::parse("a:v{version}").unwrap().with_version(3);
    let json = serde_json::to_string(&template).unwrap();
    assert_eq!(json, r#"{"text":"a:v{version}","version":3}"#);
    assert_eq!(serde_json::from_str::<Template>(&json).unwrap(), template);
    assert!(serde_json::from_str::<Template>(r#"{"text":"a:{b}{c}","version":3}"#).is_err());
}
