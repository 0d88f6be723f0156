//! `palisade coverage`: what is enforced where, what is only observed, what is public, what is left out and why.

use policy::{Asked, Covered};
use serde_json::json;

use super::paint::{Paint, Tone};
use super::{Exit, PolicyArgument, load, say};

/// What it takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For people who answer for a policy: route by route, which checks refuse, which only observe, which are left out and
why, and where nobody has to say who they are.

Examples:
  palisade coverage policy.yaml
  palisade coverage policy.yaml --json | jq '.routes[] | select(.public) | .route'

Exit codes: 0 shown, 1 the policy has faults, 2 usage.")]
pub(super) struct Arguments {
    #[command(flatten)]
    policy: PolicyArgument,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let policy = match load(&arguments.policy) {
        Ok(loaded) => loaded.policy,
        Err(exit) => return exit,
    };
    let routes = policy.coverage();
    if arguments.json {
        say(format_args!(
            "{:#}\n",
            json!({ "hash": policy.hash(), "routes": routes })
        ));
    } else {
        say(text(&routes, Paint::stdout()));
    }
    Exit::Ok
}

fn text(routes: &[Covered], paint: Paint) -> String {
    let mut out = String::new();
    for route in routes {
        out.push_str(&format!(
            "{} {} -> {}\n",
            paint.tone(Tone::Strong, &route.route),
            route.matches.join(", "),
            route.upstream
        ));
        let by_mode = |wanted: fn(&str) -> bool| {
            let checks = route.checks.iter().filter(|check| wanted(&check.mode));
            checks.map(name).collect::<Vec<_>>().join(", ")
        };
        let skipped = route
            .skipped
            .iter()
            .map(|skipped| format!("{}: {}", skipped.check, skipped.reason));
        let skipped = skipped.collect::<Vec<_>>().join("; ");
        for (tone, word, what) in [
            (
                Tone::Good,
                "enforced",
                by_mode(|mode| mode.starts_with("enforce")),
            ),
            (Tone::Notice, "observed", by_mode(|mode| mode == "observe")),
            (Tone::Bad, "disabled", by_mode(|mode| mode == "disabled")),
            (Tone::Bad, "skipped", skipped),
            (
                Tone::Notice,
                "public",
                route.public.clone().unwrap_or_default(),
            ),
        ] {
            if !what.is_empty() {
                out.push_str(&format!(
                    "  {} {what}\n",
                    paint.tone(tone, format_args!("{word:9}"))
                ));
            }
        }
        if route.checks.is_empty() {
            out.push_str(&format!("  {}\n", paint.tone(Tone::Bad, "no checks")));
        }
    }
    out + &summary(routes)
}

/// `per-ip (rate_limit, changed, observe until …)`: only what is not as usual.
fn name(check: &Asked) -> String {
    let mut notes = vec![check.kind.to_owned()];
    if check.changed {
        notes.push("changed for this route".to_owned());
    }
    if !check.passes.is_empty() {
        notes.push(format!("a token may let pass {}", check.passes.join(", ")));
    }
    match (&check.until, check.mode.as_str()) {
        (Some(until), mode) => notes.push(format!("{mode} until {until}")),
        (None, "enforce" | "observe" | "disabled") => {}
        (None, share) => notes.push(share.to_owned()),
    }
    format!("{} ({})", check.check, notes.join(", "))
}

fn summary(routes: &[Covered]) -> String {
    let public = routes.iter().filter(|route| route.public.is_some()).count();
    let observing = routes.iter().filter(|route| {
        let mut checks = route.checks.iter();
        checks.any(|check| !check.mode.starts_with("enforce"))
    });
    let skipping = routes.iter().filter(|route| !route.skipped.is_empty());
    format!(
        "{} routes: {public} public, {} with checks that do not refuse, {} that leave checks out\n",
        routes.len(),
        observing.count(),
        skipping.count()
    )
}
