//! `palisade allow`: the networks that users of a running gateway may come from (`ip_allowlist`).

use http::Method;
use serde_json::{Value, json};

use super::Exit;
use super::remote_admin::{At, Failure, Remote, segment};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  palisade allow add mia 192.0.2.0/24 --reason office            for 90 days
  palisade allow add mia 2001:db8:7::/48 --for never
  palisade allow list mia
  palisade allow remove mia 192.0.2.0/24

The first network of a user restricts this user to it. Exit codes: 0 done, 1 refused or not there, 3 no gateway there.")]
pub(super) struct Arguments {
    #[command(flatten)]
    at: At,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Let a user come from a network.
    #[command(after_help = "Example: palisade allow add mia 192.0.2.7 --for 30d")]
    Add {
        /// User.
        user: String,
        /// Network in CIDR notation, or an address.
        network: String,
        /// How long: 90d, or never for one without an end.
        #[arg(long = "for", value_name = "TIME", default_value = "90d")]
        time: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Networks, when they end and were last used.
    #[command(after_help = "Example: palisade allow list --json")]
    List {
        /// Of this user; else of all.
        user: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a network of a user, or all of them: then the user may come from anywhere again, unless the check says
    /// `without: deny`.
    #[command(after_help = "Example: palisade allow remove mia --all")]
    Remove {
        /// User.
        user: String,
        /// Which.
        #[arg(required_unless_present = "all")]
        network: Option<String>,
        /// All of them.
        #[arg(long, conflicts_with = "network")]
        all: bool,
    },
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    arguments.at.show(|remote| act(remote, &arguments.what))
}

fn act(remote: &Remote, what: &What) -> Result<String, Failure> {
    match what {
        What::Add {
            user,
            network,
            time,
            reason,
        } => {
            let body = json!({ "user": user, "network": network, "for": time, "reason": reason });
            let added = remote.ask(&Method::POST, "/networks", Some(&body))?;
            Ok(lines(&added))
        }
        What::List { user, json } => {
            let path = user.as_ref().map_or_else(
                || "/networks".to_owned(),
                |user| format!("/networks/{}", segment(user)),
            );
            let answer = remote.ask(&Method::GET, &path, None)?;
            if *json {
                return Ok(format!("{answer}\n"));
            }
            let users = answer.get("users").and_then(Value::as_array);
            Ok(users.into_iter().flatten().map(lines).collect())
        }
        What::Remove { user, network, .. } => {
            let mut path = format!("/networks/{}", segment(user));
            if let Some(network) = network {
                path.push_str(&format!("?network={}", segment(network)));
            }
            remote.ask(&Method::DELETE, &path, None)?;
            Ok("removed\n".to_owned())
        }
    }
}

/// A line for each network.
fn lines(user: &Value) -> String {
    let name = user.get("user").and_then(Value::as_str).unwrap_or_default();
    let networks = user.get("networks").and_then(Value::as_array);
    let line = |entry: &Value| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let ended = entry.get("ended").and_then(Value::as_bool) == Some(true);
        format!(
            "{name:24} {:24} {} {}  last used {}  {}\n",
            text("network").unwrap_or_default(),
            if ended { "ended" } else { "until" },
            text("until").unwrap_or("removed"),
            text("last_used").unwrap_or("never"),
            text("reason").unwrap_or_default(),
        )
    };
    networks.into_iter().flatten().map(line).collect()
}
