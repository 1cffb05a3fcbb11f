//! Key parts: the named values that make one key out of a template.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The named values of one key, sorted by name, each name once.
///
/// As JSON an object; numbers and booleans in it are taken as their text, so an event's payload can be read as it is.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct KeyParts(Vec<(Cow<'static, str>, Box<str>)>);

impl KeyParts {
    /// No parts at all.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// These parts and one more, which replaces the one of the same name.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl ToString) -> Self {
        self.insert(name, value);
        self
    }

    /// Adds a part, which replaces the one of the same name.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers give numbers and texts alike, without a reference"
    )]
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl ToString) {
        let name = name.into();
        let value = value.to_string().into_boxed_str();
        match self.place(&name) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => self.0.insert(place, (name, value)),
        }
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = self.place(name).ok()?;
        self.0.get(place).map(|(_, value)| &**value)
    }

    /// The parts, sorted by name.
    pub fn iter(&self) -> PartIter<'_> {
        PartIter(self.0.iter())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(name))
    }
}

/// The parts of a key, as `(name, value)`, sorted by name.
#[derive(Clone, Debug)]
pub struct PartIter<'a>(std::slice::Iter<'a, (Cow<'static, str>, Box<str>)>);

impl<'a> Iterator for PartIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (&**name, &**value))
    }
}

impl<'a> IntoIterator for &'a KeyParts {
    type Item = (&'a str, &'a str);
    type IntoIter = PartIter<'a>;

    fn into_iter(self) -> PartIter<'a> {
        self.iter()
    }
}

impl<N: Into<Cow<'static, str>>, V: ToString> FromIterator<(N, V)> for KeyParts {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(parts: I) -> Self {
        let mut collected = Self::new();
        collected.extend(parts);
        collected
    }
}

impl<N: Into<Cow<'static, str>>, V: ToString> Extend<(N, V)> for KeyParts {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, parts: I) {
        for (name, value) in parts {
            self.insert(name, value);
        }
    }
}

impl fmt::Display for KeyParts {
    /// `name=value, name=value`: for messages, not for keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, value)) in self.iter().enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            write!(formatter, "{separator}{name}={value}")?;
        }
        Ok(())
    }
}

impl Serialize for KeyParts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de> Deserialize<'de> for KeyParts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PartsVisitor)
    }
}

struct PartsVisitor;

impl<'de> Visitor<'de> for PartsVisitor {
    type Value = KeyParts;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of texts, whole numbers and booleans")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KeyParts, A::Error> {
        let mut parts = KeyParts::new();
        while let Some((name, value)) = map.next_entry::<String, PartValue>()? {
            parts.insert(name, value.0);
        }
        Ok(parts)
    }
}

struct PartValue(String);

impl<'de> Deserialize<'de> for PartValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartValueVisitor)
    }
}

struct PartValueVisitor;

impl Visitor<'_> for PartValueVisitor {
    type Value = PartValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text, a whole number or a boolean")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<PartValue, E> {
        Ok(PartValue(text.to_owned()))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<PartValue, E> {
        Ok(PartValue(number.to_string()))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<PartValue, E> {
        Ok(PartValue(number.to_string()))
    }

    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<PartValue, E> {
        Ok(PartValue(truth.to_string()))
    }
}

/// Whether templates can name a part so: a letter or `_`, then letters, digits and `_`, at most 64.
pub(crate) fn is_part_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn parts_are_sorted_by_name_and_the_later_of_one_name_stays() {
        let parts = KeyParts::new()
            .with("usage", 1_200)
            .with("zip", "75001")
            .with("usage", 900);
        assert_eq!(parts.to_string(), "usage=900, zip=75001");
        assert_eq!(parts.get("zip"), Some("75001"));
        assert_eq!(parts.get("sort"), None);
        assert_eq!(
            parts,
            [("zip", "75001"), ("usage", "900")].into_iter().collect()
        );
    }

    #[test]
    fn an_event_payload_is_read_as_parts() {
        let payload = r#"{"user_id": 12345, "region": "TX", "delta": -1, "gift": true}"#;
        let parts: KeyParts = serde_json::from_str(payload).unwrap();
        assert_eq!(
            parts.to_string(),
            "delta=-1, gift=true, region=TX, user_id=12345"
        );
        let json = serde_json::to_string(&parts).unwrap();
        assert_eq!(serde_json::from_str::<KeyParts>(&json).unwrap(), parts);
        assert!(serde_json::from_str::<KeyParts>(r#"{"a": [1]}"#).is_err());
        assert!(serde_json::from_str::<KeyParts>(r#"{"a": null}"#).is_err());
    }
}
