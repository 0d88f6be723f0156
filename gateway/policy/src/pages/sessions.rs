//! The page on which users see their own sessions and end them. Works without script. Decides nothing.

use super::Page;
use super::html::Html;
use super::text::{Text, filled};

/// One session, as its user sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session<'s> {
    pub(crate) id: &'s str,
    /// What the client said that it is.
    pub(crate) agent: &'s str,
    pub(crate) client: &'s str,
    /// Unix milliseconds.
    pub(crate) started: u64,
    /// Unix milliseconds.
    pub(crate) seen: u64,
    /// The one that asks.
    pub(crate) here: bool,
}

/// All of a user's sessions, each with a way to end it.
pub(crate) fn list<'s>(
    text: &'static Text,
    user: &str,
    sessions: impl Iterator<Item = Session<'s>>,
    token: &str,
) -> Page {
    let mut body = Html::default();
    body.put(
        "<p>{}</p>\n<ul class=\"sessions\">\n",
        &[&filled(text.logout_lead, "{user}", user)],
    );
    for session in sessions {
        one(&mut body, text, session, token);
    }
    body.put("</ul>\n", &[]);
    button(
        &mut body,
        (text.sessions_end_others, text.sessions_end_others),
        "others",
        token,
    );
    button(
        &mut body,
        (text.sessions_end_all, text.sessions_end_all),
        "all",
        token,
    );
    Page {
        text,
        title: text.sessions_title,
        refused: false,
        body,
        script: None,
        leads: None,
    }
}

fn one(body: &mut Html, text: &'static Text, session: Session<'_>, token: &str) {
    let agent = if session.agent.is_empty() {
        text.session_nameless
    } else {
        session.agent
    };
    body.put("<li><span class=\"agent\">{}</span>", &[agent]);
    if session.here {
        body.put(" <strong>({})</strong>", &[text.session_here]);
    }
    body.put(
        "<dl>\n<dt>{}</dt><dd>{}</dd>\n",
        &[text.session_address, session.client],
    );
    time(body, text.session_since, session.started);
    time(body, text.session_seen, session.seen);
    body.put("</dl>\n", &[]);
    let spoken = format!("{}: {agent}", text.session_end);
    button(body, (text.session_end, &spoken), session.id, token);
    body.put("</li>\n", &[]);
}

/// When something was, in UTC.
fn time(body: &mut Html, word: &str, unix_ms: u64) {
    let moment = i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let written = |format: &str| {
        moment.map_or_else(String::new, |moment| moment.strftime(format).to_string())
    };
    body.put(
        "<dt>{}</dt><dd><time datetime=\"{}\">{}</time></dd>\n",
        &[
            word,
            &written("%Y-%m-%dT%H:%M:%SZ"),
            &written("%Y-%m-%d %H:%M UTC"),
        ],
    );
}

/// A form of one button: what it shows, and what is read out.
fn button(body: &mut Html, (label, spoken): (&str, &str), end: &str, token: &str) {
    body.put(
        "<form method=\"post\" class=\"line\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
         <button class=\"quiet\" name=\"end\" value=\"{}\" aria-label=\"{}\">{}</button></form>\n",
        &[token, end, spoken, label],
    );
}
