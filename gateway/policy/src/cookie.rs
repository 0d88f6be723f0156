//! Cookies of requests, read the one way that browsers write them, and cookies that the gateway sets.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::decision::Effects;
use crate::request::Request;
use crate::scalar::Texts;

/// A cookie's value cannot be told: it is there twice, or is no text. Of two the application might read the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous;

/// The value of the cookie of this name; `None` when there is none.
///
/// # Errors
/// [`Ambiguous`].
pub fn value<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Ambiguous> {
    let mut found = None;
    for line in headers.get_all(COOKIE) {
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let (Some(key), Some(value)) = (parts.next(), parts.next()) else {
                continue;
            };
            if key.trim_ascii() != name.as_bytes() {
                continue;
            }
            // With blanks before the `=` it is another cookie to some readers, and this one to others.
            if key != name.as_bytes() || found.is_some() {
                return Err(Ambiguous);
            }
            found = Some(std::str::from_utf8(value).map_err(|_| Ambiguous)?);
        }
    }
    Ok(found)
}

/// Cookies whose names begin so, in the order in which they were sent; no promise that a name comes once.
pub fn beginning<'h>(
    headers: &'h HeaderMap,
    prefix: &'h str,
) -> impl Iterator<Item = (&'h str, &'h str)> {
    let lines = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).map(str::trim);
    pairs
        .filter_map(|pair| pair.split_once('='))
        .filter(move |(name, _)| name.starts_with(prefix))
}

/// The lines that are left when cookies of these names are taken out; a name that ends in `*` stands for all that begin
/// so. `None` when there is none of them.
#[must_use]
pub fn without(headers: &HeaderMap, names: &[String]) -> Option<Vec<HeaderValue>> {
    let is = |pair: &[u8]| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        let name = name.trim_ascii();
        names.iter().any(|own| match own.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix.as_bytes()),
            None => own.as_bytes() == name,
        })
    };
    let lines = || headers.get_all(COOKIE).iter();
    let pairs = |line: &'_ HeaderValue| -> Vec<Vec<u8>> {
        let pairs = line.as_bytes().split(|byte| *byte == b';');
        pairs.map(|pair| pair.trim_ascii().to_vec()).collect()
    };
    let mut some = lines().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    if names.is_empty() || !some.any(is) {
        return None;
    }
    let left = lines().filter_map(|line| {
        let mut left = pairs(line);
        left.retain(|pair| !pair.is_empty() && !is(pair));
        let line = left.join(&b"; "[..]);
        HeaderValue::from_bytes(&line)
            .ok()
            .filter(|line| !line.is_empty())
    });
    Some(left.collect())
}

/// Which other sites a cookie is sent from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    /// When a link there is followed.
    #[default]
    Lax,
    /// None.
    Strict,
    /// All of them.
    None,
}

/// A cookie to be set: `HttpOnly` unless pages' scripts must read it, `Secure`, for the whole host.
#[derive(Debug, Clone, Copy)]
pub struct Set<'c> {
    /// Name; one that starts with `__Host-` can be set by no other host.
    pub name: &'c str,
    /// Value: letters, digits, `-`, `_`, `.`, `~` and the like; nothing is escaped.
    pub value: &'c str,
    /// How long the browser keeps it; `None`: until it is closed; zero: no longer at all.
    pub age: Option<Duration>,
    /// From which sites it is sent.
    pub same_site: SameSite,
    /// Whether scripts may read it.
    pub script: bool,
    /// Whether it goes over TLS only; false only where a policy says so, for a gateway without TLS in front.
    pub secure: bool,
}

impl Set<'_> {
    /// The field value of `Set-Cookie`; `None` when name or value hold what no cookie can.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        use std::fmt::Write;

        let plain = |text: &str| {
            let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\";,\\".contains(&byte);
            text.bytes().all(allowed)
        };
        if !plain(self.name) || self.name.contains('=') || !plain(self.value) {
            return None;
        }
        let mut text = format!("{}={}; Path=/", self.name, self.value);
        if let Some(age) = self.age {
            let _ = write!(text, "; Max-Age={}", age.as_secs());
        }
        if !self.script {
            text.push_str("; HttpOnly");
        }
        if self.secure {
            text.push_str("; Secure");
        }
        text.push_str(match self.same_site {
            SameSite::Lax => "; SameSite=Lax",
            SameSite::Strict => "; SameSite=Strict",
            SameSite::None => "; SameSite=None",
        });
        HeaderValue::try_from(text).ok()
    }
}

/// Cookies that some requests do not bring to the application, by their plain names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Withheld(Vec<String>);

