//! `terrace token`: a secret for whoever purges, and its hash for the edge or the shield.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use terrace_shared::time::{DeltaSeconds, Timestamp};

/// The arguments of `terrace token`.
///
/// To replace a token: make another under the same name, put its entry beside the old one's, give the new token to
/// whoever purges, and then take the old entry out. Both are good until then.
#[derive(Args)]
pub(crate) struct Token {
    /// Who will use it; they show this name, never the token.
    name: String,
    /// Glob over the scopes that it may purge, such as `surrogate-key:product:*`; may be repeated.
    #[arg(long, default_value = "*")]
    allow: Vec<String>,
    /// It may make things stale, but not unusable.
    #[arg(long)]
    soft_only: bool,
    /// It is no more after this long, such as `90d`, `12h`, `30m` or `45s`.
    #[arg(long, value_name = "TIME", value_parser = length)]
    expires_in: Option<DeltaSeconds>,
}

impl Token {
    pub(crate) fn run(self) {
        let secret: [u8; 32] = rand::rng().random();
        let token = hex(&secret);
        let entry = self.entry(&token, now());
        println!("token, shown once: {token}");
        println!("for the TERRACE_PURGE_TOKENS of edge or shield, a JSON array: [{entry}]");
    }

    fn entry(&self, token: &str, now: Timestamp) -> serde_json::Value {
        let mut entry = serde_json::json!({
            "name": self.name,
            "sha256": hex(&Sha256::digest(token.as_bytes())),
            "allow": self.allow,
        });
        if self.soft_only {
            entry["modes"] = serde_json::json!(["soft"]);
        }
        if let Some(length) = self.expires_in {
            let expires = now.saturating_add(length);
            entry["expires"] = expires.as_unix_seconds().into();
        }
        entry
    }
}

fn length(text: &str) -> Result<DeltaSeconds, String> {
    let error = || format!("{text:?} is no length of time such as 90d, 12h, 30m or 45s");
    let (number, unit) = text
        .char_indices()
        .next_back()
        .and_then(|(at, unit)| Some((text.get(..at)?, unit)))
        .ok_or_else(error)?;
    let number: u64 = number.parse().map_err(|_| error())?;
    let unit = match unit {
        's' => DeltaSeconds::seconds(1),
        'm' => DeltaSeconds::minutes(1),
        'h' => DeltaSeconds::hours(1),
        'd' => DeltaSeconds::days(1),
        _ => return Err(error()),
    };
    Ok(unit.saturating_mul(number))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from_unix_seconds(since.unwrap_or_default().as_secs())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use terrace_shared::purge::auth::Tokens;
    use terrace_shared::purge::{Purge, PurgeMode, Scope};
    use terrace_shared::time::TimestampMillis;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_000);

    fn token(soft_only: bool, expires_in: Option<DeltaSeconds>) -> Token {
        Token {
            name: "ci".to_owned(),
            allow: vec!["host:*".to_owned()],
            soft_only,
            expires_in,
        }
    }

    #[test]
    fn what_is_printed_is_what_edge_and_shield_read() {
        let in_two_days = Some(DeltaSeconds::days(2));
        for (token, hard, two_days_later) in [
            (token(false, None), true, true),
            (token(true, None), false, true),
            (token(true, in_two_days), false, false),
        ] {
            let tokens = format!("[{}]", token.entry("secret", NOW));
            let tokens = Tokens::from_json(&tokens).unwrap();
            let purge = |mode| Purge {
                mode,
                scopes: vec![Scope::host("a.example").unwrap()],
                at: TimestampMillis::from_unix_millis(0),
                origin_epoch: None,
            };
            let found = tokens.authenticate(Some("secret"), NOW).unwrap();
            assert_eq!(found.check(&purge(PurgeMode::Soft)), Ok(()));
            assert_eq!(found.check(&purge(PurgeMode::Hard)).is_ok(), hard);
            let later = NOW.saturating_add(DeltaSeconds::days(2));
            let found = tokens.authenticate(Some("secret"), later);
            assert_eq!(found.is_ok(), two_days_later);
        }
    }

    #[test]
    fn a_length_of_time_has_a_unit() {
        for (text, seconds) in [
            ("45s", 45),
            ("30m", 1_800),
            ("12h", 43_200),
            ("90d", 7_776_000),
        ] {
            assert_eq!(length(text), Ok(DeltaSeconds::seconds(seconds)), "{text}");
        }
        for text in ["", "d", "90", "-1d", "1w", "1.5h", "9é"] {
            let error = length(text).unwrap_err();
            assert!(error.contains("such as 90d"), "{error}");
        }
    }
}
