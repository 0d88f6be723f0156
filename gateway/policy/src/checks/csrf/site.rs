//! Which page made a request, by what the browser says of it: `Origin`, `Sec-Fetch-Site`, `Referer`. No page can write
//! these itself; a program that is no browser can, and carries nobody's cookies.

use http::header::{ORIGIN, REFERER};
use http::{HeaderName, HeaderValue};

use crate::checks::cors::origin::{Origins, is_own};
use crate::request::Request;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The pages that may act.
#[derive(Debug)]
pub(super) struct Pages {
    /// Others than the application's own.
    pub(super) origins: Option<Origins>,
    /// Whether those of the same site may: other hosts of the same domain.
    pub(super) siblings: bool,
}

/// Who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// A page that may act, or the person at the browser.
    Ours,
    /// Another page.
    Foreign,
    /// Nothing says so.
    Unknown,
}

impl Pages {
    pub(super) fn maker(&self, request: &Request<'_>) -> Maker {
        let one = |name: &HeaderName| -> Result<Option<&HeaderValue>, Maker> {
            let mut values = request.headers.get_all(name).iter();
            let first = values.next();
            if values.next().is_some() { Err(Maker::Foreign) } else { Ok(first) }
        };
        let (origin, site) = match (one(&ORIGIN), one(&SEC_FETCH_SITE)) {
            (Ok(origin), Ok(site)) => (origin, site.map(HeaderValue::as_bytes)),
            (Err(maker), _) | (_, Err(maker)) => return maker,
        };
        match (origin, site) {
            (Some(origin), _) if self.listed(origin) => Maker::Ours,
            // A page whose policy is `no-referrer` sends `null` of itself, a sandboxed one as well: the site decides.
            (Some(origin), site) if origin == "null" => ours(site == Some(b"same-origin")),
            (Some(origin), site) => {
                let own = origin.to_str().is_ok_and(|origin| is_own(request, origin));
                match site {
                    Some(b"same-site") => ours(self.siblings),
                    Some(b"same-origin" | b"none") | None => ours(own),
                    Some(_) => Maker::Foreign,
                }
            }
            (None, Some(site)) => ours(match site {
                b"same-origin" | b"none" => true,
                b"same-site" => self.siblings,
                _ => false,
            }),
            (None, None) => match one(&REFERER) {
                Ok(None) => Maker::Unknown,
                Ok(Some(page)) => ours(self.refers(request, page)),
                Err(maker) => maker,
            },
        }
    }

    fn listed(&self, origin: &HeaderValue) -> bool {
        self.origins.as_ref().is_some_and(|origins| origins.allow(origin).is_some())
    }

    fn refers(&self, request: &Request<'_>, page: &HeaderValue) -> bool {
        let Some((scheme, rest)) = page.to_str().ok().and_then(|page| page.split_once("://")) else {
            return false;
        };
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        let origin = format!("{scheme}://{authority}");
        is_own(request, &origin) || HeaderValue::try_from(origin).is_ok_and(|origin| self.listed(&origin))
    }
}

fn ours(yes: bool) -> Maker {
    if yes { Maker::Ours } else { Maker::Foreign }
}
