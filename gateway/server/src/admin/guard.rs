//! Who may use the admin listener: whoever has the token; where none is set, whoever may open the socket. An address
//! without a token shows numbers and health alone, for every process of this machine reaches it, and whatever makes
//! one of them send a request: not even that to a foreign page, which cannot send a Host that is an address (DNS
//! rebinding).

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use policy::settings::Secret;
use subtle::ConstantTimeEq;

use super::Admin;

/// Answers requests that may not come in; the others go on.
pub(super) async fn keep_out(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let judged = {
        let snapshot = admin.shared.load();
        let asked = Asked {
            method: request.method(),
            path: request.uri().path(),
            headers: request.headers(),
        };
        let how = How {
            tokens: super::tokens(&snapshot),
            guarded: admin.guarded,
            socket: admin.socket,
        };
        judge(&asked, &how)
    };
    let mut response = match judged {
        Ok(()) => next.run(request).await,
        Err((status, why)) => (status, format!("{why}\n")).into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        let bearer = HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, bearer);
    }
    response
}

/// What an address without a token says to all but metrics and probes.
const NO_TOKEN: &str = "this address has no token and answers /metrics, /healthz and /readyz alone: \
     set `admin.token`, or ask over a Unix socket (`admin.socket`)";

type Refusal = (StatusCode, &'static str);

struct Asked<'a> {
    method: &'a Method,
    path: &'a str,
    headers: &'a HeaderMap,
}

/// How this listener is kept.
struct How<'a> {
    tokens: &'a [Secret],
    /// Whether a token is asked for even when there is none.
    guarded: bool,
    /// Whether only who may open its file gets here.
    socket: bool,
}

fn judge(asked: &Asked<'_>, how: &How<'_>) -> Result<(), Refusal> {
    let headers = asked.headers;
    if !matches!(*asked.method, Method::GET | Method::HEAD) && from_a_page(headers) {
        return Err((StatusCode::FORBIDDEN, "not from a browser's page"));
    }
    // Probes carry no token, and what they learn is a word.
    let probe = matches!(asked.path, "/healthz" | "/readyz");
    if how.guarded || !how.tokens.is_empty() {
        return if probe || bearer(headers).is_some_and(|given| accepted(given, how.tokens)) {
            Ok(())
        } else {
            Err((StatusCode::UNAUTHORIZED, "a bearer token is required"))
        };
    }
    // No page in a browser opens a socket by its path.
    if probe || how.socket {
        return Ok(());
    }
    if !local_host(headers) {
        return Err((
            StatusCode::MISDIRECTED_REQUEST,
            "use an IP address or localhost as host",
        ));
    }
    if asked.path == "/metrics" {
        Ok(())
    } else {
        Err((StatusCode::FORBIDDEN, NO_TOKEN))
    }
}

fn from_a_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    headers.contains_key(header::ORIGIN)
        || site.is_some_and(|site| site != "none" && site != "same-origin")
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Looks at every token, whichever fits: the time tells nothing.
fn accepted(given: &[u8], tokens: &[Secret]) -> bool {
    tokens.iter().fold(false, |found, token| {
        let same: bool = token.0.as_slice().ct_eq(given).into();
        found | (same && !given.is_empty())
    })
}

/// A name could have been made to point here by whoever owns it; an address cannot.
fn local_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let host = host.to_str().unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    bare.unwrap_or(name).parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
    use policy::settings::Secret;

    use super::{Asked, How, judge};

    fn asked(
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        tokens: &[&str],
        guarded: bool,
    ) -> u16 {
        let headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                (name, HeaderValue::from_str(value).unwrap())
            })
            .collect();
        let tokens: Vec<_> = tokens
            .iter()
            .map(|token| Secret(token.as_bytes().to_vec().into()))
            .collect();
        let asked = Asked {
            method: &method,
            path,
            headers: &headers,
        };
        let how = How {
            tokens: &tokens,
            guarded,
            socket: false,
        };
        let judged = judge(&asked, &how);
        judged.map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    fn ask(method: Method, path: &str, fields: &[(&str, &str)], tokens: &[&str]) -> u16 {
        asked(method, path, fields, tokens, false)
    }

    #[test]
    fn a_name_that_was_pointed_here_is_refused() {
        for (host, status) in [
            ("127.0.0.1:9900", 200),
            ("[::1]:9900", 200),
            ("localhost:9900", 200),
            ("10.2.3.4:9900", 200),
            ("evil.example:9900", 421),
            ("127.0.0.1.evil.example", 421),
            ("", 421),
        ] {
            assert_eq!(
                ask(Method::GET, "/metrics", &[("host", host)], &[]),
                status,
                "{host}"
            );
        }
        assert_eq!(ask(Method::GET, "/metrics", &[], &[]), 421);
    }

    #[test]
    fn an_address_without_a_token_shows_numbers_alone() {
        let host = [("host", "127.0.0.1:9900")];
        for (path, status) in [
            ("/metrics", 200),
            ("/healthz", 200),
            ("/readyz", 200),
            ("/policy", 403),
            ("/bans", 403),
            ("/metrics/", 403),
        ] {
            assert_eq!(ask(Method::GET, path, &host, &[]), status, "{path}");
        }
        assert_eq!(ask(Method::POST, "/reload", &host, &[]), 403);
        assert_eq!(ask(Method::POST, "/reload", &host, &["x"]), 401);
    }

    #[test]
    fn pages_change_nothing() {
        let token = ("authorization", "Bearer t");
        let post = |more: &[(&str, &str)]| {
            let fields: Vec<_> = [token].iter().chain(more).copied().collect();
            ask(Method::POST, "/reload", &fields, &["t"])
        };
        assert_eq!(post(&[]), 200);
        assert_eq!(post(&[("origin", "http://127.0.0.1:9900")]), 403);
        assert_eq!(post(&[("origin", "null")]), 403);
        assert_eq!(post(&[("sec-fetch-site", "cross-site")]), 403);
    }

    #[test]
    fn a_token_is_asked_for_where_one_is_set() {
        let with = |value: &str| {
            let fields = [("host", "gateway.example"), ("authorization", value)];
            ask(Method::GET, "/metrics", &fields, &["new", "old"])
        };
        assert_eq!(with("Bearer new"), 200);
        assert_eq!(with("bearer old"), 200);
        assert_eq!(with("Bearer ne"), 401);
        assert_eq!(with("Bearer "), 401);
        assert_eq!(with("Basic new"), 401);
        assert_eq!(
            ask(Method::GET, "/metrics", &[("host", "127.0.0.1")], &["new"]),
            401
        );
        assert_eq!(
            ask(Method::GET, "/readyz", &[("host", "10.0.0.7")], &["new"]),
            200
        );
        assert_eq!(
            ask(
                Method::GET,
                "/metrics",
                &[("authorization", "Bearer ")],
                &[""]
            ),
            401
        );
    }

    #[test]
    fn a_policy_that_forgets_the_token_opens_nothing() {
        let host = [("host", "127.0.0.1:9900")];
        assert_eq!(asked(Method::GET, "/policy", &host, &[], true), 401);
        assert_eq!(asked(Method::GET, "/healthz", &host, &[], true), 200);
    }
}
