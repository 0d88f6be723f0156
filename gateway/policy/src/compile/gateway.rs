//! The gateway's own settings: from what was written to what the server binds and keeps. Every limit has a default
//! and a maximum.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::faults::Faults;
use super::secrets::Keeper;
use crate::context::Secrets;
use crate::fault::Path;
use crate::scalar;
use crate::settings::{
    Admin, Alpn, Certificate, ClientAuth, Hardening, ListenAddress, Listener, ListenerTls, Pages,
    Secret, TlsVersion,
};
use crate::spec::gateway as spec;

/// The value when it is within bounds, else the default and a fault.
pub(super) fn within<T: PartialOrd + Copy>(
    at: &Path,
    value: Option<T>,
    default: T,
    (least, most): (T, T),
    show: impl Fn(T) -> String,
    faults: &mut Faults,
) -> T {
    match value {
        None => default,
        Some(value) if value < least || value > most => {
            let message = format!(
                "{} is out of bounds: from {} to {}",
                show(value),
                show(least),
                show(most)
            );
            faults.error(at.clone(), message);
            default
        }
        Some(value) => value,
    }
}

pub(super) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Two ticks of the slowest clock that kernels are built with.
const QUEUE: Duration = Duration::from_millis(20);

pub(super) fn duration(
    at: &Path,
    value: Option<scalar::Duration>,
    default: Duration,
    bounds: (Duration, Duration),
    faults: &mut Faults,
) -> Duration {
    let show = |length| scalar::Duration(length).to_string();
    within(
        at,
        value.map(|value| value.0),
        default,
        bounds,
        show,
        faults,
    )
}

pub(super) fn size(
    at: &Path,
    value: Option<scalar::Size>,
    default: u64,
    bounds: (u64, u64),
    faults: &mut Faults,
) -> u64 {
    let show = |bytes| scalar::Size(bytes).to_string();
    within(
        at,
        value.map(|value| value.0),
        default,
        bounds,
        show,
        faults,
    )
}

pub(super) fn count(
    at: &Path,
    value: Option<u64>,
    default: u64,
    bounds: (u64, u64),
    faults: &mut Faults,
) -> u64 {
    within(
        at,
        value,
        default,
        bounds,
        |count| count.to_string(),
        faults,
    )
}

/// The caps and deadlines.
pub(super) fn limits(spec: &spec::Limits, faults: &mut Faults) -> Hardening {
    let mut limits = Hardening::default();
    deadlines(spec, &mut limits, faults);
    sizes(spec, &mut limits, faults);
    counts(spec, &mut limits, faults);
    limits
}

fn limit(key: &str) -> Path {
    Path::default().key("limits").key(key)
}

fn deadlines(spec: &spec::Limits, to: &mut Hardening, faults: &mut Faults) {
    let ms = Duration::from_millis(100);
    let table = [
        (
            "header_deadline",
            spec.header_deadline,
            &mut to.header_deadline,
            (ms, seconds(300)),
        ),
        (
            "body_deadline",
            spec.body_deadline,
            &mut to.body_deadline,
            (ms, seconds(86_400)),
        ),
        (
            "idle_timeout",
            spec.idle_timeout,
            &mut to.idle_timeout,
            (ms, seconds(3_600)),
        ),
        (
            "queue",
            spec.queue,
            &mut to.queue,
            (Duration::ZERO, seconds(60)),
        ),
        (
            "drain",
            spec.drain,
            &mut to.drain,
            (Duration::ZERO, seconds(3_600)),
        ),
        (
            "recheck",
            spec.recheck,
            &mut to.recheck,
            (Duration::ZERO, seconds(3_600)),
        ),
    ];
    for (key, value, field, bounds) in table {
        *field = duration(&limit(key), value, *field, bounds, faults);
    }
    if !to.queue.is_zero() && to.queue < QUEUE {
        let message = "at least 20ms, or 0s for never: the kernel's clock for this is no finer";
        faults.error(limit("queue"), message);
    }
}

fn sizes(spec: &spec::Limits, to: &mut Hardening, faults: &mut Faults) {
    let table = [
        (
            "min_body_rate",
            spec.min_body_rate,
            &mut to.min_body_rate,
            (0, 1 << 30),
        ),
        ("max_body", spec.max_body, &mut to.max_body, (0, 64 << 30)),
        (
            "held_body_total",
            spec.held_body_total,
            &mut to.held_body_total,
            (64 << 10, 64 << 30),
        ),
        (
            "held_response_total",
            spec.held_response_total,
            &mut to.held_response_total,
            (64 << 10, 64 << 30),
        ),
    ];
    for (key, value, field, bounds) in table {
        *field = size(&limit(key), value, *field, bounds, faults);
    }
    let table = [
        (
            "header_bytes",
            spec.header_bytes,
            &mut to.header_bytes,
            (1 << 10, 1 << 20),
        ),
        (
            "uri_length",
            spec.uri_length,
            &mut to.uri_length,
            (64, 64 << 10),
        ),
    ];
    for (key, value, field, bounds) in table {
        *field = narrow(size(&limit(key), value, wide(*field), bounds, faults));
    }
}

