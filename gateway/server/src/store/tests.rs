//! The same claims for every kind of store; Redis is a real one.

#![expect(clippy::unwrap_used, reason = "tests")]

mod reach;

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use policy::io::{Key, Space, StoreFault};
use policy::limit::{Algorithm, Lease, Limit};
use policy::settings::{Reach, Redis, Secret, State, StateKind};

use super::Store;
use crate::record::Silent;

const HOUR: Duration = Duration::from_secs(3600);

/// A Redis of the test's own; killed when dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        Self::with(&[])
    }

    /// With more words on its command line.
    fn with(more: &[&str]) -> Self {
        Self::of("redis-server", more)
    }

    /// Another program that speaks the same language.
    fn of(program: &str, more: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let path = std::env::var("PATH").unwrap_or_default();
        let deps = std::env::var_os("PALISADE_TEST_DEPS").map(Into::into);
        let deps = deps.unwrap_or_else(|| {
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-deps")
        });
        let child = Command::new(program)
            .env("PATH", format!("{path}:{}", deps.join("bin").display()))
            .args(words(port, more))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|why| {
                panic!("{program}: {why}: run deploy/test.sh, which installs it")
            });
        let server = Self { child, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "Redis does not answer"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// A sentinel with that file of settings.
    fn sentinel(settings: &Path) -> Self {
        Self::with(&[settings.to_str().unwrap(), "--sentinel"])
    }

    fn state(&self, seal: &[&str]) -> State {
        Self::reached(Reach::Tcp("127.0.0.1".to_owned(), self.port), seal)
    }

    fn reached(reach: Reach, seal: &[&str]) -> State {
        State {
            kind: StateKind::Redis(Box::new(Redis {
                reach,
                tls: false,
                ca: None,
                user: None,
                password: None,
                sentinel_password: None,
                database: 0,
                prefix: "test".to_owned(),
                // The machine may be busy.
                timeout: Duration::from_secs(5),
                sync: Duration::from_millis(50),
                lease: Duration::from_secs(1),
            })),
            seal: secrets(seal),
            ..State::default()
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of settings stands first.
fn words(port: u16, more: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let plain = [
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        "/tmp",
    ];
    match more.split_first() {
        Some((file, rest)) if file.starts_with('/') => {
            words.push((*file).to_owned());
            words.extend(rest.iter().map(|word| (*word).to_owned()));
            words.extend(["--bind".to_owned(), "127.0.0.1".to_owned()]);
        }
        _ => {
            words.extend(plain.map(str::to_owned));
            words.extend(more.iter().map(|word| (*word).to_owned()));
        }
    }
    words.extend(["--port".to_owned(), port.to_string()]);
    words
}

fn secrets(of: &[&str]) -> Vec<Secret> {
    let secret = |text: &&str| Secret(text.as_bytes().to_vec().into());
    of.iter().map(secret).collect()
}

fn file(seal: &[&str]) -> State {
    State {
        kind: StateKind::File {
            path: "state.redb".to_owned(),
        },
        seal: secrets(seal),
        ..State::default()
    }
}

/// Opened beside the runtime, as at the start of a gateway; then its background, and in reach.
fn open(state: &State, base: &Path, runtime: &tokio::runtime::Runtime) -> Arc<Store> {
    let (store, _) = Store::opened(state, base).unwrap();
    let _inside = runtime.enter();
    store.start(Arc::new(Silent));
    let store = Arc::new(store);
    runtime.block_on(async {
        let begun = Instant::now();
        while store.get(Space::Once, Key(0), store.now()).await == Err(StoreFault::Down) {
            assert!(begun.elapsed() < Duration::from_secs(30), "out of reach");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    store
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap()
}

/// Holds for every kind, sealed or not.
fn everywhere(claim: impl AsyncFn(Arc<Store>)) {
    let (runtime, server) = (runtime(), Server::start());
    let sealed = ["a secret to seal with, long enough"];
    for (name, state) in [
        ("memory", State::default()),
        ("file", file(&[])),
        ("sealed file", file(&sealed)),
        ("redis", server.state(&sealed)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&state, folder.path(), &runtime);
        eprintln!("{name}");
        runtime.block_on(claim(store));
    }
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn limit(max: u32, window: Duration, algorithm: Algorithm) -> Limit {
    Limit {
        id: 7,
        algorithm,
        max,
        window,
        count_refused: false,
    }
}

#[test]
fn values_are_kept_for_their_time_and_no_longer() {
    everywhere(async |store| {
        for space in Space::ALL.iter().copied() {
            let get = async |key| store.get(space, Key(key), store.now()).await;
            assert_eq!(get(1).await, Ok(None));
            let put = async |key, value, ttl| {
                store
                    .put(space, Key(key), text(value), ttl, store.now())
                    .await
            };
            put(1, "one", HOUR).await.unwrap();
            put(1, "another", HOUR).await.unwrap();
            put(2, "short", Duration::from_millis(1)).await.unwrap();
            assert_eq!(get(1).await, Ok(Some(text("another"))));
            while get(2).await != Ok(None) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let listed = store.list(space, 10, store.now()).await.unwrap();
            let listed: Vec<_> = listed
                .into_iter()
                .map(|one| (one.key, one.value, one.left <= HOUR && one.left > HOUR / 2))
                .collect();
            assert_eq!(listed, [(Key(1), text("another"), true)]);
            store.remove(space, Key(1), store.now()).await.unwrap();
            assert_eq!(get(1).await, Ok(None));
        }
    });
}

#[test]
fn a_swap_happens_once_whoever_asks_at_the_same_time() {
    everywhere(async |store| {
        for space in [Space::Once, Space::Quota] {
            let name = (space, Key(5));
            let swap = async |from: Option<&'static str>, to: Option<&'static str>| {
                let from = from.map(text);
                let to = to.map(text);
                let now = store.now();
                store
                    .swap(name, from.as_ref(), to, HOUR, now)
                    .await
                    .unwrap()
            };
            let racing = (0..20).map(|_| swap(None, Some("used")));
            let won = futures_util::future::join_all(racing).await;
            assert_eq!(won.iter().filter(|won| **won).count(), 1);
            assert!(!swap(Some("other"), Some("lost")).await);
            assert!(swap(Some("used"), Some("again")).await);
            let racing = (0..20).map(|_| swap(Some("again"), None));
            let won = futures_util::future::join_all(racing).await;
            assert_eq!(won.iter().filter(|won| **won).count(), 1);
            assert!(!swap(Some("again"), Some("x")).await);
            assert_eq!(store.get(space, Key(5), store.now()).await, Ok(None));
        }
    });
}

#[test]
fn a_window_lets_through_exactly_its_limit() {
    everywhere(async |store| {
        for max in [5, 200] {
            let mut limit = limit(max, HOUR, Algorithm::Window);
            limit.id = u64::from(max);
            let count = async |key, cost| {
                let counted = store.count(&limit, Key(key), cost, store.now()).await;
                counted.unwrap()
            };
            assert_eq!(count(1, 0).await.remaining, max);
            for left in (0..max).rev() {
                let standing = count(1, 1).await;
                assert!(
                    standing.allowed && standing.remaining == left,
                    "{standing:?}"
                );
            }
            let refused = count(1, 1).await;
            assert!(!refused.allowed && refused.remaining == 0);
            // A sub-bucket of a large limit counts for up to a thirtieth longer.
            assert!(
                (3_590_000..=3_720_000).contains(&refused.reset_ms),
                "{refused:?}"
            );
            assert_eq!((refused.max, refused.window_s), (max, 3600));
            // Others are counted apart, and at once or not at all.
            assert!(count(2, max).await.allowed);
            assert!(!count(2, 1).await.allowed);
            assert!(!count(3, max + 1).await.allowed);
            assert_eq!(count(3, 0).await.remaining, max);
        }
    });
}

#[test]
fn a_window_passes_and_refusals_count_only_where_asked() {
    everywhere(async |store| {
        for max in [2, 129] {
            let mut limit = limit(max, Duration::from_millis(400), Algorithm::Window);
            limit.id = u64::from(max);
            let count = async |limit: &Limit| {
                let counted = store.count(limit, Key(1), 1, store.now()).await;
                counted.unwrap()
            };
            for _ in 0..max {
                count(&limit).await;
            }
            // On a slow machine the first ones may be over already.
            let standing = count(&limit).await;
            tokio::time::sleep(Duration::from_millis(standing.reset_ms + 50)).await;
            assert!(count(&limit).await.allowed);
            let mut strict = limit.clone();
            (strict.id, strict.count_refused, strict.window) = (99 + limit.id, true, HOUR);
            for _ in 0..max + 3 {
                count(&strict).await;
            }
            let standing = count(&strict).await;
            assert!(!standing.allowed && standing.remaining == 0, "{standing:?}");
        }
    });
}

#[test]
fn a_pace_has_its_burst_and_then_its_interval() {
    everywhere(async |store| {
        let limit = limit(60, HOUR, Algorithm::Pace { burst: 3 });
        let count = async |cost| {
            store
                .count(&limit, Key(1), cost, store.now())
                .await
                .unwrap()
        };
        assert_eq!(count(0).await.remaining, 3);
        for left in [2, 1, 0] {
            let standing = count(1).await;
            assert!(
                standing.allowed && standing.remaining == left,
                "{standing:?}"
            );
        }
        let refused = count(1).await;
        assert!(!refused.allowed);
        assert!((50_000..=60_000).contains(&refused.reset_ms), "{refused:?}");
        let never = count(4).await;
        assert!(!never.allowed && never.reset_ms == 3_600_000, "{never:?}");
    });
}

#[test]
fn places_are_taken_given_back_and_no_more_than_there_are() {
    everywhere(async |store| {
        let lease = Lease { id: 3, max: 2 };
        let take = async || store.lease(&lease, Key(1)).await.unwrap();
        let first = take().await.unwrap();
        let _second = take().await.unwrap();
        assert_eq!(take().await, None);
        assert!(store.lease(&lease, Key(2)).await.unwrap().is_some());
        store.release(&lease, Key(1), first);
        let begun = Instant::now();
        while take().await.is_none() {
            assert!(begun.elapsed() < Duration::from_secs(30), "never free");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(take().await, None);
    });
}

#[test]
fn places_of_a_gateway_that_crashed_come_free_and_held_ones_stay() {
    let (runtime, server) = (runtime(), Server::start());
    let (state, folder) = (server.state(&[]), Path::new(""));
    let lease = Lease { id: 3, max: 1 };
    let crashing = self::runtime();
    let gone = open(&state, folder, &crashing);
    let here = open(&state, folder, &runtime);
    assert!(
        crashing
            .block_on(gone.lease(&lease, Key(1)))
            .unwrap()
            .is_some()
    );
    let take = async || here.lease(&lease, Key(1)).await.unwrap();
    // Three times as long as a place lasts by itself.
    let held = Instant::now();
    while held.elapsed() < Duration::from_secs(3) {
        assert_eq!(runtime.block_on(take()), None);
        std::thread::sleep(Duration::from_millis(100));
    }
    crashing.shutdown_background();
    let begun = Instant::now();
    while runtime.block_on(take()).is_none() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never free");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_file_keeps_values_and_names_over_its_process() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let before = ["a secret to seal with, long enough"];
    let state = file(&before);
    let put = async |store: &Store, space, key, value, ttl| {
        store
            .put(space, Key(key), text(value), ttl, store.now())
            .await
            .unwrap();
    };
    let (store, names) = Store::opened(&state, folder.path()).unwrap();
    runtime.block_on(async {
        put(&store, Space::Factor, 1, "a totp secret", HOUR).await;
        put(&store, Space::Ban, 1, "a ban", HOUR).await;
        put(&store, Space::Quota, 1, "short", Duration::from_millis(1)).await;
    });
    assert!(
        Store::opened(&state, folder.path())
            .unwrap_err()
            .contains("another process")
    );
    drop(store);
    let stored = std::fs::read(folder.path().join("state.redb")).unwrap();
    assert!(memchr::memmem::find(&stored, b"a totp secret").is_none());
    assert!(memchr::memmem::find(&stored, b"a ban").is_some());
    let again = |state: &State| {
        let begun = Instant::now();
        // The writer lets go of the file when it notices that nobody asks any more.
        loop {
            match Store::opened(state, folder.path()) {
                Err(why) if why.contains("another process") => {
                    assert!(begun.elapsed() < Duration::from_secs(30), "{why}");
                    std::thread::sleep(Duration::from_millis(10));
                }
                opened => return opened,
            }
        }
    };
    assert!(again(&file(&["another secret, as long as it"])).is_err());
    assert!(again(&file(&[])).is_err());
    let rotated = file(&["another secret, as long as it", before[0]]);
    let (store, same) = again(&rotated).unwrap();
    assert_eq!(names, same);
    runtime.block_on(async {
        let get = async |space, key| store.get(space, Key(key), store.now()).await.unwrap();
        assert_eq!(get(Space::Factor, 1).await, Some(text("a totp secret")));
        assert_eq!(get(Space::Ban, 1).await, Some(text("a ban")));
        assert_eq!(get(Space::Quota, 1).await, None);
        // What is written is sealed with the current one.
        put(&store, Space::Factor, 1, "a newer secret", HOUR).await;
        store.remove(Space::Ban, Key(1), store.now()).await.unwrap();
    });
    assert!(!store.known_ban(Key(1), store.now()));
}

#[test]
fn redis_holds_what_is_sealed_and_refuses_what_is_forged() {
    let (runtime, server) = (runtime(), Server::start());
    let before = ["a secret to seal with, long enough"];
    let store = open(&server.state(&before), Path::new(""), &runtime);
    let rotated = ["another secret, as long as it", before[0]];
    let later = open(&server.state(&rotated), Path::new(""), &runtime);
    assert!(
        Store::opened(
            &server.state(&["a stranger's secret, also long"]),
            Path::new("")
        )
        .is_err()
    );
    runtime.block_on(async {
        let (space, now) = (Space::Session, store.now());
        store
            .put(space, Key(1), text("mia"), HOUR, now)
            .await
            .unwrap();
        assert_eq!(later.get(space, Key(1), now).await, Ok(Some(text("mia"))));
        // Compared under the key that it was sealed with.
        let (old, new) = (text("mia"), text("ada"));
        let swapped = later.swap((space, Key(1)), Some(&old), Some(new), HOUR, now);
        assert_eq!(swapped.await, Ok(true));
        // The gateway that does not know the new key yet is not fooled.
        assert_eq!(
            store.get(space, Key(1), now).await,
            Err(StoreFault::Corrupt)
        );
        let client = redis::Client::open(("127.0.0.1", server.port)).unwrap();
        let mut raw = client.get_multiplexed_async_connection().await.unwrap();
        let place = format!("test:v:{{session:{:032x}}}", 1);
        let stored: Vec<u8> = redis::cmd("GET")
            .arg(&place)
            .query_async(&mut raw)
            .await
            .unwrap();
        assert!(memchr::memmem::find(&stored, b"ada").is_none());
        let set = redis::cmd("SET")
            .arg(&place)
            .arg("{\"user\": \"root\"}")
            .to_owned();
        let _: () = set.query_async(&mut raw).await.unwrap();
        assert_eq!(
            later.get(space, Key(1), now).await,
            Err(StoreFault::Corrupt)
        );
        // The wrong type under a key.
        let _: () = redis::cmd("DEL")
            .arg(&place)
            .query_async(&mut raw)
            .await
            .unwrap();
        let _: () = redis::cmd("RPUSH")
            .arg(&place)
            .arg(1)
            .query_async(&mut raw)
            .await
            .unwrap();
        assert_eq!(
            later.get(space, Key(1), now).await,
            Err(StoreFault::Corrupt)
        );
    });
}

#[test]
fn a_ban_reaches_the_other_gateways_without_being_asked_for() {
    let (runtime, server) = (runtime(), Server::start());
    let state = server.state(&[]);
    let [one, two] = [0, 1].map(|_| open(&state, Path::new(""), &runtime));
    let known = |wanted: bool| {
        let begun = Instant::now();
        while two.known_ban(Key(1), two.now()) != wanted {
            assert!(begun.elapsed() < Duration::from_secs(30), "not {wanted}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let ban = one.put(Space::Ban, Key(1), text("x"), HOUR, one.now());
    runtime.block_on(ban).unwrap();
    assert!(one.known_ban(Key(1), one.now()));
    known(true);
    runtime
        .block_on(one.remove(Space::Ban, Key(1), one.now()))
        .unwrap();
    known(false);
}

/// Waits until it answers so.
fn told(runtime: &tokio::runtime::Runtime, port: u16, words: &[&str], wanted: &str) {
    let begun = Instant::now();
    loop {
        let asked = async {
            let client = redis::Client::open(("127.0.0.1", port))?;
            let mut connection = client.get_multiplexed_async_connection().await?;
            let (first, rest) = words.split_first().unwrap();
            let mut command = redis::cmd(first);
            rest.iter().for_each(|word| {
                command.arg(*word);
            });
            command.query_async::<redis::Value>(&mut connection).await
        };
        let answer = format!("{:?}", runtime.block_on(asked));
        if answer.contains(wanted) {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{words:?}: {answer}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a store must do wherever it is.
async fn serves(store: &Store) {
    let limit = limit(2, HOUR, Algorithm::Window);
    for key in 0..40 {
        let now = store.now();
        for allowed in [true, true, false] {
            let standing = store.count(&limit, Key(key), 1, now).await.unwrap();
            assert_eq!(standing.allowed, allowed);
        }
        store
            .put(Space::Session, Key(key), text("x"), HOUR, now)
            .await
            .unwrap();
        let lease = Lease { id: 1, max: 1 };
        assert!(store.lease(&lease, Key(key)).await.unwrap().is_some());
        assert!(store.lease(&lease, Key(key)).await.unwrap().is_none());
    }
    let listed = store.list(Space::Session, 100, store.now()).await.unwrap();
    assert_eq!(listed.len(), 40);
    store
        .put(Space::Ban, Key(1), text("x"), HOUR, store.now())
        .await
        .unwrap();
}

#[test]
fn a_cluster_is_one_store() {
    let runtime = runtime();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let nodes = folders.each_ref().map(|folder| {
        let folder = folder.path().to_str().unwrap();
        Server::with(&["--cluster-enabled", "yes", "--dir", folder])
    });
    let [first, second] = nodes.each_ref().map(|node| node.port);
    told(
        &runtime,
        first,
        &["CLUSTER", "ADDSLOTSRANGE", "0", "8000"],
        "Ok(ok)",
    );
    told(
        &runtime,
        second,
        &["CLUSTER", "ADDSLOTSRANGE", "8001", "16383"],
        "Ok(ok)",
    );
    told(
        &runtime,
        second,
        &["CLUSTER", "SET-CONFIG-EPOCH", "2"],
        "Ok(ok)",
    );
    let port = first.to_string();
    told(
        &runtime,
        second,
        &["CLUSTER", "MEET", "127.0.0.1", &port],
        "Ok(ok)",
    );
    for node in [first, second] {
        told(&runtime, node, &["CLUSTER", "INFO"], "cluster_state:ok");
        told(
            &runtime,
            node,
            &["CLUSTER", "INFO"],
            "cluster_slots_ok:16384",
        );
    }
    let reach = Reach::Cluster(vec![("127.0.0.1".to_owned(), second)]);
    let store = open(&Server::reached(reach, &[]), Path::new(""), &runtime);
    runtime.block_on(serves(&store));
    // Both nodes hold some.
    for node in [first, second] {
        told(&runtime, node, &["RANDOMKEY"], "test:");
    }
}

#[test]
fn sentinels_name_the_primary_and_a_fail_over_is_followed() {
    let runtime = runtime();
    let primary = Server::start();
    let port = primary.port.to_string();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &port]);
    told(
        &runtime,
        replica.port,
        &["INFO", "replication"],
        "master_link_status:up",
    );
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("sentinel.conf");
    let monitor = format!(
        "sentinel monitor main 127.0.0.1 {port} 1\nsentinel down-after-milliseconds main 1000\n\
         sentinel failover-timeout main 5000\n"
    );
    std::fs::write(&settings, monitor).unwrap();
    let sentinel = Server::sentinel(&settings);
    let named = ["SENTINEL", "REPLICAS", "main"];
    told(&runtime, sentinel.port, &named, "name");
    let reach = Reach::Sentinel {
        service: "main".to_owned(),
        sentinels: vec![("127.0.0.1".to_owned(), sentinel.port)],
    };
    let store = open(&Server::reached(reach, &[]), Path::new(""), &runtime);
    runtime.block_on(serves(&store));
    drop(primary);
    let begun = Instant::now();
    let put = async || {
        let now = store.now();
        store
            .put(Space::Session, Key(99), text("after"), HOUR, now)
            .await
    };
    while runtime.block_on(put()).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never followed");
        std::thread::sleep(Duration::from_millis(100));
    }
    told(
        &runtime,
        replica.port,
        &["INFO", "replication"],
        "role:master",
    );
}
