//! `Cache-Control` in both directions, and the targeted fields.

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use terrace_shared::http::{Decision, StoredResponse, ValidationRequest, decide, response_fields};
use terrace_shared::purge::Verdict;
use terrace_shared::time::DeltaSeconds;

use crate::message::{
    LATER, after, check_stored, fixed, get, lines_of, plain, request as facts, rules, store, with,
};

const CACHE_CONTROL: &str = "cache-control";

/// Any lines of `Cache-Control` in a response.
pub(crate) fn response(bytes: &[u8]) {
    let fields = with(lines_of(CACHE_CONTROL, bytes), &[("etag", "\"one\"")]);
    let stored = store(StatusCode::OK, &fields);
    if let Ok(stored) = &stored {
        check_stored(stored);
        check_decisions(stored, &HeaderMap::new());
    }
    // `must-understand` may override `no-store`.
    let may_override = bytes
        .to_ascii_lowercase()
        .windows(15)
        .any(|part| part == b"must-understand");
    for forbidden in ["no-store", "private"] {
        let fields = with(fields.clone(), &[(CACHE_CONTROL, forbidden)]);
        let stored = store(StatusCode::OK, &fields);
        assert!(
            stored.is_err() || may_override && forbidden == "no-store",
            "{forbidden} does not forbid to store"
        );
    }
    let validated = with(fields.clone(), &[(CACHE_CONTROL, "no-cache")]);
    if let Ok(stored) = store(StatusCode::OK, &validated) {
        for seconds in LATER {
            let decision = decide_at(&stored, &fixed(&[(CACHE_CONTROL, "max-stale")]), seconds);
            assert!(!is_reuse(&decision), "no-cache is reused: {decision:?}");
        }
    }
    // One more value for the same directive never makes it fresh for longer.
    let more = with(fields, &[(CACHE_CONTROL, "max-age=5, s-maxage=5")]);
    if let Ok(stored) = store(StatusCode::OK, &more) {
        let lifetime = stored.lifetime();
        assert!(lifetime <= DeltaSeconds::seconds(5), "{lifetime:?}");
    }
}

/// Any lines of `Cache-Control` in a request.
pub(crate) fn request(bytes: &[u8]) {
    let stored = plain();
    let fields = lines_of(CACHE_CONTROL, bytes);
    check_decisions(&stored, &fields);
    let asking = |more| with(fields.clone(), &[(CACHE_CONTROL, more)]);
    for seconds in LATER {
        let decision = decide_at(&stored, &asking("no-cache"), seconds);
        assert!(!is_reuse(&decision), "no-cache: {decision:?}");
        let decision = decide_at(&stored, &asking("min-fresh=61"), seconds);
        assert!(!is_reuse(&decision), "min-fresh: {decision:?}");
        let decision = decide_at(&stored, &asking("max-age=5"), seconds);
        assert!(
            !is_reuse(&decision) || seconds <= 5,
            "max-age: {decision:?}"
        );
        let decision = decide_at(&stored, &asking("only-if-cached"), seconds);
        assert!(
            is_reuse(&decision) || matches!(decision, Decision::GatewayTimeout),
            "only-if-cached: {decision:?}"
        );
    }
    let refused = store_with_request(&asking("no-store"));
    assert!(refused.is_none(), "no-store in a request is not heeded");
}

/// The first byte chooses a targeted field; the rest are its lines.
pub(crate) fn targeted(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let name = TARGETED[usize::from(*choice) % TARGETED.len()];
    let mut fields = lines_of(name, bytes);
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=600"));
    fields.insert("etag", HeaderValue::from_static("\"one\""));
    let Ok(stored) = store(StatusCode::OK, &fields) else {
        return;
    };
    check_stored(&stored);
    check_decisions(&stored, &HeaderMap::new());
    let sent = response_fields(&stored, DeltaSeconds::ZERO, &rules());
    assert!(!sent.contains_key(TARGETED[0]), "clients see our own field");
    assert_eq!(sent[CACHE_CONTROL], "max-age=600");
    // One member that is none makes the whole field invalid, so that `Cache-Control` counts (RFC 9213 §2.1).
    if name != TARGETED[2] {
        fields.append(name, HeaderValue::from_static("="));
        let stored = store(StatusCode::OK, &fields).map(|stored| stored.lifetime());
        assert_eq!(stored, Ok(DeltaSeconds::minutes(10)));
    }
}

const TARGETED: [&str; 3] = [
    "terrace-cache-control",
    "cdn-cache-control",
    "surrogate-control",
];

fn store_with_request(fields: &HeaderMap) -> Option<StoredResponse> {
    let response = fixed(&[(CACHE_CONTROL, "max-age=60")]);
    crate::message::store_for(&get(fields), StatusCode::OK, &response).ok()
}

fn decide_at(stored: &StoredResponse, fields: &HeaderMap, seconds: u64) -> Decision {
    let now = after(seconds);
    decide(
        &get(fields),
        Some(stored),
        Verdict::Untouched,
        now,
        &rules(),
    )
}

const fn is_reuse(decision: &Decision) -> bool {
    matches!(
        decision,
        Decision::Reuse { .. } | Decision::ReuseStale { .. }
    )
}

/// What holds for every decision, at any moment, under any verdict.
pub(crate) fn check_decisions(stored: &StoredResponse, fields: &HeaderMap) {
    let rules = rules();
    for method in [Method::GET, Method::HEAD, Method::POST] {
        let request = facts(&method, fields);
        for seconds in LATER {
            for verdict in [Verdict::Untouched, Verdict::Softened, Verdict::Dropped] {
                let now = after(seconds);
                let age = stored.current_age(now);
                let is_fresh = stored.lifetime() > age;
                let decision = decide(&request, Some(stored), verdict, now, &rules);
                let served = is_reuse(&decision);
                assert!(
                    !served || verdict != Verdict::Dropped,
                    "purged: {decision:?}"
                );
                assert!(!served || method != Method::POST, "POST: {decision:?}");
                assert!(!served || stored.vary().matches(&request), "{decision:?}");
                match decision {
                    Decision::Reuse {
                        age: said,
                        remaining,
                    } => {
                        assert!(is_fresh && verdict == Verdict::Untouched, "stale as fresh");
                        assert_eq!(said, age);
                        assert_eq!(age.saturating_add(remaining), stored.lifetime());
                    }
                    Decision::ReuseStale { age: said, .. } => {
                        assert!(!is_fresh || verdict == Verdict::Softened, "fresh as stale");
                        assert_eq!(said, age);
                    }
                    Decision::Validate(ValidationRequest { fields, .. }) => {
                        assert!(!fields.is_empty(), "a validation without validators");
                    }
                    Decision::Complete(_) | Decision::Forward(_) | Decision::GatewayTimeout => {}
                }
            }
        }
    }
}
