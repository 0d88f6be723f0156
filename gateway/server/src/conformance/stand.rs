//! The gateway under test: this very binary with a policy made for the suite, in a folder of its own, and the events
//! that it writes.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A gateway that has not begun to listen by then does not.
const START: Duration = Duration::from_secs(120);
/// More ports than this are not tried.
const STARTS: usize = 3;
/// Events are written soon after their answers.
const EVENTS: Duration = Duration::from_secs(20);

/// Where rules are, and how they are used.
#[derive(Debug, Clone)]
pub(crate) struct Crs {
    /// The rule set's folder, with `rules/` in it.
    pub(crate) folder: PathBuf,
    /// Its settings, read before the rules.
    pub(crate) setup: PathBuf,
}

/// Whether a match refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Everything passes, what matches is reported.
    Detection,
    /// Requests and answers over the threshold are refused.
    Blocking,
}

/// A running gateway; ended when dropped.
#[derive(Debug)]
pub(crate) struct Stand {
    child: Child,
    folder: Folder,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

#[derive(Debug)]
enum Folder {
    Gone(TempDir),
    Kept(PathBuf),
}

impl Crs {
    /// Finds rules and settings.
    ///
    /// # Errors
    /// A sentence when there are none.
    pub(crate) fn find(folder: &Path, setup: Option<&Path>) -> Result<Self, String> {
        let folder = folder
            .canonicalize()
            .map_err(|why| format!("{}: {why}", folder.display()))?;
        if !folder.join("rules").is_dir() {
            return Err(format!("{} has no folder rules/", folder.display()));
        }
        let usual = [
            folder.join("crs-setup.conf"),
            folder.join("crs-setup.conf.example"),
            // Debian keeps settings apart from what its package replaces.
            PathBuf::from("/etc/modsecurity/crs/crs-setup.conf"),
        ];
        let setup = match setup {
            Some(own) => own
                .canonicalize()
                .map_err(|why| format!("{}: {why}", own.display()))?,
            None => usual
                .into_iter()
                .find(|file| file.is_file())
                .ok_or("no crs-setup.conf there: name one with --setup")?,
        };
        Ok(Self { folder, setup })
    }

    fn files(&self, settings: &Path) -> Vec<String> {
        let mut files = vec![
            settings.display().to_string(),
            self.setup.display().to_string(),
        ];
        let mut add = |pattern: &str| {
            let pattern = self.folder.join(pattern).display().to_string();
            if glob::glob(&pattern).is_ok_and(|mut found| found.next().is_some()) {
                files.push(pattern);
            }
        };
        for pattern in [
            "plugins/*-config.conf",
            "plugins/*-before.conf",
            "rules/*.conf",
            "plugins/*-after.conf",
        ] {
            add(pattern);
        }
        files
    }
}

impl Stand {
    /// Writes policy and settings, starts the gateway and waits until it listens.
    ///
    /// # Errors
    /// A sentence with what the gateway said.
    pub(crate) fn start(
        crs: &Crs,
        mode: Mode,
        paranoia: u8,
        backend: SocketAddr,
        keep: bool,
    ) -> Result<Self, String> {
        let made = |crs: &Crs| {
            let folder = Folder::make(keep)?;
            let address = free().map_err(|why| format!("no free port: {why}"))?;
            let settings = folder.path().join("policy/settings.conf");
            let text = policy_text(&crs.files(&settings), mode, paranoia, address, backend);
            let written = fs::create_dir_all(folder.path().join("policy"))
                .and_then(|()| fs::write(&settings, directives(mode, paranoia)))
                .and_then(|()| fs::write(folder.path().join("policy/policy.yaml"), text));
            written.map_err(|why| format!("the folder of the gateway: {why}"))?;
            Self::spawn(folder, address)
        };
        // Somebody may take the port between its choice and its use.
        let taken = |made: &Result<Self, String>| {
            made.as_ref()
                .is_err_and(|why| why.to_lowercase().contains("in use"))
        };
        let mut stand = made(crs);
        for _ in 0..STARTS {
            if !taken(&stand) {
                break;
            }
            stand = made(crs);
        }
        stand
    }

