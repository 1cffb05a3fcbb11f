//! Tables and values of the policy file, each with its place, so that whatever is wrong is told with it.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{PolicyError, PolicyErrors, Problem};
use crate::time::DeltaSeconds;

/// What has been found wrong so far.
pub(super) struct Findings<'a> {
    text: &'a str,
    found: RefCell<Vec<PolicyError>>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            found: RefCell::new(Vec::new()),
        }
    }

    pub(super) fn add(&self, at: usize, field: &str, problem: Problem, suggestion: Option<&str>) {
        self.found.borrow_mut().push(PolicyError {
            line: self.line(at),
            field: field.into(),
            problem,
            suggestion: suggestion.map(Into::into),
        });
    }

    /// `value`, if nothing has been found wrong.
    pub(super) fn result<T>(&self, value: T) -> Result<T, PolicyErrors> {
        let mut found = self.found.take();
        if found.is_empty() {
            return Ok(value);
        }
        found.sort_by_key(|error| error.line);
        Err(PolicyErrors(found))
    }

    pub(super) fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        before.filter(|byte| **byte == b'\n').count() + 1
    }
}

/// A table that is being read; what was not asked for is unknown.
pub(super) struct Fields<'a> {
    findings: &'a Findings<'a>,
    path: Box<str>,
    at: usize,
    entries: Vec<(&'a str, Field<'a>)>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The fields of the file itself.
    pub(super) fn of_file(table: &'a DeTable<'a>, findings: &'a Findings<'a>) -> Self {
        Self::new(table, "", 0, findings)
    }

    fn new(table: &'a DeTable<'a>, path: &str, at: usize, findings: &'a Findings<'a>) -> Self {
        let mut entries: Vec<_> = table
            .iter()
            .map(|(name, value)| {
                let field = Field {
                    findings,
                    path: join(path, name.get_ref()).into(),
                    at: name.span().start,
                    value: value.get_ref(),
                };
                (&**name.get_ref(), field)
            })
            .collect();
        entries.sort_by_key(|(_, field)| field.at);
        Self {
            findings,
            path: path.into(),
            at,
            entries,
            known: Vec::new(),
        }
    }

    /// The field of this name, which thereby is known.
    pub(super) fn get(&mut self, name: &'static str) -> Option<Field<'a>> {
        self.known.push(name);
        let mut entries = self.entries.iter();
        let (_, field) = entries.find(|(own, _)| *own == name)?;
        Some(field.clone())
    }

    /// The field of this name; it is an error if there is none.
    pub(super) fn require(&mut self, name: &'static str) -> Option<Field<'a>> {
        let field = self.get(name);
        if field.is_none() {
            let path = join(&self.path, name);
            self.findings.add(self.at, &path, Problem::Missing, None);
        }
        field
    }

    /// Reads the field of this name into `target`, which stays as it is if there is none, or a wrong one.
    pub(super) fn set<T: From<U>, U>(
        &mut self,
        target: &mut T,
        name: &'static str,
        read: impl FnOnce(&Field<'a>) -> Option<U>,
    ) {
        if let Some(value) = self.get(name).and_then(|field| read(&field)) {
            *target = value.into();
        }
    }

    /// All fields with their names, in the order of the file: for tables whose names are the user's.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'a str, &Field<'a>)> {
        self.entries.iter().map(|(name, field)| (*name, field))
    }

    /// Those that were not asked for.
    pub(super) fn unknown(&self) -> impl Iterator<Item = (&'a str, &Field<'a>)> {
        self.named().filter(|(name, _)| !self.known.contains(name))
    }

    /// The field that was perhaps meant by a name that was not asked for.
    pub(super) fn nearest(&self, name: &str) -> Option<&'static str> {
        closest(name, &self.known)
    }

    /// Tells of something that is wrong with the table as a whole.
    pub(super) fn fail(&self, problem: Problem) {
        self.findings.add(self.at, &self.path, problem, None);
    }

    /// Tells of the fields that were not asked for.
    pub(super) fn finish(&self) {
        for (name, field) in self.unknown() {
            let near = self.nearest(name);
            let findings = field.findings;
            findings.add(field.at, &field.path, Problem::UnknownField, near);
        }
    }
}

/// One value of the file, with its path and its place.
#[derive(Clone)]
pub(super) struct Field<'a> {
    findings: &'a Findings<'a>,
    path: Box<str>,
    at: usize,
    value: &'a DeValue<'a>,
}

