//! Key templates: readable keys that no two different sets of parts share.
//!
//! ```text
//! plan_catalog:v{version}:{plan_id}                          literals, the key space's version, a part
//! context:{customer_id}:{agent_type}[:{conversation_id}]     an optional group
//! plan_search:v{version}:{search:sha256(zip, usage, sort?)}  a part hashed from several inputs
//! ```
//!
//! - *Literals* are visible ASCII but `{ } [ ] % * ? ,`. A template begins with one.
//! - `{name}` is a part. A name is a letter or `_`, then letters, digits and `_`. None occurs twice.
//! - `{version}` is the version of the key space; it is never given as a part.
//! - `[…]` is an optional group: written when all its parts are given, left out when none is. It begins
//!   with a literal, has at least one part, and holds no other group.
//! - `{name:sha256(a, b, c?)}` is the first 32 hexadecimal digits of the SHA-256 of its inputs,
//!   each name and value encoded as an [`EncodedKey`]; `c?` may be absent, which differs from empty.
//!   In place of the inputs, the digest itself may be given under the part's own name.
//!
//! In a value, letters, digits and `- . _ ~` stand for themselves; every other byte becomes `%` and two
//! hexadecimal digits in upper case. Hence a part ends where the next literal begins, as long as that
//! begins with another character: a template where it does not is refused, and so is one where a group
//! and what may stand in its place begin with the same character.

mod error;
mod overlap;
mod parse;
#[cfg(test)]
mod tests;
mod value;
mod walk;

use serde::{Deserialize, Serialize};

pub use self::error::{KeyError, TemplateError};
use self::walk::{Matcher, Writer};
use super::KeyParts;

/// A pattern of keys, which names parts and gives a key for their values and back.
///
/// Its version is 1 until [`Template::with_version`] says otherwise.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Template {
    text: Box<str>,
    version: u32,
    elements: Vec<Element>,
}

/// One piece of a template.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Element {
    Literal(Box<str>),
    Version,
    Part(Box<str>),
    Hash(HashedPart),
    Group(Vec<Element>),
}

/// A part that is computed from others.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct HashedPart {
    name: Box<str>,
    inputs: Vec<Input>,
}

/// One input of a hashed part.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Input {
    name: Box<str>,
    need: Need,
}

/// Whether an input must be given.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Need {
    Required,
    Optional,
}

/// A template as it is kept in JSON.
#[derive(Deserialize, Serialize)]
struct Stored {
    text: Box<str>,
    version: u32,
}

impl Template {
    /// Longest template, in bytes.
    pub const LONGEST: usize = 512;

    /// Longest key that a template gives, in bytes.
    pub const LONGEST_KEY: usize = 1_024;

    /// Most parts of a template, inputs of hashed parts among them.
    pub const MOST_PARTS: usize = 32;

    /// Most optional groups of a template.
    pub const MOST_GROUPS: usize = 6;

