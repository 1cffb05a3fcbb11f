//! An origin whose every answer the test decides, and which holds one back until it is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// What a path answers.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub fields: Vec<(String, String)>,
    /// Its content.
    pub body: String,
}

impl Content {
    /// 200 with this content and these fields.
    pub fn new(body: &str, fields: &[(&str, &str)]) -> Self {
        Self {
            status: 200,
            fields: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }
}

/// An origin on a free port, gone with the test.
pub struct TestOrigin {
    /// Where it listens.
    pub url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    paths: Mutex<HashMap<String, PathState>>,
}

#[derive(Default)]
struct PathState {
    content: Option<Content>,
    hold: Option<Hold>,
    requests: Vec<http::HeaderMap>,
}

/// Holds the answers of one path back.
#[derive(Clone)]
pub struct Hold {
    arrived: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

impl Hold {
    /// Waits until a request has come, and its answer is decided.
    pub async fn arrived(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    /// Lets one answer go.
    pub fn release(&self) {
        self.released.add_permits(1);
    }
}

impl TestOrigin {
    /// Starts one that answers 404 to everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            shared,
            server,
        }
    }

    /// From now on `path` (with its query) answers this.
    pub fn set(&self, path: &str, content: Content) {
        let mut paths = self.shared.paths.lock().unwrap();
        paths.entry(path.to_owned()).or_default().content = Some(content);
    }

    /// From now on the answers of `path` are decided when a request comes, and sent when they are released.
    pub fn hold(&self, path: &str) -> Hold {
        let hold = Hold {
            arrived: Arc::new(Semaphore::new(0)),
            released: Arc::new(Semaphore::new(0)),
        };
        let mut paths = self.shared.paths.lock().unwrap();
        paths.entry(path.to_owned()).or_default().hold = Some(hold.clone());
        hold
    }

    /// Answers of `path` are no longer held back, from the next request on.
    pub fn stop_holding(&self, path: &str) {
        let mut paths = self.shared.paths.lock().unwrap();
        paths.entry(path.to_owned()).or_default().hold = None;
    }

    /// The fields of each request for `path`, in order.
    pub fn requests(&self, path: &str) -> Vec<http::HeaderMap> {
        let paths = self.shared.paths.lock().unwrap();
        paths
            .get(path)
            .map_or_else(Vec::new, |state| state.requests.clone())
    }

    /// Goes down: connections are refused from now on.
    pub async fn stop(self) {
        self.server.abort();
        // It ends with an error that says it was aborted.
        let _ = self.server.await;
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path_and_query().unwrap().as_str().to_owned();
    let (content, hold) = {
        let mut paths = shared.paths.lock().unwrap();
        let state = paths.entry(path).or_default();
        state.requests.push(request.headers().clone());
        (state.content.clone(), state.hold.clone())
    };
    if let Some(hold) = hold {
        hold.arrived.add_permits(1);
        hold.released.acquire().await.unwrap().forget();
    }
    let Some(content) = content else {
        return Response::builder()
            .status(404)
            .body(Body::from("no such path\n"))
            .unwrap();
    };
    let mut response = Response::builder().status(content.status);
    for (name, value) in &content.fields {
        response = response.header(name, value);
    }
    response.body(Body::from(content.body)).unwrap()
}
