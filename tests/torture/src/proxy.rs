//! A TCP link that can be cut, stalled and slowed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How a link is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LinkState {
    /// Bytes flow.
    #[default]
    Open,
    /// Connections break, and new ones end at once.
    Cut,
    /// Connections stand, and nothing comes through.
    Stalled,
    /// Each piece of data is held back this long.
    Slow(Duration),
}

/// A listener that passes connections on to one of its targets.
#[derive(Clone, Debug)]
pub struct Link {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<watch::Sender<LinkState>>,
}

impl Link {
    /// A link to any of `targets`, a random one for each connection.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn to(targets: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(watch::Sender::new(LinkState::Open));
        let seen = state.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let target = targets[fastrand::usize(..targets.len())];
                // However a connection ends, both of its sides have noticed.
                tokio::spawn(connect(near, target, seen.clone()));
            }
        });
        Self { address, state }
    }

    /// Makes the link so, for connections that stand as well.
    pub fn set(&self, state: LinkState) {
        self.state.send_replace(state);
    }
}

async fn connect(near: TcpStream, target: SocketAddr, state: watch::Receiver<LinkState>) {
    if *state.borrow() == LinkState::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let (_, _) = (near.set_nodelay(true), far.set_nodelay(true)); // slower without, and no worse
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = far.into_split();
    tokio::select! {
        () = pump(from_near, to_far, state.clone()) => {}
        () = pump(from_far, to_near, state) => {}
    }
}

/// Passes bytes on until one side closes or the link is cut.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<LinkState>,
) {
    let mut watched = state.clone();
    let mut buffer = vec![0; 16 * 1_024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = watched.wait_for(|state| *state == LinkState::Cut) => return,
        };
        if read == 0 {
            return;
        }
        loop {
            let now = *state.borrow_and_update();
            match now {
                LinkState::Open => break,
                LinkState::Cut => return,
                LinkState::Slow(delay) => {
                    tokio::time::sleep(delay).await;
                    break;
                }
                LinkState::Stalled => {
                    if state.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what comes.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    drop(tokio::io::copy(&mut from, &mut to).await);
                });
            }
        });
        address
    }

    async fn answer(stream: &mut TcpStream) -> Option<u8> {
        stream.write_all(b"x").await.ok()?;
        stream.read_u8().await.ok()
    }

    #[tokio::test]
    async fn a_link_passes_bytes_on_and_a_cut_one_ends_its_connections() {
        let link = Link::to(vec![echo().await]).await;
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(answer(&mut stream).await, Some(b'x'));
        link.set(LinkState::Cut);
        assert_eq!(answer(&mut stream).await, None);
        let mut another = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(answer(&mut another).await, None);
        link.set(LinkState::Open);
        let mut another = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(answer(&mut another).await, Some(b'x'));
    }

    #[tokio::test]
    async fn a_stalled_link_holds_bytes_until_it_is_open_again() {
        let link = Link::to(vec![echo().await]).await;
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(answer(&mut stream).await, Some(b'x'));
        link.set(LinkState::Stalled);
        stream.write_all(b"y").await.unwrap();
        let silent = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
        assert!(silent.is_err());
        link.set(LinkState::Open);
        assert_eq!(stream.read_u8().await.unwrap(), b'y');
    }
}
