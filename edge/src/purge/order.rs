//! What isolates and the ledger's authority say to each other about one purge.
//!
//! An order travels as the purge's own bytes and a URL's query, an answer as one line of text: two versions of
//! the worker may talk while a deployment is under way, and skip what they do not know.

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

impl Order {
    /// The query that goes with the purge's bytes.
    pub fn query(&self) -> String {
        let by = self.by.as_deref().map(|by| {
            let by = URL_SAFE_NO_PAD.encode(by.as_bytes());
            format!("by={by}")
        });
        let after = self.after.map(|after| format!("after={}", after.as_u64()));
        let parts: Vec<String> = by.into_iter().chain(after).collect();
        parts.join("&")
    }

    /// The order that this query and the bytes of `purge` make.
    ///
    /// An `after` that is no number is one that no authority takes: it is refused, not forgotten.
    pub fn from_query(query: &str, purge: Purge) -> Self {
        let mut order = Self {
            by: None,
            purge,
            after: None,
        };
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("by", name)) => {
                    let name = URL_SAFE_NO_PAD.decode(name).unwrap_or_default();
                    order.by = Some(String::from_utf8_lossy(&name).into());
                }
                Some(("after", number)) => {
                    order.after = Some(Milliseconds::new(number.parse().unwrap_or(u64::MAX)));
                }
                Some(_) | None => {}
            }
        }
        order
    }
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
        let mut words = line.split(' ');
        let (word, first, second) = (words.next()?, words.next()?, words.next());
        let milliseconds = || first.parse().ok().map(Milliseconds::new);
        match word {
            "taken" => Some(Self::Taken(Taken {
                epoch: first.parse().ok()?,
                again_at: match second {
                    None => None,
                    Some(at) => Some(TimestampMillis::from_unix_millis(at.parse().ok()?)),
                },
            })),
            "too-many" => Some(Self::TooMany {
                retry_after: milliseconds()?,
            }),
            "too-many-scheduled" => Some(Self::TooManyScheduled {
                pending: first.parse().ok()?,
            }),
            "too-far-ahead" => Some(Self::TooFarAhead {
                most: milliseconds()?,
            }),
            _ => None,
        }
    }
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
