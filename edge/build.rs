//! Checks the policy and builds it in: a worker with a bad policy is never built.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use terrace_shared::policy::Policy;

fn main() -> ExitCode {
    println!("cargo::rerun-if-env-changed=TERRACE_POLICY");
    let path = env::var_os("TERRACE_POLICY").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../terrace.toml"),
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", path.display());
    match build_in(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(errors) => {
            for line in errors.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build_in(path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| {
        format!(
            "{}: {error}; TERRACE_POLICY names another one",
            path.display()
        )
    })?;
    let policy = Policy::from_toml(&text).map_err(|errors| errors.to_string())?;
    let json = serde_json::to_string(&policy).map_err(|error| error.to_string())?;
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    fs::write(Path::new(&out).join("policy.json"), json).map_err(|error| error.to_string())
}
