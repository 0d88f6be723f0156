//! The pages of `step_up`: one function each, from what is to be shown to a page. Decides nothing.

use super::html::Html;
use super::text::{Text, filled};
use super::{Page, Script, qr};

/// What every page of a visit has in common.
#[derive(Debug, Clone)]
pub(crate) struct View<'v> {
    pub(crate) text: &'static Text,
    /// Path of the pages.
    pub(crate) base: &'v str,
    /// Token of the forms.
    pub(crate) token: &'v str,
    /// Where the visitor goes afterwards; empty: nowhere in particular.
    pub(crate) back: &'v str,
    /// What was wrong with the last form.
    pub(crate) problem: Option<String>,
}

/// The ways to confirm that this visitor has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways<'w> {
    /// Digits of the app's codes.
    pub(crate) app: Option<u8>,
    pub(crate) backup: bool,
    /// What the browser is told about keys, as JSON.
    pub(crate) keys: Option<&'w str>,
}

/// A set-up of an authenticator app.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SetUp<'s> {
    /// `otpauth://…`
    pub(crate) address: &'s str,
    pub(crate) secret: &'s str,
    pub(crate) digits: u8,
    pub(crate) minutes: u64,
    /// Whether a key would do as well.
    pub(crate) keys: bool,
}

/// What a visitor enrolled.
#[derive(Debug)]
pub(crate) struct Enrolled {
    /// Whether apps are a method here, and the day that one was set up.
    pub(crate) app: Option<Option<String>>,
    /// Whether keys are a method here, and each one's number, name and day.
    pub(crate) keys: Option<Vec<(String, String, String)>>,
    /// Whether backup codes are a method here, and how many are left.
    pub(crate) backup: Option<usize>,
}

impl View<'_> {
    fn page(&self, title: &'static str, body: Html, script: Option<Script>) -> Page {
        Page {
            text: self.text,
            title,
            refused: self.problem.is_some(),
            body,
            script,
            leads: None,
        }
    }

    /// What was wrong; named by the fields that it is about.
    fn problem(&self) -> Html {
        let mut html = Html::default();
        if let Some(problem) = &self.problem {
            html.put(
                "<p class=\"problem\" id=\"problem\" role=\"alert\">{}</p>\n",
                &[problem],
            );
        }
        html
    }

    /// The beginning of a form and the fields that nobody sees.
    fn form(&self, to: &'static str, class: &'static str) -> Html {
        let mut html = Html::default();
        html.put(
            "<form method=\"post\" action=\"{}/mfa{}\" class=\"{}\">\n\
             <input type=\"hidden\" name=\"token\" value=\"{}\">\n",
            &[self.base, to, class, self.token],
        );
        if !self.back.is_empty() {
            html.put(
                "<input type=\"hidden\" name=\"return\" value=\"{}\">\n",
                &[self.back],
            );
        }
        html
    }

    /// A link to another page of ours that goes on to the same place.
    fn link(&self, to: &'static str) -> String {
        with_return(self.base, to, self.back)
    }

    /// The field for an app's code.
    fn code(&self, digits: u8) -> Html {
        let digits = digits.to_string();
        let hint = filled(self.text.code_hint, "{digits}", &digits);
        let mut html = Html::default();
        html.put(
            "<label for=\"code\">{}</label>\n<p class=\"hint\" id=\"hint\">{}</p>\n\
             <input class=\"code\" id=\"code\" name=\"code\" type=\"text\" inputmode=\"numeric\" \
             autocomplete=\"one-time-code\" autocapitalize=\"off\" spellcheck=\"false\" maxlength=\"16\" required autofocus",
            &[self.text.code, &hint],
        );
        self.described(&mut html, "hint");
        html
    }

    /// The field for a backup code.
    fn backup(&self, focus: bool) -> Html {
        let mut html = Html::default();
        html.put(
            "<label for=\"backup\">{}</label>\n<p class=\"hint\" id=\"backup-hint\">{}</p>\n\
             <input class=\"code\" id=\"backup\" name=\"code\" type=\"text\" autocomplete=\"off\" \
             autocapitalize=\"off\" spellcheck=\"false\" maxlength=\"16\" required",
            &[self.text.backup_code, self.text.backup_hint],
        );
        if focus {
            html.put(" autofocus", &[]);
        }
        self.described(&mut html, "backup-hint");
        html
    }

    fn described(&self, html: &mut Html, hint: &'static str) {
        match self.problem {
            Some(_) => html.put(
                " aria-describedby=\"problem {}\" aria-invalid=\"true\">\n",
                &[hint],
            ),
            None => html.put(" aria-describedby=\"{}\">\n", &[hint]),
        };
    }
}

