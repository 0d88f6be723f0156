//! The policies of whole applications, started as they lie there: for each claim one request that passes and one that does not.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::support::gateway::run;
use crate::support::origin::{answer, ok};
use crate::support::raw::{Conn, Response, get, post, settled};
use crate::support::redis::Redis;
use crate::support::tools::{fed, python};
use crate::support::{Gateway, Origin, Plan, Step, certs, exchange, until};

const SECRET: &str = "a secret of more than thirty-two bytes, used in tests";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

/// Signs in whoever says `right`, as each of the applications does it.
fn application() -> Origin {
    Origin::scripted(|seen| {
        if seen.header("upgrade").is_some() {
            let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            return vec![Step::text(switched), Step::Gate("never")];
        }
        let page = "<!doctype html><title>a</title><form method=post></form>";
        let written = match (seen.method.as_str(), seen.target.as_str()) {
            (_, "/large") => ok(&"x".repeat((2 << 20) + 1)),
            ("GET", _) => answer(200, "Content-Type: text/html\r\n", page.as_bytes()),
            _ => ok("done"),
        };
        vec![Step::ReadBody, Step::Send(written)]
    })
}

/// An application whose log-in answers as the policy says.
pub(super) fn signing_in(passed: &'static str, failed: &'static str) -> Origin {
    Origin::scripted(move |seen| {
        let login =
            seen.method == "POST" && (seen.target == "/login" || seen.target == "/auth/login");
        let right = seen.header("x-right").is_some();
        let page = "<!doctype html><title>a</title><form method=post></form>";
        let written = match (login, seen.target.as_str()) {
            (true, _) => format!(
                "HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n",
                if right { passed } else { failed }
            )
            .into_bytes(),
            (false, "/large") => ok(&"x".repeat((2 << 20) + 1)),
            (false, _) => answer(200, "Content-Type: text/html\r\n", page.as_bytes()),
        };
        vec![Step::ReadBody, Step::Send(written)]
    })
}

pub(super) struct Example {
    pub(super) gateway: Gateway,
    pub(super) origin: Origin,
}

