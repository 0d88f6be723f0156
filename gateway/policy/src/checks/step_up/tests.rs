#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_SECURITY_POLICY, LOCATION, RETRY_AFTER};
use http::{Method as Verb, StatusCode};
use serde_json::{Value, json};

use super::totp::Totp;
use crate::checks::Turn;
use crate::decision::{Action, Answer, CheckId, Reason, Reply};
use crate::invented::ready;
use crate::io::{Key, StoreFault};
use crate::request::{Identity, Session};
use crate::run::Mode;
use crate::testing::{Bench, Scene};

mod ends;

/// A browser of one user, in one session.
struct Browser {
    bench: Bench,
    user: &'static str,
    role: &'static str,
    session: u128,
    language: &'static str,
    told: Vec<(&'static str, String)>,
}

fn browser(spec: Value) -> Browser {
    let bench = Bench::new("step_up", spec);
    Browser { bench, user: "ann", role: "admin", session: 1, language: "en", told: Vec::new() }
}

fn required() -> Value {
    json!({"required": {"roles": "admin"}, "issuer": "Shop", "methods": ["totp", "backup_code"]})
}

impl Browser {
    fn known(&mut self) {
        let claims = json!({"role": self.role}).as_object().unwrap().clone();
        let identity = Identity { user: self.user.to_owned(), claims, ..Identity::default() };
        self.bench.facts.identity = Some(Arc::new(identity));
        self.bench.facts.session = Some(Session { binding: Key(self.session), started: 0 });
        self.bench.effects = crate::decision::Effects::default();
    }

    fn ask(&mut self, scene: &Scene) -> Answer {
        self.known();
        self.bench.ask(scene)
    }

    /// Whether a request of a program passes.
    fn passes(&mut self) -> bool {
        let answer = self.ask(&Scene::default());
        assert!(matches!(answer, Answer::Pass | Answer::Deny(_)));
        answer == Answer::Pass
    }

    fn send(&mut self, scene: Scene, rest: &str) -> Answer {
        self.known();
        let language = self.language;
        let bench = &mut self.bench;
        let answer = scene.header("accept-language", language).asked(|request| {
            let mut turn = Turn {
                request,
                facts: &mut bench.facts,
                effects: &mut bench.effects,
                io: &mut bench.io,
                id: CheckId(0),
                mode: Mode::Enforce,
                route: 0,
            };
            ready(bench.check.page(&mut turn, rest)).unwrap()
        });
        let told = self.bench.effects.told.drain(..).map(|told| (told.event, told.detail));
        self.told.extend(told);
        answer
    }

