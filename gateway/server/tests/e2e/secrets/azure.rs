//! An Azure Key Vault as Microsoft documents it (Get Secret and Get Secret Versions of api-version 7.4, the client
//! credentials of OAuth 2.0, the metadata endpoint of machines). No real one can be started: this server is the test's own.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{KEYS, becomes, fails, plan, recovers, status, tells_nothing, tokens};
use crate::support::origin::answer;
use crate::support::{Gateway, Origin, Step};

const CLIENT_SECRET: &str = "client secret with / and + and &";

#[derive(Default)]
struct Content {
    /// Value and time of creation, oldest first; the version is the place.
    versions: Vec<(String, u64)>,
    disabled: HashSet<usize>,
    /// The tokens that are good now.
    token: usize,
    given: usize,
}

/// The vault, and who gives tokens for it.
struct Azure {
    origin: Origin,
    content: Arc<Mutex<Content>>,
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs()
}

impl Azure {
    fn start() -> Self {
        let content: Arc<Mutex<Content>> = Arc::default();
        let inside = Arc::clone(&content);
        let origin = Origin::scripted(move |seen| {
            let authorization = seen.header("authorization").map(str::to_owned);
            let metadata = seen.header("metadata").map(str::to_owned);
            let host = seen.header("host").unwrap().to_owned();
            let (status, body) = reply(
                &mut inside.lock().unwrap(),
                &seen.target,
                &host,
                authorization,
                metadata,
            );
            let head = "Content-Type: application/json; charset=utf-8\r\n";
            vec![
                Step::ReadBody,
                Step::Send(answer(status, head, body.to_string().as_bytes())),
            ]
        });
        Self { origin, content }
    }

    fn put(&self, value: &str) {
        let mut content = self.content.lock().unwrap();
        let age = 100 - content.versions.len() as u64;
        content.versions.push((value.to_owned(), now() - age));
    }

    /// The policy's words for the secret in it, as an application or as the machine.
    fn place(&self, access: &str, more: &str) -> String {
        let base = format!("http://{}", self.origin.address);
        format!(
            "{{azure: {{vault_url: \"{base}\", name: shop-jwt, {}}}, {more}}}",
            access.replace('@', &base)
        )
    }
}

fn reply(
    content: &mut Content,
    target: &str,
    host: &str,
    authorization: Option<String>,
    metadata: Option<String>,
) -> (u16, Value) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let refused = |status: u16, code: &str| {
        (
            status,
            json!({"error": {"code": code, "message": "AKV10000"}}),
        )
    };
    let mut give = |expires: Value| {
        content.token += 1;
        content.given += 1;
        (
            200,
            json!({"token_type": "Bearer", "expires_in": expires, "access_token": format!("token-{}", content.token)}),
        )
    };
    match path {
        "/a-tenant/oauth2/v2.0/token" => return give(json!(3599)),
        "/metadata/identity/oauth2/token" => {
            let asked = query == "api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net";
            return if asked && metadata.as_deref() == Some("true") {
                give(json!("86399"))
            } else {
                (400, json!({"error": "invalid_request"}))
            };
        }
        _ => {}
    }
    if authorization != Some(format!("Bearer token-{}", content.token)) {
        return refused(401, "Unauthorized");
    }
    if !query.split('&').any(|pair| pair == "api-version=7.4") {
        return refused(400, "BadParameter");
    }
    let base = format!("http://{host}/secrets/shop-jwt");
    let attributes = |index: usize| json!({"enabled": !content.disabled.contains(&index), "created": content.versions[index].1, "updated": content.versions[index].1, "recoveryLevel": "Recoverable+Purgeable"});
    let bundle = |index: usize| match content.disabled.contains(&index) {
        true => refused(403, "Forbidden"),
        false => (
            200,
            json!({"value": content.versions[index].0, "id": format!("{base}/v{index}"), "attributes": attributes(index)}),
        ),
    };
    let last = content.versions.len().wrapping_sub(1);
    match path.strip_prefix("/secrets/shop-jwt") {
        Some("") if !content.versions.is_empty() => bundle(last),
        // Oldest first, one a page.
        Some("/versions") => {
            let skip = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("$skiptoken="));
            let index: usize = skip.map_or(0, |skip| skip.parse().unwrap());
            let next = (index < last)
                .then(|| format!("{base}/versions?api-version=7.4&$skiptoken={}", index + 1));
            (
                200,
                json!({"value": [{"id": format!("{base}/v{index}"), "attributes": attributes(index)}], "nextLink": next}),
            )
        }
        Some(version) => match version
            .strip_prefix("/v")
            .and_then(|index| index.parse().ok())
        {
            Some(index) if index <= last => bundle(index),
            _ => refused(404, "SecretNotFound"),
        },
        None => refused(404, "SecretNotFound"),
    }
}

#[test]
fn a_key_vault_s_secret_is_rotated_with_the_version_before() {
    let (origin, azure, tokens) = (Origin::start(), Azure::start(), tokens());
    azure.put(KEYS[0]);
    azure.put(KEYS[1]);
    let access = "tenant: a-tenant, client_id: shop, client_secret: application, authority: \"@\"";
    let place = azure.place(access, "cache: 1s, previous_for: 1h");
    let plan = plan(
        &origin,
        &format!("{place}\n  application: {{file: application}}"),
    )
    .file("application", CLIENT_SECRET);
    let gateway = Gateway::start(&plan);
    let seen = tokens.each_ref().map(|token| status(&gateway, token));
    assert_eq!(seen, [200, 200, 401]);
    let form = azure
        .origin
        .seen()
        .into_iter()
        .find(|seen| seen.target.ends_with("/token"))
        .unwrap();
    let form = String::from_utf8(form.body).unwrap();
    assert_eq!(
        form,
        "grant_type=client_credentials&client_id=shop&client_secret=client+secret+with+%2F+and+%2B+and+%26&scope=https%3A%2F%2Fvault.azure.net%2F.default"
    );
    azure.put(KEYS[2]);
    becomes(&gateway, &tokens[2], 200);
    assert_eq!(
        azure.content.lock().unwrap().given,
        1,
        "a token serves for its time"
    );
    // Tokens that are called back, and a secret that is switched off.
    azure.content.lock().unwrap().token += 1;
    azure.content.lock().unwrap().disabled.insert(2);
    fails(&gateway, "status 403");
    assert_eq!(status(&gateway, &tokens[2]), 200);
    azure.content.lock().unwrap().disabled.clear();
    recovers(&gateway);
    tells_nothing(&gateway);
    let all: String = gateway.lines().iter().map(Value::to_string).collect();
    assert!(!all.contains("client secret") && !all.contains("token-"));
}

#[test]
fn a_machine_s_identity_lets_in_and_a_disabled_version_is_not_accepted() {
    let (origin, azure, tokens) = (Origin::start(), Azure::start(), tokens());
    KEYS.iter().for_each(|key| azure.put(key));
    azure.content.lock().unwrap().disabled.insert(1);
    let access = "managed_identity: {endpoint: \"@/metadata/identity/oauth2/token\"}";
    let gateway = Gateway::start(&plan(&origin, &azure.place(access, "previous_for: 1h")));
    let seen = tokens.each_ref().map(|token| status(&gateway, token));
    assert_eq!(seen, [200, 401, 200], "the newest enabled one before");
}
