//! The operators' listener: metrics, health, the policy in service, reload, bans. Has its own thread, so that it
//! answers while traffic is at its worst; `guard` keeps browsers and strangers out.

pub(crate) mod bans;
mod guard;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router, middleware};
use policy::settings::Secret;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::events::rfc3339;
use crate::metrics::Metrics;
use crate::observe::Watch;
use crate::reload::{Reloader, Status, Trigger};
use crate::snapshot::{Shared, Snapshot};

/// What the admin listener shows and does.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    /// The gateway.
    pub(crate) shared: Arc<Shared>,
    /// Swaps policies.
    pub(crate) reloader: Arc<Reloader>,
    /// Numbers and lines.
    pub(crate) watch: Arc<Watch>,
    /// Bans that were made here.
    pub(crate) bans: Arc<bans::Bans>,
    /// Whether nobody comes in without a token, even if the policy in service no longer names one: it did at the start,
    /// or other machines reach the listener.
    pub(crate) guarded: bool,
}

/// The tokens that the policy in service accepts: a rotated one counts from the reload on.
fn tokens(snapshot: &Snapshot) -> &[Secret] {
    let admin = snapshot.policy.settings().admin.as_ref();
    admin.map_or(&[], |admin| admin.tokens.as_slice())
}

/// How long the address may stay in use by a gateway that hands over.
const TAKE_OVER: Duration = Duration::from_secs(60);

/// An admin listener that serves.
#[derive(Debug)]
pub(crate) struct Listening {
    /// Where.
    pub(crate) address: SocketAddr,
    stop: Arc<Notify>,
}

impl Listening {
    /// Gives the address free, for the gateway that takes over.
    pub(crate) fn close(&self) {
        self.stop.notify_one();
    }
}

/// Binds, and serves from a thread of its own until the process ends. With `take_over` the address may still be in use
/// by the gateway before this one: it is bound as soon as that lets go.
///
/// # Errors
/// When the address is taken, may not be used, or is not loopback although no token protects it.
pub(crate) fn start(address: SocketAddr, admin: Admin, take_over: bool) -> io::Result<Listening> {
    if !address.ip().is_loopback() && tokens(&admin.shared.load()).is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "not a loopback address, and no token is set (admin.token)",
        ));
    }
    let bound = match TcpListener::bind(address) {
        Err(why) if take_over && why.kind() == io::ErrorKind::AddrInUse => None,
        bound => Some(bound?),
    };
    let local = bound
        .as_ref()
        .map_or(Ok(address), TcpListener::local_addr)?;
    let stop = Arc::new(Notify::new());
    let listening = Listening {
        address: local,
        stop: Arc::clone(&stop),
    };
    let work = move || {
        let served = bound
            .map_or_else(|| wait_for(address), Ok)
            .and_then(|listener| serve(listener, admin, &stop));
        if let Err(why) = served {
            log::error!("admin listener {address}: {why}");
        }
    };
    std::thread::Builder::new()
        .name("admin".to_owned())
        .spawn(work)?;
    Ok(listening)
}

fn wait_for(address: SocketAddr) -> io::Result<TcpListener> {
    let begun = Instant::now();
    loop {
        match TcpListener::bind(address) {
            Err(_) if begun.elapsed() < TAKE_OVER => std::thread::sleep(Duration::from_millis(50)),
            bound => return bound,
        }
    }
}

fn serve(listener: TcpListener, admin: Admin, stop: &Notify) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::select! {
            served = async { axum::serve(listener, router(admin)).await } => served,
            () = stop.notified() => Ok(()),
        }
    })
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/policy", get(policy))
        .route("/reload", post(reload))
        .route("/bans", get(bans::list).post(bans::add))
        .route("/bans/{kind}/{who}", delete(bans::remove))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .layer(middleware::from_fn_with_state(
            admin.clone(),
            guard::keep_out,
        ))
        .with_state(admin)
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let text = admin.watch.metrics.text();
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response()
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.shared.ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn policy(State(admin): State<Admin>) -> Json<Value> {
    Json(describe(&admin.shared, &admin.reloader.status()))
}

