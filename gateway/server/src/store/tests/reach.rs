//! Servers that ask for a password and speak TLS, and the other server that speaks Redis' language.

use std::path::Path;

use policy::settings::{Reach, Redis, State, StateKind};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;

/// Changes what a state says about its Redis.
fn with(mut state: State, change: impl FnOnce(&mut Redis)) -> State {
    if let StateKind::Redis(redis) = &mut state.kind {
        change(redis);
    }
    state
}

/// Waits until `redis-cli`, which has these words before those, answers so.
fn answers(before: &[&str], words: &[&str], wanted: &str) {
    let begun = Instant::now();
    loop {
        let output = Command::new("redis-cli").args(before).args(words).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if said.contains(wanted) {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{words:?}: {said}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sentinels that ask for one password, servers that ask for another.
#[test]
fn sentinels_and_servers_with_passwords_of_their_own() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let guarded = [
        "--requirepass",
        "of-the-servers",
        "--masterauth",
        "of-the-servers",
    ];
    let primary = Server::with(&guarded);
    let port = primary.port.to_string();
    let replica = Server::with(&[&guarded[..], &["--replicaof", "127.0.0.1", &port]].concat());
    let asked = replica.port.to_string();
    let server = ["-p", &asked, "-a", "of-the-servers", "--no-auth-warning"];
    answers(&server, &["INFO", "replication"], "master_link_status:up");
    let settings = folder.path().join("sentinel.conf");
    let monitor = format!(
        "requirepass of-the-sentinels\nsentinel monitor main 127.0.0.1 {port} 1\n\
         sentinel auth-pass main of-the-servers\nsentinel down-after-milliseconds main 1000\n\
         sentinel failover-timeout main 5000\n"
    );
    std::fs::write(&settings, monitor).unwrap();
    let sentinel = Server::sentinel(&settings);
    let at = sentinel.port.to_string();
    let watching = ["-p", &at, "-a", "of-the-sentinels", "--no-auth-warning"];
    answers(&watching, &["SENTINEL", "REPLICAS", "main"], "name");
    let reach = || Reach::Sentinel {
        service: "main".to_owned(),
        sentinels: vec![("127.0.0.1".to_owned(), sentinel.port)],
    };
    let secret = |text: &str| secrets(&[text]).pop();
    let state = with(Server::reached(reach(), &[]), |redis| {
        redis.password = secret("of-the-servers");
        redis.sentinel_password = secret("of-the-sentinels");
    });
    let store = open(&state, Path::new(""), &runtime);
    runtime.block_on(serves(&store));
    // Neither password is good for the other.
    for (servers, sentinels) in [
        (Some("of-the-servers"), None),
        (Some("of-the-servers"), Some("of-the-servers")),
    ] {
        let state = with(Server::reached(reach(), &[]), |redis| {
            redis.password = servers.and_then(secret);
            redis.sentinel_password = sentinels.and_then(secret);
        });
        assert!(
            Store::opened(&state, Path::new("")).is_err(),
            "{servers:?} {sentinels:?}"
        );
    }
    drop(primary);
    let begun = Instant::now();
    let put = async || {
        let now = store.now();
        let put = store.put(Space::Session, Key(99), text("after"), HOUR, now);
        put.await
    };
    while runtime.block_on(put()).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never followed");
        std::thread::sleep(Duration::from_millis(100));
    }
    answers(&server, &["INFO", "replication"], "role:master");
}

/// An authority, and a server that it vouches for: `ca.pem`, `server.pem`, `server.key`.
fn certificates(folder: &Path) {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Of the same name, the server would look like its own authority.
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "an authority");
    let key = KeyPair::generate().unwrap();
    write("ca.pem", params.self_signed(&key).unwrap().pem());
    let authority = Issuer::new(params, key);
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    write(
        "server.pem",
        params.signed_by(&key, &authority).unwrap().pem(),
    );
    write("server.key", key.serialize_pem());
}

/// Free, and with another ten thousand above it: nodes of a cluster talk there.
fn low_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

/// Nodes that talk to each other and to clients over TLS, and ask for a password.
#[test]
fn a_cluster_over_tls_is_one_store() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (ca, certificate, key) = (path("ca.pem"), path("server.pem"), path("server.key"));
    let nodes = [1, 2].map(|_| {
        let (own, port) = (tempfile::tempdir().unwrap(), low_port());
        let server = Server::with(&[
            "--cluster-enabled",
            "yes",
            "--tls-cluster",
            "yes",
            "--tls-replication",
            "yes",
            "--tls-port",
            &port.to_string(),
            "--tls-auth-clients",
            "no",
            "--tls-ca-cert-file",
            &ca,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--requirepass",
            "of-the-cluster",
            "--masterauth",
            "of-the-cluster",
            "--dir",
            own.path().to_str().unwrap(),
        ]);
        (server, port, own)
    });
    let cli = |node: usize, words: &[&str], wanted: &str| {
        let port = nodes.get(node).unwrap().1.to_string();
        let before = [
            "-p",
            &port,
            "--tls",
            "--cacert",
            &ca,
            "-a",
            "of-the-cluster",
            "--no-auth-warning",
        ];
        answers(&before, words, wanted);
    };
    cli(0, &["CLUSTER", "ADDSLOTSRANGE", "0", "8000"], "OK");
    cli(1, &["CLUSTER", "ADDSLOTSRANGE", "8001", "16383"], "OK");
    cli(1, &["CLUSTER", "SET-CONFIG-EPOCH", "2"], "OK");
    let first = nodes.first().unwrap().1;
    cli(
        1,
        &["CLUSTER", "MEET", "127.0.0.1", &first.to_string()],
        "OK",
    );
    for node in [0, 1] {
        cli(node, &["CLUSTER", "INFO"], "cluster_state:ok");
        cli(node, &["CLUSTER", "INFO"], "cluster_slots_ok:16384");
    }
    let state = |ca: Option<&String>| {
        let reach = Reach::Cluster(vec![("127.0.0.1".to_owned(), first)]);
        with(
            Server::reached(reach, &["a key of the seal of 32 bytes or more"]),
            |redis| {
                redis.tls = true;
                redis.ca = ca.cloned();
                redis.password = secrets(&["of-the-cluster"]).pop();
            },
        )
    };
    let store = open(&state(Some(&ca)), Path::new(""), &runtime);
    runtime.block_on(serves(&store));
    for node in [0, 1] {
        cli(node, &["RANDOMKEY"], "test:");
    }
    // The machine's own authorities do not vouch for it.
    assert!(Store::opened(&state(None), Path::new("")).is_err());
}

/// Valkey, the real one.
#[test]
fn valkey_is_as_good() {
    let runtime = runtime();
    let server = Server::of("valkey-server", &[]);
    let port = server.port.to_string();
    answers(&["-p", &port], &["INFO", "server"], "server_name:valkey");
    for seal in [&[][..], &["a key of the seal of 32 bytes or more"]] {
        answers(&["-p", &port], &["FLUSHALL"], "OK");
        let store = open(&server.state(seal), Path::new(""), &runtime);
        runtime.block_on(serves(&store));
    }
}
