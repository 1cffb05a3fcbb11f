//! What isolates of one data centre tell each other of the ledger, by entries in its Cache API.
//!
//! Three of them, under names that no request has: the newest answers of the authority's put together, the whole
//! ledger, and who asks. [`terrace_shared::purge::bulletin`] says what they hold and what that is worth, and
//! [`terrace_shared::purge::refresh`] who asks when. A failing Cache API costs questions and nothing else.

use terrace_shared::purge::bulletin::Label;
use terrace_shared::time::TimestampMillis;
use wasm_bindgen::{JsCast, JsValue};
use worker::Env;
use worker::js_sys::{self, Reflect, Uint8Array};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys;

use crate::error::ConfigError;

/// Whether isolates share what they learn, and take turns in asking.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sharing {
    /// They do.
    On,
    /// Each asks for itself.
    Off,
}

impl Sharing {
    const SETTING: &'static str = "TERRACE_LEDGER_SHARING";

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
}

/// Where something lies: of no host that exists.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// The newest answers, a [`Bulletin`](terrace_shared::purge::bulletin::Bulletin).
    News,
    /// The whole ledger.
    Whole,
    /// Since when somebody asks.
    Claim,
}

impl Place {
    const fn url(self) -> &'static str {
        match self {
            Self::News => "https://terrace.internal/ledger/v2/news",
            Self::Whole => "https://terrace.internal/ledger/v2/whole",
            Self::Claim => "https://terrace.internal/ledger/v2/claim",
        }
    }
}

/// How long everything is kept ([`terrace_shared::purge::bulletin::KEPT`]); what it is worth by then, it says itself.
const KEPT: &str = "max-age=300";

/// Field with a [`Label`], or with the moment since when somebody asks.
const LABEL: &str = "terrace-ledger";

/// What somebody left at a place, and its bytes to be read. A failure is none.
pub(crate) async fn look(place: Place) -> Option<(Label, web_sys::Response)> {
    let (label, response) = find(place).await.ok()??;
    Some((Label::from_text(&label)?, response))
}

/// The bytes of what was found. A failure is none.
pub(crate) async fn read(response: &web_sys::Response) -> Option<Vec<u8>> {
    let bytes = JsFuture::from(response.array_buffer().ok()?).await.ok()?;
    Some(Uint8Array::new(&bytes).to_vec())
}

/// Leaves something for others. A failure costs them a question; nobody waits for what will not lie there.
pub(crate) async fn leave(place: Place, label: Label, bytes: &[u8]) {
    if keep(place, &label.to_text(), bytes).await.is_err() {
        say_asking(TimestampMillis::from_unix_millis(0)).await;
    }
}

/// Since when somebody says that he asks.
pub(crate) async fn claim() -> Option<TimestampMillis> {
    let (since, _) = find(Place::Claim).await.ok()??;
    Some(TimestampMillis::from_unix_millis(since.parse().ok()?))
}

/// Says that this isolate is about to ask.
pub(crate) async fn say_asking(now: TimestampMillis) {
    let since = now.as_unix_millis().to_string();
    let _ = keep(Place::Claim, &since, &[]).await;
}

fn open() -> Result<web_sys::Cache, JsValue> {
    let caches = Reflect::get(&js_sys::global(), &"caches".into())?;
    Reflect::get(&caches, &"default".into())?.dyn_into()
}

async fn find(place: Place) -> Result<Option<(String, web_sys::Response)>, JsValue> {
    let found = JsFuture::from(open()?.match_with_str(place.url())).await?;
    if found.is_undefined() {
        return Ok(None);
    }
    let response: web_sys::Response = found.dyn_into()?;
    let label = response.headers().get(LABEL)?;
    Ok(label.map(|label| (label, response)))
}

async fn keep(place: Place, label: &str, bytes: &[u8]) -> Result<(), JsValue> {
    let headers = web_sys::Headers::new()?;
    headers.set("cache-control", KEPT)?;
    headers.set(LABEL, label)?;
    let init = web_sys::ResponseInit::new();
    init.set_headers(headers.as_ref());
    let body = Uint8Array::from(bytes);
    let entry = web_sys::Response::new_with_opt_js_u8_array_and_init(Some(&body), &init)?;
    JsFuture::from(open()?.put_with_str(place.url(), &entry)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use terrace_shared::purge::bulletin;

    use super::*;

    #[test]
    fn entries_are_kept_as_long_as_the_rules_say() {
        let seconds = bulletin::KEPT.as_u64() / 1_000;
        assert_eq!(KEPT, format!("max-age={seconds}"));
    }

    #[test]
    fn the_setting_is_on_off_or_an_error() {
        assert_eq!(Sharing::parse("").unwrap(), Sharing::On);
        assert_eq!(Sharing::parse(" off ").unwrap(), Sharing::Off);
        let error = Sharing::parse("yes").unwrap_err().to_string();
        assert!(error.contains("TERRACE_LEDGER_SHARING"), "{error}");
    }
}
