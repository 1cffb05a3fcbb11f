//! One exchange with the upstream: its time-outs, its one retry, and what comes before its answer.

use std::pin::pin;
use std::sync::Arc;

use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::body::{BodyBroken, BodyFate, Fate, GateGuard, RequestBody, UpstreamBody};
use super::error::UpstreamError;
use super::expect::{CONTINUE_PATIENCE, Gate};
use super::fields;
use super::informational::InterimSender;
use super::limits::Patience;
use super::pool::{Connection, Lease, Pool, SendError, Taken};
use super::upstream::Head;

/// The head of the upstream's answer, its body, and the connection that it comes over.
type Answered = (Response<Incoming>, Option<Lease>);

/// One request on its way.
pub(crate) struct Exchange<'a> {
    /// Where connections come from.
    pub(crate) pool: &'a Arc<Pool>,
    /// How long anything may take.
    pub(crate) patience: &'a Patience,
    /// The way back for interim answers.
    pub(crate) interim: Option<InterimSender>,
    /// What becomes of the request's body, if it has one.
    pub(crate) fate: Option<BodyFate>,
    /// What holds that body back, if anything does.
    pub(crate) gate: Option<Arc<Gate>>,
}

impl Exchange<'_> {
    /// Sends the request, again if it may be, and waits for the head of the answer.
    pub(crate) async fn run(
        &self,
        head: Head,
        body: RequestBody,
    ) -> Result<Answered, UpstreamError> {
        let pool = self.pool;
        // Only what can be repeated and has no body is asked twice (RFC 9110 §9.2.2).
        let repeatable = head.method.is_idempotent() && body.is_none();
        let mut connection = pool.take().await?;
        let mut spare = (repeatable && connection.origin == Taken::Rested).then(|| head.clone());
        let mut request = head.with(body);
        loop {
            self.listen(&mut request);
            let origin = connection.origin;
            match self.within_patience(connection, request).await? {
                Ok(answered) => return Ok(answered),
                // It was closed while it rested, before anything was written.
                Err(SendError::NotSent(unsent, _)) if origin == Taken::Rested => {
                    request = *unsent;
                    connection = pool.take().await?;
                }
                Err(SendError::NotSent(_, error)) => return Err(self.failed(error)),
                // It was closed while it rested, and that crossed the request; or the upstream fell over it.
                Err(SendError::Broken(error)) => match spare.take() {
                    Some(head) => {
                        request = head.with(RequestBody::default());
                        connection = pool.open().await?;
                    }
                    None => return Err(self.failed(error)),
                },
            }
        }
    }

    /// Sends it, and waits for the head of the answer: as long as the client's body goes on, and then a while.
    async fn within_patience(
        &self,
        connection: Connection,
        request: Request<RequestBody>,
    ) -> Result<Result<Answered, SendError>, UpstreamError> {
        let mut sending = pin!(connection.send(request));
        if let Some(gate) = &self.gate {
            match timeout(CONTINUE_PATIENCE, sending.as_mut()).await {
                Ok(sent) => return Ok(sent),
                Err(_) => gate.open(),
            }
        }
        let patience = self.patience.first_byte;
        let mut frames = self.frames_sent();
        loop {
            if let Ok(sent) = timeout(patience, sending.as_mut()).await {
                return Ok(sent);
            }
            let before = std::mem::replace(&mut frames, self.frames_sent());
            if frames == before {
                return Err(UpstreamError::FirstByteTimedOut {
                    seconds: patience.as_secs(),
                });
            }
        }
    }

    /// Passes interim answers on.
    fn listen(&self, request: &mut Request<RequestBody>) {
        if self.interim.is_none() && self.gate.is_none() {
            return;
        }
        let (interim, gate) = (self.interim.clone(), self.gate.clone());
        hyper::ext::on_informational(request, move |answer| match (&gate, answer.status()) {
            // The client is told when its body is read.
            (Some(gate), StatusCode::CONTINUE) => gate.open(),
            (_, status) => {
                if let Some(interim) = &interim {
                    interim.send(status, answer.headers());
                }
            }
        });
    }

    fn frames_sent(&self) -> u64 {
        self.fate.as_ref().map_or(0, |fate| fate.so_far().frames)
    }

    /// Whose fault it was.
    fn failed(&self, error: hyper::Error) -> UpstreamError {
        let Fate { broken, .. } = self.fate.as_ref().map(BodyFate::so_far).unwrap_or_default();
        match broken {
            Some(BodyBroken::TooLarge) => UpstreamError::BodyTooLarge,
            Some(BodyBroken::ByClient) => UpstreamError::ClientBody,
            Some(BodyBroken::Unwanted) | None => UpstreamError::Broken(error),
        }
    }

    /// The answer as it goes on.
    pub(crate) fn finish(
        self,
        response: Response<Incoming>,
        lease: Option<Lease>,
    ) -> Response<UpstreamBody> {
        let version = response.version();
        let patience = self.patience.read;
        let mut response =
            response.map(|body| UpstreamBody::new(body, patience, lease, self.gate.map(GateGuard)));
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            fields::from_upstream(response.headers_mut(), version);
        }
        *response.version_mut() = Version::HTTP_11;
        response
    }
}
