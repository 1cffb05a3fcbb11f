//! What an edge is told next: decided from what it has taken and what waits, and nothing else.

use terrace_shared::purge::PurgeMode;
use terrace_shared::purge::wire::PurgeRequest;

use super::journal::{Backlog, Cursor, Letter};

/// What one call tells an edge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Dispatch {
    pub(crate) request: PurgeRequest,
    /// How many letters it stands for.
    pub(crate) letters: usize,
    /// Where the edge stands once it has taken it.
    pub(crate) cursor: Cursor,
    /// Whether more is purged than was asked for.
    pub(crate) width: Width,
}

/// Whether a dispatch says what its letters say, or everything in their place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Width {
    /// What they say.
    AsAsked,
    /// Everything, because some of them are lost or cannot be read: nobody knows what they named.
    Everything,
}

/// Most scopes that purges which are sent together name.
const MOST_SCOPES: usize = 256;

/// What the edge that has taken everything up to `cursor` is told next, of at most `most` letters at once; none
/// if it lacks nothing.
///
/// Letters follow each other without a gap; where one is missing, or the ledger has begun another history,
/// the edge is told to purge everything, and goes on from where the ledger stands (R6). Neighbours of one
/// mode go together, under the place of the last one: to what lies between, that only says more (R9).
pub(crate) fn next(cursor: Option<&Cursor>, backlog: &Backlog, most: usize) -> Option<Dispatch> {
    let lost = || Some(everything(backlog));
    let Some(cursor) = cursor else {
        return lost();
    };
    if cursor.epoch.incarnation != backlog.ledger.incarnation {
        return lost();
    }
    let mut following = cursor.epoch;
    let mut letters = backlog.letters.iter().take_while(|letter| {
        following.sequence = following.sequence.next();
        letter.epoch == following
    });
    let Some(first) = letters.next() else {
        let complete = backlog.letters.is_empty() && cursor.epoch == backlog.ledger;
        return if complete { None } else { lost() };
    };
    let Some(mut request) = first.request.clone() else {
        return Some(instead_of(first));
    };
    let (mut latest, mut count) = (first, 1);
    for letter in letters.take(most.saturating_sub(1)) {
        let Some(more) = &letter.request else {
            break;
        };
        if more.mode != request.mode || scopes(&request) + scopes(more) > MOST_SCOPES {
            break;
        }
        add(&mut request, more);
        (latest, count) = (letter, count + 1);
    }
    request.origin_epoch = Some(latest.epoch);
    request.after_ms = None; // the origin itself purges again
    Some(Dispatch {
        request,
        letters: count,
        cursor: Cursor {
            mark: latest.mark,
            epoch: latest.epoch,
        },
        width: Width::AsAsked,
    })
}

/// The purge of everything that stands for a purge which an edge does not understand.
///
/// What was purged must not stay cached because the edge has no word for it.
pub(crate) fn widened(request: &PurgeRequest) -> PurgeRequest {
    PurgeRequest {
        mode: request.mode,
        everything: true,
        origin_epoch: request.origin_epoch,
        ..PurgeRequest::default()
    }
}

fn everything(backlog: &Backlog) -> Dispatch {
    Dispatch {
        request: PurgeRequest {
            mode: PurgeMode::Hard,
            everything: true,
            origin_epoch: Some(backlog.ledger),
            ..PurgeRequest::default()
        },
        letters: backlog.letters.len(),
        cursor: Cursor {
            mark: backlog.end,
            epoch: backlog.ledger,
        },
        width: Width::Everything,
    }
}

fn instead_of(letter: &Letter) -> Dispatch {
    Dispatch {
        request: PurgeRequest {
            everything: true,
            origin_epoch: Some(letter.epoch),
            ..PurgeRequest::default()
        },
        letters: 1,
        cursor: Cursor {
            mark: letter.mark,
            epoch: letter.epoch,
        },
        width: Width::Everything,
    }
}

fn scopes(request: &PurgeRequest) -> usize {
    request.surrogate_keys.len()
        + request.keys.len()
        + request.urls.len()
        + request.prefixes.len()
        + request.patterns.len()
        + request.hosts.len()
        + request.namespaces.len()
        + usize::from(request.everything)
}

fn add(request: &mut PurgeRequest, more: &PurgeRequest) {
    for (names, more) in [
        (&mut request.surrogate_keys, &more.surrogate_keys),
        (&mut request.keys, &more.keys),
        (&mut request.urls, &more.urls),
        (&mut request.prefixes, &more.prefixes),
        (&mut request.patterns, &more.patterns),
        (&mut request.hosts, &more.hosts),
        (&mut request.namespaces, &more.namespaces),
    ] {
        for name in more {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    request.everything |= more.everything;
}

#[cfg(test)]
mod tests;
