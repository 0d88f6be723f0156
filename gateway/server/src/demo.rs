//! `palisade demo`: an application, a gateway in front of it, and a list of things to try. Everything lies in one
//! folder that goes when it ends; nothing but this binary is needed.

mod application;
mod guide;

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use crate::events::unix_ms;
use crate::gateway::{Gateway, Options};
use crate::policy_file::PolicyFile;
use crate::store::Store;

/// The built-in WAF rules: names and texts.
const BUILTIN_RULES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/builtin_rules.rs"));

const POLICY: &str = include_str!("demo/policy.yaml");

/// What the demo keeps is gone at its end.
const KEPT: &str =
    "state: {kind: file, path: protected.redb, seal: seal}          # factors outlive a restart\n";
/// What an application with a log-in form and nothing else can have, and who is who there.
const PROTECTED: &str = include_str!("../../../policies/examples/protected.yaml");
const USERS: &str = include_str!("../../../policies/examples/users.yaml");

/// How long the demo's tokens are good for.
const TOKEN_LIFE: u64 = 12 * 3600;

/// Ports that are wanted; another one is taken when it is in use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) https: u16,
    pub(crate) admin: u16,
}

/// The demo's folder, filled.
#[derive(Debug)]
struct Stage {
    folder: PathBuf,
    http: SocketAddr,
    https: SocketAddr,
    admin: SocketAddr,
    user: String,
    admin_user: String,
}

/// Why the demo did not start.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The folder's policy has faults.
    Policy(Vec<policy::fault::Fault>),
    /// Something could not be opened.
    Start(String),
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self::Start(why)
    }
}

/// Runs until a signal ends it.
///
/// # Errors
/// When the policy in `folder` has faults, or something cannot be opened.
pub(crate) fn run(folder: &Path, ports: Ports, options: Options) -> Result<(), Failed> {
    let application = application::start().map_err(|why| format!("the application: {why}"))?;
    let stage = Stage::set(folder, ports, application)?;
    let file = PolicyFile::find(&folder.join("policy.yaml"))?;
    let (loaded, seen) = file.load();
    let loaded = loaded.map_err(Failed::Policy)?;
    let store = Store::in_memory(&loaded.policy.settings().state);
    let gateway = Gateway::prepare(file, (loaded, seen), store, &options)?;
    let shared = gateway.shared();
    let guide = move || {
        let begun = Instant::now();
        while !shared.ready() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        if shared.ready() {
            let text = guide::text(&stage);
            // A closed terminal must not end the demo.
            let _ = io::stdout().write_all(text.as_bytes());
        }
    };
    let thread = std::thread::Builder::new().name("guide".to_owned());
    thread.spawn(guide).map_err(|why| why.to_string())?;
    Ok(gateway.serve(options)?)
}

impl Stage {
    /// Writes policy, rules, certificate and secret. Never over a policy that is there: somebody's work.
    fn set(folder: &Path, ports: Ports, application: SocketAddr) -> Result<Self, String> {
        let (http, https, admin) = (free(ports.http)?, free(ports.https)?, free(ports.admin)?);
        let at = |name: &str| folder.join(name);
        let failed = |why: io::Error| format!("{}: {why}", folder.display());
        if at("policy.yaml").exists() {
            return Err(format!("{} holds a policy already", folder.display()));
        }
        fs::create_dir_all(at("waf")).map_err(failed)?;
        for (name, text) in BUILTIN_RULES {
            fs::write(at("waf").join(name), text).map_err(failed)?;
        }
        certificate(folder)?;
        let secret = secret()?;
        private(&at("jwt.secret"), secret.as_bytes()).map_err(failed)?;
        let policy = POLICY
            .replace("@HTTP@", &http.port().to_string())
            .replace("@HTTPS@", &https.port().to_string())
            .replace("@ADMIN@", &admin.port().to_string())
            .replace("@APP@", &application.port().to_string());
        fs::write(at("policy.yaml"), policy).map_err(failed)?;
        let protected = PROTECTED
            .replace(
                "$schema=../palisade.schema.json",
                "The same shop with everything that it lacks; made for the demo.",
            )
            .replace("0.0.0.0:8080", &http.to_string())
            .replace("127.0.0.1:9900", &admin.to_string())
            .replace("127.0.0.1:3000", &application.to_string())
            .replace(", seal: {file: seal.secret}", "")
            .replace(KEPT, "")
            .replace("../waf/", "waf/");
        fs::write(at("protected.yaml"), protected).map_err(failed)?;
        fs::write(at("users.yaml"), USERS).map_err(failed)?;
        private(&at("csrf.secret"), crate::demo::secret()?.as_bytes()).map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            http,
            https,
            admin,
            user: token(&secret, "mia", "user")?,
            admin_user: token(&secret, "ada", "admin")?,
        })
    }
}

/// The wanted port, or any that is free.
fn free(wanted: u16) -> Result<SocketAddr, String> {
    let listener = TcpListener::bind(("127.0.0.1", wanted))
        .or_else(|_| TcpListener::bind(("127.0.0.1", 0)))
        .and_then(|listener| listener.local_addr());
    listener.map_err(|why| format!("no free port: {why}"))
}

fn certificate(folder: &Path) -> Result<(), String> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(|why| why.to_string())?;
    fs::write(folder.join("demo.pem"), made.cert.pem())
        .and_then(|()| {
            private(
                &folder.join("demo.key"),
                made.signing_key.serialize_pem().as_bytes(),
            )
        })
        .map_err(|why| format!("{}: {why}", folder.display()))
}

/// 256 random bits, as text.
fn secret() -> Result<String, String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|why| format!("no randomness: {why}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Readable for this user only.
fn private(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(content)
}

fn token(secret: &str, user: &str, role: &str) -> Result<String, String> {
    let now = unix_ms() / 1000;
    let claims = json!({
        "sub": user,
        "role": role,
        "token_type": "access",
        "iat": now,
        "exp": now + TOKEN_LIFE,
    });
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use super::{PolicyFile, Ports, Stage, unix_ms};

    #[test]
    fn fills_a_folder_with_a_policy_that_holds_what_it_claims() {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports {
            http: 0,
            https: 0,
            admin: 0,
        };
        let stage = Stage::set(folder.path(), ports, ([127, 0, 0, 1], 3).into()).unwrap();
        assert_eq!(stage.user.split('.').count(), 3);
        for name in ["jwt.secret", "csrf.secret", "demo.key"] {
            let about = std::fs::metadata(folder.path().join(name)).unwrap();
            assert_eq!(about.permissions().mode() & 0o777, 0o600);
        }
        let file = PolicyFile::find(folder.path()).unwrap();
        let loaded = file.load().0.unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let policy = &loaded.policy;
        for report in policy::cases::run(policy, policy.cases(), unix_ms()) {
            assert!(report.differences.is_empty(), "{report:?}");
        }
        let policy = std::fs::read_to_string(file.path()).unwrap();
        assert!(policy.contains("127.0.0.1:3\"") && !policy.contains('@'));
        let file = PolicyFile::find(&folder.path().join("protected.yaml")).unwrap();
        let loaded = file.load().0.unwrap();
        let told: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert!(
            matches!(&told[..], [one] if one.contains("`state` is memory")),
            "{told:?}"
        );
        let policy = std::fs::read_to_string(file.path()).unwrap();
        for other in ["0.0.0.0", "9900", "3000", "../"] {
            assert!(!policy.contains(other), "{other}");
        }
    }
}
