//! `palisade mfa`: second factors of a running gateway's users (`step_up`).

use http::Method;
use serde_json::Value;

use super::remote_admin::{At, because, segment};
use super::{Exit, say};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  palisade mfa status mia
  palisade mfa unlock mia --reason \"ticket 4711\"   too many wrong codes: mia may try again, with the same factors
  palisade mfa reset mia --reason \"ticket 4712\"    everything was lost: mia enrols anew at the next request that asks

Exit codes: 0 done, 1 refused or not there, 3 no gateway there.")]
pub(super) struct Arguments {
    #[command(flatten)]
    at: At,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// What a user enrolled.
    #[command(after_help = "Example: palisade mfa status mia --json")]
    Status {
        /// Whose.
        user: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take every factor of a user away. Make sure who asks for it: this is how accounts are stolen.
    #[command(
        after_help = "Example: palisade mfa reset mia --reason \"phone lost, seen in person\""
    )]
    Reset {
        /// Whose.
        user: String,
        /// Why; it stands in the event.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Forget a user's wrong codes: what is enrolled stays.
    #[command(after_help = "Example: palisade mfa unlock mia --reason \"ticket 4711\"")]
    Unlock {
        /// Whose.
        user: String,
        /// Why; it stands in the event.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let (method, user, rest, reason) = match &arguments.what {
        What::Status { user, .. } => (Method::GET, user, "", &None),
        What::Reset { user, reason } => (Method::DELETE, user, "", reason),
        What::Unlock { user, reason } => (Method::POST, user, "/unlock", reason),
    };
    let path = format!("/factors/{}{rest}", segment(user));
    let why = because(reason.as_deref());
    let answer = arguments
        .at
        .find()
        .and_then(|remote| remote.ask(&method, &path, why.as_ref()));
    match (answer, &arguments.what) {
        (Ok(answer), What::Status { json: true, .. }) => {
            say(format_args!("{answer:#}\n"));
            Exit::Ok
        }
        (Ok(answer), What::Status { .. }) => {
            say(shown(answer.get("factors").unwrap_or(&Value::Null)));
            Exit::Ok
        }
        (Ok(_), What::Reset { .. }) => {
            say(format_args!("{user} has no second factor any more\n"));
            Exit::Ok
        }
        (Ok(_), What::Unlock { .. }) => {
            say(format_args!("{user} may try codes again\n"));
            Exit::Ok
        }
        (Err(why), _) => why.say(),
    }
}

fn shown(factors: &Value) -> String {
    let day = |unix: &Value| {
        let moment = unix
            .as_i64()
            .and_then(|unix| jiff::Timestamp::from_second(unix).ok());
        moment.map_or_else(String::new, |moment| {
            moment.strftime("%Y-%m-%d").to_string()
        })
    };
    let app = match factors.get("totp") {
        Some(since) => format!("since {}", day(since)),
        None => "none".to_owned(),
    };
    let mut out = format!("authenticator app  {app}\n");
    let keys = factors.get("keys").and_then(Value::as_array);
    for key in keys.into_iter().flatten() {
        let name = key.get(0).and_then(Value::as_str).unwrap_or_default();
        let since = key.get(1).map(day).unwrap_or_default();
        out.push_str(&format!("security key       {name}, since {since}\n"));
    }
    let left = factors.get("backup_codes").and_then(Value::as_u64);
    out.push_str(&format!("backup codes       {} left\n", left.unwrap_or(0)));
    out
}
