//! Where in a request a token is. Exactly one, or none: of two tokens the application might read the other one.

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::cookie;
use crate::decision::Reason;
use crate::request::Request;

/// The places that a policy names.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) header: Option<HeaderName>,
    pub(super) cookie: Option<String>,
    pub(super) query: Option<String>,
    /// What precedes the token in a list of WebSocket protocols.
    pub(super) websocket: Option<String>,
}

impl Source {
    /// The token, `None` when there is none.
    ///
    /// # Errors
    /// [`Reason::TokenInvalid`] when there are several, or one that is no text.
    pub(super) fn token<'r>(&self, request: &Request<'r>) -> Result<Option<&'r str>, Reason> {
        let mut found = None;
        if let Some(name) = &self.header {
            one(&mut found, header(request.headers, name)?)?;
        }
        if let Some(name) = &self.cookie {
            let sent = cookie::value(request.headers, name);
            one(&mut found, sent.map_err(|_| Reason::TokenInvalid)?)?;
        }
        if let Some(name) = &self.query {
            for pair in request.query.unwrap_or_default().split('&') {
                one(&mut found, value(pair, name))?;
            }
        }
        for (_, token) in self.protocols(request) {
            one(&mut found, token)?;
        }
        Ok(found)
    }

    /// The protocols that a WebSocket's client offers, each with the token that it is, if it is one. Browsers can set no
    /// header there, but they can name protocols.
    fn protocols<'r>(&self, request: &Request<'r>) -> impl Iterator<Item = (&'r str, Option<&'r str>)> {
        let prefix = self.websocket.as_deref().filter(|_| request.websocket);
        let lines = prefix.is_some().then(|| request.headers.get_all(SEC_WEBSOCKET_PROTOCOL));
        let items = lines.into_iter().flatten().flat_map(|line| line.to_str().unwrap_or_default().split(','));
        let items = items.map(str::trim).filter(|item| !item.is_empty());
        items.map(move |item| (item, prefix.and_then(|prefix| item.strip_prefix(prefix))))
    }

    /// What the application gets in place of the protocols that were offered, when one of them was a token, and what that
    /// one was: the token is not the application's to see, or to choose.
    pub(super) fn offered<'r>(&self, request: &Request<'r>) -> Option<(Option<HeaderValue>, &'r str)> {
        let (token, _) = self.protocols(request).find(|(_, token)| token.is_some())?;
        let others = self.protocols(request).filter(|(_, token)| token.is_none());
        let others: Vec<&str> = others.map(|(item, _)| item).collect();
        let others = HeaderValue::try_from(others.join(", ")).ok().filter(|value| !value.is_empty());
        Some((others, token))
    }
}

fn one<'r>(found: &mut Option<&'r str>, next: Option<&'r str>) -> Result<(), Reason> {
    if next.is_some() && found.is_some() {
        return Err(Reason::TokenInvalid);
    }
    *found = found.or(next);
    Ok(())
}

fn header<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Result<Option<&'r str>, Reason> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Reason::TokenInvalid);
    }
    let text = first.to_str().map_err(|_| Reason::TokenInvalid)?;
    let token = match text.split_once([' ', '\t']) {
        Some((scheme, token)) if ["bearer", "dpop"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
            token.trim_matches([' ', '\t'])
        }
        // Credentials of another kind, for somebody else.
        Some(_) if *name == AUTHORIZATION => return Ok(None),
        Some(_) => text,
        None if *name == AUTHORIZATION && !text.eq_ignore_ascii_case("bearer") => return Ok(None),
        None if *name == AUTHORIZATION => "",
        None => text,
    };
    Ok(Some(token))
}

fn value<'r>(pair: &'r str, name: &str) -> Option<&'r str> {
    let (key, value) = pair.split_once('=')?;
    (key == name).then_some(value)
}
