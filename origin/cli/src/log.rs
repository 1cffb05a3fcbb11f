//! `terrace purge log`: who purged what at the edge, and when, and who was refused.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use terrace_shared::purge::PurgeMode;
use terrace_shared::purge::audit::{LOG_PATH, LogEntry, LogOutcome, LogPage};
use terrace_shared::time::TimestampMillis;

use crate::Failure;
use crate::purge::Purge;

/// The arguments of `terrace purge`: a purge, or `log` and its own.
pub(crate) enum PurgeOrLog {
    Purge(Box<Purge>),
    Log(Log),
}

/// What stands behind `terrace purge`, if it is no purge.
#[derive(Subcommand)]
enum Behind {
    /// Show who purged what, newest first, and who was refused.
    Log(Log),
}

/// The arguments of `terrace purge log`.
#[derive(Args)]
pub(crate) struct Log {
    /// The edge whose log it is.
    #[arg(
        long,
        env = "TERRACE_EDGE_URL",
        default_value = "http://127.0.0.1:8787"
    )]
    edge: String,
    /// A token of that edge; one that may not purge everything sees what it did itself.
    #[arg(long, env = "TERRACE_TOKEN", hide_env_values = true)]
    token: String,
    /// Most lines, from 1 to 1,000.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Only lines with a smaller number.
    #[arg(long)]
    before: Option<u64>,
    /// Print the edge's JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Why there is no log to show.
#[derive(Debug, thiserror::Error)]
enum LogError {
    #[error("{url} is no URL of an edge")]
    Url {
        url: String,
        #[source]
        source: http::Error,
    },
    #[error("the token has characters that no header may have")]
    Token(#[source] http::header::InvalidHeaderValue),
    #[error("the edge cannot be reached")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    #[error("the edge has not answered within {PATIENCE:?}")]
    TimedOut,
    #[error("the edge's answer broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the edge answered {status}: {text}")]
    Refused { status: u16, text: String },
    #[error("the edge's answer is no purge log")]
    NotUnderstood(#[source] serde_json::Error),
}

/// Longest wait for the edge.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer that is read, in bytes: 1,000 lines of some kilobytes.
const LONGEST_ANSWER: usize = 8 << 20;

impl PurgeOrLog {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Purge(purge) => purge.run().await,
            Self::Log(log) => log.run().await,
        }
    }
}

/// The error of a command line, and besides, for `terrace purge article-7`, how a surrogate key is given.
pub(crate) fn hinting(mut error: clap::Error) -> clap::Error {
    let is_purge = std::env::args().nth(1).is_some_and(|word| word == "purge");
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && is_purge
    {
        let hint = format!("to purge by surrogate key: terrace purge --surrogate-key {word}");
        let hints = ContextValue::StyledStrs(vec![hint.into()]);
        error.insert(ContextKind::Suggested, hints);
    }
    error
}

