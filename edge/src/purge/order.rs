//! What isolates and the ledger's authority say to each other about one purge.
//!
//! An order travels as the purge's own bytes and a URL's query, an answer as one line of text: two versions of
//! the worker may talk while a deployment is under way, and skip what they do not know.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use terrace_shared::purge::{Epoch, Purge};
use terrace_shared::time::{Milliseconds, TimestampMillis};

/// A purge that somebody may ask for, on its way to the authority.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Order {
    /// The name of the token; none for what an unsafe request invalidates (RFC 9111 §4.4), which is neither limited
    /// nor logged.
    pub by: Option<Box<str>>,
    /// What to purge.
    pub purge: Purge,
    /// How long after that to purge the same once more, if that is wanted.
    pub after: Option<Milliseconds>,
}

/// What the authority says to an order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Answer {
    /// It is done, and will not be lost.
    Taken(Taken),
    /// The token has made too many calls; nothing was purged.
    TooMany {
        /// How long until one more is let pass.
        retry_after: Milliseconds,
    },
    /// As many purges as can be kept wait for their second time; nothing was purged.
    TooManyScheduled {
        /// How many wait.
        pending: usize,
    },
    /// The second time is further ahead than allowed; nothing was purged.
    TooFarAhead {
        /// The furthest that is allowed.
        most: Milliseconds,
    },
}

/// A purge that the authority has taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Taken {
    /// Its place.
    pub epoch: Epoch,
    /// When the same is purged once more.
    pub again_at: Option<TimestampMillis>,
}

/// Calls that were refused before they came to the authority, on their way to its log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The name of the token; none if there was none that is known.
    pub by: Option<Box<str>>,
    /// Why.
    pub reason: String,
    /// How many there were.
    pub times: u64,
}

impl Order {
    /// The query that goes with the purge's bytes.
    pub fn query(&self) -> String {
        let mut query = query_of_name(self.by.as_deref());
        if let Some(after) = self.after {
            let _ = write!(query, "&after={}", after.as_u64());
        }
        query
    }

    /// The order that this query and the bytes of `purge` make.
    ///
    /// An `after` that is no number is one that no authority takes: it is refused, not forgotten.
    pub fn from_query(query: &str, purge: Purge) -> Self {
        let after = parameter(query, "after");
        Self {
            by: name(query),
            purge,
            after: after.map(|after| Milliseconds::new(number(after).unwrap_or(u64::MAX))),
        }
    }
}

impl Refusal {
    /// The query that goes with the reason.
    pub fn query(&self) -> String {
        let name = query_of_name(self.by.as_deref());
        format!("{name}&times={}", self.times)
    }

    /// The refusal that this query and the reason make.
    pub fn from_query(query: &str, reason: String) -> Self {
        let times = parameter(query, "times").and_then(number);
        Self {
            by: name(query),
            reason,
            times: times.unwrap_or(1),
        }
    }
}

/// The value of a query's first parameter of this name.
pub fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// A token's name as a query's parameter; nothing for none.
pub fn query_of_name(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| {
        format!("by={}", URL_SAFE_NO_PAD.encode(name))
    })
}

/// The name that [`query_of_name`] wrote into a query.
pub fn name(query: &str) -> Option<Box<str>> {
    let bytes = URL_SAFE_NO_PAD.decode(parameter(query, "by")?).ok()?;
    Some(String::from_utf8_lossy(&bytes).into())
}

impl Answer {
    /// The answer as a line of text.
    pub fn to_line(self) -> String {
        match self {
            Self::Taken(Taken {
                epoch,
                again_at: None,
            }) => format!("taken {epoch}"),
            Self::Taken(Taken {
                epoch,
                again_at: Some(at),
            }) => format!("taken {epoch} {}", at.as_unix_millis()),
            Self::TooMany { retry_after } => format!("too-many {}", retry_after.as_u64()),
            Self::TooManyScheduled { pending } => format!("too-many-scheduled {pending}"),
            Self::TooFarAhead { most } => format!("too-far-ahead {}", most.as_u64()),
        }
    }

    /// The answer that [`Self::to_line`] wrote; none if it is none.
    pub fn from_line(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let milliseconds = |word: &str| number(word).map(Milliseconds::new);
        Some(match words[..] {
            ["taken", epoch, ref rest @ ..] => Self::Taken(Taken {
                epoch: epoch.parse().ok()?,
                again_at: match rest {
                    [] => None,
                    [at, ..] => Some(TimestampMillis::from_unix_millis(number(at)?)),
                },
            }),
            ["too-many", wait, ..] => Self::TooMany {
                retry_after: milliseconds(wait)?,
            },
            ["too-many-scheduled", pending, ..] => Self::TooManyScheduled {
                pending: number(pending)?.try_into().ok()?,
            },
            ["too-far-ahead", most, ..] => Self::TooFarAhead {
                most: milliseconds(most)?,
            },
            _ => return None,
        })
    }
}

fn number(word: &str) -> Option<u64> {
    word.parse().ok()
}

#[cfg(test)]
mod tests {
    use terrace_shared::purge::{PurgeMode, Scope};

    use super::*;

    fn purge() -> Purge {
        Purge {
            mode: PurgeMode::Hard,
            scopes: vec![Scope::All],
            at: TimestampMillis::from_unix_millis(0),
            origin_epoch: None,
        }
    }

    #[test]
    fn an_order_travels_and_what_is_not_known_is_skipped() {
        for (by, after) in [
            (Some("ci"), None),
            (Some(""), Some(5_000)),
            (Some("a&b=é ?#"), Some(0)),
            (None, None),
        ] {
            let order = Order {
                by: by.map(Into::into),
                purge: purge(),
                after: after.map(Milliseconds::new),
            };
            let query = order.query();
            assert!(!query.contains(['?', '#', ' ']), "{query}");
            assert_eq!(Order::from_query(&query, purge()), order);
            assert_eq!(
                Order::from_query(&format!("new=1&{query}&x"), purge()),
                order
            );
        }
        let from = |query| Order::from_query(query, purge());
        assert_eq!(from("").by, None);
        assert_eq!(from("after=x").after, Some(Milliseconds::new(u64::MAX)));
    }

    #[test]
    fn a_refusal_travels_too() {
        for (by, times) in [(Some("ci"), 1), (None, 7)] {
            let refusal = Refusal {
                by: by.map(Into::into),
                reason: "the token is not known".to_owned(),
                times,
            };
            let reason = refusal.reason.clone();
            assert_eq!(Refusal::from_query(&refusal.query(), reason), refusal);
        }
        assert_eq!(Refusal::from_query("times=x", String::new()).times, 1);
    }

    #[test]
    fn an_answer_travels_and_anything_else_is_none() {
        for line in [
            "taken 00000000000000aa-7",
            "taken 00000000000000aa-7 12",
            "too-many 30",
            "too-many-scheduled 4096",
            "too-far-ahead 86400000",
        ] {
            assert_eq!(Answer::from_line(line).unwrap().to_line(), line);
        }
        for other in ["", "taken", "taken x", "taken aa-7 x", "too-many", "no 1"] {
            assert_eq!(Answer::from_line(other), None, "{other:?}");
        }
    }
}
