//! Several log-ins at a time, in one browser.

use super::*;

#[test]
fn tabs_that_log_in_at_once_end_in_one_session() {
    let mut stand = Stand::new(json!({}));
    let (one, two) = (stand.away("?return=%2Fone"), stand.away("?return=%2Ftwo"));
    assert_ne!(one.state(), two.state());
    assert_ne!(one.asked["nonce"], two.asked["nonce"]);
    assert_ne!(one.asked["code_challenge"], two.asked["code_challenge"]);
    let token = signed(&stand.claims(&two));
    stand.gives(&token);
    assert_eq!(location(&replied(stand.back(&two))), "/two");
    let session = stand.cookies["__Host-session"].clone();
    let token = signed(&stand.claims(&one));
    stand.gives(&token);
    let reply = replied(stand.back(&one));
    assert_eq!(location(&reply), "/one");
    assert_eq!(stand.cookies["__Host-session"], session, "what the first one began goes on");
    assert!(stand.told().is_empty());
    assert_eq!(stand.cookies.len(), 1, "cookies of log-ins are gone: {:?}", stand.cookies);
}

#[test]
fn another_user_in_another_tab_takes_the_session_over_whole() {
    let mut stand = Stand::new(json!({}));
    let (one, two) = (stand.away(""), stand.away(""));
    for (away, user) in [(&one, "u1"), (&two, "u2")] {
        let token = signed(&with(stand.claims(away), json!({"sub": user})));
        stand.gives(&token);
        stand.back(away);
        assert_eq!(stand.who(), Ok(user.to_owned()));
    }
    let reply = stand.log_in("", json!({"sub": "u2"}));
    assert_eq!(replied(reply).status, StatusCode::SEE_OTHER);
    assert_eq!(stand.told(), [] as [&str; 0], "the same second, the same user");
    stand.bench.io.advance(Duration::from_secs(1));
    stand.log_in("", json!({"sub": "u2"}));
    assert_eq!(stand.told(), ["session_ended", "session_started"], "a log-in that began later is another one");
}

#[test]
fn an_identifier_that_was_planted_never_becomes_a_session() {
    let mut stand = Stand::new(json!({}));
    stand.log_in("", json!({"sub": "eve"}));
    let eve = stand.cookies["__Host-session"].clone();
    stand.log_in("", json!({}));
    assert_ne!(stand.cookies["__Host-session"], eve);
    assert_eq!(stand.who(), Ok("u1".to_owned()));
    stand.cookies.insert("__Host-session".to_owned(), eve);
    assert_eq!(stand.who(), Err(Reason::SessionEnded));
}

#[test]
fn a_browser_keeps_a_bounded_number_of_log_ins() {
    let mut stand = Stand::new(json!({}));
    let mut all: Vec<Away> = Vec::new();
    for _ in 0..12 {
        stand.bench.io.advance(Duration::from_secs(1));
        all.push(stand.away(""));
    }
    assert_eq!(stand.cookies.len(), 8);
    assert_eq!(why(&stand.back(&all[3])), Reason::LoginStale, "the oldest are given up");
    for away in [&all[4], &all[11]] {
        let token = signed(&stand.claims(away));
        stand.gives(&token);
        assert_eq!(replied(stand.back(away)).status, StatusCode::SEE_OTHER);
    }
    let hidden = stand.bench.check.cookies().iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(hidden, ["__Host-session", "__Host-session-login-*"], "no application sees them");
}