impl<'a> Field<'a> {
    pub(super) fn number(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let DeValue::Integer(number) = self.value else {
            return self.wrong("a whole number");
        };
        let read = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let read = read.filter(|number| range.contains(number));
        if read.is_none() {
            self.fail(Problem::OutOfRange {
                value: number.to_string().into(),
                least: *range.start(),
                most: *range.end(),
            });
        }
        read
    }

    pub(super) fn seconds(&self, range: RangeInclusive<u64>) -> Option<DeltaSeconds> {
        self.number(range).map(DeltaSeconds::seconds)
    }

    /// A number with or without a fraction, more than zero and at most `most`.
    pub(super) fn fraction(&self, most: u32) -> Option<f64> {
        let text = match self.value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => return self.wrong("a number"),
        };
        let read = text.parse().ok();
        let read = read.filter(|number| *number > 0.0 && *number <= f64::from(most));
        if read.is_none() {
            self.fail(Problem::OutOfRange {
                value: text.into(),
                least: 0,
                most: most.into(),
            });
        }
        read
    }

    pub(super) fn truth(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.wrong("true or false"))
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.as_str().or_else(|| self.wrong("a string"))
    }

    /// Whether it is a string, for fields that may be something else.
    pub(super) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    /// Whether it is an array, for fields that may be something else.
    pub(super) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// What one of these words stands for.
    pub(super) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let problem = Problem::UnknownWord {
            word: text.into(),
            allowed: words.join(", ").into(),
        };
        let near = closest(text, &words);
        self.findings.add(self.at, &self.path, problem, near);
        None
    }

    /// What `read` makes of the string.
    pub(super) fn parse<T, E>(
        &self,
        read: impl FnOnce(&str) -> Result<T, E>,
        problem: impl FnOnce(E) -> Problem,
    ) -> Option<T> {
        match read(self.text()?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(problem(error));
                None
            }
        }
    }

    /// The elements of an array.
    pub(super) fn list(&self, most: usize) -> Option<Vec<Self>> {
        let Some(array) = self.value.as_array() else {
            return self.wrong("an array");
        };
        if array.len() > most {
            let count = array.len();
            self.fail(Problem::TooMany { count, most });
            return None;
        }
        let element = |(place, value): (usize, &'a Spanned<DeValue<'a>>)| Self {
            findings: self.findings,
            path: format!("{}[{place}]", self.path).into(),
            at: value.span().start,
            value: value.get_ref(),
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    /// The fields of a table.
    pub(super) fn table(&self) -> Option<Fields<'a>> {
        match self.value.as_table() {
            Some(table) => Some(Fields::new(table, &self.path, self.at, self.findings)),
            None => self.wrong("a table"),
        }
    }

    /// The line it stands in.
    pub(super) fn line(&self) -> usize {
        self.findings.line(self.at)
    }

    pub(super) fn fail(&self, problem: Problem) {
        self.findings.add(self.at, &self.path, problem, None);
    }

    /// Tells of something wrong, and of nothing else that has been found.
    pub(super) fn fail_once(&self, problem: Problem) {
        self.findings.found.take();
        self.fail(problem);
    }

    /// Tells of something wrong, and what was meant.
    pub(super) fn fail_with(&self, problem: Problem, suggestion: &str) {
        self.findings
            .add(self.at, &self.path, problem, Some(suggestion));
    }

    /// Tells of a name that is none of those known, and which of them was perhaps meant.
    pub(super) fn fail_near(&self, problem: fn(Box<str>) -> Problem, name: &str, known: &[&str]) {
        let near = closest(name, known);
        let problem = problem(name.into());
        self.findings.add(self.at, &self.path, problem, near);
    }

    fn wrong<T>(&self, expected: &'static str) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.fail(Problem::WrongType { expected, found });
        None
    }
}

fn join(path: &str, name: &str) -> String {
    let is_bare = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    match (path.is_empty(), is_bare) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{name:?}"),
        (false, true) => format!("{path}.{name}"),
        (false, false) => format!("{path}.{name:?}"),
    }
}

/// The known word that was perhaps meant: one that begins so, or that few slips of the pen lead to.
fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_ascii_lowercase();
    let begins = |known: &&&str| {
        let rest = known.strip_prefix(&*word);
        word.len() > 2 && rest.is_some_and(|rest| rest.starts_with(['_', '-']))
    };
    if let Some(known) = known.iter().find(begins) {
        return Some(known);
    }
    let distance = |known: &str| strsim::damerau_levenshtein(&word, known);
    let nearest = known.iter().min_by_key(|known| distance(known))?;
    (distance(nearest) <= nearest.len().max(word.len()) / 3).then_some(*nearest)
}
