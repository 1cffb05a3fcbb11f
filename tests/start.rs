//! `make start`, as a stranger types it: the tour by hand, the home page in Chromium, and nothing left behind.

use std::process::Stdio;

use e2e::{Client, root, run_in_chromium, wait_until};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

#[tokio::test]
async fn the_demo_shows_its_tour_by_hand_and_in_a_browser_and_leaves_nothing_behind() {
    let mut demo = Command::new(root().join("node_modules/.bin/node"))
        .args([
            "scripts/start.mjs",
            "--backend",
            "target/debug/examples/shop",
        ])
        .current_dir(root())
        .env_remove("REDIS_URL")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut printed = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        let last = line.starts_with("Ctrl-C");
        printed.push(line);
        if last {
            break;
        }
    }
    let url_after = |word: &str| {
        let line = printed.iter().find(|line| line.starts_with(word));
        let line = line.unwrap_or_else(|| panic!("no {word} in {printed:#?}"));
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .trim_end_matches('/')
            .to_owned()
    };
    let (edge, backend) = (url_after("edge"), url_after("backend"));

    // The tour's own commands, in order.
    let commands: Vec<_> = printed
        .iter()
        .filter_map(|line| line.split_once("curl "))
        .collect();
    assert_eq!(commands.len(), 5, "{printed:#?}");
    let mut answers = Vec::new();
    for (_, command) in commands {
        let command = command.split("    #").next().unwrap();
        let output = Command::new("bash")
            .args(["-c", &format!("curl -s {command}")])
            .output()
            .await
            .unwrap();
        answers.push(String::from_utf8(output.stdout).unwrap().to_lowercase());
    }
    assert!(
        answers[0].contains("cache-status: terrace; fwd="),
        "{}",
        answers[0]
    );
    assert!(
        answers[1].contains("cache-status: terrace; hit"),
        "{}",
        answers[1]
    );
    assert!(answers[2].contains("\"visible_by_ms\""), "{}", answers[2]);
    assert!(
        answers[3].contains("cache-status: terrace; fwd="),
        "{}",
        answers[3]
    );
    assert!(
        answers[3].contains("\"price_cents\":1234"),
        "{}",
        answers[3]
    );
    assert!(answers[4].contains("\"epoch\""), "{}", answers[4]);

    let screenshot = root().join("target/home.png");
    let shown = run_in_chromium("home.mjs", &[&edge, screenshot.to_str().unwrap()]).await;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        shown["state"], "Done: the new price is everywhere.",
        "{shown:#}"
    );
    assert_eq!(shown["problems"], serde_json::json!([]), "{shown:#}");
    let statuses: Vec<_> = shown["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row[4].as_str().unwrap())
        .collect();
    let hits: Vec<_> = statuses
        .iter()
        .map(|status| status.contains("Terrace; hit"))
        .collect();
    assert_eq!(hits, [false, true, false, false, true], "{statuses:#?}");

    a_service_in_another_language_is_shielded_in_two_lines(&printed).await;

    // Ctrl-C.
    let interrupted = Command::new("kill")
        .args(["-INT", &demo.id().unwrap().to_string()])
        .status()
        .await
        .unwrap();
    assert!(interrupted.success());
    assert!(demo.wait().await.unwrap().success());
    for url in [edge, backend] {
        let address = Client::new(&url)
            .base()
            .trim_start_matches("http://")
            .to_owned();
        wait_until(&format!("nothing listens at {address}"), async || {
            tokio::net::TcpStream::connect(&address)
                .await
                .is_err()
                .then_some(())
        })
        .await;
    }
}

/// Runs the two lines that were printed, and asks the shield twice.
async fn a_service_in_another_language_is_shielded_in_two_lines(printed: &[String]) {
    let start = |part: &str| {
        let line = printed.iter().find(|line| line.contains(part));
        let line = line.unwrap_or_else(|| panic!("no {part} in {printed:#?}"));
        let mut words = line.split_whitespace();
        Command::new(words.next().unwrap())
            .args(words)
            .current_dir(root())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"))
    };
    let _service = start("quotes.mjs");
    let _shield = start("terrace shield");
    let line = printed.iter().find(|line| line.contains("terrace shield"));
    let address = line.unwrap().split_whitespace().last().unwrap();
    let client = Client::new(&format!("http://{address}"));
    let first = wait_until("the shield answers with a quote", async || {
        let answer = client.try_get("/hello").await?;
        (answer.status == 200).then_some(answer)
    })
    .await;
    let second = client.get("/hello").await;
    assert!(second.is_hit(), "{second:?}");
    assert!(first.text().contains("/hello was made at"), "{first:?}");
    assert_eq!(first.text(), second.text());
}
