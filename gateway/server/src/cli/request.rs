//! A request as `explain` takes it from the command line.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use policy::cases::Sent;
use policy::request::Identity;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Largest body file, in bytes: as much as a route may allow to be inspected, and more.
const LARGEST_BODY: u64 = 64 << 20;

/// The parts of a request.
#[derive(Debug, clap::Args)]
pub(super) struct RequestArguments {
    /// Method and path, such as "POST /login?next=/", or a whole URL. GET when only a path is given.
    #[arg(value_name = "REQUEST")]
    request: String,
    /// A header field, as with curl; can be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The body: text, or @FILE. Makes the method POST unless one is given; without a Content-Type header it is JSON where
    /// it reads as JSON, else a form.
    #[arg(short, long, value_name = "TEXT|@FILE")]
    body: Option<String>,
    /// The client's address.
    #[arg(short, long, value_name = "IP", default_value = "192.0.2.1")]
    client: IpAddr,
    /// Who asks, as if the route's token or session check had found out: user=mia, role=admin, or any claim.
    #[arg(long = "as", value_name = "CLAIM=VALUE")]
    identity: Vec<String>,
    /// Host, where no Host header and no URL says it.
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    host: String,
    /// Whether the request comes in without TLS.
    #[arg(long)]
    plain: bool,
    /// Whether it asks for a WebSocket.
    #[arg(long)]
    websocket: bool,
}

impl RequestArguments {
    /// The request, and who is assumed to ask.
    ///
    /// # Errors
    /// A sentence about the argument that makes no sense.
    pub(super) fn read(&self) -> Result<(Sent, Option<Arc<Identity>>), String> {
        let (method, target) = match self.request.trim().split_once(char::is_whitespace) {
            Some((method, target)) => (method, target.trim()),
            None if self.body.is_some() => ("POST", self.request.trim()),
            None => ("GET", self.request.trim()),
        };
        let mut headers = self.fields()?;
        let (target, host, tls) = self.place(target, &headers)?;
        let body = self.body.as_deref().map(body).transpose()?;
        complete(&mut headers, &host, body.as_deref());
        let sent = Sent {
            method: Method::from_bytes(method.as_bytes())
                .map_err(|_| format!("`{method}` is no method"))?,
            target,
            host,
            peer: self.client,
            tls,
            headers,
            body,
            websocket: self.websocket,
        };
        Ok((sent, self.identity()?))
    }

    /// Path, host, and whether TLS is spoken: a URL says all three.
    fn place(&self, target: &str, headers: &HeaderMap) -> Result<(String, String, bool), String> {
        if target.starts_with("http://") || target.starts_with("https://") {
            let url: Uri = target.parse().map_err(|why| format!("`{target}`: {why}"))?;
            let host = url.authority().map_or("", |authority| authority.as_str());
            let path = url.path_and_query().map_or("/", |path| path.as_str());
            return Ok((
                path.to_owned(),
                host.to_owned(),
                target.starts_with("https://"),
            ));
        }
        if !target.starts_with('/') {
            return Err(format!(
                "`{target}` is neither a path nor a URL; write \"GET /path\""
            ));
        }
        let named = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let host = named.unwrap_or(&self.host).to_owned();
        Ok((target.to_owned(), host, !self.plain))
    }

    fn fields(&self) -> Result<HeaderMap, String> {
        let mut fields = HeaderMap::new();
        for field in &self.headers {
            let (name, value) = field
                .split_once(':')
                .ok_or_else(|| format!("`{field}`: expected NAME: VALUE"))?;
            let name = HeaderName::from_bytes(name.trim().as_bytes())
                .map_err(|_| format!("`{}` is no header name", name.trim()))?;
            let value = HeaderValue::from_str(value.trim())
                .map_err(|_| format!("the value of `{name}` cannot be sent"))?;
            fields.append(name, value);
        }
        Ok(fields)
    }

