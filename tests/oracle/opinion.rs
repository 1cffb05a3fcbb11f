//! What either side says of a case, and what we say.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use terrace_shared::http::{
    Decision, Exchange, Fill, ForwardAs, Heuristic, OnResponse, PartialRule, RequestFacts,
    ResponseHead, Rules, StoredResponse, decide, on_response, response_fields,
};
use terrace_shared::outcome::{NotStored, StaleReason};
use terrace_shared::purge::{Epoch, Fence, Incarnation, Sequence, Verdict};
use terrace_shared::time::{DeltaSeconds, Timestamp};

use crate::case::{Case, Kind, RECEIVED_AT, Request};

/// What a cache says of a case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Opinion {
    /// Whether the response may be stored; the rest means nothing if it may not.
    pub(crate) storable: bool,
    /// Why it is not, if the one who is asked says that.
    pub(crate) because: Option<NotStored>,
    /// Current age when the later request comes, in seconds.
    pub(crate) age: i64,
    /// Freshness lifetime, in seconds.
    pub(crate) lifetime: i64,
    /// For how long it may still be of use without validation, in seconds.
    pub(crate) useful_for: i64,
    /// Whether it answers the later request.
    pub(crate) reuse: Reuse,
    /// The conditions to ask the origin with, if that is to be asked.
    pub(crate) validation: Option<BTreeMap<String, String>>,
    /// The fields that the client gets if it is reused.
    pub(crate) fields: BTreeMap<String, String>,
}

/// Whether a stored response answers a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reuse {
    /// It does, and nobody is asked.
    AsItIs,
    /// It does, and is revalidated behind it (RFC 5861 §3).
    WhileRevalidating,
    /// The origin is asked first.
    No,
}

/// Our opinion.
pub(crate) fn ours(case: &Case) -> Opinion {
    let rules = rules(case.kind);
    let first = facts(&case.request, &rules);
    let received_at = Timestamp::from_unix_seconds(RECEIVED_AT);
    let head = ResponseHead {
        status: case.response.status(),
        fields: &case.response.fields.to_map(),
    };
    let epoch = Epoch {
        incarnation: Incarnation::from_random(1),
        sequence: Sequence::new(1),
    };
    let fill = Fill {
        exchange: Exchange {
            requested_at: received_at,
            received_at,
        },
        fence: Fence::at(epoch),
        host: "a.example",
        path_and_query: "/p",
        asked: ForwardAs::Client,
    };
    match on_response(&first, head, None, Verdict::Untouched, &fill, &rules) {
        OnResponse::Store(stored) => of_stored(case, &stored, &rules),
        OnResponse::Pass(because) => Opinion {
            storable: false,
            because: Some(because),
            age: 0,
            lifetime: 0,
            useful_for: 0,
            reuse: Reuse::No,
            validation: None,
            fields: BTreeMap::new(),
        },
        other => panic!("nothing is stored, and yet {other:?}"),
    }
}

fn of_stored(case: &Case, stored: &StoredResponse, rules: &Rules) -> Opinion {
    let now = Timestamp::from_unix_seconds(RECEIVED_AT + case.elapsed);
    let later = facts(&case.later, rules);
    let age = stored.current_age(now);
    let (reuse, validation) = match decide(&later, Some(stored), Verdict::Untouched, now, rules) {
        Decision::Reuse { .. }
        | Decision::ReuseStale {
            because: StaleReason::ClientAllows,
            ..
        } => (Reuse::AsItIs, None),
        Decision::ReuseStale { .. } => (Reuse::WhileRevalidating, None),
        Decision::Validate(validation) => (Reuse::No, Some(texts(&validation.fields))),
        Decision::Forward(_) => (Reuse::No, Some(BTreeMap::new())),
        Decision::Complete(_) | Decision::GatewayTimeout => (Reuse::No, None),
    };
    let useful_for = stored.usable_until().saturating_since(now);
    Opinion {
        storable: true,
        because: None,
        age: signed(age),
        lifetime: signed(stored.lifetime()),
        useful_for: signed(useful_for),
        reuse,
        validation,
        fields: texts(&response_fields(stored, age, rules)),
    }
}

/// Rules without the limits and the allowances that the package has not: what is left is the RFCs' own.
fn rules(kind: Kind) -> Rules {
    let rules = match kind {
        Kind::Shared => Rules::default(),
        Kind::Private => Rules::private(),
    };
    Rules {
        heuristic: Heuristic {
            percent: 10,
            longest: DeltaSeconds::LONGEST,
        },
        longest_lifetime: DeltaSeconds::LONGEST,
        max_stale: DeltaSeconds::LONGEST,
        default_grace: DeltaSeconds::ZERO,
        default_stale_if_error: DeltaSeconds::ZERO,
        stale_when_disconnected: DeltaSeconds::ZERO,
        partial: PartialRule::Pass,
        ..rules
    }
}

fn facts(request: &Request, rules: &Rules) -> RequestFacts {
    let uri = "https://a.example/p".parse().unwrap();
    let now = Timestamp::from_unix_seconds(RECEIVED_AT);
    RequestFacts::parse(
        &request.method(),
        &uri,
        &request.fields.to_map(),
        now,
        rules,
    )
}

fn texts(fields: &HeaderMap) -> BTreeMap<String, String> {
    let text = |name: &http::HeaderName| {
        let lines: Vec<&str> = fields
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        lines.join(", ")
    };
    fields
        .keys()
        .map(|name| (name.to_string(), text(name)))
        .collect()
}

fn signed(length: DeltaSeconds) -> i64 {
    i64::try_from(length.as_seconds()).unwrap()
}

/// What the two sides are asked.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Question {
    Storable,
    Age,
    Lifetime,
    UsefulFor,
    Reuse,
    Validation,
    /// This one, as it goes to the client.
    Field(String),
}

/// Each question that both have an opinion on, and whether the opinions differ.
///
/// Where the age or the lifetime differs already, what follows from them is not asked.
pub(crate) fn differences(ours: &Opinion, theirs: &Opinion) -> Vec<(Question, bool)> {
    let mut asked = vec![(Question::Storable, ours.storable != theirs.storable)];
    if !ours.storable || !theirs.storable {
        return asked;
    }
    let (age, lifetime) = (ours.age != theirs.age, ours.lifetime != theirs.lifetime);
    asked.extend([(Question::Age, age), (Question::Lifetime, lifetime)]);
    let names: BTreeSet<&String> = ours.fields.keys().chain(theirs.fields.keys()).collect();
    // `Age` is a question of its own.
    for name in names.into_iter().filter(|name| *name != "age") {
        let differs = ours.fields.get(name) != theirs.fields.get(name);
        asked.push((Question::Field(name.clone()), differs));
    }
    if age || lifetime {
        return asked;
    }
    asked.push((Question::UsefulFor, ours.useful_for != theirs.useful_for));
    asked.push((Question::Reuse, ours.reuse != theirs.reuse));
    if let (Some(own), Some(other)) = (&ours.validation, &theirs.validation)
        && (ours.reuse, theirs.reuse) == (Reuse::No, Reuse::No)
    {
        asked.push((Question::Validation, own != other));
    }
    asked
}
