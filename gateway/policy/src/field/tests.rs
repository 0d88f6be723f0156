#![expect(clippy::unwrap_used, reason = "tests")]

use super::parts::only_reads;
use super::*;
use crate::testing::Scene;

fn read(field: &str, scene: Scene, body: &str) -> Option<String> {
    let field = Field::parse(field).unwrap();
    scene.asked(|request| field.read(request, body.as_bytes()))
}

fn typed(kind: &'static str) -> Scene {
    Scene::default().header("content-type", kind)
}

#[test]
fn finds_a_user_wherever_the_policy_says() {
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    let found = |text: &str| Some(text.to_owned());
    let body = "a=1&e%6Dail=ann%40x.example+&b";
    assert_eq!(
        read("form.email", typed(form), body),
        found("ann@x.example")
    );
    let body = r#"{"user": {"name": "ann", "id": 7}}"#;
    let json = "application/json";
    assert_eq!(read("json.user.name", typed(json), body), found("ann"));
    assert_eq!(read("json.user.id", typed(json), body), found("7"));
    let basic = Scene::default().header("authorization", "Basic YW5uOnNlY3JldDp4");
    assert_eq!(read("basic", basic, ""), found("ann"));
    let cookie = Scene::default().header("cookie", "x=1; u=ann");
    assert_eq!(read("cookie.u", cookie, ""), found("ann"));
}

