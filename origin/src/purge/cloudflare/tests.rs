use serde_json::json;

use super::*;

fn told(request: &PurgeRequest) -> Vec<serde_json::Value> {
    let calls = in_words_of_the_api(request);
    calls
        .iter()
        .map(|call| serde_json::to_value(call).expect("JSON"))
        .collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn each_kind_of_name_has_its_word_in_the_api() {
    let request = PurgeRequest {
        surrogate_keys: names(&["product:42"]),
        keys: names(&["www.example.com/a", "plan:v1:7"]),
        urls: names(&["https://www.example.com/b?x=1"]),
        prefixes: names(&["www.example.com/api/", "plan:v1:"]),
        patterns: names(&["www.example.com/docs/v1*"]),
        hosts: names(&["img.example.com", "img.example.com:8443"]),
        namespaces: names(&["plan"]),
        ..PurgeRequest::default()
    };
    let expected = [
        json!({ "tags": ["product:42"] }),
        json!({ "files": ["https://www.example.com/a", "http://www.example.com/a"] }),
        json!({ "prefixes": ["www.example.com/b", "www.example.com/api/", "www.example.com/docs/v1"] }),
        json!({ "hosts": ["img.example.com", "img.example.com"] }),
    ];
    assert_eq!(told(&request), expected);
}

#[test]
fn what_the_api_has_no_word_for_becomes_everything() {
    let some = PurgeRequest {
        surrogate_keys: names(&["a"]),
        ..PurgeRequest::default()
    };
    let with = |change: fn(&mut PurgeRequest)| {
        let mut request = some.clone();
        change(&mut request);
        request
    };
    for request in [
        with(|request| request.everything = true),
        with(|request| request.urls = names(&["/on/any/host"])),
        with(|request| request.prefixes = names(&["/api/"])),
        with(|request| request.prefixes = names(&["www.example:"])),
        with(|request| request.patterns = names(&["*/api/*"])),
        with(|request| request.patterns = names(&["www.*.com/api*"])),
        with(|request| request.patterns = names(&["www*"])),
    ] {
        assert_eq!(
            told(&request),
            [json!({ "purge_everything": true })],
            "{request:?}"
        );
    }
}

#[test]
fn more_than_a_call_takes_goes_in_several() {
    let request = PurgeRequest {
        surrogate_keys: (0..250).map(|number| format!("k{number}")).collect(),
        ..PurgeRequest::default()
    };
    let lengths: Vec<_> = told(&request)
        .iter()
        .map(|call| call["tags"].as_array().map(Vec::len))
        .collect();
    assert_eq!(lengths, [Some(100), Some(100), Some(50)]);
    let of_data = PurgeRequest {
        keys: names(&["plan:7"]),
        ..PurgeRequest::default()
    };
    assert!(told(&of_data).is_empty());
}

#[tokio::test]
async fn zones_that_cannot_be_used_are_named() {
    assert!(ZoneClient::new(&CloudflareZone::new("", "t")).is_err());
    assert!(ZoneClient::new(&CloudflareZone::new("../x", "t")).is_err());
    assert!(
        ZoneClient::new(&CloudflareZone::new(
            "023e105f4ecef8ad9ca31a8372d0c353",
            "t"
        ))
        .is_ok()
    );
    let shown = format!("{:?}", CloudflareZone::new("z", "secret"));
    assert!(!shown.contains("secret"), "{shown}");
}
