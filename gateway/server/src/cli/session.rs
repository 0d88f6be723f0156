//! `palisade session`: the open sessions of a user, listed and ended through the admin listener of a running gateway.

use http::Method;
use serde_json::Value;

use super::Exit;
use super::remote_admin::{self, Failure, Remote, because, segment};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  palisade session list mia@shop.example
  palisade session end mia@shop.example 4f1c22d09ab3      this one
  palisade session end mia@shop.example --all             log out everywhere

Exit codes: 0 done, 1 there is no such session, 3 no gateway there.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    at: remote_admin::At,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List a user's open sessions, newest first.
    List {
        /// The user, as the log-in names them.
        user: String,
    },
    /// End one of a user's sessions, or all of them.
    End {
        /// The user, as the log-in names them.
        user: String,
        /// The session, as `list` calls it.
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// All of them.
        #[arg(long, conflicts_with = "id")]
        all: bool,
        /// Why; it stands in the event.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    arguments.at.show(|remote| act(remote, &arguments.what))
}

fn act(remote: &Remote, what: &What) -> Result<String, Failure> {
    match what {
        What::List { user } => {
            let answer = remote.ask(&Method::GET, &format!("/sessions/{}", segment(user)), None)?;
            let listed = listed(&answer);
            Ok(if listed.is_empty() {
                none(user)
            } else {
                listed
            })
        }
        What::End {
            user, id, reason, ..
        } => {
            let path = match id {
                Some(id) => format!("/sessions/{}/{}", segment(user), segment(id)),
                None => format!("/sessions/{}", segment(user)),
            };
            let why = because(reason.as_deref());
            let answer = remote.ask(&Method::DELETE, &path, why.as_ref())?;
            let ended = answer.get("ended").and_then(Value::as_array);
            let ended = ended.into_iter().flatten().filter_map(Value::as_str);
            let ended: String = ended.map(|id| format!("ended {id}\n")).collect();
            Ok(if ended.is_empty() { none(user) } else { ended })
        }
    }
}

fn none(user: &str) -> String {
    format!("{user} has no open session\n")
}

fn listed(answer: &Value) -> String {
    let sessions = answer.get("sessions").and_then(Value::as_array);
    let line = |session: &Value| {
        let text = |key: &str| session.get(key).and_then(Value::as_str).unwrap_or_default();
        // What a client said of itself goes to a terminal.
        let agent: String = text("agent").chars().filter(|c| !c.is_control()).collect();
        format!(
            "{}  since {}  last used {}  {}  {}  {agent}\n",
            text("id"),
            text("started"),
            text("seen"),
            text("client"),
            text("check"),
        )
    };
    sessions.into_iter().flatten().map(line).collect()
}