    fn spawn(folder: Folder, address: SocketAddr) -> Result<Self, String> {
        let errors = fs::File::create(folder.path().join("stderr"));
        let errors = errors.map_err(|why| format!("the folder of the gateway: {why}"))?;
        let binary = std::env::current_exe().map_err(|why| format!("this program: {why}"))?;
        let child = Command::new(binary)
            .arg("run")
            .arg(folder.path().join("policy/policy.yaml"))
            .arg("--events")
            .arg(folder.path().join("events.jsonl"))
            .args(["--events-when-full", "wait", "--admin", "off"])
            .arg("--upgrade-folder")
            .arg(folder.path().join("upgrade"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(|why| format!("the gateway: {why}"))?;
        let mut stand = Self {
            child,
            folder,
            address,
        };
        stand.wait()?;
        Ok(stand)
    }

    fn wait(&mut self) -> Result<(), String> {
        let until = Instant::now() + START;
        loop {
            let said = || fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the gateway ended with {status}:\n{}", said()));
            }
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("the gateway does not listen:\n{}", said()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Where policy, events and errors of the gateway lie.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The events of each client, once every one of `clients` has as many as it sent requests.
    pub(crate) fn events(&self, clients: &[(Ipv4Addr, usize)]) -> HashMap<Ipv4Addr, Vec<Value>> {
        let file = self.folder.path().join("events.jsonl");
        let until = Instant::now() + EVENTS;
        loop {
            let text = fs::read(&file).unwrap_or_default();
            let mut all: HashMap<Ipv4Addr, Vec<Value>> = HashMap::new();
            for line in text.split(|byte| *byte == b'\n') {
                let Ok(event) = serde_json::from_slice::<Value>(line) else {
                    continue;
                };
                let client = event.get("client").and_then(Value::as_str);
                if let Some(client) = client.and_then(|client| client.parse().ok()) {
                    all.entry(client).or_default().push(event);
                }
            }
            let whole =
                |(client, sent): &(Ipv4Addr, usize)| all.get(client).map_or(0, Vec::len) >= *sent;
            if clients.iter().all(whole) || Instant::now() > until {
                return all;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Folder {
    fn make(keep: bool) -> Result<Self, String> {
        let made = tempfile::Builder::new()
            .prefix("palisade-conformance-")
            .tempdir();
        let made = made.map_err(|why| format!("the folder of the gateway: {why}"))?;
        Ok(match keep {
            true => Self::Kept(made.keep()),
            false => Self::Gone(made),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Gone(folder) => folder.path(),
            Self::Kept(folder) => folder,
        }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free() -> std::io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

/// What the suite's continuous integration sets, and the three engine rules that the rule set presupposes.
fn directives(mode: Mode, paranoia: u8) -> String {
    let engine = match mode {
        Mode::Detection => "DetectionOnly",
        Mode::Blocking => "On",
    };
    let limits = [
        "arg_name_length=100",
        "arg_length=400",
        "total_arg_length=6400",
        "max_num_args=255",
        "max_file_size=64100",
        "combined_file_sizes=65535",
        "crs_validate_utf8_encoding=1",
    ];
    // The second pair of names is what releases before 4 read.
    let levels = [
        "blocking_paranoia_level",
        "detection_paranoia_level",
        "paranoia_level",
        "executing_paranoia_level",
    ];
    let levels = levels.map(|name| format!("setvar:tx.{name}={paranoia}"));
    let limits = limits.map(|limit| format!("setvar:tx.{limit}"));
    format!(
        "SecRuleEngine {engine}\n\
         SecRequestBodyAccess On\n\
         SecResponseBodyAccess On\n\
         SecResponseBodyMimeType text/plain text/html text/xml application/json\n\
         SecAction \"id:900005,phase:1,nolog,pass,t:none,{},{}\"\n\
         SecRule REQUEST_HEADERS:Content-Type \"@rx (?i)^(?:application(?:/soap\\+|/)|text/)xml\" \
         \"id:200000,phase:1,t:none,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
         SecRule REQUEST_HEADERS:Content-Type \"@rx (?i)^application/json\" \
         \"id:200001,phase:1,t:none,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
         SecRule REQBODY_ERROR \"!@eq 0\" \
         \"id:200002,phase:2,t:none,log,deny,status:400,severity:CRITICAL,msg:'The body is not what its type says'\"\n",
        levels.join(","),
        limits.join(","),
    )
}

fn policy_text(
    rules: &[String],
    mode: Mode,
    paranoia: u8,
    address: SocketAddr,
    backend: SocketAddr,
) -> String {
    let quoted = |text: &String| Value::from(text.as_str()).to_string();
    let rules = rules.iter().map(quoted).collect::<Vec<_>>().join(", ");
    let mode = match mode {
        Mode::Detection => "observe",
        Mode::Blocking => "enforce",
    };
    format!(
        "version: 1\n\
         listen: [{{address: \"{address}\"}}]\n\
         events: {{query: true, values: true}}\n\
         paths: {{encoded_slash: keep, double_encoding: keep}}\n\
         limits: {{body_deadline: 10s}}\n\
         upstreams: {{backend: {{servers: [\"{backend}\"]}}}}\n\
         checks:\n  crs: {{check: waf, mode: {mode}, paranoia: {paranoia}, rules: [{rules}]}}\n\
         routes:\n  - {{name: all, match: {{path: \"/*\"}}, to: backend, use: [crs], public: \"the suite\"}}\n"
    )
}
