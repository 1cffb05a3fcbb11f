//! One request on its way through the cache, with everything that was read of it once.

use std::borrow::Cow;
use std::sync::Arc;

use ::http::header::{CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use ::http::uri::PathAndQuery;
use ::http::{Extensions, HeaderValue, Method, Request, Uri, Version, request};
use terrace_shared::http::StoredResponse;
use terrace_shared::intake::{Handling, Intake, Target, TargetError};
use terrace_shared::key::EncodedKey;
use terrace_shared::outcome::{CacheStatus, ForwardReason, StaleReason};
use terrace_shared::policy::{Route, RouteClass};
use terrace_shared::purge::token::{After, Reach};
use terrace_shared::purge::wire::AFTER_FIELD;
use terrace_shared::purge::{Epoch, Lag, Verdict};
use terrace_shared::time::{DeltaSeconds, Milliseconds, TimestampMillis};

use super::layer::Config;
use super::site::Site;
use super::store::Entry;

/// One request on its way through the cache.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) site: Arc<Site>,
    pub(super) intake: Intake,
    /// The key of responses that say nothing about queries, if the request's own is another.
    plain_key: Option<EncodedKey>,
    uri: Uri,
    version: Version,
    extensions: Extensions,
    /// When the request came, or was caught up.
    pub(super) now: TimestampMillis,
    /// How old the view of the ledger is, against the route's bound.
    pub(super) lag: Lag,
    /// Where the view stood before anything was judged, if answers say so (R9).
    pub(super) epoch: Option<Epoch>,
    /// Nothing older than these purges may answer it; none if it presents no token that is believed (R10).
    pub(super) after: Option<After>,
    /// Tokens that it presents and that are not believed.
    ignored_tokens: usize,
}

/// How a request begins.
pub(super) enum Begun<Q> {
    /// It may be answered from the store.
    Cache(Arc<Visit>),
    /// It passes the store by.
    Pass(Box<Passing<Q>>),
    /// Its target could be understood in two ways.
    Refused(TargetError),
}

/// A request that passes the store by.
pub(super) struct Passing<Q> {
    pub(super) request: Request<Q>,
    pub(super) reason: ForwardReason,
    /// What it asks for, if that can be said.
    pub(super) target: Option<Target>,
}

