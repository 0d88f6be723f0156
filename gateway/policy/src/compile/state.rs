//! Where counters and values live: from what was written to what the server opens.

use std::time::Duration;

use super::faults::Faults;
use super::gateway::{count, duration};
use super::secrets::Keeper;
use crate::context::Secrets as _;
use crate::fault::Path;
use crate::settings::{Reach, Redis, Secret, State, StateKind};
use crate::spec::gateway as spec;

/// Shortest secret that values are sealed with, bytes.
const SEAL: usize = 32;
/// Longest prefix of keys.
const PREFIX: usize = 32;

fn at(key: &str) -> Path {
    Path::default().key("state").key(key)
}

/// The store.
pub(super) fn state(spec: &spec::State, keeper: &mut Keeper<'_>, faults: &mut Faults) -> State {
    let keys = count(
        &at("max_keys"),
        spec.max_keys,
        1_000_000,
        (1_000, 100_000_000),
        faults,
    );
    misplaced(spec, faults);
    let kind = match spec.kind {
        spec::StateKind::Memory => StateKind::Memory,
        spec::StateKind::File => file(spec, faults),
        spec::StateKind::Redis => redis(spec, keeper, faults),
    };
    State {
        seal: seal(spec, keeper, faults),
        kind,
        max_keys: usize::try_from(keys).unwrap_or(usize::MAX),
    }
}

/// Keys that say nothing where they stand.
fn misplaced(spec: &spec::State, faults: &mut Faults) {
    use spec::StateKind::{File, Memory, Redis};
    let table: [(&str, bool, &[spec::StateKind]); 11] = [
        ("path", spec.path.is_some(), &[File]),
        ("urls", !spec.urls.0.is_empty(), &[Redis]),
        ("user", spec.user.is_some(), &[Redis]),
        ("password", spec.password.is_some(), &[Redis]),
        (
            "sentinel_password",
            spec.sentinel_password.is_some(),
            &[Redis],
        ),
        ("ca", spec.ca.is_some(), &[Redis]),
        ("prefix", spec.prefix.is_some(), &[Redis]),
        ("timeout", spec.timeout.is_some(), &[Redis]),
        ("sync", spec.sync.is_some(), &[Redis]),
        ("lease", spec.lease.is_some(), &[Redis]),
        ("seal", spec.seal.is_some(), &[File, Redis]),
    ];
    for (key, written, kinds) in table {
        if written && !kinds.contains(&spec.kind) {
            let kind = match spec.kind {
                Memory => "memory",
                File => "file",
                Redis => "redis",
            };
            faults.error(at(key), format!("`kind: {kind}` has no `{key}`"));
        }
    }
}

fn seal(spec: &spec::State, keeper: &mut Keeper<'_>, faults: &mut Faults) -> Vec<Secret> {
    let Some(name) = &spec.seal else {
        if spec.kind != spec::StateKind::Memory {
            let message = "without `seal`, sessions and second factors can be read and changed by whoever reads the \
                           store";
            faults.warning(Path::default().key("state"), message);
        }
        return Vec::new();
    };
    let values = faults.take(&at("seal"), keeper.secret(name));
    let values = values.unwrap_or_default();
    if values.first().is_some_and(|value| value.len() < SEAL) {
        let message = format!("`{name}` is too short to seal with: at least {SEAL} bytes");
        faults.error(at("seal"), message);
    }
    values.into_iter().map(Secret).collect()
}

fn file(spec: &spec::State, faults: &mut Faults) -> StateKind {
    let path = spec.path.clone().unwrap_or_default();
    if path.is_empty() {
        faults.error(
            at("path"),
            "`kind: file` needs a `path`, such as state.redb",
        );
    }
    StateKind::File { path }
}

