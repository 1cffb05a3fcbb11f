//! Reading the table files, strictly: whatever is wrong is named with its file, case and step.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::driver::Place;
use super::table::{Asked, Case, Step};
use super::value::{ValueError, Values};

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
    fn wrong(&self, problem: &str) -> TableError {
        TableError::Case {
            file: self.file.clone(),
            case: self.name.clone(),
            problem: problem.to_owned(),
        }
    }
}

impl Step {
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