impl Visit {
    /// Reads `request`: its target, route, cookies and key.
    pub(super) fn begin<Q>(site: &Arc<Site>, request: Request<Q>) -> Begun<Q> {
        let (head, body) = request.into_parts();
        let pass = |head, reason, target| {
            Begun::Pass(Box::new(Passing {
                request: Request::from_parts(head, body),
                reason,
                target,
            }))
        };
        let target = target_of(&head, &site.config);
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return pass(head, ForwardReason::Method, target.ok());
        }
        let target = match target {
            Ok(target) => target,
            Err(error) => return Begun::Refused(error),
        };
        let bypassed = site.routes.find(target.path()).route().class == RouteClass::Bypass;
        if bypassed || head.headers.contains_key(UPGRADE) || has_body(&head) {
            return pass(head, ForwardReason::Bypass, Some(target));
        }
        let request::Parts {
            method,
            uri,
            version,
            headers,
            extensions,
            ..
        } = head;
        let now = site.engine().clock.now();
        let intake = Intake::of(&method, target, headers, &site.routes, now.timestamp());
        if let Handling::Pass(reason) = intake.handling {
            // Its cookies decided that, and then its fields are as they came.
            let mut head = Request::new(()).into_parts().0;
            (head.method, head.uri, head.version) = (method, uri, version);
            head.headers = Arc::unwrap_or_clone(intake.fields);
            head.extensions = extensions;
            return pass(head, reason, Some(intake.target));
        }
        Begun::Cache(Arc::new(Self::of(
            site,
            intake,
            (uri, version, extensions),
            now,
        )))
    }

    fn of(
        site: &Arc<Site>,
        mut intake: Intake,
        (uri, version, extensions): (Uri, Version, Extensions),
        now: TimestampMillis,
    ) -> Self {
        // One look-up, for a request that presents none.
        let presented = intake.fields.contains_key(&AFTER);
        let presented = presented.then(|| site.engine().presented(&intake.fields));
        let presented = presented.unwrap_or_default();
        let (lag, epoch) = standing(site, &intake);
        let plain_key = site.put_under_search_rule(&mut intake);
        Self {
            lag,
            site: site.clone(),
            intake,
            plain_key,
            uri,
            version,
            extensions,
            now,
            epoch,
            after: Some(presented.after).filter(|after| !after.is_empty()),
            ignored_tokens: presented.ignored,
        }
    }

    /// Whether the view of the ledger may lack a purge that the request's tokens name.
    pub(super) fn is_behind(&self) -> bool {
        let view = self.site.engine().view();
        let reach = |after: &After| view.reach(&after.origin);
        self.after.as_ref().map(reach) == Some(Reach::Behind)
    }

    /// The same request, when the view has been brought up to what its tokens name, if that can be done (R10).
    pub(super) async fn caught_up(mut self: Arc<Self>) -> Arc<Self> {
        if let Some(after) = &self.after {
            self.site.engine().catch_up(after).await;
        }
        let (lag, epoch) = standing(&self.site, &self.intake);
        if let Some(visit) = Arc::get_mut(&mut self) {
            (visit.lag, visit.epoch) = (lag, epoch);
            visit.now = visit.clock();
        }
        self
    }

    /// A POST, as far as storing its answer is concerned; none if the cache has no part in it.
    pub(super) fn of_post<Q>(
        site: &Arc<Site>,
        request: &Request<Q>,
        target: Target,
    ) -> Option<Arc<Self>> {
        let now = site.engine().clock.now();
        let fields = request.headers().clone();
        let mut intake = Intake::of(
            request.method(),
            target,
            fields,
            &site.routes,
            now.timestamp(),
        );
        if intake.handling != Handling::Pass(ForwardReason::Method) {
            return None; // its route, or its cookies, bypass the store
        }
        let plain_key = site.put_under_search_rule(&mut intake);
        Some(Arc::new(Self {
            lag: Lag::Within,
            site: site.clone(),
            intake,
            plain_key,
            uri: request.uri().clone(),
            version: request.version(),
            extensions: Extensions::new(),
            now,
            epoch: None,
            after: None,
            ignored_tokens: 0,
        }))
    }

    /// Its route.
    pub(super) fn route(&self) -> &Route {
        self.intake.rules.route()
    }

    /// What time it is by now.
    pub(super) fn clock(&self) -> TimestampMillis {
        self.site.engine().clock.now()
    }

    /// What may be made of what is stored: the ledger's verdict, and what the request's tokens leave of it (R3, R10).
    pub(super) fn verdict(&self, entry: &Arc<Entry>) -> Verdict {
        self.under_tokens(|| self.ledgers_verdict(entry))
    }

    /// What a request with tokens may make of what the ledger gives this verdict on.
    pub(super) fn under_tokens(&self, verdict: impl FnOnce() -> Verdict) -> Verdict {
        let Some(after) = &self.after else {
            return verdict();
        };
        // First: a verdict from before the view got there would not know of the purge.
        let reach = self.site.engine().view().reach(&after.origin);
        reach.judge(verdict())
    }

    /// The ledger's verdict on what is stored, under the name of this request too, whoever asks.
    pub(super) fn ledgers_verdict(&self, entry: &Arc<Entry>) -> Verdict {
        let view = self.site.engine().view();
        let verdict = view.judge(entry);
        if self.plain_key.is_none() {
            return verdict;
        }
        match self.intake.alias_scopes(&entry.head) {
            None => verdict,
            // Not the lifted fence: it was lifted for the entry's own scopes alone.
            Some(scopes) => verdict.worse(view.verdict(entry.filled_under(), &scopes)),
        }
    }

    /// The ledger's verdict on what is being stored.
    pub(super) fn verdict_on(&self, head: &StoredResponse) -> Verdict {
        let view = self.site.engine().view();
        let verdict = view.verdict(head.fence(), head.scopes());
        match self.intake.alias_scopes(head) {
            None => verdict,
            Some(scopes) => verdict.worse(view.verdict(head.fence(), &scopes)),
        }
    }

    /// Under which epoch an answer from what is stored was produced, if answers say so (R9).
    ///
    /// A purge that has softened it is later than that, whatever the view knows by now: a cache in front that was
    /// given a stale answer must not take it for one from after the purge.
    pub(super) fn epoch_of(&self, entry: &Arc<Entry>) -> Option<Epoch> {
        let epoch = self.epoch?;
        match self.ledgers_verdict(entry) {
            Verdict::Untouched => Some(epoch),
            Verdict::Softened | Verdict::Dropped => Some(entry.filled_under().filled_at),
        }
    }

    /// What is said of an answer, and of the tokens that the request presents.
    pub(super) fn said<'a>(&self, said: &'a CacheStatus) -> Cow<'a, CacheStatus> {
        let mut said = Cow::Borrowed(said);
        let mut add = |detail| said = Cow::Owned(said.as_ref().clone().detail(detail));
        if self.ignored_tokens > 0 {
            add("after-ignored");
        }
        if self.is_behind() {
            add("after-unreached");
        }
        said
    }

    /// The key under which responses that say nothing about queries are stored.
    pub(super) fn plain_key(&self) -> &EncodedKey {
        self.plain_key.as_ref().unwrap_or(&self.intake.key)
    }

    /// The request as the service is to be asked, but for its fields: for the normalised query.
    pub(super) fn request(&self, method: &Method) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = method.clone();
        *request.uri_mut() = self.uri_to_ask();
        *request.version_mut() = self.version;
        *request.extensions_mut() = self.extensions.clone();
        request.extensions_mut().insert(self.site.mark());
        request
    }

    /// The host, for the service.
    pub(super) fn host(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.intake.target.host()).ok()
    }

    /// What is said of a request that goes on to the service.
    pub(super) fn forwarded(&self, reason: ForwardReason) -> CacheStatus {
        CacheStatus::forward(&self.site.config.name, reason)
    }

    /// What is said of an answer from the store with this much freshness left.
    pub(super) fn hit(&self, remaining: DeltaSeconds) -> CacheStatus {
        CacheStatus::hit(&self.site.config.name, remaining)
    }

    /// What is said of a stale answer from the store.
    pub(super) fn stale_hit(&self, by: DeltaSeconds, because: StaleReason) -> CacheStatus {
        self.site.counters().counts.stale_served_total.add_one();
        CacheStatus::stale_hit(&self.site.config.name, by, because)
    }

    /// The URI as it came, with the query as the route normalises it.
    fn uri_to_ask(&self) -> Uri {
        let query = |text: &str| text.split_once('?').map(|(_, query)| query.to_owned());
        let normal = query(&self.intake.path_and_query);
        if self.uri.query() == normal.as_deref() {
            return self.uri.clone();
        }
        let path = self.uri.path();
        let text = match normal {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = text.parse().ok();
        Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone())
    }
}

