use ::http::header::COOKIE;
use ::http::{HeaderMap, HeaderValue};

use super::*;
use crate::purge::wire::{AFTER_FIELD, PurgeState};
use crate::purge::{Fence, Incarnation, PurgeMode, Sequence, Verdict};
use crate::time::{DeltaSeconds, Milliseconds, TimestampMillis};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(not(target_arch = "wasm32"))]
mod model;

const ONE: &str = "the-first-secret-of-this-test";
const OTHER: &str = "another-secret-of-this-test";

fn secrets(text: &str) -> TokenSecrets {
    TokenSecrets::parse(text).unwrap()
}

fn epoch(incarnation: u64, sequence: u64) -> Epoch {
    Epoch {
        incarnation: Incarnation::from_random(incarnation),
        sequence: Sequence::new(sequence),
    }
}

fn at_both() -> ReadToken {
    ReadToken {
        origin: Some(epoch(1, 17)),
        edge: Some(epoch(2, 4)),
    }
}

fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        fields.append(*name, HeaderValue::from_str(value).unwrap());
    }
    fields
}

#[test]
fn tokens_are_pinned_and_read_back() {
    // SECRET TOKEN, where `printf 'terrace-after\n1.ORIGIN.EDGE' | openssl dgst -sha256 -hmac SECRET | cut -c1-32` signs.
    let vectors = include_str!("../../../../tests/vectors/purge_token_v1.txt");
    let lines = vectors.lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for line in lines {
        let (secret, text) = line.split_once(' ').unwrap();
        let secrets = secrets(secret);
        let token = ReadToken::verify(text, &secrets).unwrap();
        assert_eq!(token.sign(&secrets), text);
        assert!(text.len() <= ReadToken::LONGEST);
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn what_is_not_signed_with_a_secret_of_ours_is_no_token() {
    let ours = secrets(ONE);
    let good = at_both().sign(&ours);
    assert_eq!(ReadToken::verify(&good, &ours), Ok(at_both()));
    assert_eq!(
        ReadToken::verify(&at_both().sign(&secrets(OTHER)), &ours),
        Err(ReadTokenError::Forged)
    );
    // Any byte changed makes it another text, and the signature is not that one's.
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(ReadToken::verify(&changed, &ours).is_err(), "{changed}");
    }
    let signature = good.rsplit('.').next().unwrap();
    for text in [
        "",
        ".",
        "1...",
        &format!("1...{signature}"),
        &format!("2.00c0ffee00c0ffee-1..{signature}"),
        &format!("1.00c0ffee00c0ffee-1.{signature}"),
        &format!("1.00c0ffee00c0ffee-1...{signature}"),
        &good[..good.len() - 1],
        &format!("{good}0"),
        &good.to_uppercase(),
        &"1".repeat(1 << 16),
    ] {
        let error = ReadToken::verify(text, &ours).unwrap_err();
        assert_eq!(error, ReadTokenError::Malformed, "{text:?}");
    }
}

#[test]
fn a_secret_is_changed_without_a_token_being_lost() {
    let (old, both, turned, new) = (
        secrets(ONE),
        secrets(&format!("{ONE},{OTHER}")),
        secrets(&format!("{OTHER} , {ONE}")),
        secrets(OTHER),
    );
    for (signs, reads, is_read) in [
        (&old, &both, true),
        (&both, &old, true),
        (&both, &turned, true),
        (&turned, &both, true),
        (&turned, &new, true),
        (&new, &turned, true),
        (&old, &new, false),
        (&turned, &old, false),
    ] {
        let read = ReadToken::verify(&at_both().sign(signs), reads);
        assert_eq!(read.is_ok(), is_read, "{read:?}");
    }
}

#[test]
fn a_text_that_holds_no_secrets_says_why() {
    let long = "x".repeat(257);
    for (text, part) in [
        ("", "secret 1 is 0 bytes long"),
        ("short", "secret 1 is 5 bytes long, from 16 to 256"),
        (&long, "secret 1 is 257 bytes long"),
        (&format!("{ONE},"), "secret 2 is 0 bytes long"),
        (&format!("{ONE},{OTHER},{ONE}"), "3 secrets are given"),
    ] {
        let error = TokenSecrets::parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert_eq!(format!("{:?}", secrets(ONE)), "TokenSecrets(1)");
}

#[test]
fn all_tokens_of_a_request_count_and_the_others_are_ignored_and_counted() {
    let ours = secrets(ONE);
    let sign = |origin, edge| ReadToken { origin, edge }.sign(&ours);
    let (first, later) = (
        sign(Some(epoch(1, 3)), None),
        sign(Some(epoch(1, 5)), Some(epoch(2, 9))),
    );
    let elsewhere = sign(None, Some(epoch(3, 1)));
    let request = fields(&[
        (AFTER_FIELD, &format!("{later}, {first},, nonsense")),
        (AFTER_FIELD, &elsewhere),
        (
            "cookie",
            &format!("a=b; terrace-after={first};terrace-after=; terrace-after=x"),
        ),
    ]);
    let presented = Presented::of(&request, Some(&ours));
    assert_eq!(presented.ignored, 2);
    let mut expected = After::of(&ReadToken {
        origin: Some(epoch(1, 5)),
        edge: Some(epoch(2, 9)),
    });
    expected.want(&ReadToken {
        origin: None,
        edge: Some(epoch(3, 1)),
    });
    assert_eq!(presented.after, expected);

    let without = Presented::of(&request, None);
    assert!(without.after.is_empty());
    assert_eq!(without.ignored, 6);
    assert_eq!(
        Presented::of(&fields(&[]), Some(&ours)),
        Presented::default()
    );
    let many = vec![first.as_str(); 100].join(",");
    let presented = Presented::of(&fields(&[(AFTER_FIELD, &many)]), Some(&ours));
    assert_eq!(presented.ignored, 92);
}

#[test]
fn a_view_has_reached_what_it_knows_of_and_what_is_of_a_history_left_behind() {
    let wanted = After::of(&at_both()).origin;
    let mut gone = GoneHistories::default();
    for (here, reach) in [
        (None, Reach::Behind),
        (Some(epoch(1, 16)), Reach::Behind),
        (Some(epoch(1, 17)), Reach::Reached),
        (Some(epoch(1, 18)), Reach::Reached),
        (Some(epoch(9, 99)), Reach::Behind),
    ] {
        assert_eq!(wanted.reach(here, &gone), reach, "{here:?}");
    }
    assert_eq!(wanted.beyond(epoch(1, 16)), Some(epoch(1, 17)));
    assert_eq!(wanted.beyond(epoch(1, 17)), None);
    assert_eq!(wanted.beyond(epoch(9, 1)), None);
    // The authority was asked, and keeps another history.
    gone.note(&wanted, epoch(9, 99));
    assert_eq!(wanted.reach(Some(epoch(9, 99)), &gone), Reach::Reached);
    // It was restored from an old copy: that history goes on.
    gone.note(&wanted, epoch(1, 2));
    assert_eq!(wanted.reach(Some(epoch(1, 2)), &gone), Reach::Behind);
    for incarnation in 100..200 {
        let token = ReadToken {
            origin: Some(epoch(incarnation, 1)),
            edge: None,
        };
        gone.note(&After::of(&token).origin, epoch(9, 99));
    }
    assert_eq!(wanted.reach(Some(epoch(9, 99)), &gone), Reach::Behind);
}

#[test]
fn only_what_no_purge_has_named_answers_a_reader_with_tokens() {
    use Verdict::{Dropped, Softened, Untouched};
    for (reach, verdict, expected) in [
        (Reach::Reached, Untouched, Untouched),
        (Reach::Reached, Softened, Dropped),
        (Reach::Reached, Dropped, Dropped),
        (Reach::Behind, Untouched, Dropped),
        (Reach::Behind, Softened, Dropped),
        (Reach::Behind, Dropped, Dropped),
    ] {
        assert_eq!(reach.judge(verdict), expected, "{reach:?} {verdict:?}");
    }
}

#[test]
fn at_the_edge_a_response_was_produced_after_the_purge_or_the_edge_has_been_told_of_it() {
    let after = After::of(&at_both());
    for (produced_at, told, verdict) in [
        (None, None, Verdict::Dropped),
        (Some(epoch(1, 16)), None, Verdict::Dropped),
        (Some(epoch(1, 17)), None, Verdict::Untouched),
        (Some(epoch(9, 17)), None, Verdict::Dropped),
        (None, Some(epoch(1, 16)), Verdict::Dropped),
        (None, Some(epoch(1, 17)), Verdict::Untouched),
        (Some(epoch(1, 3)), Some(epoch(1, 20)), Verdict::Untouched),
        (Some(epoch(1, 3)), Some(epoch(9, 20)), Verdict::Dropped),
    ] {
        let fence = Fence {
            filled_at: epoch(2, 4),
            produced_at,
        };
        let judge = |reach| after.verdict_at_edge(Verdict::Untouched, &fence, reach, told);
        assert_eq!(judge(Reach::Reached), verdict, "{produced_at:?} {told:?}");
        assert_eq!(judge(Reach::Behind), Verdict::Dropped);
    }
}

fn receipt(epoch: Epoch, tiers: &[(PurgedTier, Option<Epoch>)]) -> Receipt {
    let tier = |(tier, epoch): &(PurgedTier, Option<Epoch>)| TierReceipt {
        tier: *tier,
        name: None,
        state: PurgeState::Done,
        bound_ms: Milliseconds::new(5),
        epoch: *epoch,
        detail: None,
    };
    Receipt {
        epoch,
        mode: PurgeMode::Hard,
        scopes: 1,
        purged_at_ms: TimestampMillis::from_unix_millis(1),
        visible_by_ms: None,
        tiers: tiers.iter().map(tier).collect(),
        again_at_ms: None,
        token: None,
    }
}

#[test]
fn a_receipt_s_token_names_the_purge_s_place_in_each_ledger() {
    use PurgedTier::{Edge, Memory, Redis};
    let (own, edge) = (epoch(1, 17), epoch(2, 4));
    for (tiers, token) in [
        (vec![(Edge, Some(edge))], (None, Some(edge))),
        (vec![(Memory, None)], (Some(own), None)),
        (
            vec![(Memory, None), (Redis, Some(own)), (Edge, Some(edge))],
            (Some(own), Some(edge)),
        ),
        (vec![(Memory, None), (Edge, None)], (Some(own), None)),
    ] {
        let (origin, edge) = token;
        let receipt = receipt(own, &tiers);
        assert_eq!(
            ReadToken::of(&receipt),
            ReadToken { origin, edge },
            "{tiers:?}"
        );
        let signed = receipt
            .clone()
            .with_token(Some(&secrets(ONE)))
            .token
            .unwrap();
        assert_eq!(
            ReadToken::verify(&signed, &secrets(ONE)),
            Ok(ReadToken { origin, edge })
        );
        assert_eq!(receipt.with_token(None).token, None);
    }
}

#[test]
fn a_cookie_holds_the_token_and_is_taken_out_of_the_others() {
    let receipt = receipt(epoch(1, 17), &[(PurgedTier::Memory, None)]);
    assert_eq!(AfterCookie::of(&receipt), None);
    for token in ["a;b", "a\r\nb: c", "a b"] {
        let token = Some(token.to_owned());
        let of = Receipt {
            token,
            ..receipt.clone()
        };
        assert_eq!(AfterCookie::of(&of), None);
    }
    let receipt = receipt.with_token(Some(&secrets(ONE)));
    let token = receipt.token.clone().unwrap();
    let cookie = AfterCookie::of(&receipt).unwrap();
    assert_eq!(
        cookie.to_text(),
        format!("terrace-after={token}; Max-Age=60; Path=/; HttpOnly; SameSite=Lax")
    );
    let text = cookie.secure().max_age(DeltaSeconds::seconds(9)).to_text();
    assert!(
        text.ends_with("; Max-Age=9; Path=/; HttpOnly; SameSite=Lax; Secure"),
        "{text}"
    );

    for (line, others, tokens) in [
        ("a=b", "a=b", vec![]),
        ("terrace-after=x", "", vec!["x"]),
        ("a=b;terrace-after=x ; c=\"d\"", "a=b; c=\"d\"", vec!["x"]),
        ("terrace-after=x; terrace-after=y", "", vec!["x", "y"]),
        (
            "terrace-after; terrace-afterwards=x",
            "terrace-after; terrace-afterwards=x",
            vec![],
        ),
    ] {
        let mut request = fields(&[("cookie", line)]);
        take_after_cookie(&mut request);
        let left = request
            .get(COOKIE)
            .map_or("", |line| line.to_str().unwrap());
        assert_eq!(left, others, "{line}");
        let moved: Vec<_> = request.get_all(AFTER_FIELD).iter().collect();
        assert_eq!(moved, tokens, "{line}");
    }
}
