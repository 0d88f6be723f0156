//! `palisade emergency`: tokens that let named checks of a running gateway pass once (`break_glass`).

use http::Method;
use policy::scalar;
use serde_json::{Value, json};

use super::Exit;
use super::remote_admin::{At, Failure, Remote, segment};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  palisade emergency create --passes second-factor --for 1h --reason \"phone lost, ticket 4711\"
  palisade emergency create --passes second-factor,where --for 1h --hold 15m --reason \"abroad\"
  palisade emergency list
  palisade emergency revoke Xy12ab34

Exit codes: 0 done, 1 refused or not there, 3 no gateway there.")]
pub(super) struct Arguments {
    #[command(flatten)]
    at: At,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a token. It is shown once and kept as a hash.
    #[command(
        after_help = "Example: palisade emergency create --passes second-factor --for 1h --reason \"phone lost\""
    )]
    Create {
        /// Checks that it lets pass, of those that the policy's `break_glass` check names.
        #[arg(long, value_delimiter = ',', required = true)]
        passes: Vec<String>,
        /// How long it can be used first: 30m, 1h, 2d.
        #[arg(long = "for", value_name = "TIME")]
        time: scalar::Duration,
        /// How long its client may go on using it after that. Default: once.
        #[arg(long, value_name = "TIME")]
        hold: Option<scalar::Duration>,
        /// Why: it stands in every event.
        #[arg(long)]
        reason: String,
    },
    /// Tokens and what became of them.
    #[command(after_help = "Example: palisade emergency list --json")]
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a token back.
    #[command(after_help = "Example: palisade emergency revoke Xy12ab34")]
    Revoke {
        /// Which, by the name that `list` shows.
        id: String,
    },
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    arguments.at.show(|remote| act(remote, &arguments.what))
}

fn act(remote: &Remote, what: &What) -> Result<String, Failure> {
    match what {
        What::Create {
            passes,
            time,
            hold,
            reason,
        } => {
            let hold = hold.map(|hold| hold.to_string());
            let body = json!({ "passes": passes, "for": time.to_string(), "hold": hold, "reason": reason });
            let made = remote.ask(&Method::POST, "/emergencies", Some(&body))?;
            let token = made
                .get("token")
                .and_then(Value::as_str)
                .unwrap_or_default();
            Ok(format!("{token}\n"))
        }
        What::List { json } => {
            let answer = remote.ask(&Method::GET, "/emergencies", None)?;
            if *json {
                return Ok(format!("{answer}\n"));
            }
            let tokens = answer.get("emergencies").and_then(Value::as_array);
            Ok(tokens.into_iter().flatten().map(line).collect())
        }
        What::Revoke { id } => {
            remote.ask(
                &Method::DELETE,
                &format!("/emergencies/{}", segment(id)),
                None,
            )?;
            Ok("revoked\n".to_owned())
        }
    }
}

fn line(token: &Value) -> String {
    let text = |key: &str| token.get(key).and_then(Value::as_str).unwrap_or_default();
    let passes = token.get("passes").and_then(Value::as_array);
    let passes: Vec<&str> = passes
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    format!(
        "{:10} {:8} until {}  passes {}  {}\n",
        text("id"),
        text("state"),
        text("until"),
        passes.join(", "),
        text("reason")
    )
}
