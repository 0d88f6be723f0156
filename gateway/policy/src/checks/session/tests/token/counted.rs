//! Tokens whose sessions are counted.

use super::super::own_page;
use super::*;
use crate::checks::Check;

fn two(more: Value) -> Bench {
    let mut spec = json!({"most": 2});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app(spec)
}

fn named(jti: &str, more: Value) -> String {
    let mut claims = json!({"jti": jti});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    signed(claims)
}

fn listed(bench: &mut Bench, user: &str) -> Vec<String> {
    let Check::Session(check) = &bench.check else { panic!() };
    let listed = ready(check.list(&mut bench.io, user)).unwrap().unwrap();
    listed.into_iter().map(|one| one.id).collect()
}

fn end(bench: &mut Bench, user: &str, id: Option<&str>) -> usize {
    let Check::Session(check) = &bench.check else { panic!() };
    ready(check.end(&mut bench.io, user, id)).unwrap().unwrap().len()
}

#[test]
fn the_oldest_ends_and_its_token_does_not_come_back() {
    let mut bench = two(json!({}));
    let tokens = ["a", "b", "c"].map(|jti| named(jti, json!({})));
    let mut happened = Vec::new();
    for token in &tokens {
        assert_eq!(reason(&mut bench, token), Ok(()));
        happened.push(told(&bench));
        bench.io.advance(Duration::from_secs(1));
    }
    let (one, replaced) = (vec!["session_started"], vec!["session_ended", "session_started"]);
    assert_eq!(happened, [one.clone(), one, replaced]);
    let all = tokens.each_ref().map(|token| reason(&mut bench, token));
    assert_eq!(all, [Err(Reason::SessionEnded), Ok(()), Ok(())]);
    assert_eq!(listed(&mut bench, "ann").len(), 2);
    // Somebody else's token of the same name is another session.
    assert_eq!(reason(&mut bench, &named("a", json!({"sub": "bob"}))), Ok(()));
    bench.io.advance(29 * MINUTE);
    assert_eq!(reason(&mut bench, &tokens[0]), Err(Reason::SessionEnded), "for as long as it holds");
}

#[test]
fn or_the_newest_is_refused() {
    let mut bench = two(json!({"when_full": "refuse_newest"}));
    for (jti, expected) in [("a", Ok(())), ("b", Ok(())), ("c", Err(Reason::SessionsFull)), ("a", Ok(()))] {
        assert_eq!(reason(&mut bench, &named(jti, json!({}))), expected, "{jti}");
    }
    let page = with(page("/"), &named("c", json!({})));
    assert_eq!(ask(&mut bench, &page), Answer::deny(Reason::SessionsFull), "a log-in would not help");
    // Who logs out makes room.
    let out = with(asked(Method::POST, "/logout"), &named("a", json!({})));
    assert_eq!(ask(&mut bench, &out), Answer::Pass);
    hear(&mut bench, &out, 302, &[]);
    assert_eq!(reason(&mut bench, &named("c", json!({}))), Ok(()));
}

#[test]
fn one_that_was_not_seen_for_long_makes_room_and_is_over() {
    let mut bench = two(json!({"when_full": "refuse_newest", "absolute": "12h"}));
    let long = json!({"exp": NOW + 8 * 3600});
    let tokens = ["a", "b", "c"].map(|jti| named(jti, long.clone()));
    assert_eq!(reason(&mut bench, &tokens[0]), Ok(()));
    bench.io.advance(20 * MINUTE);
    assert_eq!(reason(&mut bench, &tokens[1]), Ok(()));
    bench.io.advance(11 * MINUTE);
    assert_eq!(reason(&mut bench, &tokens[2]), Ok(()), "a was prolonged by nobody for half an hour");
    assert_eq!(reason(&mut bench, &tokens[0]), Err(Reason::SessionEnded));
    assert_eq!(reason(&mut bench, &tokens[1]), Ok(()));
}

#[test]
fn those_that_an_operator_ends_are_over_however_they_were_prolonged() {
    let mut bench = two(json!({}));
    let token = signed(json!({"jti": null, "exp": NOW + 60}));
    let next = renewed(&mut bench, &token, &[]).unwrap();
    assert_eq!(reason(&mut bench, &next), Ok(()));
    assert_eq!(listed(&mut bench, "ann").len(), 1, "it is one session");
    let id = listed(&mut bench, "ann").remove(0);
    assert_eq!(end(&mut bench, "ann", Some("another")), 0);
    assert_eq!(end(&mut bench, "ann", Some(&id)), 1);
    assert!(listed(&mut bench, "ann").is_empty());
    for token in [&token, &next] {
        assert_eq!(reason(&mut bench, token), Err(Reason::SessionEnded));
    }
    // One who came back after a long while ends with all others.
    let idle = named("idle", json!({"exp": NOW + 8 * 3600}));
    assert_eq!(reason(&mut bench, &idle), Ok(()));
    bench.io.advance(60 * MINUTE);
    assert_eq!(end(&mut bench, "ann", None), 1);
    assert_eq!(reason(&mut bench, &idle), Err(Reason::SessionEnded));
}

#[test]
fn what_ended_stays_so_when_the_application_goes_on_giving_tokens() {
    let mut bench = two(json!({"absolute": "1h", "renew": false}));
    let token = |at: u64| signed(json!({"sid": "s", "jti": format!("j{at}"), "iat": NOW + at, "exp": NOW + at + 900}));
    assert_eq!(reason(&mut bench, &token(0)), Ok(()));
    assert_eq!(end(&mut bench, "ann", None), 1);
    // Every ten minutes another token of the same session, for two hours.
    for at in (600..7200).step_by(600) {
        bench.io.advance(10 * MINUTE);
        assert_eq!(reason(&mut bench, &token(at)), Err(Reason::SessionEnded), "{at}");
    }
}