/// `BASE/mfaTO?return=BACK`.
pub(crate) fn with_return(base: &str, to: &str, back: &str) -> String {
    let mut link = format!("{base}/mfa{to}");
    if !back.is_empty() {
        link.push_str("?return=");
        link.extend(form_urlencoded::byte_serialize(back.as_bytes()));
    }
    link
}

/// Asks for one of the ways.
pub(crate) fn verify(view: &View<'_>, ways: Ways<'_>) -> Page {
    let text = view.text;
    let mut body = Html::default();
    let only = ways.keys.is_none() && ways.app.is_some();
    let lead = if only {
        text.verify_app
    } else {
        text.verify_other
    };
    body.put("<p>{}</p>\n", &[lead]).join(&view.problem());
    if let Some(told) = ways.keys {
        body.join(&ask_key(view, told));
    }
    if let Some(digits) = ways.app {
        body.join(&view.form("", "app"))
            .join(&view.code(digits))
            .put("<button>{}</button>\n</form>\n", &[text.go_on]);
    }
    if ways.backup {
        let alone = ways.app.is_none() && ways.keys.is_none();
        if !alone {
            body.put("<details>\n<summary>{}</summary>\n", &[text.backup_open]);
        }
        body.join(&view.form("", "backup"))
            .join(&view.backup(alone))
            .put(
                "<button class=\"quiet\">{}</button>\n</form>\n",
                &[text.go_on],
            );
        if !alone {
            body.put("</details>\n", &[]);
        }
    }
    let script = ways.keys.map(|_| KEYS);
    view.page(text.verify_title, body, script)
}

/// The form that the script fills in once a key answered.
fn ask_key(view: &View<'_>, told: &str) -> Html {
    let mut html = view.form("/key/verify", "key");
    html.put(
        "<input type=\"hidden\" name=\"answer\">\n<p>{}</p>\n<noscript><p>{}</p></noscript>\n\
         <p role=\"status\" data-wait=\"{}\" data-failed=\"{}\"></p>\n\
         <button type=\"button\" data-key=\"get\" data-options=\"{}\">{}</button>\n</form>\n",
        &[
            view.text.key_lead,
            view.text.key_script,
            view.text.key_wait,
            view.text.key_failed,
            told,
            view.text.key_use,
        ],
    );
    html
}

/// Shows a new secret and asks for a code of it.
pub(crate) fn enrol(view: &View<'_>, set_up: SetUp<'_>) -> Page {
    let text = view.text;
    let mut body = Html::default();
    body.put("<p>{}</p>\n", &[text.enrol_lead])
        .join(&view.problem())
        .put("<p>{}</p>\n", &[text.enrol_scan]);
    if let Some(picture) = qr::svg(set_up.address, text.qr) {
        body.join(&picture);
    }
    let minutes = set_up.minutes.to_string();
    body.put(
        "<p>{} <code>{}</code></p>\n<p class=\"hint\"><a href=\"{}\">{}</a></p>\n<p>{} {}</p>\n",
        &[
            text.enrol_type,
            &grouped(set_up.secret),
            set_up.address,
            text.app,
            text.enrol_confirm,
            &filled(text.enrol_time, "{minutes}", &minutes),
        ],
    );
    body.join(&view.form("/enrol", "app"))
        .join(&view.code(set_up.digits))
        .put("<button>{}</button>\n</form>\n", &[text.go_on]);
    if set_up.keys {
        body.put(
            "<p><a href=\"{}\">{}</a></p>\n",
            &[&view.link("/key"), text.enrol_key],
        );
    }
    view.page(text.enrol_title, body, None)
}

/// In fours, as people copy letters.
fn grouped(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    let groups = letters.chunks(4).map(|group| group.iter().collect());
    groups.collect::<Vec<String>>().join(" ")
}

/// New backup codes, for the only time.
pub(crate) fn codes(view: &View<'_>, done: Option<&str>, codes: &[String]) -> Page {
    let text = view.text;
    let mut body = Html::default();
    if let Some(done) = done {
        body.put("<p role=\"status\">{}</p>\n", &[done]);
    }
    body.put("<p>{}</p>\n<ol class=\"codes\">\n", &[text.codes_lead]);
    for code in codes {
        body.put("<li><code>{}</code></li>\n", &[code]);
    }
    let on = match view.back {
        "" => view.link(""),
        back => back.to_owned(),
    };
    body.put(
        "</ol>\n<a class=\"button\" href=\"{}\">{}</a>\n",
        &[&on, text.codes_kept],
    );
    view.page(text.codes_title, body, None)
}

