//! TLS as openssl sees it: versions, server names, client certificates, ALPN, certificates replaced on disk.

use crate::support::certs;
use crate::support::gateway::replace;
use crate::support::tools::{fed, program, stdout};
use crate::support::{Gateway, Origin, Plan, until};

/// One HTTP/1.1 request through `openssl s_client`; everything it printed.
fn s_client(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = fed(
        program("openssl")
            .args(["s_client", "-connect", &gateway.tls.to_string(), "-CAfile"])
            .arg(certs::file("ca.pem"))
            .args(["-ign_eof"])
            .args(arguments),
        b"GET /s HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
    );
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A listener that asks for certificates of the throw-away authority.
fn asking(plan: Plan, require: bool) -> Plan {
    let [cert, key, ca] = ["server.pem", "server.key", "ca.pem"].map(certs::file);
    plan.tls_with(&format!(
        "{{certificates: [{{cert: {cert}, key: {key}}}], client_auth: {{ca: {ca}, require: {require}}}}}"
    ))
}

fn subject(output: &str) -> String {
    output
        .lines()
        .find_map(|line| line.trim().strip_prefix("subject="))
        .unwrap_or_default()
        .replace(' ', "")
}

#[test]
fn speaks_tls_12_and_13_and_nothing_older() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).tls());
    for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let out = s_client(&gateway, &[flag, "-servername", "app.test"]);
        assert!(
            out.contains("Verify return code: 0 (ok)") && out.contains(version),
            "{out}"
        );
        assert!(out.contains("HTTP/1.1 200"), "{out}");
    }
    for old in ["-tls1", "-tls1_1"] {
        let out = s_client(&gateway, &[old, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(!out.contains("HTTP/1.1"), "{out}");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_listener_for_tls_13_only_refuses_12() {
    let origin = Origin::start();
    let (cert, key) = (certs::file("server.pem"), certs::file("server.key"));
    let plan = Plan::open(origin.address).tls_with(&format!(
        "{{certificates: [{{cert: {cert}, key: {key}}}], min: \"1.3\"}}"
    ));
    let gateway = Gateway::start(&plan);
    assert!(s_client(&gateway, &["-tls1_3"]).contains("HTTP/1.1 200"));
    assert!(!s_client(&gateway, &["-tls1_2"]).contains("HTTP/1.1"));
}

#[test]
fn the_server_name_chooses_the_certificate() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).tls());
    for (name, expected) in [
        ("app.test", "CN=localhost"),
        ("a.app.test", "CN=localhost"),
        ("other.test", "CN=other.test"),
        ("OTHER.test", "CN=other.test"),
        ("unknown.test", "CN=localhost"),
    ] {
        let out = s_client(&gateway, &["-servername", name]);
        assert_eq!(subject(&out), expected, "{name}");
    }
    assert_eq!(
        subject(&s_client(&gateway, &["-noservername"])),
        "CN=localhost"
    );
}

#[test]
fn alpn_chooses_h2_first() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Plan::open(origin.address).tls());
    for (offer, chosen) in [("h2,http/1.1", "h2"), ("http/1.1", "http/1.1")] {
        let output = fed(
            program("openssl").args([
                "s_client",
                "-connect",
                &gateway.tls.to_string(),
                "-alpn",
                offer,
            ]),
            b"",
        );
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(out.contains(&format!("ALPN protocol: {chosen}")), "{out}");
    }
}

#[test]
fn client_certificates_are_verified() {
    let origin = Origin::start();
    let (cert, key) = (certs::file("server.pem"), certs::file("server.key"));
    let plan = asking(Plan::open(origin.address), true);
    let gateway = Gateway::start(&plan);
    let (client, client_key) = (certs::file("client.pem"), certs::file("client.key"));
    assert!(s_client(&gateway, &["-cert", &client, "-key", &client_key]).contains("HTTP/1.1 200"));
    assert!(
        !s_client(&gateway, &[]).contains("HTTP/1.1"),
        "a client without a certificate came in"
    );
    let strangers = tempfile::tempdir().unwrap();
    certs::make(strangers.path());
    let stranger = strangers.path().join("client.pem").display().to_string();
    let stranger_key = strangers.path().join("client.key").display().to_string();
    assert!(!s_client(&gateway, &["-cert", &stranger, "-key", &stranger_key]).contains("HTTP/1.1"));
    // A server's certificate of the right authority is no client's.
    assert!(!s_client(&gateway, &["-cert", &cert, "-key", &key]).contains("HTTP/1.1"));
    assert_eq!(origin.count(), 1);
}

/// Whoever shows a certificate is let in by what stands in it, and whoever shows none is not.
#[test]
fn routes_ask_for_the_certificate_of_one_client() {
    let origin = Origin::start();
    let (client, client_key) = (certs::file("client.pem"), certs::file("client.key"));
    let shown = stdout(program("openssl").args([
        "x509",
        "-in",
        &client,
        "-noout",
        "-fingerprint",
        "-sha256",
    ]));
    let fingerprint = shown.trim().split_once('=').unwrap().1;
    let asks = |certificate: &str| {
        let plan = Plan::new(origin.address)
            .check(
                "known",
                &format!("{{check: authorize, certificate: {certificate}}}"),
            )
            .route("{name: all, match: {path: \"/*\"}, to: app, use: [known], public: test}");
        Gateway::start(&asking(plan, false))
    };
    let own = ["-cert", &client, "-key", &client_key];
    for (certificate, status) in [
        ("{subject: \"CN=*\"}".to_owned(), "200"),
        (format!("{{fingerprint: \"{fingerprint}\"}}"), "200"),
        ("{subject: \"CN=somebody else\"}".to_owned(), "403"),
        (format!("{{fingerprint: \"{}\"}}", "ab".repeat(32)), "403"),
    ] {
        let gateway = asks(&certificate);
        let answer = s_client(&gateway, &own);
        assert!(
            answer.contains(&format!("HTTP/1.1 {status}")),
            "{certificate}: {answer}"
        );
        let none = s_client(&gateway, &[]);
        assert!(
            none.contains("HTTP/1.1 40") && !none.contains("HTTP/1.1 200"),
            "{certificate}: {none}"
        );
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_certificate_replaced_on_disk_is_served_without_a_restart() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("s.pem"), folder.path().join("s.key"));
    let copy = |name: &str| {
        replace(
            &key,
            &std::fs::read(certs::file(&format!("{name}.key"))).unwrap(),
        );
        replace(
            &cert,
            &std::fs::read(certs::file(&format!("{name}.pem"))).unwrap(),
        );
    };
    copy("server");
    let plan = Plan::open(origin.address).tls_with(&format!(
        "{{certificates: [{{cert: {}, key: {}}}]}}",
        cert.display(),
        key.display()
    ));
    let gateway = Gateway::start(&plan);
    assert_eq!(subject(&s_client(&gateway, &[])), "CN=localhost");
    copy("other");
    until("the new certificate is served", || {
        (subject(&s_client(&gateway, &[])) == "CN=other.test").then_some(())
    });
    // A broken one does not replace a working one.
    replace(
        &cert,
        b"-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n",
    );
    gateway.signal("HUP");
    assert!(s_client(&gateway, &[]).contains("HTTP/1.1 200"));
    assert_eq!(subject(&s_client(&gateway, &[])), "CN=other.test");
}
