//! What this isolate has learned of `No-Vary-Search`: which queries of a path mean the same.

use std::cell::RefCell;

use terrace_shared::http::{NoVarySearch, StoredResponse, Variant};
use terrace_shared::intake::{Intake, SearchRules};
use terrace_shared::key::EncodedKey;
use terrace_shared::purge::{EntryScopes, Fence, Verdict};

use crate::purge::client;
use crate::store::StoreKey;
use crate::visit::Visit;

/// Most paths whose rules are remembered; a forgotten one costs hits.
const MOST: usize = 1_024;

thread_local! {
    static RULES: RefCell<SearchRules> = RefCell::new(SearchRules::with_capacity(MOST));
}

/// The request under the rule of its path, if there is one.
pub(crate) fn apply(intake: Intake) -> Intake {
    let rule = RULES.with_borrow(|rules| {
        let target = &intake.target;
        rules.lookup(target.host(), target.path()).cloned()
    });
    match rule {
        Some(rule) => intake.under_search_rule(&rule),
        None => intake,
    }
}

/// The key that a response is stored under, by what it says itself; later requests go by that too.
pub(crate) fn key_for(visit: &Visit, head: &StoredResponse) -> StoreKey {
    let rule = NoVarySearch::of(head.fields());
    let target = &visit.intake.target;
    RULES.with_borrow_mut(|rules| {
        let _ = rules.learn(target.host(), target.path(), rule.as_ref());
    });
    match rule {
        Some(rule) => StoreKey::of(visit.intake.clone().under_search_rule(&rule).key.as_bytes()),
        None => visit.plain_key,
    }
}

/// The keys of another URL of the request's host: with and without the rule of its path.
pub(crate) fn keys_of_name(visit: &Visit, name: &str) -> Vec<StoreKey> {
    let routes = &visit.edge.routes;
    let path = name.split('?').next().unwrap_or_default();
    let rule = RULES.with_borrow(|rules| {
        let (host, path) = path.split_at(path.find('/').unwrap_or(path.len()));
        rules.lookup(host, path).cloned()
    });
    let under = rule.and_then(|rule| visit.intake.key_of_name_under(&rule, name, routes));
    let plain = visit.intake.key_of_name(name, routes);
    let key = |key: EncodedKey| StoreKey::of(key.as_bytes());
    plain.into_iter().chain(under).map(key).collect()
}

/// The ledger's verdict on what is stored for `visit`: purging the URL of the request counts as much as purging
/// the one that it was stored for. What a token of the request keeps from it counts as dropped (R10).
pub(crate) fn verdict(visit: &Visit, head: &StoredResponse) -> Verdict {
    verdict_on(visit, head.fence(), head.scopes())
}

/// The same on what is known of a variant that was not read.
pub(crate) fn verdict_on_known(visit: &Visit, known: &Variant) -> Verdict {
    verdict_on(visit, known.fence(), known.scopes())
}

fn verdict_on(visit: &Visit, fence: &Fence, scopes: &EntryScopes) -> Verdict {
    let own = client::verdict(fence, scopes);
    let verdict = match visit.intake.alias_scopes_of(scopes) {
        Some(scopes) => own.worse(client::verdict(fence, &scopes)),
        None => own,
    };
    match &visit.after {
        Some(after) => client::verdict_after(after, verdict, fence),
        None => verdict,
    }
}
