//! Where the cache runs that the tables are held against.

use std::io;

use serde::Deserialize;

use super::client::{Received, Sent, exchange};
use crate::edge::Edge;
use crate::shield::Shield;

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

/// How long an origin may be silent, in seconds.
const SILENCE: u32 = 5;

/// The worker before an origin.
pub struct EdgeDriver {
    edge: Edge,
    authority: String,
}

impl EdgeDriver {
    /// Starts one before the origin at `url`.
    pub async fn start(url: &str) -> Self {
        let silence = (SILENCE * 1_000).to_string();
        let vars = [("ORIGIN", url), ("TERRACE_ORIGIN_TIMEOUT_MS", &*silence)];
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

/// The reverse proxy before an origin.
pub struct ShieldDriver {
    shield: Shield,
}

impl ShieldDriver {
    /// Starts one before the origin at `url`.
    pub async fn start(url: &str) -> Self {
        let silence = SILENCE.to_string();
        let arguments = [
            "--upstream-first-byte-timeout-seconds",
            &*silence,
            "--upstream-read-timeout-seconds",
            &*silence,
        ];
        let shield = Shield::start_with(url, &arguments).await;
        Self { shield }
    }
}

impl Driver for ShieldDriver {
    fn place(&self) -> Place {
        Place::Shield
    }

    fn authority(&self) -> &str {
        self.shield.address()
    }
}
