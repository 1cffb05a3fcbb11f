//! Query normalisation: one cache key for queries that mean the same.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::path::percent_decoded;

/// How the query takes part in the cache key, and is sent to the origin.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct QueryRule {
    /// Which parameters.
    pub names: QueryNames,
    /// In which order.
    pub order: QueryOrder,
}

/// Which parameters of a query take part; a name may end with `*`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryNames {
    /// All.
    #[default]
    All,
    /// These only.
    Keep(Vec<Box<str>>),
    /// All but these.
    Drop(Vec<Box<str>>),
}

/// In which order the parameters of a query take part.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryOrder {
    /// As they were sent.
    #[default]
    AsSent,
    /// By name; those of one name as they were sent.
    Sorted,
}

impl QueryRule {
    /// The query without what takes no part, in the order that the rule wants; `query` is without its `?`.
    ///
    /// Names are compared as they read when decoded (`+` is a space); what stays keeps its own form.
    pub fn normalise<'a>(&self, query: &'a str) -> Cow<'a, str> {
        if matches!(
            (&self.names, self.order),
            (QueryNames::All, QueryOrder::AsSent)
        ) {
            return Cow::Borrowed(query);
        }
        let mut fields: Vec<(Cow<'_, [u8]>, &str)> = query
            .split('&')
            .filter(|field| !field.is_empty())
            .map(|field| (decoded_name(field), field))
            .filter(|(name, _)| self.names.has(name))
            .collect();
        match self.order {
            QueryOrder::AsSent => {}
            QueryOrder::Sorted => fields.sort_by(|(one, _), (other, _)| one.cmp(other)),
        }
        let fields: Vec<&str> = fields.iter().map(|(_, field)| *field).collect();
        Cow::Owned(fields.join("&"))
    }
}

impl QueryNames {
    fn has(&self, name: &[u8]) -> bool {
        let has = |names: &[Box<str>]| {
            names.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning.as_bytes()),
                None => name == pattern.as_bytes(),
            })
        };
        match self {
            Self::All => true,
            Self::Keep(names) => has(names),
            Self::Drop(names) => !has(names),
        }
    }
}

/// The name of one `name=value`, decoded as forms are (WHATWG URL §5.1).
fn decoded_name(field: &str) -> Cow<'_, [u8]> {
    let name = field.split('=').next().unwrap_or_default();
    if name.contains('+') {
        let spaced = name.replace('+', " ");
        return Cow::Owned(percent_decoded(&spaced).into_owned());
    }
    percent_decoded(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn queries_keep_drop_and_sort_by_decoded_name() {
        let names = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
        let keep = QueryNames::Keep(names(&["zip", "a b"]));
        let drop = QueryNames::Drop(names(&["utm_*", "fbclid"]));
        let (sent, sorted) = (QueryOrder::AsSent, QueryOrder::Sorted);
        for (which, order, query, expected) in [
            (&QueryNames::All, sent, "b=2&&a=1&", "b=2&&a=1&"),
            (&QueryNames::All, sorted, "b=2&&a=1&b=1", "a=1&b=2&b=1"),
            (&QueryNames::All, sorted, "", ""),
            (&keep, sent, "zap=1&zip=75001&%7Aip=2", "zip=75001&%7Aip=2"),
            (
                &keep,
                sent,
                "a+b=1&a%20b=2&a%2Bb=3&zip",
                "a+b=1&a%20b=2&zip",
            ),
            (
                &drop,
                sorted,
                "zip=1&utm_source=x&fbclid=y&fb=2",
                "fb=2&zip=1",
            ),
            (&drop, sent, "%75tm_x=1", ""),
        ] {
            let rule = QueryRule {
                names: which.clone(),
                order,
            };
            assert_eq!(rule.normalise(query), expected, "{rule:?} on {query:?}");
        }
    }
}
