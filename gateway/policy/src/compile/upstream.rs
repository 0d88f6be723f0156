//! Upstream groups: from what was written to servers, probes and timeouts.

use std::time::Duration;

use http::HeaderName;

use super::faults::Faults;
use super::gateway::{count, duration, seconds};
use crate::fault::Path;
use crate::settings::{
    Balance, Certificate, HashKey, Health, Protocol, Server, ServerAddress, Timeouts, Upstream,
    UpstreamTls,
};
use crate::spec::upstream as spec;

/// One group.
pub(super) fn upstream(
    name: &str,
    spec: spec::Upstream,
    at: &Path,
    faults: &mut Faults,
) -> Upstream {
    let servers = servers(spec.servers, &at.key("servers"), faults);
    let protocol = match spec.protocol {
        spec::Protocol::H1 => Protocol::Http1,
        spec::Protocol::H2 => Protocol::Http2,
        spec::Protocol::H2c => Protocol::H2c,
    };
    match (protocol, &spec.tls) {
        (Protocol::Http2, None) => {
            faults.error(
                at.key("protocol"),
                "h2 needs `tls`; HTTP/2 in plain text is h2c",
            );
        }
        (Protocol::H2c, Some(_)) => faults.error(
            at.key("protocol"),
            "h2c is plain text: with `tls`, write h2",
        ),
        (Protocol::Http1 | Protocol::Http2 | Protocol::H2c, _) => {}
    }
    if spec.tls.as_ref().is_some_and(|tls| !tls.verify) {
        let message = "the servers' certificates are not verified: anyone in between can read and change everything";
        faults.warning(at.key("tls").key("verify"), message);
    }
    let retries = count(&at.key("retries"), spec.retries, 1, (0, 10), faults);
    let keepalive = count(
        &at.key("keepalive"),
        spec.keepalive,
        128,
        (0, 10_000),
        faults,
    );
    Upstream {
        name: name.to_owned(),
        servers,
        balance: balance(spec.balance, &at.key("balance"), faults),
        health: spec
            .health
            .map(|health| probes(&health, &at.key("health"), faults)),
        timeouts: timeouts(&spec.timeouts, &at.key("timeouts"), faults),
        tls: spec.tls.map(|tls| UpstreamTls {
            sni: tls.sni,
            verify: tls.verify,
            ca: tls.ca,
            client: tls.client.map(|own| Certificate {
                cert: own.cert,
                key: own.key,
                names: Vec::new(),
            }),
        }),
        protocol,
        retries: u32::try_from(retries).unwrap_or(0),
        keepalive: usize::try_from(keepalive).unwrap_or(0),
    }
}

fn servers(specs: Vec<spec::Server>, at: &Path, faults: &mut Faults) -> Vec<Server> {
    if specs.is_empty() {
        faults.error(at.clone(), "at least one server");
    }
    let mut servers: Vec<Server> = Vec::with_capacity(specs.len());
    for (index, spec) in specs.into_iter().enumerate() {
        let at = at.index(index);
        let weight = count(&at.key("weight"), Some(spec.weight), 1, (1, 1_000), faults);
        let Some(address) = faults.take(&at, address(&spec.address)) else {
            continue;
        };
        if servers.iter().any(|known| known.address == address) {
            faults.error(
                at,
                format!("{address} stands here twice: give it a `weight` instead"),
            );
            continue;
        }
        servers.push(Server {
            address,
            weight: u16::try_from(weight).unwrap_or(1),
        });
    }
    servers
}

fn address(text: &str) -> Result<ServerAddress, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.is_empty() {
            Err("`unix:` needs a path: unix:/run/app.sock".to_owned())
        } else {
            Ok(ServerAddress::Unix(path.to_owned()))
        };
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return Err(format!(
            "`{text}`: write {rest} without {scheme}://; TLS is switched on by `tls: {{}}`"
        ));
    }
    let wrong = || {
        format!(
            "`{text}` is not host:port: write one like 127.0.0.1:3000, app:3000 or unix:/run/app.sock"
        )
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port
        .parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(wrong)?;
    let host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(inner) => inner
            .parse::<std::net::Ipv6Addr>()
            .map_err(|_| wrong())?
            .to_string(),
        None => host.to_ascii_lowercase(),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if host.is_empty() || !host.chars().all(plain) || (host.contains(':') && !text.starts_with('['))
    {
        return Err(wrong());
    }
    Ok(ServerAddress::Tcp(host, port))
}

