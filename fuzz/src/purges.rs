//! Purges: what clients send, what the ledger keeps and replicas fetch.

use http::{HeaderMap, HeaderValue};
use terrace_shared::intake::Routes;
use terrace_shared::policy::{PathPattern, Policy};
use terrace_shared::purge::audit::LogQuery;
use terrace_shared::purge::auth::{Tokens, bearer};
use terrace_shared::purge::compat::Call;
use terrace_shared::purge::token::{
    AFTER_COOKIE, Presented, ReadToken, TokenSecrets, take_after_cookie,
};
use terrace_shared::purge::wire::AFTER_FIELD;
use terrace_shared::purge::wire::{MOST_SCOPES, PurgeRequest};
use terrace_shared::purge::{
    EntryScopes, Epoch, Fence, Ledger, LedgerLimits, Pattern, Purge, PurgeMode, Scope, Update,
};
use terrace_shared::time::{DeltaSeconds, Timestamp, TimestampMillis};

use crate::fields::halves;
use crate::message::{HOST, PATH, epoch, lines_of};

const LIMITS: LedgerLimits = LedgerLimits {
    marks: 64,
    patterns: 8,
    horizon: DeltaSeconds::days(1),
};

/// Updates and purges as the ledger writes them.
pub(crate) fn ledger(bytes: &[u8]) {
    if let Ok(purge) = Purge::decode(bytes) {
        assert_eq!(
            Purge::decode(&purge.encode()).as_ref(),
            Ok(&purge),
            "the purge is not read back"
        );
        check_purge(purge);
    }
    let Ok(update) = Update::decode(bytes, LIMITS) else {
        return;
    };
    let written = update.encode();
    let again = Update::decode(&written, LIMITS).expect("what was written is read");
    assert_eq!(again.encode(), written, "the update is not read back");
    let mut ledger = Ledger::new(epoch(1).incarnation, LIMITS);
    if ledger.update(update).is_ok() {
        check_ledger(&mut ledger);
    }
}

fn check_purge(purge: Purge) {
    let mut ledger = Ledger::new(epoch(1).incarnation, LIMITS);
    let before = Fence::at(ledger.epoch());
    let scopes = EntryScopes::of_url(HOST, PATH, []);
    let worst = ledger.verdict(&before, &scopes);
    let _ = ledger.append(purge);
    assert!(
        ledger.verdict(&before, &scopes) >= worst,
        "a purge makes it usable"
    );
    check_ledger(&mut ledger);
}

/// A verdict never gets better, and what is kept stays bounded (R11).
fn check_ledger(ledger: &mut Ledger) {
    let scopes = EntryScopes::of_url(HOST, PATH, []);
    let fence = Fence::at(Epoch {
        sequence: ledger.floor(),
        ..ledger.epoch()
    });
    let before = ledger.verdict(&fence, &scopes);
    ledger.compact(Timestamp::from_unix_seconds(0));
    assert!(
        ledger.verdict(&fence, &scopes) >= before,
        "compaction forgets"
    );
    assert!(
        ledger.mark_count() <= 1 << 16,
        "{} marks",
        ledger.mark_count()
    );
}

/// A purge as JSON.
pub(crate) fn requests(bytes: &[u8]) {
    let now = TimestampMillis::from_unix_millis(1_000);
    let Ok(request) = PurgeRequest::from_json(bytes) else {
        return;
    };
    let Ok(purge) = request.into_purge(now) else {
        return;
    };
    assert!((1..=MOST_SCOPES).contains(&purge.scopes.len()));
    let again = PurgeRequest::from_purge(&purge)
        .into_purge(now)
        .expect("it was one");
    let sorted = |purge: &Purge| {
        let mut scopes: Vec<String> = purge.scopes.iter().map(Scope::to_string).collect();
        scopes.sort_unstable();
        scopes
    };
    assert_eq!(sorted(&again), sorted(&purge), "it is not read back");
    assert_eq!(
        Purge::decode(&purge.encode()).as_ref(),
        Ok(&purge),
        "it is not kept"
    );
    check_purge(purge);
}

/// A path of Fastly's or Cloudflare's purge API, with surrogate keys in the line after it, an empty line, and a body.
pub(crate) fn calls(bytes: &[u8]) {
    let (head, body) = halves(bytes);
    let Ok(head) = std::str::from_utf8(head) else {
        return;
    };
    let (path, keys) = head.split_once('\n').unwrap_or((head, ""));
    let Some(call) = Call::of_path(path) else {
        return;
    };
    let now = TimestampMillis::from_unix_millis(1_000);
    let routes = Routes::new(Policy::default());
    let mut fields = HeaderMap::new();
    fields.insert("authorization", HeaderValue::from_static("Bearer secret"));
    if let Ok(keys) = HeaderValue::from_str(keys) {
        fields.insert("surrogate-key", keys);
    }
    let asked = |tokens: &Tokens| {
        assert!(call.is_ours(&fields, Some(tokens), now.timestamp()));
        let token = call
            .admit(&fields, tokens, now.timestamp())
            .expect("it is known");
        call.purge(&fields, body, token, &routes, now)
    };
    match asked(&secret("*")) {
        Ok((_, purge)) => {
            assert!((1..=MOST_SCOPES).contains(&purge.scopes.len()));
            assert_eq!(
                Purge::decode(&purge.encode()).as_ref(),
                Ok(&purge),
                "it is not kept"
            );
            check_purge(purge);
        }
        Err(refusal) => {
            let answer = call.refused(&refusal);
            assert!(answer.status.is_client_error() && answer.body.starts_with('{'));
        }
    }
    assert!(
        asked(&secret("namespace:none")).is_err(),
        "a token may purge what it does not allow"
    );
}

