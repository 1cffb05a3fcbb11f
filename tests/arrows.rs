//! The arrows between the crates go one way: edge → shared, origin → shared, cli → origin and shared.

use std::collections::BTreeMap;
use std::process::Command;

/// Which of our crates each of our crates may stand on.
const ALLOWED: [(&str, &[&str]); 8] = [
    ("terrace-shared", &[]),
    ("terrace-edge", &["terrace-shared"]),
    ("terrace-origin", &["terrace-shared"]),
    ("terrace-cli", &["terrace-origin", "terrace-shared"]),
    ("e2e", &[]),
    (
        "terrace-torture",
        &["e2e", "terrace-origin", "terrace-shared"],
    ),
    ("terrace-fuzz", &["terrace-shared"]),
    ("terrace-simulate", &["terrace-shared"]),
];

/// What would make `shared` impure: runtimes, clients, clocks and sources of randomness.
const NEVER_UNDER_SHARED: [&str; 8] = [
    "tokio",
    "hyper",
    "redis",
    "moka",
    "worker",
    "rand",
    "getrandom",
    "chrono",
];

#[test]
fn every_crate_stands_only_on_those_that_it_may() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeMap<&str, Vec<&str>> = packages
        .iter()
        .map(|package| {
            let normal = |dependency: &&serde_json::Value| dependency["kind"].is_null();
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            (
                package["name"].as_str().unwrap(),
                dependencies
                    .filter(normal)
                    .map(|dependency| dependency["name"].as_str().unwrap())
                    .collect(),
            )
        })
        .collect();
    assert_eq!(ours.len(), ALLOWED.len(), "{:?}", ours.keys());
    for (name, allowed) in ALLOWED {
        let stands_on = ours[name].iter().filter(|other| ours.contains_key(*other));
        for other in stands_on {
            assert!(allowed.contains(other), "{name} must not stand on {other}");
        }
    }
    for banned in NEVER_UNDER_SHARED {
        assert!(
            !ours["terrace-shared"].contains(&banned),
            "shared is pure and must not stand on {banned}"
        );
    }
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--locked",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}
