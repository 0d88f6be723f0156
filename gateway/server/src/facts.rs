//! What is known of a request before any check: canonical host and path, client, framing. Refuses what has no single
//! meaning. The view that checks see borrows from here and from Pingora's header.

use std::net::IpAddr;

use http::Version;
use http::header::EXPECT;
use pingora_http::RequestHeader;
use policy::client;
use policy::decision::Reason;
use policy::framing::{self, Caps, Head};
use policy::request::{Framing, Request};

use crate::downstream::connection::Connection;
use crate::id::RequestId;
use crate::snapshot::Snapshot;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub id: RequestId,
    pub client: IpAddr,
    pub host: String,
    pub path: String,
    /// As routes and limits compare it, where that differs from `path`.
    compared: Option<String>,
    pub framing: Framing,
    pub websocket: bool,
    pub scheme: &'static str,
    /// The client waits for `100 Continue`.
    pub expects: bool,
    /// What exactly is wrong with a request that was refused here; for the event, never for the client.
    pub detail: &'static str,
}

impl Facts {
    /// Of a request of which nothing is known yet.
    pub(crate) fn unknown(peer: IpAddr) -> Self {
        Self {
            id: RequestId::default(),
            client: peer,
            host: String::new(),
            path: String::new(),
            compared: None,
            framing: Framing::None,
            websocket: false,
            scheme: "http",
            expects: false,
            detail: "",
        }
    }

    /// Fills in what `header` says; on refusal what was found until then stays, for the event.
    pub(crate) fn read(
        &mut self,
        header: &RequestHeader,
        connection: &Connection,
        snapshot: &Snapshot,
    ) -> Result<(), Reason> {
        let peer = connection.peer.ip();
        let trusted = &snapshot.policy.settings().trusted_proxies;
        let tls = connection.tls.is_some();
        self.id = RequestId::take_or_make(&header.headers);
        self.client = client::address(peer, &header.headers, trusted);
        self.scheme = client::scheme(peer, &header.headers, trusted, tls);
        self.expects = header.headers.contains_key(EXPECT) && header.version == Version::HTTP_11;
        let raw = header.raw_path();
        let target = std::str::from_utf8(raw).map_err(|_| Reason::BadPath)?;
        let path = split(target).0;
        self.path.push_str(path);
        self.inspect(header, target, snapshot)?;
        let (mut scratch, mut folded) = (String::new(), String::new());
        let rules = snapshot.policy.settings().paths;
        let canonical = policy::path::canonical_with(path, rules, &mut scratch);
        let canonical = canonical.map_err(|fault| {
            self.detail = fault.detail();
            Reason::BadPath
        })?;
        if canonical != self.path {
            self.path.clear();
            self.path.push_str(canonical);
        }
        let compared = policy::path::compared(&self.path, rules, &mut folded);
        if compared != self.path {
            self.compared = Some(compared.to_owned());
        }
        Ok(())
    }

    fn inspect(
        &mut self,
        header: &RequestHeader,
        target: &str,
        snapshot: &Snapshot,
    ) -> Result<(), Reason> {
        let absolute = absolute(target);
        let head = Head {
            version: header.version,
            method: &header.method,
            target: target.as_bytes(),
            authority: match &absolute {
                Some((_, authority)) => Some(authority),
                None => header.uri.authority().map(http::uri::Authority::as_str),
            },
            scheme: absolute.map(|(scheme, _)| scheme),
            headers: &header.headers,
        };
        let caps = Caps::from(&snapshot.policy.settings().limits);
        let owned = snapshot.policy.owned_headers();
        let mut scratch = String::new();
        let inspected = framing::inspect(&head, caps, owned, &mut scratch);
        let inspected = inspected.map_err(|refusal| {
            self.detail = refusal.detail;
            refusal.reason
        })?;
        self.host.push_str(inspected.host.name);
        self.framing = inspected.framing;
        self.websocket = inspected.websocket;
        Ok(())
    }

    /// The view that checks see.
    pub(crate) fn view<'v>(
        &'v self,
        header: &'v RequestHeader,
        connection: &'v Connection,
    ) -> Request<'v> {
        let target = std::str::from_utf8(header.raw_path()).unwrap_or_default();
        Request {
            id: self.id.as_str(),
            client: self.client,
            client_port: connection.port_of(self.client),
            peer: connection.peer.ip(),
            server: connection.server,
            method: &header.method,
            scheme: self.scheme,
            host: &self.host,
            path: &self.path,
            compared: self.compared.as_deref().unwrap_or(&self.path),
            query: split(target).1,
            target,
            version: header.version,
            headers: &header.headers,
            tls: connection.tls.as_ref(),
            framing: self.framing,
            websocket: self.websocket,
        }
    }
}

/// Path and query of a request target in origin, absolute or asterisk form.
pub(crate) fn split(target: &str) -> (&str, Option<&str>) {
    if target.starts_with('/') {
        // Nearly always, and without a search for `://`.
        return match memchr::memchr(b'?', target.as_bytes()) {
            Some(at) => (target.get(..at).unwrap_or_default(), target.get(at + 1..)),
            None => (target, None),
        };
    }
    let origin = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => rest
            .find(['/', '?'])
            .map_or("/", |at| rest.get(at..).unwrap_or("/")),
        _ => target,
    };
    match origin.split_once('?') {
        Some(("", query)) => ("/", Some(query)),
        Some((path, query)) => (path, Some(query)),
        // `OPTIONS *` asks about the server as a whole.
        None if origin == "*" => ("/", None),
        None => (origin, None),
    }
}

/// Scheme and authority of an absolute-form target.
fn absolute(target: &str) -> Option<(&str, &str)> {
    if target.starts_with('/') {
        return None;
    }
    let (scheme, rest) = target.split_once("://")?;
    if scheme.contains(['/', '?']) {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    rest.get(..end).map(|authority| (scheme, authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_every_form_of_target() {
        assert_eq!(split("/a/b?c=d?e"), ("/a/b", Some("c=d?e")));
        assert_eq!(split("http://h/a?b"), ("/a", Some("b")));
        assert_eq!(split("https://h?b"), ("/", Some("b")));
        assert_eq!(split("http://h"), ("/", None));
        assert_eq!(split("*"), ("/", None));
        assert_eq!(split("/x?u=http://h/y"), ("/x", Some("u=http://h/y")));
        assert_eq!(split("/x://y"), ("/x://y", None));
    }
}
