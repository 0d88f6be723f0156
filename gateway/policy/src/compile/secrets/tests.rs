use std::collections::BTreeSet;

use bytes::Bytes;

use super::*;
use crate::context::Secrets as _;
use crate::testing::Files;

const HOUR: u64 = 3_600_000;

fn read_at(value: &str, now: u64, before: Option<&Vault>) -> Vault {
    let mut files = Files::default();
    files
        .0
        .insert("jwt".to_owned(), Bytes::from(value.to_owned()));
    let spec = spec::Secret {
        file: Some("jwt".to_owned()),
        previous_for: Some("1h".parse().unwrap()),
        ..spec::Secret::default()
    };
    read_from(&mut files, spec, now, before)
}

fn read_from(
    sources: &mut dyn Sources,
    spec: spec::Secret,
    now: u64,
    before: Option<&Vault>,
) -> Vault {
    let mut faults = Faults::default();
    let mut reading = Reading {
        sources,
        now,
        before,
        ca: None,
        invent: false,
    };
    let (vault, _) = read(&[("jwt".to_owned(), spec)], &mut reading, &mut faults);
    assert_eq!(faults.errors(), 0);
    vault
}

fn values(vault: &Vault) -> Vec<String> {
    let mut keeper = Keeper {
        vault,
        used: BTreeSet::new(),
    };
    let values = keeper.secret("jwt").unwrap();
    values
        .iter()
        .map(|value| String::from_utf8(value.to_vec()).unwrap())
        .collect()
}

#[test]
fn a_replaced_value_is_accepted_for_its_time_and_no_longer() {
    let first = read_at("one\n", 0, None);
    assert_eq!(
        (values(&first), expires(&first)),
        (vec!["one".to_owned()], None)
    );
    let second = read_at("two", HOUR, Some(&first));
    assert_eq!(values(&second), ["two", "one"]);
    assert_eq!(expires(&second), Some(2 * HOUR));
    // A reload that changes nothing does not lengthen the time.
    let again = read_at("two", HOUR + 1_000, Some(&second));
    assert_eq!((values(&again).len(), expires(&again)), (2, Some(2 * HOUR)));
    let late = read_at("two", 2 * HOUR, Some(&again));
    assert_eq!(
        (values(&late), expires(&late)),
        (vec!["two".to_owned()], None)
    );
}

#[test]
fn a_value_that_comes_back_is_the_current_one() {
    let first = read_at("one", 0, None);
    let second = read_at("two", 1, Some(&first));
    assert_eq!(values(&read_at("one", 2, Some(&second))), ["one", "two"]);
}

/// A provider that gives these.
struct Gives(&'static str, Option<&'static str>, u64);

impl Sources for Gives {
    fn read(&mut self, _: &str) -> Result<Bytes, String> {
        Ok(Bytes::from_static(b"token"))
    }

    fn glob(&mut self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn env(&mut self, _: &str) -> Option<String> {
        None
    }

    fn provide(&mut self, wanted: &[Wanted]) -> Vec<Result<Provided, Unprovided>> {
        let secret = |text: &str| Secret(Zeroizing::new(text.as_bytes().to_vec()));
        let given = Provided {
            value: secret(self.0),
            made: Some(self.2),
            previous: self.1.map(secret),
        };
        wanted.iter().map(|_| Ok(given.clone())).collect()
    }
}

fn provided(gives: &mut Gives, now: u64, before: Option<&Vault>) -> Vault {
    let spec = spec::Secret {
        command: Some(vec!["/bin/secret".to_owned()]),
        previous_for: Some("1h".parse().unwrap()),
        ..spec::Secret::default()
    };
    read_from(gives, spec, now, before)
}

#[test]
fn the_version_before_is_accepted_for_its_time_after_the_current_one_was_made() {
    let mut gives = Gives("two\n", Some("one"), HOUR);
    let first = provided(&mut gives, HOUR + 1, None);
    assert_eq!(
        values(&first),
        ["two", "one"],
        "a gateway that starts within the grace"
    );
    assert_eq!(expires(&first), Some(2 * HOUR));
    assert_eq!(values(&provided(&mut gives, 2 * HOUR, None)), ["two"]);
    // What this process itself used is accepted for the whole time since it stopped using it.
    let before = provided(&mut Gives("one", None, 0), 0, None);
    let after = provided(&mut gives, HOUR + 5, Some(&before));
    assert_eq!(
        (values(&after), expires(&after)),
        (vec!["two".to_owned(), "one".to_owned()], Some(2 * HOUR + 5))
    );
}

#[test]
fn what_is_told_names_no_value() {
    let vault = provided(&mut Gives("hunter2-hunter2", Some("hunter1"), 7), 8, None);
    let about = about(&vault);
    assert!(!format!("{about:?} {vault:?}").contains("hunter"));
    assert_eq!(
        (about[0].provider, about[0].place.as_str(), about[0].made),
        ("command", "/bin/secret", 7)
    );
    assert_eq!(about[0].accepted, [HOUR + 7]);
}

#[test]
fn an_invented_value_is_another_one_every_time() {
    let value = || invented().unwrap().value;
    assert!(value().0.len() >= 32 && *value().0 != *value().0);
}

#[test]
fn prints_no_value() {
    let shown = format!("{:?}", read_at("hunter2-hunter2", 0, None));
    assert!(!shown.contains("hunter2"), "{shown}");
}
