use super::*;
use crate::key::{KeyParts, SurrogateKey};
use crate::policy::{
    Adaptive, CookieRule, EarlyRefresh, Expiry, Immutable, KeySpace, OnCookie, RouteClass,
    Strategy, VaryRule,
};
use crate::purge::PurgeMode;
use crate::time::{ByteCount, Milliseconds};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const DEMO: &str = include_str!("../../../../terrace.toml");

/// A policy with these lines after its version, which stands in line 1.
fn policy(lines: &str) -> Result<Policy, PolicyErrors> {
    Policy::from_toml(&format!("version = 1\n{lines}"))
}

/// The errors of such a policy, one a line, without the file's name.
fn errors(lines: &str) -> Vec<String> {
    let errors = policy(lines).unwrap_err();
    let texts = errors.iter().map(ToString::to_string);
    texts
        .map(|text| text.replace("terrace.toml:", ""))
        .collect()
}

#[test]
fn the_policy_of_the_demo_is_read() {
    let policy = Policy::from_toml(DEMO).unwrap_or_else(|errors| panic!("{errors}"));
    let names: Vec<_> = policy.key_spaces().map(|space| &*space.name).collect();
    assert_eq!(
        names,
        [
            "product",
            "plan_catalog",
            "plan_search",
            "category",
            "stats"
        ]
    );
    for (space, parts, key) in [
        (
            "product",
            KeyParts::new().with("product_id", 42),
            "product:v1:42",
        ),
        (
            "plan_catalog",
            KeyParts::new().with("plan_id", "plan_123"),
            "plan_catalog:v1:plan_123",
        ),
        (
            "category",
            KeyParts::new().with("category_id", "lamps").with("page", 2),
            "category:v1:lamps:2",
        ),
    ] {
        let space = policy.key_space(space).unwrap();
        assert_eq!(space.key(&parts).as_deref(), Ok(key));
        assert_eq!(policy.key_space_of(key), Some(space));
    }
    for (path, class) in [
        ("/assets/app.3f9c2a.js", RouteClass::FingerprintedAsset),
        ("/", RouteClass::Html),
        ("/lamps/index.html", RouteClass::Html),
        ("/api/reports/2025", RouteClass::Report),
        ("/api/plans/7", RouteClass::Api),
        ("/api/plans", RouteClass::Api),
        ("/.well-known/security.txt", RouteClass::Bypass),
        ("/download/x.zip", RouteClass::OriginHeaders),
    ] {
        assert_eq!(policy.route(path).class, class, "{path}");
    }
    let route = policy.route("/api/plans/7");
    assert_eq!(route.edge, Some(DeltaSeconds::minutes(5)));
    assert_eq!(route.browser, Some(DeltaSeconds::ZERO));
    assert_eq!(route.surrogate_keys("/api/plans/7").unwrap().len(), 1);
    assert_eq!(route.cookies.on("session"), OnCookie::Bypass);
    let event = policy.event("order.placed").unwrap();
    let payload = KeyParts::new().with("user_id", 5).with("total", 12);
    assert_eq!(event.surrogate_keys(&payload).unwrap().len(), 2);
    let horizon = DeltaSeconds::days(365).saturating_add(DeltaSeconds::seconds(65));
    assert_eq!(policy.horizon(), horizon);
    assert_eq!(policy.ledger_limits().horizon, horizon);
}

#[test]
fn the_json_form_gives_the_same_policy() {
    let policy = Policy::from_toml(DEMO).unwrap();
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
    let strange = json.replacen("\"memory\":", "\"memori\":", 1);
    assert!(serde_json::from_str::<Policy>(&strange).is_err());
}

#[test]
fn what_is_left_out_has_its_default() {
    let policy = policy("[keys.a]\ntemplate = 'a:{x}'\nmemory_seconds = 30").unwrap();
    let mut expected = KeySpace::new("a", "a:{x}").unwrap();
    expected.lifetimes.memory = Some(DeltaSeconds::seconds(30));
    assert_eq!(policy.key_space("a"), Some(&expected));
    assert_eq!(policy.key_space("b"), None);
    assert_eq!(policy.ledger(), &LedgerPolicy::default());
    assert_eq!(policy.horizon(), Policy::SHORTEST_HORIZON);
    assert_eq!(policy.route("/").class, RouteClass::OriginHeaders);
    assert_eq!(policy.event("a"), None);
    assert_eq!(Policy::from_toml("version = 1").unwrap(), Policy::default());
}