fn counts(spec: &spec::Limits, to: &mut Hardening, faults: &mut Faults) {
    let most = 1_000_000;
    let per_client = spec.connections_per_client;
    let table = [
        (
            "header_count",
            spec.header_count,
            &mut to.header_count,
            (8, 256),
        ),
        (
            "connections",
            spec.connections,
            &mut to.connections,
            (1, most),
        ),
        (
            "connections_per_client",
            per_client,
            &mut to.connections_per_client,
            (1, most),
        ),
    ];
    for (key, value, field, bounds) in table {
        *field = narrow(count(&limit(key), value, wide(*field), bounds, faults));
    }
    let requests = u64::from(to.keepalive_requests);
    let requests = count(
        &limit("keepalive_requests"),
        spec.keepalive_requests,
        requests,
        (1, most),
        faults,
    );
    to.keepalive_requests = u32::try_from(requests).unwrap_or(u32::MAX);
}

fn narrow(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Where the gateway's own pages are.
pub(super) fn pages(spec: &spec::Pages, faults: &mut Faults) -> Pages {
    let Some(path) = &spec.path else {
        return Pages::default();
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let sound = path.len() > 1
        && path.starts_with('/')
        && path.chars().all(plain)
        && path
            .split('/')
            .skip(1)
            .all(|part| !matches!(part, "" | "." | ".."));
    if !sound {
        let message =
            format!("`{path}` is no path for pages: a slash, then letters, digits, `-`, `_`, `.`");
        faults.error(Path::default().key("pages").key("path"), message);
    }
    Pages { path: path.clone() }
}

/// Networks, one address meaning itself.
pub(super) fn networks(texts: &[String], at: &Path, faults: &mut Faults) -> Vec<IpNet> {
    let mut all = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let network = text
            .parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        match network {
            Some(network) if network.trunc() == network => all.push(network),
            Some(network) => {
                let message = format!(
                    "`{text}` has bits behind its prefix: write {}",
                    network.trunc()
                );
                faults.error(at.index(index), message);
            }
            None => faults.error(
                at.index(index),
                format!("`{text}` is not a network: write one like 10.0.0.0/8"),
            ),
        }
    }
    all
}

/// The admin listener.
pub(super) fn admin(
    spec: &spec::Admin,
    keeper: &mut Keeper<'_>,
    faults: &mut Faults,
) -> Option<Admin> {
    let at = Path::default().key("admin");
    let address = faults.take(&at.key("address"), spec.address.parse())?;
    let tokens = match &spec.token {
        Some(name) => faults.take(&at.key("token"), keeper.secret(name))?,
        None => Vec::new(),
    };
    let address: ListenAddress = address;
    if tokens.is_empty() && !address.is_local() {
        let message =
            format!("{address} can be reached by others: add `token`, or listen on 127.0.0.1");
        faults.error(at.key("address"), message);
    }
    if tokens.iter().any(|token| token.len() < 16) {
        faults.error(at.key("token"), "an admin token has at least 16 bytes");
    }
    let socket = match spec.socket.as_deref() {
        Some(path) => Some(faults.take(&at.key("socket"), beside(path))?),
        None => None,
    };
    if socket.as_ref() == Some(&address) {
        faults.error(at.key("socket"), "`address` is this socket already");
    }
    Some(Admin {
        address,
        socket,
        tokens: tokens.into_iter().map(Secret).collect(),
    })
}

/// The admin socket beside the address.
pub(super) fn beside(path: &str) -> Result<ListenAddress, String> {
    match path {
        "" => Err("a path, such as /run/palisade/admin.sock".to_owned()),
        path if path.starts_with("unix:") => Err("a path alone, without `unix:`".to_owned()),
        path => Ok(ListenAddress::Unix(path.to_owned())),
    }
}

/// One listener.
pub(super) fn listener(spec: spec::Listen, at: &Path, faults: &mut Faults) -> Option<Listener> {
    let address = faults.take(&at.key("address"), spec.address.parse());
    if spec.h2c && spec.tls.is_some() {
        faults.error(
            at.key("h2c"),
            "`h2c` is for plain listeners; over TLS, HTTP/2 is offered by `alpn`",
        );
    }
    let tls = spec
        .tls
        .map(|tls| listener_tls(tls, &at.key("tls"), faults));
    Some(Listener {
        address: address?,
        tls,
        h2c: spec.h2c,
        proxy_protocol: spec.proxy_protocol,
    })
}

fn listener_tls(spec: spec::ListenTls, at: &Path, faults: &mut Faults) -> ListenerTls {
    if spec.certificates.is_empty() {
        faults.error(at.key("certificates"), "at least one certificate");
    }
    let alpn = match spec.alpn {
        None => vec![Alpn::H2, Alpn::Http1],
        Some(words) => {
            if words.is_empty() {
                faults.error(at.key("alpn"), "at least one protocol");
            }
            words
                .into_iter()
                .map(|word| match word {
                    spec::AlpnWord::H2 => Alpn::H2,
                    spec::AlpnWord::Http1 => Alpn::Http1,
                })
                .collect()
        }
    };
    ListenerTls {
        certificates: spec.certificates.into_iter().map(certificate).collect(),
        min: match spec.min {
            spec::Min::V1_2 => TlsVersion::V1_2,
            spec::Min::V1_3 => TlsVersion::V1_3,
        },
        client_auth: spec.client_auth.map(|auth| ClientAuth {
            ca: auth.ca,
            require: auth.require,
        }),
        alpn,
    }
}

fn certificate(spec: spec::Certificate) -> Certificate {
    let names = spec
        .names
        .0
        .into_iter()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    Certificate {
        cert: spec.cert,
        key: spec.key,
        names,
    }
}
