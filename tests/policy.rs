//! A policy file with mistakes: the command, the service and the edge's build each say where, what, and what was meant.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use e2e::root;

/// Three mistakes: in lines 4, 7 and 9.
const MISTAKEN: &str = r#"version = 1

[ledger]
bound_secs = 5

[keys.plan]
template = "plan:{plan_id"
memory_seconds = 60
redis_secnods = 60
"#;

/// What every report of it must hold.
const SAID: [&str; 3] = [
    "terrace.toml:4: ledger.bound_secs: unknown field; did you mean \"bound_seconds\"?",
    "terrace.toml:7: keys.plan.template",
    "terrace.toml:9: keys.plan.redis_secnods: unknown field; did you mean \"redis_seconds\"?",
];

fn assert_said(output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    for part in SAID {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

fn mistaken(directory: &Path) -> PathBuf {
    let file = directory.join("terrace.toml");
    std::fs::write(&file, MISTAKEN).unwrap();
    file
}

#[test]
fn the_command_says_all_that_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let command = Command::new(root().join("target/debug/terrace"))
        .arg("check")
        .arg(mistaken(directory.path()))
        .output();
    assert_said(&command.unwrap());
}

#[test]
fn a_service_does_not_start_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let shop = Command::new(root().join("target/debug/examples/shop"))
        .args(["--listen", "127.0.0.1:0", "--policy"])
        .arg(mistaken(directory.path()))
        .output();
    assert_said(&shop.unwrap());
}

#[test]
fn the_edge_does_not_build_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let build = Command::new(env!("CARGO"))
        .args(["test", "--workspace", "--all-features"])
        .args(["--locked", "--offline", "--no-run"])
        .env("TERRACE_POLICY", mistaken(directory.path()))
        .current_dir(root())
        .output();
    assert_said(&build.unwrap());
}
