//! Tokens in the pages of an application that knows nothing of them: which answers are given some, and what. How a page is
//! read is `markup`'s, and whether a token is good the check's.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HOST,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use url::Url;

use super::Check;
use crate::checks::{Hearing, Turn};
use crate::codec::Codings;
use crate::context::Context;
use crate::decision::{Effects, Told};
use crate::field::Field;
use crate::io::Io;
use crate::markup::{Given, Script};
use crate::request::Request;

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");

/// Pages that are given tokens.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CsrfInject")]
pub struct Inject {
    /// A hidden field at the end of every form that posts to the page's own origin, by the name that `field` says (default
    /// csrf_token). Forms and buttons that lead to other hosts are given none. Default true.
    #[serde(default = "yes")]
    forms: bool,
    /// `<meta name="csrf-token">` in the head, for scripts of the application that look for one.
    #[serde(default)]
    meta: bool,
    /// A script of the gateway's own in the head that adds the header to what fetch, XMLHttpRequest and htmx send to the
    /// page's own origin. Needs a route that serves this check (`serve: [csrf]`), and a Content-Security-Policy that lets it
    /// run: where that forbids it, it is left out.
    #[serde(default)]
    script: bool,
    /// Media types of pages: text/html (the default), application/xhtml+xml.
    #[serde(default = "html")]
    types: Vec<Type>,
}

fn yes() -> bool {
    true
}

