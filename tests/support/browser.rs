//! Headless Chromium, driven by a script.

use std::path::Path;

use tokio::process::Command;

use crate::process::root;

/// Runs `tests/browser/{script}` with Node and these arguments; its last line of output.
///
/// # Panics
/// When it fails, with what it said.
pub async fn run_in_chromium(script: &str, arguments: &[&str]) -> String {
    let output = Command::new(root().join("node_modules/.bin/node"))
        .arg(Path::new("tests/browser").join(script))
        .args(arguments)
        .current_dir(root())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().last().unwrap_or_default().to_owned()
}
