//! `palisade reload`: asks a running gateway to read its policy again, and shows what it says.

use http::Method;
use serde_json::Value;

use super::{Exit, remote_admin, say};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  palisade reload                                   at /run/palisade/admin.sock, else 127.0.0.1:9900
  palisade reload --admin unix:/run/palisade/admin.sock
  palisade reload --policy /etc/palisade/policy.yaml

Exit codes: 0 the policy is in service, 1 it has faults and the one before it keeps serving, 3 no gateway there.")]
pub(super) struct Arguments {
    #[command(flatten)]
    at: remote_admin::At,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let answer = arguments
        .at
        .find()
        .and_then(|remote| remote.ask(&Method::POST, "/reload", None));
    match answer {
        Ok(answer) => {
            let text = |key: &str| answer.get(key).map(ToString::to_string);
            let version = text("version").unwrap_or_default();
            let hash = answer.get("hash").and_then(Value::as_str);
            say(format!(
                "policy {version} ({}) in service\n",
                hash.unwrap_or_default()
            ));
            for warning in items(&answer, "warnings") {
                eprintln!("warning: {warning}");
            }
            for section in items(&answer, "needs_restart") {
                eprintln!("warning: changes of `{section}` need a restart");
            }
            Exit::Ok
        }
        Err(why) => why.say(),
    }
}

fn items<'a>(answer: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    let list = answer.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}
