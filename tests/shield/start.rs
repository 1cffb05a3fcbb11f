//! How it starts, and what it says when it cannot.

use e2e::{Shield, TestOrigin};

#[tokio::test]
async fn it_says_where_it_listens_what_it_shields_and_by_which_policy() {
    let origin = TestOrigin::start().await;
    let shield = Shield::start(&origin.url).await;
    let shields = format!(
        "terrace shield: http://{} shields {};",
        shield.address(),
        origin.url
    );
    assert!(shield.line.starts_with(&shields), "{}", shield.line);
    assert!(shield.line.contains("policy: none"), "{}", shield.line);

    let shield = Shield::start_with(&origin.url, &["--policy", "terrace.toml"]).await;
    assert!(
        shield.line.ends_with("policy: terrace.toml"),
        "{}",
        shield.line
    );
}

#[tokio::test]
async fn an_upstream_that_is_not_there_yet_is_no_reason_not_to_start() {
    let origin = TestOrigin::start().await;
    let url = origin.url.clone();
    origin.stop().await;
    let shield = Shield::start(&url).await;
    assert_eq!(shield.get("/").await.status, 502);
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_said_with_a_hint() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let upstream = "http://127.0.0.1:1";
    for (upstream, arguments, said, hint) in [
        (
            "ftp://127.0.0.1",
            &[][..],
            "no http:// or https:// URL",
            "http://host:port",
        ),
        (
            "http://127.0.0.1:1/path",
            &[],
            "has a path",
            "http://host:port",
        ),
        (
            upstream,
            &["--listen", &taken],
            "nobody can listen at",
            "port 0 a free one",
        ),
        (
            upstream,
            &["--policy", "no-such.toml"],
            "cannot be read",
            "terrace check",
        ),
        (
            upstream,
            &["--redis", "redis://127.0.0.1:1/"],
            "does not answer",
            "without --redis",
        ),
        (
            upstream,
            &["--purge-token-file", "no-such.json"],
            "cannot be read",
            "JSON array",
        ),
        (
            upstream,
            &["--purge-tokens", "{}"],
            "JSON array",
            "terrace token",
        ),
    ] {
        let output = Shield::fail_to_start(upstream, arguments).await;
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(
            text.contains("error: ") && text.contains(said),
            "{arguments:?}: {text}"
        );
        let hints: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("hint: "))
            .collect();
        assert!(
            hints.iter().any(|line| line.contains(hint)),
            "{arguments:?}: {text}"
        );
    }
}
