//! A connection that many calls share and that is made anew when it breaks, to a Redis of any shape.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{
    Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
};

use super::followed::UNPROVEN;
use super::servers::Servers;

/// Longest wait for a connection, and for each answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// The way to one Redis; cheap to clone.
///
/// Nothing is tried twice here: the breaker and the ledger's own loop decide when to try again. A connection that
/// broke, was silent for too long, or leads to a server that may not write any more is given up, and the next call
/// finds out anew where to go. So a fail-over is followed by whoever calls next.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Shared>);

struct Shared {
    servers: Arc<Servers>,
    live: Mutex<Slot>,
    /// One attempt to connect at a time.
    turn: tokio::sync::Mutex<()>,
}

/// The connection in use, if there is one.
#[derive(Default)]
struct Slot {
    live: Option<Live>,
    /// Which one it is, so that a late failure of the one before does not cost it.
    number: u64,
    /// How many replicas its server must have to write, once it has been asked.
    demand: Option<u64>,
}

/// A connection that works, as far as is known.
#[derive(Clone)]
pub(super) enum Live {
    /// To one server.
    Server(MultiplexedConnection),
    /// To the nodes of a Cluster.
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) fn new(servers: Servers) -> Self {
        Self::to(Arc::new(servers))
    }

    fn to(servers: Arc<Servers>) -> Self {
        Self(Arc::new(Shared {
            servers,
            live: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
        }))
    }

    /// Another one to the same servers, on which nobody waits for what is asked on this one.
    pub(super) fn apart(&self) -> Self {
        Self::to(self.0.servers.clone())
    }

    pub(super) fn servers(&self) -> &Servers {
        &self.0.servers
    }

    /// A server on which the ledger's purges can be heard.
    ///
    /// In a Cluster that is any node: what is published reaches all of them over their bus. Sharded messages would
    /// cost less there, but only the slot's own master and replicas have them, so each fail-over of that slot would
    /// silence everybody until it is noticed; another node goes on hearing the new master.
    pub(crate) async fn server_to_listen_to(&self) -> RedisResult<Client> {
        self.0.servers.to_listen_to().await
    }

    pub(super) async fn live(&self) -> RedisResult<(u64, Live)> {
        match self.0.in_use() {
            Some(found) => Ok(found),
            // In a box, so that the many who find one do not carry the room for this.
            None => Box::pin(self.connected()).await,
        }
    }

    /// A new connection, or the one that somebody else has made meanwhile.
    async fn connected(&self) -> RedisResult<(u64, Live)> {
        let connected = tokio::time::timeout(TIMEOUT, async {
            let _turn = self.0.turn.lock().await;
            if let Some(found) = self.0.in_use() {
                return Ok(found); // somebody else was faster
            }
            let live = self.0.servers.connect().await?;
            let mut slot = self.0.live.lock();
            slot.number += 1;
            slot.live = Some(live.clone());
            slot.demand = None;
            Ok((slot.number, live))
        });
        match connected.await {
            Ok(connected) => connected,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }

    /// What is answered to `command`; an answer that is an error is one.
    pub(super) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        let (number, mut live) = self.live().await?;
        let answer = live.send(command).await;
        let answer = answer.and_then(Value::extract_error);
        self.judge(number, answer.as_ref().err());
        answer
    }

    /// How many replicas the server of connection `number` must have to write, if that is known.
    pub(super) fn demand(&self, number: u64) -> Option<u64> {
        let slot = self.0.live.lock();
        slot.demand.filter(|_| slot.number == number)
    }

    pub(super) fn note_demand(&self, number: u64, demand: u64) {
        let mut slot = self.0.live.lock();
        if slot.number == number {
            slot.demand = Some(demand);
        }
    }

    /// Gives the connection up if the answer says that nothing more is to be had from it.
    pub(super) fn judge(&self, number: u64, answer: Option<&RedisError>) {
        let Some(error) = answer else { return };
        match Sickness::of(error) {
            // One that may not write for want of replicas can still be read from.
            Sickness::None | Sickness::Alone | Sickness::Unproven => {}
            Sickness::Absent | Sickness::Silent | Sickness::Severed | Sickness::Demoted => {
                self.give_up(number);
            }
        }
    }

    /// The next call finds out anew where to go.
    pub(super) fn give_up(&self, number: u64) {
        let mut slot = self.0.live.lock();
        if slot.number == number {
            slot.live = None;
        }
    }
}