/// The query part of a URL of the purge log.
pub(crate) fn log(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match LogQuery::parse(text) {
        Ok(LogQuery { limit, before }) => {
            assert!((1..=LogQuery::MOST).contains(&limit));
            assert!(before.is_none_or(|before| before >= 1));
        }
        Err(error) => assert!(error.to_string().len() < 6 * 256 + 100, "{error}"),
    }
}

/// The token `secret`, which may purge what `allow` matches.
fn secret(allow: &str) -> Tokens {
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let json = format!(r#"[{{"name":"fuzz","sha256":"{hash}","allow":["{allow}"]}}]"#);
    Tokens::from_json(&json).expect("they are tokens")
}

/// A glob or a path pattern, an empty line, and what it is held against.
pub(crate) fn patterns(bytes: &[u8]) {
    let (pattern, name) = halves(bytes);
    let (Ok(text), Ok(name)) = (std::str::from_utf8(pattern), std::str::from_utf8(name)) else {
        return;
    };
    if let Ok(path) = PathPattern::parse(text) {
        assert_eq!(PathPattern::parse(path.as_str()).as_ref(), Ok(&path));
        assert_eq!(path.matches(name), path.capture(name).is_some());
    }
    let Ok(pattern) = Pattern::parse(text) else {
        return;
    };
    assert_eq!(Pattern::parse(pattern.as_str()).as_ref(), Ok(&pattern));
    let short = name.get(..256).unwrap_or(name);
    let path = short.find('/').and_then(|slash| short.get(slash..));
    let expected = matches_slowly(text.as_bytes(), short.as_bytes())
        || text.starts_with('/')
            && path.is_some_and(|path| matches_slowly(text.as_bytes(), path.as_bytes()));
    assert_eq!(pattern.matches(short), expected, "{text:?} on {short:?}");
    let _ = pattern.matches(name);
}

/// The same by a table, whatever the pattern.
fn matches_slowly(pattern: &[u8], name: &[u8]) -> bool {
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for byte in pattern {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            next[at] = match byte {
                b'*' => reached[at] || at > 0 && next[at - 1],
                b'?' => at > 0 && reached[at - 1],
                byte => at > 0 && reached[at - 1] && name[at - 1] == *byte,
            };
        }
        reached = next;
    }
    reached[name.len()]
}

/// The tokens of a configuration, an empty line, and an `Authorization` field; also an epoch.
pub(crate) fn tokens(bytes: &[u8]) {
    let (json, authorization) = halves(bytes);
    let (Ok(json), Ok(authorization)) = (
        std::str::from_utf8(json),
        std::str::from_utf8(authorization),
    ) else {
        return;
    };
    if let Ok(epoch) = authorization.parse::<Epoch>() {
        assert_eq!(
            epoch.to_string().parse(),
            Ok(epoch),
            "the epoch is not read back"
        );
    }
    let presented = bearer(Some(authorization)).unwrap_or_default();
    let Ok(tokens) = Tokens::from_json(json) else {
        return;
    };
    let now = Timestamp::from_unix_seconds(1_000);
    if let Ok(token) = tokens.authenticate(Some(presented), now) {
        let _ = token.check(&Purge {
            mode: PurgeMode::Hard,
            scopes: vec![Scope::All],
            at: TimestampMillis::from_unix_millis(1_000_000),
            origin_epoch: None,
        });
    }
    // Whoever presents a hash knows no token.
    for hash in json.split('"').filter(|part| part.len() == 64) {
        assert!(
            tokens.authenticate(Some(hash), now).is_err(),
            "a hash is taken for its token"
        );
    }
}

/// Lines of `Terrace-After`, an empty line, and lines of `Cookie`.
pub(crate) fn read_tokens(bytes: &[u8]) {
    let (tokens, cookies) = halves(bytes);
    let mut fields = lines_of(AFTER_FIELD, tokens);
    fields.extend(lines_of("cookie", cookies));
    let ours = TokenSecrets::parse("the secret of the seeds").expect("it is long enough");
    let others = TokenSecrets::parse("a secret of somebody else").expect("it is long enough");
    let presented = Presented::of(&fields, Some(&ours));
    assert!(
        Presented::of(&fields, Some(&others)).after.is_empty(),
        "a token is forged"
    );
    let unread = Presented::of(&fields, None);
    assert!(unread.after.is_empty() && unread.ignored >= presented.ignored);
    for token in tokens.split(|byte| matches!(byte, b',' | b'\n')) {
        let Ok(text) = std::str::from_utf8(token.trim_ascii()) else {
            continue;
        };
        if let Ok(token) = ReadToken::verify(text, &ours) {
            assert!(text.len() <= ReadToken::LONGEST);
            let again = ReadToken::verify(&token.sign(&ours), &ours);
            assert_eq!(again, Ok(token), "it is not read back");
        }
    }
    // Whether it is read from a cookie or from the field makes no difference, and no cookie is left of it.
    take_after_cookie(&mut fields);
    assert_eq!(Presented::of(&fields, None).ignored, unread.ignored);
    for line in fields.get_all("cookie") {
        let mut pairs = line.as_bytes().split(|byte| *byte == b';');
        let prefix = format!("{AFTER_COOKIE}=");
        assert!(!pairs.any(|pair| pair.trim_ascii().starts_with(prefix.as_bytes())));
    }
}
