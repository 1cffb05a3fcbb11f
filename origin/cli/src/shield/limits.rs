//! How much a client may send, and how long anything may take.

use std::time::Duration;

/// How much a client may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Longest request body.
    pub(crate) body_bytes: u64,
    /// Longest request head.
    pub(crate) head_bytes: usize,
    /// Most fields in a request.
    pub(crate) fields: usize,
}

/// How long anything may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a client's request head, once it has begun.
    pub(crate) head: Duration,
    /// For a client's next request.
    pub(crate) idle: Duration,
    /// For a client that sends or takes a body.
    pub(crate) client: Duration,
    /// For a connection to the upstream.
    pub(crate) connect: Duration,
    /// For the head of the upstream's answer.
    pub(crate) first_byte: Duration,
    /// For more of the upstream's body.
    pub(crate) read: Duration,
    /// For the next use of a connection to the upstream.
    pub(crate) upstream_idle: Duration,
    /// For requests under way when the process is told to end.
    pub(crate) drain: Duration,
}