impl Args for PurgeOrLog {
    fn augment_args(command: Command) -> Command {
        Behind::augment_subcommands(Purge::augment_args(command))
            .subcommand_required(false)
            .arg_required_else_help(false)
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for PurgeOrLog {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        if matches.subcommand_name().is_none() {
            return Purge::from_arg_matches(matches).map(|purge| Self::Purge(Box::new(purge)));
        }
        let Behind::Log(log) = Behind::from_arg_matches(matches)?;
        Ok(Self::Log(log))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Log {
    async fn run(self) -> Result<(), Failure> {
        let asking = tokio::time::timeout(PATIENCE, self.ask());
        let answer = asking.await.unwrap_or(Err(LogError::TimedOut));
        let body = answer.map_err(|error| {
            Failure::new(error).hint("--edge and --token name the edge and one of its tokens")
        })?;
        if self.json {
            println!("{}", String::from_utf8_lossy(&body));
            return Ok(());
        }
        let page: LogPage = serde_json::from_slice(&body)
            .map_err(|error| Failure::new(LogError::NotUnderstood(error)))?;
        print!("{}", table(&page.entries));
        if let Some(before) = page.next_before {
            println!("older ones: --before {before}");
        }
        Ok(())
    }

    async fn ask(&self) -> Result<Bytes, LogError> {
        let edge = self.edge.trim_end_matches('/');
        let before = self
            .before
            .map_or_else(String::new, |before| format!("&before={before}"));
        let url = format!("{edge}{LOG_PATH}?limit={}{before}", self.limit);
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", self.token)).map_err(LogError::Token)?;
        bearer.set_sensitive(true);
        let request = Request::get(&url)
            .header(AUTHORIZATION, bearer)
            .body(Empty::<Bytes>::new())
            .map_err(|source| LogError::Url { url, source })?;
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let response = client.request(request).await;
        let response = response.map_err(LogError::Unreachable)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect();
        let body = body.await.map_err(LogError::Body)?.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        Err(LogError::Refused {
            status: status.as_u16(),
            text,
        })
    }
}

/// The lines in columns that fit what stands in them, the last one open.
fn table(entries: &[LogEntry]) -> String {
    let head = ["#", "when (UTC)", "who", "what", "scopes"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(head)
        .chain(entries.iter().map(row))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 5] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(entry: &LogEntry) -> [String; 5] {
    let what = match (entry.outcome, entry.mode) {
        (LogOutcome::Refused, _) => Cow::Borrowed("refused"),
        (LogOutcome::Purged, Some(PurgeMode::Soft)) => "soft purge".into(),
        (LogOutcome::Purged, Some(PurgeMode::Hard) | None) => "purge".into(),
        (LogOutcome::PurgedAgain, _) => "purge again".into(),
    };
    let what = match entry.times {
        1 => what.into_owned(),
        times => format!("{what} ×{times}"),
    };
    let mut scopes = entry.scopes.join(" ");
    if entry.more_scopes > 0 {
        let _ = write!(scopes, " and {} more", entry.more_scopes);
    }
    if let Some(at) = entry.again_at_ms {
        let _ = write!(scopes, " (again at {})", time(at));
    }
    if let Some(reason) = &entry.reason {
        scopes.push_str(reason);
    }
    // What was asked for is anybody's text: it must not move the reader's cursor.
    let plain = |text: &str| text.replace(char::is_control, "\u{fffd}");
    [
        entry.id.map_or_else(String::new, |id| id.to_string()),
        time(entry.at_ms),
        plain(entry.by.as_deref().unwrap_or("-")),
        what,
        plain(&scopes),
    ]
}

/// A moment as `2026-11-21 15:54:05`, in UTC.
fn time(at: TimestampMillis) -> String {
    let seconds = at.as_unix_millis() / 1_000;
    let (days, seconds) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, so that a leap day ends a year of the count, in eras of 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = 400 * era + year + next;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{date:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use terrace_shared::purge::{Epoch, Incarnation, Scope, Sequence};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: PurgeOrLog,
    }

    fn parsed(words: &str) -> Result<PurgeOrLog, clap::Error> {
        let words = std::iter::once("purge").chain(words.split_whitespace());
        Line::try_parse_from(words).map(|line| line.arguments)
    }

    #[test]
    fn a_purge_and_the_log_are_told_apart() {
        let log = parsed("log --token t --limit 5").unwrap();
        assert!(matches!(log, PurgeOrLog::Log(Log { limit: 5, .. })));
        let purge = parsed("--token t --surrogate-key log").unwrap();
        assert!(matches!(purge, PurgeOrLog::Purge(_)));
        for wrong in ["", "--token t", "--token t --everything log --token t"] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_moment_is_written_in_utc() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_827_696, "2000-02-29 12:34:56"),
            (1_709_251_200, "2024-03-01 00:00:00"),
            (4_102_444_799, "2099-12-31 23:59:59"),
        ] {
            assert_eq!(
                time(TimestampMillis::from_unix_millis(seconds * 1_000)),
                text
            );
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_and_no_control_characters() {
        let now = TimestampMillis::from_unix_millis(0);
        let purge = terrace_shared::purge::Purge {
            mode: PurgeMode::Soft,
            scopes: vec![Scope::All, Scope::surrogate_key("a").unwrap()],
            at: now,
            origin_epoch: None,
        };
        let epoch = Epoch {
            incarnation: Incarnation::from_random(1),
            sequence: Sequence::new(1),
        };
        let entries = [
            LogEntry::refused(None, "no\u{1b}[2J", 12, now),
            LogEntry::purged(Some("ci"), &purge, epoch, now),
        ];
        let expected = "\
#  when (UTC)           who  what         scopes
   1970-01-01 00:00:00  -    refused ×12  no\u{fffd}[2J
   1970-01-01 00:00:00  ci   soft purge   all surrogate-key:a
";
        assert_eq!(table(&entries), expected);
    }
}
