//! What ends a proof, and which proof is worth what.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::{Browser, between, browser, codes, location, required, text};
use crate::checks::step_up::webauthn::tests::{Device, PRESENT, VERIFIED};
use crate::decision::{Answer, Reason};

fn either() -> Value {
    json!({"required": {"all": true}, "methods": ["totp", "webauthn", "backup_code"]})
}

/// What the page says that a security key is to be asked.
fn challenge(shown: &str) -> String {
    let options = between(shown, "data-options=\"", "\"").replace("&quot;", "\"");
    let options: Value = serde_json::from_str(&options).unwrap();
    options["challenge"].as_str().unwrap().to_owned()
}

/// Adds a key on its page.
#[track_caller]
fn add(ann: &mut Browser, device: &Device, flags: u8) {
    let shown = text(&ann.get("mfa/key"));
    let token = between(&shown, "name=\"token\" value=\"", "\"");
    let answer = device.register(&challenge(&shown), flags);
    let done = ann.post("mfa/key", &[("answer", &answer), ("name", "blue"), ("token", &token)]);
    let Answer::Reply(done) = done else { panic!("{done:?}") };
    assert_eq!(done.status, StatusCode::OK, "{}", text(&done));
}

#[track_caller]
fn touch(ann: &mut Browser, device: &Device, flags: u8, counter: u32) -> Reason {
    let shown = text(&ann.get("mfa?return=/goods"));
    let token = between(&shown, "name=\"token\" value=\"", "\"");
    let answer = device.answer(&challenge(&shown), flags, counter);
    let done = ann.post("mfa/key/verify", &[("answer", &answer), ("token", &token), ("return", "/goods")]);
    let Answer::Reply(done) = done else { panic!("{done:?}") };
    done.reason
}

#[test]
fn new_backup_codes_end_what_other_sessions_proved() {
    let mut ann = browser(required());
    let (_, before) = ann.enrol();
    ann.session = 2;
    assert_eq!(ann.code(&before[0]).status, StatusCode::SEE_OTHER);
    assert!(ann.passes());
    ann.session = 1;
    let made = ann.fill("mfa/codes", &[]);
    assert_eq!(codes(&made).len(), 10);
    assert!(ann.passes(), "the session that asked for them goes on");
    ann.session = 2;
    assert!(!ann.passes());
}

#[test]
fn a_key_that_is_removed_ends_what_other_sessions_proved() {
    let mut ann = browser(either());
    let (_, codes) = ann.enrol();
    let device = Device::new();
    add(&mut ann, &device, PRESENT);
    ann.session = 2;
    assert_eq!(touch(&mut ann, &device, PRESENT, 4), Reason::Ok);
    assert!(ann.passes());
    ann.session = 3;
    assert_eq!(ann.code(&codes[0]).status, StatusCode::SEE_OTHER);
    ann.session = 1;
    let shown = text(&ann.get("mfa"));
    let token = between(&shown, "name=\"token\" value=\"", "\"");
    let Answer::Reply(gone) = ann.post("mfa/key/remove", &[("key", "Bwc"), ("token", &token)]) else { panic!() };
    assert_eq!((gone.status, location(&gone)), (StatusCode::SEE_OTHER, "/.palisade/mfa"));
    assert!(ann.told().contains(&"factor_removed"));
    assert!(ann.passes(), "the session that removed it goes on");
    for session in [2, 3] {
        ann.session = session;
        assert!(!ann.passes(), "{session}");
    }
    let Answer::Reply(none) = ann.post("mfa/key/remove", &[("key", "Bwc"), ("token", &token)]) else { panic!() };
    assert_ne!(none.status, StatusCode::OK);
    ann.session = 1;
    assert!(ann.passes(), "nothing was removed, and nothing ended");
}

#[test]
fn a_touch_is_no_proof_where_the_user_must_be_verified() {
    let touching = json!({"required": {"all": true}, "methods": ["webauthn"]});
    let verifying = json!({"required": {"all": true}, "methods": ["webauthn"], "verify_user": true});
    let (mut ann, mut strict) = (browser(touching), browser(verifying));
    let device = Device::new();
    add(&mut ann, &device, PRESENT);
    assert!(ann.passes());
    std::mem::swap(&mut ann.bench.io, &mut strict.bench.io);
    assert!(!strict.passes(), "the same user in the same session");
    assert_eq!(touch(&mut strict, &device, PRESENT, 4), Reason::SecondFactorFailed);
    assert_eq!(touch(&mut strict, &device, PRESENT | VERIFIED, 5), Reason::Ok);
    assert!(strict.passes());
    std::mem::swap(&mut ann.bench.io, &mut strict.bench.io);
    assert!(ann.passes());
    // A later touch takes nothing away from it, and adds nothing to it.
    ann.wait(600);
    assert_eq!(touch(&mut ann, &device, PRESENT, 6), Reason::Ok);
    ann.wait(600);
    assert!(ann.passes());
    std::mem::swap(&mut ann.bench.io, &mut strict.bench.io);
    assert!(!strict.passes(), "verified twenty minutes ago");
}

#[test]
fn making_codes_is_metered() {
    let mut ann = browser(required());
    ann.enrol();
    for _ in 0..5 {
        assert_eq!(codes(&ann.fill("mfa/codes", &[])).len(), 10);
    }
    let sixth = ann.fill("mfa/codes", &[]);
    assert_eq!((sixth.reason, sixth.status), (Reason::SecondFactorLocked, StatusCode::TOO_MANY_REQUESTS));
    assert!(codes(&sixth).is_empty() && ann.told().contains(&"factor_locked"));
    assert!(ann.passes(), "and nothing else is");
    ann.bench.io.advance(Duration::from_secs(3600));
    let (_, other) = {
        ann.user = "bob";
        ann.enrol()
    };
    assert_eq!(other.len(), 10);
}

#[test]
fn names_that_differ_in_case_are_two_users() {
    let mut ann = browser(required());
    ann.enrol();
    assert!(ann.passes());
    for other in ["Ann", "ANN ", "ann "] {
        ann.user = other;
        assert_eq!(ann.ask(&crate::testing::Scene::default()), Answer::deny(Reason::SecondFactorMissing), "{other}");
    }
}
