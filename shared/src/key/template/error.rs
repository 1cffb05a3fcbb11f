//! What can be wrong with a template, and with the parts given to it.

use super::Template;
use crate::key::SurrogateKeyError;

/// Why a text is no template, and where; positions are bytes of the text, from 0.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// Nothing was given.
    #[error("the template is empty")]
    Empty,
    /// More bytes than allowed.
    #[error("the template is {bytes} bytes long, at most {limit} are allowed", limit = Template::LONGEST)]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It begins with a part or a group.
    #[error("the template does not begin with a literal, so its keys have no name of their own")]
    NoLiteralFirst,
    /// A character that literals cannot have.
    #[error("{character:?} at {at} cannot stand in a literal")]
    ForbiddenCharacter {
        /// The character.
        character: char,
        /// Where.
        at: usize,
    },
    /// A bracket that is never closed.
    #[error("{bracket:?} at {at} is never closed")]
    Unclosed {
        /// The bracket.
        bracket: char,
        /// Where.
        at: usize,
    },
    /// A closing bracket that nothing opened.
    #[error("{bracket:?} at {at} closes nothing")]
    Unopened {
        /// The bracket.
        bracket: char,
        /// Where.
        at: usize,
    },
    /// A group in a group.
    #[error("the optional group at {at} stands in another")]
    NestedGroup {
        /// Where.
        at: usize,
    },
    /// A group that does not begin with a literal, or has no part.
    #[error("the optional group at {at} is not a literal and then at least one part")]
    MalformedGroup {
        /// Where.
        at: usize,
    },
    /// More parts than allowed.
    #[error("the template has more than {limit} parts", limit = Template::MOST_PARTS)]
    TooManyParts,
    /// More groups than allowed.
    #[error("the template has more than {limit} optional groups", limit = Template::MOST_GROUPS)]
    TooManyGroups,
    /// Not a name.
    #[error(
        "{name:?} at {at} is no name of a part: a letter or _, then letters, digits and _, at most 64"
    )]
    BadName {
        /// What stands there.
        name: Box<str>,
        /// Where.
        at: usize,
    },
    /// A name that stands twice.
    #[error("part {part:?} at {at} occurs a second time")]
    Repeated {
        /// The name.
        part: Box<str>,
        /// Where.
        at: usize,
    },
    /// A function that there is not, or that is not written `name(inputs)`.
    #[error("{function:?} at {at} is not sha256(…) with at least one input")]
    BadFunction {
        /// What stands there.
        function: Box<str>,
        /// Where.
        at: usize,
    },
    /// Two parts with nothing between them: nobody could tell where the one ends.
    #[error("a part follows part {part:?} with no literal between them")]
    Adjacent {
        /// The first of the two.
        part: Box<str>,
    },
    /// A literal after a part begins with a character that the part's value may have.
    #[error(
        "{character:?} follows part {part:?}, whose value may have it: put a separator such as ':' between"
    )]
    Undelimited {
        /// The part.
        part: Box<str>,
        /// What the literal begins with.
        character: char,
    },
    /// A group begins with what may stand in its place.
    #[error(
        "the optional group with part {part:?} and what may stand in its place both begin with {character:?}"
    )]
    AmbiguousGroup {
        /// The first part of the group.
        part: Box<str>,
        /// What both begin with.
        character: char,
    },
}

/// Why parts make no key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A part that the template needs is not given.
    #[error("part {part:?} is missing")]
    Missing {
        /// Its name.
        part: Box<str>,
    },
    /// A part is given that the template does not have: it would not tell keys apart.
    #[error("part {part:?} is not in the template")]
    Unknown {
        /// Its name.
        part: Box<str>,
    },
    /// Some parts of an optional group are given, and this one is not.
    #[error("part {part:?} is missing, but others of its optional group are given")]
    Partial {
        /// Its name.
        part: Box<str>,
    },
    /// The digest given for a hashed part is none.
    #[error("part {part:?} is hashed: give its inputs, or 32 hexadecimal digits in lower case")]
    NotADigest {
        /// Its name.
        part: Box<str>,
    },
    /// The key has more bytes than allowed.
    #[error("the key is {bytes} bytes long, at most {limit} are allowed", limit = Template::LONGEST_KEY)]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// What came out is no surrogate key, or there are too many.
    #[error(transparent)]
    SurrogateKey(#[from] SurrogateKeyError),
}
