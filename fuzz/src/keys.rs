//! What operators write: key templates and policies.

use http::Method;
use terrace_shared::intake::{Intake, Routes, Target};
use terrace_shared::key::{EncodedKey, KeyParts, Template};
use terrace_shared::policy::Policy;

use crate::fields::halves;
use crate::message::{NOON, section};

/// A template, an empty line, and values for its parts, one on a line.
pub(crate) fn templates(bytes: &[u8]) {
    let (template, values) = halves(bytes);
    let (Ok(text), Ok(values)) = (std::str::from_utf8(template), std::str::from_utf8(values))
    else {
        return;
    };
    check_encoding(values);
    let Ok(template) = Template::parse(text) else {
        return;
    };
    assert_eq!(Template::parse(template.as_str()).as_ref(), Ok(&template));
    assert!(template.overlaps(&template) || template.format(&KeyParts::new()).is_err());
    let names: Vec<String> = template.part_names().map(str::to_owned).collect();
    let mut parts = KeyParts::new();
    for (name, value) in names.into_iter().zip(values.split('\n')) {
        parts.insert(name, value);
    }
    if let Ok(key) = template.format(&parts) {
        assert!(key.len() <= Template::LONGEST_KEY);
        let found = template
            .match_back(&key)
            .expect("the key is the template's own");
        assert_eq!(
            template.format(&found),
            Ok(key),
            "what is found makes another key"
        );
    }
    if let Some(found) = template.match_back(values) {
        assert_eq!(
            template.format(&found).as_deref(),
            Ok(values),
            "it is no key of the template"
        );
    }
}

/// Keys of other parts are others: what was put in is taken out (and moving a byte between parts is seen).
fn check_encoding(values: &str) {
    let parts: Vec<&str> = values.split('\n').collect();
    let key = EncodedKey::of(&parts);
    let read: Vec<&[u8]> = key.parts().collect();
    let given: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    assert_eq!(read, given, "a key loses its parts");
}

/// A policy file.
pub(crate) fn policies(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Policy::from_toml(text) {
        Ok(policy) => {
            let _ = (policy.horizon(), policy.ledger_limits());
            let routes = Routes::new(policy);
            for url in [
                "https://a.example/",
                "https://a.example/api/plans/7?utm_x=1&b=2&a=1",
            ] {
                let target = Target::parse(url).expect("it is a URL");
                let fields =
                    section(b"cookie: session=1; currency=EUR\naccept-encoding: gzip, br;q=0");
                let _ = Intake::of(&Method::GET, target, fields, &routes, NOON);
            }
        }
        Err(errors) => {
            let lines = text.split('\n').count();
            assert!(!errors.is_empty(), "it fails without a reason");
            for error in &errors {
                assert!(
                    (1..=lines).contains(&error.line()),
                    "line {} of {lines}",
                    error.line()
                );
                assert!(!error.to_string().is_empty());
            }
        }
    }
}
