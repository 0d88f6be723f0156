//! The page into which somebody types a token for emergencies. Decides nothing.

use super::Page;
use super::html::Html;
use super::text::Text;

/// The form; `why`: what was wrong with the token before.
pub(crate) fn form(text: &'static Text, why: Option<&str>) -> Page {
    let mut body = Html::default();
    if let Some(why) = why {
        body.put("<p class=\"problem\" role=\"alert\">{}</p>\n", &[why]);
    }
    body.put(
        "<form method=\"post\">\n<label for=\"token\">{}</label>\n\
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"off\" required autofocus>\n\
         <button type=\"submit\">{}</button>\n</form>\n<p class=\"hint\">{}</p>\n",
        &[text.emergency_token, text.emergency_use, text.emergency_recorded],
    );
    Page {
        text,
        title: text.emergency_title,
        refused: why.is_some(),
        body,
        script: None,
        leads: None,
    }
}
