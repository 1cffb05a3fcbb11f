//! What one decision costs: the ledger's verdict, the HTTP decision, and a key. `make bench` reports them.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use terrace_shared::http::{
    Exchange, Fill, ForwardAs, OnResponse, RequestFacts, ResponseHead, Rules, VaryKey, decide,
    on_response,
};
use terrace_shared::intake::{Intake, Routes, Target};
use terrace_shared::key::{EncodedKey, KeyParts, SurrogateKeys, Template};
use terrace_shared::policy::Policy;
use terrace_shared::purge::{
    EntryScopes, Epoch, Fence, Incarnation, Ledger, LedgerLimits, Purge, PurgeMode, Scope,
    Sequence, Verdict,
};
use terrace_shared::time::{Timestamp, TimestampMillis};

const MARKS: u64 = 10_000;

fn epoch(sequence: u64) -> Epoch {
    Epoch {
        incarnation: Incarnation::from_random(7),
        sequence: Sequence::new(sequence),
    }
}

/// A ledger with marks that do not name the entry, so that each of its scopes is looked up.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new(epoch(0).incarnation, LedgerLimits::default());
    for number in 0..MARKS {
        ledger.append(Purge {
            mode: PurgeMode::Hard,
            scopes: vec![Scope::exact(&format!("other:{number}")).expect("it is a scope")],
            at: TimestampMillis::from_unix_millis(number),
            origin_epoch: None,
        });
    }
    ledger
}

fn verdicts(criterion: &mut Criterion) {
    let ledger = ledger();
    let keys = SurrogateKeys::parse(["a b c"]).expect("they are surrogate keys");
    // Namespace, exact name, three prefixes and three surrogate keys.
    let scopes = EntryScopes::of_key("plans", "plans:v1:tx:123", &keys);
    assert_eq!(scopes.fingerprints().len(), 8);
    let (old, new) = (Fence::at(epoch(1)), Fence::at(epoch(MARKS)));
    let mut group = criterion.benchmark_group("ledger");
    group.bench_function("verdict, 8 scopes, 10,000 marks", |bencher| {
        bencher.iter(|| ledger.verdict(black_box(&old), black_box(&scopes)));
    });
    group.bench_function("verdict, nothing purged since", |bencher| {
        bencher.iter(|| ledger.verdict(black_box(&new), black_box(&scopes)));
    });
    group.finish();
}

fn decisions(criterion: &mut Criterion) {
    let now = Timestamp::from_unix_seconds(1_700_000_000);
    let rules = Rules::default();
    let mut fields = HeaderMap::new();
    for (name, value) in [
        (
            "cache-control",
            "public, max-age=600, stale-while-revalidate=60",
        ),
        ("date", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("etag", "\"33a64df5\""),
        ("vary", "accept-encoding, accept-language"),
        ("content-type", "application/json"),
    ] {
        fields.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    for number in 0..25 {
        let name = HeaderName::try_from(format!("x-field-{number}")).expect("it is a field name");
        fields.insert(name, HeaderValue::from_static("something or other"));
    }
    let request = RequestFacts::parse(
        &Method::GET,
        &Uri::from_static("https://example.com/api/plans?zip=1"),
        &HeaderMap::new(),
        now,
        &rules,
    );
    let fill = Fill {
        exchange: Exchange {
            requested_at: now,
            received_at: now,
        },
        fence: Fence::at(epoch(1)),
        host: "example.com",
        path_and_query: "/api/plans?zip=1",
        asked: ForwardAs::Fill,
    };
    let head = ResponseHead {
        status: StatusCode::OK,
        fields: &fields,
    };
    let OnResponse::Store(stored) =
        on_response(&request, head, None, Verdict::Dropped, &fill, &rules)
    else {
        panic!("the response can be stored");
    };
    let mut group = criterion.benchmark_group("http");
    group.bench_function("decide on a stored response", |bencher| {
        bencher.iter(|| {
            decide(
                black_box(&request),
                Some(black_box(&stored)),
                Verdict::Untouched,
                now,
                &rules,
            )
        });
    });
    group.finish();
}

fn keys(criterion: &mut Criterion) {
    let template = Template::parse("plan_catalog:v{version}:{region}:{plan_id}[:{variant}]")
        .expect("it is a template");
    let parts = KeyParts::new()
        .with("region", "TX")
        .with("plan_id", 123_456);
    let mut group = criterion.benchmark_group("key");
    group.bench_function("format", |bencher| {
        bencher.iter(|| template.format(black_box(&parts)));
    });
    group.bench_function("encode", |bencher| {
        bencher.iter(|| EncodedKey::of(black_box(["https", "example.com", "/api/plans?zip=1"])));
    });
    group.bench_function("encode and hash", |bencher| {
        bencher.iter(|| {
            EncodedKey::of(black_box(["https", "example.com", "/api/plans?zip=1"])).digest()
        });
    });
    group.finish();
}

/// A browser's request for a page.
fn browser_fields() -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in [
        ("host", "example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        ),
        ("accept-language", "de,en-US;q=0.7,en;q=0.3"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("referer", "https://example.com/"),
        ("connection", "keep-alive"),
        ("upgrade-insecure-requests", "1"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "same-origin"),
        ("priority", "u=0, i"),
    ] {
        fields.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    fields
}

fn requests(criterion: &mut Criterion) {
    let now = Timestamp::from_unix_seconds(1_700_000_000);
    let routes = Routes::new(Policy::default());
    let rules = Rules::default();
    let fields = browser_fields();
    let shared = Arc::new(fields.clone());
    let url = "https://example.com/products/42?colour=red";
    let target = Target::parse(url).expect("it is a URL");
    let mut group = criterion.benchmark_group("request");
    group.bench_function("parse a target", |bencher| {
        bencher.iter(|| Target::parse(black_box(url)));
    });
    let path = PathAndQuery::from_static("/products/42?colour=red");
    group.bench_function("make a target of its parts", |bencher| {
        bencher.iter(|| Target::of(&Scheme::HTTPS, black_box("example.com"), black_box(&path)));
    });
    group.bench_function("parse the facts, 12 fields", |bencher| {
        bencher.iter(|| {
            RequestFacts::of(
                &Method::GET,
                target.uri(),
                black_box(&shared),
                now,
                black_box(&rules),
            )
        });
    });
    group.bench_function("take in, 12 fields", |bencher| {
        bencher.iter_batched(
            || (target.clone(), fields.clone()),
            |(target, fields)| Intake::of(&Method::GET, target, fields, &routes, now),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn variants(criterion: &mut Criterion) {
    let now = Timestamp::from_unix_seconds(1_700_000_000);
    let rules = Rules::default();
    let names = ["accept", "accept-language", "accept-encoding"].map(HeaderName::from_static);
    let request = |fields: &HeaderMap| {
        let uri = Uri::from_static("https://example.com/");
        RequestFacts::parse(&Method::GET, &uri, fields, now, &rules)
    };
    let sent = request(&browser_fields());
    let key = VaryKey::of(names.clone(), &sent);
    let mut group = criterion.benchmark_group("vary");
    group.bench_function("match three weighted lists", |bencher| {
        bencher.iter(|| black_box(&key).matches(black_box(&sent)));
    });
    group.bench_function("make the key of three weighted lists", |bencher| {
        bencher.iter(|| VaryKey::of(names.clone(), black_box(&sent)).to_bytes());
    });
    group.finish();
}

criterion_group!(benches, verdicts, decisions, keys, requests, variants);
criterion_main!(benches);