/// What there is, and what can be done with it.
pub(crate) fn home(view: &View<'_>, enrolled: &Enrolled) -> Page {
    let text = view.text;
    let mut body = Html::default();
    body.put("<p>{}</p>\n", &[text.home_lead])
        .join(&view.problem());
    if let Some(app) = &enrolled.app {
        let (state, act) = match app {
            Some(day) => (filled(text.app_since, "{date}", day), text.app_again),
            None => (text.app_none.to_owned(), text.app_set),
        };
        body.put(
            "<h2>{}</h2>\n<p>{}</p>\n<a class=\"button quiet\" href=\"{}\">{}</a>\n",
            &[text.app, &state, &view.link("/enrol"), act],
        );
    }
    if let Some(keys) = &enrolled.keys {
        body.join(&listed_keys(view, keys));
    }
    if let Some(left) = enrolled.backup {
        let left = filled(text.backup_left, "{n}", &left.to_string());
        body.put("<h2>{}</h2>\n<p>{}</p>\n", &[text.backup_codes, &left])
            .join(&view.form("/codes", "line"))
            .put(
                "<p class=\"hint\">{}</p>\n<button class=\"quiet\">{}</button>\n</form>\n",
                &[text.backup_new_hint, text.backup_new],
            );
    }
    body.put(
        "<h2>{}</h2>\n<a class=\"button quiet\" href=\"{}\">{}</a>\n",
        &[text.off_title, &view.link("/off"), text.off],
    );
    view.page(text.home_title, body, None)
}

fn listed_keys(view: &View<'_>, keys: &[(String, String, String)]) -> Html {
    let text = view.text;
    let mut html = Html::default();
    html.put("<h2>{}</h2>\n", &[text.keys]);
    if keys.is_empty() {
        html.put("<p>{}</p>\n", &[text.keys_none]);
    } else {
        html.put("<ul>\n", &[]);
        for (number, name, day) in keys {
            html.put("<li>{} ({})\n", &[name, day])
                .join(&view.form("/key/remove", "line"))
                .put(
                    "<input type=\"hidden\" name=\"key\" value=\"{}\">\n\
                     <button class=\"quiet\" aria-label=\"{}: {}\">{}</button>\n</form></li>\n",
                    &[number, text.key_remove, name, text.key_remove],
                );
        }
        html.put("</ul>\n", &[]);
    }
    html.put(
        "<a class=\"button quiet\" href=\"{}\">{}</a>\n",
        &[&view.link("/key"), text.key_add],
    );
    html
}

/// Registers a key: a name, then the browser's part. `told` is what the script is told, as JSON.
pub(crate) fn add_key(view: &View<'_>, told: &str) -> Page {
    let text = view.text;
    let mut body = Html::default();
    body.put(
        "<p>{}</p>\n<noscript><p>{}</p></noscript>\n",
        &[text.key_add_lead, text.key_script],
    )
    .join(&view.problem())
    .join(&view.form("/key", "key"))
    .put(
        "<input type=\"hidden\" name=\"answer\">\n<label for=\"name\">{}</label>\n\
         <input id=\"name\" name=\"name\" type=\"text\" autocomplete=\"off\" maxlength=\"64\" autofocus>\n\
         <p role=\"status\" data-wait=\"{}\" data-failed=\"{}\"></p>\n\
         <button type=\"button\" data-key=\"create\" data-options=\"{}\">{}</button>\n</form>\n",
        &[
            text.key_name,
            text.key_wait,
            text.key_failed,
            told,
            text.key_add,
        ],
    );
    view.page(text.key_title, body, Some(KEYS))
}

/// Asks for proof before everything is taken away.
pub(crate) fn off(view: &View<'_>, ways: Ways<'_>, required: bool) -> Page {
    let text = view.text;
    let mut body = Html::default();
    body.put("<p>{}</p>\n", &[text.off_lead]);
    if required {
        body.put("<p>{}</p>\n", &[text.off_required]);
    }
    body.join(&view.problem()).join(&view.form("/off", "app"));
    match ways.app {
        Some(digits) => body.join(&view.code(digits)),
        None if ways.backup => body.join(&view.backup(true)),
        None => &mut body,
    };
    body.put(
        "<button>{}</button>\n<a class=\"button quiet\" href=\"{}\">{}</a>\n</form>\n",
        &[text.off, &view.link(""), text.back],
    );
    view.page(text.off_title, body, None)
}

/// Something is done, or cannot be; and where it goes on.
pub(crate) fn notice(view: &View<'_>, title: &'static str, said: &str) -> Page {
    let mut body = Html::default();
    if view.problem.is_some() {
        body.join(&view.problem());
    } else {
        body.put("<p role=\"status\">{}</p>\n", &[said]);
    }
    let on = if view.back.is_empty() { "/" } else { view.back };
    body.put(
        "<a class=\"button\" href=\"{}\">{}</a>\n",
        &[on, view.text.go_on],
    );
    view.page(title, body, None)
}

/// Talks to the browser's keys and puts what they say into the form. The only script there is.
const KEYS: Script = Script(include_str!("keys.js"));
