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
    /// RFC 3339, in UTC.
    pub(crate) started: &'s str,
    /// RFC 3339, in UTC.
    pub(crate) seen: &'s str,
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
    for (word, moment) in [
        (text.session_since, session.started),
        (text.session_seen, session.seen),
    ] {
        body.put(
            "<dt>{}</dt><dd><time datetime=\"{}\">{}</time></dd>\n",
            &[word, moment, &readable(moment)],
        );
    }
    body.put("</dl>\n", &[]);
    let spoken = format!("{}: {agent}", text.session_end);
    button(body, (text.session_end, &spoken), session.id, token);
    body.put("</li>\n", &[]);
}

/// `2026-11-30T18:31:07Z` as `2026-11-30 18:31 UTC`.
fn readable(moment: &str) -> String {
    let parts = moment
        .split_once('T')
        .and_then(|(day, time)| Some((day, time.get(..5)?)));
    parts.map_or_else(
        || moment.to_owned(),
        |(day, time)| format!("{day} {time} UTC"),
    )
}

/// A form of one button: what it shows, and what is read out.
fn button(body: &mut Html, (label, spoken): (&str, &str), end: &str, token: &str) {
    body.put(
        "<form method=\"post\" class=\"line\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
         <button class=\"quiet\" name=\"end\" value=\"{}\" aria-label=\"{}\">{}</button></form>\n",
        &[token, end, spoken, label],
    );
}