#[test]
fn one_that_comes_back_after_a_silence_is_on_the_list_for_as_long_as_it_holds() {
    let mut bench = two(json!({"most": 1, "absolute": "12h", "renew": false}));
    let token = |at: u64| signed(json!({"sid": "s", "jti": format!("j{at}"), "iat": NOW + at, "exp": NOW + at + 900}));
    assert_eq!(reason(&mut bench, &token(0)), Ok(()));
    bench.io.advance(11 * 60 * MINUTE);
    let back = 11 * 3600;
    assert_eq!(reason(&mut bench, &token(back)), Ok(()));
    let handle = listed(&mut bench, "ann");
    assert_eq!(handle.len(), 1);
    // Every ten minutes a token more, beyond twelve hours from the first of them.
    for at in (back + 600..back + 7200).step_by(600) {
        bench.io.advance(10 * MINUTE);
        assert_eq!(reason(&mut bench, &token(at)), Ok(()), "{at}");
        assert_eq!(listed(&mut bench, "ann"), handle);
    }
    let other = named("other", json!({"iat": NOW + back, "exp": NOW + back + 9000}));
    assert_eq!(reason(&mut bench, &other), Ok(()));
    assert_eq!(reason(&mut bench, &token(back + 6600)), Err(Reason::SessionEnded));
    assert_eq!(listed(&mut bench, "ann").len(), 1);
}

#[test]
fn what_ended_stays_so_over_a_night() {
    let mut bench = two(json!({"absolute": "12h", "renew": false}));
    let token = |at: u64| signed(json!({"sid": "s", "jti": format!("j{at}"), "iat": NOW + at, "exp": NOW + at + 900}));
    assert_eq!(reason(&mut bench, &token(0)), Ok(()));
    bench.io.advance(10 * MINUTE);
    assert_eq!(end(&mut bench, "ann", None), 1);
    bench.io.advance(Duration::from_secs(43_000 - 600));
    assert_eq!(reason(&mut bench, &token(43_000)), Err(Reason::SessionEnded));
}

#[test]
fn who_is_active_by_newer_tokens_is_not_silent() {
    let mut bench = two(json!({"most": 1, "when_full": "refuse_newest"}));
    let token = |at: u64| signed(json!({"sid": "s", "jti": format!("j{at}"), "iat": NOW + at, "exp": NOW + at + 1800}));
    for at in (0..3600).step_by(600) {
        assert_eq!(reason(&mut bench, &token(at)), Ok(()), "{at}");
        bench.io.advance(10 * MINUTE);
    }
    let other = named("other", json!({"iat": NOW + 3600, "exp": NOW + 5400}));
    assert_eq!(reason(&mut bench, &other), Err(Reason::SessionsFull));
    assert_eq!(reason(&mut bench, &token(3600)), Ok(()));
}

#[test]
fn a_token_that_is_over_is_taken_from_the_browser() {
    let mut bench = two(json!({"most": 1}));
    let (old, new) = (named("a", json!({})), named("b", json!({})));
    assert_eq!((reason(&mut bench, &old), reason(&mut bench, &new)), (Ok(()), Ok(())));
    assert_eq!(reason(&mut bench, &old), Err(Reason::SessionEnded));
    let cookies: Vec<_> = bench.effects.response.iter().map(|(_, value)| value.to_str().unwrap()).collect();
    assert!(matches!(&cookies[..], [one] if one.starts_with("access_token=;") && one.contains("Max-Age=0")), "{cookies:?}");
    // Not with the answer to a log-in, which sets another.
    let login = with(page("/login"), &old);
    assert_eq!(ask(&mut bench, &login), Answer::Pass);
    assert!(bench.effects.response.is_empty(), "{:?}", bench.effects.response);
}

#[test]
fn its_user_ends_others_and_itself_on_the_page() {
    let mut bench = two(json!({}));
    let (phone, laptop) = (named("a", json!({})), named("b", json!({})));
    assert_eq!(reason(&mut bench, &phone), Ok(()));
    let here = with(page("/.palisade/sessions"), &laptop);
    let shown = String::from_utf8(own_page(&mut bench, &here).body.to_vec()).unwrap();
    assert!(shown.contains("(this one)") && !shown.contains(&laptop));
    let token = shown.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let post = |end: &str, bench: &mut Bench| {
        bench.io.body = Ok(format!("end={end}&token={token}").into());
        own_page(bench, &with(asked(Method::POST, "/.palisade/sessions"), &laptop))
    };
    let reply = post("others", &mut bench);
    assert_eq!(reply.status.as_u16(), 303);
    assert_eq!((reason(&mut bench, &phone), reason(&mut bench, &laptop)), (Err(Reason::SessionEnded), Ok(())));
    let reply = post("all", &mut bench);
    let fields: Vec<_> = reply.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert!(fields.contains(&("location", "/login")), "{fields:?}");
    assert!(fields.iter().any(|(name, value)| *name == "set-cookie" && value.starts_with("access_token=;")), "{fields:?}");
    assert_eq!(reason(&mut bench, &laptop), Err(Reason::SessionEnded));
}

#[test]
fn without_most_there_is_nothing_to_count() {
    let mut bench = app(json!({}));
    assert_eq!(reason(&mut bench, &named("a", json!({}))), Ok(()));
    assert!(listed(&mut bench, "ann").is_empty() && told(&bench).is_empty());
}
