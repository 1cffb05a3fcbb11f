//! Requests that the cache has no part in, and what an unsafe one invalidates.

use std::sync::Arc;

use ::http::{HeaderMap, Method, Request, Response, StatusCode, header::UPGRADE};
use bytes::Bytes;
use http_body::Body;
use terrace_shared::http::{Exposure, invalidation, pass_fields};
use terrace_shared::intake::{Intake, Target};
use terrace_shared::outcome::CacheStatus;
use terrace_shared::purge::{Epoch, Purge, PurgeMode, Scope};
use tower_service::Service;

use super::CacheBody;
use super::asked::ask;
use super::error::BoxError;
use super::post::Post;
use super::respond::{earliest, said_in, sign};
use super::site::Site;
use super::visit::Passing;

/// Sends the request to the service, and its answer to the client.
pub(super) async fn pass<S, Q, B>(
    site: Arc<Site>,
    service: S,
    passing: Passing<Q>,
) -> Result<Response<CacheBody<B>>, S::Error>
where
    S: Service<Request<Q>, Response = Response<B>>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let Passing {
        mut request,
        reason,
        target,
    } = passing;
    site.counters().forward(reason);
    let method = request.method().clone();
    // A connection that becomes another protocol's is none of ours.
    let is_tunnel = method == Method::CONNECT || request.headers().contains_key(UPGRADE);
    request.extensions_mut().insert(site.mark());
    let post = Post::of(&site, &request, target.as_ref(), reason);
    let epoch = site.engine().view().epoch(); // before it is asked (R9)
    let response = ask(service, request).await?;
    let (mut head, body) = response.into_parts();
    let is_tunnel = is_tunnel || head.status == StatusCode::SWITCHING_PROTOCOLS;
    if !is_tunnel {
        super::keys::into_fields(&mut head);
    }
    let candidate = post.as_ref().and_then(|post| post.candidate(&head));
    let invalidated_at = match &target {
        Some(target) => invalidate(&site, &method, target, head.status, &head.headers).await,
        None => None,
    };
    if is_tunnel {
        return Ok(Response::from_parts(head, CacheBody::service(body)));
    }
    let stored = candidate.and_then(|candidate| candidate.after(invalidated_at));
    let path = target.as_ref().map_or("", Target::path);
    let rules = site.routes.find(path);
    let now = site.engine().clock.now().timestamp();
    head.headers = pass_fields(&head.headers, now, rules.decide());
    let said = CacheStatus::forward(&site.config.name, reason).forward_status(head.status);
    let epoch = match site.config.surrogate_keys {
        Exposure::Send => earliest(epoch, said_in(&head.headers)),
        Exposure::Strip => None,
    };
    let (said, body) = match post.zip(stored) {
        Some((post, stored)) => (said.stored(), post.keep(stored, body)),
        None => (said, CacheBody::service(body)),
    };
    sign(&site, &mut head.headers, &said, epoch);
    Ok(Response::from_parts(head, body))
}

/// Makes unusable what a successful unsafe request has changed (RFC 9111 §4.4, RFC 9875 §3).
///
/// It is a purge in the ledger of this cache, so that a fill under way cannot undo it. The edge is not told:
/// it has seen the same answer. What comes back is the place of that purge.
async fn invalidate(
    site: &Site,
    method: &Method,
    target: &Target,
    status: StatusCode,
    fields: &HeaderMap,
) -> Option<Epoch> {
    let mut scopes = invalidation(method, target.uri(), status, fields);
    if scopes.is_empty() {
        return None;
    }
    let named = scopes.iter().filter_map(|scope| match scope {
        Scope::Exact(name) => Some(name.clone()),
        _ => None,
    });
    let named: Vec<Box<str>> = named.collect();
    // What is stored has the name that its route normalises.
    let normal = named
        .iter()
        .filter_map(|name| normalised(site, target, name));
    let normal: Vec<Scope> = normal.filter(|scope| !scopes.contains(scope)).collect();
    scopes.extend(normal);
    let purge = Purge {
        mode: PurgeMode::Hard,
        scopes,
        at: site.engine().clock.now(),
        origin_epoch: None,
    };
    let Ok(appended) = site.engine().ledger.append(purge).await else {
        site.counters().counts.failed_invalidations_total.add_one();
        forget(site, target, &named);
        return None;
    };
    Some(appended.epoch)
}

/// The scope of a URL, given as host, path and query, as its route normalises it.
fn normalised(site: &Site, target: &Target, name: &str) -> Option<Scope> {
    let target = Target::parse(&format!("{}://{name}", target.scheme())).ok()?;
    let (path, query) = target.path_and_query().split_once('?')?;
    let query = site.routes.find(path).route().query.normalise(query);
    let mark = if query.is_empty() { "" } else { "?" };
    Scope::exact(&format!("{}{path}{mark}{query}", target.host())).ok()
}

/// Forgets the URLs in this process at least, when the ledger does not take their purge.
fn forget(site: &Site, target: &Target, names: &[Box<str>]) {
    let now = site.engine().clock.now().timestamp();
    let fields = HeaderMap::new();
    let intake = Intake::of(&Method::GET, target.clone(), fields, &site.routes, now);
    for name in names {
        if let Some(key) = intake.key_of_name(name, &site.routes) {
            site.memory.forget(&key);
        }
    }
}
