//! `palisade secret`: makes secrets, replaces one in a file without a moment in which it is missing or half there, and
//! shows how those of a running gateway are.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::Value;
use zeroize::Zeroizing;

use super::remote_admin::At;
use super::{Exit, say};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  palisade secret generate                                    32 random bytes, as text
  palisade secret generate --kind ed25519 --out keys/tokens   keys/tokens and keys/tokens.pub, in PEM
  palisade secret rotate /run/secrets/jwt                     the old value goes to /run/secrets/jwt.previous
  palisade secret list --policy policy.yaml                   provider, age and faults of each, never a value")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a new secret.
    #[command(after_help = "\
Examples:
  palisade secret generate --bytes 64 --kind hex
  palisade secret generate --kind p256 --out keys/tokens")]
    Generate(Generate),
    /// Put a new secret where one is, and keep the old one beside it.
    #[command(after_help = "\
A gateway notices both files. With `previous_for` it accepts the old value for that long; name the old file as `previous`
to have it accepted after a restart as well:
  secrets: {jwt: {file: /run/secrets/jwt, previous: {file: /run/secrets/jwt.previous}, previous_for: 24h}}

Examples:
  palisade secret rotate /run/secrets/jwt
  palisade secret rotate /run/secrets/jwt --previous /run/secrets/jwt.old --bytes 64")]
    Rotate(Rotate),
    /// How the secrets of a running gateway are: provider, age, faults. Never a value.
    #[command(
        visible_alias = "status",
        after_help = "\
Examples:
  palisade secret list --policy policy.yaml
  palisade secret list --json | jq '.secrets[] | select(.fault)'

Exit codes: 0 none fails, 1 some do, 3 no gateway there."
    )]
    List {
        #[command(flatten)]
        at: At,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Random bytes for HMAC, sealing and tokens, as base64url text.
    Hmac,
    /// Random bytes, as hexadecimal digits.
    Hex,
    /// A key pair for EdDSA, in PEM.
    Ed25519,
    /// A key pair for ES256, in PEM.
    P256,
    /// A key pair for ES384, in PEM.
    P384,
}

#[derive(Debug, clap::Args)]
struct What {
    /// Random bytes, where the kind has any.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(16..=4096))]
    bytes: u16,
    /// What it is for.
    #[arg(long, value_name = "KIND", default_value = "hmac")]
    kind: Kind,
}

#[derive(Debug, clap::Args)]
struct Generate {
    #[command(flatten)]
    what: What,
    /// Write it to a file that only this user can read, a public key beside it as .pub. Default: standard output.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Rotate {
    /// The file that holds it.
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    what: What,
    /// Where the old one goes. Default: beside it, as .previous.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    previous: Option<PathBuf>,
}

/// A secret, and what of it is for everybody.
struct Made {
    secret: Zeroizing<String>,
    public: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let done = match &arguments.command {
        Command::Generate(generate) => generate.run(),
        Command::Rotate(rotate) => rotate.run(),
        Command::List { at, json } => return list(at, *json),
    };
    match done {
        Ok(said) => {
            say(said);
            Exit::Ok
        }
        Err(why) => {
            eprintln!("palisade: {why}");
            Exit::Faults
        }
    }
}

fn list(at: &At, json: bool) -> Exit {
    let mut failing = false;
    let shown = at.show(|remote| {
        let answer = remote.ask(&Method::GET, "/secrets", None)?;
        let secrets = answer.get("secrets").and_then(Value::as_array);
        let secrets: Vec<&Value> = secrets.into_iter().flatten().collect();
        failing = secrets
            .iter()
            .any(|one| !one.get("fault").is_none_or(Value::is_null));
        if json {
            return Ok(format!("{answer}\n"));
        }
        Ok(secrets.into_iter().map(line).collect())
    });
    match shown {
        Exit::Ok if failing => Exit::Faults,
        shown => shown,
    }
}

/// `jwt  vault  3d old  https://…  previous until …  OVERDUE  FAILING since …: why`.
fn line(secret: &Value) -> String {
    let text = |key: &str| secret.get(key).and_then(Value::as_str).unwrap_or_default();
    let age = secret.get("age_seconds").and_then(Value::as_u64);
    let age = match age.unwrap_or(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    };
    let mut line = format!(
        "{:20} {:8} {age:>5} old  {}",
        text("name"),
        text("provider"),
        text("place")
    );
    let previous = secret.get("previous_until").and_then(Value::as_array);
    for until in previous.into_iter().flatten() {
        let until = until.as_str().unwrap_or("it is taken out of the policy");
        line.push_str(&format!("  previous until {until}"));
    }
    if secret.get("overdue").and_then(Value::as_bool) == Some(true) {
        line.push_str("  OVERDUE");
    }
    if !text("fault").is_empty() {
        line.push_str(&format!(
            "  FAILING since {}: {}",
            text("failing_since"),
            text("fault")
        ));
    }
    line + "\n"
}