static AFTER: HeaderName = HeaderName::from_static(AFTER_FIELD);

/// How old the view of the ledger is, against the route's bound; and where it stands, if answers say so.
fn standing(site: &Site, intake: &Intake) -> (Lag, Option<Epoch>) {
    let view = site.engine().view();
    let epoch = site.shows_epochs().then(|| view.epoch()).flatten();
    let bound = Milliseconds::from(intake.rules.route().purge_bound);
    (view.lag(&site.engine().clock, bound), epoch)
}

/// What a request asks for: its own host, or that of its `Host` field, or the layer's.
fn target_of(head: &request::Parts, config: &Config) -> Result<Target, TargetError> {
    let uri = asked_for(head);
    let scheme = head.uri.scheme().unwrap_or(&config.scheme);
    let mut lines = head.headers.get_all(HOST).iter();
    let host = match (head.uri.authority(), lines.next(), lines.next()) {
        (Some(authority), ..) => authority.as_str(),
        (None, Some(_), Some(_)) => return Err(TargetError::Malformed),
        (None, Some(host), None) => host.to_str().map_err(|_| TargetError::Malformed)?,
        (None, None, _) => &config.host,
    };
    let root = PathAndQuery::from_static("/");
    Target::of(scheme, host, uri.path_and_query().unwrap_or(&root))
}

/// The URI before a router took off the prefix of a nested one.
#[cfg(feature = "axum")]
fn asked_for(head: &request::Parts) -> &Uri {
    let original = head.extensions.get::<axum::extract::OriginalUri>();
    original.map_or(&head.uri, |original| &original.0)
}

#[cfg(not(feature = "axum"))]
fn asked_for(head: &request::Parts) -> &Uri {
    &head.uri
}

/// Whether a request announces a body: no key names it, so no answer to it is anybody else's.
fn has_body(head: &request::Parts) -> bool {
    let length = head.headers.get(CONTENT_LENGTH);
    head.headers.contains_key(TRANSFER_ENCODING)
        || length.is_some_and(|length| length.as_bytes().iter().any(|digit| *digit != b'0'))
}
