//! The parts that a `key:` may list, and where each comes from in a request.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::Value;

use super::{Builder, header_name, stable};
use crate::request::{Facts, Request};

/// One part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The client address, IPv6 by its /64.
    Ip,
    /// The authenticated user.
    User,
    /// All values of a header field, in order.
    Header(HeaderName),
    /// The route that matched.
    Route,
    /// A claim of the authenticated user.
    Claim(String),
    /// The host.
    Host,
    /// The canonical path.
    Path,
    /// The method.
    Method,
    /// The client's country, once `geo` has looked.
    Country,
}

const WORDS: &str = "ip, user, route, host, path, method, country, header:NAME or claim:NAME";

impl Part {
    /// Separates this part from all others: over its whole text, so two headers of the same value differ too.
    pub(super) fn kind(&self) -> u64 {
        stable(&self.to_string())
    }

    /// Adds the request's value; gives the builder back when there is none.
    pub(super) fn add(
        &self,
        kind: u64,
        to: Builder,
        request: &Request<'_>,
        facts: &Facts,
        route: u64,
    ) -> Result<Builder, Builder> {
        let identity = facts.identity.as_deref();
        match self {
            Self::Ip => Ok(to.client(kind, request.client)),
            Self::Route => Ok(to.part(kind, &route.to_le_bytes())),
            Self::Host => Ok(to.part(kind, request.host.as_bytes())),
            Self::Path => Ok(to.part(kind, request.compared.as_bytes())),
            Self::Method => Ok(to.part(kind, request.method.as_str().as_bytes())),
            Self::User => match identity {
                Some(identity) => Ok(to.part(kind, identity.user.as_bytes())),
                None => Err(to),
            },
            Self::Claim(name) => match identity.and_then(|identity| identity.claims.get(name)) {
                Some(Value::String(text)) => Ok(to.part(kind, text.as_bytes())),
                Some(Value::Null) | None => Err(to),
                // Numbers, lists: rare, so their text may be made. A string that imitates one keeps its own length
                // and content but not the kind.
                Some(value) => Ok(to.part(kind.rotate_left(1), value.to_string().as_bytes())),
            },
            Self::Country => match facts.place.country {
                Some(country) => Ok(to.part(kind, &country)),
                None => Err(to),
            },
            Self::Header(name) => {
                let mut values = request.headers.get_all(name).iter().peekable();
                if values.peek().is_none() {
                    return Err(to);
                }
                Ok(values.fold(to, |to, value| to.part(kind, value.as_bytes())))
            }
        }
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None => match text {
                "ip" => Ok(Self::Ip),
                "user" => Ok(Self::User),
                "route" => Ok(Self::Route),
                "host" => Ok(Self::Host),
                "path" => Ok(Self::Path),
                "method" => Ok(Self::Method),
                "country" => Ok(Self::Country),
                _ => Err(format!("`{text}` is no part of a key: write {WORDS}")),
            },
            Some(("header", name)) => header_name(name).map(Self::Header),
            Some(("claim", name)) if !name.is_empty() => Ok(Self::Claim(name.to_owned())),
            Some(_) => Err(format!("`{text}` is no part of a key: write {WORDS}")),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip => f.write_str("ip"),
            Self::User => f.write_str("user"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Route => f.write_str("route"),
            Self::Claim(name) => write!(f, "claim:{name}"),
            Self::Host => f.write_str("host"),
            Self::Path => f.write_str("path"),
            Self::Method => f.write_str("method"),
            Self::Country => f.write_str("country"),
        }
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Part;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a part of a key: {WORDS}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Part, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_str(Text)
    }
}

impl JsonSchema for Part {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "KeyPart".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(ip|user|route|host|path|method|country|header:.+|claim:.+)$",
            "description": "A part of a key: ip (IPv6 by its /64), user, route, host, path, method, country, header:NAME or claim:NAME",
        })
    }
}
