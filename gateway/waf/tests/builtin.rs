//! The built-in rules of the repository against values of our own: each attack is refused and each honest value passes
//! wherever it stands. For corpora of others there is `examples/judge.rs`.

#![expect(clippy::expect_used, reason = "tests")]

use waf::{Options, Ruleset, Scratch, Tuning};

#[path = "support/requests.rs"]
mod requests;
#[path = "support/rules.rs"]
mod rules;
#[path = "support/text.rs"]
mod text;

use requests::{PLACES, Place};

struct Judge {
    rules: Ruleset,
    tuning: Tuning,
}

impl Judge {
    fn new() -> Self {
        let rules = rules::built_in().expect("the built-in rules");
        let tuning = rules.tune(&Options::default()).expect("the defaults");
        Self { rules, tuning }
    }

    /// What is wrong with the verdict on `value` in `place`, if anything.
    fn fault(&self, place: Place, class: &str, value: &[u8], blocked: bool) -> Option<String> {
        let case = place.case(class, value);
        let (verdict, _) = case.judge(&self.rules, &self.tuning, Scratch::default());
        (verdict.block != blocked).then(|| {
            let rules = requests::report(&verdict);
            format!("{class}, {place:?}: {} [{rules}]", value.escape_ascii())
        })
    }
}

/// The values of a data file, with their classes.
fn values(data: &str) -> Vec<(&str, Vec<u8>)> {
    let mut class = "";
    let mut values = Vec::new();
    for line in data.lines() {
        if let Some(name) = line.strip_prefix("#class ") {
            class = name;
        } else if !line.is_empty() && !line.starts_with("# ") {
            values.push((class, text::unescape(line)));
        }
    }
    values
}

fn attacks() -> Vec<(&'static str, Vec<u8>)> {
    values(include_str!("builtin/attacks.txt"))
}

#[test]
fn refuses_each_attack_wherever_an_application_may_read_it() {
    let judge = Judge::new();
    let mut faults = Vec::new();
    for (class, value) in attacks() {
        // A header has one line and no application reads every one of them: rules look at headers where it makes sense.
        let places = PLACES
            .iter()
            .filter(|place| !matches!(place, Place::Header));
        faults.extend(places.filter_map(|place| judge.fault(*place, class, &value, true)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn lets_each_honest_value_pass_in_every_place() {
    let judge = Judge::new();
    let mut faults = Vec::new();
    for (class, value) in values(include_str!("builtin/benign.txt")) {
        faults.extend(
            PLACES
                .iter()
                .filter_map(|place| judge.fault(*place, class, &value, false)),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn sees_attacks_through_base64_and_a_second_encoding() {
    let judge = Judge::new();
    let mut faults = Vec::new();
    for (class, value) in attacks() {
        let twice: String = value.iter().map(|byte| format!("%{byte:02x}")).collect();
        // Four layers in all are one too many for the pipelines: what is encoded three times already stays out.
        if !value.starts_with(b"%25") {
            faults.extend(judge.fault(Place::Query, class, twice.as_bytes(), true));
        }
        // Base64 of a few letters is a word, and what decodes to no UTF-8 could be a picture.
        let readable = value.len() > 5 && std::str::from_utf8(&value).is_ok();
        let mut encoded = Vec::new();
        if readable && waf::transform::Transform::Base64Encode.apply(&value, &mut encoded) {
            faults.extend(judge.fault(Place::Json, class, &encoded, true));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
