//! Listening sockets and what happens to a connection before its first request: a place, the PROXY header, TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use policy::settings::{Hardening, ListenAddress, Listener};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

use super::connection::{Connection, Place};
use super::tls::{self, Terminator};
use super::wire::{Socket, Wire};
use super::{h1, h2, proxy_protocol};
use crate::record::Refused;
use crate::serve::Running;

const BACKLOG: u32 = 4096;
/// Said without having read a request, and before a policy is known.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n\
Content-Length: 93\r\nRetry-After: 1\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n\
{\"type\":\"about:blank\",\"title\":\"busy, try again\",\"status\":503,\"reason\":\"overload\",\"detail\":\"\"}";
/// After an accept that failed for want of descriptors or memory.
const BREATH: Duration = Duration::from_millis(100);

/// A bound socket.
#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// An open listener.
pub(crate) struct Open {
    bound: Bound,
    settings: Listener,
    tls: Option<Arc<Terminator>>,
}

impl Open {
    /// Takes an inherited socket, or binds one.
    pub(crate) fn new(
        settings: &Listener,
        base: &Path,
        inherited: Option<OwnedFd>,
    ) -> Result<Self, String> {
        let tls = settings
            .tls
            .as_ref()
            .map(|tls| Terminator::new(tls, base))
            .transpose();
        let bound = match inherited {
            Some(socket) => adopt(&settings.address, socket),
            None => bind(&settings.address, base),
        };
        Ok(Self {
            tls: tls
                .map_err(|why| format!("listener {}: {why}", settings.address))?
                .map(Arc::new),
            bound: bound.map_err(|why| format!("listener {}: {why}", settings.address))?,
            settings: settings.clone(),
        })
    }

    /// Under which name the socket is handed over.
    pub(crate) fn name(&self) -> String {
        self.settings.address.to_string()
    }

    /// Where it listens: the port that port 0 became.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match &self.bound {
            Bound::Tcp(listener) => listener.local_addr().ok(),
            Bound::Unix(_) => None,
        }
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.bound {
            Bound::Tcp(listener) => listener.as_fd(),
            Bound::Unix(listener) => listener.as_fd(),
        }
    }

    pub(crate) fn terminator(&self) -> Option<&Arc<Terminator>> {
        self.tls.as_ref()
    }

    /// Accepts until the gateway drains.
    pub(crate) async fn run(&self, running: &Arc<Running>) {
        let mut draining = running.draining.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = draining.wait_for(|draining| *draining) => return,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.welcome(running, socket, peer),
                Err(why) if is_passing(&why) => {}
                Err(why) => {
                    log::warn!("accept on {}: {why}", self.settings.address);
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        match &self.bound {
            Bound::Tcp(listener) => {
                let (socket, peer) = listener.accept().await?;
                socket.set_nodelay(true)?;
                Ok((Socket::Tcp(socket), peer))
            }
            Bound::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                Ok((
                    Socket::Unix(socket),
                    SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                ))
            }
        }
    }

    /// Drops a connection that has no place. On a plain listener it is told so, if it takes the words at once.
    fn shed(&self, running: &Running, socket: &Socket, why: Refused) {
        if self.tls.is_none() {
            socket.tell(BUSY);
        }
        running.shared.observer().connection_refused(why);
    }

    /// Gives the connection a place and a task, or drops it.
    fn welcome(&self, running: &Arc<Running>, socket: Socket, peer: SocketAddr) {
        let snapshot = running.shared.load();
        let limits = &snapshot.policy.settings().limits;
        let observer = running.shared.observer();
        let mut place = match running.shared.places().enter(limits.connections) {
            Ok(place) => place,
            Err(why) => return self.shed(running, &socket, why),
        };
        let named = matches!(socket, Socket::Unix(_)) || self.settings.proxy_protocol;
        if !named && running.shared.drops(&snapshot, peer.ip()) {
            return observer.connection_refused(Refused::Denied);
        }
        if !named && let Err(why) = place.claim(peer.ip(), limits.connections_per_client) {
            return self.shed(running, &socket, why);
        }
        observer.connection_opened();
        let running = Arc::clone(running);
        let limits = limits.clone();
        let proxied = self.settings.proxy_protocol;
        let h2c = self.settings.h2c;
        let tls = self.tls.as_ref().map(|tls| tls.config());
        tokio::spawn(async move {
            let arrived = Arrived {
                socket,
                peer,
                place,
            };
            let shared = Arc::clone(&running.shared);
            let drops = move |peer| shared.drops(&snapshot, peer);
            let prepared = arrived.prepare(&limits, proxied.then_some(drops), tls);
            // One deadline for the PROXY header and the TLS handshake together.
            let prepared = tokio::time::timeout(limits.header_deadline, Box::pin(prepared)).await;
            match prepared {
                Ok(Ok((wire, connection, place))) => {
                    serve(&running, wire, connection, h2c, &limits).await;
                    drop(place);
                }
                Ok(Err(why)) => running.shared.observer().connection_refused(why),
                Err(_) => running.shared.observer().connection_refused(Refused::Slow),
            }
            running.shared.observer().connection_closed();
        });
    }
}