#[test]
fn every_setting_of_a_key_space_is_read() {
    let policy = policy(
        "[keys.a]
        template = 'a:v{version}:{x}'
        version = 3
        surrogate_keys = ['x:{x}', 'a:v{version}']
        strategy = 'write-behind'
        memory_seconds = 1
        redis_seconds = 31_536_000
        edge_seconds = 0
        browser_seconds = 4
        grace_seconds = 0
        stale_if_error_seconds = 6
        negative_seconds = 7
        jitter_percent = 0
        early_refresh = { beta = 1.5 }
        adaptive = { hot_above_accesses = 9, hot_factor = 3, cold_below_accesses = 8, cold_divisor = 4 }
        compress_above_bytes = 1024
        sliding = true
        on_ledger_lag = 'serve_stale'
        soft_timeout_ms = 10
        hard_timeout_ms = 10",
    )
    .unwrap();
    let space = policy.key_space("a").unwrap();
    let parts = KeyParts::new().with("x", 1);
    assert_eq!(space.key(&parts).as_deref(), Ok("a:v3:1"));
    let keys = space.surrogate_keys(&parts).unwrap();
    let keys: Vec<_> = keys.iter().map(SurrogateKey::as_str).collect();
    assert_eq!(keys, ["a:v3", "x:1"]);
    let mut expected = space.clone();
    expected.version = 3;
    expected.strategy = Strategy::WriteBehind;
    expected.lifetimes.memory = Some(DeltaSeconds::seconds(1));
    expected.lifetimes.redis = Some(DeltaSeconds::days(365));
    expected.lifetimes.edge = Some(DeltaSeconds::ZERO);
    expected.lifetimes.browser = Some(DeltaSeconds::seconds(4));
    expected.grace = DeltaSeconds::ZERO;
    expected.stale_if_error = DeltaSeconds::seconds(6);
    expected.negative = DeltaSeconds::seconds(7);
    expected.jitter_percent = 0;
    expected.early_refresh = EarlyRefresh::Xfetch { beta: 1.5 };
    expected.adaptive = Some(Adaptive {
        hot_above_accesses: 9,
        hot_factor: 3,
        cold_below_accesses: 8,
        cold_divisor: 4,
    });
    expected.compress_above = Some(ByteCount::kibibytes(1));
    expected.expiry = Expiry::Sliding;
    expected.on_ledger_lag = OnLedgerLag::ServeStale;
    expected.soft_timeout = Some(Milliseconds::new(10));
    expected.hard_timeout = Some(Milliseconds::new(10));
    assert_eq!(space, &expected);
}

#[test]
fn every_setting_of_a_route_an_event_and_the_ledger_is_read() {
    let policy = policy(
        "[ledger]
        bound_seconds = 10
        refresh_seconds = 2
        horizon_seconds = 2_592_000
        marks = 1000
        patterns = 100
        [[routes]]
        path = '/{lang}/*'
        class = 'html'
        edge_seconds = 1
        browser_seconds = 2
        immutable = true
        grace_seconds = 3
        stale_if_error_seconds = 4
        early_refresh = { percent = 90 }
        query = { keep = ['zip'], sort = true }
        vary = ['Accept-Language']
        languages = ['de', 'zh-Hant']
        cookies = { keyed = ['currency'], bypass = ['session'] }
        purge_bound_seconds = 0
        on_ledger_lag = 'fail'
        surrogate_keys = ['lang:{lang}']
        [keys.a]
        template = 'a:{x}'
        redis_seconds = 1
        [events]
        bare = { purge = ['a:{x}[:{y}]'], mode = 'soft', warm = ['a'] }",
    )
    .unwrap();
    assert_eq!(policy.ledger().bound, DeltaSeconds::seconds(10));
    assert_eq!(policy.ledger().refresh, DeltaSeconds::seconds(2));
    assert_eq!(policy.ledger_limits().horizon, DeltaSeconds::days(30));
    assert_eq!(policy.ledger_limits().marks, 1_000);
    assert_eq!(policy.ledger_limits().patterns, 100);
    let route = policy.route("/en/index");
    assert_eq!(route.edge, Some(DeltaSeconds::seconds(1)));
    assert_eq!(route.browser, Some(DeltaSeconds::seconds(2)));
    assert_eq!(route.immutable, Immutable::Yes);
    assert_eq!(route.grace, DeltaSeconds::seconds(3));
    assert_eq!(route.stale_if_error, DeltaSeconds::seconds(4));
    assert_eq!(route.early_refresh, EarlyRefresh::Percent { percent: 90 });
    assert_eq!(route.query.normalise("b=1&zip=2&zip=1"), "zip=2&zip=1");
    assert_eq!(route.vary, VaryRule::Only(vec!["accept-language".into()]));
    assert_eq!(
        route.languages.best(&[(b"zh-hant-TW", 1_000)]),
        Some("zh-Hant")
    );
    assert!(matches!(route.cookies, CookieRule::Named { .. }));
    assert_eq!(route.purge_bound, DeltaSeconds::ZERO);
    assert_eq!(route.on_ledger_lag, OnLedgerLag::Fail);
    assert_eq!(policy.route("/").purge_bound, DeltaSeconds::seconds(10));
    let event = policy.event("bare").unwrap();
    assert_eq!(event.mode, PurgeMode::Soft);
    assert_eq!(&*event.warm[0], "a");
    assert!(event.surrogate_keys(&KeyParts::new()).is_err());
}