#[test]
fn what_is_there_twice_or_of_another_type_is_not_there() {
    let form = "application/x-www-form-urlencoded";
    assert_eq!(read("form.u", typed(form), "u=a&u=b"), None);
    assert_eq!(read("form.u", typed("text/plain"), "u=a"), None);
    assert_eq!(read("json.u", typed(form), r#"{"u":"a"}"#), None);
    assert_eq!(read("form.u", typed(form), "u=+"), None);
    let long = format!("u={}", "a".repeat(300));
    assert_eq!(read("form.u", typed(form), &long), None);
}

fn exact(field: &str, scene: Scene, body: &str) -> Option<String> {
    let field = Field::parse(field).unwrap();
    scene.asked(|request| field.exact(request, body.as_bytes()))
}

#[test]
fn what_opens_a_door_has_one_reading() {
    let form = || typed("application/x-www-form-urlencoded");
    let json = || typed("application/json");
    assert_eq!(
        exact("form.u", form(), "a=1&u=ann%40x"),
        Some("ann@x".to_owned())
    );
    assert_eq!(
        exact("json.a.u", json(), r#"{"a": {"u": "ann"}}"#),
        Some("ann".to_owned())
    );
    for body in [
        "u=ann&u=eve",
        "u=ann&U=eve",
        "u=ann&u[]=eve",
        "u=ann&+u=eve",
        "u=ann&u%00=eve",
        "u=ann&[u]=eve",
        "u=ann&u]=eve",
        "u=ann&_charset_=ibm037",
        "x=1;u=eve&u=ann",
        "u=+ann",
        "u=ann%00",
        "u=ann%ff",
        "U=ann",
    ] {
        assert_eq!(exact("form.u", form(), body), None, "{body}");
    }
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("content-encoding", "identity"),
    ] {
        assert_eq!(exact("form.u", form().header(name, value), "u=ann"), None);
    }
    let other = typed("application/x-www-form-urlencoded; charset=ibm037");
    assert_eq!(exact("form.u", other, "u=ann"), None);
    let same = typed("application/x-www-form-urlencoded; charset=\"UTF-8\"");
    assert_eq!(exact("form.u", same, "u=ann"), Some("ann".to_owned()));
    let dotted = exact("form.user_name", form(), "user_name=ann&user.name=eve");
    assert_eq!(dotted, None);
    let asked = Scene {
        query: Some("u=eve"),
        ..form()
    };
    assert_eq!(
        exact("form.u", asked, "u=ann"),
        None,
        "some readers take the query first"
    );
    assert_eq!(
        exact(
            "form.u",
            form().header("content-type", "text/plain"),
            "u=ann"
        ),
        None
    );
    for body in [
        r#"{"u": "eve", "u": "ann"}"#,
        r#"{"u": "ann", "U": "eve"}"#,
        r#"{"u": "ann", "\u0055": "eve"}"#,
        r#"{"u": " ann"}"#,
        r#"{"u": "ann"} {"u": "eve"}"#,
        r#"{"u": ["ann"]}"#,
    ] {
        assert_eq!(exact("json.u", json(), body), None, "{body}");
    }
    let twice = Scene::default()
        .header("x-user", "ann")
        .header("x-user", "eve");
    assert_eq!(exact("header.x-user", twice, ""), None);
}

#[test]
fn what_names_nothing_is_refused() {
    for text in ["email", "form.", "body.x", "header.a b", ""] {
        assert!(Field::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_guess_is_about_one_user_or_nobody_knows_whom() {
    let named = |field: &str, scene: Scene, body: &str| {
        let field = Field::parse(field).unwrap();
        scene.asked(|request| field.named(request, body.as_bytes()))
    };
    let form = || typed("application/x-www-form-urlencoded");
    let json = || typed("application/json");
    let one = |name: &str| Named::One(name.to_owned());
    assert_eq!(named("form.u", form(), "u=+Ann+"), one("Ann"));
    assert_eq!(named("form.u", form(), "x=1"), Named::Nobody);
    assert_eq!(named("form.u", form(), "u=ann&u=eve"), Named::Unclear);
    assert_eq!(named("form.u", form(), "u=ann&U=eve"), Named::Unclear);
    let beside = || Scene {
        query: Some("u=eve"),
        ..form()
    };
    assert_eq!(named("form.u", beside(), "u=ann"), Named::Unclear);
    assert_eq!(named("json.u", json(), r#"{"u": "ann"}"#), one("ann"));
    assert_eq!(
        named("json.u", json(), r#"{"u": "ann", "u": "eve"}"#),
        Named::Unclear
    );
    assert_eq!(
        named("json.u", json(), r#"{"u": "ann", "U": "eve"}"#),
        Named::Unclear
    );
    assert_eq!(named("json.u", form(), "u=ann"), Named::Nobody);
    let parts = "--b\r\nContent-Disposition: form-data; name=\"u\"\r\n\r\nann\r\n--b--\r\n";
    let multipart = || typed("multipart/form-data; boundary=b");
    assert_eq!(named("form.u", multipart(), parts), one("ann"));
    let long = "x".repeat(75);
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"a_long_name\"\r\n\r\n{long}\r\n--b--\r\n"
    );
    assert_eq!(named("form.a_long_name", multipart(), &body), one(&long));
    let twice = parts.replace(
        "--b--",
        "--b\r\nContent-Disposition: form-data; name=\"u\"\r\n\r\neve\r\n--b--",
    );
    assert_eq!(named("form.u", multipart(), &twice), Named::Unclear);
    for name in [" u", "U", "u[]"] {
        let other = twice.replace(
            "name=\"u\"\r\n\r\neve",
            &format!("name=\"{name}\"\r\n\r\neve"),
        );
        assert_eq!(
            named("form.u", multipart(), &other),
            Named::Unclear,
            "{name}"
        );
    }
    let lines = parts.replace("\r\n", "\n");
    assert_eq!(named("form.u", multipart(), &lines), Named::Unclear);
    let same = || Scene {
        query: Some("u=ANN"),
        ..form()
    };
    assert_eq!(named("form.u", same(), "u=ann"), one("ann"));
    for odd in ["u=mia%01", "u=mia%ff", "u=mi%00a"] {
        assert_eq!(named("form.u", form(), odd), Named::Unclear, "{odd}");
    }
    let escaped = r#"{"\u0075": "ann", "\u0075": "eve"}"#;
    assert_eq!(named("json.u", json(), escaped), Named::Unclear);
}

#[test]
fn names_that_some_database_takes_for_one_are_counted_as_one() {
    for other in [
        "Mia",
        " mia ",
        "m\u{ed}a",
        "mi\u{301}a",
        "\u{ff4d}ia",
        "mia\u{200b}",
        "m\u{ad}ia",
        "\u{feff}mia",
    ] {
        assert_eq!(folded(other), "mia", "{other:?}");
    }
    for (name, same) in [
        ("\u{5f20}\u{4f1f}", true),
        ("\u{d55c}\u{ae00}", true),
        ("m\u{fc}ller", false),
        ("\u{938}\u{940}\u{924}\u{93e}", true),
        ("stra\u{df}e", false),
        ("\u{304c}\u{304f}", false),
    ] {
        assert_eq!(folded(name) == name, same, "{name}");
    }
}

#[test]
fn a_form_that_says_that_it_reads_is_found_out() {
    let post = |kind: &'static str, query, body: &str| {
        let scene = Scene {
            method: http::Method::POST,
            query,
            ..typed(kind)
        };
        scene.asked(|request| only_reads(request, body.as_bytes()))
    };
    let form = "application/x-www-form-urlencoded";
    for body in [
        "u=a&_method=GET",
        "_METHOD=head",
        ".method=get",
        "[method=GET",
        "+_method=GET",
        "_method%00x=GET",
    ] {
        assert!(post(form, None, body), "{body}");
    }
    assert!(post(form, Some("_method=GET"), "u=a"));
    let part = |value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\n{value}\r\n")
    };
    let parts = format!("{}{}--b--\r\n", part("POST"), part("GET"));
    assert!(post("multipart/form-data; boundary=b", None, &parts));
    for body in ["u=a&_method=post", "_method=put", "method=totp", "u=a"] {
        assert!(!post(form, None, body), "{body}");
    }
}
