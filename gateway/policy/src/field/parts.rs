//! Forms as a whole: their parts, and what they say beyond the field that is asked for.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Field, alike, form, is};
use crate::decision::Reason;
use crate::io::Io;
use crate::request::Request;

/// Whether a form says that it only reads: some applications heed that, and give the page of a log-in for what looked like
/// one. Names as PHP makes them: blanks before them go, dots, blanks and open brackets become `_`.
#[must_use]
pub(super) fn only_reads(request: &Request<'_>, body: &[u8]) -> bool {
    let query = request.query.unwrap_or_default().as_bytes();
    let form_body = if form(request.headers) { body } else { &[] };
    let told = |text: &[u8]| form_urlencoded::parse(text).any(|(name, value)| reads(&name, &value));
    let field = Field::Form(String::new());
    told(query) || told(form_body) || field.parts(request, body).is_some_and(|parts| parts.reads)
}

/// The body of an attempt to log in, as far as it is a form or wanted; of `most` bytes. Whatever names the user, a form may say
/// more than a policy asks for.
///
/// # Errors
/// Why the body could not be had, or that the form only reads.
pub async fn form_of_attempt<I: Io>(
    request: &Request<'_>,
    io: &mut I,
    wanted: bool,
    most: u64,
) -> Result<Bytes, Reason> {
    let multipart = || is(request.headers, |essence| essence == "multipart/form-data");
    let body = match wanted || form(request.headers) || multipart() {
        true => io.body(most).await?,
        false => Bytes::new(),
    };
    if only_reads(request, &body) {
        return Err(Reason::BadMethod);
    }
    Ok(body)
}

fn reads(name: &str, value: &str) -> bool {
    let name = name.trim_start().split('\0').next().unwrap_or_default();
    let name = name.replace(['.', ' ', '['], "_");
    let safe = ["get", "head", "options"];
    name.eq_ignore_ascii_case("_method")
        && safe.contains(&value.trim().to_ascii_lowercase().as_str())
}

/// Looks for one field among the parts of a form.
pub(super) struct Parts<'n> {
    pub(super) name: &'n str,
    pub(super) found: Option<String>,
    pub(super) count: usize,
    /// Those that some reader takes for the same field.
    pub(super) alike: usize,
    /// Whether readers could find other parts.
    pub(super) flawed: bool,
    /// Whether one says that the form only reads.
    pub(super) reads: bool,
    /// Whether one says in which charset the others are.
    pub(super) charset: bool,
}

impl waf::body::Sink for Parts<'_> {
    fn pair(&mut self, name: &[u8], value: &[u8], _: &[u8]) -> ControlFlow<()> {
        let text = String::from_utf8_lossy(name);
        self.charset |= alike(&text, "_charset_");
        self.reads |= reads(&text, &String::from_utf8_lossy(value));
        self.alike += usize::from(alike(&text, self.name));
        if name == self.name.as_bytes() {
            self.count += 1;
            self.found = std::str::from_utf8(value).ok().map(str::to_owned);
        }
        ControlFlow::Continue(())
    }

    fn file(&mut self, _: waf::body::File<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn part_header(&mut self, _: &[u8], _: &[u8]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn text(&mut self, _: &[u8], _: &[u8]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn attribute(&mut self, _: &[u8], _: &[u8]) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn flaw(&mut self, _: waf::body::Flaw) -> ControlFlow<()> {
        self.flawed = true;
        ControlFlow::Continue(())
    }
}