#[test]
fn an_unknown_field_is_told_with_its_line_and_what_was_meant() {
    let text = "version = 1\n\n[keys.plan_catalog]\ntemplate = 'p:{id}'\nredis_seconds = 1\nmemori_seconds = 3";
    let errors = Policy::from_toml(text).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "terrace.toml:6: keys.plan_catalog.memori_seconds: unknown field; did you mean \"memory_seconds\"?"
    );
    let error = errors.iter().next().unwrap();
    assert_eq!(
        (error.line(), error.suggestion()),
        (6, Some("memory_seconds"))
    );
    assert_eq!(error.field(), "keys.plan_catalog.memori_seconds");
    assert_eq!(error.problem(), &Problem::UnknownField);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let told = errors(
        "route = []
[keys.a]
template = 'a:{x}{y}'
ttl = 5
[keys.'b c']
template = 'b:{x}'
memory_seconds = 0
[[routes]]
path = 'api'
class = 'apj'
grace = 5
[events]
x = ['{a}']",
    );
    assert_eq!(
        told,
        [
            "2: route: unknown field; did you mean \"routes\"?",
            "3: keys.a: no tier keeps it: give memory_seconds, redis_seconds or edge_seconds",
            "4: keys.a.template: a part follows part \"x\" with no literal between them",
            "5: keys.a.ttl: unknown field",
            "6: keys.\"b c\": \"b c\" is no name: letters, digits, '_', '-' and '.', at most 64",
            "8: keys.\"b c\".memory_seconds: 0 is not between 1 and 31536000",
            "10: routes[0].path: the path pattern does not begin with \"/\"",
            "11: routes[0].class: \"apj\" is none of fingerprinted_asset, html, api, report, bypass, origin_headers; did you mean \"api\"?",
            "12: routes[0].grace: unknown field; did you mean \"grace_seconds\"?",
            "14: events.x[0]: the template does not begin with a literal, so its keys have no name of their own",
        ]
    );
}

#[test]
fn the_version_is_required_and_another_one_says_nothing_else() {
    for (text, expected) in [
        ("", "terrace.toml:1: version: missing"),
        (
            "nonsense = 1\nversion = 2",
            "terrace.toml:2: version: this build reads policy files of version 1 only",
        ),
        (
            "version = '1'",
            "terrace.toml:1: version: this build reads policy files of version 1 only",
        ),
    ] {
        let errors = Policy::from_toml(text).unwrap_err();
        assert_eq!(errors.to_string(), expected);
    }
}

#[test]
fn text_that_is_no_toml_is_told_with_its_line() {
    let errors =
        Policy::from_toml("version = 1\n[keys.a]\ntemplate = 'a\n\n[keys.b\n").unwrap_err();
    let lines: Vec<_> = errors.iter().map(PolicyError::line).collect();
    assert_eq!(lines, [3, 5], "{errors}");
    let errors = policy("[keys.a]\nredis_seconds = 1\nredis_seconds = 2").unwrap_err();
    assert_eq!(errors.iter().next().map(PolicyError::line), Some(4));
    assert!(errors.to_string().contains("duplicate key"), "{errors}");
}

