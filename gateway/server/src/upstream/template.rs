//! How the servers of a group are reached: protocol, timeouts, TLS. Made once per snapshot; certificates are read and
//! checked here, because Pingora panics on bad ones.

use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::Arc;

use ahash::RandomState;
use pingora_core::protocols::tls::CaType;
use pingora_core::upstreams::peer::{ALPN, HttpPeer};
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};
use policy::settings::{Protocol, ServerAddress, Upstream, UpstreamTls};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::server::Server;

/// See the module.
#[derive(Debug)]
pub(super) struct Template {
    peer: HttpPeer,
    tls: bool,
    sni: Option<String>,
}

impl Template {
    pub(super) fn build(upstream: &Upstream, base: &Path) -> Result<Self, String> {
        let tls = upstream.tls.as_ref();
        // An address in numbers is never looked up, so this cannot fail.
        let mut peer = HttpPeer::new(
            (std::net::Ipv4Addr::LOCALHOST, 1),
            tls.is_some(),
            String::new(),
        );
        let options = &mut peer.options;
        let timeouts = &upstream.timeouts;
        options.connection_timeout = Some(timeouts.connect);
        options.total_connection_timeout = Some(timeouts.connect);
        options.read_timeout = Some(timeouts.read);
        options.write_timeout = Some(timeouts.write);
        options.idle_timeout = Some(timeouts.idle);
        options.max_h2_streams = 100;
        options.alpn = match upstream.protocol {
            Protocol::Http1 => ALPN::H1,
            Protocol::Http2 | Protocol::H2c => ALPN::H2,
        };
        peer.group_key = group_key(upstream);
        if let Some(tls) = tls {
            apply(tls, &mut peer, base)
                .map_err(|why| format!("upstream {}: {why}", upstream.name))?;
        }
        Ok(Self {
            peer,
            tls: tls.is_some(),
            sni: tls.and_then(|tls| tls.sni.clone()),
        })
    }

    /// A peer for one server; `None` while its name has no address.
    pub(super) fn peer(&self, server: &Server) -> Option<Box<HttpPeer>> {
        let mut peer = Box::new(self.peer.clone());
        match server.address() {
            ServerAddress::Tcp(host, _) => {
                peer._address =
                    pingora_core::protocols::l4::socket::SocketAddr::Inet(server.socket()?);
                if self.tls {
                    peer.sni = self.sni.clone().unwrap_or_else(|| host.clone());
                }
            }
            ServerAddress::Unix(path) => {
                let address = std::os::unix::net::SocketAddr::from_pathname(path).ok()?;
                peer._address = pingora_core::protocols::l4::socket::SocketAddr::Unix(address);
                if self.tls {
                    peer.sni = self.sni.clone().unwrap_or_else(|| "localhost".to_owned());
                }
            }
        }
        Some(peer)
    }
}

/// Connections are shared only where everything that made them agrees; Pingora's own hash leaves the authorities out.
fn group_key(upstream: &Upstream) -> u64 {
    let mut hasher = RandomState::with_seeds(1, 2, 3, 4).build_hasher();
    hasher.write(
        format!(
            "{:?} {:?} {:?}",
            upstream.name, upstream.tls, upstream.protocol
        )
        .as_bytes(),
    );
    hasher.finish()
}

fn apply(tls: &UpstreamTls, peer: &mut HttpPeer, base: &Path) -> Result<(), String> {
    peer.options.verify_cert = tls.verify;
    peer.options.verify_hostname = tls.verify;
    if let Some(file) = &tls.ca {
        peer.options.ca = Some(authorities(&base.join(file))?);
    }
    if let Some(client) = &tls.client {
        let chain = certificates(&base.join(&client.cert))?;
        let file = base.join(&client.key);
        let key = PrivateKeyDer::from_pem_file(&file)
            .map_err(|why| format!("{}: {why}", file.display()))?;
        rustls::crypto::ring::sign::any_supported_type(&key)
            .map_err(|why| format!("{}: {why}", file.display()))?;
        let chain = chain.into_iter().map(|one| one.to_vec()).collect();
        peer.client_cert_key = Some(Arc::new(CertKey::new(chain, key.secret_der().to_vec())));
    }
    Ok(())
}

fn authorities(file: &Path) -> Result<Arc<CaType>, String> {
    let mut wrapped = Vec::new();
    for one in certificates(file)? {
        RootCertStore::empty()
            .add(one.clone())
            .map_err(|why| format!("{}: {why}", file.display()))?;
        wrapped.push(WrappedX509::new(one.to_vec(), parse_x509));
    }
    Ok(Arc::from(wrapped))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|why| format!("{}: {why}", file.display()))?;
    let readable = found
        .iter()
        .all(|one| x509_parser::parse_x509_certificate(one).is_ok());
    if found.is_empty() || !readable {
        return Err(format!("{}: no readable certificate", file.display()));
    }
    Ok(found)
}
