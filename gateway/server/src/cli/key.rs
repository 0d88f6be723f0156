//! `palisade key`: API keys of a running gateway. A key is printed once, when it is made.

use http::Method;
use policy::checks::api_key::text;
use policy::scalar;
use serde_json::{Value, json};

use super::Exit;
use super::remote_admin::{At, Failure, Remote, segment};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  palisade key create mia --name ci --permission read --for 90d --quota 1000/1d
  palisade key list
  palisade key rotate k3x7ab2c --grace 24h
  palisade key revoke k3x7ab2c

Exit codes: 0 done, 1 refused or no such key, 3 no gateway there.")]
pub(super) struct Arguments {
    #[command(flatten)]
    at: At,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a key, and print it: it is stored as a hash, and cannot be shown again.
    #[command(
        after_help = "Example: palisade key create mia --permission read --permission write --network 10.0.0.0/8"
    )]
    Create {
        /// Whose it is: the user of every request that brings it.
        owner: String,
        /// What it is for.
        #[arg(long, default_value = "")]
        name: String,
        /// What it may do; may be given several times.
        #[arg(long = "permission", value_name = "PERMISSION")]
        permissions: Vec<String>,
        /// A scope; may be given several times.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Where it may be used from, in CIDR notation; may be given several times. Default: everywhere.
        #[arg(long = "network", value_name = "NETWORK")]
        networks: Vec<String>,
        /// How long it is good: 90d. Default: until it is revoked.
        #[arg(long = "for", value_name = "TIME")]
        time: Option<scalar::Duration>,
        /// How often it may be used, such as 100/1m, in place of the policy's.
        #[arg(long)]
        rate: Option<String>,
        /// How often in a day or month, such as 1000/1d or 30000/month, in place of the policy's.
        #[arg(long)]
        quota: Option<String>,
        /// Everything about it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Every key: whose, what it may do, when it ends and was last used.
    #[command(after_help = "Example: palisade key list --json")]
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put a new key in a key's place, and print it. The old one is accepted for a while.
    #[command(after_help = "Example: palisade key rotate k3x7ab2c --grace 0s")]
    Rotate {
        /// Its prefix, or the whole key.
        key: String,
        /// How long the old one is accepted. At most 30d.
        #[arg(long, value_name = "TIME", default_value = "24h")]
        grace: scalar::Duration,
        /// Everything about it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a key at once.
    #[command(after_help = "Example: palisade key revoke k3x7ab2c")]
    Revoke {
        /// Its prefix, or the whole key.
        key: String,
    },
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    arguments.at.show(|remote| act(remote, &arguments.what))
}

fn act(remote: &Remote, what: &What) -> Result<String, Failure> {
    match what {
        What::Create {
            owner,
            name,
            permissions,
            scopes,
            networks,
            time,
            rate,
            quota,
            json,
        } => {
            let body = json!({
                "owner": owner, "name": name, "permissions": permissions, "scopes": scopes, "networks": networks,
                "for": time.map(|time| time.to_string()), "rate": rate, "quota": quota,
            });
            let made = remote.ask(&Method::POST, "/keys", Some(&body))?;
            Ok(new(&made, *json))
        }
        What::List { json } => {
            let answer = remote.ask(&Method::GET, "/keys", None)?;
            if *json {
                return Ok(format!("{answer}\n"));
            }
            let keys = answer.get("keys").and_then(Value::as_array);
            Ok(keys.into_iter().flatten().map(line).collect())
        }
        What::Rotate { key, grace, json } => {
            let path = format!("/keys/{}/rotate", segment(prefix(key)));
            let body = json!({ "grace": grace.to_string() });
            let made = remote.ask(&Method::POST, &path, Some(&body))?;
            Ok(new(&made, *json))
        }
        What::Revoke { key } => {
            let path = format!("/keys/{}", segment(prefix(key)));
            remote.ask(&Method::DELETE, &path, None)?;
            Ok("revoked\n".to_owned())
        }
    }
}

/// Whoever found a leaked key need not know which part of it is sent: only the prefix is.
fn prefix(key: &str) -> &str {
    text::prefix(key).unwrap_or(key)
}

/// The key alone, so that a script can take it; the rest is for people.
fn new(made: &Value, json: bool) -> String {
    if json {
        return format!("{made}\n");
    }
    eprint!("{}", line(made));
    eprintln!("This is the only time that the key is shown:");
    format!(
        "{}\n",
        made.get("key").and_then(Value::as_str).unwrap_or_default()
    )
}

/// `k3x7ab2c  active  mia  ci  read,write  until …  used …`.
fn line(key: &Value) -> String {
    let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
    let words = key.get("permissions").and_then(Value::as_array);
    let words: Vec<&str> = words
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut line = format!(
        "{}  {:8} {:20} {:20} {}",
        text("prefix"),
        text("state"),
        text("owner"),
        text("name"),
        words.join(",")
    );
    for (before, name) in [
        ("until", "expires"),
        ("used", "last_used"),
        ("rate", "rate"),
        ("quota", "quota"),
    ] {
        if !text(name).is_empty() {
            line.push_str(&format!("  {before} {}", text(name)));
        }
    }
    line.push('\n');
    line
}
