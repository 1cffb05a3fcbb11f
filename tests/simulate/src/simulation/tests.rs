use super::*;
use crate::clock::Span;
use crate::scenario::{Mistake, Purges, Traffic};

const WAYS: [Sharing; 3] = [Sharing::None, Sharing::Shared, Sharing::Regional];

fn small(sharing: Sharing) -> Scenario {
    Scenario {
        data_centres: 12,
        isolates_each: 8,
        traffic: Traffic::Even(5),
        purges: Purges {
            per_second: 20,
            in_a_call: 1,
        },
        keys: 500,
        measured: Span::seconds(20),
        ..Scenario::new(sharing)
    }
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_one_others() {
    for sharing in WAYS {
        let scenario = small(sharing);
        let bytes = |seed| serde_json::to_vec(&run(&scenario, seed)).unwrap();
        assert_eq!(bytes(7), bytes(7));
        assert_ne!(bytes(7), bytes(8));
    }
}

#[test]
fn every_isolate_sees_every_purge_within_the_bound_while_the_object_answers() {
    for sharing in WAYS {
        let figures = run(&small(sharing), 3);
        let checks = figures.checks;
        assert!(checks.sightings > 1_000, "{sharing:?}: {checks:?}");
        assert!(checks.witnessed > 20, "{sharing:?}: {checks:?}");
        assert_eq!(
            (checks.late, checks.hidden, checks.disagreed),
            (0, 0, 0),
            "{sharing:?}"
        );
        assert!(figures.visible.max <= 5_000.0, "{sharing:?}: {figures:?}");
        assert!(figures.lagged_percent < 0.01, "{sharing:?}");
    }
}

#[test]
fn an_isolate_that_calls_itself_younger_than_it_is_gets_caught() {
    for (sharing, mistake) in [
        (Sharing::None, Mistake::AnswersLookYoung),
        (Sharing::Shared, Mistake::SharedAnswersLookYoung),
        (Sharing::Regional, Mistake::SharedAnswersLookYoung),
    ] {
        let scenario = Scenario {
            mistake,
            ..small(sharing)
        };
        let checks = run(&scenario, 3).checks;
        assert!(checks.hidden > 0, "{sharing:?} {mistake:?}: {checks:?}");
    }
}

/// Twenty isolates that are never idle and do not share ask once a second each: a view's age counts from the question.
#[test]
fn one_region_without_sharing_asks_as_often_as_arithmetic_says() {
    let scenario = Scenario {
        data_centres: 1,
        isolates_each: 20,
        traffic: Traffic::Even(1_000),
        purges: Purges {
            per_second: 10,
            in_a_call: 1,
        },
        keys: 500,
        measured: Span::seconds(40),
        ..Scenario::new(Sharing::None)
    };
    let figures = run(&scenario, 5);
    // A second, and a millisecond each until the clock shows more and until the next request comes.
    let period = 1.002;
    let asked = 20.0 / period + 10.0;
    let requests = figures.authority.requests_per_second;
    assert!(
        (requests / asked - 1.0).abs() < 0.05,
        "{requests} of {asked}"
    );
    // A purge falls anywhere between two questions. The data centre is in the first region, the authority in the
    // second: half of 75 ms and some 10 more to the region's middle, a tenth more on an ordinary day; 1 ms of work.
    let half = 1_000.0 * period / 2.0 + 85.0 * 1.1 / 2.0 + 1.0;
    let median = figures.visible.p50;
    assert!((median / half - 1.0).abs() < 0.1, "{median} of {half}");
    assert!(figures.visible.max < 1_600.0, "{figures:?}");
}

#[test]
fn sharing_divides_the_questions_of_a_data_centre_by_its_isolates() {
    let requests = |sharing| run(&small(sharing), 3).authority.requests_per_second - 20.0;
    let (alone, claimed) = (requests(Sharing::None), requests(Sharing::Shared));
    assert!(claimed < alone / 4.0, "{claimed} of {alone}");
}

#[test]
fn after_an_outage_requests_are_answered_within_the_bound_again() {
    let outage = Incident::Outage {
        length: Span::seconds(15),
        to: Region::WesternEurope,
    };
    for sharing in WAYS {
        let scenario = Scenario {
            incident: outage,
            measured: Span::seconds(45),
            ..small(sharing)
        };
        let figures = run(&scenario, 3);
        assert!(figures.lagged_percent > 1.0, "{sharing:?}");
        let checks = figures.checks;
        assert_eq!((checks.late, checks.hidden), (0, 0), "{sharing:?}");
        let recovery = figures.recovery_seconds;
        assert!(
            recovery.is_some_and(|seconds| seconds < 10.0),
            "{sharing:?}: {recovery:?}"
        );
    }
}
