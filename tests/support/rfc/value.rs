//! Placeholders in the tables' text: what only the run knows, and what would be tedious to write.

use std::time::{Duration, SystemTime};

use super::wire::{Fields, Line};

/// What the placeholders of one case stand for.
#[derive(Clone, Debug)]
pub struct Values {
    /// When the case began; it stays the same to the case's end.
    pub now: SystemTime,
    /// Host and port of the cache: `{authority}`.
    pub authority: String,
    /// The case's own path, which every target of its requests begins with: `{path}`.
    pub path: String,
}

/// Why a text cannot be filled in.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ValueError {
    /// A brace is open at the end.
    #[error("{text:?} has an opening brace that is never closed")]
    Open {
        /// The text.
        text: String,
    },
    /// A placeholder that means nothing.
    #[error("{{{name}}} is no placeholder")]
    Unknown {
        /// What stands between the braces.
        name: String,
    },
    /// A field line without a colon.
    #[error("{line:?} is no field line: it has no colon with a space behind it")]
    NoField {
        /// The line.
        line: String,
    },
}

impl Values {
    /// `text` with its placeholders filled in.
    ///
    /// `{path}`, `{authority}`; `{date:-60}`, `{rfc850:-60}` and `{asctime:-60}`: a date so many seconds
    /// from now in its three forms; `{byte:e9}`: a byte; `{repeat:500:x}`: `x` 500 times.
    ///
    /// # Errors
    /// When there is another placeholder in it.
    pub fn fill(&self, text: &str) -> Result<Vec<u8>, ValueError> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            out.extend_from_slice(before.as_bytes());
            let (name, after) = after.split_once('}').ok_or_else(|| ValueError::Open {
                text: text.to_owned(),
            })?;
            let value = self.value(name).ok_or_else(|| ValueError::Unknown {
                name: name.to_owned(),
            })?;
            out.extend_from_slice(&value);
            rest = after;
        }
        out.extend_from_slice(rest.as_bytes());
        Ok(out)
    }

    /// The same, as text.
    ///
    /// # Errors
    /// When there is another placeholder in it.
    pub fn fill_text(&self, text: &str) -> Result<String, ValueError> {
        let bytes = self.fill(text)?;
        Ok(bytes.iter().copied().map(char::from).collect())
    }

    /// Lines `Name: value`, filled in.
    ///
    /// # Errors
    /// When one is no field line.
    pub fn fields(&self, lines: &[String]) -> Result<Fields, ValueError> {
        let line = |line: &String| {
            let (name, value) = line
                .split_once(": ")
                .or_else(|| line.strip_suffix(':').map(|name| (name, "")))
                .ok_or_else(|| ValueError::NoField { line: line.clone() })?;
            Ok(Line {
                name: name.to_owned(),
                value: self.fill(value)?,
            })
        };
        lines.iter().map(line).collect::<Result<_, _>>().map(Fields)
    }

    fn value(&self, name: &str) -> Option<Vec<u8>> {
        let text = match name.split_once(':') {
            None if name == "path" => self.path.clone(),
            None if name == "authority" => self.authority.clone(),
            None => return None,
            Some(("date", seconds)) => httpdate::fmt_http_date(self.at(seconds)?),
            Some(("rfc850", seconds)) => rfc850(&httpdate::fmt_http_date(self.at(seconds)?)),
            Some(("asctime", seconds)) => asctime(&httpdate::fmt_http_date(self.at(seconds)?)),
            Some(("byte", digits)) => return Some(vec![u8::from_str_radix(digits, 16).ok()?]),
            Some(("repeat", what)) => {
                let (times, what) = what.split_once(':')?;
                what.repeat(times.parse().ok()?)
            }
            Some(_) => return None,
        };
        Some(text.into_bytes())
    }

    fn at(&self, seconds: &str) -> Option<SystemTime> {
        let seconds: i64 = seconds.parse().ok()?;
        let distance = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 {
            self.now.checked_sub(distance)
        } else {
            self.now.checked_add(distance)
        }
    }
}

/// `Sunday, 06-Nov-94 08:49:37 GMT` (RFC 9110 §5.6.7).
fn rfc850(date: &str) -> String {
    let day = match &date[..3] {
        "Mon" => "Monday",
        "Tue" => "Tuesday",
        "Wed" => "Wednesday",
        "Thu" => "Thursday",
        "Fri" => "Friday",
        "Sat" => "Saturday",
        _ => "Sunday",
    };
    format!(
        "{day}, {}-{}-{} {} GMT",
        &date[5..7],
        &date[8..11],
        &date[14..16],
        &date[17..25]
    )
}

/// `Sun Nov  6 08:49:37 1994` (RFC 9110 §5.6.7).
fn asctime(date: &str) -> String {
    let day = date[5..7].trim_start_matches('0');
    format!(
        "{} {} {day:>2} {} {}",
        &date[..3],
        &date[8..11],
        &date[17..25],
        &date[12..16]
    )
}
