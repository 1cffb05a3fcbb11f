//! What was learned of `No-Vary-Search`, so that the key of a request is found before its response.

use std::collections::{HashMap, VecDeque};

use crate::http::NoVarySearch;

/// The rules that responses have given for the queries of their paths, as many as fit.
///
/// Forgetting one costs hits, never truth: the key of a response names the rule that it was stored under.
#[derive(Debug)]
pub struct SearchRules {
    capacity: usize,
    rules: HashMap<Box<str>, NoVarySearch>,
    /// The paths in the order in which they were first learned.
    order: VecDeque<Box<str>>,
}

/// What learning has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Learned {
    /// Nothing: that was known.
    Known,
    /// The path has this rule, or none, from now on.
    Changed,
}

impl SearchRules {
    /// Room for the rules of that many paths; for one more, that which was learned first is forgotten.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            capacity,
            rules: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Takes what the newest response of a path says; `None` if it says nothing.
    pub fn learn(&mut self, host: &str, path: &str, rule: Option<&NoVarySearch>) -> Learned {
        let name = name(host, path);
        if self.rules.get(&*name) == rule {
            return Learned::Known;
        }
        match rule {
            None => {
                self.rules.remove(&*name);
                self.order.retain(|other| *other != name);
            }
            Some(_) if self.capacity == 0 => return Learned::Known,
            Some(rule) => {
                if self.rules.insert(name.clone(), rule.clone()).is_none() {
                    self.order.push_back(name);
                }
                while self.order.len() > self.capacity {
                    if let Some(oldest) = self.order.pop_front() {
                        self.rules.remove(&*oldest);
                    }
                }
            }
        }
        Learned::Changed
    }

    /// The rule of a path, if it has one.
    pub fn lookup(&self, host: &str, path: &str) -> Option<&NoVarySearch> {
        if self.rules.is_empty() {
            return None;
        }
        self.rules.get(&*name(host, path))
    }
}

/// A host has no slash, and a path begins with one, so no two names meet.
fn name(host: &str, path: &str) -> Box<str> {
    format!("{host}{path}").into()
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, HeaderValue};

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn rule(text: &'static str) -> NoVarySearch {
        let mut fields = HeaderMap::new();
        fields.insert(NoVarySearch::FIELD, HeaderValue::from_static(text));
        NoVarySearch::of(&fields).unwrap()
    }

    #[test]
    fn the_newest_response_of_a_path_says_its_rule() {
        let (one, two) = (rule("params"), rule("key-order"));
        let mut rules = SearchRules::with_capacity(2);
        assert_eq!(rules.learn("a", "/x", None), Learned::Known);
        assert_eq!(rules.learn("a", "/x", Some(&one)), Learned::Changed);
        assert_eq!(rules.learn("a", "/x", Some(&one)), Learned::Known);
        assert_eq!(rules.learn("a", "/x", Some(&two)), Learned::Changed);
        assert_eq!(rules.lookup("a", "/x"), Some(&two));
        assert_eq!(rules.lookup("b", "/x"), None);
        assert_eq!(rules.lookup("a", "/y"), None);
        assert_eq!(rules.learn("a", "/x", None), Learned::Changed);
        assert_eq!(rules.lookup("a", "/x"), None);
    }

    #[test]
    fn no_more_rules_are_kept_than_fit() {
        let one = rule("params");
        let mut rules = SearchRules::with_capacity(2);
        for path in ["/1", "/2", "/1", "/3"] {
            let _ = rules.learn("a", path, Some(&one));
        }
        let kept = ["/1", "/2", "/3"].map(|path| rules.lookup("a", path).is_some());
        assert_eq!(kept, [false, true, true]);
        let mut none = SearchRules::with_capacity(0);
        assert_eq!(none.learn("a", "/x", Some(&one)), Learned::Known);
        assert_eq!(none.lookup("a", "/x"), None);
    }
}
