//! Listening, serving each connection within its limits, and ending in order.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::activity::Check;
use super::connection::{Client, ClientIo};
use super::front::{Front, Shared};
use super::limits::{Limits, Patience};
use crate::Failure;

/// Holds the process up while a clone of it is somewhere.
pub(crate) type Alive = mpsc::Sender<()>;

/// Listens at `address`.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(format!("nobody can listen at {address}: {error}"))
            .hint("is another process there? --listen takes another address, and port 0 a free one")
    })
}

/// Serves until the process is told to end, and then what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    patience: Patience,
) -> Result<(), Failure> {
    let mut stopped = pin!(told_to_end()?);
    let builder = Arc::new(builder(&shared.limits, &patience));
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let (stop, stopping) = watch::channel(());
    loop {
        let stream = tokio::select! {
            () = &mut stopped => break,
            accepted = listener.accept() => accepted,
        };
        match stream {
            Ok((stream, peer)) => {
                let connection = Connection {
                    builder: Arc::clone(&builder),
                    shared: Arc::clone(&shared),
                    patience,
                    stopping: stopping.clone(),
                    alive: alive.clone(),
                };
                tokio::spawn(connection.serve(stream, peer));
            }
            // Too many open files, or a client that was gone at once: neither is a reason to end.
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
    drop(listener);
    drop(alive);
    drop(stop);
    if timeout(patience.drain, all_gone.recv()).await.is_err() {
        eprintln!(
            "warning: requests were still under way after {patience:?}",
            patience = patience.drain
        );
    }
    Ok(())
}

fn builder(limits: &Limits, patience: &Patience) -> auto::Builder<TokioExecutor> {
    const USUAL_FIELDS: usize = 100;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let mut http1 = builder.http1();
    http1
        .header_read_timeout(None) // the connection's own timer does that
        .max_buf_size(limits.head_bytes);
    if limits.fields != USUAL_FIELDS {
        http1.max_headers(limits.fields);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .keep_alive_interval(patience.idle)
        .keep_alive_timeout(patience.client)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
    builder
}

/// Completes at SIGTERM or SIGINT.
fn told_to_end() -> Result<impl Future<Output = ()>, Failure> {
    let catch = |kind| {
        signal(kind).map_err(|error| Failure::new(format!("signals cannot be waited for: {error}")))
    };
    let mut terminate = catch(SignalKind::terminate())?;
    let mut interrupt = catch(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

struct Connection {
    builder: Arc<auto::Builder<TokioExecutor>>,
    shared: Arc<Shared>,
    patience: Patience,
    stopping: watch::Receiver<()>,
    alive: Alive,
}

impl Connection {
    async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        // Without it answers still arrive, later.
        let _ = stream.set_nodelay(true);
        let client = Arc::new(Client::new(peer));
        let io = TokioIo::new(ClientIo::new(stream, Arc::clone(&client)));
        let front = Front::new(self.shared, Arc::clone(&client), self.alive);
        let mut connection = pin!(self.builder.serve_connection_with_upgrades(io, front));
        let mut stopping = self.stopping;
        let mut told = pin!(async move { stopping.changed().await });
        let mut ending = Ending::No;
        let mut timer = pin!(sleep(Duration::from_millis(1)));
        loop {
            tokio::select! {
                biased;
                // Why it ended is its client's affair, who knows.
                _ = connection.as_mut() => return,
                _ = told.as_mut(), if ending == Ending::No => {
                    ending = Ending::InOrder;
                    connection.as_mut().graceful_shutdown();
                }
                () = timer.as_mut() => match client.activity.check(&self.patience) {
                    Check::Again(after) => timer.set(sleep_until(Instant::now() + after)),
                    Check::Idle if ending == Ending::No => {
                        ending = Ending::InOrder;
                        connection.as_mut().graceful_shutdown();
                        timer.set(sleep(Duration::from_secs(1)));
                    }
                    Check::Idle | Check::TooSlow => return,
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    No,
    InOrder,
}
