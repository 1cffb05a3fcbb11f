//! Static assets at the edge.

use e2e::{Edge, TestOrigin};

#[tokio::test]
async fn pages_are_short_lived_and_what_they_name_is_kept_for_a_year() {
    let origin = TestOrigin::start().await;
    let edge = Edge::start(&origin.url).await;
    let page = edge.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.field("content-type").starts_with("text/html"));
    assert!(
        !page.field("cache-control").contains("immutable"),
        "{}",
        page.field("cache-control")
    );
    assert_ne!(page.field("etag"), "");

    for kind in ["css", "js"] {
        let path = path_ending(page.text(), kind);
        let asset = edge.get(&path).await;
        assert_eq!(asset.status, 200, "{path}");
        let kept = asset.field("cache-control");
        assert!(
            kept.contains("max-age=31536000") && kept.contains("immutable"),
            "{path}: {kept}"
        );
        assert_ne!(asset.cache_status(), "");

        let etag = asset.field("etag");
        let fields = [("if-none-match", etag)];
        let unchanged = edge
            .client
            .send(http::Method::GET, &path, &fields, "")
            .await;
        assert_eq!(unchanged.status, 304, "{path}");
        assert!(unchanged.body.is_empty());
    }
    // What is no asset is asked of the origin.
    let missing = edge.get("/assets/nothing.js").await;
    assert_eq!(missing.status, 404);
    assert!(!missing.field("cache-control").contains("immutable"));
}

/// The first path in quotation marks with this ending.
fn path_ending(page: &str, ending: &str) -> String {
    page.split('"')
        .find(|part| part.starts_with("/assets/") && part.ends_with(&format!(".{ending}")))
        .unwrap()
        .to_owned()
}
