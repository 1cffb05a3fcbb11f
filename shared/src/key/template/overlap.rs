//! Whether two templates can give the same key.

use super::value::is_plain;
use super::{Element, Template};

/// Whether some key belongs to both; a hashed part counts as any value.
pub(super) fn overlap(one: &Template, other: &Template) -> bool {
    let others = variants(other);
    variants(one)
        .iter()
        .any(|one| others.iter().any(|other| meet(one, other)))
}

/// One piece of a key that is still open.
#[derive(Clone, Copy)]
enum Piece {
    /// This byte.
    Byte(u8),
    /// Any run of bytes that values have.
    Value,
}

/// The template with each choice of its optional groups.
fn variants(template: &Template) -> Vec<Vec<Piece>> {
    let mut variants = vec![Vec::new()];
    for element in &template.elements {
        if let Element::Group(inner) = element {
            let without = variants.clone();
            for variant in &mut variants {
                for element in inner {
                    push(variant, element, template.version);
                }
            }
            variants.extend(without);
        } else {
            for variant in &mut variants {
                push(variant, element, template.version);
            }
        }
    }
    variants
}

fn push(variant: &mut Vec<Piece>, element: &Element, version: u32) {
    match element {
        Element::Literal(text) => variant.extend(text.bytes().map(Piece::Byte)),
        Element::Version => variant.extend(version.to_string().bytes().map(Piece::Byte)),
        Element::Part(_) | Element::Hash(_) => variant.push(Piece::Value),
        // Groups hold no groups.
        Element::Group(_) => {}
    }
}

/// Whether one text fits both: walks all pairs of places that some common beginning leads to.
fn meet(one: &[Piece], other: &[Piece]) -> bool {
    let width = other.len() + 1;
    let mut reached = vec![false; (one.len() + 1) * width];
    let mut open = vec![(0, 0)];
    while let Some((left, right)) = open.pop() {
        match reached.get_mut(left * width + right) {
            Some(reached) if !*reached => *reached = true,
            Some(_) | None => continue,
        }
        match (one.get(left), other.get(right)) {
            (None, None) => return true,
            (Some(Piece::Byte(mine)), Some(Piece::Byte(theirs))) => {
                if mine == theirs {
                    open.push((left + 1, right + 1));
                }
            }
            (Some(Piece::Value), Some(Piece::Byte(byte))) => {
                open.push((left + 1, right));
                if is_plain(*byte) {
                    open.push((left, right + 1));
                }
            }
            (Some(Piece::Byte(byte)), Some(Piece::Value)) => {
                open.push((left, right + 1));
                if is_plain(*byte) {
                    open.push((left + 1, right));
                }
            }
            (Some(Piece::Value), Some(Piece::Value)) => {
                open.push((left + 1, right));
                open.push((left, right + 1));
            }
            (Some(Piece::Value), None) => open.push((left + 1, right)),
            (None, Some(Piece::Value)) => open.push((left, right + 1)),
            (Some(Piece::Byte(_)), None) | (None, Some(Piece::Byte(_))) => {}
        }
    }
    false
}
