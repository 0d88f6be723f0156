//! Where in a request a token is. Exactly one, or none: of two tokens the application might read the other one.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName};

use crate::decision::Reason;
use crate::request::Request;

/// The places that a policy names.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) header: Option<HeaderName>,
    pub(super) cookie: Option<String>,
    pub(super) query: Option<String>,
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
            for line in request.headers.get_all(COOKIE) {
                let line = line.to_str().map_err(|_| Reason::TokenInvalid)?;
                for pair in line.split(';') {
                    one(&mut found, value(pair.trim_matches([' ', '\t']), name))?;
                }
            }
        }
        if let Some(name) = &self.query {
            for pair in request.query.unwrap_or_default().split('&') {
                one(&mut found, value(pair, name))?;
            }
        }
        Ok(found)
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
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim_matches([' ', '\t']),
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
