//! The operators' listener: metrics, health, the policy in service, reload, bans. Has its own thread, so that it
//! answers while traffic is at its worst; `guard` keeps browsers and strangers out.

mod guard;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use policy::decision::RouteId;
use policy::settings::Secret;
use serde_json::{Value, json};

use crate::events::rfc3339;
use crate::metrics::Metrics;
use crate::observe::Watch;
use crate::reload::{Reloader, Status, Trigger};
use crate::snapshot::Shared;

/// What the admin listener shows and does.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    /// The gateway.
    pub(crate) shared: Arc<Shared>,
    /// Swaps policies.
    pub(crate) reloader: Arc<Reloader>,
    /// Numbers and lines.
    pub(crate) watch: Arc<Watch>,
    /// Bearer tokens that are accepted; none is asked for when empty.
    pub(crate) tokens: Arc<[Secret]>,
}

/// Binds, and serves from a thread of its own until the process ends. Gives the address that was bound.
///
/// # Errors
/// When the address is taken, may not be used, or is not loopback although no token protects it.
pub(crate) fn start(address: SocketAddr, admin: Admin) -> io::Result<SocketAddr> {
    if !address.ip().is_loopback() && admin.tokens.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "not a loopback address, and no token is set (admin.token)",
        ));
    }
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || {
            let served = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, router(admin)).await
            });
            if let Err(why) = served {
                log::error!("admin listener ended: {why}");
            }
        })?;
    Ok(bound)
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/policy", get(policy))
        .route("/reload", post(reload))
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
    let routes: Vec<&str> = (0..policy.route_count())
        .filter_map(|id| u16::try_from(id).ok())
        .map(|id| policy.route_name(RouteId(id)))
        .collect();
    json!({
        "version": snapshot.version,
        "hash": policy.hash(),
        "loaded_at": rfc3339(status.loaded_at),
        "routes": routes,
        "warnings": status.warnings,
        "needs_restart": status.restart,
        "rejected": status.rejected,
    })
}

/// Shows what the gateway keeps outside of the metrics themselves.
///
/// # Errors
/// When a name is taken.
pub(crate) fn show_shared(
    metrics: &Metrics,
    shared: &Arc<Shared>,
) -> Result<(), prometheus::Error> {
    use crate::metrics::Kind::Gauge;
    let at = |read: fn(&Shared) -> u64| {
        let shared = Arc::clone(shared);
        move || read(&shared)
    };
    metrics.watch(
        "body_bytes_held",
        "Bytes of request bodies held back now.",
        Gauge,
        at(Shared::held_bytes),
    )?;
    metrics.watch(
        "ready",
        "Whether the gateway takes requests and is not draining.",
        Gauge,
        at(|shared| u64::from(shared.ready())),
    )
}
