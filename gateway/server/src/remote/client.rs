//! One call over the wire: pooled connections, HTTP/1.1, TLS by rustls. Follows no redirect: whoever answers is who was
//! named. Keeps no answer.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use policy::io::{Call, FetchFault};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

/// For the TCP connection alone, to one address; the call's own timeout holds besides.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection waits for its next call.
const IDLE: Duration = Duration::from_secs(30);
/// Waiting connections per server.
const KEPT: usize = 8;
/// Header of an answer, bytes.
const HEADER: usize = 64 << 10;

/// See the module. Clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Client(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// A fault, and what an operator should read.
pub(crate) type Failure = (FetchFault, String);

impl Client {
    /// Believes servers by these authorities (PEM); `None`: by the system's.
    ///
    /// # Errors
    /// A sentence when there is no certificate in `authorities`.
    pub(crate) fn new(authorities: Option<&Bytes>) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| why.to_string())?
            .with_root_certificates(roots(authorities)?)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(KEPT)
            .http1_max_buf_size(HEADER)
            .build(connector);
        Ok(Self(client))
    }

    /// Status and body. Without a deadline: the caller has one.
    ///
    /// # Errors
    /// No connection, a broken one, or an answer that is too long.
    pub(crate) async fn call(&self, call: &Call) -> Result<(u16, Bytes), Failure> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(&call.url)
            .body(Full::new(call.body.clone()))
            .map_err(|why| (FetchFault::Down, format!("not a URL: {why}")))?;
        request.headers_mut().extend(call.headers.iter().cloned());
        let answer = self.0.request(request).await;
        let answer = answer.map_err(|why| (FetchFault::Down, chain(&why)))?;
        let status = answer.status().as_u16();
        let body = whole(answer.into_body(), call.max).await?;
        Ok((status, body))
    }
}

impl Client {
    /// The same for what nobody else may read: the body is wiped when it is done with. What the connection held of it on
    /// the way is not.
    ///
    /// # Errors
    /// As [`Client::call`], as a sentence that repeats nothing of the answer.
    pub(crate) async fn secretly(
        &self,
        request: Request<Bytes>,
        max: usize,
    ) -> Result<(u16, Zeroizing<Vec<u8>>), String> {
        let answer = self.0.request(request.map(Full::new)).await;
        let answer = answer.map_err(|why| chain(&why))?;
        let (status, mut body) = (answer.status().as_u16(), answer.into_body());
        // Growing would leave copies behind.
        let mut all = Zeroizing::new(Vec::with_capacity(max));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|why| chain(&why))?;
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            if all.len() + piece.len() > max {
                return Err(format!("the answer is longer than {max} bytes"));
            }
            all.extend_from_slice(&piece);
        }
        Ok((status, all))
    }
}

async fn whole<B>(mut body: B, max: usize) -> Result<Bytes, Failure>
where
    B: BodyExt<Data = Bytes, Error: Error> + Unpin,
{
    let too_large = || (FetchFault::TooLarge, format!("more than {max} bytes"));
    if body.size_hint().lower() > u64::try_from(max).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|why| (FetchFault::Down, chain(&why)))?;
        // Trailers say nothing here.
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if all.len() + piece.len() > max {
            return Err(too_large());
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

fn roots(authorities: Option<&Bytes>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = authorities else {
        let found = rustls_native_certs::load_native_certs();
        for why in &found.errors {
            log::warn!("the system's authorities: {why}");
        }
        roots.add_parsable_certificates(found.certs);
        return Ok(roots);
    };
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|why| format!("not PEM: {why}"))?;
        roots.add(certificate).map_err(|why| why.to_string())?;
    }
    if roots.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    Ok(roots)
}

/// An error with its causes, which are where the answer is.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}
