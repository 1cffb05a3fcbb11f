//! Where data centres and objects are, and how long a message takes between them.

use std::fmt;

use crate::clock::Span;

/// A region that an object can be placed in (the platform's location hints).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Region {
    WesternNorthAmerica,
    EasternNorthAmerica,
    SouthAmerica,
    WesternEurope,
    EasternEurope,
    AsiaPacific,
    Oceania,
    Africa,
    MiddleEast,
}

impl Region {
    pub(crate) const ALL: [Self; 9] = [
        Self::WesternNorthAmerica,
        Self::EasternNorthAmerica,
        Self::SouthAmerica,
        Self::WesternEurope,
        Self::EasternEurope,
        Self::AsiaPacific,
        Self::Oceania,
        Self::Africa,
        Self::MiddleEast,
    ];

    /// How many of a hundred data centres lie here.
    const SHARES: [u8; 9] = [10, 16, 16, 15, 9, 20, 4, 5, 5];

    /// Round trips in milliseconds, in the order of [`Self::ALL`]; on the diagonal, within the region.
    const ROUND_TRIPS: [[u64; 9]; 9] = [
        [25, 75, 185, 140, 165, 140, 160, 290, 240],
        [75, 25, 120, 80, 100, 190, 230, 225, 180],
        [185, 120, 35, 190, 205, 310, 320, 330, 290],
        [140, 80, 190, 20, 30, 230, 310, 160, 110],
        [165, 100, 205, 30, 25, 240, 320, 170, 100],
        [140, 190, 310, 230, 240, 60, 110, 260, 140],
        [160, 230, 320, 310, 320, 110, 30, 330, 230],
        [290, 225, 330, 160, 170, 260, 330, 80, 190],
        [240, 180, 290, 110, 100, 140, 230, 190, 35],
    ];

    /// Its place in [`Self::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The region of the `place`th of the hundred parts into which data centres are divided.
    pub(crate) fn of_part(part: u8) -> Self {
        let mut below = 0;
        for (region, share) in Self::ALL.into_iter().zip(Self::SHARES) {
            below += share;
            if part < below {
                return region;
            }
        }
        Self::WesternEurope
    }

    /// A round trip to `other` and back, on a good day.
    pub(crate) fn round_trip(self, other: Self) -> Span {
        Span::millis(Self::ROUND_TRIPS[self.index()][other.index()])
    }
}

impl fmt::Display for Region {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::WesternNorthAmerica => "wnam",
            Self::EasternNorthAmerica => "enam",
            Self::SouthAmerica => "sam",
            Self::WesternEurope => "weur",
            Self::EasternEurope => "eeur",
            Self::AsiaPacific => "apac",
            Self::Oceania => "oc",
            Self::Africa => "afr",
            Self::MiddleEast => "me",
        })
    }
}

/// The same random numbers for the same seed, everywhere.
pub(crate) struct Dice(fastrand::Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// From zero up to and without one.
    pub(crate) fn fraction(&mut self) -> f64 {
        self.0.f64()
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0.u64(..limit)
    }

    /// How long until the next of the events that come `rate` times a second, at no set times.
    pub(crate) fn wait(&mut self, rate: f64) -> Span {
        if rate <= 0.0 {
            return Span::seconds(u64::from(u32::MAX));
        }
        Span::of_seconds(-(1.0 - self.fraction()).ln() / rate)
    }

    /// One way of `round_trip` on an ordinary day: a tenth more on average, and three times as long once in a hundred.
    pub(crate) fn one_way(&mut self, round_trip: Span) -> Span {
        let more = -(1.0 - self.fraction()).ln() / 10.0;
        let tail = if self.0.u8(..100) == 0 { 3.0 } else { 1.0 };
        round_trip.times((0.5 + more / 2.0) * tail)
    }

    /// `length`, up to a third more or less.
    pub(crate) fn about(&mut self, length: Span) -> Span {
        length.times(2.0 / 3.0 + self.fraction() * 2.0 / 3.0)
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }
}
