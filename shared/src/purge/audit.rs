//! The purge log: who purged what, and when, and who was refused.

use serde::{Deserialize, Serialize};

use super::{Epoch, Purge, PurgeMode};
use crate::time::TimestampMillis;

/// Where the edge shows its purge log: `GET`, a bearer token, a [`LogQuery`]; a [`LogPage`] as JSON.
pub const LOG_PATH: &str = "/.terrace/log";

/// One line of the purge log.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct LogEntry {
    /// Its number in the log, which grows; none before the log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: TimestampMillis,
    /// The name of the token; none if there was none that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What became of it.
    pub outcome: LogOutcome,
    /// How many calls this line stands for: refusals that come in floods share one.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: u64,
    /// Soft or hard; none where it was not understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PurgeMode>,
    /// The scopes, as receipts and errors write them; the first ones if there are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// How many more scopes it named.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_scopes: usize,
    /// Its place in the edge's ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Its place in the origin's ledger, if it was sent on from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_epoch: Option<Epoch>,
    /// When the same will be purged once more, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_at_ms: Option<TimestampMillis>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogOutcome {
    /// It was purged.
    Purged,
    /// It was purged once more, as an earlier call had asked.
    PurgedAgain,
    /// Nothing was purged.
    Refused,
}

/// A part of the purge log, newest first.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub struct LogPage {
    /// The lines.
    pub entries: Vec<LogEntry>,
    /// What to ask for as [`LogQuery::before`] to see the next older ones; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_before: Option<u64>,
}

/// Which part of the log is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogQuery {
    /// Most lines, from 1 to [`Self::MOST`]. Default: 100.
    pub limit: usize,
    /// Only lines with a smaller number. Default: from the newest on.
    pub before: Option<u64>,
}

/// A query that asks for no part of the log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LogQueryError {
    /// A parameter that there is not.
    #[error("there is no parameter {name:?}: limit and before are")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// A value that is no number, or out of its range.
    #[error("{name} is {given:?}, a number from 1 to {most} is expected")]
    Number {
        /// Which parameter.
        name: &'static str,
        /// What was given.
        given: String,
        /// The most it may be.
        most: u64,
    },
}

impl LogEntry {
    /// Most bytes of scopes that one line keeps; the rest is counted.
    const LONGEST_SCOPES: usize = 2_048;
    /// Most bytes of a reason or a name that one line keeps.
    const LONGEST_TEXT: usize = 256;
    /// Before the JSON of a kept line.
    const VERSION: &'static str = "1 ";

    /// The line of a purge that was taken at `epoch`, without a number.
    pub fn purged(by: Option<&str>, purge: &Purge, epoch: Epoch, now: TimestampMillis) -> Self {
        let mut room = Self::LONGEST_SCOPES;
        let mut scopes = Vec::new();
        for scope in &purge.scopes {
            let text = scope.to_string();
            let Some(left) = room.checked_sub(text.len()) else {
                break;
            };
            room = left;
            scopes.push(text);
        }
        Self {
            mode: Some(purge.mode),
            more_scopes: purge.scopes.len() - scopes.len(),
            scopes,
            epoch: Some(epoch),
            origin_epoch: purge.origin_epoch,
            ..Self::bare(by, LogOutcome::Purged, now)
        }
    }

    /// The line of `times` calls that were refused for this reason, without a number.
    pub fn refused(by: Option<&str>, reason: &str, times: u64, now: TimestampMillis) -> Self {
        Self {
            reason: Some(shortened(reason)),
            times,
            ..Self::bare(by, LogOutcome::Refused, now)
        }
    }

    /// The line as the log keeps it.
    pub fn to_stored(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{}{json}", Self::VERSION)
    }

    /// The line that [`Self::to_stored`] wrote; none if it cannot be read.
    pub fn from_stored(text: &str) -> Option<Self> {
        serde_json::from_str(text.strip_prefix(Self::VERSION)?).ok()
    }

    /// JSON of the line that [`Self::to_stored`] wrote, with its number, without reading it; none if it has another form.
    fn json_of_stored(text: &str, number: u64) -> Option<String> {
        let fields = text.strip_prefix(Self::VERSION)?.strip_prefix('{')?;
        Some(format!("{{\"id\":{number},{fields}"))
    }

    fn bare(by: Option<&str>, outcome: LogOutcome, now: TimestampMillis) -> Self {
        Self {
            id: None,
            at_ms: now,
            by: by.map(shortened),
            outcome,
            times: 1,
            mode: None,
            scopes: Vec::new(),
            more_scopes: 0,
            epoch: None,
            origin_epoch: None,
            again_at_ms: None,
            reason: None,
        }
    }
}

impl LogPage {
    /// JSON of the page with these kept lines, newest first, each with its number, which `query` found.
    ///
    /// A line that has another form is left out.
    pub fn json_of_stored(lines: &[(u64, String)], query: LogQuery) -> String {
        let entries = lines
            .iter()
            .filter_map(|(number, line)| LogEntry::json_of_stored(line, *number));
        let entries: Vec<String> = entries.collect();
        let next = match lines.last() {
            Some((oldest, _)) if lines.len() >= query.limit && *oldest > 1 => {
                format!(",\"next_before\":{oldest}")
            }
            Some(_) | None => String::new(),
        };
        format!("{{\"entries\":[{}]{next}}}", entries.join(","))
    }
}