impl Generate {
    fn run(&self) -> Result<String, String> {
        let made = self.what.make()?;
        let Some(file) = &self.out else {
            return Ok(format!(
                "{}{}",
                *made.secret,
                made.public.unwrap_or_default()
            ));
        };
        if file.exists() {
            return Err(format!(
                "{} is there already: `palisade secret rotate` replaces it",
                file.display()
            ));
        }
        let written = write(file, made.secret.as_bytes(), 0o600);
        written.map_err(|why| format!("{}: {why}", file.display()))?;
        publish(file, made.public.as_deref())?;
        Ok(String::new())
    }
}

impl Rotate {
    fn run(&self) -> Result<String, String> {
        let named = |why: io::Error| format!("{}: {why}", self.file.display());
        let old = Zeroizing::new(fs::read(&self.file).map_err(named)?);
        let mode = fs::metadata(&self.file).map_err(named)?.mode() & 0o777;
        let made = self.what.make()?;
        let previous = self
            .previous
            .clone()
            .unwrap_or_else(|| beside(&self.file, "previous"));
        // The old one first: whoever stops here has it twice, and not once too few.
        let kept = write(&previous, &old, mode);
        kept.map_err(|why| format!("{}: {why}", previous.display()))?;
        write(&self.file, made.secret.as_bytes(), mode).map_err(named)?;
        publish(&self.file, made.public.as_deref())?;
        Ok(format!(
            "{} is new, the old one is {}\n",
            self.file.display(),
            previous.display()
        ))
    }
}

impl What {
    fn make(&self) -> Result<Made, String> {
        let pair = |algorithm| {
            let pair = rcgen::KeyPair::generate_for(algorithm).map_err(|why| why.to_string())?;
            Ok(Made {
                secret: Zeroizing::new(pair.serialize_pem()),
                public: Some(pair.public_key_pem()),
            })
        };
        match self.kind {
            Kind::Ed25519 => return pair(&rcgen::PKCS_ED25519),
            Kind::P256 => return pair(&rcgen::PKCS_ECDSA_P256_SHA256),
            Kind::P384 => return pair(&rcgen::PKCS_ECDSA_P384_SHA384),
            Kind::Hmac | Kind::Hex => {}
        }
        let mut bytes = Zeroizing::new(vec![0; usize::from(self.bytes)]);
        getrandom::fill(&mut bytes).map_err(|why| format!("no randomness: {why}"))?;
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = match self.kind {
            Kind::Hex => hex(&bytes),
            Kind::Hmac | Kind::Ed25519 | Kind::P256 | Kind::P384 => URL_SAFE_NO_PAD.encode(&*bytes),
        };
        Ok(Made {
            secret: Zeroizing::new(text + "\n"),
            public: None,
        })
    }
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

fn publish(file: &Path, public: Option<&str>) -> Result<(), String> {
    let Some(public) = public else { return Ok(()) };
    let beside = beside(file, "pub");
    write(&beside, public.as_bytes(), 0o644).map_err(|why| format!("{}: {why}", beside.display()))
}

/// Whole or not at all: into a file of its own, onto the disk, then under its name.
fn write(file: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let fresh = beside(file, "new");
    let _ = fs::remove_file(&fresh);
    let mut to = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    to.write_all(content)?;
    to.set_permissions(fs::Permissions::from_mode(mode))?;
    to.sync_all()?;
    fs::rename(&fresh, file)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn what(kind: Kind) -> What {
        What { bytes: 32, kind }
    }

    #[test]
    fn a_rotated_secret_is_new_and_the_old_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwt");
        write(&file, b"old", 0o640).unwrap();
        let rotate = |file: &Path| {
            Rotate {
                file: file.to_owned(),
                what: what(Kind::Hmac),
                previous: None,
            }
            .run()
        };
        rotate(&file).unwrap();
        let new = fs::read_to_string(&file).unwrap();
        assert_eq!(new.trim().len(), 43);
        assert_eq!(
            fs::read(folder.path().join("jwt.previous")).unwrap(),
            b"old"
        );
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        rotate(&file).unwrap();
        assert_eq!(
            fs::read_to_string(folder.path().join("jwt.previous")).unwrap(),
            new
        );
        assert!(
            rotate(&folder.path().join("none")).is_err(),
            "nothing to rotate"
        );
    }

    #[test]
    fn what_is_made_differs_every_time_and_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        for kind in [Kind::Hmac, Kind::Hex, Kind::Ed25519, Kind::P256, Kind::P384] {
            let (one, two) = (what(kind).make().unwrap(), what(kind).make().unwrap());
            assert_ne!(*one.secret, *two.secret, "{kind:?}");
        }
        let generate = Generate {
            what: what(Kind::Ed25519),
            out: Some(file.clone()),
        };
        generate.run().unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert!(
            fs::read_to_string(folder.path().join("key.pub"))
                .unwrap()
                .contains("PUBLIC KEY")
        );
        assert!(generate.run().unwrap_err().contains("there already"));
    }
}