fn redis(spec: &spec::State, keeper: &mut Keeper<'_>, faults: &mut Faults) -> StateKind {
    let mut secret = |key: &str, name: &Option<String>, faults: &mut Faults| {
        let values = faults.take(&at(key), keeper.secret(name.as_ref()?))?;
        values.into_iter().next().map(Secret)
    };
    let password = secret("password", &spec.password, faults);
    let sentinel_password = secret("sentinel_password", &spec.sentinel_password, faults);
    if spec.user.is_some() && spec.password.is_none() {
        faults.error(at("user"), "a user needs a `password`");
    }
    let (reach, tls, database) = reach(&spec.urls.0, faults);
    if spec.ca.is_some() && !tls {
        faults.error(at("ca"), "only `rediss://` asks for a certificate");
    }
    let prefix = spec.prefix.clone().unwrap_or_else(|| "palisade".to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if prefix.is_empty() || prefix.len() > PREFIX || !prefix.chars().all(plain) {
        let message = format!("`{prefix}`: up to {PREFIX} letters, digits, `-`, `_`, `.` and `:`");
        faults.error(at("prefix"), message);
    }
    let ms = Duration::from_millis;
    let mut time = |key: &str, value, default: u64, least: u64, most: u64| {
        let bounds = (ms(least), ms(most));
        duration(&at(key), value, ms(default), bounds, faults)
    };
    StateKind::Redis(Box::new(Redis {
        timeout: time("timeout", spec.timeout, 100, 5, 5_000),
        sync: time("sync", spec.sync, 200, 50, 60_000),
        lease: time("lease", spec.lease, 30_000, 1_000, 600_000),
        reach,
        tls,
        ca: spec.ca.clone(),
        user: spec.user.clone(),
        password,
        sentinel_password,
        database,
        prefix,
    }))
}

fn reach(urls: &[String], faults: &mut Faults) -> (Reach, bool, i64) {
    let nowhere = (Reach::Cluster(Vec::new()), false, 0);
    let mut found = Vec::new();
    for (index, text) in urls.iter().enumerate() {
        let one = url(text);
        found.extend(faults.take(&at("urls").index(index), one));
    }
    if found.len() < urls.len() {
        return nowhere;
    }
    match found.len() {
        0 => {
            let message = "`kind: redis` needs `urls`, such as [\"redis://127.0.0.1:6379\"]";
            faults.error(at("urls"), message);
            nowhere
        }
        1 => found.pop().unwrap_or(nowhere),
        _ => {
            let tls = found.iter().all(|(_, tls, _)| *tls);
            let mut nodes = Vec::new();
            for (index, (reach, own, _)) in found.into_iter().enumerate() {
                match reach {
                    Reach::Tcp(host, port) if own == tls => nodes.push((host, port)),
                    Reach::Cluster(more) if own == tls => nodes.extend(more),
                    _ => {
                        let message =
                            "several are nodes of one cluster: all redis:// or all rediss://";
                        faults.error(at("urls").index(index), message);
                    }
                }
            }
            (Reach::Cluster(nodes), tls, 0)
        }
    }
}

/// Where it is, whether over TLS, and which database.
fn url(text: &str) -> Result<(Reach, bool, i64), String> {
    // First of all, so that no fault shows one.
    if text.contains('@') {
        return Err(
            "a policy holds no passwords: name a secret as `password`, and `user`".to_owned(),
        );
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.strip_prefix("//").unwrap_or(path) {
            "" => Err("`unix:` needs a path: unix:/run/redis.sock".to_owned()),
            path => Ok((Reach::Unix(path.to_owned()), false, 0)),
        };
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(|| {
        format!("`{text}` is not an address: write one like redis://127.0.0.1:6379")
    })?;
    let (plain, tls) = match scheme.strip_prefix("rediss") {
        Some(kind) => (kind, true),
        None => (scheme.strip_prefix("redis").unwrap_or("?"), false),
    };
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let nodes = |port| {
        hosts
            .split(',')
            .map(|node| self::node(node, port))
            .collect()
    };
    let nodes: Vec<_> = match plain {
        "+sentinel" => nodes(26_379),
        _ => nodes(6_379),
    };
    let nodes = nodes.into_iter().collect::<Result<Vec<_>, String>>()?;
    match plain {
        "" => match <[_; 1]>::try_from(nodes) {
            Ok([(host, port)]) => Ok((Reach::Tcp(host, port), tls, database(path)?)),
            Err(_) => {
                Err("several servers: write redis+cluster:// or redis+sentinel://".to_owned())
            }
        },
        "+cluster" if path.is_empty() => Ok((Reach::Cluster(nodes), tls, 0)),
        "+cluster" => Err("a cluster has no databases".to_owned()),
        "+sentinel" => {
            let (service, number) = path.split_once('/').unwrap_or((path, ""));
            if service.is_empty() {
                let message =
                    "sentinels need the name of the primary: redis+sentinel://host:26379/name";
                return Err(message.to_owned());
            }
            let service = service.to_owned();
            let reach = Reach::Sentinel {
                service,
                sentinels: nodes,
            };
            Ok((reach, tls, database(number)?))
        }
        _ => Err(format!(
            "`{scheme}://` is not known: redis, rediss, redis+sentinel, rediss+sentinel, redis+cluster, rediss+cluster"
        )),
    }
}

fn node(text: &str, default: u16) -> Result<(String, u16), String> {
    let wrong = || format!("`{text}` is not a host and a port");
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address without a port ends in a bracket.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (text, default),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    if host.is_empty() || host.contains(['?', '#', '/', ' ', '[', ']']) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

fn database(text: &str) -> Result<i64, String> {
    match text {
        "" => Ok(0),
        _ => match text.parse::<u16>() {
            Ok(number) => Ok(i64::from(number)),
            Err(_) => Err(format!("`{text}` is not the number of a database")),
        },
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{Reach, url};

    fn reached(text: &str) -> String {
        match url(text) {
            Ok((reach, tls, database)) => format!("{reach} {tls} {database}"),
            Err(why) => why,
        }
    }

    #[test]
    fn reads_addresses_of_every_kind() {
        for (text, reach) in [
            ("redis://db", "db:6379 false 0"),
            ("rediss://db:7000/3", "db:7000 true 3"),
            ("redis://[::1]:7000", "::1:7000 false 0"),
            ("redis://[::1]", "::1:6379 false 0"),
            ("unix:/run/redis.sock", "unix:/run/redis.sock false 0"),
            (
                "redis+sentinel://a,b:7/main/2",
                "main of sentinels a:26379,b:7 false 2",
            ),
            ("rediss+cluster://a:1,b:2", "cluster a:1,b:2 true 0"),
        ] {
            assert_eq!(reached(text), reach);
        }
        assert!(matches!(url("redis://x:1").unwrap().0, Reach::Tcp(..)));
    }

    #[test]
    fn tells_what_is_wrong_with_an_address() {
        for (text, told) in [
            ("127.0.0.1:6379", "is not an address"),
            ("redis://:hunter2@db", "no passwords"),
            ("redis://a,b", "several servers"),
            ("redis://db:port", "not a host and a port"),
            ("redis://db/x", "not the number of a database"),
            ("redis+sentinel://a", "name of the primary"),
            ("redis+cluster://a/1", "no databases"),
            ("memcached://a", "is not known"),
            ("redis://", "not a host and a port"),
            ("unix:", "needs a path"),
        ] {
            assert!(reached(text).contains(told), "{text}: {}", reached(text));
        }
        assert!(!reached("redis://:hunter2@db").contains("hunter2"));
    }
}