fn html() -> Vec<Type> {
    vec![Type::Html]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
enum Type {
    #[serde(rename = "text/html")]
    Html,
    #[serde(rename = "application/xhtml+xml")]
    Xhtml,
}

/// Ready to be put into pages.
#[derive(Debug)]
pub(super) struct Injection {
    /// Name of the field; `None`: forms are given nothing.
    field: Option<String>,
    meta: bool,
    /// Where the script is, and what it must know.
    script: Option<Script>,
    types: Vec<Type>,
}

/// Why a page goes on as it is.
enum Untouched {
    /// It is none, or has nothing to be given.
    Other,
    /// It would be, but for this: what it sends will be refused.
    Because(&'static str),
}

impl Inject {
    /// Whether forms get a field.
    pub(super) fn fills_forms(&self) -> bool {
        self.forms
    }

    pub(super) fn compile(
        self,
        context: &mut Context<'_>,
        field: Option<&Field>,
        (cookie, header): (&str, &HeaderName),
    ) -> Injection {
        let at = context.at.key("inject");
        if !self.forms && !self.meta && !self.script {
            context.error(at.clone(), "nothing is injected: forms, meta or script");
        }
        if self.types.is_empty() {
            context.error(at.key("types"), "no media type");
        }
        let name = match field {
            Some(Field::Form(name)) => Some(name.clone()),
            _ => None,
        };
        if self.forms && name.is_none() {
            context.error(context.at.key("field"), "a form's field is injected: write form.NAME");
        }
        let script = Script {
            address: format!("{}/csrf.js", context.pages),
            cookie: cookie.to_owned(),
            header: header.to_string(),
        };
        Injection {
            field: name.filter(|_| self.forms),
            meta: self.meta,
            script: self.script.then_some(script),
            types: self.types,
        }
    }
}

impl Injection {
    pub(super) fn has_script(&self) -> bool {
        self.script.is_some()
    }

    /// Asks the application for whole pages in no coding, where the request may be for one: what a browser or a proxy kept
    /// from before has the token of another session.
    pub(super) fn prepare<I: Io>(turn: &mut Turn<'_, '_, I>) {
        if !wants_page(turn.request.headers) {
            return;
        }
        let asked = &mut turn.effects.upstream;
        asked.push((ACCEPT_ENCODING, Some(HeaderValue::from_static("identity"))));
        asked.extend([IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_RANGE, RANGE].map(|name| (name, None)));
    }

    /// Whether this answer is given something, and whether it is XML.
    fn takes(&self, status: u16, headers: &HeaderMap) -> Result<bool, Untouched> {
        let bodiless = status < 200 || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let mut parts = kind.split(';').map(str::trim);
        let kind = match parts.next().map(str::to_ascii_lowercase).as_deref() {
            Some("text/html") => Type::Html,
            Some("application/xhtml+xml") => Type::Xhtml,
            _ => return Err(Untouched::Other),
        };
        let saved = headers.get(CONTENT_DISPOSITION).is_some_and(|value| begins(value, b"attachment"));
        if bodiless || saved || !self.types.contains(&kind) {
            return Err(Untouched::Other);
        }
        if status == StatusCode::PARTIAL_CONTENT || headers.contains_key(CONTENT_RANGE) {
            return Err(Untouched::Because("a part of a page"));
        }
        let several = headers.get_all(CONTENT_TYPE).iter().count() > 1;
        let mut charsets = parts.filter_map(|part| part.split_once('=')).filter(|(name, _)| {
            name.trim().eq_ignore_ascii_case("charset")
        });
        if several || charsets.next().is_some_and(|(_, charset)| !is_ascii(charset.trim().trim_matches('"'))) {
            return Err(Untouched::Because("a charset that ASCII is no part of"));
        }
        if headers.contains_key(CONTENT_ENCODING) && Codings::of(headers).map_or(true, |codings| !codings.is_empty()) {
            return Err(Untouched::Because("compressed, though no coding was asked for"));
        }
        let fixed = |value: &HeaderValue| contains(value, b"no-transform");
        if headers.get_all(CACHE_CONTROL).iter().any(fixed) {
            return Err(Untouched::Because("Cache-Control: no-transform"));
        }
        Ok(kind == Type::Xhtml)
    }
}

impl Check {
    /// The application's answer: a page is given the visitor's token, or another one where a log-in began another session.
    pub(super) fn inject<I: Io>(&self, hearing: &mut Hearing<'_, '_, I>) {
        let Some(injection) = &self.inject else { return };
        let given = injection.takes(hearing.status, hearing.headers).and_then(|xml| {
            let address = address(hearing.request);
            Ok((address.ok_or(Untouched::Because("a Host that is no address"))?, xml))
        });
        let (address, xml) = match given {
            Ok(given) => given,
            Err(Untouched::Other) => return,
            Err(Untouched::Because(why)) => {
                hearing.effects.told.push(Told {
                    event: "page_without_token",
                    check: hearing.awaited.check,
                    user: hearing.facts.identity.as_ref().map(|identity| identity.user.clone()),
                    detail: why.to_owned(),
                });
                return;
            }
        };
        let Some(token) = self.token_for(hearing) else { return };
        let random = [hearing.io.random(), hearing.io.random()];
        let Some(masked) = super::token::masked(&token, random) else { return };
        let form = injection.field.as_ref().map(|name| {
            format!("<input type=\"hidden\" name=\"{}\" value=\"{masked}\"/>", escaped(name))
        });
        let meta = injection.meta.then(|| format!("<meta name=\"csrf-token\" content=\"{masked}\"/>"));
        private(hearing.effects, hearing.headers);
        hearing.effects.markup = Some(Box::new(Given {
            address,
            xml,
            form: form.unwrap_or_default(),
            head: meta.unwrap_or_default(),
            script: injection.script.clone(),
        }));
    }
}

/// A page with somebody's token in it is theirs alone, and not to be shown again later without asking.
fn private(effects: &mut Effects, headers: &HeaderMap) {
    let stored = headers.get_all(CACHE_CONTROL).iter().any(|value| contains(value, b"no-store"));
    let keep = HeaderValue::from_static(if stored { "no-store" } else { "private, no-cache" });
    effects.response.push((CACHE_CONTROL, keep));
    effects.response.push((VARY, HeaderValue::from_static("Cookie")));
}

/// Whether a page may come: asked for as one, or by a script that puts in what comes.
fn wants_page(headers: &HeaderMap) -> bool {
    if let Some(destination) = headers.get(SEC_FETCH_DEST) {
        let shown: [&[u8]; 6] = [b"document", b"iframe", b"frame", b"fencedframe", b"object", b"embed"];
        if destination.as_bytes() != b"empty" {
            return shown.contains(&destination.as_bytes());
        }
        // fetch and XMLHttpRequest: whatever they put in they say, or leave open.
        return headers.contains_key(HX_REQUEST) || headers.get_all(ACCEPT).iter().any(|accept| {
            contains(accept, b"text/html") || accept.as_bytes() == b"*/*"
        });
    }
    headers.contains_key(HX_REQUEST)
        || headers.get_all(ACCEPT).iter().any(|accept| contains(accept, b"html"))
}

/// Scheme and authority, as the browser names them.
fn address(request: &Request<'_>) -> Option<Url> {
    let named = request.headers.get(HOST).map(|host| host.to_str()).transpose().ok()?;
    Url::parse(&format!("{}://{}/", request.scheme, named.unwrap_or(request.host))).ok()
}

fn begins(value: &HeaderValue, word: &[u8]) -> bool {
    let start = value.as_bytes().trim_ascii_start().get(..word.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn contains(value: &HeaderValue, word: &[u8]) -> bool {
    value.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

/// Whether in this charset an ASCII byte is that character wherever a tag could begin or end: not so in UTF-16, UTF-7,
/// ISO-2022 and the like. One that is not known is none of them.
fn is_ascii(charset: &str) -> bool {
    let charset = charset.to_ascii_lowercase();
    let families = ["iso-8859-", "iso8859-", "windows-125", "cp125", "koi8-"];
    let single = [
        "utf-8", "utf8", "us-ascii", "ascii", "latin1", "windows-874", "tis-620", "macintosh", "x-mac-cyrillic", "ibm866",
        "gbk", "gb2312", "gb18030", "big5", "big5-hkscs", "euc-jp", "euc-kr", "shift_jis", "shift-jis", "sjis", "x-sjis",
        "windows-31j", "ks_c_5601-1987",
    ];
    single.contains(&charset.as_str()) || families.iter().any(|family| charset.starts_with(family))
}

/// For attributes in quotes.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}
