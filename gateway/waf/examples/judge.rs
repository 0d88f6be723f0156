//! Judges the built-in rules on corpora of your own: what share of attacks is blocked, what share of honest requests
//! passes, by class.
//!
//! ```sh
//! cargo run --profile fast -p waf --example judge -- ATTACKS BENIGN [--rules FOLDER] [--wrong FILE] [--everywhere]
//! ```
//! A corpus is a file. One that ends in `.jsonl` has one request a line: `method`, `target`, `headers` (pairs), `body`
//! (characters up to U+00FF standing for bytes) and `class`. In any other each line is a value, put in turn into a
//! query, form, JSON document, part of a multipart body, XML document, cookie and header of an otherwise ordinary
//! request, or with `--everywhere` into all of them; `#class NAME` begins a class, other lines with `#` and a blank
//! are comments. `--wrong` writes down each attack that passed and each honest request that was blocked, with the rules.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    io::{BufWriter, Write},
    path::Path,
};

use waf::{Options, Ruleset, Scratch, Tuning};

#[path = "../tests/support/requests.rs"]
mod requests;
#[path = "../tests/support/rules.rs"]
mod rules;

use requests::{Case, PLACES};

struct Arguments {
    corpora: Vec<String>,
    rules: Option<String>,
    wrong: Option<String>,
    everywhere: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let rules = match &arguments.rules {
        Some(folder) => rules::folder(folder)?,
        None => rules::built_in()?,
    };
    let tuning = rules
        .tune(&Options::default())
        .map_err(|faults| format!("{faults:?}"))?;
    println!("{} rules", rules.len());
    let mut wrong = match &arguments.wrong {
        Some(file) => Some(BufWriter::new(fs::File::create(file)?)),
        None => None,
    };
    for (corpus, blocked) in arguments.corpora.iter().zip([true, false]) {
        let cases = read(corpus, arguments.everywhere)?;
        let tally = Tally::of(&rules, &tuning, &cases, blocked, wrong.as_mut())?;
        tally.print(corpus, blocked);
    }
    Ok(())
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut parsed = Arguments {
        corpora: Vec::new(),
        rules: None,
        wrong: None,
        everywhere: false,
    };
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rules" => parsed.rules = words.next(),
            "--wrong" => parsed.wrong = words.next(),
            "--everywhere" => parsed.everywhere = true,
            _ => parsed.corpora.push(word),
        }
    }
    if parsed.corpora.len() == 2 {
        Ok(parsed)
    } else {
        Err("two corpora, please: attacks and honest requests".into())
    }
}

fn read(corpus: &str, everywhere: bool) -> Result<Vec<Case>, Box<dyn Error>> {
    let bytes = fs::read(corpus).map_err(|error| format!("{corpus}: {error}"))?;
    if Path::new(corpus)
        .extension()
        .is_some_and(|end| end == "jsonl")
    {
        let lines = bytes.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        return Ok(lines
            .map(serde_json::from_slice)
            .collect::<Result<_, _>>()?);
    }
    let mut class = String::new();
    let mut cases = Vec::new();
    let lines = bytes.split(|byte| *byte == b'\n');
    for (number, line) in lines.map(<[u8]>::trim_ascii_end).enumerate() {
        if let Some(name) = line.strip_prefix(b"#class ") {
            class = String::from_utf8_lossy(name).into_owned();
        } else if !line.is_empty() && !line.starts_with(b"# ") {
            let all = PLACES.iter();
            let places = all.cycle().skip(if everywhere { 0 } else { number });
            let count = if everywhere { PLACES.len() } else { 1 };
            cases.extend(places.take(count).map(|place| place.case(&class, line)));
        }
    }
    Ok(cases)
}

/// Per class: how many there are, how many were blocked.
#[derive(Default)]
struct Tally(BTreeMap<String, (usize, usize)>);

impl Tally {
    fn of(
        rules: &Ruleset,
        tuning: &Tuning,
        cases: &[Case],
        expected: bool,
        mut wrong: Option<&mut BufWriter<fs::File>>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut tally = Self::default();
        let mut scratch = Scratch::default();
        for case in cases {
            let (verdict, kept) = case.judge(rules, tuning, scratch);
            scratch = kept;
            let class = tally.0.entry(case.class.clone()).or_default();
            class.0 += 1;
            class.1 += usize::from(verdict.block);
            if let Some(file) = wrong.as_mut()
                && verdict.block != expected
            {
                let row = requests::report(&verdict);
                let text = serde_json::to_string(&case.text())?;
                writeln!(file, "{expected}\t{}\t{row}\t{text}", case.class)?;
            }
        }
        Ok(tally)
    }

    fn print(&self, corpus: &str, attacks: bool) {
        let share = |part: usize, of: usize| 100.0 * part as f64 / of.max(1) as f64;
        let (mut all, mut blocked) = (0, 0);
        for (class, (count, hit)) in &self.0 {
            all += count;
            blocked += hit;
            let good = if attacks { *hit } else { count - hit };
            println!("  {:6.2} % of {count:6}  {class}", share(good, *count));
        }
        let (good, word) = if attacks {
            (blocked, "blocked")
        } else {
            (all - blocked, "passed")
        };
        println!("{:.2} % of {all} {word}: {corpus}", share(good, all));
    }
}
