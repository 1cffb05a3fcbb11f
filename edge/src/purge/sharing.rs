//! What isolates of one data centre tell each other of the ledger, by a short entry in its Cache API.
//!
//! Who has asked the authority leaves the answer there, with the moment when it was *asked*: whoever takes it over
//! has a view of that age, never a younger one (R7). What lies there is believed only if it follows on from what
//! an isolate knows, and is asked past otherwise. A failing Cache API costs questions and nothing else.

use std::time::Duration;

use terrace_shared::purge::{Epoch, Update};
use terrace_shared::time::{Milliseconds, TimestampMillis};
use wasm_bindgen::{JsCast, JsValue};
use worker::Env;
use worker::js_sys::{self, Reflect, Uint8Array};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys;

use super::view::Question;
use crate::error::ConfigError;

/// Whether isolates share what they learn, and how they take turns in asking.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sharing {
    /// They do.
    On,
    /// Each asks for itself.
    Off,
}

/// What is said of an answer of the authority's beside its bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Label {
    /// When it was asked for.
    pub(crate) asked_at: TimestampMillis,
    /// From where on it tells of purges; none if it is the whole ledger.
    pub(crate) from: Option<Epoch>,
    /// Where the authority stood.
    pub(crate) head: Epoch,
}

/// What an isolate is to do with an answer that another one left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Worth {
    /// Nothing: it is too old, or does not follow on from here.
    Nothing,
    /// It says that nothing has been purged since.
    Confirms,
    /// It tells of what has been.
    Brings,
}

impl Sharing {
    const SETTING: &'static str = "TERRACE_LEDGER_SHARING";

    /// How much the clocks of one data centre may differ. A shared answer counts as so much older.
    const SKEW: Milliseconds = Milliseconds::new(100);

    /// How long whoever wants news waits for one who is asking already, in looks at the shared entry.
    ///
    /// Only behind an answer: nobody's request waits for it.
    pub(crate) const LOOKS: [Duration; 5] = [
        Duration::ZERO,
        Duration::from_millis(40),
        Duration::from_millis(80),
        Duration::from_millis(120),
        Duration::from_millis(160),
    ];

    /// For how long it counts that somebody has begun to ask: he may have been cancelled.
    const COURTESY: Milliseconds = Milliseconds::new(500);

    /// `TERRACE_LEDGER_SHARING`: `on` or `off`. Default: on.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let given = env.var(Self::SETTING).ok().map(|var| var.to_string());
        Self::parse(given.as_deref().unwrap_or_default())
    }

    fn parse(given: &str) -> Result<Self, ConfigError> {
        match given.trim() {
            "" | "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(ConfigError::Switch {
                name: Self::SETTING,
                given: given.to_owned(),
            }),
        }
    }

    /// The age from which on this isolate wants news, when every `refresh` is asked for, the view must stay within
    /// `bound`, and `drawn` is this isolate's lot in this round.
    ///
    /// Lots are spread over half an interval, so that one isolate asks and the others find its answer; but
    /// well within the bound, so that no request has to wait for it.
    pub(crate) fn refresh_after(
        self,
        refresh: Milliseconds,
        bound: Milliseconds,
        drawn: u8,
    ) -> Milliseconds {
        match self {
            Self::Off => refresh,
            Self::On => {
                let refresh = refresh.as_u64();
                let spread = refresh.saturating_mul(drawn.into()) / (2 * u64::from(u8::MAX));
                let latest = refresh.max(refresh.midpoint(bound.as_u64()));
                let after = refresh.saturating_add(Self::SKEW.as_u64() + spread);
                Milliseconds::new(after.min(latest))
            }
        }
    }
}

impl Label {
    /// What to say of the answer to `question`.
    pub(crate) fn of(question: Question, update: &Update) -> Self {
        let (from, head) = match update {
            Update::Delta {
                incarnation, head, ..
            } => {
                let head = Epoch {
                    incarnation: *incarnation,
                    sequence: *head,
                };
                (question.since, head)
            }
            Update::Snapshot(ledger) => (None, ledger.epoch()),
        };
        Self {
            asked_at: question.asked_at,
            from,
            head,
        }
    }

    /// When the answer counts as asked for by whoever did not ask himself.
    pub(crate) fn counts_from(&self) -> TimestampMillis {
        let skew = Sharing::SKEW.as_u64();
        let asked_at = self.asked_at.as_unix_millis();
        TimestampMillis::from_unix_millis(asked_at.saturating_sub(skew))
    }

