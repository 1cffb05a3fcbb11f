//! `Cache-Status`, taken apart (RFC 9211).

use sfv::{BareItem, Item, List, ListEntry, Parser};

use super::table::Said;
use super::wire::Fields;

/// How much of a lifetime may pass before a slow machine looks at it, in seconds.
pub(super) const SLACK: u64 = 30;

/// What of `said` the fields do not say, one sentence each.
pub(super) fn differences(said: &Said, fields: &Fields) -> Vec<String> {
    let Some(text) = fields.joined("cache-status") else {
        return vec!["Cache-Status is missing".to_owned()];
    };
    let items = match members(&text) {
        Ok(items) => items,
        Err(error) => return vec![format!("Cache-Status {text:?} cannot be read: {error}")],
    };
    let Some((last, before)) = items.split_last() else {
        return vec!["Cache-Status is empty".to_owned()];
    };
    let mut wrong = Vec::new();
    let mut check = |name: &str, holds: bool| {
        if !holds {
            wrong.push(format!("Cache-Status {name} is not as expected: {text}"));
        }
    };
    if let Some(hit) = said.hit {
        check("hit", flag(last, "hit") == hit);
    }
    if let Some(reason) = &said.fwd {
        check("fwd", token(last, "fwd").as_ref() == Some(reason));
        check("hit", !flag(last, "hit"));
    }
    if let Some(status) = said.fwd_status {
        check("fwd-status", integer(last, "fwd-status") == Some(status));
    }
    if let Some(stored) = said.stored {
        check("stored", flag(last, "stored") == stored);
    }
    if let Some(ttl) = said.ttl {
        let least = ttl.saturating_sub_unsigned(SLACK);
        let got = integer(last, "ttl");
        check("ttl", got.is_some_and(|got| (least..=ttl).contains(&got)));
    }
    if let Some(detail) = &said.detail {
        let got = parameter(last, "detail").and_then(text_of);
        check("detail", got.is_some_and(|got| got.contains(detail)));
    }
    if let Some(names) = &said.before {
        let got: Vec<_> = before
            .iter()
            .filter_map(|item| text_of(&item.bare_item))
            .collect();
        check("members", got == *names);
    }
    wrong
}

fn members(text: &str) -> Result<Vec<Item>, String> {
    let list: List = Parser::new(text)
        .parse()
        .map_err(|error| error.to_string())?;
    let item = |entry| match entry {
        ListEntry::Item(item) => Ok(item),
        ListEntry::InnerList(_) => Err("a member is a list".to_owned()),
    };
    list.into_iter().map(item).collect()
}

fn parameter<'a>(item: &'a Item, name: &str) -> Option<&'a BareItem> {
    let mut all = item.params.iter();
    all.find(|(key, _)| key.as_str() == name)
        .map(|(_, value)| value)
}

fn flag(item: &Item, name: &str) -> bool {
    matches!(parameter(item, name), Some(BareItem::Boolean(true)))
}

fn integer(item: &Item, name: &str) -> Option<i64> {
    parameter(item, name)?.as_integer().map(i64::from)
}

fn token(item: &Item, name: &str) -> Option<String> {
    parameter(item, name)?
        .as_token()
        .map(|token| token.as_str().to_owned())
}

fn text_of(item: &BareItem) -> Option<String> {
    let token = item.as_token().map(|token| token.as_str().to_owned());
    token.or_else(|| item.as_string().map(|text| text.as_str().to_owned()))
}
