//! The independent programs: curl, openssl, nginx, Python clients. A missing one fails the test and says what
//! installs it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use super::certs::root;

const INSTALL: &str = "is missing: run deploy/test.sh, which installs what the tests talk to";

/// Where deploy/test.sh keeps what it fetched.
pub(crate) fn deps() -> PathBuf {
    std::env::var_os("PALISADE_TEST_DEPS")
        .map_or_else(|| root().join("target/test-deps"), PathBuf::from)
}

/// A program on the PATH (nginx is in sbin on Debian).
pub(crate) fn program(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = std::env::split_paths(&format!("{path}:/usr/sbin:/sbin"))
        .map(|folder| folder.join(name))
        .chain([deps().join("bin").join(name)])
        .find(|file| file.is_file());
    Command::new(found.unwrap_or_else(|| panic!("{name} {INSTALL}")))
}

/// One of `tests/tools/*.py`, run by the Python that has the libraries.
pub(crate) fn python(script: &str) -> Command {
    let python = std::env::var_os("PALISADE_TEST_PYTHON")
        .map_or_else(|| deps().join("venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} {INSTALL}", python.display());
    let mut command = Command::new(python);
    command.arg(
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/tools")
            .join(script),
    );
    command
}

/// The country database of real addresses.
pub(crate) fn country_database() -> PathBuf {
    let file = deps().join(
        "npm/node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb",
    );
    assert!(file.exists(), "{} {INSTALL}", file.display());
    file
}

/// Runs it to its end and returns what it printed; fails when it fails.
#[track_caller]
pub(crate) fn stdout(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs it with that input, whatever its exit status.
pub(crate) fn fed(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// A program that serves until this is dropped.
pub(crate) struct Served {
    child: Child,
}

impl Served {
    /// Starts it and waits for the line `ready` that our own tools print once they listen.
    #[track_caller]
    pub(crate) fn ready(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next();
        let served = Self { child };
        match first {
            Some(Ok(line)) if line == "ready" => {}
            other => panic!("{command:?} did not become ready: {other:?}"),
        }
        std::thread::spawn(move || lines.for_each(drop));
        served
    }

    pub(crate) fn started(child: Child) -> Self {
        Self { child }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
