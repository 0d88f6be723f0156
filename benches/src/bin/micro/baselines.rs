//! Baselines and accepted changes: two files of tabs beside the crate's manifest.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// More than this beyond its baseline fails. Runs differ by less than 1 %: addresses and hash seeds are not the same
/// twice.
const TOLERANCE: f64 = 0.05;
const HEAD: &str = "# Instructions a decision, by `micro update`. `micro check` fails on 5 % more. A line that grew says why, in the commit \
or in accepted.tsv.\n";

const ACCEPTED: &str = "# Benches that may cost more than their baseline: bench TAB instructions at most TAB why. `micro update` empties it.\n";

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Lines of `name TAB number TAB more`.
fn read(name: &str) -> Result<BTreeMap<String, (u64, String)>, String> {
    let text = std::fs::read_to_string(file(name)).map_err(|fault| format!("{name}: {fault}"))?;
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.splitn(3, '\t').collect();
            let [bench, count, more @ ..] = fields.as_slice() else {
                return Err(format!("{name}: {line}?"));
            };
            let count = count.parse();
            let count = count.map_err(|_| format!("{name}: {line}: no number"))?;
            let why = more.first().copied().unwrap_or_default();
            Ok(((*bench).to_owned(), (count, why.to_owned())))
        })
        .collect()
}

pub(crate) fn show(found: &[(String, u64)]) {
    for (name, count) in found {
        println!("{name:48} {count:>12}");
    }
}

pub(crate) fn update(found: &[(String, u64)]) -> Result<(), String> {
    let mut text = format!("{HEAD}# {}\n", made_with());
    for (name, count) in found {
        text.push_str(&format!("{name}\t{count}\n"));
    }
    show(found);
    let written = std::fs::write(file("baselines.tsv"), text);
    let written = written.and_then(|()| std::fs::write(file("accepted.tsv"), ACCEPTED));
    written.map_err(|fault| fault.to_string())
}

/// What counts depend on beside the code: compiler and rules.
fn made_with() -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program).args(arguments).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.unwrap_or_default()
    };
    let rules = said(
        "dpkg-query",
        &["-W", "-f", "modsecurity-crs ${Version}", "modsecurity-crs"],
    );
    format!("{}, {rules}", said("rustc", &["--version"]))
}

/// Fails on a bench that costs more than its baseline, or than what was accepted for it with a reason; on one without a
/// baseline; and on a baseline without its bench.
pub(crate) fn check(found: &[(String, u64)]) -> Result<(), String> {
    let (baselines, accepted) = (read("baselines.tsv")?, read("accepted.tsv")?);
    let text = std::fs::read_to_string(file("baselines.tsv")).map_err(|fault| fault.to_string())?;
    let now = made_with();
    if !text.contains(&now) {
        println!(
            "the baselines were made with something else than {now}: counts may differ for that"
        );
    }
    let mut faults = Vec::new();
    println!(
        "{:48} {:>12} {:>12} {:>8}",
        "bench", "baseline", "now", "change"
    );
    for (name, now) in found {
        let Some((before, _)) = baselines.get(name) else {
            faults.push(format!("{name}: no baseline (micro update)"));
            continue;
        };
        let change = *now as f64 / *before as f64 - 1.0;
        let reason = accepted
            .get(name)
            .filter(|(most, why)| now <= most && !why.trim().is_empty());
        let note = match reason {
            Some((_, why)) if change > TOLERANCE => format!("  accepted: {why}"),
            _ if change > TOLERANCE => {
                let more = change * 100.0;
                faults.push(format!(
                    "{name}: {more:.1} % more instructions than its baseline"
                ));
                "  TOO MUCH".to_owned()
            }
            _ if change < -TOLERANCE => "  better: micro update keeps it".to_owned(),
            _ => String::new(),
        };
        println!(
            "{name:48} {before:>12} {now:>12} {:>+7.1}%{note}",
            change * 100.0
        );
    }
    for name in baselines.keys() {
        if !found.iter().any(|(bench, _)| bench == name) {
            faults.push(format!("{name}: has a baseline and is not measured"));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    faults.push(
        "Make it cheaper; or write `bench TAB most TAB reason` into benches/accepted.tsv; or run `micro update` and give the reason in the commit."
            .to_owned(),
    );
    Err(faults.join("\n"))
}
