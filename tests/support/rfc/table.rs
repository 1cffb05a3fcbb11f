//! The table files: plain types, read strictly.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::driver::Place;
use super::value::{ValueError, Values};

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

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A file cannot be read.
    #[error("{file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is no TOML.
    #[error("{file}: {source}")]
    Syntax {
        /// The file.
        file: String,
        /// Where and why not.
        source: toml::de::Error,
    },
    /// A case is not as it must be.
    #[error("{file}, case {case:?}: {problem}")]
    Case {
        /// The file.
        file: String,
        /// The case's name, or its place.
        case: String,
        /// What is wrong.
        problem: String,
    },
    /// A step is not as it must be.
    #[error("{file}, case {case:?}, step {step}: {problem}")]
    Step {
        /// The file.
        file: String,
        /// The case's name.
        case: String,
        /// The step's place, from 1.
        step: usize,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseHead {
    name: String,
    section: String,
    #[serde(rename = "where")]
    places: Option<Vec<Place>>,
    because: Option<String>,
}

/// The directory of the table files.
pub fn directory() -> PathBuf {
    crate::process::root().join("tests/rfc")
}

/// All cases of all files in [`directory`], in order.
///
/// # Errors
/// When anything in them is not as it must be.
pub fn load() -> Result<Vec<Case>, TableError> {
    let unreadable = |file: &Path, source| TableError::Read {
        file: file.display().to_string(),
        source,
    };
    let directory = directory();
    let entries = std::fs::read_dir(&directory).map_err(|error| unreadable(&directory, error))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| {
        file.extension().is_some_and(|ending| ending == "toml")
            && file
                .file_stem()
                .is_some_and(|stem| stem != super::gaps::FILE)
    });
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, error))?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        for case in parse(&stem, &text)? {
            if cases.iter().any(|other| other.name == case.name) {
                return Err(case.wrong("another case has the same name"));
            }
            cases.push(case);
        }
    }
    Ok(cases)
}

/// The cases in `text`, which stands in `file`.
///
/// # Errors
/// When anything in it is not as it must be.
pub fn parse(file: &str, text: &str) -> Result<Vec<Case>, TableError> {
    let mut table: toml::Table = toml::from_str(text).map_err(|source| TableError::Syntax {
        file: file.to_owned(),
        source,
    })?;
    let wrong = |case: &str, problem: String| TableError::Case {
        file: file.to_owned(),
        case: case.to_owned(),
        problem,
    };
    let cases = match table.remove("case") {
        Some(toml::Value::Array(cases)) => cases,
        _ => return Err(wrong("", "a table is a list of [[case]]".to_owned())),
    };
    if let Some(key) = table.keys().next() {
        return Err(wrong("", format!("unknown key {key:?} beside the cases")));
    }
    let mut all = Vec::with_capacity(cases.len());
    for (at, case) in cases.into_iter().enumerate() {
        let toml::Value::Table(mut case) = case else {
            return Err(wrong(&(at + 1).to_string(), "it is no table".to_owned()));
        };
        match case.remove("each") {
            None => all.push(one_case(file, at, case)?),
            Some(toml::Value::Array(values)) if !values.is_empty() => {
                for value in values {
                    let case = case.iter();
                    let case = case.map(|(key, part)| (key.clone(), with_each(part, &value)));
                    all.push(one_case(file, at, case.collect())?);
                }
            }
            Some(_) => {
                let at = (at + 1).to_string();
                return Err(wrong(&at, "`each` is a list of values".to_owned()));
            }
        }
    }
    Ok(all)
}

/// `part` with `value` wherever it says `{each}`.
fn with_each(part: &toml::Value, value: &toml::Value) -> toml::Value {
    match part {
        toml::Value::String(text) if text == "{each}" => value.clone(),
        toml::Value::String(text) => {
            let value = match value {
                toml::Value::String(value) => value.clone(),
                other => other.as_integer().unwrap_or_default().to_string(),
            };
            toml::Value::String(text.replace("{each}", &value))
        }
        toml::Value::Array(parts) => {
            let parts = parts.iter().map(|part| with_each(part, value));
            toml::Value::Array(parts.collect())
        }
        toml::Value::Table(parts) => {
            let parts = parts.iter();
            let parts = parts.map(|(key, part)| (key.clone(), with_each(part, value)));
            toml::Value::Table(parts.collect())
        }
        other => other.clone(),
    }
}