impl Withheld {
    /// Keeps them from the application, for this request.
    pub(crate) fn keep(&self, effects: &mut Effects, request: &Request<'_>) {
        if self.0.is_empty() {
            return;
        }
        let upstream = &mut effects.upstream;
        let before = upstream.iter().rposition(|(name, _)| *name == COOKIE);
        let before = before.map(|at| upstream.remove(at).1);
        let sent = request.headers.get_all(COOKIE).iter();
        let lines: Vec<_> = match &before {
            Some(line) => line.iter().collect(),
            None => sent.collect(),
        };
        let pairs = lines
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        let pairs = pairs
            .map(<[u8]>::trim_ascii)
            .filter(|pair| !self.hold(pair));
        let left = pairs.collect::<Vec<_>>().join(&b"; "[..]);
        let left = Some(left).filter(|left| !left.is_empty());
        upstream.push((
            COOKIE,
            left.and_then(|left| HeaderValue::from_bytes(&left).ok()),
        ));
    }

    /// Whether some reader finds one of them in a pair: others than ours end a value at a blank or comma.
    fn hold(&self, pair: &[u8]) -> bool {
        let text = String::from_utf8_lossy(pair);
        let inner = text
            .split([' ', ',', '\t'])
            .filter_map(|part| part.split_once('='));
        let mut all = text.split_once('=').into_iter().chain(inner);
        all.any(|(name, _)| self.0.contains(&plain(name)))
    }
}

/// As PHP reads the name of a cookie: dots, blanks and brackets become `_`. In whatever case.
fn plain(name: &str) -> String {
    let name = name.trim().replace(['.', ' ', '['], "_");
    name.to_ascii_lowercase()
}

impl<'de> Deserialize<'de> for Withheld {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let names = Texts::deserialize(from)?;
        Ok(Self(names.0.iter().map(|name| plain(name)).collect()))
    }
}

impl JsonSchema for Withheld {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Texts::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Texts::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let lines = lines
            .iter()
            .map(|line| (COOKIE, HeaderValue::from_static(line)));
        lines.collect()
    }

    #[test]
    fn one_value_or_none_or_it_cannot_be_told() {
        let sent = headers(&["a=1; bb=2;c=", "d = 4"]);
        assert_eq!(value(&sent, "a"), Ok(Some("1")));
        assert_eq!(value(&sent, "b"), Ok(None));
        assert_eq!(value(&sent, "bb"), Ok(Some("2")));
        assert_eq!(value(&sent, "c"), Ok(Some("")));
        assert_eq!(value(&headers(&["a=1; a=1"]), "a"), Err(Ambiguous));
        assert_eq!(value(&headers(&["a =1"]), "a"), Err(Ambiguous));
        assert_eq!(value(&headers(&["a =2; a=1"]), "a"), Err(Ambiguous));
        assert_eq!(value(&headers(&["a=1", "a=2"]), "a"), Err(Ambiguous));
    }

    #[test]
    fn cookies_of_the_gateway_are_taken_out() {
        let own = ["__Host-s".to_owned()];
        let left = |lines: &[&'static str]| {
            let left = without(&headers(lines), &own)?;
            Some(
                left.iter()
                    .map(|line| line.to_str().unwrap().to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(left(&["a=1; b=2"]), None);
        assert_eq!(
            left(&["a=1; __Host-s=x;b=2", "__Host-s =y", "c=__Host-s=z"]).unwrap(),
            ["a=1; b=2", "c=__Host-s=z"]
        );
        let all = ["__Host-s-login-*".to_owned()];
        let sent = headers(&["a=1; __Host-s-login-x=1; __Host-s=2; __Host-s-login-y =3"]);
        assert_eq!(without(&sent, &all).unwrap(), ["a=1; __Host-s=2"]);
        let found: Vec<_> = beginning(&sent, "__Host-s-login-").collect();
        assert_eq!(
            found,
            [("__Host-s-login-x", "1"), ("__Host-s-login-y ", "3")]
        );
    }

    #[test]
    fn a_cookie_is_kept_from_scripts_and_plain_connections() {
        let set = Set {
            name: "__Host-s",
            value: "x",
            age: Some(Duration::from_secs(60)),
            same_site: SameSite::Lax,
            script: false,
            secure: true,
        };
        let written = set.header().unwrap();
        let expected = "__Host-s=x; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax";
        assert_eq!(written, expected);
        for value in ["a;b", "a b", "a\r\nb", "a,b", "\"a\""] {
            assert!(Set { value, ..set }.header().is_none(), "{value:?}");
        }
    }
}
