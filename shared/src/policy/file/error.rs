//! What can be wrong with a policy file.

use std::fmt;

use crate::key::TemplateError;
use crate::policy::PathPatternError;
use crate::time::DeltaSeconds;

/// Everything that is wrong with a policy file, in the order of its lines; at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyErrors(pub(super) Vec<PolicyError>);

/// One thing that is wrong with a policy file.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyError {
    pub(super) line: usize,
    pub(super) field: Box<str>,
    pub(super) problem: Problem,
    pub(super) suggestion: Option<Box<str>>,
}

/// What is wrong with a field of a policy file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The text is no TOML.
    #[error("not TOML: {message}")]
    Syntax {
        /// What the parser says.
        message: Box<str>,
    },
    /// The file is of another version of the format.
    #[error("this build reads policy files of version {version} only", version = super::Policy::VERSION)]
    Version,
    /// There is no such field.
    #[error("unknown field")]
    UnknownField,
    /// The field must be given.
    #[error("missing")]
    Missing,
    /// A value of another type.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What is wanted.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A number that is too small or too large.
    #[error("{value} is not between {least} and {most}")]
    OutOfRange {
        /// The number.
        value: Box<str>,
        /// The smallest allowed.
        least: u64,
        /// The largest allowed.
        most: u64,
    },
    /// A word that is none of those allowed.
    #[error("{word:?} is none of {allowed}")]
    UnknownWord {
        /// The word.
        word: Box<str>,
        /// Those allowed.
        allowed: Box<str>,
    },
    /// Not a name.
    #[error("{name:?} is no name: letters, digits, '_', '-' and '.', at most 64")]
    BadName {
        /// What stands there.
        name: Box<str>,
    },
    /// Not the name of a header field or of a cookie, nor a query parameter's.
    #[error("{name:?} is no name of {what}")]
    BadFieldName {
        /// What stands there.
        name: Box<str>,
        /// What it should name.
        what: &'static str,
    },
    /// Not a key template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Not a path pattern.
    #[error(transparent)]
    PathPattern(#[from] PathPatternError),
    /// A surrogate key uses a part that there is not.
    #[error("part {0:?} is not among those that this is made from")]
    UnknownPart(Box<str>),
    /// A surrogate key uses the version where nothing has one.
    #[error("{{version}} has no meaning here: only key spaces have a version")]
    NoVersion,
    /// An event warms a key space that there is not.
    #[error("there is no key space {0:?}")]
    UnknownKeySpace(Box<str>),
    /// A dot in an event's name, without quotes, is a table.
    #[error("an event whose name has a dot is written in quotes")]
    UnquotedEvent,
    /// Two key spaces give the same key.
    #[error("gives keys that keys.{other} gives too")]
    SharedKeys {
        /// The other key space.
        other: Box<str>,
    },
    /// The same a second time.
    #[error("the same as in line {line}, so it would never be used")]
    Repeated {
        /// Where it stands first.
        line: usize,
    },
    /// More entries than allowed.
    #[error("{count} entries, at most {most} are allowed")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many may be.
        most: usize,
    },
    /// A key space that is kept nowhere.
    #[error("no tier keeps it: give memory_seconds, redis_seconds or edge_seconds")]
    NoLifetime,
    /// Two fields that exclude each other.
    #[error("cannot stand beside {other}")]
    Excluded {
        /// The other field.
        other: &'static str,
    },
    /// A value that must not be more than another.
    #[error("more than {other}")]
    Above {
        /// The other field.
        other: &'static str,
    },
    /// A value that must not be less than another.
    #[error("less than {other}")]
    Below {
        /// The other field.
        other: &'static str,
    },
    /// A setting of a route whose responses are never stored.
    #[error("has no effect on a route of class bypass")]
    NoEffect,
    /// The ledger would forget purges of entries that still live.
    #[error("less than the longest lifetime with its grace and the bound, {least}")]
    ShortHorizon {
        /// How long it must be.
        least: DeltaSeconds,
    },
}

impl PolicyErrors {
    /// The errors, in the order of their lines.
    pub fn iter(&self) -> std::slice::Iter<'_, PolicyError> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none, which no reader returns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a PolicyErrors {
    type Item = &'a PolicyError;
    type IntoIter = std::slice::Iter<'a, PolicyError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for PolicyErrors {}

impl fmt::Display for PolicyErrors {
    /// One error a line.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl PolicyError {
    /// Its line in the file, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The path of the field: `keys.plan_catalog.memory_seconds`; empty for the file as a whole.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// What was perhaps meant.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }
}

impl std::error::Error for PolicyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.problem)
    }
}

impl fmt::Display for PolicyError {
    /// `terrace.toml:12: keys.plan_catalog.memori_seconds: unknown field; did you mean "memory_seconds"?`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "terrace.toml:{}: ", self.line)?;
        if !self.field.is_empty() {
            write!(formatter, "{}: ", self.field)?;
        }
        write!(formatter, "{}", self.problem)?;
        match &self.suggestion {
            Some(suggestion) => write!(formatter, "; did you mean {suggestion:?}?"),
            None => Ok(()),
        }
    }
}
