//! The engine's answers beside those of the npm package `http-cache-semantics`, on random exchanges.
//!
//! Where they differ, the RFCs decide. What the package gets wrong, or what they leave to the cache, is a
//! named [`Disagreement`]; any other difference fails, and so does a disagreement that does not occur any
//! longer. `ORACLE_CASES=100000 cargo test -p e2e --test oracle` looks further.

mod case;
mod disagreement;
mod examples;
mod odd;
mod opinion;
mod semantics;
mod words;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use case::{Case, cases};
use disagreement::{Disagreement, Dispute};
use examples::examples;
use opinion::{Opinion, Question, differences, ours};
use semantics::Semantics;

#[test]
fn we_and_http_cache_semantics_differ_only_where_the_rfcs_decide() {
    let count = ["ORACLE_CASES", "PROPTEST_CASES"]
        .iter()
        .find_map(|name| std::env::var(name).ok()?.parse().ok())
        .unwrap_or(FEWEST)
        .max(FEWEST);
    let config = Config {
        cases: count,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let semantics = RefCell::new(Semantics::start());
    let tally = RefCell::new(Tally::default());
    let judge = |case: Case| {
        let theirs = semantics.borrow_mut().opinion(&case);
        tally.borrow_mut().judge(&case, &theirs)
    };
    for example in examples() {
        judge(example).unwrap();
    }
    let outcome = runner.run(&cases(), judge);
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    tally.into_inner().check();
}

/// With so many, everything that is listed occurs.
const FEWEST: u32 = 4_000;

/// What was compared, and what was seen.
#[derive(Debug, Default)]
struct Tally {
    agreed: BTreeMap<Question, u32>,
    /// How often each was the only reason there was.
    seen: BTreeMap<Disagreement, u32>,
}

impl Tally {
    fn judge(&mut self, case: &Case, theirs: &Opinion) -> Result<(), TestCaseError> {
        let ours = ours(case);
        for (question, differs) in differences(&ours, theirs) {
            if !differs {
                *self.agreed.entry(question).or_default() += 1;
                continue;
            }
            let dispute = Dispute {
                question: &question,
                case,
                ours: &ours,
                theirs,
            };
            let mut reasons = Disagreement::ALL
                .into_iter()
                .filter(|reason| reason.explains(&dispute));
            match (reasons.next(), reasons.next()) {
                (None, _) => {
                    let case = case.to_json();
                    return Err(TestCaseError::fail(format!(
                        "{question:?} of {case}\n  we say {ours:?}\n  they say {theirs:?}"
                    )));
                }
                (Some(only), None) => *self.seen.entry(only).or_default() += 1,
                (Some(_), Some(_)) => {}
            }
        }
        Ok(())
    }

    fn check(&self) {
        let unseen: Vec<_> = Disagreement::ALL
            .into_iter()
            .filter(|reason| !self.seen.contains_key(reason))
            .collect();
        assert!(
            unseen.is_empty(),
            "these do not occur: {unseen:?}, {self:?}"
        );
        for question in [
            Question::Storable,
            Question::Age,
            Question::Lifetime,
            Question::UsefulFor,
            Question::Reuse,
            Question::Validation,
            Question::Field("etag".to_owned()),
        ] {
            let agreed = self.agreed.get(&question).copied().unwrap_or_default();
            assert!(
                agreed > FEWEST / 10,
                "{question:?} is hardly asked: {self:?}"
            );
        }
    }
}
