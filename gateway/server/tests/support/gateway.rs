//! The real binary with a policy of its own, its events, its metrics and its end.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::plan::Plan;
use super::ports::Port;
use super::raw::{Response, exchange, exchange_at};
use super::until;

/// Where policies of the tests have their admin socket.
pub(crate) const SOCKET: &str = "admin.sock";

/// The binary under test.
pub(crate) fn palisade() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    command.env_remove("RUST_LOG");
    command
}

/// Runs a command of the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    palisade()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// `palisade run` on the policy in that folder, ready to hand its sockets over through a folder beside it.
fn command(folder: &Path, plan: &Plan) -> Command {
    let mut command = palisade();
    command
        .arg("run")
        .arg(folder.join("policy.yaml"))
        .arg("--upgrade-folder")
        .arg(folder.join("upgrade"))
        .envs(plan.env.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) http: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) admin: SocketAddr,
    plan: Plan,
    lines: Arc<Mutex<Vec<Value>>>,
    stderr: Arc<Mutex<String>>,
    _ports: [Port; 3],
}

impl Gateway {
    /// Starts and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(plan: &Plan) -> Self {
        let mut gateway = Self::launch(plan);
        gateway.wait_ready();
        gateway
    }

    /// Starts and does not wait.
    #[track_caller]
    pub(crate) fn launch(plan: &Plan) -> Self {
        let ports = [Port::take(), Port::take(), Port::take()];
        let [http, tls, admin] = [&ports[0], &ports[1], &ports[2]].map(Port::address);
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in &plan.files {
            write(&folder.path().join(name), content);
        }
        let policy = folder.path().join("policy.yaml");
        write(&policy, plan.render(http, tls, admin).as_bytes());
        let mut child = command(folder.path(), plan).spawn().unwrap();
        let lines = Arc::default();
        let stderr = Arc::default();
        collect(&mut child, &lines, &stderr);
        Self {
            child,
            folder,
            http,
            tls,
            admin,
            plan: plan.clone(),
            lines,
            stderr,
            _ports: ports,
        }
    }

    #[track_caller]
    fn wait_ready(&mut self) {
        let addresses: Vec<_> = [
            Some(self.http),
            Some(self.admin),
            self.plan.wants_tls().then_some(self.tls),
        ]
        .into_iter()
        .flatten()
        .collect();
        until("the gateway listens", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the gateway ended with {status}: {}", self.stderr());
            }
            addresses
                .iter()
                .all(|address| TcpStream::connect(address).is_ok())
                .then_some(())
        });
        until("the gateway is ready", || {
            (self.admin_get("/readyz").status == 200).then_some(())
        });
    }

    /// Kills it without warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was, after [`Gateway::kill`].
    #[track_caller]
    pub(crate) fn again(&mut self) {
        self.child = command(self.folder.path(), &self.plan).spawn().unwrap();
        collect(&mut self.child, &self.lines, &self.stderr);
        self.wait_ready();
    }

    /// Starts a second process that takes the sockets over, as an operator does for a new binary.
    pub(crate) fn upgrade(&self) -> Second {
        let second = self.successor();
        self.signal("QUIT");
        second
    }

    /// The second process of an upgrade, before the first is asked for its sockets.
    pub(crate) fn successor(&self) -> Second {
        let mut child = command(self.folder.path(), &self.plan)
            .arg("--upgrade")
            .spawn()
            .unwrap();
        let lines = Arc::default();
        collect(&mut child, &lines, &Arc::default());
        Second { child, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.folder.path().join("policy.yaml")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Replaces the policy by another one with the same addresses, all at once.
    pub(crate) fn replace(&self, plan: &Plan) {
        for (name, content) in &plan.files {
            write(&self.path(name), content);
        }
        self.replace_text(&plan.render(self.http, self.tls, self.admin));
    }

    pub(crate) fn replace_text(&self, text: &str) {
        replace(&self.policy(), text.as_bytes());
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        until("the gateway ends", || self.child.try_wait().unwrap())
    }

    pub(crate) fn admin_get(&self, path: &str) -> Response {
        self.admin_ask("GET", path)
    }

    pub(crate) fn admin_ask(&self, method: &str, path: &str) -> Response {
        self.admin_send(method, path, "")
    }

    /// Metrics and probes are asked for at the address, as by those who scrape; the rest over the socket.
    pub(crate) fn admin_send(&self, method: &str, path: &str, body: &str) -> Response {
        let (host, length) = (self.admin, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        if matches!(path, "/metrics" | "/healthz" | "/readyz") {
            exchange(self.admin, request)
        } else {
            exchange_at(&self.path(SOCKET), request)
        }
    }

    /// What `--admin` names.
    pub(crate) fn operator(&self) -> String {
        format!("unix:{}", self.path(SOCKET).display())
    }

    /// Every JSON line that was printed so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a line for which this holds.
    #[track_caller]
    pub(crate) fn line(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        until(&format!("an event line: {what}"), || {
            self.lines().into_iter().find(|line| holds(line))
        })
    }

    /// The one event of the request with that id.
    #[track_caller]
    pub(crate) fn event(&self, request_id: &str) -> Value {
        self.line(&format!("of request {request_id}"), |line| {
            line["request_id"] == request_id && line.get("status").is_some()
        })
    }

    /// Waits for an event with that reason.
    #[track_caller]
    pub(crate) fn refused_for(&self, reason: &str) -> Value {
        self.line(&format!("with reason {reason}"), |line| {
            line["reason"] == reason
        })
    }

    /// The sum of every sample of that metric whose labels hold all of `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        sample(&self.admin_get("/metrics").text(), name, labels)
    }

    /// Waits until the metric has at least that value.
    #[track_caller]
    pub(crate) fn metric_reaches(&self, name: &str, labels: &[(&str, &str)], least: f64) {
        until(&format!("{name}{labels:?} reaches {least}"), || {
            (self.metric(name, labels) >= least).then_some(())
        });
    }

    /// Resident memory in KiB.
    pub(crate) fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .and_then(|number| number.trim().parse().ok())
            .unwrap()
    }
}

