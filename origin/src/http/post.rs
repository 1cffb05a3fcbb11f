//! A POST whose answer answers later GETs too: it says for how long, and that it is what they would get
//! (RFC 9110 §9.3.3).

use std::sync::Arc;

use ::http::{Method, Request, response};
use bytes::Bytes;
use http_body::Body;
use terrace_shared::http::{
    Exchange, Extent, Fill, ForwardAs, OnResponse, ResponseHead, StoredResponse, on_response,
};
use terrace_shared::intake::{ROUTE_KEYS, Target, route_keys};
use terrace_shared::outcome::ForwardReason;
use terrace_shared::purge::{Epoch, Fence, Verdict};
use terrace_shared::time::TimestampMillis;

use super::CacheBody;
use super::error::BoxError;
use super::growing::Growing;
use super::keep::length_of;
use super::pump::{self, Keep, Pump};
use super::site::Site;
use super::visit::Visit;

/// A POST on its way to the service.
pub(super) struct Post {
    visit: Arc<Visit>,
    requested_at: TimestampMillis,
    /// The ledger's position, from before the service is asked (R1).
    began: Epoch,
}

/// What may be stored of the answer to a POST.
pub(super) struct Candidate {
    stored: StoredResponse,
    /// Up to where the ledger has not named it.
    position: Epoch,
}

impl Candidate {
    /// What to store after its own purge, whose place is `own`; none if others may have come in between.
    pub(super) fn after(self, own: Option<Epoch>) -> Option<StoredResponse> {
        let next = Epoch {
            sequence: self.position.sequence.next(),
            ..self.position
        };
        (own == Some(next)).then(|| self.stored.lifted_to(next))
    }
}

impl Post {
    /// Notes what is needed of `request` afterwards; none if it is no POST of the cache's.
    pub(super) fn of<Q>(
        site: &Arc<Site>,
        request: &Request<Q>,
        target: Option<&Target>,
        reason: ForwardReason,
    ) -> Option<Self> {
        if request.method() != Method::POST || reason != ForwardReason::Method {
            return None;
        }
        let began = site.engine().view().epoch()?;
        Some(Self {
            visit: Visit::of_post(site, request, target?.clone())?,
            requested_at: site.engine().clock.now(),
            began,
        })
    }

    /// What to store of the answer with this head, if it may be stored and no purge has come since the service
    /// was asked: to be called before the answer's own purge.
    pub(super) fn candidate(&self, head: &response::Parts) -> Option<Candidate> {
        let visit = &*self.visit;
        let target = &visit.intake.target;
        let mut fields = head.headers.clone();
        if let Some(keys) = route_keys(visit.route(), target.path()) {
            fields.insert(ROUTE_KEYS, keys);
        }
        let fill = Fill {
            exchange: Exchange::between(self.requested_at, visit.clock()),
            fence: Fence::at(self.began),
            host: target.host(),
            path_and_query: &visit.intake.path_and_query,
            asked: ForwardAs::Client,
        };
        let response = ResponseHead {
            status: head.status,
            fields: &fields,
        };
        let rules = visit.intake.rules.decide();
        let facts = &visit.intake.facts;
        let said = on_response(facts, response, None, Verdict::Untouched, &fill, rules);
        let OnResponse::Store(stored) = said else {
            return None;
        };
        let position = visit.site.engine().view().epoch()?;
        let is_whole = matches!(stored.extent(), Extent::Complete { .. });
        (is_whole && visit.verdict_on(&stored) == Verdict::Untouched).then_some(Candidate {
            stored: *stored,
            position,
        })
    }

    /// The body, which is stored as it flows to the client.
    pub(super) fn keep<B>(self, stored: StoredResponse, body: B) -> CacheBody<B>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let largest = self.visit.site.config.largest_body.as_u64();
        let expected = length_of(&stored);
        if expected.unwrap_or_default() > largest {
            return CacheBody::service(body);
        }
        let growing = Growing::new(stored, Some(self.began), expected);
        let Some(reader) = growing.read() else {
            return CacheBody::service(body);
        };
        let keep = Keep::AsItIs;
        let pump = Pump {
            body,
            growing,
            keep,
        };
        tokio::spawn(async move { pump::run(&self.visit, pump, None).await });
        CacheBody::growing(reader)
    }
}
