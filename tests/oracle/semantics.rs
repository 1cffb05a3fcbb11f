//! The npm package `http-cache-semantics`, asked over a pipe.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use e2e::root;
use serde_json::Value;

use crate::case::Case;
use crate::opinion::{Opinion, Reuse};

/// A node process that answers each case with the package's opinion. It ends with its standard input.
pub(crate) struct Semantics {
    child: Child,
    cases: Option<ChildStdin>,
    opinions: BufReader<ChildStdout>,
}

impl Semantics {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(root().join("node_modules/.bin/node"))
            .arg("tests/oracle/semantics.mjs")
            .current_dir(root())
            // `Date.parse` takes what has no zone for local time.
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("make setup brings node");
        Self {
            cases: child.stdin.take(),
            opinions: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    pub(crate) fn opinion(&mut self, case: &Case) -> Opinion {
        let cases = self.cases.as_mut().unwrap();
        writeln!(cases, "{}", case.to_json()).expect("the oracle is running");
        cases.flush().unwrap();
        let mut line = String::new();
        self.opinions.read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("the oracle said {line:?} of {case:?}: {error}"));
        read(&said)
    }
}

impl Drop for Semantics {
    fn drop(&mut self) {
        drop(self.cases.take());
        let _ = self.child.wait();
    }
}

fn read(said: &Value) -> Opinion {
    let satisfies = said["satisfies"].as_bool().unwrap();
    let reuse = match (satisfies, said["reused"].as_bool().unwrap()) {
        (true, _) => Reuse::AsItIs,
        (false, true) => Reuse::WhileRevalidating,
        (false, false) => Reuse::No,
    };
    Opinion {
        storable: said["storable"].as_bool().unwrap(),
        because: None,
        age: whole(&said["age"]),
        lifetime: whole(&said["lifetime"]),
        useful_for: whole(&said["useful_for_ms"]) / 1_000,
        reuse,
        validation: said["validation"].as_object().map(|fields| {
            ["if-none-match", "if-modified-since"]
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), text(fields.get(name)?))))
                .collect()
        }),
        fields: said["fields"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// Seconds without their fraction; what is below zero stays below it.
#[expect(clippy::cast_possible_truncation, reason = "ages in tests are small")]
fn whole(number: &Value) -> i64 {
    number.as_f64().unwrap().floor() as i64
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
