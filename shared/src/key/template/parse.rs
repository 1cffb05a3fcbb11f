//! Reading a template, and refusing those that could give one key for different parts.

use super::value::is_plain;
use super::{Element, HashedPart, Input, Need, Template, TemplateError, first_byte};
use crate::key::parts::is_part_name;

/// The elements of the template that `text` is.
pub(super) fn elements(text: &str) -> Result<Vec<Element>, TemplateError> {
    if text.is_empty() {
        return Err(TemplateError::Empty);
    }
    if text.len() > Template::LONGEST {
        return Err(TemplateError::TooLong { bytes: text.len() });
    }
    let mut parser = Parser {
        text,
        at: 0,
        names: Vec::new(),
        groups: 0,
    };
    let elements = parser.sequence(None)?;
    if !matches!(elements.first(), Some(Element::Literal(_))) {
        return Err(TemplateError::NoLiteralFirst);
    }
    check(&elements, &Next::default())?;
    Ok(elements)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    names: Vec<&'a str>,
    groups: usize,
}

impl<'a> Parser<'a> {
    /// Elements up to the end, or up to the bracket that closes the group opened at `group`.
    fn sequence(&mut self, group: Option<usize>) -> Result<Vec<Element>, TemplateError> {
        let mut elements = Vec::new();
        while let Some(character) = self.peek() {
            let at = self.at;
            match character {
                '{' => elements.push(self.part()?),
                '[' if group.is_some() => return Err(TemplateError::NestedGroup { at }),
                '[' => elements.push(self.group()?),
                ']' if group.is_some() => {
                    self.at += 1;
                    return Ok(elements);
                }
                '}' | ']' => {
                    let bracket = character;
                    return Err(TemplateError::Unopened { bracket, at });
                }
                _ => elements.push(self.literal()?),
            }
        }
        match group {
            None => Ok(elements),
            Some(at) => Err(TemplateError::Unclosed { bracket: '[', at }),
        }
    }

