//! Runs groups under callgrind and reads what it counted.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cases::GROUPS;
use crate::{ROUNDS, tokens};

/// Counts in [`crate::measured_by_callgrind`] alone and writes a file each time it is left. Two options with one and the same
/// pattern would be one option to valgrind 3.19: it forgets the second.
pub(crate) const ARGUMENTS: [&str; 6] = [
    "--tool=callgrind",
    "--collect-atstart=no",
    "--toggle-collect=*measured_by_callgrind*",
    "--dump-after=*micro*measured_by_callgrind*",
    "--compress-strings=no",
    "--quiet",
];

/// A bench's name and its instructions a round.
pub(crate) type Found = Vec<(String, u64)>;

/// Every group, two at a time; with a filter only the groups that may hold such a bench, and of them those benches.
pub(crate) fn all(filter: Option<&str>) -> Result<Found, String> {
    let folder = tempfile::tempdir().map_err(|fault| fault.to_string())?;
    tokens::write(folder.path())?;
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results = parking_lot::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(group) = GROUPS.get(at) else { return };
                    let began = std::time::Instant::now();
                    let found = run(group.name, folder.path());
                    eprintln!("{}: {} s", group.name, began.elapsed().as_secs());
                    results.lock().push((at, found));
                }
            });
        }
    });
    let mut results = results.into_inner();
    results.sort_by_key(|(at, _)| *at);
    let mut all = Vec::new();
    for (_, found) in results {
        all.extend(found?);
    }
    all.retain(|(name, _)| filter.is_none_or(|filter| name.contains(filter)));
    Ok(all)
}

fn valgrind(own: &Path, more: &[&str], group: &str, folder: &Path) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|fault| fault.to_string())?;
    let mut command = Command::new("valgrind");
    command.args(ARGUMENTS).args(more);
    command.arg(format!(
        "--callgrind-out-file={}",
        own.join("out").display()
    ));
    command.arg(program).args(["group", group]).arg(folder);
    command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    Ok(command)
}

fn run(group: &str, folder: &Path) -> Result<Found, String> {
    let own = folder.join(group);
    std::fs::create_dir(&own).map_err(|fault| fault.to_string())?;
    let output = valgrind(&own, &[], group, folder)?.output();
    let output = output.map_err(|fault| format!("valgrind (apt-get install valgrind): {fault}"))?;
    if !output.status.success() {
        return Err(format!("{group}: {}", output.status));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    let mut found = Vec::new();
    for (name, number) in names.lines().zip(1..) {
        let file = own.join(format!("out.{number}"));
        let total = totals(&file).ok_or_else(|| format!("{name}: nothing was counted"))?;
        found.push((name.to_owned(), total / ROUNDS as u64));
    }
    Ok(found)
}

/// The sum that a file ends with.
fn totals(file: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text
        .lines()
        .rev()
        .find(|line| line.starts_with("totals:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// One bench with the callers of every function, in `target/micro-profile`.
pub(crate) fn profile(name: &str) -> Result<(), String> {
    let own = PathBuf::from("target/micro-profile");
    if own.exists() {
        std::fs::remove_dir_all(&own).map_err(|fault| fault.to_string())?;
    }
    std::fs::create_dir_all(&own).map_err(|fault| fault.to_string())?;
    tokens::write(&own)?;
    let program = std::env::current_exe().map_err(|fault| fault.to_string())?;
    for group in GROUPS {
        // Which group it is in is asked without callgrind: making ready takes a second there, half a minute under it.
        let asked = Command::new(&program)
            .args(["group", group.name])
            .arg(&own)
            .arg("=")
            .output();
        let names = asked.map_err(|fault| fault.to_string())?.stdout;
        if !String::from_utf8_lossy(&names)
            .lines()
            .any(|one| one == name)
        {
            continue;
        }
        let mut command = valgrind(&own, &["--separate-callers=24"], group.name, &own)?;
        let status = command.arg(name).status();
        status.map_err(|fault| format!("valgrind: {fault}"))?;
        println!("{}", own.join("out.1").display());
        return Ok(());
    }
    Err(format!("no bench {name}"))
}
