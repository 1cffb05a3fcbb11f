//! `[events]`.

use super::fields::{Field, Fields};
use super::{Problem, surrogate_keys};
use crate::policy::{Event, KeySpace};
use crate::purge::PurgeMode;

/// All events, in the order of the file.
pub(super) fn read(fields: &Fields<'_>, spaces: &[KeySpace]) -> Vec<Event> {
    let mut events = Vec::new();
    for (name, field) in fields.named() {
        if name.is_empty() || name.len() > 128 || !name.bytes().all(|byte| byte.is_ascii_graphic())
        {
            field.fail(Problem::BadName { name: name.into() });
        }
        events.extend(read_event(name, field, spaces));
    }
    events
}

/// `[…]`, or `{ purge = […], mode = "soft", warm = […] }`.
fn read_event(name: &str, field: &Field<'_>, spaces: &[KeySpace]) -> Option<Event> {
    let mut event = Event {
        name: name.into(),
        purge: Vec::new(),
        mode: PurgeMode::default(),
        warm: Vec::new(),
    };
    if field.is_list() {
        event.purge = surrogate_keys(field, None, None)?;
        return Some(event);
    }
    let mut fields = field.table()?;
    fields.set(&mut event.purge, "purge", |field| {
        surrogate_keys(field, None, None)
    });
    fields.set(&mut event.mode, "mode", |field| {
        field.word(&[("soft", PurgeMode::Soft), ("hard", PurgeMode::Hard)])
    });
    fields.set(&mut event.warm, "warm", |field| warm(field, spaces));
    // `order.placed = […]` without quotes is a table `order`.
    let dotted: Vec<_> = fields
        .unknown()
        .filter(|(rest, field)| field.is_list() && fields.nearest(rest).is_none())
        .collect();
    for (rest, field) in &dotted {
        field.fail_with(Problem::UnquotedEvent, &format!("{name}.{rest}"));
    }
    if dotted.is_empty() {
        fields.finish();
    }
    Some(event)
}

fn warm(field: &Field<'_>, spaces: &[KeySpace]) -> Option<Vec<Box<str>>> {
    let known: Vec<&str> = spaces.iter().map(|space| &*space.name).collect();
    let mut names = Vec::new();
    for field in field.list(known.len().max(16))? {
        let Some(name) = field.text() else { continue };
        if known.contains(&name) {
            names.push(name.into());
        } else {
            field.fail_near(Problem::UnknownKeySpace, name, &known);
        }
    }
    Some(names)
}
