//! The application that the suite expects behind the gateway: everything is answered with an empty 200, and `/reflect`
//! answers with the status, header fields and body that its JSON body names.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// Largest body that is read, in bytes.
const MOST: usize = 64 << 20;

/// What `/reflect` is told.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wanted {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
    encoded_body: String,
}

/// Starts it on a loopback port of the system's choice, on a thread of its own, for as long as the process lives.
///
/// # Errors
/// When no port or thread can be had.
pub(crate) fn start() -> Result<SocketAddr, String> {
    let failed = |why: std::io::Error| format!("the reflecting backend: {why}");
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let thread = std::thread::Builder::new().name("backend".to_owned());
    let serve = move || {
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let app = Router::new().fallback(answer);
            axum::serve(
                listener,
                app.layer(axum::extract::DefaultBodyLimit::max(MOST)),
            )
            .await
        });
        if let Err(why) = served {
            log::error!("the reflecting backend ended: {why}");
        }
    };
    thread.spawn(serve).map_err(failed)?;
    Ok(address)
}

async fn answer(method: Method, uri: Uri, body: Bytes) -> Response {
    let path = uri.path();
    if method != Method::POST || !(path == "/reflect" || path.starts_with("/reflect/")) {
        return StatusCode::OK.into_response();
    }
    match serde_json::from_slice::<Wanted>(&body) {
        Ok(wanted) => reflect(wanted),
        Err(_) => (StatusCode::BAD_REQUEST, "Invalid JSON in request body").into_response(),
    }
}

fn reflect(wanted: Wanted) -> Response {
    let status = match wanted.status {
        0 => StatusCode::OK,
        code => match StatusCode::from_u16(code)
            .ok()
            .filter(|code| code.as_u16() < 600)
        {
            Some(status) => status,
            None => return (StatusCode::BAD_REQUEST, "Invalid status code").into_response(),
        },
    };
    let body = if wanted.body.is_empty() {
        STANDARD.decode(&wanted.encoded_body).unwrap_or_default()
    } else {
        wanted.body.into_bytes()
    };
    let sniffed = sniff(&body);
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    for (name, value) in &wanted.headers {
        // What cannot be a field is dropped, as the suite's own backend does.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    if let Some(kind) = sniffed.filter(|_| !headers.contains_key(header::CONTENT_TYPE)) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}

/// The type of a body that names none, by its first bytes (WHATWG MIME Sniffing, 7.1); nothing for an empty one.
fn sniff(body: &[u8]) -> Option<&'static str> {
    const TAGS: &[&str] = &[
        "<!doctype html",
        "<html",
        "<head",
        "<script",
        "<iframe",
        "<h1",
        "<div",
        "<font",
        "<table",
        "<a",
        "<style",
        "<title",
        "<b",
        "<body",
        "<br",
        "<p",
    ];
    if body.is_empty() {
        return None;
    }
    let head = body.get(..512).unwrap_or(body);
    let text = head.trim_ascii_start();
    let is_tag = |tag: &&str| {
        let (start, end) = (text.get(..tag.len()), text.get(tag.len()));
        start.is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
            && end.is_some_and(|end| matches!(end, b' ' | b'>'))
    };
    let binary = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    Some(match text {
        _ if TAGS.iter().any(is_tag) || text.starts_with(b"<!--") => "text/html; charset=utf-8",
        [b'<', b'?', b'x', b'm', b'l', ..] => "text/xml; charset=utf-8",
        _ if head.starts_with(b"%PDF-") => "application/pdf",
        _ if head.starts_with(b"\x1f\x8b\x08") => "application/x-gzip",
        _ if head.starts_with(b"PK\x03\x04") => "application/zip",
        _ if head.starts_with(b"\x89PNG\r\n\x1a\n") => "image/png",
        _ if head.starts_with(b"GIF8") => "image/gif",
        _ if head.starts_with(b"\xff\xd8\xff") => "image/jpeg",
        _ if head.iter().any(binary) => "application/octet-stream",
        _ => "text/plain; charset=utf-8",
    })
}

#[cfg(test)]
mod tests {
    use super::sniff;

    #[test]
    fn knows_types_by_their_first_bytes() {
        for (body, kind) in [
            (&b""[..], None),
            (b" \n<HTML><x>", Some("text/html; charset=utf-8")),
            (b"<abc>", Some("text/plain; charset=utf-8")),
            (b"<a href=x>", Some("text/html; charset=utf-8")),
            (b"<?xml version=\"1.0\"?>", Some("text/xml; charset=utf-8")),
            (b"{\"a\": 1}", Some("text/plain; charset=utf-8")),
            (b"\x1f\x8b\x08\x00", Some("application/x-gzip")),
            (b"a\x00b", Some("application/octet-stream")),
        ] {
            assert_eq!(sniff(body), kind, "{}", body.escape_ascii());
        }
    }
}