impl LogQuery {
    /// Most lines in one answer.
    pub const MOST: usize = 1_000;

    /// The query in a URL's query part, without its question mark: `limit=…&before=…`, each optional.
    ///
    /// # Errors
    /// When it has other parameters, or values that are no numbers in their range.
    pub fn parse(query: &str) -> Result<Self, LogQueryError> {
        let mut parsed = Self::default();
        for pair in query.split('&') {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("", "") => {}
                ("limit", given) => {
                    let most = Self::MOST as u64;
                    let limit = number("limit", given, most)?;
                    parsed.limit = usize::try_from(limit).unwrap_or(Self::MOST);
                }
                ("before", given) => parsed.before = Some(number("before", given, 1 << 53)?),
                (name, _) => {
                    return Err(LogQueryError::Unknown {
                        name: shortened(name),
                    });
                }
            }
        }
        Ok(parsed)
    }
}

impl Default for LogQuery {
    fn default() -> Self {
        Self {
            limit: 100,
            before: None,
        }
    }
}

fn number(name: &'static str, given: &str, most: u64) -> Result<u64, LogQueryError> {
    match given.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(LogQueryError::Number {
            name,
            given: shortened(given),
            most,
        }),
    }
}

fn shortened(text: &str) -> String {
    text.get(..text.floor_char_boundary(LogEntry::LONGEST_TEXT))
        .unwrap_or_default()
        .to_owned()
}

const fn once() -> u64 {
    1
}

#[cfg_attr(
    target_pointer_width = "64",
    expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")
)]
const fn is_once(times: &u64) -> bool {
    *times == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purge::{Incarnation, Scope, Sequence};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: TimestampMillis = TimestampMillis::from_unix_millis(1_000);

    fn epoch(sequence: u64) -> Epoch {
        Epoch {
            incarnation: Incarnation::from_random(0xaa),
            sequence: Sequence::new(sequence),
        }
    }

    fn purge(scopes: Vec<Scope>) -> Purge {
        Purge {
            mode: PurgeMode::Soft,
            scopes,
            at: NOW,
            origin_epoch: Some(epoch(9)),
        }
    }

    #[test]
    fn a_kept_line_is_pinned_and_read_back() {
        let scopes = vec![Scope::All, Scope::surrogate_key("region:TX").unwrap()];
        let purged = LogEntry {
            again_at_ms: Some(TimestampMillis::from_unix_millis(2_000)),
            ..LogEntry::purged(Some("ci"), &purge(scopes), epoch(7), NOW)
        };
        let refused = LogEntry::refused(None, "the token is not known", 3, NOW);
        let stored = format!("{}\n{}\n", purged.to_stored(), refused.to_stored());
        assert_eq!(
            stored,
            include_str!("../../../tests/vectors/purge_log_v1.txt")
        );
        for entry in [purged, refused] {
            assert_eq!(LogEntry::from_stored(&entry.to_stored()), Some(entry));
        }
        for other in ["", "1 ", "1 {}", "2 {}", "{}"] {
            assert_eq!(LogEntry::from_stored(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_line_is_bounded_whatever_was_purged() {
        let scope = Scope::exact(&"k".repeat(1_000)).unwrap();
        let entry = LogEntry::purged(
            Some(&"n".repeat(999)),
            &purge(vec![scope; 1_024]),
            epoch(1),
            NOW,
        );
        assert_eq!((entry.scopes.len(), entry.more_scopes), (2, 1_022));
        assert_eq!(entry.by.as_deref().map(str::len), Some(256));
        let refused = LogEntry::refused(None, &"é".repeat(999), 1, NOW);
        assert_eq!(refused.reason.as_deref().map(str::len), Some(256));
    }

    #[test]
    fn a_page_is_made_of_kept_lines_and_leaves_out_what_is_none() {
        let entry = LogEntry::refused(Some("ci"), "no", 1, NOW);
        let lines = [9, 8, 7].map(|number| (number, entry.to_stored()));
        let mut lines = lines.to_vec();
        lines[1].1 = "2 {}".to_owned();
        let page = |limit| {
            let query = LogQuery {
                limit,
                before: None,
            };
            let json = LogPage::json_of_stored(&lines, query);
            serde_json::from_str::<LogPage>(&json).unwrap()
        };
        let ids: Vec<_> = page(3).entries.iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [Some(9), Some(7)]);
        assert_eq!(page(3).entries[0].reason, entry.reason);
        assert_eq!((page(3).next_before, page(4).next_before), (Some(7), None));
        let none = LogPage::json_of_stored(&[], LogQuery::default());
        assert_eq!(none, r#"{"entries":[]}"#);
    }

    #[test]
    fn a_query_is_understood_or_refused_by_name() {
        for (query, limit, before) in [
            ("", 100, None),
            ("limit=1", 1, None),
            ("before=7&limit=1000", 1_000, Some(7)),
        ] {
            assert_eq!(LogQuery::parse(query), Ok(LogQuery { limit, before }));
        }
        for (query, part) in [
            ("limit=0", "limit is \"0\", a number from 1 to 1000"),
            ("limit=1001", "limit is"),
            ("limit", "limit is \"\""),
            ("before=x", "before is \"x\""),
            ("before=-1", "before is"),
            ("after=1", "no parameter \"after\""),
        ] {
            let error = LogQuery::parse(query).unwrap_err().to_string();
            assert!(error.contains(part), "{query}: {error}");
        }
    }
}
