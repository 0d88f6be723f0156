//! The operators' listener: metrics, health, the policy in service, reload, bans. Has its own thread, so that it
//! answers while traffic is at its worst; `guard` keeps browsers and strangers out.

mod bans;
mod emergencies;
mod factors;
mod guard;
mod keys;
mod listen;
mod networks;
mod secrets;
mod sessions;
mod tokens;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router, middleware};
use policy::io::StoreFault;
use policy::settings::Secret;
use serde_json::{Value, json};

pub(crate) use listen::{Listening, start};

use crate::events::{Event, Kind, rfc3339};
use crate::io::{Source, Waiting};
use crate::leases::Leases;
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
    /// Whether nobody comes in without a token, even if the policy in service no longer names one: it did at the start,
    /// or other machines reach the listener.
    pub(crate) guarded: bool,
    /// Whether it is a Unix socket: who can open it was allowed to by its permissions.
    pub(crate) socket: bool,
}

/// The tokens that the policy in service accepts: a rotated one counts from the reload on.
fn tokens(snapshot: &Snapshot) -> &[Secret] {
    let admin = snapshot.policy.settings().admin.as_ref();
    admin.map_or(&[], |admin| admin.tokens.as_slice())
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/policy", get(policy))
        .route("/reload", post(reload))
        .route("/bans", get(bans::list).post(bans::add))
        .route("/bans/nameless", delete(bans::remove_nameless))
        .route("/bans/nameless/{client}", delete(bans::remove_nameless_at))
        .route("/bans/{kind}/{who}", delete(bans::remove))
        .route("/bans/pair/{client}/{user}", delete(bans::remove_pair))
        .route("/networks", get(networks::list).post(networks::add))
        .route(
            "/networks/{user}",
            get(networks::of_user).delete(networks::remove),
        )
        .route(
            "/emergencies",
            get(emergencies::list).post(emergencies::create),
        )
        .route("/emergencies/{id}", delete(emergencies::revoke))
        .route(
            "/sessions/{user}",
            get(sessions::list).delete(sessions::end_all),
        )
        .route("/sessions/{user}/{id}", delete(sessions::end_one))
        .route("/factors/{user}", get(factors::show).delete(factors::reset))
        .route("/factors/{user}/unlock", post(factors::unlock))
        .route("/secrets", get(secrets::list))
        .route("/tokens/revoke", post(tokens::revoke))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{prefix}", delete(keys::revoke))
        .route("/keys/{prefix}/rotate", post(keys::rotate))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .layer(middleware::from_fn_with_state(
            admin.clone(),
            guard::keep_out,
        ))
        .with_state(admin)
}

/// Largest body of what operators ask for, in bytes.
const LARGEST: usize = 64 << 10;

/// What is asked for, or why not.
fn asked<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, (StatusCode, String)> {
    if body.len() > LARGEST {
        let why = format!("at most {LARGEST} bytes");
        return Err((StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    serde_json::from_slice(body).map_err(|why| (StatusCode::BAD_REQUEST, why.to_string()))
}

/// What an event tells of who did something, and why, where a body `{"reason": "…"}` says so.
struct By(String);

impl<S: Send + Sync> FromRequest<S> for By {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        #[derive(Default, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Why {
            reason: String,
        }
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(IntoResponse::into_response)?;
        let why = match body.is_empty() {
            true => Ok(Why::default()),
            false => asked(&body),
        };
        let Why { reason } = why.map_err(|(status, why)| refuse(status, &why))?;
        Ok(Self(match reason.trim() {
            "" => "by an operator".to_owned(),
            reason => format!("by an operator: {reason}"),
        }))
    }
}

/// What to say of a name that no log-in of the policy ever gives.
fn note(admin: &Admin, user: &str) -> Option<String> {
    let snapshot = admin.shared.load();
    let mut folding = snapshot.policy.sessions().filter(|check| check.folds());
    let check = folding.find(|_| user.bytes().any(|byte| byte.is_ascii_uppercase()))?;
    let (name, lower) = (check.name(), user.to_ascii_lowercase());
    Some(format!(
        "`{name}` takes names in lower case: {user} is `{lower}` there"
    ))
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

fn unavailable(fault: StoreFault) -> Response {
    match fault {
        StoreFault::Full => refuse(
            StatusCode::INSUFFICIENT_STORAGE,
            "the store has no room for another value",
        ),
        StoreFault::Slow | StoreFault::Down | StoreFault::Corrupt => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "the store gives no answer")
        }
    }
}

/// What checks change is changed in the same way here.
fn operate<'a>(admin: &'a Admin, leases: &'a mut Leases) -> Waiting<'a> {
    Waiting {
        shared: &admin.shared,
        now: admin.shared.now(),
        began: Instant::now(),
        leases,
        body: Source::Empty,
        waited: Duration::ZERO,
    }
}

/// An operator did something.
fn tell(admin: &Admin, event: &'static str, user: &str, detail: &str) {
    admin.watch.events.emit(&Event {
        time: admin.shared.now().unix,
        kind: Kind::Told(event),
        user,
        detail,
        ..Event::default()
    });
    admin.watch.metrics.told(event, "");
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
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;
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
            guarded,
            // What is asked here is not who may ask.
            socket: true,
        }
    }

    /// Where it listens, on a free port.
    fn started(admin: Admin) -> SocketAddr {
        let address = "127.0.0.1:0".parse().unwrap();
        let listening = start(&address, Path::new(""), admin, false).unwrap();
        listening.address.to_string().parse().unwrap()
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
        let at = started(admin);
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
        assert_eq!(ask(at, "GET", "/bans", "").1, r#"{"bans":[]}"#);
    }

    #[test]
    fn a_refused_reload_tells_every_fault_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let admin = admin(folder.path(), false);
        let shared = admin.shared.clone();
        let at = started(admin);
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
        let at = started(admin);
        assert_eq!(ask(at, "GET", "/readyz", "").0, 503);
        assert_eq!(ask(at, "GET", "/healthz", "").0, 200);
    }

    #[test]
    fn other_machines_need_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let open = admin(folder.path(), false);
        let everywhere = "0.0.0.0:0".parse().unwrap();
        assert!(start(&everywhere, folder.path(), open, false).is_err());
        let guarded = admin(folder.path(), true);
        let at = started(guarded);
        assert_eq!(ask(at, "GET", "/policy", "").0, 401);
    }

    #[test]
    fn a_unix_socket_is_its_owner_s_alone() {
        let folder = tempfile::tempdir().unwrap();
        let open = admin(folder.path(), false);
        let address = "unix:admin.sock".parse().unwrap();
        start(&address, folder.path(), open.clone(), false).unwrap();
        let path = folder.path().join("admin.sock");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut stream = UnixStream::connect(&path).unwrap();
        write!(stream, "GET /policy HTTP/1.0\r\nHost: gateway\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("200 OK"), "{answer}");
        // Somebody listens there; whoever takes over has the name as soon as they let go.
        assert!(start(&address, folder.path(), open.clone(), false).is_err());
        assert!(start(&address, folder.path(), open.clone(), true).is_ok());
        // What is no socket is not replaced.
        std::fs::write(folder.path().join("file"), "x").unwrap();
        let file = "unix:file".parse().unwrap();
        assert!(start(&file, folder.path(), open, true).is_err());
    }
}