fn one_case(file: &str, at: usize, mut table: toml::Table) -> Result<Case, TableError> {
    let steps = table.remove("step");
    // Until it is known that the rest is well formed, errors call it so.
    let label = match table.get("name") {
        Some(toml::Value::String(name)) => name.clone(),
        _ => (at + 1).to_string(),
    };
    let mut case = Case {
        file: file.to_owned(),
        name: label,
        section: String::new(),
        places: Place::ALL.to_vec(),
        steps: Vec::new(),
    };
    let head: CaseHead = typed(table).map_err(|problem| case.wrong(&problem))?;
    case.name = head.name;
    case.section = head.section;
    match (head.places, head.because) {
        (None, None) => {}
        (Some(places), Some(_)) => case.places = places,
        (Some(_), None) => return Err(case.wrong("`where` needs a `because`")),
        (None, Some(_)) => return Err(case.wrong("`because` without `where`")),
    }
    if case.places.is_empty() || case.section.is_empty() {
        return Err(case.wrong("it needs a section, and holds somewhere"));
    }
    let Some(toml::Value::Array(steps)) = steps else {
        return Err(case.wrong("it has no [[case.step]]"));
    };
    for (at, step) in steps.into_iter().enumerate() {
        let wrong = |problem: String| TableError::Step {
            file: file.to_owned(),
            case: case.name.clone(),
            step: at + 1,
            problem,
        };
        let toml::Value::Table(step) = step else {
            return Err(wrong("it is no table".to_owned()));
        };
        let step: Step = typed(step).map_err(&wrong)?;
        step.check().map_err(&wrong)?;
        case.steps.push(step);
    }
    Ok(case)
}

fn typed<T: DeserializeOwned>(table: toml::Table) -> Result<T, String> {
    T::deserialize(table).map_err(|error| error.to_string().trim_end().to_owned())
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

    fn wrong(&self, problem: &str) -> TableError {
        TableError::Case {
            file: self.file.clone(),
            case: self.name.clone(),
            problem: problem.to_owned(),
        }
    }
}

impl Step {
    /// Whether the origin is asked.
    pub fn asked(&self) -> Asked {
        let asked = self.expect.asked;
        asked.unwrap_or(Asked::First(self.origin.is_some()))
    }

    /// What no type says.
    fn check(&self) -> Result<(), String> {
        let is_asked = self.asked() != Asked::First(false);
        match (is_asked, &self.origin) {
            (false, Some(_)) => return Err("the origin's answer is never used".to_owned()),
            (true, None) => return Err("the origin is asked and has no answer".to_owned()),
            (true, Some(_)) | (false, None) => {}
        }
        if self.origin.is_none() && self.origin_saw.is_some() {
            return Err("the origin is not asked, and sees nothing".to_owned());
        }
        if self.origin_then.is_some() && self.origin.is_none()
            || self.origin_then_saw.is_some() && self.origin_then.is_none()
        {
            return Err(
                "a second request of the origin needs a first one and an answer".to_owned(),
            );
        }
        for answer in self.origin.iter().chain(&self.origin_then) {
            if !answer.trailers.is_empty() && !answer.chunked {
                return Err("trailers need chunks".to_owned());
            }
        }
        self.fill_all().map_err(|error| error.to_string())
    }

    /// Fills every text in, to see that it can be.
    fn fill_all(&self) -> Result<(), ValueError> {
        let values = Values {
            now: SystemTime::now(),
            authority: "127.0.0.1:1".to_owned(),
            path: "/rfc/x".to_owned(),
        };
        let expect = &self.expect;
        let mut lines = vec![
            &self.fields,
            &expect.fields,
            &expect.lines,
            &expect.contains,
        ];
        lines.push(&expect.trailers);
        for informational in expect.informational.iter().flatten() {
            lines.push(&informational.fields);
        }
        for answer in self.origin.iter().chain(&self.origin_then) {
            lines.push(&answer.fields);
            lines.push(&answer.trailers);
            for informational in &answer.informational {
                lines.push(&informational.fields);
            }
            values.fill(&answer.body)?;
        }
        for saw in self.origin_saw.iter().chain(&self.origin_then_saw) {
            lines.extend([&saw.fields, &saw.contains]);
        }
        for lines in lines {
            values.fields(lines)?;
        }
        let texts = [Some(&self.path), Some(&self.body), expect.body.as_ref()];
        for text in texts.into_iter().flatten().chain(&expect.body_has) {
            values.fill(text)?;
        }
        Ok(())
    }
}

fn get() -> String {
    "GET".to_owned()
}

const fn ok() -> u16 {
    200
}
