//! Which parts of a query a response does not depend on (draft-ietf-httpbis-no-vary-search).

use std::borrow::Cow;

use ::http::HeaderMap;
use ::http::header::HeaderName;
use sfv::{BareItem, Dictionary, InnerList, ListEntry, Parser};

use super::fields::lines;

/// A valid `No-Vary-Search` field that says anything (§4).
///
/// Two queries that mean the same under it have the same [normal form](Self::normalise).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct NoVarySearch {
    params: Params,
    key_order: KeyOrder,
}

/// Which parameters a response depends on, by their decoded names; sorted, each once.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Params {
    AllBut(Vec<Box<str>>),
    Only(Vec<Box<str>>),
}

/// Whether it depends on the order of parameters with different names.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum KeyOrder {
    Matters,
    Ignored,
}

impl NoVarySearch {
    /// The field's name.
    pub const FIELD: HeaderName = HeaderName::from_static("no-vary-search");

    /// What a response with these fields says; none if it says nothing beyond the default, or anything
    /// malformed (§5.1).
    pub fn of(fields: &HeaderMap) -> Option<Self> {
        if !fields.contains_key(Self::FIELD) {
            return None;
        }
        // Several lines are one value with commas between (RFC 9651 §4.2).
        let value: Vec<&[u8]> = lines(fields, &Self::FIELD).collect();
        let dictionary: Dictionary = Parser::new(&value.join(&b", "[..])).parse().ok()?;
        Self::of_dictionary(&dictionary).filter(|rule| !rule.is_default())
    }

    fn of_dictionary(dictionary: &Dictionary) -> Option<Self> {
        let key_order = match dictionary.get("key-order").map(boolean) {
            None | Some(Some(false)) => KeyOrder::Matters,
            Some(Some(true)) => KeyOrder::Ignored,
            Some(None) => return None,
        };
        let params = match dictionary.get("params") {
            None => Params::AllBut(Vec::new()),
            Some(ListEntry::InnerList(list)) => Params::AllBut(keys(list)?),
            Some(item) => {
                if boolean(item)? {
                    Params::Only(Vec::new())
                } else {
                    Params::AllBut(Vec::new())
                }
            }
        };
        let params = match (dictionary.get("except"), params) {
            (None, params) => params,
            (Some(ListEntry::InnerList(list)), Params::Only(_)) => Params::Only(keys(list)?),
            (Some(_), _) => return None,
        };
        Some(Self { params, key_order })
    }

    /// Whether every query is a response of its own, as it is without the field (§4).
    fn is_default(&self) -> bool {
        self.key_order == KeyOrder::Matters && self.params == Params::AllBut(Vec::new())
    }

    /// The one form of all queries, given without their `?`, that mean the same as this one (§6).
    ///
    /// It is a query itself: names and values decoded and written in one way.
    pub fn normalise<'a>(&self, query: &'a str) -> Cow<'a, str> {
        if query.is_empty() {
            return Cow::Borrowed(query);
        }
        let mut pairs: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decoded(name), decoded(value))
            })
            .filter(|(name, _)| self.has(name))
            .collect();
        match self.key_order {
            KeyOrder::Matters => {}
            // Those of one name stay in their order.
            KeyOrder::Ignored => pairs.sort_by(|(one, _), (other, _)| one.cmp(other)),
        }
        let mut out = String::with_capacity(query.len());
        for (name, value) in pairs {
            if !out.is_empty() {
                out.push('&');
            }
            encode(&mut out, &name);
            out.push('=');
            encode(&mut out, &value);
        }
        Cow::Owned(out)
    }

    /// Whether two queries, given without their `?`, mean the same response (§6).
    pub fn are_equivalent(&self, one: &str, other: &str) -> bool {
        self.normalise(one) == self.normalise(other)
    }

    /// The rule in its one spelling, as the field says it: equal rules have equal texts.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        match self.key_order {
            KeyOrder::Matters => {}
            KeyOrder::Ignored => out.push_str("key-order, "),
        }
        let names = match &self.params {
            Params::AllBut(names) => {
                out.push_str("params=(");
                names
            }
            Params::Only(names) => {
                out.push_str("params, except=(");
                names
            }
        };
        for (place, name) in names.iter().enumerate() {
            out.push_str(if place == 0 { "\"" } else { " \"" });
            encode(&mut out, name);
            out.push('"');
        }
        out.push(')');
        out
    }

    fn has(&self, name: &str) -> bool {
        let is_in =
            |names: &[Box<str>]| names.binary_search_by(|other| (**other).cmp(name)).is_ok();
        match &self.params {
            Params::AllBut(names) => !is_in(names),
            Params::Only(names) => is_in(names),
        }
    }
}

fn boolean(entry: &ListEntry) -> Option<bool> {
    match entry {
        ListEntry::Item(item) => item.bare_item.as_boolean(),
        ListEntry::InnerList(_) => None,
    }
}

/// The decoded names in a list; none if any member is not a string (§5.3).
fn keys(list: &InnerList) -> Option<Vec<Box<str>>> {
    let name = |item: &sfv::Item| match &item.bare_item {
        BareItem::String(text) => Some(decoded(text.as_str()).into()),
        _ => None,
    };
    let mut names: Vec<Box<str>> = list.items.iter().map(name).collect::<Option<_>>()?;
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// Text as forms encode it, decoded; what is not UTF-8 is replaced (WHATWG URL §5.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut ahead = rest.clone();
                let digits = (ahead.next().and_then(digit), ahead.next().and_then(digit));
                match digits {
                    (Some(high), Some(low)) => {
                        bytes.push(high << 4 | low);
                        rest = ahead;
                    }
                    _ => bytes.push(byte),
                }
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// Writes text as forms encode it: one way for every text (WHATWG URL §5.2).
fn encode(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        match byte {
            b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
