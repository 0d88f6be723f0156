//! What claims must say, and what becomes of them: an identity and the headers that carry it upstream. Works on claims
//! whose signature was verified; knows neither keys nor tokens.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::active::Active;
use super::confirm::Confirm;
use super::revocation;
use crate::decision::Reason;
use crate::io::{Call, Key};
use crate::key::{Keys, stable};
use crate::request::{Identity, Session};

/// What a claim must be equal to; of several values, one.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted(Vec<Value>);

/// Everything that a policy asks of claims.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) keys: Keys,
    pub(super) issuers: Vec<String>,
    pub(super) audiences: Vec<String>,
    pub(super) leeway_ms: u64,
    pub(super) max_age_ms: Option<u64>,
    pub(super) require: BTreeMap<String, Wanted>,
    pub(super) user: String,
    pub(super) forward: Vec<(String, HeaderName)>,
    pub(super) revocable: bool,
    pub(super) active: Option<Active>,
    /// What `cnf` asks for is checked.
    pub(super) confirm: bool,
}

/// A token that was verified, with what has to be asked again each time it comes.
#[derive(Debug)]
pub(in crate::checks) struct Verified {
    pub(in crate::checks) identity: Arc<Identity>,
    /// Unix milliseconds from which it holds, leeway taken off.
    pub(super) begins: u64,
    /// Unix milliseconds at which it no longer holds, leeway added.
    pub(super) ends: u64,
    pub(super) issued: Option<u64>,
    pub(super) token_key: Option<Key>,
    pub(super) subject_key: Key,
    /// How it was verified.
    pub(super) proof: Proof,
    pub(super) session: Option<Session>,
    /// Whose key the client must hold.
    pub(super) confirm: Option<Confirm>,
    /// What has to be asked about the user.
    pub(super) active: Option<Call>,
}

/// How a token was verified, to tell whether that would still be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// By a key of this party; the version of its published keys, 0 for those of the policy.
    Signed { party: usize, version: u64 },
    /// By asking its issuer, whose answer had this version.
    Introspected { version: u64 },
}

impl Verified {
    /// Whether it holds at this moment.
    pub(super) fn holds(&self, now: u64) -> Result<(), Reason> {
        if now >= self.ends {
            return Err(Reason::TokenExpired);
        }
        if now < self.begins {
            return Err(Reason::TokenNotYet);
        }
        Ok(())
    }
}

impl Rules {
    pub(super) fn judge(&self, claims: Map<String, Value>, proof: Proof) -> Result<Verified, Reason> {
        let (begins, ends, issued) = self.times(&claims)?;
        self.addressed(&claims)?;
        self.required(&claims)?;
        let user = match claims.get(&self.user) {
            Some(Value::String(user)) if !user.is_empty() => user.clone(),
            Some(Value::Number(user)) => user.to_string(),
            Some(_) | None => return Err(Reason::TokenClaims),
        };
        let token_key = match claims.get("jti") {
            Some(Value::String(jti)) => Some(revocation::token_key(self.keys, jti)),
            // An identifier that cannot be looked up would be a token that cannot be called back.
            Some(_) if self.revocable => return Err(Reason::TokenClaims),
            Some(_) | None => None,
        };
        let forward = self.forwarded(&claims)?;
        let confirm = if self.confirm { Confirm::of(&claims)? } else { None };
        let active = match &self.active {
            Some(active) => Some(active.call(&user).ok_or(Reason::TokenClaims)?),
            None => None,
        };
        Ok(Verified {
            begins,
            ends,
            issued,
            token_key,
            subject_key: revocation::subject_key(self.keys, &user),
            proof,
            session: self.session(&claims, issued),
            confirm,
            active,
            identity: Arc::new(Identity {
                user,
                claims,
                forward,
                expires: Some(ends / 1000),
            }),
        })
    }

