//! Claims about the thread and what loads get of it, with programs as providers.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::settings::secret::{Command, Provided, Provider, Wanted};
use policy::sources::Unprovided;

use super::{Providers, Trial};

fn reading(file: &Path, cache: Duration) -> Wanted {
    Wanted {
        name: "jwt".to_owned(),
        provider: Provider::Command(Command {
            program: "/bin/cat".to_owned(),
            arguments: vec![file.display().to_string()],
            environment: Vec::new(),
        }),
        cache,
        timeout: Duration::from_secs(20),
        previous_for: None,
    }
}

fn provide(
    providers: &Providers,
    wanted: &Wanted,
    trial: &mut Trial,
) -> Result<Provided, Unprovided> {
    providers
        .provide(std::slice::from_ref(wanted), trial)
        .swap_remove(0)
}

fn text(provided: &Result<Provided, Unprovided>) -> String {
    String::from_utf8_lossy(&provided.as_ref().unwrap().value.0).into_owned()
}

/// Waits for what must come.
fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_changed_value_is_offered_and_counts_once_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    fs::write(&file, "a".repeat(32)).unwrap();
    let providers = Providers::start().unwrap();
    let wanted = reading(&file, Duration::from_secs(1));
    let mut trial = providers.trial();
    assert_eq!(
        text(&provide(&providers, &wanted, &mut trial)),
        "a".repeat(32)
    );
    providers.accept(&trial);
    fs::write(folder.path().join("new"), "b".repeat(32)).unwrap();
    fs::rename(folder.path().join("new"), &file).unwrap();
    until("the new value waits", || providers.offers());
    let mut other = Trial::default();
    assert_eq!(
        text(&provide(&providers, &wanted, &mut other)),
        "a".repeat(32),
        "a load that does not try it"
    );
    let mut trial = providers.trial();
    assert_eq!(
        text(&provide(&providers, &wanted, &mut trial)),
        "b".repeat(32)
    );
    assert!(providers.offers(), "not accepted yet");
    providers.accept(&trial);
    assert!(!providers.offers());
    assert_eq!(
        text(&provide(&providers, &wanted, &mut Trial::default())),
        "b".repeat(32)
    );
}

#[test]
fn one_that_fails_says_why_and_is_had_once_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    let providers = Providers::start().unwrap();
    let wanted = reading(&file, Duration::from_secs(300));
    let failed = provide(&providers, &wanted, &mut Trial::default());
    let Err(Unprovided::Failed(why)) = failed else {
        panic!("{failed:?}")
    };
    assert!(why.contains("exit status: 1"), "{why}");
    assert!(providers.wanting());
    fs::write(&file, "x").unwrap();
    providers.refresh();
    assert_eq!(
        text(&provide(&providers, &wanted, &mut Trial::default())),
        "x"
    );
    assert!(!providers.wanting());
}

#[test]
fn what_no_policy_wants_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt");
    fs::write(&file, "x").unwrap();
    let providers: Arc<Providers> = Providers::start().unwrap();
    let wanted = reading(&file, Duration::from_secs(300));
    let mut trial = providers.trial();
    provide(&providers, &wanted, &mut trial).unwrap();
    providers.accept(&trial);
    assert!(providers.standing("jwt").unwrap().checked.is_some());
    let mut tried = providers.trial();
    let other = Wanted {
        name: "other".to_owned(),
        ..wanted
    };
    provide(&providers, &other, &mut tried).unwrap();
    providers.give_up();
    assert!(providers.standing("other").is_none() && providers.standing("jwt").is_some());
    providers.accept(&Trial::default());
    assert!(providers.standing("jwt").is_none());
}
