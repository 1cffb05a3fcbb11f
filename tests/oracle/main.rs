//! The engine's answers beside those of the npm package `http-cache-semantics`, on random exchanges.
//!
//! Where they differ, the RFCs decide. What the package gets wrong, or what they leave to the cache, is a
//! named [`Disagreement`]; any other difference fails, and so does a disagreement that has not been seen.
//! `ORACLE_CASES=100000 cargo test -p e2e --test oracle` looks further.

mod case;
mod disagreement;
mod opinion;
mod semantics;
mod words;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use case::{Case, cases};
use disagreement::Disagreement;
use opinion::{Opinion, Question, differences, ours};
use semantics::Semantics;

#[test]
fn we_and_http_cache_semantics_differ_only_where_the_rfcs_decide() {
    let count = ["ORACLE_CASES", "PROPTEST_CASES"]
        .iter()
        .find_map(|name| std::env::var(name).ok()?.parse().ok())
        .unwrap_or(4_000);
    let config = Config {
        cases: count,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let semantics = RefCell::new(Semantics::start());
    let tally = RefCell::new(Tally::default());
    let outcome = runner.run(&cases(), |case| {
        let theirs = semantics.borrow_mut().opinion(&case);
        tally.borrow_mut().judge(&case, &theirs)
    });
    let tally = tally.into_inner();
    println!("{tally:#?}");
    if std::env::var("SURVEY").is_ok() { return; }
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// What was compared, and what was seen.
#[derive(Debug, Default)]
struct Tally {
    agreed: BTreeMap<Question, u32>,
    seen: BTreeMap<Disagreement, u32>,
    unexplained: BTreeMap<Question, u32>,
}

impl Tally {
    fn judge(&mut self, case: &Case, theirs: &Opinion) -> Result<(), TestCaseError> {
        let ours = ours(case);
        for (question, differs) in differences(&ours, theirs) {
            if !differs {
                *self.agreed.entry(question).or_default() += 1;
                continue;
            }
            let reason = Disagreement::ALL
                .into_iter()
                .find(|reason| reason.explains(question, case, &ours, theirs));
            let Some(reason) = reason else {
                *self.unexplained.entry(question).or_default() += 1;
                if std::env::var("SURVEY").is_ok() {
                    if self.unexplained[&question] < 6 {
                    println!("{question:?}: {}\n  ours {ours:?}\n theirs {theirs:?}", case.to_json());
                    }
                    return Ok(());
                }
                return Err(TestCaseError::fail(format!(
                    "{question:?} of {}\n  ours {ours:?}\n theirs {theirs:?}",
                    case.to_json()
                )));
            };
            *self.seen.entry(reason).or_default() += 1;
        }
        Ok(())
    }
}
