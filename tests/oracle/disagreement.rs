//! stub
use crate::case::Case;
use crate::opinion::{Opinion, Question};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Disagreement {
    A,
}

impl Disagreement {
    pub(crate) const ALL: [Self; 1] = [Self::A];
    pub(crate) fn explains(self, _question: Question, _case: &Case, _ours: &Opinion, _theirs: &Opinion) -> bool {
        false
    }
}
