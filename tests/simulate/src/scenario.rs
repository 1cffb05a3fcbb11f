//! What is simulated: how large, how busy, how it shares, and what goes wrong.

use terrace_shared::purge::refresh::Bounds;
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
    /// How old views may be.
    pub(crate) bounds: Bounds,
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
    /// One of a data centre asks; the others find what it learnt in the Cache API. This is what the edge does.
    Shared,
    /// As [`Self::Shared`], but it is the region's replica that is asked, and the authority pushes to that.
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
    /// Every isolate is replaced within a second, and what lay in the Cache API is gone.
    ColdStart,
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
            bounds: Bounds {
                refresh_after: Milliseconds::new(1_000),
                bound: Milliseconds::new(5_000),
            },
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
