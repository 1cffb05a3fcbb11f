//! A whole exchange, and what becomes of it: every decision that the engine takes.

use http::{HeaderMap, Method, StatusCode};
use terrace_shared::http::{
    Decision, Failure, ForwardAs, OnFailure, OnResponse, ResponseHead, StoredResponse,
    ValidationRequest, answer, decide, invalidation, on_failure, on_response, pass_fields,
    request_fields,
};
use terrace_shared::outcome::ForwardReason;
use terrace_shared::purge::{Scope, Verdict};

use crate::directives::check_decisions;
use crate::fields::halves;
use crate::message::{
    HOST, LATER, NOON, after, check_stored, fill, request, rules, section, store_for, uri,
};

/// A byte for methods and one for statuses; then, between empty lines, the fields of a request, its response, a later
/// request, and the response to that.
pub(crate) fn exchange(bytes: &[u8]) {
    let Some(([methods, statuses], bytes)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let (first, rest) = halves(bytes);
    let (response, rest) = halves(rest);
    let (later, newer) = halves(rest);
    let [first, response, later, newer] = [first, response, later, newer].map(section);
    let method = |choice: u8| &METHODS[usize::from(choice) % METHODS.len()];
    let status = |choice: u8| STATUSES[usize::from(choice) % STATUSES.len()];

    let asked = request(method(methods & 15), &first);
    check_passing(&response);
    let Ok(stored) = store_for(&asked, status(statuses & 15), &response) else {
        return;
    };
    check_stored(&stored);
    check_decisions(&stored, &later);
    let again = request(method(methods >> 4), &later);
    let rules = rules();
    for seconds in LATER {
        let now = after(seconds);
        let decision = decide(&again, Some(&stored), Verdict::Untouched, now, &rules);
        if matches!(
            decision,
            Decision::Reuse { .. } | Decision::ReuseStale { .. }
        ) {
            let age = stored.current_age(now);
            let _ = answer(&again, &stored, age, Some(50), "b", &rules);
        }
        for failure in [Failure::TimedOut, Failure::Unreachable] {
            let dropped = on_failure(
                &again,
                Some(&stored),
                Verdict::Dropped,
                failure,
                now,
                &rules,
            );
            assert!(!matches!(dropped, OnFailure::ServeStale { .. }), "purged");
            let _ = on_failure(
                &again,
                Some(&stored),
                Verdict::Untouched,
                failure,
                now,
                &rules,
            );
        }
        check_forwarding(&decision, &stored, &later);
    }
    let newer = ResponseHead {
        status: status(statuses >> 4),
        fields: &newer,
    };
    for verdict in [Verdict::Untouched, Verdict::Softened, Verdict::Dropped] {
        match on_response(&again, newer, Some(&stored), verdict, &fill(), &rules) {
            OnResponse::Freshen(head) => {
                assert_ne!(verdict, Verdict::Dropped, "purged, and freshened");
                assert_eq!(head.fence().filled_at, fill().fence.filled_at);
                check_stored(&head);
            }
            OnResponse::ServeStale { .. } => assert_ne!(verdict, Verdict::Dropped),
            OnResponse::Store(head) | OnResponse::Update(head) => check_stored(&head),
            OnResponse::Complete(_) | OnResponse::Combine(_) => {
                assert_ne!(verdict, Verdict::Dropped, "purged, and combined");
            }
            OnResponse::AnswerOnce { .. } | OnResponse::AskAgain | OnResponse::Pass(_) => {}
        }
    }
    check_passing(newer.fields);
}

/// What goes to the origin has no conditions but ours.
fn check_forwarding(decision: &Decision, stored: &StoredResponse, fields: &HeaderMap) {
    let forward_as = match decision {
        Decision::Validate(validation) => ForwardAs::Validation(validation),
        Decision::Complete(completion) => ForwardAs::Completion(completion),
        Decision::Reuse { .. }
        | Decision::ReuseStale { .. }
        | Decision::Forward(_)
        | Decision::GatewayTimeout => ForwardAs::Fill,
    };
    let sent = request_fields(fields, forward_as);
    assert!(!sent.contains_key("connection"));
    if let Decision::Validate(ValidationRequest { fields: own, .. }) = decision {
        assert_eq!(sent.get("if-none-match"), own.get("if-none-match"));
        assert!(!sent.contains_key("range") && !sent.contains_key("if-match"));
    }
    let validation = ValidationRequest::of(stored, ForwardReason::Stale);
    assert_eq!(validation.is_some(), stored.has_validator());
}

/// What is passed on has a date, and nothing that was meant for one connection.
fn check_passing(fields: &HeaderMap) {
    let sent = pass_fields(fields, NOON, &rules());
    assert!(sent.contains_key("date"));
    for name in ["connection", "transfer-encoding", "upgrade", "keep-alive"] {
        assert!(!sent.contains_key(name), "{name} is passed on");
    }
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        assert_eq!(invalidation(&method, &uri(), StatusCode::OK, fields), []);
    }
    // Nobody purges what is on another host.
    for scope in invalidation(&Method::POST, &uri(), StatusCode::OK, fields) {
        let is_own = match &scope {
            Scope::Exact(name) => name
                .strip_prefix(HOST)
                .is_some_and(|rest| rest.starts_with('/')),
            Scope::SurrogateKey(key) => {
                let own = format!("cache-group://{HOST}/");
                key.as_str().starts_with(&own)
            }
            Scope::All
            | Scope::Prefix(_)
            | Scope::Pattern(_)
            | Scope::Host(_)
            | Scope::Namespace(_) => false,
        };
        assert!(is_own, "{scope}");
    }
}

const METHODS: [Method; 4] = [Method::GET, Method::GET, Method::HEAD, Method::POST];

const STATUSES: [StatusCode; 12] = [
    StatusCode::OK,
    StatusCode::NOT_MODIFIED,
    StatusCode::PARTIAL_CONTENT,
    StatusCode::NOT_FOUND,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::MOVED_PERMANENTLY,
    StatusCode::FOUND,
    StatusCode::NO_CONTENT,
    StatusCode::RANGE_NOT_SATISFIABLE,
    StatusCode::PRECONDITION_FAILED,
    StatusCode::IM_A_TEAPOT,
];
