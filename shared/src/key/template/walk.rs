//! Walking a template: from parts to a key, and back.

use std::fmt::Write;

use super::value::{DIGEST_DIGITS, is_digest, is_plain, push_escaped, unescaped};
use super::{Element, HashedPart, KeyError, Need, first_byte, given_names};
use crate::key::{EncodedKey, KeyParts};

/// Writes a key, and counts the parts it has read.
pub(super) struct Writer<'a> {
    pub(super) key: String,
    pub(super) version: u32,
    pub(super) parts: &'a KeyParts,
    pub(super) used: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn elements(&mut self, elements: &[Element]) -> Result<(), KeyError> {
        for element in elements {
            match element {
                Element::Literal(text) => self.key.push_str(text),
                Element::Version => {
                    let _ = write!(self.key, "{}", self.version);
                }
                Element::Part(name) => {
                    let value = self.take(name).ok_or_else(|| missing(name))?;
                    push_escaped(&mut self.key, value);
                }
                Element::Hash(part) => self.hash(part)?,
                Element::Group(inner) => self.group(inner)?,
            }
        }
        Ok(())
    }

    fn hash(&mut self, part: &HashedPart) -> Result<(), KeyError> {
        if let Some(digest) = self.take(&part.name) {
            if !is_digest(digest) {
                let part = part.name.clone();
                return Err(KeyError::NotADigest { part });
            }
            self.key.push_str(digest);
            return Ok(());
        }
        let mut given = Vec::with_capacity(2 * part.inputs.len());
        for input in &part.inputs {
            match (self.take(&input.name), input.need) {
                (Some(value), _) => given.extend([&*input.name, value]),
                (None, Need::Required) => return Err(missing(&input.name)),
                (None, Need::Optional) => {}
            }
        }
        EncodedKey::of(given).push_digest(&mut self.key, DIGEST_DIGITS);
        Ok(())
    }

    fn group(&mut self, inner: &[Element]) -> Result<(), KeyError> {
        let parts = self.parts;
        let given = |name: &str| parts.get(name).is_some();
        let is_given = inner.iter().any(|element| match element {
            Element::Hash(part) => given(&part.name) || given_names(element).any(given),
            Element::Part(_) | Element::Literal(_) | Element::Version | Element::Group(_) => {
                given_names(element).any(given)
            }
        });
        if !is_given {
            return Ok(());
        }
        self.elements(inner).map_err(|error| match error {
            KeyError::Missing { part } => KeyError::Partial { part },
            KeyError::Unknown { .. }
            | KeyError::Partial { .. }
            | KeyError::NotADigest { .. }
            | KeyError::TooLong { .. }
            | KeyError::SurrogateKey(_) => error,
        })
    }

    fn take(&mut self, name: &str) -> Option<&'a str> {
        let value = self.parts.get(name)?;
        self.used += 1;
        Some(value)
    }
}

/// Reads a key, one element after the other; each knows by the next character whether it is there.
pub(super) struct Matcher<'a> {
    pub(super) rest: &'a str,
    pub(super) version: u32,
    pub(super) parts: KeyParts,
}

impl<'a> Matcher<'a> {
    pub(super) fn elements(&mut self, elements: &[Element]) -> Option<()> {
        for element in elements {
            match element {
                Element::Literal(text) => self.rest = self.rest.strip_prefix(&**text)?,
                Element::Version => {
                    let is_own = self.value() == self.version.to_string();
                    is_own.then_some(())?;
                }
                Element::Part(name) => {
                    let value = unescaped(self.value())?;
                    self.parts.insert(String::from(&**name), value);
                }
                Element::Hash(part) => {
                    let digest = self.value();
                    is_digest(digest).then_some(())?;
                    self.parts.insert(String::from(&*part.name), digest);
                }
                Element::Group(inner) => {
                    if self.rest.bytes().next() == first_byte(inner) {
                        self.elements(inner)?;
                    }
                }
            }
        }
        Some(())
    }

    fn value(&mut self) -> &'a str {
        let end = self
            .rest
            .bytes()
            .position(|byte| !is_plain(byte) && byte != b'%');
        let (value, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        value
    }
}

fn missing(part: &str) -> KeyError {
    KeyError::Missing { part: part.into() }
}