async fn reload(State(admin): State<Admin>) -> Response {
    let reloader = Arc::clone(&admin.reloader);
    let attempt = tokio::task::spawn_blocking(move || reloader.reload(Trigger::Admin)).await;
    match attempt {
        Ok(Ok(status)) => Json(describe(&admin.shared, &status)).into_response(),
        Ok(Err(faults)) => {
            let body = Json(
                json!({ "error": "the policy has faults; the one before it keeps serving", "faults": faults }),
            );
            (StatusCode::UNPROCESSABLE_ENTITY, body).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn describe(shared: &Shared, status: &Status) -> Value {
    let snapshot = shared.load();
    let policy = &snapshot.policy;
    json!({
        "version": snapshot.version,
        "hash": policy.hash(),
        "loaded_at": rfc3339(status.loaded_at),
        "routes": policy.coverage(),
        "warnings": status.warnings,
        "needs_restart": status.restart,
        "rejected": status.rejected,
    })
}

/// Reads a number that the traffic side keeps.
type Read = fn(&Shared) -> u64;

/// All stores of the policy in service together.
fn kept(shared: &Shared, read: fn(&waf::Collections) -> u64) -> u64 {
    let snapshot = shared.load();
    let stores = snapshot.policy.collections();
    stores.iter().map(|store| read(store)).sum()
}

/// Shows what the gateway keeps outside of the metrics themselves.
///
/// # Errors
/// When a name is taken.
pub(crate) fn show_shared(
    metrics: &Metrics,
    shared: &Arc<Shared>,
) -> Result<(), prometheus::Error> {
    use crate::metrics::Kind::{Counter, Gauge};
    let at = |read: Read| {
        let shared = Arc::clone(shared);
        move || read(&shared)
    };
    let gauges: [(&str, &str, Read); 10] = [
        (
            "body_bytes_held",
            "Bytes of request bodies held back now.",
            Shared::held_bytes,
        ),
        (
            "response_bytes_held",
            "Bytes of answers held back now.",
            Shared::held_answer_bytes,
        ),
        (
            "body_bytes_held_max",
            "Bytes of request bodies that may be held back together.",
            |shared| shared.load().policy.settings().limits.held_body_total,
        ),
        (
            "response_bytes_held_max",
            "Bytes of answers that may be held back together.",
            |shared| shared.load().policy.settings().limits.held_response_total,
        ),
        (
            "waf_collection_entries",
            "Records that WAF rules keep between requests now.",
            |shared| kept(shared, |store| store.entries() as u64),
        ),
        (
            "waf_collection_bytes",
            "Bytes of what WAF rules keep between requests now.",
            |shared| kept(shared, |store| store.bytes() as u64),
        ),
        (
            "ready",
            "Whether the gateway takes requests and is not draining.",
            |shared| u64::from(shared.ready()),
        ),
        ("limiter_keys", "Keys that limits count now.", |shared| {
            shared.store().stats().keys as u64
        }),
        (
            "leases",
            "Keys that hold a place of a concurrency limit now.",
            |shared| shared.store().stats().leases as u64,
        ),
        (
            "store_values",
            "Bans, revocations and other values kept now.",
            |shared| shared.store().stats().values as u64,
        ),
    ];
    for (name, help, read) in gauges {
        metrics.watch(name, help, Gauge, at(read))?;
    }
    metrics.watch(
        "waf_collection_evicted_total",
        "Records of WAF rules that had to go before their time for want of room.",
        Counter,
        at(|shared| kept(shared, waf::Collections::evicted)),
    )?;
    metrics.watch(
        "limiter_keys_dropped_total",
        "Keys that still counted and were dropped for want of room.",
        Counter,
        at(|shared| shared.store().stats().dropped),
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::path::Path;
    use std::sync::Arc;

    use policy::Policy;
    use policy::settings::WhenFull;

    use super::{Admin, start};
    use crate::events::{Events, Options, Target};
    use crate::metrics::Metrics;
    use crate::observe::Watch;
    use crate::policy_file::PolicyFile;
    use crate::reload::{Reloader, Status};
    use crate::snapshot::Shared;
    use crate::sources::Seen;

    fn admin(folder: &Path, guarded: bool) -> Admin {
        let metrics = Metrics::new().unwrap();
        let options = Options {
            target: Target::File(folder.join("events")),
            when_full: WhenFull::Wait,
            query: false,
            values: false,
            capacity: 8,
        };
        let events = Events::start(options, metrics.events_dropped.clone()).unwrap();
        let watch = Arc::new(Watch::new(Arc::new(events), Arc::new(metrics)));
        let shared = Shared::new(Policy::default(), folder, watch.clone()).unwrap();
        let file = PolicyFile::find(&folder.join("policy.yaml")).unwrap();
        let (status, seen) = (Status::default(), Seen::default());
        let reloader = Reloader::new(file, shared.clone(), watch.clone(), status, seen);
        Admin {
            shared,
            reloader: Arc::new(reloader),
            watch,
            bans: Arc::default(),
            guarded,
        }
    }

    /// Status and body.
    fn ask(at: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(at).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, body.to_owned())
    }

    #[test]
    fn bans_are_made_listed_and_lifted() {
        let folder = tempfile::tempdir().unwrap();
        let admin = admin(folder.path(), false);
        let shared = admin.shared.clone();
        let at = start(([127, 0, 0, 1], 0).into(), admin, false)
            .unwrap()
            .address;
        let ban = r#"{"client": "192.0.2.7", "for": "15m", "reason": "scans"}"#;
        assert_eq!(ask(at, "POST", "/bans", ban).0, 201);
        assert_eq!(shared.store().stats().values, 1);
        let listed = ask(at, "GET", "/bans", "").1;
        assert!(
            listed.contains("192.0.2.7") && listed.contains("scans"),
            "{listed}"
        );
        assert_eq!(
            ask(at, "POST", "/bans", r#"{"client": "x", "for": "15m"}"#).0,
            400
        );
        assert_eq!(ask(at, "DELETE", "/bans/client/192.0.2.7", "").0, 204);
        assert_eq!(ask(at, "DELETE", "/bans/client/192.0.2.7", "").0, 404);
        assert_eq!(shared.store().stats().values, 0);
    }

    #[test]
    fn a_refused_reload_tells_every_fault_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let admin = admin(folder.path(), false);
        let shared = admin.shared.clone();
        let at = start(([127, 0, 0, 1], 0).into(), admin, false)
            .unwrap()
            .address;
        std::fs::write(folder.path().join("policy.yaml"), "versoin: 1\nrouts: []\n").unwrap();
        let (status, body) = ask(at, "POST", "/reload", "");
        assert_eq!(status, 422);
        assert!(body.contains("versoin") && body.contains("routs"), "{body}");
        assert_eq!(shared.load().version, 1);
        assert!(ask(at, "GET", "/policy", "").1.contains("versoin"));
    }

    #[test]
    fn is_not_ready_before_the_listeners_are() {
        let folder = tempfile::tempdir().unwrap();
        let admin = admin(folder.path(), false);
        let at = start(([127, 0, 0, 1], 0).into(), admin, false)
            .unwrap()
            .address;
        assert_eq!(ask(at, "GET", "/readyz", "").0, 503);
        assert_eq!(ask(at, "GET", "/healthz", "").0, 200);
    }

    #[test]
    fn other_machines_need_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let open = admin(folder.path(), false);
        assert!(start(([0, 0, 0, 0], 0).into(), open, false).is_err());
        let guarded = admin(folder.path(), true);
        let at = start(([127, 0, 0, 1], 0).into(), guarded, false)
            .unwrap()
            .address;
        assert_eq!(ask(at, "GET", "/policy", "").0, 401);
    }
}
