//! `palisade token`: calls tokens back, at a running gateway.

use std::io::Read;

use http::Method;
use serde_json::{Value, json};

use super::{Exit, remote_admin, say};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  palisade token revoke --token - < token.txt
  palisade token revoke --user mia --policy /etc/palisade/policy.yaml")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    at: remote_admin::At,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Refuse a token for the rest of its life, or all tokens that a user was given until now.
    #[command(after_help = "\
Needs `revocation: true` at the jwt check.

Examples:
  palisade token revoke --token - < token.txt       for the rest of its life
  palisade token revoke --jti 7f3a… --for 12h
  palisade token revoke --user mia                  everything issued until now; new tokens are good

Exit codes: 0 revoked, 1 refused by the gateway, 3 no gateway there.")]
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["jti", "user", "token"])))]
struct Revoke {
    /// Name of the token: its jti.
    #[arg(long, value_name = "JTI")]
    jti: Option<String>,
    /// Everything that this user was given until now.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The token itself, or - to read it from standard input, where no other user of this machine sees it.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// How long to remember it: as long as such tokens live. Default: the token's own time, else 7d.
    #[arg(long = "for", value_name = "TIME")]
    time: Option<String>,
    /// Why, for the event.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let Command::Revoke(revoke) = &arguments.command;
    let body = match revoke.body() {
        Ok(body) => body,
        Err(why) => {
            eprintln!("palisade: standard input: {why}");
            return Exit::Usage;
        }
    };
    let remote = arguments.at.find();
    match remote.and_then(|remote| remote.ask(&Method::POST, "/tokens/revoke", Some(&body))) {
        Ok(answer) => {
            let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
            let of = match text("user") {
                "" => String::new(),
                user => format!(" of {user}"),
            };
            say(format!(
                "revoked {}{of}, remembered until {}\n",
                text("revoked"),
                text("until")
            ));
            Exit::Ok
        }
        Err(why) => why.say(),
    }
}

impl Revoke {
    fn body(&self) -> std::io::Result<Value> {
        let token = match self.token.as_deref() {
            Some("-") => {
                let mut text = String::new();
                std::io::stdin().take(64 << 10).read_to_string(&mut text)?;
                Some(text.trim().to_owned())
            }
            given => given.map(str::to_owned),
        };
        let fields = [
            ("jti", self.jti.clone()),
            ("user", self.user.clone()),
            ("token", token),
            ("for", self.time.clone()),
        ];
        let given = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let mut body: serde_json::Map<String, Value> = given
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .collect();
        body.insert("reason".to_owned(), json!(self.reason));
        Ok(Value::Object(body))
    }
}
