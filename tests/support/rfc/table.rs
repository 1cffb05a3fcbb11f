//! What a table says: plain types.

use serde::Deserialize;

use super::driver::Place;

/// One behaviour, shown by a few requests on a path of their own.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file that it stands in, without its ending.
    pub file: String,
    /// What must hold, as a sentence.
    pub name: String,
    /// Where that is written.
    pub section: String,
    /// Where the cache must run for it to hold.
    pub places: Vec<Place>,
    /// The requests, one after the other.
    pub steps: Vec<Step>,
}

/// One request, and what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its method.
    #[serde(default = "get")]
    pub method: String,
    /// What follows the case's own path in its target.
    #[serde(default)]
    pub path: String,
    /// Its `Host`, if it is not the cache's own.
    pub host: Option<String>,
    /// Its other field lines.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Its content.
    #[serde(default)]
    pub body: String,
    /// What the origin answers when it is asked.
    pub origin: Option<OriginAnswer>,
    /// What it answers when it is asked once more.
    pub origin_then: Option<OriginAnswer>,
    /// What the request must look like that the origin receives.
    pub origin_saw: Option<Saw>,
    /// The same of the second request.
    pub origin_then_saw: Option<Saw>,
    /// What must come back to the client.
    pub expect: Expect,
}

/// An answer of the origin's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginAnswer {
    /// Its status.
    #[serde(default = "ok")]
    pub status: u16,
    /// Its field lines. `Date` and `Content-Length` are added unless they are there.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Leaves `Date` out.
    #[serde(default)]
    pub dateless: bool,
    /// Its content.
    #[serde(default)]
    pub body: String,
    /// Sends the content in chunks.
    #[serde(default)]
    pub chunked: bool,
    /// Its trailer section; only with chunks.
    #[serde(default)]
    pub trailers: Vec<String>,
    /// The responses that come before it.
    #[serde(default)]
    pub informational: Vec<Informational>,
    /// Ends the connection after so many bytes of the content.
    pub break_off_after: Option<usize>,
    /// Waits so long before it answers.
    #[serde(default)]
    pub delay_seconds: u64,
    /// Never answers.
    #[serde(default)]
    pub silent: bool,
    /// Ends the connection instead of answering.
    #[serde(default)]
    pub refused: bool,
}

/// A response before the final one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Informational {
    /// Its status.
    pub status: u16,
    /// Its field lines.
    #[serde(default)]
    pub fields: Vec<String>,
}

/// What the origin must have received.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saw {
    /// The method.
    pub method: Option<String>,
    /// What follows the case's own path in the target.
    pub path: Option<String>,
    /// These fields, each with all its lines joined by commas.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Fields that are there, whatever they say.
    #[serde(default)]
    pub present: Vec<String>,
    /// Fields that have this somewhere in their value.
    #[serde(default)]
    pub contains: Vec<String>,
    /// Fields that are not there.
    #[serde(default)]
    pub absent: Vec<String>,
    /// The content.
    pub body: Option<String>,
}

/// What must come back to the client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Whether the origin is asked. Default: if the step says what it answers.
    pub asked: Option<Asked>,
    /// The status.
    #[serde(default = "ok")]
    pub status: u16,
    /// These fields, each with all its lines joined by commas.
    #[serde(default)]
    pub fields: Vec<String>,
    /// These fields, line by line.
    #[serde(default)]
    pub lines: Vec<String>,
    /// Fields that are there, whatever they say.
    #[serde(default)]
    pub present: Vec<String>,
    /// Fields that are not there.
    #[serde(default)]
    pub absent: Vec<String>,
    /// Fields that have this somewhere in their value.
    #[serde(default)]
    pub contains: Vec<String>,
    /// The content.
    pub body: Option<String>,
    /// Texts that the content has, in this order.
    #[serde(default)]
    pub body_has: Vec<String>,
    /// Whether the answer does not come whole: its content breaks off, or it is a 502, or nothing at all.
    #[serde(default)]
    pub truncated: bool,
    /// The last member of `Cache-Status`.
    pub cache_status: Option<Said>,
    /// `Age`: at least this, and no more than a slow machine needs above it.
    pub age: Option<u64>,
    /// The responses before the final one.
    pub informational: Option<Vec<Informational>>,
    /// Lines of the trailer section.
    #[serde(default)]
    pub trailers: Vec<String>,
}

/// Whether the origin is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Asked {
    /// Before the client is answered, or not at all.
    First(bool),
    /// Otherwise.
    Otherwise(AskedOtherwise),
}

/// How else the origin is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AskedOtherwise {
    /// Behind the answer.
    Behind,
    /// Before the client is answered, and behind the answer once more if the cache likes.
    PerhapsAgain,
    /// Behind the answer, if the cache likes.
    PerhapsBehind,
}

/// What `Cache-Status` must say (RFC 9211).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// Whether it was a hit.
    pub hit: Option<bool>,
    /// Why it was not.
    pub fwd: Option<String>,
    /// What the origin answered.
    pub fwd_status: Option<i64>,
    /// Whether the answer was stored.
    pub stored: Option<bool>,
    /// The freshness lifetime that is left: at most this, and no less than a slow machine leaves of it.
    pub ttl: Option<i64>,
    /// Text that the detail has.
    pub detail: Option<String>,
    /// The names of the members before it.
    pub before: Option<Vec<String>>,
}

impl Case {
    /// A short name for paths, made of its file and its own name.
    pub fn slug(&self) -> String {
        let text = format!("{}-{}", self.file, self.name);
        let mut slug: String = text
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .collect();
        while slug.contains("--") {
            slug = slug.replace("--", "-");
        }
        slug.trim_matches('-').to_owned()
    }
}

impl Step {
    /// Whether the origin is asked.
    pub fn asked(&self) -> Asked {
        let asked = self.expect.asked;
        asked.unwrap_or(Asked::First(self.origin.is_some()))
    }
}

fn get() -> String {
    "GET".to_owned()
}

const fn ok() -> u16 {
    200
}
