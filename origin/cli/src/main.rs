//! The `terrace` command. One file a command; this one only reads the command line and reports.

mod check;
mod http_client;
mod log;
mod purge;
mod replay;
mod shield;
mod token;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A shield makes and drops some dozen small things for each answer, on all cores.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One cache from the CDN edge to the database row.
#[derive(Parser)]
#[command(name = "terrace", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check a policy file and say all that is wrong with it.
    Check(check::Check),
    /// Purge at an edge or at the origin, and print the receipt; or show the log of purges.
    Purge(Box<log::PurgeOrLog>),
    /// Make a purge token, and what the edge must know of it.
    Token(token::Token),
    /// Send the requests of a trace to an edge, and print hit ratios and latencies.
    Replay(replay::Replay),
    /// Put a caching reverse proxy in front of a service.
    Shield(Box<shield::Shield>),
}

/// What went wrong, and what to do about it.
#[derive(Debug)]
struct Failure {
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
}

impl Failure {
    fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            error: error.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| log::hinting(error).exit());
    let done = match arguments.command {
        Command::Check(check) => check.run(),
        Command::Purge(purge) => purge.run().await,
        Command::Token(token) => {
            token.run();
            Ok(())
        }
        Command::Replay(replay) => replay.run().await,
        Command::Shield(shield) => shield.run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", failure.error);
            let (mut said, mut cause) = (failure.error.to_string(), failure.error.source());
            while let Some(error) = cause {
                let text = error.to_string();
                // Errors that pass their source's words off as their own would say them twice.
                if text != said {
                    eprintln!("caused by: {text}");
                }
                (said, cause) = (text, error.source());
            }
            if let Some(hint) = failure.hint {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}