impl Example {
    /// Checks and tests the file, then starts it with everything that it names.
    pub(super) fn start(name: &str, origin: Origin, more: &[(&str, String)]) -> Self {
        let folder = certs::root().join("policies/examples");
        let file = folder.join(name);
        let text = std::fs::read_to_string(&file).unwrap();
        let mut plan = Plan::bare().rules();
        for variable in [
            "PALISADE_JWT_SECRET",
            "PALISADE_JWT_KEY",
            "PALISADE_CSRF_SECRET",
            "PALISADE_STATE_SEAL",
        ] {
            plan = plan.env(variable, SECRET);
        }
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            plan = plan.file(&name, std::fs::read(&path).unwrap());
        }
        let text = text
            .replace("../waf/", "waf/")
            .replace("0.0.0.0:8080", "@HTTP@")
            .replace("127.0.0.1:8080", "@HTTP@");
        let text = text
            .replace("127.0.0.1:9900", "@ADMIN@")
            .replace("127.0.0.1:3000", &origin.address.to_string());
        let text = more
            .iter()
            .fold(text, |text, (old, new)| text.replace(old, new));
        let gateway = Gateway::start(
            &plan
                .file("csrf.secret", SECRET)
                .file("seal.secret", SECRET)
                .whole(text),
        );
        let tested = run_with_secrets(&["test", &gateway.policy().display().to_string()]);
        assert!(tested.0, "{}", tested.1);
        Self { gateway, origin }
    }

    pub(super) fn get(&self, path: &str, fields: &str) -> Response {
        exchange(self.gateway.http, get(path, fields))
    }

    pub(super) fn post(&self, path: &str, fields: &str, body: &str) -> Response {
        exchange(self.gateway.http, post(path, fields, body.as_bytes()))
    }

    pub(super) fn command(&self, words: &[&str]) -> String {
        let admin = self.gateway.operator();
        let output = run(&[words, &["--admin", &admin]].concat());
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

fn run_with_secrets(arguments: &[&str]) -> (bool, String) {
    let mut command = crate::support::gateway::palisade();
    for variable in [
        "PALISADE_JWT_SECRET",
        "PALISADE_JWT_KEY",
        "PALISADE_CSRF_SECRET",
        "PALISADE_STATE_SEAL",
    ] {
        command.env(variable, SECRET);
    }
    let output = command.args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// A signed token.
fn token(claims: &serde_json::Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seconds = now.as_secs();
    let mut whole = json!({"sub": "mia", "iat": seconds, "exp": seconds + 600, "jti": now.as_nanos().to_string()});
    whole
        .as_object_mut()
        .unwrap()
        .extend(claims.as_object().unwrap().clone());
    let order = json!([{"alg": "HS256", "key": SECRET, "claims": whole}]);
    let output = fed(&mut python("tokens.py"), order.to_string().as_bytes());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(super) fn bearer(claims: &serde_json::Value) -> String {
    format!("Authorization: Bearer {}\r\n", token(claims))
}

pub(super) fn cookie(answer: &Response, name: &str) -> String {
    let mut set = answer
        .headers
        .iter()
        .filter(|(field, _)| field.eq_ignore_ascii_case("set-cookie"));
    let found = set.find(|(_, value)| value.starts_with(&format!("{name}=")));
    found
        .unwrap_or_else(|| panic!("no {name} in {answer:?}"))
        .1
        .split(';')
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn ai_platform() {
    let example = Example::start("ai-platform.yaml", application(), &[]);
    let access = |sub: &str| json!({"sub": sub, "token_type": "access", "role": "user"});
    let mia = bearer(&access("mia"));
    assert_eq!(example.get("/v1/chat", &mia).status, 200);
    assert_eq!(example.origin.last().all("x-user-id"), ["mia"]);
    assert_eq!(example.get("/v1/chat", "").status, 401);
    assert_eq!(
        example
            .get("/v1/chat", &bearer(&json!({"token_type": "refresh"})))
            .status,
        401
    );
    let bound = bearer(&json!({"sub": "bob", "token_type": "access", "device_id": "d1"}));
    assert_eq!(
        example
            .get("/v1/chat", &format!("{bound}X-Device-Id: d1\r\n"))
            .status,
        200
    );
    assert_eq!(
        example
            .get("/v1/chat", &format!("{bound}X-Device-Id: d2\r\n"))
            .status,
        401
    );
    // Three WebSockets of one user at a time, and five beginnings a minute.
    let socket = format!(
        "{}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        bearer(&access("sam"))
    );
    let open = || {
        let mut conn = Conn::open(example.gateway.http);
        assert!(conn.write(get("/v1/realtime/a", &socket)));
        let status = conn.head().unwrap().status;
        (conn, status)
    };
    let sockets: Vec<_> = (0..3).map(|_| open()).collect();
    assert!(sockets.iter().all(|(_, status)| *status == 101));
    assert_eq!(open().1, 429);
    // Several limits at once: the user's ends before the address's.
    let eve = bearer(&access("eve"));
    let statuses: Vec<u16> = (0..61)
        .map(|_| example.get("/v1/chat", &eve).status)
        .collect();
    assert_eq!((statuses[59], statuses[60]), (200, 429));
    assert_eq!(example.get("/v1/chat", &mia).status, 200, "another user");
    example.command(&["token", "revoke", "--user", "mia"]);
    until("the revocation holds", || {
        (example.get("/v1/chat", &mia).status == 401).then_some(())
    });
    let ada = bearer(&json!({"sub": "ada", "token_type": "access", "role": "admin"}));
    let sent = example.get("/admin", &ada);
    assert_eq!(
        (sent.status, sent.header("x-second-factor")),
        (401, Some("/.palisade/mfa/enrol"))
    );
    let state = example.get(
        "/.palisade/mfa",
        &format!("{ada}Accept: application/json\r\n"),
    );
    assert!(
        state.status == 200 && state.text().contains("\"required\":true"),
        "{}",
        state.text()
    );
}

#[test]
fn ai_workbench() {
    let example = Example::start("ai-workbench.yaml", application(), &[]);
    let signed = |role: &str| {
        let token = token(&json!({"token_type": "access", "role": role, "sub": role}));
        format!("Cookie: access_token={token}")
    };
    let (viewer, user, admin) = (signed("viewer"), signed("user"), signed("admin"));
    for (path, allowed) in [
        ("/chat", [200, 200, 200]),
        ("/rag/query/1", [200, 200, 200]),
        ("/eval/1", [200, 200, 200]),
        ("/rag/index/1", [403, 200, 200]),
        ("/agent/1", [403, 200, 200]),
        ("/admin", [403, 403, 200]),
    ] {
        let statuses =
            [&viewer, &user, &admin].map(|who| example.get(path, &format!("{who}\r\n")).status);
        assert_eq!(statuses, allowed, "{path}");
    }
    let page = example.get("/", &format!("{user}\r\nAccept: text/html\r\n"));
    let text = page.text();
    let (_, rest) = text.split_once("name=\"csrf_token\" value=\"").unwrap();
    let field = rest.split('"').next().unwrap();
    let both = format!("{user}; {}\r\n", cookie(&page, "csrf_token"));
    assert_eq!(
        example
            .post(
                "/eval/1",
                &format!("{both}{FORM}"),
                &format!("a=1&csrf_token={field}")
            )
            .status,
        200
    );
    assert_eq!(
        example
            .post("/eval/1", &format!("{both}{FORM}"), "a=1")
            .status,
        403
    );
    assert_eq!(
        example
            .post("/eval/1", &format!("{both}X-CSRF-Token: {field}\r\n"), "")
            .status,
        200
    );
    let login = example.get("/chat", "Accept: text/html\r\n");
    assert_eq!(
        (login.status, login.header("location")),
        (303, Some("/login?return=%2Fchat"))
    );
    let htmx = example.get("/chat", "HX-Request: true\r\n");
    assert!(
        htmx.status == 401
            && htmx
                .header("hx-redirect")
                .is_some_and(|to| to.starts_with("/login"))
    );
    // A token that soon ends is prolonged.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let old = token(
        &json!({"token_type": "access", "role": "user", "iat": now - 1500, "exp": now + 300, "jti": "old"}),
    );
    let renewed = example.get("/chat", &format!("Cookie: access_token={old}\r\n"));
    assert_ne!(
        cookie(&renewed, "access_token"),
        format!("access_token={old}")
    );
}

#[test]
fn shop_admin() {
    let origin = signing_in(
        "302 Found\r\nLocation: /orders",
        "302 Found\r\nLocation: /login?error=1",
    );
    let example = Example::start("shop-admin.yaml", origin, &[]);
    let sign_in = |user: &str, right: bool| {
        let page = example.get("/login", "Accept: text/html\r\n");
        let own = cookie(&page, "csrf_token");
        let text = page.text();
        let field = text
            .split_once("name=\"csrf_token\" value=\"")
            .unwrap()
            .1
            .split('"')
            .next()
            .unwrap()
            .to_owned();
        let right = if right { "X-Right: 1\r\n" } else { "" };
        let fields = format!("{FORM}{right}Cookie: {own}\r\n");
        example.post(
            "/login",
            &fields,
            &format!("user={user}&csrf_token={field}"),
        )
    };
    let session = |user: &str| {
        format!(
            "Cookie: {}\r\n",
            cookie(&sign_in(user, true), "__Host-session")
        )
    };
    let noa = session("noa");
    assert_eq!(example.get("/orders", &noa).status, 200);
    assert_eq!(example.get("/settings", &noa).status, 403);
    assert_eq!(
        example.get("/orders", &session("eve")).status,
        403,
        "no role"
    );
    let again = session("noa");
    assert_eq!(
        (
            example.get("/orders", &noa).status,
            example.get("/orders", &again).status
        ),
        (401, 200),
        "one at a time"
    );
    assert_eq!(example.get("/settings", &session("mia")).status, 200);
    let ada = example.get(
        "/orders",
        &format!("{}Accept: text/html\r\n", session("ada")),
    );
    assert_eq!(
        (ada.status, ada.header("location")),
        (303, Some("/.palisade/mfa/enrol?return=%2Forders"))
    );
    // Elsewhere than where they may come from; and what lets them in all the same, once.
    example.command(&["allow", "add", "noa", "192.0.2.0/24", "--reason", "office"]);
    until("the network holds", || {
        (example.get("/orders", &again).status == 403).then_some(())
    });
    let made = example.command(&[
        "emergency",
        "create",
        "--passes",
        "networks",
        "--for",
        "1h",
        "--reason",
        "test",
    ]);
    let emergency = made
        .split_whitespace()
        .find(|word| word.starts_with("pge_"))
        .unwrap()
        .to_owned();
    let with = format!("{again}X-Emergency-Token: {emergency}\r\n");
    assert_eq!(
        (
            example.get("/orders", &with).status,
            example.get("/orders", &with).status
        ),
        (200, 403)
    );
    for _ in 0..3 {
        assert_eq!(settled(|| sign_in("zoe", false)).status, 302);
    }
    let right = settled(|| sign_in("zoe", true));
    assert_eq!(right.status, 429, "three were enough");
}

#[test]
fn llm_analysis() {
    let redis = Redis::with(&["--maxmemory-policy", "noeviction"]);
    let address = redis.address().to_string();
    let origin = signing_in("200 OK", "401 Unauthorized");
    let example = Example::start(
        "llm-analysis.yaml",
        origin,
        &[("127.0.0.1:6379", address.clone())],
    );
    let signed = example.post(
        "/login",
        &format!("{JSON}X-Right: 1\r\n"),
        "{\"user\": \"mia\"}",
    );
    let mia = format!("Cookie: {}\r\n", cookie(&signed, "__Host-session"));
    assert_eq!(
        example
            .post("/analyse", &format!("{mia}{JSON}"), "{}")
            .status,
        200
    );
    assert_eq!(example.origin.last().all("x-user-id"), ["mia"]);
    assert_eq!(example.post("/analyse", JSON, "{}").status, 401);
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(
        example
            .post("/analyse", &format!("{mia}{JSON}"), &large)
            .status,
        413
    );
    assert_eq!(example.get("/large", &mia).status, 502);
    // Another gateway of the cluster knows the session.
    let origin = signing_in("200 OK", "401 Unauthorized");
    let other = Example::start("llm-analysis.yaml", origin, &[("127.0.0.1:6379", address)]);
    assert_eq!(
        other.post("/analyse", &format!("{mia}{JSON}"), "{}").status,
        200
    );
    assert_eq!(
        other
            .post("/login", JSON, "{\"user\": \"mia\"}")
            .header("set-cookie"),
        None
    );
}

#[test]
fn stock_charts() {
    let example = Example::start(
        "stock-charts.yaml",
        signing_in("200 OK", "401 Unauthorized"),
        &[],
    );
    let of = |role: &str| bearer(&json!({"sub": role, "role": role, "type": "access"}));
    for (path, roles) in [
        ("/charts/1", [200, 200, 200, 200]),
        ("/indicators/1", [403, 200, 200, 200]),
        ("/realtime/1", [403, 403, 200, 200]),
    ] {
        let statuses =
            ["guest", "basic", "premium", "admin"].map(|role| example.get(path, &of(role)).status);
        assert_eq!(statuses, roles, "{path}");
    }
    assert_eq!(
        example
            .get(
                "/charts/1",
                &bearer(&json!({"role": "guest", "type": "refresh"}))
            )
            .status,
        401
    );
    let answer = example.get("/charts/1", &of("guest"));
    assert_eq!(
        answer.header("strict-transport-security"),
        Some("max-age=31536000; includeSubDomains")
    );
    assert_eq!(
        answer.header("content-security-policy"),
        Some("default-src 'self'")
    );
    // Keys of programs, counted by the day.
    let key = example.command(&[
        "key",
        "create",
        "bob",
        "--permission",
        "charts:read",
        "--quota",
        "2/1d",
    ]);
    let other = example.command(&["key", "create", "bob", "--permission", "news:read"]);
    let program = |key: &str| {
        example
            .get("/api/v1/charts/1", &format!("X-API-Key: {key}\r\n"))
            .status
    };
    assert_eq!(
        [program(&key), program(&key), program(&key)],
        [200, 200, 429]
    );
    assert_eq!((program(&other), program("pal_guess")), (403, 401));
    // Five requests a minute where it matters, ten at the log-in, a hundred elsewhere.
    let statuses: Vec<u16> = (0..6)
        .map(|_| example.get("/export/1", &of("premium")).status)
        .collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
    let guess = || example.post("/auth/login", JSON, "{\"email\": \"zoe@x\"}");
    let statuses: Vec<u16> = (0..5).map(|_| settled(guess).status).collect();
    assert_eq!(statuses, [401; 5], "a user's passwords are guessed");
    // The ban begins once the fifth answer was heard to its end; until then the guard itself refuses.
    until("the ban begins", || match guess().status {
        403 => Some(()),
        early => {
            assert_eq!(early, 429);
            None
        }
    });
    assert_eq!(
        example.get("/charts/1", &of("guest")).status,
        403,
        "and the address is banned"
    );
}

#[test]
fn protected() {
    let example = Example::start(
        "protected.yaml",
        signing_in("200 OK", "401 Unauthorized"),
        &[],
    );
    assert_eq!(example.get("/account", "Accept: text/html\r\n").status, 303);
    let page = example.get("/login", "Accept: text/html\r\n");
    assert!(page.status == 200 && page.text().contains("name=\"csrf_token\""));
    assert_eq!(example.get("/search?q=1'%20OR%20'1'='1", "").status, 403);
}
