//! Plays the cases against a cache, all at once, and tells what did not hold.

use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout};

use super::client::{Received, Sent};
use super::driver::Driver;
use super::expect;
use super::gaps::Gaps;
use super::origin::{Answer, Asked as Seen, Script, ScriptedOrigin, Then, head_bytes};
use super::table::{Asked, AskedOtherwise, Case, Informational, OriginAnswer, Step};
use super::value::{ValueError, Values};
use super::wire::{Fields, Line};

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many cases held.
    pub held: usize,
    /// How many did not, and were known not to.
    pub known: usize,
    /// What must not be: a case that failed, or one that holds although the list says that it does not.
    pub failures: Vec<String>,
}

/// Most cases under way at once.
const AT_ONCE: usize = 12;

/// How long something behind an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Plays `cases` against the cache of `driver`, whose origin is `origin`; those of other places are left out.
///
/// `RFC_CASE` picks the cases that have its text in their file's name or their own.
pub async fn run(
    driver: &impl Driver,
    origin: &ScriptedOrigin,
    cases: &[Case],
    gaps: &Gaps,
) -> Report {
    let wanted = std::env::var("RFC_CASE").unwrap_or_default();
    let place = driver.place();
    let chosen = |case: &&Case| {
        let full = format!("{}: {}", case.file, case.name);
        case.places.contains(&place) && full.contains(&wanted)
    };
    let chosen: Vec<&Case> = cases.iter().filter(chosen).collect();
    let next = AtomicUsize::new(0);
    let worker = async || {
        let mut report = Report::default();
        while let Some(case) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            let number = next.load(Ordering::Relaxed);
            let play = Play::new(driver, origin, case, number);
            let failure = play.all_steps().await.err();
            report.add(case, failure, gaps.why(&case.name, place));
        }
        report
    };
    let reports = futures_util::future::join_all((0..AT_ONCE).map(|_| worker())).await;
    let mut all = Report::default();
    for report in reports {
        all.held += report.held;
        all.known += report.known;
        all.failures.extend(report.failures);
    }
    all.failures.sort();
    for name in gaps.gap.iter().flat_map(|gap| &gap.cases) {
        if !cases.iter().any(|case| case.name == *name) {
            all.failures
                .push(format!("known gaps: there is no case {name:?}"));
        }
    }
    all
}

impl Report {
    fn add(&mut self, case: &Case, failure: Option<String>, known: Option<&str>) {
        let title = format!("{}: {} ({})", case.file, case.name, case.section);
        match (failure, known) {
            (None, None) => self.held += 1,
            (Some(_), Some(_)) => self.known += 1,
            (Some(failure), None) => self.failures.push(format!("{title}\n{failure}")),
            (None, Some(why)) => self.failures.push(format!(
                "{title}\n  holds now: take it off the list of known gaps ({why})"
            )),
        }
    }
}

/// One case under way.
struct Play<'a, D> {
    driver: &'a D,
    case: &'a Case,
    script: Script,
    values: Values,
}

/// What came of one step.
struct Outcome {
    got: io::Result<Received>,
    seen: Vec<Seen>,
}

impl<'a, D: Driver> Play<'a, D> {
    fn new(driver: &'a D, origin: &ScriptedOrigin, case: &'a Case, number: usize) -> Self {
        let path = format!("/rfc/{number}-{}", case.slug());
        Self {
            driver,
            case,
            script: origin.script(&path),
            values: Values {
                now: SystemTime::now(),
                authority: driver.authority().to_owned(),
                path,
            },
        }
    }

    async fn all_steps(&self) -> Result<(), String> {
        for (at, step) in self.case.steps.iter().enumerate() {
            let number = at + 1;
            let broken = |error: ValueError| format!("  step {number}: {error}");
            let outcome = self.one_step(step).await.map_err(broken)?;
            let wrong = self.differences(step, &outcome).map_err(broken)?;
            if !wrong.is_empty() {
                return Err(failure(number, &wrong, &outcome));
            }
            if number < self.case.steps.len() && !outcome.seen.is_empty() {
                self.settle(number).await.map_err(|error| {
                    format!("  after step {number}, what is stored was not seen to be: {error}")
                })?;
            }
        }
        Ok(())
    }