fn balance(spec: spec::Balance, at: &Path, faults: &mut Faults) -> Balance {
    match spec {
        spec::Balance::RoundRobin | spec::Balance::Weighted => Balance::RoundRobin,
        spec::Balance::Random => Balance::Random,
        spec::Balance::ConsistentHash(spec) => {
            let at = at.key("consistent_hash").key("key");
            let key = faults.take(&at, hash_key(&spec.key));
            Balance::ConsistentHash(key.unwrap_or(HashKey::Client))
        }
    }
}

fn hash_key(text: &str) -> Result<HashKey, String> {
    match text.split_once(':') {
        None => match text {
            "client" | "ip" => Ok(HashKey::Client),
            "path" => Ok(HashKey::Path),
            "user" => Ok(HashKey::User),
            _ => Err(format!(
                "`{text}` is not a key: client, path, user, header:NAME or cookie:NAME"
            )),
        },
        Some(("header", name)) => match HeaderName::try_from(name) {
            Ok(name) => Ok(HashKey::Header(name)),
            Err(_) => Err(format!("`{name}` is not a header name")),
        },
        Some(("cookie", name)) if !name.is_empty() => Ok(HashKey::Cookie(name.to_owned())),
        Some(_) => Err(format!(
            "`{text}` is not a key: client, path, user, header:NAME or cookie:NAME"
        )),
    }
}

fn probes(spec: &spec::Health, at: &Path, faults: &mut Faults) -> Health {
    if !spec.path.starts_with('/')
        || spec
            .path
            .contains(|c: char| c.is_whitespace() || c.is_control())
    {
        faults.error(
            at.key("path"),
            format!("`{}` is not a path: it begins with /", spec.path),
        );
    }
    let ms = Duration::from_millis;
    let every = duration(
        &at.key("every"),
        spec.every,
        seconds(5),
        (ms(100), seconds(3_600)),
        faults,
    );
    let timeout = duration(
        &at.key("timeout"),
        spec.timeout,
        seconds(2),
        (ms(10), seconds(60)),
        faults,
    );
    let healthy = count(
        &at.key("healthy_after"),
        spec.healthy_after,
        2,
        (1, 100),
        faults,
    );
    let unhealthy = count(
        &at.key("unhealthy_after"),
        spec.unhealthy_after,
        3,
        (1, 100),
        faults,
    );
    let mut expect = Vec::new();
    for (index, text) in spec.expect.0.iter().enumerate() {
        let at = at.key("expect").index(index);
        expect.extend(faults.take(&at, statuses(text)));
    }
    if expect.is_empty() {
        expect.push((200, 299));
    }
    Health {
        path: spec.path.clone(),
        host: spec.host.clone(),
        every,
        timeout,
        healthy_after: u32::try_from(healthy).unwrap_or(1),
        unhealthy_after: u32::try_from(unhealthy).unwrap_or(1),
        expect,
    }
}

fn statuses(text: &str) -> Result<(u16, u16), String> {
    let wrong = || format!("`{text}` is not a status: write 200, 2xx or 200-299");
    let status = |text: &str| {
        let status: u16 = text.parse().map_err(|_| wrong())?;
        if (100..600).contains(&status) {
            Ok(status)
        } else {
            Err(wrong())
        }
    };
    if let Some(class) = text.strip_suffix("xx") {
        let first = status(&format!("{class}00"))?;
        return Ok((first, first + 99));
    }
    match text.split_once('-') {
        None => status(text).map(|status| (status, status)),
        Some((first, last)) => {
            let range = (status(first)?, status(last)?);
            if range.0 <= range.1 {
                Ok(range)
            } else {
                Err(wrong())
            }
        }
    }
}

fn timeouts(spec: &spec::Timeouts, at: &Path, faults: &mut Faults) -> Timeouts {
    let ms = Duration::from_millis(1);
    let mut time = |key: &str, value, default, most| {
        duration(
            &at.key(key),
            value,
            seconds(default),
            (ms, seconds(most)),
            faults,
        )
    };
    Timeouts {
        connect: time("connect", spec.connect, 2, 300),
        read: time("read", spec.read, 60, 86_400),
        write: time("write", spec.write, 60, 86_400),
        idle: time("idle", spec.idle, 60, 3_600),
    }
}
