//! A program that prints a secret: started without a shell, with next to no environment, and ended with all that it
//! started when it takes too long.

use std::process::Stdio;

use policy::settings::Secret;
use policy::settings::secret::{Command, Provided};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

/// Bytes that it may print.
const MOST: usize = 64 << 10;
/// What programs cannot do without.
const COMMON: [&str; 4] = ["PATH", "HOME", "USER", "LANG"];

/// Its process group: what it started ends with it.
struct Group(Option<rustix::process::Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Gone already, most of the time.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

pub(super) async fn value(command: &Command) -> Result<Provided, String> {
    let names = command.environment.iter().map(String::as_str);
    let seen = names.chain(COMMON);
    let seen = seen.filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut child = tokio::process::Command::new(&command.program)
        .args(&command.arguments)
        .env_clear()
        .envs(seen)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Programs say there what they were given.
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|why| format!("cannot be started: {why}"))?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group(id.and_then(rustix::process::Pid::from_raw));
    let Some(out) = child.stdout.take() else {
        return Err("has no output".to_owned());
    };
    // As large as it can become: growing would leave copies behind.
    let mut printed = Zeroizing::new(Vec::with_capacity(MOST + 1));
    let most = u64::try_from(MOST).unwrap_or(u64::MAX) + 1;
    let read = out.take(most).read_to_end(&mut printed).await;
    read.map_err(|why| format!("its output cannot be read: {why}"))?;
    if printed.len() > MOST {
        return Err(format!("prints more than {MOST} bytes"));
    }
    let status = child.wait().await.map_err(|why| why.to_string())?;
    // Its number may be another's from here on.
    group.0 = None;
    if !status.success() {
        return Err(format!(
            "ended with {status}; what it wrote to standard error is not kept"
        ));
    }
    if printed.is_empty() {
        return Err("prints nothing".to_owned());
    }
    Ok(Provided {
        value: Secret(printed),
        made: None,
        previous: None,
    })
}
