//! Tunnels: after `Upgrade`, bytes go both ways untouched (RFC 9110 §7.8). Nothing of them is cached.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::body::{AnswerBody, RequestBody};
use super::server::Alive;
use super::upstream::{Ask, Upstream, Visitor};

/// The protocol that a request wants to go over to, if it may.
///
/// `h2c` is answered in HTTP/1.1: tunnelled, it would hide requests from everything here.
pub(crate) fn wanted(fields: &HeaderMap, version: Version) -> Option<HeaderValue> {
    let protocol = fields.get(UPGRADE)?;
    let connection = fields.get_all(CONNECTION).iter().any(|line| {
        line.as_bytes()
            .split(|byte| *byte == b',')
            .any(|member| member.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    let only_one = fields.get_all(UPGRADE).iter().count() == 1;
    let h2c = protocol.as_bytes().to_ascii_lowercase();
    let h2c = h2c.windows(3).any(|name| name == b"h2c");
    (connection && only_one && !h2c && version == Version::HTTP_11).then(|| protocol.clone())
}

/// Asks the upstream to go over to `protocol`; if it does, both sides are joined for as long as they last.
pub(crate) async fn tunnel(
    upstream: Upstream,
    mut request: Request<RequestBody>,
    visitor: Visitor,
    protocol: HeaderValue,
    alive: Alive,
) -> Response<AnswerBody> {
    let client: OnUpgrade = hyper::upgrade::on(&mut request);
    let mut response = match upstream.ask(request, visitor, Ask::Upgrade(protocol)).await {
        Ok(response) => response,
        Err(error) => return error.answer(),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let service = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(client), Ok(service)) = (client.await, service.await) {
                let (mut client, mut service) = (TokioIo::new(client), TokioIo::new(service));
                // How it ends concerns only the two of them.
                let _ = copy_bidirectional(&mut client, &mut service).await;
            }
            drop(alive);
        });
    }
    response.map(|body| AnswerBody::Upstream { body })
}
