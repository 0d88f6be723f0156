//! The application that the demo puts a gateway in front of. It trusts everybody, which is the point: nothing in it
//! knows tokens, limits or attacks.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Form, Json, Router};
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Starts it on a loopback port of the system's choice, on a thread of its own.
pub(super) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("application".to_owned())
        .spawn(move || {
            let served = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, router()).await
            });
            if let Err(why) = served {
                log::error!("the demo's application ended: {why}");
            }
        })?;
    Ok(address)
}

fn router() -> Router {
    Router::new()
        .route("/", get(home))
        .route("/healthz", get(async || "ok\n"))
        .route("/search", get(search))
        .route("/login", get(login_page).post(login))
        .route("/logout", any(logout))
        .route("/echo", any(echo))
        .route("/api/items", get(items).post(add))
        .route("/api/items/{id}", get(item))
        .route("/api/me", get(me))
        .route("/admin", get(admin))
        .route("/events", get(ticks))
        .route("/ws", any(socket))
}

const ITEMS: &[(u32, &str, u32)] = &[(1, "tea", 490), (2, "cup", 1250), (3, "kettle", 3900)];

async fn home() -> Html<String> {
    page(
        "A small shop",
        r#"<form action="/search">Search <input name="q"> <button>Go</button></form>
<p><a href="/login">Log in</a> · <a href="/api/items">Items (JSON)</a> · <a href="/events">Events</a> · <a href="/admin">Admin</a></p>"#,
    )
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

async fn search(Query(search): Query<Search>) -> Html<String> {
    let wanted = search.q.to_lowercase();
    let found = ITEMS.iter().filter(|(_, name, _)| name.contains(&wanted));
    let found: String = found
        .map(|(_, name, _)| format!("<li>{name}</li>"))
        .collect();
    let text = format!(
        "<p>Results for <b>{}</b></p><ul>{found}</ul>",
        escaped(&search.q)
    );
    page("Search", &text)
}

async fn login_page() -> Html<String> {
    page(
        "Log in",
        r#"<form method="post">User <input name="user"> Password <input name="password" type="password"> <button>Log in</button></form>"#,
    )
}

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
}

async fn login(Form(login): Form<Login>) -> Response {
    if login.password == "correct horse" {
        return page("Welcome", &format!("<p>Hello {}</p>", escaped(&login.user))).into_response();
    }
    let page = page("Log in", "<p>Wrong user or password.</p>");
    (StatusCode::UNAUTHORIZED, page).into_response()
}

/// There is nothing to end: it keeps no session.
async fn logout() -> Html<String> {
    page("Goodbye", r#"<p><a href="/login">Log in</a></p>"#)
}

/// What the application was given: shows which headers the gateway set and removed.
async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Json<Value> {
    let mut fields = Map::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter();
        let values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        fields.insert(name.to_string(), values.join(", ").into());
    }
    Json(json!({
        "method": method.as_str(),
        "target": uri.to_string(),
        "headers": fields,
        "body": String::from_utf8_lossy(&body),
    }))
}

async fn items() -> Json<Value> {
    let items = ITEMS
        .iter()
        .map(|&(id, name, cents)| json!({ "id": id, "name": name, "cents": cents }));
    Json(items.collect())
}

async fn item(Path(id): Path<u32>) -> Response {
    match ITEMS.iter().find(|(known, ..)| *known == id) {
        Some((id, name, cents)) => {
            Json(json!({ "id": id, "name": name, "cents": cents })).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn add(Json(item): Json<Value>) -> (StatusCode, Json<Value>) {
    (StatusCode::CREATED, Json(json!({ "added": item })))
}

/// Believes the gateway about who asks, and nobody else can say it: clients cannot set these headers.
async fn me(headers: HeaderMap) -> Json<Value> {
    let field = |name: &str| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Json(json!({ "user": field("x-user-id"), "role": field("x-user-role") }))
}

async fn admin() -> Html<String> {
    page("Admin", "<p>Everything that only admins should see.</p>")
}

async fn ticks() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = futures_util::stream::unfold(1u64, async |number| {
        if number > 1 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Some((
            Ok(Event::default().event("tick").data(number.to_string())),
            number + 1,
        ))
    });
    Sse::new(ticks).keep_alive(KeepAlive::default())
}

async fn socket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(echo_messages)
}

async fn echo_messages(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let answer = match message {
            Message::Text(_) | Message::Binary(_) => message,
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return,
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}

fn page(title: &str, body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><h1>{title}</h1>{body}</html>\n"
    ))
}

fn escaped(text: &str) -> String {
    let escape = |character| match character {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&#39;".to_owned(),
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}