#[test]
fn settings_of_key_spaces_are_checked() {
    for (setting, expected) in [
        ("version = 0", "0 is not between 1 and 4294967295"),
        ("version = '1'", "expected a whole number, found a string"),
        (
            "memory_seconds = 31_536_001",
            "31536001 is not between 1 and 31536000",
        ),
        (
            "memory_seconds = 99999999999999999999999",
            "is not between 1 and 31536000",
        ),
        ("redis_seconds = -1", "-1 is not between 1 and 31536000"),
        (
            "redis_seconds = 1.5",
            "expected a whole number, found a number with a fraction",
        ),
        (
            "grace_seconds = true",
            "expected a whole number, found a boolean",
        ),
        ("strategy = 'cache_aside'", "did you mean \"cache-aside\"?"),
        ("jitter_percent = 51", "51 is not between 0 and 50"),
        ("early_refresh = 'no'", "\"no\" is none of off"),
        ("early_refresh = true", "expected a table, found a boolean"),
        ("early_refresh = {}", "early_refresh.beta: missing"),
        ("early_refresh = { beta = 0 }", "0 is not between 0 and 10"),
        (
            "early_refresh = { beta = nan }",
            "nan is not between 0 and 10",
        ),
        (
            "early_refresh = { beta = 'x' }",
            "expected a number, found a string",
        ),
        (
            "early_refresh = { percent = 100 }",
            "100 is not between 1 and 99",
        ),
        (
            "early_refresh = { percent = 1, beta = 1 }",
            "percent: cannot stand beside beta",
        ),
        (
            "adaptive = { hot = 1 }",
            "did you mean \"hot_above_accesses\"?",
        ),
        (
            "adaptive = { hot_factor = 0 }",
            "0 is not between 1 and 100",
        ),
        (
            "adaptive = { hot_above_accesses = 9 }",
            "adaptive: less than cold_below_accesses",
        ),
        ("sliding = 'yes'", "expected true or false, found a string"),
        (
            "soft_timeout_ms = 2\nhard_timeout_ms = 1",
            "soft_timeout_ms: more than hard_timeout_ms",
        ),
        ("soft_timeout_ms = 0", "0 is not between 1 and 600000"),
        (
            "on_ledger_lag = 'stale'",
            "\"stale\" is none of revalidate, serve_stale, fail",
        ),
        ("surrogate_keys = 'x'", "expected an array, found a string"),
        (
            "surrogate_keys = [1]",
            "surrogate_keys[0]: expected a string, found a whole number",
        ),
        (
            "surrogate_keys = ['x:{plan_i}']",
            "part \"plan_i\" is not among those that this is made from; did you mean \"plan_id\"?",
        ),
        (
            "surrogate_keys = ['x,y']",
            "',' at 1 cannot stand in a literal",
        ),
    ] {
        let told = errors(&format!(
            "[keys.a]\ntemplate = 'a:{{plan_id}}'\nedge_seconds = 1\n{setting}"
        ));
        let [told] = &*told else {
            panic!("{setting}: {told:?}");
        };
        assert!(told.starts_with("5: keys.a"), "{told}");
        assert!(told.ends_with(expected), "{told}");
    }
}

#[test]
fn key_spaces_that_share_keys_are_refused() {
    let told = errors(
        "[keys.a]
template = 'p:{x}[:{y}]'
redis_seconds = 1
[keys.b]
template = 'p:v{version}:{z}'
redis_seconds = 1",
    );
    assert_eq!(
        told,
        ["6: keys.b.template: gives keys that keys.a gives too"]
    );
}