    /// What the answer is worth at `now` to a view that stands `here` and is `view_age` old.
    ///
    /// It must have been asked for less than `refresh` ago, and be younger than the view. One that knows less than the view does is of no
    /// use: the view has been told of a purge since, or the authority has lost one, and only the authority knows.
    pub(crate) fn worth(
        &self,
        here: Option<Epoch>,
        view_age: Option<Milliseconds>,
        now: TimestampMillis,
        refresh: Milliseconds,
    ) -> Worth {
        let is_young = now >= self.asked_at && now.saturating_since(self.asked_at) < refresh;
        let counts = now.saturating_since(self.counts_from());
        if !is_young || view_age.is_some_and(|age| counts >= age) {
            return Worth::Nothing;
        }
        let follows = match (self.from, here) {
            (None, _) => true,
            (Some(from), Some(here)) => {
                from.incarnation == here.incarnation && from.sequence <= here.sequence
            }
            (Some(_), None) => false,
        };
        match here {
            Some(here) if here == self.head => Worth::Confirms,
            Some(here)
                if here.incarnation == self.head.incarnation
                    && here.sequence > self.head.sequence =>
            {
                Worth::Nothing
            }
            Some(_) | None if follows => Worth::Brings,
            Some(_) | None => Worth::Nothing,
        }
    }

    /// `1 ASKED_AT FROM HEAD`, with a dash for the whole ledger.
    pub(crate) fn to_text(self) -> String {
        let from = self.from.map_or("-".to_owned(), |from| from.to_string());
        format!("1 {} {from} {}", self.asked_at.as_unix_millis(), self.head)
    }

    /// The label that [`Self::to_text`] wrote; none if it is none.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let version = words.next()?;
        let (asked_at, from, head) = (words.next()?, words.next()?, words.next()?);
        if version != "1" || words.next().is_some() {
            return None;
        }
        Some(Self {
            asked_at: TimestampMillis::from_unix_millis(asked_at.parse().ok()?),
            from: match from {
                "-" => None,
                from => Some(from.parse().ok()?),
            },
            head: head.parse().ok()?,
        })
    }
}

/// Where the newest answer lies: of no host that exists.
const ANSWER: &str = "https://terrace.internal/ledger/v1/answer";
/// Where who asks says so.
const ASKING: &str = "https://terrace.internal/ledger/v1/asking";
/// Field with an answer's [`Label`], or with the moment since when somebody asks.
const LABEL: &str = "terrace-ledger";

/// The newest answer that somebody left here, and its bytes to be read. A failure is none.
pub(crate) async fn look() -> Option<(Label, web_sys::Response)> {
    let response = find(ANSWER).await.ok()??;
    let label = Label::from_text(&response.headers().get(LABEL).ok()??)?;
    Some((label, response))
}

/// The bytes of an answer that was found. A failure is none.
pub(crate) async fn read(response: &web_sys::Response) -> Option<Vec<u8>> {
    let bytes = JsFuture::from(response.array_buffer().ok()?).await.ok()?;
    Some(Uint8Array::new(&bytes).to_vec())
}

/// Leaves an answer for others. A failure costs them a question.
pub(crate) async fn leave(label: Label, bytes: &[u8], refresh: Milliseconds) {
    let _ = keep(
        ANSWER,
        &label.to_text(),
        Some(bytes),
        refresh.as_u64().div_ceil(1_000),
    )
    .await;
}

/// Whether somebody has begun to ask a moment ago.
pub(crate) async fn somebody_asks(now: TimestampMillis) -> bool {
    let Ok(Some(response)) = find(ASKING).await else {
        return false;
    };
    let since = response.headers().get(LABEL).ok().flatten();
    let since = since.and_then(|text| text.parse().ok());
    since.is_some_and(|since| is_asking(TimestampMillis::from_unix_millis(since), now))
}

/// Says that this isolate is about to ask.
pub(crate) async fn say_asking(now: TimestampMillis) {
    let since = now.as_unix_millis().to_string();
    let _ = keep(ASKING, &since, None, 1).await;
}

fn is_asking(since: TimestampMillis, now: TimestampMillis) -> bool {
    since <= now.saturating_add(Sharing::SKEW) && now.saturating_since(since) < Sharing::COURTESY
}

fn open() -> Result<web_sys::Cache, JsValue> {
    let caches = Reflect::get(&js_sys::global(), &"caches".into())?;
    Reflect::get(&caches, &"default".into())?.dyn_into()
}

async fn find(url: &str) -> Result<Option<web_sys::Response>, JsValue> {
    let found = JsFuture::from(open()?.match_with_str(url)).await?;
    if found.is_undefined() {
        return Ok(None);
    }
    found.dyn_into().map(Some)
}

