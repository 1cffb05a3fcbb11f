//! What is simulated: how large, how busy, how it shares, and what goes wrong.

use terrace_shared::time::Milliseconds;

use crate::clock::Span;
use crate::network::Region;

/// One edge, and what is done to it while it is watched.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) data_centres: u16,
    pub(crate) isolates_each: u16,
    pub(crate) traffic: Traffic,
    pub(crate) purges: Purges,
    /// Surrogate keys in use, each of which has been purged before: 24 bytes each of a whole ledger.
    pub(crate) keys: u64,
    pub(crate) sharing: Sharing,
    /// Most records that the authority sends one by one (`Authority::MOST_IN_DELTA`).
    pub(crate) most_in_delta: u64,
    /// Older than this, a view is refreshed behind an answer.
    pub(crate) refresh_after: Milliseconds,
    /// Older than this, it is refreshed first.
    pub(crate) bound: Milliseconds,
    pub(crate) incident: Incident,
    /// How long is measured, after a time that is not.
    pub(crate) measured: Span,
    /// What is done wrong, to see that it is noticed.
    pub(crate) mistake: Mistake,
}

/// Requests a second at the whole edge; data centres share them by Zipf's law.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Traffic {
    /// Mostly idle: 100 requests/s.
    Idle,
    /// A few busy data centres and a long tail: 3,000 requests/s.
    LongTail,
    /// Every isolate has something to do: 100,000 requests/s.
    Busy,
    /// The same number of requests a second in every isolate.
    #[cfg(test)]
    Even(u32),
}

/// Purges as they come in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Purges {
    /// Scopes purged a second.
    pub(crate) per_second: u32,
    /// Scopes that one call names.
    pub(crate) in_a_call: u32,
}

/// From whom an isolate learns what was purged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sharing {
    /// Every isolate asks the authority.
    None,
    /// An entry in the data centre's Cache API holds the newest answer; who finds it too old says in another that he
    /// asks, and asks. This is what the edge does (`purge::sharing`).
    Entry,
    /// As [`Self::Entry`], but answers are kept together for a minute, whole ledgers in an entry of their own, a claim
    /// lasts as long as a question may take, and an answer may have 10,000 records. The simulation recommends this.
    Together,
    /// As [`Self::Together`], but it is the region's replica that is asked, and the authority pushes to that.
    Regional,
}

/// What goes wrong while the edge is watched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Incident {
    None,
    /// The authority answers nobody for so long, then wakes elsewhere.
    Outage {
        length: Span,
        to: Region,
    },
    /// Every isolate is replaced within half a minute, as by a deployment.
    Deployment,
}

/// A rule broken on purpose, which only tests do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mistake {
    None,
    #[cfg(test)]
    /// A shared answer counts as young as the moment at which it was taken from the entry (against R7).
    SharedAnswersLookYoung,
    #[cfg(test)]
    /// An answer counts as young as its arrival (against R7).
    AnswersLookYoung,
}

impl Scenario {
    /// The edge's own settings: 300 data centres of 50 isolates, busy, one purge a second.
    pub(crate) fn new(sharing: Sharing) -> Self {
        Self {
            data_centres: 300,
            isolates_each: 50,
            traffic: Traffic::Busy,
            purges: Purges {
                per_second: 1,
                in_a_call: 1,
            },
            keys: 50_000,
            sharing,
            most_in_delta: match sharing {
                Sharing::None | Sharing::Entry => 1_000,
                Sharing::Together | Sharing::Regional => 10_000,
            },
            refresh_after: Milliseconds::new(1_000),
            bound: Milliseconds::new(5_000),
            incident: Incident::None,
            measured: Span::seconds(12),
            mistake: Mistake::None,
        }
    }
}

impl Traffic {
    /// Requests a second in each isolate of each data centre.
    pub(crate) fn per_isolate(self, data_centres: u16, isolates_each: u16) -> Vec<f64> {
        let total = match self {
            Self::Idle => 100.0,
            Self::LongTail => 3_000.0,
            Self::Busy => 100_000.0,
            #[cfg(test)]
            Self::Even(each) => return vec![f64::from(each); usize::from(data_centres)],
        };
        let weights = (1..=data_centres).map(|rank| 1.0 / f64::from(rank));
        let sum: f64 = weights.clone().sum();
        weights
            .map(|weight| total * weight / sum / f64::from(isolates_each))
            .collect()
    }
}