    #[track_caller]
    fn get(&mut self, rest: &'static str) -> Reply {
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        match self.send(Scene { query, ..Scene::default() }, path) {
            Answer::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn post(&mut self, rest: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        self.bench.io.body = Ok(form.finish().into());
        let scene = Scene { method: Verb::POST, ..Scene::default() };
        self.send(scene.header("content-type", "application/x-www-form-urlencoded"), rest)
    }

    /// As a person does it: with the token of the page that was shown.
    #[track_caller]
    fn fill(&mut self, rest: &'static str, fields: &[(&str, &str)]) -> Reply {
        let shown = text(&self.get(if rest == "mfa/codes" { "mfa" } else { rest }));
        let token = between(&shown, "name=\"token\" value=\"", "\"");
        let fields: Vec<_> = fields.iter().copied().chain([("token", token.as_str())]).collect();
        match self.post(rest, &fields) {
            Answer::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn seconds(&self) -> u64 {
        self.bench.io.now.unix / 1000
    }

    /// Sets an app up; its secret and the backup codes.
    #[track_caller]
    fn enrol(&mut self) -> (String, Vec<String>) {
        let shown = text(&self.get("mfa/enrol"));
        let secret = between(&shown, "secret=", "&");
        let code = Totp::shown(&secret, self.seconds());
        let done = self.fill("mfa/enrol", &[("code", &code)]);
        assert_eq!(done.status, StatusCode::OK);
        (secret, codes(&done))
    }

    #[track_caller]
    fn code(&mut self, code: &str) -> Reply {
        let shown = text(&self.get("mfa?return=/goods"));
        let token = between(&shown, "name=\"token\" value=\"", "\"");
        match self.post("mfa", &[("code", code), ("token", &token), ("return", "/goods")]) {
            Answer::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.bench.io.advance(Duration::from_secs(seconds));
    }

    fn told(&mut self) -> Vec<&'static str> {
        self.told.drain(..).map(|(event, _)| event).collect()
    }
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.to_vec()).unwrap()
}

#[track_caller]
fn between(text: &str, start: &str, end: &str) -> String {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}"));
    rest.split(end).next().unwrap().to_owned()
}

fn codes(reply: &Reply) -> Vec<String> {
    let text = text(reply);
    let pieces = text.split("<li><code>").skip(1);
    pieces.map(|piece| piece.split('<').next().unwrap().to_owned()).collect()
}

fn location(reply: &Reply) -> &str {
    let found = reply.headers.iter().find(|(name, _)| *name == LOCATION);
    found.map_or("", |(_, value)| value.to_str().unwrap())
}

#[test]
fn who_must_have_a_factor_is_sent_to_enrol_and_passes_afterwards() {
    let mut ann = browser(required());
    assert_eq!(ann.ask(&Scene::default()), Answer::deny(Reason::SecondFactorMissing));
    let page = Scene { path: "/goods?a=b&c", ..Scene::default() }.header("accept", "text/html");
    let Answer::Reply(sent) = ann.ask(&page) else { panic!() };
    assert_eq!((sent.reason, sent.action), (Reason::SecondFactorMissing, Action::Challenge));
    assert_eq!(location(&sent), "/.palisade/mfa/enrol?return=%2Fgoods%3Fa%3Db%26c");
    let (secret, codes) = ann.enrol();
    assert_eq!(codes.len(), 10);
    assert_eq!(ann.told(), ["factor_enrolled"]);
    assert!(ann.passes());
    ann.wait(899);
    assert!(ann.passes());
    ann.wait(1);
    let Answer::Reply(sent) = ann.ask(&page) else { panic!() };
    assert_eq!(location(&sent), "/.palisade/mfa?return=%2Fgoods%3Fa%3Db%26c");
    let code = Totp::shown(&secret, ann.seconds());
    let gone = ann.code(&code);
    assert_eq!((gone.status, location(&gone)), (StatusCode::SEE_OTHER, "/goods"));
    assert_eq!(ann.told(), ["factor_used"]);
    assert!(ann.passes());
}

#[test]
fn a_proof_is_good_in_its_own_session_and_for_its_own_user() {
    let mut ann = browser(required());
    ann.enrol();
    ann.session = 2;
    assert!(!ann.passes());
    ann.session = 1;
    assert!(ann.passes());
    ann.user = "bob";
    assert!(!ann.passes());
}

#[test]
fn programs_are_told_where_to_send_their_user() {
    let mut ann = browser(required());
    let field = |ann: &Browser, name: &str| {
        let mut fields = ann.bench.effects.response.iter();
        let found = fields.find(|(known, _)| known == name);
        found.map(|(_, value)| value.to_str().unwrap().to_owned())
    };
    ann.ask(&Scene::default());
    assert_eq!(field(&ann, "x-second-factor").unwrap(), "/.palisade/mfa/enrol");
    ann.enrol();
    ann.wait(900);
    ann.ask(&Scene::default());
    assert_eq!(field(&ann, "x-second-factor").unwrap(), "/.palisade/mfa");
    let challenge = "Bearer error=\"insufficient_user_authentication\", max_age=\"900\"";
    assert_eq!(field(&ann, "www-authenticate").unwrap(), challenge);
    let htmx = Scene::default().header("hx-request", "true");
    ann.ask(&htmx.clone().header("hx-current-url", "https://app.example/cart?x=1#y"));
    assert_eq!(field(&ann, "hx-redirect").unwrap(), "/.palisade/mfa?return=%2Fcart%3Fx%3D1");
    ann.ask(&htmx.header("hx-current-url", "https://evil.example/cart"));
    assert_eq!(field(&ann, "hx-redirect").unwrap(), "/.palisade/mfa");
    let form = Scene { method: Verb::POST, ..Scene::default() }.header("accept", "text/html");
    let Answer::Reply(sent) = ann.ask(&form.header("referer", "https://app.example/form")) else { panic!() };
    assert_eq!(location(&sent), "/.palisade/mfa?return=%2Fform");
}

#[test]
fn who_need_not_have_one_is_asked_once_enrolled() {
    let mut bob = browser(required());
    (bob.user, bob.role) = ("bob", "user");
    assert!(bob.passes());
    bob.enrol();
    bob.wait(900);
    assert!(!bob.passes());
    let mut never = browser(json!({"required": {"all": true}}));
    never.role = "user";
    assert!(!never.passes());
    let mut above = browser(json!({"required": {"roles": "viewer"}}));
    assert!(!above.passes(), "an admin is a viewer and more");
    let mut claim = browser(json!({"required": {"claims": {"role": ["boss", "chief"]}}, "offer": false}));
    assert!(claim.passes());
    claim.role = "chief";
    assert!(!claim.passes());
}

#[test]
fn a_code_is_good_once_ever() {
    let mut ann = browser(required());
    let (secret, _) = ann.enrol();
    let used = Totp::shown(&secret, ann.seconds());
    assert_eq!(ann.code(&used).reason, Reason::SecondFactorFailed, "it set the app up");
    ann.wait(30);
    let next = Totp::shown(&secret, ann.seconds());
    assert_eq!(ann.code(&next).status, StatusCode::SEE_OTHER);
    ann.session = 2;
    assert_eq!(ann.code(&next).reason, Reason::SecondFactorFailed, "nor in another session");
    assert_eq!(ann.code(&used).reason, Reason::SecondFactorFailed, "nor one of before");
}

#[test]
fn guessing_ends_after_five_attempts_also_for_the_right_code_and_from_other_sessions() {
    let mut ann = browser(required());
    let (secret, _) = ann.enrol();
    ann.wait(60);
    ann.told();
    for _ in 0..5 {
        let wrong = ann.code("000000");
        assert_eq!((wrong.reason, wrong.status), (Reason::SecondFactorFailed, StatusCode::FORBIDDEN));
        assert!(text(&wrong).contains("aria-invalid"));
    }
    let right = Totp::shown(&secret, ann.seconds());
    let locked = ann.code(&right);
    assert_eq!((locked.reason, locked.status), (Reason::SecondFactorLocked, StatusCode::TOO_MANY_REQUESTS));
    let wait = locked.headers.iter().find(|(name, _)| *name == RETRY_AFTER).unwrap();
    assert_eq!(wait.1, "300");
    assert!(text(&locked).contains("Too many attempts. Try again in 5 min."));
    ann.session = 2;
    assert_eq!(ann.code(&right).reason, Reason::SecondFactorLocked);
    let told = ann.told();
    assert_eq!((told[4], told[5], told.len()), ("factor_failed", "factor_locked", 7));
    ann.wait(300);
    let right = Totp::shown(&secret, ann.seconds());
    assert_eq!(ann.code(&right).status, StatusCode::SEE_OTHER);
    assert_eq!(ann.code("000000").reason, Reason::SecondFactorFailed, "a proof begins the count anew");
}

#[test]
fn slow_guessing_ends_as_well() {
    let mut ann = browser(required());
    ann.enrol();
    let mut heard = 0;
    for _ in 0..100 {
        ann.wait(80);
        heard += u32::from(ann.code("000000").reason == Reason::SecondFactorFailed);
    }
    assert_eq!(heard, 50);
}

#[test]
fn a_backup_code_is_good_once_and_new_ones_end_the_old() {
    let mut ann = browser(required());
    let (_, codes_before) = ann.enrol();
    ann.wait(900);
    assert_eq!(ann.code(&codes_before[0]).status, StatusCode::SEE_OTHER);
    assert!(ann.passes());
    ann.session = 2;
    assert_eq!(ann.code(&codes_before[0]).reason, Reason::SecondFactorFailed);
    let spaced = format!(" {}-{}", codes_before[1][..4].to_uppercase(), &codes_before[1][4..]);
    assert_eq!(ann.code(&spaced).status, StatusCode::SEE_OTHER, "as people copy it");
    let made = ann.fill("mfa/codes", &[]);
    let codes_after = codes(&made);
    assert_eq!(codes_after.len(), 10);
    assert_eq!(ann.code(&codes_before[2]).reason, Reason::SecondFactorFailed);
    assert_eq!(ann.code(&codes_after[2]).status, StatusCode::SEE_OTHER);
    assert!(text(&ann.get("mfa")).contains("9 left"));
    assert!(ann.told().contains(&"backup_codes_made"));
}

#[test]
fn a_set_up_counts_once_a_code_was_entered_and_in_time() {
    let mut ann = browser(required());
    let shown = text(&ann.get("mfa/enrol"));
    let secret = between(&shown, "secret=", "&");
    assert_eq!(secret.len(), 32, "160 bits");
    assert!(shown.contains("otpauth://totp/Shop:ann?secret="));
    assert!(!ann.passes());
    assert!(text(&ann.get("mfa/enrol")).contains(&secret), "the same until it ends");
    assert_eq!(ann.fill("mfa/enrol", &[("code", "000000")]).reason, Reason::SecondFactorFailed);
    assert!(!ann.passes());
    ann.wait(600);
    let code = Totp::shown(&secret, ann.seconds());
    let late = ann.fill("mfa/enrol", &[("code", &code)]);
    assert_eq!(late.status, StatusCode::FORBIDDEN);
    assert!(!text(&late).contains(&secret));
    assert!(!ann.passes());
    let (other, _) = ann.enrol();
    assert_ne!(secret, other);
    assert!(ann.passes());
}

#[test]
fn a_stolen_session_adds_no_factor_of_its_own() {
    let mut ann = browser(required());
    ann.get("mfa/enrol");
    ann.session = 2;
    let pending = text(&ann.get("mfa/enrol"));
    let token = between(&pending, "name=\"token\" value=\"", "\"");
    let theirs = between(&pending, "secret=", "&");
    ann.session = 1;
    assert!(!text(&ann.get("mfa/enrol")).contains(&theirs), "set-ups belong to sessions");
    ann.enrol();
    ann.session = 2;
    for page in ["mfa/enrol", "mfa/enrol?return=/goods"] {
        assert!(location(&ann.get(page)).starts_with("/.palisade/mfa?return=%2F.palisade%2Fmfa%2Fenrol"));
    }
    let code = Totp::shown(&theirs, ann.seconds());
    let Answer::Reply(sent) = ann.post("mfa/enrol", &[("code", &code), ("token", &token)]) else { panic!() };
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    let Answer::Reply(sent) = ann.post("mfa/codes", &[("token", &token)]) else { panic!() };
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    assert!(!ann.passes());
    ann.session = 1;
    assert!(ann.passes());
}

#[test]
fn switching_off_takes_a_code_of_its_own() {
    let mut ann = browser(required());
    let (secret, _) = ann.enrol();
    let used = Totp::shown(&secret, ann.seconds());
    assert_eq!(ann.fill("mfa/off", &[("code", &used)]).reason, Reason::SecondFactorFailed);
    assert_eq!(ann.fill("mfa/off", &[("code", "")]).reason, Reason::SecondFactorFailed);
    ann.wait(30);
    let next = Totp::shown(&secret, ann.seconds());
    assert_eq!(ann.fill("mfa/off", &[("code", &next)]).status, StatusCode::OK);
    assert_eq!(ann.told().last(), Some(&"factor_reset"));
    assert_eq!(ann.ask(&Scene::default()), Answer::deny(Reason::SecondFactorMissing));
}

#[test]
fn an_app_set_up_anew_ends_what_other_sessions_proved() {
    let mut ann = browser(required());
    let (secret, codes) = ann.enrol();
    ann.session = 2;
    assert_eq!(ann.code(&codes[0]).status, StatusCode::SEE_OTHER);
    assert!(ann.passes());
    ann.session = 1;
    ann.wait(30);
    let (other, none) = ann.enrol();
    assert!(none.is_empty(), "those that are left stay good");
    assert!(ann.passes());
    ann.wait(30);
    let old = Totp::shown(&secret, ann.seconds());
    assert_eq!(ann.code(&old).reason, Reason::SecondFactorFailed);
    assert_eq!(ann.code(&Totp::shown(&other, ann.seconds())).status, StatusCode::SEE_OTHER);
    ann.session = 2;
    assert!(!ann.passes());
}

#[test]
fn forms_of_other_sessions_and_pages_do_nothing() {
    let mut ann = browser(required());
    let (secret, _) = ann.enrol();
    ann.wait(30);
    let code = Totp::shown(&secret, ann.seconds());
    let token = between(&text(&ann.get("mfa?return=/a")), "name=\"token\" value=\"", "\"");
    ann.session = 2;
    for token in ["", token.as_str()] {
        let Answer::Reply(stale) = ann.post("mfa", &[("code", &code), ("token", token)]) else { panic!() };
        assert_eq!((stale.reason, stale.status), (Reason::FormStale, StatusCode::FORBIDDEN));
    }
    assert_eq!(ann.code(&code).status, StatusCode::SEE_OTHER, "the code was not used up");
    ann.bench.io.body = Ok("{}".into());
    let sent = |kind| Scene { method: Verb::POST, ..Scene::default() }.header("content-type", kind);
    assert_eq!(ann.send(sent("text/plain"), "mfa"), Answer::deny(Reason::BodyUnparsable));
    let Answer::Reply(stale) = ann.send(sent("application/json"), "mfa") else { panic!() };
    assert_eq!((stale.reason, stale.status), (Reason::FormStale, StatusCode::FORBIDDEN));
    let delete = Scene { method: Verb::DELETE, ..Scene::default() };
    assert_eq!(ann.send(delete, "mfa"), Answer::deny(Reason::BadMethod));
    assert_eq!(ann.send(Scene::default(), "mfa/codes"), Answer::deny(Reason::NoRoute));
    assert_eq!(ann.send(Scene::default(), "mfa/../x"), Answer::deny(Reason::NoRoute));
}

#[test]
fn nobody_is_sent_to_another_host() {
    let mut ann = browser(required());
    let (_, codes) = ann.enrol();
    ann.wait(900);
    let shown = text(&ann.get("mfa?return=https://evil.example/"));
    assert!(!shown.contains("evil"));
    let token = between(&shown, "name=\"token\" value=\"", "\"");
    for (bad, code) in ["//evil.example", "https://evil.example", "/\\evil"].into_iter().zip(&codes) {
        let Answer::Reply(sent) = ann.post("mfa", &[("code", code), ("token", &token), ("return", bad)]) else {
            panic!()
        };
        assert_eq!(location(&sent), "/.palisade/mfa", "{bad}");
    }
}

#[test]
fn pages_carry_what_keeps_others_out_whatever_the_route_sets() {
    let mut ann = browser(required());
    let page = ann.get("mfa/enrol");
    let policy = page.headers.iter().find(|(name, _)| *name == CONTENT_SECURITY_POLICY).unwrap();
    let policy = policy.1.to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("script") && !policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
    ] {
        let given = ann.bench.effects.response.iter().find(|(known, _)| known == name);
        assert_eq!(given.unwrap().1, value, "{name}");
    }
}

#[test]
fn pages_speak_the_visitors_language_and_escape_names() {
    let mut ann = browser(json!({"required": {"all": true}, "issuer": "<b>&\"", "methods": ["totp"]}));
    ann.user = "<script>alert('1')</script>";
    for (language, title) in [
        ("ja,en;q=0.5", "2段階認証の設定"),
        ("zh-TW", "設定兩步驟驗證"),
        ("zh-CN", "设置两步验证"),
        ("ko-KR", "2단계 인증 설정"),
        ("de", "Bestätigung in zwei Schritten einrichten"),
        ("fr", "Set up two-step verification"),
    ] {
        ann.language = language;
        let shown = text(&ann.get("mfa/enrol"));
        assert!(shown.contains(title), "{language}: {shown}");
        assert!(!shown.contains("<script") && !shown.contains("<b>"), "{shown}");
    }
    let full = "mfa/enrol";
    let secret = between(&text(&ann.get(full)), "secret=", "&");
    let wide: String = Totp::shown(&secret, ann.seconds())
        .chars()
        .map(|digit| char::from_u32(digit as u32 - '0' as u32 + '０' as u32).unwrap())
        .collect();
    assert_eq!(ann.fill(full, &[("code", &wide)]).status, StatusCode::OK, "digits in full width");
}

#[test]
fn without_a_store_nobody_passes_unless_the_policy_says_so() {
    let mut ann = browser(required());
    ann.enrol();
    ann.bench.io.store_fault = Some(StoreFault::Down);
    assert_eq!(ann.ask(&Scene::default()), Answer::deny(Reason::StoreUnavailable));
    assert_eq!(ann.send(Scene::default(), "mfa"), Answer::deny(Reason::StoreUnavailable));
    let mut lenient = browser(json!({"on_store_error": "allow"}));
    lenient.bench.io.store_fault = Some(StoreFault::Slow);
    assert!(lenient.passes());
}

#[test]
fn nothing_passes_without_a_session() {
    let mut bench = Bench::new("step_up", required());
    assert_eq!(bench.ask(&Scene::default()), Answer::deny(Reason::SecondFactorRequired));
}

#[test]
fn a_request_with_a_fresh_proof_allocates_nothing() {
    let mut ann = browser(required());
    ann.enrol();
    ann.known();
    assert_eq!(ann.bench.allocations(&Scene::default()), 0);
}

#[test]
fn policies_that_would_protect_nothing_do_not_load() {
    for (spec, fault) in [
        (json!({"methods": ["backup_code"]}), "it.methods: totp, webauthn or both: backup codes alone are no factor"),
        (json!({"offer": false}), "it.offer: nobody is required and nobody may: this check would ask no one"),
        (json!({"fresh": "2d"}), "it.fresh: 1s to 1d"),
        (json!({"set_up": "2h"}), "it.set_up: 1s to 1h"),
        (json!({"required": {"roles": ["admni"]}}), "it.required.roles[0]: there is no role `admni`, did you mean `admin`?"),
        (json!({"digits": 4}), "it.digits: 6, 7 or 8"),
        (json!({"attempts": ["1000/1m"]}), "it.attempts: at most 100 in at most 31d: codes must not be guessed"),
        (json!({"issuer": ""}), "it.issuer: 1 to 64 bytes"),
        (json!({"relying_party": "https://x"}), "it.relying_party: a domain, such as example.com"),
        (json!({"on_store_error": "local"}), "it.on_store_error: a second factor has no local share: write deny or allow"),
    ] {
        assert_eq!(Bench::faults_of::<&str>("step_up", spec, &[]), [fault]);
    }
}

#[test]
fn keys_are_asked_only_where_they_are_a_method() {
    let mut ann = browser(required());
    assert_eq!(ann.send(Scene::default(), "mfa/key"), Answer::deny(Reason::NoRoute));
    let mut bob = browser(json!({"required": {"all": true}, "methods": ["webauthn"]}));
    let page = Scene::default().header("accept", "text/html");
    let Answer::Reply(sent) = bob.ask(&page) else { panic!() };
    assert_eq!(location(&sent), "/.palisade/mfa/key?return=%2F");
    assert_eq!(bob.send(Scene::default(), "mfa/enrol"), Answer::deny(Reason::NoRoute));
    let shown = bob.get("mfa/key");
    let policy = shown.headers.iter().find(|(name, _)| *name == CONTENT_SECURITY_POLICY).unwrap();
    assert!(policy.1.to_str().unwrap().contains("; script-src 'sha256-"));
    let options = between(&text(&shown), "data-options=\"", "\"").replace("&quot;", "\"");
    let options: Value = serde_json::from_str(&options).unwrap();
    assert_eq!((&options["rp"]["id"], &options["attestation"]), (&json!("app.example"), &json!("none")));
    assert_eq!(options["challenge"].as_str().unwrap().len(), 43);
    let failed = bob.fill("mfa/key", &[("answer", "{}")]);
    assert_eq!(failed.reason, Reason::SecondFactorFailed);
    assert!(!bob.passes());
}