async fn keep(url: &str, label: &str, bytes: Option<&[u8]>, seconds: u64) -> Result<(), JsValue> {
    let headers = web_sys::Headers::new()?;
    headers.set("cache-control", &format!("max-age={}", seconds.max(1)))?;
    headers.set("content-type", "application/octet-stream")?;
    headers.set(LABEL, label)?;
    let init = web_sys::ResponseInit::new();
    init.set_headers(headers.as_ref());
    let body = Uint8Array::from(bytes.unwrap_or_default());
    let entry = web_sys::Response::new_with_opt_js_u8_array_and_init(Some(&body), &init)?;
    JsFuture::from(open()?.put_with_str(url, &entry)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use terrace_shared::purge::{Incarnation, Sequence};

    use super::*;

    const YOUNG: Milliseconds = Milliseconds::new(1_000);

    const fn at(milliseconds: u64) -> TimestampMillis {
        TimestampMillis::from_unix_millis(milliseconds)
    }

    const fn epoch(incarnation: u64, sequence: u64) -> Epoch {
        Epoch {
            incarnation: Incarnation::from_random(incarnation),
            sequence: Sequence::new(sequence),
        }
    }

    #[test]
    fn an_answer_is_worth_what_follows_on_from_here_and_nothing_else() {
        let (one, two) = (epoch(1, 5), epoch(2, 5));
        for (from, head, here, worth) in [
            // The whole ledger serves whoever knows less, or another history.
            (None, one, None, Worth::Brings),
            (None, one, Some(epoch(1, 4)), Worth::Brings),
            (None, one, Some(two), Worth::Brings),
            // The same position needs no bytes.
            (None, one, Some(one), Worth::Confirms),
            (Some(epoch(1, 5)), one, Some(one), Worth::Confirms),
            (Some(epoch(1, 9)), one, Some(one), Worth::Confirms),
            // News serve whoever stands where they begin, or after that.
            (Some(epoch(1, 3)), one, Some(epoch(1, 3)), Worth::Brings),
            (Some(epoch(1, 3)), one, Some(epoch(1, 4)), Worth::Brings),
            (Some(epoch(1, 3)), one, Some(epoch(1, 2)), Worth::Nothing),
            (Some(epoch(1, 3)), one, None, Worth::Nothing),
            (Some(epoch(1, 3)), one, Some(two), Worth::Nothing),
            // A purge that went through this isolate is not hidden by an answer from before it.
            (None, one, Some(epoch(1, 6)), Worth::Nothing),
            (Some(epoch(1, 5)), one, Some(epoch(1, 6)), Worth::Nothing),
        ] {
            let label = Label {
                asked_at: at(10_000),
                from,
                head,
            };
            let view_age = here.map(|_| Milliseconds::new(5_300));
            assert_eq!(
                label.worth(here, view_age, at(10_300), YOUNG),
                worth,
                "{from:?} {here:?}"
            );
        }
    }

    #[test]
    fn an_answer_must_be_young_and_newer_than_the_view_and_not_of_the_future() {
        let label = Label {
            asked_at: at(10_000),
            from: None,
            head: epoch(1, 5),
        };
        for (confirmed_at, now, worth) in [
            (5_000, 10_000, Worth::Brings),
            (5_000, 10_999, Worth::Brings),
            (5_000, 11_000, Worth::Nothing),
            // Clocks may differ, so it counts as older than it says.
            (9_899, 10_100, Worth::Brings),
            (9_900, 10_100, Worth::Nothing),
            (10_000, 10_100, Worth::Nothing),
            (5_000, 9_999, Worth::Nothing),
        ] {
            let here = Some(epoch(1, 4));
            let view_age = at(now).saturating_since(at(confirmed_at));
            let got = label.worth(here, Some(view_age), at(now), YOUNG);
            assert_eq!(got, worth, "{confirmed_at} {now}");
        }
    }

    #[test]
    fn lots_are_spread_over_half_an_interval_and_within_the_bound() {
        for (drawn, bound, after) in [
            (0, 5_000, 1_100),
            (51, 5_000, 1_200),
            (255, 5_000, 1_600),
            (255, 1_400, 1_200),
            (255, 500, 1_000),
        ] {
            let got = Sharing::On.refresh_after(YOUNG, Milliseconds::new(bound), drawn);
            assert_eq!(got, Milliseconds::new(after), "{drawn} {bound}");
            let off = Sharing::Off.refresh_after(YOUNG, Milliseconds::new(bound), drawn);
            assert_eq!(off, YOUNG);
        }
    }

    #[test]
    fn a_label_is_pinned_and_anything_else_is_none() {
        let labels = [None, Some(epoch(0xaa, 3))].map(|from| Label {
            asked_at: at(1_700_000_000_123),
            from,
            head: epoch(0xaa, 7),
        });
        let text = labels.map(|label| label.to_text() + "\n").concat();
        let pinned = include_str!("../../../tests/vectors/ledger_shared_v1.txt");
        assert_eq!(text, pinned);
        for label in labels {
            assert_eq!(Label::from_text(&label.to_text()), Some(label));
        }
        for other in ["", "1", "2 1 - aa-7", "1 x - aa-7", "1 1 - -", "1 1 -"] {
            assert_eq!(Label::from_text(other), None, "{other:?}");
        }
        let more = format!("{} x", labels[0].to_text());
        assert_eq!(Label::from_text(&more), None);
    }

    #[test]
    fn who_said_long_ago_that_he_asks_is_not_waited_for() {
        for (now, asking) in [(900, true), (1_000, true), (1_499, true), (1_500, false)] {
            assert_eq!(is_asking(at(1_000), at(now)), asking, "{now}");
        }
        assert!(!is_asking(at(1_000), at(899)), "of the future");
    }

    #[test]
    fn the_setting_is_on_off_or_an_error() {
        assert_eq!(Sharing::parse("").unwrap(), Sharing::On);
        assert_eq!(Sharing::parse(" off ").unwrap(), Sharing::Off);
        let error = Sharing::parse("yes").unwrap_err().to_string();
        assert!(error.contains("TERRACE_LEDGER_SHARING"), "{error}");
    }
}