/// The process that took over.
pub(crate) struct Second {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Second {
    /// Whether a request came to this one.
    pub(crate) fn serves(&self) -> bool {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .any(|line| line["event"] == "request")
    }

    /// Asks it to end once it listens to signals, and waits until it has.
    #[track_caller]
    pub(crate) fn call_off(&mut self) -> ExitStatus {
        const TERM: u64 = 1 << 14;
        let status = format!("/proc/{}/status", self.child.id());
        until("the second process listens to signals", || {
            let text = std::fs::read_to_string(&status).unwrap();
            let mut lines = text.lines();
            let caught = lines.find_map(|line| line.strip_prefix("SigCgt:"))?;
            let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
            (caught & TERM != 0).then_some(())
        });
        signal(self.child.id(), "TERM");
        until("the second process ends", || self.child.try_wait().unwrap())
    }

    pub(crate) fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(process: u32, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &process.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "kill -s {name}");
}

impl Drop for Second {
    fn drop(&mut self) {
        self.end();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("stderr of the gateway:\n{}", self.stderr());
            for line in self.lines().iter().rev().take(20).rev() {
                eprintln!("{line}");
            }
        }
    }
}

/// The sum of every sample of that metric whose labels hold all of `labels`.
pub(crate) fn sample(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        })
        .filter(|line| {
            labels
                .iter()
                .all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Writes a file and the folders above it.
pub(crate) fn write(file: &Path, content: &[u8]) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, content).unwrap();
}

/// Replaces a file as careful editors do: written beside it, then renamed.
pub(crate) fn replace(file: &Path, content: &[u8]) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, content).unwrap();
    std::fs::rename(&beside, file).unwrap();
}

fn collect(child: &mut Child, lines: &Arc<Mutex<Vec<Value>>>, stderr: &Arc<Mutex<String>>) {
    let (out, lines) = (child.stdout.take().unwrap(), Arc::clone(lines));
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            // What is no JSON is kept as a string: a test that looks for events then fails with it in view.
            let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
            lines.lock().unwrap().push(value);
        }
    });
    let (mut err, stderr) = (child.stderr.take().unwrap(), Arc::clone(stderr));
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = err.read(&mut chunk) {
            let text = String::from_utf8_lossy(&chunk[..read]);
            stderr.lock().unwrap().push_str(&text);
        }
    });
}
