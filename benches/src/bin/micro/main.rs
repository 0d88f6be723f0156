//! What decisions cost in instructions, counted by callgrind: the same on every machine that has the same compiler and
//! AVX2 (cryptography and searches choose their code by the processor).
//!
//! | command | does |
//! |---|---|
//! | `micro check` | measures everything and holds it to `benches/baselines.tsv`; fails on more than 5 % more without a reason in `benches/accepted.tsv` |
//! | `micro update` | measures and writes the baselines |
//! | `micro show [FILTER]` | measures and prints |
//! | `micro profile NAME` | leaves a callgrind file of one bench, with its callers, for a flame graph |
//! | `micro group GROUP FOLDER [ONE\|=]` | what the others run under callgrind |
//!
//! Each group of benches is one process. Callgrind counts inside [`measured_by_callgrind`] alone and writes a file whenever it is left, so
//! making ready costs nothing but time.

use std::process::ExitCode;

mod baselines;
mod callgrind;
mod cases;
mod stage;
mod tokens;
#[path = "../../../../gateway/waf/examples/support/traffic.rs"]
#[allow(dead_code, reason = "each user takes its part")]
mod traffic;

use cases::{GROUPS, Group};

/// A decision is asked so often within one measurement; the count is divided by it.
const ROUNDS: usize = 8;

/// One bench: its name and what is measured, called with the number of the round.
struct Bench {
    name: String,
    work: Box<dyn FnMut(usize)>,
}

impl Bench {
    fn new(name: impl Into<String>, work: impl FnMut(usize) + 'static) -> Self {
        Self {
            name: name.into(),
            work: Box::new(work),
        }
    }
}

/// What callgrind counts: see [`callgrind::ARGUMENTS`]. Never inlined, and the only function of this name.
#[inline(never)]
fn measured_by_callgrind(bench: &mut Bench) {
    for round in 0..ROUNDS {
        (bench.work)(std::hint::black_box(round));
    }
}

/// Makes ready, warms up, measures: prints the names in the order of callgrind's files. `only`: one of them, or `=` for the
/// names alone.
fn group(group: &Group, folder: &str, only: Option<&str>) -> Result<(), String> {
    for mut bench in (group.make)(folder)? {
        if only == Some("=") {
            println!("{}", bench.name);
            continue;
        }
        if only.is_some_and(|only| only != bench.name) {
            continue;
        }
        // Rounds of their own: what a new token costs is not measured with one that is known by now.
        for round in ROUNDS..3 * ROUNDS {
            (bench.work)(round);
        }
        measured_by_callgrind(&mut bench);
        println!("{}", bench.name);
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["check"] => callgrind::all(None).and_then(|found| baselines::check(&found)),
        ["update"] => callgrind::all(None).and_then(|found| baselines::update(&found)),
        ["show"] => callgrind::all(None).map(|found| baselines::show(&found)),
        ["show", filter] => callgrind::all(Some(filter)).map(|found| baselines::show(&found)),
        ["profile", name] => callgrind::profile(name),
        ["group", name, folder, only @ ..] => match GROUPS.iter().find(|one| one.name == *name) {
            Some(found) => group(found, folder, only.first().copied()),
            None => Err(format!("no group {name}")),
        },
        _ => Err("check | update | show [FILTER] | profile NAME".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