    async fn one_step(&self, step: &Step) -> Result<Outcome, ValueError> {
        let values = &self.values;
        let answers = step.origin.iter().chain(&step.origin_then);
        let answers: Vec<Answer> = answers
            .map(|answer| prepared(answer, values))
            .collect::<Result<_, _>>()?;
        let count = answers.len();
        self.script.begin(answers);
        let mut fields = values.fields(&step.fields)?;
        if let Some(host) = &step.host {
            fields.0.insert(0, Line::new("Host", host));
        }
        let request = Sent {
            method: step.method.clone(),
            target: format!("{}{}", values.path, values.fill_text(&step.path)?),
            fields,
            body: values.fill(&step.body)?,
        };
        let got = self.driver.send(&request).await;
        if step.asked() == Asked::Otherwise(AskedOtherwise::Behind) {
            let deadline = Instant::now() + PATIENCE;
            while self.script.asked_times() < count && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let seen = self.script.asked();
        Ok(Outcome { got, seen })
    }

    fn differences(&self, step: &Step, outcome: &Outcome) -> Result<Vec<String>, ValueError> {
        let mut wrong = Vec::new();
        let wanted = [&step.origin, &step.origin_then]
            .into_iter()
            .flatten()
            .count();
        let least = match step.asked() {
            Asked::Otherwise(AskedOtherwise::PerhapsAgain) => 1,
            Asked::Otherwise(AskedOtherwise::PerhapsBehind) => 0,
            Asked::First(_) | Asked::Otherwise(AskedOtherwise::Behind) => wanted,
        };
        let times = outcome.seen.len();
        if !(least..=wanted).contains(&times) {
            wrong.push(format!(
                "the origin must be asked {wanted} times, and was asked {times}"
            ));
        }
        match &outcome.got {
            Ok(got) => wrong.extend(expect::of_response(&step.expect, got, &self.values)?),
            Err(_) if step.expect.truncated => {}
            Err(error) => wrong.push(format!("no answer came: {error}")),
        }
        let saws = [&step.origin_saw, &step.origin_then_saw];
        for (saw, seen) in saws.into_iter().zip(&outcome.seen) {
            if let Some(saw) = saw {
                wrong.extend(expect::of_request(saw, seen, &self.values)?);
            }
        }
        Ok(wrong)
    }

    /// Waits until something that was sent for storing after the last answer is there: then that is, too.
    ///
    /// Caches store behind their answers, and no table says how long that takes.
    async fn settle(&self, step: usize) -> io::Result<()> {
        let request = Sent {
            method: "GET".to_owned(),
            target: format!("{}{}{step}", self.values.path, ScriptedOrigin::SETTLED),
            ..Sent::default()
        };
        let stored = async {
            loop {
                let got = self.driver.send(&request).await?;
                if got.head.fields.has("age") {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let came = timeout(PATIENCE, stored).await;
        came.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// What the origin sends for an answer of the tables.
fn prepared(answer: &OriginAnswer, values: &Values) -> Result<Answer, ValueError> {
    if answer.silent {
        return Ok(Answer::Silence);
    }
    if answer.refused {
        return Ok(Answer::Refusal);
    }
    let mut head = Vec::new();
    for Informational { status, fields } in &answer.informational {
        let fields = values.fields(fields)?;
        head.extend(head_bytes(&format!("HTTP/1.1 {status} Early"), &fields));
    }
    let content = values.fill(&answer.body)?;
    let mut fields = values.fields(&answer.fields)?;
    if !answer.dateless && !fields.has("date") {
        fields.0.push(Line {
            name: "Date".to_owned(),
            value: values.fill("{date:0}")?,
        });
    }
    let has_body = !matches!(answer.status, 100..=199 | 204 | 304);
    if answer.chunked {
        fields.0.push(Line::new("Transfer-Encoding", "chunked"));
    } else if has_body && !fields.has("content-length") {
        fields
            .0
            .push(Line::new("Content-Length", &content.len().to_string()));
    }
    head.extend(head_bytes(
        &format!("HTTP/1.1 {} Status", answer.status),
        &fields,
    ));
    let trailers = values.fields(&answer.trailers)?;
    let mut body = if answer.chunked {
        chunked(&content, &trailers)
    } else {
        content
    };
    let then = match answer.break_off_after {
        Some(bytes) => {
            body.truncate(bytes);
            Then::End
        }
        None => Then::Next,
    };
    let now = Answer::Bytes { head, body, then };
    Ok(match answer.delay_seconds {
        0 => now,
        seconds => Answer::Late(Duration::from_secs(seconds), Box::new(now)),
    })
}

fn chunked(content: &[u8], trailers: &Fields) -> Vec<u8> {
    let mut body = Vec::new();
    for piece in content.chunks(7) {
        body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        body.extend_from_slice(piece);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n");
    for line in &trailers.0 {
        line.write_to(&mut body);
    }
    body.extend_from_slice(b"\r\n");
    body
}

fn failure(step: usize, wrong: &[String], outcome: &Outcome) -> String {
    let mut text = format!("  step {step}:");
    for line in wrong {
        let _ = write!(text, "\n  - {line}");
    }
    if let Ok(got) = &outcome.got {
        let body = got.body.bytes.get(..200).unwrap_or(&got.body.bytes);
        let _ = write!(text, "\n  the client got: {}", got.head.describe());
        let _ = write!(text, "\n    content: \"{}\"", body.escape_ascii());
    }
    for seen in &outcome.seen {
        let _ = write!(text, "\n  the origin got: {}", seen.describe());
    }
    text
}