    /// What is bound to a session is bound to `sid` where there is one, so that it outlives a renewed token.
    fn session(&self, claims: &Map<String, Value>, issued: Option<u64>) -> Option<Session> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let (kind, id) = text("sid").map(|sid| (1, sid)).or_else(|| text("jti").map(|jti| (2, jti)))?;
        let began = claims.get("auth_time").and_then(millis).or(issued)?;
        let start = self.keys.start(stable("jwt/session")).part(0, text("iss").unwrap_or_default().as_bytes());
        Some(Session {
            binding: start.part(kind, id.as_bytes()).finish(),
            started: began / 1000,
        })
    }

    /// `exp` must be there; `nbf` and `iat` are believed when they are. Only numbers are dates.
    fn times(&self, claims: &Map<String, Value>) -> Result<(u64, u64, Option<u64>), Reason> {
        let date = |name: &str| match claims.get(name) {
            Some(value) => millis(value).map(Some).ok_or(Reason::TokenInvalid),
            None => Ok(None),
        };
        let expires = date("exp")?.ok_or(Reason::TokenClaims)?;
        let (not_before, issued) = (date("nbf")?, date("iat")?);
        let mut ends = expires.saturating_add(self.leeway_ms);
        if let Some(max_age) = self.max_age_ms {
            let issued = issued.ok_or(Reason::TokenClaims)?;
            ends = ends.min(issued.saturating_add(max_age).saturating_add(self.leeway_ms));
        }
        // A token from the future is as wrong as one that does not hold yet.
        let begins = not_before.max(issued).unwrap_or(0).saturating_sub(self.leeway_ms);
        Ok((begins, ends, issued))
    }

    fn addressed(&self, claims: &Map<String, Value>) -> Result<(), Reason> {
        let among = |value: &Value, names: &[String]| value.as_str().is_some_and(|text| names.iter().any(|name| name == text));
        if !self.issuers.is_empty() && !claims.get("iss").is_some_and(|iss| among(iss, &self.issuers)) {
            return Err(Reason::TokenClaims);
        }
        if self.audiences.is_empty() {
            return Ok(());
        }
        let to_us = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(|aud| among(aud, &self.audiences)),
            Some(one) => among(one, &self.audiences),
            None => false,
        };
        to_us.then_some(()).ok_or(Reason::TokenClaims)
    }

    fn required(&self, claims: &Map<String, Value>) -> Result<(), Reason> {
        for (name, wanted) in &self.require {
            if !claims.get(name).is_some_and(|value| wanted.is_met_by(value)) {
                return Err(Reason::TokenClaims);
            }
        }
        // What is there to get access tokens is none, whoever forgot to say so: it lives far longer.
        let kinds = ["token_type", "type", "typ", "token_use"];
        for name in kinds.into_iter().filter(|name| !self.require.contains_key(*name)) {
            let kind = claims.get(name).and_then(Value::as_str).unwrap_or_default();
            if kind.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("refresh")) {
                return Err(Reason::TokenClaims);
            }
        }
        Ok(())
    }

    /// A claim that cannot be written without a second reading refuses the token: a role `"user,admin"`, a line break.
    fn forwarded(&self, claims: &Map<String, Value>) -> Result<Vec<(HeaderName, HeaderValue)>, Reason> {
        let mut fields = Vec::with_capacity(self.forward.len());
        for (claim, name) in &self.forward {
            let text = match claims.get(claim) {
                None | Some(Value::Null) => continue,
                Some(Value::Array(items)) => {
                    let items = items.iter().map(|item| scalar(item).filter(|item| !item.contains(',') && !item.is_empty()));
                    items.collect::<Option<Vec<_>>>().map(|items| items.join(","))
                }
                Some(value) => scalar(value),
            };
            let value = text.filter(|text| clean(text)).and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok());
            fields.push((name.clone(), value.ok_or(Reason::TokenClaims)?));
        }
        Ok(fields)
    }
}

/// Unix milliseconds. Fractions of a second are allowed (RFC 7519, 2), negative and absurd dates are not.
pub(in crate::checks) fn millis(date: &Value) -> Option<u64> {
    const LATEST: f64 = 9e12;
    let Value::Number(number) = date else { return None };
    match (number.as_u64(), number.as_f64()) {
        (Some(seconds), _) => Some(seconds.saturating_mul(1000)),
        (None, Some(seconds)) if (0.0..=LATEST).contains(&seconds) => Some((seconds * 1000.0) as u64),
        (None, _) => None,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// No controls, and nothing that a parser would trim: `" admin"` must not become `admin` on the way.
fn clean(text: &str) -> bool {
    !text.chars().any(char::is_control) && text.trim().len() == text.len()
}

impl Wanted {
    /// Equal to one of the values, or a list that has one of them.
    pub(in crate::checks) fn is_met_by(&self, value: &Value) -> bool {
        let same = |one: &Value| self.0.iter().any(|wanted| wanted == one);
        match value {
            Value::Array(items) => items.iter().any(same),
            one => same(one),
        }
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Wanted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true or false, or a list of them")
            }

            fn visit_str<E>(self, text: &str) -> Result<Wanted, E> {
                Ok(Wanted(vec![text.into()]))
            }

            fn visit_bool<E>(self, truth: bool) -> Result<Wanted, E> {
                Ok(Wanted(vec![truth.into()]))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Wanted, E> {
                Ok(Wanted(vec![number.into()]))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Wanted, E> {
                Ok(Wanted(vec![number.into()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Wanted, A::Error> {
                let mut values = Vec::new();
                while let Some(Wanted(mut one)) = items.next_element()? {
                    values.append(&mut one);
                }
                if values.is_empty() {
                    return Err(de::Error::custom("an empty list is met by nothing"));
                }
                Ok(Wanted(values))
            }
        }
        from.deserialize_any(Values)
    }
}

impl JsonSchema for Wanted {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClaimValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A value, or a list of which one must match",
            "type": ["string", "number", "boolean", "array"],
            "items": {"type": ["string", "number", "boolean"]},
        })
    }
}
