//! Who asks: tokens known and new, sessions, keys, what they may do, CSRF.

use std::time::Duration;

use policy::Policy;
use policy::checks::api_key::{record, text};
use policy::decision::{Effects, Outcome, Reason};
use policy::invented::{Invented, ready};
use policy::io::{Io as _, Space};
use policy::key::Keys;
use policy::run::Unwatched;

use crate::Bench;
use crate::stage::{Asked, NOW, SECRET, expect, load};
use crate::tokens::{self, ALGORITHMS};

pub(crate) fn all(folder: &str) -> Result<Vec<Bench>, String> {
    let mut benches = Vec::new();
    for algorithm in ALGORITHMS {
        benches.push(known(folder, algorithm, "")?);
        benches.push(new(folder, algorithm)?);
    }
    benches.push(known(folder, "HS256", "authorize")?);
    benches.push(session()?);
    benches.push(key()?);
    benches.push(csrf()?);
    Ok(benches)
}

fn policy(folder: &str, algorithm: &str, more: &str) -> Result<Policy, String> {
    let keys = match algorithm {
        "HS256" => "secret: it".to_owned(),
        _ => format!("pem_files: ['{folder}/{algorithm}.pem']"),
    };
    let used = if more.is_empty() {
        "token"
    } else {
        "token, roles"
    };
    let roles = "roles: {user: {allow: [read]}}\n";
    load(&format!(
        "{}checks:\n  token: {{check: jwt, {keys}, algorithms: [{algorithm}], require: {{token_type: access}}, revocation: true, \
forward: {{sub: X-User-Id}}}}\n{}routes: [{{name: all, match: {{path: '/*'}}, to: app, use: [{used}]}}]\n",
        if more.is_empty() { "" } else { roles },
        if more.is_empty() {
            ""
        } else {
            "  roles: {check: authorize, role_from: role, need: read}\n"
        },
    ))
}

fn bearer(token: &str) -> Result<Asked, String> {
    Asked::get("/api/items").with("authorization", &format!("Bearer {token}"))
}

fn known(folder: &str, algorithm: &str, more: &str) -> Result<Bench, String> {
    let policy = policy(folder, algorithm, more)?;
    let tokens = tokens::read(folder, algorithm)?;
    let asked = bearer(tokens.last().ok_or("no tokens")?)?;
    let mut io = Invented::default();
    let name = match more {
        "" => format!("check: jwt, {algorithm}, known"),
        more => format!("check: jwt, {algorithm}, known, and {more}"),
    };
    Ok(Bench::new(name, move |_| {
        expect(&policy, &mut io, &asked, Reason::Ok)
    }))
}

fn new(folder: &str, algorithm: &str) -> Result<Bench, String> {
    let policy = policy(folder, algorithm, "")?;
    let tokens: Result<Vec<Asked>, String> = tokens::read(folder, algorithm)?
        .iter()
        .map(|token| bearer(token))
        .collect();
    let tokens = tokens?;
    let mut io = Invented::default();
    Ok(Bench::new(
        format!("check: jwt, {algorithm}, new"),
        move |round| {
            if let Some(asked) = tokens.get(round) {
                expect(&policy, &mut io, asked, Reason::Ok);
            }
        },
    ))
}

const SESSION: &str = "
checks:
  shop: {check: session, start: {request: POST /login, user: form.email, passed: {status: 302}}, login: /login}
routes:
  - {name: login, match: {path: /login}, to: app, use: [shop], with: {shop: {optional: true}}, public: bench}
  - {name: all, match: {path: '/*'}, to: app, use: [shop]}
";

/// The cookies that an answer sets, as the browser sends them back.
fn cookies(effects: &Effects) -> String {
    let set = effects
        .response
        .iter()
        .filter(|(name, _)| name == http::header::SET_COOKIE);
    let pairs: Vec<&str> = set
        .filter_map(|(_, value)| value.to_str().ok()?.split(';').next())
        .collect();
    pairs.join("; ")
}

fn session() -> Result<Bench, String> {
    let policy = load(SESSION)?;
    let mut io = Invented::default();
    let asked = Asked::get("/login").with("content-type", "application/x-www-form-urlencoded")?;
    let asked = asked.post("email=ann@shop.example&password=x");
    io.body = Ok(asked.body.clone());
    let request = asked.request();
    let route = policy.route(&request).ok_or("no route")?;
    let decided = ready(policy.decide(route, &request, &mut io, &mut Unwatched)).ok_or("waits")?;
    let (mut facts, mut effects) = (decided.facts, decided.effects);
    let answer = (302, &http::HeaderMap::new());
    let heard = policy.heard(
        route,
        &request,
        (&mut facts, &mut effects),
        Ok(answer),
        None,
        &mut io,
    );
    ready(heard).ok_or("waits")?;
    let asked = Asked::get("/account").with("cookie", &cookies(&effects))?;
    Ok(Bench::new(
        "check: session of its own, in memory",
        move |_| {
            expect(&policy, &mut io, &asked, Reason::Ok);
        },
    ))
}

fn key() -> Result<Bench, String> {
    let policy = load(
        "checks:\n  keys: {check: api_key, header: X-API-Key, permissions: [read], rate: 100000000/1m}\n\
routes: [{name: all, match: {path: '/*'}, to: app, use: [keys]}]\n",
    )?;
    let prefix = text::make_prefix([1; text::PREFIX]);
    let key = text::make(&prefix, &[7; 32]);
    let kept = record::Record {
        hash: record::hex(&text::hash(&key)),
        owner: "ann".to_owned(),
        name: "bench".to_owned(),
        permissions: vec!["read".to_owned()],
        scopes: Vec::new(),
        networks: Vec::new(),
        created: NOW * 1000,
        expires: None,
        revoked: None,
        // Written anew only once an hour.
        used: Some(NOW * 1000),
        rate: None,
        quota: None,
        previous: None,
        prefix: prefix.clone(),
    };
    let mut io = Invented::default();
    let value = policy::stored::encode(&kept).map_err(|fault| format!("{fault:?}"))?;
    let at = record::key(Keys::process(), &prefix);
    let stored = ready(io.put(Space::ApiKey, at, value, Duration::from_secs(86_400)));
    stored
        .ok_or("waits")?
        .map_err(|fault| format!("{fault:?}"))?;
    let asked = Asked::get("/v1/programs").with("x-api-key", &key)?;
    Ok(Bench::new("check: api_key", move |_| {
        expect(&policy, &mut io, &asked, Reason::Ok)
    }))
}

fn csrf() -> Result<Bench, String> {
    let policy = load(
        "checks:\n  csrf: {check: csrf, secret: it, bound: false}\n\
routes: [{name: all, match: {path: '/*'}, to: app, use: [csrf], public: bench}]\n",
    )?;
    let mut io = Invented::default();
    let page = crate::stage::decide(&policy, &mut io, &Asked::get("/form")).ok_or("no decision")?;
    if !matches!(page.outcome, Outcome::Permit(_)) {
        return Err(format!("csrf: {:?} with {SECRET}", page.reason()));
    }
    let cookie = cookies(&page.effects);
    let token = cookie
        .split_once('=')
        .map(|(_, token)| token.to_owned())
        .ok_or("no token")?;
    let asked = Asked::get("/form").with("cookie", &cookie)?;
    let asked = asked.with("x-csrf-token", &token)?.post("a=b");
    Ok(Bench::new("check: csrf, a form sent", move |_| {
        expect(&policy, &mut io, &asked, Reason::Ok);
    }))
}
