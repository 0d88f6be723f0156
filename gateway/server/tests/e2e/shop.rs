//! `palisade demo` with the policy that protects its shop: a real browser signs in, sets a second factor up, buys, and is
//! stopped where it should be.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::gateway::palisade;
use crate::support::raw::{exchange, get, post};
use crate::support::tools::{Served, python, stdout};
use crate::support::until;

#[test]
fn a_browser_walks_through_the_protected_shop() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut command = palisade();
    command.args([
        "demo",
        "--port",
        "0",
        "--tls-port",
        "0",
        "--admin-port",
        "0",
        "--folder",
    ]);
    let mut child = command
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let _served = Served::started(child);
    let address = lines.find_map(|line| {
        let line = line.unwrap();
        let (_, rest) = line.split_once("in front of a small shop: http://")?;
        rest.split(' ').next().unwrap().parse().ok()
    });
    let address: std::net::SocketAddr = address.expect("the guide");
    std::thread::spawn(move || lines.for_each(drop));
    // As the guide says.
    std::fs::copy(at("protected.yaml"), at("policy.yaml")).unwrap();
    until("the policy is in service", || {
        let page = exchange(address, get("/account", "Accept: text/html\r\n"));
        (page.header("location") == Some("/login?return=%2Faccount")).then_some(())
    });
    // Nothing of a browser's is needed to be refused.
    let forged = post(
        "/login",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        b"user=mia&password=correct+horse",
    );
    assert_eq!(
        exchange(address, forged).status,
        403,
        "a log-in without the form's token"
    );
    let pictures =
        std::env::var_os("PALISADE_TEST_PICTURES").map_or_else(|| at("pictures"), Into::into);
    std::fs::create_dir_all(&pictures).unwrap();
    let url = format!("http://localhost:{}", address.port());
    let said = stdout(python("shop.py").arg(url).arg(pictures));
    assert!(said.contains("walked"), "{said}");
}
