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
        .route("/style.css", get(style))
        .route("/search", get(search))
        .route("/buy", get(home).post(buy))
        .route("/account", get(account).post(save))
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

async fn home(headers: HeaderMap) -> Html<String> {
    let item = |(id, name, cents): &(u32, &str, u32)| {
        format!(
            r#"<li><b>{name}</b> <span>{}.{:02}</span>
<form method="post" action="/buy"><input type="hidden" name="item" value="{id}"><button>Buy</button></form></li>"#,
            cents / 100,
            cents % 100
        )
    };
    let items: String = ITEMS.iter().map(item).collect();
    let text = format!(
        r#"<form action="/search" role="search"><label>Search <input name="q"></label> <button>Go</button></form>
<ul class="goods">{items}</ul>
<p class="small"><a href="/api/items">Items (JSON)</a> · <a href="/events">Events</a></p>"#
    );
    page(&headers, "A small shop", &text)
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

async fn search(headers: HeaderMap, Query(search): Query<Search>) -> Html<String> {
    let wanted = search.q.to_lowercase();
    let found = ITEMS.iter().filter(|(_, name, _)| name.contains(&wanted));
    let found: String = found
        .map(|(_, name, _)| format!("<li>{name}</li>"))
        .collect();
    let text = format!(
        "<p>Results for <b>{}</b></p><ul>{found}</ul>",
        escaped(&search.q)
    );
    page(&headers, "Search", &text)
}

#[derive(Deserialize)]
struct Order {
    #[serde(default)]
    item: u32,
}

/// Sells to whoever the gateway says that it is.
async fn buy(headers: HeaderMap, Form(order): Form<Order>) -> Response {
    match ITEMS.iter().find(|(known, ..)| *known == order.item) {
        Some((_, name, _)) => {
            let text = format!("<p>One {name} is on its way to {}.</p>", who(&headers));
            page(&headers, "Thank you", &text).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn account(headers: HeaderMap) -> Html<String> {
    account_page(&headers, "")
}

#[derive(Deserialize)]
struct Account {
    #[serde(default)]
    address: String,
}

async fn save(headers: HeaderMap, Form(account): Form<Account>) -> Html<String> {
    let said = format!(
        "<p>Parcels go to {} from now on.</p>",
        escaped(&account.address)
    );
    account_page(&headers, &said)
}

fn account_page(headers: &HeaderMap, said: &str) -> Html<String> {
    let text = format!(
        r#"<p>Signed in as <b>{}</b>.</p>{said}
<form method="post"><label>Send parcels to <input name="address"></label> <button>Save</button></form>
<form method="post" action="/logout"><button>Log out</button></form>"#,
        who(headers)
    );
    page(headers, "Your account", &text)
}

async fn login_page(headers: HeaderMap) -> Html<String> {
    page(&headers, "Log in", LOGIN)
}

const LOGIN: &str = r#"<form method="post" action="/login"><label>User <input name="user" autocomplete="username"></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label> <button>Log in</button></form>
<p class="small">Everybody's password is <i>correct horse</i>.</p>"#;

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
}

/// Tells by its status whether the password was right, and forgets it: there is no session.
async fn login(headers: HeaderMap, Form(login): Form<Login>) -> Response {
    if login.password == "correct horse" {
        let text = format!(
            r#"<p>Hello {}.</p><form method="post" action="/buy"><input type="hidden" name="item" value="1"><button>Buy tea</button></form>"#,
            escaped(&login.user)
        );
        return page(&headers, "Welcome", &text).into_response();
    }
    let text = format!("<p class=\"wrong\">Wrong user or password.</p>{LOGIN}");
    (StatusCode::UNAUTHORIZED, page(&headers, "Log in", &text)).into_response()
}

/// There is nothing to end: it keeps no session.
async fn logout(headers: HeaderMap) -> Html<String> {
    page(&headers, "Goodbye", r#"<p><a href="/login">Log in</a></p>"#)
}

/// Who asks, as the gateway says; clients cannot.
fn who(headers: &HeaderMap) -> String {
    let user = headers
        .get("x-user-id")
        .map(|user| String::from_utf8_lossy(user.as_bytes()));
    user.map_or_else(|| "somebody".to_owned(), |user| escaped(&user))
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

async fn admin(headers: HeaderMap) -> Html<String> {
    page(
        &headers,
        "Admin",
        "<p>Everything that only admins should see.</p>",
    )
}

async fn style() -> impl IntoResponse {
    ([("content-type", "text/css; charset=utf-8")], STYLE)
}

const STYLE: &str = "\
:root { color-scheme: light dark; font: 17px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 42rem; padding: 0 1rem 3rem; }
nav { display: flex; gap: 1.25rem; padding: 1rem 0; border-bottom: 1px solid #8884; }
nav b { margin-right: auto; }
form { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end; margin: 1rem 0; }
label { display: grid; gap: .25rem; }
input, button { font: inherit; padding: .45rem .7rem; border: 1px solid #8888; border-radius: .5rem; }
button { background: #2a6; border-color: #2a6; color: #fff; cursor: pointer; }
.goods { list-style: none; padding: 0; }
.goods li { display: flex; align-items: center; gap: 1rem; border-bottom: 1px solid #8884; }
.goods b { flex: 1; }
.small { font-size: .85rem; opacity: .8; }
.wrong { color: #c33; }
";

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

fn page(headers: &HeaderMap, title: &str, body: &str) -> Html<String> {
    let (user, way) = match headers.contains_key("x-user-id") {
        true => (who(headers), r#"<a href="/account">Account</a>"#),
        false => (String::new(), r#"<a href="/login">Log in</a>"#),
    };
    Html(format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/style.css"></head>
<body><nav><b>The shop</b><span>{user}</span><a href="/">Goods</a><a href="/admin">Admin</a>{way}</nav>
<main><h1>{title}</h1>
{body}
</main></body></html>
"#
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
