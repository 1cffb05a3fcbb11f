//! Where the cache runs that the tables are held against.

use std::io;

use serde::Deserialize;

use super::client::{Received, Sent, exchange};
use crate::edge::Edge;

/// A place where the cache runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The worker, under workerd.
    Edge,
    /// The tower layer, in a service.
    Layer,
    /// The reverse proxy.
    Shield,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Edge, Self::Layer, Self::Shield];
}

/// A cache that requests can be sent to.
pub trait Driver: Sync {
    /// Where it runs.
    fn place(&self) -> Place;

    /// Its host and port.
    fn authority(&self) -> &str;

    /// Sends a request to it, and reads all that comes back.
    fn send(&self, request: &Sent) -> impl Future<Output = io::Result<Received>> + Send {
        exchange(self.authority(), request)
    }
}

/// The worker before an origin.
pub struct EdgeDriver {
    edge: Edge,
    authority: String,
}

impl EdgeDriver {
    /// How long an origin may be silent, in milliseconds.
    const ORIGIN_TIMEOUT: &str = "3000";

    /// Starts one before the origin at `url`.
    pub async fn start(url: &str) -> Self {
        let vars = [
            ("ORIGIN", url),
            ("TERRACE_ORIGIN_TIMEOUT_MS", Self::ORIGIN_TIMEOUT),
        ];
        let edge = Edge::start_with(&vars).await;
        let authority = edge.client.base().trim_start_matches("http://").to_owned();
        Self { edge, authority }
    }

    /// The process that started it.
    pub fn process_id(&self) -> Option<u32> {
        self.edge.process_id()
    }

    /// Stops it.
    pub async fn stop(self) {
        self.edge.stop().await;
    }
}

impl Driver for EdgeDriver {
    fn place(&self) -> Place {
        Place::Edge
    }

    fn authority(&self) -> &str {
        &self.authority
    }
}