    fn identity(&self) -> Result<Option<Arc<Identity>>, String> {
        if self.identity.is_empty() {
            return Ok(None);
        }
        let mut identity = Identity {
            user: "test".to_owned(),
            ..Identity::default()
        };
        for claim in &self.identity {
            let (name, value) = claim
                .split_once('=')
                .ok_or_else(|| format!("`{claim}`: expected CLAIM=VALUE"))?;
            if matches!(name, "user" | "sub") {
                identity.user = value.to_owned();
            } else {
                // Numbers, lists and booleans as JSON; everything else is text.
                let json = serde_json::from_str(value).ok();
                let value = json.unwrap_or_else(|| Value::from(value));
                identity.claims.insert(name.to_owned(), value);
            }
        }
        let user = Value::from(identity.user.as_str());
        identity.claims.insert("sub".to_owned(), user);
        Ok(Some(Arc::new(identity)))
    }
}

/// What every client sends unless told otherwise: rules ask for it.
fn complete(headers: &mut HeaderMap, host: &str, body: Option<&[u8]>) {
    let mut add = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.entry(name).or_insert(value);
        }
    };
    add(header::HOST, host);
    add(
        header::USER_AGENT,
        concat!("palisade/", env!("CARGO_PKG_VERSION")),
    );
    add(header::ACCEPT, "*/*");
    if let Some(body) = body {
        let json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
        let form = "application/x-www-form-urlencoded";
        add(
            header::CONTENT_TYPE,
            if json { "application/json" } else { form },
        );
        add(header::CONTENT_LENGTH, &body.len().to_string());
    }
}

fn body(text: &str) -> Result<bytes::Bytes, String> {
    let Some(file) = text.strip_prefix('@').map(PathBuf::from) else {
        return Ok(text.to_owned().into());
    };
    let failed = |why: std::io::Error| format!("{}: {why}", file.display());
    let about = fs::metadata(&file).map_err(failed)?;
    if about.len() > LARGEST_BODY {
        return Err(format!(
            "{} is larger than {} MiB",
            file.display(),
            LARGEST_BODY >> 20
        ));
    }
    fs::read(&file).map(Into::into).map_err(failed)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use clap::Parser;

    use super::RequestArguments;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        request: RequestArguments,
    }

    fn read(
        words: &[&str],
    ) -> Result<
        (
            policy::cases::Sent,
            Option<std::sync::Arc<policy::request::Identity>>,
        ),
        String,
    > {
        let words = ["x"].iter().chain(words);
        Line::try_parse_from(words)
            .map_err(|why| why.to_string())?
            .request
            .read()
    }

    #[test]
    fn reads_a_request_as_people_write_it() {
        let (sent, nobody) = read(&["POST /x?y=1", "-H", "Host: a.test", "--body", "z"]).unwrap();
        assert_eq!(
            (
                sent.method.as_str(),
                sent.target.as_str(),
                sent.host.as_str()
            ),
            ("POST", "/x?y=1", "a.test")
        );
        assert!(sent.tls && nobody.is_none() && sent.body.is_some());
        let (sent, _) = read(&["http://b.test:8080/p"]).unwrap();
        assert_eq!(
            (sent.target.as_str(), sent.host.as_str(), sent.tls),
            ("/p", "b.test:8080", false)
        );
        let (sent, _) = read(&["/p", "--body", "{}"]).unwrap();
        assert_eq!(
            (sent.method.as_str(), &sent.headers["content-type"]),
            ("POST", &"application/json".parse().unwrap())
        );
    }

    #[test]
    fn assumes_who_asks() {
        let (_, somebody) = read(&[
            "/",
            "--as",
            "role=admin",
            "--as",
            "user=mia",
            "--as",
            "level=3",
        ])
        .unwrap();
        let identity = somebody.unwrap();
        assert_eq!(identity.user, "mia");
        assert_eq!(
            (&identity.claims["role"], &identity.claims["level"]),
            (&"admin".into(), &3.into())
        );
    }

    #[test]
    fn says_what_makes_no_sense() {
        for words in [
            &["nonsense"][..],
            &["/", "-H", "nonsense"],
            &["/", "--as", "x"],
            &["/", "--body", "@/none"],
            &["G(T /"],
        ] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }
}
