//! The script that adds the token to what pages of the application send by themselves.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, StatusCode};

use crate::decision::{Action, Answer, Reason, Reply};
use crate::request::Request;

/// Reads the cookie anew each time: it may be another one than when the page came. Requests to other origins are left alone,
/// and a token that the application sends itself is not added to.
const TEXT: &str = r#""use strict";
(() => {
  const { cookie, header } = document.currentScript.dataset;
  const token = () => {
    const own = document.cookie.split("; ").find((pair) => pair.startsWith(cookie + "="));
    return own ? own.slice(cookie.length + 1) : "";
  };
  const ours = (method, address) => {
    if (/^(GET|HEAD|OPTIONS|TRACE)$/i.test(method)) return false;
    try {
      return new URL(address, document.baseURI).origin === location.origin;
    } catch {
      return false;
    }
  };
  const { fetch } = window;
  window.fetch = function (input, init) {
    const request = new Request(input, init);
    if (ours(request.method, request.url) && !request.headers.has(header)) request.headers.set(header, token());
    return fetch.call(this, request);
  };
  const { open, send, setRequestHeader } = XMLHttpRequest.prototype;
  const waiting = new WeakSet();
  XMLHttpRequest.prototype.open = function (method, address) {
    waiting.delete(this);
    if (ours(String(method), address)) waiting.add(this);
    return open.apply(this, arguments);
  };
  XMLHttpRequest.prototype.setRequestHeader = function (name) {
    if (String(name).toLowerCase() === header) waiting.delete(this);
    return setRequestHeader.apply(this, arguments);
  };
  XMLHttpRequest.prototype.send = function () {
    if (waiting.has(this)) setRequestHeader.call(this, header, token());
    return send.apply(this, arguments);
  };
})();
"#;

/// Serves it: the same for everybody.
pub(super) fn serve(request: &Request<'_>, rest: &str) -> Answer {
    if rest != "csrf.js" {
        return Answer::deny(Reason::NoRoute);
    }
    if *request.method != Method::GET && *request.method != Method::HEAD {
        return Answer::deny(Reason::BadMethod);
    }
    let fixed = HeaderValue::from_static;
    Answer::Reply(Reply {
        reason: Reason::Ok,
        status: StatusCode::OK,
        headers: vec![
            (CONTENT_TYPE, fixed("text/javascript; charset=utf-8")),
            (CACHE_CONTROL, fixed("public, max-age=3600")),
            (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        ],
        body: Bytes::from_static(TEXT.as_bytes()),
        action: Action::Allow,
    })
}