impl Shared {
    fn in_use(&self) -> Option<(u64, Live)> {
        let slot = self.live.lock();
        Some((slot.number, slot.live.clone()?))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.ask(command))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let (number, mut live) = self.live().await?;
            let answer = live.send_all(pipeline, offset, count).await;
            self.judge(number, answer.as_ref().err());
            answer
        })
    }

    fn get_db(&self) -> i64 {
        match &self.0.live.lock().live {
            Some(Live::Server(server)) => server.get_db(),
            Some(Live::Cluster(_)) | None => 0,
        }
    }
}

impl Live {
    pub(super) async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Server(server) => server.send_packed_command(command).await,
            Self::Cluster(cluster) => cluster.req_packed_command(command).await,
        }
    }

    pub(super) async fn send_all(
        &mut self,
        pipeline: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        match self {
            Self::Server(server) => server.req_packed_commands(pipeline, offset, count).await,
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count).await,
        }
    }
}

/// What an error says of the server, or of the way to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sickness {
    /// It answered, if only with an error.
    None,
    /// Nobody was reached, and nothing was done.
    Absent,
    /// It did not answer in time; whether it has done what it was asked to, nobody knows.
    Silent,
    /// The connection broke; likewise.
    Severed,
    /// It may not write any more, since another one is master; it has done nothing.
    Demoted,
    /// It may not write while too few replicas follow it, since another one may be master; it has done nothing.
    Alone,
    /// It has done what it was asked to, and no replica has said in time that it has it too.
    Unproven,
}

impl Sickness {
    pub(crate) fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::Demoted,
            ErrorKind::Extension if error.code() == Some("NOREPLICAS") => Self::Alone,
            ErrorKind::Extension if error.code() == Some(UNPROVEN) => Self::Unproven,
            ErrorKind::MasterNameNotFoundBySentinel | ErrorKind::ClusterConnectionNotFound => {
                Self::Absent
            }
            _ if error.is_connection_refusal() => Self::Absent,
            _ if error.is_timeout() => Self::Silent,
            _ if error.is_io_error() || error.is_unrecoverable_error() => Self::Severed,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_error_says_whether_anybody_was_there() {
        let of = |kind: io::ErrorKind| RedisError::from(io::Error::from(kind));
        let server = |kind: ServerErrorKind| RedisError::from((ErrorKind::Server(kind), "x"));
        let extension = |code: &str| redis::make_extension_error(code.to_owned(), None);
        for (error, sickness) in [
            (of(io::ErrorKind::ConnectionRefused), Sickness::Absent),
            (of(io::ErrorKind::TimedOut), Sickness::Silent),
            (of(io::ErrorKind::ConnectionReset), Sickness::Severed),
            (of(io::ErrorKind::UnexpectedEof), Sickness::Severed),
            (server(ServerErrorKind::ReadOnly), Sickness::Demoted),
            (extension("NOREPLICAS"), Sickness::Alone),
            (extension(UNPROVEN), Sickness::Unproven),
            (extension("NOGOOD"), Sickness::None),
            (server(ServerErrorKind::ClusterDown), Sickness::None),
            (server(ServerErrorKind::NoScript), Sickness::None),
            (server(ServerErrorKind::ResponseError), Sickness::None),
            (
                (ErrorKind::MasterNameNotFoundBySentinel, "x").into(),
                Sickness::Absent,
            ),
            (
                (ErrorKind::ClusterConnectionNotFound, "x").into(),
                Sickness::Absent,
            ),
            (
                (ErrorKind::UnexpectedReturnType, "x").into(),
                Sickness::None,
            ),
        ] {
            assert_eq!(Sickness::of(&error), sickness, "{error}");
        }
    }
}
