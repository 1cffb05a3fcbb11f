//! An edge, or a purge API, that does what it is told to and writes down what it was asked.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::Value;

/// A server on a free port, for as long as its test runs.
#[derive(Clone)]
pub(crate) struct EdgeServer {
    pub(crate) url: String,
    state: Arc<Mutex<Told>>,
}

type Answer = Box<dyn FnMut(&Value) -> Response + Send>;

struct Told {
    calls: Vec<Call>,
    answer: Answer,
}

/// One call as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

impl EdgeServer {
    pub(crate) async fn answering(answer: impl FnMut(&Value) -> Response + Send + 'static) -> Self {
        let told = Told {
            calls: Vec::new(),
            answer: Box::new(answer),
        };
        let state = Arc::new(Mutex::new(told));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().fallback(take).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state }
    }

    /// From now on, it answers so.
    pub(crate) fn answer(&self, answer: impl FnMut(&Value) -> Response + Send + 'static) {
        self.state.lock().answer = Box::new(answer);
    }

    /// What it was asked, oldest first.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state.lock().calls.clone()
    }
}

async fn take(State(state): State<Arc<Mutex<Told>>>, request: Request) -> Response {
    let authorization = request.headers().get("authorization");
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let (authorization, path) = (
        authorization.unwrap_or_default().to_owned(),
        request.uri().path().to_owned(),
    );
    let Ok(body) = request.into_body().collect().await else {
        return http::StatusCode::BAD_REQUEST.into_response();
    };
    let body = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let mut told = state.lock();
    let answer = (told.answer)(&body);
    told.calls.push(Call {
        path,
        authorization,
        body,
    });
    answer
}
