//! One probe of one server: a GET through the same kind of connection that requests use.

use pingora_core::Result;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use policy::settings::Health;

/// Whether the server gave a good answer in time.
pub(super) async fn probe(
    connector: &Connector,
    mut peer: Box<HttpPeer>,
    health: &Health,
    name: &str,
) -> bool {
    peer.options.connection_timeout = Some(health.timeout);
    peer.options.read_timeout = Some(health.timeout);
    let asked = pingora_timeout::timeout(health.timeout, ask(connector, &peer, health, name));
    match asked.await {
        Ok(Ok(status)) => health
            .expect
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&status)),
        Ok(Err(_)) | Err(_) => false,
    }
}

async fn ask(connector: &Connector, peer: &HttpPeer, health: &Health, name: &str) -> Result<u16> {
    let (mut session, _) = connector.get_http_session(peer).await?;
    let mut request = RequestHeader::build("GET", health.path.as_bytes(), Some(3))?;
    request.insert_header("Host", health.host.as_deref().unwrap_or(name))?;
    request.insert_header("User-Agent", "palisade-health")?;
    if matches!(session, HttpSession::H1(_)) {
        request.insert_header("Connection", "close")?;
    }
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    let status = session
        .response_header()
        .map_or(0, |header| header.status.as_u16());
    session.shutdown().await;
    Ok(status)
}