struct Arrived {
    socket: Socket,
    peer: SocketAddr,
    place: Place,
}

impl Arrived {
    async fn prepare(
        mut self,
        limits: &Hardening,
        proxied: Option<impl Fn(IpAddr) -> bool>,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Result<(Wire, Arc<Connection>, Place), Refused> {
        let mut server = self.socket.local();
        if let Some(drops) = proxied {
            let named = proxy_protocol::read(&mut self.socket).await;
            if let Some((client, taker)) = named.map_err(|_| Refused::ProxyHeader)? {
                (self.peer, server) = (client, Some(taker));
            }
            if drops(self.peer.ip()) {
                return Err(Refused::Denied);
            }
            self.place
                .claim(self.peer.ip(), limits.connections_per_client)?;
        }
        let Some(config) = tls else {
            let connection = Connection::new(self.peer, server, None);
            let digest = connection.digest().ok_or(Refused::Handshake)?;
            return Ok((Wire::plain(self.socket, digest), connection, self.place));
        };
        let acceptor = tokio_rustls::TlsAcceptor::from(config);
        let stream = acceptor
            .accept(self.socket)
            .await
            .map_err(|_| Refused::Handshake)?;
        let connection = Connection::new(self.peer, server, Some(tls::facts(stream.get_ref().1)));
        let digest = connection.digest().ok_or(Refused::Handshake)?;
        Ok((Wire::tls(stream, digest), connection, self.place))
    }
}

async fn serve(
    running: &Arc<Running>,
    mut wire: Wire,
    connection: Arc<Connection>,
    h2c: bool,
    limits: &Hardening,
) {
    let h2 = wire.speaks_h2() || (h2c && wire.begins_h2(limits.header_deadline).await);
    if h2 {
        Box::pin(h2::serve(running, &connection, wire)).await;
    } else {
        h1::serve(running, &connection, wire).await;
    }
}

fn is_passing(why: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, NotConnected,
    };
    matches!(
        why.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | NotConnected
    )
}

fn bind(address: &ListenAddress, base: &Path) -> io::Result<Bound> {
    match address {
        ListenAddress::Tcp(address) => {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            socket.set_reuseaddr(true)?;
            socket.bind(*address)?;
            socket.listen(BACKLOG).map(Bound::Tcp)
        }
        ListenAddress::Unix(path) => {
            let path = base.join(path);
            remove_stale(&path)?;
            UnixListener::bind(path).map(Bound::Unix)
        }
    }
}

/// A socket that a dead process left behind is removed; one that still answers is not.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

fn adopt(address: &ListenAddress, socket: OwnedFd) -> io::Result<Bound> {
    match address {
        ListenAddress::Tcp(_) => {
            let listener = std::net::TcpListener::from(socket);
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener).map(Bound::Tcp)
        }
        ListenAddress::Unix(_) => {
            let listener = std::os::unix::net::UnixListener::from(socket);
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener).map(Bound::Unix)
        }
    }
}
