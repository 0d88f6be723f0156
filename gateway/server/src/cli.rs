//! The `palisade` command: its words, and what its exit codes mean. Each command is a file in `cli/`.

mod allow;
mod ban;
mod check;
mod coverage;
mod demo;
mod emergency;
mod explain;
mod faults;
mod key;
mod log;
mod mfa;
pub(crate) mod paint;
mod reload;
mod remote_admin;
mod request;
mod run;
mod schema;
mod secret;
mod session;
mod state;
mod test;
mod token;
mod waf;

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use policy::Loaded;

use crate::policy_file::PolicyFile;

/// How a command ended; the numbers are documented and stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Ok,
    /// The policy has faults, or its tests failed.
    Faults,
    /// The command line makes no sense. (clap uses the same number.)
    Usage,
    /// The gateway cannot start: a port in use, a permission, an unreadable certificate.
    CannotStart,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Faults => 1,
            Exit::Usage => 2,
            Exit::CannotStart => 3,
        })
    }
}

const AFTER: &str = "\
Examples:
  palisade demo                                   try it: an application, a policy, requests to send
  palisade check policy.yaml                      every fault of a policy at once
  palisade run policy.yaml                        serve
  palisade explain policy.yaml \"GET /admin\"       which checks are asked, what each says, and why

Exit codes:
  0  all is well
  1  the policy has faults, or its tests failed
  2  the command line makes no sense
  3  the gateway cannot start (port in use, permission, certificate)

NO_COLOR turns colours off. PALISADE_LOG (error, warn, info, debug) says how much is logged to stderr.";

/// A security gateway in front of applications that are not changed.
#[derive(Debug, Parser)]
#[command(name = "palisade", version, after_help = AFTER, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve: put the policy's checks in front of its upstreams.
    Run(run::Arguments),
    /// Try it: a small application, a gateway in front of it, and what to send.
    Demo(demo::Arguments),
    /// Find every fault of a policy at once.
    Check(check::Arguments),
    /// Tell what would be decided about a request, and why.
    Explain(explain::Arguments),
    /// Run the tests that are in a policy.
    Test(test::Arguments),
    /// Bans of a running gateway: list, make, lift.
    Ban(ban::Arguments),
    /// Networks that users may come from.
    Allow(allow::Arguments),
    /// Tokens that let named checks pass once, in an emergency.
    Emergency(emergency::Arguments),
    /// Second factors of users: look, take away.
    Mfa(mfa::Arguments),
    /// Have a running gateway read its policy again.
    Reload(reload::Arguments),
    /// Make secrets, replace one in its file, and show how those of a running gateway are.
    Secret(secret::Arguments),
    /// Seal a state file anew.
    State(state::Arguments),
    /// Call tokens back, at a running gateway.
    Token(token::Arguments),
    /// Tell what is enforced where, what is only observed, what is public.
    Coverage(coverage::Arguments),
    /// Rules against attacks: explain, tune and measure them; the rule set's own tests.
    Waf(waf::Arguments),
    /// List and end the open sessions of a user.
    Session(session::Arguments),
    /// Keys of programs: make, list, rotate and revoke them.
    Key(key::Arguments),
    /// Print the JSON Schema of policies.
    Schema(schema::Arguments),
    /// Print a completion script for a shell.
    #[command(after_help = "\
Examples:
  palisade completions bash > /etc/bash_completion.d/palisade
  palisade completions zsh > \"${fpath[1]}/_palisade\"
  palisade completions fish > ~/.config/fish/completions/palisade.fish")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log::start();
    let exit = match arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Ban(arguments) => ban::run(&arguments),
        Command::Allow(arguments) => allow::run(&arguments),
        Command::Emergency(arguments) => emergency::run(&arguments),
        Command::Mfa(arguments) => mfa::run(&arguments),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::Secret(arguments) => secret::run(&arguments),
        Command::State(arguments) => state::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Coverage(arguments) => coverage::run(&arguments),
        Command::Waf(arguments) => waf::run(&arguments),
        Command::Session(arguments) => session::run(&arguments),
        Command::Key(arguments) => key::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "palisade", &mut script);
            say(String::from_utf8_lossy(&script));
            Exit::Ok
        }
    };
    exit.into()
}

/// The policy that every command takes.
#[derive(Debug, clap::Args)]
struct PolicyArgument {
    /// The policy: a YAML file, or a folder with policy.yaml in it.
    #[arg(value_name = "POLICY", value_hint = clap::ValueHint::FilePath)]
    policy: PathBuf,
}

impl PolicyArgument {
    /// Where it is.
    ///
    /// # Errors
    /// The exit code, when that is nowhere and has been said.
    fn find(&self) -> Result<PolicyFile, Exit> {
        PolicyFile::find(&self.policy).map_err(|why| {
            eprintln!("palisade: {why}");
            Exit::Faults
        })
    }
}

/// Prints to standard output. Whoever closed it has seen enough: `println!` would panic.
fn say(what: impl fmt::Display) {
    let _ = write!(std::io::stdout().lock(), "{what}");
}

/// Loads a policy for a command that needs a good one; warnings are `check`'s business.
fn load(argument: &PolicyArgument) -> Result<Loaded, Exit> {
    let file = argument.find()?;
    file.load().0.map_err(|found| {
        eprint!("{}", faults::text(&found, paint::Paint::stderr()));
        eprintln!("{}: {}", file.path().display(), faults::summary(&found));
        Exit::Faults
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        for command in Arguments::command().get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{}", command.get_name());
        }
    }
}
