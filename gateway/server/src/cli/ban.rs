//! `palisade ban`: bans of a running gateway, made by operators or by checks.

use http::Method;
use policy::scalar;
use serde_json::{Value, json};

use super::Exit;
use super::remote_admin::{At, Failure, Remote, segment};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  palisade ban list
  palisade ban add 192.0.2.7 --for 1h --reason \"scans\"
  palisade ban add --user mia --for 15m
  palisade ban remove --user mia                    lifts the ban, and forgets what was counted
  palisade ban remove --nameless                    of log-ins that name nobody, or several at once

Exit codes: 0 done, 1 refused or not banned, 3 no gateway there.")]
pub(super) struct Arguments {
    #[command(flatten)]
    at: At,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Who is banned, until when, by whom and why.
    #[command(after_help = "Example: palisade ban list --json")]
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ban a client, a user, or a user at one address.
    #[command(after_help = "Example: palisade ban add 2001:db8::7 --for 1d")]
    Add {
        #[command(flatten)]
        whom: Whom,
        /// How long: 15m, 12h, 90d.
        #[arg(long = "for", value_name = "TIME")]
        time: scalar::Duration,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Lift a ban.
    #[command(after_help = "Example: palisade ban remove 192.0.2.7")]
    Remove {
        #[command(flatten)]
        lifted: Lifted,
    },
}

/// Who.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Whom {
    /// Address; an IPv6 one stands for its /64.
    client: Option<std::net::IpAddr>,
    /// User.
    #[arg(long)]
    user: Option<String>,
}

/// Whose ban is lifted.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Lifted {
    /// Address; an IPv6 one stands for its /64.
    client: Option<std::net::IpAddr>,
    /// User.
    #[arg(long)]
    user: Option<String>,
    /// All attempts that name nobody, or several users at once; with an address, those from there.
    #[arg(long, conflicts_with = "user")]
    nameless: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    arguments.at.show(|remote| act(remote, &arguments.what))
}

fn act(remote: &Remote, what: &What) -> Result<String, Failure> {
    match what {
        What::List { json } => list(remote, *json),
        What::Add { whom, time, reason } => {
            let body = json!({ "client": whom.client, "user": whom.user, "for": time.to_string(), "reason": reason });
            let ban = remote.ask(&Method::POST, "/bans", Some(&body))?;
            Ok(line(&ban))
        }
        What::Remove { lifted } => {
            let path = match (lifted.client, lifted.user.as_deref()) {
                (Some(client), _) if lifted.nameless => format!("/bans/nameless/{client}"),
                (None, _) if lifted.nameless => "/bans/nameless".to_owned(),
                (Some(client), Some(user)) => format!("/bans/pair/{client}/{}", segment(user)),
                (Some(client), None) => format!("/bans/client/{client}"),
                (None, user) => format!("/bans/user/{}", segment(user.unwrap_or_default())),
            };
            remote.ask(&Method::DELETE, &path, None)?;
            Ok("lifted\n".to_owned())
        }
    }
}

fn list(remote: &Remote, json: bool) -> Result<String, Failure> {
    let answer = remote.ask(&Method::GET, "/bans", None)?;
    if json {
        return Ok(format!("{answer}\n"));
    }
    let bans = answer.get("bans").and_then(Value::as_array);
    Ok(bans.into_iter().flatten().map(line).collect())
}

/// `192.0.2.7  user mia  until …  by guard: 5 in 5m by ip`.
fn line(ban: &Value) -> String {
    let text = |key: &str| ban.get(key).and_then(Value::as_str).unwrap_or_default();
    let whom = match (text("client"), text("user")) {
        ("", "") => "attempts without a name".to_owned(),
        (client, "") if ban.get("user").is_some() => format!("attempts without a name at {client}"),
        (client, "") => client.to_owned(),
        ("", user) => format!("user {user}"),
        (client, user) => format!("user {user} at {client}"),
    };
    format!(
        "{whom:40} until {}  by {}  {}\n",
        text("until"),
        text("by"),
        text("reason")
    )
}
