//! Second factors for an application that draws its own pages: what the gateway's pages do, as JSON.

use serde_json::{Value, json};

use crate::factors::{application, gateway, signed_in};
use crate::support::raw::{Response, get, post};
use crate::support::tools::{python, stdout};
use crate::support::{Gateway, exchange};

const OWN: &str = "Origin: http://app.test\r\n";

fn ask(gateway: &Gateway, cookie: &str, path: &str) -> (u16, Value) {
    let answer = exchange(
        gateway.http,
        get(path, &format!("{cookie}Accept: application/json\r\n")),
    );
    (answer.status, read(&answer))
}

#[track_caller]
fn read(answer: &Response) -> Value {
    let kind = answer.header("content-type").unwrap();
    assert_eq!(
        kind,
        if answer.status < 300 {
            "application/json"
        } else {
            "application/problem+json"
        }
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_slice(&answer.body).unwrap()
}

fn sent(gateway: &Gateway, fields: &str, path: &str, body: &Value) -> Response {
    let fields = format!("{fields}Content-Type: application/json\r\nAccept: application/json\r\n");
    exchange(
        gateway.http,
        post(path, &fields, body.to_string().as_bytes()),
    )
}

fn send(gateway: &Gateway, cookie: &str, path: &str, body: &Value) -> (u16, Value) {
    let answer = sent(gateway, &format!("{cookie}{OWN}"), path, body);
    (answer.status, read(&answer))
}

fn code(secret: &str) -> String {
    stdout(python("totp.py").arg(secret)).trim().to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Sets an app up; its secret and the backup codes.
fn enrolled(gateway: &Gateway, cookie: &str) -> (String, Vec<String>) {
    let (status, begun) = ask(gateway, cookie, "/.palisade/mfa/enrol");
    assert_eq!(
        (status, &begun["digits"], &begun["seconds"]),
        (200, &json!(6), &json!(600))
    );
    let secret = text(&begun["secret"]);
    assert!(text(&begun["address"]).starts_with("otpauth://totp/Shop:ann?"));
    assert!(text(&begun["qr"]).starts_with("<svg "));
    let (status, wrong) = send(
        gateway,
        cookie,
        "/.palisade/mfa/enrol",
        &json!({"code": "000000"}),
    );
    assert_eq!(
        (status, &wrong["reason"]),
        (403, &json!("second_factor_failed"))
    );
    let (status, done) = send(
        gateway,
        cookie,
        "/.palisade/mfa/enrol",
        &json!({"code": code(&secret)}),
    );
    assert_eq!((status, &done["done"]), (200, &json!("totp")), "{done}");
    let codes = done["backup_codes"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    (secret, codes)
}

#[test]
fn a_program_does_what_the_pages_do() {
    let origin = application();
    let gateway = gateway(&origin);
    let first = signed_in(&gateway);
    let (status, before) = ask(&gateway, &first, "/.palisade/mfa");
    assert_eq!(status, 200);
    assert_eq!(before["required"], true);
    assert_eq!(before["proven"], false);
    assert_eq!(
        before["methods"],
        json!(["totp", "webauthn", "backup_code"])
    );
    assert_eq!(
        before["enrolled"],
        json!({"totp": null, "webauthn": [], "backup_codes": 0})
    );
    let (status, none) = send(
        &gateway,
        &first,
        "/.palisade/mfa",
        &json!({"code": "123456"}),
    );
    assert_eq!(
        (status, &none["reason"]),
        (401, &json!("second_factor_missing"))
    );
    let (_, codes) = enrolled(&gateway, &first);
    assert_eq!(codes.len(), 10);
    assert_eq!(exchange(gateway.http, get("/admin", &first)).status, 200);
    gateway.line("of the enrolment", |line| {
        line["event"] == "factor_enrolled"
    });

    let second = signed_in(&gateway);
    let (_, state) = ask(&gateway, &second, "/.palisade/mfa");
    assert_eq!(
        (&state["proven"], &state["enrolled"]["backup_codes"]),
        (&json!(false), &json!(10))
    );
    assert_eq!(
        state["ask"],
        json!({"totp": {"digits": 6}, "backup_code": true, "webauthn": null})
    );
    for path in ["/.palisade/mfa/enrol", "/.palisade/mfa/key"] {
        let (status, first) = ask(&gateway, &second, path);
        assert_eq!(
            (status, &first["reason"]),
            (401, &json!("second_factor_required")),
            "{path}"
        );
    }
    let (status, first) = send(&gateway, &second, "/.palisade/mfa/codes", &json!({}));
    assert_eq!(
        (status, &first["reason"]),
        (401, &json!("second_factor_required"))
    );
    let (status, wrong) = send(
        &gateway,
        &second,
        "/.palisade/mfa",
        &json!({"code": "00000000"}),
    );
    assert_eq!(
        (status, &wrong["reason"]),
        (403, &json!("second_factor_failed"))
    );
    assert_eq!(wrong["ask"]["backup_code"], true);
    let proof = json!({"code": codes[0], "return": "/admin"});
    let (status, proven) = send(&gateway, &second, "/.palisade/mfa", &proof);
    assert_eq!(
        (status, proven),
        (200, json!({"done": "proven", "return": "/admin"}))
    );
    assert_eq!(
        send(&gateway, &second, "/.palisade/mfa", &proof).0,
        403,
        "used once"
    );
    let (status, made) = send(&gateway, &second, "/.palisade/mfa/codes", &json!({}));
    assert_eq!(
        (status, made["backup_codes"].as_array().unwrap().len()),
        (200, 10)
    );
    let (_, options) = ask(&gateway, &second, "/.palisade/mfa/key");
    assert_eq!(
        options["publicKey"]["rp"],
        json!({"id": "app.test", "name": "Shop"})
    );
    let (status, bad) = send(
        &gateway,
        &second,
        "/.palisade/mfa/key",
        &json!({"answer": {"id": "x"}, "name": "a"}),
    );
    assert_eq!(
        (status, &bad["reason"]),
        (403, &json!("second_factor_failed"))
    );
    let (_, state) = ask(&gateway, &second, "/.palisade/mfa");
    assert_eq!(
        (&state["proven"], &state["ask"]),
        (&json!(true), &Value::Null)
    );
    let (status, off) = send(
        &gateway,
        &second,
        "/.palisade/mfa/off",
        &json!({"code": made["backup_codes"][3]}),
    );
    assert_eq!((status, off), (200, json!({"done": "off"})));
    assert_eq!(exchange(gateway.http, get("/admin", &second)).status, 401);
    gateway.line("of the end", |line| line["event"] == "factor_reset");
}

#[test]
fn no_other_page_and_no_form_sends_json() {
    let origin = application();
    let gateway = gateway(&origin);
    let cookie = signed_in(&gateway);
    let (_, begun) = ask(&gateway, &cookie, "/.palisade/mfa/enrol");
    let body = json!({"code": code(&text(&begun["secret"]))});
    let path = "/.palisade/mfa/enrol";
    for fields in [
        "",
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Origin: http://app.test\r\nSec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: none\r\n",
    ] {
        let answer = sent(&gateway, &format!("{cookie}{fields}"), path, &body);
        assert_eq!(
            (answer.status, read(&answer)["reason"].clone()),
            (403, json!("form_stale")),
            "{fields}"
        );
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded; a=application/json",
        "multipart/form-data; boundary=b",
    ] {
        let fields = format!("{cookie}{OWN}Content-Type: {kind}\r\n");
        let answer = exchange(
            gateway.http,
            post(path, &fields, body.to_string().as_bytes()),
        );
        assert!(
            answer.status == 400 || answer.status == 403,
            "{kind}: {}",
            answer.status
        );
    }
    for wrong in ["[]", "{", "{\"code\": \"1\", \"code\": \"2\"}", "\"x\""] {
        let fields =
            format!("{cookie}{OWN}Content-Type: application/json\r\nAccept: application/json\r\n");
        let answer = exchange(gateway.http, post(path, &fields, wrong.as_bytes()));
        assert_eq!(answer.status, 400, "{wrong}");
    }
    assert_eq!(
        sent(&gateway, OWN, path, &body).status,
        401,
        "without a session"
    );
    // What is no browser has the token.
    let (_, state) = ask(&gateway, &cookie, "/.palisade/mfa");
    let body = json!({"code": body["code"], "token": state["token"]});
    assert_eq!(sent(&gateway, &cookie, path, &body).status, 200);
}

#[test]
fn guesses_are_limited_as_they_are_on_the_pages() {
    let origin = application();
    let gateway = gateway(&origin);
    enrolled(&gateway, &signed_in(&gateway));
    let cookie = signed_in(&gateway);
    let guess = || {
        sent(
            &gateway,
            &format!("{cookie}{OWN}"),
            "/.palisade/mfa",
            &json!({"code": "00000000"}),
        )
    };
    for _ in 0..5 {
        assert_eq!(guess().status, 403);
    }
    let locked = guess();
    assert_eq!(
        (locked.status, read(&locked)["reason"].clone()),
        (429, json!("second_factor_locked"))
    );
    assert!(locked.header("retry-after").is_some());
}
