//! Cases that chance makes rarely, and that must be seen in every run: disagreements, and the last second of a wish.

use crate::case::{Case, Fields, Kind, Request, Response};

pub(crate) fn examples() -> Vec<Case> {
    let plain = Case {
        kind: Kind::Shared,
        request: get(&[]),
        response: ok("max-age=60"),
        later: get(&[]),
        elapsed: 10,
    };
    vec![
        Case {
            kind: Kind::Private,
            response: Response {
                status: 302,
                fields: fields(&[("cache-control", "private"), ("etag", "\"one\"")]),
            },
            ..plain.clone()
        },
        Case {
            response: ok("max-age=60, stale-while-revalidate=30"),
            later: get(&[("cache-control", "max-age=600")]),
            elapsed: 70,
            ..plain.clone()
        },
        Case {
            later: get(&[("cache-control", "max-stale=30")]),
            elapsed: 90,
            ..plain.clone()
        },
        Case {
            later: get(&[("cache-control", "min-fresh=50")]),
            ..plain.clone()
        },
        Case {
            response: ok("s-maxage=60"),
            later: get(&[("cache-control", "max-stale=30")]),
            elapsed: 70,
            ..plain.clone()
        },
        Case {
            request: get(&[("x-variant", "a, b")]),
            response: Response {
                status: 200,
                fields: fields(&[("cache-control", "max-age=60"), ("vary", "x-variant")]),
            },
            later: get(&[("x-variant", "a,b")]),
            ..plain.clone()
        },
        Case {
            later: Request {
                method: "HEAD",
                fields: Fields::default(),
            },
            ..plain
        },
    ]
}

fn get(lines: &[(&'static str, &str)]) -> Request {
    Request {
        method: "GET",
        fields: fields(lines),
    }
}

fn ok(directives: &str) -> Response {
    Response {
        status: 200,
        fields: fields(&[("cache-control", directives)]),
    }
}

fn fields(lines: &[(&'static str, &str)]) -> Fields {
    Fields(
        lines
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
    )
}
