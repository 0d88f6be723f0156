//! The pages of a log-in at a provider: what went wrong, logging out. Decides nothing.

use super::Page;
use super::html::Html;
use super::text::{Text, filled};

fn page(text: &'static Text, title: &'static str, body: Html) -> Page {
    Page {
        text,
        title,
        refused: false,
        body,
        script: None,
        leads: None,
    }
}

fn link(body: &mut Html, to: &str, words: &str) {
    body.put("<p><a href=\"{}\">{}</a></p>\n", &[to, words]);
}

/// No session began.
pub(crate) fn trouble(text: &'static Text, words: &'static str, again: &str) -> Page {
    let mut body = Html::default();
    body.put("<p class=\"problem\" role=\"alert\">{}</p>\n", &[words]);
    link(&mut body, again, text.login_again);
    Page {
        refused: true,
        ..page(text, text.login_title, body)
    }
}

/// The user goes on from here.
pub(crate) fn on(text: &'static Text, to: &str) -> Page {
    let mut body = Html::default();
    link(&mut body, to, text.go_on);
    page(text, text.login_done, body)
}

/// Asks whether to log out. `leads` is the provider's host, where the form leads in the end.
pub(crate) fn leave(
    text: &'static Text,
    user: &str,
    (action, token): (&str, &str),
    leads: Option<String>,
) -> Page {
    let mut body = Html::default();
    body.put("<p>{}</p>\n", &[&filled(text.logout_lead, "{user}", user)]);
    body.put(
        "<form method=\"post\" action=\"{}\">\n<input type=\"hidden\" name=\"token\" value=\"{}\">\n\
         <button type=\"submit\">{}</button>\n</form>\n",
        &[action, token, text.logout_title],
    );
    Page {
        leads,
        ..page(text, text.logout_title, body)
    }
}

/// Nobody is signed in any more.
pub(crate) fn left(text: &'static Text, again: &str) -> Page {
    let mut body = Html::default();
    link(&mut body, again, text.login_again);
    page(text, text.logout_done, body)
}
