//! The edge's ledger at the scale of a CDN: how soon a purge is seen, what one object bears, and what it costs.
//!
//! A simulation by events, on a clock of its own: the same seed gives the same figures. The ledger, its replicas
//! and the bytes that travel are the product's own; what lies around them is modelled, and `docs/scale.md` says how.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are estimates: none is as large as what a float counts exactly"
)]

mod clock;
mod cost;
mod data_centre;
mod figures;
mod history;
mod isolate;
mod network;
mod object;
mod report;
mod scenario;
mod schedule;
mod simulation;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Simulates the edge's ledger, and prints the tables of docs/scale.md.
#[derive(Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// What the random numbers begin with: the same seed gives the same figures.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Put the tables between their marks in this file instead of printing them.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Only this table: answer, steady, cost, capacity or incidents.
    #[arg(long, value_name = "TABLE")]
    only: Option<String>,
    /// Print a line of JSON for each scenario instead.
    #[arg(long, conflicts_with = "write")]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match report::run(
        arguments.seed,
        arguments.only.as_deref(),
        match (arguments.write, arguments.json) {
            (Some(file), _) => report::Output::File(file),
            (None, true) => report::Output::Json,
            (None, false) => report::Output::Tables,
        },
    ) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