    /// The template that `text` is, for version 1.
    ///
    /// # Errors
    /// When it is malformed, or could give the same key for different parts.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            text: text.into(),
            version: 1,
            elements: parse::elements(text)?,
        })
    }

    /// This template for another version of its key space.
    #[must_use]
    pub fn with_version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Its text, with `{version}` as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The version that stands in its keys, if it has `{version}`.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether `{version}` stands in it.
    pub fn has_version(&self) -> bool {
        flat(&self.elements).any(|element| matches!(element, Element::Version))
    }

    /// The names of the parts that may be given: of a hashed part the inputs; the version not.
    pub fn part_names(&self) -> impl Iterator<Item = &str> {
        flat(&self.elements).flat_map(given_names)
    }

    /// The key that these parts make.
    ///
    /// # Errors
    /// When a part is missing, none of the template's, or the key becomes too long.
    pub fn format(&self, parts: &KeyParts) -> Result<String, KeyError> {
        let (key, used) = self.render(parts)?;
        if used == parts.len() {
            return Ok(key);
        }
        // Without a stranger, a digest and its inputs were given together: the inputs were not read.
        let is_own = |name: &str| {
            self.part_names()
                .chain(self.digests())
                .any(|own| own == name)
        };
        let stranger = parts
            .iter()
            .map(|(name, _)| name)
            .find(|name| !is_own(name));
        let part = stranger.or_else(|| self.hash_inputs().find(|name| parts.get(name).is_some()));
        Err(KeyError::Unknown {
            part: part.unwrap_or_default().into(),
        })
    }

    /// The key of those of these parts that the template has: for surrogate keys and events.
    ///
    /// # Errors
    /// When a part is missing or the key becomes too long.
    pub fn format_from(&self, parts: &KeyParts) -> Result<String, KeyError> {
        self.render(parts).map(|(key, _)| key)
    }

    /// The parts that make `key`, if the template gives it; a hashed part by its digest.
    ///
    /// What is found makes the same key again.
    pub fn match_back(&self, key: &str) -> Option<KeyParts> {
        if key.len() > Self::LONGEST_KEY {
            return None;
        }
        let mut matcher = Matcher {
            rest: key,
            version: self.version,
            parts: KeyParts::new(),
        };
        matcher.elements(&self.elements)?;
        matcher.rest.is_empty().then_some(matcher.parts)
    }

    /// Whether some key belongs to both templates, in the versions they have.
    pub fn overlaps(&self, other: &Self) -> bool {
        overlap::overlap(self, other)
    }

    fn hashed_parts(&self) -> impl Iterator<Item = &HashedPart> {
        flat(&self.elements).filter_map(|element| match element {
            Element::Hash(part) => Some(part),
            Element::Literal(_) | Element::Version | Element::Part(_) | Element::Group(_) => None,
        })
    }

    fn digests(&self) -> impl Iterator<Item = &str> {
        self.hashed_parts().map(|part| &*part.name)
    }

    fn hash_inputs(&self) -> impl Iterator<Item = &str> {
        let inputs = self.hashed_parts().flat_map(|part| &part.inputs);
        inputs.map(|input| &*input.name)
    }

    fn render(&self, parts: &KeyParts) -> Result<(String, usize), KeyError> {
        let mut writer = Writer {
            key: String::with_capacity(self.text.len() + 48),
            version: self.version,
            parts,
            used: 0,
        };
        writer.elements(&self.elements)?;
        let bytes = writer.key.len();
        if bytes > Self::LONGEST_KEY {
            return Err(KeyError::TooLong { bytes });
        }
        Ok((writer.key, writer.used))
    }
}

impl TryFrom<Stored> for Template {
    type Error = TemplateError;

    fn try_from(stored: Stored) -> Result<Self, TemplateError> {
        Ok(Self::parse(&stored.text)?.with_version(stored.version))
    }
}

impl From<Template> for Stored {
    fn from(template: Template) -> Self {
        Self {
            text: template.text,
            version: template.version,
        }
    }
}

/// All elements, those of groups in the place of the group.
fn flat(elements: &[Element]) -> impl Iterator<Item = &Element> {
    elements.iter().flat_map(|element| match element {
        Element::Group(inner) => inner.as_slice(),
        Element::Literal(_) | Element::Version | Element::Part(_) | Element::Hash(_) => {
            std::slice::from_ref(element)
        }
    })
}

/// The names of the parts that are given for one element.
fn given_names(element: &Element) -> impl Iterator<Item = &str> {
    let (part, inputs) = match element {
        Element::Part(name) => (Some(&**name), [].as_slice()),
        Element::Hash(part) => (None, part.inputs.as_slice()),
        Element::Literal(_) | Element::Version | Element::Group(_) => (None, [].as_slice()),
    };
    part.into_iter()
        .chain(inputs.iter().map(|input| &*input.name))
}

/// What the literal at the beginning of a group begins with.
fn first_byte(group: &[Element]) -> Option<u8> {
    match group.first()? {
        Element::Literal(text) => text.bytes().next(),
        Element::Version | Element::Part(_) | Element::Hash(_) | Element::Group(_) => None,
    }
}
