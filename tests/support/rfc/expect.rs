//! What differs between what came and what must come.

use super::cache_status::{self, SLACK};
use super::client::Received;
use super::origin::Asked;
use super::table::{Expect, Informational, Saw};
use super::value::{ValueError, Values};
use super::wire::{Fields, Line};

/// What of `expect` does not hold, one sentence each.
///
/// # Errors
/// When the expectation itself cannot be filled in.
pub fn of_response(
    expect: &Expect,
    got: &Received,
    values: &Values,
) -> Result<Vec<String>, ValueError> {
    let mut wrong = Vec::new();
    let fields = &got.head.fields;
    // Who notices before the head has gone says so at once.
    if expect.truncated && got.head.status() == 502 {
        return Ok(wrong);
    }
    if got.head.status() != expect.status {
        let status = got.head.status();
        wrong.push(format!("status {} expected, got {status}", expect.status));
    }
    joined_fields(&values.fields(&expect.fields)?, fields, &mut wrong);
    exact_lines(&values.fields(&expect.lines)?, fields, &mut wrong);
    presence(&expect.present, &expect.absent, fields, &mut wrong);
    contained(&values.fields(&expect.contains)?, fields, &mut wrong);
    if let Some(age) = expect.age {
        let got = fields.text("age").and_then(|age| age.parse::<u64>().ok());
        let range = age..=age.saturating_add(SLACK);
        if fields.all("age").len() != 1 || !got.is_some_and(|got| range.contains(&got)) {
            wrong.push(format!(
                "Age {age} expected, got {:?}",
                fields.joined("age")
            ));
        }
    }
    if let Some(said) = &expect.cache_status {
        wrong.extend(cache_status::differences(said, fields));
    }
    if let Some(informational) = &expect.informational {
        before_final(informational, got, values, &mut wrong)?;
    }
    content(expect, got, values, &mut wrong)?;
    exact_lines(
        &values.fields(&expect.trailers)?,
        &got.body.trailers,
        &mut wrong,
    );
    Ok(wrong)
}

/// What of `saw` does not hold, one sentence each.
///
/// # Errors
/// When the expectation itself cannot be filled in.
pub fn of_request(saw: &Saw, got: &Asked, values: &Values) -> Result<Vec<String>, ValueError> {
    let mut wrong = Vec::new();
    if let Some(method) = &saw.method
        && *method != got.method
    {
        wrong.push(format!("{method} expected, got {}", got.method));
    }
    if let Some(path) = &saw.path {
        let target = format!("{}{}", values.path, values.fill_text(path)?);
        if target != got.target {
            wrong.push(format!("target {target} expected, got {}", got.target));
        }
    }
    joined_fields(&values.fields(&saw.fields)?, &got.fields, &mut wrong);
    contained(&values.fields(&saw.contains)?, &got.fields, &mut wrong);
    presence(&saw.present, &saw.absent, &got.fields, &mut wrong);
    if let Some(body) = &saw.body {
        let body = values.fill(body)?;
        if body != got.body {
            wrong.push(format!(
                "content {:?} expected",
                String::from_utf8_lossy(&body)
            ));
        }
    }
    for line in &mut wrong {
        line.insert_str(0, "at the origin: ");
    }
    Ok(wrong)
}

/// Each name's lines, joined: lines of a list may be joined on the way (RFC 9110 §5.3).
fn joined_fields(expected: &Fields, got: &Fields, wrong: &mut Vec<String>) {
    for name in names(expected) {
        let (expected, got) = (expected.joined(name), got.joined(name));
        if expected != got {
            wrong.push(format!("{name}: {expected:?} expected, got {got:?}"));
        }
    }
}

fn exact_lines(expected: &Fields, got: &Fields, wrong: &mut Vec<String>) {
    for name in names(expected) {
        let (expected, got) = (expected.all(name), got.all(name));
        if expected != got {
            let text = |lines: Vec<&[u8]>| -> Vec<String> {
                let lines = lines.into_iter();
                lines.map(|line| line.escape_ascii().to_string()).collect()
            };
            let (expected, got) = (text(expected), text(got));
            wrong.push(format!(
                "lines of {name}: {expected:?} expected, got {got:?}"
            ));
        }
    }
}

fn contained(expected: &Fields, got: &Fields, wrong: &mut Vec<String>) {
    for Line { name, value } in &expected.0 {
        let part = String::from_utf8_lossy(value);
        let whole = got.joined(name);
        if !whole.as_ref().is_some_and(|whole| whole.contains(&*part)) {
            wrong.push(format!("{name} has no {part:?}: {whole:?}"));
        }
    }
}

fn names(fields: &Fields) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for line in &fields.0 {
        if !names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&line.name))
        {
            names.push(&line.name);
        }
    }
    names
}

fn presence(present: &[String], absent: &[String], got: &Fields, wrong: &mut Vec<String>) {
    for name in present {
        if !got.has(name) {
            wrong.push(format!("{name} is missing"));
        }
    }
    for name in absent {
        if let Some(value) = got.joined(name) {
            wrong.push(format!("{name} must not be there, and is {value:?}"));
        }
    }
}

fn before_final(
    expected: &[Informational],
    got: &Received,
    values: &Values,
    wrong: &mut Vec<String>,
) -> Result<(), ValueError> {
    let statuses: Vec<_> = got
        .informational
        .iter()
        .map(super::wire::Head::status)
        .collect();
    let wanted: Vec<_> = expected.iter().map(|head| head.status).collect();
    if statuses != wanted {
        wrong.push(format!(
            "before the final response {wanted:?} expected, got {statuses:?}"
        ));
        return Ok(());
    }
    for (expected, got) in expected.iter().zip(&got.informational) {
        joined_fields(&values.fields(&expected.fields)?, &got.fields, wrong);
    }
    Ok(())
}

fn content(
    expect: &Expect,
    got: &Received,
    values: &Values,
    wrong: &mut Vec<String>,
) -> Result<(), ValueError> {
    if got.body.is_truncated != expect.truncated {
        let how = if expect.truncated {
            "breaks off"
        } else {
            "is whole"
        };
        wrong.push(format!("the content must be one that {how}"));
    }
    let bytes = &got.body.bytes;
    if let Some(body) = &expect.body {
        let body = values.fill(body)?;
        if body != *bytes {
            let shown = |bytes: &[u8]| bytes.get(..200).unwrap_or(bytes).escape_ascii().to_string();
            let (body, bytes) = (shown(&body), shown(bytes));
            wrong.push(format!("content {body:?} expected, got {bytes:?}"));
        }
    }
    let mut rest = bytes.as_slice();
    for part in &expect.body_has {
        let part = values.fill(part)?;
        match find(rest, &part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => {
                let part = part.escape_ascii();
                wrong.push(format!("the content lacks \"{part}\", or has it elsewhere"));
            }
        }
    }
    Ok(())
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    (0..=text.len().checked_sub(part.len())?).find(|at| text[*at..].starts_with(part))
}