#[test]
fn settings_of_routes_are_checked() {
    for (setting, expected) in [
        ("edge_seconds = -5", "-5 is not between 0 and 31536000"),
        (
            "purge_bound_seconds = 3601",
            "3601 is not between 0 and 3600",
        ),
        (
            "early_refresh = { percent = 0 }",
            "0 is not between 1 and 99",
        ),
        (
            "query = { keep = ['a'], drop = ['b'] }",
            "query.drop: cannot stand beside keep",
        ),
        (
            "query = { keep = [''] }",
            "query.keep[0]: \"\" is no name of a query parameter",
        ),
        (
            "query = { kep = ['a'] }",
            "unknown field; did you mean \"keep\"?",
        ),
        (
            "vary = ['*']",
            "vary[0]: \"*\" is no name of a header field",
        ),
        (
            "vary = ['a b']",
            "vary[0]: \"a b\" is no name of a header field",
        ),
        (
            "languages = ['de', 'en_US']",
            "languages[1]: \"en_US\" is no name of a language",
        ),
        ("cookies = 'drop'", "\"drop\" is none of ignore, bypass"),
        (
            "cookies = { keyed = ['a'], bypass = ['a'] }",
            "cookies.bypass: cannot stand beside keyed",
        ),
        (
            "cookies = { keyed = ['a=b'] }",
            "\"a=b\" is no name of a cookie",
        ),
        ("surrogate_keys = ['x:{idd}']", "did you mean \"id\"?"),
        (
            "surrogate_keys = ['x:v{version}']",
            "{version} has no meaning here: only key spaces have a version",
        ),
    ] {
        let told = errors(&format!(
            "[[routes]]\npath = '/a/{{id}}'\nclass = 'api'\n{setting}"
        ));
        let [told] = &*told else {
            panic!("{setting}: {told:?}");
        };
        assert!(told.starts_with("5: routes[0]."), "{told}");
        assert!(told.ends_with(expected), "{told}");
    }
    assert_eq!(
        errors(
            "[[routes]]\npath = '/a'\nclass = 'bypass'\nedge_seconds = 1\n[[routes]]\npath = '/a'\nclass = 'api'\n[[routes]]"
        ),
        [
            "5: routes[0].edge_seconds: has no effect on a route of class bypass",
            "7: routes[1].path: the same as in line 3, so it would never be used",
            "9: routes[2].path: missing",
            "9: routes[2].class: missing",
        ]
    );
}

#[test]
fn events_and_the_ledger_are_checked() {
    for (lines, expected) in [
        (
            "[events]\norder.placed = ['a']",
            "3: events.order.placed: an event whose name has a dot is written in quotes; did you mean \"order.placed\"?",
        ),
        (
            "[events]\na = 1",
            "3: events.a: expected a table, found a whole number",
        ),
        (
            "[events]\na = { purg = ['x'] }",
            "3: events.a.purg: unknown field; did you mean \"purge\"?",
        ),
        (
            "[events]\na = { mod = 'soft' }",
            "3: events.a.mod: unknown field; did you mean \"mode\"?",
        ),
        (
            "[events]\na = { warm = ['plan'] }",
            "3: events.a.warm[0]: there is no key space \"plan\"",
        ),
        (
            "[events]\na = ['x:v{version}']",
            "3: events.a[0]: {version} has no meaning here: only key spaces have a version",
        ),
        (
            "[ledger]\nbound = 1",
            "3: ledger.bound: unknown field; did you mean \"bound_seconds\"?",
        ),
        (
            "[ledger]\nbound_seconds = 0",
            "3: ledger.bound_seconds: 0 is not between 1 and 3600",
        ),
        (
            "[ledger]\nrefresh_seconds = 6",
            "3: ledger.refresh_seconds: more than bound_seconds",
        ),
        (
            "[ledger]\nmarks = 1",
            "3: ledger.marks: 1 is not between 16 and 16777216",
        ),
        (
            "[ledger]\nhorizon_seconds = 65\n[[routes]]\npath = '/'\nclass = 'api'",
            "3: ledger.horizon_seconds: less than the longest lifetime with its grace and the bound, 365 s",
        ),
        (
            "keys = 1",
            "2: keys: expected a table, found a whole number",
        ),
        ("routes = {}", "2: routes: expected an array, found a table"),
    ] {
        assert_eq!(errors(lines), [expected]);
    }
}

#[cfg(not(target_arch = "wasm32"))]
proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(
        text in "(version = 1\n)?(\\[(keys|routes|events|ledger|\\[routes\\])(\\.[ab\"]{1,2})?\\]\n|[a-z_]{1,9} = (-?[0-9]{1,30}|\\[.{0,9}\\]|\\{.{0,9}\\}|'.{0,9}')\n|.{0,9}\n){0,9}"
    ) {
        let _ = Policy::from_toml(&text);
    }
}