    fn literal(&mut self) -> Result<Element, TemplateError> {
        let start = self.at;
        while let Some(character) = self.peek() {
            match character {
                '{' | '}' | '[' | ']' => break,
                '%' | '*' | '?' | ',' => return Err(self.forbidden(character)),
                _ if character.is_ascii_graphic() => self.at += 1,
                _ => return Err(self.forbidden(character)),
            }
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        Ok(Element::Literal(text.into()))
    }

    fn group(&mut self) -> Result<Element, TemplateError> {
        let at = self.at;
        self.at += 1;
        self.groups += 1;
        if self.groups > Template::MOST_GROUPS {
            return Err(TemplateError::TooManyGroups);
        }
        let inner = self.sequence(Some(at))?;
        if first_byte(&inner).is_none() || first_name(&inner).is_none() {
            return Err(TemplateError::MalformedGroup { at });
        }
        Ok(Element::Group(inner))
    }

    fn part(&mut self) -> Result<Element, TemplateError> {
        let open = self.at;
        let rest = self.text.get(open + 1..).unwrap_or_default();
        let Some(length) = rest.find('}') else {
            return Err(TemplateError::Unclosed {
                bracket: '{',
                at: open,
            });
        };
        let inside = rest.get(..length).unwrap_or_default();
        self.at = open + length + 2;
        let Some((name, function)) = inside.split_once(':') else {
            let name = self.name(inside, open + 1)?;
            return Ok(if name == VERSION {
                Element::Version
            } else {
                Element::Part(name.into())
            });
        };
        let name = self.name(name, open + 1)?;
        if name == VERSION {
            return Err(bad_function(function, open + 1));
        }
        let at = open + 2 + name.len();
        Ok(Element::Hash(HashedPart {
            name: name.into(),
            inputs: self.inputs(function, at)?,
        }))
    }

    /// The inputs in `sha256(a, b, c?)`.
    fn inputs(&mut self, function: &'a str, at: usize) -> Result<Vec<Input>, TemplateError> {
        let list = function
            .strip_prefix("sha256(")
            .and_then(|rest| rest.strip_suffix(')'))
            .ok_or_else(|| bad_function(function, at))?;
        let mut at = at + "sha256(".len();
        let mut inputs = Vec::new();
        for item in list.split(',') {
            let name = item.trim_matches(' ');
            let start = at + item.len() - item.trim_start_matches(' ').len();
            at += item.len() + 1;
            let (name, need) = match name.strip_suffix('?') {
                Some(name) => (name, Need::Optional),
                None => (name, Need::Required),
            };
            let name = self.name(name, start)?;
            if name == VERSION {
                return Err(bad_name(name, start));
            }
            inputs.push(Input {
                name: name.into(),
                need,
            });
        }
        Ok(inputs)
    }

    /// `name`, if it is one and has not been there before.
    fn name(&mut self, name: &'a str, at: usize) -> Result<&'a str, TemplateError> {
        if !is_part_name(name) {
            return Err(bad_name(name, at));
        }
        if self.names.contains(&name) {
            let part = name.into();
            return Err(TemplateError::Repeated { part, at });
        }
        if self.names.len() >= Template::MOST_PARTS {
            return Err(TemplateError::TooManyParts);
        }
        self.names.push(name);
        Ok(name)
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn forbidden(&self, character: char) -> TemplateError {
        TemplateError::ForbiddenCharacter {
            character,
            at: self.at,
        }
    }
}

/// The part that is never given: the key space's version.
const VERSION: &str = "version";

fn bad_name(name: &str, at: usize) -> TemplateError {
    let name = name.into();
    TemplateError::BadName { name, at }
}

fn bad_function(function: &str, at: usize) -> TemplateError {
    let function = function.into();
    TemplateError::BadFunction { function, at }
}

/// What may come next in a key.
#[derive(Clone, Debug, Default)]
struct Next {
    /// What literals that may come next begin with.
    literals: Vec<u8>,
    /// Whether a value may come next.
    value: bool,
}

impl Next {
    /// What may come where `rest` begins, if `after` comes behind it.
    fn of(rest: &[Element], after: &Self) -> Self {
        let mut next = Self::default();
        for element in rest {
            match element {
                Element::Literal(text) => {
                    next.literals.extend(text.bytes().next());
                    return next;
                }
                // A value may be empty, so what is behind it may come next as well.
                Element::Version | Element::Part(_) | Element::Hash(_) => next.value = true,
                Element::Group(inner) => next.literals.extend(first_byte(inner)),
            }
        }
        next.literals.extend(&after.literals);
        next.value |= after.value;
        next
    }
}

/// Refuses elements whose keys could not be read back by looking at one character.
///
/// A value ends at the first byte that no value has, so what comes next must begin with one. A group is
/// there when its first byte is, so nothing that may stand in its place may begin with that.
fn check(elements: &[Element], after: &Next) -> Result<(), TemplateError> {
    for (place, element) in elements.iter().enumerate() {
        let next = Next::of(elements.get(place + 1..).unwrap_or_default(), after);
        match element {
            Element::Literal(_) => {}
            Element::Version => check_value_ends(VERSION, &next)?,
            Element::Part(name) => check_value_ends(name, &next)?,
            Element::Hash(part) => check_value_ends(&part.name, &next)?,
            Element::Group(inner) => {
                let first = first_byte(inner).unwrap_or_default();
                if next.literals.contains(&first) || (next.value && is_plain(first)) {
                    return Err(TemplateError::AmbiguousGroup {
                        part: first_name(inner).unwrap_or_default().into(),
                        character: char::from(first),
                    });
                }
                check(inner, &next)?;
            }
        }
    }
    Ok(())
}

fn check_value_ends(part: &str, next: &Next) -> Result<(), TemplateError> {
    if next.value {
        return Err(TemplateError::Adjacent { part: part.into() });
    }
    match next.literals.iter().find(|byte| is_plain(**byte)) {
        None => Ok(()),
        Some(byte) => Err(TemplateError::Undelimited {
            part: part.into(),
            character: char::from(*byte),
        }),
    }
}

/// The name of the first part of a group, the version not.
fn first_name(group: &[Element]) -> Option<&str> {
    group.iter().find_map(|element| match element {
        Element::Part(name) => Some(&**name),
        Element::Hash(part) => Some(&*part.name),
        Element::Literal(_) | Element::Version | Element::Group(_) => None,
    })
}
